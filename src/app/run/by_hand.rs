//! The lines by hand that a run sees: those that are open when it reads an affiliate, of the affiliates that had any when
//! it began. One that is added later waits for the next run; one that is taken back before its month closed with it makes
//! the closing be refused, so that the next run closes without it.

use super::affiliate_work::AffiliateWork;
use super::make::Run;
use crate::app::layout::{LINES_PREFIX, WITH_LINES, affiliate_partition, all_partitions, lines_key};
use crate::app::work::decode;
use crate::domain::by_hand::LineByHand;
use crate::domain::id::AffiliateId;
use crate::domain::program::hex;
use crate::store::{Doc, Partition, Result, StoreError, missing};
use futures_util::future::try_join_all;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};

/// For each affiliate with open lines by hand, their hash.
pub(super) type LineHashes = HashMap<AffiliateId, String>;

/// One hash of some lines; empty: there are none.
pub(super) fn hash_of(lines: &[LineByHand]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    // Plain data without maps always serializes.
    hex(&Sha256::digest(serde_json::to_vec(lines).expect("lines are plain data")))
}

impl Run<'_> {
    /// The affiliates that have open lines by hand now.
    pub(super) async fn line_hashes(&self) -> Result<LineHashes> {
        let store = &self.app.store;
        let hashed = all_partitions(store.partitions()).filter(|it| *it != Partition::Directory);
        let reads = hashed.map(|partition| async move {
            let names = store.members(partition, WITH_LINES, None, usize::MAX).await?;
            if names.is_empty() {
                return Ok(Vec::new());
            }
            let keys: Vec<String> = names.iter().map(|name| format!("{LINES_PREFIX}{name}")).collect();
            let docs = store.load(partition, &keys).await?;
            Ok::<_, StoreError>(names.into_iter().zip(docs).collect::<Vec<_>>())
        });
        let named = try_join_all(reads).await?.into_iter().flatten().map(|(name, doc)| {
            let affiliate = name.parse().map_err(|_| missing(WITH_LINES, &name))?;
            // What can't be read is no earlier result's: the affiliate is computed, which says what is wrong.
            let hash =
                lines_of(affiliate, doc).map_or_else(|error| error.to_string(), |lines| hash_of(&lines));
            Ok((affiliate, hash))
        });
        named.collect()
    }

    /// Reads the open lines by hand of some affiliates.
    pub(super) async fn read_lines(&self, batch: &mut [AffiliateWork]) -> Result<()> {
        let store = &self.app.store;
        let mut wanted: BTreeMap<Partition, Vec<usize>> = BTreeMap::new();
        for (place, work) in batch.iter().enumerate() {
            if self.lines.contains_key(&work.affiliate.id) {
                let partition = affiliate_partition(work.affiliate.id, store.partitions());
                wanted.entry(partition).or_default().push(place);
            }
        }
        let of = |place: &usize| batch[*place].affiliate.id;
        let reads = wanted.into_iter().map(|(partition, places)| {
            let keys: Vec<String> = places.iter().map(|place| lines_key(of(place))).collect();
            async move {
                let docs = store.load(partition, &keys).await?;
                Ok::<_, StoreError>(places.into_iter().zip(docs).collect::<Vec<_>>())
            }
        });
        for (place, doc) in try_join_all(reads).await?.into_iter().flatten() {
            let work = &mut batch[place];
            match lines_of(work.affiliate.id, doc) {
                Ok(lines) => work.lines = lines,
                Err(error) => work.unreadable = Some(error.to_string()),
            }
        }
        Ok(())
    }
}

/// An affiliate's open lines by hand. Their document is written with the index that names the affiliate, and stays.
fn lines_of(affiliate: AffiliateId, doc: Option<Doc>) -> Result<Vec<LineByHand>> {
    let key = lines_key(affiliate);
    decode(&key, &doc.ok_or_else(|| missing(WITH_LINES, &key))?.body)
}
