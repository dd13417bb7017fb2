//! The one report of figures: totals of clicks, referrals and statements in a period, and their breakdown by day,
//! month, link or sub id.
//!
//! Clicks are counted as recorded. Signups and qualifications are those of accounts that are credited now: a
//! qualification that late facts undid is not counted, one that became known late is. Earnings are the lines of
//! statements, on the day of qualification; adjustments and lines by hand are separate, since they belong to no day.

use super::referrals::ReferralSummary;
use crate::domain::calendar::Month;
use crate::domain::id::{AccountId, LinkId};
use crate::domain::money::Money;
use crate::domain::outcome::Verdict;
use crate::domain::statement::Statement;
use crate::store::{Counter, DayCounts};
use chrono::NaiveDate;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::{AddAssign, RangeInclusive};

/// What figures are broken down by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// By day.
    Day,
    /// By month.
    Month,
    /// By link.
    Link,
    /// By the values of a sub id, given by its number.
    Sub(u8),
}

/// What a row is about; days and links are sorted as texts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A day, or the first day of a month.
    Day(NaiveDate),
    /// A link.
    Link(LinkId),
    /// No link: the account came by a code, or was credited by hand.
    NoLink,
    /// A value of the sub id.
    Sub(String),
}

impl fmt::Display for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day(day) => day.fmt(out),
            Self::Link(link) => link.fmt(out),
            Self::NoLink => out.write_str("none"),
            Self::Sub(value) => out.write_str(value),
        }
    }
}

/// Figures that can be added up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Clicks of people, on links that may earn.
    pub people: u64,
    /// Clicks of bots, and others that don't earn.
    pub others: u64,
    /// Clicks of people without a valid cookie.
    pub unique: u64,
    /// Clicks by verdict; not known for links and sub ids.
    pub by_verdict: BTreeMap<Verdict, u64>,
    /// Accounts that signed up.
    pub signups: u64,
    /// Accounts that qualified.
    pub crossings: u64,
    /// What they earned by qualifying.
    pub earned: Money,
}

impl Tally {
    fn click(&mut self, counter: &Counter, count: u64) {
        match counter {
            Counter::Verdict(verdict) => {
                *self.by_verdict.entry(*verdict).or_default() += count;
                *(if verdict.is_human() { &mut self.people } else { &mut self.others }) += count;
            }
            Counter::Unique => self.unique += count,
            Counter::Link(_) | Counter::Sub(..) => self.people += count,
            Counter::LinkOther(_) => self.others += count,
        }
    }
}

impl AddAssign<&Tally> for Tally {
    fn add_assign(&mut self, other: &Self) {
        self.people += other.people;
        self.others += other.others;
        self.unique += other.unique;
        for (verdict, count) in &other.by_verdict {
            *self.by_verdict.entry(*verdict).or_default() += count;
        }
        self.signups += other.signups;
        self.crossings += other.crossings;
        self.earned += other.earned;
    }
}

/// The figures of a period.
#[derive(Debug)]
pub struct Report {
    days: RangeInclusive<NaiveDate>,
    cut: Cut,
    /// The total.
    pub total: Tally,
    /// Each row that is not empty.
    pub rows: BTreeMap<Key, Tally>,
    /// The adjustments on statements of months that overlap the period.
    pub adjusted: Money,
    /// The lines by hand on them.
    pub by_hand: Money,
    /// The link through which each account came, for the lines of statements.
    links: HashMap<AccountId, LinkId>,
}

impl Report {
    /// An empty report of a period, both ends included.
    pub fn new(days: RangeInclusive<NaiveDate>, cut: Cut) -> Self {
        let (rows, links) = (BTreeMap::new(), HashMap::new());
        let (adjusted, by_hand) = (Money::ZERO, Money::ZERO);
        Self { days, cut, total: Tally::default(), rows, adjusted, by_hand, links }
    }

