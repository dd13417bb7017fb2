//! What must stay true of money, tried through the real server: rules that change, clocks that are wrong, facts that
//! can't be applied, credits and lines by hand.

use crate::support::app::{BEGINNING, TestApp, Visitor, bearer};
use crate::support::http::{self, Answer};
use crate::support::servers::{Program, Server};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

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

fn adjustments_of(affiliate: &str) -> String {
    format!("/v1/affiliates/{affiliate}/adjustments")
}

fn by_hand(amount: &str, key: &str) -> Value {
    json!({"amount": amount, "reason": "agreed on the phone", "key": key})
}

async fn takes_back(app: &TestApp, affiliate: &str, key: &str) -> Answer {
    let path = format!("{}/{key}", adjustments_of(affiliate));
    http::send("DELETE", app.internal, &path, &bearer(), "").await.expect("an answer")
}

/// The statement of an affiliate's month, if there is one.
async fn statement(app: &TestApp, affiliate: &str, month: &str) -> Option<Value> {
    app.statements(&format!("&affiliate_id={affiliate}&month={month}")).await.into_iter().next()
}

#[tokio::test]
async fn a_bonus_by_hand_is_earned_once_and_taken_back_until_its_month_closes() {
    let mut app = TestApp::start().await;
    let ann = app.partner("ann").await.id;
    let path = adjustments_of(&ann);
    app.set_now("2026-04-10T10:00:00-04:00").await;
    let added = app.post(&path, &by_hand("50.00", "bonus")).await.expect_status(201).json();
    assert_eq!(
        (&added["status"], &added["amount"], &added["month"]),
        (&json!("open"), &json!("50.00"), &Value::Null)
    );
    let again = app.post(&path, &by_hand("50", "bonus")).await.expect_status(200).json();
    assert_eq!(again, added);
    let other = app.post(&path, &by_hand("51.00", "bonus")).await.expect_status(409).json();
    assert_eq!(other["code"], "line_differs");
    app.post(&path, &by_hand("7.00", "slip")).await.expect_status(201);
    app.night_of("2026-04-11T04:15:00-04:00").await;
    assert_eq!(total(&app, &ann, "2026-04").await, "57.00", "without any referral");

    let back = takes_back(&app, &ann, "slip").await.expect_status(200).json();
    assert_eq!(back["status"], "taken_back");
    assert_eq!(takes_back(&app, &ann, "slip").await.expect_status(200).json(), back);
    assert_eq!(takes_back(&app, &ann, "never").await.expect_status(404).json()["code"], "unknown_line");
    let late = app.post(&path, &by_hand("7.00", "slip")).await.expect_status(200).json();
    assert_eq!(late["status"], "taken_back", "a late repetition adds nothing");
    let open = app.get(&path).await.expect_status(200).json();
    assert_eq!(open["data"].as_array().map(Vec::len), Some(1), "{open}");
    let run = app.night_of("2026-04-12T04:15:00-04:00").await;
    assert_eq!((&run["computed"], total(&app, &ann, "2026-04").await), (&json!(1), json!("50.00")));
    assert_eq!(app.night_of("2026-04-13T04:15:00-04:00").await["computed"], 0, "nothing became known");

    app.night_of("2026-05-04T04:15:00-04:00").await;
    let april = statement(&app, &ann, "2026-04").await.expect("April");
    assert_eq!((&april["status"], &april["by_hand"][0]["key"]), (&json!("closed"), &json!("bonus")));
    assert_eq!(takes_back(&app, &ann, "bonus").await.expect_status(409).json()["code"], "already_closed");
    let closed = app.post(&path, &by_hand("50.00", "bonus")).await.expect_status(200).json();
    assert_eq!((&closed["status"], &closed["month"]), (&json!("closed"), &json!("2026-04")));
    app.night_of("2026-05-05T04:15:00-04:00").await;
    assert_eq!(statement(&app, &ann, "2026-05").await, None, "it is earned once");

    // A claw-back makes the next month negative, and a line that is alone and taken back leaves no statement.
    app.post(&path, &by_hand("-80.00", "claw-back")).await.expect_status(201);
    app.night_of("2026-05-06T04:15:00-04:00").await;
    assert_eq!(total(&app, &ann, "2026-05").await, "-80.00");
    takes_back(&app, &ann, "claw-back").await.expect_status(200);
    app.night_of("2026-05-07T04:15:00-04:00").await;
    assert_eq!(statement(&app, &ann, "2026-05").await, None);
    assert_eq!(statement(&app, &ann, "2026-04").await, Some(april.clone()));
    let audit = app.get("/v1/audit?limit=500").await.expect_status(200).json();
    let count = |kind: &str| {
        audit["data"].as_array().expect("a list").iter().filter(|one| one["fact"] == kind).count()
    };
    assert_eq!(
        (count("line_added"), count("line_removed")),
        (3, 2),
        "repetitions are not noted again: {audit}"
    );
    lose_the_store(&mut app).await;
    assert_eq!(statement(&app, &ann, "2026-04").await, Some(april));
    assert_eq!(app.get("/v1/verify").await.expect_status(200).json()["untouched"], true);
}

