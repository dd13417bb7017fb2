//! A referral as its affiliate's statements need it: found once from its facts, and kept.
//!
//! A night computes statements from summaries. It finds anew only those of referrals of which facts came in, or
//! on which a date that was ahead has come: all others would be found as they are kept.

use super::{AccountEvent, ClosedMonth, Ledger, Referral};
use crate::domain::calendar::Month;
use crate::domain::history::{History, Interval, Mark};
use crate::domain::id::{AccountId, Plan};
use crate::domain::program::{Rules, hex};
use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The format of what is kept; a kept summary of another one is found anew.
pub const SUMMARY_FORMAT: u32 = 1;
/// No two zones' calendars are further apart.
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
    /// Where it crossed the mark, if it did and earns by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crossing: Option<Crossing>,
    /// What its facts hash to at the ends of open months and of the last full day, where they differ; ascending.
    /// None: its signup was not seen yet.
    pub facts: Vec<FactsSoFar>,
    /// The first day that, being the last full one, may make it another, if no fact comes in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes_on: Option<NaiveDate>,
}

/// An account's crossing of the mark, in the month by whose rules it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crossing {
    /// The month.
    pub month: Month,
    /// The day that completed the mark.
    pub on: NaiveDate,
    /// In force at the end of that day.
    pub plan: Plan,
}

/// The hash of a referral's facts from its signup to some later one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactsSoFar {
    /// The date of the last of them.
    pub last: DateTime<Utc>,
    /// SHA-256 of their canonical JSON, in lower-case hex.
    pub hash: String,
}

impl Summary {
    /// Whether it waits for review; one that was rejected does not wait any more.
    pub fn is_held(&self) -> bool {
        self.held_since.is_some() && !self.rejected
    }

    /// Whether the account was active up to an instant, and not only from it on.
    pub fn active_at_end(&self, end: DateTime<Utc>) -> bool {
        self.active.iter().any(|interval| interval.contains_end(end))
    }

    /// The hash of its facts dated before an instant; `None`: its signup is none of them.
    pub fn facts_before(&self, end: DateTime<Utc>) -> Option<&str> {
        let seen = self.facts.iter().rfind(|facts| facts.last < end);
        seen.map(|facts| facts.hash.as_str())
    }

    /// Forgets what its facts hashed to before all months from `first_open` on: nobody will ask for that.
    pub fn forget_before(&mut self, first_open: Month) {
        let first_day = first_open.first_day();
        let early =
            first_day.checked_sub_days(ZONES_APART).unwrap_or(first_day).and_time(NaiveTime::MIN).and_utc();
        if let Some(needed) = self.facts.iter().rposition(|facts| facts.last < early) {
            self.facts.drain(..needed);
        }
    }

    /// Whether it would be found as it is kept, for the last full day `through` or a later one than that for which
    /// it was found, if no fact came in.
    pub fn still_stands(&self, through: NaiveDate) -> bool {
        self.changes_on.is_none_or(|changes_on| through < changes_on)
    }
}

/// Finds summaries by the terms of a ledger.
#[derive(Debug)]
pub struct Summarizer<'a> {
    ledger: &'a Ledger<'a>,
    marks: Marks<'a>,
    /// The first instant after the last full day: facts dated from it on are not seen.
    seen_until: DateTime<Utc>,
}

impl<'a> Summarizer<'a> {
    /// One for a ledger.
    pub fn of(ledger: &'a Ledger<'a>) -> Self {
        let marks = Marks::of(ledger);
        let seen_until = marks.of_open().zone.end_of(ledger.through);
        Self { ledger, marks, seen_until }
    }

