//! What people did on several nodes means the same after the store was lost: real processes.

use crate::support::app::{BEGINNING, TestApp, Visitor, bearer};
use crate::support::http;
use crate::support::inbox::mail_files;
use crate::support::person::{PASSWORD, Person};
use crate::support::servers::{Program, Server};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until a node answers what is wanted.
async fn until(app: &TestApp, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let answer = app.get(path).await;
        if answer.status < 300 && wanted(&answer.json()) {
            return answer.json();
        }
        assert!(begun.elapsed() < PATIENCE, "{path}: {} {}", answer.text(), app.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn acts(app: &TestApp, path: &str) {
    app.post(path, &json!({"reason": "why"})).await.expect_status(200);
}

async fn changes(app: &TestApp, path: &str, body: &Value) {
    let answer =
        http::send("PATCH", app.internal, path, &bearer(), body.to_string()).await.expect("an answer");
    answer.expect_status(200);
}

/// Two nodes, and how minutes pass for both.
struct Pair {
    redis: Server,
    first: TestApp,
    second: TestApp,
    minute: u32,
}

impl Pair {
    async fn start() -> Self {
        let redis = Server::start(Program::Redis, &[]);
        let first = TestApp::start_with(&redis.url(), "").await;
        let second = TestApp::start_beside(&first, &redis.url(), "").await;
        Self { redis, first, second, minute: 0 }
    }
    async fn a_minute_later(&mut self) {
        self.minute += 1;
        self.both_at(&format!("2026-01-01T09:{:02}:00-05:00", self.minute)).await;
    }
    async fn both_at(&mut self, now: &str) {
        self.first.set_now(now).await;
        self.second.set_now(now).await;
    }
    async fn settle(&self) {
        self.first.settles().await;
        self.second.settles().await;
    }

    /// Redis is emptied while the first node is stopped: the second one begins to replay alone.
    async fn lose_everything(&mut self) {
        self.a_minute_later().await;
        self.settle().await;
        assert_eq!(self.first.stop().await, Some(0));
        self.redis.operate::<()>(&["FLUSHALL"]);
        let nodes = |nodes: &Value| nodes["data"].as_array().is_some_and(|nodes| nodes.len() == 1);
        until(&self.second, "/v1/nodes", nodes).await;
        self.first.run().await;
        let begun = Instant::now();
        while self.second.post("/v1/store/confirm", &json!({})).await.status != 200 {
            assert!(begun.elapsed() < PATIENCE, "{}", self.second.log());
        }
        self.settle().await;
    }
}

/// The token in a mail that one of the nodes sent.
async fn token_of(apps: [&TestApp; 2]) -> String {
    let begun = Instant::now();
    loop {
        for file in apps.iter().flat_map(|app| mail_files(&app.data_dir())) {
            let mail =
                std::fs::read_to_string(file).expect("a mail").replace("=\r\n", "").replace("=3D", "=");
            if let Some((_, token)) = mail.split_whitespace().find_map(|word| word.split_once("token=")) {
                return token.to_owned();
            }
        }
        assert!(begun.elapsed() < PATIENCE, "no mail");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn the_last_change_of_an_address_wins() {
    let mut pair = Pair::start().await;
    let ann = pair.second.partner("ann").await;
    let path = format!("/v1/affiliates/{}", ann.id);
    until(&pair.first, &path, |_| true).await;
    pair.a_minute_later().await;
    changes(&pair.first, &path, &json!({"paypal_email": "old@pay.example"})).await;
    until(&pair.second, &path, |known| known["paypal_email"] == "old@pay.example").await;
    pair.a_minute_later().await;
    changes(&pair.second, &path, &json!({"paypal_email": "new@pay.example"})).await;
    until(&pair.first, &path, |known| known["paypal_email"] == "new@pay.example").await;
    pair.lose_everything().await;
    until(&pair.second, &path, |known| known["paypal_email"] == "new@pay.example").await;
}

#[tokio::test]
async fn the_steps_of_an_affiliates_life_come_in_their_order() {
    let mut pair = Pair::start().await;
    let ann = pair.second.partner("ann").await;
    let path = format!("/v1/affiliates/{}", ann.id);
    for (on_first, step, becomes) in [
        (false, "suspend", "suspended"),
        (true, "reinstate", "active"),
        (true, "suspend", "suspended"),
        (false, "reinstate", "active"),
    ] {
        pair.a_minute_later().await;
        acts(if on_first { &pair.first } else { &pair.second }, &format!("{path}/{step}")).await;
        for app in [&pair.first, &pair.second] {
            until(app, &path, |known| known["status"] == becomes).await;
        }
    }
    let before = pair.second.get(&path).await.json()["history"].clone();
    pair.lose_everything().await;
    assert_eq!(pair.second.get(&path).await.json()["history"], before);
}

#[tokio::test]
async fn a_member_of_staff_who_was_disabled_last_stays_out() {
    let mut pair = Pair::start().await;
    for who in ["boss@x.example", "mallory@x.example"] {
        let member = json!({"name": "M", "email": who, "role": "admin"});
        pair.first.post("/v1/staff", &member).await.expect_status(201);
    }
    let is_out = |list: &Value| {
        let members = list["data"].as_array().expect("a list");
        members.iter().any(|one| one["email"] == "mallory@x.example" && !one["disabled_at"].is_null())
    };
    let list = pair.first.get("/v1/staff").await.json();
    let members = list["data"].as_array().expect("a list");
    let mallory = members.iter().find(|one| one["email"] == "mallory@x.example").expect("she is there");
    let path = format!("/v1/staff/{}", mallory["id"].as_str().expect("an id"));
    for (on_first, act, out) in [(true, "disable", true), (false, "enable", false), (true, "disable", true)] {
        pair.a_minute_later().await;
        let node = if on_first { &pair.first } else { &pair.second };
        node.post(&format!("{path}/{act}"), &json!({})).await.expect_status(200);
        for app in [&pair.first, &pair.second] {
            until(app, "/v1/staff", |list| is_out(list) == out).await;
        }
    }
    pair.lose_everything().await;
    until(&pair.second, "/v1/staff", is_out).await;
}

#[tokio::test]
async fn a_link_that_was_made_before_a_suspension_is_there_and_earns() {
    let mut pair = Pair::start().await;
    let ann = pair.second.partner("ann").await;
    let path = format!("/v1/affiliates/{}", ann.id);
    until(&pair.first, &path, |known| known["status"] == "active").await;
    pair.a_minute_later().await;
    let link = pair.first.post(&format!("{path}/links"), &json!({"label": "poster"})).await;
    let link = link.expect_status(201).json()["url"].as_str().expect("an address").to_owned();
    let token = link.split_once("/r/").expect("a token").1;
    pair.a_minute_later().await;
    acts(&pair.second, &format!("{path}/suspend")).await;
    pair.a_minute_later().await;
    until(&pair.first, &path, |known| known["status"] == "suspended").await;
    acts(&pair.first, &format!("{path}/reinstate")).await;
    until(&pair.second, &path, |known| known["status"] == "active").await;
    pair.lose_everything().await;
    let mut visitor = Visitor::default();
    visitor.clicks(&format!("http://{}/r/{token}", pair.second.public)).await.expect_status(302);
    let signup = pair.second.signs_up(&visitor, "acct", "growth").await.json();
    assert_eq!(signup["attributed"], true, "{signup}");
}

#[tokio::test]
async fn an_affiliate_is_active_since_its_first_password_and_signature() {
    let mut pair = Pair::start().await;
    let body = json!({"name": "Ann Lee", "email": "ann@p.example"});
    let made = pair.second.post("/v1/affiliates", &body).await.expect_status(201).json();
    let path = format!("/v1/affiliates/{}", made["id"].as_str().expect("an id"));
    acts(&pair.second, &format!("{path}/approve")).await;
    let token = token_of([&pair.first, &pair.second]).await;
    until(&pair.first, &path, |known| known["status"] == "approved").await;
    let mut ann = Person::at(pair.first.public);
    ann.sends("/activate", &[("token", &token), ("new_password", PASSWORD)]).await.expect_status(303);
    let page = ann.sees("/agreement").await;
    let version = page.split_once("name=\"version\" value=\"").expect("a version").1;
    let version = version.split('"').next().expect("a version").to_owned();
    let signs =
        [("version", version.as_str()), ("paypal_email", ""), ("signature", "Ann Lee"), ("agree", "yes")];
    ann.sends_signed("/agreement", "/agreement", &signs).await.expect_status(303);
    let before = until(&pair.second, &path, |known| known["status"] == "active").await["history"].clone();
    pair.both_at("2026-04-01T09:00:00-04:00").await;
    let mut ann = Person::at(pair.second.public);
    ann.sends("/login", &[("email", "ann@p.example"), ("password", PASSWORD)]).await.expect_status(303);
    let changed = [("old_password", PASSWORD), ("new_password", "gravel lamp orchid nine")];
    ann.sends_signed("/portal/profile", "/portal/profile/password", &changed).await.expect_status(303);
    pair.both_at("2026-04-02T09:00:00-04:00").await;
    pair.lose_everything().await;
    assert_eq!(pair.second.get(&path).await.json()["history"], before);
}

#[tokio::test]
async fn links_are_counted_once() {
    let mut pair = Pair::start().await;
    let ann = pair.second.partner("ann").await;
    let path = format!("/v1/affiliates/{}", ann.id);
    until(&pair.first, &path, |known| known["status"] == "active").await;
    for number in 0..150 {
        let label = json!({"label": format!("l{number}")});
        pair.first.post(&format!("{path}/links"), &label).await.expect_status(201);
    }
    let email = [("email", "ann@partners.example")];
    Person::at(pair.second.public).sends("/forgot", &email).await.expect_status(200);
    let token = token_of([&pair.first, &pair.second]).await;
    let mut at_second = Person::at(pair.second.public);
    at_second.sends("/activate", &[("token", &token), ("new_password", PASSWORD)]).await.expect_status(303);
    pair.settle().await;
    let mut at_first = Person::at(pair.first.public);
    let signs_in = [("email", "ann@partners.example"), ("password", PASSWORD)];
    at_first.sends("/login", &signs_in).await.expect_status(303);
    for (person, label, count) in [(&mut at_first, "poster", 152), (&mut at_second, "other", 153)] {
        let made =
            person.sends_signed("/portal/links", "/portal/links", &[("label", label), ("to", "")]).await;
        made.expect_status(303);
        for app in [&pair.first, &pair.second] {
            until(app, &path, |known| known["counts"]["links"] == count).await;
        }
    }
    pair.lose_everything().await;
    until(&pair.second, &path, |known| known["counts"]["links"] == 153).await;
}

#[tokio::test]
async fn an_act_on_what_another_node_knows_is_not_refused_before_that_node_is_in() {
    let mut pair = Pair::start().await;
    let ann = pair.second.partner("ann").await;
    let path = format!("/v1/affiliates/{}", ann.id);
    until(&pair.first, &path, |known| known["status"] == "active").await;
    pair.a_minute_later().await;
    // The first node's journal has many records before the subject of the second node's act.
    let event = |number: usize| {
        json!({"kind": "event", "account_id": format!("w{number}"), "event_id": "e", "type": "suspended",
            "occurred_at": BEGINNING})
    };
    let lines: Vec<String> = (0..3_000).map(|number| event(number).to_string()).collect();
    let mut headers = bearer();
    headers.push(("content-type".to_owned(), "application/x-ndjson".to_owned()));
    let imported = http::send("POST", pair.first.internal, "/v1/import", &headers, lines.join("\n")).await;
    imported.expect("an answer").expect_status(200);
    let ben = format!("/v1/affiliates/{}", pair.first.partner("ben").await.id);
    until(&pair.second, &ben, |known| known["status"] == "active").await;
    pair.a_minute_later().await;
    acts(&pair.second, &format!("{ben}/suspend")).await;
    pair.lose_everything().await;
    until(&pair.second, &ben, |known| known["status"] == "suspended").await;
}

#[tokio::test]
async fn an_act_is_kept_when_the_store_comes_back_from_a_snapshot() {
    let mut redis = Server::start(Program::Redis, &["--appendonly", "no"]);
    let mut first = TestApp::start_with(&redis.url(), "").await;
    let second = TestApp::start_beside(&first, &redis.url(), "").await;
    let ann = first.partner("ann").await;
    until(&second, &format!("/v1/affiliates/{}", ann.id), |_| true).await;
    let mut visitor = Visitor::default();
    visitor.clicks(&ann.link).await;
    second.happens("other", "e0", "suspended", BEGINNING).await;
    for app in [&first, &second] {
        app.settles().await;
    }
    redis.operate::<()>(&["SAVE"]);
    first.signs_up(&visitor, "a", "growth").await.expect_status(201);
    acts(&second, "/v1/accounts/a/reject").await;
    for app in [&first, &second] {
        app.settles().await;
    }
    // The first node, which knows of the signup, comes back last.
    assert_eq!(first.stop().await, Some(0));
    redis.kill();
    redis.start_again();
    until(&second, "/v1/accounts/other", |_| true).await;
    first.run().await;
    let account = until(&second, "/v1/accounts/a", |known| !known["rejected_since"].is_null()).await;
    assert_eq!(account["attribution"]["affiliate_id"], json!(ann.id));
}

#[tokio::test]
async fn a_node_that_never_comes_back_is_forgotten_and_the_others_go_on() {
    let redis = Server::start(Program::Redis, &[]);
    let first = TestApp::start_with(&redis.url(), "").await;
    let mut second = TestApp::start_beside(&first, &redis.url(), "").await;
    let ann = first.partner("ann").await;
    let path = format!("/v1/affiliates/{}", ann.id);
    until(&second, &path, |_| true).await;
    let node = std::fs::read(second.data_dir().join("node.json")).expect("a node");
    let lost = serde_json::from_slice::<Value>(&node).expect("JSON")["node_id"].clone();
    let lost = lost.as_str().expect("an id").to_owned();
    second.kill();
    redis.operate::<()>(&["FLUSHALL"]);
    let seen = until(&first, "/readyz", |ready| ready.to_string().contains(&lost)).await;
    assert!(seen.to_string().contains("counterfoil node forget"), "{seen}");
    let refused = first.post("/v1/store/confirm", &json!({})).await.expect_status(409).json();
    assert_eq!(refused["code"], "not_all_in", "{refused}");
    let gone = format!("/v1/nodes/{lost}");
    let gone =
        http::send("DELETE", first.internal, &gone, &bearer(), String::new()).await.expect("an answer");
    gone.expect_status(204);
    first.post("/v1/store/confirm", &json!({})).await.expect_status(200);
    until(&first, &path, |known| known["status"] == "active").await;
}

#[tokio::test]
async fn a_rejection_is_kept_also_on_a_node_whose_clock_is_behind() {
    let mut pair = Pair::start().await;
    let ann = pair.first.partner("ann").await;
    pair.first.refers(&ann, "acct").await.expect_status(201);
    pair.first.set_now("2026-01-01T09:14:00-05:00").await;
    pair.second.set_now("2026-01-01T09:11:00-05:00").await;
    acts(&pair.first, "/v1/accounts/acct/hold").await;
    acts(&pair.first, "/v1/accounts/acct/release").await;
    // The nodes compare their clocks twice a second.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    acts(&pair.second, "/v1/accounts/acct/reject").await;
    until(&pair.first, "/v1/accounts/acct", |known| !known["rejected_since"].is_null()).await;
}
