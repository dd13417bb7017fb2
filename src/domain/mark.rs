//! The qualifying period ("mark") that an account has to complete to earn its affiliate a commission, and
//! which period each month has.
//!
//! A closed month keeps the rules that it was closed with, and so its qualifying period. Nearly always all
//! months have the same one.

use super::calendar::{Month, UnknownZone, Zone};
use super::program::{ActiveDays, Rules};
use chrono::NaiveDate;

/// A qualifying period: how active days are counted, and how many are needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Active days after which an account qualifies; at least 1.
    pub days: u32,
    /// Whether active days add up over interruptions.
    pub active_days: ActiveDays,
    /// The time zone of the calendar days.
    pub zone: Zone,
}

impl Mark {
    /// The qualifying period of a program.
    pub fn of(rules: &Rules) -> Result<Self, UnknownZone> {
        Ok(Self { days: rules.mark_days, active_days: rules.active_days, zone: rules.timezone.parse()? })
    }
    /// Whether a program has this qualifying period.
    pub fn is_of(&self, rules: &Rules) -> bool {
        self.days == rules.mark_days
            && self.active_days == rules.active_days
            && self.zone.name() == rules.timezone
    }
}

/// The qualifying periods of open and closed months.
#[derive(Debug, Clone)]
pub struct Marks {
    /// The first is that of open months.
    distinct: Vec<Mark>,
    /// Closed months, ascending, each with the index of its period.
    closed: Vec<(Month, usize)>,
    /// All dates, ascending, split where the period changes: computed once, used for every account.
    spans: Vec<Dates>,
}

/// Dates with one qualifying period.
#[derive(Debug, Clone)]
struct Dates {
    /// The index of their period.
    mark: usize,
    from: Option<NaiveDate>,
    until: Option<NaiveDate>,
}

/// Consecutive dates, all of months with the same qualifying period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span<'a> {
    /// Their qualifying period.
    pub mark: &'a Mark,
    /// The first date; `None`: no beginning.
    pub from: Option<NaiveDate>,
    /// The first date after them; `None`: no end.
    pub until: Option<NaiveDate>,
}

impl Marks {
    /// The qualifying periods of a program: `rules` are those of open months; closed months come in ascending
    /// order.
    pub fn of<'r>(rules: &Rules, closed_months: impl IntoIterator<Item = (Month, &'r Rules)>) -> Self {
        let mut distinct = vec![known_mark(rules)];
        let index_of = |(month, rules): (Month, &Rules)| {
            let index = distinct.iter().position(|mark| mark.is_of(rules)).unwrap_or_else(|| {
                distinct.push(known_mark(rules));
                distinct.len() - 1
            });
            (month, index)
        };
        let closed: Vec<_> = closed_months.into_iter().map(index_of).collect();
        let spans = spans(&closed);
        Self { distinct, closed, spans }
    }

    /// The qualifying period of open months.
    pub fn of_open(&self) -> &Mark {
        &self.distinct[0]
    }

    /// Whether a month is closed.
    pub fn is_closed(&self, month: Month) -> bool {
        self.place(month).is_some()
    }

    /// The qualifying period of a month.
    pub fn in_month(&self, month: Month) -> &Mark {
        &self.distinct[self.place(month).map_or(0, |place| self.closed[place].1)]
    }

    /// The closed months whose qualifying period differs from that of open ones.
    pub fn exceptions(&self) -> impl Iterator<Item = (Month, &Mark)> {
        let others = self.closed.iter().filter(|(_, index)| *index != 0);
        others.map(|(month, index)| (*month, &self.distinct[*index]))
    }

    /// All dates, ascending, split where the qualifying period changes.
    pub fn spans(&self) -> impl Iterator<Item = Span<'_>> {
        let span =
            |dates: &Dates| Span { mark: &self.distinct[dates.mark], from: dates.from, until: dates.until };
        self.spans.iter().map(span)
    }

    fn place(&self, month: Month) -> Option<usize> {
        self.closed.binary_search_by_key(&month, |(closed, _)| *closed).ok()
    }
}

impl From<Mark> for Marks {
    /// One qualifying period for all months.
    fn from(mark: Mark) -> Self {
        Self { distinct: vec![mark], closed: Vec::new(), spans: spans(&[]) }
    }
}

/// All dates, ascending, split where the period changes; the period of open months has index 0.
fn spans(closed: &[(Month, usize)]) -> Vec<Dates> {
    let mut starts: Vec<(Option<NaiveDate>, usize)> = vec![(None, 0)];
    for (month, mark) in closed.iter().filter(|(_, mark)| *mark != 0) {
        starts.push((Some(month.first_day()), *mark));
        starts.push((Some(month.next().first_day()), 0));
    }
    // Of two that start on the same date, the later one counts; of two neighbors with the same period, the
    // first is enough.
    let mut merged: Vec<(Option<NaiveDate>, usize)> = Vec::new();
    for (from, mark) in starts {
        if merged.last().is_some_and(|last| last.0 == from) {
            merged.pop();
        }
        if merged.last().is_none_or(|last| last.1 != mark) {
            merged.push((from, mark));
        }
    }
    let untils: Vec<_> = merged.iter().skip(1).map(|(from, _)| *from).chain([None]).collect();
    merged.into_iter().zip(untils).map(|((from, mark), until)| Dates { mark, from, until }).collect()
}

fn known_mark(rules: &Rules) -> Mark {
    // A program with an unknown zone is refused when it is read, a month is only closed by a program in use,
    // and the database never removes a name.
    Mark::of(rules).expect("the program's time zone is known")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::commission::tests::rules;

    #[test]
    fn dates_are_cut_where_the_mark_changes() {
        let with = |mark_days| Rules { mark_days, ..rules() };
        let month = |text: &str| text.parse::<Month>().expect("a month");
        let (old, new) = (with(90), with(60));
        for (closed, expected) in [
            (vec![], vec!["beginning 60"]),
            (vec![("2026-03", &new)], vec!["beginning 60"]),
            (vec![("2026-03", &old)], vec!["beginning 60", "2026-03-01 90", "2026-04-01 60"]),
            (
                vec![("2026-03", &old), ("2026-04", &old)],
                vec!["beginning 60", "2026-03-01 90", "2026-05-01 60"],
            ),
            (
                vec![("2026-01", &old), ("2026-02", &new), ("2026-03", &old)],
                vec!["beginning 60", "2026-01-01 90", "2026-02-01 60", "2026-03-01 90", "2026-04-01 60"],
            ),
        ] {
            let marks = Marks::of(&new, closed.iter().map(|(text, rules)| (month(text), *rules)));
            let shown = marks.spans().map(|span| {
                let from = span.from.map_or_else(|| "beginning".to_owned(), |date| date.to_string());
                format!("{from} {}", span.mark.days)
            });
            assert_eq!(shown.collect::<Vec<_>>(), expected, "{closed:?}");
            let ends: Vec<_> = marks.spans().map(|span| span.until).collect();
            let starts: Vec<_> = marks.spans().skip(1).map(|span| span.from).chain([None]).collect();
            assert_eq!(ends, starts);
        }
    }
}
