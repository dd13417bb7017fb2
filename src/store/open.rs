//! Opens the store that a configuration names.

use super::redis::RedisStore;
use super::sqlite::SqliteStore;
use super::{Result, Store, StoreError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The file of the embedded store in the data directory.
pub const SQLITE_FILE: &str = "store.sqlite";

/// How to talk to a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreSettings {
    /// How long Redis may take to answer a call.
    pub timeout: Duration,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self { timeout: Duration::from_millis(250) }
    }
}

/// Opens the store that `url` names: `sqlite`, `redis://…`, `rediss://…` (TLS),
/// `redis-cluster://host:port,host:port,…` or `rediss-cluster://…`. Redis need not be up; SQLite's file is
/// made.
pub fn open(url: &str, data_dir: &Path, settings: &StoreSettings) -> Result<Arc<dyn Store>> {
    if url == "sqlite" {
        return Ok(Arc::new(SqliteStore::open(&data_dir.join(SQLITE_FILE))?));
    }
    match url.split_once("://") {
        Some(("redis" | "rediss" | "redis-cluster" | "rediss-cluster", _)) => {
            Ok(Arc::new(RedisStore::connect(url, settings)?))
        }
        // The address may hold a password, so it is not repeated.
        _ => Err(StoreError::Unavailable(
            "the store is none of sqlite, redis://, rediss://, redis-cluster://, rediss-cluster://"
                .to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_kind_of_store_opens_and_others_do_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let try_open = |url: &str| open(url, dir.path(), &StoreSettings::default());
        assert_eq!(try_open("sqlite").expect("a file").partitions(), 1);
        for url in
            ["redis://127.0.0.1:1", "rediss://:secret@h", "redis-cluster://a:1,b:2", "rediss-cluster://u:p@a"]
        {
            assert_eq!(try_open(url).expect(url).partitions(), 16);
        }
        for url in ["", "sqlite3", "redis", "http://h", "redis://", "redis-cluster://", "redis-cluster://a:x"]
        {
            assert!(try_open(url).is_err(), "{url}");
        }
    }

    #[tokio::test]
    async fn a_password_is_not_shown() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = open("redis://u:hush@127.0.0.1:1", dir.path(), &StoreSettings::default()).expect("lazy");
        let error = store.ping().await.expect_err("nobody listens there");
        assert!(!format!("{store:?} {error} {error:?}").contains("hush"));
    }
}
