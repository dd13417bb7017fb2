//! What PayPal says of one item, in its words.

use super::amount::Amount;
use super::plain;
use crate::domain::payout::Event;
use serde::{Deserialize, Deserializer};
use std::fmt;

/// What a status of an item means; `None`: a word that we don't know, of which nothing may be concluded.
pub fn event(word: &str) -> Option<Event> {
    Some(match word {
        "PENDING" => Event::Pending,
        "SUCCESS" => Event::Succeeded,
        "FAILED" => Event::Failed,
        "UNCLAIMED" => Event::Unclaimed,
        "RETURNED" => Event::Returned,
        "ONHOLD" => Event::OnHold,
        "BLOCKED" => Event::Blocked,
        "REFUNDED" => Event::Refunded,
        "REVERSED" => Event::Reversed,
        _ => return None,
    })
}

/// An item's status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reported {
    /// A word that we know.
    Known(Event),
    /// Another word, or two that contradict each other.
    Unknown(String),
    /// No word at all.
    Missing,
}

impl Reported {
    fn of(word: Option<String>) -> Self {
        match word {
            None => Self::Missing,
            Some(word) => event(&word).map_or_else(|| Self::Unknown(plain::text(&word)), Self::Known),
        }
    }
    /// What happened to the item, if that can be said.
    pub fn event(&self) -> Option<Event> {
        match self {
            Self::Known(event) => Some(*event),
            Self::Unknown(_) | Self::Missing => None,
        }
    }
}

/// A batch's status. It proves nothing about its items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportedBatch {
    /// Not begun.
    Pending,
    /// Under way.
    Processing,
    /// Processed: its items may have failed all the same.
    Success,
    /// Not processed. PayPal makes a new batch under the same id.
    Denied,
    /// Taken back, which only web uploads can be.
    Canceled,
    /// A word that we don't know, or none.
    Unknown(String),
}

impl ReportedBatch {
    pub(super) fn of(word: Option<String>) -> Self {
        match word.unwrap_or_default().as_str() {
            "PENDING" => Self::Pending,
            "PROCESSING" => Self::Processing,
            "SUCCESS" => Self::Success,
            "DENIED" => Self::Denied,
            "CANCELED" => Self::Canceled,
            other => Self::Unknown(plain::text(other)),
        }
    }
}

/// Where an item goes: an address of a person, which is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Receiver(String);

impl Receiver {
    /// The address itself: only for the place that uses it.
    pub fn expose(&self) -> &str {
        &self.0
    }
    /// Whether it is this address. PayPal may write it in other letters.
    pub fn is(&self, address: &str) -> bool {
        self.0.to_lowercase() == address.to_lowercase()
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Receiver(hidden)")
    }
}

/// An item, as PayPal reports it. It may leave out anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedItem {
    /// PayPal's id of it.
    pub payout_item_id: Option<String>,
    /// PayPal's id of its batch.
    pub payout_batch_id: Option<String>,
    /// PayPal's id of the payment.
    pub transaction_id: Option<String>,
    /// Our id of it.
    pub sender_item_id: Option<String>,
    /// Where it is on its way.
    pub status: Reported,
    /// Who gets it.
    pub receiver: Option<Receiver>,
    /// How much.
    pub amount: Option<Amount>,
    /// The stable name of what went wrong.
    pub error: Option<String>,
}

/// PayPal's id and ours.
pub(super) type Ids = (Option<String>, Option<String>);

impl ReportedItem {
    pub(super) fn ids(&self) -> Ids {
        (self.payout_item_id.clone(), self.sender_item_id.clone())
    }
    /// Whether it is the same item as another, but for how far it is.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        self.ids() == other.ids()
            && self.payout_batch_id == other.payout_batch_id
            && self.receiver == other.receiver
            && self.amount == other.amount
    }
    /// The item with what another report adds that contradicts it.
    pub(super) fn contradicted_by(&self, other: &Self) -> Self {
        let words = format!("{:?} and {:?}", self.status, other.status);
        Self { status: Reported::Unknown(words), ..self.clone() }
    }
}

