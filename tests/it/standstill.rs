//! A standstill is noticed, and nothing is decided or closed while something is missing: real processes.

use crate::support::app::{BEGINNING, TestApp, Visitor, bearer};
use crate::support::disk::Disk;
use crate::support::gate::Gate;
use crate::support::http;
use crate::support::servers::{Program, Server};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

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
    first.logs("has replayed 0 of").await;
    second.run().await;
    first.post("/v1/store/confirm", &json!({})).await.expect_status(200);
}

#[tokio::test]
async fn months_close_beside_a_node_without_facts_and_one_whose_last_fact_was_refused() {
    let redis = Server::start(Program::Redis, &[]);
    let mut first = TestApp::start_with(&redis.url(), "").await;
    let mut second = TestApp::start_beside(&first, &redis.url(), "").await;
    let partner = first.partner("ann").await;
    first.refers(&partner, "a").await.expect_status(201);
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
    first.refers(&partner, "a").await.expect_status(201);
    let as_of = json!({"as_of": "2026-02-10T04:15:00-05:00"});
    for app in [&mut second, &mut first] {
        app.set_now("2026-02-10T04:15:00-05:00").await;
    }
    until("it told by the new clock", &first, "/v1/doctor", |doctor| {
        !doctor.to_string().contains("behind or silent")
    })
    .await;
    // It accepts a fact that it can't report to anybody, and dies.
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
    app.logs("at a standstill: the fact at position ").await;
    // One line when it begins, and one a minute: not one at each try.
    assert!(app.log().lines().count() < 20, "{}", app.log());
    let page = app.get("/metrics").await.expect_status(200).text();
    assert!(page.contains(r#"counterfoil_journal_standstill_seconds{log="clicks"} 0"#), "{page}");
}

#[tokio::test]
async fn no_month_closes_on_a_redis_that_may_forget() {
    let redis = Server::start(Program::Redis, &[]);
    let mut app = TestApp::start_with(&redis.url(), "").await;
    let partner = app.partner("ann").await;
    app.refers(&partner, "a").await.expect_status(201);
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
    redis.operate::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    let run = app.night_of("2026-02-10T04:15:00-05:00").await;
    assert_eq!((&run["closed"], &run["store_forgets"]), (&json!(["2026-01"]), &Value::Null), "{run}");
}

/// Has a server evict what no test but this one looks at: keys that are to live for a day.
fn evicts(redis: &Server, names: &[&str]) {
    let all = names.iter().flat_map(|name| redis.operate::<Vec<String>>(&["KEYS", name]));
    let keys: Vec<String> = all.collect();
    assert!(keys.len() >= names.len(), "{names:?}: {keys:?}");
    for key in &keys {
        redis.operate::<()>(&["EXPIRE", key, "86400"]);
    }
    redis.operate::<()>(&["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]);
    redis.operate::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    let begun = Instant::now();
    while keys.iter().any(|key| redis.operate::<u64>(&["EXISTS", key]) > 0) {
        assert!(begun.elapsed() < Duration::from_secs(10), "it evicts nothing");
    }
    redis.operate::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
}

#[tokio::test]
async fn a_redis_that_has_evicted_is_not_trusted_again_before_it_was_emptied() {
    let mut redis = Server::start(Program::Redis, &[]);
    let mut app = TestApp::start_with(&redis.url(), "").await;
    let partner = app.partner("ann").await;
    let mut visitor = Visitor::default();
    visitor.clicks(&partner.link).await;
    for account in ["a", "b", "c"] {
        app.signs_up(&visitor, account, "growth").await.expect_status(201);
    }
    app.settles().await;
    // Indexes and what they name: nothing that is left names anything that is gone.
    evicts(&redis, &["*i:affiliates", "*d:affiliate:*", "*i:referrals:*", "*i:accounts", "*d:account:b"]);
    let is_seen = |doctor: &Value| doctor.to_string().contains("it has evicted ");
    until("it is seen", &app, "/v1/doctor", is_seen).await;
    // The operator reads it, sets the policy right where it is kept, and starts everything again.
    redis.operate::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    app.kill();
    redis.kill();
    redis.start_again();
    assert!(redis.operate::<String>(&["INFO", "stats"]).contains("evicted_keys:0\r\n"));
    app.run().await;
    let night = "2026-02-10T04:15:00-05:00";
    app.set_now(night).await;
    for _ in 0..2 {
        let run = app.post("/v1/aggregate", &json!({"as_of": night})).await.expect_status(200).json();
        let why = run["store_forgets"].as_str().unwrap_or_default();
        assert!(run["closed"] == json!([]) && why.contains("FLUSHALL"), "{run}");
    }
    let keeps = |ready: &Value| {
        let mut checks = ready["checks"].as_array().expect("checks").iter();
        checks.any(|check| check["check"] == "store_keeps" && check["ok"] == false)
    };
    until("it is seen", &app, "/readyz", |ready| keeps(ready) && ready["status"] == "degraded").await;
    // Its servers may have counted what was evicted before it was emptied: that is no loss.
    evicts(&redis, &["*d:account:a"]);
    redis.operate::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    redis.operate::<()>(&["FLUSHALL"]);
    app.post("/v1/store/confirm", &json!({})).await.expect_status(200);
    assert!(!redis.operate::<String>(&["INFO", "stats"]).contains("evicted_keys:0\r\n"));
    let run = app.night_of(night).await;
    assert_eq!((&run["closed"], &run["accounts"]), (&json!(["2026-01"]), &json!(3)), "{run}");
    until("all is well", &app, "/readyz", |ready| ready["status"] == "ready").await;
    // And what is evicted now is missing again.
    evicts(&redis, &["*d:account:c"]);
    redis.operate::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    until("it is seen", &app, "/v1/doctor", is_seen).await;
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
        app.refers(&partner, &format!("a{number}")).await.expect_status(201);
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

#[tokio::test]
async fn deep_links_lead_to_their_pages_while_the_store_is_away_or_forgot_them() {
    let mut redis = Server::start(Program::Redis, &[]);
    let mut app = TestApp::start_with(&redis.url(), "").await;
    let partner = app.partner("ann").await;
    let page = "https://www.calltrackingmetrics.com/deep/page";
    let links = format!("/v1/affiliates/{}/links", partner.id);
    let link = app.post(&links, &json!({"destination": page})).await.expect_status(201).json();
    let link = link["url"].as_str().expect("an address");
    let kept = app.data_dir().join("links.jsonl");
    let begun = Instant::now();
    while !std::fs::read_to_string(&kept).is_ok_and(|kept| kept.contains(page)) {
        assert!(begun.elapsed() < Duration::from_secs(5), "the link is not kept: {}", app.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let leads_deep = async |app: &TestApp, what: &str| {
        let answer = Visitor::default().clicks(link).await.expect_status(302);
        let location = answer.header("location").expect("a location").to_owned();
        assert!(location.starts_with(page), "{what}: {location} {}", app.log());
    };
    // Between being emptied and being refilled the store knows no link.
    redis.operate::<()>(&["FLUSHALL"]);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        leads_deep(&app, "emptied").await;
    }
    app.post("/v1/store/confirm", &json!({})).await.expect_status(200);
    app.settles().await;
    app.kill();
    redis.kill();
    app.run().await;
    leads_deep(&app, "away").await;
    redis.start_again();
    app.settles().await;
}

/// A record that this version can't read at the end of a stopped node's clicks: its signups can't be decided.
fn a_click_of_tomorrow(app: &TestApp) {
    use counterfoil::for_tests::journal::{Journal, Settings};
    let journal = Journal::open(&app.data_dir(), &Settings::default()).expect("nobody else has it");
    journal.clicks().append(b"\xff of tomorrow").expect("the disk has room");
}

const FEBRUARY: &str = "2026-02-10T04:15:00-05:00";

#[tokio::test]
async fn no_month_closes_while_signups_of_an_outage_are_undecided() {
    let mut redis = Server::start(Program::Redis, &[]);
    let mut app = TestApp::start_with(&redis.url(), "").await;
    let ann = app.partner("ann").await;
    let import = async |app: &TestApp, names: Vec<String>, at: &str| {
        let signup = |name: String| json!({"kind": "signup", "account_id": name, "plan": "growth", "signed_up_at": at, "code": ann.code});
        let lines: Vec<String> = names.into_iter().map(|name| signup(name).to_string()).collect();
        let mut headers = bearer();
        headers.push(("content-type".to_owned(), "application/x-ndjson".to_owned()));
        let answer = http::send("POST", app.internal, "/v1/import", &headers, lines.join("\n"))
            .await
            .expect("an answer");
        answer.expect_status(200);
    };
    import(&app, vec!["old".to_owned()], "2025-10-15T09:00:00-04:00").await;
    app.settles().await;
    app.set_now("2026-01-20T09:00:00-05:00").await;
    redis.kill();
    until("it is away", &app, "/readyz", |ready| ready["status"] != "ready").await;
    import(&app, (0..30).map(|number| format!("new{number}")).collect(), "2026-01-20T09:00:00-05:00").await;
    app.set_now(FEBRUARY).await;
    redis.start_again();
    // As soon as it can.
    let begun = Instant::now();
    let run = loop {
        let answer = app.post("/v1/aggregate", &json!({"as_of": FEBRUARY})).await;
        if answer.status == 200 {
            break answer.json();
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{}", answer.text());
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    assert_eq!(run["accounts"], 31, "{run}");
    let stated = app.statements("&month=2026-01").await;
    assert_eq!((&stated[0]["active_accounts"], &stated[0]["total"]), (&json!(31), &json!("149.00")));
}

#[tokio::test]
async fn no_month_closes_over_a_signup_that_another_node_can_not_decide_until_it_is_forgotten() {
    let redis = Server::start(Program::Redis, &[]);
    let first = TestApp::start_with(&redis.url(), "").await;
    let mut second = TestApp::start_beside(&first, &redis.url(), "").await;
    let ann = first.partner("ann").await;
    first.settles().await;
    until("heard", &second, &format!("/v1/affiliates/{}", ann.id), |_| true).await;
    second.settles().await;
    assert_eq!(second.stop().await, Some(0));
    a_click_of_tomorrow(&second);
    second.run().await;
    let by_code =
        json!({"account_id": "late", "plan": "growth", "signed_up_at": BEGINNING, "code": ann.code});
    second.post("/v1/signups", &by_code).await.expect_status(202);
    for node in [&second, &first] {
        node.post("/v1/clock", &json!({"now": FEBRUARY})).await.expect_status(200);
    }
    let run = first.post("/v1/aggregate", &json!({"as_of": FEBRUARY})).await.expect_status(200).json();
    assert_eq!(run["closed"], json!([]), "{run}");
    let why = run["waits_for"].to_string();
    assert!(why.contains("1 signups are not decided yet, that of late among them"), "{why}");

    // Its disk is lost: the first node decides.
    let node = std::fs::read(second.data_dir().join("node.json")).expect("a node");
    let lost = serde_json::from_slice::<Value>(&node).expect("JSON")["node_id"].clone();
    let lost = lost.as_str().expect("an id");
    second.kill();
    first.post("/v1/clock", &json!({"now": "2026-02-10T04:17:00-05:00"})).await.expect_status(200);
    let path = format!("/v1/nodes/{lost}");
    let gone =
        http::send("DELETE", first.internal, &path, &bearer(), String::new()).await.expect("an answer");
    gone.expect_status(204);
    let decided =
        until("decided", &first, "/v1/accounts/late", |known| !known["attribution"].is_null()).await;
    assert_eq!(decided["attribution"]["affiliate_id"], json!(ann.id));
    let run = first.post("/v1/aggregate", &json!({"as_of": FEBRUARY})).await.expect_status(200).json();
    assert_ne!(run["closed"], json!([]), "{run}");
}

/// A document of a store that can't be read any more, until it is put back.
struct Unreadable {
    key: Vec<u8>,
    body: Vec<u8>,
}

impl Unreadable {
    fn make(redis: &Server, name: &str) -> Self {
        let mut keys: Vec<Vec<u8>> = redis.operate(&["KEYS", &format!("*d:{name}")]);
        let key = keys.pop().expect("a document");
        let mut connection = redis.operator();
        let body: Vec<u8> = redis::cmd("GET").arg(&key).query(&mut connection).expect("a document");
        // Its version stays.
        let bad = [&body[..8], b"{\"id\": 7}"].concat();
        redis::cmd("SET").arg(&key).arg(bad).query::<()>(&mut connection).expect("it takes it");
        Self { key, body }
    }
    fn put_back(self, redis: &Server) {
        let mut connection = redis.operator();
        redis::cmd("SET").arg(self.key).arg(self.body).query::<()>(&mut connection).expect("it takes it");
    }
}

/// The only fact that is set aside.
async fn fact_set_aside(app: &TestApp) -> String {
    let some = |list: &Value| list["data"].as_array().is_some_and(|facts| !facts.is_empty());
    let list = until("it is set aside", app, "/v1/facts/set-aside", some).await;
    list["data"][0]["id"].as_str().expect("an id").to_owned()
}

fn why() -> Value {
    json!({"reason": "its cause can't be mended"})
}

#[tokio::test]
async fn what_a_node_set_aside_that_is_forgotten_is_dropped_at_any_node_and_months_close() {
    let redis = Server::start(Program::Redis, &[]);
    let mut first = TestApp::start_with(&redis.url(), "").await;
    let mut second = TestApp::start_beside(&first, &redis.url(), "").await;
    let ann = first.partner("ann").await;
    first.refers(&ann, "damaged").await.expect_status(201);
    first.settles().await;
    let account = Unreadable::make(&redis, "account:damaged");
    for event in ["e1", "e2"] {
        second.happens("damaged", event, "suspended", BEGINNING).await.expect_status(202);
    }
    second.settles().await;
    account.put_back(&redis);
    let both = |list: &Value| list["data"].as_array().is_some_and(|facts| facts.len() == 2);
    let list = until("both are set aside", &first, "/v1/facts/set-aside", both).await;
    let facts = [0, 1].map(|fact: usize| list["data"][fact]["id"].as_str().expect("an id").to_owned());
    // The disk of its node is lost. While the node is known it may come back.
    second.kill();
    let path = |fact: usize, what| format!("/v1/facts/set-aside/{}/{what}", facts[fact]);
    for (fact, what) in [(0, "drop"), (1, "retry")] {
        let refused = first.post(&path(fact, what), &why()).await.expect_status(409).json();
        assert_eq!(refused["code"], "of_another_node");
    }
    let night = "2026-05-05T04:15:00-04:00";
    first.set_now(night).await;
    let node = facts[0].split(':').next().expect("a node");
    let forgotten =
        http::send("DELETE", first.internal, &format!("/v1/nodes/{node}"), &bearer(), String::new()).await;
    forgotten.expect("an answer").expect_status(204);
    first.post(&path(0, "drop"), &why()).await.expect_status(204);
    first.post(&path(1, "retry"), &why()).await.expect_status(204);
    let account = first.get("/v1/accounts/damaged").await.json();
    let events: Vec<&Value> =
        account["history"].as_array().expect("a list").iter().filter(|it| it["kind"] == "event").collect();
    assert!(events.len() == 1 && events[0]["event_id"] == "e2", "{events:?}");
    let run = first.post("/v1/aggregate", &json!({"as_of": night})).await.expect_status(200).json();
    assert_eq!(run["closed"], json!(["2026-01", "2026-02", "2026-03", "2026-04"]), "{run}");
    let audit = first.get("/v1/audit").await.text();
    assert!(audit.contains("its cause can't be mended"), "{audit}");
}

#[tokio::test]
async fn what_was_set_aside_before_a_disk_was_restored_voids_no_fact_journaled_since() {
    let redis = Server::start(Program::Redis, &[]);
    let dir = tempfile::tempdir().expect("a directory");
    let mut app = TestApp::prepare(dir.path(), &redis.url(), "");
    app.run().await;
    app.partner("ann").await;
    app.signs_up(&Visitor::default(), "busy", "growth").await.expect_status(201);
    app.settles().await;
    assert_eq!(app.stop().await, Some(0));
    let (data, backup) = (app.data_dir(), dir.path().join("backup"));
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        let copied = std::process::Command::new("cp").arg("-a").args([from, to]).status();
        assert!(copied.expect("cp runs").success());
    };
    copy(&data, &backup);
    app.run().await;
    let account = Unreadable::make(&redis, "account:busy");
    for number in 0..6 {
        app.signs_up(&Visitor::default(), &format!("x{number}"), "growth").await.expect_status(201);
    }
    app.happens("busy", "e1", "suspended", BEGINNING).await.expect_status(202);
    app.settles().await;
    account.put_back(&redis);
    let id = fact_set_aside(&app).await;
    let position: u64 = id.split(':').nth(1).expect("a position").parse().expect("a number");
    app.kill();
    std::fs::remove_dir_all(&data).expect("it is there");
    copy(&backup, &data);
    app.run().await;
    app.set_now("2026-01-01T10:00:00-05:00").await;
    for number in 0..30 {
        let kind = if number % 2 == 0 { "suspended" } else { "activated" };
        let at = format!("2026-01-01T09:{number:02}:30-05:00");
        app.happens("busy", &format!("n{number}"), kind, &at).await.expect_status(201);
    }
    app.settles().await;
    assert!(app.metric("counterfoil_journal_last_position{log=\"facts\"}").await > position);
    // One of the new life is set aside as well: it is listed beside the other.
    let account = Unreadable::make(&redis, "account:busy");
    app.happens("busy", "n30", "canceled", "2026-01-01T09:40:00-05:00").await.expect_status(202);
    account.put_back(&redis);
    let both = |list: &Value| list["data"].as_array().is_some_and(|facts| facts.len() == 2);
    let list = until("both are set aside", &app, "/v1/facts/set-aside", both).await;
    for fact in list["data"].as_array().expect("a list") {
        let path = format!("/v1/facts/set-aside/{}/drop", fact["id"].as_str().expect("an id"));
        app.post(&path, &why()).await.expect_status(204);
    }
    app.settles().await;
    redis.operate::<()>(&["FLUSHALL"]);
    until("it is back", &app, "/v1/accounts/busy", |_| true).await;
    app.post("/v1/store/confirm", &json!({})).await.expect_status(200);
    app.settles().await;
    let account = app.get("/v1/accounts/busy").await.expect_status(200).json();
    let events = account["history"].as_array().expect("a list").iter().filter(|it| it["kind"] == "event");
    assert_eq!(events.count(), 30, "{account}");
    let list = app.get("/v1/facts/set-aside").await.json();
    assert_eq!(list["data"], json!([]), "{list}");
}

/// Takes documents and indexes out of a store, as if it had lost them; answers how they are put back.
fn lose(redis: &Server, name: &str) -> Vec<(String, Vec<u8>)> {
    let mut connection = redis.operator();
    let keys: Vec<String> = redis.operate(&["KEYS", &format!("*d:{name}")]);
    assert!(!keys.is_empty(), "{name}");
    let body = |key: String| {
        let body: Vec<u8> = redis::cmd("GETDEL").arg(&key).query(&mut connection).expect("a document");
        (key, body)
    };
    keys.into_iter().map(body).collect()
}
fn put_back(redis: &Server, lost: Vec<(String, Vec<u8>)>) {
    let mut connection = redis.operator();
    for (key, body) in lost {
        redis::cmd("SET").arg(key).arg(body).query::<()>(&mut connection).expect("it takes it");
    }
}

#[tokio::test]
async fn what_a_redis_has_lost_is_named_everywhere_and_no_month_closes_by_the_rest() {
    let redis = Server::start(Program::Redis, &[]);
    let mut app = TestApp::start_with(&redis.url(), "").await;
    let ann = app.partner("ann").await;
    let signs_up = async |app: &TestApp, account: &str| {
        app.refers(&ann, account).await.expect_status(201);
    };
    for account in ["a", "b"] {
        signs_up(&app, account).await;
    }
    let staff = json!({"name": "Boss", "email": "boss@x.example", "role": "admin"});
    app.post("/v1/staff", &staff).await.expect_status(201);
    app.settles().await;
    // Nobody sees it lost before somebody needs it: of the directory, a node that starts.
    let is_named = async |app: &mut TestApp, night: &str, named: &str| {
        app.set_now(night).await;
        let run = app.post("/v1/aggregate", &json!({"as_of": night})).await.expect_status(200).json();
        let waits_for = run["waits_for"].to_string();
        assert!(run["closed"] == json!([]) && waits_for.contains(named), "{named}: {run}");
        let (doctor, ready) = (app.get("/v1/doctor").await, app.get("/readyz").await);
        for seen in [doctor, ready] {
            let text = seen.expect_status(200).text();
            assert!(text.contains(named) && text.contains("FLUSHALL"), "{named}: {text}");
        }
        assert_eq!(app.get("/readyz").await.json()["status"], "degraded");
    };
    let february = "2026-02-10T04:15:00-05:00";
    let lost = lose(&redis, "account:a");
    is_named(&mut app, february, "account:a is missing").await;
    put_back(&redis, lost);
    let run = app.night_of(february).await;
    assert_eq!((&run["closed"], &run["accounts"]), (&json!(["2026-01"]), &json!(2)), "{run}");
    assert_eq!(app.get("/readyz").await.json()["status"], "ready");

    signs_up(&app, "late").await;
    app.settles().await;
    let march = "2026-03-10T04:15:00-04:00";
    for lost in [format!("statement:{}:2026-01", ann.id), "account:late".to_owned()] {
        let kept = lose(&redis, &lost);
        is_named(&mut app, march, &lost).await;
        put_back(&redis, kept);
    }
    for lost in ["affiliate:*", "link:*", "month:2026-01", "staff:*"] {
        let kept = lose(&redis, lost);
        assert_eq!(app.stop().await, Some(0));
        app.run().await;
        let (_, named) = kept[0].0.split_once("d:").expect("a document");
        is_named(&mut app, march, named).await;
        put_back(&redis, kept);
    }
    assert_eq!(app.stop().await, Some(0));
    app.run().await;
    // One that was lost and made again by a later report lacks what came before.
    signs_up(&app, "again").await;
    app.settles().await;
    lose(&redis, "account:again");
    app.happens("again", "e1", "suspended", "2026-03-01T09:00:00-05:00").await.expect_status(201);
    is_named(&mut app, march, "account:again has lost its signup").await;

    redis.operate::<()>(&["FLUSHALL"]);
    app.post("/v1/store/confirm", &json!({})).await.expect_status(200);
    let run = app.night_of(march).await;
    assert_eq!((&run["closed"], &run["accounts"]), (&json!(["2026-02"]), &json!(4)), "{run}");
    assert_eq!(app.get("/readyz").await.json()["status"], "ready");
}
