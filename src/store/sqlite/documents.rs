//! Documents and indexes.

use super::SqliteStore;
use super::streams;
use crate::domain::id::NodeId;
use crate::store::packed;
use crate::store::{
    Advance, Commit, Committed, Cursor, Doc, Documents, IndexChange, Log, Partition, Result, Write, missing,
};
use async_trait::async_trait;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

/// The partition's number in the file.
pub(super) fn part(partition: Partition) -> i64 {
    match partition {
        Partition::Hashed(_) => 0,
        Partition::Directory => 1,
    }
}

#[async_trait]
impl Documents for SqliteStore {
    fn partitions(&self) -> u16 {
        1
    }

    async fn cursors(&self, node: NodeId, log: Log) -> Result<Vec<(Partition, Cursor)>> {
        self.readers
            .run(move |connection| {
                [Partition::Hashed(0), Partition::Directory]
                    .into_iter()
                    .map(|partition| Ok((partition, cursor(connection, part(partition), node, log)?)))
                    .collect()
            })
            .await
    }

    async fn load(&self, partition: Partition, names: &[String]) -> Result<Vec<Option<Doc>>> {
        let names = names.to_vec();
        self.readers
            .run(move |connection| {
                let mut find = connection
                    .prepare_cached("SELECT version, body FROM documents WHERE part = ? AND name = ?")?;
                let mut found = Vec::with_capacity(names.len());
                for name in &names {
                    found.push(find.query_row(params![part(partition), name], read_document).optional()?);
                }
                Ok(found)
            })
            .await
    }

    async fn commit(&self, commit: &Commit) -> Result<Committed> {
        let commit = commit.clone();
        self.writer.run(move |change| apply(change, &commit)).await
    }

    async fn members(
        &self,
        partition: Partition,
        index: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        let (index, after) = (index.to_owned(), after.map(str::to_owned));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.readers
            .run(move |connection| {
                let mut find = connection.prepare_cached(
                    "SELECT member FROM members WHERE part = ?1 AND name = ?2 AND (?3 IS NULL OR member > ?3)
                     ORDER BY member LIMIT ?4",
                )?;
                let members =
                    find.query_map(params![part(partition), index, after, limit], |row| row.get(0))?;
                Ok(members.collect::<rusqlite::Result<_>>()?)
            })
            .await
    }

    async fn load_indexed(
        &self,
        partition: Partition,
        indexes: &[String],
        prefix: &str,
    ) -> Result<Vec<Vec<Result<Doc>>>> {
        let (indexes, prefix) = (indexes.to_vec(), prefix.to_owned());
        self.readers
            .run(move |connection| {
                let mut find = connection.prepare_cached(
                    "SELECT version, body, member FROM members LEFT JOIN documents
                     ON documents.part = members.part AND documents.name = ?3 || members.member
                     WHERE members.part = ?1 AND members.name = ?2 ORDER BY members.member",
                )?;
                let mut found = Vec::with_capacity(indexes.len());
                for index in &indexes {
                    let or_missing = |row: &rusqlite::Row<'_>| {
                        if row.get_ref("version")? == ValueRef::Null {
                            let member: String = row.get("member")?;
                            return Ok(Err(missing(index, &format!("{prefix}{member}"))));
                        }
                        read_document(row).map(Ok)
                    };
                    let documents = find.query_map(params![part(partition), index, prefix], or_missing)?;
                    found.push(documents.collect::<rusqlite::Result<_>>()?);
                }
                Ok(found)
            })
            .await
    }
}

fn read_document(row: &rusqlite::Row<'_>) -> rusqlite::Result<Doc> {
    Ok(Doc { version: row.get::<_, i64>(0)?.cast_unsigned(), body: row.get(1)? })
}

fn cursor(connection: &Connection, part: i64, node: NodeId, log: Log) -> Result<Cursor> {
    let at = connection
        .prepare_cached("SELECT at FROM cursors WHERE part = ? AND node = ? AND log = ?")?
        .query_row(params![part, node.bits().cast_signed(), log.code()], |row| row.get::<_, Vec<u8>>(0))
        .optional()?;
    at.map_or(Ok(Cursor::default()), |at| packed::read_cursor(&at))
}

/// Moves a cursor; if it is not where it should be, returns where it is, and leaves it.
pub(super) fn move_cursor(change: &Transaction<'_>, part: i64, advance: &Advance) -> Result<Option<Cursor>> {
    let at = cursor(change, part, advance.node, advance.log)?;
    if at != advance.from {
        return Ok(Some(at));
    }
    let (node, to) = (advance.node.bits().cast_signed(), packed::cursor(advance.to));
    change.prepare_cached("INSERT OR REPLACE INTO cursors VALUES (?, ?, ?, ?)")?.execute(params![
        part,
        node,
        advance.log.code(),
        to
    ])?;
    Ok(None)
}

/// Checks everything, then writes: with a result other than `Done`, the transaction is empty.
fn apply(change: &Transaction<'_>, commit: &Commit) -> Result<Committed> {
    let part = part(commit.partition);
    if let Some(advance) = &commit.advance {
        let at = cursor(change, part, advance.node, advance.log)?;
        if at != advance.from {
            return Ok(Committed::CursorAt(at));
        }
    }
    if let Some(token) = commit.fence {
        let standing = super::nodes::fence(change, part)?;
        if standing > token {
            return Ok(Committed::Fenced(standing));
        }
    }
    for write in &commit.writes {
        if version(change, part, &write.key)? != write.expected {
            return Ok(Committed::Stale);
        }
    }
    for remove in &commit.removes {
        if version(change, part, &remove.key)? != remove.expected {
            return Ok(Committed::Stale);
        }
    }
    if let Some(advance) = &commit.advance {
        move_cursor(change, part, advance)?;
    }
    for write in &commit.writes {
        put_document(change, part, write)?;
    }
    for remove in &commit.removes {
        change
            .prepare_cached("DELETE FROM documents WHERE part = ? AND name = ?")?
            .execute(params![part, remove.key])?;
    }
    for index in &commit.indexes {
        change_index(change, part, index)?;
    }
    for append in &commit.appends {
        streams::append(change, part, append)?;
    }
    Ok(Committed::Done)
}

fn version(change: &Transaction<'_>, part: i64, name: &str) -> rusqlite::Result<u64> {
    let version = change
        .prepare_cached("SELECT version FROM documents WHERE part = ? AND name = ?")?
        .query_row(params![part, name], |row| row.get::<_, i64>(0))
        .optional()?;
    Ok(version.map_or(0, i64::cast_unsigned))
}

fn put_document(change: &Transaction<'_>, part: i64, write: &Write) -> rusqlite::Result<()> {
    change
        .prepare_cached(
            "INSERT INTO documents (part, name, version, body) VALUES (?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET version = excluded.version, body = excluded.body",
        )?
        .execute(params![part, write.key, (write.expected + 1).cast_signed(), write.body])?;
    Ok(())
}

fn change_index(change: &Transaction<'_>, part: i64, index: &IndexChange) -> rusqlite::Result<()> {
    let sql = if index.present {
        "INSERT OR IGNORE INTO members VALUES (?, ?, ?)"
    } else {
        "DELETE FROM members WHERE part = ? AND name = ? AND member = ?"
    };
    change.prepare_cached(sql)?.execute(params![part, index.index, index.member])?;
    Ok(())
}
