//! The listeners: the public one with links and pages, the internal one with the API.

use super::ServeError;
use crate::app::{App, Stop};
use crate::http::click::{self, Edge};
use crate::http::client_ip::Peer;
use crate::metrics::RouteMetrics;
use crate::server::{self, Gauges};
use axum::Router;
use bytes::Bytes;
use futures_util::future::Either;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower::ServiceExt;

/// A running listener; its result is the number of connections that were cut off.
pub(super) type Listener = JoinHandle<server::Drained>;

/// An address that is reserved, but not served yet.
pub(super) struct Bound {
    socket: TcpListener,
    pub(super) address: SocketAddr,
}

/// Reserves an address.
pub(super) fn bind(app: &App, address: SocketAddr) -> Result<Bound, ServeError> {
    let failed = |error| ServeError::Listen { address, error };
    let socket = server::bind(address, app.config().listen.reuse_port).map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    Ok(Bound { socket, address })
}

/// Serves prospects and affiliates.
pub(super) fn public(app: &App, bound: Bound, edge: Arc<Edge>, pages: Router, stop: &Stop) -> Listener {
    let routes = PublicRoutes {
        redirect: app.metrics.route("public", "/r/{token}", true),
        script: app.metrics.route("public", "/counterfoil", false),
        other: app.metrics.route("public", "other", false),
    };
    let limits = &app.config().limits;
    tokio::spawn(server::serve(
        bound.socket,
        move |request, peer| public_answer(&edge, &pages, &routes, request, peer),
        limits.for_listener(limits.connections),
        gauges(app, "public"),
        until(stop.clone()),
    ))
}

/// Serves the company's own systems, and staff.
pub(super) fn internal(app: &App, bound: Bound, router: Router, stop: &Stop) -> Listener {
    let limits = &app.config().limits;
    tokio::spawn(server::serve(
        bound.socket,
        move |request, peer| routed(router.clone(), request, peer),
        limits.for_listener(limits.internal_connections),
        gauges(app, "internal"),
        until(stop.clone()),
    ))
}

fn gauges(app: &App, listener: &'static str) -> Arc<Gauges> {
    let gauges = Arc::new(Gauges::default());
    app.metrics.read_listener(listener, &gauges);
    gauges
}

async fn until(stop: Stop) {
    stop.wait().await;
}

/// A response of the public listener: of a redirect, or of another page.
type PublicBody = http_body_util::Either<Full<Bytes>, axum::body::Body>;

/// The counters of the public listener's responses.
struct PublicRoutes {
    redirect: RouteMetrics,
    script: RouteMetrics,
    other: RouteMetrics,
}

/// Links are answered directly, without a future; all other requests go to the router.
fn public_answer(
    edge: &Edge,
    pages: &Router,
    routes: &PublicRoutes,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> impl Future<Output = Response<PublicBody>> + Send + use<> {
    if Edge::answers(request.uri().path()) {
        let begun = Instant::now();
        let response = edge.handle(&request, peer.ip());
        let is_link = request.uri().path().starts_with(click::PREFIX);
        let route = if is_link { &routes.redirect } else { &routes.script };
        route.answered(response.status().as_u16(), Some(begun.elapsed()));
        return Either::Left(std::future::ready(response.map(PublicBody::Left)));
    }
    let (answer, other) = (routed(pages.clone(), request, peer), routes.other.clone());
    Either::Right(async move {
        let answer = answer.await;
        other.answered(answer.status().as_u16(), None);
        answer.map(PublicBody::Right)
    })
}

async fn routed(router: Router, request: Request<Incoming>, peer: SocketAddr) -> Response<axum::body::Body> {
    let mut request = request.map(axum::body::Body::new);
    request.extensions_mut().insert(Peer(peer.ip()));
    router.oneshot(request).await.unwrap_or_else(|never: Infallible| match never {})
}
