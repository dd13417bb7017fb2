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

use crate::domain::id::{AccountId, AffiliateId, NodeId, VisitorId};
use serde::{Deserialize, Serialize};

mod clicks;
mod documents;
mod error;
mod health;
mod nodes;
mod open;
mod packed;
pub mod redis;
pub mod sqlite;
mod streams;
pub use clicks::{
    ClickBatch, Clicks, Counter, CounterChange, Dates, DayCounts, MAX_SUB_VALUES, MAX_VISITS, VisitWrite,
};
pub(crate) use documents::missing;
pub use documents::{Commit, Committed, Doc, Documents, IndexChange, Remove, Write};
pub use error::StoreError;
pub use health::{Finding, Health, Keeping};
pub use nodes::{FORMAT, Lease, Leases, NodeState, Nodes, StoreMeta};
pub use open::{StoreSettings, open};
pub use streams::{Append, Entry, Stream, StreamId, Streams};

/// The result of a call, or why the store could not make it.
pub type Result<T> = std::result::Result<T, StoreError>;

/// A place that keeps what is derived from the journals: the sum of its parts, each implemented in a file of that name.
///
/// Every call answers within the store's time-out; an error says nothing about whether a change was
/// made, and the caller reads the cursor before it sends anything again.
pub trait Store: Documents + Streams + Clicks + Leases + Nodes + Health + std::fmt::Debug {}

impl<T: Documents + Streams + Clicks + Leases + Nodes + Health + std::fmt::Debug> Store for T {}

/// A part of the store within which changes are atomic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Partition {
    /// Accounts, visitors, statements and click counts, by hash; 0 to `Documents::partitions() - 1`.
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
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
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

/// The hashed partition of a key: FNV-1a over its bytes, mixed once more, because names that differ in
/// their last bytes only differ in too few bits of it. Never changes: it decides where things are.
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
