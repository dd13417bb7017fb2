//! Nothing stands still unseen, and nothing is decided or closed while something is missing: real processes.

mod support;

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::app::{TestApp, Visitor};
use support::disk::Disk;
use support::gate::Gate;
use support::servers::{Program, Server};

/// Waits until a node answers what is wanted.
async fn until(what: &str, app: &TestApp, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let answer = app.get(path).await;
        if answer.status < 300 && wanted(&answer.json()) {
            return answer.json();
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}: {} {}", answer.text(), app.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_redis_emptied_while_nobody_clicks_has_the_visits_back_before_it_is_confirmed() {
    let redis = Server::start(Program::Redis, &[]);
    let first = TestApp::start_with(&redis.url(), "").await;
    let second = TestApp::start_beside(&first, &redis.url(), "").await;
    let (ann, ben) = (first.partner("ann").await, first.partner("ben").await);
    // The journal of each node holds some of the visits, the second one nothing else.
    let mut visitor = Visitor::default();
    for (link, node) in [(&ann.link, &second), (&ben.link, &second), (&ann.link, &first), (&ben.link, &first)]
    {
        let path = link.split("/r/").nth(1).expect("a token");
        visitor.clicks(&format!("http://{}/r/{path}", node.public)).await.expect_status(302);
    }
    let by_cookie = Visitor { cfoil: None, ..visitor };
    for node in [&first, &second] {
        node.settles().await;
    }
    let considered = |account: Value| account["attribution"].clone();
    first.signs_up(&by_cookie, "before", "growth").await.expect_status(201);
    let before = considered(first.get("/v1/accounts/before").await.json());
    first.settles().await;

    for round in 0..3 {
        redis.operate::<()>(&["FLUSHALL"]);
        first.signs_up(&by_cookie, &format!("early{round}"), "growth").await;
        first.post("/v1/store/confirm", &json!({})).await.expect_status(200);
        first.signs_up(&by_cookie, &format!("late{round}"), "growth").await;
        for account in ["early", "late"] {
            let path = format!("/v1/accounts/{account}{round}");
            let known = until("decided", &first, &path, |known| !known["attribution"].is_null()).await;
            assert_eq!(considered(known), before, "{account}{round}: {}", first.log());
        }
    }
}

#[tokio::test]
async fn a_store_is_not_confirmed_before_the_nodes_that_live_are_in() {
    let redis = Server::start(Program::Redis, &[]);
    let first = TestApp::start_with(&redis.url(), "").await;
    let mut second = TestApp::start_beside(&first, &redis.url(), "").await;
    let partner = second.partner("ann").await;
    Visitor::default().clicks(&partner.link).await.expect_status(302);
    second.settles().await;
    redis.operate::<()>(&["FLUSHALL"]);
    let nodes = until("it is heard of", &first, "/v1/nodes", |nodes| {
        nodes["data"].as_array().is_some_and(|nodes| nodes.len() == 2)
    })
    .await;
    assert!(nodes["data"].is_array());
    // It dies with what it knows, and the store forgets that as well.
    second.kill();
    let keys: Vec<String> = redis.operate(&["KEYS", "*cursors*"]);
    for key in keys {
        redis.operate::<u64>(&["DEL", &key]);
    }
    let refused = first.post("/v1/store/confirm", &json!({})).await.expect_status(409).json();
    assert_eq!(refused["code"], "not_all_in");
    assert!(first.log().contains("has replayed 0 of"), "{}", first.log());
    second.run().await;
    first.post("/v1/store/confirm", &json!({})).await.expect_status(200);
}

#[tokio::test]
async fn months_close_beside_a_node_without_facts_and_one_whose_last_fact_was_refused() {
    let redis = Server::start(Program::Redis, &[]);
    let mut first = TestApp::start_with(&redis.url(), "").await;
    let mut second = TestApp::start_beside(&first, &redis.url(), "").await;
    let partner = first.partner("ann").await;
    let mut visitor = Visitor::default();
    visitor.clicks(&partner.link).await;
    first.signs_up(&visitor, "a", "growth").await.expect_status(201);
    // Their hearts beat by the clocks that the test sets.
    second.set_now("2026-02-10T04:15:00-05:00").await;
    let run = first.night_of("2026-02-10T04:15:00-05:00").await;
    assert_eq!((&run["nodes_behind"], &run["closed"]), (&json!([]), &json!(["2026-01"])), "{run}");
    let taken = json!({"name": "ann", "email": "ann@partners.example", "active": true,
        "agreement_accepted_at": "2025-01-01T00:00:00Z"});
    second.post("/v1/affiliates", &taken).await.expect_status(409);
    second.set_now("2026-03-10T04:15:00-05:00").await;
    let run = first.night_of("2026-03-10T04:15:00-05:00").await;
    assert_eq!((&run["nodes_behind"], &run["closed"]), (&json!([]), &json!(["2026-02"])), "{run}");
}

