//! An affiliate's figures: one reading of its referrals, its statements and its clicks.
//!
//! Referrals are counted as they stand now, and crossings by the day that each referral names: pages that list them say
//! the same as pages that count them. What was earned is what statements say.

use super::referrals::{ReferralState, ReferralSummary};
use super::{App, ReadError, StatementDoc};
use crate::domain::affiliate::Affiliate;
use crate::domain::calendar::Month;
use crate::domain::id::AffiliateId;
use crate::domain::money::Money;
use crate::store::StoreError;
use crate::store::{Counter, DayCounts};
use chrono::{Days, NaiveDate};
use serde::Serialize;

/// Days that the chart shows, today among them.
pub const CHART_DAYS: u64 = 30;

/// What happened in a period.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Period {
    /// Clicks of people.
    pub people: u64,
    /// Clicks of programs, and others that don't earn.
    pub others: u64,
    /// Accounts that signed up.
    pub signups: u64,
    /// Accounts that crossed the mark; `None`: it is counted each night, for the days before.
    pub crossings: Option<u64>,
    /// What was earned, adjustments of the period's statements included; `None` as above.
    pub earned: Option<Money>,
}

impl Period {
    /// A period of whole days.
    fn of_days() -> Self {
        Self { crossings: Some(0), earned: Some(Money::ZERO), ..Self::default() }
    }
    fn earn(&mut self, amount: Money) {
        self.earned = self.earned.map(|earned| earned + amount);
    }
}

/// A day of the chart.
#[derive(Debug, Clone, Serialize)]
pub struct Day {
    /// Which.
    pub day: NaiveDate,
    /// Clicks of people.
    pub people: u64,
    /// Other clicks.
    pub others: u64,
    /// Accounts that signed up.
    pub signups: u64,
    /// Accounts that crossed the mark.
    pub crossings: u64,
}

/// The figures of an affiliate's home page.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Today so far.
    pub today: Period,
    /// This month so far.
    pub month: Period,
    /// Since the beginning.
    pub all: Period,
    /// Referrals in good standing, neither in review nor rejected.
    pub active_accounts: u32,
    /// The least number of active accounts of the tier reached.
    pub tier_from: u32,
    /// That of the next tier.
    pub next_tier: Option<u32>,
    /// What closed statements say.
    pub due: Money,
    /// What open statements say.
    pub open: Money,
    /// All its referrals.
    pub referrals: usize,
    /// Those held for review.
    pub held: usize,
    /// The last days, oldest first.
    pub days: Vec<Day>,
}

/// An affiliate's figures with what they were counted from.
#[derive(Debug)]
pub struct Book {
    /// The figures.
    pub figures: Figures,
    /// Its referrals, newest first.
    pub referrals: Vec<ReferralSummary>,
    /// Its statements, newest first.
    pub statements: Vec<StatementDoc>,
}

impl App {
    /// What is due to an affiliate by all its statements, with the currency; `None`: nothing.
    pub(crate) async fn due_to(&self, affiliate: AffiliateId) -> Result<Option<String>, StoreError> {
        let statements = match self.statements_of(affiliate).await {
            Ok(statements) => statements,
            Err(ReadError::Store(error)) => return Err(error),
            // No cursor is read.
            Err(ReadError::BadCursor) => Vec::new(),
        };
        let sum: Money = statements.iter().map(|doc| doc.statement.total).sum();
        Ok((sum > Money::ZERO).then(|| format!("{sum} {}", self.settings.rules.currency)))
    }

    /// The figures of an affiliate, with the referrals and statements that they were counted from.
    pub async fn book_of(&self, affiliate: &Affiliate) -> Result<Book, ReadError> {
        let today = self.zone().date_of(self.now());
        let (statements, clicks) =
            tokio::try_join!(self.statements_of(affiliate.id), self.click_days_of(affiliate.id, today))?;
        let referrals = self.referrals_of(affiliate.id, &statements).await?;
        let mut figures = Figures::new(today);
        figures.count_clicks(today, &clicks);
        figures.count_referrals(today, &referrals);
        figures.count_statements(today, &statements);
        let rules = &self.settings().rules;
        figures.tier_from = rules.tier(figures.active_accounts).from;
        figures.next_tier =
            rules.tiers.iter().map(|tier| tier.from).find(|from| *from > figures.active_accounts);
        Ok(Book { figures, referrals, statements })
    }

