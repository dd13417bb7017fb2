//! What an affiliate is owed, what is under way to it, and what it was paid.
//!
//! The closed statements say what was earned; the ledger says what became of it. Its entries are append-only, each
//! names the item that it is for, and its balance is their sum. [`Ledger::check`] compares this with the statements
//! and the items, which are a second account of the same money: where both don't agree to the cent, the affiliate is
//! not paid until a person has looked.

use super::id::PayoutId;
use super::item::{Event, Item, ItemStatus, Means, Provider, Step, Where};
use super::plan::NewItem;
use crate::domain::calendar::Month;
use crate::domain::id::AffiliateId;
use crate::domain::money::Money;
use chrono::{DateTime, Datelike, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A closed statement, as far as payouts need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedStatement {
    /// Its month.
    pub month: Month,
    /// What it adds up to.
    pub total: Money,
    /// Its hash: the bytes that are paid.
    pub hash: String,
}

/// A share of an item: what it pays for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What it is.
    #[serde(flatten)]
    pub of: PartOf,
    /// How much; negative for what is set off.
    pub amount: Money,
}

/// What an item pays for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PartOf {
    /// A closed statement.
    Statement {
        /// Its month.
        month: Month,
        /// Its hash.
        hash: String,
    },
    /// Money that moved although the statements behind it were in another item: the correction of this number.
    Correction {
        /// Its place in [`Ledger::corrections`], from 0.
        correction: u32,
    },
}

/// A correction: an item moved money although another item has its statements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correction {
    /// The item that moved money.
    pub payout_id: PayoutId,
    /// What is owed because of it: negative after a late payment, positive when that came back.
    pub amount: Money,
}

/// A movement of money between the three places where it can be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When the fact behind it was accepted.
    pub at: DateTime<Utc>,
    /// The item that it is for.
    pub payout_id: PayoutId,
    /// What is under way more (or less) since then.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub under_way: Money,
    /// What is paid more (or less) since then.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub paid: Money,
    /// The day on which it was paid or came back, in the program's zone; only where `paid` changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<NaiveDate>,
}

fn is_nothing(amount: &Money) -> bool {
    amount.is_zero()
}

/// What staff confirmed about an affiliate, so that it is no longer carried for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Clearance {
    /// Payouts may go on after one was blocked, refunded or reversed, or could not be paid several times.
    Released,
    /// The receiver may be that of several affiliates.
    SharedReceiver {
        /// The receiver.
        receiver: String,
    },
    /// A sum above the limit for one item may be paid.
    Sum {
        /// The largest sum that may be paid.
        up_to: Money,
    },
}

/// An affiliate's payouts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// Its items, oldest first; one a batch.
    pub items: Vec<Item>,
    /// The movements of money, oldest first.
    pub entries: Vec<Entry>,
    /// What is owed, or was paid too much, beside the statements.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub corrections: Vec<Correction>,
    /// Statements up to this month were paid before payouts were made here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid_elsewhere: Option<Month>,
    /// Its payouts wait until staff release them, because of this item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<PayoutId>,
    /// The number of latest items in a row that failed with the same error.
    #[serde(default, skip_serializing_if = "is_none")]
    pub failures: u32,
    /// The receiver with which an item failed so that it must be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wants_other_receiver: Option<String>,
    /// Several affiliates with this receiver were confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_receiver: Option<String>,
    /// Sums up to this one were confirmed, although they are above the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_sum: Option<Money>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_none(count: &u32) -> bool {
    *count == 0
}

/// Where an affiliate's money is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Balance {
    /// Closed statements that nothing pays yet; negative if more was paid than earned.
    #[schema(value_type = String, example = "99.00")]
    pub owed: Money,
    /// In items that may reach the affiliate.
    #[schema(value_type = String, example = "0.00")]
    pub under_way: Money,
    /// With the affiliate.
    #[schema(value_type = String, example = "0.00")]
    pub paid: Money,
}

