//! The figures of the whole program. They are counted from all referrals, statements and clicks, so a node counts
//! them only from time to time and shows the last result.

use super::{App, Cut, ReadError, Report};
use crate::domain::id::AffiliateId;
use crate::store::Dates;
use chrono::{DateTime, NaiveDate, Utc};
use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a result is shown, at least.
const SHOWN_FOR: Duration = Duration::from_mins(1);
/// A slow count is shown for this many times its duration, so that counting uses only a small part of a node.
const TIMES_AS_LONG: u32 = 20;
/// Affiliates whose accounts are held in memory together.
const AFFILIATES_AT_ONCE: usize = 16;
/// Affiliates whose clicks are read side by side.
const CLICKS_AT_ONCE: usize = 64;

/// The program's figures for a span of days.
#[derive(Debug)]
pub struct ProgramFigures {
    /// When they were counted.
    pub as_of: DateTime<Utc>,
    /// The figures.
    pub report: Report,
}

/// The last result for each requested span of days.
#[derive(Debug, Default)]
pub(super) struct Kept(tokio::sync::Mutex<Vec<Counted>>);

#[derive(Debug)]
struct Counted {
    asked: (NaiveDate, NaiveDate, Cut),
    until: Instant,
    figures: Arc<ProgramFigures>,
}

impl App {
    /// The program's figures for a span of days, both ends included, cut as requested; from a recent count or a
    /// new one.
    pub async fn program_figures(
        &self,
        from: NaiveDate,
        to: NaiveDate,
        cut: Cut,
    ) -> Result<Arc<ProgramFigures>, ReadError> {
        // Another request at the same time waits, and gets the same result.
        let mut kept = self.books.program.0.lock().await;
        kept.retain(|counted| Instant::now() < counted.until);
        if let Some(counted) = kept.iter().find(|counted| counted.asked == (from, to, cut)) {
            return Ok(Arc::clone(&counted.figures));
        }
        let begun = Instant::now();
        let figures = Arc::new(self.count_program(from..=to, cut).await?);
        let until = Instant::now() + SHOWN_FOR.max(begun.elapsed() * TIMES_AS_LONG);
        kept.push(Counted { asked: (from, to, cut), until, figures: Arc::clone(&figures) });
        Ok(figures)
    }

    async fn count_program(&self, days: Dates, cut: Cut) -> Result<ProgramFigures, ReadError> {
        let as_of = self.now();
        let mut report = Report::new(days.clone(), cut);
        let all: Vec<AffiliateId> = self.directory().affiliates().iter().map(|one| one.id).collect();
        let clicks = all.clone().into_iter().map(|id| {
            let (store, days) = (Arc::clone(&self.store), days.clone());
            async move { store.click_totals(id, &[], &days).await }
        });
        let mut clicks = futures_util::stream::iter(clicks).buffer_unordered(CLICKS_AT_ONCE);
        while let Some(read) = clicks.try_next().await? {
            report.count_clicks(&read);
        }
        for some in all.chunks(AFFILIATES_AT_ONCE) {
            let statements = try_join_all(some.iter().map(|id| self.statements_of(*id))).await?;
            let accounts = self.accounts_of(some).await?;
            for (statements, accounts) in statements.iter().zip(accounts) {
                self.referral_summaries(accounts, statements)
                    .iter()
                    .for_each(|referral| report.count_referral(referral));
                for doc in statements {
                    report.count_statement(&doc.statement);
                }
            }
        }
        Ok(ProgramFigures { as_of, report })
    }
}
