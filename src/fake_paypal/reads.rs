//! What it says of a batch and of an item.

use super::State;
use super::answers::{self, Reply};
use super::book::Batch;
use super::lies::ReadLie;
use super::outcomes::NO_WORD;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use std::collections::HashMap;

/// The bytes of an answer that nobody reads to its end.
const ENDLESS_BYTES: usize = 16 * 1024 * 1024;

/// What is said, and whether it is so.
pub(super) type Said = (Reply, bool);

/// The next lie, if it is one that is told without looking.
fn blind(lie: ReadLie) -> Option<Reply> {
    Some(match lie {
        ReadLie::NotFound => answers::not_found(),
        ReadLie::Fault => answers::fault(),
        ReadLie::Gateway => Reply::page(502),
        ReadLie::Page => Reply::page(200),
        ReadLie::Throttled => answers::throttled(),
        ReadLie::Reset => Reply::Reset,
        ReadLie::Silence => Reply::Silence,
        ReadLie::Endless => Reply::Text(200, "application/json", " ".repeat(ENDLESS_BYTES)),
        _ => return None,
    })
}

/// A page of a batch.
pub(super) fn batch(state: &mut State, base: &str, id: &str, query: &HashMap<String, String>) -> Said {
    let lie = state.read_lies.pop_front().unwrap_or(ReadLie::Truth);
    if let Some(reply) = blind(lie) {
        return (reply, false);
    }
    let Some(batch) = state.book.batch(id) else { return (answers::not_found(), lie == ReadLie::Truth) };
    let number =
        |name: &str, default: usize| query.get(name).and_then(|text| text.parse().ok()).unwrap_or(default);
    let size = number("page_size", state.page_items).clamp(1, state.page_items);
    let page = if lie == ReadLie::FirstPage { 1 } else { number("page", 1).max(1) };
    let now = if lie == ReadLie::Stale { at_first(batch) } else { state.clock.now() };
    let shown = batch.items.iter().skip((page - 1) * size).take(size);
    let items: Vec<Value> = shown.map(|item| answers::item(batch, item, now, false)).collect();
    let is_honest = lie == ReadLie::Truth && items.iter().all(has_a_word);
    let href = format!("{base}/v1/payments/payouts/{id}?page={page}&page_size={size}");
    let mut body = json!({
        "batch_header": answers::header(batch, now), "items": items,
        "links": [{"href": href, "rel": "self", "method": "GET"}],
    });
    if query.get("total_required").is_some_and(|text| text == "true") {
        add_totals(&mut body, batch, size);
    }
    twist(&mut body, lie);
    (if lie == ReadLie::Truncated { Reply::Half(200, body) } else { Reply::Json(200, body) }, is_honest)
}

/// When nothing had happened yet: a batch may be done in the instant in which it is made.
fn at_first(batch: &Batch) -> DateTime<Utc> {
    batch.created - TimeDelta::milliseconds(1)
}

/// Whether an item's status is one that PayPal has.
fn has_a_word(item: &Value) -> bool {
    item["transaction_status"] != NO_WORD
}

fn add_totals(body: &mut Value, batch: &Batch, size: usize) {
    body["total_items"] = json!(batch.items.len());
    body["total_pages"] = json!(batch.items.len().div_ceil(size));
}

/// Makes a lie of a true page.
fn twist(body: &mut Value, lie: ReadLie) {
    let each = |body: &mut Value, change: &dyn Fn(&mut Value)| {
        body["items"].as_array_mut().into_iter().flatten().for_each(change);
    };
    match lie {
        ReadLie::OtherAmounts => each(body, &|item| item["payout_item"]["amount"]["value"] = json!("0.01")),
        ReadLie::UnknownWords => each(body, &|item| item["transaction_status"] = json!(NO_WORD)),
        ReadLie::DoneButPending => {
            body["batch_header"]["batch_status"] = json!("SUCCESS");
            each(body, &|item| item["transaction_status"] = json!("PENDING"));
        }
        ReadLie::EmptyPage => body["items"] = json!([]),
        ReadLie::MoreItems(more) => body["total_items"] = json!(number_of(body) + more),
        ReadLie::ItemMissing => {
            let fewer = number_of(body).saturating_sub(1);
            if let Some(items) = body["items"].as_array_mut().filter(|items| !items.is_empty()) {
                items.remove(0);
            }
            body["total_items"] = json!(fewer);
        }
        ReadLie::ItemTwice => {
            if let Some(items) = body["items"].as_array_mut().filter(|items| !items.is_empty()) {
                items.insert(0, items[0].clone());
            }
        }
        _ => {}
    }
}

fn number_of(body: &Value) -> usize {
    body["total_items"].as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or(0)
}

/// An item.
pub(super) fn item(state: &mut State, id: &str) -> Said {
    let lie = state.read_lies.pop_front().unwrap_or(ReadLie::Truth);
    if let Some(reply) = blind(lie) {
        return (reply, false);
    }
    let Some((batch, item)) = state.book.item(id) else {
        return (answers::not_found(), lie == ReadLie::Truth);
    };
    let now = if lie == ReadLie::Stale { at_first(batch) } else { state.clock.now() };
    let mut body = answers::item(batch, item, now, true);
    let is_honest = lie == ReadLie::Truth && has_a_word(&body);
    match lie {
        ReadLie::OtherAmounts => body["payout_item"]["amount"]["value"] = json!("0.01"),
        ReadLie::UnknownWords => body["transaction_status"] = json!(NO_WORD),
        ReadLie::Truncated => return (Reply::Half(200, body), false),
        _ => {}
    }
    (Reply::Json(200, body), is_honest)
}

/// Takes back an unclaimed item.
pub(super) fn cancel(state: &mut State, id: &str) -> Said {
    let now = state.clock.now();
    let Some((batch, item)) = state.book.item(id) else { return (answers::not_found(), true) };
    let refused = |name: &str, message: &str| (answers::error(400, name, message, &[]), true);
    if batch.word(now) == "PENDING" {
        return refused("BATCH_NOT_COMPLETED", "The batch is not completed.");
    }
    match item.step(now).word {
        "UNCLAIMED" => {}
        "RETURNED" => return refused("ITEM_ALREADY_CANCELLED", "The item is canceled already."),
        _ => return refused("ITEM_INCORRECT_STATUS", "The item can't be canceled."),
    }
    state.book.returns(id, now);
    let Some((batch, item)) = state.book.item(id) else { return (answers::not_found(), true) };
    (Reply::Json(200, answers::item(batch, item, now, true)), true)
}
