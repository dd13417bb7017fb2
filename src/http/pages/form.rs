//! Forms: what was typed, what is wrong with it, and both shown again.

use super::{PageError, PageState, Part};
use crate::domain::input::BadInput;
use crate::http::body;
use axum::extract::{FromRequest, Request};
use http::header::{CONTENT_TYPE, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::str::FromStr;

/// A form: fields are taken one by one, and each may be found wrong. It is shown again with what was typed, without
/// passwords, and with what is wrong.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Form {
    /// What was typed, by field.
    #[serde(serialize_with = "without_secrets")]
    pub values: BTreeMap<String, String>,
    /// What is wrong, by field, in words.
    pub errors: BTreeMap<&'static str, String>,
    /// The faulty fields in the order in which they were found.
    pub order: Vec<&'static str>,
    /// That of the page that shows it.
    #[serde(skip)]
    pub status: StatusCode,
}

/// Fields that are never shown again.
const SECRET: [&str; 7] =
    ["password", "new_password", "old_password", "email_password", "paypal_password", "csrf", "token"];

fn without_secrets<S: Serializer>(values: &BTreeMap<String, String>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(values.iter().filter(|(name, _)| !SECRET.contains(&name.as_str())))
}

impl Form {
    /// Reads `application/x-www-form-urlencoded`; no field twice.
    pub fn read(bytes: &[u8]) -> Result<Self, PageError> {
        let mut form = Self::default();
        for (name, value) in url::form_urlencoded::parse(bytes) {
            form.put(name.into_owned(), &value)?;
        }
        Ok(form)
    }
    /// Takes a field as it was sent; no field twice.
    pub fn put(&mut self, name: String, value: &str) -> Result<(), PageError> {
        // Browsers send line breaks as CR LF.
        match self.values.insert(name, value.replace("\r\n", "\n")) {
            None => Ok(()),
            Some(_) => Err(PageError::BadRequest),
        }
    }

    /// A form with some fields filled in.
    pub fn with<const N: usize>(values: [(&str, Option<&str>); N]) -> Self {
        Self::default().or(values)
    }
    /// The same form, with these fields filled in where it has nothing.
    #[must_use]
    pub fn or<const N: usize>(mut self, values: [(&str, Option<&str>); N]) -> Self {
        for (name, value) in values.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            self.values.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
        self
    }
    /// A field as typed, but for blanks at its ends; empty if it was not sent.
    pub fn text(&self, name: &str) -> &str {
        self.values.get(name).map_or("", |text| text.trim())
    }
    /// A password: exactly as typed.
    pub fn secret(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }
    /// Whether a field was sent. Browsers send a box only if it is ticked.
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }
    /// Finds a field wrong. The first fault of a field stands.
    pub fn wrong(&mut self, name: &'static str, sentence: impl Into<String>) {
        if !self.errors.contains_key(name) {
            self.errors.insert(name, sentence.into());
            self.order.push(name);
            self.status = StatusCode::UNPROCESSABLE_ENTITY;
        }
    }
    /// The same, because it was sent too often.
    pub fn too_often(&mut self, name: &'static str, sentence: &str) {
        self.wrong(name, sentence);
        self.status = StatusCode::TOO_MANY_REQUESTS;
    }
    /// Whether nothing was found wrong.
    pub fn is_good(&self) -> bool {
        self.errors.is_empty()
    }

    /// A field, read as its type says; `None` if it was left empty, or is wrong.
    pub fn take<T: FromStr<Err = BadInput>>(&mut self, name: &'static str) -> Option<T> {
        match self.text(name).parse() {
            Ok(value) => return Some(value),
            Err(BadInput::Blank) => {}
            Err(fault) => self.wrong(name, fault.to_string()),
        }
        None
    }
    /// A field that must be filled in.
    pub fn need<T: FromStr<Err = BadInput>>(&mut self, name: &'static str, sentence: &str) -> Option<T> {
        let taken = self.take(name);
        if taken.is_none() {
            self.wrong(name, sentence);
        }
        taken
    }
    /// Finds fields wrong as an act did.
    pub fn wrong_as(&mut self, faults: Vec<(&'static str, BadInput)>) {
        for (name, fault) in faults {
            self.wrong(name, fault.to_string());
        }
    }
}

/// Whether a request that changes something came from a page of this very origin, as far as the browser says. Browsers
/// say at least one of the two; what says neither is no browser, and holds nobody's cookies.
pub fn is_same_origin(headers: &HeaderMap, own: &str) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let site = text("sec-fetch-site");
    if site.is_some_and(|site| site != "same-origin" && site != "none") {
        return false;
    }
    match headers.get(ORIGIN).map(|origin| origin.to_str().unwrap_or("null")) {
        None => true,
        Some(origin) if origin == own => true,
        Some("null") => site == Some("same-origin"),
        // A person who tries the server out may have opened it as localhost or 127.0.0.1. Of other hosts only the configured
        // one is ours: `Host` is what the sender says.
        Some(origin) => {
            let host = headers.get(HOST).and_then(|host| host.to_str().ok());
            let url: Option<url::Url> = origin.parse().ok();
            origin.split_once("://").is_some_and(|(_, origin)| Some(origin) == host)
                && url.is_some_and(|url| is_loopback(&url))
        }
    }
}