#[tokio::test]
async fn no_month_closes_over_what_a_node_that_died_just_now_had_acknowledged() {
    let redis = Server::start(Program::Redis, &[]);
    let gate = Gate::before(redis.port, "never").await;
    let mut first = TestApp::start_with(&redis.url(), "").await;
    let mut second = TestApp::start_beside(&first, &gate.url(), "").await;
    let partner = second.partner("ann").await;
    let mut visitor = Visitor::default();
    visitor.clicks(&partner.link).await;
    first.signs_up(&visitor, "a", "growth").await.expect_status(201);
    let as_of = json!({"as_of": "2026-02-10T04:15:00-05:00"});
    for app in [&mut second, &mut first] {
        app.set_now("2026-02-10T04:15:00-05:00").await;
    }
    until("it told by the new clock", &first, "/v1/doctor", |doctor| {
        !doctor.to_string().contains("behind or silent")
    })
    .await;
    // It takes in a fact that it can tell nobody of, and dies.
    gate.shut();
    second.happens("a", "e1", "canceled", "2026-01-15T12:00:00-05:00").await.expect_status(202);
    second.kill();
    let run = first.post("/v1/aggregate", &as_of).await.expect_status(200).json();
    assert_eq!(run["closed"], json!([]), "{run}");
    assert_eq!(run["nodes_behind"].as_array().map(Vec::len), Some(1), "{run}");
    gate.open();
    second.run().await;
    let run = first.night_of("2026-02-10T04:15:00-05:00").await;
    assert_eq!(run["closed"], json!(["2026-01"]), "{run}");
    assert_eq!(first.statements("&month=2026-01").await[0]["active_accounts"], 0);
}

/// Writes rubbish over the page of an embedded store that holds a document.
fn damage(file: &std::path::Path, name: &str) {
    const PAGE: usize = 4_096;
    /// The first byte of a page that holds rows of a table.
    const ROWS: u8 = 0x0d;
    let connection = rusqlite::Connection::open(file).expect("the store");
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("all in one file");
    drop(connection);
    let mut bytes = std::fs::read(file).expect("the store");
    let holds =
        |page: &[u8]| page[0] == ROWS && page.windows(name.len()).any(|found| found == name.as_bytes());
    let page = bytes.chunks_exact_mut(PAGE).find(|page| holds(page)).expect("a page with the document");
    page.fill(0xff);
    std::fs::write(file, bytes).expect("the store");
}