/// Why a change of an item is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAllowed {
    /// The affiliate has no item in the batch.
    NoItem,
    /// The event can't follow on the item's status.
    Step,
    /// Another item has its parts.
    PartsTaken,
    /// The affiliate has an item in the batch already.
    Twice,
    /// Its amount is not the sum of its parts, or not above zero.
    Sum,
}

/// What does not add up, in words for staff.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Imbalance(pub String);

/// The affiliates whose items fail with the same error this often in a row are carried until staff release them.
pub const MOST_FAILURES: u32 = 3;

/// Errors after which the affiliate has to change something before it can be paid, by PayPal's names.
const NEEDS_CHANGE: &[&str] = &[
    "RECEIVER_UNREGISTERED",
    "RECEIVER_UNCONFIRMED",
    "RECEIVER_ACCOUNT_LOCKED",
    "RECEIVER_ACCOUNT_INVALID",
    "INVALID_EMAIL",
    "RECEIVER_REFUSED",
    "RECEIVER_COUNTRY_NOT_ALLOWED",
    "CURRENCY_NOT_SUPPORTED_FOR_RECEIVER",
    "RECEIVER_YOUTH_ACCOUNT",
    "RECEIVING_LIMIT_EXCEEDED",
];

/// Something that happened to an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The item's affiliate.
    pub affiliate_id: AffiliateId,
    /// What happened.
    pub event: Event,
    /// The day on which it was paid or came back.
    pub on: NaiveDate,
    /// With `submit`: the call to PayPal, or the part of the file, that it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk: Option<u32>,
    /// What PayPal says of it.
    #[serde(default, skip_serializing_if = "super::item::is_default")]
    pub provider: Provider,
    /// What a person says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub means: Option<Means>,
}

impl Ledger {
    /// With what was paid elsewhere for all affiliates, unless something else was said for this one.
    #[must_use]
    pub fn with_opening(self, through: Option<Month>) -> Self {
        Self { paid_elsewhere: self.paid_elsewhere.or(through), ..self }
    }
    /// The item in a batch.
    pub fn item(&self, payout: PayoutId) -> Option<&Item> {
        self.items.iter().find(|item| item.payout_id == payout)
    }

    /// The parts that are in no live or paid item, from these closed statements: what the affiliate is owed.
    pub fn free_parts(&self, closed: &[ClosedStatement]) -> Vec<Part> {
        let taken = self.taken();
        let statements = closed.iter().filter(|one| !self.was_paid_elsewhere(one.month)).map(|one| Part {
            of: PartOf::Statement { month: one.month, hash: one.hash.clone() },
            amount: one.total,
        });
        let corrections = (0..)
            .zip(&self.corrections)
            .map(|(correction, one)| Part { of: PartOf::Correction { correction }, amount: one.amount });
        let parts = statements.chain(corrections);
        parts.filter(|part| !part.amount.is_zero() && !taken.contains(&part.of)).collect()
    }
    fn was_paid_elsewhere(&self, month: Month) -> bool {
        self.paid_elsewhere.is_some_and(|last| month <= last)
    }
    /// Months that a free statement can't be of: those in items, and those paid elsewhere.
    pub fn has_month(&self, month: Month) -> bool {
        let is_it = |part: &Part| matches!(part.of, PartOf::Statement { month: one, .. } if one == month);
        self.was_paid_elsewhere(month)
            || self.items.iter().any(|item| item.has_its_parts() && item.parts.iter().any(is_it))
    }
    fn taken(&self) -> BTreeSet<&PartOf> {
        let items = self.items.iter().filter(|item| item.has_its_parts());
        items.flat_map(|item| &item.parts).map(|part| &part.of).collect()
    }

