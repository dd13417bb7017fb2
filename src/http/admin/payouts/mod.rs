//! Payouts: batches, their items, and what they leave to a later one.

mod acts;
mod affiliates;
mod results;

pub use acts::*;
pub use affiliates::*;
pub use results::*;

use super::paging::Paging;
use crate::app::App;
use crate::app::payouts::Waiting;
use crate::domain::calendar::Month;
use crate::domain::id::AffiliateId;
use crate::domain::money::Money;
use crate::domain::payout::{
    Batch, BatchStatus, Carried, CarriedSum, Chunk, ChunkState, Item, ItemId, ItemStatus, Means, Method,
    Notice, PartOf, PayoutId,
};
use crate::http::answer::{List, ok};
use crate::http::error::Problem;
use crate::http::fields::Params;
use crate::http::guard::PathId;
use crate::http::state::ApiState;
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use std::collections::BTreeMap;

/// Lists payout batches, the newest first.
#[utoipa::path(
    get, path = "/v1/payouts", tag = "payouts",
    params(Paging),
    responses((status = 200, body = List<PayoutView>, description = "A page"))
)]
pub async fn list(State(state): State<ApiState>, mut params: Params) -> Result<Response, Problem> {
    let page = params.page()?;
    params.done()?;
    let page = super::paging::page_of(state.app.payouts().await?, &page, |batch| batch.id)?;
    Ok(ok(&List::of(page, |batch| PayoutView::of(batch, &state.app))))
}

/// Says what is in the way of payouts, and what waits for a person.
#[utoipa::path(
    get, path = "/v1/payouts/status", tag = "payouts",
    responses((status = 200, body = StatusView, description = "As things are now"))
)]
pub async fn status(State(state): State<ApiState>) -> Result<Response, Problem> {
    let Waiting { stops, items, imbalances } = state.app.payouts_waiting().await?;
    let does_not_add_up =
        imbalances.into_iter().map(|(affiliate_id, why)| Imbalance { affiliate_id, why: why.0 });
    let currency = &state.app.config().program.currency;
    Ok(ok(&StatusView {
        stops,
        for_a_person: items
            .into_iter()
            .map(|(id, item)| ItemView::of(id, item, currency, Vec::new()))
            .collect(),
        does_not_add_up: does_not_add_up.collect(),
    }))
}

/// Shows a batch.
#[utoipa::path(
    get, path = "/v1/payouts/{payout_id}", tag = "payouts",
    responses((status = 200, body = PayoutView, description = "The batch"))
)]
pub async fn show(
    State(state): State<ApiState>,
    PathId(payout_id): PathId<PayoutId>,
) -> Result<Response, Problem> {
    let batch = state.app.payout(payout_id).await?.ok_or(Problem::UnknownPayout)?;
    Ok(ok(&PayoutView::of(batch, &state.app)))
}

/// Lists a batch's items, by affiliate.
#[utoipa::path(
    get, path = "/v1/payouts/{payout_id}/items", tag = "payouts",
    params(("status" = Option<ItemStatus>, Query, description = "Only those that have it"), Paging),
    responses((status = 200, body = List<ItemView>, description = "A page"))
)]
pub async fn items(
    State(state): State<ApiState>,
    PathId(payout_id): PathId<PayoutId>,
    mut params: Params,
) -> Result<Response, Problem> {
    let status: Option<ItemStatus> = params.optional("status")?;
    let page = params.page()?;
    params.done()?;
    let batch = state.app.payout(payout_id).await?.ok_or(Problem::UnknownPayout)?;
    let page = state.app.payout_items(payout_id, status, page.cursor.as_deref(), page.limit).await?;
    let notices = state.app.payout_notices(&page.data).await?;
    let views =
        page.data.into_iter().zip(notices).map(|((affiliate, item), notices)| {
            ItemView::of(item.id(affiliate), item, &batch.currency, notices)
        });
    Ok(ok(&List { data: views.collect(), next_cursor: page.next_cursor }))
}

