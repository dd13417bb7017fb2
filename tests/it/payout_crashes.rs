//! The program is aborted at each step of a batch, started again, and goes on; a person repeats the command that had no
//! answer. PayPal's book is the judge: the same batch, no second payment, and balances that add up.
//!
//! The points are described in `src/crash.rs`. In this build a fact is about one item, so that a batch of three items has
//! a first, a middle and a last one.

mod chaos;
mod nodes;
mod twins;

use crate::payouts::report;
use crate::payouts_by_paypal::{CLOSES, PAY, World, config, earns, fake};
use crate::support::app::{TestApp, bearer};
use crate::support::http::{self, Answer};
use chrono::TimeDelta;
use counterfoil::for_tests::fake_paypal::{Lie, Says};
use serde_json::{Value, json};
use std::time::Duration;

const CRASH_AT: &str = "COUNTERFOIL_CRASH_AT";
const ABORTED: i32 = 6;
/// How often a story is looked at until it has to be over.
const ROUNDS: u32 = 400;
const ROUND: Duration = Duration::from_millis(100);
/// A person looks at what nobody knows when it has been so for a while.
const A_WHILE: u32 = 25;

/// What people do with the batch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// PayPal's API pays it.
    Api,
    /// They upload its file.
    File,
    /// They discard it, and pay another one.
    Discards,
    /// They suspend the first affiliate before they approve it.
    Suspends,
}

struct Story {
    world: World,
    way: Way,
    /// How often the program died.
    deaths: u32,
    /// Rounds since it was submitted.
    since: u32,
    discarded: bool,
    suspended: bool,
    file: Option<String>,
}