#[tokio::test]
async fn a_damaged_page_that_every_fact_waits_for_is_seen_everywhere_within_five_seconds() {
    let mut app = TestApp::start().await;
    // So many that they take many pages.
    for account in (0..60).map(|number| format!("a{number}")).chain(["victim".to_owned()]) {
        app.signs_up(&Visitor::default(), &account, "growth").await.expect_status(201);
    }
    app.settles().await;
    assert_eq!(app.stop().await, Some(0));
    damage(&app.data_dir().join("store.sqlite"), "account:victim");
    app.run().await;
    app.happens("victim", "e1", "canceled", "2026-01-01T09:00:00-05:00").await.expect_status(202);
    let begun = Instant::now();
    let facts = |ready: &Value| {
        let checks = ready["checks"].as_array().expect("checks").clone();
        checks.into_iter().find(|check| check["check"] == "facts").expect("a check")
    };
    let ready = until("it is seen", &app, "/readyz", |ready| facts(ready)["ok"] == false).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "after {:?}", begun.elapsed());
    let text = facts(&ready)["text"].as_str().expect("a text").to_owned();
    for part in ["the fact at position ", " waits for ", "malformed", "remove the file"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(ready["status"], "degraded");
    let doctor = app.get("/v1/doctor").await.expect_status(200).text();
    assert!(doctor.contains("the fact at position "), "{doctor}");
    let unproved = app.get("/v1/verify").await.expect_status(409).json();
    assert_eq!(unproved["code"], "not_replayed");
    let standstill = r#"counterfoil_journal_standstill_seconds{log="facts"}"#;
    assert!(app.metric(standstill).await >= 2);
    assert!(app.log().contains("it stands still: the fact at position "), "{}", app.log());
    // One line when it begins, and one a minute: not one at each try.
    assert!(app.log().lines().count() < 20, "{}", app.log());
    let page = app.get("/metrics").await.expect_status(200).text();
    assert!(page.contains(r#"counterfoil_journal_standstill_seconds{log="clicks"} 0"#), "{page}");
}

#[tokio::test]
async fn no_month_closes_on_a_redis_that_may_forget_or_has_forgotten() {
    let redis = Server::start(Program::Redis, &[]);
    let mut app = TestApp::start_with(&redis.url(), "").await;
    let partner = app.partner("ann").await;
    let mut visitor = Visitor::default();
    visitor.clicks(&partner.link).await;
    app.signs_up(&visitor, "a", "growth").await.expect_status(201);
    for policy in ["allkeys-lru", "volatile-ttl"] {
        redis.operate::<()>(&["CONFIG", "SET", "maxmemory-policy", policy]);
        let run = app.night_of("2026-02-10T04:15:00-05:00").await;
        assert_eq!(run["closed"], json!([]), "{run}");
        assert!(run["store_forgets"].as_str().is_some_and(|why| why.contains(policy)), "{run}");
        let doctor = app.get("/v1/doctor").await.expect_status(200).text();
        assert!(doctor.contains(policy), "{doctor}");
    }
    let begun = Instant::now();
    while !app.log().contains("no month closes on a store that forgets") {
        assert!(begun.elapsed() < Duration::from_secs(10), "{}", app.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // What it forgot before it was set right is gone.
    redis.operate::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    redis.operate::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let begun = Instant::now();
    while redis.operate::<String>(&["INFO", "stats"]).contains("evicted_keys:0\r\n") {
        assert!(begun.elapsed() < Duration::from_secs(10), "it forgets nothing");
    }
    redis.operate::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    redis.operate::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    let doctor = app.get("/v1/doctor").await.expect_status(200).text();
    assert!(doctor.contains("FLUSHALL"), "{doctor}");
    redis.operate::<()>(&["FLUSHALL"]);
    redis.operate::<()>(&["CONFIG", "RESETSTAT"]);
    app.post("/v1/store/confirm", &json!({})).await.expect_status(200);
    let run = app.night_of("2026-02-10T04:15:00-05:00").await;
    assert_eq!(run["closed"], json!(["2026-01"]), "{run}");
}

async fn starts_on_a_full_disk(store: &str) {
    let disk = Disk::mount(48);
    let dir = tempfile::tempdir().expect("a directory");
    disk.takes_data_of(dir.path());
    let mut app = TestApp::prepare(dir.path(), store, "[journal]\nsegment_mib = 1\n");
    app.run().await;
    let partner = app.partner("ann").await;
    let mut visitor = Visitor::default();
    visitor.clicks(&partner.link).await.expect_status(302);
    app.settles().await;
    assert_eq!(app.stop().await, Some(0));
    disk.fill();
    app.run().await;
    visitor.clicks(&partner.link).await.expect_status(302);
    app.signs_up(&visitor, "early", "growth").await;
    disk.make_room();
    let begun = Instant::now();
    while app.signs_up(&visitor, "late", "growth").await.status >= 400 {
        assert!(begun.elapsed() < Duration::from_secs(5), "it does not heal: {}", app.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    app.settles().await;
    until("commands find it", &app, "/readyz", |ready| ready["status"] == "ready").await;
    assert_eq!(app.stop().await, Some(0));
}

#[tokio::test]
async fn a_node_starts_and_redirects_on_a_full_disk_embedded() {
    starts_on_a_full_disk("sqlite").await;
}

#[tokio::test]
async fn a_node_starts_and_redirects_on_a_full_disk_on_redis() {
    let redis = Server::start(Program::Redis, &[]);
    starts_on_a_full_disk(&redis.url()).await;
}

#[tokio::test]
async fn verify_takes_no_refill_for_damage() {
    let redis = Server::start(Program::Redis, &[]);
    let mut app = TestApp::start_with(&redis.url(), "").await;
    for number in 0..20 {
        let partner = app.partner(&format!("p{number}")).await;
        let mut visitor = Visitor::default();
        visitor.clicks(&partner.link).await;
        app.signs_up(&visitor, &format!("a{number}"), "growth").await.expect_status(201);
    }
    app.night_of("2026-05-04T04:15:00-04:00").await;
    for _ in 0..5 {
        redis.operate::<()>(&["FLUSHALL"]);
        let proof = app.get("/v1/verify").await;
        let is_refused = proof.status == 409 && proof.json()["code"] == "not_replayed";
        assert!(is_refused || proof.json()["untouched"] == true, "{}", proof.text());
    }
    let proof = app.get("/v1/verify").await.expect_status(200).json();
    assert_eq!(proof["untouched"], true, "{proof}");
}
