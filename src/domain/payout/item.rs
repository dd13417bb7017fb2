//! A payment to one affiliate, and the table of what may happen to it.

use super::id::{ItemId, PayoutId};
use super::ledger::{Change, Part};
use crate::domain::id::AffiliateId;
use crate::domain::money::Money;
use crate::domain::named::named;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

named! {
    /// Where an item is on its way to the affiliate.
    pub enum ItemStatus {
        /// In a batch that was not exported or sent.
        Ready = "ready",
        /// Exported or sent; PayPal has not said how it ended.
        Submitted = "submitted",
        /// Nobody knows whether it was paid: PayPal's answer was lost, or can't be understood.
        Unknown = "unknown",
        /// PayPal reviews it.
        OnHold = "on_hold",
        /// PayPal has the money for 30 days, and the affiliate has not claimed it.
        Unclaimed = "unclaimed",
        /// The affiliate has the money.
        Paid = "paid",
        /// PayPal did not pay it.
        Failed = "failed",
        /// Nobody claimed it: the money is back.
        Returned = "returned",
        /// PayPal refuses to pay it.
        Blocked = "blocked",
        /// The affiliate sent the money back.
        Refunded = "refunded",
        /// The payment was taken back.
        Reversed = "reversed",
        /// A person decided that it was not paid.
        Canceled = "canceled",
        /// It was taken out of its batch before it was sent.
        Withdrawn = "withdrawn",
    }
}

/// Where an item's money is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// With the company: the item's parts are free for another batch.
    Owed,
    /// It may reach the affiliate.
    UnderWay,
    /// With the affiliate.
    Paid,
}

impl ItemStatus {
    /// Where the money of an item in this status is.
    pub const fn money(self) -> Where {
        match self {
            Self::Ready | Self::Submitted | Self::Unknown | Self::OnHold | Self::Unclaimed => Where::UnderWay,
            Self::Paid => Where::Paid,
            Self::Failed
            | Self::Returned
            | Self::Blocked
            | Self::Refunded
            | Self::Reversed
            | Self::Canceled
            | Self::Withdrawn => Where::Owed,
        }
    }
    /// Whether it is over, as far as is known: its batch may be settled.
    pub const fn is_final(self) -> bool {
        !matches!(self.money(), Where::UnderWay)
    }
    /// Whether the affiliate's payouts wait afterwards until staff release them.
    pub const fn blocks(self) -> bool {
        matches!(self, Self::Blocked | Self::Refunded | Self::Reversed)
    }
}

named! {
    /// What can happen to an item.
    pub enum Event {
        /// Its row was exported, or its call to PayPal begins.
        Submit = "submit",
        /// It is taken out before it was exported or sent.
        Withdraw = "withdraw",
        /// PayPal: under way.
        Pending = "pending",
        /// PayPal: paid.
        Succeeded = "succeeded",
        /// PayPal: not paid.
        Failed = "failed",
        /// PayPal: waits for the affiliate to claim it.
        Unclaimed = "unclaimed",
        /// PayPal: not claimed, and back.
        Returned = "returned",
        /// PayPal: under review.
        OnHold = "on_hold",
        /// PayPal: refused.
        Blocked = "blocked",
        /// PayPal: sent back by the affiliate.
        Refunded = "refunded",
        /// PayPal: taken back.
        Reversed = "reversed",
        /// PayPal's answer was lost, or does not say what became of it.
        Lost = "lost",
        /// A person decided that it was paid.
        FoundPaid = "found_paid",
        /// A person decided that it was not paid.
        FoundUnpaid = "found_unpaid",
        /// Staff paid it by other means.
        PaidOtherwise = "paid_otherwise",
        /// A person has looked at what was doubtful.
        Seen = "seen",
    }
}

/// What an event does to an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The item gets this status.
    To(ItemStatus),
    /// Nothing new.
    Same,
    /// It can't follow on this status: a person looks at it, and nothing changes.
    Refused,
}

