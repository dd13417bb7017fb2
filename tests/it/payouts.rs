//! Closed statements become payments, once: batches, PayPal's file and its report, other means.

use crate::support::app::{Partner, TestApp, Visitor, bearer};
use crate::support::http;
use crate::support::servers::{Program, Server};
use serde_json::{Value, json};

const PAY: &str = "2026-05-31T10:00:00-04:00";

/// A partner with a PayPal e-mail, of whose accounts so many qualify in April.
async fn earns(app: &TestApp, name: &str, accounts: u32, paypal: bool) -> Partner {
    let partner = app.partner(name).await;
    if paypal {
        has_paypal(app, &partner, &format!("{name}@pay.example")).await;
    }
    for number in 0..accounts {
        let mut visitor = Visitor::default();
        visitor.clicks(&partner.link).await;
        app.signs_up(&visitor, &format!("{name}-{number}"), "growth").await.expect_status(201);
    }
    partner
}
async fn has_paypal(app: &TestApp, partner: &Partner, email: &str) {
    let path = format!("/v1/affiliates/{}", partner.id);
    let body = json!({"paypal_email": email}).to_string();
    let answer = http::send("PATCH", app.internal, &path, &json_headers(), body).await.expect("an answer");
    answer.expect_status(200);
}
fn json_headers() -> Vec<(String, String)> {
    let mut headers = bearer();
    headers.push(("content-type".into(), "application/json".into()));
    headers
}
async fn makes(app: &TestApp, month: &str) -> Value {
    app.post("/v1/payouts", &json!({"month": month})).await.expect_status(201).json()
}
async fn approves(app: &TestApp, payout: &Value) -> Value {
    let path = format!("/v1/payouts/{}/approve", text(&payout["id"]));
    app.post(&path, &json!({"hash": payout["hash"]})).await.expect_status(200).json()
}
async fn exports(app: &TestApp, payout: &Value) -> String {
    let path = format!("/v1/payouts/{}/export", text(&payout["id"]));
    app.post(&path, &json!({})).await.expect_status(200).text()
}
async fn reports(app: &TestApp, payout: &Value, csv: &str) -> Value {
    let path = format!("/v1/payouts/{}/results", text(&payout["id"]));
    let answer = http::send("POST", app.internal, &path, &bearer(), csv.to_owned()).await.expect("an answer");
    answer.expect_status(200).json()
}
async fn items(app: &TestApp, payout: &Value) -> Vec<Value> {
    let path = format!("/v1/payouts/{}/items?limit=500", text(&payout["id"]));
    app.get(&path).await.expect_status(200).json()["data"].as_array().expect("a list").clone()
}
async fn item_of(app: &TestApp, payout: &Value, partner: &Partner) -> Value {
    let items = items(app, payout).await;
    items.into_iter().find(|item| item["affiliate_id"] == *partner.id).expect("an item")
}
/// Owed, under way, paid. They always add up to the closed statements.
async fn balance(app: &TestApp, partner: &Partner) -> [String; 3] {
    let path = format!("/v1/affiliates/{}/balance", partner.id);
    let balance = app.get(&path).await.expect_status(200).json();
    assert_eq!(balance["does_not_add_up"], Value::Null, "{balance}");
    ["owed", "under_way", "paid"].map(|key| text(&balance[key]).to_owned())
}
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}
/// The report that PayPal's site would give about a file, with a status for each of its rows.
pub fn report(file: &str, statuses: &[&str]) -> String {
    let mut report = "Transaction ID,Recipient,Amount,Currency,Customer ID,Status\n".to_owned();
    for (number, (row, status)) in file.lines().zip(statuses).enumerate() {
        let cells: Vec<&str> = row.split(',').collect();
        let number = format!("T{number}");
        report.push_str(&[&number, cells[0], cells[1], cells[2], cells[3], status].join(","));
        report.push('\n');
    }
    report
}

