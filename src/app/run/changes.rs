//! What a finished run leaves for the next one (a checkpoint), and what has changed since then.
//!
//! A partition's checkpoint has the position up to which its feed was read and, for each of its affiliates, the run's
//! result and until when it is valid without new facts. The next run reads the feed from that position, and computes only
//! the affiliates that the feed names and those whose result has expired.
//!
//! A checkpoint is trusted only if it is complete. It is the last of a chain of versions: each commit of a run in a
//! partition also writes there that a run is under way, over the version of the commit before, and the checkpoint is
//! written over the last one. If a shard went back to an older state in between, the chain is broken and the run ends. If
//! it went back later, if a run was interrupted, or if another version of the program ran, there is no complete
//! checkpoint, and the next run computes everything.

use super::AggregateError;
use super::by_hand::LineHashes;
use super::make::{Run, lock};
use super::summaries::parts_for;
use crate::app::App;
use crate::app::layout::{CHECKPOINT, FEED, affiliate_partition, all_partitions};
use crate::app::work::decode;
use crate::domain::affiliate::Affiliate;
use crate::domain::calendar::Month;
use crate::domain::id::{AccountId, AffiliateId};
use crate::domain::mark::Mark;
use crate::store::{Commit, Committed, Doc, Partition, Result, Stream, StreamId, Write};
use chrono::{DateTime, NaiveDate, Utc};
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The format of a checkpoint; after a change of format, everything is computed.
const FORMAT: u32 = 2;
/// Entries of the feed read at once.
const FEED_AT_ONCE: usize = 4_096;
/// With more changed accounts than this, reading them one by one is no cheaper than reading all.
const MAX_CHANGED: usize = 200_000;

/// The state of the last run in a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
enum RunState {
    /// It wrote here and did not end.
    UnderWay {
        /// A random id of the run.
        run: String,
    },
    /// It ended.
    Ended(Box<Checkpoint>),
}

/// What a run leaves in a partition when it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Checkpoint {
    format: u32,
    /// The version of the program, and its calendar.
    made_by: String,
    /// A random id of the run.
    run: String,
    /// The last full day.
    through: NaiveDate,
    /// The hash of the rules for open months.
    rules_hash: String,
    /// The newest month that was due and is closed, if there was anything to close in it.
    settled: Option<Month>,
    /// The position up to which the partition's feed was read.
    feed: StreamId,
    /// The affiliates of the partition.
    affiliates: BTreeMap<AffiliateId, AffiliateResult>,
}

/// The result of a run for an affiliate.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct AffiliateResult {
    /// When the affiliate left for good, as far as the run knew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<DateTime<Utc>>,
    /// The first last full day on which the result may change without new facts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes_on: Option<NaiveDate>,
    /// The number of its referrals.
    pub accounts: u64,
    /// The number of its open statements, and of their entries.
    pub statements: u64,
    pub crossings: u64,
    pub adjustments: u64,
    /// SHA-256 of the hashes of its open statements, by month, in hex.
    pub open_hash: String,
    /// The hash of its open lines by hand; empty: it has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by_hand: String,
    /// The hash of its summaries as they were left.
    pub summaries: String,
}

impl AffiliateResult {
    /// In how many parts its summaries were left.
    pub fn parts(&self) -> u16 {
        parts_for(usize::try_from(self.accounts).unwrap_or(usize::MAX))
    }
}

/// What has changed since the last run, and which results are still valid.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Changed accounts, by the affiliates concerned.
    changed: HashMap<AffiliateId, BTreeSet<AccountId>>,
    /// The number of changed accounts.
    accounts: usize,
    /// The results of the last run.
    results: HashMap<AffiliateId, AffiliateResult>,
    /// Whether no month begins, closes or is computed by other rules than in the last run.
    is_quiet: bool,
    through: NaiveDate,
}

/// The end of each hashed partition's feed.
pub(super) type FeedEnds = Vec<(Partition, StreamId)>;

impl Changes {
    /// The last run's result for an affiliate, if it is still valid. `lines`: the affiliates that have open lines by hand
    /// now, which are in no feed.
    pub fn unchanged(&self, affiliate: &Affiliate, lines: &LineHashes) -> Option<&AffiliateResult> {
        if !self.is_quiet || self.changed.contains_key(&affiliate.id) {
            return None;
        }
        let result = self.results.get(&affiliate.id)?;
        let by_hand = lines.get(&affiliate.id).map_or("", String::as_str);
        let stands =
            result.by_hand == by_hand && result.changes_on.is_none_or(|changes_on| self.through < changes_on);
        (stands && result.closed_at == affiliate.closed_at()).then_some(result)
    }

