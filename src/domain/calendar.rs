//! Days and months of the program's time zone; only this module uses zones.

mod zone;

pub use zone::{UnknownZone, Zone};

use chrono::{Datelike, Days, NaiveDate};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// A calendar month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    /// The year, 1 to 9999.
    pub year: i32,
    /// The month, 1 to 12.
    pub month: u32,
}

/// A text is not a month like `2026-04`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("parse a month like 2026-04")]
pub struct BadMonth;

impl Month {
    /// The month of a date.
    pub fn of(date: NaiveDate) -> Self {
        Self { year: date.year(), month: date.month() }
    }
    /// Its first date.
    pub fn first_day(self) -> NaiveDate {
        // Month 1 to 12 of a year that is far inside the calendar's 262 000 on either side.
        NaiveDate::from_ymd_opt(self.year, self.month, 1).expect("a month of the calendar")
    }
    /// Its last date.
    pub fn last_day(self) -> NaiveDate {
        // The same bounds as above: the first of the next month has a date before it.
        self.next().first_day().pred_opt().expect("a month of the calendar")
    }
    /// The month after it.
    #[must_use]
    pub fn next(self) -> Self {
        if self.month == 12 {
            Self { year: self.year + 1, month: 1 }
        } else {
            Self { month: self.month + 1, ..self }
        }
    }
    /// The month before it.
    #[must_use]
    pub fn previous(self) -> Self {
        if self.month == 1 {
            Self { year: self.year - 1, month: 12 }
        } else {
            Self { month: self.month - 1, ..self }
        }
    }
    /// The months from this one to `last`, both included; none if `last` is earlier.
    pub fn through(self, last: Self) -> impl Iterator<Item = Self> {
        std::iter::successors(Some(self), |month| Some(month.next())).take_while(move |month| *month <= last)
    }
    /// The day of the payout that includes this month, seen from a given day: the end of the month after it,
    /// or the next payout if that day has passed.
    pub fn batch(self, today: NaiveDate) -> NaiveDate {
        self.next().last_day().max(Self::of(today).last_day())
    }
    /// Whether the month may be closed: `close_delay_days` whole calendar days have passed since its end.
    ///
    /// `through` is the run's last full day: with a delay of 3, April is due once May 3 is over, in the
    /// run of May 4.
    pub fn is_due(self, through: NaiveDate, close_delay_days: u32) -> bool {
        // With a delay beyond the calendar's end, the month is never due.
        let due_on = self.last_day().checked_add_days(Days::new(close_delay_days.into()));
        due_on.is_some_and(|due_on| due_on <= through)
    }
}

impl fmt::Display for Month {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(&format!("{:04}-{:02}", self.year, self.month))
    }
}
impl FromStr for Month {
    type Err = BadMonth;
    fn from_str(text: &str) -> Result<Self, BadMonth> {
        let (year, month) = text.split_once('-').ok_or(BadMonth)?;
        let digits = |part: &str, len| part.len() == len && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(year, 4) || !digits(month, 2) {
            return Err(BadMonth);
        }
        let (year, month) = (year.parse().map_err(|_| BadMonth)?, month.parse().map_err(|_| BadMonth)?);
        if year >= 1 && (1..=12).contains(&month) { Ok(Self { year, month }) } else { Err(BadMonth) }
    }
}
impl Serialize for Month {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Month {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn month(text: &str) -> Month {
        text.parse().expect(text)
    }

    fn date(text: &str) -> NaiveDate {
        text.parse().expect(text)
    }

    #[test]
    fn months_read_back_what_they_print() {
        for text in ["0001-01", "2026-04", "9999-12"] {
            assert_eq!(month(text).to_string(), text);
        }
        for text in ["", "2026", "2026-4", "2026-13", "2026-00", "0000-01", "+026-04", "2026-04-01"] {
            assert_eq!(text.parse::<Month>(), Err(BadMonth), "{text}");
        }
    }

    #[test]
    fn months_know_their_days_and_neighbours() {
        for (text, previous, next, last_day) in [
            ("2026-01", "2025-12", "2026-02", "2026-01-31"),
            ("2026-02", "2026-01", "2026-03", "2026-02-28"),
            ("2028-02", "2028-01", "2028-03", "2028-02-29"),
            ("2026-12", "2026-11", "2027-01", "2026-12-31"),
        ] {
            assert_eq!(month(text).previous(), month(previous));
            assert_eq!(month(text).next(), month(next));
            assert_eq!(month(text).last_day(), date(last_day));
            assert_eq!(Month::of(month(text).last_day()), month(text));
            assert_eq!(Month::of(month(text).first_day()), month(text));
        }
    }

    #[test]
    fn months_are_walked_to_the_last_included() {
        let walked =
            |first, last| month(first).through(month(last)).map(|m| m.to_string()).collect::<Vec<_>>();
        assert_eq!(walked("2025-11", "2026-02"), ["2025-11", "2025-12", "2026-01", "2026-02"]);
        assert_eq!(walked("2026-02", "2026-02"), ["2026-02"]);
        assert!(walked("2026-02", "2026-01").is_empty());
    }

    #[test]
    fn a_month_is_due_some_whole_days_after_its_end() {
        for (text, through, delay, due) in [
            ("2026-04", "2026-05-02", 3, false),
            ("2026-04", "2026-05-03", 3, true),
            ("2026-04", "2026-04-29", 0, false),
            ("2026-04", "2026-04-30", 0, true),
            ("2026-04", "2026-06-15", 3, true),
            ("2026-04", "9999-12-31", u32::MAX, false),
        ] {
            assert_eq!(month(text).is_due(date(through), delay), due, "{text} {through} {delay}");
        }
    }

    #[test]
    fn a_month_is_due_for_payment_at_the_end_of_the_next_or_with_the_next_payout_after_it() {
        for (of, today, due) in [
            ("2026-04", "2026-04-10", "2026-05-31"),
            ("2026-04", "2026-05-31", "2026-05-31"),
            ("2026-04", "2026-06-01", "2026-06-30"),
            ("2025-12", "2026-03-03", "2026-03-31"),
        ] {
            assert_eq!(month(of).batch(date(today)), date(due), "{of} on {today}");
        }
    }
}
