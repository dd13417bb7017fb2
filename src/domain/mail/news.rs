//! Mail about money: what it says, and which kinds of it a program may switch off.

use super::Message;
use crate::domain::calendar::Month;
use crate::domain::id::AccountId;
use crate::domain::money::Money;
use crate::domain::named::named;
use crate::domain::payout::{Event, Item, ItemStatus, PartOf};
use crate::domain::person::mask_email;
use serde::{Deserialize, Serialize};

named! {
    /// Kinds of mail that a program may switch off; each has the name of its message.
    pub enum Topic {
        /// To the affiliate: an account was credited to it.
        ReferralCredited = "referral_credited",
        /// To the affiliate: an account qualified.
        ReferralQualified = "referral_qualified",
        /// To the affiliate: the statement of a month is final.
        StatementFinal = "statement_final",
        /// To the affiliate: a payment was exported or sent.
        PayoutSent = "payout_sent",
        /// To the affiliate: a payment arrived.
        PayoutPaid = "payout_paid",
        /// To the affiliate: it must do something before it can be paid.
        PayoutNeedsYou = "payout_needs_you",
        /// To staff: a payout waits for approval.
        PayoutWaits = "payout_waits",
        /// To staff: PayPal refused a payout.
        PayoutRefused = "payout_refused",
        /// To staff: payments whose end nobody knows, or about which something is doubtful.
        PayoutDoubts = "payout_doubts",
    }
}

/// A payment, as its receiver reads of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// How much.
    pub amount: Money,
    /// ISO 4217 code.
    pub currency: String,
    /// The months whose statements it pays; empty: not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub months: Vec<Month>,
    /// The PayPal e-mail, as `a…@example.com`; empty: it does not go there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub receiver: String,
}

impl Payment {
    /// What its receiver reads of an item.
    pub fn of(item: &Item, currency: &str) -> Self {
        let months = item.parts.iter().filter_map(|part| match part.of {
            PartOf::Statement { month, .. } => Some(month),
            PartOf::Correction { .. } => None,
        });
        let (currency, receiver) = (currency.to_owned(), mask_email(&item.receiver));
        Self { amount: item.amount, currency, months: months.collect(), receiver }
    }
}

named! {
    /// What an affiliate must do something about before it can be paid.
    pub enum Need {
        /// Its PayPal e-mail is not known.
        NoPaypalEmail = "no_paypal_email",
        /// PayPal waits for it to claim the money.
        Unclaimed = "unclaimed",
        /// It did not claim the money, which is back.
        Returned = "returned",
        /// PayPal could not pay to this PayPal e-mail.
        NeedsChange = "needs_change",
    }
}

/// What an affiliate is told once, by a fact of its own: what it follows from is in another partition of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "news", rename_all = "snake_case")]
pub enum News {
    /// An account was credited to it.
    ReferralCredited {
        /// The account.
        account_id: AccountId,
    },
    /// An account qualified.
    ReferralQualified {
        /// The account.
        account_id: AccountId,
        /// The month on whose statement it is.
        month: Month,
    },
    /// The statement of a month is final.
    StatementFinal {
        /// The month.
        month: Month,
        /// The statement's total.
        total: Money,
        /// ISO 4217 code.
        currency: String,
    },
}

impl News {
    /// What it is about: an affiliate is told of it once.
    pub fn subject(&self) -> String {
        match self {
            Self::ReferralCredited { account_id } | Self::ReferralQualified { account_id, .. } => {
                account_id.to_string()
            }
            Self::StatementFinal { month, .. } => month.to_string(),
        }
    }
    /// The kind of mail that says it.
    pub const fn topic(&self) -> Topic {
        match self {
            Self::ReferralCredited { .. } => Topic::ReferralCredited,
            Self::ReferralQualified { .. } => Topic::ReferralQualified,
            Self::StatementFinal { .. } => Topic::StatementFinal,
        }
    }
}

impl From<News> for Message {
    fn from(news: News) -> Self {
        match news {
            News::ReferralCredited { account_id } => Self::ReferralCredited { account_id },
            News::ReferralQualified { account_id, month } => Self::ReferralQualified { account_id, month },
            News::StatementFinal { month, total, currency } => {
                Self::StatementFinal { month, total, currency }
            }
        }
    }
}

