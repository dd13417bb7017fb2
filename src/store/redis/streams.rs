//! Streams.

use super::RedisStore;
use super::client::Lanes;
use super::keys;
use super::reply;
use crate::store::{Entry, Partition, Result, StoreError, Stream, StreamId, Streams};
use async_trait::async_trait;
use redis::{Cmd, Value, cmd};

#[async_trait]
impl Streams for RedisStore {
    async fn read_stream(&self, of: Stream, after: StreamId, limit: usize) -> Result<Vec<Entry>> {
        let mut read = cmd("XRANGE");
        read.arg(keys::stream(of.0, of.1)).arg(format!("({}-{}", after.0, after.1)).arg("+");
        self.entries(of.0, &mut read, limit).await
    }

    async fn read_stream_back(
        &self,
        of: Stream,
        before: Option<StreamId>,
        limit: usize,
    ) -> Result<Vec<Entry>> {
        let from = match before {
            // Redis refuses to read before the beginning.
            Some(StreamId(0, 0)) => return Ok(Vec::new()),
            Some(before) => format!("({}-{}", before.0, before.1),
            None => "+".to_owned(),
        };
        let mut read = cmd("XREVRANGE");
        read.arg(keys::stream(of.0, of.1)).arg(from).arg("-");
        self.entries(of.0, &mut read, limit).await
    }
}

impl RedisStore {
    async fn entries(&self, partition: Partition, read: &mut Cmd, limit: usize) -> Result<Vec<Entry>> {
        read.arg("COUNT").arg(limit);
        let entries = reply::array(self.client.command(partition, Lanes::Reads, read).await?)?;
        entries.into_iter().map(read_entry).collect()
    }
}

/// `id, (field, body)`.
fn read_entry(value: Value) -> Result<Entry> {
    let broken = || StoreError::Corrupt("an entry of a stream that is none".to_owned());
    let mut parts = reply::array(value)?.into_iter();
    let id = reply::text(parts.next().ok_or_else(broken)?)?;
    let (ms, sequence) = id.split_once('-').ok_or_else(broken)?;
    let id = StreamId(ms.parse().map_err(|_| broken())?, sequence.parse().map_err(|_| broken())?);
    let fields = reply::array(parts.next().ok_or_else(broken)?)?;
    let body = reply::bytes(fields.into_iter().nth(1).ok_or_else(broken)?)?;
    Ok(Entry { id, body })
}
