//! Setting the clock: only where the server was started on one that can be set, for the demo and tests.

use super::answer::ok;
use super::body::JsonBody;
use super::error::Problem;
use super::fields::instant;
use super::state::ApiState;
use axum::extract::State;
use axum::response::Response;

/// Sets the clock to `now`; without it, only tells it.
pub async fn set(State(state): State<ApiState>, JsonBody(mut fields): JsonBody) -> Result<Response, Problem> {
    let clock = state.settable_clock.as_ref().ok_or(Problem::NotFound)?;
    let now = fields.optional("now", Problem::InvalidNow, instant)?;
    fields.done()?;
    if let Some(now) = now {
        clock.set(now);
    }
    Ok(ok(&serde_json::json!({ "now": clock.now() })))
}