#[tokio::test]
async fn a_closed_statement_is_paid_by_paypals_file_once() {
    let mut app = TestApp::start().await;
    let (ann, bob) = (earns(&app, "ann", 1, true).await, earns(&app, "bob", 2, true).await);
    let open = app.post("/v1/payouts", &json!({"month": "2026-04"})).await.expect_status(409).json();
    assert_eq!(open["code"], "month_open");
    app.night_of("2026-05-05T04:15:00-04:00").await;
    assert_eq!(balance(&app, &ann).await, ["99.00", "0.00", "0.00"]);

    app.set_now(PAY).await;
    let payout = makes(&app, "2026-04").await;
    assert_eq!((&payout["status"], &payout["total"]), (&json!("draft"), &json!("297.00")), "{payout}");
    let again = app.post("/v1/payouts", &json!({"month": "2026-04"})).await.expect_status(200).json();
    assert_eq!(again, payout);
    assert_eq!(balance(&app, &ann).await, ["0.00", "99.00", "0.00"]);
    let path = format!("/v1/payouts/{}", text(&payout["id"]));
    let too_early = app.post(&format!("{path}/export"), &json!({})).await.expect_status(409).json();
    assert_eq!(too_early["code"], "wrong_payout_status");
    let blind = json!({"hash": "0".repeat(64)});
    let blind = app.post(&format!("{path}/approve"), &blind).await.expect_status(409).json();
    assert_eq!(blind["code"], "payout_changed");

    let approved = approves(&app, &payout).await;
    assert_eq!((&approved["status"], &approved["method"]), (&json!("approved"), &json!("file")));
    assert_eq!(approves(&app, &payout).await, approved, "approved again, it is done");
    // Another address from now on does not move what was approved.
    has_paypal(&app, &ann, "elsewhere@pay.example").await;
    let file = exports(&app, &payout).await;
    assert_eq!(file.lines().count(), 2);
    assert!(file.contains("ann@pay.example,99.00,USD,pay_2026-04-1_"), "{file}");
    let before = app.post(&format!("{path}/export"), &json!({})).await.expect_status(409).json();
    assert_eq!(before["code"], "exported_before");
    let again = app.post(&format!("{path}/export"), &json!({"again": true})).await.expect_status(200).text();
    assert_eq!(again, file);
    app.post(&format!("{path}/discard"), &json!({"reason": "too late"})).await.expect_status(409);

    let (first, second) = (items(&app, &payout).await, report(&file, &["Completed", "Unclaimed"]));
    assert!(first.iter().all(|item| item["status"] == "submitted"), "{first:?}");
    let dry = format!("{path}/results?dry_run=true");
    let dry = http::send("POST", app.internal, &dry, &bearer(), second.clone()).await.expect("an answer");
    assert_eq!(dry.expect_status(200).json()["changes"], 2);
    assert_eq!(items(&app, &payout).await, first, "a preview changes nothing");
    assert_eq!(reports(&app, &payout, &second).await["changes"], 2);
    assert_eq!(reports(&app, &payout, &second).await["changes"], 0, "read again, it changes nothing");
    let third = report(&file, &["Completed", "Returned"]);
    assert_eq!(reports(&app, &payout, &third).await["changes"], 1);
    let payout = app.get(&path).await.expect_status(200).json();
    assert_eq!(
        (&payout["status"], &payout["counts"]),
        (&json!("settled"), &json!({"paid": 1, "returned": 1}))
    );
    let paid: Vec<[String; 3]> = vec![balance(&app, &ann).await, balance(&app, &bob).await];
    let nothing = "0.00".to_owned();
    let is_paid = |one: &[String; 3]| one[2] != nothing && one[0] == nothing;
    assert_eq!(paid.iter().filter(|one| is_paid(one)).count(), 1, "{paid:?}");
    let statements = app.statements("&month=2026-04").await;
    let of_paid = statements.iter().filter(|one| one["payout"]["status"] == "paid").count();
    assert_eq!(of_paid, 1, "{statements:?}");
    let year = app.get("/v1/payouts/year?year=2026").await.expect_status(200).text();
    assert_eq!(year.lines().count(), 3, "{year}");
}

