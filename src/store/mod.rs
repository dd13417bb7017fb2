//! The store: shared by nodes, derived from their journals, and so replaceable.
//!
//! A store keeps documents, sorted sets of names (indexes), streams, visits and click counts, and knows
//! nothing of what they mean: what a fact does to a document is decided once, in `domain`, and a
//! store only has to apply it whole or not at all. That keeps two stores alike.
//!
//! Everything lives in a **partition**. What changes together lives in one partition: in Redis a hash
//! slot. Accounts and visitors are spread over partitions by hash; the directory (affiliates, links,
//! months, runs, audit) has one of its own.
//!
//! Beside the effects, in the same partition, the store keeps how far each node's journal has been
//! applied there (its [`Cursor`]). A [`Commit`] names the cursor it starts from and is refused when the
//! store's is another: so each effect happens once, whatever is sent again.

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

/// `Ok`, or why the store could not do it.
pub type Result<T> = std::result::Result<T, StoreError>;

/// A part of the store within which changes are atomic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Partition {
    /// Accounts, visitors, statements and click counts, by hash; 0 to `Store::partitions() - 1`.
    Hashed(u16),
    /// Affiliates, links, months, runs, audit.
    Directory,
}

/// Which of a node's two journals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Log {
    /// Clicks: many, kept for the window and 30 days.
    Clicks,
    /// Facts: flushed before they are answered, kept for ever.
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
    /// Counts the lives of the node's disk.
    pub epoch: u32,
    /// The last applied position; positions start at 1.
    pub position: u64,
}

/// A node's cursor moves on together with the effects between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advance {
    /// Whose journal.
    pub node: NodeId,
    /// Which of its journals.
    pub log: Log,
    /// Where the store's cursor must stand.
    pub from: Cursor,
    /// Where it stands afterwards.
    pub to: Cursor,
}

/// A document with its version, which every write raises by one; versions start at 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doc {
    /// How often it was written.
    pub version: u64,
    /// What it says.
    pub body: Vec<u8>,
}

/// A document is written, if nobody else wrote it since it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Its name in the partition.
    pub key: String,
    /// The version that was read; 0: there was none.
    pub expected: u64,
    /// What it says now.
    pub body: Vec<u8>,
}

/// A document goes, if nobody else wrote it since it was read. One of that name that is written later begins at version
/// 1 again: only what nobody will write again may go.
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
    /// Where.
    pub partition: Partition,
    /// The journal that they come from; `None` for what is derived and not journaled.
    pub advance: Option<Advance>,
    /// The lease's fencing token of the run that writes: refused if a later one has been raised here.
    pub fence: Option<u64>,
    /// Documents.
    pub writes: Vec<Write>,
    /// Documents that go; none of those written.
    pub removes: Vec<Remove>,
    /// Indexes.
    pub indexes: Vec<IndexChange>,
    /// Streams.
    pub appends: Vec<Append>,
}

impl Commit {
    /// A commit of nothing yet.
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

/// What became of a commit. All but `Done` changed nothing. Checked in this order: cursor, fence, documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// Applied.
    Done,
    /// The store's cursor stands elsewhere.
    CursorAt(Cursor),
    /// A later fencing token was raised.
    Fenced(u64),
    /// Somebody else wrote or removed at least one of the documents.
    Stale,
}

/// An entry of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the stream: compares as the stream is ordered.
    pub id: StreamId,
    /// What it says.
    pub body: Vec<u8>,
}

/// A place in a stream; the default is before all entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct StreamId(pub u64, pub u64);

/// A click enters its visitor's visits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VisitWrite {
    /// Whose. Any id is stored right; one of version 7, which begins with its time, several times cheaper.
    pub visitor: VisitorId,
    /// The visitor was made for this click: it can have no earlier visit.
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
    /// Human clicks with this value of `sub1` … `sub5` (1 to 5). At most [`MAX_SUB_VALUES`] values an
    /// affiliate, day and sub are kept apart; then they are counted as the value `other`.
    Sub(u8, String),
}

/// Values of one sub id that are kept apart for an affiliate and a day.
pub const MAX_SUB_VALUES: usize = 1_000;
/// Visits kept of a visitor: the first and the newest 31.
pub const MAX_VISITS: usize = 32;

/// So many clicks more on an affiliate's day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterChange {
    /// Whose.
    pub affiliate: AffiliateId,
    /// The day, in the program's time zone.
    pub day: NaiveDate,
    /// What is counted.
    pub counter: Counter,
    /// How many more.
    pub by: u64,
}

/// A batch of clicks for one partition: the visits of visitors and the counts of affiliates that hash there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClickBatch {
    /// Where.
    pub partition: Partition,
    /// The journal that they come from.
    pub advance: Advance,
    /// In the order of the journal.
    pub visits: Vec<VisitWrite>,
    /// Each affiliate, day and counter at most once.
    pub counters: Vec<CounterChange>,
    /// How long a visitor's visits are kept after the newest, in milliseconds.
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

/// What a node tells the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// Which node.
    pub node: NodeId,
    /// A random word of this start of its process.
    pub instance: String,
    /// When it was last heard of, in Unix milliseconds of its own clock.
    pub seen_ms: i64,
    /// The last position of its facts journal.
    pub facts: Cursor,
    /// The last position of its clicks journal.
    pub clicks: Cursor,
    /// It has stopped, with everything applied.
    pub stopped: bool,
    /// Its next fact needs one of another node, perhaps: it goes on when a person says that all nodes are in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waits_for_others: bool,
    /// The life of the store that it has met; `None`: a version that did not say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub met: Option<String>,
    /// It applies facts again that the store has lost, in Unix milliseconds the time of the next one; `None`: it has
    /// applied all that were journaled when it met the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replays_from: Option<i64>,
}

