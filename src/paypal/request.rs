//! The body that makes a batch: the same items make the same bytes.

use super::amount::written;
use crate::domain::money::Money;
use bytes::Bytes;
use serde::Serialize;

/// The most items of one batch.
pub const MOST_ITEMS: usize = 15_000;
/// Limits of PayPal's, in characters.
const BATCH_ID_CHARS: usize = 256;
const SUBJECT_CHARS: usize = 255;
const MESSAGE_CHARS: usize = 1_000;
const RECEIVER_CHARS: usize = 127;
const ITEM_ID_CHARS: usize = 63;
/// A note may be longer only if it is ASCII.
const NOTE_CHARS: usize = 1_000;

/// What all items of a batch have in common.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// Our id of the batch: PayPal makes no second batch under it, for 30 days.
    pub batch_id: &'a str,
    /// The currency of all items.
    pub currency: &'a str,
    /// The subject of PayPal's mail to the payees.
    pub email_subject: &'a str,
    /// The text of that mail; may be empty.
    pub email_message: &'a str,
}

/// An item that is to be paid.
#[derive(Clone, Copy)]
pub struct Order<'a> {
    /// Our id of the item.
    pub item_id: &'a str,
    /// The e-mail address of the payee's account.
    pub receiver: &'a str,
    /// How much.
    pub amount: Money,
    /// What the payee reads about it; may be empty.
    pub note: &'a str,
}

/// What must not be sent, because PayPal would refuse it or pay something else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    /// Without an id, a second call would be a second payment.
    #[error("make a batch without an id, or with one that PayPal does not take")]
    BatchId,
    /// PayPal takes from 1 to 15,000.
    #[error("make a batch of {0} items")]
    Count(usize),
    /// It is too long, or not on one line.
    #[error("write the mail's subject or text on one line of the length that PayPal takes")]
    Mail,
    /// An item's amount can't be paid in the currency.
    #[error("pay the amount of item {0} in this currency")]
    Amount(String),
    /// An item's id is missing, too long, or another item has it too.
    #[error("send item {0} with an id of its own")]
    ItemId(String),
    /// An item's receiver is no address, or too long.
    #[error("send item {0} to an e-mail address that PayPal takes")]
    Receiver(String),
    /// An item's note is too long, or not on one line.
    #[error("write the note of item {0} on one line of the length that PayPal takes")]
    Note(String),
    /// JSON can't be written.
    #[error("write the batch as JSON")]
    Json,
}

#[derive(Serialize)]
struct Body<'a> {
    sender_batch_header: Header<'a>,
    items: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct Header<'a> {
    sender_batch_id: &'a str,
    email_subject: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    email_message: &'a str,
}

#[derive(Serialize)]
struct Item<'a> {
    recipient_type: &'static str,
    amount: AmountBody<'a>,
    receiver: &'a str,
    sender_item_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    note: &'a str,
}

#[derive(Serialize)]
struct AmountBody<'a> {
    currency: &'a str,
    value: String,
}

/// The body for a batch of these items.
pub fn request_body(head: &Head<'_>, orders: &[Order<'_>]) -> Result<Bytes, Unsendable> {
    check_head(head)?;
    if orders.is_empty() || orders.len() > MOST_ITEMS {
        return Err(Unsendable::Count(orders.len()));
    }
    let mut ids = std::collections::HashSet::new();
    for order in orders {
        if !ids.insert(order.item_id) {
            return Err(Unsendable::ItemId(order.item_id.to_owned()));
        }
    }
    let items = orders.iter().map(|order| item(head.currency, order)).collect::<Result<Vec<_>, _>>()?;
    let header = Header {
        sender_batch_id: head.batch_id,
        email_subject: head.email_subject,
        email_message: head.email_message,
    };
    let body = serde_json::to_vec(&Body { sender_batch_header: header, items });
    body.map(Bytes::from).map_err(|_| Unsendable::Json)
}

fn check_head(head: &Head<'_>) -> Result<(), Unsendable> {
    let is_id = head.batch_id.bytes().all(|byte| byte.is_ascii_graphic());
    if head.batch_id.is_empty() || head.batch_id.len() > BATCH_ID_CHARS || !is_id {
        return Err(Unsendable::BatchId);
    }
    let fits = is_line(head.email_subject, SUBJECT_CHARS) && is_line(head.email_message, MESSAGE_CHARS);
    if fits { Ok(()) } else { Err(Unsendable::Mail) }
}

