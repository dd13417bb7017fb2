//! What a finished run leaves for the next one, and what became known since.
//!
//! Each partition keeps how far its feed was taken in, and of each of its affiliates what the run found, and
//! until when that stands if nothing becomes known of it. The next run reads the feed from there, and computes
//! only the affiliates that are named in it, and those for which a date that was ahead has come.
//!
//! What a run leaves is written last in each partition, so that a store which lost some of a run's writes lost
//! this too: where the partitions don't all have it from one run, the next one computes everything.

use super::AggregateError;
use super::make::Run;
use crate::app::App;
use crate::app::layout::{FEED, NIGHT, affiliate_partition, all_partitions};
use crate::app::work::decode;
use crate::domain::affiliate::Affiliate;
use crate::domain::calendar::Month;
use crate::domain::history::Mark;
use crate::domain::id::{AccountId, AffiliateId};
use crate::store::{Commit, Committed, Partition, Result, StreamId, Write};
use chrono::{DateTime, NaiveDate, Utc};
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The format of what is kept; of another one everything is computed.
const FORMAT: u32 = 1;
/// Entries of the feed that are read at once.
const FEED_AT_ONCE: usize = 4_096;
/// With more changed accounts than these, reading them one by one is no cheaper than reading all.
const MAX_CHANGED: usize = 200_000;

/// What a run leaves in a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Night {
    format: u32,
    /// The run's fencing token.
    run: u64,
    /// The last full day.
    through: NaiveDate,
    /// By which rules open months were computed.
    rules_hash: String,
    /// The newest month that was due and, if there was anything to close in it, is closed.
    settled: Option<Month>,
    /// How far the partition's feed was taken in.
    feed: StreamId,
    /// The affiliates of the partition.
    affiliates: BTreeMap<AffiliateId, Found>,
}

/// What a run found of an affiliate.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Found {
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
}

/// What became known since the last run, and what stands from it.
#[derive(Debug, Default)]
pub(super) struct Since {
    /// Accounts of which something became known, by the affiliates that it concerns.
    changed: HashMap<AffiliateId, BTreeSet<AccountId>>,
    /// What the last run found.
    found: HashMap<AffiliateId, Found>,
    /// No month turns, closes or is computed by other rules than in the last run.
    is_quiet: bool,
    through: NaiveDate,
}

/// How far each hashed partition's feed reaches.
pub(super) type FeedEnds = Vec<(Partition, StreamId)>;

