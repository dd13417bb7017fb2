//! Documents and indexes.

use super::RedisStore;
use super::client::Lanes;
use super::keys;
use super::reply;
use super::script::{COMMIT, Call};
use crate::domain::id::NodeId;
use crate::store::packed;
use crate::store::{Commit, Committed, Cursor, Doc, Documents, Log, Partition, Result, StoreError, missing};
use async_trait::async_trait;
use futures_util::future::try_join_all;
use redis::{Value, cmd};

/// Documents read by one command: a millisecond of Redis, and little to transfer.
const CHUNK: usize = 200;
/// Members read by one command.
const PAGE: usize = 1_000;
/// How many commands of one read run at once.
const AT_ONCE: usize = 16;

#[async_trait]
impl Documents for RedisStore {
    fn partitions(&self) -> u16 {
        keys::PARTITIONS
    }

    async fn cursors(&self, node: NodeId, log: Log) -> Result<Vec<(Partition, Cursor)>> {
        let reads = keys::partitions().map(|partition| async move {
            let mut get = cmd("HGET");
            get.arg(keys::cursors(partition)).arg(&keys::cursor_field(node, log)[..]);
            let cursor = match self.client.command(partition, Lanes::Reads, &get).await? {
                Value::Nil => Cursor::default(),
                cursor => packed::read_cursor(&reply::bytes(cursor)?)?,
            };
            Ok((partition, cursor))
        });
        try_join_all(reads).await
    }

    async fn load(&self, partition: Partition, names: &[String]) -> Result<Vec<Option<Doc>>> {
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        self.documents("", partition, &names).await
    }

    async fn commit(&self, commit: &Commit) -> Result<Committed> {
        let answer = self.client.script(commit.partition, Lanes::Facts, &COMMIT, &pack(commit)).await?;
        let mut answer = reply::array(answer)?.into_iter();
        let Some(what) = answer.next() else { return Ok(Committed::Done) };
        let detail = answer.next().unwrap_or_default();
        match reply::bytes(what)?.as_slice() {
            b"cursor" => Ok(Committed::CursorAt(packed::read_cursor(&reply::bytes(detail)?)?)),
            b"fence" => Ok(Committed::Fenced(reply::number(detail)?)),
            b"stale" => Ok(Committed::Stale),
            _ => Err(StoreError::Corrupt("an unknown answer to a commit".to_owned())),
        }
    }

    async fn members(
        &self,
        partition: Partition,
        index: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        let key = keys::index(partition, index);
        let mut members: Vec<String> = Vec::new();
        while members.len() < limit {
            let from = members.last().map(String::as_str).or(after);
            let asked = (limit - members.len()).min(PAGE);
            let mut get = cmd("ZRANGEBYLEX");
            get.arg(&key).arg(from.map_or_else(|| "-".to_owned(), |after| format!("({after}")));
            get.arg("+").arg("LIMIT").arg(0).arg(asked);
            let read = reply::array(self.client.command(partition, Lanes::Reads, &get).await?)?;
            let last = read.len() < asked;
            for member in read {
                members.push(reply::text(member)?);
            }
            if last {
                break;
            }
        }
        Ok(members)
    }

    /// Members first, then documents: a script that does both in one call costs Redis, which copies what it
    /// reads into Lua and out again, three times as much.
    async fn load_indexed(
        &self,
        partition: Partition,
        indexes: &[String],
        prefix: &str,
    ) -> Result<Vec<Vec<Result<Doc>>>> {
        let mut found = Vec::with_capacity(indexes.len());
        for indexes in indexes.chunks(AT_ONCE) {
            let all = indexes.iter().map(|index| self.members(partition, index, None, usize::MAX));
            let members = try_join_all(all).await?;
            let names: Vec<_> = members.iter().flatten().map(String::as_str).collect();
            let mut documents = self.documents(prefix, partition, &names).await?.into_iter();
            for (index, members) in indexes.iter().zip(&members) {
                let found_here = members.iter().zip(documents.by_ref());
                let or_missing = |(member, doc): (&String, Option<Doc>)| {
                    doc.ok_or_else(|| missing(index, &format!("{prefix}{member}")))
                };
                found.push(found_here.map(or_missing).collect());
            }
        }
        Ok(found)
    }
}

impl RedisStore {
    async fn documents(
        &self,
        prefix: &str,
        partition: Partition,
        names: &[&str],
    ) -> Result<Vec<Option<Doc>>> {
        let mut found = Vec::with_capacity(names.len());
        for names in names.chunks(CHUNK * AT_ONCE) {
            let read =
                try_join_all(names.chunks(CHUNK).map(|names| self.chunk(prefix, partition, names))).await?;
            found.extend(read.into_iter().flatten());
        }
        Ok(found)
    }

    async fn chunk(&self, prefix: &str, partition: Partition, names: &[&str]) -> Result<Vec<Option<Doc>>> {
        let mut get = cmd("MGET");
        for name in names {
            get.arg(keys::document(partition, prefix, name));
        }
        let values = reply::array(self.client.command(partition, Lanes::Reads, &get).await?)?;
        values
            .into_iter()
            .map(|value| if value == Value::Nil { Ok(None) } else { read_document(value).map(Some) })
            .collect()
    }
}

/// A document's value: its version, 8 bytes, then the body.
fn read_document(value: Value) -> Result<Doc> {
    let mut body = reply::bytes(value)?;
    let version = body.first_chunk().map(|version| u64::from_be_bytes(*version));
    let version = version.ok_or_else(|| StoreError::Corrupt("a document without a version".to_owned()))?;
    body.drain(..8);
    Ok(Doc { version, body })
}

/// The keys and arguments of `commit.lua`.
fn pack(commit: &Commit) -> Call {
    let at = commit.partition;
    let mut call = Call::of(
        [keys::cursors(at), keys::fence(at)]
            .into_iter()
            .chain(commit.writes.iter().map(|write| keys::document(at, "", &write.key)))
            .chain(commit.removes.iter().map(|remove| keys::document(at, "", &remove.key)))
            .chain(commit.indexes.iter().map(|change| keys::index(at, &change.index)))
            .chain(commit.appends.iter().map(|append| keys::stream(at, append.stream))),
    );
    match &commit.advance {
        Some(advance) => {
            call.arg(&keys::cursor_field(advance.node, advance.log));
            call.arg(&packed::cursor(advance.from));
            call.arg(&packed::cursor(advance.to));
        }
        None => (0..3).for_each(|_| call.arg(b"")),
    }
    match commit.fence {
        Some(token) => call.number(token),
        None => call.arg(b""),
    }
    call.number(commit.writes.len() as u64);
    call.number(commit.removes.len() as u64);
    call.number(commit.indexes.len() as u64);
    call.number(commit.appends.len() as u64);
    for write in &commit.writes {
        let expected = write.expected.to_be_bytes();
        call.arg(if write.expected == 0 { b"" } else { &expected });
        call.arg(&[&(write.expected + 1).to_be_bytes()[..], &write.body].concat());
    }
    for remove in &commit.removes {
        call.arg(&remove.expected.to_be_bytes());
    }
    for change in &commit.indexes {
        call.arg(if change.present { b"1" } else { b"0" });
        call.arg(change.member.as_bytes());
    }
    for append in &commit.appends {
        call.arg(&append.body);
    }
    call
}
