use super::*;
use crate::domain::id::{AffiliateId, LinkId};
use crate::domain::outcome::{SubDrop, Verdict};
use crate::edge::Route;
use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0";
const LANDING: &str = "https://www.example.com/plans";
const PAGE: &str = "https://www.example.com/page?a=b";

/// Keeps records, unless it is told to refuse them.
#[derive(Default)]
struct Records {
    kept: Mutex<Vec<Vec<u8>>>,
    refuse: Mutex<Option<ClickDrop>>,
}

impl ClickSink for Records {
    fn append(&self, record: &[u8]) -> Result<(), ClickDrop> {
        if let Some(reason) = *self.refuse.lock().expect("no panic") {
            return Err(reason);
        }
        self.kept.lock().expect("no panic").push(record.to_vec());
        Ok(())
    }
}

/// An edge with one link of each kind.
pub(in crate::http) struct Stage {
    pub(in crate::http) keyring: Arc<Keyring>,
    edge: Edge,
    records: Arc<Records>,
}

const EARNS: u64 = 1;
const SUSPENDED: u64 = 2;
const DISABLED: u64 = 3;
const TO_LANDING: u64 = 4;
const NOT_YET_KNOWN: u64 = 9;

pub(in crate::http) struct Answer(Response<Full<Bytes>>);

impl Answer {
    fn location(&self) -> &str {
        self.0.headers()[LOCATION].to_str().expect("ASCII")
    }
    pub(in crate::http) fn token(&self) -> String {
        let (_, token) = self.location().split_once("cfoil=").expect("a click token");
        token.split(['&', '#']).next().unwrap_or_default().to_owned()
    }
    pub(in crate::http) fn cookie(&self) -> Option<&str> {
        self.0.headers().get(SET_COOKIE).map(|value| value.to_str().expect("ASCII"))
    }
    fn is_bare(&self) -> bool {
        self.cookie().is_none() && !self.location().contains("cfoil")
    }
}

impl Stage {
    fn new() -> Self {
        Self::with_mode(CookieMode::Always)
    }
    pub(in crate::http) fn with_mode(mode: CookieMode) -> Self {
        Self::with(mode, 0, &[])
    }
    fn with(mode: CookieMode, clicks_per_minute_per_ip: u32, proxies: &[&str]) -> Self {
        let keyring = Keyring::new("k1", &[("k1".into(), vec![1; 32])], &[]).expect("a keyring");
        let (keyring, records) = (Arc::new(keyring), Arc::new(Records::default()));
        let allowed = AllowList::new(&["www.example.com".to_owned()]).expect("a host");
        let page = |url| allowed.destination(url).expect("an allowed page");
        let settings = EdgeSettings {
            landing: page(LANDING),
            window_days: 90,
            cookie: VisitorCookie::new("counterfoil", "example.com", mode, true, 90 * 86_400)
                .expect("a cookie"),
            trusted_proxies: proxies.iter().map(|network| network.parse().expect("a network")).collect(),
            clicks_per_minute_per_ip,
            allowed: allowed.clone(),
        };
        let start = "2026-01-01T00:00:00Z".parse().expect("a time");
        let edge = Edge::new(keyring.clone(), Clock::settable(start), settings, records.clone());
        let route = |bits, state, destination| {
            (LinkId::from_bits(bits), Route { affiliate: AffiliateId::from_bits(bits), state, destination })
        };
        edge.take_routes(Routes::from_iter([
            route(EARNS, LinkState::Known, Some(page(PAGE))),
            route(SUSPENDED, LinkState::AffiliateNotActive, Some(page(PAGE))),
            route(DISABLED, LinkState::Disabled, Some(page(PAGE))),
            route(TO_LANDING, LinkState::Known, None),
        ]));
        Self { keyring, edge, records }
    }

    /// The token of a link that earns.
    pub(in crate::http) fn link(&self) -> String {
        self.link_of(EARNS)
    }
    fn link_of(&self, bits: u64) -> String {
        let claim = LinkClaim { affiliate: AffiliateId::from_bits(bits), link: LinkId::from_bits(bits) };
        self.keyring.sign_link(&claim)
    }
    pub(in crate::http) fn wait_days(&self, days: i64) {
        let clock = &self.edge.clock;
        clock.set(clock.now() + chrono::TimeDelta::days(days));
    }

