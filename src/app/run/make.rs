//! One run: reads, computes, closes, writes.

use super::affiliate_work::AffiliateWork;
use super::by_hand::{self, LineHashes};
use super::changes::{AffiliateResult, Changes, feed_ends};
use super::summaries::{self, bodies, parts_for};
use super::{AFFILIATES_AT_ONCE, AggregateError, wait_for_decisions, wait_for_other_nodes};
use crate::app::{App, Directory, StatementDoc};
use crate::domain::calendar::Month;
use crate::domain::fact::{self, Fact, RunReport};
use crate::domain::id::{AffiliateId, NodeId};
use crate::domain::program::{Rules, hex};
use crate::domain::statement::{ClosingReferrals, Statement, project};
use crate::store::{Partition, Result, StoreError};
use chrono::{DateTime, NaiveDate, Utc};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One run.
pub(super) struct Run<'a> {
    pub app: &'a Arc<App>,
    /// Who asked for it.
    pub by: &'a str,
    pub through: NaiveDate,
    /// The last full day by the store's clock, if that is earlier: a month closes only when it is over by that
    /// clock too. A node whose clock is ahead would close it too early, and closing can't be undone.
    closes_through: NaiveDate,
    /// `None`: a dry run.
    pub fence: Option<u64>,
    /// Months whose closing began and has not ended.
    pub closing: BTreeMap<Month, Arc<Rules>>,
    /// Months that this run closes, including those that an earlier run began to close.
    pub closes: BTreeSet<Month>,
    pub report: RunReport,
    /// The result for each affiliate, for the next run.
    pub results: BTreeMap<AffiliateId, AffiliateResult>,
    /// The affiliates that had open lines by hand when it began.
    pub lines: LineHashes,
    /// The number of closed statements by month, for the months' own records.
    closed_statements: BTreeMap<Month, u64>,
    /// The hashes of the statements that it computed for each affiliate, closed or open.
    statement_hashes: BTreeMap<AffiliateId, String>,
    /// The life of the store from which it reads.
    life: Option<String>,
    /// A random id of this run.
    pub run_id: String,
    /// The versions of the checkpoint documents, by partition.
    pub checkpoint_versions: Mutex<HashMap<Partition, u64>>,
}

impl<'a> Run<'a> {
    pub async fn new(
        app: &'a Arc<App>,
        by: &'a str,
        as_of: DateTime<Utc>,
        fence: Option<u64>,
    ) -> Result<Self> {
        let life = app.store.meta().await?.map(|meta| meta.life());
        let through = app.zone().last_full_day(as_of);
        let nodes_behind = wait_for_other_nodes(app, fence.is_none()).await?;
        let undecided = wait_for_decisions(app).await?;
        // Includes what the nodes that were waited for know about months.
        app.follow_directory().await?;
        let directory = app.directory();
        let mut waits_for = app.why_no_month_closes().await?;
        if let Some(first) = undecided.first() {
            let text = format!("{} signups are not decided yet, that of {first} among them", undecided.len());
            waits_for.push(text);
        }
        if !waits_for.is_empty() {
            tracing::warn!(?waits_for, "no month closes");
        }
        if !nodes_behind.is_empty() {
            tracing::warn!(nodes = ?nodes_behind, "no month closes: nodes are behind");
        }
        let store_forgets = app.why_the_store_forgets().await?;
        if let Some(why) = &store_forgets {
            tracing::warn!("no month closes on a store that forgets: {why}");
        }
        let misses_nothing = nodes_behind.is_empty() && waits_for.is_empty() && store_forgets.is_none();
        let store_ms = app.store.clock_ms().await?;
        let by_store = store_ms.and_then(DateTime::from_timestamp_millis);
        let closes_through = by_store.map_or(through, |now| through.min(app.zone().last_full_day(now)));
        let too_early = too_early(app, &directory, through, closes_through);
        let begun = directory.months().filter(|month| !month.closed);
        let closing: BTreeMap<Month, Arc<Rules>> =
            begun.map(|month| (month.month, Arc::new(month.rules.clone()))).collect();
        Ok(Self {
            app,
            by,
            through,
            closes_through,
            fence,
            closes: closing
                .keys()
                .copied()
                .filter(|month| {
                    misses_nothing && month.is_due(closes_through, app.config().program.close_delay_days)
                })
                .collect(),
            closing,
            report: RunReport {
                as_of,
                through,
                closed: Vec::new(),
                accounts: 0,
                crossings: 0,
                statements: 0,
                adjustments: 0,
                computed: 0,
                statements_hash: String::new(),
                nodes_behind,
                waits_for,
                too_early,
                store_forgets,
            },
            results: BTreeMap::new(),
            lines: LineHashes::new(),
            closed_statements: BTreeMap::new(),
            statement_hashes: BTreeMap::new(),
            life,
            run_id: NodeId::random().to_string(),
            checkpoint_versions: Mutex::default(),
        })
    }

