//! `POST /paypal/webhook` on the public listener: PayPal tells that something happened to payments.
//!
//! Who sent it is judged by its signature before it is read, and by PayPal where that can't be judged here. Then it is a
//! hint and no more: it leads to a question to PayPal, whose answer counts.

use super::body;
use super::error::Problem;
use super::guard;
use crate::app::payouts::Heard;
use crate::app::{App, OutageLog};
use crate::domain::fact::PayoutHinted;
use crate::domain::payout::PayPalId;
use crate::metrics::WebhookOutcome;
use crate::paypal::Client;
use crate::paypal::webhook::{Judgment, Transmission, Webhooks};
use axum::Router;
use axum::extract::{Request, State};
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// How many notifications PayPal is asked about at once: strangers decide how many there are.
const POSTBACKS: usize = 2;
/// How long PayPal may take to say whether it sent one.
const POSTBACK_PATIENCE: Duration = Duration::from_secs(10);

/// Takes notifications.
pub struct Hook {
    app: Arc<App>,
    webhooks: Webhooks,
    /// Whom to ask; `None`: batches are paid by PayPal's file, and nobody asks PayPal anything.
    paypal: Option<Arc<Client>>,
    postbacks: Semaphore,
    told: Mutex<HashMap<&'static str, OutageLog>>,
}

/// Why a notification was not taken.
type Refused = (WebhookOutcome, Problem);

const FORGED: Refused = (WebhookOutcome::Forged, Problem::Unauthorized);
const UNDECIDED: Refused = (WebhookOutcome::Undecided, Problem::WebhookUndecided);
const TOO_MANY: Refused = (WebhookOutcome::TooMany, Problem::TooManyWebhooks);

/// The route.
pub fn router(hook: Arc<Hook>) -> Router {
    Router::new()
        .route("/paypal/webhook", post(hear))
        .method_not_allowed_fallback(guard::other_method)
        .with_state(hook)
}

async fn hear(State(hook): State<Arc<Hook>>, request: Request) -> Result<StatusCode, Problem> {
    let (parts, body) = request.into_parts();
    let body = body::read(&parts.headers, body).await?;
    let heard = hook.hear(&parts.headers, &body).await;
    let outcome = *heard.as_ref().unwrap_or_else(|(outcome, _)| outcome);
    hook.app.metrics.payout_webhook(outcome);
    heard.map(|_| StatusCode::OK).map_err(|(_, problem)| problem)
}

impl Hook {
    /// For these settings.
    pub fn new(app: Arc<App>, webhooks: Webhooks, paypal: Option<Arc<Client>>) -> Self {
        Self { app, webhooks, paypal, postbacks: Semaphore::new(POSTBACKS), told: Mutex::default() }
    }

    async fn hear(&self, headers: &HeaderMap, body: &[u8]) -> Result<WebhookOutcome, Refused> {
        self.verify(headers, body).await?;
        let Some(hint) = read(body) else { return Ok(WebhookOutcome::Unreadable) };
        if self.paypal.is_none() {
            return Ok(WebhookOutcome::Verified);
        }
        match self.app.hear_payout_hint(hint).await {
            Ok(Heard::New) => Ok(WebhookOutcome::Verified),
            Ok(Heard::Known) => Ok(WebhookOutcome::Repeated),
            Ok(Heard::TooMany) => Err(TOO_MANY),
            Err(error) => Err((WebhookOutcome::NotKept, error.into())),
        }
    }

    /// Whether PayPal sent it.
    async fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Refused> {
        match self.webhooks.judge(headers, body, self.app.now()).await {
            Judgment::Verified => Ok(()),
            Judgment::Forged(why) => {
                self.tell("forged", &why);
                Err(FORGED)
            }
            Judgment::CantDecide(why) => {
                self.tell("doubt", &why);
                self.ask(headers, body).await
            }
        }
    }