/// Whether a lease was got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// Ours until its time is over; the token is higher than any given before for this name.
    Granted {
        /// The fencing token.
        token: u64,
    },
    /// Another holds it.
    Held,
}

/// What is known of the store as a whole; made by the first node that meets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreMeta {
    /// A random word of this life of the store.
    pub store_id: String,
    /// The format of what is kept; see `FORMAT`.
    pub format: u32,
    /// The number of hashed partitions; fixed for the store's life.
    pub partitions: u16,
    /// A digest of each signing key and of the pepper, by id: a node with another one under a known id refuses
    /// to start; a new id is added.
    pub keys_fingerprint: String,
    /// The store was found empty by a node that had history: closing and payouts wait until a person
    /// confirms that all nodes have replayed their journals.
    pub recovering: bool,
    /// A random word, another one each time that a node found that the store had lost some of what was applied, but not
    /// all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fell_back: Option<String>,
    /// What its servers had evicted before: see [`Keeping::evicted`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub evicted_before: BTreeMap<String, u64>,
}

impl StoreMeta {
    /// The life of the store: another one after it lost anything.
    pub fn life(&self) -> String {
        format!("{}/{}", self.store_id, self.fell_back.as_deref().unwrap_or_default())
    }
}

/// Whether a store keeps what it is given; by default it does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keeping {
    /// Why it may forget; `None`: it does not.
    pub may_forget: Option<String>,
    /// How many keys each of its servers has evicted, by the name of the server's run: a server that is started again
    /// counts from zero. One that evicted none is not named.
    pub evicted: BTreeMap<String, u64>,
}

/// The format of what this version writes.
pub const FORMAT: u32 = 1;

/// What `doctor` and `/readyz` want to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found and, if it is not as it should be, how to mend it.
    pub text: String,
}

/// A place that keeps what is derived from the journals.
///
/// Every call answers within the store's time-out; an error says nothing about whether a change was
/// made, and the caller reads the cursor before it sends anything again.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// The number of hashed partitions.
    fn partitions(&self) -> u16;

    /// Applies clicks, whole or not at all. Never answers `Stale` or `Fenced`.
    async fn apply_clicks(&self, batch: &ClickBatch) -> Result<Committed>;
    /// The visits of visitors, oldest first, in the order asked; none for a visitor not known.
    async fn visits(&self, visitors: &[VisitorId]) -> Result<Vec<Vec<Visit>>>;
    /// The counts of an affiliate, for each day from `from` to `to` (both in) that has any.
    async fn click_counts(
        &self,
        affiliate: AffiliateId,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Vec<DayCounts>>;

    /// The same, of verdicts, unique clicks and these links only: what is quickly read of many days.
    async fn click_totals(
        &self,
        affiliate: AffiliateId,
        links: &[LinkId],
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Vec<DayCounts>>;

    /// How far a node's journal has been applied in each partition, all hashed ones and the directory;
    /// the default cursor where nothing has.
    async fn cursors(&self, node: NodeId, log: Log) -> Result<Vec<(Partition, Cursor)>>;
    /// Documents of a partition, in the order asked.
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
    /// For each index, the documents named `{prefix}{member}` by its members, in the members' byte order. A member
    /// without a document is an error in its place: the store lost what it was given.
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
    /// Refuses from now on writes with a lower fencing token in this partition; false if a higher one
    /// was raised before.
    async fn raise_fence(&self, partition: Partition, token: u64) -> Result<bool>;

    /// Tells the others of a node.
    async fn put_node(&self, state: &NodeState) -> Result<()>;
    /// All nodes known.
    async fn nodes(&self) -> Result<Vec<NodeState>>;
    /// Forgets a node that will never come back.
    async fn forget_node(&self, node: NodeId) -> Result<()>;

    /// What is known of the store; `None`: it is empty.
    async fn meta(&self) -> Result<Option<StoreMeta>>;
    /// Writes what is known of the store if nothing is yet; answers what stands.
    async fn init_meta(&self, meta: &StoreMeta) -> Result<StoreMeta>;
    /// Replaces what is known of the store.
    async fn set_meta(&self, meta: &StoreMeta) -> Result<()>;

    /// Counts `member` into a window that forgets members after `window_ms`, and answers how many it
    /// holds; a member counted twice counts once. Not journaled: a hint, not a fact.
    async fn count_in_window(&self, key: &str, member: &str, now_ms: i64, window_ms: u64) -> Result<u64>;

    /// Its own clock, in Unix milliseconds; `None`: it runs by ours.
    async fn clock_ms(&self) -> Result<Option<i64>>;
    /// Whether it keeps what it is given.
    async fn keeping(&self) -> Result<Keeping> {
        Ok(Keeping::default())
    }
    /// Whether it answers at all.
    async fn ping(&self) -> Result<()>;
    /// What an operator should know of it.
    async fn inspect(&self) -> Vec<Finding>;
}

/// A document that an index names is not there. What enters an index is written in the same commit, and nothing that is
/// found by [`Store::load_indexed`] is ever removed.
pub(crate) fn missing(index: &str, name: &str) -> StoreError {
    StoreError::Corrupt(format!("{name} is missing, although `{index}` names it"))
}

/// The hashed partition of a key: FNV-1a over its bytes, mixed once more, because names that differ in
/// their last bytes only differ in too few bits of it. Never changes: it decides where things are.
pub fn partition_of(key: &[u8], partitions: u16) -> Partition {
    let hash = key.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let bucket = (mixed ^ (mixed >> 33)) % u64::from(partitions.max(1));
    // The remainder fits the type that it is taken by.
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
