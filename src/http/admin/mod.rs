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
pub mod staff;
pub mod statements;
pub mod stats;
pub mod store;

use super::answer::json;
use super::auth::Caller;
use super::error::Problem;
use super::fields::{Fields, line};
use super::state::ApiState;
use crate::app::Submitted;
use crate::app::people::ActError;
use crate::domain::fact::Fact;
use crate::domain::outcome::FactOutcome;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;

/// Takes in what staff decided; a refusal is a problem.
async fn submit(state: &ApiState, caller: &Caller, fact: Fact) -> Result<Submitted, Problem> {
    let submitted = state.app.submit(&caller.name, fact).await?;
    match submitted.outcome {
        FactOutcome::Refused => Err(submitted.refusal.map_or(Problem::Conflict, Problem::from)),
        FactOutcome::Conflict => Err(Problem::Conflict),
        _ => Ok(submitted),
    }
}

/// Whether something was done; `false`: it is on disk, and will be done when the store is back.
fn act(ended: Result<(), ActError>) -> Result<bool, Problem> {
    match ended {
        Ok(()) => Ok(true),
        Err(ActError::Deferred) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Nothing: there is nothing to say but what the address says.
#[derive(Debug, utoipa::ToSchema)]
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

/// Why staff did something.
#[derive(Debug, utoipa::ToSchema)]
pub struct ReasonRequest {
    /// In words, for those who ask later.
    #[schema(min_length = 1, max_length = 500)]
    pub reason: Option<String>,
}

fn optional_reason(fields: &mut Fields) -> Result<Option<String>, Problem> {
    fields.optional("reason", Problem::InvalidReason, line(500))
}

fn required_reason(fields: &mut Fields) -> Result<String, Problem> {
    fields.required("reason", Problem::InvalidReason, line(500))
}
