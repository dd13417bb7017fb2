//! The nightly run: folds all facts up to the last full day into statements, closes the months that are due.
//!
//! A run is a pure function of the facts and its as-of: [`project`] computes an affiliate's statements, and
//! the run only fetches what it needs and keeps what it says. Its durable steps, in order:
//!
//! 1. the lease is taken, and its token raised in every partition: an older run's late writes are refused;
//! 2. for some affiliates at a time: the closing of each due month begins (its rules are fixed), their
//!    statements of these months are closed, those of open months are written as projections;
//! 3. each month whose statements are all closed is closed; the run is finished.
//!
//! Whatever step a crash follows, the next run goes on: a closed statement is found closed, a closing month
//! keeps its rules, and what is left is computed from the same facts to the same bytes.

use super::apply::{crossing_entries, statement_indexes};
use super::layout::{
    FEED, affiliate_partition, all_partitions, referrals_index, statement_key, statements_index,
};
use super::work::decode;
use super::{App, StatementDoc, SubmitError};
use crate::domain::account::Account;
use crate::domain::affiliate::Affiliate;
use crate::domain::calendar::Month;
use crate::domain::fact::{Fact, Record, RunReport};
use crate::domain::id::{AffiliateId, NodeId};
use crate::domain::outcome::FactOutcome;
use crate::domain::program::Rules;
use crate::domain::statement::{ClosedMonth, Ledger, Referral, Statement, project};
use crate::metrics::RunOutcome;
use crate::store::{Append, Commit, Committed, Lease, Log, Partition, Result, StoreError, Write};
use chrono::{DateTime, NaiveDate, Utc};
use futures_util::future::try_join_all;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const LEASE: &str = "nightly";
/// A run that does not renew its lease for so long is taken for dead.
const LEASE_TTL: Duration = Duration::from_secs(30);
const LEASE_RENEWAL: Duration = Duration::from_secs(5);
/// Affiliates computed together: bounds memory, and gives the store batches worth their round trip.
const AFFILIATES_AT_ONCE: usize = 64;
/// How long a run waits for its own node's facts to be applied before it gives up.
const DRAIN_PATIENCE: Duration = Duration::from_mins(1);
/// How long a run that is overtaken by a stop waits for what it has journaled.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// How often it looks whether they are.
const DRAIN_POLL: Duration = Duration::from_millis(2);
/// How long a run waits for other nodes' facts: they are applied within a second if all is well.
const OTHERS_PATIENCE: Duration = Duration::from_secs(3);
const OTHERS_POLL: Duration = Duration::from_millis(50);
/// How often a projection is written anew when a fact of the same affiliate gets in between.
const WRITE_TRIES: usize = 5;

/// Why a nightly run was not made.
#[derive(Debug, thiserror::Error)]
pub enum AggregateError {
    /// `as_of` lies after now.
    #[error("run as of a time in the future")]
    AsOfInFuture,
    /// Another run is under way, here or on another node.
    #[error("run while another run is under way")]
    Busy,
    /// Nodes have not replayed their journals since the store was found empty.
    #[error("run while the store is being rebuilt; when all nodes are in, run `counterfoil store confirm`")]
    Recovering,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] SubmitError),
    /// A later run has taken over.
    #[error("go on with a run that a later one has overtaken")]
    Overtaken,
    /// The server is stopping: the next run goes on.
    #[error("run while the server is stopping")]
    Stopping,
    /// The node's own facts were not applied in time.
    #[error("apply this node's facts in time; see the store")]
    NotDrained,
}

/// How far a nightly run is.
#[derive(Debug, Clone, Copy, Default, Serialize, utoipa::ToSchema)]
pub struct Progress {
    /// Whether one is under way on this node.
    pub running: bool,
    /// Affiliates done.
    pub done: u64,
    /// Affiliates to do.
    pub total: u64,
}

/// The progress, for others to look at.
#[derive(Debug, Default)]
pub(super) struct RunState {
    running: AtomicBool,
    done: AtomicU64,
    total: AtomicU64,
}