#[tokio::test]
async fn what_is_carried_says_why_and_is_paid_once_the_reason_is_gone() {
    let mut app = TestApp::start().await;
    let ann = earns(&app, "ann", 1, false).await;
    let (bob, eve) = (earns(&app, "bob", 1, true).await, earns(&app, "eve", 1, true).await);
    has_paypal(&app, &eve, "bob@pay.example").await;
    app.night_of("2026-05-05T04:15:00-04:00").await;
    app.set_now(PAY).await;
    app.post(&format!("/v1/affiliates/{}/suspend", bob.id), &json!({"reason": "a look"}))
        .await
        .expect_status(200);
    let payout = makes(&app, "2026-04").await;
    assert_eq!((&payout["status"], &payout["carried"]), (&json!("settled"), &json!(3)), "{payout}");
    let carried = format!("/v1/payouts/{}/carried", text(&payout["id"]));
    let carried = app.get(&carried).await.expect_status(200).json();
    let why = |partner: &Partner| {
        let all = carried["data"].as_array().expect("a list");
        all.iter().find(|one| one["affiliate_id"] == *partner.id).expect("carried")["reasons"].clone()
    };
    assert_eq!(why(&ann), json!(["no_paypal_email"]));
    assert_eq!(why(&bob), json!(["suspended", "shared_receiver"]));
    assert_eq!(why(&eve), json!(["shared_receiver"]));

    has_paypal(&app, &ann, "ann@pay.example").await;
    app.post(&format!("/v1/affiliates/{}/reinstate", bob.id), &json!({})).await.expect_status(200);
    for one in [&bob, &eve] {
        let release = json!({"what": "shared_receiver", "reason": "a couple"});
        app.post(&format!("/v1/affiliates/{}/payouts/release", one.id), &release).await.expect_status(200);
    }
    app.night_of("2026-06-05T04:15:00-04:00").await;
    app.set_now("2026-06-30T10:00:00-04:00").await;
    let payout = makes(&app, "2026-05").await;
    assert_eq!((&payout["status"], &payout["total"]), (&json!("draft"), &json!("297.00")), "{payout}");
    // One is suspended after it was looked at: it leaves the batch at the approval.
    app.post(&format!("/v1/affiliates/{}/suspend", eve.id), &json!({"reason": "a look"}))
        .await
        .expect_status(200);
    let approved = approves(&app, &payout).await;
    assert_eq!(
        (&approved["total"], &approved["counts"]),
        (&json!("198.00"), &json!({"ready": 2, "withdrawn": 1}))
    );
    assert_eq!(balance(&app, &eve).await, ["99.00", "0.00", "0.00"]);

    // What was not exported can be paid by other means, once.
    let item = item_of(&app, &payout, &ann).await;
    let path = format!("/v1/payouts/{}/items/{}", text(&payout["id"]), text(&item["id"]));
    let means = json!({"paid_at": "2026-06-29", "reference": "wire 7", "reason": "her bank"});
    for _ in 0..2 {
        let paid = app.post(&format!("{path}/paid"), &means).await.expect_status(200).json();
        assert_eq!((&paid["status"], &paid["paid_at"]), (&json!("paid"), &json!("2026-06-29")));
    }
    let tomorrow = json!({"paid_at": "2026-07-01", "reason": "soon"});
    let tomorrow = app.post(&format!("{path}/paid"), &tomorrow).await.expect_status(422).json();
    assert_eq!(tomorrow["code"], "paid_in_future");
    assert_eq!(balance(&app, &ann).await, ["0.00", "0.00", "99.00"]);
    assert_eq!(exports(&app, &payout).await.lines().count(), 1, "only bob is left");
}

