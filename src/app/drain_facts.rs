//! The facts drainer: reads the journal's facts in order, lets the domain's rules say what each does, and commits
//! that to the store together with the node's cursor.
//!
//! Whatever a crash leaves behind is handled by the next start or reconnect, which always asks the store first how
//! far it is:
//!
//! | left behind | handled by |
//! | --- | --- |
//! | facts journaled, not applied | they are read again, from the lowest cursor |
//! | applied in one partition, not in another | each partition has its own cursor and skips what it has applied |
//! | a void journaled, its fact not passed yet | voids further on are read first; a voided fact is skipped |
//! | a signup reserved, not decided | the index `claims:<node>` lists them |
//! | decided in the journal, not applied | decisions further on are read first; the signup is skipped, the decision applied |
//! | a fact set aside in the journal, not passed yet | it is tried again, and not set aside twice |
//!
//! A fact that can't be read or applied must not block those after it: it is [set aside](super::set_aside).

use super::actor::SERVER;
use super::facts::{
    Effect, Located, account_of, affects, apply, fence_of, home_partition, keys_of, needs_order,
};
use super::layout::{account_key, account_partition, index_changes};
use super::outage_log::OutageLog;
use super::replay::NOTHING;
use super::set_aside::{MOST_WAITING, set_aside_fact};
use super::work::Work;
use super::{App, Submitted, lock};
use crate::domain::account::{Account, Refusal, Reservation};
use crate::domain::fact::{self, Fact, Record};
use crate::domain::id::{AccountId, NodeId};
use crate::domain::outcome::FactOutcome;
use crate::journal::{AppendError, JournalError, Reader};
use crate::store::{Advance, Commit, Committed, Cursor, Log, Partition, StoreError, StoreMeta};
use chrono::{DateTime, Utc};
use futures_util::future::{join_all, try_join_all};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Facts applied together; limits a batch's memory to some MiB and its store call to some milliseconds.
const BATCH_RECORDS: usize = 512;
const BATCH_BYTES: usize = 1 << 20;
/// Facts applied before other tasks may run: some tenths of a millisecond.
const APPLIED_AT_ONCE: usize = 8;
/// Signups decided together.
const DECISIONS_AT_ONCE: usize = 256;
/// How often this node checks whether another node has decided a signup that it received too.
const PENDING_POLL: Duration = Duration::from_millis(20);
/// How often the cursors of partitions without facts are advanced, and other nodes' reservations are checked.
const IDLE_TICK: Duration = Duration::from_millis(500);
/// How often a partition's share of a batch is tried while other nodes write the same documents.
const TRIES: u32 = 64;
/// How often the drainer checks whether another node's replay has advanced.
const TURN_POLL: Duration = Duration::from_millis(5);
/// The pause after the store failed.
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// After a connection that lasted this long, an outage counts as a new one.
const LASTED: Duration = Duration::from_secs(5);

/// Receives the last position of the facts journal.
type Wake = tokio::sync::watch::Receiver<u64>;

/// Why a step was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DrainError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("read the journal: {0}")]
    Read(#[from] JournalError),
    #[error("write the journal: {0}")]
    Write(#[from] AppendError),
    #[error("{0}")]
    Unknown(String),
    #[error(
        "apply the fact at position {0}: it needs a fact that another node has not replayed yet; start that node, or run `counterfoil node forget` for a node that never comes back; after the store was emptied, run `counterfoil store confirm` when all nodes have replayed"
    )]
    WaitsForOthers(u64),
    #[error("continue while the server is stopping")]
    Stopping,
}

/// Why a partition's share of a batch could not be applied.
enum Stuck<'b> {
    /// One fact can't be applied.
    At(&'b Located, String),
    /// Nothing can be applied now.
    Somewhere(DrainError),
}

impl<E: Into<DrainError>> From<E> for Stuck<'_> {
    fn from(error: E) -> Self {
        Self::Somewhere(error.into())
    }
}