fn is_loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

/// Reads the form of a request that came from our own page; who sent it is not asked.
pub async fn read(state: &PageState, request: Request) -> Result<Form, PageError> {
    let (parts, body) = request.into_parts();
    let is_form =
        |value: &http::HeaderValue| value.as_bytes().starts_with(b"application/x-www-form-urlencoded");
    if parts.method != Method::POST || !parts.headers.get(CONTENT_TYPE).is_some_and(is_form) {
        return Err(PageError::BadRequest);
    }
    check_origin(state, &parts)?;
    Form::read(&body::read(&parts.headers, body).await?)
}

/// Refuses what another site sent.
pub fn check_origin(state: &PageState, parts: &Parts) -> Result<(), PageError> {
    let part = if parts.uri.path().starts_with("/admin") { Part::Staff } else { Part::Public };
    if is_same_origin(&parts.headers, &state.base_url(part)) { Ok(()) } else { Err(PageError::Forged) }
}

/// A form of a page for everyone.
impl FromRequest<PageState> for Form {
    type Rejection = PageError;
    async fn from_request(request: Request, state: &PageState) -> Result<Self, PageError> {
        read(state, request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::input::{Name, PaypalEmail};

    #[test]
    fn a_form_is_read_once_a_field() {
        let form = Form::read(b"a=+x+&b=1%0D%0A2&password=+p+").expect("a form");
        assert_eq!((form.text("a"), form.text("b"), form.text("c")), ("x", "1\n2", ""));
        assert_eq!((form.secret("password"), form.has("a"), form.has("z")), (" p ", true, false));
        assert_eq!(Form::read(b"a=1&a=2").err(), Some(PageError::BadRequest));
    }

    #[test]
    fn what_was_typed_is_kept_but_for_secrets() {
        let mut form = Form::read(b"name=A%0AB&password=hidden&csrf=x").expect("a form");
        assert_eq!(form.take::<Name>("name"), None);
        assert!(!form.is_good());
        let shown = serde_json::to_value(&form).expect("plain data");
        assert_eq!(shown["values"], serde_json::json!({"name": "A\nB"}));
        assert!(form.errors["name"].contains("one line"));
    }

    #[test]
    fn a_field_that_must_be_filled_in_is_wrong_where_nothing_can_be_seen() {
        let mut form = Form::read("name=\u{3164}\u{200b}".as_bytes()).expect("a form");
        assert_eq!(form.take::<Name>("name"), None);
        assert!(form.is_good(), "it may be left empty");
        assert_eq!(form.need::<Name>("name", "Please give a name."), None);
        assert_eq!(form.errors["name"], "Please give a name.");
    }

    /// Else it would clear the address of payouts.
    #[test]
    fn an_address_of_letters_that_nobody_sees_is_wrong_and_not_left_empty() {
        for typed in ["\u{200b}", "\u{3164}", "\u{feff}"] {
            let mut form = Form::read(format!("paypal_email={typed}").as_bytes()).expect("a form");
            assert_eq!(form.take::<PaypalEmail>("paypal_email"), None);
            assert!(!form.is_good(), "{typed:?}");
        }
        let mut form = Form::read(b"paypal_email=+").expect("a form");
        assert_eq!(form.take::<PaypalEmail>("paypal_email"), None);
        assert!(form.is_good());
    }

    #[test]
    fn only_our_own_pages_may_send_forms() {
        let table: [(&[(&str, &str)], bool); 14] = [
            (&[], true),
            (&[("origin", "https://p.example")], true),
            (&[("origin", "https://p.example"), ("sec-fetch-site", "same-origin")], true),
            (&[("origin", "http://127.0.0.1:1"), ("host", "127.0.0.1:1")], true),
            (&[("origin", "http://localhost:8081"), ("host", "localhost:8081")], true),
            (&[("origin", "http://[::1]:1"), ("host", "[::1]:1")], true),
            (&[("origin", "http://10.0.0.5:8081"), ("host", "10.0.0.5:8081")], false),
            (&[("origin", "http://p.example"), ("host", "p.example")], false),
            (&[("origin", "null"), ("sec-fetch-site", "same-origin")], true),
            (&[("origin", "null")], false),
            (&[("origin", "https://evil.example"), ("host", "p.example")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("origin", "https://p.example"), ("sec-fetch-site", "same-site")], false),
            (&[("origin", "https://p.example.evil.example")], false),
        ];
        for (lines, same) in table {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.insert(*name, value.parse().expect("a header"));
            }
            assert_eq!(is_same_origin(&headers, "https://p.example"), same, "{lines:?}");
        }
    }
}