/// Lists what a batch leaves to a later one, by affiliate.
#[utoipa::path(
    get, path = "/v1/payouts/{payout_id}/carried", tag = "payouts",
    params(Paging),
    responses((status = 200, body = List<CarriedView>, description = "A page"))
)]
pub async fn carried(
    State(state): State<ApiState>,
    PathId(payout_id): PathId<PayoutId>,
    mut params: Params,
) -> Result<Response, Problem> {
    let page = params.page()?;
    params.done()?;
    let batch = state.app.payout(payout_id).await?.ok_or(Problem::UnknownPayout)?;
    let carried = state.app.payout_carried(&batch).await?;
    let page = super::paging::page_of(carried, &page, |one| one.affiliate_id)?;
    Ok(ok(&List::of(page, CarriedView::of)))
}

/// A payout batch.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Payout)]
pub struct PayoutView {
    /// Its id.
    #[schema(value_type = String, example = "pay_2026-04-1")]
    pub id: PayoutId,
    /// The newest month that it pays.
    #[schema(value_type = String, example = "2026-04")]
    pub month: Month,
    /// Where it is.
    pub status: BatchStatus,
    /// How it is paid; before the approval, how it would be.
    pub method: Method,
    /// ISO 4217 code.
    pub currency: String,
    /// What its items add up to, without those withdrawn.
    #[schema(value_type = String, example = "1240.00")]
    pub total: Money,
    /// How many items have which status.
    #[schema(value_type = BTreeMap<String, u32>)]
    pub counts: BTreeMap<ItemStatus, u32>,
    /// How many affiliates it leaves to a later one.
    pub carried: u32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Who asked for it.
    pub by: String,
    /// What an approval must name: it changes with every item that enters or leaves.
    pub hash: String,
    /// When it was approved.
    pub approved_at: Option<DateTime<Utc>>,
    /// Who approved it.
    pub approved_by: Option<String>,
    /// Why it was discarded.
    pub discarded: Option<String>,
    /// How often each part of its file was exported.
    #[schema(value_type = BTreeMap<String, u32>)]
    pub exports: BTreeMap<u32, u32>,
    /// The calls to PayPal's API.
    pub calls: Vec<CallView>,
}

/// A call to PayPal's API that pays a part of a batch.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PayoutCall)]
pub struct CallView {
    /// Our id of it at PayPal.
    pub sender_batch_id: String,
    /// `sending`, `refused`, `accepted` or `stopped`.
    pub status: &'static str,
    /// How often it was made, with the same bytes.
    pub attempts: u32,
    /// When the latest one was made.
    pub called_at: DateTime<Utc>,
    /// PayPal's id of it, once PayPal has it.
    pub payout_batch_id: Option<String>,
    /// Why it was refused or stopped.
    pub why: Option<String>,
}

impl CallView {
    fn of(id: PayoutId, chunk: Chunk) -> Self {
        let (status, payout_batch_id, why) = match chunk.state {
            ChunkState::Sending => ("sending", None, None),
            ChunkState::Refused { why } => ("refused", None, Some(why)),
            ChunkState::Accepted { payout_batch_id, .. } => ("accepted", Some(payout_batch_id), None),
            ChunkState::Stopped { why } => ("stopped", None, Some(why)),
        };
        let sender_batch_id = Chunk::sender_batch_id(id, chunk.number);
        let (attempts, called_at) = (chunk.attempts, chunk.last_at);
        Self { sender_batch_id, status, attempts, called_at, payout_batch_id, why }
    }
}

impl PayoutView {
    fn of(batch: Batch, app: &App) -> Self {
        let method = batch.method().unwrap_or(app.config().payouts.method);
        let (approved_at, approved_by) =
            batch.approved.map_or((None, None), |approval| (Some(approval.at), Some(approval.by)));
        Self {
            id: batch.id,
            month: batch.id.month,
            status: batch.status,
            method,
            currency: batch.currency,
            total: batch.total,
            counts: batch.counts,
            carried: batch.carried,
            created_at: batch.created_at,
            by: batch.by,
            hash: batch.hash,
            approved_at,
            approved_by,
            discarded: batch.discarded,
            exports: batch.exports,
            calls: batch.chunks.into_iter().map(|chunk| CallView::of(batch.id, chunk)).collect(),
        }
    }
}

