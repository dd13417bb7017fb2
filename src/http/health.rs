//! Whether the server lives, is ready, and how it fares.

use super::answer::{json, ok};
use super::state::ApiState;
use crate::store::Finding;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::Serialize;

/// The check of readiness without which nothing can be acknowledged.
const JOURNAL: &str = "journal";

/// Answers while the process runs.
#[utoipa::path(
    get, path = "/healthz", tag = "operation",
    responses((status = 200, body = Health, description = "It answers"))
)]
pub async fn healthz() -> Response {
    ok(&Health { status: "ok" })
}

/// Says whether traffic should be sent to this node, with the state of each dependency.
///
/// `503` only when the journal can't be written: no callback can be acknowledged then. A store that can't be reached
/// is `degraded` and still `200`: prospects are redirected and callbacks are taken, and sending them elsewhere
/// would not help.
#[utoipa::path(
    get, path = "/readyz", tag = "operation",
    responses(
        (status = 200, body = Readiness, description = "Ready, or degraded"),
        (status = 503, body = Readiness, description = "Not ready"),
    )
)]
pub async fn readyz(State(state): State<ApiState>) -> Response {
    readiness(state.app.readiness().await)
}

fn readiness(checks: Vec<Finding>) -> Response {
    let failing = |journal: bool| checks.iter().any(|check| !check.ok && (check.check == JOURNAL) == journal);
    let (code, status) = if failing(true) {
        (StatusCode::SERVICE_UNAVAILABLE, ReadyStatus::Unavailable)
    } else if failing(false) {
        (StatusCode::OK, ReadyStatus::Degraded)
    } else {
        (StatusCode::OK, ReadyStatus::Ready)
    };
    json(code, &Readiness { status, checks })
}

/// Shows all metrics.
#[utoipa::path(
    get, path = "/metrics", tag = "operation",
    responses((status = 200, body = String, content_type = "text/plain", description = "Prometheus' text format"))
)]
pub async fn metrics(State(state): State<ApiState>) -> Response {
    state.app.count_payouts().await;
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], state.app.metrics.encode()).into_response()
}

/// The process answers.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Health {
    /// Always `ok`.
    pub status: &'static str,
}

/// Whether traffic should be sent to this node.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Readiness {
    /// In total.
    pub status: ReadyStatus,
    /// Each dependency.
    pub checks: Vec<Finding>,
}

/// Whether traffic should be sent to this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadyStatus {
    /// All is well.
    Ready,
    /// Something is not, but redirects and callbacks are taken.
    Degraded,
    /// The journal can't be written.
    Unavailable,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_journal_makes_a_node_unready() {
        let check = |name, ok| Finding { check: name, ok, text: String::new() };
        let status = |journal, store| {
            readiness(vec![check("journal", journal), check("store", store)]).status().as_u16()
        };
        assert_eq!(status(true, true), 200);
        assert_eq!(status(true, false), 200);
        assert_eq!(status(false, true), 503);
        assert_eq!(status(false, false), 503);
    }
}