/// The drainer's state since it last connected to the store.
#[derive(Debug)]
pub(crate) struct FactsDrainer {
    app: Arc<App>,
    reader: Reader,
    /// How far each partition is.
    cursors: HashMap<Partition, Cursor>,
    /// Facts that never have an effect.
    voided: HashSet<u64>,
    /// Facts that are set aside, according to records further on in the journal.
    aside: HashSet<u64>,
    /// Signups whose decision is further on in the journal.
    decided: HashSet<u64>,
    /// Signups that this node has reserved and not decided.
    undecided: Vec<Reservation>,
    /// Positions of signups, by account, whose decision by another node is awaited.
    pending: HashMap<AccountId, Vec<u64>>,
    last_idle: Instant,
    /// The store was found empty, and not all nodes have replayed their journals yet.
    recovering: bool,
    /// What was known about the store as a whole.
    meta: Option<StoreMeta>,
    batch_records: usize,
    /// The oldest fact that could not be applied.
    broke_off_at: Option<u64>,
    /// The journal's end when the drainer connected: facts up to here are replayed.
    replayed_to: u64,
    /// Positions of facts that are in the journal again, further on.
    repeated: Vec<Range<u64>>,
    /// The latest time of the facts that were read for a replay, in Unix milliseconds; a clock may have been set
    /// back.
    replay_time: i64,
}

/// Facts that are read together.
#[derive(Debug, Default)]
struct Batch {
    /// Without those that can't be read.
    facts: Vec<Located>,
    /// The position of the last one, readable or not; `None`: there is nothing new.
    end: Option<Cursor>,
}

/// What is further on in the journal.
#[derive(Debug, Default)]
struct Ahead {
    voided: HashSet<u64>,
    aside: HashSet<u64>,
    decided: HashSet<u64>,
}

/// The result of a partition's share of a batch.
#[derive(Debug, Default)]
struct PartitionResult {
    cursor: Cursor,
    claims: Vec<Reservation>,
    pending: Vec<(AccountId, u64)>,
    completed: Vec<(u64, Submitted)>,
    decided: Vec<(u64, Arc<Account>, FactOutcome)>,
    voided: Vec<u64>,
}

/// Runs until the application stops and everything that can be applied has been applied.
pub(crate) async fn run(app: Arc<App>) {
    let mut wake = app.journal.facts().subscribe();
    let mut outage = OutageLog::default();
    // After an error that one fact may have caused, facts are applied one by one, so that the facts before it are
    // applied and the fact at fault is found.
    let mut one_by_one = false;
    loop {
        match FactsDrainer::connect(&app, one_by_one).await {
            Ok(mut drainer) => {
                app.set_store_up(true);
                let begun = Instant::now();
                let Err(error) = drainer.drain(&mut wake).await else { return };
                if matches!(error, DrainError::Stopping) {
                    return;
                }
                if begun.elapsed() > LASTED {
                    outage.ok();
                }
                one_by_one = matches!(
                    error,
                    DrainError::WaitsForOthers(_) | DrainError::Store(StoreError::Corrupt(_))
                );
                app.broke_off(Log::Facts, drainer.broke_off_at, why(&error));
                app.meeting
                    .waits_for_others
                    .store(matches!(error, DrainError::WaitsForOthers(_)), Ordering::Relaxed);
                outage.failed(&error, "facts wait in the journal");
                if matches!(error, DrainError::WaitsForOthers(_)) {
                    // Other nodes need not wait for this one, which waits for them; they learn it from its next
                    // heartbeat at the latest.
                    if let Err(error) = app.heartbeat().await {
                        tracing::debug!(%error, "the heartbeat could not be written");
                    }
                }
            }
            Err(error) => {
                app.broke_off(Log::Facts, None, why(&error));
                outage.failed(&error, "facts wait in the journal");
            }
        }
        app.set_store_up(false);
        app.metrics.store_failed();
        if app.stopping().await_for(RETRY_AFTER).await {
            // What is left stays in the journal; the next start continues there.
            return;
        }
    }
}

/// The error, and what an operator can do about it.
fn why(error: &DrainError) -> String {
    let remedy = match error {
        DrainError::Store(StoreError::Unavailable(_)) => "it continues by itself when the store is back",
        DrainError::Store(StoreError::Corrupt(_)) => "see the log, and `counterfoil facts list`",
        DrainError::Store(StoreError::Damaged(_)) => {
            "stop the server, remove the file, start it again: the store is made again from the journal"
        }
        DrainError::Read(_) => "see `counterfoil verify`; restore the journal's files from a backup",
        DrainError::Write(_) => "check that the disk of the data directory has room and accepts writes",
        DrainError::Unknown(_) => "see `counterfoil facts list` and the log",
        // The error itself says what to do.
        DrainError::WaitsForOthers(_) | DrainError::Stopping => return error.to_string(),
    };
    format!("failed to {error}; {remedy}")
}

