//! A store that forgets: keys that its servers evicted are missing until the store is made again from the journals, even
//! if the servers' settings were corrected or their counters were reset by a restart.
//!
//! So an eviction is noted in the store itself, in a document that disappears when the store is emptied. Evictions from
//! before the store was last empty are no loss: the store's own metadata says how many they were.

use super::layout::FORGOT;
use super::work::{Work, load_one};
use super::{App, lock};
use crate::store::{Committed, Finding, Keeping, Log, Partition, Result};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The note about evictions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Forgot {
    /// The life of the store.
    store_id: String,
    /// When this was noticed.
    at: DateTime<Utc>,
    /// How many keys had been evicted by then, since the store was empty.
    keys: u64,
}

impl App {
    /// Why the store may lose, or has lost, what it was given, as it is now.
    pub(super) async fn why_the_store_forgets(&self) -> Result<Option<String>> {
        let keeping = self.store.keeping().await?;
        let why = match self.forgot(&keeping).await? {
            Some(Forgot { at, keys, .. }) => {
                let day = at.format("%F %R UTC");
                Some(format!("it has evicted {keys} keys by {day}, and lacks them; {}", self.how_to_refill()))
            }
            None => keeping.may_forget,
        };
        lock(&self.drains.may_forget).clone_from(&why);
        Ok(why)
    }

    /// The note for this life of the store; a new eviction is noted first.
    async fn forgot(&self, keeping: &Keeping) -> Result<Option<Forgot>> {
        let Some(meta) = self.store.meta().await? else { return Ok(None) };
        let noted = load_one::<Forgot>(self.store.as_ref(), Partition::Directory, FORGOT).await?;
        let noted = noted.filter(|noted| noted.store_id == meta.store_id);
        match evicted_since(&meta.evicted_before, &keeping.evicted) {
            keys if keys > 0 && noted.is_none() => {
                let forgot = Forgot { store_id: meta.store_id, at: self.now(), keys };
                self.note(&forgot).await?;
                Ok(Some(forgot))
            }
            _ => Ok(noted),
        }
    }

    async fn note(&self, forgot: &Forgot) -> Result<()> {
        let mut work = Work::load(&*self.store, Partition::Directory, vec![FORGOT.to_owned()]).await?;
        work.put(FORGOT, forgot)?;
        // Otherwise another node has noted it.
        if self.store.commit(&work.into_commit()).await? == Committed::Done {
            tracing::error!(keys = forgot.keys, "the store has evicted what it was given");
        }
        Ok(())
    }

    /// How much was evicted before this life of the store; in an empty store, none of it is missing. A store that has only
    /// lost its metadata is not empty.
    pub(super) async fn evicted_before(&self) -> Result<BTreeMap<String, u64>> {
        let cursors = self.store.cursors(self.node, Log::Facts).await?;
        let is_empty = cursors.iter().all(|(_, cursor)| cursor.position == 0);
        Ok(if is_empty { self.store.keeping().await?.evicted } else { BTreeMap::new() })
    }

    /// Whether the store keeps what it was given, as last seen.
    pub(super) fn inspect_keeping(&self) -> Finding {
        let why = self.store_may_forget();
        let (ok, good) = (why.is_none(), || "it has evicted nothing that it was given".to_owned());
        Finding { check: "store_keeps", ok, text: why.unwrap_or_else(good) }
    }
}

/// How many keys servers have evicted since the store was empty. A server counts from zero after a restart, with a new
/// run id, and after `CONFIG RESETSTAT`.
fn evicted_since(before: &BTreeMap<String, u64>, now: &BTreeMap<String, u64>) -> u64 {
    let since = |(run, now): (&String, &u64)| match before.get(run) {
        Some(before) if before <= now => now - before,
        _ => *now,
    };
    now.iter().map(since).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_evicted_since_the_store_was_empty_is_missing() {
        let counts = |counts: &[(&str, u64)]| -> BTreeMap<String, u64> {
            counts.iter().map(|(run, count)| ((*run).to_owned(), *count)).collect()
        };
        let cases: [(&[_], &[_], u64); 8] = [
            (&[], &[], 0),
            (&[], &[("a", 67)], 67),
            (&[("a", 67)], &[("a", 67)], 0),
            (&[("a", 67)], &[("a", 70)], 3),
            // Its counts were reset.
            (&[("a", 67)], &[], 0),
            (&[("a", 67)], &[("a", 5)], 5),
            // Started again, or another one of a cluster.
            (&[("a", 67)], &[("b", 2)], 2),
            (&[("a", 67), ("b", 1)], &[("a", 68), ("b", 1), ("c", 4)], 5),
        ];
        for (before, now, since) in cases {
            assert_eq!(evicted_since(&counts(before), &counts(now)), since, "{before:?} {now:?}");
        }
    }
}