    /// Takes an item of a new batch.
    pub fn add(&mut self, payout: PayoutId, new: &NewItem, at: DateTime<Utc>) -> Result<(), NotAllowed> {
        if self.item(payout).is_some() {
            return Err(NotAllowed::Twice);
        }
        let sum: Money = new.parts.iter().map(|part| part.amount).sum();
        if sum != new.amount || sum <= Money::ZERO {
            return Err(NotAllowed::Sum);
        }
        let taken = self.taken();
        let is_free = |part: &Part| match &part.of {
            of @ PartOf::Statement { month, .. } => !taken.contains(of) && !self.has_month(*month),
            of @ PartOf::Correction { correction } => {
                let known = self.corrections.get(*correction as usize);
                !taken.contains(of) && known.is_some_and(|known| known.amount == part.amount)
            }
        };
        let distinct: BTreeSet<&PartOf> = new.parts.iter().map(|part| &part.of).collect();
        if distinct.len() < new.parts.len() || !new.parts.iter().all(is_free) {
            return Err(NotAllowed::PartsTaken);
        }
        self.items.push(Item {
            payout_id: payout,
            status: ItemStatus::Ready,
            receiver: new.receiver.clone(),
            amount: new.amount,
            parts: new.parts.clone(),
            chunk: None,
            changed_at: at,
            paid_on: None,
            provider: Provider::default(),
            means: None,
            overtaken: false,
            by_other_means: false,
            seen: false,
            doubt: None,
        });
        self.entries.push(Entry {
            at,
            payout_id: payout,
            under_way: new.amount,
            paid: Money::ZERO,
            on: None,
        });
        Ok(())
    }

    /// Takes what happened to an item. Returns the statuses before and after; `None`: nothing changed. What PayPal
    /// says and can't be true is kept with the item as a doubt, for a person.
    pub fn change(
        &mut self,
        payout: PayoutId,
        change: &Change,
        at: DateTime<Utc>,
    ) -> Result<Option<(ItemStatus, ItemStatus)>, NotAllowed> {
        let place = self.items.iter().position(|item| item.payout_id == payout).ok_or(NotAllowed::NoItem)?;
        let before = self.items[place].status;
        if change.event == Event::Seen {
            let item = &mut self.items[place];
            let was_doubtful = item.needs_a_person();
            (item.doubt, item.seen) = (None, true);
            return Ok(was_doubtful.then_some((before, before)));
        }
        if self.items[place].by_other_means && before == ItemStatus::Paid && !is_ours(change.event) {
            // What PayPal says of its own try moves nothing that was paid elsewhere. If it has paid after all, a person
            // has to know.
            let news = change.event == Event::Succeeded && self.items[place].doubt.is_none();
            if news {
                self.items[place].doubt = Some(change.event);
            }
            return Ok(news.then_some((before, before)));
        }
        let after = match before.after(change.event) {
            Step::Same if self.items[place].is_another_payment(change) => {
                // PayPal shows a second payment: the first one's id stays, and a person looks.
                let news = self.items[place].doubt != Some(change.event);
                self.items[place].doubt = Some(change.event);
                return Ok(news.then_some((before, before)));
            }
            Step::Same => {
                // PayPal says again what was known: a doubt from between is over.
                let had_doubt = !is_ours(change.event) && self.items[place].doubt.take().is_some();
                return Ok((self.learn(place, change) || had_doubt).then_some((before, before)));
            }
            Step::Refused if change.means.is_some() || is_ours(change.event) => return Err(NotAllowed::Step),
            Step::Refused => {
                let news = self.items[place].doubt != Some(change.event);
                self.items[place].doubt = Some(change.event);
                return Ok(news.then_some((before, before)));
            }
            Step::To(after) => after,
        };
        let parts_are_free = self.parts_are_free(place);
        if change.event == Event::PaidOtherwise && !parts_are_free && before.money() == Where::Owed {
            return Err(NotAllowed::PartsTaken);
        }
        self.move_money(place, before, after, parts_are_free, change, at);
        self.learn(place, change);
        let item = &mut self.items[place];
        item.status = after;
        item.chunk = change.chunk.or(item.chunk);
        item.changed_at = at;
        item.doubt = None;
        item.seen = false;
        item.by_other_means = change.event == Event::PaidOtherwise;
        self.judge(place, after);
        Ok(Some((before, after)))
    }