    pub async fn make(mut self) -> std::result::Result<RunReport, AggregateError> {
        // The end of the feed is read first, so that changes that come meanwhile are read again next time.
        let ends = feed_ends(self.app).await?;
        self.read_checkpoint_versions().await?;
        self.lines = self.line_hashes().await?;
        let changes = if self.fence.is_some() { self.changes().await? } else { None };
        let affiliates = self.app.directory().affiliates();
        self.app.books.run.done.store(0, Ordering::Relaxed);
        self.app.books.run.total.store(affiliates.len() as u64, Ordering::Relaxed);
        let mut to_compute = Vec::new();
        for affiliate in affiliates {
            match changes.as_ref().and_then(|changes| changes.unchanged(&affiliate, &self.lines)) {
                Some(result) => {
                    if result.statements > 0 {
                        self.statement_hashes.insert(affiliate.id, result.open_hash.clone());
                    }
                    self.note(affiliate.id, result.clone());
                }
                None => to_compute.push(affiliate),
            }
        }
        let unchanged = self.results.len() as u64;
        self.app.books.run.done.store(unchanged, Ordering::Relaxed);
        let rules = Arc::clone(&self.app.settings().rules);
        for some in to_compute.chunks(AFFILIATES_AT_ONCE) {
            if self.app.stopping().is_set() {
                return Err(AggregateError::Stopping);
            }
            let batch = self.fetch(some, changes.as_ref(), &rules).await?;
            let batch = self.leave_out_unreadable(batch);
            self.compute(batch, changes.as_ref()).await?;
            self.app.books.run.done.fetch_add(some.len() as u64, Ordering::Relaxed);
        }
        if !self.report.waits_for.is_empty() {
            // Some statements are missing: what was begun ends in another run.
            self.closes.clear();
        }
        if let Some(fence) = self.fence {
            let months = self.closes.iter().map(|month| {
                Fact::MonthClosed(fact::MonthClosed {
                    month: *month,
                    statements: self.closed_statements.get(month).copied().unwrap_or_default(),
                    fence,
                })
            });
            self.close(months.collect()).await?;
        }
        if self.fence.is_some() {
            self.check_life().await?;
        }
        self.leave(ends).await?;
        tracing::info!(
            through = %self.through,
            computed = to_compute.len(),
            unchanged,
            "the run's affiliates: computed, and unchanged since the last run"
        );
        self.report.computed = to_compute.len() as u64;
        self.report.statements_hash = hash_of(self.statement_hashes.values().map(String::as_str));
        self.report.closed = self.closes.into_iter().collect();
        Ok(self.report)
    }

    /// An affiliate whose data can't be read completely is not computed, because its statement would be wrong.
    fn leave_out_unreadable(&mut self, mut batch: Vec<AffiliateWork>) -> Vec<AffiliateWork> {
        for (work, why) in batch.iter().filter_map(|work| Some((work, work.unreadable.as_ref()?))) {
            let affiliate = work.affiliate.id;
            tracing::error!(%affiliate, why, "an affiliate is left out of the nightly run, so no month closes");
            self.report.waits_for.push(format!(
                "the statements of {affiliate} can't be computed: failed to {why}; {}",
                self.app.how_to_refill()
            ));
        }
        batch.retain(|work| work.unreadable.is_none());
        batch
    }

    /// Records the result for an affiliate, for the report and the next run.
    fn note(&mut self, affiliate: AffiliateId, result: AffiliateResult) {
        self.report.accounts += result.accounts;
        self.report.statements += result.statements;
        self.report.crossings += result.crossings;
        self.report.adjustments += result.adjustments;
        self.results.insert(affiliate, result);
    }