#[tokio::test]
async fn a_line_by_hand_is_refused_with_the_field_that_is_wrong() {
    let app = TestApp::start().await;
    let ann = app.partner("ann").await.id;
    let applied = json!({"name": "Eve", "email": "eve@partners.example"});
    let eve = app.post("/v1/affiliates", &applied).await.expect_status(201).json()["id"].clone();
    let (eve, nobody) = (eve.as_str().expect("an id").to_owned(), "aff_0000000000001".to_owned());
    let line =
        |amount: &str, reason: &str, key: &str| json!({"amount": amount, "reason": reason, "key": key});
    let long_key = "k".repeat(65);
    let table = [
        (&ann, line("0.00", "why", "k"), 422, "invalid_amount"),
        (&ann, line("100000.01", "why", "k"), 422, "invalid_amount"),
        (&ann, line("5", " ", "k"), 422, "invalid_reason"),
        (&ann, line("5", "why", ""), 422, "invalid_key"),
        (&ann, line("5", "why", "a/b"), 422, "invalid_key"),
        (&ann, line("5", "why", &long_key), 422, "invalid_key"),
        (&ann, json!({"amount": 5, "reason": "why", "key": "k"}), 422, "invalid_amount"),
        (&nobody, line("5", "why", "k"), 404, "unknown_affiliate"),
        (&eve, line("5", "why", "k"), 409, "affiliate_never_active"),
    ];
    for (affiliate, body, status, code) in table {
        let refused = app.post(&adjustments_of(affiliate), &body).await.expect_status(status).json();
        assert_eq!(refused["code"], code, "{body}");
    }
    for number in 0..200 {
        app.post(&adjustments_of(&ann), &by_hand("0.01", &format!("k{number}"))).await.expect_status(201);
    }
    let full = app.post(&adjustments_of(&ann), &by_hand("0.01", "one-more")).await.expect_status(409).json();
    assert_eq!(full["code"], "too_many_lines");
    app.post(&adjustments_of(&ann), &by_hand("0.01", "k7")).await.expect_status(200);
    takes_back(&app, &ann, "k7").await.expect_status(200);
    app.post(&adjustments_of(&ann), &by_hand("0.01", "one-more")).await.expect_status(201);
}

/// Waits until a node answers what is wanted.
async fn until(app: &TestApp, path: &str, wanted: impl Fn(&Value) -> bool) {
    let begun = Instant::now();
    loop {
        let answer = app.get(path).await;
        if answer.status < 300 && wanted(&answer.json()) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "{path}: {} {}", answer.text(), app.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn lines_by_hand_of_two_nodes_are_the_same_after_the_store_was_lost() {
    let redis = Server::start(Program::Redis, &[]);
    let mut first = TestApp::start_with(&redis.url(), "").await;
    let mut second = TestApp::start_beside(&first, &redis.url(), "").await;
    let ann = first.partner("ann").await.id;
    first.settles().await;
    second.settles().await;
    let path = adjustments_of(&ann);
    for app in [&mut first, &mut second] {
        app.set_now("2026-04-10T10:00:00-04:00").await;
    }
    first.post(&path, &by_hand("50.00", "bonus")).await.expect_status(201);
    second.post(&path, &by_hand("50.00", "bonus")).await.expect_status(200);
    second.post(&path, &by_hand("49.00", "bonus")).await.expect_status(409);
    first.post(&path, &by_hand("20.00", "taken-back-elsewhere")).await.expect_status(201);
    takes_back(&second, &ann, "taken-back-elsewhere").await.expect_status(200);
    second.post(&path, &by_hand("-5.00", "of-the-second")).await.expect_status(201);
    // Both nodes at once: one line.
    let (one, other) = (by_hand("3.00", "at-once"), by_hand("3.00", "at-once"));
    let answers = tokio::join!(first.post(&path, &one), second.post(&path, &other));
    assert!([answers.0.status, answers.1.status].iter().all(|status| [200, 201].contains(status)));
    second.set_now("2026-05-04T04:15:00-04:00").await;
    first.night_of("2026-05-04T04:15:00-04:00").await;
    let april = statement(&first, &ann, "2026-04").await.expect("April");
    assert_eq!((&april["status"], &april["total"]), (&json!("closed"), &json!("48.00")), "{april}");
    assert_eq!(takes_back(&second, &ann, "bonus").await.expect_status(409).json()["code"], "already_closed");
    second.post(&path, &by_hand("1.00", "for-may")).await.expect_status(201);
    second.set_now("2026-05-05T04:15:00-04:00").await;
    let before = first.night_of("2026-05-05T04:15:00-04:00").await;
    let may = statement(&first, &ann, "2026-05").await.expect("May");
    let open = first.get(&path).await.expect_status(200).json();

    // The node that took back and repeated replays first, alone.
    first.settles().await;
    second.settles().await;
    assert_eq!(first.stop().await, Some(0));
    redis.operate::<()>(&["FLUSHALL"]);
    until(&second, "/v1/nodes", |nodes| nodes["data"].as_array().is_some_and(|nodes| nodes.len() == 1)).await;
    first.run().await;
    while second.post("/v1/store/confirm", &json!({})).await.status != 200 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    first.settles().await;
    second.settles().await;
    assert_eq!(first.get(&path).await.expect_status(200).json(), open);
    assert_eq!(statement(&first, &ann, "2026-04").await, Some(april));
    // The open month is in no journal: the last run is made again.
    let shown = format!("/v1/statements?affiliate_id={ann}&month=2026-05");
    until(&first, &shown, |page| page["data"] == json!([may])).await;
    let dry = json!({"as_of": "2026-05-05T04:15:00-04:00", "dry_run": true});
    let after = loop {
        let answer = first.post("/v1/aggregate", &dry).await;
        if answer.status != 409 {
            break answer.expect_status(200).json();
        }
        // That run has yet to end.
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(after["statements_hash"], before["statements_hash"]);
    for app in [&first, &second] {
        assert_eq!(app.get("/v1/verify").await.expect_status(200).json()["untouched"], true);
    }
}
