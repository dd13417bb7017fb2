//! What must stay true of money, tried through the real server: rules that change, clocks that are wrong, facts that
//! can't be applied, credits by hand.

use crate::support::app::{BEGINNING, TestApp, Visitor};
use crate::support::servers::{Program, Server};
use serde_json::{Value, json};
use std::path::Path;

const REASON: &str = "a look";

fn reason() -> Value {
    json!({"reason": REASON})
}

/// Has another configuration from the next start on.
fn reconfigure(app: &TestApp, more: &str) {
    let config = std::fs::read_to_string(app.config()).expect("a configuration");
    let base = config.split("# more\n").next().unwrap_or_default().trim_end().to_owned();
    std::fs::write(app.config(), format!("{base}\n# more\n{more}\n")).expect("a file");
}

async fn restart(app: &mut TestApp, more: &str) {
    assert_eq!(app.stop().await, Some(0));
    reconfigure(app, more);
    app.run().await;
}

async fn total(app: &TestApp, affiliate: &str, month: &str) -> Value {
    app.statements(&format!("&affiliate_id={affiliate}&month={month}")).await[0]["total"].clone()
}

#[tokio::test]
async fn an_account_in_between_earns_after_the_mark_was_lowered_and_every_face_says_the_same_day() {
    let mut app = TestApp::start().await;
    let partner = app.partner("ann").await;
    let mut visitor = Visitor::default();
    visitor.clicks(&partner.link).await;
    app.set_now("2026-01-15T10:00:00-05:00").await;
    app.signs_up(&visitor, "between", "growth").await.expect_status(201);
    app.night_of("2026-04-04T04:15:00-04:00").await;
    restart(&mut app, "[program]\nmark_days = 60").await;
    app.night_of("2026-04-05T04:15:00-04:00").await;
    let april = app.statements("&month=2026-04").await;
    assert_eq!(
        (&april[0]["total"], &april[0]["lines"][0]["crossed_on"]),
        (&json!("99.00"), &json!("2026-04-01"))
    );
    let account = app.get("/v1/accounts/between").await.expect_status(200).json();
    assert_eq!(account["crossed_on"], "2026-04-01", "{account}");
    let stats = format!("/v1/stats?affiliate_id={}&from=2026-04-01&to=2026-04-30&by=day", partner.id);
    let stats = app.get(&stats).await.expect_status(200).json();
    assert!(stats.to_string().contains(r#""crossings":1"#), "{stats}");
    app.night_of("2026-05-05T04:15:00-04:00").await;
    assert_eq!(total(&app, &partner.id, "2026-05").await, "0.00", "it qualifies once");
}

#[tokio::test]
async fn another_currency_than_that_of_the_first_closed_month_is_refused_at_start() {
    let mut app = TestApp::start().await;
    let partner = app.partner("ann").await;
    app.refers(&partner, "acct").await.expect_status(201);
    restart(&mut app, "[program]\ncurrency = \"EUR\"").await;
    restart(&mut app, "").await;
    app.night_of("2026-05-05T04:15:00-04:00").await;
    assert_eq!(app.stop().await, Some(0));
    reconfigure(&app, "[program]\ncurrency = \"EUR\"");
    app.spawn();
    assert_eq!(app.ends().await, Some(78));
    let log = app.log();
    assert!(log.contains("program.currency") && log.contains("set it to USD instead of EUR"), "{log}");
}

#[tokio::test]
async fn a_rejected_referral_that_is_credited_again_earns() {
    let mut app = TestApp::start().await;
    let partner = app.partner("ann").await;
    app.refers(&partner, "acct").await.expect_status(201);
    app.post("/v1/accounts/acct/reject", &reason()).await.expect_status(200);
    app.night_of("2026-05-05T04:15:00-04:00").await;
    assert_eq!(total(&app, &partner.id, "2026-04").await, "0.00");
    let credit = json!({"affiliate_id": partner.id, "reason": "it is theirs after all"});
    app.post("/v1/accounts/acct/attribution", &credit).await.expect_status(200);
    app.night_of("2026-05-06T04:15:00-04:00").await;
    assert_eq!(total(&app, &partner.id, "2026-05").await, "99.00");
    let applied = json!({"name": "Eve", "email": "eve@partners.example"});
    let applied = app.post("/v1/affiliates", &applied).await.expect_status(201).json();
    let credit = json!({"affiliate_id": applied["id"], "reason": "a call"});
    let refused = app.post("/v1/accounts/acct/attribution", &credit).await.expect_status(409).json();
    assert_eq!(refused["code"], "affiliate_never_active");
}

/// The prospect notices nothing: the ad network's id goes on to the landing page.
#[tokio::test]
async fn a_signup_by_a_click_on_a_paid_ad_earns_only_after_a_look_where_the_program_forbids_ads() {
    let mut app = TestApp::start().await;
    let partner = app.partner("ada").await;
    let clicks = async |query: &str| {
        let mut visitor = Visitor::default();
        let landed = visitor.clicks(&format!("{}{query}", partner.link)).await.expect_status(302);
        let location = landed.header("location").expect("a landing page").to_owned();
        assert!(location.contains(query.trim_start_matches('?')), "{location}");
        visitor
    };
    let ad = "?utm_source=google&gclid=Cj0KCQiA";
    let (allowed, before) = (clicks(ad).await, clicks(ad).await);
    app.signs_up(&allowed, "allowed", "growth").await.expect_status(201);
    // Clicks made before the rule tell of their ad too.
    restart(&mut app, "[holds]\npaid_ads = true").await;
    let (post, plain) = (clicks("?fbclid=IwAR1").await, clicks("").await);
    for (account, visitor) in [("before", before), ("post", post), ("plain", plain)] {
        app.signs_up(&visitor, account, "growth").await.expect_status(201);
    }
    let table =
        [("allowed", json!([])), ("before", json!(["paid_ad"])), ("post", json!([])), ("plain", json!([]))];
    for (account, holds) in table {
        let shown = app.get(&format!("/v1/accounts/{account}")).await.expect_status(200).json();
        assert_eq!(
            (&shown["hold_reasons"], &shown["affiliate_id"]),
            (&holds, &json!(partner.id)),
            "{account}"
        );
    }
    app.night_of("2026-05-02T04:15:00-04:00").await;
    assert_eq!(total(&app, &partner.id, "2026-04").await, "297.00");
    app.post("/v1/accounts/before/release", &json!({"reason": "The ad was ours"})).await.expect_status(200);
    app.night_of("2026-05-03T04:15:00-04:00").await;
    assert_eq!(total(&app, &partner.id, "2026-04").await, "396.00");
}

#[tokio::test]
async fn a_referral_held_again_before_the_next_night_moves_no_money() {
    let mut app = TestApp::start().await;
    let partner = app.partner("ann").await;
    let mut visitor = Visitor::default();
    visitor.clicks(&partner.link).await;
    for number in 0..25 {
        app.signs_up(&visitor, &format!("acct-{number:02}"), "growth").await.expect_status(201);
    }
    app.post("/v1/accounts/acct-00/hold", &reason()).await.expect_status(200);
    app.night_of("2026-05-05T04:15:00-04:00").await;
    assert_eq!(total(&app, &partner.id, "2026-04").await, "2376.00", "24 at 99");
    app.post("/v1/accounts/acct-00/release", &reason()).await.expect_status(200);
    app.post("/v1/accounts/acct-00/hold", &reason()).await.expect_status(200);
    app.night_of("2026-05-06T04:15:00-04:00").await;
    assert_eq!(total(&app, &partner.id, "2026-05").await, "0.00");
    app.post("/v1/accounts/acct-00/release", &reason()).await.expect_status(200);
    app.night_of("2026-05-07T04:15:00-04:00").await;
    assert_eq!(
        total(&app, &partner.id, "2026-05").await,
        "1349.00",
        "149, and 24 times the difference of 50"
    );
}

#[tokio::test]
async fn a_node_whose_clock_runs_ahead_closes_no_month_that_the_store_finds_too_early() {
    let redis = Server::start(Program::Redis, &[]);
    let mut app = TestApp::start_with(&redis.url(), "").await;
    let partner = app.partner("ann").await;
    app.refers(&partner, "acct").await.expect_status(201);
    let run = app.night_of("2099-05-05T04:15:00-04:00").await;
    let closed = run["closed"].as_array().expect("a list");
    assert!(closed.contains(&json!("2026-04")) && !closed.contains(&json!("2099-04")), "{run}");
    let early = run["too_early"].as_array().expect("a list");
    assert!(early.contains(&json!("2099-04")), "{run}");
    assert_eq!(app.statements("&month=2099-04").await[0]["status"], "open");
    let again = app.night_of("2099-05-06T04:15:00-04:00").await;
    assert_eq!(again["too_early"], run["too_early"], "each night says so");
}

/// Writes over a document of the embedded store; answers what stood there.
fn overwrite(app: &TestApp, name: &str, body: &[u8]) -> Vec<u8> {
    let store = rusqlite::Connection::open(app.data_dir().join("store.sqlite")).expect("the store");
    let before = store.query_row("SELECT body FROM documents WHERE name = ?1", [name], |row| row.get(0));
    let before = before.expect("the document");
    store.execute("UPDATE documents SET body = ?2 WHERE name = ?1", (name, body)).expect("written");
    before
}

#[tokio::test]
async fn a_fact_that_cant_be_applied_is_set_aside_and_those_after_it_go_on() {
    let mut app = TestApp::start().await;
    let partner = app.partner("ann").await;
    let mut visitor = Visitor::default();
    visitor.clicks(&partner.link).await;
    for account in ["damaged", "whole"] {
        app.signs_up(&visitor, account, "growth").await.expect_status(201);
    }
    assert_eq!(app.stop().await, Some(0));
    let before = overwrite(&app, "account:damaged", b"{\"id\": 7}");
    app.run().await;
    app.happens("damaged", "e1", "suspended", BEGINNING).await.expect_status(202);
    app.settles().await;
    app.happens("whole", "e1", "suspended", BEGINNING).await.expect_status(201);
    let listed = app.get("/v1/facts/set-aside").await.expect_status(200).json();
    let [aside] = listed["data"].as_array().expect("a list").as_slice() else { panic!("{listed}") };
    assert_eq!((&aside["kind"], &aside["account_id"]), (&json!("event"), &json!("damaged")), "{aside}");
    assert!(aside["cause"].as_str().is_some_and(|cause| cause.contains("account:damaged")), "{aside}");
    app.settles().await;
    assert_eq!(app.metric("counterfoil_facts_set_aside_total").await, 1);
    // Its affiliate's statements can't be computed: others' are, and no month closes.
    let other = app.partner("ben").await;
    app.refers(&other, "others").await.expect_status(201);
    let as_of = json!({"as_of": "2026-05-05T04:15:00-04:00"});
    app.set_now("2026-05-05T04:15:00-04:00").await;
    let run = app.post("/v1/aggregate", &as_of).await.expect_status(200).json();
    assert_eq!(run["closed"], json!([]), "{run}");
    let waits = run["waits_for"].to_string();
    assert!(waits.contains("1 facts are set aside") && waits.contains(&partner.id), "{run}");
    assert_eq!(total(&app, &other.id, "2026-04").await, "99.00");
    assert!(app.statements(&format!("&affiliate_id={}", partner.id)).await.is_empty());
    let doctor = app.get("/v1/doctor").await.expect_status(200).json();
    let finding =
        doctor["findings"].as_array().expect("a list").iter().find(|one| one["check"] == "facts_set_aside");
    assert_eq!(finding.map(|finding| &finding["ok"]), Some(&json!(false)), "{doctor}");

    // It waits over a restart, can't be tried while the document is damaged, and is applied when that is repaired.
    assert_eq!(app.stop().await, Some(0));
    app.run().await;
    let id = aside["id"].as_str().expect("an id");
    let retry = format!("/v1/facts/set-aside/{id}/retry");
    let refused = app.post(&retry, &reason()).await.expect_status(409).json();
    assert_eq!(refused["code"], "still_unreadable");
    assert_eq!(app.stop().await, Some(0));
    overwrite(&app, "account:damaged", &before);
    app.run().await;
    app.post(&retry, &reason()).await.expect_status(204);
    let account = app.get("/v1/accounts/damaged").await.expect_status(200).json();
    assert!(account["history"].to_string().contains("e1"), "{account}");
    app.post(&retry, &reason()).await.expect_status(404);
    assert_eq!(app.get("/v1/facts/set-aside").await.expect_status(200).json()["data"], json!([]));
    let audit = app.get("/v1/audit").await.expect_status(200).json();
    assert_eq!(audit["data"][0]["fact"], "set_aside_ended", "{audit}");
    let run = app.night_of("2026-05-05T04:15:00-04:00").await;
    assert_eq!(run["closed"], json!(["2026-01", "2026-02", "2026-03", "2026-04"]), "{run}");
}

/// Makes the store again from the journal.
async fn lose_the_store(app: &mut TestApp) {
    assert_eq!(app.stop().await, Some(0));
    app.loses_its_store();
    app.run().await;
    app.settles().await;
}

#[tokio::test]
async fn a_fact_that_a_person_dropped_never_has_an_effect_and_one_tried_again_has_it_once() {
    for (decision, noted) in [("drop", 0), ("retry", 1)] {
        let mut app = TestApp::start().await;
        let partner = app.partner("ann").await;
        assert_eq!(app.stop().await, Some(0));
        let name = format!("notes:{}", partner.id);
        app.run().await;
        let note = json!({"text": "a good partner"});
        let notes = format!("/v1/affiliates/{}/notes", partner.id);
        app.post(&notes, &note).await.expect_status(201);
        assert_eq!(app.stop().await, Some(0));
        let before = overwrite(&app, &name, b"{}");
        app.run().await;
        app.post(&notes, &json!({"text": "another one"})).await.expect_status(202);
        app.settles().await;
        let listed = app.get("/v1/facts/set-aside").await.expect_status(200).json();
        let id = listed["data"][0]["id"].as_str().expect("an id").to_owned();
        assert_eq!(app.stop().await, Some(0));
        overwrite(&app, &name, &before);
        app.run().await;
        app.post(&format!("/v1/facts/set-aside/{id}/{decision}"), &reason()).await.expect_status(204);
        for round in ["at once", "from the journal"] {
            let all = app.get(&notes).await.expect_status(200).json();
            let all = all["data"].as_array().expect("a list");
            let found = all.iter().filter(|note| note["text"] == "another one").count();
            assert_eq!((all.len(), found), (1 + noted, noted), "{decision} {round}: {all:?}");
            lose_the_store(&mut app).await;
        }
        assert_eq!(app.get("/v1/facts/set-aside").await.expect_status(200).json()["data"], json!([]));
        assert_eq!(app.get("/v1/verify").await.expect_status(200).json()["untouched"], true);
    }
}

#[tokio::test]
async fn a_document_of_the_directory_that_cant_be_read_stops_nobody_but_keeps_months_open() {
    let mut app = TestApp::start().await;
    let (ann, ben) = (app.partner("ann").await, app.partner("ben").await);
    assert_eq!(app.stop().await, Some(0));
    let before = overwrite(&app, &format!("affiliate:{}", ann.id), b"{}");
    app.run().await;
    app.refers(&ben, "acct").await.expect_status(201);
    let doctor = app.get("/v1/doctor").await.expect_status(200).text();
    assert!(doctor.contains(&ann.id), "{doctor}");
    assert_eq!(app.night_of("2026-05-05T04:15:00-04:00").await["closed"], json!([]));
    assert_eq!(app.stop().await, Some(0));
    overwrite(&app, &format!("affiliate:{}", ann.id), &before);
    app.run().await;
    let run = app.night_of("2026-05-06T04:15:00-04:00").await;
    assert!(run["closed"].to_string().contains("2026-04"), "{run}");
}

/// A record that this version can't read: as one that a newer version wrote.
#[tokio::test]
async fn a_record_that_cant_be_read_is_set_aside_and_those_after_it_go_on() {
    let mut app = TestApp::start().await;
    let partner = app.partner("ann").await;
    assert_eq!(app.stop().await, Some(0));
    journal(
        &app.data_dir(),
        br#"{"at":"2026-01-01T00:00:00Z","by":"tests","fact":"of_tomorrow","account_id":"acct"}"#,
    )
    .await;
    app.run().await;
    app.refers(&partner, "acct").await.expect_status(201);
    app.settles().await;
    let listed = app.get("/v1/facts/set-aside").await.expect_status(200).json();
    let [aside] = listed["data"].as_array().expect("a list").as_slice() else { panic!("{listed}") };
    assert_eq!((&aside["kind"], &aside["account_id"]), (&json!("of_tomorrow"), &json!("acct")), "{aside}");
    let retry = format!("/v1/facts/set-aside/{}/retry", aside["id"].as_str().expect("an id"));
    app.post(&retry, &reason()).await.expect_status(409);
    assert_eq!(app.get("/v1/verify").await.expect_status(200).json()["untouched"], true);
    // A store that is made again from the journal knows of it too, once.
    lose_the_store(&mut app).await;
    let again = app.get("/v1/facts/set-aside").await.expect_status(200).json();
    assert_eq!(again["data"], listed["data"]);
}

async fn journal(data_dir: &Path, payload: &[u8]) {
    use counterfoil::for_tests::journal::{Journal, Settings};
    let journal = Journal::open(data_dir, &Settings::default()).expect("a journal");
    journal.facts().append(payload.to_vec()).await.expect("on disk");
}
