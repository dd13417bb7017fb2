//! Answers in PayPal's form.

use super::book::{Batch, Item};
use chrono::{DateTime, SecondsFormat, Utc};
use rust_decimal::Decimal;
use serde_json::{Value, json};

/// What is sent back.
pub(super) enum Reply {
    Json(u16, Value),
    /// A page, or a file: its type and its text.
    Text(u16, &'static str, String),
    /// The first half of what would be sent.
    Half(u16, Value),
    Reset,
    Silence,
}

pub(super) const HTML: &str = "text/html";

impl Reply {
    pub fn page(status: u16) -> Self {
        Self::Text(status, HTML, format!("<html><body><h1>{status}</h1></body></html>"))
    }
}

pub(super) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// An error. `details`: fields and issues.
pub(super) fn error(status: u16, name: &str, message: &str, details: &[(&str, &str)]) -> Reply {
    Reply::Json(status, error_body(name, message, details))
}

fn error_body(name: &str, message: &str, details: &[(&str, &str)]) -> Value {
    let mut body = json!({"name": name, "message": message, "debug_id": "f00dfeed12345",
        "information_link": "https://developer.paypal.com/docs/api/payments.payouts-batch/v1/#errors", "links": []});
    if !details.is_empty() {
        let details = details.iter().map(|(field, issue)| {
            let field_of_it =
                if field.is_empty() { json!({}) } else { json!({"field": field, "location": "body"}) };
            let mut detail = field_of_it;
            detail["issue"] = json!(issue);
            detail
        });
        body["details"] = details.collect();
    }
    body
}

pub(super) fn fault() -> Reply {
    error(500, "INTERNAL_SERVER_ERROR", "An internal server error has occurred.", &[])
}
pub(super) fn not_found() -> Reply {
    error(404, "INVALID_RESOURCE_ID", "Requested resource ID was not found.", &[])
}
pub(super) fn throttled() -> Reply {
    error(429, "RATE_LIMIT_REACHED", "Too many requests. Blocked due to rate limiting.", &[])
}
pub(super) fn unauthorized() -> Reply {
    error(
        401,
        "AUTHENTICATION_FAILURE",
        "Authentication failed due to invalid authentication credentials.",
        &[],
    )
}
pub(super) fn unfunded() -> Reply {
    error(422, "INSUFFICIENT_FUNDS", "Sender does not have sufficient funds.", &[])
}
pub(super) fn invalid(field: &str, issue: &str) -> Reply {
    error(400, "VALIDATION_ERROR", "Invalid request - see details", &[(field, issue)])
}

/// There is a batch under this id.
pub(super) fn duplicate(base: &str, linked: Option<&str>) -> Reply {
    let issue = "Batch with given sender_batch_id already exists";
    let mut body = error_body("USER_BUSINESS_ERROR", "User business error.", &[("SENDER_BATCH_ID", issue)]);
    if let Some(id) = linked {
        let href = format!("{base}/v1/payments/payouts/{id}");
        body["details"][0]["link"] = json!([{"href": href, "rel": "self", "method": "GET"}]);
    }
    Reply::Json(400, body)
}

/// The answer to a batch's creation.
pub(super) fn made(base: &str, batch: &Batch) -> Value {
    let mut header =
        json!({"payout_batch_id": batch.id, "batch_status": "PENDING", "sender_batch_header": sender(batch)});
    header["time_created"] = json!(time(batch.created));
    let link =
        json!({"href": format!("{base}/v1/payments/payouts/{}", batch.id), "rel": "self", "method": "GET"});
    json!({"batch_header": header, "links": [link]})
}

fn sender(batch: &Batch) -> Value {
    let mut sender = json!({});
    if let Some(id) = &batch.sender_batch_id {
        sender["sender_batch_id"] = json!(id);
    }
    if let Some(subject) = &batch.email_subject {
        sender["email_subject"] = json!(subject);
    }
    sender
}

/// An amount, with other decimals than it was sent with.
fn amount(value: Decimal, currency: &str) -> Value {
    let mut short = value.normalize();
    if short.scale() == 0 {
        short.rescale(1);
    }
    json!({"currency": currency, "value": short.to_string()})
}

pub(super) fn header(batch: &Batch, now: DateTime<Utc>) -> Value {
    let word = batch.word(now);
    let mut header = json!({
        "payout_batch_id": batch.id, "batch_status": word, "time_created": time(batch.created),
        "sender_batch_header": sender(batch), "amount": amount(batch.total(), batch.currency()),
        "fees": amount(Decimal::ZERO, batch.currency()),
    });
    if word != "PENDING" {
        header["time_completed"] = json!(time(batch.processed));
    }
    header
}

/// An item: `with_sender` as an item alone is shown.
pub(super) fn item(batch: &Batch, item: &Item, now: DateTime<Utc>, with_sender: bool) -> Value {
    let step = item.step(now);
    let asked = &item.asked;
    let mut detail = json!({"recipient_type": "EMAIL", "receiver": asked.receiver, "recipient_wallet": "PAYPAL",
        "amount": amount(asked.amount, &asked.currency)});
    if let Some(id) = &asked.sender_item_id {
        detail["sender_item_id"] = json!(id);
    }
    if let Some(note) = &asked.note {
        detail["note"] = json!(note);
    }
    let mut shown = json!({
        "payout_item_id": item.id, "payout_batch_id": batch.id, "transaction_status": step.word,
        "payout_item_fee": amount(Decimal::ZERO, &asked.currency), "payout_item": detail,
        "time_processed": time(step.at), "links": [],
    });
    if item.took_money(now) {
        shown["transaction_id"] = json!(item.transaction_id);
    }
    if with_sender && let Some(id) = &batch.sender_batch_id {
        shown["sender_batch_id"] = json!(id);
    }
    if let Some(name) = step.error {
        shown["errors"] = error_body(name, "The payment could not be made.", &[]);
    }
    shown
}
