//! The staff's pages from outside: who may do what, what is refused, what is shown, and that all of it is text.

use crate::support::app::{TestApp, Visitor};
use crate::support::http::{self, Answer};
use counterfoil::for_tests::Door;
use counterfoil::for_tests::Role;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const PASSWORD: &str = "seven wet towels";

/// A form's fields.
type Fields<'a> = &'a [(&'a str, &'a str)];
/// A request's headers.
type Headers = Vec<(String, String)>;

/// Somebody's browser, signed in.
pub struct Browser {
    at: SocketAddr,
    cookie: String,
    csrf: String,
}

impl Browser {
    fn headers(&self) -> Vec<(String, String)> {
        vec![("cookie".into(), self.cookie.clone())]
    }
    pub async fn get(&self, path: &str) -> Answer {
        http::get(self.at, path, &self.headers()).await
    }
    /// Sends a form with a file as the page would.
    pub async fn upload(&self, path: &str, fields: Fields<'_>, file: &str) -> Answer {
        let part = |head: &str, content: &str| {
            format!("--of-the-form\r\ncontent-disposition: form-data; {head}\r\n\r\n{content}\r\n")
        };
        let token = [("csrf", self.csrf.as_str())];
        let fields = fields.iter().chain(&token);
        let mut body: String = fields.map(|(name, value)| part(&format!("name=\"{name}\""), value)).collect();
        let name = if file.is_empty() { "" } else { "report.csv" };
        body += &part(&format!("name=\"report\"; filename=\"{name}\""), file);
        body += "--of-the-form--\r\n";
        let mut headers = self.headers();
        headers.push(("origin".into(), format!("http://{}", self.at)));
        headers.push(("content-type".into(), "multipart/form-data; boundary=of-the-form".into()));
        http::send("POST", self.at, path, &headers, body)
            .await
            .unwrap_or_else(|| panic!("no answer to {path}"))
    }
    /// Sends a form as the page would.
    pub async fn send(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut fields = fields.to_vec();
        fields.push(("csrf", &self.csrf));
        form(self.at, path, &fields, &self.headers()).await
    }
}

async fn form(at: SocketAddr, path: &str, fields: &[(&str, &str)], headers: &[(String, String)]) -> Answer {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let mut headers = headers.to_vec();
    if !headers.iter().any(|(name, _)| name == "origin") {
        headers.push(("origin".into(), format!("http://{at}")));
    }
    headers.push(("content-type".into(), "application/x-www-form-urlencoded".into()));
    http::send("POST", at, path, &headers, body).await.unwrap_or_else(|| panic!("no answer to {path}"))
}