impl FactsDrainer {
    /// Asks the store how far it is, and reads ahead in the journal.
    async fn connect(app: &Arc<App>, one_by_one: bool) -> Result<Self, DrainError> {
        app.check_store_identity().await?;
        let meta = app.store.meta().await?;
        let recovering = meta.as_ref().is_none_or(|meta| meta.recovering);
        let cursors: HashMap<_, _> = app.store.cursors(app.node, Log::Facts).await?.into_iter().collect();
        let lowest = lowest(&cursors);
        let start = app.journal.resume_after(Log::Facts, lowest);
        let Ahead { voided, aside, decided } = look_ahead(app, start).await?;
        let reader = app.journal.reader(Log::Facts, start, false)?;
        if reader.next_position() != start + 1 {
            return Err(DrainError::Unknown(format!(
                "find the facts after position {start} in the journal: they were archived; restore their segments"
            )));
        }
        app.set_applied(Log::Facts, start);
        app.set_whole(!recovering && start >= app.journal.facts().last_position());
        // A store that lost facts, or was away, may have lost clicks too.
        app.doubt_clicks();
        let mut drainer = Self {
            app: Arc::clone(app),
            reader,
            cursors,
            voided,
            aside,
            decided,
            undecided: Vec::new(),
            pending: HashMap::new(),
            last_idle: Instant::now(),
            recovering,
            meta,
            batch_records: if one_by_one { 1 } else { BATCH_RECORDS },
            broke_off_at: None,
            replayed_to: app.journal.facts().last_position(),
            repeated: app.journal.repeated(Log::Facts),
            replay_time: 0,
        };
        drainer.announce_when_replayed().await?;
        drainer.reload_reservations().await?;
        drainer.app.reload_directory().await?;
        Ok(drainer)
    }

    /// Drains until stopped (`Ok`) or until the store or the journal fails.
    async fn drain(&mut self, wake: &mut Wake) -> Result<(), DrainError> {
        loop {
            let batch = self.read().await?;
            let batch = self.in_turn(batch).await?;
            let idle = batch.end.is_none();
            if let Some(end) = batch.end {
                self.apply_batch(&batch.facts, end).await?;
                self.app.set_applied(Log::Facts, end.position);
                self.batch_records = (self.batch_records * 2).min(BATCH_RECORDS);
                lock(&self.app.meeting.seen_cursors).clone_from(&self.cursors);
                self.announce_when_replayed().await?;
            }
            self.app.meeting.waits_for_others.store(false, Ordering::Relaxed);
            self.decide().await?;
            self.show_undecided();
            self.poll_pending().await?;
            if self.last_idle.elapsed() >= IDLE_TICK || self.app.check_wanted() {
                self.tick().await?;
            }
            if idle {
                if self.app.stopping().is_set() {
                    // Signups that could not be decided are found again by their reservations.
                    self.advance_idle_cursors().await?;
                    return Ok(());
                }
                self.rest(wake).await?;
            }
        }
    }

    /// Does what no fact causes: cursors, other nodes' reservations and changes of the directory, and the check
    /// that the store lost nothing.
    async fn tick(&mut self) -> Result<(), DrainError> {
        self.last_idle = Instant::now();
        self.advance_idle_cursors().await?;
        let stands: HashMap<_, _> =
            self.app.store.cursors(self.app.node, Log::Facts).await?.into_iter().collect();
        if stands != self.cursors {
            return Err(StoreError::Unavailable("the store lost what it had applied".to_owned()).into());
        }
        self.check_meta().await?;
        self.take_over_reservations().await?;
        self.app.follow_directory().await?;
        self.app.count_set_aside().await?;
        // Tasks that asked for this check wait until everything to be replayed is applied.
        if self.reader.next_position() > self.replayed_to {
            self.app.checked();
        }
        Ok(())
    }

    /// A store that was emptied, or confirmed, must be checked again from the start.
    async fn check_meta(&self) -> Result<(), DrainError> {
        if self.app.store.meta().await? == self.meta {
            return Ok(());
        }
        Err(StoreError::Unavailable("the store was emptied or confirmed meanwhile".to_owned()).into())
    }

