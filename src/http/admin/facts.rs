//! Facts that could not be applied and wait for a person.

use super::{Act, ReviewRequest, answer};
use crate::app::{SetAside, SetAsideId};
use crate::http::answer::{List, ok};
use crate::http::error::{Problem, ProblemDoc};
use crate::http::fields::Params;
use crate::http::state::ApiState;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::Serialize;

/// Lists the facts that could not be applied and wait for a person.
///
/// They are on disk and have had no effect; later facts were applied.
#[utoipa::path(
    get, path = "/v1/facts/set-aside", tag = "operation",
    responses((status = 200, body = List<SetAsideView>, description = "All of them; always one page"))
)]
pub async fn set_aside(State(state): State<ApiState>, params: Params) -> Result<Response, Problem> {
    params.done()?;
    let data = state.app.set_aside().await?.into_iter().map(SetAsideView::of).collect();
    Ok(ok(&List { data, next_cursor: None }))
}

/// Tries a fact that was set aside again, once its cause is corrected.
#[utoipa::path(
    post, path = "/v1/facts/set-aside/{fact_id}/retry", tag = "operation",
    request_body(content = ReviewRequest, description = "Why"),
    responses(
        (status = 204, description = "It was applied; if the rules refuse it, that is the answer"), super::Later,
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`still_unreadable`, `of_another_node`, or why the rules refuse it"),
    )
)]
pub async fn retry(act: Act<SetAsideId, ReviewRequest>) -> Result<Response, Problem> {
    let ended = act.state.app.retry_set_aside(&act.actor, act.at, act.asked.reason).await;
    answer(ended, &act.at, async |()| Ok(StatusCode::NO_CONTENT.into_response())).await
}

/// Drops a fact that was set aside: it never has an effect.
#[utoipa::path(
    post, path = "/v1/facts/set-aside/{fact_id}/drop", tag = "operation",
    request_body(content = ReviewRequest, description = "Why"),
    responses(
        (status = 204, description = "It is dropped"), super::Later,
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`of_another_node`"),
    )
)]
pub async fn drop_it(act: Act<SetAsideId, ReviewRequest>) -> Result<Response, Problem> {
    let ended = act.state.app.drop_set_aside(&act.actor, act.at, act.asked.reason).await;
    answer(ended, &act.at, async |()| Ok(StatusCode::NO_CONTENT.into_response())).await
}

/// A fact that was set aside.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SetAsideView {
    /// Its node and its position in the node's journal; after the node's disk was restored, also the epoch.
    #[schema(value_type = String, example = "node_0a1b2c3d4e5f6:81")]
    pub id: SetAsideId,
    /// When it was set aside.
    pub at: DateTime<Utc>,
    /// Its kind, as far as it can be read.
    pub kind: Option<String>,
    /// The account that it is about, if one.
    pub account_id: Option<String>,
    /// What is wrong.
    pub cause: String,
}

impl SetAsideView {
    fn of(aside: SetAside) -> Self {
        let id = aside.id();
        let account_id = aside.account_id.map(|id| id.to_string());
        Self { id, at: aside.at, kind: aside.kind, account_id, cause: aside.cause }
    }
}