impl Story {
    async fn begins(store: &str, way: Way, receivers: &[&str], environment: &[(&'static str, &str)]) -> Self {
        let paypal = fake().await;
        let mut app = TestApp::start_with(store, &config(&paypal)).await;
        app.stop().await;
        app.environment = environment.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        app.run().await;
        let mut partners = Vec::new();
        for (number, receiver) in receivers.iter().enumerate() {
            partners.push(earns(&app, number, receiver).await);
        }
        app.night_of(CLOSES).await;
        app.set_now(PAY).await;
        let (payout, now) = (String::new(), PAY.parse().expect("a time"));
        let world = World { app, paypal, partners, payout, now };
        Self { world, way, deaths: 0, since: 0, discarded: false, suspended: false, file: None }
    }

    /// Asks; `None`: it died meanwhile.
    async fn asks(&self, method: &str, path: &str, body: &Value) -> Option<Answer> {
        let mut headers = bearer();
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
        let body = if method == "GET" { String::new() } else { body.to_string() };
        http::send(method, self.world.app.internal, path, &headers, body).await
    }
    async fn reads(&self, path: &str) -> Option<Value> {
        Some(self.asks("GET", path, &Value::Null).await?.expect_status(200).json())
    }
    async fn does(&self, what: &str, body: &Value) -> Option<Answer> {
        self.asks("POST", &format!("/v1/payouts/{}/{what}", self.world.payout), body).await
    }

    /// Starts it again, without the point, if it died.
    async fn comes_back(&mut self) {
        if self.has_died() {
            self.world.app.run().await;
        }
    }
    fn has_died(&mut self) -> bool {
        let app = &mut self.world.app;
        let Some(signal) = app.died_of() else { return false };
        assert_eq!(signal, ABORTED, "{}", app.log());
        self.deaths += 1;
        app.environment.retain(|(name, _)| *name != CRASH_AT);
        app.begins_at(&self.world.now.to_rfc3339());
        true
    }

    /// Goes on until it dies, with another node beside it.
    async fn dies(&mut self, mut beside: Option<&mut TestApp>) {
        for _ in 0..ROUNDS {
            if self.has_died() {
                return;
            }
            // It may be about to die.
            let _: Option<bool> = self.goes_on().await;
            if let Some(other) = &mut beside {
                other.set_now(&self.world.now.to_rfc3339()).await;
            }
            tokio::time::sleep(ROUND).await;
        }
        panic!("it does not come to the point:\n{}", self.world.app.log());
    }
    /// Goes on until the batch is settled.
    async fn is_settled(&mut self) {
        for _ in 0..ROUNDS {
            self.comes_back().await;
            if self.goes_on().await == Some(true) {
                return;
            }
            tokio::time::sleep(ROUND).await;
        }
        panic!("it never is settled: {:?}\n{:?}", self.batches().await, self.world.paypal.requests());
    }

    async fn batches(&self) -> Option<Vec<Value>> {
        self.reads("/v1/payouts").await?["data"].as_array().cloned()
    }
    /// Does what comes next. Returns whether nothing does; `None`: it died meanwhile.
    async fn goes_on(&mut self) -> Option<bool> {
        let newest = self.batches().await?.first().cloned().unwrap_or_default();
        newest["id"].as_str().unwrap_or_default().clone_into(&mut self.world.payout);
        match newest["status"].as_str() {
            Some("settled") => return Some(true),
            Some("discarded") if !self.discarded => self.discards().await?,
            None | Some("making" | "discarded") => {
                self.asks("POST", "/v1/payouts", &json!({"month": "2026-04"})).await?;
            }
            Some("draft") if self.way == Way::Discards && !self.discarded => self.discards().await?,
            Some("draft") => self.approves(&newest["hash"]).await?,
            Some("approved" | "submitted") if self.way == Way::File => self.uploads().await?,
            Some("approved") => {
                self.does("submit", &json!({})).await?;
                self.passes(TimeDelta::minutes(1)).await?;
            }
            Some("submitted") => {
                self.since += 1;
                self.passes(TimeDelta::minutes(1)).await?;
                if self.since > A_WHILE {
                    self.decides().await?;
                }
            }
            other => panic!("{other:?}"),
        }
        Some(false)
    }

    async fn discards(&mut self) -> Option<()> {
        let done = self.does("discard", &json!({"reason": "another look"})).await?;
        self.discarded = done.status == 200;
        Some(())
    }
    async fn approves(&mut self, hash: &Value) -> Option<()> {
        if self.way == Way::Suspends && !self.suspended {
            let path = format!("/v1/affiliates/{}/suspend", self.world.partners[0].id);
            self.asks("POST", &path, &json!({"reason": "a look"})).await?.expect_status(200);
            self.suspended = true;
        }
        let method = if self.way == Way::File { "file" } else { "api" };
        self.does("approve", &json!({"hash": hash, "method": method})).await?;
        Some(())
    }
    /// Uploads the file, when there is one, and brings back what PayPal says of it.
    async fn uploads(&mut self) -> Option<()> {
        if self.file.is_none() {
            let mut exported = self.does("export", &json!({})).await?;
            if exported.status == 409 && exported.json()["code"] == "exported_before" {
                exported = self.does("export", &json!({"again": true})).await?;
            }
            self.file = (exported.status == 200).then(|| exported.text());
        }
        let Some(file) = &self.file else { return Some(()) };
        assert_eq!(file.lines().count(), self.world.partners.len(), "{file}");
        let report = report(file, &vec!["Completed"; self.world.partners.len()]);
        let path = format!("/v1/payouts/{}/results", self.world.payout);
        http::send("POST", self.world.app.internal, &path, &bearer(), report).await?;
        Some(())
    }
    /// Lets time pass for both.
    async fn passes(&mut self, time: TimeDelta) -> Option<()> {
        self.world.now += time;
        self.world.paypal.at(self.world.now);
        self.asks("POST", "/v1/clock", &json!({"now": self.world.now.to_rfc3339()})).await?;
        Some(())
    }
    /// A person looks at PayPal's site for what nobody here knows.
    async fn decides(&self) -> Option<()> {
        let waiting = self.reads("/v1/payouts/status").await?;
        let waiting = waiting["for_a_person"].as_array().cloned().unwrap_or_default();
        for item in waiting.iter().filter(|item| item["status"] == "unknown") {
            let is_it = |sent: &Option<String>| sent.as_deref() == item["id"].as_str();
            let is_paid = self.world.paypal.payments().iter().any(|one| is_it(&one.sender_item_id));
            let outcome = if is_paid { "paid" } else { "not_paid" };
            let what = format!("items/{}/resolve", item["id"].as_str().expect("an id"));
            self.does(&what, &json!({"outcome": outcome, "reason": "PayPal's site says so"})).await?;
        }
        Some(())
    }

    /// The judge: what there is in the end is what there would be without the crash.
    async fn is_right(&self, expected: &[&str]) {
        assert_eq!(self.deaths, 1, "it has not come to the point");
        let batches = self.batches().await.expect("it runs");
        assert_eq!(batches.len(), if self.way == Way::Discards { 2 } else { 1 }, "{batches:?}");
        assert_eq!(self.world.statuses().await, expected);
        if self.way != Way::File {
            return self.world.is_right().await;
        }
        for partner in &self.world.partners {
            let path = format!("/v1/affiliates/{}/balance", partner.id);
            let balance = self.reads(&path).await.expect("it runs");
            assert_eq!((&balance["paid"], &balance["does_not_add_up"]), (&json!("99.00"), &Value::Null));
        }
    }
}

async fn crash(at: &str, way: Way, receivers: &[&str], lies: &[Lie], expected: &[&str]) {
    let mut story = Story::begins("sqlite", way, receivers, &[(CRASH_AT, at)]).await;
    for lie in lies {
        story.world.paypal.next_create(*lie);
    }
    story.is_settled().await;
    story.is_right(expected).await;
}

const THREE: &[&str] = &["ann", "bob", "cid"];
const PAID: &[&str] = &["paid", "paid", "paid"];
const INVALID: &[&str] = &["ann", "invalid", "bob"];
const LOST: &[Lie] = &[Lie::performs_then(Says::Reset)];
const NO_LINK: &[Lie] = &[Lie::performs_then(Says::Reset), Lie::only(Says::DuplicateWithoutLink)];

macro_rules! crashes {
    ($($name:ident: $at:literal, $way:ident $(, $receivers:expr, $lies:expr, $expected:expr)?;)+) => { $(
        #[tokio::test]
        async fn $name() {
            crashes!(@ $at, $way $(, $receivers, $lies, $expected)?);
        }
    )+ };
    (@ $at:literal, $way:ident) => { crash($at, Way::$way, THREE, &[], PAID).await };
    (@ $at:literal, $way:ident, $receivers:expr, $lies:expr, $expected:expr) => {
        crash($at, Way::$way, $receivers, $lies, $expected).await
    };
}

crashes! {
    before_a_batch_is_begun: "payout_begun.journaling", Api;
    when_its_begin_is_journaled: "payout_begun.journaled", Api;
    when_it_is_begun: "payout_begun.applied", Api;
    before_the_first_item_is_in_the_store: "payout_items_added.journaled", Api;
    after_the_first_item: "payout_items_added.applied", Api;
    after_the_middle_item: "payout_items_added.applied:2", Api;
    after_the_last_item: "payout_items_added.applied:3", Api;
    before_it_is_a_draft: "payout_drafted.journaling", Api;
    when_it_is_a_draft: "payout_drafted.applied", Api;

    after_a_withdrawal_and_before_the_approval: "payout_items_changed.applied", Suspends, THREE, &[], &["withdrawn", "paid", "paid"];
    before_its_approval: "payout_approved.journaling", Api;
    when_its_approval_is_journaled: "payout_approved.journaled", Api;
    when_it_is_approved: "payout_approved.applied", Api;

    when_its_discarding_is_journaled: "payout_discarded.journaled", Discards;
    when_it_is_discarded: "payout_discarded.applied", Discards;
    in_the_middle_of_the_withdrawals_of_a_discarded_one: "payout_items_changed.applied:2", Discards;

    before_its_export: "payout_exported.journaling", File;
    when_it_is_exported: "payout_exported.applied", File;
    in_the_middle_of_an_export: "payout_items_changed.applied:2", File;
    when_all_items_are_exported: "payout_items_changed.applied:3", File;
    in_the_middle_of_a_report: "payout_items_changed.applied:5", File;

    before_it_is_submitted: "payout_submitted.journaling", Api;
    when_it_is_submitted: "payout_submitted.applied", Api;
    in_the_middle_of_the_items_of_a_call: "payout_items_changed.applied:2", Api;
    before_the_intent: "payout_calling.journaling", Api;
    when_the_intent_is_journaled_and_not_in_the_store: "payout_calling.journaled", Api;
    when_the_intent_is_in_the_store: "payout_calling.applied", Api;
    before_a_call_is_sent: "payout_intent", Api;
    when_a_call_is_sent: "payout_sent", Api;
    when_the_second_call_is_sent: "payout_sent:2", Api, THREE, LOST, PAID;
    when_the_answer_is_journaled_and_not_in_the_store: "payout_answered.journaled", Api;
    when_the_answer_is_in_the_store: "payout_answered.applied", Api;

    when_an_answer_is_lost_and_no_item_says_so: "payout_answered.applied", Api, THREE, LOST, PAID;
    when_an_answer_is_lost_and_one_item_says_so: "payout_items_changed.applied:4", Api, THREE, LOST, PAID;
    before_a_duplicate_is_adopted: "payout_answered.journaling:2", Api, THREE, LOST, PAID;
    when_a_duplicate_is_adopted: "payout_answered.applied:2", Api, THREE, LOST, PAID;
    when_a_duplicate_is_not_proved: "payout_answered.applied:2", Api, THREE, NO_LINK, PAID;
    when_a_duplicate_is_not_proved_and_there_is_no_answer_before: "payout_answered.applied", Api, THREE,
        &[Lie::performs_then(Says::DuplicateWithoutLink)], PAID;

    when_one_item_is_refused_and_nobody_knows: "payout_sent", Api, INVALID, &[], &["canceled", "canceled", "canceled"];
    when_the_refusal_of_an_item_is_journaled: "payout_answered.journaled", Api, INVALID, &[], &["paid", "failed", "paid"];
    when_one_item_is_refused: "payout_answered.applied", Api, INVALID, &[], &["paid", "failed", "paid"];
    when_the_others_are_sent: "payout_sent:2", Api, INVALID, &[], &["paid", "failed", "paid"];

    in_the_middle_of_a_look_before_the_store: "payout_items_changed.journaled:5", Api;
    in_the_middle_of_a_look: "payout_items_changed.applied:5", Api;
}
