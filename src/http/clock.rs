//! Setting the clock: only where the server was started on one that can be set, for the demo and tests.

use super::answer::ok;
use super::body::JsonBody;
use super::error::Problem;
use super::state::ApiState;
use crate::domain::input::Instant;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

/// What the clock is set to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockRequest {
    now: Option<Instant>,
}

/// Sets the clock to `now`; without it, only reads it.
pub async fn set(
    State(state): State<ApiState>,
    JsonBody(asked): JsonBody<ClockRequest>,
) -> Result<Response, Problem> {
    let clock = state.settable_clock.as_ref().ok_or(Problem::NotFound)?;
    if let Some(Instant(now)) = asked.now {
        clock.set(now);
    }
    Ok(ok(&serde_json::json!({ "now": clock.now() })))
}
