//! What is checked after each round, and what is left in the end.

use super::faults::Hit;
use super::plan;
use super::world::{PATIENCE, World};
use crate::support::app::TestApp;
use crate::support::history::{sum_of, sums_hold};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// What a history left, as far as it does not depend on when clients were answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub accounts: BTreeMap<String, Value>,
    pub statements: Vec<Value>,
    pub waiting: Value,
}

impl World {
    /// After a round all is well.
    pub async fn checks(&self, hit: Option<Hit>, unknown: u64) {
        for node in &self.nodes {
            node.app.settles().await;
            sums_hold(&node.app).await;
            let begun = Instant::now();
            loop {
                let ready = node.app.get("/readyz").await.expect_status(200).json();
                if ready["status"] == "ready" {
                    break;
                }
                assert!(begun.elapsed() < PATIENCE, "{}: {ready}\n{}", self.name, node.app.log());
                sleep(Duration::from_millis(50)).await;
            }
        }
        let history = &self.clients.history;
        assert_eq!(*history.refused.lock().await, Vec::<String>::new(), "{}", self.name);
        assert_eq!(history.clicks_refused.load(Ordering::Relaxed), 0, "{}", self.name);
        if !hit.is_some_and(|hit| hit.fault.takes_a_node_away()) {
            let now = history.clicks_unknown.load(Ordering::Relaxed);
            assert_eq!(now, unknown, "{}: redirects failed while all nodes ran: {hit:?}", self.name);
        }
    }

    /// The last night, after which all months are closed; then what is left.
    pub async fn ends(&mut self, rounds: usize) -> Outcome {
        let night = plan::last_night(rounds);
        self.sets_clocks(night).await;
        self.makes_the_night(0, night).await;
        for node in &self.nodes {
            let proof = node.app.get("/v1/verify").await.expect_status(200).json();
            assert_eq!(proof["untouched"], true, "{}: {proof}", self.name);
        }
        self.checks_clicks(rounds).await;
        let app = &self.nodes[self.nodes.len() - 1].app;
        let set_aside = app.get("/v1/facts/set-aside").await.expect_status(200).json();
        assert_eq!(set_aside["data"], json!([]), "{}", self.name);
        let waiting =
            app.get("/v1/accounts?waiting=true&limit=500").await.expect_status(200).json()["data"].clone();
        let accounts = self.accounts(app).await;
        for taken in self.clients.taken.lock().await.iter() {
            let (account, what) = taken.split_once(' ').expect("two words");
            let known = accounts.get(account).unwrap_or_else(|| panic!("{}: {account} is lost", self.name));
            let events = known["events"].as_array().expect("a list");
            let times = events.iter().filter(|event| event["event_id"] == what).count();
            assert!(what == "signup" || times == 1, "{}: {taken} is there {times} times: {known}", self.name);
        }
        let mut statements = app.statements("").await;
        // Stores list them partition by partition.
        statements.sort_by_key(|one| (one["month"].to_string(), one["affiliate_id"].to_string()));
        Outcome { accounts, statements, waiting }
    }

    async fn accounts(&self, app: &TestApp) -> BTreeMap<String, Value> {
        let taken = self.clients.taken.lock().await;
        let names: BTreeSet<&str> = taken.iter().filter_map(|taken| taken.split(' ').next()).collect();
        let mut accounts = BTreeMap::new();
        for account in names {
            let known = app.get(&format!("/v1/accounts/{account}")).await.expect_status(200).json();
            accounts.insert(account.to_owned(), essence_of(&known));
        }
        accounts
    }

    /// Every click that was redirected is recorded, or was counted as dropped.
    async fn checks_clicks(&self, rounds: usize) {
        let (mut human, mut dropped) = (0, self.dropped);
        let app = &self.nodes[0].app;
        for partner in &self.clients.partners {
            let (from, to) = (plan::day(0).pred_opt().expect("a day"), plan::day(rounds + 1));
            let path = format!("/v1/stats?affiliate_id={}&from={from}&to={to}&by=day", partner.id);
            let stats = app.get(&path).await.expect_status(200).json();
            human += stats["clicks"]["human"].as_u64().expect("a count");
        }
        for node in &self.nodes {
            dropped += drops(&node.app).await;
        }
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let history = &self.clients.history;
        let (sent, redirected) = (load(&history.clicks_sent), load(&history.clicks_redirected));
        assert!(
            human + dropped >= redirected,
            "{}: lost: {human} + {dropped} dropped of {history:?}",
            self.name
        );
        assert!(human <= sent, "{}: doubled: {human} of {history:?}", self.name);
        println!(
            "{} {}: {sent} clicks, {redirected} redirected, {human} recorded, {dropped} dropped; {} callbacks sent, {} \
             without an answer, {} facts taken",
            self.seed_line,
            self.name,
            load(&self.clients.sent),
            load(&self.clients.unknown),
            self.clients.taken.lock().await.len()
        );
    }
}

/// Clicks that a node has dropped since its start.
pub async fn drops(app: &TestApp) -> u64 {
    sum_of(&app.get("/metrics").await.expect_status(200).text(), "counterfoil_clicks_dropped_total")
}

/// What is known of an account, without the clicks' ids, what staff did twice since the first answer was lost, and reports
/// that contradicted: of those that came before an emptied store was confirmed not all are listed.
fn essence_of(account: &Value) -> Value {
    let history = account["history"].as_array().expect("a list");
    let events: Vec<&Value> = history.iter().filter(|entry| entry["kind"] == "event").collect();
    let mut acts: Vec<(&Value, &Value)> = history
        .iter()
        .filter(|entry| entry["kind"] == "action")
        .map(|act| (&act["action"], &act["credited_since"]))
        .collect();
    acts.dedup();
    let attribution = &account["attribution"];
    json!({
        "state": account["state"],
        "affiliate": account["affiliate_id"],
        "decided": {"affiliate": attribution["affiliate_id"], "link": attribution["link_id"],
            "reason": attribution["reason"], "holds": attribution["holds"], "code": attribution["code"]},
        "held": account["held"],
        "signup": account["signup"],
        "active_days": account["active_days"],
        "crossed_on": account["crossed_on"],
        "events": events,
        "acts": acts,
    })
}
