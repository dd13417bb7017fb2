//! The embedded store: one SQLite file, for one node. Everything in it can be rebuilt from the journal, so
//! its commits do not wait for the disk, and the remedy for damage is to remove the file.

use super::{
    ClickBatch, Commit, Committed, Cursor, DayCounts, Doc, Entry, Finding, Lease, Log, NodeState, Partition,
    Result, Store, StoreError, StoreMeta, StreamId,
};
use crate::domain::attribution::Visit;
use crate::domain::id::{AffiliateId, LinkId, NodeId, VisitorId};
use async_trait::async_trait;
use chrono::NaiveDate;
use std::path::{Path, PathBuf};

mod clicks;
mod documents;
mod file;
mod nodes;
mod streams;
mod threads;

/// A store in SQLite; see the module.
pub struct SqliteStore {
    path: PathBuf,
    writer: threads::Writer,
    readers: threads::Readers,
}

impl SqliteStore {
    /// Opens the file, or makes it. It does not exclude another process that has the file open: the lock of
    /// the data directory does that.
    pub fn open(path: &Path) -> Result<Self> {
        let connection = match file::open_to_write(path) {
            Ok(connection) => Some(connection),
            // Usually a full disk: until the file opens, prospects are redirected and the journal keeps what
            // comes in.
            Err(error) if error.is_unavailable() => {
                tracing::warn!(%error, "the embedded store can't be opened; it is tried again");
                None
            }
            Err(error) => return Err(error),
        };
        let (mut sweep, file) = (clicks::Sweep::new(), path.to_owned());
        let open = move || file::open_to_write(&file);
        let writer = threads::Writer::start(connection, open, move |connection| sweep.if_due(connection))?;
        Ok(Self { path: path.to_owned(), writer, readers: threads::Readers::of(path) })
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_tuple("SqliteStore").field(&self.path).finish()
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match error.sqlite_error_code() {
            Some(DatabaseCorrupt) => Self::Damaged(error.to_string()),
            Some(NotADatabase) => {
                Self::Corrupt(format!("{error}: remove the file to have it rebuilt from the journal"))
            }
            // A full or failing disk, or a lock: the journal keeps what comes in.
            Some(_) => Self::Unavailable(error.to_string()),
            // A value has another type than was written.
            None => Self::Corrupt(error.to_string()),
        }
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn partitions(&self) -> u16 {
        1
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
        Ok(None)
    }
    async fn ping(&self) -> Result<()> {
        self.readers
            .run(|connection| Ok(connection.query_row("SELECT count(*) FROM meta", [], |_| Ok(()))?))
            .await
    }

    async fn inspect(&self) -> Vec<Finding> {
        let path = self.path.display().to_string();
        let mode = self
            .writer
            .run(|change| Ok(change.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0))?))
            .await;
        let (ok, text) = match mode {
            Ok(mode) if mode == "wal" => (true, format!("{path} can be read and written")),
            Ok(mode) => (false, format!("{path} is in journal mode {mode}: put it on a local disk")),
            Err(error) => (false, format!("failed to {error}: see {path} and its disk")),
        };
        vec![Finding { check: "sqlite_file", ok, text }]
    }
}
