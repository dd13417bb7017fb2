//! A batch is made: planned from what is known, then journaled in parts, then shown as a draft.
//!
//! The durable steps, in their order: the lease of the nightly run is taken and its token raised in the directory, so
//! that neither a closing nor another maker writes meanwhile; the batch is begun; its items are added, some affiliates
//! at a time, each in the same commit as its ledger; the batch becomes a draft. After a crash at any step the next maker
//! goes on with the same batch: items that are there stay, the others follow.

use super::ITEMS_A_FACT;
use super::read::closed_of;
use crate::app::actor::Actor;
use crate::app::run::{AggregateError, LeaseHeld};
use crate::app::{App, ReadError, SubmitError};
use crate::domain::affiliate::Affiliate;
use crate::domain::calendar::Month;
use crate::domain::fact::{Fact, PayoutBegun, PayoutDrafted, PayoutItemsAdded};
use crate::domain::id::AffiliateId;
use crate::domain::payout::{
    Batch, BatchStatus, CarriedSum, ClosedStatement, MOST_BATCHES, NewItem, PartOf, PayoutId, Planned, plan,
};
use crate::domain::person::Permission;
use crate::store::{Partition, StoreError};
use futures_util::future::try_join_all;
use std::collections::HashMap;
use std::sync::Arc;

/// Facts journaled together; in the sabotaged build each on its own.
const FACTS_AT_ONCE: usize = if cfg!(feature = "sabotage") { 1 } else { 16 };

/// Why a batch was not made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// The actor may not ask for it.
    #[error("make a payout for an actor who may not ask for it")]
    Forbidden,
    /// The month is not closed.
    #[error("pay a month that is not closed")]
    MonthOpen,
    /// Something is in the way, with what to do about each.
    #[error("make a payout while something is in the way: {}", .0.join("; "))]
    Stopped(Vec<String>),
    /// Statements of earlier months would be paid, and nobody said whether they were paid elsewhere.
    #[error("pay earlier months before it is said whether they were paid elsewhere")]
    OpeningUnknown,
    /// Nothing is due, and nothing is carried.
    #[error("make a payout of nothing")]
    NothingDue,
    /// The month has had as many batches as it may have.
    #[error("make another batch of the month")]
    TooMany,
    /// A nightly run or another maker is at work.
    #[error("make a payout while a nightly run or another payout is being made")]
    Busy,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] SubmitError),
    /// The run did not come to its end; the next one goes on.
    #[error("finish making a payout: {0}")]
    Interrupted(AggregateError),
}

impl From<AggregateError> for MakeError {
    fn from(error: AggregateError) -> Self {
        match error {
            AggregateError::Busy => Self::Busy,
            AggregateError::Store(error) => Self::Store(error),
            AggregateError::Journal(error) => Self::Journal(error),
            other => Self::Interrupted(other),
        }
    }
}
impl From<ReadError> for MakeError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Store(error) => Self::Store(error),
            ReadError::BadCursor => Self::Store(StoreError::Corrupt("a cursor of our own".to_owned())),
        }
    }
}

/// A batch that was asked for.
#[derive(Debug)]
pub struct Made {
    /// The batch.
    pub batch: Batch,
    /// Whether it was made now; otherwise it was there.
    pub is_new: bool,
}

/// What a new batch would pay and carry.
#[derive(Debug, Default)]
struct Plan {
    items: Vec<NewItem>,
    carried: Vec<CarriedSum>,
}

impl App {
    /// Makes the batch of a month, or returns the one that is there and not discarded. `None`: the month that is paid
    /// at the end of the present one.
    pub async fn make_payout(
        self: &Arc<Self>,
        actor: &Actor,
        month: Option<Month>,
    ) -> Result<Made, MakeError> {
        if !actor.may(Permission::Payouts) {
            return Err(MakeError::Forbidden);
        }
        let month = month.unwrap_or_else(|| self.zone().month_of(self.now()).previous());
        if let Some(batch) = self.live_batch_of(month).await? {
            return Ok(Made { batch, is_new: false });
        }
        self.follow_directory().await?;
        if !self.directory().months().any(|doc| doc.month == month && doc.closed) {
            return Err(MakeError::MonthOpen);
        }
        let stops = self.last_payout_stops().await?;
        if !stops.is_empty() {
            return Err(MakeError::Stopped(stops));
        }
        let held = LeaseHeld::take(self).await?;
        let made = self.make_batch(&actor.name(), month, held.token()).await;
        held.release().await;
        made
    }

    /// The batch of a month that is whole and was not discarded.
    async fn live_batch_of(&self, month: Month) -> Result<Option<Batch>, StoreError> {
        let mut batches = self.payouts().await?.into_iter().filter(|batch| batch.id.month == month);
        let is_live = |batch: &Batch| !matches!(batch.status, BatchStatus::Discarded | BatchStatus::Making);
        Ok(batches.find(is_live))
    }