/// Marks the end of a run however it ends.
struct Underway<'a>(&'a RunState);

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        self.0.running.store(false, Ordering::Relaxed);
    }
}

impl App {
    /// How far the run on this node is.
    pub fn aggregate_progress(&self) -> Progress {
        Progress {
            running: self.run.running.load(Ordering::Relaxed),
            done: self.run.done.load(Ordering::Relaxed),
            total: self.run.total.load(Ordering::Relaxed),
        }
    }

    /// Makes a nightly run as of a time (`None`: now). A dry one, and one as of a time before the last run,
    /// writes nothing and says what it would do.
    pub async fn aggregate(
        self: &Arc<Self>,
        as_of: Option<DateTime<Utc>>,
        dry_run: bool,
    ) -> std::result::Result<RunReport, AggregateError> {
        let as_of = as_of.unwrap_or_else(|| self.now());
        if as_of > self.now() {
            return Err(AggregateError::AsOfInFuture);
        }
        if self.run.running.swap(true, Ordering::Relaxed) {
            return Err(AggregateError::Busy);
        }
        let _underway = Underway(&self.run);
        let begun = Instant::now();
        let made = self.aggregate_alone(as_of, dry_run).await;
        if !dry_run {
            let (outcome, months) = match &made {
                Ok(report) => (RunOutcome::Done, report.closed.len() as u64),
                Err(AggregateError::Busy) => (RunOutcome::Skipped, 0),
                Err(_) => (RunOutcome::Failed, 0),
            };
            self.metrics.run(outcome, begun.elapsed(), months, self.now().timestamp());
        }
        made
    }

    async fn aggregate_alone(
        self: &Arc<Self>,
        as_of: DateTime<Utc>,
        dry_run: bool,
    ) -> std::result::Result<RunReport, AggregateError> {
        self.wait_until_drained().await?;
        self.follow_directory().await?;
        let is_past = self.directory().last_run().is_some_and(|last| as_of < last.run.as_of);
        if dry_run || is_past {
            return Run::new(self, as_of, None).await?.make().await;
        }
        if self.is_recovering().await? {
            return Err(AggregateError::Recovering);
        }
        let ttl = u64::try_from(LEASE_TTL.as_millis()).unwrap_or(u64::MAX);
        let Lease::Granted { token } = self.store.lease(LEASE, &self.node.to_string(), ttl).await? else {
            return Err(AggregateError::Busy);
        };
        let renewal = Renewal(tokio::spawn(keep_lease(Arc::clone(self), ttl)));
        let made = self.make_run(as_of, token).await;
        drop(renewal);
        // A lease that can't be given back ends by itself.
        if let Err(error) = self.store.release(LEASE, &self.node.to_string()).await {
            tracing::warn!(%error, "the nightly run's lease ends by itself");
        }
        made
    }

    async fn make_run(
        self: &Arc<Self>,
        as_of: DateTime<Utc>,
        token: u64,
    ) -> std::result::Result<RunReport, AggregateError> {
        let partitions = all_partitions(self.store.partitions());
        let raised =
            try_join_all(partitions.map(|partition| self.store.raise_fence(partition, token))).await?;
        if raised.contains(&false) {
            return Err(AggregateError::Overtaken);
        }
        let report = Run::new(self, as_of, Some(token)).await?.make().await?;
        self.close(vec![Fact::RunFinished { run: report.clone(), fence: token }]).await?;
        Ok(report)
    }