    /// Computes the statements of some affiliates, closes what is due, writes the rest as projections.
    async fn compute(
        &mut self,
        mut batch: Vec<AffiliateWork>,
        changes: Option<&Changes>,
    ) -> std::result::Result<(), AggregateError> {
        for month in batch.iter().flat_map(AffiliateWork::closed_months) {
            if self.closes.contains(&month) {
                *self.closed_statements.entry(month).or_default() += 1;
            }
        }
        let current = Arc::clone(&self.app.settings().rules);
        self.close_by_former_rules(&mut batch, &current, changes).await?;
        let (mut due, mut open) = (Vec::new(), vec![Vec::new(); batch.len()]);
        for (place, statements) in self.project(&batch, &current).into_iter().enumerate() {
            if !statements.is_empty() {
                let hash = hash_of(statements.iter().map(|statement| statement.hash.as_str()));
                self.statement_hashes.insert(batch[place].affiliate.id, hash);
            }
            for statement in statements {
                if self.may_close(statement.month) {
                    self.report.statements += 1;
                    self.report.crossings += statement.lines.len() as u64;
                    self.report.adjustments += statement.adjustments.len() as u64;
                    due.push(statement);
                } else {
                    open[place].push(statement);
                }
            }
        }
        self.close_statements(&mut batch, due).await?;
        for (work, open) in batch.iter_mut().zip(&open) {
            if let Some(first) = open.first() {
                work.summaries.values_mut().for_each(|summary| summary.forget_before(first.month));
            }
            work.bodies = bodies(&work.basis, &work.summaries);
            if self.fence.is_some() {
                let parts = parts_for(work.summaries.len());
                work.kept.extend(&*self.app.store, work.affiliate.id, parts).await?;
            }
            self.note(work.affiliate.id, result_of(work, open));
        }
        if self.fence.is_some() {
            self.write_projections(&batch, &open).await?;
        }
        Ok(())
    }

    /// A month whose closing began under other rules than the present ones is closed first, by its own rules.
    async fn close_by_former_rules(
        &mut self,
        batch: &mut Vec<AffiliateWork>,
        current: &Arc<Rules>,
        changes: Option<&Changes>,
    ) -> std::result::Result<(), AggregateError> {
        let begun =
            self.closing.iter().filter(|(month, rules)| ***rules != **current && self.may_close(**month));
        let begun: Vec<(Month, Arc<Rules>)> =
            begun.map(|(month, rules)| (*month, Arc::clone(rules))).collect();
        if begun.is_empty() {
            return Ok(());
        }
        let affiliates: Vec<_> = batch.iter().map(|work| Arc::clone(&work.affiliate)).collect();
        for (month, rules) in begun {
            let mut former = self.fetch(&affiliates, None, &rules).await?;
            former.retain(|work| work.unreadable.is_none());
            let statements = self.project(&former, &rules).into_iter().flatten();
            let due = statements.filter(|statement| statement.month == month).collect();
            self.close_statements(&mut former, due).await?;
        }
        // The statements that were closed are now read as closed.
        let again = self.fetch(&affiliates, changes, current).await?;
        *batch = self.leave_out_unreadable(again);
        Ok(())
    }

    fn may_close(&self, month: Month) -> bool {
        !self.report.may_miss_facts()
            && month.is_due(self.closes_through, self.app.config().program.close_delay_days)
    }

    /// The newest month that may close.
    pub(super) fn newest_due(&self) -> Option<Month> {
        let delay = self.app.config().program.close_delay_days;
        let mut month = Month::of(self.closes_through);
        // A delay is 28 days at most: the month before the last is due.
        for _ in 0..3 {
            if month.is_due(self.closes_through, delay) {
                return Some(month);
            }
            month = month.previous();
        }
        None
    }

    /// All open months of some affiliates, in their order.
    fn project(&self, batch: &[AffiliateWork], rules: &Arc<Rules>) -> Vec<Vec<Statement>> {
        let closed_months = self.closed_months(batch);
        let projected = batch.iter().zip(&closed_months).map(|(work, closed_months)| {
            let ledger = self.ledger(&work.affiliate, closed_months, &work.lines, rules);
            project(&ledger, work.summaries.values())
        });
        projected.collect()
    }

    /// Journals facts that close something, if everything so far was read from a complete store, which may have
    /// lost data since the run began.
    async fn close(&self, facts: Vec<Fact>) -> std::result::Result<(), AggregateError> {
        if facts.is_empty() {
            return Ok(());
        }
        self.app.wait_until_drained().await?;
        self.check_life().await?;
        if !wait_for_other_nodes(self.app, true).await?.is_empty() {
            return Err(lost("a node fell behind"));
        }
        self.app.close(self.by, facts).await
    }

    /// Ends a run whose store has lost data since the run began: what it read may be incomplete.
    async fn check_life(&self) -> std::result::Result<(), AggregateError> {
        let meta = self.app.store.meta().await?.filter(|meta| !meta.recovering);
        let now = meta.map(|meta| meta.life());
        if now.is_some() && now == self.life { Ok(()) } else { Err(lost("the store lost data")) }
    }

