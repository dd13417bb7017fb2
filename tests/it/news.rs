//! Mail about money: each news arrives once, and not at all if it is switched off.

use crate::support::app::{Partner, TestApp, bearer};
use crate::support::http;
use crate::support::inbox::Inbox;
use crate::support::servers::{Program, Server};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const ANN: &str = "ann@partners.example";
const BOB: &str = "bob@partners.example";
const FIN: &str = "fin@company.example";

async fn has_paypal(app: &TestApp, partner: &Partner, email: &str) {
    let mut headers = bearer();
    headers.push(("content-type".into(), "application/json".into()));
    let (path, body) = (format!("/v1/affiliates/{}", partner.id), json!({"paypal_email": email}).to_string());
    http::send("PATCH", app.internal, &path, &headers, body).await.expect("an answer").expect_status(200);
}

async fn has_a_member_for_payouts(app: &TestApp) {
    let member = json!({"name": "Fin", "email": FIN, "role": "finance"});
    app.post("/v1/staff", &member).await.expect_status(201);
}

/// Takes a step about April's payout.
async fn acts(app: &TestApp, payout: &str, step: &str, body: &Value) -> http::Answer {
    let answer = app.post(&format!("/v1/payouts/{payout}/{step}"), body).await;
    answer.expect_status(200)
}

/// PayPal's report about the only row of a file.
async fn reports(app: &TestApp, payout: &str, file: &str, status: &str) {
    let cells: Vec<&str> = file.trim().split(',').collect();
    let row = format!("T1,{},{},{},{},{status}\n", cells[0], cells[1], cells[2], cells[3]);
    let csv = format!("Transaction ID,Recipient,Amount,Currency,Customer ID,Status\n{row}");
    let path = format!("/v1/payouts/{payout}/results");
    let answer = http::send("POST", app.internal, &path, &bearer(), csv).await.expect("an answer");
    assert_eq!(answer.expect_status(200).json()["changes"], 1);
}

/// How many mails with this in their subject an address got.
fn count(inbox: &Inbox, address: &str, subject: &str) -> usize {
    let is_it = |mail: &&crate::support::inbox::Received| {
        mail.recipients.iter().any(|recipient| recipient == address) && mail.subject().contains(subject)
    };
    inbox.mails().iter().filter(is_it).count()
}

