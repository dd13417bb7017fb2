//! What a finished run leaves for the next one, and what became known since.
//!
//! Each partition keeps how far its feed was taken in, and of each of its affiliates what the run found, and
//! until when that stands if nothing becomes known of it. The next run reads the feed from there, and computes
//! only the affiliates that are named in it, and those for which a date that was ahead has come.
//!
//! What a run leaves is trusted only if it is whole. It is the last of a chain: each of a run's commits in a partition
//! marks there that a run is under way, over the mark of the commit before, and what is left goes over the last mark. A
//! shard that fell back in between breaks the chain, and the run ends; one that fell back later, a run that was cut
//! off, and another version of this program leave no whole night: then the next run computes everything.

use super::AggregateError;
use super::make::{Run, lock};
use super::summaries::parts_for;
use crate::app::App;
use crate::app::layout::{CHECKPOINT, FEED, affiliate_partition, all_partitions};
use crate::app::work::decode;
use crate::domain::affiliate::Affiliate;
use crate::domain::calendar::Month;
use crate::domain::id::{AccountId, AffiliateId};
use crate::domain::mark::Mark;
use crate::store::{Commit, Committed, Doc, Partition, Result, StreamId, Write};
use chrono::{DateTime, NaiveDate, Utc};
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The format of what is kept; of another one everything is computed.
const FORMAT: u32 = 2;
/// Entries of the feed that are read at once.
const FEED_AT_ONCE: usize = 4_096;
/// With more changed accounts than these, reading them one by one is no cheaper than reading all.
const MAX_CHANGED: usize = 200_000;

/// What a partition knows of the last run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
enum RunState {
    /// It wrote here, and did not end.
    UnderWay {
        /// A random word of the run.
        run: String,
    },
    /// It ended.
    Ended(Box<Checkpoint>),
}

/// What a run leaves in a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Checkpoint {
    format: u32,
    /// The program that made it, and its calendar.
    made_by: String,
    /// A random word of the run.
    run: String,
    /// The last full day.
    through: NaiveDate,
    /// By which rules open months were computed.
    rules_hash: String,
    /// The newest month that was due and, if there was anything to close in it, is closed.
    settled: Option<Month>,
    /// How far the partition's feed was taken in.
    feed: StreamId,
    /// The affiliates of the partition.
    affiliates: BTreeMap<AffiliateId, AffiliateResult>,
}

/// What a run found of an affiliate.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct AffiliateResult {
    /// When it left for good, as far as the run knew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<DateTime<Utc>>,
    /// The first last full day that may change it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes_on: Option<NaiveDate>,
    /// Its referrals.
    pub accounts: u64,
    /// Its open statements, and what stands in them.
    pub statements: u64,
    pub crossings: u64,
    pub adjustments: u64,
    /// SHA-256 of the hashes of its open statements, by month, in hex.
    pub open_hash: String,
    /// The hash of its summaries as they were left.
    pub summaries: String,
}

impl AffiliateResult {
    /// In how many parts its summaries were left.
    pub fn parts(&self) -> u16 {
        parts_for(usize::try_from(self.accounts).unwrap_or(usize::MAX))
    }
}

/// What became known since the last run, and what stands from it.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Accounts of which something became known, by the affiliates that it concerns.
    changed: HashMap<AffiliateId, BTreeSet<AccountId>>,
    /// How many they are.
    accounts: usize,
    /// What the last run found.
    results: HashMap<AffiliateId, AffiliateResult>,
    /// No month turns, closes or is computed by other rules than in the last run.
    is_quiet: bool,
    through: NaiveDate,
}

/// How far each hashed partition's feed reaches.
pub(super) type FeedEnds = Vec<(Partition, StreamId)>;

impl Changes {
    /// What the last run found of an affiliate, if it still stands.
    pub fn unchanged(&self, affiliate: &Affiliate) -> Option<&AffiliateResult> {
        if !self.is_quiet || self.changed.contains_key(&affiliate.id) {
            return None;
        }
        let result = self.results.get(&affiliate.id)?;
        let stands = result.changes_on.is_none_or(|changes_on| self.through < changes_on);
        (stands && result.closed_at == affiliate.closed_at()).then_some(result)
    }

    /// What the last run found of an affiliate, whether it stands or not.
    pub fn last_result(&self, affiliate: AffiliateId) -> Option<&AffiliateResult> {
        self.results.get(&affiliate)
    }

