//! An account's history: when it was active, on which plan, and the day on which it qualifies.

use super::id::Plan;
use super::mark::{Mark, Marks, Span};
use super::program::ActiveDays;
use super::statement::{AccountEvent, Change, Referral};
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

/// An account's standing with the company.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Signed up as a trial, and not activated yet.
    NotYetActive,
    /// In good standing.
    Active,
    /// Not in good standing.
    Suspended,
    /// Has left.
    Canceled,
}

/// What is known about an account up to an instant, in order.
#[derive(Debug, Clone)]
pub struct History<'a> {
    referral: &'a Referral,
    /// By `occurred_at` and `event_id`, each once.
    events: Vec<&'a AccountEvent>,
    /// Ascending, none empty, with gaps between them; only the last may be open.
    intervals: Vec<Interval>,
    standing: Standing,
}

/// A time `[start, end)` during which the account was active; `end` is `None` while it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    start: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<DateTime<Utc>>,
}

impl Interval {
    /// Whether it includes the time just before `end`.
    pub fn contains_end(&self, end: DateTime<Utc>) -> bool {
        self.start < end && self.end.is_none_or(|ended| end <= ended)
    }
}

impl<'a> History<'a> {
    /// The history from everything that is known.
    pub fn of(referral: &'a Referral) -> Self {
        Self::from_events(referral, referral.events.iter().collect())
    }

    /// The history from facts dated before an instant; `None` if the signup is dated later.
    pub fn before(referral: &'a Referral, bound: DateTime<Utc>) -> Option<Self> {
        let seen = || referral.events.iter().filter(|event| event.occurred_at < bound).collect();
        (referral.signed_up_at < bound).then(|| Self::from_events(referral, seen()))
    }

    fn from_events(referral: &'a Referral, mut events: Vec<&'a AccountEvent>) -> Self {
        let order = |event: &&'a AccountEvent| (event.occurred_at, &event.event_id, &event.change);
        events.sort_unstable_by(|one, other| order(one).cmp(&order(other)));
        events.dedup();
        let standing = if referral.active { Standing::Active } else { Standing::NotYetActive };
        let mut history = Self { referral, events, intervals: Vec::new(), standing: Standing::NotYetActive };
        history.set_standing(standing, referral.signed_up_at);
        for index in 0..history.events.len() {
            let event = history.events[index];
            let standing = match event.change {
                Change::Activated => Standing::Active,
                Change::Suspended => Standing::Suspended,
                Change::Canceled => Standing::Canceled,
                Change::PlanChanged { .. } | Change::Unknown { .. } => continue,
            };
            history.set_standing(standing, event.occurred_at.max(referral.signed_up_at));
        }
        history
    }

    /// Sets the standing from an instant on, which must not be before the last one.
    fn set_standing(&mut self, standing: Standing, at: DateTime<Utc>) {
        self.standing = standing;
        let last = self.intervals.last_mut();
        match (standing == Standing::Active, last) {
            // Active again at once: it is the same interval.
            (true, Some(last)) if last.end == Some(at) => last.end = None,
            (true, Some(Interval { end: None, .. })) => {}
            (true, _) => self.intervals.push(Interval { start: at, end: None }),
            (false, Some(last)) if last.end.is_none() => {
                last.end = Some(at);
                if last.start == at {
                    self.intervals.pop();
                }
            }
            (false, _) => {}
        }
    }