/// A payment to one affiliate.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PayoutItem)]
pub struct ItemView {
    /// Its id, also at PayPal.
    #[schema(value_type = String, example = "pay_2026-04-1_0a1b2c3d4e5f6")]
    pub id: ItemId,
    /// Who is paid.
    #[schema(value_type = String)]
    pub affiliate_id: AffiliateId,
    /// The PayPal e-mail that it is paid to.
    pub receiver: String,
    /// How much.
    #[schema(value_type = String, example = "99.00")]
    pub amount: Money,
    /// ISO 4217 code.
    pub currency: String,
    /// Where it is.
    pub status: ItemStatus,
    /// Why it is there, where somebody said so.
    pub reason: Option<String>,
    /// The statements that it pays.
    pub statements: Vec<PaidStatement>,
    /// What it corrects besides: money that moved although the statements behind it were in another item.
    #[schema(value_type = String, example = "0.00")]
    pub corrections: Money,
    /// The day on which it was paid, in the program's zone.
    pub paid_at: Option<NaiveDate>,
    /// When its status changed last.
    pub changed_at: DateTime<Utc>,
    /// What PayPal calls it.
    pub provider: ProviderView,
    /// Who ended it by hand, and what identifies the payment elsewhere.
    pub by_hand: Option<ByHand>,
    /// What PayPal said of it that can't be true; a person looks at it.
    pub doubt: Option<String>,
    /// Why a person should look at it twice before approving.
    pub notices: Vec<Notice>,
}

/// A statement that an item pays.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PaidStatement {
    /// Its month.
    #[schema(value_type = String, example = "2026-04")]
    pub month: Month,
    /// What it adds up to.
    #[schema(value_type = String, example = "99.00")]
    pub total: Money,
    /// Its hash.
    pub hash: String,
}

/// What PayPal calls an item.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ProviderView {
    /// Its id of the item.
    pub item_id: Option<String>,
    /// Its id of the payment.
    pub transaction_id: Option<String>,
    /// Why it did not pay.
    pub error: Option<String>,
}

/// Who ended an item by hand.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ByHand {
    /// Who.
    pub by: String,
    /// What identifies the payment elsewhere.
    pub reference: Option<String>,
}

impl ItemView {
    fn of(id: ItemId, item: Item, currency: &str, notices: Vec<Notice>) -> Self {
        let mut statements = Vec::new();
        let mut corrections = Money::ZERO;
        for part in item.parts {
            match part.of {
                PartOf::Statement { month, hash } => {
                    statements.push(PaidStatement { month, total: part.amount, hash });
                }
                PartOf::Correction { .. } => corrections += part.amount,
            }
        }
        let provider = item.provider;
        let (reason, by_hand) = match item.means {
            Some(Means { by, reason, reference }) => (Some(reason), Some(ByHand { by, reference })),
            None => (provider.error.clone(), None),
        };
        Self {
            id,
            affiliate_id: id.affiliate,
            receiver: item.receiver,
            amount: item.amount,
            currency: currency.to_owned(),
            status: item.status,
            reason,
            statements,
            corrections,
            paid_at: item.paid_on,
            changed_at: item.changed_at,
            provider: ProviderView {
                item_id: provider.item_id,
                transaction_id: provider.transaction_id,
                error: provider.error,
            },
            by_hand,
            doubt: item.doubt.map(|event| event.code().to_owned()),
            notices,
        }
    }
}

/// What a batch leaves to a later one.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Carried)]
pub struct CarriedView {
    /// The affiliate.
    #[schema(value_type = String)]
    pub affiliate_id: AffiliateId,
    /// What is due.
    #[schema(value_type = String, example = "12.00")]
    pub amount: Money,
    /// The first reason.
    pub reason: Option<Carried>,
    /// All reasons.
    pub reasons: Vec<Carried>,
}

impl CarriedView {
    fn of(one: CarriedSum) -> Self {
        Self {
            affiliate_id: one.affiliate_id,
            amount: one.amount,
            reason: one.reasons.first().copied(),
            reasons: one.reasons,
        }
    }
}

/// What is in the way of payouts, and what waits for a person.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PayoutStatus)]
pub struct StatusView {
    /// Why no payout is made, approved, exported or sent now, each with what to do; empty: nothing is in the way.
    pub stops: Vec<String>,
    /// Items that a person has to look at: unknown ones, and those about which PayPal says what can't be true.
    pub for_a_person: Vec<ItemView>,
    /// Affiliates whose payouts do not add up to their statements; they are not paid.
    pub does_not_add_up: Vec<Imbalance>,
}

/// An affiliate whose payouts do not add up to its statements.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Imbalance {
    /// The affiliate.
    #[schema(value_type = String)]
    pub affiliate_id: AffiliateId,
    /// What does not add up.
    pub why: String,
}