    /// The accounts of an affiliate of which something became known.
    pub fn changed(&self, affiliate: AffiliateId) -> impl Iterator<Item = &AccountId> {
        self.changed.get(&affiliate).into_iter().flatten()
    }
}

/// An entry of the feed, as far as it says whom it concerns.
#[derive(Deserialize)]
struct Entry {
    kind: String,
    account_id: AccountId,
    #[serde(default)]
    affiliate_id: Option<AffiliateId>,
    /// Whose it was before.
    #[serde(default)]
    before: Option<AffiliateId>,
}

fn hashed(app: &App) -> impl Iterator<Item = Partition> + use<> {
    all_partitions(app.store.partitions()).filter(|partition| *partition != Partition::Directory)
}

/// How far the feed reaches now. To be asked before accounts are read: what comes later is read again.
pub(super) async fn feed_ends(app: &App) -> Result<FeedEnds> {
    try_join_all(hashed(app).map(|partition| async move {
        let newest = app.store.read_stream_back(partition, FEED, None, 1).await?;
        Ok((partition, newest.first().map(|entry| entry.id).unwrap_or_default()))
    }))
    .await
}

/// Whether the last run's statements of open months are in the store. They stand in no journal: a store that was
/// refilled lacks them, and what the run left beside them.
pub(super) async fn are_left(app: &App) -> Result<bool> {
    let key = [CHECKPOINT.to_owned()];
    let docs = try_join_all(hashed(app).map(|partition| app.store.load(partition, &key))).await?;
    Ok(docs.into_iter().flatten().all(|doc| doc.is_some()))
}

impl Run<'_> {
    /// What became known since the last run; `None`: everything is to be computed.
    pub(super) async fn changes(&self) -> Result<Option<Changes>> {
        // A month whose closing began under other rules is computed by them, from all that is known.
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

    /// What the last run left, if all of it is there.
    async fn checkpoints(&self) -> Result<Option<Vec<(Partition, Checkpoint)>>> {
        let store = &self.app.store;
        let key = [CHECKPOINT.to_owned()];
        let docs = try_join_all(hashed(self.app).map(|partition| store.load(partition, &key))).await?;
        let mut checkpoints = Vec::with_capacity(docs.len());
        for (partition, doc) in hashed(self.app).zip(docs) {
            let Some(doc) = doc.into_iter().flatten().next() else { return Ok(None) };
            match decode(CHECKPOINT, &doc.body) {
                Ok(RunState::Ended(checkpoint)) => checkpoints.push((partition, *checkpoint)),
                // A run was cut off, or it is of another version.
                Ok(RunState::UnderWay { .. }) | Err(_) => return Ok(None),
            }
        }
        let runs: BTreeSet<&str> =
            checkpoints.iter().map(|(_, checkpoint)| checkpoint.run.as_str()).collect();
        let of_one_run = runs.len() == 1;
        let made_by = made_by(self.app);
        let usable = |checkpoint: &Checkpoint| {
            // A run that looks back is made from all that is known.
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

    /// Leaves for the next run what this one found.
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
                    // Only runs write it, and ours has the lease: the store lost what we wrote before.
                    Committed::Fenced(_) | Committed::Stale | Committed::CursorAt(_) => {
                        Err(AggregateError::Overtaken)
                    }
                }
            }
        });
        try_join_all(writes.collect::<Vec<_>>()).await?;
        Ok(())
    }

    /// Reads over what the first mark goes in each partition.
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
    /// The mark that a commit of this run carries.
    pub(super) fn underway_write(&self, partition: Partition) -> Write {
        self.over_last_checkpoint(partition, &RunState::UnderWay { run: self.run_id.clone() })
    }
    /// A commit with a mark was made.
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

/// The program, and its idea of the calendar: what another one found is found anew.
fn made_by(app: &App) -> String {
    format!("{} {}", env!("CARGO_PKG_VERSION"), app.zone().fingerprint())
}

/// Takes a partition's feed in; false: so much became known that everything is better computed.
async fn read_feed(app: &App, partition: Partition, after: StreamId, changes: &mut Changes) -> Result<bool> {
    let mut after = after;
    loop {
        let entries = app.store.read_stream(partition, FEED, after, FEED_AT_ONCE).await?;
        for entry in &entries {
            let entry: Entry = decode(FEED, &entry.body)?;
            // What runs found themselves is nothing new.
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