    /// Waits for something to do.
    async fn rest(&mut self, wake: &mut Wake) -> Result<(), DrainError> {
        let waits_for_others = !self.pending.is_empty() || !self.undecided.is_empty();
        let patience = if waits_for_others { PENDING_POLL } else { IDLE_TICK };
        tokio::select! {
            // An error means that the journal is closed; the next read finds that out.
            _ = wake.changed() => {}
            () = self.app.stopping().wait() => {}
            () = self.app.until_check_wanted() => {}
            () = tokio::time::sleep(patience) => {}
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<Batch, DrainError> {
        let up_to = self.app.journal.facts().last_position();
        let read = self.reader.next_batch(self.batch_records, BATCH_BYTES, up_to)?;
        let (mut facts, mut unreadable) = (Vec::new(), Vec::new());
        let counts = |cursor: &Cursor| !self.repeated.iter().any(|range| range.contains(&cursor.position));
        for (cursor, payload) in read.iter().filter(|(cursor, _)| counts(cursor)) {
            match serde_json::from_slice(payload) {
                Ok(record) => facts.push(Located { cursor, record }),
                Err(error) => {
                    let cause = format!("it can't be read: {error}; perhaps a newer version wrote it");
                    unreadable.push((cursor, cause, payload.to_vec()));
                }
            }
        }
        let end = read.last();
        for (cursor, cause, payload) in unreadable {
            self.set_aside(cursor, &cause, &payload).await?;
            // It may be readable next time.
            self.aside.insert(cursor.position);
        }
        Ok(Batch { facts, end })
    }

    /// The facts of a batch that may be applied now: in a replay, facts about the directory and about lines by hand wait
    /// for older ones of other nodes. The rest is read again later.
    async fn in_turn(&mut self, mut batch: Batch) -> Result<Batch, DrainError> {
        let replayed = batch.facts.partition_point(|located| located.cursor.position <= self.replayed_to);
        if replayed == 0 {
            return Ok(batch);
        }
        let mut latest = self.replay_time;
        let times: Vec<i64> = batch.facts[..replayed]
            .iter()
            .map(|located| {
                latest = latest.max(located.record.at.timestamp_millis());
                latest
            })
            .collect();
        let begun = Instant::now();
        let (now, waits_for) = loop {
            let (now, waits_for) = self.count_in_turn(&batch.facts[..replayed], &times).await?;
            let Some(node) = waits_for.filter(|_| now == 0) else { break (now, waits_for) };
            self.wait_for_turn(batch.facts[0].cursor.position, node, begun).await?;
        };
        if waits_for.is_some() {
            // The reader is ahead: it continues where the rest begins.
            batch.facts.truncate(now);
            batch.end = batch.facts.last().map(|located| located.cursor);
            self.reader =
                self.app.journal.reader(Log::Facts, batch.end.map_or(0, |end| end.position), false)?;
        }
        self.replay_time = times[now.max(1) - 1];
        Ok(batch)
    }

    /// How many facts may be applied now, and for which node the next one waits.
    async fn count_in_turn(
        &self,
        facts: &[Located],
        times: &[i64],
    ) -> Result<(usize, Option<NodeId>), DrainError> {
        self.app.announce_replay_from(times[0]).await?;
        let life = self.meta.as_ref().map(StoreMeta::life).unwrap_or_default();
        let others = self.app.other_replays(&life).await?;
        for (place, (located, at_ms)) in facts.iter().zip(times).enumerate() {
            if let Some(node) =
                others.before(self.app.node, *at_ms).filter(|_| needs_order(&located.record.fact))
            {
                return Ok((place, Some(node)));
            }
        }
        Ok((facts.len(), None))
    }

    /// Waits a little for another node's replay, and reports it when it takes longer.
    async fn wait_for_turn(&self, position: u64, node: NodeId, begun: Instant) -> Result<(), DrainError> {
        if begun.elapsed() > LASTED {
            let text = format!(
                "failed to apply the fact at position {position}: the store lost data, and {node} has older facts to apply; start it, or run `counterfoil node forget` if it never comes back"
            );
            self.app.broke_off(Log::Facts, Some(position), text);
        }
        if self.app.stopping().await_for(TURN_POLL).await {
            return Err(DrainError::Stopping);
        }
        self.check_meta().await
    }

    /// Announces to the other nodes when everything is applied that was journaled before this node connected.
    async fn announce_when_replayed(&self) -> Result<(), DrainError> {
        if self.reader.next_position() > self.replayed_to {
            self.app.announce_replay_from(NOTHING).await?;
            self.app.set_whole(!self.recovering);
        }
        Ok(())
    }

    /// Whether the facts of other nodes could still change what becomes of a fact.
    async fn others_can_change(&self, located: &Located) -> Result<bool, DrainError> {
        if self.recovering {
            return Ok(true);
        }
        let life = self.meta.as_ref().map(StoreMeta::life).unwrap_or_default();
        let at_ms = self.replay_time.max(located.record.at.timestamp_millis());
        Ok(!self.app.other_replays(&life).await?.none_can_change(self.app.node, at_ms))
    }

    /// Sets a fact aside, so that those after it are not blocked: a person decides about it. This is on disk
    /// before any partition passes it.
    async fn set_aside(&self, at: Cursor, cause: &str, payload: &[u8]) -> Result<(), DrainError> {
        let (app, position) = (&self.app, at.position);
        if !self.aside.contains(&position) {
            if app.drains.waiting_aside.load(Ordering::Relaxed) >= MOST_WAITING {
                return Err(DrainError::Unknown(format!(
                    "apply the fact at position {position}: {cause}; too many facts are set aside, so all wait now; decide about those first"
                )));
            }
            tracing::error!(
                position,
                cause,
                "a fact can't be applied and is set aside; see `counterfoil facts list`"
            );
            let fact = set_aside_fact(app.node, at, cause, payload);
            app.append_records(&[Record { at: app.now(), by: SERVER.to_owned(), fact }]).await?;
            app.drains.set_aside_here.fetch_add(1, Ordering::Relaxed);
            app.drains.waiting_aside.fetch_add(1, Ordering::Relaxed);
        }
        let outcome = FactOutcome::Deferred;
        app.complete(position, Submitted { outcome, account: None, refusal: None });
        Ok(())
    }

    /// Applies a batch: the hashed partitions at the same time, then the directory, which leaves out what they
    /// refused.
    async fn apply_batch(&mut self, batch: &[Located], end: Cursor) -> Result<(), DrainError> {
        let partitions = self.app.store.partitions();
        let homes: BTreeSet<Partition> =
            batch.iter().filter_map(|located| home_partition(&located.record.fact, partitions)).collect();
        let hashed = homes.iter().copied().filter(|home| *home != Partition::Directory);
        let parts = join_all(hashed.map(|partition| self.apply_part(partition, batch, end))).await;
        let mut failed = None;
        for part in parts {
            match part {
                Ok((partition, part)) => self.take(partition, part),
                // The other partitions' results are valid; this one's facts are read again.
                Err((partition, error)) => {
                    let oldest = [self.broke_off_at, self.oldest_of(partition, batch)];
                    self.broke_off_at = oldest.into_iter().flatten().min();
                    failed = Some(error);
                }
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        let touched =
            batch.iter().any(|located| affects(&located.record.fact, Partition::Directory, partitions));
        if touched {
            let applied = self.apply_part(Partition::Directory, batch, end).await;
            let (partition, part) = match applied {
                Ok(applied) => applied,
                Err((partition, error)) => {
                    self.broke_off_at = self.oldest_of(partition, batch);
                    return Err(error);
                }
            };
            self.app.follow_directory().await?;
            self.take(partition, part);
        }
        Ok(())
    }

    /// The first fact of a batch that a partition has not applied yet.
    fn oldest_of(&self, partition: Partition, batch: &[Located]) -> Option<u64> {
        let (cursor, partitions) = (self.cursors.get(&partition).copied(), self.app.store.partitions());
        let waits = |located: &&Located| {
            Some(located.cursor) > cursor && affects(&located.record.fact, partition, partitions)
        };
        batch.iter().find(waits).map(|located| located.cursor.position)
    }

    fn take(&mut self, partition: Partition, part: PartitionResult) {
        self.cursors.insert(partition, part.cursor);
        self.undecided.extend(part.claims);
        self.voided.extend(part.voided);
        for (account, position) in part.pending {
            self.pending.entry(account).or_default().push(position);
        }
        for (signup_position, account, outcome) in part.decided {
            self.decided.remove(&signup_position);
            if outcome == FactOutcome::Conflict {
                self.app.complete(signup_position, Submitted { outcome, account: None, refusal: None });
                continue;
            }
            let answer = |outcome| Submitted { outcome, account: Some(Arc::clone(&account)), refusal: None };
            self.app.complete(signup_position, answer(FactOutcome::New));
            for copy in self.pending.remove(&account.id).unwrap_or_default() {
                self.app.complete(copy, answer(FactOutcome::Replayed));
            }
        }
        for (position, submitted) in part.completed {
            self.app.complete(position, submitted);
        }
    }

    /// Applies a partition's share of a batch. Tries again while other nodes write first; one of the nodes
    /// succeeds each time.
    async fn apply_part(
        &self,
        partition: Partition,
        batch: &[Located],
        end: Cursor,
    ) -> Result<(Partition, PartitionResult), (Partition, DrainError)> {
        // Facts that had no effect or were set aside in this batch.
        let mut passed: HashSet<u64> = HashSet::new();
        let mut tries = 0;
        while tries < TRIES {
            match self.try_part(partition, batch, end, &mut passed).await {
                Ok(Some(part)) => return Ok((partition, part)),
                Ok(None) => tries += 1,
                Err(Stuck::At(located, cause)) => {
                    // A record is plain data with text keys: JSON can say all of it.
                    let payload = serde_json::to_vec(&located.record).expect("records are plain data");
                    let aside = self.set_aside(located.cursor, &cause, &payload).await;
                    aside.map_err(|error| (partition, error))?;
                    passed.insert(located.cursor.position);
                }
                Err(Stuck::Somewhere(error)) => return Err((partition, error)),
            }
        }
        let text = format!("write {partition:?} before other nodes do, in {TRIES} tries");
        Err((partition, DrainError::Unknown(text)))
    }

    /// Tries to apply a partition's share of a batch; `None`: to be tried again.
    async fn try_part<'b>(
        &self,
        partition: Partition,
        batch: &'b [Located],
        end: Cursor,
        voided: &mut HashSet<u64>,
    ) -> Result<Option<PartitionResult>, Stuck<'b>> {
        let app = &self.app;
        let partitions = app.store.partitions();
        let cursor = self.cursors.get(&partition).copied().unwrap_or_default();
        if cursor >= end {
            return Ok(Some(PartitionResult {
                cursor,
                voided: voided.iter().copied().collect(),
                ..PartitionResult::default()
            }));
        }
        let relevant: Vec<&Located> = batch
            .iter()
            .filter(|located| located.cursor > cursor)
            .filter(|located| affects(&located.record.fact, partition, partitions))
            .filter(|located| !self.is_skipped(located, voided))
            .collect();
        let now = app.now();
        let keys = relevant.iter().flat_map(|located| keys_of(located, partition, app.node, now)).collect();
        // For a single fact it is known which one a damaged store rejects.
        let stuck = |error: StoreError| match (&error, relevant.as_slice()) {
            (StoreError::Corrupt(cause), [alone]) => Stuck::At(alone, cause.clone()),
            _ => Stuck::Somewhere(error.into()),
        };
        let mut work = Work::load(&*app.store, partition, keys).await.map_err(stuck)?;
        work.switch_off(&app.config().mail.off);
        let mut part = PartitionResult { cursor: end, ..PartitionResult::default() };
        let mut refused = Vec::new();
        let mut fence: Option<u64> = None;
        for (place, located) in relevant.iter().enumerate() {
            // Redirects run on the same threads, so other tasks get a turn in between.
            if place % APPLIED_AT_ONCE == APPLIED_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            let effect = apply_or_stuck(&mut work, partition, app.node, located, now)?;
            if let Some(token) = fence_of(&located.record.fact) {
                fence = Some(fence.map_or(token, |lowest| lowest.min(token)));
            }
            if let Effect::Void { reason, refusal } = &effect {
                let may_change = refusal.is_some_and(|refusal| !refusal.is_final());
                let is_replayed = located.cursor.position <= self.replayed_to;
                if may_change && is_replayed && self.others_can_change(located).await? {
                    return Err(DrainError::WaitsForOthers(located.cursor.position).into());
                }
                refused.push((*located, reason.clone(), *refusal));
            } else {
                part.note(
                    located,
                    effect,
                    home_partition(&located.record.fact, partitions) == Some(partition),
                );
            }
        }
        voided.extend(self.void(&refused).await?);
        let advance = Advance { node: app.node, log: Log::Facts, from: cursor, to: end };
        let commit = Commit { advance: Some(advance), fence, ..work.into_commit() };
        #[cfg(feature = "sabotage")]
        crate::crash::facts("journaled", relevant.iter().map(|located| &located.record.fact));
        match app.store.commit(&commit).await.map_err(stuck)? {
            Committed::Done => {
                #[cfg(feature = "sabotage")]
                crate::crash::facts("applied", relevant.iter().map(|located| &located.record.fact));
                part.voided = voided.iter().copied().collect();
                return Ok(Some(part));
            }
            // The store lost data, or a commit that seemed to fail succeeded late. Either way the store is
            // asked again.
            Committed::CursorAt(stands) => {
                let text = format!("the cursor of {partition:?} is {stands:?} and not {cursor:?}");
                return Err(DrainError::from(StoreError::Unavailable(text)).into());
            }
            // Another node wrote first: its data is read, and the rules are applied again.
            Committed::Stale => {}
            Committed::Fenced(token) => {
                let is_late =
                    |located: &&&Located| fence_of(&located.record.fact).is_some_and(|ours| ours < token);
                let late = relevant.iter().filter(is_late);
                let late: Vec<_> = late
                    .map(|located| (*located, "fenced".to_owned(), Some(Refusal::AlreadyClosed)))
                    .collect();
                voided.extend(self.void(&late).await?);
            }
        }
        Ok(None)
    }

    /// Records permanently that facts have no effect. A refusal is a decision: it is on disk before anybody learns
    /// of it.
    async fn void(&self, refused: &[(&Located, String, Option<Refusal>)]) -> Result<Vec<u64>, DrainError> {
        let now = self.app.now();
        let records: Vec<Record> =
            refused.iter().map(|(located, reason, _)| void_record(located, reason, now)).collect();
        self.app.append_records(&records).await?;
        for (located, _, refusal) in refused {
            let outcome = if refusal.is_some() { FactOutcome::Refused } else { FactOutcome::Conflict };
            let submitted = Submitted { outcome, account: None, refusal: *refusal };
            self.app.complete(located.cursor.position, submitted);
        }
        Ok(refused.iter().map(|(located, ..)| located.cursor.position).collect())
    }

    fn is_skipped(&self, located: &Located, voided: &HashSet<u64>) -> bool {
        let position = located.cursor.position;
        self.voided.contains(&position)
            || voided.contains(&position)
            || (matches!(located.record.fact, Fact::Signup(_)) && self.decided.contains(&position))
    }

    /// Decides about the reserved signups. The decisions are journaled, and applied in their order.
    async fn decide(&mut self) -> Result<(), DrainError> {
        // While nodes are missing, an affiliate that only one of them knows would look unknown.
        if self.undecided.is_empty() || !self.app.clicks_are_in() || self.recovering {
            return Ok(());
        }
        let some = self.undecided.len().min(DECISIONS_AT_ONCE);
        let claims: Vec<Reservation> = self.undecided.drain(..some).collect();
        let decided = match self.app.decide(&claims).await {
            // What was read from an emptied store may be incomplete.
            Ok(decisions) => self.check_meta().await.map(|()| decisions),
            Err(error) => Err(error.into()),
        };
        match decided {
            Ok(decisions) => {
                if let Err(error) = self.app.append_records(&decisions).await {
                    self.undecided.extend(claims);
                    return Err(error.into());
                }
                self.decided.extend(claims.iter().map(|claim| claim.origin.position));
                Ok(())
            }
            Err(error) => {
                self.undecided.extend(claims);
                Err(error)
            }
        }
    }

    fn show_undecided(&self) {
        let ours = self.undecided.iter().filter(|claim| claim.origin.node == self.app.node);
        let oldest = ours.map(|claim| claim.origin.position).min().unwrap_or(0);
        self.app.drains.oldest_undecided.store(oldest, Ordering::Relaxed);
    }

    /// Answers requests for signups that another node has decided.
    async fn poll_pending(&mut self) -> Result<(), DrainError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let accounts: Vec<AccountId> = self.pending.keys().cloned().collect();
        for account in try_join_all(accounts.iter().map(|id| self.app.load_account(id))).await? {
            let Some(account) = account.filter(|account| account.signup.is_some()) else { continue };
            let account = Arc::new(account);
            for copy in self.pending.remove(&account.id).unwrap_or_default() {
                let outcome = FactOutcome::Replayed;
                let account = Some(Arc::clone(&account));
                self.app.complete(copy, Submitted { outcome, account, refusal: None });
            }
        }
        Ok(())
    }

    /// Finds the signups that this node reserved and did not decide before it stopped.
    async fn reload_reservations(&mut self) -> Result<(), DrainError> {
        for account in self.app.claimed_accounts(self.app.node).await? {
            if let Some(claim) = account.claim.filter(|claim| claim.origin.node == self.app.node)
                && !self.decided.contains(&claim.origin.position)
            {
                self.undecided.push(claim);
            }
        }
        Ok(())
    }

    /// Takes over reservations of nodes that did not come back.
    async fn take_over_reservations(&mut self) -> Result<(), DrainError> {
        let now = self.app.now();
        for before in self.app.claimed_accounts(self.app.node).await? {
            let mut account = before.clone();
            let Some(claim) = account.take_over(self.app.node, now) else { continue };
            let partition = account_partition(&account.id, self.app.store.partitions());
            let key = account_key(&account.id);
            let mut work = Work::load(&*self.app.store, partition, vec![key.clone()]).await?;
            if work.get::<Account>(&key)?.as_ref() != Some(&before) {
                continue;
            }
            work.index_all(index_changes(Some(&before), &account));
            work.put(&key, &account)?;
            if self.app.store.commit(&work.into_commit()).await? == Committed::Done {
                tracing::warn!(account = %account.id, "took over a signup that another node left undecided");
                self.undecided.push(claim);
            }
        }
        Ok(())
    }

    /// Advances the cursors of partitions that had nothing to apply, so that a restart need not read as far back.
    async fn advance_idle_cursors(&mut self) -> Result<(), DrainError> {
        let next = self.reader.next_position();
        let at_end = self.app.end_of(Log::Facts, next);
        // If a store lost only some partitions, the cursors of others are ahead of what was read again: facts
        // are in between.
        let passed = self.cursors.values().filter(|cursor| cursor.position < next).max().copied();
        let Some(end) = at_end.max(passed) else { return Ok(()) };
        let app = &self.app;
        let behind = self.cursors.iter().filter(|(_, cursor)| **cursor < end);
        let moves = behind.map(|(partition, cursor)| {
            let advance = Advance { node: app.node, log: Log::Facts, from: *cursor, to: end };
            let commit = Commit { advance: Some(advance), ..Commit::to(*partition) };
            async move { app.store.commit(&commit).await.map(|committed| (commit.partition, committed)) }
        });
        for (partition, committed) in try_join_all(moves).await? {
            match committed {
                Committed::Done => drop(self.cursors.insert(partition, end)),
                other => {
                    return Err(StoreError::Unavailable(format!("{partition:?} answered {other:?}")).into());
                }
            }
        }
        Ok(())
    }
}

/// Applies a fact. A bug that panics is treated as this fact's error; its changes in `work` are not committed.
fn apply_or_stuck<'b>(
    work: &mut Work,
    partition: Partition,
    node: NodeId,
    located: &'b Located,
    now: DateTime<Utc>,
) -> Result<Effect, Stuck<'b>> {
    match catch_unwind(AssertUnwindSafe(|| apply(work, partition, node, located, now))) {
        Ok(Ok(effect)) => Ok(effect),
        Ok(Err(StoreError::Corrupt(cause))) => Err(Stuck::At(located, cause)),
        Ok(Err(error)) => Err(Stuck::Somewhere(error.into())),
        Err(_) => {
            Err(Stuck::At(located, "applying it panicked: this is a bug; the log says where".to_owned()))
        }
    }
}