impl Since {
    /// What the last run found of an affiliate, if it still stands.
    pub fn standing(&self, affiliate: &Affiliate) -> Option<&Found> {
        if !self.is_quiet || self.changed.contains_key(&affiliate.id) {
            return None;
        }
        let found = self.found.get(&affiliate.id)?;
        let stands = found.changes_on.is_none_or(|changes_on| self.through < changes_on);
        (stands && found.closed_at == affiliate.closed_at()).then_some(found)
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

impl Run<'_> {
    /// What became known since the last run; `None`: everything is to be computed.
    pub(super) async fn since(&self) -> Result<Option<Since>> {
        // A month whose closing began under other rules is computed by them, from all that is known.
        if self.closing.values().any(|rules| *rules != self.app.settings().rules) {
            return Ok(None);
        }
        let Some(nights) = self.nights().await? else { return Ok(None) };
        let mut since = Since { through: self.through, ..Since::default() };
        let Some((_, last)) = nights.first() else { return Ok(None) };
        since.is_quiet = self.is_quiet_after(last);
        for (partition, night) in &nights {
            if !read_feed(self.app, *partition, night.feed, &mut since).await? {
                return Ok(None);
            }
        }
        since.found = nights.into_iter().flat_map(|(_, night)| night.affiliates).collect();
        Ok(Some(since))
    }

    /// What the last run left, if all of it is there.
    async fn nights(&self) -> Result<Option<Vec<(Partition, Night)>>> {
        let store = &self.app.store;
        let key = [NIGHT.to_owned()];
        let docs = try_join_all(hashed(self.app).map(|partition| store.load(partition, &key))).await?;
        let mut nights = Vec::with_capacity(docs.len());
        for (partition, doc) in hashed(self.app).zip(docs) {
            let Some(doc) = doc.into_iter().flatten().next() else { return Ok(None) };
            let night: Night = match decode(NIGHT, &doc.body) {
                Ok(night) => night,
                // Of another version.
                Err(_) => return Ok(None),
            };
            nights.push((partition, night));
        }
        let runs: BTreeSet<u64> = nights.iter().map(|(_, night)| night.run).collect();
        let same = runs.len() == 1 && nights.iter().all(|(_, night)| night.format == FORMAT);
        // A run that looks back is made from all that is known.
        let forward = nights.iter().all(|(_, night)| night.through <= self.through);
        Ok(Some(nights).filter(|_| same && forward))
    }

    fn is_quiet_after(&self, last: &Night) -> bool {
        let rules = &self.app.settings().rules;
        // The configuration was checked for a known zone.
        let mark = Mark::of(rules).expect("a configured zone is a known one");
        self.closes.is_empty()
            && last.rules_hash == rules.hash()
            && Month::of(last.through) == Month::of(self.through)
            && last.settled == self.newest_due()
            && self.app.directory().months().all(|month| mark.is_of(&month.rules))
    }

    /// The newest month that is due.
    fn newest_due(&self) -> Option<Month> {
        let delay = self.app.settings().close_delay_days;
        let mut month = Month::of(self.through);
        // A delay is 28 days at most: the month before the last is due.
        for _ in 0..3 {
            if month.is_due(self.through, delay) {
                return Some(month);
            }
            month = month.previous();
        }
        None
    }

    /// Leaves for the next run what this one found.
    pub(super) async fn leave(&self, ends: FeedEnds) -> std::result::Result<(), AggregateError> {
        let Some(fence) = self.fence else { return Ok(()) };
        let partitions = self.app.store.partitions();
        let mut by_partition: HashMap<Partition, BTreeMap<AffiliateId, Found>> = HashMap::new();
        for (affiliate, found) in &self.found {
            let partition = affiliate_partition(*affiliate, partitions);
            by_partition.entry(partition).or_default().insert(*affiliate, found.clone());
        }
        let settled = self.newest_due().filter(|_| self.report.nodes_behind.is_empty());
        let rules_hash = self.app.settings().rules.hash();
        let writes = ends.into_iter().map(|(partition, feed)| {
            let night = Night {
                format: FORMAT,
                run: fence,
                through: self.through,
                rules_hash: rules_hash.clone(),
                settled,
                feed,
                affiliates: by_partition.remove(&partition).unwrap_or_default(),
            };
            self.leave_in(partition, night, fence)
        });
        try_join_all(writes.collect::<Vec<_>>()).await?;
        Ok(())
    }

    async fn leave_in(
        &self,
        partition: Partition,
        night: Night,
        fence: u64,
    ) -> std::result::Result<(), AggregateError> {
        let store = &self.app.store;
        let known = store.load(partition, &[NIGHT.to_owned()]).await?;
        let expected = known.into_iter().flatten().next().map_or(0, |doc| doc.version);
        // Plain data with text keys: JSON can say all of it.
        let body = serde_json::to_vec(&night).expect("what a run leaves is plain data");
        let write = Write { key: NIGHT.to_owned(), expected, body };
        let commit = Commit { fence: Some(fence), writes: vec![write], ..Commit::to(partition) };
        match store.commit(&commit).await? {
            Committed::Done => Ok(()),
            // Only a run writes it, and ours has the lease.
            Committed::Fenced(_) | Committed::Stale | Committed::CursorAt(_) => {
                Err(AggregateError::Overtaken)
            }
        }
    }
}

/// Takes a partition's feed in; false: so much became known that everything is better computed.
async fn read_feed(app: &App, partition: Partition, after: StreamId, since: &mut Since) -> Result<bool> {
    let mut after = after;
    let mut accounts = 0;
    loop {
        let entries = app.store.read_stream(partition, FEED, after, FEED_AT_ONCE).await?;
        for entry in &entries {
            let entry: Entry = decode(FEED, &entry.body)?;
            // What runs found themselves is nothing new.
            if matches!(entry.kind.as_str(), "crossed" | "crossing_undone") {
                continue;
            }
            for affiliate in [entry.affiliate_id, entry.before].into_iter().flatten() {
                let is_new = since.changed.entry(affiliate).or_default().insert(entry.account_id.clone());
                accounts += usize::from(is_new);
            }
        }
        if accounts > MAX_CHANGED {
            return Ok(false);
        }
        match entries.last() {
            Some(last) if entries.len() == FEED_AT_ONCE => after = last.id,
            _ => return Ok(true),
        }
    }
}
