//! `GET|HEAD /r/{token}`: the redirect. A click is judged, kept and sent on, without waiting for anything.
//!
//! A click of a person on a link that may earn gets a click token (`cfoil`) and, where the browser and
//! the program allow it, the cookie; everyone else only gets the redirect. Whatever is wrong, a person arrives.
//!
//! Only a browser that is ahead of its user gets none: it would keep our redirect, `no-store` or not, and use it for
//! the person's click, which then never reaches us. Refused by 403 it asks again when the person follows the link.

use super::client_ip::client_ip;
use super::consent;
use super::flood::FloodLimiter;
use super::script::{self, empty, method_not_allowed};
use super::visitor_cookie::VisitorCookie;
use crate::clock::Clock;
use crate::config::CookieMode;
use crate::domain::agents;
use crate::domain::click::{LinkState, Purposes, Request as Facts, judge};
use crate::domain::click_record::ClickRecord;
use crate::domain::destination::{AllowList, Destination};
use crate::domain::followed::Followed;
use crate::domain::id::{ClickId, VisitorId};
use crate::domain::outcome::ClickDrop;
use crate::domain::query::Query;
use crate::domain::token::{CLICK_LETTERS, Click, ClickClaim, Keyring, LinkClaim, VisitorClaim};
use crate::edge::{ClickCounts, ClickSink, Routes};
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, LOCATION, REFERRER_POLICY, SET_COOKIE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use ipnet::IpNet;
use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;
use uuid::{Builder, Uuid};

#[cfg(test)]
pub(super) mod tests;

/// What links start with, behind the public address.
pub const PREFIX: &str = "/r/";

const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NO_INDEX: HeaderValue = HeaderValue::from_static("noindex");
const REFERRER: HeaderValue = HeaderValue::from_static("no-referrer-when-downgrade");

/// The program's settings, as far as clicks need them.
#[derive(Debug, Clone)]
pub struct EdgeSettings {
    /// Where links lead that name no page of their own, and all that do not earn.
    pub landing: Destination,
    /// The hosts whose pages may ask for the cookie.
    pub allowed: AllowList,
    /// How long a click may be credited, in days.
    pub window_days: u32,
    /// The cookie.
    pub cookie: VisitorCookie,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Clicks of one address in a minute above which they are a flood; 0: never.
    pub clicks_per_minute_per_ip: u32,
}

/// The public listener's answers to prospects: links, the script, consent.
pub struct Edge {
    pub(super) keyring: Arc<Keyring>,
    pub(super) clock: Clock,
    pub(super) settings: EdgeSettings,
    routes: ArcSwap<Routes>,
    sink: Arc<dyn ClickSink>,
    flood: FloodLimiter,
    counts: ClickCounts,
    script: Bytes,
    /// For a redirect that could not be written; none is known.
    plain_landing: HeaderValue,
}

impl std::fmt::Debug for Edge {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Edge").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Edge {
    /// An edge that knows no links yet.
    pub fn new(
        keyring: Arc<Keyring>,
        clock: Clock,
        settings: EdgeSettings,
        sink: Arc<dyn ClickSink>,
    ) -> Self {
        agents::prepare();
        let root = HeaderValue::from_static("/");
        Self {
            keyring,
            clock,
            routes: ArcSwap::default(),
            sink,
            flood: FloodLimiter::new(settings.clicks_per_minute_per_ip),
            counts: ClickCounts::default(),
            script: script::body(settings.cookie.mode(), settings.window_days),
            plain_landing: HeaderValue::from_str(settings.landing.as_str()).unwrap_or(root),
            settings,
        }
    }

    /// Takes links in, in place of what was known of them; those that are missing stay as they are.
    pub fn take_routes(&self, routes: Routes) {
        let known = self.routes.load();
        self.routes.store(Arc::new(routes.with_those_of(&known)));
    }
    /// Takes in the links that were not known; what is known of others stands.
    pub fn take_new_routes(&self, routes: &Routes) {
        let known = self.routes.load_full();
        self.routes.store(Arc::new(Routes::clone(&known).with_those_of(routes)));
    }
    /// The links that it knows.
    pub fn routes(&self) -> Arc<Routes> {
        self.routes.load_full()
    }
    /// What became of the clicks.
    pub fn counts(&self) -> &ClickCounts {
        &self.counts
    }
    /// Whether this path is the edge's to answer.
    pub fn answers(path: &str) -> bool {
        path.starts_with(PREFIX) || path == script::PATH || path == consent::PATH
    }

