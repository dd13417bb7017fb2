//! The nightly run: computes statements from all facts up to the last full day, and closes the months that are
//! due.
//!
//! A run is a pure function of the facts and its as-of: [`project`](crate::domain::statement::project) computes an
//! affiliate's statements; the run only reads the input and writes the result. Its durable steps, in order:
//!
//! 1. the lease is taken, and its token raised in every partition, so that an older run can no longer write;
//! 2. the feed is read: which affiliates and accounts have [changed](changes) since the last run;
//! 3. for some affiliates at a time: the closing of each due month begins (its rules are fixed), their
//!    statements of these months are closed, those of open months are written as projections, with the
//!    summaries of their referrals;
//! 4. each month whose statements are all closed is closed; a checkpoint for the next run is left in each partition;
//!    the run is finished.
//!
//! After a crash at any step, the next run continues: closed statements stay closed, a closing month keeps its
//! rules, and the rest is computed from the same facts to the same bytes. An affiliate without changes, and for
//! which no date has come, is not computed, since its result would be the same.

mod affiliate_work;
mod by_hand;
mod changes;
mod make;
mod summaries;
mod write;

use super::actor::{Actor, SERVER};
use super::layout::{UNDECIDED, all_partitions};
use super::{App, SubmitError};
use crate::domain::account::Refusal;
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
/// A run that does not renew its lease for this long counts as dead. Tests of the sabotaged build, in which many die, do not
/// wait as long.
const LEASE_TTL: Duration = Duration::from_secs(if cfg!(feature = "sabotage") { 4 } else { 30 });
const LEASE_RENEWAL: Duration = Duration::from_secs(if cfg!(feature = "sabotage") { 1 } else { 5 });
/// Affiliates computed together: limits memory, and gives the store batches that are worth their round trip.
const AFFILIATES_AT_ONCE: usize = 64;
/// How long a run waits for its own node's facts to be applied before it gives up.
const DRAIN_PATIENCE: Duration = Duration::from_mins(1);
/// How long a run that is interrupted by a stop waits for what it has journaled.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// How often it checks this.
const DRAIN_POLL: Duration = Duration::from_millis(2);
/// How long a run waits for other nodes' facts; normally they are applied within a second.
const OTHERS_PATIENCE: Duration = Duration::from_secs(3);
const OTHERS_POLL: Duration = Duration::from_millis(50);
/// How often a projection is written again when a fact of the same affiliate comes in between.
const WRITE_TRIES: usize = 5;

/// Why a nightly run was not made.
#[derive(Debug, thiserror::Error)]
pub enum AggregateError {
    /// The actor may not ask for a run.
    #[error("run for an actor who may not ask for it")]
    Forbidden,
    /// `as_of` is in the future.
    #[error("run as of a time in the future")]
    AsOfInFuture,
    /// Another run is under way, here or on another node.
    #[error("run while another run is under way")]
    Busy,
    /// Nodes have not replayed their journals since the store was found empty.
    #[error("run while the store is being rebuilt; when all nodes are in, run `counterfoil store confirm`")]
    Recovering,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] SubmitError),
    /// A later run has taken over.
    #[error("continue a run that a later one has overtaken")]
    Overtaken,
    /// A line by hand was taken back while its month was closing; the next run closes the month without it.
    #[error("close a month with a line by hand that was taken back meanwhile; the next run continues")]
    LinesChanged,
    /// The server is stopping; the next run continues.
    #[error("run while the server is stopping")]
    Stopping,
    /// The node's own facts were not applied in time.
    #[error("apply this node's facts in time; see the store")]
    NotDrained,
}

/// How far a nightly run is.
#[derive(Debug, Clone, Copy, Default, Serialize, utoipa::ToSchema)]
pub struct Progress {
    /// Whether a run is under way on this node.
    pub running: bool,
    /// Affiliates that are done.
    pub done: u64,
    /// Affiliates in total.
    pub total: u64,
}

/// The progress, shared with those who ask for it.
#[derive(Debug, Default)]
pub(super) struct ProgressCounters {
    running: AtomicBool,
    done: AtomicU64,
    total: AtomicU64,
}

/// Notes the end of a run, however it ends.
struct Underway<'a>(&'a ProgressCounters);

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        self.0.running.store(false, Ordering::Relaxed);
    }
}

impl App {
    /// The progress of the run on this node.
    pub fn aggregate_progress(&self) -> Progress {
        Progress {
            running: self.books.run.running.load(Ordering::Relaxed),
            done: self.books.run.done.load(Ordering::Relaxed),
            total: self.books.run.total.load(Ordering::Relaxed),
        }
    }

