//! Forms: what was typed, what is wrong with it, and both shown again.

use super::{Fault, PageState, Part};
use crate::domain::email::read_email;
use crate::domain::text::is_blank;
use crate::domain::website::read_website;
use crate::http::body;
use crate::http::fields::{breaks_line, turns_direction};
use axum::extract::{FromRequest, Request};
use http::header::{CONTENT_TYPE, HOST, ORIGIN};
use http::{HeaderMap, Method};
use serde::Serialize;
use std::collections::BTreeMap;

/// A form as sent: fields are taken one by one, and each may be found wrong.
#[derive(Debug, Default, Clone)]
pub struct Form {
    typed: BTreeMap<String, String>,
    errors: BTreeMap<&'static str, String>,
    /// The faulty fields as they were found.
    order: Vec<&'static str>,
}

/// A form to be shown: what was typed, and what is wrong with it.
#[derive(Debug, Default, Clone, Serialize)]
pub struct FormView {
    /// By field.
    pub values: BTreeMap<String, String>,
    /// By field, in words.
    pub errors: BTreeMap<&'static str, String>,
    /// The faulty fields in the order in which they are told.
    pub order: Vec<&'static str>,
}

impl FormView {
    /// A form with some fields filled in.
    pub fn with<const N: usize>(values: [(&str, Option<&str>); N]) -> Self {
        let values =
            values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
        Self { values: values.collect(), ..Self::default() }
    }
    /// The same, with a fault of one field.
    #[must_use]
    pub fn error(mut self, name: &'static str, sentence: &str) -> Self {
        self.errors.insert(name, sentence.to_owned());
        self.order.push(name);
        self
    }
}

/// Fields that are never shown again.
const SECRET: [&str; 7] =
    ["password", "new_password", "old_password", "email_password", "paypal_password", "csrf", "token"];

impl Form {
    /// Reads `application/x-www-form-urlencoded`; no field twice.
    pub fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let mut typed = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(bytes) {
            // Browsers send line breaks as CR LF.
            if typed.insert(name.into_owned(), value.replace("\r\n", "\n")).is_some() {
                return Err(Fault::BadRequest);
            }
        }
        Ok(Self { typed, ..Self::default() })
    }

    /// A field as typed, but for blanks at its ends; empty if it was not sent.
    pub fn text(&self, name: &str) -> &str {
        self.typed.get(name).map_or("", |text| text.trim())
    }
    /// A password: exactly as typed.
    pub fn secret(&self, name: &str) -> &str {
        self.typed.get(name).map_or("", String::as_str)
    }
    /// Whether a box was ticked.
    pub fn ticked(&self, name: &str) -> bool {
        self.typed.contains_key(name)
    }
    /// Finds a field wrong. The first fault of a field stands.
    pub fn wrong(&mut self, name: &'static str, sentence: impl Into<String>) {
        if !self.errors.contains_key(name) {
            self.errors.insert(name, sentence.into());
            self.order.push(name);
        }
    }
    /// Whether nothing was found wrong.
    pub fn is_good(&self) -> bool {
        self.errors.is_empty()
    }

    /// A line of at most `most` characters; `None` if nothing of it can be seen.
    pub fn line(&mut self, name: &'static str, most: usize) -> Option<String> {
        let text = self.text(name).to_owned();
        if text.chars().count() > most {
            self.wrong(name, format!("Please use at most {most} characters."));
        } else if text.contains(breaks_line) {
            self.wrong(name, "Please write this on one line.");
        } else if text.contains(turns_direction) {
            self.wrong(name, "This holds characters that can't be shown.");
        }
        (!is_blank(&text)).then_some(text)
    }
    /// A text of several lines, of at most `most` characters; `None` if nothing of it can be seen.
    pub fn paragraph(&mut self, name: &'static str, most: usize) -> Option<String> {
        let text = self.text(name).to_owned();
        if text.chars().count() > most {
            self.wrong(name, format!("Please use at most {most} characters."));
        } else if text.contains(|letter: char| letter.is_control() && !matches!(letter, '\n' | '\t')) {
            self.wrong(name, "This holds characters that can't be shown.");
        }
        (!is_blank(&text)).then_some(text)
    }
    /// An e-mail address of at most `most` bytes; `None` if it was left empty.
    pub fn email(&mut self, name: &'static str, most: usize) -> Option<String> {
        let text = self.text(name).to_owned();
        if text.is_empty() {
            return None;
        }
        let address = read_email(&text, most);
        if address.is_none() {
            self.wrong(name, "This does not look like an e-mail address, such as ann@example.com.");
        }
        address.or(Some(text))
    }
    /// The same, but an address that was not changed is taken as it is: it may be older than the rule.
    pub fn changed_email(&mut self, name: &'static str, most: usize, kept: Option<&str>) -> Option<String> {
        match kept.filter(|kept| *kept == self.text(name)) {
            Some(kept) => Some(kept.to_owned()),
            None => self.email(name, most),
        }
    }
    /// What a field that must be filled in holds: an empty text, found wrong, if it was left empty.
    pub fn need(&mut self, name: &'static str, value: Option<String>, sentence: &str) -> String {
        value.unwrap_or_else(|| {
            self.wrong(name, sentence);
            String::new()
        })
    }

    /// The form to be shown again: without passwords.
    pub fn view(&self) -> FormView {
        let shown = self.typed.iter().filter(|(name, _)| !SECRET.contains(&name.as_str()));
        FormView {
            values: shown.map(|(name, value)| (name.clone(), value.clone())).collect(),
            errors: self.errors.clone(),
            order: self.order.clone(),
        }
    }
}

