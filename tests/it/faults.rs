//! What is acknowledged is never lost or doubled, and prospects always arrive: real processes, real signals.
//!
//! Each test keeps the history on the client's side (sent, acknowledged, unknown), and one checker compares
//! it with the final state. `COUNTERFOIL_FAULT_ROUNDS` makes the kill test longer (its default is short).

use crate::support::app::{Partner, TestApp, Visitor, bearer};
use crate::support::gate::Gate;
use crate::support::history::{History, sums_hold};
use crate::support::http;
use crate::support::servers::{Program, Server};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// How long a person waits for a redirect.
const PATIENCE: Duration = Duration::from_mins(2);

/// What the clients know of accounts, beside the [`History`] of clicks and refusals.
#[derive(Debug, Default)]
struct Customers {
    history: History,
    /// Signups answered 2xx, with whether they were decided at once.
    signups: Mutex<Vec<(String, Option<Value>)>>,
    events: Mutex<Vec<(String, String)>>,
    numbers: AtomicU64,
}

impl Customers {
    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }
}

/// Clicks, signups and events, one after the other, until it must stop.
struct Load {
    customers: Arc<Customers>,
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(app: &TestApp, partner: &Partner, clients: usize) -> Self {
        let customers = Arc::new(Customers::default());
        let stop = Arc::new(AtomicBool::new(false));
        let (internal, link) = (app.internal, partner.link.clone());
        let client = |_| {
            let (customers, stop, link) = (Arc::clone(&customers), Arc::clone(&stop), link.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    one_customer(internal, &link, &customers).await;
                }
            })
        };
        Self { tasks: (0..clients).map(client).collect(), customers, stop }
    }
    /// Waits until so many signups were acknowledged.
    async fn until_signups(&self, count: usize) {
        let begun = Instant::now();
        while self.customers.signups.lock().await.len() < count {
            assert!(begun.elapsed() < Duration::from_mins(1), "too slow: {:?}", self.customers);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    async fn acknowledged(&self) -> usize {
        self.customers.signups.lock().await.len()
    }
    async fn end(self) -> Arc<Customers> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("a client");
        }
        self.customers
    }
}

async fn one_customer(internal: std::net::SocketAddr, link: &str, customers: &Customers) {
    let number = customers.number();
    let mut visitor = Visitor::default();
    if number.is_multiple_of(4) {
        customers.history.prefetches(&visitor, link).await;
    }
    customers.history.clicks(&mut visitor, link, PATIENCE).await;
    let account = format!("acct-{number}");
    let signup = json!({"account_id": account, "plan": "growth", "signed_up_at": "2026-01-01T09:00:00-05:00",
        "click": visitor.cfoil});
    if let Some(answer) = callback(internal, "/v1/signups", &signup, &customers.history).await {
        let decided = Some(answer).filter(|answer| answer["accepted"] != true);
        customers.signups.lock().await.push((account.clone(), decided));
    }
    let event = json!({"event_id": "e", "type": "suspended", "occurred_at": "2026-01-01T09:00:00-05:00"});
    let path = format!("/v1/accounts/{account}/events");
    if callback(internal, &path, &event, &customers.history).await.is_some() {
        customers.events.lock().await.push((account, "e".to_owned()));
    }
}

async fn callback(
    internal: std::net::SocketAddr,
    path: &str,
    body: &Value,
    history: &History,
) -> Option<Value> {
    let answer = history.callback(internal, path, body).await?;
    if !(200..300).contains(&answer.status) {
        history.was_refused(&answer).await;
        return None;
    }
    Some(answer.json())
}