    /// Adds the clicks of each day.
    pub fn count_clicks(&mut self, clicks: &[DayCounts]) {
        for one in clicks.iter().filter(|one| self.days.contains(&one.day)) {
            for (counter, count) in &one.counts {
                let is_of_day = matches!(counter, Counter::Verdict(_) | Counter::Unique);
                if is_of_day {
                    self.total.click(counter, *count);
                }
                let key = match (counter, self.cut) {
                    (Counter::Link(link) | Counter::LinkOther(link), Cut::Link) => Some(Key::Link(*link)),
                    (Counter::Sub(number, value), Cut::Sub(cut)) if *number == cut => {
                        Some(Key::Sub(value.clone()))
                    }
                    _ if is_of_day => self.day(one.day),
                    _ => None,
                };
                if let Some(key) = key {
                    self.rows.entry(key).or_default().click(counter, *count);
                }
            }
        }
    }

    /// Adds a referral; an affiliate's referrals must be added before its statements.
    pub fn count_referral(&mut self, referral: &ReferralSummary) {
        if let Some(link) = referral.link_id.filter(|_| self.cut == Cut::Link) {
            self.links.insert(referral.account_id.clone(), link);
        }
        let link = referral.link_id;
        self.count(referral.signed_up_on, link, |figures| figures.signups += 1);
        if let Some(day) = referral.crossed_on {
            self.count(day, link, |figures| figures.crossings += 1);
        }
    }

    /// Adds what a statement says was earned.
    pub fn count_statement(&mut self, statement: &Statement) {
        if (Month::of(*self.days.start())..=Month::of(*self.days.end())).contains(&statement.month) {
            self.adjusted += statement.adjusted();
            self.by_hand += statement.added_by_hand();
        }
        for line in &statement.lines {
            let link = self.links.get(&line.account_id).copied();
            self.count(line.crossed_on, link, |figures| figures.earned += line.amount);
        }
    }

    /// Adds figures of a day to the total and to the day's row.
    fn count(&mut self, day: NaiveDate, link: Option<LinkId>, change: impl Fn(&mut Tally)) {
        if !self.days.contains(&day) {
            return;
        }
        change(&mut self.total);
        let key = match self.cut {
            Cut::Link => Some(link.map_or(Key::NoLink, Key::Link)),
            _ => self.day(day),
        };
        if let Some(key) = key {
            change(self.rows.entry(key).or_default());
        }
    }

    /// The row of a day; `None`: the report has no rows by time.
    fn day(&self, day: NaiveDate) -> Option<Key> {
        match self.cut {
            Cut::Day => Some(Key::Day(day)),
            Cut::Month => Some(Key::Day(Month::of(day).first_day())),
            Cut::Link | Cut::Sub(_) => None,
        }
    }

    /// Each day or month of the period with its figures, including empty ones.
    pub fn each(&self) -> BTreeMap<NaiveDate, Tally> {
        let days = self.days.start().iter_days().take_while(|day| day <= self.days.end());
        let keys = days.filter_map(|day| self.day(day)).filter_map(|key| match key {
            Key::Day(day) => Some((day, self.rows.get(&key).cloned().unwrap_or_default())),
            _ => None,
        });
        keys.collect()
    }

    /// The total of some of its days.
    pub fn sum(&self, days: RangeInclusive<NaiveDate>) -> Tally {
        let mut sum = Tally::default();
        let (first, last) = days.into_inner();
        self.rows.range(Key::Day(first)..=Key::Day(last)).for_each(|(_, one)| sum += one);
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().expect(text)
    }

    #[test]
    fn days_outside_are_left_out_and_empty_ones_have_a_row() {
        let click = |at| DayCounts { day: day(at), counts: vec![(Counter::Verdict(Verdict::Human), 1)] };
        let clicks = ["2025-11-30", "2025-12-01", "2026-11-23", "2026-11-24"].map(click);
        for (cut, points) in [(Cut::Month, 12), (Cut::Day, 358)] {
            let mut report = Report::new(day("2025-12-01")..=day("2026-11-23"), cut);
            report.count_clicks(&clicks);
            assert_eq!((report.total.people, report.rows.len(), report.each().len()), (2, 2, points));
            assert_eq!(report.sum(day("2026-11-01")..=day("2026-11-30")).people, 1, "{cut:?}");
        }
    }

    #[test]
    fn days_and_links_stand_in_the_order_of_their_texts() {
        let links = [1, 35, 36, u64::MAX / 64].map(|bits| Key::Link(LinkId::from_bits(bits)));
        let keys: Vec<String> = links.into_iter().chain([Key::NoLink]).map(|key| key.to_string()).collect();
        assert!(keys.is_sorted(), "{keys:?}");
    }
}