impl ItemStatus {
    /// The table of steps.
    ///
    /// What PayPal says is believed where it can follow: late and repeated answers never move money back and forth.
    /// Only an item that ended by a person's decision, or as failed or blocked, can still turn out as paid.
    pub const fn after(self, event: Event) -> Step {
        use ItemStatus as S;
        let to = match event {
            Event::Submit => match self {
                S::Ready => S::Submitted,
                S::Submitted => return Step::Same,
                _ => return Step::Refused,
            },
            Event::Withdraw => match self {
                S::Ready => S::Withdrawn,
                S::Withdrawn => return Step::Same,
                _ => return Step::Refused,
            },
            Event::Pending => match self {
                S::Unknown | S::OnHold | S::Canceled => S::Submitted,
                S::Submitted => return Step::Same,
                _ => return Step::Refused,
            },
            Event::OnHold => match self {
                S::Submitted | S::Unknown | S::Canceled => S::OnHold,
                S::OnHold => return Step::Same,
                _ => return Step::Refused,
            },
            Event::Unclaimed => match self {
                S::Submitted | S::Unknown | S::OnHold | S::Canceled => S::Unclaimed,
                S::Unclaimed => return Step::Same,
                _ => return Step::Refused,
            },
            Event::Succeeded => match self {
                // The last three are late: they counted as not paid.
                S::Submitted
                | S::Unknown
                | S::OnHold
                | S::Unclaimed
                | S::Canceled
                | S::Failed
                | S::Blocked => S::Paid,
                S::Paid => return Step::Same,
                _ => return Step::Refused,
            },
            Event::Failed => match self {
                S::Submitted | S::Unknown | S::OnHold | S::Unclaimed | S::Canceled => S::Failed,
                S::Failed => return Step::Same,
                _ => return Step::Refused,
            },
            Event::Blocked => match self {
                S::Submitted | S::Unknown | S::OnHold | S::Unclaimed | S::Canceled => S::Blocked,
                S::Blocked => return Step::Same,
                _ => return Step::Refused,
            },
            Event::Returned => match self {
                S::Submitted | S::Unknown | S::OnHold | S::Unclaimed | S::Canceled | S::Paid => S::Returned,
                S::Returned => return Step::Same,
                _ => return Step::Refused,
            },
            Event::Refunded => match self {
                S::Submitted | S::Unknown | S::OnHold | S::Unclaimed | S::Canceled | S::Paid => S::Refunded,
                S::Refunded => return Step::Same,
                _ => return Step::Refused,
            },
            Event::Reversed => match self {
                S::Submitted | S::Unknown | S::OnHold | S::Unclaimed | S::Canceled | S::Paid => S::Reversed,
                S::Reversed => return Step::Same,
                _ => return Step::Refused,
            },
            Event::Lost => match self {
                S::Submitted => S::Unknown,
                // It ended meanwhile.
                _ => return Step::Same,
            },
            Event::FoundPaid => match self {
                S::Unknown | S::Submitted => S::Paid,
                _ => return Step::Refused,
            },
            Event::FoundUnpaid => match self {
                S::Unknown | S::Submitted => S::Canceled,
                _ => return Step::Refused,
            },
            Event::Seen => return Step::Same,
            Event::PaidOtherwise => match self {
                S::Ready
                | S::Failed
                | S::Returned
                | S::Blocked
                | S::Refunded
                | S::Reversed
                | S::Canceled
                | S::Withdrawn => S::Paid,
                _ => return Step::Refused,
            },
        };
        Step::To(to)
    }
}

/// What PayPal calls an item, and what it said of it last.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Provider {
    /// Its id of the item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_id: Option<String>,
    /// Its id of the payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<String>,
    /// Why it did not pay, by its stable name or in its words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Provider {
    /// With what a later answer adds.
    pub fn with(&self, news: &Self) -> Self {
        let mut all = self.clone();
        all.take(news);
        all
    }
    /// Takes what a later answer adds; an error is that of the latest answer.
    pub(super) fn take(&mut self, news: &Self) {
        let Self { item_id, transaction_id, error } = news;
        self.item_id = item_id.clone().or(self.item_id.take());
        self.transaction_id = transaction_id.clone().or(self.transaction_id.take());
        self.error.clone_from(error);
    }
}

