//! Hints: PayPal has told that something happened to one of its batches, so it is asked about it at once.
//!
//! A hint is a fact before PayPal's notification is answered. The job that asks PayPal ends it; should a replay bring it
//! back, PayPal is only asked once more.

use super::read::LEDGERS_AT_ONCE;
use crate::app::actor::Actor;
use crate::app::layout::{PAYOUT_HINTS, payout_hint_key};
use crate::app::work::{decode, load_one};
use crate::app::{App, SubmitError};
use crate::domain::fact::PayoutHinted;
use crate::domain::payout::{Batch, ChunkState, Hint, MOST_HINTS, PayPalId};
use crate::store::{Commit, Doc, IndexChange, Partition, Result, StoreError, Write, missing};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What became of a hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It is on disk, and PayPal will be asked.
    New,
    /// The event was heard before.
    Known,
    /// Too many hints wait already.
    TooMany,
}

/// Hints that wait, by PayPal's id of the batch, as they were read.
pub(super) type Hints = BTreeMap<PayPalId, Doc>;

impl App {
    /// Takes a hint. It is on disk when this returns, also while the store is away.
    pub async fn hear_payout_hint(
        self: &Arc<Self>,
        hint: PayoutHinted,
    ) -> std::result::Result<Heard, SubmitError> {
        match self.why_not_hear(&hint).await {
            Ok(Some(heard)) => return Ok(heard),
            Ok(None) => {}
            // Heard twice, it does no harm.
            Err(error) => tracing::debug!(%error, "whether a hint is known could not be looked up"),
        }
        self.submit(&Actor::server(), hint.into()).await?;
        Ok(Heard::New)
    }

    /// Why a hint need not be journaled, as far as the store says.
    async fn why_not_hear(&self, hint: &PayoutHinted) -> Result<Option<Heard>> {
        if !self.store_is_up() {
            return Ok(None);
        }
        let batch = &hint.payout_batch_id;
        let known: Option<Hint> =
            load_one(self.store.as_ref(), Partition::Directory, &payout_hint_key(batch)).await?;
        if known.is_some_and(|known| known.has_heard(&hint.event_id)) {
            return Ok(Some(Heard::Known));
        }
        let waiting = self.store.members(Partition::Directory, PAYOUT_HINTS, None, MOST_HINTS).await?;
        let has_room = waiting.len() < MOST_HINTS || waiting.iter().any(|one| one == batch.as_str());
        Ok((!has_room).then_some(Heard::TooMany))
    }

    /// The hints about calls that PayPal has taken.
    pub(super) async fn hints_about(&self, batches: &[Batch]) -> Result<Hints> {
        let waiting: BTreeSet<PayPalId> = self.waiting_hints().await?.into_iter().collect();
        if waiting.is_empty() {
            return Ok(Hints::new());
        }
        let chunks = batches.iter().flat_map(|batch| &batch.chunks);
        let ours = chunks.filter_map(|chunk| match &chunk.state {
            ChunkState::Accepted { payout_batch_id, .. } => payout_batch_id.parse().ok(),
            _ => None,
        });
        let ours: BTreeSet<PayPalId> = ours.collect();
        self.load_hints(waiting.intersection(&ours).cloned().collect()).await
    }

    async fn waiting_hints(&self) -> Result<Vec<PayPalId>> {
        let names = self.all_members(PAYOUT_HINTS).await?;
        names.iter().map(|name| name.parse().map_err(|_| missing(PAYOUT_HINTS, name))).collect()
    }

    async fn load_hints(&self, batches: Vec<PayPalId>) -> Result<Hints> {
        let mut hints = Hints::new();
        for some in batches.chunks(LEDGERS_AT_ONCE) {
            let keys: Vec<String> = some.iter().map(payout_hint_key).collect();
            let docs = self.store.load(Partition::Directory, &keys).await?;
            for ((batch, doc), key) in some.iter().zip(docs).zip(&keys) {
                hints.insert(batch.clone(), doc.ok_or_else(|| missing(PAYOUT_HINTS, key))?);
            }
        }
        Ok(hints)
    }

    /// PayPal was asked because of a hint. If it has told something else meanwhile, the hint waits on.
    pub(super) async fn end_hint(&self, batch: &PayPalId, read: &Doc) -> Result<()> {
        let leaves =
            IndexChange { index: PAYOUT_HINTS.to_owned(), member: batch.to_string(), present: false };
        // The document stays, so that an event that is sent again is known; written again, its version tells whether
        // anything came in since it was read.
        let same = Write { key: payout_hint_key(batch), expected: read.version, body: read.body.clone() };
        let commit = Commit { writes: vec![same], indexes: vec![leaves], ..Commit::to(Partition::Directory) };
        self.store.commit(&commit).await.map(drop)
    }

    /// Ends the hints that have waited long enough: mostly those about batches that another program made.
    pub(super) async fn end_old_hints(&self) -> Result<()> {
        let waiting = self.waiting_hints().await?;
        for (batch, doc) in self.load_hints(waiting).await? {
            let hint: std::result::Result<Hint, StoreError> = decode(PAYOUT_HINTS, &doc.body);
            if hint?.is_over(self.now()) {
                self.end_hint(&batch, &doc).await?;
            }
        }
        Ok(())
    }
}