/// Everything acknowledged is there, once, as it was acknowledged.
async fn check(app: &TestApp, partner: &Partner, customers: &Customers) {
    app.settles().await;
    let signups = customers.signups.lock().await;
    for (account, decided) in signups.iter() {
        let known = decided_account(app, account).await;
        if let Some(decided) = decided {
            assert_eq!(known["attribution"]["click_id"], decided["click_id"], "{account}: {known}");
            assert_eq!(known["attribution"]["reason"], decided["reason"], "{account}: {known}");
        }
    }
    for (account, event) in customers.events.lock().await.iter() {
        let known = app.get(&format!("/v1/accounts/{account}")).await.expect_status(200).json();
        let events = known["history"].as_array().expect("a list");
        let same = events.iter().filter(|known| known["event_id"] == **event).count();
        assert_eq!(same, 1, "{account}: {known}");
    }
    sums_hold(app).await;
    let path = format!("/v1/stats?affiliate_id={}&from=2025-12-31&to=2026-01-02&by=day", partner.id);
    let stats = app.get(&path).await.expect_status(200).json();
    let human = stats["clicks"]["human"].as_u64().expect("a count");
    let history = &customers.history;
    let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
    // A busy machine may not let a few clicks into the journal in time; then they are counted.
    let dropped = app.metric(r#"counterfoil_clicks_dropped_total{reason="journal_busy"}"#).await;
    assert!(dropped * 20 <= load(&history.clicks_redirected), "{dropped} of {history:?} dropped");
    assert!(human + dropped >= load(&history.clicks_redirected), "lost clicks: {human} of {history:?}");
    assert!(human <= load(&history.clicks_sent), "doubled clicks: {human} of {history:?}");
}

/// An account once it is decided: what was taken with a 202 is decided soon after.
async fn decided_account(app: &TestApp, account: &str) -> Value {
    let begun = Instant::now();
    loop {
        let answer = app.get(&format!("/v1/accounts/{account}")).await;
        if answer.status == 200 && !answer.json()["attribution"].is_null() {
            return answer.json();
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{account} is lost: {}", answer.text());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn killed_at_random_moments(mut app: TestApp) {
    let rounds =
        std::env::var("COUNTERFOIL_FAULT_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    let partner = app.partner("kim").await;
    let load = Load::start(&app, &partner, 8);
    for round in 0..rounds {
        let before = load.acknowledged().await;
        load.until_signups(before + 40 + 17 * (round % 7)).await;
        app.kill();
        let begun = Instant::now();
        app.spawn();
        app.wait_until_ready().await;
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(6), "ready after {took:?}");
    }
    let before = load.acknowledged().await;
    load.until_signups(before + 20).await;
    let customers = load.end().await;
    let history = &customers.history;
    assert_eq!(*history.refused.lock().await, Vec::<String>::new());
    assert_eq!(history.clicks_refused.load(Ordering::Relaxed), 0);
    check(&app, &partner, &customers).await;
}

#[tokio::test]
async fn sigkill_loses_and_doubles_nothing_embedded() {
    killed_at_random_moments(TestApp::start().await).await;
}

#[tokio::test]
async fn sigkill_loses_and_doubles_nothing_on_redis() {
    let redis = Server::start(Program::Redis, &[]);
    killed_at_random_moments(TestApp::start_with(&redis.url(), "").await).await;
}

/// Redis goes away and comes back under load: nobody notices but the journal.
async fn redis_fails(fail: impl AsyncFnOnce(&mut Server)) {
    let mut redis = Server::start(Program::Redis, &[]);
    let app = TestApp::start_with(&redis.url(), "").await;
    let partner = app.partner("ray").await;
    let load = Load::start(&app, &partner, 8);
    load.until_signups(100).await;
    fail(&mut redis).await;
    let before = load.acknowledged().await;
    load.until_signups(before + 100).await;
    let customers = load.end().await;
    let history = &customers.history;
    let none = |count: &AtomicU64| count.load(Ordering::Relaxed) == 0;
    assert!(none(&history.clicks_unknown) && none(&history.clicks_refused), "{history:?}");
    assert_eq!(*history.refused.lock().await, Vec::<String>::new());
    let slowest = history.slowest_callback_ms.load(Ordering::Relaxed);
    assert!(slowest < 2_000, "a callback took {slowest} ms");
    let begun = Instant::now();
    app.settles().await;
    assert!(begun.elapsed() < Duration::from_secs(10), "applied after {:?}", begun.elapsed());
    // After a wipe, signups wait to be decided until a person says that all nodes are in.
    app.post("/v1/store/confirm", &json!({})).await.expect_status(200);
    check(&app, &partner, &customers).await;
}

#[tokio::test]
async fn redis_killed_and_restarted_under_load() {
    redis_fails(async |redis| {
        redis.kill();
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        redis.start_again();
    })
    .await;
}

#[tokio::test]
async fn redis_paused_under_load() {
    redis_fails(async |redis| {
        redis.pause();
        tokio::time::sleep(Duration::from_secs(3)).await;
        redis.resume();
    })
    .await;
}

#[tokio::test]
async fn redis_flushed_under_load() {
    redis_fails(async |redis| redis.operate::<()>(&["FLUSHALL"])).await;
}

#[tokio::test]
async fn a_thousand_copies_over_two_nodes_have_one_effect() {
    let redis = Server::start(Program::Redis, &[]);
    let (first, second) = two_nodes(&redis).await;
    let partner = first.partner("two").await;
    let mut visitor = Visitor::default();
    visitor.clicks(&partner.link).await.expect_status(302);
    let body = json!({"account_id": "one", "plan": "growth", "signed_up_at": "2026-01-01T09:00:00-05:00",
        "click": visitor.cfoil})
    .to_string();
    let copies = (0..16).map(|client| {
        let (body, to) = (body.clone(), if client % 2 == 0 { first.internal } else { second.internal });
        tokio::spawn(async move {
            let mut answers = Vec::new();
            for _ in 0..63 {
                answers.push(http::post(to, "/v1/signups", &bearer(), body.clone()).await);
            }
            answers
        })
    });
    let mut answers = Vec::new();
    for client in copies.collect::<Vec<_>>() {
        answers.extend(client.await.expect("a client"));
    }
    let created = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(created, 1, "one is the first");
    for answer in &answers {
        assert!([200, 201].contains(&answer.status), "{} {}", answer.status, answer.text());
        assert_eq!(answer.body, answers[0].body);
    }
    for app in [&first, &second] {
        app.settles().await;
        let account = app.get("/v1/accounts/one").await.expect_status(200).json();
        assert_eq!(account["attribution"]["affiliate_id"], json!(partner.id));
    }
    let stats = second.get("/v1/accounts").await.expect_status(200).json();
    assert_eq!(stats["data"].as_array().expect("a list").len(), 1);
}

#[tokio::test]
async fn a_wiped_redis_is_rebuilt_to_the_same_statements() {
    let redis = Server::start(Program::Redis, &[]);
    let mut app = TestApp::start_with(&redis.url(), "").await;
    let partner = app.partner("wim").await;
    for account in ["a", "b", "c"] {
        app.refers(&partner, account).await.expect_status(201);
    }
    app.night_of("2026-05-04T04:15:00-04:00").await;
    app.happens("b", "late", "canceled", "2026-01-05T10:00:00-05:00").await.expect_status(201);
    app.night_of("2026-05-10T04:15:00-04:00").await;
    let before = app.statements("").await;
    let proof = app.get("/v1/verify").await.expect_status(200).json();
    assert_eq!(proof["untouched"], true, "{proof}");
    redis.operate::<()>(&["FLUSHALL"]);
    let begun = Instant::now();
    while app.get("/v1/accounts/c").await.status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(10), "not rebuilt: {}", app.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    app.settles().await;
    let waits = app.post("/v1/aggregate", &json!({"as_of": "2026-05-10T04:15:00-04:00"})).await;
    assert_eq!(waits.status, 409, "no month closes before a person confirms: {}", waits.text());
    app.post("/v1/store/confirm", &json!({})).await.expect_status(200);
    statements_come_back(&app, &before).await;
    app.night_of("2026-05-10T04:15:00-04:00").await;
    assert_eq!(app.statements("").await, before);
    let proof = app.get("/v1/verify").await.expect_status(200).json();
    assert_eq!(proof["untouched"], true, "{proof}");
}

#[tokio::test]
async fn a_lost_embedded_store_is_rebuilt_to_the_same_statements() {
    let mut app = TestApp::start().await;
    let partner = app.partner("lou").await;
    app.refers(&partner, "a").await.expect_status(201);
    app.night_of("2026-05-04T04:15:00-04:00").await;
    let before = app.statements("").await;
    assert_eq!(app.stop().await, Some(0));
    app.loses_its_store();
    app.run().await;
    statements_come_back(&app, &before).await;
    app.night_of("2026-05-04T04:15:00-04:00").await;
    assert_eq!(app.statements("").await, before);
}

/// Waits until a refilled store has all statements, those of open months too, without any night.
async fn statements_come_back(app: &TestApp, before: &[Value]) {
    assert!(before.iter().any(|statement| statement["closed_at"].is_null()), "one of an open month");
    let begun = Instant::now();
    let runs = async || app.get("/v1/aggregate").await.json()["running"] == true;
    while app.statements("").await != before || runs().await {
        assert!(begun.elapsed() < Duration::from_secs(10), "they don't come back: {}", app.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn what_staff_did_on_one_node_to_what_another_node_knows_survives_a_wipe() {
    let redis = Server::start(Program::Redis, &[]);
    let (first, second) = two_nodes(&redis).await;
    let partner = first.partner("una").await;
    first.refers(&partner, "a").await.expect_status(201);
    second.post("/v1/accounts/a/reject", &json!({"reason": "not theirs"})).await.expect_status(200);
    let suspend = format!("/v1/affiliates/{}/suspend", partner.id);
    second.post(&suspend, &json!({"reason": "looked at"})).await.expect_status(200);
    let reinstate = format!("/v1/affiliates/{}/reinstate", partner.id);
    let begun = Instant::now();
    while first.post(&reinstate, &json!({"reason": "fine"})).await.status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(10), "the first node does not hear of the suspension");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    redis.operate::<()>(&["FLUSHALL"]);
    let begun = Instant::now();
    loop {
        let account = second.get("/v1/accounts/a").await;
        let affiliate = second.get(&format!("/v1/affiliates/{}", partner.id)).await;
        let rejected = account.status == 200 && !account.json()["rejected_since"].is_null();
        let steps = if affiliate.status == 200 { affiliate.json()["history"].clone() } else { Value::Null };
        let reinstated =
            steps.as_array().is_some_and(|steps| steps.iter().any(|step| step["status"] == "suspended"))
                && affiliate.json()["status"] == "active";
        if rejected && reinstated {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(15), "{} {}", account.text(), affiliate.text());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn what_staff_do_is_not_refused_for_good_while_the_store_is_filled_again() {
    let redis = Server::start(Program::Redis, &[]);
    let app = TestApp::start_with(&redis.url(), "").await;
    app.signs_up(&Visitor::default(), "nobodys", "growth").await.expect_status(201);
    let why = json!({"affiliate_id": "aff_0000000000001", "reason": "a call"});
    let reason = json!({"reason": "a look"});
    let acts = [
        ("/v1/accounts/nobodys/attribution", &why, (404, "unknown_affiliate")),
        ("/v1/accounts/nobodys/hold", &reason, (409, "not_referred")),
        ("/v1/accounts/unknown/hold", &reason, (404, "unknown_account")),
        ("/v1/affiliates/aff_0000000000001/suspend", &reason, (404, "unknown_affiliate")),
    ];
    let answers = async |expected: Option<(u16, &str)>| {
        for (path, body, refusal) in acts {
            let (status, code) = expected.unwrap_or(refusal);
            let answer = app.post(path, body).await.expect_status(status);
            assert_eq!(answer.json()["code"], code, "{path}");
        }
    };
    app.settles().await;
    answers(None).await;
    redis.operate::<()>(&["FLUSHALL"]);
    let begun = Instant::now();
    while !app.get("/readyz").await.text().contains("found empty")
        || app.get("/v1/accounts/nobodys").await.status != 200
    {
        assert!(begun.elapsed() < Duration::from_secs(10), "nobody notices: {}", app.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Another node may hold what this one does not find.
    answers(Some((503, "store_unavailable"))).await;
    app.post("/v1/store/confirm", &json!({})).await.expect_status(200);
    app.settles().await;
    answers(None).await;
}

/// Two servers with the same keys on one Redis.
async fn two_nodes(redis: &Server) -> (TestApp, TestApp) {
    let first = TestApp::start_with(&redis.url(), "").await;
    let second = TestApp::start_beside(&first, &redis.url(), "").await;
    (first, second)
}

#[tokio::test]
async fn a_lost_embedded_store_is_rebuilt_by_the_command() {
    let mut app = TestApp::start().await;
    let partner = app.partner("reb").await;
    app.refers(&partner, "a").await.expect_status(201);
    app.night_of("2026-05-04T04:15:00-04:00").await;
    let before = app.statements("").await;
    assert_eq!(app.stop().await, Some(0));
    app.loses_its_store();
    let rebuilt = std::process::Command::new(env!("CARGO_BIN_EXE_counterfoil"))
        .args(["rebuild", "--json", "--config"])
        .arg(app.config())
        .arg("--journal")
        .arg(app.data_dir())
        .output()
        .expect("counterfoil runs");
    assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    let report: Value = serde_json::from_slice(&rebuilt.stdout).expect("JSON");
    assert_eq!(report["clicks"], 1, "{report}");
    app.run().await;
    assert_eq!(app.statements("").await, before, "open months are projected again as well");
}

/// Asks for a night, which need not end.
fn begin_night(app: &TestApp, as_of: &str) -> JoinHandle<Option<http::Answer>> {
    let (to, asked) = (app.internal, json!({"as_of": as_of}).to_string());
    tokio::spawn(async move {
        let mut headers = bearer();
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
        http::send("POST", to, "/v1/aggregate", &headers, asked).await
    })
}

#[tokio::test]
async fn a_night_killed_between_its_steps_ends_with_the_same_bytes() {
    let dir = tempfile::tempdir().expect("a directory");
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    std::fs::create_dir_all(&first).expect("a directory");
    let mut app = TestApp::prepare(&first, "sqlite", "");
    app.run().await;
    for number in 0..40 {
        let partner = app.partner(&format!("p{number}")).await;
        let mut visitor = Visitor::default();
        visitor.clicks(&partner.link).await;
        for account in 0..3 {
            app.signs_up(&visitor, &format!("a{number}-{account}"), "growth").await.expect_status(201);
        }
    }
    assert_eq!(app.stop().await, Some(0));
    copy_dir(&first, &second);
    let mut whole = TestApp::prepare(&second, "sqlite", "");
    whole.run().await;
    let as_of = "2026-05-04T04:15:00-04:00";
    whole.night_of(as_of).await;
    let expected = whole.statements("").await;

    app.run().await;
    for round in 0..6_u64 {
        app.set_now(as_of).await;
        let night = begin_night(&app, as_of);
        tokio::time::sleep(Duration::from_millis(3 + 9 * round)).await;
        app.kill();
        night.await.expect("a request");
        app.run().await;
    }
    // The killed run's lease ends by itself.
    let begun = Instant::now();
    app.set_now(as_of).await;
    while app.post("/v1/aggregate", &json!({"as_of": as_of})).await.status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(45), "the lease does not end");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(app.statements("").await, expected);
    let proof = app.get("/v1/verify").await.expect_status(200).json();
    assert_eq!(proof["untouched"], true, "{proof}");
}

#[tokio::test]
async fn sigterm_in_the_middle_of_a_night_ends_soon_and_the_next_night_goes_on() {
    let mut app = TestApp::start().await;
    for number in 0..30 {
        let partner = app.partner(&format!("p{number}")).await;
        app.refers(&partner, &format!("a{number}")).await.expect_status(201);
    }
    let as_of = "2026-05-04T04:15:00-04:00";
    app.set_now(as_of).await;
    let night = begin_night(&app, as_of);
    tokio::time::sleep(Duration::from_millis(10)).await;
    let begun = Instant::now();
    assert_eq!(app.stop().await, Some(0));
    assert!(begun.elapsed() < Duration::from_secs(30), "it took {:?}", begun.elapsed());
    night.await.expect("a request");
    app.run().await;
    app.night_of(as_of).await;
    let april = app.statements("&month=2026-04").await;
    assert_eq!(april.len(), 30);
    assert!(april.iter().all(|statement| statement["total"] == "99.00"), "{april:?}");
}

#[tokio::test]
async fn a_night_comes_by_itself_and_one_of_two_nodes_makes_it() {
    let redis = Server::start(Program::Redis, &[]);
    let (one, two) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let mut nodes = Vec::new();
    for dir in [&one, &two] {
        let mut app = TestApp::prepare(dir.path(), &redis.url(), "");
        app.environment.push(("COUNTERFOIL__AGGREGATE__AT", "04:15".to_owned()));
        if !nodes.is_empty() {
            std::fs::create_dir_all(app.data_dir()).expect("a directory");
            copy_dir(&one.path().join("data/keys"), &app.data_dir().join("keys"));
        }
        app.run().await;
        nodes.push(app);
    }
    let partner = nodes[0].partner("sam").await;
    nodes[0].refers(&partner, "a").await.expect_status(201);
    for node in &mut nodes {
        node.set_now("2026-01-02T04:15:01-05:00").await;
    }
    let begun = Instant::now();
    while nodes[1].statements("").await.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20), "no night came");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Both have looked at the clock by then; the second saw that the night was made.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut runs = 0;
    for node in &nodes {
        runs += node.metric(r#"counterfoil_runs_total{outcome="done"}"#).await;
    }
    assert_eq!(runs, 1, "one night is made once");
}

fn copy_dir(from: &std::path::Path, to: &std::path::Path) {
    let done = std::process::Command::new("cp").arg("-a").args([from, to]).status().expect("cp runs");
    assert!(done.success());
}

#[tokio::test]
async fn a_restored_disk_takes_a_new_epoch_and_skips_nothing() {
    let redis = Server::start(Program::Redis, &[]);
    let dir = tempfile::tempdir().expect("a directory");
    let mut app = TestApp::prepare(dir.path(), &redis.url(), "");
    app.run().await;
    let partner = app.partner("old").await;
    assert_eq!(app.stop().await, Some(0));
    let (data, backup) = (app.data_dir(), dir.path().join("backup"));
    copy_dir(&data, &backup);
    app.run().await;
    for account in ["a", "b"] {
        app.signs_up(&Visitor::default(), account, "growth").await.expect_status(201);
    }
    app.settles().await;
    assert_eq!(app.stop().await, Some(0));
    std::fs::remove_dir_all(&data).expect("it was there");
    copy_dir(&backup, &data);
    app.run().await;
    let new = app.refers(&partner, "c").await.expect_status(201).json();
    assert_eq!(new["attributed"], true);
    app.settles().await;
    for account in ["a", "b", "c"] {
        app.get(&format!("/v1/accounts/{account}")).await.expect_status(200);
    }
}

/// An old copy of the disk runs for a while under the node's id; the real disk comes back with facts that wait.
#[tokio::test]
async fn a_backlog_is_not_skipped_when_an_old_copy_of_the_disk_went_further() {
    let mut redis = Server::start(Program::Redis, &[]);
    let dir = tempfile::tempdir().expect("a directory");
    let mut app = TestApp::prepare(dir.path(), &redis.url(), "");
    app.run().await;
    let partner = app.partner("old").await;
    assert_eq!(app.stop().await, Some(0));
    let (data, backup, real) = (app.data_dir(), dir.path().join("backup"), dir.path().join("real"));
    copy_dir(&data, &backup);
    app.run().await;
    let signs_up = async |app: &TestApp, account: &str, status: u16| {
        app.refers(&partner, account).await.expect_status(status);
    };
    signs_up(&app, "a", 201).await;
    app.settles().await;
    redis.kill();
    for account in ["b", "c", "d", "e"] {
        signs_up(&app, account, 202).await;
    }
    app.kill();
    redis.start_again();
    std::fs::rename(&data, &real).expect("it was there");
    copy_dir(&backup, &data);
    app.run().await;
    for account in ["f", "g", "h", "i", "j", "k"] {
        signs_up(&app, account, 201).await;
    }
    app.settles().await;
    app.kill();
    std::fs::remove_dir_all(&data).expect("it was there");
    std::fs::rename(&real, &data).expect("it was there");
    app.run().await;
    app.settles().await;
    for account in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"] {
        let account = decided_account(&app, account).await;
        assert_eq!(account["attribution"]["affiliate_id"], json!(partner.id), "{account}");
    }
    let path = format!("/v1/stats?affiliate_id={}&from=2025-12-31&to=2026-01-02&by=day", partner.id);
    assert_eq!(app.get(&path).await.json()["clicks"]["total"], 11, "each click counts once");
}

/// It answers, whether or not it has met its store.
async fn until_it_answers(app: &TestApp) {
    let begun = Instant::now();
    while http::try_get(app.internal, "/healthz", &[]).await.is_none() {
        assert!(begun.elapsed() < Duration::from_secs(10), "not up: {}", app.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Restored, it takes facts and clicks while the store is away, is killed, and takes more before it meets the store; then
/// it is killed again at once. All of that counts once, also after a wipe.
#[tokio::test]
async fn a_restored_disk_that_is_killed_while_the_store_is_away_loses_nothing_and_doubles_nothing() {
    let mut redis = Server::start(Program::Redis, &[]);
    let dir = tempfile::tempdir().expect("a directory");
    let mut app = TestApp::prepare(dir.path(), &redis.url(), "");
    app.run().await;
    let partner = app.partner("old").await;
    let path = format!("/v1/stats?affiliate_id={}&from=2025-12-31&to=2026-01-02&by=day", partner.id);
    let clicks = async |app: &TestApp| app.get(&path).await.json()["clicks"]["total"].clone();
    assert_eq!(app.stop().await, Some(0));
    let (data, backup) = (app.data_dir(), dir.path().join("backup"));
    copy_dir(&data, &backup);
    app.run().await;
    for account in ["a", "b", "c", "d", "e"] {
        app.refers(&partner, account).await.expect_status(201);
    }
    app.settles().await;
    assert_eq!(app.stop().await, Some(0));
    redis.kill();
    std::fs::remove_dir_all(&data).expect("it was there");
    copy_dir(&backup, &data);
    for account in ["f", "g"] {
        app.spawn();
        until_it_answers(&app).await;
        app.refers(&partner, account).await.expect_status(202);
        app.kill();
    }
    redis.start_again();
    app.spawn();
    until_it_answers(&app).await;
    app.kill();
    app.run().await;
    for account in ["a", "b", "c", "d", "e", "f", "g"] {
        assert_eq!(
            decided_account(&app, account).await["attribution"]["affiliate_id"],
            json!(partner.id),
            "{account}"
        );
    }
    app.settles().await;
    assert_eq!(clicks(&app).await, 7);
    // What the restored disk lacks is gone with the store; what it has counts once.
    redis.operate::<()>(&["FLUSHALL"]);
    assert_eq!(app.stop().await, Some(0));
    app.run().await;
    app.settles().await;
    app.post("/v1/store/confirm", &json!({})).await.expect_status(200);
    for account in ["f", "g"] {
        assert_eq!(
            decided_account(&app, account).await["attribution"]["affiliate_id"],
            json!(partner.id),
            "{account}"
        );
    }
    assert_eq!(clicks(&app).await, 2);
    let proof = app.get("/v1/verify").await.expect_status(200).json();
    assert_eq!(proof["untouched"], true, "{proof}");
}

#[tokio::test]
async fn sigterm_finishes_what_is_in_flight_and_exits_0() {
    let mut app = TestApp::start().await;
    let partner = app.partner("tom").await;
    let load = Load::start(&app, &partner, 4);
    load.until_signups(50).await;
    // The load goes on: from some moment on its connections are refused, but nothing taken in is lost.
    assert_eq!(app.stop().await, Some(0));
    let customers = load.end().await;
    let history = &customers.history;
    assert_eq!(history.clicks_refused.load(Ordering::Relaxed), 0);
    let refused = history.refused.lock().await;
    assert!(refused.iter().all(|answer| answer.starts_with("503")), "{refused:?}");
    drop(refused);
    app.run().await;
    check(&app, &partner, &customers).await;
}

/// Redis is emptied between two requests of a night that closes a month, and is refilled while the night reads.
#[tokio::test]
async fn a_night_closes_no_month_by_what_is_left_of_a_redis_that_is_emptied_meanwhile() {
    const FEBRUARY: &str = "2026-02-10T04:15:00-05:00";
    let redis = Server::start(Program::Redis, &[]);
    let gate = Gate::before(redis.port, "undecided").await;
    let dir = tempfile::tempdir().expect("a directory");
    let mut app = TestApp::prepare(dir.path(), &gate.url(), "");
    // So long it waits at the gate.
    app.environment.push(("COUNTERFOIL__STORE__TIMEOUT_MS", "10000".to_owned()));
    app.run().await;
    let partner = app.partner("ann").await;
    for number in 0..30 {
        let signup = json!({"account_id": format!("a{number}"), "plan": "growth", "code": partner.code,
            "signed_up_at": "2025-10-15T09:00:00-04:00"});
        app.post("/v1/signups", &signup).await.expect_status(201);
    }
    app.settles().await;
    app.set_now(FEBRUARY).await;
    gate.swallow_after(1);
    let asked = json!({"as_of": FEBRUARY}).to_string();
    let internal = app.internal;
    let night = tokio::spawn(async move { http::post(internal, "/v1/aggregate", &bearer(), asked).await });
    gate.is_swallowing().await;
    redis.operate::<()>(&["FLUSHALL"]);
    gate.open();
    let night = night.await.expect("it is answered");
    assert!(matches!(night.status, 409 | 503), "{}", night.text());
    app.post("/v1/store/confirm", &json!({})).await.expect_status(200);
    app.settles().await;
    let closed = app.statements("").await.into_iter().filter(|one| one["status"] == "closed");
    assert_eq!(closed.count(), 0, "{}", app.log());
    app.night_of(FEBRUARY).await;
    let january = app.statements("&month=2026-01").await;
    assert_eq!((january.len(), &january[0]["active_accounts"]), (1, &json!(30)));
    assert_eq!(january[0]["total"], "4470.00");
}

/// Redis is killed after one of a night's requests, each in turn, and comes back with what it had then, or before the
/// night: what it lost of projections, of what the night left, and of facts, the next night computes.
#[tokio::test]
async fn a_redis_killed_at_any_step_of_a_night_has_what_it_lost_computed_by_the_next() {
    let mut redis = Server::start(Program::Redis, &["--appendonly", "no"]);
    let gate = Gate::before(redis.port, "d:night").await;
    let dir = tempfile::tempdir().expect("a directory");
    let mut app = TestApp::prepare(dir.path(), &gate.url(), "");
    // On a machine that is busy with other tests.
    app.environment.push(("COUNTERFOIL__STORE__TIMEOUT_MS", "1000".to_owned()));
    app.run().await;
    for name in ["ana", "ben", "cho", "dan"] {
        let partner = app.partner(name).await;
        app.refers(&partner, name).await.expect_status(201);
    }
    app.night_of("2026-04-05T04:15:00-04:00").await;
    let (mut day, mut interrupted) = (5, 0);
    for step in 1..=6 {
        for is_back in [false, true] {
            day += 1;
            let had_the_step = interrupted_night(&mut app, &mut redis, &gate, (step, day), is_back).await;
            interrupted += u32::from(had_the_step);
        }
    }
    assert!(interrupted >= 6, "nights have more steps than {interrupted} of 12 times");
}

/// Whether a night had a step of this number; all is as it should be after the next one. `is_back`: with what Redis had
/// when it was killed.
async fn interrupted_night(
    app: &mut TestApp,
    redis: &mut Server,
    gate: &Gate,
    (step, day): (i64, u32),
    is_back: bool,
) -> bool {
    let as_of = |hour: &str| format!("2026-04-{day:02}T{hour}:15:00-04:00");
    redis.operate::<()>(&["SAVE"]);
    app.set_now(&as_of("04")).await;
    let kind = if day % 2 == 0 { "suspended" } else { "activated" };
    for account in ["ana", "ben", "cho", "dan"] {
        let at = format!("2026-02-{day:02}T12:00:00Z");
        app.happens(account, &format!("e{day}"), kind, &at).await.expect_status(201);
    }
    gate.shut_after(step);
    let (internal, headers) = (app.internal, bearer());
    let asked = json!({"as_of": as_of("04"), "dry_run": false}).to_string();
    let asking = async move { http::post(internal, "/v1/aggregate", &headers, asked).await };
    let night = tokio::spawn(asking);
    let had_the_step = tokio::time::timeout(Duration::from_secs(3), gate.is_shut()).await.is_ok();
    if is_back {
        redis.operate::<()>(&["SAVE"]);
    }
    redis.kill();
    redis.start_again();
    gate.open();
    night.await.expect("it is answered");
    let dry = json!({"as_of": as_of("04"), "dry_run": true});
    let begun = Instant::now();
    while app.post("/v1/aggregate", &dry).await.status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(20), "not back: {}", app.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    app.night_of(&as_of("05")).await;
    for account in ["ana", "ben", "cho", "dan"] {
        let known = app.get(&format!("/v1/accounts/{account}")).await.expect_status(200).json();
        let events = known["history"].as_array().expect("a list").iter();
        assert_eq!(events.filter(|known| known["event_id"] == format!("e{day}")).count(), 1, "{known}");
    }
    had_the_step
}

#[tokio::test]
async fn a_store_that_lost_what_a_run_left_has_everything_computed() {
    let redis = Server::start(Program::Redis, &[]);
    let mut app = TestApp::start_with(&redis.url(), "").await;
    for name in ["ana", "ben", "cho"] {
        let partner = app.partner(name).await;
        app.refers(&partner, name).await.expect_status(201);
    }
    app.night_of("2026-02-10T04:15:00-05:00").await;
    assert_eq!(app.night_of("2026-02-11T04:15:00-05:00").await["computed"], 0);
    // A shard that fell back to an older copy of itself lacks the last that was written there, and what it has
    // of the run before is of no use.
    let nights: Vec<String> = redis.operate(&["KEYS", "*d:night*"]);
    assert!(nights.len() > 1, "{nights:?}");
    let removed: u64 = redis.operate(&["DEL", &nights[0]]);
    assert_eq!(removed, 1);
    let run = app.night_of("2026-02-12T04:15:00-05:00").await;
    assert_eq!(run["computed"], 3, "{run}");
    let older: Vec<u8> = redis.operate(&["DUMP", &nights[0]]);
    app.night_of("2026-02-13T04:15:00-05:00").await;
    let mut connection = redis.operator();
    let restored: String = ::redis::cmd("RESTORE")
        .arg(&nights[0])
        .arg(0)
        .arg(older)
        .arg("REPLACE")
        .query(&mut connection)
        .expect("the server does as told");
    assert_eq!(restored, "OK");
    let run = app.night_of("2026-02-14T04:15:00-05:00").await;
    assert_eq!(run["computed"], 3, "{run}");
    assert_eq!(app.night_of("2026-02-15T04:15:00-05:00").await["computed"], 0);

    // A shard that fell back during a run, and holds an older copy of what it says that it found.
    let summaries: Vec<String> = redis.operate(&["KEYS", "*d:summaries:*"]);
    let mut copies = Vec::new();
    for key in &summaries {
        let copy: Vec<u8> = redis.operate(&["DUMP", key]);
        copies.push((key, copy));
    }
    app.happens("ana", "e1", "canceled", "2026-02-10T12:00:00Z").await.expect_status(201);
    assert_eq!(app.night_of("2026-02-16T04:15:00-05:00").await["computed"], 1);
    for (key, copy) in copies {
        let restored: String = ::redis::cmd("RESTORE")
            .arg(key)
            .arg(0)
            .arg(copy)
            .arg("REPLACE")
            .query(&mut connection)
            .expect("the server does as told");
        assert_eq!(restored, "OK");
    }
    let run = app.night_of("2026-03-04T04:15:00-05:00").await;
    assert_eq!(run["closed"], json!(["2026-02"]));
}

/// A shard that fell back to what it had before, or forgot all, has its facts applied again: all of them, also when a
/// night asks in the middle of that whether the store has what it had, and waits for it. Other shards' cursors are ahead.
#[tokio::test]
async fn a_shard_that_forgot_is_replayed_whole_while_nights_are_asked_for() {
    let redis = Server::start(Program::Redis, &[]);
    let app = TestApp::start_with(&redis.url(), "").await;
    let event = |number| {
        json!({"kind": "event", "account_id": format!("a{number}"), "event_id": "e", "type": "suspended",
            "occurred_at": "2026-01-01T09:00:00-05:00"})
    };
    let lines: Vec<String> = (0..3_000).map(|number| event(number).to_string()).collect();
    let imported = http::post(app.internal, "/v1/import", &bearer(), lines.join("\n")).await;
    assert_eq!(imported.status, 200, "{}", imported.text());
    let partner = app.partner("ann").await;
    app.settles().await;
    // The directory's shard, with the last fact of the journal, but for what nodes say of themselves.
    let keys: Vec<String> = redis.operate(&["KEYS", "{cfdirectory}*"]);
    for key in keys.iter().filter(|key| !key.ends_with("}meta") && !key.ends_with("}nodes")) {
        redis.operate::<u64>(&["DEL", key]);
    }
    let dry = json!({"as_of": crate::support::app::BEGINNING, "dry_run": true});
    let begun = Instant::now();
    while app.post("/v1/aggregate", &dry).await.status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(20), "no night: {}", app.log());
    }
    let document = format!("{{cfdirectory}}d:affiliate:{}", partner.id);
    assert_eq!(redis.operate::<u64>(&["EXISTS", &document]), 1, "a night was made without {}", partner.id);
}