#[tokio::test]
async fn before_the_first_payout_it_is_said_what_was_paid_elsewhere() {
    let mut app = TestApp::start().await;
    let ann = earns(&app, "ann", 1, true).await;
    app.set_now("2026-02-02T10:00:00-05:00").await;
    let bob = earns(&app, "bob", 1, true).await;
    app.night_of("2026-06-05T04:15:00-04:00").await;
    app.set_now("2026-06-30T10:00:00-04:00").await;
    let asked = json!({"month": "2026-05"});
    let unknown = app.post("/v1/payouts", &asked).await.expect_status(409).json();
    assert_eq!(unknown["code"], "opening_unknown");
    for through in ["2026-03", "2026-04"] {
        app.post("/v1/payouts/opening", &json!({"through": through})).await.expect_status(200);
    }
    let payout = makes(&app, "2026-05").await;
    assert_eq!(payout["total"], "99.00");
    assert_eq!(balance(&app, &ann).await, ["0.00", "0.00", "99.00"]);
    assert_eq!(balance(&app, &bob).await, ["0.00", "99.00", "0.00"]);
    let late = app.post("/v1/payouts/opening", &json!({"through": null})).await.expect_status(409).json();
    assert_eq!(late["code"], "payouts_begun");
}

#[tokio::test]
async fn a_discarded_batch_frees_its_statements_for_another_one() {
    let mut app = TestApp::start().await;
    let ann = earns(&app, "ann", 1, true).await;
    app.night_of("2026-05-05T04:15:00-04:00").await;
    app.set_now(PAY).await;
    let first = makes(&app, "2026-04").await;
    let path = format!("/v1/payouts/{}/discard", text(&first["id"]));
    for _ in 0..2 {
        let gone = app.post(&path, &json!({"reason": "a typo"})).await.expect_status(200).json();
        assert_eq!((&gone["status"], &gone["total"]), (&json!("discarded"), &json!("0.00")));
    }
    assert_eq!(balance(&app, &ann).await, ["99.00", "0.00", "0.00"]);
    let second = makes(&app, "2026-04").await;
    assert_eq!(second["id"], "pay_2026-04-2");
    let approve = format!("/v1/payouts/{}/approve", text(&first["id"]));
    app.post(&approve, &json!({"hash": first["hash"]})).await.expect_status(409);
    assert_eq!(balance(&app, &ann).await, ["0.00", "99.00", "0.00"]);
}

#[tokio::test]
async fn an_unknown_outcome_is_a_persons_and_a_late_payment_is_set_off() {
    let mut app = TestApp::start().await;
    let ann = earns(&app, "ann", 1, true).await;
    app.night_of("2026-05-05T04:15:00-04:00").await;
    app.set_now(PAY).await;
    let payout = makes(&app, "2026-04").await;
    approves(&app, &payout).await;
    let file = exports(&app, &payout).await;
    let other = report(&file.replace("99.00", "98.00"), &["Completed"]);
    assert_eq!(reports(&app, &payout, &other).await["rows"][0]["outcome"], "amount_differs");
    assert_eq!(balance(&app, &ann).await, ["0.00", "99.00", "0.00"]);
    let item = item_of(&app, &payout, &ann).await;
    let path = format!("/v1/payouts/{}/items/{}", text(&payout["id"]), text(&item["id"]));
    let outcome = json!({"outcome": "not_paid", "reason": "PayPal says so on the phone"});
    app.post(&format!("{path}/resolve"), &outcome).await.expect_status(200);
    assert_eq!(balance(&app, &ann).await, ["99.00", "0.00", "0.00"]);
    app.post(&format!("{path}/withdraw"), &json!({"reason": "x"})).await.expect_status(409);
    app.night_of("2026-06-05T04:15:00-04:00").await;
    app.set_now("2026-06-30T10:00:00-04:00").await;
    let next = makes(&app, "2026-05").await;
    assert_eq!(next["total"], "99.00");
    // It was paid after all.
    assert_eq!(reports(&app, &payout, &report(&file, &["Completed"])).await["changes"], 1);
    assert_eq!(balance(&app, &ann).await, ["-99.00", "99.00", "99.00"]);
    let status = app.get("/v1/payouts/status").await.expect_status(200).json();
    assert_eq!(status["for_a_person"].as_array().map(Vec::len), Some(1), "{status}");
    assert_eq!(status["does_not_add_up"], json!([]));
}

