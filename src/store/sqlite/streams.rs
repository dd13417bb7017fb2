//! Streams. An entry's id begins with the time, as in Redis: when the file is rebuilt, readers of the old one
//! see entries again rather than miss some.

use super::SqliteStore;
use super::documents::part;
use crate::clock::Clock;
use crate::store::{Append, Entry, Result, Stream, StreamId, Streams};
use async_trait::async_trait;
use rusqlite::{OptionalExtension, Row, Transaction, params};

#[async_trait]
impl Streams for SqliteStore {
    async fn read_stream(&self, of: Stream, after: StreamId, limit: usize) -> Result<Vec<Entry>> {
        self.entries(
            "SELECT ms, sequence, body FROM entries WHERE part = ? AND stream = ? AND (ms, sequence) > (?, ?)
             ORDER BY ms, sequence LIMIT ?",
            of,
            after,
            limit,
        )
        .await
    }

    async fn read_stream_back(
        &self,
        of: Stream,
        before: Option<StreamId>,
        limit: usize,
    ) -> Result<Vec<Entry>> {
        self.entries(
            "SELECT ms, sequence, body FROM entries WHERE part = ? AND stream = ? AND (ms, sequence) < (?, ?)
             ORDER BY ms DESC, sequence DESC LIMIT ?",
            of,
            before.unwrap_or(StreamId(u64::MAX, u64::MAX)),
            limit,
        )
        .await
    }
}

impl SqliteStore {
    async fn entries(
        &self,
        sql: &'static str,
        Stream(partition, stream): Stream,
        from: StreamId,
        limit: usize,
    ) -> Result<Vec<Entry>> {
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let (ms, sequence, limit) =
            (signed(from.0), signed(from.1), i64::try_from(limit).unwrap_or(i64::MAX));
        self.readers
            .run(move |connection| {
                let mut find = connection.prepare_cached(sql)?;
                let entries =
                    find.query_map(params![part(partition), stream, ms, sequence, limit], read_entry)?;
                Ok(entries.collect::<rusqlite::Result<_>>()?)
            })
            .await
    }
}

fn read_entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let id = StreamId(row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned());
    Ok(Entry { id, body: row.get(2)? })
}

/// Adds an entry after all others, even if the clock was set back.
pub(super) fn append(change: &Transaction<'_>, part: i64, append: &Append) -> rusqlite::Result<()> {
    let last: Option<(i64, i64)> = change
        .prepare_cached(
            "SELECT ms, sequence FROM entries WHERE part = ? AND stream = ? ORDER BY ms DESC, sequence DESC LIMIT 1",
        )?
        .query_row(params![part, append.stream], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let now = Clock::system().millis();
    let (ms, sequence) = match last {
        Some((ms, sequence)) if ms >= now => (ms, sequence + 1),
        _ => (now, 0),
    };
    change.prepare_cached("INSERT INTO entries VALUES (?, ?, ?, ?, ?)")?.execute(params![
        part,
        append.stream,
        ms,
        sequence,
        append.body
    ])?;
    Ok(())
}