fn item<'a>(currency: &'a str, order: &Order<'a>) -> Result<Item<'a>, Unsendable> {
    let id = || order.item_id.to_owned();
    if order.item_id.is_empty() || !is_line(order.item_id, ITEM_ID_CHARS) {
        return Err(Unsendable::ItemId(id()));
    }
    if !order.receiver.contains('@') || !is_line(order.receiver, RECEIVER_CHARS) {
        return Err(Unsendable::Receiver(id()));
    }
    if !is_line(order.note, NOTE_CHARS) {
        return Err(Unsendable::Note(id()));
    }
    let value = written(order.amount, currency).ok_or_else(|| Unsendable::Amount(id()))?;
    Ok(Item {
        recipient_type: "EMAIL",
        amount: AmountBody { currency, value },
        receiver: order.receiver,
        sender_item_id: order.item_id,
        note: order.note,
    })
}

/// Whether a text is one line of so many characters at most.
fn is_line(text: &str, most: usize) -> bool {
    text.chars().count() <= most
        && !text.contains(|char: char| char.is_control() || matches!(char, '\u{2028}' | '\u{2029}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Head<'_> = Head {
        batch_id: "pay_2026-09-1.1",
        currency: "USD",
        email_subject: "Your payout",
        email_message: "",
    };

    fn order() -> Order<'static> {
        let amount = Money::from_cents(1_250);
        Order { item_id: "pay_2026-09-1_1", receiver: "ann@example.com", amount, note: "September" }
    }

    #[test]
    fn the_same_batch_is_the_same_bytes() {
        let second = Order { item_id: "b", note: "", amount: Money::from_cents(100), ..order() };
        let body = request_body(&HEAD, &[order(), second]).expect("a batch");
        let golden = concat!(
            r#"{"sender_batch_header":{"sender_batch_id":"pay_2026-09-1.1","email_subject":"Your payout"},"#,
            r#""items":[{"recipient_type":"EMAIL","amount":{"currency":"USD","value":"12.50"},"#,
            r#""receiver":"ann@example.com","sender_item_id":"pay_2026-09-1_1","note":"September"},"#,
            r#"{"recipient_type":"EMAIL","amount":{"currency":"USD","value":"1.00"},"#,
            r#""receiver":"ann@example.com","sender_item_id":"b"}]}"#,
        );
        assert_eq!(body, golden);
    }

    #[test]
    fn what_paypal_would_refuse_is_not_sent() {
        use Unsendable as U;
        let id = order().item_id.to_owned();
        let long = "x".repeat(1_001);
        let heads = [
            (Head { batch_id: "", ..HEAD }, U::BatchId),
            (Head { batch_id: "a b", ..HEAD }, U::BatchId),
            (Head { batch_id: &long, ..HEAD }, U::BatchId),
            (Head { email_subject: "two\nlines", ..HEAD }, U::Mail),
            (Head { email_message: &long, ..HEAD }, U::Mail),
            (Head { currency: "JPY", ..HEAD }, U::Amount(id.clone())),
            (Head { currency: "dollars", ..HEAD }, U::Amount(id.clone())),
        ];
        for (head, why) in heads {
            assert_eq!(request_body(&head, &[order()]), Err(why), "{head:?}");
        }
        let orders = [
            (Order { item_id: "", ..order() }, U::ItemId(String::new())),
            (Order { receiver: "ann", ..order() }, U::Receiver(id.clone())),
            (Order { receiver: "ann@example.com\n", ..order() }, U::Receiver(id.clone())),
            (Order { amount: Money::ZERO, ..order() }, U::Amount(id.clone())),
            (Order { amount: Money::from_cents(-1), ..order() }, U::Amount(id.clone())),
            (Order { note: "two\nlines", ..order() }, U::Note(id.clone())),
            (Order { note: &long, ..order() }, U::Note(id.clone())),
        ];
        for (order, why) in orders {
            assert_eq!(request_body(&HEAD, &[order]), Err(why));
        }
        assert_eq!(request_body(&HEAD, &[order(), order()]), Err(U::ItemId(id)));
        assert_eq!(request_body(&HEAD, &[]), Err(U::Count(0)));
        assert_eq!(request_body(&HEAD, &vec![order(); MOST_ITEMS + 1]), Err(U::Count(MOST_ITEMS + 1)));
    }
}
