//! Whether the file can be read and written.

use super::SqliteStore;
use crate::store::{Finding, Health, Keeping, Result};
use async_trait::async_trait;

#[async_trait]
impl Health for SqliteStore {
    async fn ping(&self) -> Result<()> {
        self.readers
            .run(|connection| Ok(connection.query_row("SELECT count(*) FROM meta", [], |_| Ok(()))?))
            .await
    }

    async fn keeping(&self) -> Result<Keeping> {
        Ok(Keeping::default())
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
