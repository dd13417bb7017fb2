//! //! Logs an outage when it begins and once a minute while it lasts, not at every attempt.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// How often a lasting outage is logged again.
const AGAIN: Duration = Duration::from_mins(1);

/// When an outage was last logged.
#[derive(Debug, Default)]
pub(crate) struct OutageLog {
    at: Option<Instant>,
}

impl OutageLog {
    /// It works.
    pub(crate) const fn ok(&mut self) {
        self.at = None;
    }
    /// It does not.
    pub(crate) fn failed(&mut self, error: &dyn Display, so: &str) {
        if self.at.is_none_or(|at| at.elapsed() >= AGAIN) {
            tracing::warn!(%error, "{so}");
            self.at = Some(Instant::now());
        }
    }
}
