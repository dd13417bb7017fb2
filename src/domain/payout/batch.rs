//! A batch: its way from a draft to the last payment.

use super::chunk::{Chunk, ITEMS_PER_CALL, Next};
use super::id::PayoutId;
use super::item::{Event, ItemStatus};
use super::plan::NewItem;
use crate::domain::money::Money;
use crate::domain::named::named;
use crate::domain::program::hex;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

named! {
    /// Where a batch is.
    pub enum BatchStatus {
        /// Its items are being written; nobody can approve it yet.
        Making = "making",
        /// It waits for a person's approval.
        Draft = "draft",
        /// It may be exported or sent.
        Approved = "approved",
        /// Some of it was exported or sent.
        Submitted = "submitted",
        /// Every item is final or withdrawn.
        Settled = "settled",
        /// It pays nothing; its statements are free again.
        Discarded = "discarded",
    }
}

named! {
    /// How a batch is paid; fixed by its approval.
    pub enum Method {
        /// A person uploads a file on PayPal's site.
        File = "file",
        /// The server calls PayPal's Payouts API.
        Api = "api",
    }
}

impl Method {
    /// Whether a person uploads a file and reads a report back.
    pub const fn is_by_file(self) -> bool {
        match self {
            Self::File => true,
            Self::Api => false,
        }
    }
    /// Whether the server calls PayPal.
    pub const fn calls_paypal(self) -> bool {
        match self {
            Self::Api => true,
            Self::File => false,
        }
    }
}

/// An approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who approved.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
    /// How the batch is paid.
    pub method: Method,
}

/// A batch. Its items are in the ledgers of their affiliates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Its id.
    pub id: PayoutId,
    /// Where it is.
    pub status: BatchStatus,
    /// ISO 4217 code.
    pub currency: String,
    /// Who asked for it.
    pub by: String,
    /// When it was begun.
    pub created_at: DateTime<Utc>,
    /// What its items add up to, without those withdrawn.
    pub total: Money,
    /// How many items have which status.
    pub counts: BTreeMap<ItemStatus, u32>,
    /// The number of documents with affiliates that it leaves to a later batch.
    #[serde(default)]
    pub carried_parts: u32,
    /// How many affiliates it leaves to a later batch.
    #[serde(default)]
    pub carried: u32,
    /// What was looked at before it is approved: changes with every item that enters or leaves.
    pub hash: String,
    /// Its approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<Approval>,
    /// Why it was discarded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discarded: Option<String>,
    /// Whether somebody said that PayPal is to be called.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub to_send: bool,
    /// The calls to PayPal, by their number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chunks: Vec<Chunk>,
    /// How often each part of the file was exported.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub exports: BTreeMap<u32, u32>,
}

impl Batch {
    /// A batch without items.
    pub fn begin(id: PayoutId, currency: String, by: String, at: DateTime<Utc>) -> Self {
        Self {
            id,
            status: BatchStatus::Making,
            currency,
            by,
            created_at: at,
            total: Money::ZERO,
            counts: BTreeMap::new(),
            carried_parts: 0,
            carried: 0,
            hash: hex(&Sha256::digest(id.to_string())),
            approved: None,
            discarded: None,
            to_send: false,
            chunks: Vec::new(),
            exports: BTreeMap::new(),
        }
    }

    /// An item entered.
    pub fn add(&mut self, item: &NewItem) {
        self.total += item.amount;
        *self.counts.entry(ItemStatus::Ready).or_default() += 1;
        // An item is plain data without maps.
        self.hash = chained(&self.hash, &serde_json::to_vec(item).expect("an item is plain data"));
    }

