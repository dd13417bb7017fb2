//! What staff's programs do with batches and their items.

use super::{ItemView, PayoutView};
use crate::app::App;
use crate::app::payouts::{MakeError, StepError};
use crate::app::people::ActError;
use crate::domain::calendar::Month;
use crate::domain::input::{Moment, Reason, Reference};
use crate::domain::named::named;
use crate::domain::payout::{Batch, Item, ItemId, Method, PayoutId};
use crate::http::admin::{Act, Later, Nothing, ReviewRequest, deferred};
use crate::http::answer::{json, ok};
use crate::http::error::{Problem, ProblemDoc};
use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};

/// Makes the batch that pays a month, and what is left of earlier ones.
///
/// Asked again, it answers with the batch that is there. `GET /v1/payouts/status` says what is in the way of
/// `payout_stopped`.
#[utoipa::path(
    post, path = "/v1/payouts", tag = "payouts",
    request_body(content = NewPayout, description = "Which month"),
    responses(
        (status = 201, body = PayoutView, description = "A draft"),
        (status = 200, body = PayoutView, description = "The batch was made before"),
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`month_open`, `payout_stopped`, `opening_unknown`, `nothing_due`, `busy`"),
    )
)]
pub async fn create(act: Act<(), NewPayout>) -> Result<Response, Problem> {
    let made = act.state.app.make_payout(&act.actor, act.asked.month).await?;
    let status = if made.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(json(status, &PayoutView::of(made.batch, &act.state.app)))
}

/// Approves a draft: receivers and amounts are fixed, and how it is paid.
///
/// Items whose affiliate was suspended since, or has another PayPal e-mail, are withdrawn by it.
#[utoipa::path(
    post, path = "/v1/payouts/{payout_id}/approve", tag = "payouts",
    request_body(content = NewApproval, description = "What was looked at"),
    responses(
        (status = 200, body = PayoutView, description = "The batch as it is now"),
        Later,
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`payout_changed`, `second_person_required`, `wrong_payout_status`, `payout_stopped`, `payout_method_unavailable`"),
    )
)]
pub async fn approve(act: Act<PayoutId, NewApproval>) -> Result<Response, Problem> {
    let NewApproval { method, hash } = act.asked;
    let method = method.unwrap_or(act.state.app.config().payouts.method);
    let done = act.state.app.approve_payout(&act.actor, act.at, method, &hash).await;
    batch(&act.state.app, done, act.at)
}

/// Calls PayPal about an approved batch that its API pays, or calls again after PayPal refused (money was missing, the
/// account might not pay).
///
/// The calls are made in the background; each is journaled before it is made.
#[utoipa::path(
    post, path = "/v1/payouts/{payout_id}/submit", tag = "payouts",
    request_body(content = Nothing, description = "Nothing"),
    responses(
        (status = 200, body = PayoutView, description = "The batch as it is now"),
        Later,
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`wrong_payout_status`, `payout_method_unavailable`, `payout_stopped`"),
    )
)]
pub async fn submit(act: Act<PayoutId, Nothing>) -> Result<Response, Problem> {
    let done = act.state.app.submit_payout(&act.actor, act.at).await;
    batch(&act.state.app, done, act.at)
}

/// Discards a batch of which nothing was exported or sent: its statements are free for another one.
#[utoipa::path(
    post, path = "/v1/payouts/{payout_id}/discard", tag = "payouts",
    request_body(content = ReviewRequest, description = "Why"),
    responses(
        (status = 200, body = PayoutView, description = "The batch as it is now"),
        Later,
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`wrong_payout_status`"),
    )
)]
pub async fn discard(act: Act<PayoutId, ReviewRequest>) -> Result<Response, Problem> {
    let done = act.state.app.discard_payout(&act.actor, act.at, act.asked.reason.to_string()).await;
    batch(&act.state.app, done, act.at)
}

/// Exports a part of an approved batch as the file that PayPal's site takes.
///
/// Its items count as submitted from then on. **Uploading the same content twice pays twice**, so a part is exported
/// again only with `again`.
#[utoipa::path(
    post, path = "/v1/payouts/{payout_id}/export", tag = "payouts",
    request_body(content = NewExport, description = "Which part"),
    responses(
        (status = 200, body = String, content_type = "text/csv", description = "PayPal's file"),
        (status = 202, body = crate::http::admin::Deferred, description = "Kept; export it again when the store is back"),
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`exported_before`, `wrong_payout_status`, `payout_stopped`"),
    )
)]
pub async fn export(act: Act<PayoutId, NewExport>) -> Result<Response, Problem> {
    let NewExport { part, again } = act.asked;
    match act.state.app.export_payout(&act.actor, act.at, part.unwrap_or(1), again).await {
        Ok(exported) => Ok(csv(exported.csv, &exported.name)),
        Err(StepError::Act(ActError::Deferred)) => Ok(deferred(&act.at)),
        Err(error) => Err(error.into()),
    }
}