    /// Closes statements: first each month's closing begins, then its statements are closed.
    async fn close_statements(
        &mut self,
        batch: &mut [AffiliateWork],
        due: Vec<Statement>,
    ) -> std::result::Result<(), AggregateError> {
        for statement in &due {
            self.closes.insert(statement.month);
            *self.closed_statements.entry(statement.month).or_default() += 1;
        }
        let (Some(fence), Some(read_at)) = (self.fence, batch.first().map(|work| work.read_at)) else {
            return Ok(());
        };
        let begin = self.closes.iter().filter(|month| !self.closing.contains_key(month));
        let begin: Vec<Month> = begin.copied().collect();
        let rules = Arc::clone(&self.app.settings().rules);
        let facts = begin.iter().map(|month| {
            Fact::MonthClosing(fact::MonthClosing {
                month: *month,
                rules: (*rules).clone(),
                as_of: self.report.as_of,
                fence,
            })
        });
        self.close(facts.collect()).await?;
        self.closing.extend(begin.into_iter().map(|month| (month, Arc::clone(&rules))));
        let mut docs = Vec::with_capacity(due.len());
        for (work, closed_months) in batch.iter().zip(self.closed_months(batch)) {
            let mut referrals = ClosingReferrals::since(&closed_months, work.summaries.values());
            for statement in due.iter().filter(|statement| statement.affiliate_id == work.affiliate.id) {
                // Of months that close together, the first one lists the referrals for all.
                let says = referrals.is_some().then(ClosingReferrals::default);
                let referrals = std::mem::replace(&mut referrals, says);
                let (closed_at, statement) = (Some(read_at), statement.clone());
                docs.push(StatementDoc { closed_at, withdrawn: false, statement, referrals });
            }
        }
        let facts = docs.iter().map(|doc| {
            Fact::StatementClosed(fact::StatementClosed {
                statement: doc.statement.clone(),
                read_at,
                fence,
                referrals: doc.referrals.clone(),
            })
        });
        self.close(facts.collect()).await?;
        for doc in docs {
            let whose = |work: &&mut AffiliateWork| work.affiliate.id == doc.statement.affiliate_id;
            if let Some(work) = batch.iter_mut().find(whose) {
                work.lines.retain(|line| !doc.statement.by_hand.contains(line));
                work.statements.insert(doc.statement.month, (0, doc));
            }
        }
        Ok(())
    }
}

fn lost(what: &str) -> AggregateError {
    let text = format!("{what} during a nightly run; the next run continues");
    StoreError::Unavailable(text).into()
}

/// Months that are due by the node's clock, and not yet by the store's.
fn too_early(app: &App, directory: &Directory, through: NaiveDate, closes_through: NaiveDate) -> Vec<Month> {
    let delay = app.config().program.close_delay_days;
    let first = Month::of(closes_through).previous();
    let closed = |month: &Month| directory.months().any(|known| known.closed && known.month == *month);
    let early = |month: &Month| month.is_due(through, delay) && !month.is_due(closes_through, delay);
    let months: Vec<Month> =
        first.through(Month::of(through)).filter(|month| early(month) && !closed(month)).collect();
    if let Some(month) = months.first() {
        tracing::warn!(%month, "a month does not close: it is too early by the store's clock; set the clocks");
    }
    months
}

/// The result for an affiliate, for the next run.
fn result_of(work: &AffiliateWork, open: &[Statement]) -> AffiliateResult {
    let count = |of: fn(&Statement) -> usize| open.iter().map(of).sum::<usize>() as u64;
    AffiliateResult {
        closed_at: work.affiliate.closed_at(),
        changes_on: work.summaries.values().filter_map(|summary| summary.changes_on).min(),
        accounts: work.summaries.len() as u64,
        statements: open.len() as u64,
        crossings: count(|statement| statement.lines.len()),
        adjustments: count(|statement| statement.adjustments.len()),
        open_hash: hash_of(open.iter().map(|statement| statement.hash.as_str())),
        by_hand: by_hand::hash_of(&work.lines),
        summaries: summaries::hash_of(work.bodies.iter().map(Vec::as_slice)),
    }
}

/// Nothing panics while it holds this lock.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// SHA-256 of some hashes, in hex.
fn hash_of<'h>(hashes: impl Iterator<Item = &'h str>) -> String {
    let hash = hashes.fold(Sha256::new(), Sha256::chain_update);
    hex(&hash.finalize())
}
