//! A referral as its affiliate's statements need it: computed once from its facts, and kept.
//!
//! A nightly run computes statements from summaries. It computes again only the summaries of referrals with
//! new facts, or for which a future date has come: all others would be the same as the kept ones.

use super::{AccountEvent, Ledger, Referral};
use crate::domain::calendar::Month;
use crate::domain::history::{History, Interval};
use crate::domain::id::{AccountId, Plan};
use crate::domain::mark::{Mark, Marks};
use crate::domain::program::hex;
use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The format of kept summaries; those of another format are computed again.
pub const SUMMARY_FORMAT: u32 = 2;
/// The greatest distance between two zones' calendars.
const ZONES_APART: Days = Days::new(2);

/// What a referral's facts dated up to the last full day say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The account.
    pub account_id: AccountId,
    /// When it signed up.
    pub signed_up_at: DateTime<Utc>,
    /// Since when it is held, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_since: Option<DateTime<Utc>>,
    /// Whether staff rejected it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rejected: bool,
    /// When it was active.
    pub active: Vec<Interval>,
    /// Where it qualified, if it did and earns by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crossing: Option<Crossing>,
    /// The hashes of its facts at the ends of open months and of the last full day, where they differ;
    /// ascending. Empty: its signup is dated later.
    pub facts: Vec<FactsSoFar>,
    /// The first day that, as the last full day, may change the summary without any new fact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes_on: Option<NaiveDate>,
}

/// The qualification of an account, in the month whose rules decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crossing {
    /// The month.
    pub month: Month,
    /// The day on which it qualified.
    pub on: NaiveDate,
    /// The plan in force at the end of that day.
    pub plan: Plan,
}

/// The hash of a referral's facts from its signup up to a later one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactsSoFar {
    /// The date of the last of them.
    pub last: DateTime<Utc>,
    /// SHA-256 of their canonical JSON, in lower-case hex.
    pub hash: String,
}

impl Summary {
    /// Whether it waits for review; a rejected referral does not.
    pub fn is_held(&self) -> bool {
        self.held_since.is_some() && !self.rejected
    }

    /// Whether the account was active just before an instant.
    pub fn active_at_end(&self, end: DateTime<Utc>) -> bool {
        self.active.iter().any(|interval| interval.contains_end(end))
    }

    /// The hash of its facts dated before an instant; `None`: its signup is dated later.
    pub fn facts_before(&self, end: DateTime<Utc>) -> Option<&str> {
        let seen = self.facts.iter().rfind(|facts| facts.last < end);
        seen.map(|facts| facts.hash.as_str())
    }

    /// Drops the hashes for months before `first_open`: they are not needed any more.
    pub fn forget_before(&mut self, first_open: Month) {
        let first_day = first_open.first_day();
        let early =
            first_day.checked_sub_days(ZONES_APART).unwrap_or(first_day).and_time(NaiveTime::MIN).and_utc();
        if let Some(needed) = self.facts.iter().rposition(|facts| facts.last < early) {
            self.facts.drain(..needed);
        }
    }

    /// Whether, without new facts, it is still right for the last full day `through`, which is not before the
    /// one that it was computed for.
    pub fn is_still_valid(&self, through: NaiveDate) -> bool {
        self.changes_on.is_none_or(|changes_on| through < changes_on)
    }
}

/// Computes summaries for a ledger.
#[derive(Debug)]
pub struct Summarizer<'a> {
    ledger: &'a Ledger<'a>,
    marks: Marks,
    /// The first instant after the last full day: later facts are ignored.
    seen_until: DateTime<Utc>,
}

impl<'a> Summarizer<'a> {
    /// The summarizer of a ledger.
    pub fn of(ledger: &'a Ledger<'a>) -> Self {
        let marks = ledger.marks();
        let seen_until = marks.of_open().zone.end_of(ledger.through);
        Self { ledger, marks, seen_until }
    }

    /// A hash of what summaries depend on apart from the facts and the last full day: summaries with an equal
    /// basis stay valid.
    pub fn basis(&self) -> String {
        let mark = |mark: &Mark| (mark.days, mark.active_days, mark.zone.name().to_owned());
        let others: Vec<_> = self.marks.exceptions().map(|(month, other)| (month, mark(other))).collect();
        let basis = (SUMMARY_FORMAT, self.ledger.closed_at, mark(self.marks.of_open()), others);
        // Plain data without maps always serializes.
        hex(&Sha256::digest(serde_json::to_vec(&basis).expect("a basis is plain data")))
    }

