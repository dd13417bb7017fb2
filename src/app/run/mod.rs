//! The nightly run: folds all facts up to the last full day into statements, closes the months that are due.
//!
//! A run is a pure function of the facts and its as-of: [`project`](crate::domain::statement::project) computes an
//! affiliate's statements, and the run only fetches what it needs and keeps what it says. Its durable steps, in order:
//!
//! 1. the lease is taken, and its token raised in every partition: an older run's late writes are refused;
//! 2. the feed is taken in: of which affiliates and accounts something became known [since] the last run;
//! 3. for some affiliates at a time: the closing of each due month begins (its rules are fixed), their
//!    statements of these months are closed, those of open months are written as projections, with the
//!    summaries of their referrals;
//! 4. each month whose statements are all closed is closed; what the next run needs is left in each partition; the
//!    run is finished.
//!
//! Whatever step a crash follows, the next run goes on: a closed statement is found closed, a closing month
//! keeps its rules, and what is left is computed from the same facts to the same bytes. An affiliate of which nothing
//! became known, and for which no date has come, is not computed: it would be found as it was.

mod affiliate_work;
mod changes;
mod make;
mod summaries;
mod write;

use super::actor::{Actor, SERVER};
use super::layout::{UNDECIDED, all_partitions};
use super::{App, SubmitError};
use crate::domain::fact::{self, Fact, Record, RunReport};
use crate::domain::id::NodeId;
use crate::domain::outcome::FactOutcome;
use crate::domain::person::Permission;
use crate::metrics::RunOutcome;
use crate::store::{Lease, Log, Partition, Result, StoreError};
use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use make::Run;
use serde::Serialize;
use std::collections::BTreeSet;
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
    /// Whoever asks for it may not.
    #[error("run for somebody who may not ask for it")]
    Forbidden,
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
pub(super) struct ProgressCounters {
    running: AtomicBool,
    done: AtomicU64,
    total: AtomicU64,
}

/// Marks the end of a run however it ends.
struct Underway<'a>(&'a ProgressCounters);

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        self.0.running.store(false, Ordering::Relaxed);
    }
}

impl App {
    /// How far the run on this node is.
    pub fn aggregate_progress(&self) -> Progress {
        Progress {
            running: self.books.run.running.load(Ordering::Relaxed),
            done: self.books.run.done.load(Ordering::Relaxed),
            total: self.books.run.total.load(Ordering::Relaxed),
        }
    }

    /// Makes a nightly run that somebody asks for, as of a time (`None`: now). A dry one, and one as of a time before the last run,
    /// writes nothing and says what it would do.
    pub async fn aggregate(
        self: &Arc<Self>,
        actor: &Actor,
        as_of: Option<DateTime<Utc>>,
        dry_run: bool,
    ) -> std::result::Result<RunReport, AggregateError> {
        if !actor.may(Permission::Aggregate) {
            return Err(AggregateError::Forbidden);
        }
        self.aggregate_unless_made(&actor.name(), as_of, dry_run, None).await
    }

    /// Makes the nightly run that was due at a time, unless another node makes it, or just has.
    pub(crate) async fn aggregate_due(
        self: &Arc<Self>,
        due: DateTime<Utc>,
    ) -> std::result::Result<RunReport, AggregateError> {
        self.aggregate_unless_made(SERVER, None, false, Some(due)).await
    }