    /// Makes a nightly run on request, as of a time (`None`: now). A dry run, or one as of a time before the last
    /// run, writes nothing and only reports what it would do.
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

    /// Makes the nightly run that was due at a time, unless another node makes it or has just made it.
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

    /// Makes the last run again if the store lost the statements of open months, which are in no journal. Returns
    /// whether they are there now.
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
        let held = LeaseHeld::take(self).await?;
        let made = match self.is_made_by_now(due).await {
            Ok(true) => Err(AggregateError::Busy),
            Ok(false) => self.make_run(by, as_of, held.token).await,
            Err(error) => Err(error.into()),
        };
        held.release().await;
        made
    }

    /// Whether a run that is due was made meanwhile, by another node that had the lease.
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

    /// Waits until everything that this node has journaled is in the store.
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
        // Also waits for a check that the store still has its data, which it may have lost while nobody wrote. A
        // drainer that has stopped makes no check any more.
        tokio::select! {
            checked = tokio::time::timeout(DRAIN_PATIENCE, self.store_is_checked()) => {
                checked.map_err(|_| AggregateError::NotDrained)
            }
            () = self.stopping().wait() => Err(AggregateError::Stopping),
        }
    }

    /// Journals the decisions of a run, and waits until they are applied.
    pub(super) async fn close(&self, by: &str, facts: Vec<Fact>) -> std::result::Result<(), AggregateError> {
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
                FactOutcome::Refused if submitted.refusal == Some(Refusal::LinesChanged) => {
                    return Err(AggregateError::LinesChanged);
                }
                FactOutcome::Refused => return Err(AggregateError::Overtaken),
                // The fact was set aside.
                FactOutcome::Deferred => return Err(AggregateError::NotDrained),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Waits a moment for other nodes' facts and, unless the run is dry, until each node has reported the end of its
/// journal once more, since nobody else knows what it acknowledged after its last report. Returns the nodes that
/// are still behind.
pub(super) async fn wait_for_other_nodes(app: &App, is_dry: bool) -> Result<Vec<NodeId>> {
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

/// Waits a moment for the signups in the store that are not decided yet, since crediting them may change a tier.
/// Returns those that are still not decided.
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

/// The lease of those who write what statements and payouts are made of: a nightly run, or the making of a payout. It is
/// renewed until it is dropped: however a run ends, its lease ends with it.
pub(super) struct LeaseHeld {
    app: Arc<App>,
    token: u64,
    renewal: tokio::task::JoinHandle<()>,
}

impl LeaseHeld {
    /// Takes it; `Busy`: another has it.
    pub(super) async fn take(app: &Arc<App>) -> std::result::Result<Self, AggregateError> {
        let ttl = u64::try_from(LEASE_TTL.as_millis()).unwrap_or(u64::MAX);
        // The node holds the lease, so that it has it again at once after a failure; in the node, one of them is at work.
        if app.books.at_work.swap(true, Ordering::AcqRel) {
            return Err(AggregateError::Busy);
        }
        let mut held = Self { app: Arc::clone(app), token: 0, renewal: tokio::spawn(async {}) };
        let Lease::Granted { token } = app.store.lease(LEASE, &app.node.to_string(), ttl).await? else {
            return Err(AggregateError::Busy);
        };
        held.token = token;
        held.renewal = tokio::spawn(keep_lease(Arc::clone(app), ttl));
        Ok(held)
    }
    /// Its fencing token.
    pub(super) const fn token(&self) -> u64 {
        self.token
    }
    /// Gives it back. A lease that can't be released ends by itself.
    pub(super) async fn release(self) {
        self.renewal.abort();
        if let Err(error) = self.app.store.release(LEASE, &self.app.node.to_string()).await {
            tracing::warn!(%error, "the lease of the nightly run and of payouts could not be released; it ends by itself");
        }
    }
}

impl Drop for LeaseHeld {
    fn drop(&mut self) {
        self.renewal.abort();
        self.app.books.at_work.store(false, Ordering::Release);
    }
}

async fn keep_lease(app: Arc<App>, ttl: u64) {
    loop {
        tokio::time::sleep(LEASE_RENEWAL).await;
        if let Err(error) = app.store.lease(LEASE, &app.node.to_string(), ttl).await {
            tracing::warn!(%error, "the lease of the nightly run and of payouts was not renewed");
        }
    }
}