/// The address of a web site; without a scheme it is one of `https`.
pub fn web_address(text: &str) -> Option<String> {
    if text.contains("://") { read_website(text) } else { read_website(&format!("https://{text}")) }
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
        // Whoever tries the server out may have opened it as localhost or 127.0.0.1. Of other hosts only the configured
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
pub async fn read(state: &PageState, request: Request) -> Result<Form, Fault> {
    let (parts, body) = request.into_parts();
    let is_form =
        |value: &http::HeaderValue| value.as_bytes().starts_with(b"application/x-www-form-urlencoded");
    if parts.method != Method::POST || !parts.headers.get(CONTENT_TYPE).is_some_and(is_form) {
        return Err(Fault::BadRequest);
    }
    let part = if parts.uri.path().starts_with("/admin") { Part::Staff } else { Part::Public };
    if !is_same_origin(&parts.headers, &state.base_url(part)) {
        return Err(Fault::Forged);
    }
    Form::read(&body::read(&parts.headers, body).await?)
}

/// A form of a page for everyone.
impl FromRequest<PageState> for Form {
    type Rejection = Fault;
    async fn from_request(request: Request, state: &PageState) -> Result<Self, Fault> {
        read(state, request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_once_a_field() {
        let form = Form::read(b"a=+x+&b=1%0D%0A2&password=+p+").expect("a form");
        assert_eq!((form.text("a"), form.text("b"), form.text("c")), ("x", "1\n2", ""));
        assert_eq!((form.secret("password"), form.ticked("a"), form.ticked("z")), (" p ", true, false));
        assert_eq!(Form::read(b"a=1&a=2").err(), Some(Fault::BadRequest));
    }

    #[test]
    fn what_was_typed_is_kept_but_for_secrets() {
        let mut form = Form::read(b"name=A%0AB&password=hidden&csrf=x").expect("a form");
        assert_eq!(form.line("name", 10).as_deref(), Some("A\nB"));
        assert!(!form.is_good());
        let view = form.view();
        assert_eq!(view.values.keys().collect::<Vec<_>>(), ["name"]);
        assert!(view.errors["name"].contains("one line"));
        let mut unseen = Form::read("name=\u{3164}\u{200b}&text=\u{2800}".as_bytes()).expect("a form");
        assert_eq!((unseen.line("name", 10), unseen.paragraph("text", 10)), (None, None));
        for turned in ["Ann%E2%80%AE", "%E2%81%A6Ann%E2%81%A9"] {
            let mut form = Form::read(format!("name={turned}").as_bytes()).expect("a form");
            form.line("name", 10);
            assert!(form.view().errors["name"].contains("can't be shown"), "{turned}");
        }
    }

    #[test]
    fn addresses_of_the_web() {
        assert_eq!(web_address("example.com").as_deref(), Some("https://example.com/"));
        assert_eq!(web_address("http://example.com/x").as_deref(), Some("http://example.com/x"));
        for bad in ["", "localhost", "well-known.example@evil.example"] {
            assert_eq!(web_address(bad), None, "{bad}");
        }
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
