//! Reading a request's body: bounded in size and in time.

use super::error::Problem;
use super::fields::Fields;
use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// The largest body that is read; only an import and PayPal's report may be longer.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// How long a body may take to arrive; of an import, each part of it.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads a whole body.
pub async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    read_up_to(MAX_BODY_BYTES, headers, body).await
}

/// Reads a whole body that may have so many bytes.
pub async fn read_up_to(most: usize, headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > most as u64) {
        return Err(Problem::BodyTooLarge);
    }
    let all = Limited::new(body, most).collect();
    match tokio::time::timeout(BODY_TIMEOUT, all).await {
        Err(_) => Err(Problem::RequestTimeout),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::BodyTooLarge),
        Ok(Err(_)) => Err(Problem::BodyIncomplete),
        Ok(Ok(all)) => Ok(all.to_bytes()),
    }
}

/// What a program of staff's asks for, as JSON; an empty body is an empty object.
///
/// A media type other than JSON's is refused: a form on somebody's page can't send JSON's.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        if !parts.headers.get_all(CONTENT_TYPE).iter().all(|value| is_json(value.as_bytes())) {
            return Err(Problem::UnsupportedMediaType);
        }
        let bytes = read(&parts.headers, body).await?;
        let fields = if bytes.is_empty() { Fields::default() } else { Fields::read(&bytes)? };
        fields.read_into().map(Self)
    }
}

fn is_json(media_type: &[u8]) -> bool {
    let essence = media_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    let essence = essence.to_ascii_lowercase();
    essence == b"application/json" || (essence.starts_with(b"application/") && essence.ends_with(b"+json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use http::HeaderValue;

    async fn read_chunks(announced: Option<&'static str>, chunks: Vec<usize>) -> Result<usize, Problem> {
        let mut headers = HeaderMap::new();
        if let Some(length) = announced {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static(length));
        }
        let parts = chunks.into_iter().map(|len| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; len])));
        read(&headers, Body::from_stream(stream::iter(parts))).await.map(|bytes| bytes.len())
    }

    #[tokio::test]
    async fn a_body_is_bounded_announced_or_not() {
        let all = MAX_BODY_BYTES;
        assert_eq!(read_chunks(None, vec![]).await, Ok(0));
        assert_eq!(read_chunks(None, vec![all / 2, all / 2]).await, Ok(all));
        assert_eq!(read_chunks(None, vec![all, 1]).await, Err(Problem::BodyTooLarge));
        assert_eq!(read_chunks(Some("65537"), vec![]).await, Err(Problem::BodyTooLarge));
        assert_eq!(read_chunks(Some("18446744073709551615"), vec![]).await, Err(Problem::BodyTooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_given_up() {
        let body = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(read(&HeaderMap::new(), body).await, Err(Problem::RequestTimeout));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_not_our_failure() {
        let broken = stream::iter([Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("reset"))]);
        let body = Body::from_stream(broken);
        assert_eq!(read(&HeaderMap::new(), body).await, Err(Problem::BodyIncomplete));
    }

    #[test]
    fn media_types_of_json() {
        let json: [&[u8]; 4] = [
            b"application/json",
            b"Application/JSON; charset=utf-8",
            b" application/json ",
            b"application/ld+json",
        ];
        for text in json {
            assert!(is_json(text), "{}", String::from_utf8_lossy(text));
        }
        let others: [&[u8]; 6] = [
            b"",
            b"text/plain",
            b"text/json",
            b"application/x-www-form-urlencoded",
            b"application/jsonx",
            b"text/plain; application/json",
        ];
        for text in others {
            assert!(!is_json(text), "{}", String::from_utf8_lossy(text));
        }
    }
}
