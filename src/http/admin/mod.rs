//! What staff and the company's own systems ask and tell: one file a thing.

pub mod accounts;
pub mod affiliates;
pub mod aggregate;
pub mod audit;
pub mod claims;
pub mod facts;
pub mod feed;
pub mod links;
pub mod notes;
pub mod paging;
pub mod staff;
pub mod statements;
pub mod stats;
pub mod store;

use super::answer::json;
use super::error::Problem;
use crate::app::people::ActError;
use crate::domain::input::Reason;
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};

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

/// `202`: on disk, done when the store is back.
fn deferred(id: &impl ToString) -> Response {
    json(StatusCode::ACCEPTED, &Deferred { id: id.to_string(), accepted: true })
}

/// Which affiliate.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only the API document reads it")]
pub struct AffiliatePath {
    /// The affiliate's id.
    #[param(example = "aff_0a1b2c3d4e5f6")]
    affiliate_id: String,
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
