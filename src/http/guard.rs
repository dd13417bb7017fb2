//! What stands before every handler: headers of every answer, the measuring of routes, and ids in paths. (The limits of
//! a request's head are the listener's, see `server`.)

use super::error::Problem;
use super::state::ApiState;
use crate::metrics::{Metrics, RouteMetrics};
use axum::extract::{FromRequestParts, MatchedPath, Path, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Gives every answer its headers.
pub async fn guard(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let defaults = [
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    add_headers(response.headers_mut(), &defaults);
    response
}

/// Adds headers that an answer does not have itself.
pub fn add_headers(headers: &mut HeaderMap, defaults: &[(HeaderName, &'static str)]) {
    for (name, value) in defaults {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// While a lost store is filled again, what is not known may be known in a moment.
pub async fn unknown_for_now(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if response.status() == StatusCode::NOT_FOUND && state.app.is_refilling().await {
        return Problem::StoreUnavailable.into_response();
    }
    response
}

/// Measures a route: by its pattern, as a path may hold the name of an account.
pub async fn measure(
    State(state): State<ApiState>,
    route: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let start = Instant::now();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    state.measured.answered(route, response.status(), start.elapsed());
    response
}

/// The counters of the internal listener's routes, made when a route is first answered: their number is
/// that of the routes.
#[derive(Debug)]
pub struct Measured {
    metrics: Arc<Metrics>,
    routes: Mutex<HashMap<String, RouteMetrics>>,
}

impl Measured {
    /// Counts in these metrics.
    pub fn new(metrics: &Arc<Metrics>) -> Self {
        Self { metrics: Arc::clone(metrics), routes: Mutex::default() }
    }
    fn answered(&self, route: &str, status: StatusCode, elapsed: Duration) {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let counters = routes.entry(route.to_owned()).or_insert_with(|| {
            let timed = matches!(route, "/v1/signups" | "/v1/accounts/{account_id}/events");
            self.metrics.route("internal", route, timed)
        });
        counters.answered(status.as_u16(), Some(elapsed));
    }
}

/// There is nothing at this address.
pub async fn nothing_here() -> Problem {
    Problem::NotFound
}

/// The address exists, but not with this method; the router names those that do in `Allow`.
pub async fn other_method() -> Problem {
    Problem::MethodNotAllowed
}

/// What the path names; what can't be an id names nothing.
#[derive(Debug)]
pub struct PathId<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for PathId<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::from_request_parts(parts, state).await;
        path.map(|Path(id)| Self(id)).map_err(|_| Problem::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use http::header::{ALLOW, CONTENT_TYPE};
    use tower::ServiceExt;

    fn router() -> Router {
        Router::new()
            .route("/things/{id}", get(|PathId(id): PathId<u8>| async move { id.to_string() }))
            .method_not_allowed_fallback(other_method)
            .fallback(nothing_here)
            .layer(axum::middleware::from_fn(guard))
    }

    async fn answer(request: http::request::Builder) -> Response {
        let request = request.body(Body::empty()).expect("a good request");
        router().oneshot(request).await.expect("a router always answers")
    }

    #[tokio::test]
    async fn every_answer_is_guarded_and_every_refusal_a_problem() {
        let table = [
            ("GET", "/things/1", 200),
            ("HEAD", "/things/1", 200),
            ("GET", "/things/256", 404),
            ("GET", "/things/%ff", 404),
            ("GET", "/things", 404),
            ("GET", "/", 404),
            ("POST", "/things/1", 405),
            ("TRACE", "/things/1", 405),
            ("OPTIONS", "/things/1", 405),
            ("BREW", "/things/1", 405),
        ];
        for (method, uri, status) in table {
            let response = answer(Request::builder().method(method).uri(uri)).await;
            assert_eq!(response.status().as_u16(), status, "{method} {uri}");
            let headers = response.headers();
            for name in [CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS, CONTENT_SECURITY_POLICY] {
                assert!(headers.contains_key(&name), "{name} on {method} {uri}");
            }
            if status >= 400 {
                assert_eq!(headers[CONTENT_TYPE], super::super::error::PROBLEM_JSON, "{method} {uri}");
            }
            assert_eq!(headers.contains_key(ALLOW), status == 405, "{method} {uri}");
        }
    }
}
