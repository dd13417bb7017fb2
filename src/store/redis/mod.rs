//! The store in Redis 7, Valkey, or a Redis Cluster, shared by many nodes.
//!
//! What must change together is changed by one Lua script in one slot: every check comes before the first
//! write, because Redis rolls nothing back. A script without a header may be stopped half way when memory is
//! full; ours have one.
//!
//! `address` reads the servers' addresses, `client` finds the server of a partition, `lane` talks to it
//! without long waits, `keys` makes the keys. The other modules are the store's calls.

use super::{
    ClickBatch, Commit, Committed, Cursor, DayCounts, Doc, Entry, Finding, Keeping, Lease, Log, NodeState,
    Partition, Result, Store, StoreMeta, StoreSettings, StreamId,
};
use crate::domain::attribution::Visit;
use crate::domain::id::{AffiliateId, LinkId, NodeId, VisitorId};
use ::redis::cmd;
use async_trait::async_trait;
use chrono::NaiveDate;
use futures_util::future::try_join_all;

mod address;
mod clicks;
mod client;
mod documents;
mod inspect;
mod keys;
mod lane;
mod nodes;
mod reply;
mod script;
mod streams;

/// A store in Redis; see the module.
#[derive(Debug)]
pub struct RedisStore {
    client: client::Client,
}

impl RedisStore {
    /// Reads the address; connects when it is first used, so that the server starts even while Redis is down.
    pub fn connect(url: &str, settings: &StoreSettings) -> Result<Self> {
        let address = address::Address::parse(url)?;
        // An error means that the program has chosen a provider before, which is fine too.
        rustls::crypto::ring::default_provider().install_default().ok();
        Ok(Self { client: client::Client::new(address, settings.timeout)? })
    }
}

#[async_trait]
impl Store for RedisStore {
    fn partitions(&self) -> u16 {
        keys::PARTITIONS
    }

    async fn apply_clicks(&self, batch: &ClickBatch) -> Result<Committed> {
        self.put_clicks(batch).await
    }
    async fn visits(&self, visitors: &[VisitorId]) -> Result<Vec<Vec<Visit>>> {
        self.get_visits(visitors).await
    }
    async fn click_counts(
        &self,
        affiliate: AffiliateId,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Vec<DayCounts>> {
        self.get_counts(affiliate, from, to).await
    }
    async fn click_totals(
        &self,
        affiliate: AffiliateId,
        links: &[LinkId],
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Vec<DayCounts>> {
        self.get_totals(affiliate, links, from, to).await
    }

    async fn cursors(&self, node: NodeId, log: Log) -> Result<Vec<(Partition, Cursor)>> {
        self.get_cursors(node, log).await
    }
    async fn load(&self, partition: Partition, keys: &[String]) -> Result<Vec<Option<Doc>>> {
        self.get_documents(partition, keys).await
    }
    async fn commit(&self, commit: &Commit) -> Result<Committed> {
        self.put_commit(commit).await
    }
    async fn members(
        &self,
        partition: Partition,
        index: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        self.get_members(partition, index, after, limit).await
    }
    async fn load_indexed(
        &self,
        partition: Partition,
        indexes: &[String],
        prefix: &str,
    ) -> Result<Vec<Vec<Result<Doc>>>> {
        self.get_indexed(partition, indexes, prefix).await
    }
    async fn read_stream(
        &self,
        partition: Partition,
        stream: &'static str,
        after: StreamId,
        limit: usize,
    ) -> Result<Vec<Entry>> {
        self.get_stream(partition, stream, after, limit).await
    }
    async fn read_stream_back(
        &self,
        partition: Partition,
        stream: &'static str,
        before: Option<StreamId>,
        limit: usize,
    ) -> Result<Vec<Entry>> {
        self.get_stream_back(partition, stream, before, limit).await
    }

    async fn lease(&self, name: &'static str, holder: &str, ttl_ms: u64) -> Result<Lease> {
        self.take_lease(name, holder, ttl_ms).await
    }
    async fn release(&self, name: &'static str, holder: &str) -> Result<()> {
        self.give_back(name, holder).await
    }
    async fn raise_fence(&self, partition: Partition, token: u64) -> Result<bool> {
        self.put_fence(partition, token).await
    }

    async fn put_node(&self, state: &NodeState) -> Result<()> {
        self.put_node_state(state).await
    }
    async fn nodes(&self) -> Result<Vec<NodeState>> {
        self.get_nodes().await
    }
    async fn forget_node(&self, node: NodeId) -> Result<()> {
        self.delete_node(node).await
    }

    async fn meta(&self) -> Result<Option<StoreMeta>> {
        self.get_meta().await
    }
    async fn init_meta(&self, meta: &StoreMeta) -> Result<StoreMeta> {
        self.first_meta(meta).await
    }
    async fn set_meta(&self, meta: &StoreMeta) -> Result<()> {
        self.replace_meta(meta).await
    }

    async fn count_in_window(&self, key: &str, member: &str, now_ms: i64, window_ms: u64) -> Result<u64> {
        self.count(key, member, now_ms, window_ms).await
    }

    async fn clock_ms(&self) -> Result<Option<i64>> {
        self.server_clock().await.map(Some)
    }
    async fn keeping(&self) -> Result<Keeping> {
        self.get_keeping().await
    }
    async fn ping(&self) -> Result<()> {
        let ping = cmd("PING");
        let masters = self.client.masters().await?;
        try_join_all(masters.iter().map(|server| server.ask(&ping))).await?;
        Ok(())
    }
    async fn inspect(&self) -> Vec<Finding> {
        self.findings().await
    }
}