/// Uses a one-time link: chooses a password, and is signed in.
async fn enters(at: SocketAddr, link: &str, home: &str) -> Browser {
    let link: url::Url = link.parse().expect("a link");
    let token = link.query_pairs().find(|(name, _)| name == "token").expect("a token").1.into_owned();
    let shown = http::get(at, &link[url::Position::BeforePath..], &[]).await.expect_status(200);
    assert!(shown.text().contains("password"));
    let fields = [("token", token.as_str()), ("new_password", PASSWORD)];
    let answer = form(at, link.path(), &fields, &[]).await.expect_status(303);
    let cookie = answer.header("set-cookie").expect("a cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    let cookie = cookie.split(';').next().expect("a value").to_owned();
    let mut browser = Browser { at, cookie, csrf: String::new() };
    browser.csrf = csrf_of(&browser.get(home).await.expect_status(200));
    browser
}

/// The token that a page's forms carry.
fn csrf_of(page: &Answer) -> String {
    let text = page.text();
    let (_, rest) = text.split_once("name=\"csrf\" value=\"").expect("a form");
    rest.split('"').next().expect("a value").to_owned()
}

/// A member of staff with a role, signed in.
pub async fn member(app: &TestApp, role: &str) -> Browser {
    let body =
        json!({"name": format!("The {role}"), "email": format!("{role}@company.example"), "role": role});
    let made = app.post("/v1/staff", &body).await.expect_status(201).json();
    enters(app.internal, made["one_time_url"].as_str().expect("a link"), "/admin").await
}

async fn applies(app: &TestApp, name: &str, email: &str) -> String {
    let body = json!({"name": name, "email": email, "company": "Fresh Ltd", "website": "https://fresh.example",
        "promotion": "Videos", "paypal_email": "pay@partners.example"});
    let made = app.post("/v1/affiliates", &body).await.expect_status(201).json();
    made["id"].as_str().expect("an id").to_owned()
}

async fn status_of(app: &TestApp, affiliate: &str) -> Value {
    app.get(&format!("/v1/affiliates/{affiliate}")).await.expect_status(200).json()["status"].clone()
}

#[tokio::test]
async fn each_role_may_do_what_its_table_says_and_is_refused_the_rest() {
    let app = TestApp::start().await;
    let partner = app.partner("ann").await;
    app.refers(&partner, "acct").await.expect_status(201);
    let known = app.get(&format!("/v1/affiliates/{}", partner.id)).await.json();
    let profile =
        json!({"name": known["name"], "email": known["email"], "paypal_email": known["paypal_email"]});
    let was = json!({"profile": profile, "code": known["code"], "exempt": false}).to_string();
    let code = known["code"].as_str().expect("a code");
    // Most are forms that would be found wrong or come too late: an allowed one is refused for that.
    let affiliate = "/admin/affiliates/{affiliate_id}";
    let payout = "/admin/payouts/{payout_id}";
    let payment = "/admin/payouts/{payout_id}/items/{item_id}";
    let acts: [(&str, &str, Fields<'_>, &[&str]); 38] = [
        ("/admin/review/{affiliate_id}/approve", "", &[], &["reviewer"]),
        ("/admin/review/{affiliate_id}/reject", "", &[("reason", "no")], &["reviewer"]),
        (affiliate, "/edit", &[("name", ""), ("was", &was)], &["reviewer", "finance"]),
        (affiliate, "/edit", &[("name", "y"), ("code", code), ("was", &was)], &["reviewer"]),
        (affiliate, "/edit", &[("email", "y@x.example"), ("was", &was)], &["finance"]),
        (affiliate, "/edit", &[("paypal_email", "y@x.example"), ("was", &was)], &["finance"]),
        (affiliate, "/mail", &[("sure", "no")], &["reviewer"]),
        (affiliate, "/sign-out", &[], &["reviewer"]),
        (affiliate, "/notes", &[("note", "")], &["reviewer"]),
        (affiliate, "/links", &[("destination", "https://evil.example/")], &["reviewer"]),
        (affiliate, "/links/{link_id}/off", &[("reason", "")], &["reviewer"]),
        (affiliate, "/links/{link_id}/on", &[], &["reviewer"]),
        (affiliate, "/lines", &[("amount", "0"), ("line_key", "k")], &["finance"]),
        (affiliate, "/lines/{line_key}/take-back", &[], &["finance"]),
        (affiliate, "/step/suspend", &[("reason", "")], &["reviewer"]),
        (affiliate, "/step/reinstate", &[], &["reviewer"]),
        (affiliate, "/step/close", &[("reason", "x"), ("sure", "yes")], &[]),
        ("/admin/accounts/{account_id}/judge", "", &[("judgement", "hold"), ("reason", "")], &["reviewer"]),
        ("/admin/accounts/{account_id}/credit", "", &[("affiliate", "x")], &["reviewer"]),
        ("/admin/claims/{claim_id}", "", &[("decision", "grant")], &["reviewer"]),
        (affiliate, "/payouts", &[("clearance", "released")], &["finance"]),
        (affiliate, "/paid-elsewhere", &[("elsewhere", "")], &["finance"]),
        ("/admin/payouts", "", &[("month", "2026-03")], &["finance"]),
        ("/admin/payouts/opening", "", &[("through", "")], &["finance"]),
        (payout, "/approve", &[("hash", "x"), ("looked", "yes")], &["finance"]),
        (payout, "/discard", &[("discard_reason", "x")], &["finance"]),
        (payout, "/export", &[("part", "1")], &["finance"]),
        (payout, "/paid", &[("paid_on", "2026-01-01"), ("paid_reason", "x")], &["finance"]),
        (payout, "/submit", &[], &["finance"]),
        (payout, "/report", &[], &["finance"]),
        (payout, "/report/apply", &[("hash", "x"), ("kept", "")], &["finance"]),
        (payment, "/seen", &[("seen_reason", "x")], &["finance"]),
        (payment, "/withdraw", &[("withdraw_reason", "x")], &["finance"]),
        (payment, "/paid", &[("paid_on", "2026-01-01"), ("paid_reason", "x")], &["finance"]),
        (payment, "/resolve", &[("outcome", "not_paid"), ("resolve_reason", "x")], &["finance"]),
        ("/admin/runs", "", &[("kind", "run"), ("as_of", "never")], &["finance"]),
        ("/admin/members", "", &[("name", "")], &[]),
        ("/admin/members/{staff_id}", "", &[("change", "disable")], &[]),
    ];
    let [_, table] = counterfoil::for_tests::tables();
    let is_tried = |path: &str| {
        let steps = ["suspend", "reinstate", "close"].map(|step| path.replace("{step}", step));
        steps.iter().all(|path| acts.iter().any(|(begin, end, ..)| format!("{begin}{end}") == *path))
    };
    for row in table.iter().filter(|row| matches!(row.door, Door::Permitted(_))) {
        assert!(row.method == "GET" || is_tried(row.path), "{} is tried by each role", row.path);
    }
    let named = |path: &str| {
        path.replace("{affiliate_id}", &partner.id)
            .replace("{account_id}", "acct")
            .replace("{link_id}", "lnk_0000000000001")
            .replace("{line_key}", "line-1")
            .replace("{claim_id}", "clm_0000000000001")
            .replace("{staff_id}", "stf_0000000000001")
            .replace("{month}", "2026-03")
            .replace("{year}", "2026")
            .replace("{payout_id}", "pay_2026-03-1")
            .replace("{item_id}", "pay_2026-03-1_0000000000001")
    };
    for row in &table {
        let answer = match row.method {
            "GET" => http::get(app.internal, &named(row.path), &[]).await,
            _ => form(app.internal, &named(row.path), &[], &[]).await,
        };
        let asks = answer.header("location").is_some_and(|to| to.starts_with("/admin/login"));
        assert_eq!(asks, row.door != Door::Open, "{} {} is asked for by nobody", row.method, row.path);
    }
    for (role, code) in Role::ALL.map(|role| (role, role.code())) {
        let browser = member(&app, code).await;
        let at = named(affiliate);
        for row in table.iter().filter(|row| row.method == "GET") {
            let refused = browser.get(&named(row.path)).await.status == 403;
            assert_eq!(refused, !row.door.lets_in(role), "{code} looks at {}", row.path);
        }
        for (begin, end, fields, roles) in &acts {
            let path = format!("{}{}", named(begin), named(end));
            if code == "admin" && *end == "/step/close" {
                continue; // It would be closed.
            }
            let answer = if path.contains("/report") {
                browser.upload(&path, fields, "").await
            } else {
                browser.send(&path, fields).await
            };
            if code != "admin" && !roles.contains(&code) {
                assert_eq!(answer.status, 403, "{code} {path}");
            } else {
                assert!([303, 404, 409, 422].contains(&answer.status), "{code} {path}: {}", answer.status);
            }
        }
        let role = code;
        // Who may not do it is not shown the button; lists are saved by who may.
        let page = browser.get(&at).await.expect_status(200).text();
        let changes = ["admin", "reviewer"].contains(&role);
        assert_eq!(page.contains("step&#x2f;suspend") || page.contains("/step/suspend"), changes, "{role}");
        assert_eq!(page.contains("/step/close"), role == "admin", "{role}");
        let exports = ["admin", "finance"].contains(&role);
        assert_eq!(page.contains("Add a bonus or a claw-back"), exports, "{role}");
        let csv = browser.get("/admin/affiliates?format=csv").await;
        assert_eq!(csv.status, if exports { 200 } else { 403 }, "{role}");
        let list = browser.get("/admin/affiliates").await.text();
        assert_eq!(list.contains("Export CSV"), exports, "{role}");
        let form = browser.get(&format!("{at}/edit")).await;
        assert_eq!(form.status, if role == "read_only" { 403 } else { 200 }, "{role}");
        if form.status == 200 {
            let form = form.text();
            assert_eq!(form.contains("id=\"email\""), exports, "{role}");
            assert_eq!(form.contains("id=\"paypal_email\""), exports, "{role}");
            assert_eq!(form.contains("id=\"name\""), changes, "{role}");
        }
        assert_eq!(page.contains("/sign-out\" class"), changes, "{role}");
    }
    assert_eq!(status_of(&app, &partner.id).await, "active");
    let account = app.get("/v1/accounts/acct").await.json();
    assert_eq!((&account["held"], &account["affiliate_id"]), (&json!(false), &json!(partner.id)));
}

#[tokio::test]
async fn a_form_counts_only_from_the_own_page_of_the_same_session() {
    let app = TestApp::start().await;
    let id = applies(&app, "Fresh Face", "fresh@gmail.com").await;
    let (one, other) = (member(&app, "admin").await, member(&app, "reviewer").await);
    let path = format!("/admin/review/{id}/approve");
    let with = |extra: &[(&str, &str)]| {
        let mut headers = one.headers();
        headers.extend(extra.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        headers
    };
    let good = [("csrf", one.csrf.as_str())];
    let table: [(&str, Fields<'_>, Headers, u16); 7] = [
        ("no token", &[], with(&[]), 403),
        ("another's token", &[("csrf", other.csrf.as_str())], with(&[]), 403),
        ("a made-up token", &[("csrf", "AAAA")], with(&[]), 403),
        ("another site", &good, with(&[("origin", "https://evil.example")]), 403),
        ("another site, by the browser", &good, with(&[("sec-fetch-site", "cross-site")]), 403),
        ("nobody", &good, Vec::new(), 303),
        ("an altered cookie", &good, vec![("cookie".into(), format!("{}x", one.cookie))], 303),
    ];
    for (name, fields, headers, status) in table {
        assert_eq!(form(app.internal, &path, fields, &headers).await.status, status, "{name}");
        assert_eq!(status_of(&app, &id).await, "applied", "{name}");
    }
    // A portal's cookie is none here, and no page is shown to nobody.
    let portal = [("cookie".to_owned(), one.cookie.replace("staff", "portal"))];
    for headers in [&portal[..], &[]] {
        let answer = http::get(app.internal, "/admin/affiliates?q=x", headers).await.expect_status(303);
        assert_eq!(answer.header("location"), Some("/admin/login?next=%2Fadmin%2Faffiliates%3Fq%3Dx"));
    }
    one.send(&path, &[]).await.expect_status(303);
    assert_eq!(status_of(&app, &id).await, "approved");
    // Signed out, the cookie is worth nothing.
    one.send("/admin/sign-out", &[]).await.expect_status(303);
    one.get("/admin").await.expect_status(303);
    other.get("/admin").await.expect_status(200);
}

#[tokio::test]
async fn applications_are_reviewed_and_all_of_it_is_on_record() {
    let mut app = TestApp::start().await;
    app.partner("ann").await;
    let first = applies(&app, "Fresh Face", "fresh@gmail.com").await;
    let second = applies(&app, "Ann Else", "ann@partners.example.org").await;
    app.set_now("2026-01-03T10:00:00-05:00").await;
    let browser = member(&app, "reviewer").await;

    let queue = browser.get("/admin/review").await.expect_status(200).text();
    assert!(
        queue.contains("Fresh Face") && queue.contains("Ann Else") && queue.contains("state bad"),
        "{queue}"
    );
    let home = browser.get("/admin").await.expect_status(200).text();
    assert!(home.contains("2 past 48 hours"), "{home}");
    let page = browser.get(&format!("/admin/review/{first}")).await.expect_status(200).text();
    for part in
        ["gmail.com, where anyone", "Videos", "longer than the 48 hours", "Has the same PayPal e-mail as"]
    {
        assert!(page.contains(part), "{part} in {page}");
    }

    let answer = browser.send(&format!("/admin/review/{first}/reject"), &[("reason", " ")]).await;
    assert!(answer.expect_status(422).text().contains("Please say why"));
    assert_eq!(status_of(&app, &first).await, "applied");
    let reason = "We don’t work with <b>videos</b>";
    let rejected = browser.send(&format!("/admin/review/{first}/reject"), &[("reason", reason)]).await;
    let location = rejected.expect_status(303).header("location").expect("a page").to_owned();
    let after = browser.get(&location).await.expect_status(200).text();
    assert!(after.contains("The applicant is told by mail") && after.contains("&lt;b&gt;videos"), "{after}");
    assert_eq!(status_of(&app, &first).await, "rejected");
    browser.send(&format!("/admin/review/{first}/approve"), &[]).await.expect_status(409);

    browser.send(&format!("/admin/review/{second}/approve"), &[]).await.expect_status(303);
    assert_eq!(status_of(&app, &second).await, "approved");
    browser.get(&format!("/admin/review/{second}")).await.expect_status(303);
    let note = [("note", "Spoke with her.\nSounds good.")];
    browser.send(&format!("/admin/affiliates/{second}/notes"), &note).await.expect_status(303);
    let page = browser.get(&format!("/admin/affiliates/{second}")).await.text();
    assert!(page.contains("Sounds good.") && page.contains("The reviewer"), "{page}");

    let audit = browser.get("/admin/audit?q=the+reviewer").await.expect_status(200).text();
    for part in ["Approved an application", "Rejected an application", "Wrote a note"] {
        assert!(audit.contains(part), "{part} in {audit}");
    }
    assert!(browser.get("/admin/audit?q=nowhere+to+be+found").await.text().contains("Nothing matches"));
    assert!(browser.get("/admin/review").await.text().contains("No application waits"));
}

#[tokio::test]
async fn held_referrals_claims_and_credits_are_decided_with_a_reason() {
    let app = TestApp::start_with("sqlite", "[holds]\nmin_seconds_to_signup = 10").await;
    let (ann, bob) = (app.partner("ann").await, app.partner("bob").await);
    app.refers(&ann, "too:fast").await.expect_status(201);
    let browser = member(&app, "reviewer").await;

    let held = browser.get("/admin/held").await.expect_status(200).text();
    assert!(held.contains("too:fast") && held.contains("faster than a person"), "{held}");
    let account = "/admin/accounts/too%3Afast";
    let page = browser.get(account).await.expect_status(200).text();
    for part in ["Eligible, and the latest: credited", "day 0 of 90", "Held since", "Release"] {
        assert!(page.to_lowercase().contains(&part.to_lowercase()), "{part} in {page}");
    }
    let release = [("judgement", "release"), ("reason", "A colleague was quick")];
    browser.send(&format!("{account}/judge"), &release).await.expect_status(303);
    assert!(browser.get("/admin/held").await.text().contains("Nothing is held"));

    let credit = |to: &str| [("affiliate", to.to_owned()), ("credit_reason", "They told us".to_owned())];
    for (to, status) in [("nobody at all", 422), ("", 422), (bob.code.as_str(), 303)] {
        let fields = credit(to);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(browser.send(&format!("{account}/credit"), &fields).await.status, status, "{to}");
    }
    assert_eq!(app.get("/v1/accounts/too:fast").await.json()["affiliate_id"], json!(bob.id));
    let page = browser.get(account).await.text();
    assert!(page.contains("Credited by hand to bob") && page.contains("A colleague was quick"), "{page}");

    // The affiliate claims it back in its portal.
    app.post(&format!("/v1/affiliates/{}/activation", ann.id), &json!({})).await;
    let link = link_in_mail(&app).await;
    let portal = enters(app.public, &link, "/agreement").await;
    let sign = [("signature", "Ann"), ("agree", "yes"), ("version", "2026-01")];
    portal.send("/agreement", &sign).await.expect_status(303);
    let claim = [("company", "Quick & Co"), ("evidence", "=HYPERLINK()"), ("account_hint", "too:fast")];
    portal.send("/portal/claims", &claim).await.expect_status(303);
    let list = browser.get("/admin/claims").await.expect_status(200).text();
    assert!(list.contains("Quick &amp; Co"), "{list}");
    let claims = app.get("/v1/claims").await.json();
    let path = format!("/admin/claims/{}", claims["data"][0]["id"].as_str().expect("an id"));
    assert!(browser.get(&path).await.expect_status(200).text().contains("=HYPERLINK()"));
    let none = [("decision", "grant"), ("reason", "right"), ("account", "not-there")];
    assert!(browser.send(&path, &none).await.expect_status(422).text().contains("No signup of this account"));
    let grant = [("decision", "grant"), ("reason", "You were right"), ("account", "too:fast")];
    // It is another's: the page says so, and asks.
    let asks = browser.send(&path, &grant).await.expect_status(422).text();
    assert!(asks.contains("too:fast is credited to bob"), "{asks}");
    let seen = asks.split_once("name=\"seen\" value=\"").expect("what was shown").1.split('"').next();
    let seen = seen.unwrap_or_default().to_owned();
    let sure: Vec<(&str, &str)> = grant.into_iter().chain([("take", "yes")]).collect();
    browser.send(&path, &sure).await.expect_status(422);
    // What was seen is outdated: it was given to nobody, and back, held.
    let other = [("affiliate_id", Value::Null), ("reason", json!("a slip"))];
    let other: serde_json::Map<_, _> =
        other.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    app.post("/v1/accounts/too:fast/attribution", &Value::Object(other)).await.expect_status(200);
    let back = json!({"affiliate_id": bob.id, "reason": "back"});
    app.post("/v1/accounts/too:fast/attribution", &back).await.expect_status(200);
    app.post("/v1/accounts/too:fast/hold", &json!({"reason": "odd"})).await.expect_status(200);
    let stale: Vec<(&str, &str)> = sure.iter().copied().chain([("seen", seen.as_str())]).collect();
    let asks = browser.send(&path, &stale).await.expect_status(422).text();
    assert!(asks.contains("is held for review"), "{asks}");
    let seen = asks.split_once("name=\"seen\" value=\"").expect("what was shown").1.split('"').next();
    let seen = seen.unwrap_or_default().to_owned();
    let sure: Vec<(&str, &str)> = sure.into_iter().chain([("seen", seen.as_str())]).collect();
    browser.send(&path, &sure).await.expect_status(303);
    browser.send(&path, &sure).await.expect_status(409);
    assert_eq!(app.get("/v1/accounts/too:fast").await.json()["affiliate_id"], json!(ann.id));
    assert!(browser.get(&path).await.text().contains("You were right"));
}

#[tokio::test]
async fn a_link_is_switched_off_after_a_question_and_with_a_reason_and_on_again() {
    let app = TestApp::start().await;
    let ann = app.partner("ann").await;
    let links = format!("/v1/affiliates/{}/links", ann.id);
    let made = app.post(&links, &json!({"label": "Spring <mail>"})).await.expect_status(201).json();
    let listed = app.get(&links).await.json();
    let id = |link: &Value| link["id"].as_str().expect("an id").to_owned();
    let (spring, default) = (id(&made), id(&listed["data"][0]));
    let browser = member(&app, "reviewer").await;
    let at = format!("/admin/affiliates/{}", ann.id);
    let off = |link: &str| format!("{at}/links/{link}/off");
    let page = browser.get(&at).await.expect_status(200).text();
    assert!(page.contains("Signed; their links earn."), "{page}");
    assert!(page.contains(&format!("href=\"{}\"", off(&spring))), "a question comes first: {page}");
    assert!(!page.contains(&off(&default)), "the default link has no switch: {page}");

    let asks = browser.get(&off(&spring)).await.expect_status(200).text();
    assert!(asks.contains("Spring &lt;mail&gt;") && asks.contains("new clicks on it earn nothing"), "{asks}");
    let refused = browser.send(&off(&spring), &[("reason", " ")]).await.expect_status(422).text();
    assert!(refused.contains("Please say why"), "{refused}");
    assert_eq!(app.get(&links).await.json()["data"][1]["disabled_at"], Value::Null);
    let done = browser.send(&off(&spring), &[("reason", "Its page was hacked")]).await.expect_status(303);
    let page = browser.get(done.header("location").expect("a page")).await.expect_status(200).text();
    for part in [
        "An affiliate who can sign in gets a mail",
        "off since",
        "Switched off by The reviewer: Its page was hacked",
        "Signed. 1 of their 2 links is off; what is on earns.",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    assert!(browser.get(&off(&spring)).await.expect_status(200).text().contains("off already"));
    browser.send(&format!("{at}/links/{spring}/on"), &[]).await.expect_status(303);
    let page = browser.get(&at).await.text();
    assert!(page.contains("Signed; their links earn.") && !page.contains("off since"), "{page}");

    // The default link can only be stopped by suspending, also by requests that the page does not offer.
    assert!(browser.get(&off(&default)).await.expect_status(200).text().contains("suspend the affiliate"));
    let refused = browser.send(&off(&default), &[("reason", "spam")]).await.expect_status(422).text();
    assert!(refused.contains("This is their default link"), "{refused}");
    browser.get(&off("lnk_0000000000001")).await.expect_status(404);
    browser.get(&format!("/admin/affiliates/aff_0000000000001/links/{spring}/off")).await.expect_status(404);
    let audit = browser.get("/admin/audit?q=the+reviewer").await.expect_status(200).text();
    assert!(audit.contains("Switched a link off") && audit.contains("Switched a link on again"), "{audit}");
}

/// The one-time link of the newest mail.
async fn link_in_mail(app: &TestApp) -> String {
    let begun = Instant::now();
    loop {
        let files = std::fs::read_dir(app.data_dir().join("outbox"));
        let mails = files.into_iter().flatten().flatten().map(|file| file.path());
        for mail in mails {
            let text = std::fs::read_to_string(mail).unwrap_or_default();
            let text = text.replace("=\r\n", "").replace("=3D", "=");
            let words = text.split_whitespace();
            if let Some(link) = words.into_iter().find(|word| word.contains("/activate?token=")) {
                return link.to_owned();
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "no mail came:\n{}", app.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn every_page_shows_what_there_is_as_text_within_bounds() {
    let mut app = TestApp::start().await;
    let hostile = "<script>alert(1)</script>";
    let body = json!({"name": hostile, "email": "h@evil.example", "company": "=SUM(A1:A9)", "active": true,
        "agreement_accepted_at": "2025-01-01T00:00:00Z", "promotion": "\"><img src=x onerror=alert(1)>"});
    let made = app.post("/v1/affiliates", &body).await.expect_status(201).json();
    let (id, link) =
        (made["id"].as_str().expect("an id"), made["default_link"]["url"].as_str().expect("a link"));
    let mut visitor = Visitor::default();
    visitor.clicks(link).await;
    app.signs_up(&visitor, "acct", "growth").await.expect_status(201);
    app.happens("acct", "e1", "made_up", "2026-01-02T10:00:00-05:00").await;
    app.happens("early", "e1", "activated", "2025-12-02T10:00:00-05:00").await;
    for night in [
        "2026-02-04T05:00:00-05:00",
        "2026-03-04T05:00:00-05:00",
        "2026-04-04T05:00:00-04:00",
        "2026-05-04T05:00:00-04:00",
    ] {
        app.night_of(night).await;
    }
    app.settles().await;
    let browser = member(&app, "admin").await;
    let affiliate = format!("/admin/affiliates/{id}");
    let statement = format!("/admin/months/2026-04/{id}");
    browser.send("/admin/payouts", &[("month", "2026-04")]).await.expect_status(303);
    let pages = [
        "/admin",
        "/admin/review",
        "/admin/affiliates",
        &affiliate,
        &format!("{affiliate}/edit"),
        &format!("{affiliate}/referrals"),
        "/admin/accounts",
        "/admin/accounts?list=waiting&q=ea",
        "/admin/accounts/acct",
        "/admin/accounts/early",
        "/admin/held",
        "/admin/claims?state=all",
        "/admin/months",
        "/admin/months/2026-04",
        "/admin/months/2019-01",
        &statement,
        "/admin/payouts",
        "/admin/payouts?state=draft",
        "/admin/payouts/pay_2026-04-1",
        "/admin/payouts/pay_2026-04-1?status=paid",
        "/admin/payouts/pay_2026-04-1/carried",
        "/admin/payouts/pay_2026-04-1/look-twice",
        "/admin/runs",
        "/admin/figures",
        "/admin/figures?period=90",
        "/admin/figures?period=year",
        "/admin/audit",
        "/admin/members",
        "/admin/me",
    ];
    for path in pages {
        let page = browser.get(path).await.expect_status(200);
        let text = page.text();
        assert!(page.body.len() < 100_000, "{path}: {} bytes", page.body.len());
        assert!(!text.contains("<script>") && !text.contains("<img"), "{path}: {text}");
        assert!(!text.contains("style=") && !text.contains("onclick"), "{path}");
        let policy = page.header("content-security-policy").unwrap_or_default();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(page.header("cache-control"), Some("no-store"), "{path}");
    }
    let shown = |path: &'static str| {
        let browser = &browser;
        async move { browser.get(path).await.text() }
    };
    let account = shown("/admin/accounts/acct").await;
    for part in ["Qualified", "On statements", "growth, first tier", "$99.00"] {
        assert!(account.contains(part), "{part} in {account}");
    }
    assert!(shown("/admin/accounts?q=acct").await.contains(">acct<"));
    assert!(browser.get(&statement).await.text().contains("$99.00"));
    assert!(
        shown("/admin/affiliates?q=evil.example&status=active&sort=-applied")
            .await
            .contains("&lt;script&gt;")
    );

    for (path, part) in [
        ("/admin/affiliates?format=csv", "'=SUM(A1:A9)"),
        ("/admin/months/2026-04?format=csv", "99.00"),
        ("/admin/accounts?format=csv", "acct,Active"),
        ("/admin/figures?period=year&format=csv", "2026-04-01,0,0,0,1,99.00"),
        ("/admin/audit?format=csv", "Brought an affiliate over"),
        ("/admin/payouts?format=csv", "pay_2026-04-1,settled,,0,0.00,1,"),
        ("/admin/payouts/year/2026", "affiliate_id,name,company,email"),
        ("/admin/payouts/pay_2026-04-1/carried?format=csv", ",99.00,no_paypal_email"),
        ("/admin/held?reason=burst", "Nothing matches"),
        ("/admin/held?reason=paid_ad", "Nothing matches"),
    ] {
        let answer = browser.get(path).await.expect_status(200);
        assert!(answer.text().contains(part), "{part} in {}", answer.text());
    }
    let csv = browser.get(&format!("{statement}?format=csv")).await.expect_status(200);
    assert!(csv.header("content-disposition").is_some_and(|name| name.contains("statement-2026-04-")));
    assert!(csv.text().contains("commission,acct,growth,2026-04-01,2026-04,99.00,USD,"), "{}", csv.text());

    // What nobody's page asks for is refused, and never breaks anything.
    for (path, status) in [
        ("/admin/affiliates?sort=secret", 400),
        ("/admin/affiliates?q=%00", 400),
        ("/admin/affiliates?page=0", 400),
        ("/admin/affiliates?q=a&q=b", 400),
        ("/admin/accounts?after=%2e%2e", 404),
        ("/admin/audit?after=zzz", 404),
        ("/admin/figures?period=1000", 400),
        ("/admin/months/2026-13", 404),
        ("/admin/months/2026-04/aff_0000000000009", 404),
        ("/admin/affiliates/aff_0000000000009", 404),
        ("/admin/affiliates/%ff", 404),
        ("/admin/accounts/no%20such", 404),
        ("/admin/members/stf_0000000000009", 404),
        ("/admin/claims/clm_0000000000009", 404),
        ("/admin/payouts?state=paid", 400),
        ("/admin/payouts/pay_2026-04-2", 404),
        ("/admin/payouts/pay_2026-4-1", 404),
        ("/admin/payouts/pay_2026-04-1?after=%2e%2e", 404),
        ("/admin/payouts/pay_2026-04-1?status=lost", 400),
        ("/admin/payouts/pay_2026-04-1/items/pay_2026-04-1_0000000000009", 404),
        ("/admin/payouts/pay_2026-04-2/items/pay_2026-04-1_0000000000009", 404),
        ("/admin/nothing/here", 404),
        ("/admin?done=%3Cb%3E", 200),
    ] {
        assert_eq!(browser.get(path).await.status, status, "{path}");
    }
    for (path, fields, status) in [
        ("/admin/runs", &[("kind", "dry")][..], 200),
        ("/admin/runs", &[("kind", "run"), ("as_of", "2030-01-01 10:00")], 422),
        ("/admin/accounts/acct/judge", &[("judgement", "praise"), ("reason", "x")], 400),
        ("/admin/members", &[("name", "X"), ("email", "reader@company.example"), ("role", "king")], 422),
        ("/admin/members", &[("name", "X"), ("email", "reader@company.example"), ("role", "read_only")], 200),
        ("/admin/members", &[("name", "Y"), ("email", "Reader@company.example"), ("role", "read_only")], 422),
    ] {
        assert_eq!(browser.send(path, fields).await.status, status, "{path} {fields:?}");
    }
}

/// The figure that a page shows under a name.
fn figure(page: &str, name: &str) -> String {
    let (_, rest) =
        page.split_once(&format!("<dt>{name}</dt><dd>")).unwrap_or_else(|| panic!("{name} in {page}"));
    rest.split(['<', ' ']).next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn all_pages_count_the_same_crossings_also_undone_and_late_ones() {
    let mut app = TestApp::start().await;
    let ann = app.partner("ann").await;
    for account in ["kept", "undone_1", "undone_2", "late"] {
        let body = json!({"account_id": account, "plan": "growth", "signed_up_at": "2026-01-01T09:00:00-05:00",
            "code": ann.code, "active": account != "late"});
        app.post("/v1/signups", &body).await.expect_status(201);
    }
    app.night_of("2026-05-04T05:00:00-04:00").await;
    // April is closed with three lines; then two crossings are undone, and one is learned.
    for account in ["undone_1", "undone_2"] {
        app.happens(account, "e1", "suspended", "2026-02-10T10:00:00-05:00").await.expect_status(201);
    }
    app.happens("late", "e1", "activated", "2026-01-02T10:00:00-05:00").await.expect_status(201);
    app.night_of("2026-06-04T05:00:00-04:00").await;
    app.settles().await;
    assert_eq!(app.statements("&month=2026-04").await[0]["lines"].as_array().map(Vec::len), Some(3));

    let admin = member(&app, "admin").await;
    app.post(&format!("/v1/affiliates/{}/activation", ann.id), &json!({})).await;
    let link = link_in_mail(&app).await;
    let portal = enters(app.public, &link, "/agreement").await;
    let sign = [("signature", "Ann"), ("agree", "yes"), ("version", "2026-01")];
    portal.send("/agreement", &sign).await.expect_status(303);

    let home = portal.get("/portal").await.expect_status(200).text();
    let (_, row) = home.split_once("Reached 90 days</th>").expect("a row");
    let row: String = row.split("</tr>").next().unwrap_or_default().split_whitespace().collect();
    assert!(row.starts_with("<tdclass=\"num\">–") && row.contains("countedeachnight"), "{row}");
    assert!(row.ends_with("<tdclass=\"num\">0</td><tdclass=\"num\">2</td>"), "{row}");
    let list = portal.get("/portal/referrals?state=crossed").await.expect_status(200).text();
    assert!(list.contains("2 in all"), "{list}");
    let page = admin.get(&format!("/admin/affiliates/{}", ann.id)).await.expect_status(200).text();
    assert_eq!(figure(&page, "Qualified"), "2");
    assert_eq!(figure(&page, "On statements"), "$198.00");
    let figures = admin.get("/admin/figures?period=90").await.expect_status(200).text();
    assert_eq!((figure(&figures, "Qualified"), figure(&figures, "Signups")), ("2".into(), "0".into()));
    let year = admin.get("/admin/figures?period=year&format=csv").await.expect_status(200).text();
    assert!(year.contains("2026-01-01,0,0,4,0,0.00") && year.contains("2026-04-01,0,0,0,2,297.00"), "{year}");

    // Everybody is shown what was counted last, for a minute at least.
    let body = json!({"account_id": "new", "plan": "growth", "signed_up_at": "2026-06-03T09:00:00-04:00",
        "code": ann.code});
    app.post("/v1/signups", &body).await.expect_status(201);
    let again = admin.get("/admin/figures?period=90").await.expect_status(200).text();
    assert_eq!(figure(&again, "Signups"), "0");
    assert!(again.contains("; as of Jun 4, 2026"), "{again}");

    // The runs are listed, with who asked for them.
    let finance = member(&app, "finance").await;
    finance.send("/admin/runs", &[("kind", "run")]).await.expect_status(303);
    let runs = finance.get("/admin/runs?format=csv").await.expect_status(200).text();
    let lines: Vec<&str> = runs.lines().collect();
    assert_eq!(lines.len(), 4, "{runs}");
    assert!(lines[1].contains(",stf_") && lines[2].contains(",tests,2026-06-03,May 2026,"), "{runs}");
    let sorted = finance.get("/admin/runs?sort=finished&format=csv").await.expect_status(200).text();
    assert_eq!(sorted.lines().nth(3), Some(lines[1]));
    let found = finance.get("/admin/runs?q=finance").await.expect_status(200).text();
    assert!(found.contains("The finance") && found.contains("1 in all"), "{found}");
    assert!(finance.get("/admin/runs?q=nobody").await.text().contains("Nothing matches"));

    // Accounts and the audit log are sorted when asked to be.
    let sorted = finance.get("/admin/accounts?sort=-signed_up&format=csv").await.expect_status(200).text();
    assert!(sorted.lines().nth(1).is_some_and(|line| line.starts_with("new,")), "{sorted}");
    let oldest = finance.get("/admin/audit?sort=at&format=csv").await.expect_status(200).text();
    assert!(oldest.lines().nth(1).is_some_and(|line| line.contains("Brought an affiliate over")), "{oldest}");
    let newest = finance.get("/admin/audit?format=csv").await.expect_status(200).text();
    assert_eq!(newest.lines().last(), oldest.lines().nth(1));
}

#[tokio::test]
async fn staff_see_plans_without_a_rate_and_events_without_effect() {
    let mut app = TestApp::start().await;
    let partner = app.partner("ann").await;
    let mut visitor = Visitor::default();
    visitor.clicks(&partner.link).await;
    for (account, plan) in [("acct_gold", "gold"), ("acct_growth", "growth")] {
        app.signs_up(&visitor, account, plan).await.expect_status(201);
    }
    app.happens("acct_growth", "e1", "upgraded", "2026-01-01T08:00:00-05:00").await.expect_status(200);
    app.happens("nobodys", "e1", "merged.twice", "2026-01-01T09:00:00-05:00").await.expect_status(200);
    app.set_now("2026-01-03T09:00:00-05:00").await;
    let admin = member(&app, "admin").await;
    let home = admin.get("/admin").await.expect_status(200).text();
    assert!(
        home.contains("referral on a plan without a rate") && home.contains("acct_gold on gold"),
        "{home}"
    );
    assert!(home.contains("<span class=\"big\">2</span><strong>events without effect"), "{home}");
    assert!(home.contains("“merged.twice” of nobodys, "), "{home}");
    let doctor = app.get("/v1/doctor").await.expect_status(200).json();
    let said = |check: &str| {
        let findings = doctor["findings"].as_array().expect("a list");
        findings.iter().find(|one| one["check"] == check).expect("a finding").clone()
    };
    assert_eq!(
        (&doctor["ok"], &said("plans")["ok"], &said("events")["ok"]),
        (&json!(false), &json!(false), &json!(true))
    );
    let texts = [said("plans")["text"].to_string(), said("events")["text"].to_string()];
    assert!(texts[0].contains("1 referral") && texts[0].contains("acct_gold on gold"), "{texts:?}");
    assert!(texts[1].contains("2 events") && texts[1].contains("merged.twice"), "{texts:?}");
    let account = admin.get("/admin/accounts/acct_gold").await.expect_status(200).text();
    assert!(
        account.contains("no rate for the plan gold") && !account.contains("If nothing changes"),
        "{account}"
    );
    let account = admin.get("/admin/accounts/acct_growth").await.expect_status(200).text();
    assert!(!account.contains("no rate for the plan") && account.contains("If nothing changes"), "{account}");
}

#[tokio::test]
async fn an_affiliates_page_sums_all_statements_and_shows_the_newest() {
    let mut app = TestApp::start().await;
    let ann = app.partner("ann").await;
    for (account, at) in [("first", "2026-01-01T09:00:00-05:00"), ("last", "2028-01-10T09:00:00-05:00")] {
        app.set_now(at).await;
        let body = json!({"account_id": account, "plan": "growth", "signed_up_at": at, "code": ann.code});
        app.post("/v1/signups", &body).await.expect_status(201);
    }
    app.night_of("2028-05-10T05:00:00-04:00").await;
    let all = app.statements("").await;
    assert!(all.len() > 25, "{}", all.len());
    let admin = member(&app, "admin").await;
    let page = admin.get(&format!("/admin/affiliates/{}", ann.id)).await.expect_status(200).text();
    assert_eq!(figure(&page, "On statements"), "$198.00");
    assert!(page.contains(">April 2028<") && !page.contains(">March 2026<"), "{page}");
    assert!(page.contains(&format!("The newest 24 of {}", all.len())), "{page}");
}

#[tokio::test]
async fn the_last_administrator_stays_and_who_is_disabled_is_out_at_once() {
    let app = TestApp::start().await;
    let (admin, reader) = (member(&app, "admin").await, member(&app, "read_only").await);
    let members = app.get("/v1/staff").await.json();
    let path = |role: &str| {
        let all = members["data"].as_array().expect("a list");
        let one = all.iter().find(|one| one["role"] == role).expect("a member");
        format!("/admin/members/{}", one["id"].as_str().expect("an id"))
    };
    for fields in [&[("change", "disable")][..], &[("change", "role"), ("role", "reviewer")]] {
        let answer = admin.send(&path("admin"), fields).await.expect_status(422);
        assert!(answer.text().contains("last administrator"));
    }
    reader.get("/admin").await.expect_status(200);
    admin.send(&path("read_only"), &[("change", "disable")]).await.expect_status(303);
    reader.get("/admin").await.expect_status(303);
    let login = [("email", "read_only@company.example"), ("password", PASSWORD)];
    form(app.internal, "/admin/login", &login, &[]).await.expect_status(422);
    admin.send(&path("read_only"), &[("change", "enable")]).await.expect_status(303);
    form(app.internal, "/admin/login", &login, &[]).await.expect_status(303);
    // The portal is another realm: who is staff is nobody there.
    form(app.public, "/login", &login, &[]).await.expect_status(422);
    let page = admin.send(&path("read_only"), &[("change", "invite")]).await.expect_status(200).text();
    assert!(page.contains("activate?token="), "{page}");
}

/// What an edit form showed when it was made.
fn was_of(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"was\" value=\"").expect("the form");
    let value = rest.split('"').next().expect("a value");
    value.replace("&quot;", "\"").replace("&#x2f;", "/").replace("&amp;", "&")
}

#[tokio::test]
async fn a_form_that_was_open_meanwhile_puts_nothing_back() {
    let app = TestApp::start().await;
    let partner = app.partner("ann").await;
    let path = format!("/v1/affiliates/{}", partner.id);
    let (admin, finance) = (member(&app, "admin").await, member(&app, "finance").await);
    let edit = format!("/admin/affiliates/{}/edit", partner.id);
    let was = was_of(&finance.get(&edit).await.expect_status(200).text());
    let email = "ann@partners.example";
    let change = |body: Value| {
        let (at, path) = (app.internal, path.clone());
        let mut headers = crate::support::app::bearer();
        headers.push(("content-type".into(), "application/json".into()));
        async move { http::send("PATCH", at, &path, &headers, body.to_string()).await.expect("an answer") }
    };
    change(json!({"paypal_email": "right@pay.example"})).await.expect_status(200);

    // Nothing was typed again: what others changed is kept.
    let same = [("was", was.as_str()), ("email", email), ("paypal_email", "")];
    finance.send(&edit, &same).await.expect_status(303);
    assert_eq!(app.get(&path).await.json()["paypal_email"], "right@pay.example");
    // Over what others changed: refused, and said so.
    let over = [("was", was.as_str()), ("email", email), ("paypal_email", "old@pay.example")];
    let refused = finance.send(&edit, &over).await.expect_status(409);
    assert!(refused.text().contains("has changed meanwhile"));
    assert_eq!(app.get(&path).await.json()["paypal_email"], "right@pay.example");
    // Another thing: both have their way.
    let other = [("was", was.as_str()), ("email", "ann@new.example"), ("paypal_email", "")];
    finance.send(&edit, &other).await.expect_status(303);
    let now = app.get(&path).await.json();
    assert_eq!(
        (&now["email"], &now["paypal_email"]),
        (&json!("ann@new.example"), &json!("right@pay.example"))
    );
    finance.send(&edit, &other[1..]).await.expect_status(400);

    // Who had a run made is in the log, in words.
    finance.send("/admin/runs", &[("kind", "run"), ("as_of", "")]).await.expect_status(303);
    let mail = format!("/admin/affiliates/{}/mail", partner.id);
    admin.send(&mail, &[]).await.expect_status(303);
    let audit = admin.get("/admin/audit?q=the+finance").await.expect_status(200).text();
    assert!(audit.contains("Finished a nightly run"), "{audit}");
    let audit = admin.get("/admin/audit?q=the+admin").await.expect_status(200).text();
    assert!(audit.contains("Sent a link that sets the password"), "{audit}");
}

#[tokio::test]
async fn a_rejected_account_has_crossed_on_no_page() {
    let mut app = TestApp::start().await;
    let partner = app.partner("ann").await;
    app.refers(&partner, "acct").await.expect_status(201);
    app.set_now("2026-05-01T09:00:00-04:00").await;
    let admin = member(&app, "admin").await;
    let crossed = async |app: &TestApp| app.get("/v1/accounts/acct").await.json()["crossed_on"].clone();
    assert_eq!(crossed(&app).await, "2026-04-01");
    let page = admin.get("/admin/accounts/acct").await.expect_status(200).text();
    assert!(page.contains("Qualified"), "{page}");
    app.post("/v1/accounts/acct/reject", &json!({"reason": "fraud"})).await.expect_status(200);
    assert_eq!(crossed(&app).await, Value::Null);
    let page = admin.get("/admin/accounts/acct").await.expect_status(200).text();
    assert!(page.contains("It was rejected: it earns nothing.") && !page.contains("Qualified"), "{page}");
    let list = admin.get("/admin/accounts").await.expect_status(200).text();
    assert!(list.contains("does not count") && !list.contains("qualified "), "{list}");
}

#[tokio::test]
async fn finance_adds_a_bonus_that_both_sides_see_and_takes_another_line_back() {
    let mut app = TestApp::start().await;
    let partner = app.partner("ann").await;
    let browser = member(&app, "finance").await;
    let at = format!("/admin/affiliates/{}", partner.id);
    let lines = format!("{at}/lines");
    for (key, amount, reason) in [("bonus", "50", "a <good> month"), ("slip", "-7.00", "a slip")] {
        let fields = [("line_key", key), ("amount", amount), ("line_reason", reason)];
        // Sent twice, it is one line.
        for _ in 0..2 {
            let answer = browser.send(&lines, &fields).await.expect_status(303);
            assert!(answer.header("location").is_some_and(|to| to.ends_with("?done=line-added")));
        }
    }
    let page = browser.get(&at).await.expect_status(200).text();
    assert!(page.contains("$50.00") && page.contains("a &lt;good&gt; month"), "{page}");
    assert_eq!(page.matches("/take-back").count(), 2, "{page}");
    let wrong = [("line_key", "third"), ("amount", "100000.01"), ("line_reason", "much")];
    let page = browser.send(&lines, &wrong).await.expect_status(422).text();
    assert!(page.contains("at most 100,000.00 up or down"), "{page}");
    browser.send(&format!("{lines}/slip/take-back"), &[]).await.expect_status(303);
    app.night_of("2026-02-05T04:15:00-05:00").await;
    // The session has ended meanwhile.
    let browser = member(&app, "admin").await;
    let statement = format!("/admin/months/2026-01/{}", partner.id);
    let page = browser.get(&statement).await.expect_status(200).text();
    assert!(page.contains("a &lt;good&gt; month") && !page.contains("a slip"), "{page}");
    let csv = browser.get(&format!("{statement}?format=csv")).await.expect_status(200).text();
    assert!(csv.contains("by_hand,,,,2026-01,50.00,USD,a <good> month,"), "{csv}");
    browser.send(&format!("{lines}/bonus/take-back"), &[]).await.expect_status(409);
    let audit = browser.get("/admin/audit").await.expect_status(200).text();
    assert!(audit.contains("Added a bonus by hand") && audit.contains("Took back a line by hand"), "{audit}");
}
