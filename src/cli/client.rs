//! A small HTTP client of the internal listener.

use super::Failure;
use crate::secret::Secret;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

/// How long a server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A longer answer is not one of the server's.
const ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// A request's body.
pub(super) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// An answer, with its whole body.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

/// Sends requests to one server, with one bearer key.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: legacy::Client<HttpConnector, Body>,
    address: SocketAddr,
    authorization: Option<HeaderValue>,
}

/// A request body of these bytes.
pub(super) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

impl Client {
    /// A client with a bearer key.
    pub(super) fn new(address: SocketAddr, key: &Secret) -> Result<Self, Failure> {
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", key.expose())).map_err(|_| {
            Failure::other("the key in keys/admin is damaged; restore it, or delete it and restart")
        })?;
        authorization.set_sensitive(true);
        Ok(Self { authorization: Some(authorization), ..Self::stranger(address) })
    }

    /// A client without a key.
    pub(super) fn stranger(address: SocketAddr) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let http = legacy::Client::builder(TokioExecutor::new()).build(connector);
        Self { http, address: reachable(address), authorization: None }
    }

    /// Whether a server answers at the address.
    pub(super) async fn answers(&self) -> bool {
        let asked = self.ask(Method::GET, "/healthz", &[], full(""));
        matches!(tokio::time::timeout(CONNECT_TIMEOUT, asked).await, Ok(Ok(_)))
    }

    /// Sends a GET request.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        good(self.ask(Method::GET, path, &[], full("")).await?)
    }

    /// Sends a request with another method; `null` is no body.
    pub(super) async fn send(&self, method: Method, path: &str, body: &Value) -> Result<Value, Failure> {
        if body.is_null() {
            return good(self.ask(method, path, &[], full("")).await?);
        }
        let headers = [("content-type", "application/json")];
        good(self.ask(method, path, &headers, full(body.to_string())).await?)
    }

    /// All pages of a list, as one.
    pub(super) async fn list(&self, path: &str) -> Result<Vec<Value>, Failure> {
        let join = if path.contains('?') { '&' } else { '?' };
        let mut data = Vec::new();
        let mut page = format!("{path}{join}limit=500");
        loop {
            let mut body = self.get(&page).await?;
            data.extend(items_of(&mut body)?);
            match body["next_cursor"].as_str() {
                Some(cursor) => page = format!("{path}{join}limit=500&cursor={}", encode(cursor)),
                None => return Ok(data),
            }
        }
    }

    /// A short list, which has one page and accepts no limit.
    pub(super) async fn short_list(&self, path: &str) -> Result<Vec<Value>, Failure> {
        items_of(&mut self.get(path).await?)
    }

    /// Sends any request and reads its whole answer, whatever the status.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Result<Answer, Failure> {
        let (status, headers, body) = self.open(method, path, headers, body).await?;
        let limited = http_body_util::Limited::new(body, ANSWER_BYTES);
        let bytes = limited.collect().await.map_err(|error| broke_off(error.as_ref()))?.to_bytes();
        let is_json = headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().ends_with(b"json"));
        let body = if is_json { serde_json::from_slice(&bytes).unwrap_or(Value::Null) } else { Value::Null };
        Ok(Answer { status, headers, body })
    }

    /// Sends a request whose answer is a file, and reads it.
    pub(super) async fn file(&self, method: Method, path: &str, body: &Value) -> Result<Bytes, Failure> {
        let headers: &[(&str, &str)] = &[("content-type", "application/json")];
        let (headers, body) =
            if body.is_null() { (&headers[..0], full("")) } else { (headers, full(body.to_string())) };
        let (status, _, body) = self.open(method, path, headers, body).await?;
        let limited = http_body_util::Limited::new(body, ANSWER_BYTES);
        let bytes = limited.collect().await.map_err(|error| broke_off(error.as_ref()))?.to_bytes();
        if status == StatusCode::OK {
            return Ok(bytes);
        }
        Err(refusal(status, &serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
    }

    /// Sends any request; the caller reads the answer's body.
    pub(super) async fn open(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Result<(StatusCode, HeaderMap, Incoming), Failure> {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request =
            request.body(body).map_err(|error| Failure::other(format!("can't ask for {path}: {error}")))?;
        let response = self.http.request(request).await.map_err(|error| {
            let why = std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string);
            Failure::Unavailable(format!(
                "the server at {} does not answer ({why}); is it running?",
                self.address
            ))
        })?;
        let (head, body) = response.into_parts();
        Ok((head.status, head.headers, body))
    }
}

/// The body of an answer that is not a refusal.
pub(super) fn good(answer: Answer) -> Result<Value, Failure> {
    if answer.status.is_success() { Ok(answer.body) } else { Err(refusal(answer.status, &answer.body)) }
}

/// The failure that a refusal means for the command.
pub(super) fn refusal(status: StatusCode, problem: &Value) -> Failure {
    let title = problem["title"].as_str().or(status.canonical_reason()).unwrap_or("the server refused");
    let code = problem["code"].as_str().map(|code| format!(" ({code})")).unwrap_or_default();
    match status {
        StatusCode::UNAUTHORIZED => Failure::other(
            "the server does not know the key in <data_dir>/keys/admin; use the configuration that it was started with",
        ),
        StatusCode::SERVICE_UNAVAILABLE => {
            Failure::Unavailable(format!("{title}{code}; `counterfoil doctor` says what to correct"))
        }
        _ => Failure::other(format!("{title}{code}")),
    }
}

/// The answer ended too early.
pub(super) fn broke_off(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Failure {
    Failure::other(format!(
        "the server's answer was interrupted: {error}; check whether the command took effect, then try again"
    ))
}

/// A text as part of a query.
pub(super) fn encode(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// For a server that listens on all addresses, the loopback address.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            [127, 0, 0, 1].into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    address
}

fn items_of(body: &mut Value) -> Result<Vec<Value>, Failure> {
    match body["data"].take() {
        Value::Array(items) => Ok(items),
        _ => Err(Failure::other("the server did not answer with a list")),
    }
}
