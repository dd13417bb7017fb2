//! Browsers that fetch a link ahead of a person, each told as a story that ends with a credited signup: what they
//! fetched is refused, and the person's click comes to us.

use crate::support::app::{BEGINNING, Partner, TestApp, bearer};
use crate::support::browser::Browser;
use crate::support::company::Company;
use crate::support::tools;
use axum::Router;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use serde_json::json;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// How long a browser may take for something, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_mins(1);
const PREFETCHES: &str = "counterfoil_clicks_journaled_total{verdict=\"prefetch\"}";
const ACCOUNT: &str = "acct_ahead";

/// The speculation rules of WordPress since 6.8, as it writes them into every page by default.
const WORDPRESS: &str = r#"<script type="speculationrules">{"prefetch":[{"source":"document","where":{"and":[
    {"href_matches":"/*"},
    {"not":{"href_matches":["/wp-*.php","/wp-admin/*","/wp-content/uploads/*","/wp-content/*",
        "/wp-content/plugins/*","/wp-content/themes/twentytwentyfive/*","/*\\?(.+)"]}},
    {"not":{"selector_matches":"a[rel~=\"nofollow\"]"}},
    {"not":{"selector_matches":".no-prefetch, .no-prefetch a"}}]},"eagerness":"conservative"}]}</script>"#;

