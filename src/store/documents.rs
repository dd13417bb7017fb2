//! Documents with versions, sorted sets of their names, and the commits that change both.

use super::{Advance, Append, Cursor, Log, Partition, Result, StoreError};
use crate::domain::id::NodeId;
use async_trait::async_trait;

/// Documents and indexes, and how far each journal has been applied beside them.
#[async_trait]
pub trait Documents: Send + Sync {
    /// The number of hashed partitions.
    fn partitions(&self) -> u16;
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
    /// The store's cursor has another value.
    CursorAt(Cursor),
    /// A later fencing token was raised.
    Fenced(u64),
    /// Somebody else wrote or removed at least one of the documents.
    Stale,
}

/// A document that an index names is not there. What enters an index is written in the same commit, and nothing that is
/// found by [`Documents::load_indexed`] is ever removed.
pub(crate) fn missing(index: &str, name: &str) -> StoreError {
    StoreError::Corrupt(format!("{name} is missing, although `{index}` names it"))
}