    /// Whether PayPal says that it sent it.
    async fn ask(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Refused> {
        let (Some(paypal), Some(sent)) = (&self.paypal, Transmission::of(headers)) else {
            return Err(UNDECIDED);
        };
        let _permit = self.postbacks.try_acquire().map_err(|_| TOO_MANY)?;
        let webhook_id = &self.app.config().payouts.paypal.webhook_id;
        let asked = paypal.verify_postback(&sent, webhook_id, body);
        match tokio::time::timeout(POSTBACK_PATIENCE, asked).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(FORGED),
            Ok(Err(why)) => {
                self.tell("postback", &why);
                Err(UNDECIDED)
            }
            Err(_) => {
                self.tell("postback", &"PayPal did not answer in time");
                Err(UNDECIDED)
            }
        }
    }

    /// Logs why one was not believed, once a minute for each kind of cause: strangers can send many.
    fn tell(&self, kind: &'static str, why: &dyn Display) {
        // Nothing panics while it holds this lock.
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.entry(kind).or_default().failed(why, "a notification could not be verified as PayPal's");
    }
}

/// What is read of an event. PayPal's events have much more, and get new names.
#[derive(Deserialize)]
struct Event {
    id: PayPalId,
    resource: Resource,
}

/// A batch, or an item of one.
#[derive(Deserialize)]
struct Resource {
    payout_batch_id: Option<PayPalId>,
    batch_header: Option<BatchHeader>,
}

#[derive(Deserialize)]
struct BatchHeader {
    payout_batch_id: PayPalId,
}

/// What an event hints at; `None`: at nothing that could be asked.
fn read(body: &[u8]) -> Option<PayoutHinted> {
    let Event { id: event_id, resource } = serde_json::from_slice(body).ok()?;
    let of_header = resource.batch_header.map(|header| header.payout_batch_id);
    let payout_batch_id = resource.payout_batch_id.or(of_header)?;
    Some(PayoutHinted { event_id, payout_batch_id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_hints_at_a_batch_whatever_else_it_says() {
        let long = "x".repeat(65);
        let table = [
            (
                r#"{"id":"WH-1","event_type":"PAYMENT.PAYOUTS-ITEM.SUCCEEDED","resource":{"payout_batch_id":"P1"}}"#,
                Some("P1"),
            ),
            (
                r#"{"id":"WH-1","resource":{"batch_header":{"payout_batch_id":"P2","batch_status":"SUCCESS"}}}"#,
                Some("P2"),
            ),
            (
                r#"{"id":"WH-1","event_type":"PAYMENT.SOMETHING.NEW","resource":{"payout_batch_id":"P1","x":[1,{}]},"y":1.0}"#,
                Some("P1"),
            ),
            (
                r#"{"id":"WH-1","resource":{"payout_batch_id":null,"batch_header":{"payout_batch_id":"P2"}}}"#,
                Some("P2"),
            ),
            (r#"{"id":"WH-1","event_type":"PAYMENT.SALE.COMPLETED","resource":{"id":"S1"}}"#, None),
            (r#"{"id":"WH-1","resource":{"payout_batch_id":7}}"#, None),
            (r#"{"id":"WH-1","resource":{"payout_batch_id":""}}"#, None),
            (r#"{"id":"WH-1","resource":{"payout_batch_id":"a b"}}"#, None),
            (r#"{"id":"W\u0000","resource":{"payout_batch_id":"P1"}}"#, None),
            (r#"{"resource":{"payout_batch_id":"P1"}}"#, None),
            (r#"{"id":"WH-1","id":"WH-2","resource":{"payout_batch_id":"P1"}}"#, None),
            (r#"{"id":"WH-1"}"#, None),
            ("[]", None),
            ("", None),
        ];
        for (text, batch) in table {
            let hint = read(text.as_bytes());
            assert_eq!(hint.as_ref().map(|hint| hint.payout_batch_id.as_str()), batch, "{text}");
        }
        let too_long = format!(r#"{{"id":"WH-1","resource":{{"payout_batch_id":"{long}"}}}}"#);
        assert_eq!(read(too_long.as_bytes()), None);
    }
}
