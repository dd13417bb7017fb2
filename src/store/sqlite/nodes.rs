//! What nodes agree on: leases, fences, known nodes, what the store is; and counting windows.

use super::SqliteStore;
use super::documents::part;
use crate::clock::Clock;
use crate::domain::id::NodeId;
use crate::store::{Lease, Leases, NodeState, Nodes, Partition, Result, StoreError, StoreMeta};
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

#[async_trait]
impl Leases for SqliteStore {
    async fn lease(&self, name: &'static str, holder: &str, ttl_ms: u64) -> Result<Lease> {
        let holder = holder.to_owned();
        let ttl = i64::try_from(ttl_ms).unwrap_or(i64::MAX);
        self.writer.run(move |change| Ok(take(change, name, &holder, Clock::system().millis(), ttl)?)).await
    }

    async fn release(&self, name: &'static str, holder: &str) -> Result<()> {
        let holder = holder.to_owned();
        self.writer
            .run(move |change| {
                change
                    .prepare_cached("UPDATE leases SET until_ms = 0 WHERE name = ? AND holder = ?")?
                    .execute(params![name, holder])?;
                Ok(())
            })
            .await
    }

    async fn raise_fence(&self, partition: Partition, token: u64) -> Result<bool> {
        self.writer
            .run(move |change| {
                let part = part(partition);
                if fence(change, part)? > token {
                    return Ok(false);
                }
                change
                    .prepare_cached("INSERT OR REPLACE INTO fences VALUES (?, ?)")?
                    .execute(params![part, token.cast_signed()])?;
                Ok(true)
            })
            .await
    }
}

#[async_trait]
impl Nodes for SqliteStore {
    async fn put_node(&self, state: &NodeState) -> Result<()> {
        let (node, state) = (state.node.bits().cast_signed(), to_json(state)?);
        self.writer
            .run(move |change| {
                change
                    .prepare_cached("INSERT OR REPLACE INTO nodes VALUES (?, ?)")?
                    .execute(params![node, state])?;
                Ok(())
            })
            .await
    }

    async fn nodes(&self) -> Result<Vec<NodeState>> {
        self.readers
            .run(|connection| {
                let mut all = connection.prepare_cached("SELECT state FROM nodes ORDER BY node")?;
                let states = all
                    .query_map([], |row| row.get::<_, String>(0))?
                    .collect::<rusqlite::Result<Vec<_>>>()?;
                states.iter().map(|state| from_json(state)).collect()
            })
            .await
    }

    async fn forget_node(&self, node: NodeId) -> Result<()> {
        self.writer
            .run(move |change| {
                change
                    .prepare_cached("DELETE FROM nodes WHERE node = ?")?
                    .execute([node.bits().cast_signed()])?;
                Ok(())
            })
            .await
    }

    async fn meta(&self) -> Result<Option<StoreMeta>> {
        self.readers.run(standing_meta).await
    }

    async fn init_meta(&self, meta: &StoreMeta) -> Result<StoreMeta> {
        let meta = meta.clone();
        self.writer
            .run(move |change| match standing_meta(change)? {
                Some(standing) => Ok(standing),
                None => write_meta(change, &meta).map(|()| meta),
            })
            .await
    }

    async fn set_meta(&self, meta: &StoreMeta) -> Result<()> {
        let meta = meta.clone();
        self.writer.run(move |change| write_meta(change, &meta)).await
    }

    async fn count_in_window(&self, name: &str, member: &str, now_ms: i64, window_ms: u64) -> Result<u64> {
        let (name, member) = (name.to_owned(), member.to_owned());
        let window = i64::try_from(window_ms).unwrap_or(i64::MAX);
        self.writer.run(move |change| Ok(count(change, &name, &member, now_ms, window)?)).await
    }

    async fn clock_ms(&self) -> Result<Option<i64>> {
        Ok(None)
    }
}

/// A new holder's token is higher than all before, and at least the time in milliseconds: so it is higher
/// even after the file was rebuilt.
fn take(change: &Transaction<'_>, name: &str, holder: &str, now: i64, ttl: i64) -> rusqlite::Result<Lease> {
    let standing: Option<(String, i64, i64)> = change
        .prepare_cached("SELECT holder, until_ms, token FROM leases WHERE name = ?")?
        .query_row([name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let token = match &standing {
        Some((of, until, token)) if *until > now && of == holder => *token,
        Some((_, until, _)) if *until > now => return Ok(Lease::Held),
        Some((.., token)) => now.max(token + 1),
        None => now.max(1),
    };
    change.prepare_cached("INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?)")?.execute(params![
        name,
        holder,
        now.saturating_add(ttl),
        token
    ])?;
    Ok(Lease::Granted { token: token.cast_unsigned() })
}

/// The fence of a partition; 0 if none was raised.
pub(super) fn fence(connection: &Connection, part: i64) -> rusqlite::Result<u64> {
    let token = connection
        .prepare_cached("SELECT token FROM fences WHERE part = ?")?
        .query_row([part], |row| row.get::<_, i64>(0))
        .optional()?;
    Ok(token.map_or(0, i64::cast_unsigned))
}

fn standing_meta(connection: &Connection) -> Result<Option<StoreMeta>> {
    let meta = connection
        .prepare_cached("SELECT meta FROM meta")?
        .query_row([], |row| row.get::<_, String>(0))
        .optional()?;
    meta.map(|meta| from_json(&meta)).transpose()
}

fn write_meta(change: &Transaction<'_>, meta: &StoreMeta) -> Result<()> {
    change.prepare_cached("INSERT OR REPLACE INTO meta VALUES (1, ?)")?.execute([to_json(meta)?])?;
    Ok(())
}

fn count(change: &Transaction<'_>, name: &str, member: &str, now: i64, window: i64) -> rusqlite::Result<u64> {
    change
        .prepare_cached("DELETE FROM windows WHERE name = ? AND at_ms <= ?")?
        .execute(params![name, now.saturating_sub(window).saturating_sub(window)])?;
    // As in Redis, a window expires by the store's own clock, whatever times its members have.
    let expires = Clock::system().millis().saturating_add(window);
    change
        .prepare_cached("INSERT OR REPLACE INTO windows VALUES (?, ?, ?, ?)")?
        .execute(params![name, member, now, expires])?;
    change
        .prepare_cached("SELECT count(*) FROM windows WHERE name = ? AND at_ms > ? AND at_ms <= ?")?
        .query_row(params![name, now.saturating_sub(window), now], |row| row.get::<_, i64>(0))
        .map(i64::cast_unsigned)
}

fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| StoreError::Corrupt(error.to_string()))
}

fn from_json<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt(error.to_string()))
}
