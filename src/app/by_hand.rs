//! Adding lines by hand to what an affiliate earned, and taking them back.

use super::actor::Actor;
use super::layout::{affiliate_partition, line_key, lines_key};
use super::people::ActError;
use super::work::load_one;
use super::{App, ReadError};
use crate::domain::account::Refusal;
use crate::domain::by_hand::{KeptLine, LineByHand, MOST_OPEN_LINES};
use crate::domain::fact::{LineAdded, LineRemoved};
use crate::domain::id::{AffiliateId, LineKey};
use crate::domain::input::{HandAmount, Reason};
use crate::domain::outcome::FactOutcome;
use crate::store::StoreError;
use serde::Deserialize;
use std::sync::Arc;

/// A line to be added.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"amount": "-25.00", "reason": "a commission was paid twice", "key": "2026-04-double"}))]
pub struct NewLine {
    /// A bonus, or, below zero, a claw-back.
    #[schema(inline)]
    pub amount: HandAmount,
    /// Why; it stands on the statement, where the affiliate reads it.
    #[schema(inline)]
    pub reason: Reason,
    /// The line's name, unique for the affiliate: sent again, it adds nothing.
    #[schema(value_type = String, min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_.:-]+$")]
    pub key: LineKey,
}

impl App {
    /// Adds a line to the affiliate's earliest open month; also answers whether it is new.
    pub async fn add_line(
        self: &Arc<Self>,
        actor: &Actor,
        affiliate_id: AffiliateId,
        new: NewLine,
    ) -> Result<(KeptLine, bool), ActError> {
        let (key, amount, reason) = (new.key, new.amount.into(), new.reason.into());
        let added = LineAdded { affiliate_id, key: key.clone(), amount, reason };
        self.check_permitted(actor, &added.clone().into())?;
        if let Some(known) = self.known_line(affiliate_id, &key).await {
            let says_the_same = known.line.amount == added.amount && known.line.reason == added.reason;
            return if says_the_same {
                Ok((known, false))
            } else {
                Err(ActError::Refused(Refusal::LineDiffers))
            };
        }
        let submitted = self.act(actor, added).await?;
        Ok((self.line_by_hand(affiliate_id, &key).await?, submitted.outcome == FactOutcome::New))
    }

    /// Takes a line back, until its month closes.
    pub async fn take_back_line(
        self: &Arc<Self>,
        actor: &Actor,
        affiliate_id: AffiliateId,
        key: LineKey,
    ) -> Result<KeptLine, ActError> {
        let removed = LineRemoved { affiliate_id, key: key.clone() };
        self.check_permitted(actor, &removed.clone().into())?;
        if let Some(known) = self.known_line(affiliate_id, &key).await {
            let (kept, is_new) = known.take_back().map_err(ActError::Refused)?;
            if !is_new {
                return Ok(kept);
            }
        }
        self.act(actor, removed).await?;
        self.line_by_hand(affiliate_id, &key).await
    }

    /// An affiliate's lines that no month closed with yet, the oldest first.
    pub async fn open_lines(&self, affiliate: AffiliateId) -> Result<Vec<LineByHand>, ReadError> {
        Ok(self.load_open_lines(affiliate).await?)
    }

    /// Why a line can't be added, as far as the store knows now. It is checked before the fact is journaled: a replay
    /// must not refuse what was added, in whatever order nodes replay. So of lines that are added at the same time a few
    /// may be more than the limit.
    pub(super) async fn refuses_line(&self, line: &LineAdded) -> Option<Refusal> {
        if let Some(refusal) = self.refuses_credit_to(line.affiliate_id).await {
            return Some(refusal);
        }
        match self.load_open_lines(line.affiliate_id).await {
            Ok(open) => {
                let is_full = open.len() >= MOST_OPEN_LINES && open.iter().all(|one| one.key != line.key);
                is_full.then_some(Refusal::TooManyLines)
            }
            Err(error) => {
                // The fact is journaled, and applied when the store is back.
                tracing::debug!(%error, "an affiliate's open lines could not be counted");
                None
            }
        }
    }

    async fn load_open_lines(&self, affiliate: AffiliateId) -> Result<Vec<LineByHand>, StoreError> {
        let partition = affiliate_partition(affiliate, self.store.partitions());
        Ok(load_one(&*self.store, partition, &lines_key(affiliate)).await?.unwrap_or_default())
    }

    /// What is known of a line before a fact about it is journaled: what changes nothing is not journaled, and does not
    /// stand in the audit log once more. `None`: nothing is known, or the store does not answer.
    async fn known_line(&self, affiliate: AffiliateId, key: &LineKey) -> Option<KeptLine> {
        match self.load_line(affiliate, key).await {
            Ok(known) => known,
            Err(error) => {
                // The fact is journaled, and the rules are asked when the store is back.
                tracing::debug!(%error, "a line by hand could not be looked up");
                None
            }
        }
    }

    async fn line_by_hand(&self, affiliate: AffiliateId, key: &LineKey) -> Result<KeptLine, ActError> {
        // It was written a moment ago: the store lost it, and gets it back from the journal.
        self.load_line(affiliate, key).await?.ok_or(ActError::Deferred)
    }

    async fn load_line(&self, affiliate: AffiliateId, key: &LineKey) -> Result<Option<KeptLine>, StoreError> {
        let partition = affiliate_partition(affiliate, self.store.partitions());
        load_one(&*self.store, partition, &line_key(affiliate, key)).await
    }
}
