//! An affiliate's figures, counted at one moment from its referrals, its statements and its clicks.
//!
//! Referrals are counted in their present state, and qualifications on the day that the referral shows, so that
//! lists and totals agree. Earnings are those of the statements.

use super::payouts::closed_of;
use super::referrals::{ReferralState, ReferralSummary};
use super::{App, Cut, ReadError, Report, StatementDoc, Tally};
use crate::domain::affiliate::Affiliate;
use crate::domain::calendar::Month;
use crate::domain::id::AffiliateId;
use crate::domain::money::Money;
use crate::domain::statement::Statement;
use crate::store::{DayCounts, StoreError};
use chrono::{Days, NaiveDate};
use serde::Serialize;

/// Days that the chart shows, including today.
pub const CHART_DAYS: u64 = 30;

/// What happened in a period.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PeriodFigures {
    /// Clicks of people.
    pub people: u64,
    /// Clicks of bots, and others that don't earn.
    pub others: u64,
    /// Accounts that signed up.
    pub signups: u64,
    /// Accounts that qualified; `None`: this is computed at night, for the days before.
    pub crossings: Option<u64>,
    /// What was earned, including adjustments and lines by hand of the period's statements; `None` as above.
    pub earned: Option<Money>,
}

impl PeriodFigures {
    /// Today's figures, as far as they are counted during the day.
    fn of_today(tally: &Tally) -> Self {
        Self {
            people: tally.people,
            others: tally.others,
            signups: tally.signups,
            crossings: None,
            earned: None,
        }
    }
    /// A period longer than today, with the adjustments and lines by hand of its statements.
    fn of(tally: &Tally, more: Money) -> Self {
        let (crossings, earned) = (Some(tally.crossings), Some(tally.earned + more));
        Self { crossings, earned, ..Self::of_today(tally) }
    }
}

/// A day of the chart.
#[derive(Debug, Clone, Serialize)]
pub struct Day {
    /// The day.
    pub day: NaiveDate,
    /// Clicks of people.
    pub people: u64,
    /// Other clicks.
    pub others: u64,
    /// Accounts that signed up.
    pub signups: u64,
    /// Accounts that qualified.
    pub crossings: u64,
}

/// The figures of an affiliate's home page.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Today so far.
    pub today: PeriodFigures,
    /// This month so far.
    pub month: PeriodFigures,
    /// Since the beginning.
    pub all: PeriodFigures,
    /// Referrals in good standing, neither in review nor rejected.
    pub active_accounts: u32,
    /// The least number of active accounts of the affiliate's present tier.
    pub tier_from: u32,
    /// The least number of the next tier.
    pub next_tier: Option<u32>,
    /// The amounts of closed statements.
    pub due: Money,
    /// The amounts of open statements.
    pub open: Money,
    /// All its referrals.
    pub referrals: usize,
    /// Those held for review.
    pub held: usize,
    /// The last days, the oldest first.
    pub days: Vec<Day>,
}

/// An affiliate's figures, and what they were counted from.
#[derive(Debug)]
pub struct AffiliateReport {
    /// The figures.
    pub figures: Figures,
    /// Its referrals, newest first.
    pub referrals: Vec<ReferralSummary>,
    /// Its statements, newest first.
    pub statements: Vec<StatementDoc>,
}

impl App {
    /// What is due to an affiliate by all its statements, less what it was paid, with the currency; `None`: nothing.
    pub(crate) async fn due_to(&self, affiliate: AffiliateId) -> Result<Option<String>, StoreError> {
        let statements = match self.statements_of(affiliate).await {
            Ok(statements) => statements,
            Err(ReadError::Store(error)) => return Err(error),
            // There is no cursor to misread.
            Err(ReadError::BadCursor) => Vec::new(),
        };
        let sum: Money = statements.iter().map(|doc| doc.statement.total).sum();
        let closed: Vec<_> = statements.iter().filter_map(closed_of).collect();
        let due = sum - self.ledger_of(affiliate).await?.balance(&closed).paid;
        Ok((due > Money::ZERO).then(|| format!("{due} {}", self.settings.rules.currency)))
    }

    /// The figures of an affiliate, and the referrals and statements from which they were counted.
    pub async fn affiliate_report(&self, affiliate: &Affiliate) -> Result<AffiliateReport, ReadError> {
        let today = self.zone().date_of(self.now());
        let (statements, clicks) =
            tokio::try_join!(self.statements_of(affiliate.id), self.click_days_of(affiliate.id, today))?;
        let referrals = self.referrals_of(affiliate.id, &statements).await?;
        let mut figures = Figures::of(today, &clicks, &referrals, &statements);
        let rules = &self.settings().rules;
        figures.tier_from = rules.tier(figures.active_accounts).from;
        figures.next_tier =
            rules.tiers.iter().map(|tier| tier.from).find(|from| *from > figures.active_accounts);
        Ok(AffiliateReport { figures, referrals, statements })
    }

    /// Its clicks by day, from the day of its oldest link on.
    async fn click_days_of(
        &self,
        affiliate: AffiliateId,
        today: NaiveDate,
    ) -> Result<Vec<DayCounts>, ReadError> {
        let Some(oldest) = self.directory().links_of(affiliate).first().map(|link| link.created_at) else {
            return Ok(Vec::new());
        };
        // A node's clock may be a little ahead of another's.
        let first = self.zone().date_of(oldest) - Days::new(1);
        Ok(self.store.click_totals(affiliate, &[], &(first..=today)).await?)
    }
}

