//! A partition's documents while a batch of facts is applied to them: read once, changed in memory, written
//! together.

use crate::domain::id::NodeId;
use crate::domain::mail::{Message, Topic};
use crate::store::{Append, Commit, Cursor, Doc, IndexChange, Partition, Result, Store, StoreError, Write};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// A document as read, and as it will be written.
#[derive(Debug, Default)]
struct Slot {
    version: u64,
    body: Option<Vec<u8>>,
    changed: bool,
}

/// The position of the fact that is being applied; the ids of its effects are derived from it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    pub(crate) node: NodeId,
    pub(crate) cursor: Cursor,
    /// When the fact was accepted.
    pub(crate) at: DateTime<Utc>,
    pub(crate) now: DateTime<Utc>,
}

/// The documents of one partition that a batch may change.
#[derive(Debug)]
pub(crate) struct Work {
    partition: Partition,
    slots: BTreeMap<String, Slot>,
    indexes: Vec<IndexChange>,
    appends: Vec<Append>,
    source: Option<Source>,
    letters: usize,
    /// Kinds of mail that the program does not want.
    off: Vec<Topic>,
}

impl Work {
    /// Reads the documents with these names.
    pub(crate) async fn load(store: &dyn Store, partition: Partition, mut keys: Vec<String>) -> Result<Self> {
        keys.sort_unstable();
        keys.dedup();
        let docs = if keys.is_empty() { Vec::new() } else { store.load(partition, &keys).await? };
        let slot = |doc: Option<Doc>| {
            doc.map_or_else(Slot::default, |doc| Slot {
                version: doc.version,
                body: Some(doc.body),
                changed: false,
            })
        };
        let slots = keys.into_iter().zip(docs.into_iter().map(slot)).collect();
        Ok(Self {
            partition,
            slots,
            indexes: Vec::new(),
            appends: Vec::new(),
            source: None,
            letters: 0,
            off: Vec::new(),
        })
    }

    /// Leaves out letters of these kinds.
    pub(crate) fn switch_off(&mut self, off: &[Topic]) {
        off.clone_into(&mut self.off);
    }
    /// Whether the program wants such a letter.
    pub(crate) fn wants(&self, message: &Message) -> bool {
        message.topic().is_none_or(|topic| !self.off.contains(&topic))
    }
    /// Begins the turn of a fact.
    pub(crate) const fn begin(&mut self, source: Source) {
        self.source = Some(source);
        self.letters = 0;
    }
    /// The fact whose turn it is.
    pub(crate) const fn source(&self) -> Option<&Source> {
        self.source.as_ref()
    }
    /// The number of letters that the fact has caused so far.
    pub(crate) const fn count_letter(&mut self) -> usize {
        self.letters += 1;
        self.letters - 1
    }

    /// A document in its present state within the batch. A document that was not loaded is a bug and an error,
    /// since it may exist.
    pub(crate) fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let slot = self.slots.get(key).ok_or_else(|| not_loaded(key))?;
        slot.body.as_deref().map(|body| decode(key, body)).transpose()
    }

    /// Replaces a document that was loaded.
    pub(crate) fn put<T: Serialize>(&mut self, key: &str, value: &T) -> Result<()> {
        let body =
            serde_json::to_vec(value).map_err(|error| StoreError::Corrupt(format!("{key}: {error}")))?;
        let slot = self.slots.get_mut(key).ok_or_else(|| not_loaded(key))?;
        slot.body = Some(body);
        slot.changed = true;
        Ok(())
    }
    /// Changes an index.
    pub(crate) fn index(&mut self, index: String, member: String, present: bool) {
        self.indexes.push(IndexChange { index, member, present });
    }
    /// Changes indexes.
    pub(crate) fn index_all(&mut self, changes: Vec<IndexChange>) {
        self.indexes.extend(changes);
    }
    /// Adds an entry to a stream.
    pub(crate) fn append(&mut self, stream: &'static str, entry: &serde_json::Value) {
        self.appends.push(Append { stream, body: entry.to_string().into_bytes() });
    }
    /// The commit of all changes.
    pub(crate) fn into_commit(self) -> Commit {
        let write = |(key, slot): (String, Slot)| {
            let expected = slot.version;
            slot.body.filter(|_| slot.changed).map(|body| Write { key, expected, body })
        };
        Commit {
            writes: self.slots.into_iter().filter_map(write).collect(),
            indexes: self.indexes,
            appends: self.appends,
            ..Commit::to(self.partition)
        }
    }
}

fn not_loaded(key: &str) -> StoreError {
    let kind = key.split(':').next().unwrap_or_default();
    StoreError::Corrupt(format!("a document of the kind `{kind}` was not loaded: this is a bug"))
}

/// Loads one document; `None`: there is none.
pub(crate) async fn load_one<T: DeserializeOwned>(
    store: &dyn Store,
    partition: Partition,
    key: &str,
) -> Result<Option<T>> {
    let docs = store.load(partition, &[key.to_owned()]).await?;
    docs.into_iter().flatten().next().map(|doc| decode(key, &doc.body)).transpose()
}

/// Reads a document's JSON.
pub(crate) fn decode<T: DeserializeOwned>(key: &str, body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| {
        // The error may be logged, and a log must contain no e-mail address.
        let kind = key.split(':').next().filter(|_| key.contains('@'));
        StoreError::Corrupt(format!("{}: {error}", kind.unwrap_or(key)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::SqliteStore;

    #[tokio::test]
    async fn a_document_that_was_not_loaded_is_an_error_and_not_one_that_is_not_there() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = SqliteStore::open(&dir.path().join("store")).expect("a store");
        let keys = vec!["email:ann@example.com".to_owned()];
        let mut work = Work::load(&store, Partition::Directory, keys).await.expect("a store");
        assert_eq!(work.get::<u32>("email:ann@example.com").expect("it was loaded"), None);
        let errors =
            [work.get::<u32>("email:bob@example.com").map(drop), work.put("email:bob@example.com", &1)];
        for error in errors {
            let text = error.expect_err("it was not loaded").to_string();
            assert!(text.contains("a document of the kind `email` was not loaded"), "{text}");
            assert!(!text.contains("bob"), "{text}");
        }
    }
}