/// What an affiliate is told when an item of its own got another status; `None`: nothing.
pub fn news_of_item(item: &Item, before: ItemStatus, event: Event, currency: &str) -> Option<Message> {
    if item.status == before {
        return None;
    }
    let payment = Payment::of(item, currency);
    let needs = |need, payment| Some(Message::PayoutNeedsYou { need, payment });
    match item.status {
        ItemStatus::Submitted if event == Event::Submit => Some(Message::PayoutSent(payment)),
        ItemStatus::Paid if event == Event::PaidOtherwise => {
            Some(Message::PayoutPaid(Payment { receiver: String::new(), ..payment }))
        }
        ItemStatus::Paid => Some(Message::PayoutPaid(payment)),
        ItemStatus::Unclaimed => needs(Need::Unclaimed, payment),
        ItemStatus::Returned => needs(Need::Returned, payment),
        ItemStatus::Failed if item.needs_change() => needs(Need::NeedsChange, payment),
        // Staff look at the rest, or the next payout pays it.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::AffiliateId;
    use crate::domain::payout::{Ledger, NewItem, Part, PayoutId};
    use ItemStatus as S;

    fn item(status: S, error: Option<&str>) -> Item {
        let (month, amount) = ("2026-04".parse().expect("a month"), Money::from_cents(9_900));
        let payout = PayoutId { month, number: 1 };
        let part = Part { of: PartOf::Statement { month, hash: "h".into() }, amount };
        let (affiliate_id, receiver) = (AffiliateId::from_bits(7), "ann@pay.example".to_owned());
        let mut ledger = Ledger::default();
        let new = NewItem { affiliate_id, receiver, amount, parts: vec![part] };
        ledger.add(payout, &new, chrono::DateTime::UNIX_EPOCH).expect("an empty ledger");
        let mut item = ledger.items.remove(0);
        item.status = status;
        item.provider.error = error.map(str::to_owned);
        item
    }

    #[test]
    fn an_affiliate_is_told_what_matters_to_it_and_once() {
        use Event as E;
        let table = [
            (S::Ready, E::Submit, S::Submitted, None, "payout_sent"),
            (S::Submitted, E::Submit, S::Submitted, None, "nothing"),
            (S::Unknown, E::Pending, S::Submitted, None, "nothing"),
            (S::Submitted, E::Lost, S::Unknown, None, "nothing"),
            (S::Submitted, E::Succeeded, S::Paid, None, "payout_paid a…@pay.example"),
            (S::Unknown, E::FoundPaid, S::Paid, None, "payout_paid a…@pay.example"),
            (S::Ready, E::PaidOtherwise, S::Paid, None, "payout_paid"),
            (S::Paid, E::Succeeded, S::Paid, None, "nothing"),
            (S::Submitted, E::Unclaimed, S::Unclaimed, None, "unclaimed"),
            (S::Unclaimed, E::Unclaimed, S::Unclaimed, None, "nothing"),
            (S::Unclaimed, E::Returned, S::Returned, None, "returned"),
            (S::Submitted, E::Failed, S::Failed, Some("RECEIVER_ACCOUNT_LOCKED"), "needs_change"),
            (S::Submitted, E::Failed, S::Failed, Some("INTERNAL_ERROR"), "nothing"),
            (S::Submitted, E::Blocked, S::Blocked, None, "nothing"),
            (S::Paid, E::Reversed, S::Reversed, None, "nothing"),
        ];
        for (before, event, after, error, expected) in table {
            let said = match news_of_item(&item(after, error), before, event, "USD") {
                None => "nothing".to_owned(),
                Some(Message::PayoutNeedsYou { need, payment }) => {
                    assert_eq!(payment.receiver, "a…@pay.example");
                    need.to_string()
                }
                Some(Message::PayoutPaid(payment)) => {
                    format!("payout_paid {}", payment.receiver).trim().to_owned()
                }
                Some(other) => other.kind().to_owned(),
            };
            assert_eq!(said, expected, "{before} {event} {after}");
        }
    }

    #[test]
    fn each_topic_has_the_name_of_its_message() {
        let news = [
            (r#"{"news":"referral_credited","account_id":"a"}"#, "a"),
            (r#"{"news":"referral_qualified","account_id":"a","month":"2026-04"}"#, "a"),
            (r#"{"news":"statement_final","month":"2026-04","total":"9.00","currency":"USD"}"#, "2026-04"),
        ];
        for (text, subject) in news {
            let news: News = serde_json::from_str(text).expect(text);
            assert_eq!(
                (news.topic(), &*news.subject()),
                (Message::from(news.clone()).topic().expect(text), subject)
            );
            assert_eq!(news.topic().code(), Message::from(news).kind());
        }
    }
}
