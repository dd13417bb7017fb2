//! The feed: what happened to referrals, in order, for the company's own systems.

use super::paging::Paging;
use crate::app::Logged;
use crate::http::answer::{List, ok};
use crate::http::error::Problem;
use crate::http::fields::PageParams;
use crate::http::state::ApiState;
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use serde_json::{Map, Value};

/// Reads the feed: attributed referrals, their events and qualifications, oldest first.
///
/// The feed has no end: `next_cursor` stands after the last entry, also when there is no more yet. Each entry carries
/// its own `cursor` too: a reader that keeps the one of the last entry it has dealt with goes on from there.
#[utoipa::path(
    get, path = "/v1/feed", tag = "feed",
    params(Paging),
    responses((status = 200, body = List<Entry>, description = "A page"))
)]
pub async fn read(State(state): State<ApiState>, page: PageParams) -> Result<Response, Problem> {
    let page = state.app.feed(page.cursor.as_deref(), page.limit).await?;
    Ok(ok(&List::of(page, Entry::of)))
}

/// An entry of the feed or of the audit log.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Entry {
    /// Reading after it gives the next.
    pub cursor: String,
    /// What happened, when, and to whom.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub body: Map<String, Value>,
}

impl Entry {
    /// An entry as kept.
    pub fn of(logged: Logged) -> Self {
        let body = match logged.body {
            Value::Object(body) => body,
            // Entries are objects; one that is not is shown whole.
            other => Map::from_iter([("body".to_owned(), other)]),
        };
        Self { cursor: logged.cursor, body: without_cursor(body) }
    }
}

/// A key `cursor` of the entry itself would stand twice in the answer.
fn without_cursor(mut body: Map<String, Value>) -> Map<String, Value> {
    body.remove("cursor");
    body
}
