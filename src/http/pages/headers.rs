//! What all pages' answers share: their headers, and the page that shows a refusal.

use super::{Frame, PageError, PageState, Part, see_other};
use crate::http::guard::add_headers;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderName, HeaderValue};
use minijinja::context;
use url::form_urlencoded::byte_serialize;

/// Nothing but what comes from this origin; no script but ours; in no frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Shows refusals as pages, and gives every answer its headers.
pub async fn finish(
    State((state, part)): State<(PageState, Part)>,
    request: Request,
    next: Next,
) -> Response {
    // Search engines may show where the program is joined, and nothing else.
    let is_door = matches!(request.uri().path(), "/" | "/apply");
    let part = if request.uri().path().starts_with("/portal") { Part::Portal } else { part };
    let mut response = next.run(request).await;
    if let Some(fault) = response.extensions_mut().remove::<PageError>() {
        response = show(&state, part, &fault, response);
    }
    let headers = response.headers_mut();
    let defaults = [
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        // Not `no-referrer`: browsers would then send forms with `Origin: null`.
        (REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("x-robots-tag"), if is_door { "all" } else { "noindex" }),
    ];
    add_headers(headers, &defaults);
    if state.is_secure(part) {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    response
}

fn show(state: &PageState, part: Part, fault: &PageError, refused: Response) -> Response {
    if let PageError::SignIn(part, path) = fault {
        let door = if *part == Part::Staff { "/admin/login" } else { "/login" };
        let home = if *part == Part::Staff { "/admin" } else { "/portal" };
        if path == home || path.is_empty() {
            return see_other(door);
        }
        let next: String = byte_serialize(path.as_bytes()).collect();
        return see_other(&format!("{door}?next={next}"));
    }
    if *fault == PageError::MustSign {
        return see_other("/agreement");
    }
    let (heading, sentence) = fault.words();
    let home = match part {
        Part::Public => "/",
        Part::Portal => "/portal",
        Part::Staff => "/admin",
    };
    // Staff's pages are on another listener, with a style sheet of their own address.
    let part = if part == Part::Staff { part } else { Part::Public };
    let chrome = Frame { part, ..Frame::default() };
    let content = context! { heading, sentence, home, status => fault.status().as_u16() };
    let mut page = state.page_with(fault.status(), "layout/fault.html", &chrome, content);
    if page.extensions_mut().remove::<PageError>().is_some() {
        // Not even that page could be rendered: an empty answer with its status is left.
        return refused;
    }
    for (name, value) in refused.headers() {
        page.headers_mut().insert(name, value.clone());
    }
    page
}
