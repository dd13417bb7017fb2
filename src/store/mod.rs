//! The store: shared by nodes, derived from their journals, and so replaceable.
//!
//! A store keeps documents, sorted sets of names (indexes), streams, visits and click counts, and does not
//! know what they mean: `domain` decides once what a fact does to a document, and a store only has to apply
//! that whole or not at all. So the two stores behave alike.
//!
//! Everything is in a **partition**. What changes together is in one partition; in Redis that is a hash slot.
//! Accounts and visitors are spread over partitions by hash; the directory (affiliates, links, months, runs,
//! audit) has one of its own.
//!
//! In the same partition as the effects, the store keeps how far each node's journal has been applied there
//! (its [`Cursor`]). A [`Commit`] names the cursor that it starts from and is refused if the store's cursor
//! differs: so each effect happens once, whatever is sent again.

use crate::domain::attribution::Visit;
use crate::domain::id::{AccountId, AffiliateId, LinkId, NodeId, VisitorId};
use crate::domain::outcome::Verdict;
use async_trait::async_trait;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

mod error;
mod open;
mod packed;
pub mod redis;
pub mod sqlite;
pub use error::StoreError;
pub use open::{StoreSettings, open};

/// The result of a call, or why the store could not make it.
pub type Result<T> = std::result::Result<T, StoreError>;

/// A part of the store within which changes are atomic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Partition {
    /// Accounts, visitors, statements and click counts, by hash; 0 to `Store::partitions() - 1`.
    Hashed(u16),
    /// Affiliates, links, months, runs, audit.
    Directory,
}

/// One of a node's two journals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Log {
    /// Clicks: many, kept for the window and 30 days.
    Clicks,
    /// Facts: flushed before they are answered, kept permanently.
    Facts,
}

impl Log {
    /// The stable name.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Clicks => "clicks",
            Self::Facts => "facts",
        }
    }
}

/// How far a node's journal has been applied: epoch first, then position; `0, 0` is the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Cursor {
    /// The epoch of the node's journal.
    pub epoch: u32,
    /// The last applied position; positions start at 1.
    pub position: u64,
}

/// A node's cursor moves together with the effects of the records in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advance {
    /// The node whose journal it is.
    pub node: NodeId,
    /// Which of its journals.
    pub log: Log,
    /// Where the store's cursor must be before.
    pub from: Cursor,
    /// Where it is afterwards.
    pub to: Cursor,
}

/// A document with its version, which every write increases by one; versions start at 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doc {
    /// How often it was written.
    pub version: u64,
    /// Its content.
    pub body: Vec<u8>,
}

/// Writes a document, unless somebody else wrote it since it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Its name in the partition.
    pub key: String,
    /// The version that was read; 0: there was none.
    pub expected: u64,
    /// Its new content.
    pub body: Vec<u8>,
}

/// Removes a document, unless somebody else wrote it since it was read. If a document with this name is
/// written later, it begins at version 1 again: remove only what is never written again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remove {
    /// Its name in the partition.
    pub key: String,
    /// The version that was read.
    pub expected: u64,
}

/// A name enters or leaves a sorted set of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexChange {
    /// The set.
    pub index: String,
    /// The name.
    pub member: String,
    /// Whether it is a member afterwards.
    pub present: bool,
}

/// An entry is added to a stream of the partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The stream.
    pub stream: &'static str,
    /// The entry.
    pub body: Vec<u8>,
}

/// Changes of one partition, applied whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The partition.
    pub partition: Partition,
    /// The journal that they come from; `None` for what is derived and not journaled.
    pub advance: Option<Advance>,
    /// The fencing token of the lease of the run that writes: refused if a later one has been raised here.
    pub fence: Option<u64>,
    /// Documents to write.
    pub writes: Vec<Write>,
    /// Documents to remove; none of those written.
    pub removes: Vec<Remove>,
    /// Changes of indexes.
    pub indexes: Vec<IndexChange>,
    /// New entries of streams.
    pub appends: Vec<Append>,
}

