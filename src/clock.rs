//! The only place that reads the system's time.

use chrono::{DateTime, Utc};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Gives the wall time: the system's, or a time that tests and the demo set.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    /// Added to the system's time, in milliseconds.
    offset_ms: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The system's time.
    pub const fn system() -> Self {
        Self { offset_ms: None }
    }
    /// A clock that starts at `start`, runs at the system's speed, and can be set.
    pub fn settable(start: DateTime<Utc>) -> Self {
        let clock = Self { offset_ms: Some(Arc::new(AtomicI64::new(0))) };
        clock.set(start);
        clock
    }
    /// Now, to the millisecond.
    pub fn now(&self) -> DateTime<Utc> {
        // A time past the calendar's range would need a clock set a hundred thousand years ahead.
        DateTime::from_timestamp_millis(self.millis()).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
    /// Now, in Unix milliseconds.
    pub fn millis(&self) -> i64 {
        let system = system_millis();
        self.offset_ms.as_ref().map_or(system, |offset| system + offset.load(Ordering::Relaxed))
    }
    /// Sets a settable clock; does nothing to the system's.
    pub fn set(&self, now: DateTime<Utc>) {
        if let Some(offset) = &self.offset_ms {
            // Whole milliseconds on both sides, so that the clock never gives an instant before `now`.
            offset.store(now.timestamp_millis() - system_millis(), Ordering::Relaxed);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "here the time of day is read")]
fn system_millis() -> i64 {
    Utc::now().timestamp_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_never_tells_an_instant_before() {
        for text in ["1999-01-01T00:00:00Z", "2090-01-01T00:00:00Z"] {
            let start: DateTime<Utc> = text.parse().expect("a literal");
            let clock = Clock::settable(start);
            for _ in 0..10_000 {
                clock.set(start);
                assert!(clock.now() >= start);
            }
        }
    }
}