/// An answer that is a file.
pub(super) fn csv(content: impl Into<Body>, name: &str) -> Response {
    let mut response = Response::new(content.into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    // A name is made of ids and numbers; without one the file has the address's.
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(CONTENT_DISPOSITION, value);
    }
    response
}

/// Notes that all items of a batch that were not exported or sent are paid by other means.
#[utoipa::path(
    post, path = "/v1/payouts/{payout_id}/paid", tag = "payouts",
    request_body(content = NewPayment, description = "When, and how"),
    responses(
        (status = 200, body = PaidCount, description = "How many items"),
        Later,
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`wrong_payout_status`, `wrong_item_status`"),
    )
)]
pub async fn paid(act: Act<PayoutId, NewPayment>) -> Result<Response, Problem> {
    let NewPayment { paid_at, reference, reason } = act.asked;
    let app = &act.state.app;
    let (on, reference) = (paid_at.day(app.zone()), reference.as_ref().map(Reference::as_str));
    match app.pay_batch_otherwise(&act.actor, act.at, on, reference, reason.as_str()).await {
        Ok(items) => Ok(ok(&PaidCount { items })),
        Err(StepError::Act(ActError::Deferred)) => Ok(deferred(&act.at)),
        Err(error) => Err(error.into()),
    }
}

/// Takes an item out of its batch before it is exported or sent.
#[utoipa::path(
    post, path = "/v1/payouts/{payout_id}/items/{item_id}/withdraw", tag = "payouts",
    request_body(content = ReviewRequest, description = "Why"),
    responses(
        (status = 200, body = ItemView, description = "The item as it is now"),
        Later,
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`wrong_item_status`"),
    )
)]
pub async fn withdraw_item(act: Act<(PayoutId, ItemId), ReviewRequest>) -> Result<Response, Problem> {
    let id = own_item(act.at)?;
    let done = act.state.app.withdraw_item(&act.actor, id, act.asked.reason.to_string()).await;
    item(&act.state.app, done, id)
}

/// Notes that an item was paid by other means.
///
/// One that was not exported or sent leaves its batch's file by it; one that failed or came back must still be owed.
#[utoipa::path(
    post, path = "/v1/payouts/{payout_id}/items/{item_id}/paid", tag = "payouts",
    request_body(content = NewPayment, description = "When, and how"),
    responses(
        (status = 200, body = ItemView, description = "The item as it is now"),
        Later,
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`wrong_item_status`, `statement_in_payout`"),
    )
)]
pub async fn item_paid(act: Act<(PayoutId, ItemId), NewPayment>) -> Result<Response, Problem> {
    let id = own_item(act.at)?;
    let NewPayment { paid_at, reference, reason } = act.asked;
    let app = &act.state.app;
    let (on, reference) = (paid_at.day(app.zone()), reference.map(|reference| reference.to_string()));
    let done = app.pay_item_otherwise(&act.actor, id, on, reference, reason.to_string()).await;
    item(app, done, id)
}

/// Says that a person has looked at an item about which something was doubtful; it leaves the list of those.
#[utoipa::path(
    post, path = "/v1/payouts/{payout_id}/items/{item_id}/seen", tag = "payouts",
    request_body(content = ReviewRequest, description = "What was found"),
    responses((status = 200, body = ItemView, description = "The item as it is now"), Later)
)]
pub async fn seen_item(act: Act<(PayoutId, ItemId), ReviewRequest>) -> Result<Response, Problem> {
    let id = own_item(act.at)?;
    let done = act.state.app.saw_item(&act.actor, id, act.asked.reason.to_string()).await;
    item(&act.state.app, done, id)
}

/// Decides what became of an item about which nothing certain is known: it was paid, or not.
#[utoipa::path(
    post, path = "/v1/payouts/{payout_id}/items/{item_id}/resolve", tag = "payouts",
    request_body(content = NewOutcome, description = "What, and why"),
    responses(
        (status = 200, body = ItemView, description = "The item as it is now"),
        Later,
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`wrong_item_status`"),
    )
)]
pub async fn resolve_item(act: Act<(PayoutId, ItemId), NewOutcome>) -> Result<Response, Problem> {
    let id = own_item(act.at)?;
    let NewOutcome { outcome, paid_at, reason } = act.asked;
    let app = &act.state.app;
    let today = app.zone().date_of(app.now());
    let paid_on = match outcome {
        Outcome::Paid => Some(paid_at.map_or(today, |at| at.day(app.zone()))),
        Outcome::NotPaid => None,
    };
    let done = app.resolve_item(&act.actor, id, paid_on, reason.to_string()).await;
    item(app, done, id)
}