    /// Whether no other item has parts of this one.
    fn parts_are_free(&self, place: usize) -> bool {
        let others =
            self.items.iter().enumerate().filter(|(other, item)| *other != place && item.has_its_parts());
        let taken: BTreeSet<&PartOf> =
            others.flat_map(|(_, item)| &item.parts).map(|part| &part.of).collect();
        !self.items[place].parts.iter().any(|part| taken.contains(&part.of))
    }

    fn move_money(
        &mut self,
        place: usize,
        before: ItemStatus,
        after: ItemStatus,
        parts_are_free: bool,
        change: &Change,
        at: DateTime<Utc>,
    ) {
        let (payout_id, amount) = (self.items[place].payout_id, self.items[place].amount);
        let (from, to) = (before.money(), after.money());
        if from == to {
            return;
        }
        let in_place = |which: Where, at_place: Where| if which == at_place { amount } else { Money::ZERO };
        let moved = |to_place| in_place(to, to_place) - in_place(from, to_place);
        let (under_way, paid) = (moved(Where::UnderWay), moved(Where::Paid));
        let on = (!paid.is_zero()).then_some(change.on);
        self.entries.push(Entry { at, payout_id, under_way, paid, on });
        let item = &mut self.items[place];
        item.paid_on =
            if to == Where::Paid { Some(change.on) } else { item.paid_on.filter(|_| !paid.is_zero()) };
        // Another item has the statements behind this money, or had them when it moved.
        if to == Where::Owed && item.overtaken {
            item.overtaken = false;
            self.corrections.push(Correction { payout_id, amount });
        } else if from == Where::Owed && !parts_are_free {
            item.overtaken = true;
            self.corrections.push(Correction { payout_id, amount: -amount });
        }
    }

    /// Keeps what PayPal or a person says about an item; whether it is news.
    fn learn(&mut self, place: usize, change: &Change) -> bool {
        let item = &mut self.items[place];
        let before = (item.provider.clone(), item.means.clone());
        if !is_ours(change.event) {
            item.provider.take(&change.provider);
        }
        if change.means.is_some() {
            item.means.clone_from(&change.means);
        }
        before != (item.provider.clone(), item.means.clone())
    }

    /// What the end of an item means for the affiliate's next payouts.
    fn judge(&mut self, place: usize, after: ItemStatus) {
        let item = &self.items[place];
        let (payout, receiver) = (item.payout_id, item.receiver.clone());
        let error = item.provider.error.clone();
        match after {
            ItemStatus::Paid => {
                self.failures = 0;
                self.wants_other_receiver = None;
            }
            ItemStatus::Failed | ItemStatus::Returned => {
                let earlier = self.items.iter().rev().filter(|one| one.payout_id != payout);
                let last = earlier.map(|one| &one.provider.error).next();
                let same = self.failures > 0 && last == Some(&error);
                self.failures = if same { self.failures + 1 } else { 1 };
                let wants = after == ItemStatus::Returned || error.as_deref().is_some_and(needs_change);
                if wants {
                    self.wants_other_receiver = Some(receiver);
                }
            }
            _ if after.blocks() => self.blocked_by = Some(payout),
            _ => {}
        }
    }