/// Rules that make a browser go ahead at once.
fn at_once(action: &str, url: &str) -> String {
    let rules = json!({action: [{"source": "list", "urls": [url], "eagerness": "immediate"}]});
    format!(r#"<script type="speculationrules">{rules}</script>"#)
}

fn link_element(url: &str) -> String {
    format!(r#"<link rel="prefetch" href="{url}">"#)
}

/// A server with a partner, and the company's site without TLS: browsers fetch nothing ahead under a certificate that
/// nobody vouches for. `joins`: its plans page presses its own button.
async fn start(joins: bool) -> (TestApp, Partner) {
    let company = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let host = company.local_addr().expect("it is bound");
    let program = format!("[program]\nlanding = \"http://{host}/plans\"\ndestinations = [\"{host}\"]\n");
    let app = TestApp::start_with("sqlite", &program).await;
    let partner = app.partner("ana").await;
    Company::opens_plainly(&app, company, BEGINNING, ACCOUNT, joins);
    (app, partner)
}

/// Answers when a prefetch has come.
async fn wait_for_a_prefetch(internal: SocketAddr) {
    let begun = Instant::now();
    loop {
        let text = crate::support::http::get(internal, "/metrics", &bearer()).await.text();
        let found = text.lines().find_map(|line| line.strip_prefix(PREFETCHES)?.trim().parse::<u64>().ok());
        if found.is_some_and(|found| found > 0) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "no prefetch came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A partner's site: a page, and `/go/x`, which leads to the link. Answers where it is.
async fn partners_site(link: &str, internal: SocketAddr, page: impl Fn(SocketAddr) -> String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let (page, link) = (Html(page(address)), link.to_owned());
    let go = async move || {
        let headers = [(LOCATION, link), (CACHE_CONTROL, "no-cache".to_owned())];
        (StatusCode::FOUND, headers).into_response()
    };
    let prefetched = async move || {
        wait_for_a_prefetch(internal).await;
        "yes"
    };
    let router = Router::new()
        .route("/", get(async move || page))
        .route("/go/x", get(go))
        .route("/prefetched", get(prefetched));
    tokio::spawn(axum::serve(listener, router).into_future());
    address
}

/// The signup is credited to the partner by one click of a person.
async fn is_credited(app: &TestApp, partner: &Partner) {
    app.settles().await;
    let begun = Instant::now();
    let account = loop {
        let account = app.get(&format!("/v1/accounts/{ACCOUNT}")).await.expect_status(200).json();
        // What was taken with a 202 is decided soon after.
        if !account["attribution"].is_null() || begun.elapsed() > PATIENCE {
            break account;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(account["attribution"]["affiliate_id"], json!(partner.id), "{account}");
    assert_eq!(account["attribution"]["via"], "click", "{account}");
    let path = format!("/v1/stats?affiliate_id={}&from=2026-01-01&to=2026-01-01", partner.id);
    let clicks = app.get(&path).await.expect_status(200).json()["clicks"].clone();
    assert_eq!(clicks["human"], json!(1), "{clicks}");
    assert!(clicks["by_reason"]["prefetch"].as_u64().is_some_and(|count| count > 0), "{clicks}");
    assert_eq!(app.metric("counterfoil_clicks_dropped_total{reason=\"bad_link\"}").await, 0);
}

/// Somebody with Chromium looks at a partner's page until the browser has fetched ahead, follows the link, and signs up.
/// `head` makes the page's head of the link followed, an address or `/go/x`.
async fn chromium_goes_ahead(direct: bool, head: impl Fn(&str) -> String, at_once: bool) {
    let (app, partner) = start(false).await;
    let followed = if direct { partner.link.clone() } else { "/go/x".to_owned() };
    let page = |_| format!(r#"<!doctype html>{}<a href="{followed}">The best plans</a>"#, head(&followed));
    let site = partners_site(&partner.link, app.internal, page).await;
    let visitor = Browser::start().await;
    visitor.goto(&format!("http://{site}/")).await;
    if at_once {
        wait_for_a_prefetch(app.internal).await;
    }
    visitor.press("The best plans").await;
    visitor.press("Join").await;
    visitor.sees("Welcome aboard: 201").await;
    is_credited(&app, &partner).await;
}

#[tokio::test]
async fn chromium_prefetches_the_link_and_the_click_is_credited() {
    chromium_goes_ahead(true, |url| at_once("prefetch", url), true).await;
}

#[tokio::test]
async fn chromium_prerenders_the_link_and_the_click_is_credited() {
    chromium_goes_ahead(true, |url| at_once("prerender", url), true).await;
}

#[tokio::test]
async fn chromium_prefetches_what_leads_to_the_link_and_the_click_is_credited() {
    chromium_goes_ahead(false, |url| at_once("prefetch", url), true).await;
}

#[tokio::test]
async fn chromium_prerenders_what_leads_to_the_link_and_the_click_is_credited() {
    chromium_goes_ahead(false, |url| at_once("prerender", url), true).await;
}

#[tokio::test]
async fn chromium_prefetches_by_wordpress_rules_and_the_click_is_credited() {
    chromium_goes_ahead(false, |_| WORDPRESS.to_owned(), false).await;
}

#[tokio::test]
async fn chromium_prefetches_by_a_link_element_and_the_click_is_credited() {
    chromium_goes_ahead(true, link_element, true).await;
}

/// A running Firefox; gone when dropped.
struct Firefox {
    child: Child,
    _profile: tempfile::TempDir,
}

impl Firefox {
    fn open(url: &str) -> Self {
        let profile = tempfile::tempdir().expect("a directory");
        // Nothing is asked of anybody but the tests.
        let preferences = "user_pref(\"network.proxy.no_proxies_on\", \"127.0.0.1\");\n\
             user_pref(\"network.proxy.allow_hijacking_localhost\", false);\n\
             user_pref(\"network.proxy.type\", 1);\n\
             user_pref(\"network.proxy.http\", \"127.0.0.1\");\nuser_pref(\"network.proxy.http_port\", 9);\n\
             user_pref(\"network.proxy.ssl\", \"127.0.0.1\");\nuser_pref(\"network.proxy.ssl_port\", 9);\n\
             user_pref(\"browser.aboutwelcome.enabled\", false);\n\
             user_pref(\"datareporting.policy.dataSubmissionEnabled\", false);\n";
        std::fs::write(profile.path().join("user.js"), preferences).expect("a file");
        let child = Command::new(tools::firefox())
            .args(["--headless", "--no-remote", "--profile"])
            .arg(profile.path())
            .arg(url)
            .env("HOME", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("firefox-esr starts");
        Self { child, _profile: profile }
    }
}

impl Drop for Firefox {
    fn drop(&mut self) {
        // Its helpers end with it.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test]
async fn firefox_prefetches_the_link_and_the_click_is_credited() {
    let (app, partner) = start(true).await;
    // The page follows its link once the browser has fetched ahead.
    let page = |_| {
        format!(
            r#"<!doctype html><title>Partner</title>{}<a href="{}">The best plans</a><script>
            addEventListener("load", () => fetch("/prefetched").then(() => document.querySelector("a").click()));
            </script>"#,
            link_element(&partner.link),
            partner.link
        )
    };
    let site = partners_site(&partner.link, app.internal, page).await;
    let _firefox = Firefox::open(&format!("http://{site}/"));
    let begun = Instant::now();
    while app.get(&format!("/v1/accounts/{ACCOUNT}")).await.status != 200 {
        assert!(begun.elapsed() < PATIENCE, "nobody signed up:\n{}", app.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    is_credited(&app, &partner).await;
}
