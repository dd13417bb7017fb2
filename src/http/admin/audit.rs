//! The audit log: who did what to affiliates, links and months.

use super::feed::Entry;
use super::paging::Paging;
use crate::http::answer::{List, ok};
use crate::http::error::Problem;
use crate::http::fields::PageParams;
use crate::http::state::ApiState;
use axum::extract::State;
use axum::response::Response;

/// Reads the audit log, newest first.
#[utoipa::path(
    get, path = "/v1/audit", tag = "audit",
    params(Paging),
    responses((status = 200, body = List<Entry>, description = "A page"))
)]
pub async fn read(State(state): State<ApiState>, page: PageParams) -> Result<Response, Problem> {
    let page = state.app.audit(page.cursor.as_deref(), page.limit).await?;
    Ok(ok(&List::of(page, Entry::of)))
}