impl Commit {
    /// An empty commit.
    pub const fn to(partition: Partition) -> Self {
        Self {
            partition,
            advance: None,
            fence: None,
            writes: Vec::new(),
            removes: Vec::new(),
            indexes: Vec::new(),
            appends: Vec::new(),
        }
    }
}

/// The result of a commit. All but `Done` changed nothing. Checked in this order: cursor, fence, documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// Applied.
    Done,
    /// The store's cursor is another one.
    CursorAt(Cursor),
    /// A later fencing token was raised.
    Fenced(u64),
    /// Somebody else wrote or removed at least one of the documents.
    Stale,
}

/// An entry of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the stream; ids compare in the order of the stream.
    pub id: StreamId,
    /// Its content.
    pub body: Vec<u8>,
}

/// A place in a stream; the default is before all entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct StreamId(pub u64, pub u64);

/// A click is added to its visitor's visits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VisitWrite {
    /// The visitor. Any id works; one of version 7, which begins with its time, is several times cheaper.
    pub visitor: VisitorId,
    /// The visitor id is new with this click: it can have no earlier visit.
    pub new_visitor: bool,
    /// The click.
    pub visit: Visit,
}

/// What clicks are counted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counter {
    /// By verdict.
    Verdict(Verdict),
    /// Human clicks without a valid cookie.
    Unique,
    /// Human clicks of a link.
    Link(LinkId),
    /// All but human clicks of a link.
    LinkOther(LinkId),
    /// Human clicks with this value of `sub1` … `sub5` (1 to 5). Per affiliate, day and sub, at most
    /// [`MAX_SUB_VALUES`] values are counted separately; further ones count as the value `other`.
    Sub(u8, String),
}

/// Values of one sub id that are counted separately, per affiliate and day.
pub const MAX_SUB_VALUES: usize = 1_000;
/// How many visits of a visitor are kept: the first and the newest 31.
pub const MAX_VISITS: usize = 32;

/// An increase of one counter of an affiliate's day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterChange {
    /// The affiliate.
    pub affiliate: AffiliateId,
    /// The day, in the program's time zone.
    pub day: NaiveDate,
    /// What is counted.
    pub counter: Counter,
    /// By how much.
    pub by: u64,
}

/// A batch of clicks for one partition: the visits of visitors and the counts of affiliates that hash there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClickBatch {
    /// The partition.
    pub partition: Partition,
    /// The journal that they come from.
    pub advance: Advance,
    /// In the order of the journal.
    pub visits: Vec<VisitWrite>,
    /// Each affiliate, day and counter at most once.
    pub counters: Vec<CounterChange>,
    /// How long a visitor's visits are kept after the newest one, in milliseconds.
    pub visits_ttl_ms: u64,
}

/// The counts of an affiliate's day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayCounts {
    /// The day.
    pub day: NaiveDate,
    /// Each counter once, in any order.
    pub counts: Vec<(Counter, u64)>,
}

/// What a node reports to the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// The node.
    pub node: NodeId,
    /// A random id, new at each start of its process.
    pub instance: String,
    /// When it last reported, in Unix milliseconds of its own clock.
    pub seen_ms: i64,
    /// The last position of its facts journal.
    pub facts: Cursor,
    /// The last position of its clicks journal.
    pub clicks: Cursor,
    /// It has stopped, and everything is applied.
    pub stopped: bool,
    /// Its next fact may need one of another node: it continues when a person confirms that all nodes are
    /// present.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waits_for_others: bool,
    /// The life of the store that it has met; `None`: its version does not report it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub met: Option<String>,
    /// It is applying facts again that the store has lost; in Unix milliseconds, the time of the next one.
    /// `None`: it has applied everything that was journaled when it met the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replays_from: Option<i64>,
}

/// The result of requesting a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// Granted until its time is over; the token is higher than any given before for this name.
    Granted {
        /// The fencing token.
        token: u64,
    },
    /// Another holder has it.
    Held,
}