#[tokio::test]
async fn another_person_approves_where_two_are_required() {
    let mut app = TestApp::start().await;
    earns(&app, "ann", 1, true).await;
    app.night_of("2026-05-05T04:15:00-04:00").await;
    assert_eq!(app.stop().await, Some(0));
    let config = std::fs::read_to_string(app.config()).expect("a configuration");
    let config = config.replace("[payouts]\n", "[payouts]\ntwo_persons = true\n");
    std::fs::write(app.config(), config).expect("a file");
    app.run().await;
    app.set_now(PAY).await;
    let payout = makes(&app, "2026-04").await;
    let path = format!("/v1/payouts/{}/approve", text(&payout["id"]));
    let refused = app.post(&path, &json!({"hash": payout["hash"]})).await.expect_status(409).json();
    assert_eq!(refused["code"], "second_person_required");
}

#[tokio::test]
async fn the_schedule_makes_the_batch_on_the_last_day_and_makes_up_for_a_missed_one() {
    let mut app = TestApp::start().await;
    earns(&app, "ann", 1, true).await;
    app.night_of("2026-05-05T04:15:00-04:00").await;
    assert_eq!(app.stop().await, Some(0));
    let config = std::fs::read_to_string(app.config()).expect("a configuration");
    std::fs::write(app.config(), config.replace("[payouts]\nat = \"\"", "[payouts]\nat = \"06:00\""))
        .expect("a file");
    app.begins_at("2026-05-31T05:59:00-04:00");
    app.run().await;
    tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
    let payouts = |app: &TestApp| {
        let internal = app.internal;
        async move {
            http::get(internal, "/v1/payouts", &bearer()).await.expect_status(200).json()["data"].clone()
        }
    };
    assert_eq!(payouts(&app).await, json!([]), "it is not time yet");
    // The day has passed.
    app.set_now("2026-06-02T09:00:00-04:00").await;
    app.logs("a payout waits for approval").await;
    let made = payouts(&app).await;
    assert_eq!((&made[0]["id"], &made[0]["by"]), (&json!("pay_2026-04-1"), &json!("counterfoil")));
}

#[tokio::test]
async fn payouts_are_the_same_after_the_store_is_lost() {
    let redis = Server::start(Program::Redis, &[]);
    let mut first = TestApp::start_with(&redis.url(), "").await;
    let mut second = TestApp::start_beside(&first, &redis.url(), "").await;
    let (ann, bob) = (earns(&first, "ann", 1, true).await, earns(&first, "bob", 1, true).await);
    second.set_now("2026-05-05T04:15:00-04:00").await;
    first.night_of("2026-05-05T04:15:00-04:00").await;
    second.set_now(PAY).await;
    first.set_now(PAY).await;
    let payout = makes(&first, "2026-04").await;
    approves(&second, &payout).await;
    let file = exports(&first, &payout).await;
    reports(&second, &payout, &report(&file, &["Completed", "Failed"])).await;
    let before = (items(&first, &payout).await, balance(&first, &ann).await, balance(&second, &bob).await);
    redis.operate::<()>(&["FLUSHALL"]);
    let stopped = first.post("/v1/payouts", &json!({"month": "2026-04"})).await;
    assert!(stopped.status == 409 || stopped.status == 503, "{}", stopped.text());
    let confirmed = async {
        loop {
            if first.post("/v1/store/confirm", &json!({})).await.status == 200 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), confirmed).await.expect("both are in");
    let after = (items(&second, &payout).await, balance(&second, &ann).await, balance(&first, &bob).await);
    assert_eq!(after, before);
}