impl Figures {
    /// All figures except those of the tiers.
    fn of(
        today: NaiveDate,
        clicks: &[DayCounts],
        referrals: &[ReferralSummary],
        statements: &[StatementDoc],
    ) -> Self {
        let mut report = Report::new(NaiveDate::MIN..=NaiveDate::MAX, Cut::Day);
        report.count_clicks(clicks);
        for referral in referrals {
            report.count_referral(referral);
        }
        for doc in statements {
            report.count_statement(&doc.statement);
        }
        let month = Month::of(today);
        let sum = |wanted: &dyn Fn(&StatementDoc) -> bool, of: fn(&Statement) -> Money| {
            statements.iter().filter(|doc| wanted(doc)).map(|doc| of(&doc.statement)).sum::<Money>()
        };
        let more = |says: &Statement| says.adjusted() + says.added_by_hand();
        let more_of_month = sum(&|doc| doc.statement.month == month, more);
        let first = today - Days::new(CHART_DAYS - 1);
        Self {
            today: PeriodFigures::of_today(&report.sum(today..=today)),
            month: PeriodFigures::of(&report.sum(month.first_day()..=month.last_day()), more_of_month),
            all: PeriodFigures::of(&report.total, report.adjusted + report.by_hand),
            active_accounts: referrals.iter().map(|referral| u32::from(referral.counts_for_tier)).sum(),
            tier_from: 0,
            next_tier: None,
            due: sum(&StatementDoc::is_closed, |says| says.total),
            open: sum(&|doc| !doc.is_closed(), |says| says.total),
            referrals: referrals.len(),
            held: referrals.iter().filter(|one| one.state == ReferralState::InReview).count(),
            days: first
                .iter_days()
                .take_while(|day| *day <= today)
                .map(|day| Day::of(day, &report))
                .collect(),
        }
    }
}

impl Day {
    fn of(day: NaiveDate, report: &Report) -> Self {
        let Tally { people, others, signups, crossings, .. } = report.sum(day..=day);
        Self { day, people, others, signups, crossings }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::naive;
    use crate::domain::outcome::Verdict;
    use crate::domain::statement::{Adjustment, Line};
    use crate::store::Counter;

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
            statement: naive::statement(month, lines, adjustments),
        }
    }

    #[test]
    fn clicks_fall_into_their_periods_and_people_are_distinguished_from_bots() {
        let today = day("2026-05-10");
        let counts = |text, human, bots| DayCounts {
            day: day(text),
            counts: vec![
                (Counter::Verdict(Verdict::Human), human),
                (Counter::Verdict(Verdict::Bot), bots),
                (Counter::Unique, 99),
            ],
        };
        let days = [counts("2025-12-31", 1_000, 1), counts("2026-05-01", 20, 2), counts("2026-05-10", 3, 4)];
        let figures = Figures::of(today, &days, &[], &[]);
        let shown = [&figures.today, &figures.month, &figures.all].map(|one| (one.people, one.others));
        assert_eq!(shown, [(3, 4), (23, 6), (1_023, 7)]);
        assert_eq!(figures.days.len(), 30);
        assert_eq!(figures.days.last().map(|last| (last.day, last.people)), Some((today, 3)));
        assert_eq!(figures.days.iter().map(|one| one.people).sum::<u64>(), 23);
    }

    #[test]
    fn what_is_due_is_closed_and_what_is_open_is_not() {
        let today = day("2026-05-10");
        let statements = [
            statement("2026-05", false, &[("2026-05-02", 9_900), ("2026-05-09", 3_900)], -5_000),
            statement("2026-04", true, &[("2026-04-30", 14_900)], 0),
        ];
        let figures = Figures::of(today, &[], &[], &statements);
        let cents = Money::from_cents;
        assert_eq!((figures.due, figures.open), (cents(14_900), cents(8_800)));
        let earned = [&figures.today, &figures.month, &figures.all].map(|one| one.earned);
        assert_eq!(earned, [None, Some(cents(8_800)), Some(cents(23_700))]);
    }

    #[test]
    fn a_crossing_is_counted_where_its_day_lies_and_today_has_none_yet() {
        let today = day("2026-05-10");
        let days = ["2026-05-09", "2026-05-01", "2026-04-30", "2025-12-31"];
        let referrals = days.map(|crossed_on| ReferralSummary {
            account_id: "acct_1".parse().expect("an id"),
            plan: "growth".parse().expect("a plan"),
            signed_up_at: "2025-01-02T12:00:00Z".parse().expect("an instant"),
            signed_up_on: day("2025-01-02"),
            state: ReferralState::Active,
            active_days: 90,
            mark_days: 90,
            crossed_on: Some(day(crossed_on)),
            expected_on: None,
            has_rate: true,
            earned: None,
            earned_for: None,
            via: None,
            clicked_at: None,
            link_id: None,
            counts_for_tier: true,
        });
        let figures = Figures::of(today, &[], &referrals, &[]);
        let crossings = [&figures.today, &figures.month, &figures.all].map(|one| one.crossings);
        assert_eq!(crossings, [None, Some(2), Some(4)]);
        assert_eq!(figures.days.iter().map(|one| one.crossings).sum::<u64>(), 3);
    }
}
