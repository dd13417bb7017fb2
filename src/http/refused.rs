//! Why a request was answered 401 or 403. The answer does not say it: who guesses must learn nothing. The log does, for
//! those who connect their own programs, and a metric counts it.

use super::error::Problem;
use super::webhook::TOLERANCE_S;
use crate::app::OutageLog;
use crate::metrics::Metrics;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

macro_rules! causes {
    ($($(#[$about:meta])* $case:ident $(($of:ty))? = $code:literal: $sentence:literal,)+) => {
        /// Why.
        #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
        pub enum Cause { $($(#[$about])* #[error($sentence)] $case $(($of))?,)+ }

        impl Cause {
            /// All codes.
            pub const CODES: &'static [&'static str] = &[$($code),+];
            /// The stable code, as in the metric.
            pub const fn code(&self) -> &'static str {
                match self { $(Self::$case { .. } => $code,)+ }
            }
        }
    };
}

causes! {
    /// Neither a key nor a whole signature.
    MissingHeader(&'static str) = "missing_header": "the header {0} is missing",
    /// It is not clear which one counts.
    DoubleHeader(&'static str) = "double_header": "the header {0} stands there more than once",
    /// A dot would let what is signed be read in two ways.
    MalformedId = "malformed_id": "webhook-id is not 1 to 256 printable ASCII characters without a dot",
    /// No number, or far from any time.
    MalformedTimestamp = "malformed_timestamp": "webhook-timestamp is not a Unix time in seconds",
    /// It is of these days, in a smaller unit.
    NotSeconds = "not_seconds": "webhook-timestamp is in milliseconds or less; send whole seconds",
    /// By so many seconds.
    TooOld(i64) = "too_old": "webhook-timestamp is {0} s behind this server's clock, and {TOLERANCE_S} s are allowed: one of the clocks is \
         wrong, or an old delivery was sent again without signing it anew",
    /// By so many seconds.
    TooNew(i64) = "too_new": "webhook-timestamp is {0} s ahead of this server's clock, and {TOLERANCE_S} s are allowed: one of the clocks is wrong",
    /// More than are looked at.
    TooManySignatures = "too_many_signatures": "webhook-signature holds more than 8 signatures",
    /// All else is as it must be.
    NoMatch = "no_match": "no signature matches any secret: it was made with another secret, or not over `id.timestamp.body`, or the body's \
         bytes were changed after it was made",
    /// `Authorization` says something else.
    NotBearer = "not_bearer": "the header authorization is not `Bearer` and a key",
    /// None of ours.
    UnknownKey = "unknown_key": "the bearer key is not one of the configured ones",
    /// The key of this name.
    MissingScope(Arc<str>) = "missing_scope": "the key `{0}` lacks the scope for this",
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