    /// A referral's summary.
    pub fn summarize(&self, referral: &Referral) -> Summary {
        let mut summary = Summary {
            account_id: referral.account_id.clone(),
            signed_up_at: referral.signed_up_at,
            held_since: referral.held_since,
            rejected: referral.rejected,
            active: Vec::new(),
            crossing: None,
            facts: Vec::new(),
            changes_on: self.next_fact_on(referral),
        };
        if let Some(history) = History::before(referral, self.seen_until) {
            summary.active = history.intervals().to_vec();
            summary.crossing = self.crossing(&history);
            summary.facts = self.facts(&history);
            summary.changes_on = summary.changes_on.into_iter().chain(self.next_crossing_on(&history)).min();
        }
        summary
    }

    /// Where the account has qualified, if it earns there: not after the day on which the affiliate was
    /// closed.
    fn crossing(&self, history: &History<'_>) -> Option<Crossing> {
        let on = history.crossing(&self.marks)?;
        let month = Month::of(on);
        let zone = &self.marks.in_month(month).zone;
        let closing_day = self.ledger.closed_at.map(|at| zone.date_of(at));
        let earns = closing_day.is_none_or(|closing_day| on <= closing_day);
        let counts = earns && zone.end_of(on) <= self.seen_until;
        counts.then(|| Crossing { month, on, plan: history.plan_before(zone.end_of(on)).clone() })
    }

    /// The day on which the account qualifies if that is in the future; a little early where zones differ.
    fn next_crossing_on(&self, history: &History<'_>) -> Option<NaiveDate> {
        let on = history.crossing(&self.marks)?;
        let zone = &self.marks.in_month(Month::of(on)).zone;
        if zone.end_of(on) <= self.seen_until {
            return None;
        }
        let same_zone = zone.name() == self.marks.of_open().zone.name();
        let early = if same_zone { on } else { on.checked_sub_days(ZONES_APART).unwrap_or(on) };
        // Everything in the future is tomorrow or later.
        Some(self.ledger.through.succ_opt().map_or(early, |tomorrow| early.max(tomorrow)))
    }

    /// The day of the first fact that is still in the future.
    fn next_fact_on(&self, referral: &Referral) -> Option<NaiveDate> {
        let facts = referral.events.iter().map(|event| event.occurred_at).chain([referral.signed_up_at]);
        let ahead = facts.filter(|at| *at >= self.seen_until);
        ahead.min().map(|at| self.marks.of_open().zone.date_of(at))
    }

    fn facts(&self, history: &History<'_>) -> Vec<FactsSoFar> {
        let zone = &self.marks.of_open().zone;
        let first = zone.month_of(history.referral().signed_up_at);
        let open = first.through(Month::of(self.ledger.through));
        let open = open.filter(|month| !self.marks.is_closed(*month));
        let ends = open.map(|month| zone.end_of_month(month)).filter(|end| *end < self.seen_until);
        let mut facts: Vec<FactsSoFar> = Vec::new();
        let mut hashed = None;
        for end in ends.chain([self.seen_until]) {
            let seen = history.events().partition_point(|event| event.occurred_at < end);
            if hashed.replace(seen) != Some(seen) {
                let events = &history.events()[..seen];
                let last = events.last().map_or(DateTime::<Utc>::MIN_UTC, |event| event.occurred_at);
                facts.push(FactsSoFar {
                    last: last.max(history.referral().signed_up_at),
                    hash: hash_of(history.referral(), events),
                });
            }
        }
        facts
    }
}

/// SHA-256, in lower-case hex, of the canonical JSON of a referral with some of its events, in order, each
/// once.
fn hash_of(referral: &Referral, events: &[&AccountEvent]) -> String {
    #[derive(Serialize)]
    struct Seen<'a> {
        account_id: &'a AccountId,
        plan: &'a Plan,
        signed_up_at: DateTime<Utc>,
        active: bool,
        held: bool,
        rejected: bool,
        events: &'a [&'a AccountEvent],
    }
    let seen = Seen {
        account_id: &referral.account_id,
        plan: &referral.plan,
        signed_up_at: referral.signed_up_at,
        active: referral.active,
        held: referral.held_since.is_some() && !referral.rejected,
        rejected: referral.rejected,
        events,
    };
    // Plain data without maps always serializes.
    hex(&Sha256::digest(serde_json::to_vec(&seen).expect("a referral is plain data")))
}