#[derive(Deserialize)]
struct Written {
    payout_item_id: Option<String>,
    payout_batch_id: Option<String>,
    transaction_id: Option<String>,
    transaction_status: Option<String>,
    payout_item: Option<Detail>,
    errors: Option<WrittenErrors>,
}

#[derive(Deserialize)]
struct Detail {
    sender_item_id: Option<String>,
    receiver: Option<String>,
    #[serde(default, deserialize_with = "Amount::read")]
    amount: Option<Amount>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenErrors {
    One(Named),
    Several(Vec<Named>),
    Other(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

impl WrittenErrors {
    fn name(self) -> Option<String> {
        match self {
            Self::One(error) => Some(error.name),
            Self::Several(errors) => errors.into_iter().next().map(|error| error.name),
            Self::Other(_) => None,
        }
    }
}

impl<'de> Deserialize<'de> for ReportedItem {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(from)?;
        let detail = written.payout_item;
        let (sender_item_id, receiver, amount) = detail.map_or((None, None, None), |detail| {
            (detail.sender_item_id, detail.receiver.map(Receiver), detail.amount)
        });
        Ok(Self {
            payout_item_id: written.payout_item_id.filter(|id| !id.is_empty()),
            payout_batch_id: written.payout_batch_id.filter(|id| !id.is_empty()),
            transaction_id: written.transaction_id.filter(|id| !id.is_empty()),
            sender_item_id: sender_item_id.filter(|id| !id.is_empty()),
            status: Reported::of(written.transaction_status),
            receiver,
            amount,
            error: written.errors.and_then(WrittenErrors::name).map(|name| plain::text(&name)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rust_decimal::Decimal;

    #[test]
    fn a_word_means_one_event_or_none() {
        for (word, means) in [
            ("PENDING", Some(Event::Pending)),
            ("SUCCESS", Some(Event::Succeeded)),
            ("FAILED", Some(Event::Failed)),
            ("UNCLAIMED", Some(Event::Unclaimed)),
            ("RETURNED", Some(Event::Returned)),
            ("ONHOLD", Some(Event::OnHold)),
            ("BLOCKED", Some(Event::Blocked)),
            ("REFUNDED", Some(Event::Refunded)),
            ("REVERSED", Some(Event::Reversed)),
            ("success", None),
            ("DENIED", None),
            ("COMPLETED", None),
            ("", None),
        ] {
            assert_eq!(event(word), means, "{word}");
            assert_eq!(Reported::of(Some(word.to_owned())).event(), means);
        }
    }

    #[test]
    fn an_item_is_read_as_far_as_it_says_anything() {
        let read = |json: &str| serde_json::from_str::<ReportedItem>(json).expect("an item");
        let item = read(
            r#"{"payout_item_id":"I1","transaction_id":"","transaction_status":"FAILED","links":[],
            "payout_item":{"receiver":"Ann@Example.com","amount":{"currency":"USD","value":"190.0"},
            "sender_item_id":"pay_1"},"errors":{"name":"RECEIVER_UNREGISTERED","message":"m","debug_id":"d"}}"#,
        );
        assert_eq!(item.payout_item_id.as_deref(), Some("I1"));
        assert_eq!(item.transaction_id, None);
        assert_eq!(item.status, Reported::Known(Event::Failed));
        assert_eq!(item.error.as_deref(), Some("RECEIVER_UNREGISTERED"));
        assert_eq!(item.amount, Some(Amount { currency: "USD".to_owned(), value: Decimal::new(190, 0) }));
        assert!(item.receiver.as_ref().expect("a receiver").is("ann@example.com"));
        assert!(!format!("{item:?}").contains('@'), "{item:?}");

        let empty = read("{}");
        assert_eq!((empty.status, empty.receiver, empty.amount), (Reported::Missing, None, None));
        let odd = read(r#"{"transaction_status":"SHIPPED","errors":[{"name":"A"},{"name":"B"}]}"#);
        assert_eq!((odd.status, odd.error.as_deref()), (Reported::Unknown("SHIPPED".to_owned()), Some("A")));
        assert_eq!(read(r#"{"errors":[]}"#).error, None);
        assert_eq!(read(r#"{"errors":7}"#).error, None);
    }
}
