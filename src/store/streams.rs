//! Streams: what happened in a partition, in the order in which the store took it.

use super::{Partition, Result};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// A stream of a partition, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream(pub Partition, pub &'static str);

/// What commits appended, in its order.
#[async_trait]
pub trait Streams: Send + Sync {
    /// Entries of a stream after `after`, oldest first, at most `limit`.
    async fn read_stream(&self, of: Stream, after: StreamId, limit: usize) -> Result<Vec<Entry>>;
    /// The newest entries of a stream before `before` (`None`: from the end), newest first, at most `limit`.
    async fn read_stream_back(
        &self,
        of: Stream,
        before: Option<StreamId>,
        limit: usize,
    ) -> Result<Vec<Entry>>;
}

/// An entry is added to a stream of the partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The stream.
    pub stream: &'static str,
    /// The entry.
    pub body: Vec<u8>,
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
