//! Pages for people: rendered here, whole, with or without JavaScript.
//!
//! [`public_pages`] are for everyone and for signed-in affiliates, on the public listener; [`staff_pages`] are on the
//! internal one. Whatever a handler refuses is a [`PageError`], which [`headers::finish`] shows as a page.

pub mod assets;
pub mod chart;
pub mod form;
pub mod headers;
pub mod page_error;
pub mod payout;
pub mod portal;
pub mod public;
pub mod routes;
pub mod session;
pub mod sign_in;
pub mod staff;
pub mod table;
pub mod upload;
pub mod view;

pub use form::Form;
pub use page_error::PageError;
pub use view::{Banner, Frame, Part, Views};

use crate::app::App;
use axum::Router;
use axum::body::Body;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use std::sync::Arc;

/// What pages know beside the request; cheap to clone.
#[derive(Clone)]
pub struct PageState {
    /// The server's inside, and its configuration.
    pub app: Arc<App>,
    /// The templates.
    pub views: Arc<Views>,
}

impl PageState {
    /// Where people reach a part's pages, without a slash at the end.
    pub fn base_url(&self, part: Part) -> String {
        let listen = &self.app.config().listen;
        if part == Part::Staff { listen.staff_base() } else { listen.public_base().to_owned() }
    }
    /// Whether a part's cookies are `Secure`: everywhere but on plain http, which only loopback may use.
    pub fn is_secure(&self, part: Part) -> bool {
        self.base_url(part).starts_with("https:")
    }

    /// A page, `200`.
    pub fn page(&self, template: &str, chrome: &Frame, content: impl Serialize) -> Response {
        self.page_with(StatusCode::OK, template, chrome, content)
    }

    /// A page with another status: a form with errors is `422`.
    pub fn page_with(
        &self,
        status: StatusCode,
        template: &str,
        chrome: &Frame,
        content: impl Serialize,
    ) -> Response {
        match self.views.render(template, chrome, self.app.now(), content) {
            Ok(html) => answer(status, "text/html; charset=utf-8", html),
            Err(error) => {
                // Its text names the template and the line, nothing that the page would have shown.
                tracing::error!(template, error = %error, "a page could not be rendered");
                PageError::Internal.into_response()
            }
        }
    }
}

/// An answer that is not to be kept by anyone.
pub fn answer(status: StatusCode, media_type: &'static str, body: impl Into<Body>) -> Response {
    (status, [(CONTENT_TYPE, media_type), (CACHE_CONTROL, "no-store")], body.into()).into_response()
}

/// The media type of CSV files.
pub const CSV: &str = "text/csv; charset=utf-8";

/// A file that the browser saves under this name, which is of letters, digits, dots, dashes.
pub fn download(media_type: &'static str, name: &str, body: impl Into<Body>) -> Response {
    let mut response = answer(StatusCode::OK, media_type, body);
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        response.headers_mut().insert(http::header::CONTENT_DISPOSITION, value);
    }
    response
}

/// `303` to another page of ours. What can't be an address leads to the beginning.
pub fn see_other(path: &str) -> Response {
    let location = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response()
}

/// The first value of a parameter of the query; empty without one.
pub fn parameter(query: Option<&str>, name: &str) -> String {
    let mut pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// A path of ours that a sign-in may go on to: nothing that a browser might take for another site.
pub fn local_path<'a>(path: &'a str, below: &str) -> Option<&'a str> {
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let inside = path == below || path.strip_prefix(below).is_some_and(|rest| rest.starts_with(['/', '?']));
    let climbs = path.split(['?', '#']).next().unwrap_or_default().split('/').any(is_dots);
    (plain && inside && path.len() <= 512 && !path.contains("//") && !climbs).then_some(path)
}

/// Whether a segment of a path leads elsewhere than its name says: `.` and `..`, escaped or not.
fn is_dots(segment: &str) -> bool {
    let unescaped = segment.replace("%2e", ".").replace("%2E", ".");
    matches!(unescaped.as_str(), "." | "..")
}

/// The tables of routes: for everyone and for affiliates, and for staff.
pub fn tables() -> [Vec<routes::Route>; 2] {
    let public = [public::routes(), portal::routes()];
    [public.iter().flat_map(|part| part.rows().to_vec()).collect(), staff::routes().rows().to_vec()]
}

/// Pages for everyone and for affiliates.
pub fn public_pages(state: PageState) -> Router {
    public::routes()
        .into_router()
        .merge(portal::routes().into_router())
        .route("/assets/{file}", get(assets::file))
        .method_not_allowed_fallback(async || PageError::Method)
        .fallback(async || PageError::NotFound)
        .layer(from_fn_with_state((state.clone(), Part::Public), headers::finish))
        .with_state(state)
}

/// Pages for staff, all below `/admin`.
pub fn staff_pages(state: PageState) -> Router {
    staff::routes()
        .into_router()
        .route("/admin/assets/{file}", get(assets::file))
        .route("/admin/{*rest}", axum::routing::any(async || PageError::NotFound))
        .method_not_allowed_fallback(async || PageError::Method)
        .layer(from_fn_with_state((state.clone(), Part::Staff), headers::finish))
        .with_state(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_goes_on_to_pages_of_ours_only() {
        for good in
            ["/portal", "/portal/links", "/portal?x=1", "/portal/referrals?q=a%2Fb", "/portal/a..b?q=/../"]
        {
            assert_eq!(local_path(good, "/portal"), Some(good));
        }
        let long = format!("/portal/{}", "x".repeat(600));
        for bad in [
            "",
            "/",
            "/portals",
            "//evil.example",
            "/portal//evil",
            "/portal/\\evil",
            "https://evil.example/portal",
            "/portal\r\nX: y",
            "/portal/\u{e9}",
            "/portal/..",
            "/portal/../admin",
            "/portal/%2E%2e/x",
            "/portal/.?x",
            "/portal/./x",
            "/portal/.",
            "/portal/..#x",
            "portal",
            long.as_str(),
        ] {
            assert_eq!(local_path(bad, "/portal"), None, "{bad:?}");
        }
    }
}
