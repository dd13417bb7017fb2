//! The calls that pay a batch by PayPal's API: staff say that they are to be made, and see what became of them.

use super::words::{call_state, why_refused};
use super::{batch, ended, path};
use crate::domain::payout::{Batch, BatchStatus, Chunk, ChunkState, Method, PayoutId};
use crate::http::pages::session::sentence;
use crate::http::pages::staff::Act;
use crate::http::pages::staff::words::Words;
use crate::http::pages::{PageError, PageState};
use axum::response::Response;
use serde_json::{Value, json};

/// Says that PayPal is to be called, or again after it refused.
pub async fn submit(Act { visit, mut form }: Act<PayoutId>) -> Result<Response, PageError> {
    let submitted = visit.app.submit_payout(&visit.actor(), visit.at).await;
    match ended(&mut form, submitted, &path(visit.at), "submitted")? {
        Some(response) => Ok(response),
        None => batch::show(&visit, &form).await,
    }
}

/// The calls of a batch in words, and what can be done about them; nothing of a batch that a file pays.
pub fn told(state: &PageState, batch: &Batch) -> Value {
    if !batch.method().is_some_and(Method::calls_paypal) {
        return Value::Null;
    }
    let is_open = matches!(batch.status, BatchStatus::Approved | BatchStatus::Submitted);
    let is_refused = batch.chunks.iter().any(|chunk| matches!(chunk.state, ChunkState::Refused { .. }));
    let words = Words::of(state);
    let calls: Vec<Value> = batch.chunks.iter().map(|chunk| call(words, chunk)).collect();
    json!({
        "calls": calls, "to_send": batch.to_send,
        "may_send": is_open && !batch.to_send, "may_resend": is_open && is_refused,
    })
}

fn call(words: Words<'_>, chunk: &Chunk) -> Value {
    let (word, tone) = call_state(chunk);
    let (paypal_id, why) = match &chunk.state {
        ChunkState::Accepted { payout_batch_id, .. } => (Some(payout_batch_id), None),
        ChunkState::Refused { why } => (None, Some(why_refused(why))),
        ChunkState::Stopped { why } => (None, Some(format!("{} {SEARCH}", capital(&sentence(why))))),
        ChunkState::Sending if !chunk.made_nothing => (None, Some(UNCLEAR.to_owned())),
        ChunkState::Sending => (None, None),
    };
    json!({"number": chunk.number, "word": word, "tone": tone, "attempts": chunk.attempts,
        "last": words.at(chunk.last_at), "paypal_id": paypal_id, "why": why, "left_out": chunk.left_out.len()})
}

const UNCLEAR: &str =
    "Nobody knows yet whether PayPal took it. The same call is made again: PayPal pays it once.";
const SEARCH: &str =
    "It is not made again. Look on PayPal’s site, and say of each of its payments how it ended.";

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