/// An item stands below its own batch.
fn own_item((payout, item): (PayoutId, ItemId)) -> Result<ItemId, Problem> {
    if item.payout == payout { Ok(item) } else { Err(Problem::UnknownPayoutItem) }
}
fn batch(app: &App, done: Result<Batch, StepError>, id: PayoutId) -> Result<Response, Problem> {
    match done {
        Ok(batch) => Ok(ok(&PayoutView::of(batch, app))),
        Err(StepError::Act(ActError::Deferred)) => Ok(deferred(&id)),
        Err(error) => Err(error.into()),
    }
}
fn item(app: &App, done: Result<Item, StepError>, id: ItemId) -> Result<Response, Problem> {
    match done {
        Ok(item) => Ok(ok(&ItemView::of(id, item, &app.config().program.currency, Vec::new()))),
        Err(StepError::Act(ActError::Deferred)) => Ok(deferred(&id)),
        Err(error) => Err(error.into()),
    }
}

/// Which batch to make.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPayout {
    /// The newest month to be paid; without it, the month that is paid at the end of the present one.
    #[schema(value_type = Option<String>, pattern = "^20[0-9]{2}-(0[1-9]|1[0-2])$", example = "2026-04")]
    pub month: Option<Month>,
}

/// What was looked at, and how it is to be paid.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApproval {
    /// How; without it, as the configuration says.
    pub method: Option<Method>,
    /// The `hash` of the batch that was looked at.
    #[schema(min_length = 64, max_length = 64)]
    pub hash: String,
}

/// Which part of a batch to export.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewExport {
    /// Counted from 1; a part has at most 5,000 items. Without it, the first one.
    #[schema(minimum = 1)]
    pub part: Option<u32>,
    /// Whether to export it although it was exported before.
    #[serde(default)]
    pub again: bool,
}

/// A payment by other means.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPayment {
    /// When it was paid: a day, or an instant.
    #[schema(inline)]
    pub paid_at: Moment,
    /// What identifies the payment, like a bank's number.
    #[schema(inline)]
    pub reference: Option<Reference>,
    /// Why it was paid by other means.
    #[schema(inline)]
    pub reason: Reason,
}

/// What a person found out about an item.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOutcome {
    /// What.
    pub outcome: Outcome,
    /// When it was paid, if it was; without it, today.
    #[schema(inline)]
    pub paid_at: Option<Moment>,
    /// How that is known.
    #[schema(inline)]
    pub reason: Reason,
}

named! {
    /// What a person found out about an item.
    pub enum Outcome {
        /// The affiliate has the money.
        Paid = "paid",
        /// The affiliate does not get the money from this item.
        NotPaid = "not_paid",
    }
}

/// How many items were noted as paid.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PaidCount {
    /// Items.
    pub items: usize,
}

impl From<MakeError> for Problem {
    fn from(error: MakeError) -> Self {
        match error {
            MakeError::Forbidden => Self::Forbidden,
            MakeError::MonthOpen => Self::MonthOpen,
            MakeError::Stopped(why) => {
                tracing::warn!(?why, "no payout is made");
                Self::PayoutStopped
            }
            MakeError::OpeningUnknown => Self::OpeningUnknown,
            MakeError::NothingDue => Self::NothingDue,
            MakeError::TooMany => Self::TooManyPayouts,
            MakeError::Busy => Self::Busy,
            MakeError::Store(error) => error.into(),
            MakeError::Journal(error) => error.into(),
            MakeError::Interrupted(error) => error.into(),
        }
    }
}

impl From<StepError> for Problem {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Act(error) => error.into(),
            StepError::Stopped(why) => {
                tracing::warn!(?why, "no payout goes on");
                Self::PayoutStopped
            }
            StepError::ExportedBefore => Self::ExportedBefore,
            StepError::NoSuchPart => Self::NoSuchPart,
            StepError::NotYet => Self::PaidInFuture,
            StepError::File(error) => {
                tracing::warn!(%error, "a payout can't be written as PayPal's file");
                Self::PayoutNotWritable
            }
            StepError::Unsendable(error) => {
                tracing::warn!(%error, "a payout can't be sent to PayPal");
                Self::PayoutNotWritable
            }
            StepError::MethodUnavailable => Self::PayoutMethodUnavailable,
            StepError::Report(error) => {
                tracing::info!(%error, "a report of PayPal's can't be read");
                Self::InvalidReport
            }
            StepError::Store(error) => error.into(),
        }
    }
}