impl PartitionResult {
    fn note(&mut self, located: &Located, effect: Effect, at_home: bool) {
        let position = located.cursor.position;
        match effect {
            Effect::Reserved(claim) => self.claims.push(*claim),
            Effect::Pending => {
                let account = account_of(&located.record.fact).cloned();
                self.pending.extend(account.map(|account| (account, position)));
            }
            Effect::Done { account, outcome } => match (&located.record.fact, account) {
                (Fact::Decision(fact::Decision { signup_position, .. }), Some(account)) => {
                    self.decided.push((*signup_position, account, outcome));
                }
                // In the directory, a fact about an account only leaves an entry in the audit log.
                (_, account) if at_home => {
                    let submitted = Submitted { outcome, account, refusal: None };
                    self.completed.push((position, submitted));
                }
                _ => {}
            },
            // The caller has handled it.
            Effect::Void { .. } => {}
        }
    }
}

/// Voids, decisions and facts set aside that are further on than a position.
async fn look_ahead(app: &App, after: u64) -> Result<Ahead, DrainError> {
    let mut ahead = Ahead::default();
    let mut reader = app.journal.reader(Log::Facts, after, false)?;
    let up_to = app.journal.facts().last_position();
    loop {
        let batch = reader.next_batch(BATCH_RECORDS * 8, BATCH_BYTES * 8, up_to)?;
        if batch.last().is_none() {
            return Ok(ahead);
        }
        for (_, payload) in batch.iter() {
            // What can't be read is set aside in its turn.
            let Ok(record) = serde_json::from_slice::<Record>(payload) else { continue };
            match record.fact {
                Fact::Void(void) => drop(ahead.voided.insert(void.position)),
                Fact::SetAside(aside) if aside.node == app.node => drop(ahead.aside.insert(aside.position)),
                Fact::Decision(decision) => drop(ahead.decided.insert(decision.signup_position)),
                _ => {}
            }
        }
        // A long journal takes seconds to read, so other tasks get a turn in between.
        tokio::task::yield_now().await;
    }
}

fn lowest(cursors: &HashMap<Partition, Cursor>) -> Cursor {
    cursors.values().min().copied().unwrap_or_default()
}

fn void_record(located: &Located, reason: &str, now: DateTime<Utc>) -> Record {
    let shown = matches!(located.record.fact, Fact::Signup(_) | Fact::Event(_));
    let account_id = account_of(&located.record.fact).filter(|_| shown).cloned();
    let fact =
        Fact::Void(fact::Void { position: located.cursor.position, reason: reason.to_owned(), account_id });
    Record { at: now, by: SERVER.to_owned(), fact }
}