    /// An item changed its status.
    pub fn moved(&mut self, before: ItemStatus, after: ItemStatus, amount: Money, item: &str) {
        if before == after {
            return;
        }
        if let Some(count) = self.counts.get_mut(&before) {
            *count = count.saturating_sub(1);
        }
        self.counts.retain(|_, count| *count > 0);
        *self.counts.entry(after).or_default() += 1;
        if after == ItemStatus::Withdrawn {
            self.total = self.total - amount;
            self.hash = after_withdrawal(&self.hash, item);
        }
        if before == ItemStatus::Withdrawn {
            self.total += amount;
        }
        if after == ItemStatus::Submitted && self.status == BatchStatus::Approved {
            self.status = BatchStatus::Submitted;
        }
        self.settle();
    }
    /// It is settled while every item is final: a late answer may open it again.
    fn settle(&mut self) {
        let is_over = self.counts.keys().all(|status| status.is_final());
        match self.status {
            BatchStatus::Submitted | BatchStatus::Approved if is_over => self.status = BatchStatus::Settled,
            BatchStatus::Settled if !is_over => self.status = BatchStatus::Submitted,
            _ => {}
        }
    }

    /// Its hash when these items have been withdrawn, in this order.
    pub fn hash_after_withdrawals(&self, items: &[String]) -> String {
        items.iter().fold(self.hash.clone(), |hash, item| after_withdrawal(&hash, item))
    }

    /// A call to PayPal, by its number.
    pub fn chunk(&self, number: u32) -> Option<&Chunk> {
        self.chunks.iter().find(|chunk| chunk.number == number)
    }
    /// The same, to be changed.
    pub fn chunk_mut(&mut self, number: u32) -> Option<&mut Chunk> {
        self.chunks.iter_mut().find(|chunk| chunk.number == number)
    }

    /// How many items it has, without those withdrawn.
    pub fn items(&self) -> u32 {
        let all: u32 = self.counts.values().sum();
        all - self.counts.get(&ItemStatus::Withdrawn).copied().unwrap_or(0)
    }
    /// In how many calls to PayPal it is sent: items that were withdrawn keep their places.
    pub fn calls(&self) -> usize {
        let all: u32 = self.counts.values().sum();
        (all as usize).div_ceil(ITEMS_PER_CALL)
    }
    /// Whether something may be due about a call: it is to be made, or given up. Where all items are over, no first one
    /// is.
    pub fn may_be_called(&self, number: u32, now: DateTime<Utc>) -> bool {
        match self.chunk(number) {
            None => self.status != BatchStatus::Settled,
            Some(chunk) => matches!(chunk.next(now), Next::Send | Next::GiveUp),
        }
    }
    /// Whether any of it was exported or sent.
    pub fn was_submitted(&self) -> bool {
        !self.exports.is_empty()
            || self.to_send
            || matches!(self.status, BatchStatus::Submitted | BatchStatus::Settled)
    }
    /// Whether its status allows such an event of its items.
    pub const fn takes(&self, event: Event) -> bool {
        use BatchStatus as S;
        match event {
            Event::Submit => matches!(self.status, S::Approved | S::Submitted),
            Event::Withdraw => matches!(self.status, S::Draft | S::Approved | S::Submitted | S::Discarded),
            Event::PaidOtherwise => matches!(self.status, S::Approved | S::Submitted | S::Settled),
            Event::Seen => true,
            _ => matches!(self.status, S::Submitted | S::Settled),
        }
    }
    /// How it is paid, once it is approved.
    pub fn method(&self) -> Option<Method> {
        self.approved.as_ref().map(|approval| approval.method)
    }
}

