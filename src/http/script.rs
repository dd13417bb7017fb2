//! `GET /counterfoil.js`: for landing pages whose host can't share a cookie with ours, and for those that
//! ask before they set one.
//!
//! The script keeps the click token of the landing URL in the page's own storage for the window
//! (`cookie.mode = "always"`), once `counterfoil.consent()` was called (`"on_consent"`; it then also
//! asks us for the cookie, see `consent`), or only as long as the page is open (`"never"`). It puts the
//! token into every input named `cfoil`, and makes such an input in each form with the attribute
//! `data-counterfoil`. `counterfoil.click()` is the token. On the script's tag, `data-domain="example.com"`
//! shares the token among that domain's hosts.
//! The tag may say `type="module"`.

use crate::config::CookieMode;
use bytes::Bytes;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;

/// Where it is.
pub const PATH: &str = "/counterfoil.js";
const SOURCE: &str = include_str!("counterfoil.js");

/// The script for these settings.
pub fn body(mode: CookieMode, window_days: u32) -> Bytes {
    Bytes::from(SOURCE.replace("{mode}", mode.code()).replace("{days}", &window_days.to_string()))
}

/// Answers a request for the script.
pub fn answer(method: &Method, body: &Bytes) -> Response<Full<Bytes>> {
    if method != Method::GET && method != Method::HEAD {
        return method_not_allowed("GET, HEAD");
    }
    let mut response = Response::new(Full::new(body.clone()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Modules, and scripts with `crossorigin` or `integrity`, are loaded in this way only.
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    response
}

/// 405, with what is allowed.
pub(super) fn method_not_allowed(allowed: &'static str) -> Response<Full<Bytes>> {
    let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// An answer that is only a status.
pub(super) fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_small_and_complete() {
        for mode in [CookieMode::Always, CookieMode::OnConsent, CookieMode::Never] {
            let body = body(mode, 90);
            let text = std::str::from_utf8(&body).expect("text");
            assert!(text.len() <= 2_048, "{} bytes", text.len());
            assert!(text.contains(&format!("mode = \"{}\", days = 90,", mode.code())));
        }
    }

    #[test]
    fn the_script_is_served_for_every_page() {
        let response = answer(&Method::GET, &body(CookieMode::Always, 90));
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[CONTENT_TYPE], "text/javascript; charset=utf-8");
        assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert_eq!(answer(&Method::POST, &Bytes::new()).status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
