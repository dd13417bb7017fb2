//! What staff and the company's own systems ask and tell: one file a thing.

pub mod accounts;
pub mod affiliates;
pub mod aggregate;
pub mod audit;
pub mod by_hand;
pub mod claims;
pub mod facts;
pub mod feed;
pub mod links;
pub mod notes;
pub mod paging;
pub mod payouts;
pub mod staff;
pub mod statements;
pub mod stats;
pub mod store;

use super::answer::json;
use super::body::JsonBody;
use super::error::Problem;
use super::guard::PathId;
use super::state::ApiState;
use crate::app::actor::Actor;
use crate::app::people::ActError;
use crate::domain::input::Reason;
use axum::RequestExt;
use axum::extract::{FromRequest, Request};
use axum::response::Response;
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::openapi::{self, RefOr};

/// What a program of staff asks to have done: who asks, what the path names, and what the body says.
pub struct Act<At, Body> {
    state: ApiState,
    actor: Actor,
    at: At,
    asked: Body,
}

impl<At: DeserializeOwned + Send + 'static, Body: DeserializeOwned> FromRequest<ApiState> for Act<At, Body> {
    type Rejection = Problem;
    async fn from_request(mut request: Request, state: &ApiState) -> Result<Self, Problem> {
        let PathId(at) = request.extract_parts().await?;
        // The routes of staff's programs have put it there.
        let actor = request.extensions().get().cloned().ok_or(Problem::Forbidden)?;
        let JsonBody(asked) = JsonBody::from_request(request, state).await?;
        Ok(Self { state: state.clone(), actor, at, asked })
    }
}

/// The answer to an act: what `done` shows, or that it is on disk and will be done when the store is back.
async fn answer<T, Shown: Future<Output = Result<Response, Problem>>>(
    ended: Result<T, ActError>,
    id: &impl ToString,
    done: impl FnOnce(T) -> Shown,
) -> Result<Response, Problem> {
    match ended {
        Ok(done_so) => done(done_so).await,
        Err(ActError::Deferred) => Ok(deferred(id)),
        Err(error) => Err(error.into()),
    }
}

/// Nothing: there is nothing to say but what the address says.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// What staff asked for is on disk, and will be done when the store is back.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Deferred {
    /// What it is about.
    pub id: String,
    /// Always true.
    pub accepted: bool,
}

/// The same, as an operation's answer in the API document.
pub struct Later;

impl utoipa::IntoResponses for Later {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        let body = openapi::Content::new(Some(openapi::Ref::from_schema_name("Deferred")));
        let kept = openapi::ResponseBuilder::new().description("Kept; done when the store is back");
        BTreeMap::from([("202".to_owned(), RefOr::T(kept.content("application/json", body).build()))])
    }
}

/// `202`: on disk, done when the store is back.
fn deferred(id: &impl ToString) -> Response {
    json(StatusCode::ACCEPTED, &Deferred { id: id.to_string(), accepted: true })
}

/// Why staff did something, if they say so.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReasonRequest {
    /// In words, for those who ask later.
    #[schema(inline)]
    pub reason: Option<Reason>,
}

/// Why staff did something.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewRequest {
    /// In words, for those who ask later.
    #[schema(inline)]
    pub reason: Reason,
}
