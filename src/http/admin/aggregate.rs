//! The nightly run, by hand.

use super::Act;
use crate::app::Progress;
use crate::domain::fact::RunReport;
use crate::domain::input;
use crate::http::answer::ok;
use crate::http::error::{Problem, ProblemDoc};
use crate::http::state::ApiState;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// Makes a nightly run.
///
/// Run twice as of the same time, it writes the same; as of a time before the last run, it writes nothing.
#[utoipa::path(
    post, path = "/v1/aggregate", tag = "nightly run",
    request_body(content = RunRequest, description = "As of when"),
    responses(
        (status = 200, body = RunAnswer, description = "Done"),
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`busy`, `recovering`"),
    )
)]
pub async fn run(act: Act<(), RunRequest>) -> Result<Response, Problem> {
    let as_of = act.asked.as_of.map(|input::Instant(at)| at);
    let start = Instant::now();
    let report = act.state.app.aggregate(&act.actor, as_of, act.asked.dry_run.unwrap_or(false)).await?;
    let duration_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(ok(&RunAnswer { report, duration_ms }))
}

/// Shows the progress of the nightly run on this node.
#[utoipa::path(
    get, path = "/v1/aggregate", tag = "nightly run",
    responses((status = 200, body = Progress, description = "How far it is"))
)]
pub async fn progress(State(state): State<ApiState>) -> Response {
    ok(&state.app.aggregate_progress())
}

/// As of when to run.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"as_of": "2026-05-04T04:15:00-04:00", "dry_run": true}))]
pub struct RunRequest {
    /// The time whose last full day is the last that counts; absent: now.
    #[schema(value_type = Option<chrono::DateTime<chrono::Utc>>)]
    pub as_of: Option<input::Instant>,
    /// Only report what it would close and adjust.
    #[schema(default = false)]
    pub dry_run: Option<bool>,
}

/// What a run did.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct RunAnswer {
    /// As the run itself tells it.
    #[serde(flatten)]
    pub report: RunReport,
    /// How long it took.
    pub duration_ms: u64,
}