    /// Why an item that was planned must not be paid any more; `None`: it may be.
    pub fn why_not_any_more(&self, payout: PayoutId) -> Option<&'static str> {
        let item = self.item(payout)?;
        let parts: BTreeSet<&PartOf> = item.parts.iter().map(|part| &part.of).collect();
        let pays_the_same = |other: &Item| {
            other.payout_id != payout
                && other.overtaken
                && other.parts.iter().any(|part| parts.contains(&part.of))
        };
        let table = [
            (
                self.items.iter().any(pays_the_same),
                "an earlier payment of the same statements was made after all",
            ),
            (self.blocked_by.is_some(), "an earlier payment was blocked, refunded or reversed"),
        ];
        table.into_iter().find(|(applies, _)| *applies).map(|(_, why)| why)
    }

    /// Takes what staff confirmed.
    pub fn clear(&mut self, clearance: &Clearance) {
        match clearance {
            Clearance::Released => {
                self.blocked_by = None;
                self.failures = 0;
                self.wants_other_receiver = None;
            }
            Clearance::SharedReceiver { receiver } => self.shared_receiver = Some(receiver.clone()),
            Clearance::Sum { up_to } => self.confirmed_sum = Some(*up_to),
        }
    }

    /// The largest amount that was paid in one item.
    pub fn largest_paid(&self) -> Money {
        let paid = self.items.iter().filter(|item| item.status == ItemStatus::Paid);
        paid.map(|item| item.amount).max().unwrap_or(Money::ZERO)
    }

    /// What was paid in a calendar year by the days of the payments, less what came back in it.
    pub fn paid_in(&self, year: i32) -> Money {
        let of_year = |entry: &&Entry| entry.on.is_some_and(|on| on.year() == year);
        self.entries.iter().filter(of_year).map(|entry| entry.paid).sum()
    }

    /// Where the money is, by the entries, with these closed statements: all of them that there are.
    pub fn balance(&self, closed: &[ClosedStatement]) -> Balance {
        let earned: Money = closed.iter().map(|one| one.total).sum();
        let under_way: Money = self.entries.iter().map(|entry| entry.under_way).sum();
        let here: Money = self.entries.iter().map(|entry| entry.paid).sum();
        let elsewhere = closed.iter().filter(|one| self.was_paid_elsewhere(one.month));
        let paid = here + elsewhere.map(|one| one.total).sum();
        Balance { owed: earned - under_way - paid, under_way, paid }
    }

    /// Compares the entries with the items and the closed statements.
    pub fn check(&self, closed: &[ClosedStatement]) -> Result<Balance, Imbalance> {
        let balance = self.balance(closed);
        let items = |place: Where| -> Money {
            self.items.iter().filter(|item| item.status.money() == place).map(|item| item.amount).sum()
        };
        let wrong = |text: String| Err(Imbalance(text));
        let under_way = items(Where::UnderWay);
        if under_way != balance.under_way {
            return wrong(format!(
                "items under way add up to {under_way}, the entries to {}",
                balance.under_way
            ));
        }
        let paid = items(Where::Paid);
        let entered: Money = self.entries.iter().map(|entry| entry.paid).sum();
        if paid != entered {
            return wrong(format!("paid items add up to {paid}, the entries to {entered}"));
        }
        let by_month: BTreeMap<Month, &ClosedStatement> = closed.iter().map(|one| (one.month, one)).collect();
        let mut taken = BTreeSet::new();
        for item in self.items.iter().filter(|item| item.has_its_parts()) {
            let sum: Money = item.parts.iter().map(|part| part.amount).sum();
            if sum != item.amount {
                return wrong(format!(
                    "{} pays {}, and its parts add up to {sum}",
                    item.payout_id, item.amount
                ));
            }
            for part in &item.parts {
                if !taken.insert(&part.of) {
                    return wrong(format!("{} pays something that another payout pays", item.payout_id));
                }
                if let PartOf::Statement { month, hash } = &part.of {
                    let known = by_month.get(month);
                    if !known.is_some_and(|one| one.hash == *hash && one.total == part.amount) {
                        return wrong(format!(
                            "{} pays a statement of {month} that is not the closed one",
                            item.payout_id
                        ));
                    }
                }
            }
        }
        let free: Money = self.free_parts(closed).iter().map(|part| part.amount).sum();
        if free != balance.owed {
            return wrong(format!("what nothing pays adds up to {free}, and {} is owed", balance.owed));
        }
        Ok(balance)
    }
}

/// Events that this server or its staff cause; all others are PayPal's word.
const fn is_ours(event: Event) -> bool {
    matches!(
        event,
        Event::Submit
            | Event::Withdraw
            | Event::Lost
            | Event::FoundPaid
            | Event::FoundUnpaid
            | Event::PaidOtherwise
            | Event::Seen
    )
}

/// Whether the affiliate must change something before an item can be paid that ended with this error.
pub(super) fn needs_change(error: &str) -> bool {
    NEEDS_CHANGE.contains(&error)
}

#[cfg(test)]
mod tests;
