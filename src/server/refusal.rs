//! Requests that no handler gets: over a limit, or in a form that only attackers use.

use super::Limits;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue, TRANSFER_ENCODING,
};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::Full;

/// Why a request is refused, as in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    problem: &'static str,
}

const URI_TOO_LONG: Refusal = Refusal {
    status: StatusCode::URI_TOO_LONG,
    problem: r#"{"type":"about:blank","title":"The address is too long","status":414,"code":"uri_too_long"}"#,
};
const TOO_MANY_HEADERS: Refusal = Refusal {
    status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    problem: r#"{"type":"about:blank","title":"Too many headers","status":431,"code":"headers_too_large"}"#,
};
const BAD_HOST: Refusal = Refusal {
    status: StatusCode::BAD_REQUEST,
    problem: r#"{"type":"about:blank","title":"One Host header is needed","status":400,"code":"bad_host"}"#,
};
const BAD_FRAMING: Refusal = Refusal {
    status: StatusCode::BAD_REQUEST,
    problem: r#"{"type":"about:blank","title":"Where the request ends is not clear","status":400,"code":"bad_framing"}"#,
};
const BAD_METHOD: Refusal = Refusal {
    status: StatusCode::METHOD_NOT_ALLOWED,
    problem: r#"{"type":"about:blank","title":"The method is not allowed","status":405,"code":"method_not_allowed"}"#,
};

/// The first limit that a request exceeds. hyper has refused larger headers already.
pub(super) fn of<T>(request: &Request<T>, limits: &Limits) -> Option<Refusal> {
    let uri = request.uri();
    // An absolute target also has scheme and host, which no handler uses.
    if uri.path_and_query().is_some_and(|target| target.as_str().len() > limits.uri_bytes) {
        return Some(URI_TOO_LONG);
    }
    if request.headers().len() > limits.headers {
        return Some(TOO_MANY_HEADERS);
    }
    // RFC 9112, section 3.2.
    let hosts = request.headers().get_all(HOST).iter().take(2).count();
    if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        return Some(BAD_HOST);
    }
    if !is_framed_once(request.headers()) {
        return Some(BAD_FRAMING);
    }
    if *request.method() == Method::CONNECT {
        return Some(BAD_METHOD);
    }
    None
}

/// A proxy may find another end of the body than we do, unless the length is given once and in the plain way
/// (RFC 9112, section 6).
fn is_framed_once(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => {
            coding.as_bytes().eq_ignore_ascii_case(b"chunked") && !headers.contains_key(CONTENT_LENGTH)
        }
        (Some(_), Some(_)) => false,
    }
}

impl Refusal {
    /// A line of the headers ends without a carriage return.
    pub(super) const BARE_LINE_FEED: Self = BAD_FRAMING;

    /// The answer; its connection closes, since what follows can't be trusted to be a request.
    pub(super) fn response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::from(self.problem));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}