    /// A person with Firefox follows a link; headers given replace his.
    pub(in crate::http) fn follow(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask("GET", &format!("{PREFIX}{path}"), headers)
    }
    fn ask(&self, method: &str, uri: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(uri).body(()).expect("a request");
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(FIREFOX));
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a name");
            request.headers_mut().insert(name, value.parse().expect("a value"));
        }
        Answer(self.edge.handle(&request, "203.0.113.9".parse().expect("an address")))
    }
    pub(in crate::http) fn consent(
        &self,
        token: &str,
        origin: &str,
        headers: &[(&str, &str)],
    ) -> Response<Full<Bytes>> {
        let headers = [headers, &[("origin", origin)]].concat();
        self.ask("POST", &format!("{}?cfoil={token}", consent::PATH), &headers).0
    }

    pub(in crate::http) fn click_claim(&self, token: &str) -> ClickClaim {
        self.keyring.verify_click(token).expect("a click token")
    }
    pub(in crate::http) fn cookie_claim(&self, headers: &HeaderMap) -> Option<VisitorClaim> {
        let line = headers.get(SET_COOKIE)?.to_str().ok()?;
        let (value, _) = line.strip_prefix("counterfoil=")?.split_once(';')?;
        self.keyring.verify_visitor(value).ok()
    }
    fn visitor(&self, answer: &Answer) -> VisitorClaim {
        self.cookie_claim(answer.0.headers()).expect("a cookie")
    }
    fn cookie_of(&self, claim: &VisitorClaim) -> String {
        format!("x=y; counterfoil={}", self.keyring.sign_visitor(claim))
    }
    fn last_record(&self) -> ClickRecord<'static> {
        let records = self.records.kept.lock().expect("no panic");
        own(ClickRecord::decode(records.last().expect("a record")).expect("a click"))
    }
    fn recorded(&self) -> usize {
        self.records.kept.lock().expect("no panic").len()
    }
}