/// The hash says everything that entered and left, in its order.
fn chained(hash: &str, what: &[u8]) -> String {
    let mut hasher = Sha256::new();
    hasher.update(hash.as_bytes());
    hasher.update(what);
    hex(&hasher.finalize())
}
fn after_withdrawal(hash: &str, item: &str) -> String {
    chained(hash, format!("withdrawn {item}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::AffiliateId;
    use crate::domain::payout::Answer;
    use BatchStatus as S;
    use ItemStatus as I;
    use chrono::TimeDelta;

    fn batch(items: u64) -> Batch {
        let id = PayoutId { month: "2026-09".parse().expect("a month"), number: 1 };
        let mut batch = Batch::begin(id, "USD".into(), "ann".into(), DateTime::UNIX_EPOCH);
        for number in 0..items {
            batch.add(&NewItem {
                affiliate_id: AffiliateId::from_bits(number),
                receiver: "a@b.example".into(),
                amount: Money::from_cents(9_900),
                parts: Vec::new(),
            });
        }
        batch
    }

    #[test]
    fn a_batch_is_settled_while_all_its_items_are_over() {
        let mut batch = batch(3);
        batch.status = S::Approved;
        let ten = Money::from_cents(9_900);
        let mut step = |before, after, status, total: &str| {
            batch.moved(before, after, ten, "item");
            assert_eq!((batch.status, batch.total.to_string().as_str()), (status, total), "{before} {after}");
        };
        step(I::Ready, I::Submitted, S::Submitted, "297.00");
        step(I::Ready, I::Withdrawn, S::Submitted, "198.00");
        step(I::Ready, I::Paid, S::Submitted, "198.00");
        step(I::Submitted, I::Unknown, S::Submitted, "198.00");
        step(I::Unknown, I::Canceled, S::Settled, "198.00");
        step(I::Canceled, I::Unclaimed, S::Submitted, "198.00");
        step(I::Unclaimed, I::Returned, S::Settled, "198.00");
        step(I::Withdrawn, I::Paid, S::Settled, "297.00");
        assert_eq!(batch.items(), 3);
    }

    #[test]
    fn a_call_is_due_until_it_is_answered_and_no_first_one_when_all_items_are_over() {
        let now = DateTime::UNIX_EPOCH;
        let mut batch = batch(1);
        let most = u32::try_from(ITEMS_PER_CALL).expect("a literal");
        for (ready, withdrawn, calls) in [(0, 0, 0), (1, 0, 1), (most - 1, 1, 1), (most, 1, 2)] {
            batch.counts = BTreeMap::from([(ItemStatus::Ready, ready), (ItemStatus::Withdrawn, withdrawn)]);
            assert_eq!(batch.calls(), calls, "{ready} {withdrawn}");
        }
        for status in S::ALL {
            batch.status = status;
            assert_eq!(batch.may_be_called(1, now), status != S::Settled, "{status}");
        }
        batch.chunks.push(Chunk::begin(1, "note".into(), "hash".into(), now));
        let answers = [
            (Answer::NotSent { why: "x".into() }, TimeDelta::minutes(11), true),
            (Answer::Refused { why: "x".into() }, TimeDelta::minutes(11), false),
            (Answer::Accepted { payout_batch_id: "x".into() }, TimeDelta::minutes(11), false),
            (Answer::NotSent { why: "x".into() }, TimeDelta::days(26), true),
        ];
        for (answer, later, due) in answers {
            let mut answered = batch.clone();
            answered.chunks[0].answered(1, &answer, now);
            assert_eq!(answered.may_be_called(1, now + later), due, "{answer:?}");
        }
    }

    #[test]
    fn the_hash_says_what_is_in_the_batch() {
        let (two, three) = (batch(2), batch(3));
        assert_ne!(two.hash, three.hash);
        let mut less = batch(3);
        less.moved(ItemStatus::Ready, ItemStatus::Withdrawn, Money::from_cents(9_900), "x");
        assert_ne!(less.hash, three.hash);
        assert_eq!(less.hash, three.hash_after_withdrawals(&["x".to_owned()]));
    }

    #[test]
    fn the_status_says_which_events_items_may_have() {
        // Making Draft Approved Submitted Settled Discarded
        for (event, may) in [
            (Event::Submit, "..xx.."),
            (Event::Withdraw, ".xxx.x"),
            (Event::PaidOtherwise, "..xxx."),
            (Event::Seen, "xxxxxx"),
            (Event::Succeeded, "...xx."),
            (Event::Lost, "...xx."),
            (Event::FoundUnpaid, "...xx."),
        ] {
            let takes = |status| if (Batch { status, ..batch(1) }).takes(event) { 'x' } else { '.' };
            assert_eq!(S::ALL.into_iter().map(takes).collect::<String>(), may, "{event}");
        }
    }
}
