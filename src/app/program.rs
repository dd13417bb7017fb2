//! The whole program's figures by day. They are counted from all referrals, statements and clicks, so a node counts them
//! now and then and shows what it counted last.

use super::figures::people_and_others;
use super::{App, ReadError};
use crate::domain::id::AffiliateId;
use crate::domain::money::Money;
use chrono::{DateTime, NaiveDate, Utc};
use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long what was counted is shown, at least.
const SHOWN_FOR: Duration = Duration::from_mins(1);
/// What took long to count is shown for so many times as long: counting never takes more than a small part of a node.
const TIMES_AS_LONG: u32 = 20;
/// Affiliates whose accounts are held in memory together.
const AFFILIATES_AT_ONCE: usize = 16;
/// Affiliates whose clicks are read side by side.
const CLICKS_AT_ONCE: usize = 64;

/// The figures of a day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProgramDay {
    /// Clicks of people.
    pub people: u64,
    /// Clicks of programs, and others that don't earn.
    pub others: u64,
    /// Accounts that signed up and are credited to somebody.
    pub signups: u64,
    /// Accounts that crossed the mark.
    pub crossings: u64,
    /// What they earned by it, adjustments apart.
    pub earned: Money,
}

/// The program's figures of some days.
#[derive(Debug)]
pub struct ProgramFigures {
    /// When they were counted.
    pub as_of: DateTime<Utc>,
    /// Each day of which there is anything.
    pub days: BTreeMap<NaiveDate, ProgramDay>,
}

/// What was counted last, for each span of days asked for.
#[derive(Debug, Default)]
pub(super) struct Kept(tokio::sync::Mutex<Vec<Counted>>);

#[derive(Debug)]
struct Counted {
    from: NaiveDate,
    to: NaiveDate,
    until: Instant,
    figures: Arc<ProgramFigures>,
}

impl App {
    /// The program's figures from a day to another, both in, as counted a moment ago or now.
    pub async fn program_figures(
        &self,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Arc<ProgramFigures>, ReadError> {
        // Whoever asks meanwhile waits, and is shown the same.
        let mut kept = self.books.program.0.lock().await;
        kept.retain(|counted| Instant::now() < counted.until);
        if let Some(counted) = kept.iter().find(|counted| (counted.from, counted.to) == (from, to)) {
            return Ok(Arc::clone(&counted.figures));
        }
        let begun = Instant::now();
        let figures = Arc::new(self.count_program(from, to).await?);
        let until = Instant::now() + SHOWN_FOR.max(begun.elapsed() * TIMES_AS_LONG);
        kept.push(Counted { from, to, until, figures: Arc::clone(&figures) });
        Ok(figures)
    }

    async fn count_program(&self, from: NaiveDate, to: NaiveDate) -> Result<ProgramFigures, ReadError> {
        let as_of = self.now();
        let mut days: BTreeMap<NaiveDate, ProgramDay> = BTreeMap::new();
        let mut count = |day: NaiveDate, change: &dyn Fn(&mut ProgramDay)| {
            if (from..=to).contains(&day) {
                change(days.entry(day).or_default());
            }
        };
        let all: Vec<AffiliateId> = self.directory().affiliates().iter().map(|one| one.id).collect();
        let clicks = all.clone().into_iter().map(|id| {
            let store = Arc::clone(&self.store);
            async move { store.click_totals(id, &[], from, to).await }
        });
        let mut clicks = futures_util::stream::iter(clicks).buffer_unordered(CLICKS_AT_ONCE);
        while let Some(read) = clicks.try_next().await? {
            for counts in read {
                let (people, others) = people_and_others(&counts.counts);
                count(counts.day, &|day| {
                    day.people += people;
                    day.others += others;
                });
            }
        }
        for some in all.chunks(AFFILIATES_AT_ONCE) {
            let statements = try_join_all(some.iter().map(|id| self.statements_of(*id))).await?;
            let accounts = self.accounts_of(some).await?;
            for (statements, accounts) in statements.iter().zip(accounts) {
                for referral in self.told(accounts, statements) {
                    count(referral.signed_up_on, &|day| day.signups += 1);
                    if let Some(crossed_on) = referral.crossed_on {
                        count(crossed_on, &|day| day.crossings += 1);
                    }
                }
                for line in statements.iter().flat_map(|doc| &doc.statement.lines) {
                    count(line.crossed_on, &|day| day.earned += line.amount);
                }
            }
        }
        Ok(ProgramFigures { as_of, days })
    }
}
