//! Payouts in numbers, for the metrics.

use crate::app::layout::payout_index;
use crate::app::{App, lock};
use crate::domain::id::AffiliateId;
use crate::domain::payout::{Batch, BatchStatus, ItemStatus, PayoutId};
use crate::store::{Result, missing};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// The numbers, as they were last counted.
#[derive(Debug, Default)]
pub(in crate::app) struct Counted(Mutex<Numbers>);

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Numbers {
    items: BTreeMap<ItemStatus, u64>,
    oldest_unknown: Option<DateTime<Utc>>,
}

/// The items of batches that are not over.
fn count(batches: &[Batch]) -> BTreeMap<ItemStatus, u64> {
    let is_open = |batch: &&Batch| !matches!(batch.status, BatchStatus::Settled | BatchStatus::Discarded);
    let mut items = BTreeMap::new();
    for (status, count) in batches.iter().filter(is_open).flat_map(|batch| &batch.counts) {
        *items.entry(*status).or_default() += u64::from(*count);
    }
    items
}

impl App {
    /// Counts payouts again, before somebody asks for the metrics. While the store does not answer, the numbers stay.
    pub(crate) async fn count_payouts(&self) {
        if !self.store_is_up() {
            return;
        }
        match self.payouts_in_numbers().await {
            Ok(numbers) => *lock(&self.books.payouts.0) = numbers,
            Err(error) => tracing::debug!(%error, "payouts could not be counted"),
        }
    }

    async fn payouts_in_numbers(&self) -> Result<Numbers> {
        let batches = self.payouts().await?;
        let mut oldest_unknown = None;
        for batch in batches.iter().filter(|batch| batch.counts.contains_key(&ItemStatus::Unknown)) {
            let since = self.unknown_since(batch.id).await?;
            oldest_unknown = oldest_unknown.into_iter().chain(since).min();
        }
        Ok(Numbers { items: count(&batches), oldest_unknown })
    }

    /// Since when a batch has had an unknown item.
    async fn unknown_since(&self, id: PayoutId) -> Result<Option<DateTime<Utc>>> {
        let index = payout_index(id, Some(ItemStatus::Unknown));
        let names = self.all_members(&index).await?;
        let affiliates = names.iter().map(|name| name.parse().map_err(|_| missing(&index, name)));
        let ledgers = self.ledgers(&affiliates.collect::<Result<Vec<AffiliateId>>>()?).await?;
        Ok(ledgers.iter().filter_map(|ledger| ledger.item(id)).map(|item| item.changed_at).min())
    }

    /// How many items of batches that are not over have a status, as last counted.
    pub(crate) fn payout_items_counted(&self, status: ItemStatus) -> u64 {
        lock(&self.books.payouts.0).items.get(&status).copied().unwrap_or(0)
    }
    /// For how many seconds it has been unknown what became of an item, as last counted; 0: of each it is known.
    pub(crate) fn oldest_unknown_payout_seconds(&self) -> u64 {
        let since = lock(&self.books.payouts.0).oldest_unknown;
        since.map_or(0, |since| u64::try_from((self.now() - since).num_seconds()).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_of_batches_that_are_not_over_are_counted() {
        let batch = |number, status, counts: &[(ItemStatus, u32)]| {
            let id = PayoutId { month: "2026-09".parse().expect("a month"), number };
            let batch = Batch::begin(id, "USD".into(), "ann".into(), DateTime::UNIX_EPOCH);
            Batch { status, counts: counts.iter().copied().collect(), ..batch }
        };
        let batches = [
            batch(1, BatchStatus::Settled, &[(ItemStatus::Paid, 100)]),
            batch(2, BatchStatus::Discarded, &[(ItemStatus::Ready, 50)]),
            batch(3, BatchStatus::Submitted, &[(ItemStatus::Paid, 7), (ItemStatus::Unknown, 1)]),
            batch(4, BatchStatus::Submitted, &[(ItemStatus::Paid, 2), (ItemStatus::Unknown, 3)]),
            batch(5, BatchStatus::Draft, &[(ItemStatus::Ready, 5)]),
        ];
        let expected = [(ItemStatus::Ready, 5), (ItemStatus::Unknown, 4), (ItemStatus::Paid, 9)];
        assert_eq!(count(&batches), BTreeMap::from(expected));
    }
}