    /// Its clicks by day: none is older than its oldest link.
    async fn click_days_of(
        &self,
        affiliate: AffiliateId,
        today: NaiveDate,
    ) -> Result<Vec<DayCounts>, ReadError> {
        let Some(oldest) = self.directory().links_of(affiliate).first().map(|link| link.created_at) else {
            return Ok(Vec::new());
        };
        // A node's clock may run a little before another's.
        let first = self.zone().date_of(oldest) - Days::new(1);
        Ok(self.store.click_totals(affiliate, &[], first, today).await?)
    }
}

/// Clicks of people, and all others.
pub(super) fn people_and_others(counts: &[(Counter, u64)]) -> (u64, u64) {
    counts.iter().fold((0, 0), |(people, others), (counter, count)| match counter {
        Counter::Verdict(verdict) if verdict.is_human() => (people + count, others),
        Counter::Verdict(_) => (people, others + count),
        _ => (people, others),
    })
}

impl Figures {
    fn new(today: NaiveDate) -> Self {
        let first = today - Days::new(CHART_DAYS - 1);
        let day = |day| Day { day, people: 0, others: 0, signups: 0, crossings: 0 };
        Self {
            today: Period::default(),
            month: Period::of_days(),
            all: Period::of_days(),
            active_accounts: 0,
            tier_from: 0,
            next_tier: None,
            due: Money::ZERO,
            open: Money::ZERO,
            referrals: 0,
            held: 0,
            days: first.iter_days().take_while(|one| *one <= today).map(day).collect(),
        }
    }

    /// The periods that a day lies in.
    fn periods(&mut self, day: NaiveDate, today: NaiveDate) -> impl Iterator<Item = &mut Period> {
        let (is_today, is_month) = (day == today, Month::of(day) == Month::of(today));
        let today = is_today.then_some(&mut self.today);
        today.into_iter().chain(is_month.then_some(&mut self.month)).chain([&mut self.all])
    }
    fn chart_day(&mut self, day: NaiveDate) -> Option<&mut Day> {
        let first = self.days.first()?.day;
        let place = usize::try_from((day - first).num_days()).ok()?;
        self.days.get_mut(place)
    }

    fn count_clicks(&mut self, today: NaiveDate, days: &[DayCounts]) {
        for counts in days {
            let (people, others) = people_and_others(&counts.counts);
            for period in self.periods(counts.day, today) {
                period.people += people;
                period.others += others;
            }
            if let Some(day) = self.chart_day(counts.day) {
                (day.people, day.others) = (people, others);
            }
        }
    }

    fn count_referrals(&mut self, today: NaiveDate, referrals: &[ReferralSummary]) {
        self.referrals = referrals.len();
        for referral in referrals {
            self.active_accounts += u32::from(referral.counts_for_tier);
            self.held += usize::from(referral.state == ReferralState::InReview);
            self.periods(referral.signed_up_on, today).for_each(|period| period.signups += 1);
            if let Some(day) = self.chart_day(referral.signed_up_on) {
                day.signups += 1;
            }
            if let Some(crossed_on) = referral.crossed_on {
                self.count_crossing(today, crossed_on);
            }
        }
    }

    fn count_crossing(&mut self, today: NaiveDate, crossed_on: NaiveDate) {
        for period in self.periods(crossed_on, today) {
            period.crossings = period.crossings.map(|crossings| crossings + 1);
        }
        if let Some(day) = self.chart_day(crossed_on) {
            day.crossings += 1;
        }
    }

