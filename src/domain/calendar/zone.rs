//! A time zone: the date of an instant, and the instant at which a date begins.
//!
//! A zone is a table of the spans between its clock changes, made once from the database that is built into
//! the binary. So every node computes the same, also a year later. Each lookup is a binary search; a nightly
//! run makes a few for each account.

use super::Month;
use crate::domain::program::hex;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

const DAY: i64 = 24 * 60 * 60;
/// No clock is further than this from UTC, in seconds.
const GREATEST_OFFSET: i64 = 26 * 60 * 60;
/// Clock changes are computed to the end of the year 2500; after that the last offset stays.
const LAST_CHANGE: i64 = 16_756_761_600;

/// A time zone by its IANA name; cheap to clone.
#[derive(Clone)]
pub struct Zone(Arc<Table>);

struct Table {
    name: String,
    /// Ascending by `from`, never empty; the first one has no beginning.
    spans: Vec<Span>,
    /// The dates of length 0, ascending: the clocks were put forward across them.
    skipped: Vec<NaiveDate>,
}

/// A time with one offset from UTC, until the next span begins.
struct Span {
    /// Unix seconds.
    from: i64,
    /// Local time less UTC, in seconds.
    offset: i64,
}

/// There is no time zone with this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("find the time zone {0:?}")]
pub struct UnknownZone(pub String);

impl Zone {
    /// The IANA name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The date of an instant: the latest date that has begun.
    ///
    /// It never runs backwards: where clocks were put back across midnight, the hour that clocks showed twice
    /// belongs to the new day from its first midnight on.
    pub fn date_of(&self, instant: DateTime<Utc>) -> NaiveDate {
        let (seconds, spans) = (instant.timestamp(), &self.0.spans);
        // The first span has no beginning, so one is found.
        let now = spans.partition_point(|span| span.from <= seconds) - 1;
        let mut latest = seconds + spans[now].offset;
        for (before, after) in (0..now).rev().zip((0..=now).rev()) {
            let ended = spans[after].from;
            if seconds - ended > 2 * GREATEST_OFFSET {
                break;
            }
            latest = latest.max(ended - 1 + spans[before].offset);
        }
        instant_of(latest).date_naive()
    }

    /// What clocks in the zone show at an instant.
    pub fn wall_time(&self, instant: DateTime<Utc>) -> chrono::NaiveDateTime {
        let (seconds, spans) = (instant.timestamp(), &self.0.spans);
        // The first span has no beginning, so one is found.
        let now = spans.partition_point(|span| span.from <= seconds) - 1;
        instant_of(seconds + spans[now].offset).naive_utc()
    }

    /// The first instant of a date: the earlier midnight if there are two, the instant after a missing
    /// midnight, and for a date of length 0 that of the next date.
    pub fn start_of(&self, date: NaiveDate) -> DateTime<Utc> {
        self.local_time_on(date, NaiveTime::MIN)
    }

    /// The first instant after a date.
    pub fn end_of(&self, date: NaiveDate) -> DateTime<Utc> {
        date.succ_opt().map_or(DateTime::<Utc>::MAX_UTC, |next| self.start_of(next))
    }

    /// A hash of the zone's clock changes: a database with other rules gives another hash.
    pub fn fingerprint(&self) -> String {
        let spans = self.0.spans.iter().fold(Sha256::new(), |hash, span| {
            hash.chain_update(span.from.to_be_bytes()).chain_update(span.offset.to_be_bytes())
        });
        hex(&spans.finalize())
    }

    /// The first instant after a month.
    pub fn end_of_month(&self, month: Month) -> DateTime<Utc> {
        self.start_of(month.next().first_day())
    }

    /// The month of an instant.
    pub fn month_of(&self, instant: DateTime<Utc>) -> Month {
        Month::of(self.date_of(instant))
    }

    /// The last day that lies wholly before an instant.
    pub fn last_full_day(&self, as_of: DateTime<Utc>) -> NaiveDate {
        let mut day = self.date_of(as_of);
        loop {
            let Some(previous) = day.pred_opt() else { return day };
            day = previous;
            if !self.is_skipped(day) {
                return day;
            }
        }
    }

    /// The instant of a time of day: the earlier one if there are two; the first instant after it if clocks
    /// skipped it.
    pub fn local_time_on(&self, date: NaiveDate, time: NaiveTime) -> DateTime<Utc> {
        instant_of(self.0.first_at(date.and_time(time).and_utc().timestamp()))
    }

    /// The first day that begins at or after an instant.
    pub fn first_whole_day(&self, instant: DateTime<Utc>) -> NaiveDate {
        let date = self.date_of(instant);
        if self.start_of(date) == instant { date } else { date.succ_opt().unwrap_or(date) }
    }

