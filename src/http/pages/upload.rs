//! A form with a file, which may be larger than other forms.

use super::session::{Visit, Who};
use super::{Form, PageError, PageState, form};
use crate::domain::payout::report::BYTES_MAX;
use crate::http::body::{self, MAX_BODY_BYTES};
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Multipart, Request};
use bytes::Bytes;
use serde::de::DeserializeOwned;

/// A form with a file of at most [`BYTES_MAX`], of somebody who is signed in, sent by our own page.
pub struct Upload<W, At = ()> {
    /// Who sent it, and where to.
    pub visit: Visit<W, At>,
    /// What was typed.
    pub form: Form,
    /// The file; empty if none was chosen.
    pub file: Bytes,
}

impl<W: Who, At: DeserializeOwned + Send> FromRequest<PageState> for Upload<W, At> {
    type Rejection = PageError;
    async fn from_request(request: Request, state: &PageState) -> Result<Self, PageError> {
        let (mut parts, body) = request.into_parts();
        let visit = Visit::<W, At>::from_request_parts(&mut parts, state).await?;
        form::check_origin(state, &parts)?;
        let all = body::read_up_to(BYTES_MAX + MAX_BODY_BYTES, &parts.headers, body).await?;
        let (form, file) = read(Request::from_parts(parts, Body::from(all))).await?;
        visit.check(&form)?;
        if visit.who.may_act() { Ok(Self { visit, form, file }) } else { Err(PageError::Closed) }
    }
}

/// The fields of a form, and its file.
async fn read(request: Request) -> Result<(Form, Bytes), PageError> {
    let bad = |_| PageError::BadRequest;
    let mut fields = Multipart::from_request(request, &()).await.map_err(|_| PageError::BadRequest)?;
    let (mut form, mut file) = (Form::default(), None);
    while let Some(field) = fields.next_field().await.map_err(bad)? {
        let name = field.name().ok_or(PageError::BadRequest)?.to_owned();
        if field.file_name().is_none() {
            form.put(name, &field.text().await.map_err(bad)?)?;
        } else if file.replace(field.bytes().await.map_err(bad)?).is_some() {
            return Err(PageError::BadRequest);
        }
    }
    Ok((form, file.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sent(parts: &[&str]) -> Result<(Form, Bytes), PageError> {
        let part = |part: &&str| format!("--x\r\ncontent-disposition: form-data; {part}\r\n");
        let parts = parts.iter().map(part).collect::<Vec<_>>().concat();
        let request = http::Request::post("/").header("content-type", "multipart/form-data; boundary=x");
        read(request.body(Body::from(format!("{parts}--x--\r\n"))).expect("a request")).await
    }

    #[tokio::test]
    async fn a_form_has_fields_and_one_file() {
        let file = "name=\"report\"; filename=\"a.csv\"\r\ncontent-type: text/csv\r\n\r\na,b\r\n1,2";
        let none = "name=\"report\"; filename=\"\"\r\ncontent-type: application/octet-stream\r\n\r\n";
        let hash = "name=\"hash\"\r\n\r\n1f\r\n2";
        let (form, content) = sent(&[hash, file]).await.expect("a form");
        assert_eq!((form.text("hash"), &*content), ("1f\n2", b"a,b\r\n1,2".as_slice()));
        let (form, content) = sent(&[none, hash]).await.expect("a form");
        assert_eq!((form.text("hash"), content.len()), ("1f\n2", 0));
        for bad in [[hash, hash], [file, file], ["x=\"y\"\r\n\r\n", hash]] {
            assert_eq!(sent(&bad).await.err(), Some(PageError::BadRequest), "{bad:?}");
        }
        let other = http::Request::post("/").header("content-type", "text/csv").body(Body::from("a,b"));
        assert_eq!(read(other.expect("a request")).await.err(), Some(PageError::BadRequest));
    }
}
