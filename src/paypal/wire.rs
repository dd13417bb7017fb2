//! One call, one answer: no redirect is followed, and nothing is sent twice.

use super::{BadSettings, Timeouts, is_plain_and_safe};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// The most of an answer that is read, unless it is a page of items.
pub(super) const ANSWER_BYTES: usize = 1024 * 1024;
/// A connection that was idle longer is not used again: a call on one that PayPal has closed meanwhile ends unclear.
const IDLE_LIMIT: Duration = Duration::from_secs(5);
/// Accepted by PayPal, and not a guard against a second payment.
const REQUEST_ID: HeaderName = HeaderName::from_static("paypal-request-id");
/// What PayPal's support asks for.
const DEBUG_ID: &str = "paypal-debug-id";

/// A connection to one host.
pub(super) struct Wire {
    http: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: Url,
    timeout: Duration,
}

/// A call, which can be sent again as it is.
pub(super) struct Call {
    method: Method,
    url: Url,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    most_bytes: usize,
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
    /// The id that PayPal's support can find the call by.
    pub debug_id: Option<String>,
}

/// There is no whole answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WireError {
    /// There was no connection, so nothing was sent.
    NotSent(String),
    /// It may have been received.
    Lost(String),
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

impl Call {
    pub(super) fn get(url: Url) -> Self {
        let headers = vec![(ACCEPT, JSON)];
        Self { method: Method::GET, url, headers, body: Bytes::new(), most_bytes: ANSWER_BYTES }
    }
    /// A call for a file.
    pub(super) fn file(url: Url, most_bytes: usize) -> Self {
        Self { method: Method::GET, url, headers: Vec::new(), body: Bytes::new(), most_bytes }
    }
    /// A call with a JSON body, or with none.
    pub(super) fn post(url: Url, body: Bytes) -> Self {
        let headers = vec![(ACCEPT, JSON), (CONTENT_TYPE, JSON)];
        Self { method: Method::POST, url, headers, body, most_bytes: ANSWER_BYTES }
    }
    pub(super) fn form(url: Url, body: &'static str) -> Self {
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        let headers = vec![(ACCEPT, JSON), (CONTENT_TYPE, form)];
        Self {
            method: Method::POST,
            url,
            headers,
            body: Bytes::from_static(body.as_bytes()),
            most_bytes: ANSWER_BYTES,
        }
    }
    /// With an id of the request; `None`: it can't be a header.
    pub(super) fn with_id(mut self, id: &str) -> Option<Self> {
        self.headers.push((REQUEST_ID, HeaderValue::from_str(id).ok()?));
        Some(self)
    }
    /// With an answer of so many bytes at most.
    pub(super) fn up_to(self, most_bytes: usize) -> Self {
        Self { most_bytes, ..self }
    }
}

impl Wire {
    pub(super) fn new(url: &Url, timeouts: Timeouts) -> Result<Self, BadSettings> {
        if !is_plain_and_safe(url) {
            return Err(BadSettings::Url);
        }
        let mut plain = HttpConnector::new();
        plain.set_connect_timeout(Some(timeouts.connect));
        plain.set_nodelay(true);
        plain.enforce_http(false);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(provider)
            .map_err(|error| BadSettings::Tls(error.to_string()))?;
        // Plain HTTP was refused above, unless it is to this machine.
        let connector = builder.https_or_http().enable_http1().wrap_connector(plain);
        let http = legacy::Client::builder(TokioExecutor::new())
            .retry_canceled_requests(false)
            .pool_idle_timeout(IDLE_LIMIT)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Ok(Self { http, base: url.clone(), timeout: timeouts.call })
    }

    /// The address of what these names lead to; each is one part of the path, whatever is in it.
    pub(super) fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// Sends a call, once.
    pub(super) async fn send(
        &self,
        call: &Call,
        authorization: Option<HeaderValue>,
    ) -> Result<Answer, WireError> {
        let mut request = Request::builder().method(call.method.clone()).uri(call.url.as_str());
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.body(Full::new(call.body.clone()));
        let request = request.map_err(|error| WireError::NotSent(format!("can't be sent: {error}")))?;
        let exchange = self.exchange(request, call.most_bytes);
        let in_time = tokio::time::timeout(self.timeout, exchange).await;
        in_time.unwrap_or_else(|_| Err(WireError::Lost("PayPal did not answer in time".to_owned())))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>, most_bytes: usize) -> Result<Answer, WireError> {
        let response = self.http.request(request).await.map_err(|error| unanswered(&error))?;
        let (head, body) = response.into_parts();
        let read = Limited::new(body, most_bytes).collect().await;
        let body = read.map_err(|error| cut_off(head.status, error.as_ref(), most_bytes))?.to_bytes();
        let debug_id = head.headers.get(DEBUG_ID).and_then(|id| id.to_str().ok()).map(super::plain::text);
        Ok(Answer { status: head.status, body, debug_id })
    }
}

fn unanswered(error: &legacy::Error) -> WireError {
    let why = causes(error);
    if error.is_connect() {
        WireError::NotSent(format!("can't connect to PayPal: {why}"))
    } else {
        WireError::Lost(format!("the connection to PayPal ended: {why}"))
    }
}

fn cut_off(
    status: StatusCode,
    error: &(dyn std::error::Error + Send + Sync + 'static),
    most: usize,
) -> WireError {
    let status = status.as_u16();
    WireError::Lost(if error.is::<http_body_util::LengthLimitError>() {
        format!("PayPal's answer ({status}) is longer than {most} bytes")
    } else {
        format!("PayPal's answer ({status}) was cut off")
    })
}

/// What is behind an error. Nothing of a request is in it.
fn causes(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    super::plain::text(&innermost.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_stays_one_part_of_the_path() {
        for (base, path) in [
            ("https://api-m.paypal.com", "/v1/payouts/a%2F..%3Fb"),
            ("https://api-m.paypal.com/", "/v1/payouts/a%2F..%3Fb"),
            ("https://proxy.example/paypal", "/paypal/v1/payouts/a%2F..%3Fb"),
            ("https://proxy.example/paypal/", "/paypal/v1/payouts/a%2F..%3Fb"),
        ] {
            let base: Url = base.parse().expect("a literal");
            let wire = Wire::new(&base, Timeouts::default()).expect("a good address");
            assert_eq!(wire.url(&["v1", "payouts", "a/..?b"]).path(), path);
        }
    }

    #[test]
    fn secrets_go_nowhere_in_the_open() {
        for (url, is_good) in [
            ("https://api-m.paypal.com", true),
            ("http://127.0.0.1:4010", true),
            ("http://[::1]:4010", true),
            ("http://localhost:4010", true),
            ("http://api-m.paypal.com", false),
            ("http://127.0.0.1.example", false),
            ("http://localhost.example", false),
            ("https://user@api-m.paypal.com", false),
            ("https://user:word@api-m.paypal.com", false),
            ("https://api-m.paypal.com/?a=b", false),
            ("https://api-m.paypal.com/#a", false),
            ("ftp://127.0.0.1", false),
            ("unix:/run/paypal", false),
        ] {
            let parsed: Url = url.parse().expect("a literal");
            let made = Wire::new(&parsed, Timeouts::default());
            assert_eq!(made.is_ok(), is_good, "{url}");
        }
    }
}