    /// Answers a request. Never fails, never waits.
    pub fn handle<B>(&self, request: &Request<B>, peer: IpAddr) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        if let Some(path) = path.strip_prefix(PREFIX) {
            if !matches!(*request.method(), Method::GET | Method::HEAD) {
                return method_not_allowed("GET, HEAD");
            }
            let followed = Followed::read(path, request.uri().query().unwrap_or_default());
            return self.follow(&followed.token, Query::parse(&followed.query), &Asked::new(request, peer));
        }
        match path {
            script::PATH => script::answer(request.method(), &self.script),
            consent::PATH => self.consent(request),
            _ => empty(StatusCode::NOT_FOUND),
        }
    }

    fn follow(&self, token: &str, mut query: Query<'_>, asked: &Asked<'_>) -> Response<Full<Bytes>> {
        self.counts.receive();
        let Ok(link) = self.keyring.verify_link(token) else {
            self.counts.drop_for(ClickDrop::BadLink);
            if asked.prefetch {
                return refused_prefetch();
            }
            query.to = None;
            return self.redirect(&self.settings.landing, &query, None, None);
        };
        let routes = self.routes.load();
        let route = routes.find(&link);
        let state = route.map_or(LinkState::Unknown, |route| route.state);
        let visit = self.visit(link, state, &mut query, asked);
        if asked.prefetch {
            return refused_prefetch();
        }
        let page = route.and_then(|route| route.destination.as_ref()).filter(|_| state == LinkState::Known);
        if state != LinkState::Known {
            // Another page of which host? A link that does not earn here leads to the landing page alone.
            query.to = None;
        }
        let page = page.unwrap_or(&self.settings.landing);
        self.redirect(page, &query, visit.click.as_ref(), visit.cookie.as_ref())
    }

    /// Judges a click, keeps it, and says what its browser is given.
    fn visit(&self, link: LinkClaim, state: LinkState, query: &mut Query<'_>, asked: &Asked<'_>) -> Visit {
        let (now, headers) = (self.clock.millis(), asked.headers);
        let client = client_ip(asked.peer, headers, &self.settings.trusted_proxies);
        // What a browser fetches by itself takes nothing of what its user may click.
        let flood = !asked.prefetch && self.flood.count(client, now);
        let verdict = judge(&asked.facts(flood, state));
        let known = self.settings.cookie.read(headers, &self.keyring);
        let human = verdict.is_human();
        let new_visitor = human && known.is_none();
        let visitor = match &known {
            Some(known) => Some(known.visitor),
            None => new_visitor.then(|| VisitorId(uuid_at(now))),
        };
        let click = Click { id: ClickId(uuid_at(now)), affiliate: link.affiliate, link: link.link };
        let gpc = asks_for_privacy(headers);
        let subs = std::mem::take(&mut query.subs);
        self.counts.drop_subs(&query.subs_dropped);
        let (unique, paid_ad) = (new_visitor, query.paid_ad);
        let record = ClickRecord { click, visitor, verdict, new_visitor, unique, gpc, paid_ad, subs };
        let kept = with_scratch(|scratch| {
            record.encode(scratch);
            self.sink.append(scratch)
        });
        match kept {
            Ok(()) => self.counts.journal(verdict),
            Err(reason) => self.counts.drop_for(reason),
        }
        let Some(visitor) = visitor.filter(|_| human) else {
            return Visit::default();
        };
        let set_cookie = !gpc && self.settings.cookie.mode() == CookieMode::Always;
        let first = known.map_or(click, |known| known.first);
        Visit {
            click: Some(ClickClaim { click, visitor }),
            cookie: set_cookie.then_some(VisitorClaim { visitor, first, last: click }),
        }
    }

    fn redirect(
        &self,
        page: &Destination,
        query: &Query<'_>,
        click: Option<&ClickClaim>,
        cookie: Option<&VisitorClaim>,
    ) -> Response<Full<Bytes>> {
        let location = with_scratch(|scratch| {
            scratch.reserve(page.as_str().len() + CLICK_LETTERS + 16);
            let token = click.map(|claim| |out: &mut Vec<u8>| self.keyring.write_click(claim, out));
            page.write(query, token, scratch);
            HeaderValue::from_bytes(scratch)
        });
        let mut response = empty(StatusCode::FOUND);
        let headers = response.headers_mut();
        headers.reserve(8);
        headers.insert(LOCATION, location.unwrap_or_else(|_| self.plain_landing.clone()));
        headers.insert(CACHE_CONTROL, NO_STORE);
        headers.insert(ROBOTS, NO_INDEX);
        headers.insert(REFERRER_POLICY, REFERRER);
        if let Some(cookie) = cookie.and_then(|claim| self.set_cookie(claim)) {
            headers.insert(SET_COOKIE, cookie);
        }
        response
    }

    pub(super) fn set_cookie(&self, claim: &VisitorClaim) -> Option<HeaderValue> {
        with_scratch(|scratch| {
            self.settings.cookie.write(claim, &self.keyring, scratch);
            HeaderValue::from_bytes(scratch).ok()
        })
    }
}

