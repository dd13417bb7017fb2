//! An affiliate's summaries in the store, in parts, so that no document is larger than a store accepts.

use crate::app::layout::{affiliate_partition, summaries_key};
use crate::domain::id::{AccountId, AffiliateId};
use crate::domain::program::hex;
use crate::domain::statement::Summary;
use crate::store::{Doc, Partition, Result, Store, Write, partition_of};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Average number of summaries of a part before the number of parts is doubled: about 400 KB.
const FULL_PART: usize = 1_000;
/// Parts read at once, since a store has a time-out.
const PARTS_AT_ONCE: usize = 4;
/// The number of parts for an affiliate with a million referrals.
const MOST_PARTS: u16 = 1_024;

/// A part as stored.
#[derive(Debug, Serialize, Deserialize)]
struct Part<Basis, Summaries> {
    /// What the summaries depend on besides the facts.
    basis: Basis,
    summaries: Summaries,
}

/// The parts of an affiliate's summaries, as read.
#[derive(Debug, Clone, Default)]
pub(super) struct Parts {
    docs: Vec<Option<Doc>>,
}

/// The number of parts for this many summaries: a power of two.
pub(super) fn parts_for(summaries: usize) -> u16 {
    let parts = summaries.div_ceil(FULL_PART).next_power_of_two();
    u16::try_from(parts).unwrap_or(MOST_PARTS).min(MOST_PARTS)
}

fn part_of(account: &AccountId, parts: u16) -> usize {
    match partition_of(account.as_str().as_bytes(), parts) {
        Partition::Hashed(part) => usize::from(part),
        Partition::Directory => 0,
    }
}

impl Parts {
    /// Reads the first parts of an affiliate's summaries.
    pub async fn load(store: &dyn Store, affiliate: AffiliateId, parts: u16) -> Result<Self> {
        let partition = affiliate_partition(affiliate, store.partitions());
        let keys: Vec<String> = (0..parts).map(|part| summaries_key(affiliate, part)).collect();
        let mut docs = Vec::with_capacity(keys.len());
        for some in keys.chunks(PARTS_AT_ONCE) {
            docs.extend(store.load(partition, some).await?);
        }
        Ok(Self { docs })
    }
    /// Reads the parts that are missing of this number.
    pub async fn extend(&mut self, store: &dyn Store, affiliate: AffiliateId, parts: u16) -> Result<()> {
        if self.docs.len() < usize::from(parts) {
            *self = Self::load(store, affiliate, parts).await?;
        }
        Ok(())
    }

    /// One hash of the content.
    pub fn hash(&self) -> String {
        hash_of(self.docs.iter().map(|doc| doc.as_ref().map(|doc| doc.body.as_slice()).unwrap_or_default()))
    }

    /// The summaries in the parts; `None`: they have another basis or were written by another version.
    pub fn read(&self, basis: &str) -> Option<Vec<Summary>> {
        let mut all = Vec::new();
        for doc in self.docs.iter().flatten() {
            let part: Part<String, Vec<Summary>> = serde_json::from_slice(&doc.body).ok()?;
            if part.basis != basis {
                return None;
            }
            all.extend(part.summaries);
        }
        Some(all)
    }

    /// The writes of the parts that have changed.
    pub fn writes(&self, affiliate: AffiliateId, bodies: &[Vec<u8>]) -> Vec<Write> {
        let write = |(part, body): (u16, &Vec<u8>)| {
            let known = self.docs.get(usize::from(part)).and_then(Option::as_ref);
            let is_new = known.map_or(!body.is_empty(), |known| known.body != *body);
            let expected = known.map_or(0, |doc| doc.version);
            is_new.then(|| Write { key: summaries_key(affiliate, part), expected, body: body.clone() })
        };
        (0..).zip(bodies).filter_map(write).collect()
    }
}

/// An affiliate's summaries as they will be stored, by part; an affiliate without summaries has one empty part.
pub(super) fn bodies(basis: &str, summaries: &BTreeMap<AccountId, Summary>) -> Vec<Vec<u8>> {
    if summaries.is_empty() {
        return vec![Vec::new()];
    }
    let parts = parts_for(summaries.len());
    let mut by_part: Vec<Vec<&Summary>> = vec![Vec::new(); usize::from(parts)];
    for (account, summary) in summaries {
        by_part[part_of(account, parts)].push(summary);
    }
    // Plain data with text keys: JSON can say all of it.
    let body = |summaries| serde_json::to_vec(&Part { basis, summaries }).expect("summaries are plain data");
    by_part.into_iter().map(body).collect()
}

/// One hash of the parts' content.
pub(super) fn hash_of<'b>(bodies: impl Iterator<Item = &'b [u8]>) -> String {
    let hash = bodies.fold(Sha256::new(), |hash, body| hash.chain_update(Sha256::digest(body)));
    hex(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_double_with_what_they_hold() {
        for (summaries, parts) in
            [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (2_001, 4), (1_000_000, 1_024), (9_999_999, 1_024)]
        {
            assert_eq!(parts_for(summaries), parts, "{summaries}");
        }
        let account: AccountId = "acct_1".parse().expect("an id");
        assert!((0..=10).all(|power| part_of(&account, 1 << power) < 1 << power));
    }
}
