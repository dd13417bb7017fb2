//! The store and its nodes, for operators.

use super::Nothing;
use crate::app::actor::Actor;
use crate::app::{Proof, VerifyError};
use crate::domain::id::NodeId;
use crate::http::answer::{List, ok};
use crate::http::body::JsonBody;
use crate::http::error::{Problem, ProblemDoc};
use crate::http::fields::Params;
use crate::http::guard::PathId;
use crate::http::state::ApiState;
use crate::store::{Cursor, Finding, NodeState};
use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::Serialize;
use std::time::Duration;

/// How long all accounts may take to be looked at.
const REPORTS_PATIENCE: Duration = Duration::from_secs(10);
/// A node that was heard of more recently is not forgotten, in milliseconds.
const ALIVE_MS: i64 = 60_000;

/// Lists the nodes that share the store.
#[utoipa::path(
    get, path = "/v1/nodes", tag = "operation",
    responses((status = 200, body = List<NodeView>, description = "All nodes; always one page"))
)]
pub async fn nodes(State(state): State<ApiState>, params: Params) -> Result<Response, Problem> {
    params.done()?;
    let data = state.app.nodes().await?.iter().map(NodeView::of).collect();
    Ok(ok(&List::<NodeView> { data, next_cursor: None }))
}

/// Forgets a node that will never come back.
///
/// What only its journal held is lost to the store: archive the journal first.
#[utoipa::path(
    delete, path = "/v1/nodes/{node_id}", tag = "operation",
    responses(
        (status = 204, description = "Forgotten"),
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`node_alive`"),
    )
)]
pub async fn forget(
    State(state): State<ApiState>,
    Extension(actor): Extension<Actor>,
    PathId(id): PathId<NodeId>,
) -> Result<Response, Problem> {
    if !state.app.knows_node(id).await? {
        return Err(Problem::NotFound);
    }
    let nodes = state.app.nodes().await?;
    let is_fresh = |node: &NodeState| state.app.now().timestamp_millis() - node.seen_ms < ALIVE_MS;
    if nodes.iter().any(|node| node.node == id && !node.stopped && is_fresh(node)) {
        return Err(Problem::NodeAlive);
    }
    state.app.forget_node(id).await?;
    tracing::info!(node = %id, by = actor.name(), "a node is forgotten");
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Confirms that all nodes have replayed their journals into a store that was found empty.
///
/// Only then are signups decided, and months closed, again. Waits some seconds for the nodes that are running.
#[utoipa::path(
    post, path = "/v1/store/confirm", tag = "operation",
    responses(
        (status = 200, body = Confirmed, description = "Confirmed"),
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`not_all_in`"),
    )
)]
pub async fn confirm(
    State(state): State<ApiState>,
    Extension(actor): Extension<Actor>,
    JsonBody(Nothing {}): JsonBody<Nothing>,
) -> Result<Response, Problem> {
    state.app.confirm_store().await?;
    tracing::info!(by = actor.name(), "the store is confirmed");
    Ok(ok(&Confirmed { confirmed: true }))
}

/// Checks what an operator should know about: keys, store, mail, and reports that earn nothing or have no effect.
#[utoipa::path(
    get, path = "/v1/doctor", tag = "operation",
    responses((status = 200, body = Findings, description = "All that was looked at"))
)]
pub async fn doctor(State(state): State<ApiState>) -> Response {
    let mut findings = state.app.inspect().await;
    findings.extend(state.app.inspect_reports(REPORTS_PATIENCE).await);
    ok(&Findings { ok: findings.iter().all(|finding| finding.ok), findings })
}

/// Proves that this node's journal and the closed statements in it are as they were written.
///
/// Reads and hashes the whole journal: seconds for a gigabyte.
#[utoipa::path(
    get, path = "/v1/verify", tag = "operation",
    responses(
        (status = 200, body = Proof, description = "The proof, or what is damaged"),
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`not_replayed`"),
    )
)]
pub async fn verify(State(state): State<ApiState>) -> Result<Response, Problem> {
    let proof = state.app.verify().await.map_err(|error| match error {
        VerifyError::Store(error) => Problem::from(error),
        VerifyError::NotReplayed => Problem::NotReplayed,
        VerifyError::Journal(error) => {
            tracing::error!(%error, "failed to read the journal");
            Problem::Internal
        }
    })?;
    Ok(ok(&proof))
}

/// A node.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct NodeView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: NodeId,
    /// When it was last heard of, by its own clock.
    pub seen_at: DateTime<Utc>,
    /// Whether it has stopped, with everything applied.
    pub stopped: bool,
    /// The last position of its facts journal.
    pub facts: Cursor,
    /// The last position of its clicks journal.
    pub clicks: Cursor,
}

impl NodeView {
    fn of(node: &NodeState) -> Self {
        Self {
            id: node.node,
            seen_at: DateTime::from_timestamp_millis(node.seen_ms).unwrap_or_default(),
            stopped: node.stopped,
            facts: node.facts,
            clicks: node.clicks,
        }
    }
}

/// The store was confirmed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Confirmed {
    /// Always true.
    pub confirmed: bool,
}

/// What was looked at.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Findings {
    /// Whether all of it is as it should be.
    pub ok: bool,
    /// Each check.
    pub findings: Vec<Finding>,
}