    async fn make_batch(self: &Arc<Self>, by: &str, month: Month, fence: u64) -> Result<Made, MakeError> {
        // With the lease, and after what this node has journaled: another maker may have been faster.
        self.wait_until_drained().await?;
        self.follow_directory().await?;
        if let Some(batch) = self.live_batch_of(month).await? {
            return Ok(Made { batch, is_new: false });
        }
        if !self.store.raise_fence(Partition::Directory, fence).await? {
            return Err(MakeError::Interrupted(AggregateError::Overtaken));
        }
        let batches = self.payouts().await?;
        let plan = self.plan_payout(month).await?;
        let of_month = || batches.iter().filter(|batch| batch.id.month == month);
        let begun = of_month().find(|batch| batch.status == BatchStatus::Making);
        // One that was begun is brought to its end, also if nothing is left to be added.
        if begun.is_none() && plan.items.is_empty() && plan.carried.is_empty() {
            return Err(MakeError::NothingDue);
        }
        if batches.is_empty() && self.payout_opening().await?.is_none_or(|said| !said.said) {
            let pays_earlier = |item: &NewItem| {
                let is_earlier =
                    |of: &PartOf| matches!(of, PartOf::Statement { month: one, .. } if *one < month);
                item.parts.iter().any(|part| is_earlier(&part.of))
            };
            if plan.items.iter().any(pays_earlier) {
                return Err(MakeError::OpeningUnknown);
            }
        }
        let number = match begun {
            Some(batch) => batch.id.number,
            None => of_month().map(|batch| batch.id.number).max().unwrap_or(0) + 1,
        };
        if number > MOST_BATCHES {
            return Err(MakeError::TooMany);
        }
        let payout_id = PayoutId { month, number };
        self.write_payout(by, payout_id, plan, fence).await?;
        let batch = self.payout(payout_id).await?;
        let batch = batch.ok_or_else(|| StoreError::Corrupt(format!("payout:{payout_id} is missing")))?;
        Ok(Made { batch, is_new: true })
    }

    async fn write_payout(
        self: &Arc<Self>,
        by: &str,
        payout_id: PayoutId,
        plan: Plan,
        fence: u64,
    ) -> Result<(), MakeError> {
        let currency = self.config().program.currency.clone();
        self.close(by, vec![PayoutBegun { payout_id, currency, fence }.into()]).await?;
        let carried = u32::try_from(plan.carried.len()).unwrap_or(u32::MAX);
        let mut facts: Vec<Fact> = Vec::new();
        let parts = plan.items.len().div_ceil(ITEMS_A_FACT).max(plan.carried.len().div_ceil(ITEMS_A_FACT));
        let mut items = plan.items.into_iter();
        let mut left_out = plan.carried.into_iter();
        let parts = u32::try_from(parts).unwrap_or(u32::MAX);
        for part in 0..parts {
            let added = PayoutItemsAdded {
                payout_id,
                part,
                items: items.by_ref().take(ITEMS_A_FACT).collect(),
                carried: left_out.by_ref().take(ITEMS_A_FACT).collect(),
                fence,
            };
            facts.push(added.into());
            if facts.len() == FACTS_AT_ONCE {
                self.close(by, std::mem::take(&mut facts)).await?;
            }
        }
        facts.push(PayoutDrafted { payout_id, parts, carried, fence }.into());
        Ok(self.close(by, facts).await?)
    }

    /// What a batch of a month pays and carries, by affiliate.
    async fn plan_payout(&self, month: Month) -> Result<Plan, MakeError> {
        let affiliates = self.directory().affiliates();
        let receivers = receivers(&affiliates);
        let is_shared = |one: &Affiliate| {
            let receiver = one.profile.paypal_email.as_ref().map(|receiver| receiver.to_lowercase());
            receiver.and_then(|receiver| receivers.get(&receiver)).is_some_and(|count| *count > 1)
        };
        let terms = self.payout_terms();
        let mut made = Plan::default();
        for some in affiliates.chunks(ITEMS_A_FACT) {
            let ids: Vec<_> = some.iter().map(|one| one.id).collect();
            let ledgers = self.ledgers(&ids).await?;
            let reads = ids.iter().map(|id| self.closed_through(*id, month));
            let closed = try_join_all(reads).await?;
            for ((one, ledger), closed) in some.iter().zip(ledgers).zip(closed) {
                match plan(one, &ledger, &closed, is_shared(one), terms) {
                    Planned::Pay(item) => made.items.push(item),
                    Planned::Carry(sum) => made.carried.push(sum),
                    Planned::Nothing => {}
                }
            }
        }
        Ok(made)
    }

    /// An affiliate's closed statements, up to a month.
    async fn closed_through(&self, id: AffiliateId, last: Month) -> Result<Vec<ClosedStatement>, ReadError> {
        let docs = self.statements_of(id).await?;
        Ok(docs.iter().filter_map(closed_of).filter(|closed| closed.month <= last).collect())
    }
}

/// How many affiliates have each PayPal e-mail.
fn receivers(affiliates: &[Arc<Affiliate>]) -> HashMap<String, u32> {
    let mut receivers = HashMap::new();
    // Somebody who only applied holds nobody's payouts.
    let active = affiliates.iter().filter(|one| one.was_ever_active());
    for receiver in active.filter_map(|one| one.profile.paypal_email.as_ref()) {
        *receivers.entry(receiver.to_lowercase()).or_default() += 1;
    }
    receivers
}
