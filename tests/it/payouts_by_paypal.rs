//! Batches that PayPal's API pays, against a PayPal that lies: its book of payments is the judge. Whatever it says or
//! fails to say, nobody is paid twice, and what we say in the end is what happened.

use crate::support::app::{Partner, TestApp, Visitor, bearer};
use crate::support::http;
use crate::support::servers::{Program, Server};
use chrono::{DateTime, TimeDelta, Utc};
use counterfoil::for_tests::fake_paypal::{CLIENT_ID, CLIENT_SECRET, Fake, Lie, ReadLie, Says};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

pub const CLOSES: &str = "2026-05-05T04:15:00-04:00";
pub const PAY: &str = "2026-05-31T14:00:00Z";

/// A server that pays by a fake PayPal, with partners whose receivers begin as the fake wants to hear it.
pub struct World {
    pub app: TestApp,
    pub paypal: Fake,
    pub partners: Vec<Partner>,
    pub payout: String,
    pub now: DateTime<Utc>,
}

pub fn config(paypal: &Fake) -> String {
    format!(
        "[payouts]\nmethod = \"api\"\nat = \"\"\n[payouts.paypal]\nurl = \"{}\"\nclient_id = \"{CLIENT_ID}\"\n\
         client_secret = \"{CLIENT_SECRET}\"\npoll_seconds = 5\n",
        paypal.url()
    )
}

pub async fn fake() -> Fake {
    Fake::start(PAY.parse().expect("a time")).await.expect("a free port")
}

pub async fn earns(app: &TestApp, number: usize, receiver: &str) -> Partner {
    let partner = app.partner(&format!("p{number}")).await;
    let body = json!({"paypal_email": format!("{receiver}.{number}@pay.example")}).to_string();
    let mut headers = bearer();
    headers.push(("content-type".into(), "application/json".into()));
    let path = format!("/v1/affiliates/{}", partner.id);
    http::send("PATCH", app.internal, &path, &headers, body).await.expect("an answer").expect_status(200);
    let mut visitor = Visitor::default();
    visitor.clicks(&partner.link).await;
    app.signs_up(&visitor, &format!("acct-{number}"), "growth").await.expect_status(201);
    partner
}