    async fn aggregate_unless_made(
        self: &Arc<Self>,
        by: &str,
        as_of: Option<DateTime<Utc>>,
        dry_run: bool,
        due: Option<DateTime<Utc>>,
    ) -> std::result::Result<RunReport, AggregateError> {
        let as_of = as_of.unwrap_or_else(|| self.now());
        if as_of > self.now() {
            return Err(AggregateError::AsOfInFuture);
        }
        if self.books.run.running.swap(true, Ordering::Relaxed) {
            return Err(AggregateError::Busy);
        }
        let _underway = Underway(&self.books.run);
        let begun = Instant::now();
        let made = self.aggregate_alone(by, as_of, dry_run, due).await;
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

    /// Makes the last run again where the store has lost the statements of open months: they stand in no journal.
    /// Answers whether they are there now.
    pub(crate) async fn restate(self: &Arc<Self>) -> std::result::Result<bool, AggregateError> {
        if !self.store_is_up() || self.is_recovering().await? || !self.clicks_are_in() {
            return Ok(false);
        }
        self.wait_until_drained().await?;
        self.follow_directory().await?;
        let Some(last) = self.directory().last_run().map(|last| last.run.as_of) else { return Ok(true) };
        if changes::are_left(self).await? {
            return Ok(true);
        }
        self.aggregate(&Actor::server(), Some(last), false).await.map(|_| true)
    }

    async fn aggregate_alone(
        self: &Arc<Self>,
        by: &str,
        as_of: DateTime<Utc>,
        dry_run: bool,
        due: Option<DateTime<Utc>>,
    ) -> std::result::Result<RunReport, AggregateError> {
        self.wait_until_drained().await?;
        self.follow_directory().await?;
        let is_past = self.directory().last_run().is_some_and(|last| as_of < last.run.as_of);
        if dry_run || is_past {
            return Run::new(self, by, as_of, None).await?.make().await;
        }
        if self.is_recovering().await? {
            return Err(AggregateError::Recovering);
        }
        let ttl = u64::try_from(LEASE_TTL.as_millis()).unwrap_or(u64::MAX);
        let Lease::Granted { token } = self.store.lease(LEASE, &self.node.to_string(), ttl).await? else {
            return Err(AggregateError::Busy);
        };
        let renewal = Renewal(tokio::spawn(keep_lease(Arc::clone(self), ttl)));
        let made = match self.is_made_by_now(due).await {
            Ok(true) => Err(AggregateError::Busy),
            Ok(false) => self.make_run(by, as_of, token).await,
            Err(error) => Err(error.into()),
        };
        drop(renewal);
        // A lease that can't be given back ends by itself.
        if let Err(error) = self.store.release(LEASE, &self.node.to_string()).await {
            tracing::warn!(%error, "the nightly run's lease ends by itself");
        }
        made
    }

    /// Whether a run that is due was made: whoever had the lease before may have.
    async fn is_made_by_now(&self, due: Option<DateTime<Utc>>) -> Result<bool> {
        self.follow_directory().await?;
        let directory = self.directory();
        let last = directory.last_run().map(|last| &last.run);
        Ok(due.zip(last).is_some_and(|(due, last)| due <= last.as_of && !last.may_miss_facts()))
    }

    async fn make_run(
        self: &Arc<Self>,
        by: &str,
        as_of: DateTime<Utc>,
        token: u64,
    ) -> std::result::Result<RunReport, AggregateError> {
        let begun = Instant::now();
        let partitions = all_partitions(self.store.partitions());
        let raised =
            try_join_all(partitions.map(|partition| self.store.raise_fence(partition, token))).await?;
        if raised.contains(&false) {
            return Err(AggregateError::Overtaken);
        }
        let report = Run::new(self, by, as_of, Some(token)).await?.make().await?;
        let took_ms = u64::try_from(begun.elapsed().as_millis()).ok();
        let finished = Fact::RunFinished(fact::RunFinished { run: report.clone(), fence: token, took_ms });
        self.close(by, vec![finished]).await?;
        Ok(report)
    }

    /// Waits until what this node has journaled so far is in the store.
    pub(super) async fn wait_until_drained(&self) -> std::result::Result<(), AggregateError> {
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
    async fn close(&self, by: &str, facts: Vec<Fact>) -> std::result::Result<(), AggregateError> {
        if self.stopping().is_set() {
            return Err(AggregateError::Stopping);
        }
        let at = self.now();
        let records: Vec<Record> =
            facts.into_iter().map(|fact| Record { at, by: by.to_owned(), fact }).collect();
        let positions = self.append_records(&records).await;
        let positions = positions.map_err(|error| SubmitError::Journal(error.to_string()))?;
        let waits = positions.into_iter().map(|position| self.intake.waiters.wait_for(position));
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
        for submitted in all {
            match submitted.outcome {
                FactOutcome::Refused => return Err(AggregateError::Overtaken),
                // It was set aside.
                FactOutcome::Deferred => return Err(AggregateError::NotDrained),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Waits a moment for other nodes' facts, and, unless it is dry, until each has told once more where its journal ends: of
/// what it acknowledged since it last did, nobody else knows. Answers those that are behind all the same.
async fn wait_for_other_nodes(app: &App, is_dry: bool) -> Result<Vec<NodeId>> {
    let begun = Instant::now();
    let seen_before = if is_dry { Vec::new() } else { app.store.nodes().await? };
    loop {
        let behind = app.nodes_behind(&seen_before).await?;
        if behind.is_empty() || begun.elapsed() > OTHERS_PATIENCE {
            return Ok(behind);
        }
        tokio::time::sleep(OTHERS_POLL).await;
    }
}

/// Waits a moment for the signups that are in the store and not decided yet: whom they are credited to may change a tier.
/// Answers those that still are not.
async fn wait_for_decisions(app: &App) -> Result<BTreeSet<String>> {
    let begun = Instant::now();
    let mut waiting = undecided(app).await?;
    while !waiting.is_empty() && begun.elapsed() <= OTHERS_PATIENCE {
        tokio::time::sleep(OTHERS_POLL).await;
        let still = undecided(app).await?;
        waiting.retain(|account| still.contains(account));
    }
    Ok(waiting)
}

async fn undecided(app: &App) -> Result<BTreeSet<String>> {
    let hashed = all_partitions(app.store.partitions()).filter(|it| *it != Partition::Directory);
    let lists = hashed.map(|partition| app.store.members(partition, UNDECIDED, None, usize::MAX));
    Ok(try_join_all(lists).await?.into_iter().flatten().collect())
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