    /// The last run's result for an affiliate, valid or not.
    pub fn last_result(&self, affiliate: AffiliateId) -> Option<&AffiliateResult> {
        self.results.get(&affiliate)
    }

    /// The changed accounts of an affiliate.
    pub fn changed(&self, affiliate: AffiliateId) -> impl Iterator<Item = &AccountId> {
        self.changed.get(&affiliate).into_iter().flatten()
    }
}

/// An entry of the feed; only the fields that say whom it concerns.
#[derive(Deserialize)]
struct Entry {
    kind: String,
    account_id: AccountId,
    #[serde(default)]
    affiliate_id: Option<AffiliateId>,
    /// The affiliate that had the account before.
    #[serde(default)]
    before: Option<AffiliateId>,
}

fn hashed(app: &App) -> impl Iterator<Item = Partition> + use<> {
    all_partitions(app.store.partitions()).filter(|partition| *partition != Partition::Directory)
}

/// The present end of the feed. It must be read before the accounts, so that later changes are read again next
/// time.
pub(super) async fn feed_ends(app: &App) -> Result<FeedEnds> {
    try_join_all(hashed(app).map(|partition| async move {
        let newest = app.store.read_stream_back(Stream(partition, FEED), None, 1).await?;
        Ok((partition, newest.first().map(|entry| entry.id).unwrap_or_default()))
    }))
    .await
}

/// Whether the last run's statements of open months are in the store. They are in no journal, so a store that was
/// refilled lacks them and the checkpoint.
pub(super) async fn are_left(app: &App) -> Result<bool> {
    let key = [CHECKPOINT.to_owned()];
    let docs = try_join_all(hashed(app).map(|partition| app.store.load(partition, &key))).await?;
    Ok(docs.into_iter().flatten().all(|doc| doc.is_some()))
}