/// What is known about the store as a whole; made by the first node that meets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreMeta {
    /// A random id, new whenever the store is made again.
    pub store_id: String,
    /// The format of the store's content; see `FORMAT`.
    pub format: u32,
    /// The number of hashed partitions; it never changes.
    pub partitions: u16,
    /// A digest of each signing key and of the pepper, by id. A node with a different key under a known id
    /// refuses to start; a new id is added.
    pub keys_fingerprint: String,
    /// The store was found empty by a node with history: months can't be closed and payouts can't be made
    /// until a person confirms that all nodes have replayed their journals.
    pub recovering: bool,
    /// A random id, new each time that a node found that the store had lost a part of what was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fell_back: Option<String>,
    /// How many keys its servers had evicted before: see [`Keeping::evicted`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub evicted_before: BTreeMap<String, u64>,
}

impl StoreMeta {
    /// The id of the store's life: it changes after the store lost anything.
    pub fn life(&self) -> String {
        format!("{}/{}", self.store_id, self.fell_back.as_deref().unwrap_or_default())
    }
}

/// Whether a store keeps everything; by default it does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keeping {
    /// Why it may lose something; `None`: it keeps everything.
    pub may_forget: Option<String>,
    /// How many keys each of its servers has evicted, by the id of the server's run: a restarted server
    /// counts from zero. Servers that evicted nothing are left out.
    pub evicted: BTreeMap<String, u64>,
}

/// The format that this version writes.
pub const FORMAT: u32 = 1;

/// One result of the checks that `doctor` and `/readyz` show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was checked.
    pub check: &'static str,
    /// Whether it is fine.
    pub ok: bool,
    /// What was found and, if it is not fine, how to correct it.
    pub text: String,
}

