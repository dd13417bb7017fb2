//! The embedded store: one SQLite file, for one node. Everything in it can be rebuilt from the journal, so
//! its commits do not wait for the disk, and the remedy for damage is to remove the file.

use super::{Result, StoreError};
use std::path::{Path, PathBuf};

mod clicks;
mod documents;
mod file;
mod health;
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
