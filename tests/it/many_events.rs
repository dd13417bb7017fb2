//! An account with thousands of events: each is known again, the next costs no more than the first, and what they say
//! together is right.

use crate::support::app::{TestApp, bearer};
use crate::support::http;
use crate::support::servers::{Program, Server};
use serde_json::{Value, json};
use std::fmt::Write;

const DAYS: usize = 30;
const PAIRS_A_DAY: usize = 20;
/// What the node may hold in memory, in KiB: this is an unoptimized build with all its debug checks.
const MOST_KIB: u64 = 200 * 1024;

/// From March 1st on, the account is suspended and activated again many times a day, for some seconds each.
fn events() -> String {
    let mut lines = String::new();
    for number in 0..DAYS * PAIRS_A_DAY {
        let (day, pair) = (number / PAIRS_A_DAY + 1, number % PAIRS_A_DAY);
        for (kind, second) in [("suspended", 10), ("activated", 20)] {
            let at = format!("2026-03-{day:02}T12:{pair:02}:{second}-05:00");
            let event = json!({"kind": "event", "account_id": "busy", "event_id": format!("{kind}-{number}"),
                "type": kind, "occurred_at": at});
            writeln!(lines, "{event}").expect("a text grows");
        }
    }
    lines
}

async fn import(app: &TestApp, lines: &str) -> Vec<Value> {
    let mut headers = bearer();
    headers.push(("content-type".to_owned(), "application/x-ndjson".to_owned()));
    let answer = http::send("POST", app.internal, "/v1/import", &headers, lines.to_owned()).await;
    let text = answer.expect("an answer").expect_status(200).text();
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[track_caller]
fn assert_all(results: &[Value], status: &str) {
    assert_eq!(results.len(), DAYS * PAIRS_A_DAY * 2);
    let other = results.iter().find(|result| result["status"] != status);
    assert!(other.is_none(), "{other:?}");
}

fn memory_kib(app: &TestApp) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", app.pid())).expect("it runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    peak.trim().trim_end_matches(" kB").parse().expect("a number")
}

async fn thousands_of_events_are_known_and_counted(mut app: TestApp) {
    let partner = app.partner("ann").await;
    app.refers(&partner, "busy").await.expect_status(201);
    app.set_now("2026-04-01T09:00:00-05:00").await;
    let lines = events();
    assert_all(&import(&app, &lines).await, "created");
    assert_all(&import(&app, &lines).await, "replayed");
    let others = lines.replace("\"suspended\"", "\"canceled\"").replace("\"activated\"", "\"suspended\"");
    assert_all(&import(&app, &others).await, "conflict");
    assert!(memory_kib(&app) < MOST_KIB, "{} KiB", memory_kib(&app));
    app.settles().await;
    let account = app.get("/v1/accounts/busy").await.expect_status(200).json();
    let events =
        account["history"].as_array().expect("a list").iter().filter(|entry| entry["kind"] == "event");
    assert_eq!(events.count(), DAYS * PAIRS_A_DAY * 2, "{}", account["history"][0]);
    // January 2nd to February 28th, and March 31st: no day of March before it was whole.
    assert_eq!(account["active_days"], 30 + 28 + 1);
    let run = app.night_of("2026-05-20T04:15:00-04:00").await;
    assert_eq!(run["crossings"], 1, "{run}");
    // The 90th day: 59 until March 31st, then April has 30.
    assert_eq!(app.statements("&month=2026-05").await[0]["lines"][0]["crossed_on"], "2026-05-01");
    assert_eq!(app.stop().await, Some(0));
    app.run().await;
    assert_eq!(app.get("/v1/accounts/busy").await.json()["history"], account["history"]);
}

#[tokio::test]
async fn on_the_embedded_store() {
    thousands_of_events_are_known_and_counted(TestApp::start().await).await;
}

#[tokio::test]
async fn on_redis() {
    let redis = Server::start(Program::Redis, &[]);
    thousands_of_events_are_known_and_counted(TestApp::start_with(&redis.url(), "").await).await;
}

/// What is known of an account whose many events are kept apart, and some of them lost: no month closes by the rest.
#[tokio::test]
async fn no_month_closes_while_an_event_that_is_kept_apart_is_lost() {
    for lost in ["*d:event:busy/last", "*i:events:busy"] {
        let redis = Server::start(Program::Redis, &[]);
        let mut app = TestApp::start_with(&redis.url(), "").await;
        let partner = app.partner("ann").await;
        app.refers(&partner, "busy").await.expect_status(201);
        app.set_now("2026-05-20T04:15:00-04:00").await;
        for number in 1..=40 {
            let kind = if number % 2 == 1 { "suspended" } else { "activated" };
            let at = format!("2026-01-01T10:{number:02}:00-05:00");
            app.happens("busy", &format!("e{number:02}"), kind, &at).await.expect_status(201);
        }
        app.happens("busy", "last", "canceled", "2026-01-02T10:00:00-05:00").await.expect_status(201);
        app.settles().await;
        for key in redis.operate::<Vec<String>>(&["KEYS", lost]) {
            redis.operate::<()>(&["DEL", &key]);
        }
        let body = json!({"as_of": "2026-05-20T04:15:00-04:00"});
        let run = app.post("/v1/aggregate", &body).await.expect_status(200).json();
        assert_eq!((&run["closed"], &run["accounts"]), (&json!([]), &json!(0)), "{run}");
        let named = lost.split_once(':').expect("its kind").1;
        assert!(run["waits_for"][0].as_str().is_some_and(|why| why.contains(named)), "{run}");
        // The journal has it still.
        redis.operate::<()>(&["FLUSHALL"]);
        app.post("/v1/store/confirm", &json!({})).await.expect_status(200);
        let run = app.night_of("2026-05-20T04:15:00-04:00").await;
        let closed = json!(["2026-01", "2026-02", "2026-03", "2026-04"]);
        assert_eq!((&run["closed"], &run["crossings"]), (&closed, &json!(0)), "{run}");
    }
}