fn own(record: ClickRecord<'_>) -> ClickRecord<'static> {
    let ClickRecord { click, visitor, verdict, new_visitor, unique, gpc, paid_ad, subs } = record;
    let subs = subs.map(|sub| sub.map(|value| value.into_owned().into()));
    ClickRecord { click, visitor, verdict, new_visitor, unique, gpc, paid_ad, subs }
}

#[test]
fn a_person_on_a_good_link_arrives_with_token_and_cookie() {
    let stage = Stage::new();
    let answer = stage.follow(&stage.link(), &[]);
    assert_eq!(answer.0.status(), StatusCode::FOUND);
    let token = answer.token();
    assert_eq!(answer.location(), format!("{PAGE}&cfoil={token}"));
    let headers = answer.0.headers();
    assert_eq!(headers[CACHE_CONTROL], "no-store");
    assert_eq!(headers["x-robots-tag"], "noindex");
    assert_eq!(headers[REFERRER_POLICY], "no-referrer-when-downgrade");
    let cookie = answer.cookie().expect("a cookie");
    let attributes = "; Path=/; Max-Age=7776000; Secure; HttpOnly; SameSite=Lax; Domain=example.com";
    assert!(cookie.starts_with("counterfoil=") && cookie.ends_with(attributes), "{cookie}");
    // Token, cookie and record tell of the same click.
    let ClickClaim { click, visitor } = stage.click_claim(&token);
    assert_eq!(stage.visitor(&answer), VisitorClaim { visitor, first: click, last: click });
    let expected = ClickRecord {
        click,
        visitor: Some(visitor),
        verdict: Verdict::Human,
        new_visitor: true,
        unique: true,
        gpc: false,
        paid_ad: false,
        subs: Default::default(),
    };
    assert_eq!(stage.last_record(), expected);
    assert_eq!((click.affiliate, click.link), (AffiliateId::from_bits(EARNS), LinkId::from_bits(EARNS)));
    assert_eq!((click.id.0.get_version_num(), visitor.0.get_version_num()), (7, 7));
    let age = stage.edge.clock.millis() - click.id.millis();
    assert!((0..60_000).contains(&age), "{age}");
}

#[test]
fn a_click_on_a_paid_ad_is_recorded_as_one() {
    let stage = Stage::new();
    for (query, paid_ad) in [
        ("?utm_source=google&gclid=Cj0K", true),
        ("?sub1=x&msclkid=5c9d", true),
        ("&gbraid=0AAA", true),
        ("?fbclid=IwAR", false),
        ("?utm_source=google", false),
        ("", false),
    ] {
        let answer = stage.follow(&format!("{}{query}", stage.link()), &[]);
        assert_eq!(stage.last_record().paid_ad, paid_ad, "{query}");
        let id = query.split('&').next_back().filter(|last| last.contains("clid") || last.contains("braid"));
        assert!(id.is_none_or(|id| answer.location().contains(id.trim_start_matches('?'))), "{query}");
    }
}

#[test]
fn a_visitor_who_comes_back_keeps_his_name_and_first_click() {
    let stage = Stage::new();
    let first = stage.visitor(&stage.follow(&stage.link(), &[]));
    let again = stage.follow(&stage.link_of(TO_LANDING), &[("cookie", &stage.cookie_of(&first))]);
    let last = stage.click_claim(&again.token()).click;
    assert_eq!(stage.visitor(&again), VisitorClaim { visitor: first.visitor, first: first.first, last });
    assert_ne!(last.id, first.last.id);
    let record = stage.last_record();
    assert_eq!((record.visitor, record.new_visitor, record.unique), (Some(first.visitor), false, false));
}

#[test]
fn a_cookie_that_is_not_ours_makes_nobody_known() {
    let stage = Stage::new();
    let good = stage.cookie_of(&stage.visitor(&stage.follow(&stage.link(), &[])));
    let click_token = stage.follow(&stage.link(), &[]).token();
    for bad in
        [&good[..good.len() - 1], &format!("{good}A"), "counterfoil=", &format!("counterfoil={click_token}")]
    {
        stage.follow(&stage.link(), &[("cookie", bad)]);
        assert!(stage.last_record().unique, "{bad}");
    }
    stage.follow(&stage.link(), &[("cookie", &good)]);
    assert!(!stage.last_record().unique);
}

#[test]
fn who_is_no_person_is_redirected_without_token_or_cookie() {
    let stage = Stage::new();
    let known = stage.visitor(&stage.follow(&stage.link(), &[]));
    let table = [
        ("GET", ("user-agent", "Twitterbot/1.0"), Verdict::Bot),
        ("GET", ("user-agent", ""), Verdict::Bot),
        ("HEAD", ("accept", "*/*"), Verdict::Head),
        ("HEAD", ("sec-purpose", "prefetch"), Verdict::Head),
        ("GET", ("sec-fetch-dest", "image"), Verdict::Subresource),
        ("GET", ("sec-fetch-dest", "iframe"), Verdict::Subresource),
        ("GET", ("sec-fetch-dest", "script"), Verdict::Subresource),
    ];
    for (method, header, verdict) in table {
        let uri = format!("{PREFIX}{}?sub1=kept", stage.link());
        let answer = stage.ask(method, &uri, &[header]);
        assert_eq!((answer.0.status(), answer.location()), (StatusCode::FOUND, PAGE), "{header:?}");
        assert!(answer.is_bare(), "{header:?}");
        let record = stage.last_record();
        assert_eq!((record.verdict, record.visitor, record.unique), (verdict, None, false), "{header:?}");
        assert_eq!(record.subs[0].as_deref(), Some("kept"));
        // A visitor known before stays named, but his cookie is left alone.
        let answer = stage.ask(method, &uri, &[header, ("cookie", &stage.cookie_of(&known))]);
        assert!(answer.is_bare(), "{header:?}");
        assert_eq!(stage.last_record().visitor, Some(known.visitor), "{header:?}");
    }
}

#[test]
fn a_prefetch_is_refused_so_that_the_persons_click_comes_to_us() {
    let stage = Stage::with(CookieMode::Always, 3, &[]);
    let purposes = [
        ("sec-purpose", "prefetch"),
        ("sec-purpose", "prefetch;prerender"),
        ("purpose", "prefetch"),
        ("x-purpose", "preview"),
        ("x-moz", "prefetch"),
    ];
    let links = [stage.link(), stage.link_of(SUSPENDED), stage.link_of(NOT_YET_KNOWN), "bad".to_owned()];
    for purpose in purposes {
        for link in &links {
            // A program's prefetch, or one for a part of a page, is a prefetch first.
            for more in [("accept", "*/*"), ("user-agent", "Twitterbot/1.0"), ("sec-fetch-dest", "image")] {
                let (before, answer) = (stage.recorded(), stage.follow(link, &[purpose, more]).0);
                assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{purpose:?} {link}");
                assert_eq!(answer.headers()[CACHE_CONTROL], "no-store");
                for name in ["location", "set-cookie", "retry-after"] {
                    assert!(!answer.headers().contains_key(name), "{name}: {purpose:?} {link}");
                }
                let kept = link != "bad";
                assert_eq!(stage.recorded() - before, usize::from(kept), "{purpose:?} {link}");
                assert!(!kept || stage.last_record().verdict == Verdict::Prefetch, "{purpose:?} {link}");
            }
        }
    }
    assert_eq!(stage.edge.counts().dropped(ClickDrop::BadLink), 15);
    assert_eq!(stage.edge.counts().received(), stage.edge.counts().settled());
    // None of them took anything of what the address may click in the minute.
    for _ in 0..3 {
        assert!(!stage.follow(&stage.link(), &[]).is_bare());
    }
    assert!(stage.follow(&stage.link(), &[]).is_bare());
}

#[test]
fn a_flood_is_redirected_and_recorded_as_one() {
    let stage = Stage::with(CookieMode::Always, 3, &["203.0.113.0/24"]);
    let from = |client: &str| stage.follow(&stage.link(), &[("x-forwarded-for", client)]);
    for _ in 0..3 {
        assert!(!from("198.51.100.1").is_bare());
    }
    assert!(from("198.51.100.1").is_bare());
    assert!(from("10.1.1.1, 198.51.100.1").is_bare());
    assert_eq!(stage.last_record().verdict, Verdict::Flood);
    assert!(!from("198.51.100.2").is_bare());
    stage.wait_days(1);
    assert!(!from("198.51.100.1").is_bare());
}

#[test]
fn a_browser_that_asks_for_privacy_gets_a_token_but_no_cookie() {
    let stage = Stage::new();
    let answer = stage.follow(&stage.link(), &[("sec-gpc", "1")]);
    assert_eq!(answer.cookie(), None);
    let claim = stage.click_claim(&answer.token());
    let record = stage.last_record();
    assert_eq!((record.visitor, record.gpc, record.unique), (Some(claim.visitor), true, true));
    assert!(stage.follow(&stage.link(), &[("sec-gpc", "0")]).cookie().is_some());
}

#[test]
fn without_leave_no_cookie_is_set() {
    for mode in [CookieMode::OnConsent, CookieMode::Never] {
        let stage = Stage::with_mode(mode);
        let answer = stage.follow(&stage.link(), &[]);
        assert_eq!(answer.cookie(), None);
        let claim = stage.click_claim(&answer.token());
        assert_eq!(stage.last_record().visitor, Some(claim.visitor));
    }
}

#[test]
fn a_bad_link_leads_to_the_landing_page_and_is_only_counted() {
    let stage = Stage::new();
    let link = stage.link();
    let stranger = Keyring::new("k1", &[("k1".into(), vec![2; 32])], &[]).expect("a keyring");
    let claim = LinkClaim { affiliate: AffiliateId::from_bits(EARNS), link: LinkId::from_bits(EARNS) };
    let token = stage.follow(&link, &[]).token();
    let (before, counts) = (stage.recorded(), stage.edge.counts());
    let bad = [
        "",
        "/",
        "x",
        "%00",
        "..",
        "../r",
        &link[1..],
        &format!("/{link}"),
        &format!("%20{link}"),
        &format!("{}.", &link[1..]),
        &stranger.sign_link(&claim),
        &token,
        &"A".repeat(1_500),
        &link.to_lowercase(),
        "%ff",
        "%0d%0aSet-Cookie:%20a=b",
    ];
    for path in bad {
        let answer = stage.follow(&format!("{path}?to=/deep&utm_source=x&cfoil=forged"), &[]);
        assert_eq!(answer.0.status(), StatusCode::FOUND, "{path}");
        assert_eq!(answer.location(), format!("{LANDING}?utm_source=x"), "{path}");
        assert_eq!(answer.cookie(), None, "{path}");
    }
    assert_eq!(stage.recorded(), before);
    assert_eq!(counts.dropped(ClickDrop::BadLink), bad.len() as u64);
    assert_eq!(counts.received(), counts.settled());
}

#[test]
fn a_link_with_something_of_its_text_behind_it_is_the_link() {
    let stage = Stage::new();
    let link = stage.link();
    let escaped = link.replace('_', "%5F").replace('-', "%2D").replace('E', "%45");
    let table = [
        ("", ""),
        (".", ""),
        (")", ""),
        ("/", ""),
        ("//evil.test/", ""),
        ("%22", ""),
        ("%0d%0aSet-Cookie:%20a=b", ""),
        ("&utm_source=x", "&utm_source=x"),
        (".&utm_source=x&sub1=a", "&utm_source=x"),
        ("/?utm_source=x?sub1=a", "&utm_source=x"),
        ("&amp;utm_source=x", "&utm_source=x"),
        ("%26utm_source%3Dx%26sub1%3Da", "&utm_source=x"),
        ("%3Futm_source=x", "&utm_source=x"),
    ];
    for (tail, query) in table {
        for link in [&link, &escaped] {
            let answer = stage.follow(&format!("{link}{tail}"), &[]);
            assert_eq!(answer.location(), format!("{PAGE}{query}&cfoil={}", answer.token()), "{link}{tail}");
            assert!(answer.cookie().is_some());
            assert_eq!(stage.last_record().verdict, Verdict::Human);
            assert_eq!(stage.last_record().subs[0].is_some(), tail.contains("sub1"), "{link}{tail}");
        }
    }
    assert_eq!(stage.edge.counts().dropped(ClickDrop::BadLink), 0);
}

#[test]
fn a_link_that_does_not_earn_leads_to_the_landing_page() {
    let stage = Stage::new();
    for (link, verdict) in [(SUSPENDED, Verdict::AffiliateNotActive), (DISABLED, Verdict::LinkDisabled)] {
        let answer = stage.follow(&format!("{}?to=/deep", stage.link_of(link)), &[]);
        assert_eq!(answer.location(), LANDING);
        assert!(answer.is_bare());
        assert_eq!((stage.last_record().verdict, stage.last_record().visitor), (verdict, None));
        assert_eq!(stage.edge.counts().journaled(verdict), 1);
    }
}

#[test]
fn a_signed_link_not_yet_known_may_still_earn() {
    let stage = Stage::new();
    let answer = stage.follow(&format!("{}?to=/deep", stage.link_of(NOT_YET_KNOWN)), &[]);
    assert_eq!(answer.location(), format!("{LANDING}?cfoil={}", answer.token()));
    assert!(answer.cookie().is_some());
    assert_eq!(stage.last_record().verdict, Verdict::UnknownLink);
    // A link under another affiliate's name is not the link that we know.
    let claim = LinkClaim { affiliate: AffiliateId::from_bits(SUSPENDED), link: LinkId::from_bits(EARNS) };
    stage.follow(&stage.keyring.sign_link(&claim), &[]);
    assert_eq!(stage.last_record().verdict, Verdict::UnknownLink);
}

#[test]
fn parameters_lead_deeper_pass_through_or_are_kept() {
    let stage = Stage::new();
    let answer = stage
        .follow(&format!("{}?utm_source=x&to=/deep?x=y&sub1=news&sub3=a%20b&sub5=%0a", stage.link()), &[]);
    let token = answer.token();
    assert_eq!(answer.location(), format!("https://www.example.com/deep?x=y&utm_source=x&cfoil={token}"));
    let subs = stage.last_record().subs;
    let subs: Vec<_> = subs.iter().map(Option::as_deref).collect();
    assert_eq!(subs, [Some("news"), None, Some("a b"), None, None]);
    let answer = stage.follow(&format!("{}?to=//evil.test/&cfoil=forged", stage.link_of(TO_LANDING)), &[]);
    assert_eq!(answer.location(), format!("{LANDING}?cfoil={}", answer.token()));
}

#[test]
fn sub_ids_of_networks_are_kept_and_what_is_not_kept_is_counted() {
    let stage = Stage::new();
    let long = "IwAR2-_x".repeat(40);
    let query =
        format!("sub1={long}&sub2=caf%C3%A9&sub3=%7Bgclid%7D&sub4={}&sub5=%%DEST%%&sub1=b", "x".repeat(513));
    stage.follow(&format!("{}?{query}", stage.link()), &[]);
    let subs = stage.last_record().subs;
    let subs: Vec<_> = subs.iter().map(Option::as_deref).collect();
    assert_eq!(subs, [Some(&*long), Some("café"), None, None, None]);
    let dropped = SubDrop::ALL.iter().map(|reason| (*reason, stage.edge.counts().subs_dropped(*reason)));
    let dropped: Vec<_> = dropped.filter(|(_, count)| *count > 0).collect();
    assert_eq!(dropped, [(SubDrop::TooLong, 1), (SubDrop::UnfilledMacro, 2), (SubDrop::Repeated, 1)]);
    // Of a bad link nothing is kept, and nothing of it is missed.
    stage.follow(&format!("bad?{query}"), &[]);
    assert_eq!(stage.edge.counts().subs_dropped(SubDrop::TooLong), 1);
}

#[test]
fn other_methods_and_paths_are_not_clicks() {
    let stage = Stage::new();
    let uri = format!("{PREFIX}{}", stage.link());
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"] {
        let answer = stage.ask(method, &uri, &[]);
        assert_eq!(answer.0.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(answer.0.headers()["allow"], "GET, HEAD");
    }
    assert_eq!(stage.ask("GET", "/r", &[]).0.status(), StatusCode::NOT_FOUND);
    assert_eq!(stage.ask("GET", "/counterfoil.js", &[]).0.status(), StatusCode::OK);
    assert_eq!(stage.ask("GET", consent::PATH, &[]).0.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(stage.edge.counts().received(), 0);
    let paths = ["/r/", "/r/x", "/counterfoil.js", "/counterfoil/consent", "/", "/r", "/rx", "/portal"];
    assert_eq!(paths.map(Edge::answers), [true, true, true, true, false, false, false, false]);
}

#[test]
fn a_click_that_could_not_be_kept_is_credited_all_the_same() {
    let stage = Stage::new();
    for reason in [ClickDrop::JournalBusy, ClickDrop::JournalFailed, ClickDrop::BacklogFull] {
        *stage.records.refuse.lock().expect("no panic") = Some(reason);
        let answer = stage.follow(&stage.link(), &[]);
        assert!(stage.keyring.verify_click(&answer.token()).is_ok() && answer.cookie().is_some());
        assert_eq!(stage.edge.counts().dropped(reason), 1);
    }
    assert_eq!((stage.edge.counts().received(), stage.edge.counts().settled()), (3, 3));
}

#[test]
fn no_request_that_can_be_read_leads_astray() {
    let stage = Stage::new();
    let links = [stage.link(), stage.link_of(SUSPENDED), stage.link_of(NOT_YET_KNOWN), "bad".to_owned()];
    let values = [
        "//evil.test",
        "/\\evil.test",
        "%2f%2fevil.test",
        "/%5cevil.test",
        "https://evil.test",
        "https:evil.test",
        "javascript:alert(1)",
        "/%09/evil.test",
        "/%0d%0aLocation:https://evil.test",
        "%0d%0aSet-Cookie:a=b",
        "/.//evil.test",
        "/x/..//evil.test",
        "@evil.test",
        ":80@evil.test",
        "/%2e%2e//evil.test",
        "/\"<>'`{}|^",
        "%ff%fe",
        "%E2%80%A8",
        "%",
        "%%%",
        "//",
        "/",
        "?//evil.test",
        "%00",
    ];
    // What follows a token, and may begin the query in another way.
    let tails = ["", ".", ")", "/", "%22", "&utm_source=x", "%0d%0aa:b", "//evil.test", "@evil.test"];
    let begins = ["?", "&", "%26", "%3F", "?a=1?", "&amp;"];
    let mut tried = 0;
    for link in &links {
        for (begin, tail) in begins.iter().flat_map(|begin| tails.map(|tail| (begin, tail))) {
            for value in values {
                for name in ["to", "url", "cfoil", "sub1", "to=/ok&to", "%74%6f"] {
                    let uri = format!("{PREFIX}{link}{tail}{begin}{name}={value}");
                    if uri.parse::<http::Uri>().is_err() {
                        continue;
                    }
                    let answer = stage.ask("GET", &uri, &[]);
                    let location = answer.location();
                    assert_eq!(answer.0.status(), StatusCode::FOUND, "{uri}");
                    assert!(
                        location.starts_with("https://www.example.com/") && !location.contains("com//"),
                        "{uri}: {location}"
                    );
                    assert_eq!(
                        answer.0.headers().get_all(SET_COOKIE).iter().count(),
                        usize::from(answer.cookie().is_some())
                    );
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 20_000, "{tried}");
}

#[test]
fn many_clicks_at_once_are_all_counted_and_kept_once() {
    let stage = Stage::with(CookieMode::Always, 1_000, &[]);
    let links = [stage.link(), stage.link_of(SUSPENDED), stage.link_of(NOT_YET_KNOWN), "bad".to_owned()];
    let tokens = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (stage, links, tokens) = (&stage, &links, &tokens);
            scope.spawn(move || {
                for round in 0..5_000 {
                    let agent = if round % 7 == 0 { "Googlebot/2.1" } else { FIREFOX };
                    let answer = stage.follow(&links[(round + thread) % 4], &[("user-agent", agent)]);
                    assert_eq!(answer.0.status(), StatusCode::FOUND);
                    tokens.fetch_add(usize::from(!answer.is_bare()), Ordering::Relaxed);
                }
            });
        }
    });
    let counts = stage.edge.counts();
    assert_eq!((counts.received(), counts.settled()), (20_000, 20_000));
    assert_eq!(counts.dropped(ClickDrop::BadLink), 5_000);
    let records = stage.records.kept.lock().expect("no panic");
    let records: Vec<_> = records.iter().map(|bytes| ClickRecord::decode(bytes).expect("a click")).collect();
    for verdict in Verdict::ALL {
        let kept = records.iter().filter(|record| record.verdict == verdict).count();
        assert_eq!(kept as u64, counts.journaled(verdict), "{verdict}");
    }
    let human = records.iter().filter(|record| record.verdict.is_human()).count();
    assert_eq!(human, tokens.into_inner());
    let ids: HashSet<_> = records.iter().map(|record| record.click.id).collect();
    assert_eq!((ids.len(), records.len()), (15_000, 15_000));
    assert!(counts.journaled(Verdict::Flood) > 0 && counts.journaled(Verdict::Bot) > 0);
}

/// While a lost store is filled again, the directory says for a moment what an affiliate was long ago.
#[test]
fn what_is_known_of_a_link_stands_until_the_directory_is_whole() {
    let stage = Stage::new();
    let known_as = || {
        let routes = stage.edge.routes();
        let claim = LinkClaim { affiliate: AffiliateId::from_bits(EARNS), link: LinkId::from_bits(EARNS) };
        routes.find(&claim).map(|route| route.state)
    };
    let affiliate = AffiliateId::from_bits(EARNS);
    let route = Route { affiliate, state: LinkState::AffiliateNotActive, destination: None };
    let suspended = Routes::from_iter([(LinkId::from_bits(EARNS), route)]);
    stage.edge.take_new_routes(&suspended);
    assert_eq!(known_as(), Some(LinkState::Known));
    stage.edge.take_routes(suspended);
    assert_eq!(known_as(), Some(LinkState::AffiliateNotActive));
}
