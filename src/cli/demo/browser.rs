//! Who follows links: a person's browser, and bots.

use super::world::expect;
use crate::cli::Failure;
use crate::cli::client::{Client, full};
use http::header::{LOCATION, SET_COOKIE};
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use std::net::SocketAddr;

const PERSON: [(&str, &str); 6] = [
    (
        "user-agent",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36",
    ),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("accept-language", "en-US,en;q=0.9"),
    ("sec-fetch-site", "cross-site"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "document"),
];

/// What a person's browser sends with the signup form.
#[derive(Debug, Clone)]
pub(super) struct Evidence {
    /// The click token from the landing page's URL.
    pub click: String,
    /// The visitor cookie's value.
    pub cookie: String,
}

impl Evidence {
    /// The signup form kept the click token.
    pub(super) fn by_click(&self) -> Value {
        json!({ "click": self.click })
    }
    /// Only the cookie came through.
    pub(super) fn by_cookie(&self) -> Value {
        json!({ "cookie": self.cookie })
    }
}

/// Reaches the public listener as strangers do.
#[derive(Debug)]
pub(super) struct Browser {
    http: Client,
}

impl Browser {
    pub(super) fn new(public: SocketAddr) -> Self {
        Self { http: Client::stranger(public) }
    }

    /// A person follows a link, and lands with a click token and a cookie.
    pub(super) async fn follows(&self, link: &str) -> Result<Evidence, Failure> {
        let headers = self.redirect(Method::GET, link, &PERSON).await?;
        match (click_of(&headers), cookie_of(&headers)) {
            (Some(click), Some(cookie)) => Ok(Evidence { click, cookie }),
            (click, cookie) => Err(Failure::other(format!(
                "the demo failed: a person got {} click token and {} cookie",
                if click.is_some() { "a" } else { "no" },
                if cookie.is_some() { "a" } else { "no" },
            ))),
        }
    }

    /// Link previews, a mail scanner and an image request follow a link: they are redirected, and get nothing that
    /// could be credited. A browser's prefetch is refused. Returns how many there were.
    pub(super) async fn programs_follow(&self, link: &str) -> Result<u64, Failure> {
        let with = |name: &'static str, value: &'static str| {
            let mut headers = PERSON.to_vec();
            headers.retain(|(own, _)| *own != name);
            headers.push((name, value));
            headers
        };
        let programs = [
            (Method::GET, with("user-agent", "Twitterbot/1.0")),
            (Method::GET, with("user-agent", "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)")),
            (
                Method::GET,
                with(
                    "user-agent",
                    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
                ),
            ),
            (Method::GET, with("user-agent", "curl/8.14.1")),
            (Method::HEAD, PERSON.to_vec()),
            (Method::GET, with("sec-fetch-dest", "image")),
        ];
        for (method, headers) in &programs {
            let answer = self.redirect(method.clone(), link, headers).await?;
            expect("a program's click token", &click_of(&answer), &None)?;
            expect("a program's cookie", &cookie_of(&answer), &None)?;
        }
        let ahead = with("sec-purpose", "prefetch;prerender");
        let answer = self.http.ask(Method::GET, link, &ahead, full("")).await?;
        expect("the status of a prefetch", &answer.status, &StatusCode::FORBIDDEN)?;
        Ok(programs.len() as u64 + 1)
    }

    async fn redirect(
        &self,
        method: Method,
        link: &str,
        headers: &[(&str, &str)],
    ) -> Result<HeaderMap, Failure> {
        let answer = self.http.ask(method, link, headers, full("")).await?;
        expect("the status of a redirect", &answer.status, &StatusCode::FOUND)?;
        Ok(answer.headers)
    }
}

fn click_of(headers: &HeaderMap) -> Option<String> {
    let location = url::Url::parse(headers.get(LOCATION)?.to_str().ok()?).ok()?;
    location.query_pairs().find(|(name, _)| name == "cfoil").map(|(_, token)| token.into_owned())
}

fn cookie_of(headers: &HeaderMap) -> Option<String> {
    let cookie = headers.get(SET_COOKIE)?.to_str().ok()?;
    let (name, value) = cookie.split(';').next()?.split_once('=')?;
    (name == "counterfoil").then(|| value.to_owned())
}
