//! A small HTTP client for tests.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

impl Answer {
    #[track_caller]
    pub fn expect_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Sends a request; `None`: there was no answer.
pub async fn send(
    method: &str,
    to: SocketAddr,
    path: &str,
    headers: &[(String, String)],
    body: impl Into<Bytes>,
) -> Option<Answer> {
    thread_local! {
        // One pool a runtime: a connection dies with the runtime that it was made in.
        static CLIENT: Client<HttpConnector, Full<Bytes>> =
            Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
    }
    let mut request = http::Request::builder().method(method).uri(format!("http://{to}{path}"));
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(body.into())).expect("a request");
    let sent = CLIENT.with(|client| client.request(request));
    let answer = tokio::time::timeout(PATIENCE, sent).await.ok()?.ok()?;
    let (head, body) = answer.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    Some(Answer { status: head.status.as_u16(), headers: head.headers, body })
}

pub async fn try_get(to: SocketAddr, path: &str, headers: &[(String, String)]) -> Option<Answer> {
    send("GET", to, path, headers, "").await
}
pub async fn get(to: SocketAddr, path: &str, headers: &[(String, String)]) -> Answer {
    try_get(to, path, headers).await.unwrap_or_else(|| panic!("no answer to GET {path}"))
}
pub async fn post(to: SocketAddr, path: &str, headers: &[(String, String)], body: String) -> Answer {
    let mut headers = headers.to_vec();
    headers.push(("content-type".to_owned(), "application/json".to_owned()));
    send("POST", to, path, &headers, body).await.unwrap_or_else(|| panic!("no answer to POST {path}"))
}
