//! PayPal's notifications: they make the server ask PayPal at once, and nothing else. PayPal is asked by itself only once
//! a day here, so what is known earlier is known because of a notification.

use crate::payouts_by_paypal::{World, config, fake, settled};
use crate::support::app::TestApp;
use crate::support::gate::Gate;
use crate::support::http::{self, Answer};
use crate::support::paypal::{Authority, SIGNING_HOST, WEBHOOK_ID, make_rsa_key};
use crate::support::servers::{Program, Server};
use chrono::TimeDelta;
use counterfoil::for_tests::fake_paypal::{Fake, Lie, Notice, ReadLie, Signer, Target};
use rcgen::KeyPair;
use serde_json::{Value, json};
use std::time::Duration;

const PATH: &str = "/paypal/webhook";

/// A server that is told by a fake PayPal, whose authority it believes.
struct Told {
    world: World,
    authority: Authority,
    /// Where the authority's certificate is.
    _directory: tempfile::TempDir,
}

impl Told {
    /// A batch that is approved. PayPal takes an hour to pay it.
    async fn approved(receivers: &[&str]) -> Self {
        Self::on("sqlite", receivers).await
    }
    async fn on(store: &str, receivers: &[&str]) -> Self {
        let (paypal, authority) = (fake().await, Authority::new("PayPal of the tests"));
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("authority.pem");
        std::fs::write(&file, &authority.pem).expect("a file");
        let more = format!(
            "poll_seconds = 86400\nwebhook_id = \"{WEBHOOK_ID}\"\nwebhook_ca_file = \"{}\"",
            file.display()
        );
        let config = config(&paypal).replace("poll_seconds = 5", &more);
        let app = TestApp::start_with(store, &config).await;
        paypal.takes(TimeDelta::hours(1));
        let url = format!("http://{}{PATH}", app.public);
        let signer = authority.signer(SIGNING_HOST);
        paypal.notifies(Target { url, webhook_id: WEBHOOK_ID.to_owned(), signer });
        let world = World::with(app, paypal, receivers).await;
        Self { world, authority, _directory: directory }
    }
    /// It is sent, was asked about once, and PayPal has done its work since.
    async fn sent(&mut self) {
        self.world.submits().await;
        self.eventually("asked about", |told| told.polls() == 1).await;
        self.world.passes(TimeDelta::hours(2)).await;
    }
    fn paypal(&self) -> &Fake {
        &self.world.paypal
    }
    /// How often PayPal was asked about the batch.
    fn polls(&self) -> usize {
        let requests = self.paypal().requests();
        requests.iter().filter(|one| one.starts_with("GET /v1/payments/payouts/")).count()
    }
    async fn is_sent(&self, notice: &Notice) -> Answer {
        let headers: Vec<_> =
            notice.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let sent = http::send("POST", self.world.app.public, PATH, &headers, notice.body.clone()).await;
        sent.expect("an answer")
    }
    async fn outcomes(&self, outcome: &str) -> u64 {
        let line = format!("counterfoil_payout_webhooks_total{{outcome=\"{outcome}\"}}");
        self.world.app.metric(&line).await
    }
    async fn journaled(&self) -> u64 {
        self.world.app.metric("counterfoil_journal_last_position{log=\"facts\"}").await
    }
    /// What has been journaled when nothing more comes: also the mails about what has happened.
    async fn journaled_in_the_end(&self) -> u64 {
        let mut before = self.journaled().await;
        for _ in 0..60 {
            a_while().await;
            let now = self.journaled().await;
            if now == before {
                return now;
            }
            before = now;
        }
        panic!("it never stops: {}", self.world.app.log());
    }
    async fn eventually(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..600 {
            if is_so(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("it is never {what}: {:?}\n{}", self.paypal().requests(), self.world.app.log());
    }
    /// Waits for a batch without letting a day pass.
    async fn soon(&self, what: &str, is_so: impl Fn(&Value) -> bool) {
        for _ in 0..600 {
            if is_so(&self.world.batch().await) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("it is never {what}: {}\n{:?}", self.world.batch().await, self.paypal().requests());
    }
}

/// Long enough for the server to ask, if it were to.
async fn a_while() {
    tokio::time::sleep(Duration::from_secs(3)).await;
}

fn with(notice: &Notice, name: &str, value: impl Into<String>) -> Notice {
    let value = value.into();
    let mut notice = notice.clone();
    notice.headers.iter_mut().filter(|header| header.0 == name).for_each(|header| {
        header.1.clone_from(&value);
    });
    notice
}
fn without(notice: &Notice, name: &str) -> Notice {
    let mut notice = notice.clone();
    notice.headers.retain(|header| header.0 != name);
    notice
}
fn header(notice: &Notice, name: &str) -> String {
    notice.headers.iter().find(|header| header.0 == name).expect(name).1.clone()
}

/// Signed again, by somebody, for a webhook.
fn signed(notice: &Notice, by: &Signer, webhook_id: &str) -> Notice {
    let (id, time) = (header(notice, "paypal-transmission-id"), header(notice, "paypal-transmission-time"));
    let text = format!("{id}|{time}|{webhook_id}|{}", crc32fast::hash(&notice.body));
    with(notice, "paypal-transmission-sig", by.sign(&text))
}

#[tokio::test]
async fn what_paypal_tells_is_asked_about_at_once() {
    let mut told = Told::approved(&["ann", "bob"]).await;
    told.sent().await;
    a_while().await;
    assert_eq!((told.polls(), told.world.statuses().await), (1, vec!["submitted".to_owned(); 2]));
    assert_eq!(told.world.app.metric("counterfoil_payout_items{status=\"submitted\"}").await, 2);
    // One is enough; the others are lost.
    let news = told.paypal().notices();
    told.is_sent(news.last().expect("news")).await.expect_status(200);
    told.soon("settled", settled).await;
    assert_eq!(told.world.statuses().await, ["paid", "paid"]);
    told.world.is_right().await;
    a_while().await;
    assert_eq!(told.polls(), 2, "a hint is followed once");
    for (line, count) in [
        ("counterfoil_payout_webhooks_total{outcome=\"verified\"}", 1),
        ("counterfoil_payout_calls_total{answer=\"accepted\"}", 1),
        ("counterfoil_payout_polls_total{outcome=\"ok\"}", 2),
        ("counterfoil_payout_items{status=\"submitted\"}", 0),
        ("counterfoil_payout_oldest_unknown_seconds", 0),
    ] {
        assert_eq!(told.world.app.metric(line).await, count, "{line}");
    }
}

#[tokio::test]
async fn doubled_and_in_any_order_they_lead_to_what_is_so() {
    let mut told = Told::approved(&["unclaimed", "ann", "failed"]).await;
    told.sent().await;
    let mut news = told.paypal().notices();
    news.reverse();
    assert_eq!(news.len(), 4);
    for notice in news.iter().flat_map(|notice| [notice, notice]) {
        told.is_sent(notice).await.expect_status(200);
    }
    assert_eq!((told.outcomes("verified").await, told.outcomes("repeated").await), (4, 4));
    told.soon("looked at", |batch| batch["counts"]["paid"] == 1).await;
    assert_eq!(told.world.statuses().await, ["unclaimed", "paid", "failed"]);
    told.world.is_right().await;
    // An old one that comes late changes nothing, and all are lost that tell that it came back.
    for notice in &news {
        told.is_sent(notice).await.expect_status(200);
    }
    let returned = |batch: &Value| batch["counts"]["returned"] == 1;
    told.world.until_by(TimeDelta::days(1), "returned", returned).await;
    told.world.is_right().await;
}

#[tokio::test]
async fn one_that_is_faster_than_paypals_answer_waits_for_it() {
    let told = Told::approved(&["ann"]).await;
    told.paypal().takes(TimeDelta::zero());
    told.paypal().next_create(Lie::tells_first());
    // The question after the answer comes to nothing, and the next one would be a day later.
    told.paypal().next_read(ReadLie::Fault);
    told.world.submits().await;
    told.soon("settled", settled).await;
    assert_eq!((told.outcomes("verified").await, told.polls()), (2, 2));
    told.world.is_right().await;
}

#[tokio::test]
async fn what_is_forged_changes_nothing_and_is_not_asked_about() {
    let mut told = Told::approved(&["ann"]).await;
    told.sent().await;
    let news = told.paypal().notices();
    let genuine = news.last().expect("news");
    let key = KeyPair::from_pem(&make_rsa_key()).expect("a key");
    let stranger = Signer::new(key.serialized_der(), String::new()).expect("an RSA key");
    let signer = told.authority.signer(SIGNING_HOST);
    let mut flipped = header(genuine, "paypal-transmission-sig").into_bytes();
    flipped[100] = if flipped[100] == b'A' { b'B' } else { b'A' };
    let text = String::from_utf8(genuine.body.clone()).expect("text");
    let body = |text: String| Notice { body: text.into_bytes(), ..genuine.clone() };
    let at = |url: &str| with(genuine, "paypal-cert-url", url.to_owned());
    let table = [
        ("an evil host", at("https://evilpaypal.com/v1/notifications/certs/CERT-1")),
        ("an evil host that ends well", at("https://evil.example/api.paypal.com/v1/notifications/certs/C")),
        ("another port of this machine", at("http://127.0.0.1:9/v1/notifications/certs/CERT-1")),
        ("another key", signed(genuine, &stranger, WEBHOOK_ID)),
        ("another webhook", signed(genuine, &signer, "1JE4291016473214C")),
        ("the simulator", signed(genuine, &signer, "WEBHOOK_ID")),
        ("another status", body(text.replace("SUCCESS", "FAILED!"))),
        ("written again", body(format!("{text} "))),
        (
            "a flipped bit",
            with(genuine, "paypal-transmission-sig", String::from_utf8(flipped).expect("text")),
        ),
        ("another time", with(genuine, "paypal-transmission-time", "2026-11-01T00:00:00Z".to_owned())),
        ("another sending", with(genuine, "paypal-transmission-id", "tr0".to_owned())),
        ("no signature", without(genuine, "paypal-transmission-sig")),
        ("no certificate", without(genuine, "paypal-cert-url")),
        ("nothing", Notice { headers: Vec::new(), ..genuine.clone() }),
    ];
    let before = told.journaled_in_the_end().await;
    for (name, notice) in &table {
        let answer = told.is_sent(notice).await;
        assert_eq!(answer.status, 401, "{name}: {}", answer.text());
        assert_eq!(answer.json()["code"], "unauthorized", "{name}");
    }
    assert_eq!(told.outcomes("forged").await, table.len() as u64);
    a_while().await;
    assert_eq!((told.polls(), told.world.statuses().await), (1, vec!["submitted".to_owned()]));
    let after = told.journaled().await;
    assert_eq!(after, before, "nothing was journaled");
    assert!(!told.paypal().requests().iter().any(|one| one.contains("verify-webhook")), "nor PayPal asked");

    // The same as it was sent, and then recorded and sent again.
    told.is_sent(genuine).await.expect_status(200);
    told.soon("settled", settled).await;
    let polls = told.polls();
    let journaled = told.journaled_in_the_end().await;
    for _ in 0..3 {
        told.is_sent(genuine).await.expect_status(200);
    }
    a_while().await;
    assert_eq!((told.polls(), told.outcomes("repeated").await), (polls, 3));
    let after = told.journaled().await;
    assert_eq!(after, journaled, "it is no news");
    told.world.is_right().await;
}

#[tokio::test]
async fn what_can_not_be_judged_here_is_judged_by_paypal() {
    let mut told = Told::approved(&["ann"]).await;
    told.sent().await;
    let news = told.paypal().notices();
    let genuine = news.last().expect("news");
    // An authority that is not in the configuration.
    told.paypal().serves_certificate(Authority::new("Somebody else").signer(SIGNING_HOST).certificate_pem());
    let text = String::from_utf8(genuine.body.clone()).expect("text");
    let altered = Notice { body: text.replace("SUCCESS", "FAILED!").into_bytes(), ..genuine.clone() };
    told.is_sent(&altered).await.expect_status(401);
    assert_eq!((told.outcomes("forged").await, told.polls()), (1, 1));
    told.is_sent(genuine).await.expect_status(200);
    told.soon("settled", settled).await;
    let asked = |one: &&String| *one == "POST /v1/notifications/verify-webhook-signature";
    assert_eq!(told.paypal().requests().iter().filter(asked).count(), 2);
    told.world.is_right().await;
}

#[tokio::test]
async fn while_nobody_can_judge_them_they_are_to_be_sent_again() {
    let mut told = Told::approved(&["ann"]).await;
    told.sent().await;
    let news = told.paypal().notices();
    let genuine = news.last().expect("news");
    // PayPal is gone when it is to be asked.
    told.world.paypal = fake().await;
    for _ in 0..2 {
        let answer = told.is_sent(genuine).await.expect_status(503);
        assert_eq!(answer.json()["code"], "webhook_undecided");
        assert!(answer.header("retry-after").is_some());
    }
    assert_eq!(told.outcomes("undecided").await, 2);
}

#[tokio::test]
async fn what_paypal_signs_and_nobody_can_use_is_taken() {
    let mut told = Told::approved(&["ann"]).await;
    told.sent().await;
    let news = told.paypal().notices();
    let genuine = news.last().expect("news");
    let signer = told.authority.signer(SIGNING_HOST);
    let long = "x".repeat(65);
    let table = [
        (
            "another kind",
            json!({"id": "WH-9", "event_type": "PAYMENT.SALE.COMPLETED", "resource": {"id": "S1"}}),
            "unreadable",
        ),
        ("an endless id", json!({"id": long, "resource": {"payout_batch_id": "P1"}}), "unreadable"),
        ("an endless batch", json!({"id": "WH-9", "resource": {"payout_batch_id": long}}), "unreadable"),
        ("no object", json!([1]), "unreadable"),
        (
            "an unknown name",
            json!({"id": "WH-9", "event_type": "PAYMENT.NEW", "resource": {"payout_batch_id": "P1"}}),
            "verified",
        ),
    ];
    for (name, event, outcome) in table {
        let before = told.outcomes(outcome).await;
        let notice = Notice { body: event.to_string().into_bytes(), ..genuine.clone() };
        let answer = told.is_sent(&signed(&notice, &signer, WEBHOOK_ID)).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        assert_eq!(told.outcomes(outcome).await, before + 1, "{name}");
    }
    // A batch that is not ours is not asked about, however long it waits.
    told.world.passes(TimeDelta::minutes(20)).await;
    a_while().await;
    assert_eq!(told.polls(), 1);
    assert!(!told.paypal().requests().iter().any(|one| one.ends_with("/P1")));
    let large = Notice { body: vec![b' '; 65 * 1024], ..genuine.clone() };
    told.is_sent(&large).await.expect_status(413);
}

#[tokio::test]
async fn while_the_store_is_away_they_are_taken_and_followed_later() {
    let redis = Server::start(Program::Redis, &[]);
    let port = redis.url().rsplit(':').next().and_then(|port| port.trim_end_matches('/').parse().ok());
    let gate = Gate::before(port.expect("a port"), "EVALSHA").await;
    let mut told = Told::on(&gate.url(), &["ann"]).await;
    told.sent().await;
    let news = told.paypal().notices();
    let genuine = news.last().expect("news");
    gate.shut();
    gate.is_shut().await;
    for _ in 0..2 {
        told.is_sent(genuine).await.expect_status(200);
    }
    assert_eq!(told.polls(), 1);
    gate.open();
    told.eventually("asked about", |told| told.polls() == 2).await;
    told.soon("settled", settled).await;
    a_while().await;
    assert_eq!(told.polls(), 2, "twice the same event is one hint");
    told.world.is_right().await;
}

#[tokio::test]
async fn where_no_webhook_is_configured_there_is_nothing() {
    let paypal = fake().await;
    let app = TestApp::start_with("sqlite", &config(&paypal)).await;
    for (listener, method) in [(app.public, "POST"), (app.public, "GET"), (app.internal, "POST")] {
        let answer = http::send(method, listener, PATH, &[], "{}").await.expect("an answer");
        assert_eq!(answer.status, 404, "{method}");
    }
    let told = Told::approved(&["ann"]).await;
    let app = &told.world.app;
    for (listener, method, status) in
        [(app.internal, "POST", 404), (app.internal, "GET", 404), (app.public, "GET", 405)]
    {
        let answer = http::send(method, listener, PATH, &[], "{}").await.expect("an answer");
        assert_eq!(answer.status, status, "{method}: {}", answer.text());
    }
}

#[tokio::test]
async fn an_authority_that_can_not_be_read_is_said_at_the_start() {
    let paypal = fake().await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("authority.pem");
    std::fs::write(&file, "no certificate").expect("a file");
    let wrong = |id: &str, file: &str| {
        let more = format!("poll_seconds = 60\nwebhook_id = \"{id}\"\nwebhook_ca_file = \"{file}\"");
        config(&paypal).replace("poll_seconds = 5", &more)
    };
    let table = [
        (wrong(WEBHOOK_ID, &file.display().to_string()), "payouts.paypal.webhook_ca_file: failed to read"),
        (wrong(WEBHOOK_ID, "/nowhere/at/all.pem"), "payouts.paypal.webhook_ca_file: can't read /nowhere"),
        (wrong("a|b", ""), "payouts.paypal.webhook_id: "),
    ];
    for (config, says) in table {
        let directory = tempfile::tempdir().expect("a directory");
        let mut app = TestApp::prepare(directory.path(), "sqlite", &config);
        app.spawn();
        assert_eq!(app.ends().await, Some(78), "{says}");
        assert!(app.log().contains(says), "{says}: {}", app.log());
    }
}