/// How an item was paid without PayPal's word for it, or how a person ended it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Means {
    /// Who said so.
    pub by: String,
    /// The reason that was given.
    pub reason: String,
    /// What identifies the payment elsewhere, like a bank's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// A payment to one affiliate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Its batch.
    pub payout_id: PayoutId,
    /// Where it is.
    pub status: ItemStatus,
    /// The PayPal e-mail that it is paid to.
    pub receiver: String,
    /// The sum of its parts.
    pub amount: Money,
    /// What it pays.
    pub parts: Vec<Part>,
    /// The call to PayPal, or the part of the file, that it is in; `None`: it was not exported or sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk: Option<u32>,
    /// When its status changed last.
    pub changed_at: DateTime<Utc>,
    /// The day on which it was paid, in the program's zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid_on: Option<NaiveDate>,
    /// What PayPal said.
    #[serde(default, skip_serializing_if = "is_default")]
    pub provider: Provider,
    /// What a person said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub means: Option<Means>,
    /// It counted as not paid, its parts were free, and another item has some of them: its money is set off by a
    /// correction.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overtaken: bool,
    /// It was paid by other means, not by PayPal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_other_means: bool,
    /// A person has looked at it since its status changed last.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub seen: bool,
    /// Something that PayPal said and that can't follow on the status; a person looks at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<Event>,
}

pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Item {
    /// Its id, also at PayPal: at most 30 characters, without blanks.
    pub const fn id(&self, affiliate: AffiliateId) -> ItemId {
        ItemId { payout: self.payout_id, affiliate }
    }
    /// Whether a person has to look at it.
    pub const fn needs_a_person(&self) -> bool {
        (self.overtaken && !self.seen) || self.doubt.is_some() || matches!(self.status, ItemStatus::Unknown)
    }
    /// Whether the affiliate must change something before it can be paid.
    pub fn needs_change(&self) -> bool {
        self.provider.error.as_deref().is_some_and(super::ledger::needs_change)
    }
    /// Whether PayPal speaks of another payment than the one that is known.
    pub fn is_another_payment(&self, change: &Change) -> bool {
        let known = self.provider.transaction_id.as_ref().zip(change.provider.transaction_id.as_ref());
        change.event == Event::Succeeded && known.is_some_and(|(known, other)| known != other)
    }
    /// Whether no other item may have its parts.
    pub fn has_its_parts(&self) -> bool {
        !self.overtaken && self.status.money() != Where::Owed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Event as E;
    use ItemStatus as S;

    /// Every status with every event: the letter of the status that follows, `=` for the same, `.` for refused.
    /// Columns: Submit Withdraw Pending Succeeded Failed Unclaimed Returned OnHold Blocked Refunded Reversed Lost
    /// FoundPaid FoundUnpaid PaidOtherwise Seen.
    const TABLE: [(S, &str); 13] = [
        (S::Ready, "sw.........=..p="),
        (S::Submitted, "=.=pfcrhbxvupn.="),
        (S::Unknown, "..spfcrhbxv=pn.="),
        (S::OnHold, "..spfcr=bxv=...="),
        (S::Unclaimed, "...pf=r.bxv=...="),
        (S::Paid, "...=..r..xv=...="),
        (S::Failed, "...p=......=..p="),
        (S::Returned, "......=....=..p="),
        (S::Blocked, "...p....=..=..p="),
        (S::Refunded, ".........=.=..p="),
        (S::Reversed, "..........==..p="),
        (S::Canceled, "..spfcrhbxv=..p="),
        (S::Withdrawn, ".=.........=..p="),
    ];

    #[test]
    fn every_status_and_every_event_are_in_the_table() {
        assert_eq!(TABLE.map(|(status, _)| status), S::ALL);
        let letter = |step| match step {
            Step::Same => '=',
            Step::Refused => '.',
            Step::To(status) => match status {
                S::Submitted => 's',
                S::Withdrawn => 'w',
                S::Unknown => 'u',
                S::OnHold => 'h',
                S::Unclaimed => 'c',
                S::Paid => 'p',
                S::Failed => 'f',
                S::Returned => 'r',
                S::Blocked => 'b',
                S::Refunded => 'x',
                S::Reversed => 'v',
                S::Canceled => 'n',
                S::Ready => '?',
            },
        };
        for (status, row) in TABLE {
            let found: String = E::ALL.iter().map(|event| letter(status.after(*event))).collect();
            assert_eq!(found, row, "{status}");
        }
    }

    #[test]
    fn nothing_that_was_never_sent_becomes_paid_by_paypals_word() {
        for event in [E::Succeeded, E::Pending, E::FoundPaid] {
            assert_eq!(S::Ready.after(event), Step::Refused, "{event}");
            assert_eq!(S::Withdrawn.after(event), Step::Refused, "{event}");
        }
    }

    #[test]
    fn no_step_leads_back_to_ready() {
        for status in S::ALL {
            for event in E::ALL {
                assert_ne!(status.after(event), Step::To(S::Ready));
            }
        }
    }
}
