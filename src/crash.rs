//! Points at which tests end the process, as a power switch would, and twins of our code that do what it must never do.
//! Outside of the sabotaged build nothing is here.
//!
//! | environment | what it does |
//! | --- | --- |
//! | `COUNTERFOIL_CRASH_AT` | the process ends at this point; `name:2`: at the second time that it gets there |
//! | `COUNTERFOIL_TWIN` | the twin of this name is at work |
//!
//! A fact has three points, named after its kind: `payout_begun.journaling` (it is not on disk), `.journaled` (it is on
//! disk, and not in the store), and `.applied` (it is in the store, and nobody was told).

#[cfg(feature = "sabotage")]
pub(crate) use on::{facts, is_twin, point, with_id_of_attempt};

#[cfg(feature = "sabotage")]
mod on {
    use crate::domain::fact::Fact;
    use bytes::Bytes;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// How often the point was passed that the environment names.
    static PASSED: AtomicU32 = AtomicU32::new(0);

    /// Ends the process if the environment names this point.
    pub(crate) fn point(name: &str) {
        let Ok(at) = std::env::var("COUNTERFOIL_CRASH_AT") else { return };
        let (wanted, time) = at.split_once(':').unwrap_or((&at, "1"));
        if wanted == name && (PASSED.fetch_add(1, Ordering::SeqCst) + 1).to_string() == time {
            std::process::abort();
        }
    }

    /// A point on the way of facts.
    pub(crate) fn facts<'f>(step: &str, facts: impl Iterator<Item = &'f Fact>) {
        for fact in facts {
            let fact = serde_json::to_value(fact).unwrap_or_default();
            point(&format!("{}.{step}", fact["fact"].as_str().unwrap_or_default()));
        }
    }

    /// Whether a twin is at work.
    pub(crate) fn is_twin(name: &str) -> bool {
        std::env::var("COUNTERFOIL_TWIN").is_ok_and(|twin| twin == name)
    }

    /// A call to PayPal under an id with the attempt in it, as PayPal's own words advise: it pays twice.
    pub(crate) fn with_id_of_attempt(id: String, body: Bytes, attempts: u32) -> (String, Bytes) {
        if !is_twin("new_id_for_each_attempt") || attempts == 0 {
            return (id, body);
        }
        let other = format!("{id}.{attempts}");
        let body = String::from_utf8_lossy(&body).replace(&format!("\"{id}\""), &format!("\"{other}\""));
        (other, body.into())
    }
}

/// Nothing.
#[cfg(not(feature = "sabotage"))]
pub(crate) const fn point(_: &str) {}