impl World {
    /// A batch that is approved, and not submitted yet.
    pub async fn approved(receivers: &[&str]) -> Self {
        let paypal = fake().await;
        let app = TestApp::start_with("sqlite", &config(&paypal)).await;
        Self::with(app, paypal, receivers).await
    }
    pub async fn with(mut app: TestApp, paypal: Fake, receivers: &[&str]) -> Self {
        let mut partners = Vec::new();
        for (number, receiver) in receivers.iter().enumerate() {
            partners.push(earns(&app, number, receiver).await);
        }
        app.night_of(CLOSES).await;
        app.set_now(PAY).await;
        let made = app.post("/v1/payouts", &json!({"month": "2026-04"})).await.expect_status(201).json();
        let payout = made["id"].as_str().expect("an id").to_owned();
        let approve = json!({"hash": made["hash"]});
        app.post(&format!("/v1/payouts/{payout}/approve"), &approve).await.expect_status(200);
        Self { app, paypal, partners, payout, now: PAY.parse().expect("a time") }
    }
    pub async fn submits(&self) -> Value {
        let path = format!("/v1/payouts/{}/submit", self.payout);
        self.app.post(&path, &json!({})).await.expect_status(200).json()
    }
    pub async fn batch(&self) -> Value {
        self.app.get(&format!("/v1/payouts/{}", self.payout)).await.expect_status(200).json()
    }
    /// Lets time pass for both, a minute at a time, until the batch is so.
    async fn until(&mut self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        self.until_by(TimeDelta::minutes(1), what, is_so).await
    }
    pub async fn until_by(&mut self, step: TimeDelta, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..120 {
            let batch = self.batch().await;
            if is_so(&batch) {
                return batch;
            }
            self.passes(step).await;
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        panic!("it never is {what}: {}\n{:?}", self.batch().await, self.paypal.requests());
    }
    pub async fn passes(&mut self, time: TimeDelta) {
        self.now += time;
        self.paypal.at(self.now);
        self.app.set_now(&self.now.to_rfc3339()).await;
    }
    async fn items(&self) -> BTreeMap<String, Value> {
        let path = format!("/v1/payouts/{}/items?limit=500", self.payout);
        let items = self.app.get(&path).await.expect_status(200).json();
        let items = items["data"].as_array().expect("a list").clone();
        items
            .into_iter()
            .map(|item| (item["affiliate_id"].as_str().expect("an id").to_owned(), item))
            .collect()
    }
    pub async fn statuses(&self) -> Vec<String> {
        let items = self.items().await;
        let status = |partner: &Partner| items[&partner.id]["status"].as_str().expect("a status").to_owned();
        self.partners.iter().map(status).collect()
    }
    /// The judge: nobody was paid more than once, and our balances are what the fake's book says.
    pub async fn is_right(&self) {
        assert_eq!(self.judge().await, Ok(()));
    }
    /// What the judge finds wrong.
    pub async fn judge(&self) -> Result<(), String> {
        let payments = self.paypal.payments();
        for (number, partner) in self.partners.iter().enumerate() {
            let receiver = format!(".{number}@pay.example");
            let taken: Vec<_> = payments.iter().filter(|one| one.receiver.ends_with(&receiver)).collect();
            if taken.len() > 1 {
                return Err(format!("paid {} times", taken.len()));
            }
            let has_it = taken.iter().any(|one| one.status == "SUCCESS");
            let balance = self.app.get(&format!("/v1/affiliates/{}/balance", partner.id)).await;
            let balance = balance.expect_status(200).json();
            let paid = if has_it { "99.00" } else { "0.00" };
            if balance["does_not_add_up"] != Value::Null || balance["paid"] != paid {
                return Err(format!("{number} was paid {paid}: {balance}"));
            }
        }
        Ok(())
    }
    fn calls(&self) -> usize {
        self.paypal.requests().iter().filter(|one| *one == "POST /v1/payments/payouts").count()
    }
}

pub fn settled(batch: &Value) -> bool {
    batch["status"] == "settled"
}

#[tokio::test]
async fn a_batch_is_paid_by_one_call_and_each_item_ends_by_its_own_status() {
    let receivers = ["ann", "failed", "unclaimed", "blocked", "returned", "onhold", "reviewed", "strange"];
    let mut world = World::approved(&receivers).await;
    world.submits().await;
    world.until_by(TimeDelta::hours(1), "looked at", |batch| batch["counts"]["paid"] == 2).await;
    let expected = ["paid", "failed", "unclaimed", "blocked", "returned", "on_hold", "paid", "unknown"];
    assert_eq!(world.statuses().await, expected);
    world.is_right().await;
    // Nobody claims it for 30 days: the money is back, and is owed again.
    world.until_by(TimeDelta::days(1), "returned", |batch| batch["counts"]["returned"] == 2).await;
    assert_eq!(world.calls(), 1);
    world.is_right().await;
}

#[tokio::test]
async fn money_that_comes_back_after_it_was_paid_is_owed_once_and_waits_for_staff() {
    let mut world = World::approved(&["refunded", "reversed"]).await;
    world.submits().await;
    world.until("settled", settled).await;
    assert_eq!(world.statuses().await, ["paid", "paid"]);
    world
        .until_by(TimeDelta::hours(13), "back", |batch| {
            batch["counts"] == json!({"refunded": 1, "reversed": 1})
        })
        .await;
    world.is_right().await;
    let year = world.app.get("/v1/payouts/year?year=2026").await.expect_status(200).text();
    assert!(year.contains(",0.00,-99.00,99.00,USD"), "{year}");
}

/// Whatever the answer is: the same bytes go again under the same id, and one payment is made.
async fn lies(lie: Lie) {
    let mut world = World::approved(&["ann", "bob"]).await;
    world.paypal.next_create(lie);
    world.submits().await;
    world.until("settled", settled).await;
    assert_eq!(world.statuses().await, ["paid", "paid"], "{lie:?}");
    world.is_right().await;
    let exchanges = world.paypal.exchanges();
    let bodies: Vec<&Vec<u8>> =
        exchanges.iter().filter(|one| one.path == "/v1/payments/payouts").map(|one| &one.body).collect();
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "{lie:?}: other bytes under the same id");
}

macro_rules! paid_once {
    ($($name:ident: $lie:expr;)+) => { $(
        #[tokio::test]
        async fn $name() {
            lies($lie).await;
        }
    )+ };
}

paid_once! {
    it_pays_and_resets_the_connection: Lie::performs_then(Says::Reset);
    it_pays_and_answers_500: Lie::performs_then(Says::Fault);
    it_pays_and_a_gateway_answers_502_with_a_page: Lie::performs_then(Says::Gateway);
    it_pays_and_the_answer_is_cut_off: Lie::performs_then(Says::Truncated);
    it_pays_and_answers_201_with_nothing: Lie::performs_then(Says::Empty);
    it_pays_and_answers_201_with_a_page: Lie::performs_then(Says::Page);
    it_pays_and_a_proxy_refuses: Lie::performs_then(Says::ProxyRefuses);
    it_pays_and_answers_429: Lie::performs_then(Says::Throttled);
    it_pays_and_says_that_the_call_before_is_not_done: Lie::performs_then(Says::InProgress);
    it_pays_and_leads_elsewhere: Lie::performs_then(Says::Elsewhere);
    it_pays_nothing_and_resets_the_connection: Lie::only(Says::Reset);
    it_pays_nothing_and_answers_500: Lie::only(Says::Fault);
    it_pays_nothing_and_answers_429: Lie::only(Says::Throttled);
    it_tells_by_webhook_before_it_answers: Lie::tells_first();
}