    /// The referral that this is the history of.
    pub fn referral(&self) -> &'a Referral {
        self.referral
    }

    /// The events, in order, each once.
    pub fn events(&self) -> &[&'a AccountEvent] {
        &self.events
    }

    /// The standing after all events.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Whether the account was active just before an instant.
    pub fn active_at_end(&self, end: DateTime<Utc>) -> bool {
        self.intervals.iter().any(|interval| interval.contains_end(end))
    }

    /// When the account was active: ascending, with gaps between them.
    pub fn intervals(&self) -> &[Interval] {
        &self.intervals
    }

    /// The plan in force just before an instant.
    pub fn plan_before(&self, instant: DateTime<Utc>) -> &'a Plan {
        let in_time = |event: &&&'a AccountEvent| event.occurred_at < instant;
        let newest_first = self.events.iter().rev().skip_while(|event| !in_time(event));
        let of_the_account = newest_first.take_while(|event| event.occurred_at >= self.referral.signed_up_at);
        let mut plans = of_the_account.filter_map(|event| match &event.change {
            Change::PlanChanged { plan } => Some(plan),
            _ => None,
        });
        plans.next().unwrap_or(&self.referral.plan)
    }

    /// The day on which the account qualifies: the first active day at whose end its active days have reached
    /// the qualifying period of that day's month. It is in the past, or in the future if nothing changes.
    /// `None`: the account was not active for long enough and is not active now.
    pub fn crossing(&self, marks: &Marks) -> Option<NaiveDate> {
        marks.spans().find_map(|span| self.first_past_the_mark(&span))
    }

    /// The first active day of a span at whose end the active days have reached the span's qualifying period.
    fn first_past_the_mark(&self, span: &Span<'_>) -> Option<NaiveDate> {
        let Mark { days: needed, active_days, zone } = span.mark;
        let mut counted = 0;
        for interval in &self.intervals {
            if *active_days == ActiveDays::Consecutive {
                counted = 0;
            }
            let first = zone.first_whole_day(interval.start);
            let reached = zone.nth_day(first, needed.saturating_sub(counted).max(1))?;
            // The period may be reached before the span begins: then the span's first active day is the one.
            let first_in_span = zone.nth_day(span.from.map_or(first, |from| from.max(first)), 1)?;
            let day = reached.max(first_in_span);
            if span.until.is_some_and(|until| until <= day) {
                return None;
            }
            let Some(end) = interval.end.map(|end| zone.date_of(end)).filter(|end| *end <= day) else {
                return Some(day);
            };
            counted += zone.days_between(first, end);
        }
        None
    }

    /// The active days up to and including a date, counted as the qualifying period says. Consecutive days
    /// are those of the current run, so there are none while the account is not active.
    pub fn active_days_through(&self, through: NaiveDate, mark: &Mark) -> u32 {
        let until = mark.zone.end_of(through);
        let mut began = self.intervals.iter().filter(|interval| interval.start < until);
        let days = |interval: &Interval| {
            let end = interval.end.map_or(until, |end| end.min(until));
            mark.zone.days_between(mark.zone.first_whole_day(interval.start), mark.zone.date_of(end))
        };
        match mark.active_days {
            ActiveDays::Cumulative => began.map(days).sum(),
            ActiveDays::Consecutive => {
                let current = began.next_back().filter(|last| last.end.is_none_or(|end| until <= end));
                current.map_or(0, days)
            }
        }
    }
}

/// How far a referral has come towards its qualification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Active days so far; they are counted beyond the qualification too.
    pub active_days: u32,
    /// Active days that are needed.
    pub mark_days: u32,
    /// The day on which it qualified.
    pub crossed_on: Option<NaiveDate>,
    /// The day on which it will qualify if nothing changes; only while the account is active.
    pub expected_on: Option<NaiveDate>,
}

impl Progress {
    /// A referral's progress by facts dated up to the day `through`. Days are counted by the qualifying
    /// period of open months.
    pub fn of(referral: &Referral, marks: &Marks, through: NaiveDate) -> Self {
        let mark = marks.of_open();
        let history = History::before(referral, mark.zone.end_of(through));
        let crossing = history.as_ref().and_then(|history| history.crossing(marks));
        Self {
            active_days: history.map_or(0, |history| history.active_days_through(through, mark)),
            mark_days: mark.days,
            crossed_on: crossing.filter(|day| *day <= through),
            expected_on: crossing.filter(|day| *day > through),
        }
    }
}

#[cfg(test)]
mod tests;
