//! The creation of a batch: what is refused, and what is made.

use super::answers::{self, Reply};
use super::book::{Asked, Batch, Order};
use super::lies::{Does, Lie, Says};
use super::{State, outcomes};
use rust_decimal::Decimal;
use serde_json::Value;
use std::str::FromStr;

/// The most items of a call.
const MOST_ITEMS: usize = 15_000;
/// Currencies without decimals.
const WHOLE: [&str; 3] = ["HUF", "JPY", "TWD"];
/// A currency that nobody has a balance in.
const NOT_HELD: &str = "BRL";

/// How a call is answered, and whether that is so.
pub(super) struct Answered {
    pub reply: Reply,
    pub is_honest: bool,
    pub tells_first: bool,
}

/// Makes a batch, or does not, and says so, or something else.
pub(super) fn create(state: &mut State, base: &str, is_json: bool, body: &[u8]) -> Answered {
    let lie = state.create_lies.pop_front();
    let Lie { does, says, tells_first } = lie.unwrap_or(Lie::performs_then(Says::Truth));
    let truth = match does {
        Does::Nothing => answers::fault(),
        Does::AsAsked => perform(state, base, is_json, body, false),
        Does::Denies => perform(state, base, is_json, body, true),
    };
    let is_honest = says == Says::Truth;
    let reply = if is_honest { truth } else { lied(state, base, body, says, truth) };
    Answered { reply, is_honest, tells_first }
}

fn perform(state: &mut State, base: &str, is_json: bool, body: &[u8], is_denied: bool) -> Reply {
    if !is_json {
        return answers::error(415, "UNSUPPORTED_MEDIA_TYPE", "The media type is not supported.", &[]);
    }
    let order = match read(body) {
        Ok(order) => Order { is_denied, ..order },
        Err(refusal) => return refusal,
    };
    let now = state.clock.now();
    let holder = order.sender_batch_id.as_deref().and_then(|id| state.book.holder(id, now));
    if let Some(holder) = holder {
        return answers::duplicate(base, Some(&holder.id));
    }
    let total: Decimal = order.items.iter().map(|item| item.amount).sum();
    if let Some(funds) = &mut state.funds {
        if *funds < total {
            return answers::unfunded();
        }
        *funds -= total;
    }
    Reply::Json(201, answers::made(base, state.book.make(order, now, state.takes)))
}

/// Reads a call, and refuses it as a whole.
fn read(body: &[u8]) -> Result<Order, Reply> {
    let malformed =
        || answers::error(400, "MALFORMED_REQUEST_JSON", "The request JSON is not well formed.", &[]);
    let body: Value = serde_json::from_slice(body).map_err(|_| malformed())?;
    let header = &body["sender_batch_header"];
    if !header.is_object() {
        return Err(answers::invalid("sender_batch_header", "Required field is missing"));
    }
    let written = body["items"].as_array().filter(|items| (1..=MOST_ITEMS).contains(&items.len()));
    let written = written.ok_or_else(|| answers::invalid("items", "The number of items is out of range"))?;
    let items = written.iter().enumerate().map(|(at, item)| read_item(at, item, header));
    let items = items.collect::<Result<Vec<_>, _>>()?;
    if items.iter().any(|item| item.currency != items[0].currency) {
        return Err(answers::invalid("items", "Multiple currencies are not supported in a single payout"));
    }
    if items[0].currency == NOT_HELD {
        return Err(answers::error(
            400,
            "NON_HOLDING_CURRENCY",
            "Sender has no balance in this currency.",
            &[],
        ));
    }
    let text = |name: &str| header[name].as_str().map(str::to_owned);
    let (sender_batch_id, email_subject) = (text("sender_batch_id"), text("email_subject"));
    Ok(Order { sender_batch_id, email_subject, items, is_denied: false, is_foreign: false })
}

