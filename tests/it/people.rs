//! People at the door: signing in, one-time links, sessions, forged forms, and what strangers can find out.

use crate::support::app::{CHROME, TestApp};
use crate::support::http::{self, Answer};
use crate::support::inbox::mail_files;
use crate::support::servers::{Program, Server};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const ANN: &str = "ann@partners.example";
const PASSWORD: &str = "tulip anvil rain";
const OTHER: &str = "gravel lamp orchid";

/// A browser: it keeps one cookie, and says where its forms come from.
#[derive(Debug, Clone)]
struct Browser {
    at: std::net::SocketAddr,
    cookie: Option<String>,
}

impl Browser {
    const fn at(at: std::net::SocketAddr) -> Self {
        Self { at, cookie: None }
    }
    fn headers(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut headers = vec![("user-agent".to_owned(), CHROME.to_owned())];
        headers.extend(self.cookie.iter().map(|cookie| ("cookie".to_owned(), cookie.clone())));
        headers.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        headers
    }
    async fn opens(&self, path: &str) -> Answer {
        http::get(self.at, path, &self.headers(&[])).await
    }
    async fn sends_as(&mut self, path: &str, fields: &[(&str, &str)], from: &[(&str, &str)]) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut headers = self.headers(from);
        headers.push(("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
        let answer = http::send("POST", self.at, path, &headers, body).await.expect("an answer");
        if let Some(cookie) = answer.header("set-cookie") {
            self.cookie = cookie.split(';').next().map(str::to_owned);
        }
        answer
    }
    async fn sends(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let origin = format!("http://{}", self.at);
        self.sends_as(path, fields, &[("origin", &origin), ("sec-fetch-site", "same-origin")]).await
    }
    async fn signs_in(&mut self, email: &str, password: &str) -> Answer {
        self.sends("/login", &[("email", email), ("password", password)]).await
    }
    /// What forms of a page must bring back.
    async fn csrf(&self, path: &str) -> String {
        let page = self.opens(path).await.expect_status(200).text();
        let field = page.split("name=\"csrf\"").nth(1).unwrap_or_else(|| panic!("no form in {page}"));
        field.split("value=\"").nth(1).and_then(|text| text.split('"').next()).expect("a value").to_owned()
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// The link in the latest mail to an address.
async fn link_to(app: &TestApp, address: &str) -> String {
    let begun = Instant::now();
    loop {
        let mails = mail_files(&app.data_dir()).into_iter().rev();
        let read = mails.map(|file| std::fs::read_to_string(file).expect("a mail"));
        // As quoted-printable says it, whose lines are cut and whose `=` is written out.
        let mut plain = read.map(|mail| mail.replace("=\r\n", "").replace("=3D", "="));
        let found = plain.find(|mail| mail.contains(address) && mail.contains("token="));
        let link = found.and_then(|mail| {
            let words: Vec<&str> = mail.split_whitespace().collect();
            let link = words.iter().find(|word| word.starts_with("http") && word.contains("token="));
            link.map(|link| (*link).to_owned())
        });
        if let Some(link) = link {
            return link;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "no link for {address}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn token_of(link: &str) -> &str {
    link.split_once("token=").expect("a token").1
}

/// Somebody applies and is approved; answers the id and the link of the mail.
async fn approved(app: &TestApp, email: &str) -> (String, String) {
    let application = json!({"name": "Ann Lee", "email": email});
    let made = app.post("/v1/affiliates", &application).await.expect_status(201).json();
    let id = text(&made["id"]);
    app.post(&format!("/v1/affiliates/{id}/approve"), &json!({})).await.expect_status(200);
    (id, link_to(app, email).await)
}

/// The same, with a password and a signature.
async fn active(app: &TestApp, email: &str) -> (String, Browser) {
    let (id, link) = approved(app, email).await;
    let mut browser = Browser::at(app.public);
    let fields = [("token", token_of(&link)), ("new_password", PASSWORD)];
    browser.sends("/activate", &fields).await.expect_status(303);
    let csrf = browser.csrf("/agreement").await;
    let signed =
        [("csrf", csrf.as_str()), ("version", "2026-01"), ("signature", "Ann Lee"), ("agree", "yes")];
    browser.sends("/agreement", &signed).await.expect_status(303);
    (id, browser)
}

async fn links_work_once_and_reading_spends_nothing(store: &str) {
    let app = TestApp::start_with(store, "").await;
    let (id, link) = approved(&app, ANN).await;
    let path = format!("/activate?token={}", token_of(&link));
    for method in ["GET", "HEAD", "GET"] {
        // A mail scanner follows it.
        let answer = http::send(method, app.public, &path, &[], "").await.expect("an answer");
        assert_eq!((answer.status, answer.header("set-cookie")), (200, None), "{method}");
        assert_eq!(answer.header("referrer-policy"), Some("same-origin"), "the link goes nowhere else");
    }
    let (mut one, mut other) = (Browser::at(app.public), Browser::at(app.public));
    let (fields, others) = (
        [("token", token_of(&link)), ("new_password", PASSWORD)],
        [("token", token_of(&link)), ("new_password", OTHER)],
    );
    let (first, second) = tokio::join!(one.sends("/activate", &fields), other.sends("/activate", &others));
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 410], "one of two who use it at once wins");
    Browser::at(app.public).opens(&path).await.expect_status(410);
    for letters in ["", "x", &token_of(&link)[1..], &"A".repeat(600)] {
        let path = format!("/activate?token={letters}");
        Browser::at(app.public).opens(&path).await.expect_status(410);
    }
    let winner = if first.status == 303 { &one } else { &other };
    let shown = app.get(&format!("/v1/affiliates/{id}")).await.expect_status(200).json();
    assert_eq!(shown["status"], "activated");
    winner.opens("/agreement").await.expect_status(200);
    // Nothing else opens before the agreement is signed.
    let answer = winner.opens("/portal").await.expect_status(303);
    assert_eq!(answer.header("location"), Some("/agreement"));
}

async fn strangers_learn_nothing_and_guess_ten_times(store: &str) {
    let app = TestApp::start_with(store, "").await;
    active(&app, ANN).await;
    let apply = async |email: &str| {
        let fields = [
            ("name", "Ann"),
            ("email", email),
            ("company", "Ann"),
            ("website", "ann.example"),
            ("partner_type", "affiliate"),
            ("promotion", "a blog"),
        ];
        Browser::at(app.public).sends("/apply", &fields).await
    };
    let forgot = async |email: &str| Browser::at(app.public).sends("/forgot", &[("email", email)]).await;
    let (known, unknown) = (apply(ANN).await, apply("nobody@partners.example").await);
    assert_eq!((known.status, known.body), (unknown.status, unknown.body), "applying");
    let (known, unknown) = (forgot(ANN).await, forgot("stranger@partners.example").await);
    assert_eq!((known.status, known.body), (unknown.status, unknown.body), "forgetting");

    // In turns, and by the shortest of ten, because other work of the machine only adds time.
    let emails = [ANN, "stranger@partners.example"];
    let mut shortest = [f64::MAX; 2];
    for _ in 0..10 {
        for (email, shortest) in emails.iter().zip(&mut shortest) {
            let begun = Instant::now();
            let answer = Browser::at(app.public).signs_in(email, OTHER).await.expect_status(422);
            *shortest = shortest.min(begun.elapsed().as_secs_f64());
            assert_eq!(answer.header("set-cookie"), None);
        }
    }
    // As much work for nobody as for somebody: without it, the ratio is above ten.
    let ratio = shortest[0] / shortest[1];
    assert!((0.5..2.0).contains(&ratio), "{shortest:?}");
    let mut refusals = Vec::new();
    for email in emails {
        let refused = Browser::at(app.public).signs_in(email, PASSWORD).await.expect_status(429);
        refusals.push(refused.text().replace(email, "…"));
    }
    assert_eq!(refusals[0], refusals[1], "signing in");

    for (outcome, count) in [("wrong", 20), ("too_many", 2), ("ok", 0)] {
        let metric = format!("counterfoil_sign_ins_total{{outcome=\"{outcome}\",realm=\"portal\"}}");
        assert_eq!(app.metric(&metric).await, count, "{metric}");
    }
    // Neither a log nor a metric shows who was there.
    let (log, metrics) = (app.log(), app.get("/metrics").await.text());
    // A server that keeps mail as files, as while developing, says their links; nothing else does.
    let told = |line: &&str| line.starts_with("mail   ") || line.starts_with("             http://");
    let log: String = log.lines().filter(|line| !told(line)).collect();
    for secret in ["ann@", "nobody@", "stranger@", PASSWORD, OTHER, "token=", "argon2"] {
        assert!(!log.contains(secret) && !metrics.contains(secret), "{secret}");
    }
}

/// The cookie of a browser that has signed in before, at both doors.
async fn a_known_browser_gets_in_while_strangers_guess(store: &str) {
    let app = TestApp::start_with(store, "").await;
    let (_, link) = approved(&app, ANN).await;
    let staff = json!({"name": "Bob Jones", "email": "bob@company.example", "role": "admin"});
    let made = app.post("/v1/staff", &staff).await.expect_status(201).json();
    let doors = [
        (app.public, "/activate", "/login", "portal", ANN, link),
        (
            app.internal,
            "/admin/activate",
            "/admin/login",
            "staff",
            "bob@company.example",
            text(&made["one_time_url"]),
        ),
    ];
    for (at, activate, login, realm, email, link) in doors {
        let fields = [("token", token_of(&link)), ("new_password", PASSWORD)];
        let answer = Browser::at(at).sends(activate, &fields).await.expect_status(303);
        let name = format!("counterfoil-{realm}-browser=");
        let mut cookies = answer.headers.get_all("set-cookie").iter().filter_map(|line| line.to_str().ok());
        let known =
            cookies.find(|cookie| cookie.starts_with(&name)).expect("a browser that is known from now on");
        assert!(known.ends_with("; Max-Age=15552000; Path=/; HttpOnly; SameSite=Lax"), "{known}");
        let known = known.split(';').next().map(str::to_owned);

        let fields = |password| [("email", email), ("password", password)];
        for _ in 0..10 {
            Browser::at(at).sends(login, &fields(OTHER)).await.expect_status(422);
        }
        Browser::at(at).sends(login, &fields(PASSWORD)).await.expect_status(429);
        let mut owner = Browser { cookie: known, ..Browser::at(at) };
        owner.sends(login, &fields(PASSWORD)).await.expect_status(303);
    }
}

async fn sessions_are_new_bound_and_ended(store: &str) {
    let mut app = TestApp::start_with(store, "").await;
    let (_, first) = active(&app, ANN).await;
    // A cookie that somebody else put into the browser is not taken up.
    let mut browser = Browser { cookie: first.cookie.clone(), ..Browser::at(app.public) };
    let answer = browser.signs_in(ANN, PASSWORD).await.expect_status(303);
    let set = answer.header("set-cookie").expect("a cookie").to_owned();
    assert!(set.contains("; Path=/; HttpOnly; SameSite=Lax"), "{set}");
    assert_ne!(browser.cookie, first.cookie);
    browser.opens("/portal").await.expect_status(200);
    // The staff's pages know nothing of it, and the public listener nothing of them.
    let cookie = browser.cookie.clone().map(|cookie| cookie.replace("-portal", "-staff"));
    let at_staff = Browser { at: app.internal, cookie };
    at_staff.opens("/admin").await.expect_status(303);
    Browser::at(app.public).opens("/admin").await.expect_status(404);
    Browser::at(app.public).opens("/v1/staff").await.expect_status(404);

    let csrf = browser.csrf("/portal/profile").await;
    let others = first.csrf("/portal/profile").await;
    let origin = format!("http://{}", app.public);
    let ours: &[(&str, &str)] = &[("origin", &origin)];
    let forged: [(&str, &[(&str, &str)]); 6] = [
        ("", ours),
        ("x", ours),
        (&others, ours),
        (&csrf, &[("origin", "https://evil.example")]),
        (&csrf, &[("sec-fetch-site", "cross-site")]),
        (&csrf, &[("origin", "null")]),
    ];
    for (csrf, from) in forged {
        let fields = [("csrf", csrf), ("name", "Mallory")];
        browser.sends_as("/portal/profile", &fields, from).await.expect_status(403);
    }
    let fields = [("csrf", csrf.as_str()), ("old_password", PASSWORD), ("new_password", OTHER)];
    browser.sends("/portal/profile/password", &fields).await.expect_status(303);
    browser.opens("/portal").await.expect_status(200);
    first.opens("/portal").await.expect_status(303);
    let csrf = browser.csrf("/portal/profile").await;
    let old = browser.clone();
    browser.sends("/sign-out", &[("csrf", &csrf)]).await.expect_status(303);
    old.opens("/portal").await.expect_status(303);

    browser.cookie = None;
    browser.signs_in(ANN, OTHER).await.expect_status(303);
    browser.opens("/portal").await.expect_status(200);
    app.set_now("2026-01-02T09:30:00-05:00").await;
    browser.opens("/portal").await.expect_status(303);
}

async fn staff_are_created_listed_and_disabled_through_the_api(store: &str) {
    let app = TestApp::start_with(store, "").await;
    let body = json!({"name": "Bob Jones", "email": "bob@company.example", "role": "reviewer"});
    let made = app.post("/v1/staff", &body).await.expect_status(201).json();
    let (id, url) = (text(&made["id"]), text(&made["one_time_url"]));
    assert!(url.starts_with(&format!("http://{}/admin/activate?token=", app.internal)), "{url}");
    app.post("/v1/staff", &body).await.expect_status(409);
    for wrong in [json!({"role": "owner"}), json!({"email": "bob"}), json!({"name": ""}), json!({"more": 1})]
    {
        let mut body = body.clone();
        body.as_object_mut().expect("an object").extend(wrong.as_object().expect("an object").clone());
        app.post("/v1/staff", &body).await.expect_status(422);
    }
    let mut bob = Browser::at(app.internal);
    let fields = [("token", token_of(&url)), ("new_password", PASSWORD)];
    bob.sends("/admin/activate", &fields).await.expect_status(303);
    bob.opens("/admin").await.expect_status(200);
    // A reviewer does not manage staff.
    let csrf = bob.csrf("/admin/me").await;
    let fields =
        [("csrf", csrf.as_str()), ("name", "Eve"), ("email", "eve@company.example"), ("role", "admin")];
    bob.sends("/admin/members", &fields).await.expect_status(403);
    let list = app.get("/v1/staff").await.expect_status(200).json();
    assert_eq!(
        (list["data"].as_array().map(Vec::len), &list["data"][0]["role"]),
        (Some(1), &json!("reviewer"))
    );
    assert_eq!(list["data"][0].get("one_time_url"), None, "the link is told once");

    let again = app.post(&format!("/v1/staff/{id}/invite"), &json!({})).await.expect_status(200).json();
    app.post(&format!("/v1/staff/{id}/disable"), &json!({})).await.expect_status(200);
    bob.opens("/admin").await.expect_status(303);
    app.post(&format!("/v1/staff/{id}/invite"), &json!({})).await.expect_status(404);
    let path = format!("/admin/activate?token={}", token_of(&text(&again["one_time_url"])));
    Browser::at(app.internal).opens(&path).await.expect_status(410);
    app.post(&format!("/v1/staff/{id}/enable"), &json!({})).await.expect_status(200);
    app.post("/v1/staff/stf_0000000000001/enable", &json!({})).await.expect_status(404);

    let audit = app.get("/v1/audit?limit=500").await.expect_status(200).text();
    assert!(audit.contains("staff_created") && audit.contains("password_set"), "{audit}");
    assert!(!audit.contains("argon2") && !audit.contains("token="), "{audit}");
}

async fn notes_and_claims_are_listed_through_the_api(store: &str) {
    let app = TestApp::start_with(store, "").await;
    let (id, mut ann) = active(&app, ANN).await;
    let notes = format!("/v1/affiliates/{id}/notes");
    app.post(&notes, &json!({"text": "called"})).await.expect_status(201);
    app.post(&notes, &json!({"text": ""})).await.expect_status(422);
    let list = app.get(&notes).await.expect_status(200).json();
    assert_eq!((&list["data"][0]["text"], &list["data"][0]["by"]), (&json!("called"), &json!("tests")));
    app.get("/v1/affiliates/aff_0000000000001/notes").await.expect_status(404);
    let shown = app.get(&format!("/v1/affiliates/{id}")).await.expect_status(200).json();
    assert_eq!(shown["signatures"].as_array().map(Vec::len), Some(1));
    assert_eq!((&shown["status"], &shown["payouts_held_until"]), (&json!("active"), &Value::Null));

    app.post(
        "/v1/signups",
        &json!({"account_id": "acct_81", "plan": "growth",
        "signed_up_at": "2026-01-01T09:00:00-05:00"}),
    )
    .await
    .expect_status(201);
    let csrf = ann.csrf("/portal/claims").await;
    let fields =
        [("csrf", csrf.as_str()), ("company", "Acme"), ("account_hint", "acct_81"), ("evidence", "we met")];
    ann.sends("/portal/claims", &fields).await.expect_status(303);
    let open = app.get("/v1/claims?state=open").await.expect_status(200).json();
    let claim = text(&open["data"][0]["id"]);
    assert_eq!((&open["data"][0]["company"], &open["data"][0]["affiliate_id"]), (&json!("Acme"), &json!(id)));
    let decision = json!({"granted": true, "reason": "they said so", "account_id": "acct_81"});
    let path = format!("/v1/claims/{claim}/decision");
    let decided = app.post(&path, &decision).await.expect_status(200).json();
    assert_eq!((&decided["state"], &decided["decided_by"]), (&json!("granted"), &json!("tests")));
    app.post(&path, &decision).await.expect_status(409);
    app.post("/v1/claims/clm_0000000000001/decision", &decision).await.expect_status(404);
    app.get("/v1/claims?state=lost").await.expect_status(422);
    let open = app.get("/v1/claims?state=open").await.expect_status(200).json();
    assert_eq!(open["data"], json!([]));
    let account = app.get("/v1/accounts/acct_81").await.expect_status(200).json();
    assert!(account.to_string().contains(&id), "credited: {account}");
    app.post(&format!("/v1/affiliates/{id}/activation"), &json!({})).await.expect_status(202);
}

/// Each story on both stores.
macro_rules! on_both_stores {
    ($($name:ident,)+) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name("sqlite").await;
            })+
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                let redis = super::Server::start(super::Program::Redis, &[]);
                super::$name(&redis.url()).await;
            })+
        }
    };
}

on_both_stores! {
    links_work_once_and_reading_spends_nothing,
    strangers_learn_nothing_and_guess_ten_times,
    a_known_browser_gets_in_while_strangers_guess,
    sessions_are_new_bound_and_ended,
    staff_are_created_listed_and_disabled_through_the_api,
    notes_and_claims_are_listed_through_the_api,
}
