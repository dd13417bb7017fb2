//! Answers of the shapes that all routes share.

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderName, StatusCode};
use serde::Serialize;

/// Says that the answer is that of an earlier request with the same facts.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// A JSON answer.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    // Answers are plain data with text keys, which serialize; were one not, the client must not take an
    // empty body for an answer.
    let Ok(bytes) = serde_json::to_vec(body) else {
        return super::error::Problem::Internal.into_response();
    };
    (status, [(CONTENT_TYPE, "application/json")], bytes).into_response()
}

/// `200` with a JSON answer.
pub fn ok(body: &impl Serialize) -> Response {
    json(StatusCode::OK, body)
}

/// Marks an answer as that of an earlier request.
pub fn replayed(response: Response) -> Response {
    ([(REPLAYED, "true")], response).into_response()
}

/// A page of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct List<T> {
    /// What is on the page.
    pub data: Vec<T>,
    /// Where the next page starts, for `cursor`; null: this is the last.
    pub next_cursor: Option<String>,
}

impl<T: Serialize> List<T> {
    /// A page as the application gives it, each entry as shown.
    pub fn of<U>(page: crate::app::Page<U>, show: impl FnMut(U) -> T) -> Self {
        Self { data: page.data.into_iter().map(show).collect(), next_cursor: page.next_cursor }
    }
}

impl<T: Serialize> IntoResponse for List<T> {
    fn into_response(self) -> Response {
        ok(&self)
    }
}