/// An answer after which nobody knows what was paid: a person decides, and nothing is sent again.
async fn needs_a_person(lie: Lie, then: Option<Lie>) -> World {
    let mut world = World::approved(&["ann", "bob"]).await;
    world.paypal.next_create(lie);
    if let Some(then) = then {
        world.paypal.next_create(then);
    }
    world.submits().await;
    world.until("unknown", |batch| batch["counts"]["unknown"] == 2).await;
    for _ in 0..8 {
        world.passes(TimeDelta::minutes(11)).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(world.statuses().await, ["unknown", "unknown"]);
    let waiting = world.app.get("/v1/payouts/status").await.expect_status(200).json();
    assert_eq!(waiting["for_a_person"].as_array().map(Vec::len), Some(2), "{waiting}");
    world
}

#[tokio::test]
async fn a_duplicate_without_a_link_goes_to_a_person() {
    let reset = Lie::performs_then(Says::Reset);
    let world = needs_a_person(reset, Some(Lie::only(Says::DuplicateWithoutLink))).await;
    assert_eq!(world.calls(), 2);
    for item in world.items().await.values() {
        let path =
            format!("/v1/payouts/{}/items/{}/resolve", world.payout, item["id"].as_str().expect("an id"));
        let paid = json!({"outcome": "paid", "reason": "PayPal's site shows it"});
        world.app.post(&path, &paid).await.expect_status(200);
    }
    assert!(settled(&world.batch().await));
    world.is_right().await;
}

#[tokio::test]
async fn a_duplicate_with_a_link_to_other_payments_is_not_adopted() {
    let world = needs_a_person(Lie::only(Says::DuplicateWithForeignLink), None).await;
    assert_eq!((world.calls(), world.paypal.payments().len()), (1, 0));
    world.is_right().await;
}

#[tokio::test]
async fn a_batch_id_of_other_payments_proves_nothing() {
    let world = needs_a_person(Lie::performs_then(Says::Foreign), None).await;
    assert_eq!(world.calls(), 1);
    // A person decides that nothing was paid: it is not sent again.
    for item in world.items().await.values() {
        let path =
            format!("/v1/payouts/{}/items/{}/resolve", world.payout, item["id"].as_str().expect("an id"));
        world.app.post(&path, &json!({"outcome": "not_paid", "reason": "a guess"})).await.expect_status(200);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.calls(), 1);
}

#[tokio::test]
async fn one_bad_address_is_left_out_and_the_others_are_paid_once() {
    let mut world = World::approved(&["ann", "invalid", "bob"]).await;
    world.submits().await;
    world.until("settled", settled).await;
    assert_eq!(world.statuses().await, ["paid", "failed", "paid"]);
    assert_eq!(world.calls(), 2);
    world.is_right().await;
}

#[tokio::test]
async fn missing_money_stops_all_calls_until_staff_send_again() {
    let mut world = World::approved(&["ann", "bob"]).await;
    world.paypal.next_create(Lie::only(Says::Unfunded));
    world.submits().await;
    world.app.logs("INSUFFICIENT_FUNDS").await;
    for _ in 0..6 {
        world.passes(TimeDelta::minutes(11)).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!((world.calls(), world.paypal.payments().len()), (1, 0));
    assert_eq!(world.statuses().await, ["submitted", "submitted"]);
    world.submits().await;
    world.until("settled", settled).await;
    world.is_right().await;
}

#[tokio::test]
async fn a_restricted_account_stops_all_calls() {
    let mut world = World::approved(&["ann"]).await;
    world.paypal.next_create(Lie::only(Says::Restricted("SENDER_RESTRICTED")));
    world.submits().await;
    world.app.logs("SENDER_RESTRICTED").await;
    world.submits().await;
    world.until("settled", settled).await;
    assert_eq!(world.calls(), 2);
    world.is_right().await;
}

#[tokio::test]
async fn a_denied_batch_is_not_sent_again_although_its_id_is_free() {
    let mut world = World::approved(&["ann", "bob"]).await;
    world.paypal.next_create(Lie::denies());
    world.submits().await;
    world.until("settled", settled).await;
    assert_eq!(world.statuses().await, ["failed", "failed"]);
    for _ in 0..6 {
        world.passes(TimeDelta::hours(13)).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(world.calls(), 1);
    world.is_right().await;
}

#[tokio::test]
async fn what_is_read_wrong_releases_nothing() {
    let lies = [
        ReadLie::NotFound,
        ReadLie::Stale,
        ReadLie::OtherAmounts,
        ReadLie::UnknownWords,
        ReadLie::ItemMissing,
        ReadLie::ItemTwice,
        ReadLie::DoneButPending,
        ReadLie::EmptyPage,
        ReadLie::FirstPage,
        ReadLie::MoreItems(5),
        ReadLie::Fault,
        ReadLie::Gateway,
        ReadLie::Page,
        ReadLie::Truncated,
        ReadLie::Throttled,
        ReadLie::Reset,
    ];
    let mut world = World::approved(&["ann", "bob", "failed"]).await;
    world.paypal.shows(2);
    for lie in lies {
        world.paypal.next_read(lie);
    }
    world.submits().await;
    world.until("settled", settled).await;
    assert_eq!(world.statuses().await, ["paid", "paid", "failed"]);
    world.is_right().await;
}

#[tokio::test]
async fn a_token_that_ended_is_asked_for_once_more() {
    let mut world = World::approved(&["ann"]).await;
    world.submits().await;
    world.paypal.forgets_tokens();
    world.until("settled", settled).await;
    world.paypal.forgets_tokens();
    world.passes(TimeDelta::hours(13)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.is_right().await;
}

#[tokio::test]
async fn a_call_is_not_made_later_than_25_days_after_the_first() {
    let mut world = World::approved(&["ann"]).await;
    world.paypal.next_create(Lie::performs_then(Says::Reset));
    world.submits().await;
    world.until("unknown", |batch| batch["counts"]["unknown"] == 1).await;
    let calls = world.calls();
    assert_eq!(world.app.stop().await, Some(0));
    // PayPal has forgotten the id by now, and would pay again.
    world.now += TimeDelta::days(31);
    world.paypal.at(world.now);
    world.app.begins_at(&world.now.to_rfc3339());
    world.app.run().await;
    world.app.logs("asked for 25 days").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!((world.calls(), world.paypal.payments().len()), (calls, 1));
    assert_eq!(world.statuses().await, ["unknown"]);
}

#[tokio::test]
async fn a_server_that_dies_in_the_middle_of_a_call_pays_once() {
    for lie in [Lie::performs_then(Says::Silence), Lie::only(Says::Silence)] {
        let mut world = World::approved(&["ann", "bob"]).await;
        world.paypal.next_create(lie);
        world.submits().await;
        for _ in 0..100 {
            if world.calls() > 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(world.calls(), 1);
        world.app.kill();
        world.app.begins_at(&world.now.to_rfc3339());
        world.app.run().await;
        world.until("settled", settled).await;
        assert_eq!(world.statuses().await, ["paid", "paid"]);
        world.is_right().await;
    }
}

#[tokio::test]
async fn of_two_nodes_one_calls_and_the_other_one_goes_on() {
    let redis = Server::start(Program::Redis, &[]);
    let paypal = fake().await;
    let mut first = TestApp::start_with(&redis.url(), &config(&paypal)).await;
    let mut second = TestApp::start_beside(&first, &redis.url(), &config(&paypal)).await;
    second.set_now(CLOSES).await;
    first.set_now(CLOSES).await;
    let mut partners = Vec::new();
    first.set_now("2026-01-01T09:00:00-05:00").await;
    for (number, receiver) in ["ann", "bob"].iter().enumerate() {
        partners.push(earns(&first, number, receiver).await);
    }
    first.night_of(CLOSES).await;
    second.set_now(PAY).await;
    first.set_now(PAY).await;
    let made = first.post("/v1/payouts", &json!({"month": "2026-04"})).await.expect_status(201).json();
    let payout = made["id"].as_str().expect("an id").to_owned();
    let approve = json!({"hash": made["hash"]});
    second.post(&format!("/v1/payouts/{payout}/approve"), &approve).await.expect_status(200);
    paypal.next_create(Lie::performs_then(Says::Silence));
    for node in [&first, &second] {
        node.post(&format!("/v1/payouts/{payout}/submit"), &json!({})).await.expect_status(200);
    }
    let mut world = World { app: second, paypal, partners, payout, now: PAY.parse().expect("a time") };
    for _ in 0..100 {
        if world.calls() > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(world.calls(), 1);
    // One of them is gone, perhaps the one that called; without it, its last facts could be missing.
    first.kill();
    for _ in 0..4 {
        world.passes(TimeDelta::minutes(3)).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(world.paypal.payments().len() <= 2);
    first.begins_at(&world.now.to_rfc3339());
    first.run().await;
    for _ in 0..60 {
        if settled(&world.batch().await) {
            break;
        }
        world.passes(TimeDelta::minutes(1)).await;
        first.set_now(&world.now.to_rfc3339()).await;
        // The pause between two calls goes by the store's clock, which is the real one.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(world.statuses().await, ["paid", "paid"]);
    world.is_right().await;
}