/// What a click's browser is given.
#[derive(Default)]
struct Visit {
    click: Option<ClickClaim>,
    cookie: Option<VisitorClaim>,
}

/// A request for a link, as far as it tells who makes it.
struct Asked<'a> {
    headers: &'a HeaderMap,
    peer: IpAddr,
    head: bool,
    /// A browser is ahead of its user. One that asks for the headers only stays `HEAD`: it keeps nothing.
    prefetch: bool,
}

impl<'a> Asked<'a> {
    fn new<B>(request: &'a Request<B>, peer: IpAddr) -> Self {
        let headers = request.headers();
        let head = *request.method() == Method::HEAD;
        let purposes = Purposes {
            sec_purpose: value(headers, "sec-purpose"),
            purpose: value(headers, "purpose"),
            x_purpose: value(headers, "x-purpose"),
            x_moz: value(headers, "x-moz"),
        };
        Self { headers, peer, head, prefetch: !head && purposes.say_prefetch() }
    }

    fn facts(&self, flood: bool, link: LinkState) -> Facts<'a> {
        Facts {
            head: self.head,
            prefetch: self.prefetch,
            fetch_dest: value(self.headers, "sec-fetch-dest"),
            user_agent: self.headers.get(USER_AGENT).map(HeaderValue::as_bytes),
            flood,
            link,
        }
    }
}

/// Whether the browser asks for no cookie: by `Sec-GPC: 1`, and by no other value of it.
pub(super) fn asks_for_privacy(headers: &HeaderMap) -> bool {
    value(headers, "sec-gpc").is_some_and(|value| value.trim_ascii() == b"1")
}

/// 403, and nothing that a browser could keep or retry by itself. A 5xx would let strangers make a balancer take a
/// healthy node out; after a 204 browsers stay where they are when the link is followed.
fn refused_prefetch() -> Response<Full<Bytes>> {
    let mut response = empty(StatusCode::FORBIDDEN);
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response.headers_mut().insert(ROBOTS, NO_INDEX);
    response
}

fn value<'a>(headers: &'a HeaderMap, name: &'static str) -> Option<&'a [u8]> {
    headers.get(name).map(HeaderValue::as_bytes)
}

/// A UUID of version 7 of this time; its random bits are those of a UUID of version 4.
fn uuid_at(now_ms: i64) -> Uuid {
    let random = Uuid::new_v4();
    let bytes = random.as_bytes();
    let mut tail = [0; 10];
    // Between these stand the bits that say version 4.
    tail[..6].copy_from_slice(&bytes[..6]);
    tail[6..].copy_from_slice(&bytes[12..]);
    let millis = u64::try_from(now_ms).unwrap_or(0);
    Builder::from_unix_timestamp_millis(millis, &tail).into_uuid()
}

/// Lends a buffer of the thread's own, empty, so that a click allocates only what it hands out.
fn with_scratch<T>(work: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    thread_local! {
        static SCRATCH: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(1024));
    }
    SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
        Ok(mut scratch) => {
            scratch.clear();
            work(&mut scratch)
        }
        // Lent already: only a sink that answers clicks itself would come here.
        Err(_) => work(&mut Vec::new()),
    })
}