/// Waits until nothing waits in the outbox, and somebody's mail that was written last has arrived.
async fn all_is_sent(app: &TestApp, inbox: &Inbox, last: &str) {
    let email = format!("{last}@partners.example");
    let application = json!({"name": last, "email": email});
    let made = app.post("/v1/affiliates", &application).await.expect_status(201).json();
    let path = format!("/v1/affiliates/{}/approve", made["id"].as_str().expect("an id"));
    app.post(&path, &json!({"reason": "a test"})).await.expect_status(200);
    inbox.wait_for(&email, 1).await;
    wait_until_sent(app).await;
}
async fn wait_until_sent(app: &TestApp) {
    let begun = Instant::now();
    while app.metric("counterfoil_outbox_backlog").await != 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "mail waits:\n{}", app.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The store is emptied, and filled again from the journal.
async fn loses_its_store(app: &mut TestApp, redis: &mut Server) {
    wait_until_sent(app).await;
    assert_eq!(app.stop().await, Some(0));
    redis.operate::<String>(&["FLUSHALL"]);
    redis.kill();
    redis.start_again();
    let empty = app.log().matches("the store is empty").count();
    app.spawn();
    let begun = Instant::now();
    while app.log().matches("the store is empty").count() == empty
        || http::try_get(app.internal, "/healthz", &[]).await.map(|answer| answer.status) != Some(200)
    {
        assert!(begun.elapsed() < Duration::from_secs(30), "{}", app.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    app.settles().await;
    app.post("/v1/store/confirm", &json!({})).await.expect_status(200);
}

#[tokio::test]
async fn news_about_money_arrives_once() {
    let inbox = Inbox::start().await;
    let mut redis = Server::start(Program::Redis, &[]);
    let config = format!("{}off = []\n", inbox.config());
    let mut app = TestApp::start_with(&redis.url(), &config).await;
    has_a_member_for_payouts(&app).await;
    let (ann, bob) = (app.partner("ann").await, app.partner("bob").await);
    has_paypal(&app, &ann, "ann@pay.example").await;
    app.refers(&ann, "acct-1").await.expect_status(201);
    let mail = inbox.wait_for_subject(ANN, "referral was credited").await;
    assert!(mail.text.contains("acct-1") && mail.text.contains("/portal/referrals"), "{}", mail.text);
    app.refers(&bob, "acct-2").await.expect_status(201);
    inbox.wait_for_subject(BOB, "referral was credited").await;

    // Day 90.
    app.night_of("2026-04-02T04:15:00-04:00").await;
    let mail = inbox.wait_for_subject(ANN, "has qualified").await;
    assert!(mail.text.contains("acct-1") && mail.text.contains("April 2026"), "{}", mail.text);
    inbox.wait_for_subject(BOB, "has qualified").await;
    loses_its_store(&mut app, &mut redis).await;
    // The projection is computed again, and has the line again.
    app.night_of("2026-04-03T04:15:00-04:00").await;

    app.night_of("2026-05-05T04:15:00-04:00").await;
    let mail = inbox.wait_for_subject(ANN, "statement of April 2026 is final").await;
    assert!(mail.text.contains("99.00 USD") && mail.text.contains("/portal/payouts"), "{}", mail.text);

    app.set_now("2026-05-31T10:00:00-04:00").await;
    let payout = app.post("/v1/payouts", &json!({"month": "2026-04"})).await.expect_status(201).json();
    let id = payout["id"].as_str().expect("an id");
    let mail = inbox.wait_for_subject(BOB, "Add your PayPal e-mail").await;
    assert!(mail.text.contains("99.00 USD"), "{}", mail.text);
    let mail = inbox.wait_for_subject(FIN, "waits for approval").await;
    assert!(mail.text.contains("1 payment, together 99.00 USD"), "{}", mail.text);
    assert!(mail.text.contains("/admin/payouts"), "{}", mail.text);
    acts(&app, id, "approve", &json!({"hash": payout["hash"]})).await;
    let file = acts(&app, id, "export", &json!({})).await.text();
    let mail = inbox.wait_for_subject(ANN, "99.00 USD is on its way").await;
    assert!(mail.text.contains("April 2026") && mail.text.contains("a…@pay.example"), "{}", mail.text);
    reports(&app, id, &file, "Unclaimed").await;
    inbox.wait_for_subject(ANN, "Claim your payout").await;
    reports(&app, id, &file, "Completed").await;
    let mail = inbox.wait_for_subject(ANN, "You were paid 99.00 USD").await;
    assert!(!mail.text.contains("ann@pay.example") && !mail.html.contains("ann@pay.example"), "{mail:?}");

    // Neither a new start nor a replay sends any of it again.
    assert_eq!(app.stop().await, Some(0));
    app.run().await;
    loses_its_store(&mut app, &mut redis).await;
    app.night_of("2026-06-01T04:15:00-04:00").await;
    all_is_sent(&app, &inbox, "last").await;
    for (address, subject) in [
        (ANN, "referral was credited"),
        (ANN, "has qualified"),
        (BOB, "has qualified"),
        (ANN, "is final"),
        (BOB, "is final"),
        (BOB, "Add your PayPal e-mail"),
        (FIN, "waits for approval"),
        (ANN, "is on its way"),
        (ANN, "Claim your payout"),
        (ANN, "You were paid"),
    ] {
        assert_eq!(count(&inbox, address, subject), 1, "{subject} to {address}");
    }
}

#[tokio::test]
async fn what_is_switched_off_is_not_sent() {
    let inbox = Inbox::start().await;
    let off = "off = [\"referral_credited\", \"statement_final\", \"payout_waits\", \"payout_sent\"]\n";
    let mut app = TestApp::start_with("sqlite", &format!("{}{off}", inbox.config())).await;
    has_a_member_for_payouts(&app).await;
    let ann = app.partner("ann").await;
    has_paypal(&app, &ann, "ann@pay.example").await;
    app.refers(&ann, "acct-1").await.expect_status(201);
    app.night_of("2026-04-02T04:15:00-04:00").await;
    // The feed was read beyond the credit.
    inbox.wait_for_subject(ANN, "has qualified").await;
    app.night_of("2026-05-05T04:15:00-04:00").await;
    app.set_now("2026-05-31T10:00:00-04:00").await;
    let payout = app.post("/v1/payouts", &json!({"month": "2026-04"})).await.expect_status(201).json();
    let id = payout["id"].as_str().expect("an id");
    acts(&app, id, "approve", &json!({"hash": payout["hash"]})).await;
    let file = acts(&app, id, "export", &json!({})).await.text();
    reports(&app, id, &file, "Completed").await;
    inbox.wait_for_subject(ANN, "You were paid").await;
    all_is_sent(&app, &inbox, "last").await;
    let subjects: Vec<String> =
        inbox.wait_for(ANN, 1).await.iter().map(|mail| mail.subject().to_owned()).collect();
    for subject in ["credited", "is final", "on its way"] {
        assert!(subjects.iter().all(|one| !one.contains(subject)), "{subjects:?}");
    }
    assert_eq!(count(&inbox, FIN, ""), 0);
}
