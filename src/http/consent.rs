//! `POST /counterfoil/consent?cfoil=…`: `counterfoil.js` asks for the cookie, once the visitor agreed
//! (`cookie.mode = "on_consent"`).
//!
//! Only pages of the program's own hosts may ask: else anyone's page could give its visitors the cookie of
//! a click that they never made.

use super::click::{Edge, asks_for_privacy};
use super::script::{empty, method_not_allowed};
use crate::config::CookieMode;
use crate::domain::query::Query;
use crate::domain::token::{ClickClaim, VisitorClaim};
use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, ORIGIN, SET_COOKIE, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;

/// Where it is.
pub const PATH: &str = "/counterfoil/consent";

const DAY_MS: i64 = 86_400_000;

impl Edge {
    /// Checks, in this order: method, origin, mode, token; answers 204 with the cookie.
    pub(super) fn consent<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if request.method() != Method::POST {
            return method_not_allowed("POST");
        }
        let Some(origin) = self.allowed_origin(request.headers()) else {
            return empty(StatusCode::FORBIDDEN);
        };
        let mut response = empty(StatusCode::NO_CONTENT);
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        headers.insert(VARY, HeaderValue::from_static("Origin"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(cookie) = self.agreed(request).and_then(|claim| self.set_cookie(&claim)) {
            headers.insert(SET_COOKIE, cookie);
        }
        response
    }

    fn allowed_origin<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        let page = self.settings.allowed.destination(origin.to_str().ok()?).ok()?;
        // An origin is written in one way only.
        (page.origin().as_bytes() == origin.as_bytes()).then_some(origin)
    }

    /// The visitor that the page's click token names; one that the browser has already stays.
    fn agreed<B>(&self, request: &Request<B>) -> Option<VisitorClaim> {
        if self.settings.cookie.mode() != CookieMode::OnConsent || asks_for_privacy(request.headers()) {
            return None;
        }
        let token = Query::parse(request.uri().query()?).click?;
        let ClickClaim { click, visitor } = self.keyring.verify_click(&token).ok()?;
        let age_ms = self.clock.millis() - click.id.millis();
        if age_ms > i64::from(self.settings.window_days) * DAY_MS {
            return None;
        }
        let known = self.settings.cookie.read(request.headers(), &self.keyring);
        let known = known.unwrap_or(VisitorClaim { visitor, first: click, last: click });
        let last = if click.id > known.last.id { click } else { known.last };
        Some(VisitorClaim { last, ..known })
    }
}

#[cfg(test)]
mod tests {
    use super::super::click::tests::Stage;
    use super::*;

    #[test]
    fn a_page_of_ours_gets_the_cookie_once_its_visitor_agreed() {
        let stage = Stage::with_mode(CookieMode::OnConsent);
        let click = stage.follow(&stage.link(), &[]);
        assert!(click.cookie().is_none());
        let answer = stage.consent(&click.token(), "https://www.example.com", &[]);
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        assert_eq!(answer.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "https://www.example.com");
        let claim = stage.cookie_claim(answer.headers()).expect("a cookie");
        let clicked = stage.click_claim(&click.token());
        assert_eq!(
            claim,
            VisitorClaim { visitor: clicked.visitor, first: clicked.click, last: clicked.click }
        );
        // The next click and the next consent keep the visitor and his first click.
        let cookie = format!("counterfoil={}", stage.keyring.sign_visitor(&claim));
        stage.wait_days(1);
        let next = stage.follow(&stage.link(), &[("cookie", &cookie)]);
        let answer = stage.consent(&next.token(), "https://www.example.com", &[("cookie", &cookie)]);
        let renewed = stage.cookie_claim(answer.headers()).expect("a cookie");
        assert_eq!((renewed.visitor, renewed.first), (claim.visitor, claim.first));
        assert_eq!(renewed.last, stage.click_claim(&next.token()).click);
    }

    #[test]
    fn only_the_value_1_asks_for_privacy() {
        let stage = Stage::with_mode(CookieMode::OnConsent);
        let token = stage.follow(&stage.link(), &[]).token();
        let table = [
            ("1", false),
            (" 1 ", false),
            ("0", true),
            ("", true),
            ("true", true),
            ("?1", true),
            ("11", true),
        ];
        for (value, gets_it) in table {
            let answer = stage.consent(&token, "https://www.example.com", &[("sec-gpc", value)]);
            assert_eq!(answer.headers().contains_key(SET_COOKIE), gets_it, "{value}");
            let always = Stage::with_mode(CookieMode::Always);
            let click = always.follow(&always.link(), &[("sec-gpc", value)]);
            assert_eq!(click.cookie().is_some(), gets_it, "{value}");
        }
    }

    #[test]
    fn nobody_else_gets_it() {
        let stage = Stage::with_mode(CookieMode::OnConsent);
        let token = stage.follow(&stage.link(), &[]).token();
        for origin in [
            "https://evil.test",
            "http://www.example.com",
            "null",
            "",
            "https://www.example.com/",
            "https://WWW.example.com",
        ] {
            let answer = stage.consent(&token, origin, &[]);
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{origin}");
            assert!(answer.headers().is_empty(), "{origin}");
        }
        let ours = "https://www.example.com";
        let without = [
            stage.consent("", ours, &[]),
            stage.consent(&stage.link(), ours, &[]),
            stage.consent(&token[1..], ours, &[]),
        ];
        for answer in without {
            assert!(!answer.headers().contains_key(SET_COOKIE));
        }
        stage.wait_days(91);
        assert!(!stage.consent(&token, ours, &[]).headers().contains_key(SET_COOKIE));
        let always = Stage::with_mode(CookieMode::Never);
        assert!(!always.consent(&token, ours, &[]).headers().contains_key(SET_COOKIE));
    }
}
