//! PayPal's Payouts API: what may be sent, and what an answer proves.
//!
//! A payment that is sent twice is paid twice, so nothing here repeats a call by itself, with one exception: after a
//! 401, which PayPal gives before it looks at a call, the same bytes are sent once more with a new token. An answer
//! is a refusal only where PayPal says so in its own words; everything else is [`Created::Unclear`], and the caller
//! sends the same bytes under the same id again.
//!
//! Texts of errors hold no token, secret or address of a payee.

mod amount;
mod cancel;
mod create;
mod item;
mod plain;
mod read;
mod request;
mod token;
pub mod webhook;
mod wire;

pub use amount::Amount;
pub use cancel::Cancellation;
pub use create::Created;
pub use item::{Receiver, Reported, ReportedBatch, ReportedItem, event};
pub use read::{BatchPage, ReadFailure, WholeBatch};
pub use request::{Head, MOST_ITEMS, Order, Unsendable, request_body};

use crate::secret::Secret;
use bytes::Bytes;
use http::StatusCode;
use std::time::Duration;
use token::{Token, Tokens};
use url::{Host, Url};
use wire::{Answer, Call, Wire, WireError};

/// How to reach PayPal.
#[derive(Clone)]
pub struct Settings {
    /// Where its API is: `https://api-m.paypal.com`, the sandbox, or on a loopback address.
    pub url: Url,
    /// The id of the app.
    pub client_id: String,
    /// The app's secret.
    pub client_secret: Secret,
    /// How long it may take.
    pub timeouts: Timeouts,
}

/// How long PayPal may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// To accept a connection.
    pub connect: Duration,
    /// For one call: connecting, sending, and the whole answer.
    pub call: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), call: Duration::from_secs(30) }
    }
}

/// The settings can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSettings {
    /// Secrets would be sent in the open, or elsewhere than it looks.
    #[error(
        "use PayPal's address: a plain https:// URL without a user (http:// is for loopback addresses only)"
    )]
    Url,
    /// The id and the secret can't be sent.
    #[error("use PayPal's client id and secret")]
    Credentials,
    /// TLS can't be set up.
    #[error("set up TLS: {0}")]
    Tls(String),
    /// The file of authorities has none.
    #[error("read certificates of authorities in PEM form")]
    Roots,
    /// The id of PayPal's simulator, or none.
    #[error("use the id of the webhook as PayPal shows it")]
    WebhookId,
}

/// Talks to PayPal.
pub struct Client {
    wire: Wire,
    tokens: Tokens,
}

/// PayPal did not answer, or did not let us ask.
enum CallError {
    /// The call itself was surely not sent.
    NotSent(String),
    /// The call was sent, and the answer is lost.
    Lost(String),
}

impl Client {
    /// A client; nothing is sent yet.
    pub fn new(settings: &Settings) -> Result<Self, BadSettings> {
        let wire = Wire::new(&settings.url, settings.timeouts)?;
        let tokens = Tokens::new(&settings.client_id, &settings.client_secret)?;
        Ok(Self { wire, tokens })
    }

    /// Makes a batch: sends these bytes, under this id. An earlier call under the same id may have made it already,
    /// whatever this one's answer is.
    pub async fn create(&self, batch_id: &str, body: Bytes) -> Created {
        let call = Call::post(self.wire.url(&["v1", "payments", "payouts"]), body).with_id(batch_id);
        let Some(call) = call else {
            return Created::NotSent("the batch's id can't be a header".to_owned());
        };
        match self.call(&call).await {
            Ok(answer) => create::judge(batch_id, &answer),
            Err(CallError::NotSent(text)) => Created::NotSent(text),
            Err(CallError::Lost(text)) => Created::Unclear(text),
        }
    }

    /// A page of a batch, from 1.
    pub async fn batch(&self, payout_batch_id: &str, page: u32) -> Result<BatchPage, ReadFailure> {
        let mut url = self.wire.url(&["v1", "payments", "payouts", payout_batch_id]);
        url.query_pairs_mut()
            .append_pair("page", &page.to_string())
            .append_pair("page_size", &read::PAGE_ITEMS.to_string())
            .append_pair("total_required", "true");
        let answer = self.get(url, read::PAGE_BYTES).await?;
        read::page(payout_batch_id, &answer)
    }

    /// All pages of a batch, as one.
    pub async fn all_items(&self, payout_batch_id: &str) -> Result<WholeBatch, ReadFailure> {
        read::all(|page| self.batch(payout_batch_id, page)).await
    }

    /// An item of a batch.
    pub async fn item(&self, payout_item_id: &str) -> Result<ReportedItem, ReadFailure> {
        let url = self.wire.url(&["v1", "payments", "payouts-item", payout_item_id]);
        let answer = self.get(url, wire::ANSWER_BYTES).await?;
        read::item(payout_item_id, &answer)
    }

    /// Takes back an unclaimed item.
    pub async fn cancel(&self, payout_item_id: &str) -> Cancellation {
        let url = self.wire.url(&["v1", "payments", "payouts-item", payout_item_id, "cancel"]);
        match self.call(&Call::post(url, Bytes::new())).await {
            Ok(answer) => cancel::judge(payout_item_id, &answer),
            Err(CallError::NotSent(text)) => Cancellation::NotSent(text),
            Err(CallError::Lost(text)) => Cancellation::Unclear(text),
        }
    }

    /// Asks PayPal whether it sent an event that we can't judge ourselves.
    pub async fn verify_postback(
        &self,
        sent: &webhook::Transmission,
        webhook_id: &str,
        raw_event: &[u8],
    ) -> Result<bool, ReadFailure> {
        // What is no JSON by itself could put fields of its own beside ours.
        let Some(body) = webhook::postback(sent, webhook_id, raw_event) else { return Ok(false) };
        let url = self.wire.url(&["v1", "notifications", "verify-webhook-signature"]);
        let answer = read::good(self.call(&Call::post(url, body)).await)?;
        read::verification(&answer)
    }

    async fn get(&self, url: Url, most_bytes: usize) -> Result<Answer, ReadFailure> {
        read::good(self.call(&Call::get(url).up_to(most_bytes)).await)
    }

    /// Sends a call with a token, and once more with a new one if PayPal does not know the token any longer.
    async fn call(&self, call: &Call) -> Result<Answer, CallError> {
        let token = self.token(None).await.map_err(CallError::NotSent)?;
        let answer = self.send(call, &token).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        // PayPal refused the call: without a newer token, nothing was done.
        let newer = self.token(Some(&token)).await.map_err(CallError::NotSent)?;
        self.send(call, &newer).await
    }

    async fn token(&self, but_not: Option<&Token>) -> Result<Token, String> {
        self.tokens.get(&self.wire, but_not).await
    }

    async fn send(&self, call: &Call, token: &Token) -> Result<Answer, CallError> {
        self.wire.send(call, Some(token.authorization())).await.map_err(|error| match error {
            WireError::NotSent(text) => CallError::NotSent(text),
            WireError::Lost(text) => CallError::Lost(text),
        })
    }
}

/// Whether an address is on this machine.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Whether secrets may be sent to an address.
fn is_plain_and_safe(url: &Url) -> bool {
    let is_plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    let is_encrypted = url.scheme() == "https" && url.has_host();
    is_plain && (is_encrypted || url.scheme() == "http" && is_loopback(url))
}