impl Run<'_> {
    /// What has changed since the last run; `None`: everything must be computed.
    pub(super) async fn changes(&self) -> Result<Option<Changes>> {
        // A month whose closing began under other rules is computed by those rules, from all facts.
        if self.closing.values().any(|rules| *rules != self.app.settings().rules) {
            return Ok(None);
        }
        let Some(checkpoints) = self.checkpoints().await? else { return Ok(None) };
        let mut changes = Changes { through: self.through, ..Changes::default() };
        let Some((_, last)) = checkpoints.first() else { return Ok(None) };
        changes.is_quiet = self.is_quiet_after(last);
        for (partition, checkpoint) in &checkpoints {
            if !read_feed(self.app, *partition, checkpoint.feed, &mut changes).await? {
                return Ok(None);
            }
        }
        changes.results = checkpoints.into_iter().flat_map(|(_, checkpoint)| checkpoint.affiliates).collect();
        Ok(Some(changes))
    }

    /// The checkpoint of the last run, if it is complete.
    async fn checkpoints(&self) -> Result<Option<Vec<(Partition, Checkpoint)>>> {
        let store = &self.app.store;
        let key = [CHECKPOINT.to_owned()];
        let docs = try_join_all(hashed(self.app).map(|partition| store.load(partition, &key))).await?;
        let mut checkpoints = Vec::with_capacity(docs.len());
        for (partition, doc) in hashed(self.app).zip(docs) {
            let Some(doc) = doc.into_iter().flatten().next() else { return Ok(None) };
            match decode(CHECKPOINT, &doc.body) {
                Ok(RunState::Ended(checkpoint)) => checkpoints.push((partition, *checkpoint)),
                // A run was interrupted, or is of another version.
                Ok(RunState::UnderWay { .. }) | Err(_) => return Ok(None),
            }
        }
        let runs: BTreeSet<&str> =
            checkpoints.iter().map(|(_, checkpoint)| checkpoint.run.as_str()).collect();
        let of_one_run = runs.len() == 1;
        let made_by = made_by(self.app);
        let usable = |checkpoint: &Checkpoint| {
            // A run for an earlier day is computed from all facts.
            checkpoint.format == FORMAT && checkpoint.made_by == made_by && checkpoint.through <= self.through
        };
        let usable = of_one_run && checkpoints.iter().all(|(_, checkpoint)| usable(checkpoint));
        Ok(Some(checkpoints).filter(|_| usable))
    }

    fn is_quiet_after(&self, last: &Checkpoint) -> bool {
        let rules = &self.app.settings().rules;
        // The configuration was checked for a known zone.
        let mark = Mark::of(rules).expect("a configured zone is a known one");
        self.closes.is_empty()
            && last.rules_hash == rules.hash()
            && Month::of(last.through) == Month::of(self.through)
            && last.settled == self.newest_due()
            && self.app.directory().months().all(|month| mark.is_of(&month.rules))
    }

    /// Leaves the results of this run for the next one.
    pub(super) async fn leave(&self, ends: FeedEnds) -> std::result::Result<(), AggregateError> {
        let Some(fence) = self.fence else { return Ok(()) };
        let partitions = self.app.store.partitions();
        let mut by_partition: HashMap<Partition, BTreeMap<AffiliateId, AffiliateResult>> = HashMap::new();
        for (affiliate, result) in &self.results {
            let partition = affiliate_partition(*affiliate, partitions);
            by_partition.entry(partition).or_default().insert(*affiliate, result.clone());
        }
        let settled = self.newest_due().filter(|_| !self.report.may_miss_facts());
        let rules_hash = self.app.settings().rules.hash();
        let writes = ends.into_iter().map(|(partition, feed)| {
            let checkpoint = Checkpoint {
                format: FORMAT,
                made_by: made_by(self.app),
                run: self.run_id.clone(),
                through: self.through,
                rules_hash: rules_hash.clone(),
                settled,
                feed,
                affiliates: by_partition.remove(&partition).unwrap_or_default(),
            };
            let state = RunState::Ended(Box::new(checkpoint));
            async move {
                let commit = Commit {
                    fence: Some(fence),
                    writes: vec![self.over_last_checkpoint(partition, &state)],
                    ..Commit::to(partition)
                };
                match self.app.store.commit(&commit).await? {
                    Committed::Done => Ok(()),
                    // Only runs write this document, and ours has the lease: the store lost what we wrote before.
                    Committed::Fenced(_) | Committed::Stale | Committed::CursorAt(_) => {
                        Err(AggregateError::Overtaken)
                    }
                }
            }
        });
        try_join_all(writes.collect::<Vec<_>>()).await?;
        Ok(())
    }

    /// Reads the version of each partition's checkpoint, over which this run writes.
    pub(super) async fn read_checkpoint_versions(&self) -> Result<()> {
        if self.fence.is_none() {
            return Ok(());
        }
        let store = &self.app.store;
        let key = [CHECKPOINT.to_owned()];
        let docs = try_join_all(hashed(self.app).map(|partition| store.load(partition, &key))).await?;
        let version = |doc: Vec<Option<Doc>>| doc.into_iter().flatten().next().map_or(0, |doc| doc.version);
        let versions = hashed(self.app).zip(docs.into_iter().map(version));
        *lock(&self.checkpoint_versions) = versions.collect();
        Ok(())
    }
    /// The write that each commit of this run carries: a run is under way.
    pub(super) fn underway_write(&self, partition: Partition) -> Write {
        self.over_last_checkpoint(partition, &RunState::UnderWay { run: self.run_id.clone() })
    }
    /// A commit with this write was made.
    pub(super) fn checkpoint_written(&self, partition: Partition) {
        *lock(&self.checkpoint_versions).entry(partition).or_default() += 1;
    }
    fn over_last_checkpoint(&self, partition: Partition, state: &RunState) -> Write {
        let expected = lock(&self.checkpoint_versions).get(&partition).copied().unwrap_or_default();
        // Plain data with text keys: JSON can say all of it.
        let body = serde_json::to_vec(state).expect("what a run leaves is plain data");
        Write { key: CHECKPOINT.to_owned(), expected, body }
    }
}

/// The version of the program and of its calendar: another version's results are computed again.
fn made_by(app: &App) -> String {
    format!("{} {}", env!("CARGO_PKG_VERSION"), app.zone().fingerprint())
}

/// Reads a partition's feed; false: so much has changed that everything should be computed.
async fn read_feed(app: &App, partition: Partition, after: StreamId, changes: &mut Changes) -> Result<bool> {
    let mut after = after;
    loop {
        let entries = app.store.read_stream(Stream(partition, FEED), after, FEED_AT_ONCE).await?;
        for entry in &entries {
            let entry: Entry = decode(FEED, &entry.body)?;
            // Entries that runs wrote themselves are no news.
            if matches!(entry.kind.as_str(), "crossed" | "crossing_undone") {
                continue;
            }
            for affiliate in [entry.affiliate_id, entry.before].into_iter().flatten() {
                let is_new = changes.changed.entry(affiliate).or_default().insert(entry.account_id.clone());
                changes.accounts += usize::from(is_new);
            }
        }
        if changes.accounts > MAX_CHANGED {
            return Ok(false);
        }
        match entries.last() {
            Some(last) if entries.len() == FEED_AT_ONCE => after = last.id,
            _ => return Ok(true),
        }
    }
}