    /// What summaries depend on beside the facts and the last full day: those found by an equal basis stand.
    pub fn basis(&self) -> String {
        let mark = |mark: &Mark| (mark.days, mark.active_days, mark.zone.name().to_owned());
        let closed = self.ledger.closed_months.iter().zip(&self.marks.of_closed);
        let others = closed.filter(|(_, index)| **index != 0);
        let others: Vec<_> =
            others.map(|(closed, index)| (closed.month, mark(&self.marks.distinct[*index]))).collect();
        let basis = (SUMMARY_FORMAT, self.ledger.closed_at, mark(self.marks.of_open()), others);
        // Plain data without maps can't fail to serialize.
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

    /// Where the account crosses: in the first month in which it does by that month's rules, if it
    /// earns there. After an affiliate's closing day it does not.
    fn crossing(&self, history: &History<'_>) -> Option<Crossing> {
        let crossings = self.marks.distinct.iter().enumerate().filter_map(|(index, mark)| {
            let on = history.crossing(mark)?;
            let month = Month::of(on);
            let valid = self.marks.in_month(month).0 == index && mark.zone.end_of(on) <= self.seen_until;
            valid.then_some((month, on, mark))
        });
        let (month, on, mark) = crossings.min_by_key(|crossing| crossing.0)?;
        let closing_day = self.ledger.closed_at.map(|at| mark.zone.date_of(at));
        let earns = closing_day.is_none_or(|closing_day| on <= closing_day);
        earns.then(|| Crossing { month, on, plan: history.plan_before(mark.zone.end_of(on)).clone() })
    }

    /// The first day on which the account may cross that lies ahead; a little early where zones differ.
    fn next_crossing_on(&self, history: &History<'_>) -> Option<NaiveDate> {
        let ahead = self.marks.distinct.iter().filter_map(|mark| {
            let on = history.crossing(mark).filter(|on| mark.zone.end_of(*on) > self.seen_until)?;
            let same_zone = mark.zone.name() == self.marks.of_open().zone.name();
            let early = if same_zone { on } else { on.checked_sub_days(ZONES_APART).unwrap_or(on) };
            // Of what lies ahead, nothing comes before tomorrow.
            Some(self.ledger.through.succ_opt().map_or(early, |tomorrow| early.max(tomorrow)))
        });
        ahead.min()
    }

    /// The day of the first fact that is not seen yet.
    fn next_fact_on(&self, referral: &Referral) -> Option<NaiveDate> {
        let facts = referral.events.iter().map(|event| event.occurred_at).chain([referral.signed_up_at]);
        let ahead = facts.filter(|at| *at >= self.seen_until);
        ahead.min().map(|at| self.marks.of_open().zone.date_of(at))
    }

    fn facts(&self, history: &History<'_>) -> Vec<FactsSoFar> {
        let zone = &self.marks.of_open().zone;
        let first = zone.month_of(history.referral().signed_up_at);
        let open = first.through(Month::of(self.ledger.through));
        let open = open.filter(|month| self.marks.closed(*month).is_none());
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

/// SHA-256 of the canonical JSON of a referral with some of its events, in order, each once; in lower-case hex.
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
    // Plain data without maps can't fail to serialize.
    hex(&Sha256::digest(serde_json::to_vec(&seen).expect("a referral is plain data")))
}

/// The marks of open and closed months: nearly always one for all.
#[derive(Debug)]
pub(super) struct Marks<'a> {
    /// The first is that of open months.
    distinct: Vec<Mark>,
    closed_months: &'a [ClosedMonth],
    /// For each closed month the index of its mark.
    of_closed: Vec<usize>,
}

impl<'a> Marks<'a> {
    pub fn of(ledger: &Ledger<'a>) -> Self {
        let mut distinct = vec![mark(ledger.rules)];
        let of_closed = ledger.closed_months.iter().map(|closed| {
            let known = distinct.iter().position(|mark| mark.is_of(&closed.rules));
            known.unwrap_or_else(|| {
                distinct.push(mark(&closed.rules));
                distinct.len() - 1
            })
        });
        let of_closed = of_closed.collect();
        Self { distinct, closed_months: ledger.closed_months, of_closed }
    }

    pub fn of_open(&self) -> &Mark {
        &self.distinct[0]
    }

    pub fn closed(&self, month: Month) -> Option<usize> {
        self.closed_months.binary_search_by_key(&month, |closed| closed.month).ok()
    }

    /// A month's mark, and its index.
    pub fn in_month(&self, month: Month) -> (usize, &Mark) {
        let index = self.closed(month).map_or(0, |closed| self.of_closed[closed]);
        (index, &self.distinct[index])
    }
}

fn mark(rules: &Rules) -> Mark {
    // A program with an unknown zone is refused when it is read, and a month is only closed by a
    // program in use; names never leave the database.
    Mark::of(rules).expect("the program's time zone is known")
}