    /// Waits until what this node has journaled so far is in the store.
    async fn wait_until_drained(&self) -> std::result::Result<(), AggregateError> {
        let targets = [Log::Facts, Log::Clicks].map(|log| (log, self.positions(log).0));
        let begun = Instant::now();
        while targets.iter().any(|(log, target)| self.positions(*log).1 < *target) {
            if self.stopping().is_set() {
                return Err(AggregateError::Stopping);
            }
            if begun.elapsed() > DRAIN_PATIENCE {
                return Err(AggregateError::NotDrained);
            }
            tokio::time::sleep(DRAIN_POLL).await;
        }
        // And that the store still has what it had: it may have forgotten while nobody wrote. A drainer that has
        // stopped checks nothing any more.
        tokio::select! {
            checked = tokio::time::timeout(DRAIN_PATIENCE, self.store_is_checked()) => {
                checked.map_err(|_| AggregateError::NotDrained)
            }
            () = self.stopping().wait() => Err(AggregateError::Stopping),
        }
    }

    /// Journals what a run decided, and waits until it is applied.
    async fn close(&self, facts: Vec<Fact>) -> std::result::Result<(), AggregateError> {
        if self.stopping().is_set() {
            return Err(AggregateError::Stopping);
        }
        let (at, by) = (self.now(), "counterfoil".to_owned());
        let records: Vec<Record> =
            facts.into_iter().map(|fact| Record { at, by: by.clone(), fact }).collect();
        let positions = self.append_records(&records).await;
        let positions = positions.map_err(|error| SubmitError::Journal(error.to_string()))?;
        let waits = positions.into_iter().map(|position| self.waiters.wait_for(position));
        let stopped = async {
            self.stopping().wait().await;
            // The drainer applies what it still can.
            tokio::time::sleep(STOP_GRACE).await;
        };
        let all = tokio::select! {
            all = tokio::time::timeout(DRAIN_PATIENCE, try_join_all(waits)) => all,
            () = stopped => return Err(AggregateError::Stopping),
        };
        let Ok(Ok(all)) = all else { return Err(AggregateError::NotDrained) };
        if all.iter().any(|submitted| submitted.outcome == FactOutcome::Refused) {
            return Err(AggregateError::Overtaken);
        }
        Ok(())
    }
}

/// Waits a moment for other nodes' facts; answers those that are behind all the same.
async fn wait_for_other_nodes(app: &App) -> Result<Vec<NodeId>> {
    let begun = Instant::now();
    loop {
        let behind = app.nodes_behind().await?;
        if behind.is_empty() || begun.elapsed() > OTHERS_PATIENCE {
            return Ok(behind);
        }
        tokio::time::sleep(OTHERS_POLL).await;
    }
}

/// Renews the lease until it is dropped: however a run ends, its lease ends with it.
struct Renewal(tokio::task::JoinHandle<()>);

impl Drop for Renewal {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn keep_lease(app: Arc<App>, ttl: u64) {
    loop {
        tokio::time::sleep(LEASE_RENEWAL).await;
        if let Err(error) = app.store.lease(LEASE, &app.node.to_string(), ttl).await {
            tracing::warn!(%error, "the nightly run's lease was not renewed");
        }
    }
}

/// One run.
struct Run<'a> {
    app: &'a Arc<App>,
    through: NaiveDate,
    /// `None`: dry.
    fence: Option<u64>,
    /// Months whose closing began and did not end.
    closing: BTreeMap<Month, Arc<Rules>>,
    /// Months that this run closes, among them those that an earlier run began to.
    closes: BTreeSet<Month>,
    report: RunReport,
    /// Closed statements by month, for the months' own records.
    closed_statements: BTreeMap<Month, u64>,
}

/// An affiliate with all that its statements are computed from.
struct Folder {
    affiliate: Arc<Affiliate>,
    referrals: Vec<Referral>,
    /// Just before they were read.
    read_at: DateTime<Utc>,
    /// Its statements as kept, with their documents' versions.
    kept: BTreeMap<Month, (u64, StatementDoc)>,
}

impl Folder {
    /// Its statement of a month, if that is closed.
    fn closed(&self, month: Month) -> Option<(&Statement, DateTime<Utc>)> {
        let (_, kept) = self.kept.get(&month)?;
        Some((&kept.statement, kept.closed_at?))
    }
    fn closed_months(&self) -> impl Iterator<Item = Month> {
        self.kept.iter().filter(|(_, (_, kept))| kept.is_closed()).map(|(month, _)| *month)
    }
}

