//! What staff write about affiliates, and sending an affiliate the link that sets its password.

use super::{AffiliatePath, Nothing, answer, deferred};
use crate::app::actor::Actor;
use crate::domain::id::AffiliateId;
use crate::domain::input::Text;
use crate::domain::person::{Note, Person};
use crate::http::answer::{List, json, ok};
use crate::http::body::JsonBody;
use crate::http::error::{Problem, ProblemDoc};
use crate::http::fields::Params;
use crate::http::guard::PathId;
use crate::http::state::ApiState;
use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::{Deserialize, Serialize};

/// Lists what staff wrote about an affiliate, the oldest first. The affiliate never sees it.
#[utoipa::path(
    get, path = "/v1/affiliates/{affiliate_id}/notes", tag = "affiliates",
    params(AffiliatePath),
    responses((status = 200, body = List<NoteView>, description = "The newest 200; the audit log has all")),
    security(("bearer" = []))
)]
pub async fn notes(
    State(state): State<ApiState>,
    PathId(id): PathId<AffiliateId>,
    params: Params,
) -> Result<Response, Problem> {
    params.done()?;
    state.app.directory().affiliate(id).ok_or(Problem::UnknownAffiliate)?;
    let data = state.app.notes(id).await?.into_iter().map(NoteView::of).collect();
    Ok(ok(&List { data, next_cursor: None }))
}

/// Writes a note about an affiliate.
#[utoipa::path(
    post, path = "/v1/affiliates/{affiliate_id}/notes", tag = "affiliates",
    params(AffiliatePath),
    request_body(content = NewNote, description = "The note"),
    responses(
        (status = 201, body = List<NoteView>, description = "The notes as they are now"),
        (status = 202, body = super::Deferred, description = "Kept; written when the store is back"),
    ),
    security(("bearer" = []))
)]
pub async fn add_note(
    State(state): State<ApiState>,
    Extension(actor): Extension<Actor>,
    PathId(id): PathId<AffiliateId>,
    JsonBody(new): JsonBody<NewNote>,
) -> Result<Response, Problem> {
    answer(state.app.add_note(&actor, id, new.text).await, &id, async |()| {
        let data = state.app.notes(id).await?.into_iter().map(NoteView::of).collect();
        Ok(json(StatusCode::CREATED, &List { data, next_cursor: None }))
    })
    .await
}

/// Sends an affiliate a link that sets its password.
///
/// For one that was approved and did not get the first, or was brought over from another system.
#[utoipa::path(
    post, path = "/v1/affiliates/{affiliate_id}/activation", tag = "affiliates",
    params(AffiliatePath),
    request_body(content = super::Nothing, description = "Nothing"),
    responses(
        (status = 202, body = super::Deferred, description = "The mail is on its way"),
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`wrong_status`"),
    ),
    security(("bearer" = []))
)]
pub async fn send_activation(
    State(state): State<ApiState>,
    Extension(actor): Extension<Actor>,
    PathId(id): PathId<AffiliateId>,
    JsonBody(Nothing {}): JsonBody<Nothing>,
) -> Result<Response, Problem> {
    // The mail goes out a little later in any case.
    answer(state.app.send_activation(&actor, id).await, &id, async |()| Ok(deferred(&id))).await
}

/// Ends all sessions and open one-time links of an affiliate; its password stays.
#[utoipa::path(
    post, path = "/v1/affiliates/{affiliate_id}/sign-out", tag = "affiliates",
    params(AffiliatePath),
    request_body(content = super::Nothing, description = "Nothing"),
    responses(
        (status = 204, description = "Signed out everywhere"),
        (status = 202, body = super::Deferred, description = "Kept; done when the store is back"),
    ),
    security(("bearer" = []))
)]
pub async fn sign_out(
    State(state): State<ApiState>,
    Extension(actor): Extension<Actor>,
    PathId(id): PathId<AffiliateId>,
    JsonBody(Nothing {}): JsonBody<Nothing>,
) -> Result<Response, Problem> {
    let ended = state.app.sign_out_everywhere(&actor, Person::Affiliate(id)).await;
    answer(ended, &id, async |()| Ok(StatusCode::NO_CONTENT.into_response())).await
}

/// A note to be written.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewNote {
    /// What it says.
    #[schema(inline)]
    pub text: Text,
}

/// A note.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct NoteView {
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub by: String,
    /// What.
    pub text: String,
}

impl NoteView {
    fn of(note: Note) -> Self {
        Self { at: note.at, by: note.by, text: note.text }
    }
}
