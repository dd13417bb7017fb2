//! Connections and routes.

use super::answers::{self, Reply};
use super::{Exchange, State, create, lock, notices, reads};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use http_body_util::StreamBody;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use socket2::SockRef;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

type Body = UnsyncBoxBody<Bytes, io::Error>;
type Shared = Arc<Mutex<State>>;

/// Accepts connections, without end.
pub(super) async fn accept(listener: TcpListener, address: SocketAddr, state: Shared) {
    // With the task that accepts, its connections end too.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        connections.spawn(connection(stream, address, Arc::clone(&state)));
        while connections.try_join_next().is_some() {}
    }
}

/// Serves a connection, and resets it if a request wants that.
async fn connection(stream: TcpStream, address: SocketAddr, state: Shared) {
    let Ok(stream) = stream.into_std() else { return };
    let (Ok(same), Ok(stream)) = (stream.try_clone(), TcpStream::from_std(stream)) else { return };
    let serve = service_fn(move |request| handle(request, address, Arc::clone(&state)));
    let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), serve);
    if served.await.is_err() {
        // Closed in this way, the other side sees a reset. If it can't be set, it sees the end of the connection.
        SockRef::from(&same).set_linger(Some(Duration::ZERO)).ok();
    }
}

/// Answers a request; an error ends the connection.
async fn handle(
    request: Request<Incoming>,
    address: SocketAddr,
    state: Shared,
) -> Result<Response<Body>, io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let (reply, is_honest, tells_first) = route(&head, &body, address, &state);
    if tells_first {
        tell(&state, address).await;
    }
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (status, answer) = bytes_of(&reply);
    lock(&state).exchanges.push(Exchange {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        request_id: header("paypal-request-id"),
        body: body.to_vec(),
        status,
        answer,
        is_honest,
    });
    response(reply).await
}

async fn tell(state: &Shared, address: SocketAddr) {
    let (news, target) = {
        let mut state = lock(state);
        let state = &mut *state;
        let news = state.notices.news(&state.book, state.clock.now(), address);
        (news, state.notices.target.as_ref().map(|target| target.url.clone()))
    };
    for notice in &news {
        if let Some(target) = &target {
            notices::send(target, notice).await;
        }
    }
}

/// What is answered, whether that is so, and whether notifications come first.
fn route(
    head: &http::request::Parts,
    body: &[u8],
    address: SocketAddr,
    state: &Shared,
) -> (Reply, bool, bool) {
    let mut state = lock(state);
    let state = &mut *state;
    let now = state.clock.now();
    let base = format!("http://{address}");
    let authorization = head.headers.get("authorization").and_then(|value| value.to_str().ok());
    let path: Vec<&str> = head.uri.path().split('/').skip(1).collect();
    let is_post = head.method == Method::POST;
    if head.uri.path() == notices::CERTIFICATE_PATH {
        let file = state.notices.certificate();
        let file = file.map(|pem| Reply::Text(200, "application/x-pem-file", pem));
        return (file.unwrap_or_else(answers::not_found), true, false);
    }
    if path == ["v1", "oauth2", "token"] {
        let lie = state.token_lies.pop_front();
        return (state.tokens.give(authorization, body, lie, now), lie.is_none(), false);
    }
    if !state.tokens.is_good(authorization, now) {
        return (answers::unauthorized(), true, false);
    }
    let (reply, is_honest) = match path.as_slice() {
        ["v1", "payments", "payouts"] if is_post => {
            let kind = head.headers.get("content-type").is_some_and(|kind| kind == "application/json");
            let answered = create::create(state, &base, kind, body);
            return (answered.reply, answered.is_honest, answered.tells_first);
        }
        ["v1", "payments", "payouts", id] if !is_post => reads::batch(state, &base, id, &query_of(head)),
        ["v1", "payments", "payouts-item", id] if !is_post => reads::item(state, id),
        ["v1", "payments", "payouts-item", id, "cancel"] if is_post => reads::cancel(state, id),
        ["v1", "notifications", "verify-webhook-signature"] if is_post => (verify(state, body), true),
        _ => (answers::not_found(), true),
    };
    (reply, is_honest, false)
}

fn query_of(head: &http::request::Parts) -> HashMap<String, String> {
    let query = head.uri.query().unwrap_or_default();
    url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

/// Says whether it sent an event.
fn verify(state: &State, body: &[u8]) -> Reply {
    #[derive(serde::Deserialize)]
    struct Asked<'a> {
        transmission_id: String,
        webhook_id: String,
        #[serde(borrow)]
        webhook_event: &'a serde_json::value::RawValue,
    }
    let Ok(asked) = serde_json::from_slice::<Asked<'_>>(body) else {
        return answers::invalid("webhook_event", "Required field is missing");
    };
    let event = asked.webhook_event.get().as_bytes();
    let is_ours = state.notices.has_sent(&asked.transmission_id, &asked.webhook_id, event);
    let status = if is_ours { "SUCCESS" } else { "FAILURE" };
    Reply::Json(200, json!({ "verification_status": status }))
}

/// The status and the body that are sent whole.
fn bytes_of(reply: &Reply) -> (Option<u16>, Vec<u8>) {
    match reply {
        Reply::Json(status, body) => (Some(*status), body.to_string().into_bytes()),
        Reply::Text(status, _, text) => (Some(*status), text.clone().into_bytes()),
        Reply::Half(..) | Reply::Reset | Reply::Silence => (None, Vec::new()),
    }
}

async fn response(reply: Reply) -> Result<Response<Body>, io::Error> {
    match reply {
        Reply::Json(status, body) => whole(status, "application/json", body.to_string()),
        Reply::Text(status, kind, text) => whole(status, kind, text),
        Reply::Half(status, body) => half(status, &body),
        Reply::Reset => Err(io::ErrorKind::ConnectionReset.into()),
        // Until the other side leaves.
        Reply::Silence => std::future::pending().await,
    }
}

fn whole(status: u16, kind: &str, text: String) -> Result<Response<Body>, io::Error> {
    let status = StatusCode::from_u16(status).map_err(io::Error::other)?;
    let body = http_body_util::Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::builder().status(status).header("content-type", kind);
    response = response.header("paypal-debug-id", "f00dfeed12345");
    if status == StatusCode::TEMPORARY_REDIRECT {
        response = response.header("location", "/v1/payments/payouts");
    }
    response.body(body).map_err(io::Error::other)
}

/// Sends the first half of what was announced.
fn half(status: u16, body: &Value) -> Result<Response<Body>, io::Error> {
    let text = body.to_string();
    let first = Bytes::copy_from_slice(&text.as_bytes()[..text.len() / 2]);
    let cut = futures_util::stream::iter([
        Ok(Frame::data(first)),
        Err(io::Error::from(io::ErrorKind::ConnectionReset)),
    ]);
    let response = Response::builder().status(status).header("content-type", "application/json");
    let response = response.header("content-length", text.len());
    response.body(StreamBody::new(cut).boxed_unsync()).map_err(io::Error::other)
}
