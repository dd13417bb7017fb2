//! What becomes of an item, by the first letters of its receiver: `unclaimed.ann@example.com` is never claimed.

use chrono::{DateTime, TimeDelta, Utc};

/// A status, since when an item has it, and the name of an error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub at: DateTime<Utc>,
    pub word: &'static str,
    pub error: Option<&'static str>,
}

/// How long PayPal keeps the money of an item that nobody claims.
pub const UNCLAIMED_FOR: TimeDelta = TimeDelta::days(30);

/// A status some time after a batch was processed.
type Later = (TimeDelta, &'static str, Option<&'static str>);

/// What a receiver begins with, and what its items become. All others are paid.
const OUTCOMES: [(&str, &[Later]); 12] = [
    (
        "unclaimed",
        &[(TimeDelta::zero(), "UNCLAIMED", UNREGISTERED), (UNCLAIMED_FOR, "RETURNED", UNREGISTERED)],
    ),
    ("failed", &[(TimeDelta::zero(), "FAILED", Some("RECEIVER_ACCOUNT_LOCKED"))]),
    ("locked", &[(TimeDelta::zero(), "FAILED", Some("RECEIVER_ACCOUNT_LOCKED"))]),
    ("abroad", &[(TimeDelta::zero(), "FAILED", Some("RECEIVER_COUNTRY_NOT_ALLOWED"))]),
    ("onhold", &[(TimeDelta::zero(), "ONHOLD", Some("REGULATORY_PENDING"))]),
    (
        "reviewed",
        &[(TimeDelta::zero(), "ONHOLD", Some("REGULATORY_PENDING")), (TimeDelta::days(1), "SUCCESS", None)],
    ),
    ("blocked", &[(TimeDelta::zero(), "BLOCKED", Some("REGULATORY_BLOCKED"))]),
    ("refunded", &[(TimeDelta::zero(), "SUCCESS", None), (TimeDelta::days(1), "REFUNDED", None)]),
    ("reversed", &[(TimeDelta::zero(), "SUCCESS", None), (TimeDelta::days(1), "REVERSED", None)]),
    ("returned", &[(TimeDelta::zero(), "RETURNED", UNREGISTERED)]),
    ("pending", &[]),
    ("strange", &[(TimeDelta::zero(), NO_WORD, None)]),
];
/// A word that PayPal's description does not know.
pub(super) const NO_WORD: &str = "SHIPPED";
const UNREGISTERED: Option<&str> = Some("RECEIVER_UNREGISTERED");

/// What becomes of all others' items.
const PAID: &[Later] = &[(TimeDelta::zero(), "SUCCESS", None)];

/// Who makes PayPal refuse a whole call.
pub const INVALID: &str = "invalid";

/// All that becomes of an item.
pub(super) fn of(receiver: &str, created: DateTime<Utc>, processed: DateTime<Utc>) -> Vec<Step> {
    let known = OUTCOMES.iter().find(|(prefix, _)| receiver.starts_with(prefix));
    let later = known.map_or(PAID, |(_, later)| later);
    let pending = Step { at: created, word: "PENDING", error: None };
    let later = later.iter().map(|(after, word, error)| Step { at: processed + *after, word, error: *error });
    std::iter::once(pending).chain(later).collect()
}

/// What becomes of an item of a batch that is denied.
pub(super) fn denied(created: DateTime<Utc>, processed: DateTime<Utc>) -> Vec<Step> {
    let error = Some("INTERNAL_ERROR");
    vec![Step { at: created, word: "PENDING", error: None }, Step { at: processed, word: "FAILED", error }]
}
