//! What nodes agree on: leases, who is there, what the store is; and counting windows.

use super::{Cursor, Partition, Result};
use crate::domain::id::NodeId;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who of all nodes does what only one may do.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Takes or renews a lease. A holder that has it keeps its token; a new holder gets a higher one.
    async fn lease(&self, name: &'static str, holder: &str, ttl_ms: u64) -> Result<Lease>;
    /// Gives a lease back, if `holder` has it.
    async fn release(&self, name: &'static str, holder: &str) -> Result<()>;
    /// Refuses from now on writes with a lower fencing token in this partition; false if a higher one
    /// was raised before.
    async fn raise_fence(&self, partition: Partition, token: u64) -> Result<bool>;
}

/// What nodes know of each other and of the store, and what they count together.
#[async_trait]
pub trait Nodes: Send + Sync {
    /// Publishes a node's state to the others.
    async fn put_node(&self, state: &NodeState) -> Result<()>;
    /// All nodes known.
    async fn nodes(&self) -> Result<Vec<NodeState>>;
    /// Forgets a node that will never come back.
    async fn forget_node(&self, node: NodeId) -> Result<()>;
    /// What is known of the store; `None`: it is empty.
    async fn meta(&self) -> Result<Option<StoreMeta>>;
    /// Writes what is known about the store, unless it is known already; returns what is stored now.
    async fn init_meta(&self, meta: &StoreMeta) -> Result<StoreMeta>;
    /// Replaces what is known of the store.
    async fn set_meta(&self, meta: &StoreMeta) -> Result<()>;
    /// Counts `member` into a window that forgets members after `window_ms`, and answers how many it
    /// holds; a member counted twice counts once. Not journaled: a hint, not a fact.
    async fn count_in_window(&self, key: &str, member: &str, now_ms: i64, window_ms: u64) -> Result<u64>;
    /// Its own clock, in Unix milliseconds; `None`: it runs by ours.
    async fn clock_ms(&self) -> Result<Option<i64>>;
}

/// What a node reports to the others.
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
    /// What its servers had evicted before: see [`super::Keeping::evicted`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub evicted_before: BTreeMap<String, u64>,
}

impl StoreMeta {
    /// The life of the store: another one after it lost anything.
    pub fn life(&self) -> String {
        format!("{}/{}", self.store_id, self.fell_back.as_deref().unwrap_or_default())
    }
}

/// The format of what this version writes.
pub const FORMAT: u32 = 1;