fn read_item(at: usize, item: &Value, header: &Value) -> Result<Asked, Reply> {
    let wrong = |name: &str, issue: &str| Err(answers::invalid(&format!("items[{at}].{name}"), issue));
    let kind = item["recipient_type"].as_str().or(header["recipient_type"].as_str());
    if kind != Some("EMAIL") {
        return wrong("recipient_type", "Only e-mail addresses are known here");
    }
    let receiver = item["receiver"].as_str().unwrap_or_default();
    let is_address =
        receiver.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && domain.contains('.'));
    if !is_address || receiver.contains(char::is_whitespace) || receiver.starts_with(outcomes::INVALID) {
        return wrong("receiver", "Receiver is invalid or does not match with type");
    }
    let currency = item["amount"]["currency"].as_str().unwrap_or_default();
    if currency.len() != 3 {
        return wrong("amount.currency", "Currency is invalid");
    }
    let amount = item["amount"]["value"].as_str().and_then(|text| Decimal::from_str(text).ok());
    let places = if WHOLE.contains(&currency) { 0 } else { 2 };
    let amount = amount.filter(|amount| *amount > Decimal::ZERO && amount.normalize().scale() <= places);
    let Some(amount) = amount else { return wrong("amount.value", "Amount is invalid") };
    let note = item["note"].as_str();
    if note.is_some_and(|note| note.contains('\n')) {
        return wrong("note", "Note is invalid");
    }
    Ok(Asked {
        receiver: receiver.to_owned(),
        amount,
        currency: currency.to_owned(),
        sender_item_id: item["sender_item_id"].as_str().map(str::to_owned),
        note: note.map(str::to_owned),
    })
}

/// What a liar says.
fn lied(state: &mut State, base: &str, body: &[u8], says: Says, truth: Reply) -> Reply {
    let made_up = |id: &str, sender: &str| {
        let header = serde_json::json!({"payout_batch_id": id, "batch_status": "PENDING",
            "sender_batch_header": {"sender_batch_id": sender}});
        serde_json::json!({ "batch_header": header, "links": [] })
    };
    match says {
        Says::Truth => truth,
        Says::Reset => Reply::Reset,
        Says::Silence => Reply::Silence,
        Says::Fault => answers::fault(),
        Says::Gateway => Reply::page(502),
        Says::ProxyRefuses => Reply::page(400),
        Says::Truncated => match truth {
            Reply::Json(_, body) => Reply::Half(201, body),
            _ => Reply::Reset,
        },
        Says::Empty => Reply::Json(201, serde_json::json!({})),
        Says::Page => Reply::page(201),
        Says::Foreign => {
            let id = foreign(state, body).id.clone();
            Reply::Json(201, made_up(&id, &sender_batch_id(body)))
        }
        Says::AnotherSender => Reply::Json(201, made_up("BATANOTHERSENDER", "another")),
        Says::Made => Reply::Json(201, made_up("BATNEVERMADE", &sender_batch_id(body))),
        Says::Elsewhere => Reply::Text(307, answers::HTML, String::new()),
        Says::Throttled => answers::throttled(),
        Says::Restricted(name) => answers::error(403, name, "Authorization failed.", &[]),
        Says::Unfunded => answers::unfunded(),
        Says::InProgress => {
            answers::error(400, "PREVIOUS_REQUEST_IN_PROGRESS", "A previous request is in progress.", &[])
        }
        Says::DuplicateWithoutLink => answers::duplicate(base, None),
        Says::DuplicateWithForeignLink => {
            let id = foreign(state, body).id.clone();
            answers::duplicate(base, Some(&id))
        }
        Says::DuplicateInOldWords => {
            answers::error(400, "USER_BUSINESS_ERROR", "Duplicate batch request", &[])
        }
    }
}

fn sender_batch_id(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    body["sender_batch_header"]["sender_batch_id"].as_str().unwrap_or_default().to_owned()
}

/// A batch like ours with other amounts, which is not ours: nothing of it is in the book of payments.
fn foreign<'state>(state: &'state mut State, body: &[u8]) -> &'state Batch {
    let mut items = read(body).map(|order| order.items).unwrap_or_default();
    for item in &mut items {
        item.amount += Decimal::ONE;
    }
    let now = state.clock.now();
    let sender_batch_id = Some(sender_batch_id(body));
    let order = Order { sender_batch_id, email_subject: None, items, is_denied: false, is_foreign: true };
    state.book.make(order, now, state.takes)
}