/// A place for what is derived from the journals.
///
/// Every call returns within the store's time-out. An error does not say whether a change was made; the
/// caller reads the cursor before it sends anything again.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// The number of hashed partitions.
    fn partitions(&self) -> u16;

    /// Applies clicks, whole or not at all. Never returns `Stale` or `Fenced`.
    async fn apply_clicks(&self, batch: &ClickBatch) -> Result<Committed>;
    /// The visits of visitors, oldest first, in the order of the request; empty for an unknown visitor.
    async fn visits(&self, visitors: &[VisitorId]) -> Result<Vec<Vec<Visit>>>;
    /// The counts of an affiliate, for each day from `from` to `to` (both included) that has any.
    async fn click_counts(
        &self,
        affiliate: AffiliateId,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Vec<DayCounts>>;

    /// The counts of verdicts, unique clicks and these links only: fast for many days.
    async fn click_totals(
        &self,
        affiliate: AffiliateId,
        links: &[LinkId],
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Vec<DayCounts>>;

    /// How far a node's journal has been applied in each hashed partition and the directory; the default
    /// cursor where nothing has.
    async fn cursors(&self, node: NodeId, log: Log) -> Result<Vec<(Partition, Cursor)>>;
    /// Documents of a partition, in the order of the request.
    async fn load(&self, partition: Partition, keys: &[String]) -> Result<Vec<Option<Doc>>>;
    /// Applies changes, whole or not at all.
    async fn commit(&self, commit: &Commit) -> Result<Committed>;
    /// Names of an index in byte order, after `after`, at most `limit`.
    async fn members(
        &self,
        partition: Partition,
        index: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>>;
    /// For each index, the documents named `{prefix}{member}` of its members, in the members' byte order. For
    /// a member without a document there is an error instead: the store lost the document.
    async fn load_indexed(
        &self,
        partition: Partition,
        indexes: &[String],
        prefix: &str,
    ) -> Result<Vec<Vec<Result<Doc>>>>;
    /// Entries of a stream after `after`, oldest first, at most `limit`.
    async fn read_stream(
        &self,
        partition: Partition,
        stream: &'static str,
        after: StreamId,
        limit: usize,
    ) -> Result<Vec<Entry>>;
    /// The newest entries of a stream before `before` (`None`: from the end), newest first, at most `limit`.
    async fn read_stream_back(
        &self,
        partition: Partition,
        stream: &'static str,
        before: Option<StreamId>,
        limit: usize,
    ) -> Result<Vec<Entry>>;

    /// Takes or renews a lease. A holder that has it keeps its token; a new holder gets a higher one.
    async fn lease(&self, name: &'static str, holder: &str, ttl_ms: u64) -> Result<Lease>;
    /// Gives a lease back, if `holder` has it.
    async fn release(&self, name: &'static str, holder: &str) -> Result<()>;
    /// Refuses writes with a lower fencing token in this partition from now on; false if a higher one was
    /// raised before.
    async fn raise_fence(&self, partition: Partition, token: u64) -> Result<bool>;

    /// Publishes a node's state for the others.
    async fn put_node(&self, state: &NodeState) -> Result<()>;
    /// All nodes known.
    async fn nodes(&self) -> Result<Vec<NodeState>>;
    /// Removes a node that will never come back.
    async fn forget_node(&self, node: NodeId) -> Result<()>;

    /// What is known about the store; `None`: it is empty.
    async fn meta(&self) -> Result<Option<StoreMeta>>;
    /// Writes what is known about the store if there is nothing yet; returns what the store has now.
    async fn init_meta(&self, meta: &StoreMeta) -> Result<StoreMeta>;
    /// Replaces what is known about the store.
    async fn set_meta(&self, meta: &StoreMeta) -> Result<()>;

    /// Counts `member` in a window that forgets members after `window_ms`, and returns how many it holds; a
    /// member counted twice counts once. Not journaled, so it may be lost.
    async fn count_in_window(&self, key: &str, member: &str, now_ms: i64, window_ms: u64) -> Result<u64>;

    /// The store's own clock, in Unix milliseconds; `None`: it uses ours.
    async fn clock_ms(&self) -> Result<Option<i64>>;
    /// Whether the store keeps everything.
    async fn keeping(&self) -> Result<Keeping> {
        Ok(Keeping::default())
    }
    /// Whether the store answers at all.
    async fn ping(&self) -> Result<()>;
    /// What an operator should know about the store.
    async fn inspect(&self) -> Vec<Finding>;
}

/// A document that an index names is missing. An index entry is written in the same commit as its document,
/// and no document that [`Store::load_indexed`] can find is ever removed.
pub(crate) fn missing(index: &str, name: &str) -> StoreError {
    StoreError::Corrupt(format!("{name} is missing, although `{index}` names it"))
}

/// The hashed partition of a key: FNV-1a over its bytes, mixed once more, because names that differ only in
/// their last bytes differ in too few bits of the hash. It never changes: it decides where everything is.
pub fn partition_of(key: &[u8], partitions: u16) -> Partition {
    let hash = key.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let bucket = (mixed ^ (mixed >> 33)) % u64::from(partitions.max(1));
    // The remainder fits the type of the divisor.
    Partition::Hashed(u16::try_from(bucket).unwrap_or(0))
}

/// Where a visitor's visits are.
pub fn visitor_partition(visitor: VisitorId, partitions: u16) -> Partition {
    partition_of(visitor.0.as_bytes(), partitions)
}

/// Where an affiliate's click counts are.
pub fn affiliate_partition(affiliate: AffiliateId, partitions: u16) -> Partition {
    partition_of(&affiliate.bits().to_be_bytes(), partitions)
}

/// Where an account's documents are.
pub fn account_partition(account: &AccountId, partitions: u16) -> Partition {
    partition_of(account.as_str().as_bytes(), partitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_of_keys_never_change() {
        for (key, partition) in [("", 2), ("acct-1", 5), ("acct-2", 4), ("node", 0)] {
            assert_eq!(partition_of(key.as_bytes(), 16), Partition::Hashed(partition), "{key}");
        }
        assert_eq!(partition_of(b"acct-1", 1), Partition::Hashed(0));
    }

    #[test]
    fn names_that_count_up_are_spread_evenly() {
        let mut shares = [0_u32; 16];
        for number in 0..16_000 {
            if let Partition::Hashed(partition) = partition_of(format!("acct-{number}").as_bytes(), 16) {
                shares[usize::from(partition)] += 1;
            }
        }
        assert!(shares.iter().all(|share| (900..1_100).contains(share)), "{shares:?}");
    }
}
