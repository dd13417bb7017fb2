//! The file: its settings and its schema.

use crate::store::{Result, StoreError};
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Duration;

/// Each migrates a file to the next version, beginning with 0.
const MIGRATIONS: [&str; 1] = [include_str!("schema.sql")];

/// Another process that reads the file may lock it for a moment.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const STATEMENTS: usize = 64;

/// Opens or makes the file for writing, and brings it to the newest schema.
pub fn open_to_write(path: &Path) -> Result<Connection> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // What a power cut loses is in the journal, so a commit need not wait for the disk. With more log before
    // a checkpoint, a page that changes often is written once.
    connection.execute_batch(
        "PRAGMA journal_mode = wal; PRAGMA synchronous = normal; PRAGMA wal_autocheckpoint = 4000;
         PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -65536; PRAGMA temp_store = memory;",
    )?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    migrate(&mut connection)?;
    Ok(connection)
}

/// Opens the file for reading.
pub fn open_to_read(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch("PRAGMA cache_size = -16384; PRAGMA temp_store = memory;")?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

fn migrate(connection: &mut Connection) -> Result<()> {
    let change = connection.transaction()?;
    let version: usize =
        change.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))? as usize;
    let Some(missing) = MIGRATIONS.get(version..) else {
        return Err(StoreError::Corrupt(format!(
            "its schema has version {version}, this program knows {}: use the newer program, or remove the file to \
             have it rebuilt from the journal",
            MIGRATIONS.len()
        )));
    };
    if missing.is_empty() {
        // Nothing is written: on a full disk, reading still works.
        return Ok(());
    }
    for migration in missing {
        change.execute_batch(migration)?;
    }
    change.pragma_update(None, "user_version", MIGRATIONS.len().to_string())?;
    Ok(change.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_later_version_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("store.sqlite");
        open_to_write(&path).expect("a new file");
        let again = open_to_write(&path).expect("the same file");
        again.pragma_update(None, "user_version", 99).expect("a pragma");
        drop(again);
        let error = open_to_write(&path).expect_err("a later version");
        assert!(error.to_string().contains("version 99"), "{error}");
    }

    #[test]
    fn a_file_of_something_else_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("store.sqlite");
        std::fs::write(&path, "this is no database, and long enough to be taken for one").expect("a file");
        assert!(matches!(open_to_write(&path), Err(StoreError::Corrupt(_))));
    }
}