    fn count_statements(&mut self, today: NaiveDate, statements: &[StatementDoc]) {
        for doc in statements {
            let statement = &doc.statement;
            let place = if doc.is_closed() { &mut self.due } else { &mut self.open };
            *place += statement.total;
            for line in &statement.lines {
                self.periods(line.crossed_on, today).for_each(|period| period.earn(line.amount));
            }
            // An adjustment belongs to its statement's month, and to no day of it.
            let adjusted: Money = statement.adjustments.iter().map(|one| one.amount).sum();
            if statement.month == Month::of(today) {
                self.month.earn(adjusted);
            }
            self.all.earn(adjusted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outcome::Verdict;
    use crate::domain::statement::{Adjustment, Line, Statement};

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("a day")
    }
    fn statement(month: &str, closed: bool, lines: &[(&str, i64)], adjusted: i64) -> StatementDoc {
        let line = |(crossed_on, cents): &(&str, i64)| Line {
            account_id: format!("on-{crossed_on}").parse().expect("an id"),
            plan: "growth".parse().expect("a plan"),
            crossed_on: day(crossed_on),
            amount: Money::from_cents(*cents),
            note: None,
        };
        let lines: Vec<Line> = lines.iter().map(line).collect();
        let adjustment = Adjustment {
            for_month: "2026-01".parse().expect("a month"),
            account_id: "late".parse().expect("an id"),
            stated: Money::ZERO,
            now: Money::from_cents(adjusted),
            amount: Money::from_cents(adjusted),
        };
        let adjustments: Vec<_> = (adjusted != 0).then_some(adjustment).into_iter().collect();
        StatementDoc {
            closed_at: closed.then(|| "2026-05-04T08:00:00Z".parse().expect("an instant")),
            withdrawn: false,
            referrals: None,
            statement: Statement {
                affiliate_id: AffiliateId::from_bits(1),
                month: month.parse().expect("a month"),
                active_accounts: 0,
                tier_from: 0,
                total: lines.iter().map(|line| line.amount).sum::<Money>() + Money::from_cents(adjusted),
                lines,
                adjustments,
                currency: "USD".to_owned(),
                rules_hash: String::new(),
                facts_hash: String::new(),
                previous: None,
                hash: String::new(),
            },
        }
    }

    #[test]
    fn clicks_fall_into_their_periods_and_people_are_told_from_others() {
        let today = day("2026-05-10");
        let mut figures = Figures::new(today);
        let counts = |text, human, bots| DayCounts {
            day: day(text),
            counts: vec![
                (Counter::Verdict(Verdict::Human), human),
                (Counter::Verdict(Verdict::Bot), bots),
                (Counter::Unique, 99),
            ],
        };
        let days = [counts("2025-12-31", 1_000, 1), counts("2026-05-01", 20, 2), counts("2026-05-10", 3, 4)];
        figures.count_clicks(today, &days);
        let shown = [&figures.today, &figures.month, &figures.all].map(|one| (one.people, one.others));
        assert_eq!(shown, [(3, 4), (23, 6), (1_023, 7)]);
        assert_eq!(figures.days.len(), 30);
        assert_eq!(figures.days.last().map(|last| (last.day, last.people)), Some((today, 3)));
        assert_eq!(figures.days.iter().map(|one| one.people).sum::<u64>(), 23);
    }

    #[test]
    fn what_is_due_is_closed_and_what_is_open_is_not() {
        let today = day("2026-05-10");
        let mut figures = Figures::new(today);
        let statements = [
            statement("2026-05", false, &[("2026-05-02", 9_900), ("2026-05-09", 3_900)], -5_000),
            statement("2026-04", true, &[("2026-04-30", 14_900)], 0),
        ];
        figures.count_statements(today, &statements);
        let cents = Money::from_cents;
        assert_eq!((figures.due, figures.open), (cents(14_900), cents(8_800)));
        let earned = [&figures.today, &figures.month, &figures.all].map(|one| one.earned);
        assert_eq!(earned, [None, Some(cents(8_800)), Some(cents(23_700))]);
    }

    #[test]
    fn a_crossing_is_counted_where_its_day_lies_and_today_has_none_yet() {
        let today = day("2026-05-10");
        let mut figures = Figures::new(today);
        for crossed_on in ["2026-05-09", "2026-05-01", "2026-04-30", "2025-12-31"] {
            figures.count_crossing(today, day(crossed_on));
        }
        let crossings = [&figures.today, &figures.month, &figures.all].map(|one| one.crossings);
        assert_eq!(crossings, [None, Some(2), Some(4)]);
        assert_eq!(figures.days.iter().map(|one| one.crossings).sum::<u64>(), 3);
    }
}
