//! The hash of the facts that a month was computed from.

use super::AccountEvent;
use super::book::{Account, Book};
use crate::domain::id::{AccountId, Plan};
use crate::domain::program::hex;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// A referral as a month sees it, with its events in order, each once.
#[derive(Serialize)]
struct SeenReferral<'a> {
    account_id: &'a AccountId,
    plan: &'a Plan,
    signed_up_at: DateTime<Utc>,
    active: bool,
    held: bool,
    rejected: bool,
    events: &'a [&'a AccountEvent],
}

/// The facts of an affiliate's referrals, to be hashed month by month.
pub(super) struct Facts<'b, 'a> {
    referrals: Vec<Text<'b, 'a>>,
}

/// A referral's canonical JSON with so many of its events: kept, since few change from month to month.
struct Text<'b, 'a> {
    account: &'b Account<'a>,
    events: usize,
    json: Vec<u8>,
}

impl<'b, 'a> Facts<'b, 'a> {
    pub fn of(book: &'b Book<'a>) -> Self {
        let text = |account| Text { account, events: 0, json: Vec::new() };
        Self { referrals: book.accounts.iter().map(text).collect() }
    }

    /// SHA-256 of the canonical JSON of the facts dated before an instant, in lower-case hex: a list of
    /// referrals by account id.
    pub fn hash_before(&mut self, end: DateTime<Utc>) -> String {
        let mut hash = Sha256::new();
        let mut separator = "[";
        for text in &mut self.referrals {
            if text.account.referral().signed_up_at < end {
                hash.update(separator);
                hash.update(text.before(end));
                separator = ",";
            }
        }
        hash.update(if separator == "[" { "[]" } else { "]" });
        hex(&hash.finalize())
    }
}

impl Text<'_, '_> {
    fn before(&mut self, end: DateTime<Utc>) -> &[u8] {
        let events = self.account.history.events();
        let seen = events.partition_point(|event| event.occurred_at < end);
        if self.json.is_empty() || self.events != seen {
            self.events = seen;
            self.json.clear();
            let referral = self.account.referral();
            let seen = SeenReferral {
                account_id: &referral.account_id,
                plan: &referral.plan,
                signed_up_at: referral.signed_up_at,
                active: referral.active,
                held: self.account.is_held(),
                rejected: referral.rejected,
                events: &events[..seen],
            };
            // Writing plain data without maps to memory can't fail.
            serde_json::to_writer(&mut self.json, &seen).expect("a referral is plain data");
        }
        &self.json
    }
}