    /// The number of days in `[first, until)`, without those of length 0.
    pub fn days_between(&self, first: NaiveDate, until: NaiveDate) -> u32 {
        let dates = (until - first).num_days().max(0);
        let skipped = self.0.skipped.iter().filter(|date| (first..until).contains(*date)).count();
        u32::try_from(dates).map_or(u32::MAX, |dates| dates - u32::try_from(skipped).unwrap_or(0))
    }

    /// The n-th day from `first` on (1: `first` itself), without days of length 0. `None` beyond the
    /// calendar.
    pub fn nth_day(&self, first: NaiveDate, n: u32) -> Option<NaiveDate> {
        let mut day = first.checked_add_days(chrono::Days::new(n.saturating_sub(1).into()))?;
        for skipped in self.0.skipped.iter().skip_while(|skipped| **skipped < first) {
            if *skipped > day {
                break;
            }
            day = day.succ_opt()?;
        }
        Some(day)
    }

    fn is_skipped(&self, date: NaiveDate) -> bool {
        self.0.skipped.contains(&date)
    }
}

impl Table {
    /// The first second at which clocks in the zone show `local` or later, both in seconds.
    fn first_at(&self, local: i64) -> i64 {
        let start = self.spans.partition_point(|span| span.from <= local - GREATEST_OFFSET) - 1;
        let ends = self.spans[start + 1..].iter().map(|next| next.from).chain([i64::MAX]);
        let reached = self.spans[start..].iter().zip(ends).find_map(|(span, end)| {
            let at = span.from.max(local - span.offset);
            (at < end).then_some(at)
        });
        // The last span never ends.
        reached.unwrap_or(i64::MAX)
    }

    fn of(name: &str, zone: &TimeZone) -> Self {
        let first = Span { from: i64::MIN, offset: zone.to_offset(Timestamp::MIN).seconds().into() };
        let changes = zone
            .following(Timestamp::MIN)
            .take_while(|change| change.timestamp().as_second() < LAST_CHANGE)
            .map(|change| Span {
                from: change.timestamp().as_second(),
                offset: change.offset().seconds().into(),
            });
        let mut spans: Vec<Span> = std::iter::once(first).chain(changes).collect();
        // Some changes only concern the zone's abbreviation.
        spans.dedup_by_key(|span| span.offset);
        let skipped = spans.windows(2).flat_map(|pair| skipped_dates(&pair[0], &pair[1])).collect();
        Self { name: name.to_owned(), spans, skipped }
    }
}

/// The dates that the clocks skipped completely.
fn skipped_dates(before: &Span, after: &Span) -> impl Iterator<Item = NaiveDate> + use<> {
    let ceiling = |seconds: i64| -(-seconds).div_euclid(DAY);
    let first = ceiling(after.from + before.offset);
    let until = (after.from + after.offset).div_euclid(DAY);
    (first..until).map(|day| instant_of(day * DAY).date_naive())
}

/// The instant of a Unix time in seconds; beyond the calendar, its first or last instant.
fn instant_of(seconds: i64) -> DateTime<Utc> {
    let bound = if seconds < 0 { DateTime::<Utc>::MIN_UTC } else { DateTime::<Utc>::MAX_UTC };
    DateTime::from_timestamp(seconds, 0).unwrap_or(bound)
}

impl FromStr for Zone {
    type Err = UnknownZone;
    /// Finds a zone by its IANA name, ignoring case. Each table is made once per process.
    fn from_str(name: &str) -> Result<Self, UnknownZone> {
        static KNOWN: LazyLock<RwLock<HashMap<String, Zone>>> = LazyLock::new(RwLock::default);
        // A thread that panicked here cannot have left the map half changed: it is changed by one `insert`.
        if let Some(zone) = KNOWN.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Ok(zone.clone());
        }
        let unknown = || UnknownZone(name.to_owned());
        let found = TimeZoneDatabase::bundled().get(name).map_err(|_| unknown())?;
        // `Etc/Unknown` is in the database, and stands for an unknown zone.
        let proper = found.iana_name().filter(|_| !found.is_unknown()).ok_or_else(unknown)?;
        let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
        let zone =
            known.entry(proper.to_owned()).or_insert_with(|| Self(Arc::new(Table::of(proper, &found))));
        Ok(zone.clone())
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.name() == other.name()
    }
}
impl Eq for Zone {}

impl fmt::Display for Zone {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.name())
    }
}
impl fmt::Debug for Zone {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Zone({})", self.name())
    }
}

#[cfg(test)]
mod tests;
