//! What staff write about affiliates, and sending an affiliate the link that sets its password.

use super::{Act, Nothing, answer, deferred};
use crate::domain::id::AffiliateId;
use crate::domain::input::Text;
use crate::domain::person::{Note, Person};
use crate::http::answer::{List, json, ok};
use crate::http::error::{Problem, ProblemDoc};
use crate::http::fields::Params;
use crate::http::guard::PathId;
use crate::http::state::ApiState;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;

/// Lists what staff wrote about an affiliate, the oldest first. The affiliate never sees it.
#[utoipa::path(
    get, path = "/v1/affiliates/{affiliate_id}/notes", tag = "affiliates",
    responses((status = 200, body = List<Note>, description = "The newest 200; the audit log has all"))
)]
pub async fn notes(
    State(state): State<ApiState>,
    PathId(id): PathId<AffiliateId>,
    params: Params,
) -> Result<Response, Problem> {
    params.done()?;
    state.app.directory().affiliate(id).ok_or(Problem::UnknownAffiliate)?;
    let data = state.app.notes(id).await?;
    Ok(ok(&List { data, next_cursor: None }))
}

/// Writes a note about an affiliate.
#[utoipa::path(
    post, path = "/v1/affiliates/{affiliate_id}/notes", tag = "affiliates",
    request_body(content = NewNote, description = "The note"),
    responses(
        (status = 201, body = List<Note>, description = "The notes as they are now"),
        (status = 202, body = super::Deferred, description = "Kept; written when the store is back"),
    )
)]
pub async fn add_note(act: Act<AffiliateId, NewNote>) -> Result<Response, Problem> {
    answer(act.state.app.add_note(&act.actor, act.at, act.asked.text).await, &act.at, async |()| {
        let data = act.state.app.notes(act.at).await?;
        Ok(json(StatusCode::CREATED, &List { data, next_cursor: None }))
    })
    .await
}

/// Sends an affiliate a link that sets its password.
///
/// For one that was approved and did not get the first, or was brought over from another system.
#[utoipa::path(
    post, path = "/v1/affiliates/{affiliate_id}/activation", tag = "affiliates",
    request_body(content = super::Nothing, description = "Nothing"),
    responses(
        (status = 202, body = super::Deferred, description = "The mail is on its way"),
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`wrong_status`"),
    )
)]
pub async fn send_activation(act: Act<AffiliateId, Nothing>) -> Result<Response, Problem> {
    // The mail goes out a little later in any case.
    answer(act.state.app.send_activation(&act.actor, act.at).await, &act.at, async |()| Ok(deferred(&act.at)))
        .await
}

/// Ends all sessions and open one-time links of an affiliate; its password stays.
#[utoipa::path(
    post, path = "/v1/affiliates/{affiliate_id}/sign-out", tag = "affiliates",
    request_body(content = super::Nothing, description = "Nothing"),
    responses((status = 204, description = "Signed out everywhere"), super::Later)
)]
pub async fn sign_out(act: Act<AffiliateId, Nothing>) -> Result<Response, Problem> {
    let ended = act.state.app.sign_out_everywhere(&act.actor, Person::Affiliate(act.at)).await;
    answer(ended, &act.at, async |()| Ok(StatusCode::NO_CONTENT.into_response())).await
}

/// A note to be written.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewNote {
    /// What it says.
    #[schema(inline)]
    pub text: Text,
}