impl<'a> Run<'a> {
    async fn new(app: &'a Arc<App>, as_of: DateTime<Utc>, fence: Option<u64>) -> Result<Self> {
        let directory = app.directory();
        let through = app.zone().last_full_day(as_of);
        let nodes_behind = wait_for_other_nodes(app).await?;
        if !nodes_behind.is_empty() {
            tracing::warn!(nodes = ?nodes_behind, "no month closes: nodes are behind");
        }
        let begun = directory.months().filter(|month| !month.closed);
        let closing: BTreeMap<Month, Arc<Rules>> =
            begun.map(|month| (month.month, Arc::new(month.rules.clone()))).collect();
        Ok(Self {
            app,
            through,
            fence,
            closes: closing
                .keys()
                .copied()
                .filter(|month| {
                    nodes_behind.is_empty() && month.is_due(through, app.settings().close_delay_days)
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
                nodes_behind,
            },
            closed_statements: BTreeMap::new(),
        })
    }

    async fn make(mut self) -> std::result::Result<RunReport, AggregateError> {
        let affiliates = self.app.directory().affiliates();
        self.app.run.done.store(0, Ordering::Relaxed);
        self.app.run.total.store(affiliates.len() as u64, Ordering::Relaxed);
        for some in affiliates.chunks(AFFILIATES_AT_ONCE) {
            if self.app.stopping().is_set() {
                return Err(AggregateError::Stopping);
            }
            let folders = self.fetch(some).await?;
            self.fold(folders).await?;
            self.app.run.done.fetch_add(some.len() as u64, Ordering::Relaxed);
        }
        if let Some(fence) = self.fence {
            let months = self.closes.iter().map(|month| Fact::MonthClosed {
                month: *month,
                statements: self.closed_statements.get(month).copied().unwrap_or_default(),
                fence,
            });
            self.app.close(months.collect()).await?;
        }
        self.report.closed = self.closes.into_iter().collect();
        Ok(self.report)
    }

    /// Reads what some affiliates' statements are computed from.
    async fn fetch(&self, affiliates: &[Arc<Affiliate>]) -> Result<Vec<Folder>> {
        let store = &self.app.store;
        let read_at = self.app.now();
        let indexes: Vec<String> = affiliates.iter().map(|affiliate| referrals_index(affiliate.id)).collect();
        let indexes = &indexes;
        let hashed = all_partitions(store.partitions()).filter(|part| *part != Partition::Directory);
        let accounts = hashed.map(|partition| store.load_indexed(partition, indexes, "account:"));
        let kept = affiliates.iter().map(|affiliate| self.kept_statements(affiliate.id));
        let (accounts, kept) = tokio::try_join!(try_join_all(accounts), try_join_all(kept))?;
        let mut folders: Vec<Folder> = affiliates
            .iter()
            .zip(kept)
            .map(|(affiliate, kept)| Folder {
                affiliate: Arc::clone(affiliate),
                referrals: Vec::new(),
                read_at,
                kept,
            })
            .collect();
        for lists in accounts {
            for (folder, docs) in folders.iter_mut().zip(lists) {
                for doc in docs {
                    let account: Account = decode("account", &doc.body)?;
                    let ours = account.credited_to == Some(folder.affiliate.id);
                    folder.referrals.extend(account.referral().filter(|_| ours));
                }
            }
        }
        Ok(folders)
    }

    async fn kept_statements(&self, affiliate: AffiliateId) -> Result<BTreeMap<Month, (u64, StatementDoc)>> {
        let partition = affiliate_partition(affiliate, self.app.store.partitions());
        let prefix = format!("statement:{affiliate}:");
        let lists = self.app.store.load_indexed(partition, &[statements_index(affiliate)], &prefix).await?;
        let docs = lists.into_iter().flatten().map(|doc| {
            let kept: StatementDoc = decode("statement", &doc.body)?;
            Ok((kept.statement.month, (doc.version, kept)))
        });
        docs.collect()
    }

    /// Computes the statements of some affiliates, closes what is due, writes the rest as projections.
    async fn fold(&mut self, mut folders: Vec<Folder>) -> std::result::Result<(), AggregateError> {
        for month in folders.iter().flat_map(Folder::closed_months) {
            if self.closes.contains(&month) {
                *self.closed_statements.entry(month).or_default() += 1;
            }
        }
        // A month whose closing began under other rules than today's goes first, by its own.
        let current = Arc::clone(&self.app.settings().rules);
        let begun: Vec<(Month, Arc<Rules>)> =
            self.closing.iter().map(|(month, rules)| (*month, Arc::clone(rules))).collect();
        for (month, rules) in begun {
            if *rules != *current && self.may_close(month) {
                let statements = self.project(&folders, &rules);
                let due = statements.into_iter().map(|(_, mut all)| {
                    all.retain(|statement| statement.month == month);
                    all
                });
                let due: Vec<Vec<Statement>> = due.collect();
                self.close_statements(&mut folders, due.into_iter().flatten().collect()).await?;
            }
        }
        let projected = self.project(&folders, &current);
        let (mut due, mut open) = (Vec::new(), Vec::new());
        for (place, statements) in projected {
            let folder = &folders[place];
            self.report.accounts += folder.referrals.len() as u64;
            for statement in statements {
                self.report.statements += 1;
                self.report.crossings += statement.lines.len() as u64;
                self.report.adjustments += statement.adjustments.len() as u64;
                if self.may_close(statement.month) {
                    due.push(statement);
                } else {
                    open.push((place, statement));
                }
            }
        }
        self.close_statements(&mut folders, due).await?;
        if self.fence.is_some() {
            self.write_projections(&folders, open).await?;
        }
        Ok(())
    }

    fn may_close(&self, month: Month) -> bool {
        self.report.nodes_behind.is_empty()
            && month.is_due(self.through, self.app.settings().close_delay_days)
    }

    /// All open months of some affiliates, each with its folder's place.
    fn project(&self, folders: &[Folder], rules: &Arc<Rules>) -> Vec<(usize, Vec<Statement>)> {
        let directory = self.app.directory();
        let mut shared: HashMap<Month, Arc<Rules>> = HashMap::new();
        let mut all = Vec::with_capacity(folders.len());
        for (place, folder) in folders.iter().enumerate() {
            let mut closed_months: Vec<ClosedMonth> = Vec::new();
            for month in directory.months() {
                let statement = folder.closed(month.month);
                // A closing month is closed for those affiliates only that a run came to.
                if month.closed || statement.is_some() {
                    let rules = shared.entry(month.month).or_insert_with(|| Arc::new(month.rules.clone()));
                    closed_months.push(ClosedMonth {
                        month: month.month,
                        rules: Arc::clone(rules),
                        closed_at: statement.map_or(month.closing_at, |(_, closed_at)| closed_at),
                        statement: statement.map(|(statement, _)| statement.clone()),
                    });
                }
            }
            let ledger = Ledger {
                affiliate_id: folder.affiliate.id,
                closed_at: folder.affiliate.closed_at(),
                closed_months: &closed_months,
                referrals: &folder.referrals,
                rules,
                through: self.through,
            };
            all.push((place, project(&ledger)));
        }
        all
    }

    /// Closes statements: first each month's closing begins, then its statements are closed.
    async fn close_statements(
        &mut self,
        folders: &mut [Folder],
        due: Vec<Statement>,
    ) -> std::result::Result<(), AggregateError> {
        for statement in &due {
            self.closes.insert(statement.month);
            *self.closed_statements.entry(statement.month).or_default() += 1;
        }
        let (Some(fence), Some(read_at)) = (self.fence, folders.first().map(|folder| folder.read_at)) else {
            return Ok(());
        };
        let begin = self.closes.iter().filter(|month| !self.closing.contains_key(month));
        let begin: Vec<Month> = begin.copied().collect();
        let rules = Arc::clone(&self.app.settings().rules);
        let facts = begin.iter().map(|month| Fact::MonthClosing {
            month: *month,
            rules: (*rules).clone(),
            as_of: self.report.as_of,
            fence,
        });
        self.app.close(facts.collect()).await?;
        self.closing.extend(begin.into_iter().map(|month| (month, Arc::clone(&rules))));
        let facts = due.iter().map(|statement| Fact::StatementClosed {
            statement: statement.clone(),
            read_at,
            fence,
        });
        self.app.close(facts.collect()).await?;
        for statement in due {
            if let Some(folder) =
                folders.iter_mut().find(|folder| folder.affiliate.id == statement.affiliate_id)
            {
                let month = statement.month;
                folder.kept.insert(
                    month,
                    (0, StatementDoc { closed_at: Some(read_at), withdrawn: false, statement }),
                );
            }
        }
        Ok(())
    }

    /// Writes what open months say so far; derived, and so not journaled.
    async fn write_projections(
        &self,
        folders: &[Folder],
        open: Vec<(usize, Statement)>,
    ) -> std::result::Result<(), AggregateError> {
        let mut by_folder: BTreeMap<usize, Vec<Statement>> = BTreeMap::new();
        for (place, statement) in open {
            by_folder.entry(place).or_default().push(statement);
        }
        let none = Vec::new();
        let writes = folders.iter().enumerate().map(|(place, folder)| {
            let statements = by_folder.get(&place).unwrap_or(&none);
            self.write_projection(folder, statements)
        });
        try_join_all(writes).await?;
        Ok(())
    }

    async fn write_projection(
        &self,
        folder: &Folder,
        statements: &[Statement],
    ) -> std::result::Result<(), AggregateError> {
        let id = folder.affiliate.id;
        let partition = affiliate_partition(id, self.app.store.partitions());
        let mut kept = folder.kept.clone();
        for _ in 0..WRITE_TRIES {
            let mut commit = Commit { fence: self.fence, ..Commit::to(partition) };
            for statement in statements {
                let former = kept.get(&statement.month);
                let doc = StatementDoc { closed_at: None, withdrawn: false, statement: statement.clone() };
                if former.is_some_and(|(_, former)| former.is_closed() || *former == doc) {
                    continue;
                }
                let shown =
                    former.filter(|(_, former)| !former.withdrawn).map(|(_, former)| &former.statement);
                for entry in crossing_entries(shown, statement) {
                    commit.appends.push(Append { stream: FEED, body: entry.to_string().into_bytes() });
                }
                commit.writes.push(write(former, &doc));
                commit.indexes.extend(statement_indexes(statement));
            }
            // What late facts left without a referral is shown no more.
            for former in kept.values().filter(|(_, former)| !former.is_closed() && !former.withdrawn) {
                let statement = &former.1.statement;
                if statements.iter().all(|still| still.month != statement.month) {
                    let doc = StatementDoc { withdrawn: true, ..former.1.clone() };
                    commit.writes.push(write(Some(former), &doc));
                }
            }
            if commit.writes.is_empty() {
                return Ok(());
            }
            match self.app.store.commit(&commit).await? {
                Committed::Done => return Ok(()),
                Committed::Fenced(_) => return Err(AggregateError::Overtaken),
                Committed::Stale | Committed::CursorAt(_) => kept = self.kept_statements(id).await?,
            }
        }
        Err(AggregateError::Overtaken)
    }
}

/// A statement's document as it is to be written over the former one.
fn write(former: Option<&(u64, StatementDoc)>, doc: &StatementDoc) -> Write {
    Write {
        key: statement_key(doc.statement.affiliate_id, doc.statement.month),
        expected: former.map_or(0, |(version, _)| *version),
        // A statement is plain data with text keys: JSON can say all of it.
        body: serde_json::to_vec(doc).expect("statements are plain data"),
    }
}
