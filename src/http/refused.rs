//! Why a request was answered 401 or 403. The answer does not say it: who guesses must learn nothing. The log does, for
//! those who connect their own programs, and a metric counts it.

use super::error::Problem;
use super::webhook::TOLERANCE_S;
use crate::app::OutageLog;
use crate::metrics::Metrics;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// Neither a key nor a whole signature.
    #[error("the header {0} is missing")]
    MissingHeader(&'static str),
    /// It is not clear which one counts.
    #[error("the header {0} stands there more than once")]
    DoubleHeader(&'static str),
    /// A dot would let what is signed be read in two ways.
    #[error("webhook-id is not 1 to 256 printable ASCII characters without a dot")]
    MalformedId,
    /// No number, or far from any time.
    #[error("webhook-timestamp is not a Unix time in seconds")]
    MalformedTimestamp,
    /// It is of these days, in a smaller unit.
    #[error("webhook-timestamp is in milliseconds or less; send whole seconds")]
    NotSeconds,
    /// By so many seconds.
    #[error(
        "webhook-timestamp is {0} s behind this server's clock, and {TOLERANCE_S} s are allowed: one of the clocks is \
         wrong, or an old delivery was sent again without signing it anew"
    )]
    TooOld(i64),
    /// By so many seconds.
    #[error(
        "webhook-timestamp is {0} s ahead of this server's clock, and {TOLERANCE_S} s are allowed: one of the clocks is wrong"
    )]
    TooNew(i64),
    /// More than are looked at.
    #[error("webhook-signature holds more than 8 signatures")]
    TooManySignatures,
    /// All else is as it must be.
    #[error(
        "no signature matches any secret: it was made with another secret, or not over `id.timestamp.body`, or the body's \
         bytes were changed after it was made"
    )]
    NoMatch,
    /// `Authorization` says something else.
    #[error("the header authorization is not `Bearer` and a key")]
    NotBearer,
    /// None of ours.
    #[error("the bearer key is not one of the configured ones")]
    UnknownKey,
    /// The key of this name.
    #[error("the key `{0}` lacks the scope for this")]
    MissingScope(Arc<str>),
}

impl Cause {
    /// All codes.
    pub const CODES: [&'static str; 12] = [
        "missing_header",
        "double_header",
        "malformed_id",
        "malformed_timestamp",
        "not_seconds",
        "too_old",
        "too_new",
        "too_many_signatures",
        "no_match",
        "not_bearer",
        "unknown_key",
        "missing_scope",
    ];

    /// The stable code, as in the metric.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::MissingHeader(_) => "missing_header",
            Self::DoubleHeader(_) => "double_header",
            Self::MalformedId => "malformed_id",
            Self::MalformedTimestamp => "malformed_timestamp",
            Self::NotSeconds => "not_seconds",
            Self::TooOld(_) => "too_old",
            Self::TooNew(_) => "too_new",
            Self::TooManySignatures => "too_many_signatures",
            Self::NoMatch => "no_match",
            Self::NotBearer => "not_bearer",
            Self::UnknownKey => "unknown_key",
            Self::MissingScope(_) => "missing_scope",
        }
    }
}

/// Tells of refusals: each is counted, and of each cause one a minute is logged.
#[derive(Debug)]
pub struct Refusals {
    metrics: Arc<Metrics>,
    outages: Mutex<HashMap<&'static str, OutageLog>>,
}

impl Refusals {
    /// Counts in these metrics.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, outages: Mutex::default() }
    }
    /// Tells of one; what it is answered with.
    pub fn refuse(&self, cause: &Cause) -> Problem {
        self.metrics.refused(cause.code());
        // Nothing panics while it holds this lock.
        let mut outages = self.outages.lock().unwrap_or_else(PoisonError::into_inner);
        outages.entry(cause.code()).or_default().failed(cause, "a request was refused as not authorized");
        match cause {
            Cause::MissingScope(_) => Problem::Forbidden,
            _ => Problem::Unauthorized,
        }
    }
}
