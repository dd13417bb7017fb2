//! What the handlers know beside the request.

use super::auth::ApiKeys;
use super::refused::Refusals;
use super::webhook::WebhookSecrets;
use crate::app::App;
use crate::clock::Clock;
use crate::domain::event_types::EventTypes;
use chrono::{DateTime, NaiveDate, Utc};
use std::sync::Arc;
use std::time::Duration;

/// What the handlers know beside the request; cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    /// The server's inside.
    pub app: Arc<App>,
    /// The API keys.
    pub keys: Arc<ApiKeys>,
    /// The secrets that callbacks are signed with.
    pub webhooks: Arc<WebhookSecrets>,
    /// Tells why a request was refused as not authorized.
    pub refusals: Arc<Refusals>,
    /// What the program's configuration says to this layer.
    pub program: Arc<ProgramSettings>,
    /// What other parts of the server do for this layer.
    pub hooks: Arc<Hooks>,
    /// The clock, where tests and the demo may set it; `None` in earnest.
    pub settable_clock: Option<Clock>,
}

/// What the program's configuration says to this layer.
#[derive(Debug, Clone, Default)]
pub struct ProgramSettings {
    /// ISO 4217 code.
    pub currency: String,
    /// Active days after which an account earns its affiliate a commission.
    pub mark_days: u32,
    /// What types of events are called.
    pub event_types: EventTypes,
}

/// A function of another part of the server.
pub type Hook<In, Out> = Box<dyn Fn(In) -> Out + Send + Sync>;
/// The same of a text.
pub type TextHook<Out> = Box<dyn Fn(&str) -> Out + Send + Sync>;

/// An answered request: which route, how it ended, how long it took.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// The route's pattern, never its path: a path may hold the name of an account.
    pub route: &'a str,
    /// The status.
    pub status: u16,
    /// How long it took.
    pub elapsed: Duration,
}

/// What other parts of the server do for this layer, so that it needs to know none of them.
pub struct Hooks {
    /// The keyed hash, in hex, that an e-mail is kept as.
    pub email_hash: TextHook<String>,
    /// The keyed hash, in hex, that an address is kept as.
    pub ip_hash: Hook<std::net::IpAddr, String>,
    /// The day of an instant in the program's time zone.
    pub day_of: Hook<DateTime<Utc>, NaiveDate>,
    /// All metrics in Prometheus' text format.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// Notes an answered request.
    pub observe: Box<dyn Fn(Answered<'_>) + Send + Sync>,
}

#[cfg(test)]
impl Hooks {
    /// Hooks that other parts would be too much for: hashes can be read, all destinations are allowed, days
    /// are those of UTC.
    pub fn plain() -> Self {
        Self {
            email_hash: Box::new(|email| format!("hash of {email}")),
            ip_hash: Box::new(|ip| format!("hash of {ip}")),
            day_of: Box::new(|at| at.date_naive()),
            metrics: Box::new(String::new),
            observe: Box::new(|_| ()),
        }
    }
}
