//! Lines by hand: bonuses and claw-backs on an affiliate's statements.

use super::{Act, Nothing, answer};
use crate::app::NewLine;
use crate::domain::by_hand::{KeptLine, LineByHand, LineState};
use crate::domain::calendar::Month;
use crate::domain::id::{AffiliateId, LineKey};
use crate::domain::money::Money;
use crate::domain::named::named;
use crate::http::answer::{List, json, ok};
use crate::http::error::{Problem, ProblemDoc};
use crate::http::fields::Params;
use crate::http::guard::PathId;
use crate::http::state::ApiState;
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::Serialize;

/// Lists an affiliate's lines by hand that are in no closed statement yet, the oldest first.
#[utoipa::path(
    get, path = "/v1/affiliates/{affiliate_id}/adjustments", tag = "statements",
    responses((status = 200, body = List<LineView>, description = "All of them: at most 200"))
)]
pub async fn lines(
    State(state): State<ApiState>,
    PathId(id): PathId<AffiliateId>,
    params: Params,
) -> Result<Response, Problem> {
    params.done()?;
    state.app.directory().affiliate(id).ok_or(Problem::UnknownAffiliate)?;
    let open = state.app.open_lines(id).await?;
    let show = |line| LineView::of(id, line, LineState::Open, &state);
    Ok(ok(&List { data: open.into_iter().map(show).collect(), next_cursor: None }))
}

/// Adds a line by hand: a bonus or a claw-back.
///
/// It will be in the statement of the affiliate's earliest open month, with the reason. A key that was used adds nothing,
/// not even after its line was taken back.
#[utoipa::path(
    post, path = "/v1/affiliates/{affiliate_id}/adjustments", tag = "statements",
    request_body(content = NewLine, description = "The line"),
    responses(
        (status = 201, body = LineView, description = "Added"),
        (status = 200, body = LineView, description = "Added before with the same amount and reason; `status` says what became of it"),
        (status = 202, body = super::Deferred, description = "Kept; added when the store is back"),
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`line_differs`, `too_many_lines`, `affiliate_never_active`"),
    )
)]
pub async fn add(act: Act<AffiliateId, NewLine>) -> Result<Response, Problem> {
    answer(act.state.app.add_line(&act.actor, act.at, act.asked).await, &act.at, async |(kept, is_new)| {
        let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
        Ok(json(status, &LineView::of_kept(act.at, kept, &act.state)))
    })
    .await
}

/// Takes a line by hand back, until its month closes.
#[utoipa::path(
    delete, path = "/v1/affiliates/{affiliate_id}/adjustments/{line_key}", tag = "statements",
    responses(
        (status = 200, body = LineView, description = "Taken back, now or before"),
        (status = 202, body = super::Deferred, description = "Kept; taken back when the store is back, if its month is open then"),
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`already_closed`"),
    )
)]
pub async fn take_back(act: Act<(AffiliateId, LineKey), Nothing>) -> Result<Response, Problem> {
    let (id, key) = act.at;
    answer(act.state.app.take_back_line(&act.actor, id, key.clone()).await, &key, async |kept| {
        Ok(ok(&LineView::of_kept(id, kept, &act.state)))
    })
    .await
}

named! {
    /// Where a line by hand stands.
    pub enum LineStatus {
        /// It will be in the statement of the affiliate's earliest open month.
        Open = "open",
        /// It was taken back.
        TakenBack = "taken_back",
        /// It is in a closed statement.
        Closed = "closed",
    }
}

/// A line by hand.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct LineView {
    /// Whose.
    #[schema(value_type = String)]
    pub affiliate_id: AffiliateId,
    /// Its name, unique for the affiliate.
    #[schema(value_type = String, example = "2026-04-double")]
    pub key: LineKey,
    /// A bonus, or, below zero, a claw-back.
    #[schema(value_type = String, example = "-25.00")]
    pub amount: Money,
    /// ISO 4217 code.
    pub currency: String,
    /// Why.
    pub reason: String,
    /// Who added it.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Where it stands.
    pub status: LineStatus,
    /// The month of the closed statement that has it; null: none.
    #[schema(value_type = Option<String>, example = "2026-04")]
    pub month: Option<Month>,
}

impl LineView {
    fn of_kept(affiliate_id: AffiliateId, kept: KeptLine, state: &ApiState) -> Self {
        Self::of(affiliate_id, kept.line, kept.state, state)
    }
    fn of(affiliate_id: AffiliateId, line: LineByHand, stands: LineState, state: &ApiState) -> Self {
        let LineByHand { key, amount, reason, by, at } = line;
        let (status, month) = match stands {
            LineState::Open => (LineStatus::Open, None),
            LineState::TakenBack => (LineStatus::TakenBack, None),
            LineState::Closed(month) => (LineStatus::Closed, Some(month)),
        };
        let currency = state.app.settings().rules.currency.clone();
        Self { affiliate_id, key, amount, currency, reason, by, at, status, month }
    }
}
