//! Some nodes with their store, what goes wrong with them, and what is left in the end.

use super::clients::Clients;
use super::faults::{Fault, Hit};
use super::plan::{self, Round};
use super::support::app::{TestApp, bearer};
use super::support::disk::Disk;
use super::support::gate::Gate;
use super::support::history::{sum_of, sums_hold};
use super::support::http;
use super::support::servers::Server;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Over how long the deeds of a round are spread.
const LOAD: Duration = Duration::from_secs(2);
/// When a fault begins after them.
const LEAD: Duration = Duration::from_millis(300);
/// How long it lasts.
const PAUSE: Duration = Duration::from_millis(1_500);
/// How long a node is stopped in the long form: longer than the lease of a nightly run, and that of mail.
const LEASE: Duration = Duration::from_secs(32);
/// Clients at once.
const CLIENTS: usize = 6;
/// How long anything may take to be well again.
const PATIENCE: Duration = Duration::from_mins(1);

/// A node; what it lies on goes first, so that it can be ended.
pub struct Node {
    pub disk: Option<Arc<std::sync::Mutex<Disk>>>,
    pub gate: Option<Arc<Gate>>,
    pub app: TestApp,
    pub _dir: tempfile::TempDir,
}

/// Nodes on one store, and their clients.
pub struct World {
    pub name: &'static str,
    pub seed_line: String,
    pub nodes: Vec<Node>,
    pub redis: Option<Server>,
    pub clients: Arc<Clients>,
    pub is_long: bool,
    /// Clicks that processes that ended had dropped.
    pub dropped: u64,
}

/// What a history left, as far as it does not depend on when clients were answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub accounts: BTreeMap<String, Value>,
    pub statements: Vec<Value>,
    pub waiting: Value,
}

impl World {
    /// Lives a round, and the night after it.
    pub async fn lives(&mut self, number: usize, round: &Round, hit: Option<Hit>) {
        self.sets_clocks(plan::noon(number)).await;
        let unknown = self.clients.history.clicks_unknown.load(Ordering::Relaxed);
        let stop = Arc::new(AtomicBool::new(false));
        let mut idle = JoinSet::new();
        let mut deeds = self.begins(round, hit.is_some());
        let mut took = Duration::ZERO;
        if let Some(hit) = hit {
            self.begins_idle(&mut idle, &stop, hit, number);
            sleep(LEAD).await;
            self.strikes(hit).await;
            took = self.mends(hit).await;
        }
        while let Some(deed) = deeds.join_next().await {
            deed.expect("a client");
        }
        if hit.is_some_and(|hit| hit.fault == Fault::RedisEvicts) {
            self.evicts_and_is_set_right().await;
        }
        stop.store(true, Ordering::Relaxed);
        while let Some(one) = idle.join_next().await {
            one.expect("a client");
        }
        self.closes(number + 1, hit).await;
        self.checks(hit, unknown).await;
        if let Some(hit) = hit {
            println!(
                "{} {} round {number}: {:?} at node {}; all applied again after {} ms",
                self.seed_line,
                self.name,
                hit.fault,
                hit.node + 1,
                took.as_millis()
            );
        }
    }

    /// Clients begin with a round's deeds: one after the other in its time, or at once.
    fn begins(&self, round: &Round, in_time: bool) -> JoinSet<()> {
        let deeds = Arc::new(round.deeds.clone());
        let next = Arc::new(AtomicU64::new(0));
        let begun = Instant::now();
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let (deeds, next, who) = (Arc::clone(&deeds), Arc::clone(&next), Arc::clone(&self.clients));
            clients.spawn(async move {
                loop {
                    let place = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).expect("few");
                    let Some(deed) = deeds.get(place) else { return };
                    if in_time {
                        let due = LOAD * u32::try_from(place).expect("few")
                            / u32::try_from(deeds.len()).expect("few");
                        tokio::time::sleep_until((begun + due).into()).await;
                    }
                    who.does(deed, place).await;
                }
            });
        }
        clients
    }

    fn begins_idle(&self, idle: &mut JoinSet<()>, stop: &Arc<AtomicBool>, hit: Hit, number: usize) {
        for _ in 0..2 {
            let (who, stop) = (Arc::clone(&self.clients), Arc::clone(stop));
            idle.spawn(async move { who.wanders(&stop).await });
        }
        let (who, stop) = (Arc::clone(&self.clients), Arc::clone(stop));
        // Nights are asked for where the month is closed later: another node would wait for the lease of one that was killed.
        let as_of = plan::day(number).to_string() + "T12:30:00Z";
        idle.spawn(async move { who.asks_for_nights(hit.node, &as_of, &stop).await });
    }

    async fn sets_clocks(&mut self, now: DateTime<Utc>) {
        for node in &mut self.nodes {
            node.app.set_now(&now.to_rfc3339()).await;
        }
    }

    async fn strikes(&mut self, hit: Hit) {
        match hit.fault {
            Fault::Killed => {
                self.kills(hit.node).await;
                sleep(PAUSE / 2).await;
                self.nodes[hit.node].app.run().await;
            }
            Fault::Paused => {
                self.nodes[hit.node].app.pause();
                sleep(if self.is_long { LEASE } else { PAUSE }).await;
                self.nodes[hit.node].app.resume();
            }
            Fault::Restarted => {
                self.stops(hit.node).await;
                self.nodes[hit.node].app.run().await;
            }
            Fault::StoreLost => {
                self.stops(hit.node).await;
                for file in ["store.sqlite", "store.sqlite-wal", "store.sqlite-shm"] {
                    // SQLite removes the latter two when it ends well.
                    std::fs::remove_file(self.nodes[hit.node].app.data_dir().join(file)).ok();
                }
                self.nodes[hit.node].app.run().await;
            }
            Fault::DiskFrozen => {
                self.disk(Disk::freeze);
                sleep(PAUSE).await;
                self.disk(Disk::thaw);
            }
            Fault::DiskFull => {
                self.disk(|disk| disk.fill());
                sleep(PAUSE).await;
                self.disk(|disk| disk.make_room());
            }
            Fault::ClocksApart => self.steps_clocks(hit).await,
            Fault::RedisKilled => {
                self.redis().kill();
                sleep(PAUSE / 2).await;
                tokio::task::block_in_place(|| self.redis().start_again());
            }
            Fault::RedisPaused => {
                self.redis().pause();
                sleep(PAUSE).await;
                self.redis().resume();
            }
            Fault::RedisEmptied => self.operates(&["FLUSHALL"]),
            Fault::RedisFull => {
                self.operates(&["CONFIG", "SET", "maxmemory", "1"]);
                sleep(PAUSE).await;
                self.operates(&["CONFIG", "SET", "maxmemory", "0"]);
            }
            Fault::RedisEvicts => {
                self.operates(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
                sleep(PAUSE).await;
            }
            Fault::Cut | Fault::Swallowed => {
                let gate = self.nodes[hit.node].gate.clone().expect("the pair has gates");
                if hit.fault == Fault::Cut {
                    gate.shut();
                } else {
                    gate.swallow();
                }
                sleep(PAUSE).await;
                gate.open();
            }
            Fault::KilledInTheNight | Fault::PausedInTheNight | Fault::RedisKilledInTheNight => {}
        }
    }

    /// What a person has to do, and waiting until everything journaled so far is applied; answers how long that took.
    async fn mends(&mut self, hit: Hit) -> Duration {
        let begun = Instant::now();
        if hit.fault == Fault::RedisEmptied {
            self.is_confirmed().await;
        }
        for node in &self.nodes {
            let target = positions(&node.app, "last").await;
            while positions(&node.app, "applied").await.iter().zip(&target).any(|(at, target)| at < target) {
                assert!(begun.elapsed() < PATIENCE, "{}: not applied: {}", self.name, node.app.log());
                sleep(Duration::from_millis(10)).await;
            }
        }
        begun.elapsed()
    }

    async fn is_confirmed(&self) {
        let begun = Instant::now();
        loop {
            let answer = self.nodes[0].app.post("/v1/store/confirm", &json!({})).await;
            if answer.status == 200 {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{}: not confirmed: {}", self.name, answer.text());
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Nothing is reported meanwhile: what a store has forgotten is not known when it is decided on.
    async fn evicts_and_is_set_right(&mut self) {
        self.operates(&["CONFIG", "SET", "maxmemory", "1"]);
        let begun = Instant::now();
        while self.redis().operate::<String>(&["INFO", "stats"]).contains("evicted_keys:0\r\n") {
            assert!(begun.elapsed() < PATIENCE, "it forgets nothing");
            sleep(Duration::from_millis(10)).await;
        }
        self.operates(&["CONFIG", "SET", "maxmemory", "0"]);
        self.operates(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
        self.operates(&["FLUSHALL"]);
        self.operates(&["CONFIG", "RESETSTAT"]);
        self.is_confirmed().await;
    }

    async fn steps_clocks(&mut self, hit: Hit) {
        let now: DateTime<Utc> = self.clock(hit.node).await;
        let apart = chrono::Duration::minutes(40);
        for place in 0..self.nodes.len() {
            let moved = if place == hit.node { now + apart } else { now - apart };
            self.nodes[place].app.set_now(&moved.to_rfc3339()).await;
        }
        sleep(PAUSE).await;
        self.nodes[hit.node].app.set_now(&(now - apart).to_rfc3339()).await;
    }
    async fn clock(&self, node: usize) -> DateTime<Utc> {
        let told = self.nodes[node].app.post("/v1/clock", &json!({})).await.expect_status(200).json();
        told["now"].as_str().and_then(|now| now.parse().ok()).expect("a time")
    }

    /// The night before a round's day closes what is due: with all facts that were acknowledged before.
    async fn closes(&mut self, number: usize, hit: Option<Hit>) {
        let as_of = plan::night_before(number);
        self.sets_clocks(as_of).await;
        if let Some(hit) = hit {
            self.disturbs_the_night(hit, as_of).await;
        }
        self.makes_the_night(hit.map_or(0, |hit| hit.node), as_of).await;
    }

    async fn disturbs_the_night(&mut self, hit: Hit, as_of: DateTime<Utc>) {
        let faults = [Fault::KilledInTheNight, Fault::PausedInTheNight, Fault::RedisKilledInTheNight];
        if !faults.contains(&hit.fault) {
            return;
        }
        let to = self.nodes[hit.node].app.internal;
        let asked = json!({"as_of": as_of}).to_string();
        let headers = [bearer(), vec![("content-type".to_owned(), "application/json".to_owned())]].concat();
        let night =
            tokio::spawn(async move { http::send("POST", to, "/v1/aggregate", &headers, asked).await });
        sleep(Duration::from_millis(5 + 3 * hit.moment)).await;
        match hit.fault {
            Fault::KilledInTheNight => {
                self.kills(hit.node).await;
                self.nodes[hit.node].app.run().await;
            }
            Fault::RedisKilledInTheNight => {
                self.redis().kill();
                tokio::task::block_in_place(|| self.redis().start_again());
            }
            _ => {
                self.nodes[hit.node].app.pause();
                sleep(if self.is_long { LEASE } else { PAUSE }).await;
                // Another one makes the night, in which nothing closes, since this one is silent.
                let other = &self.nodes[(hit.node + 1) % self.nodes.len()].app;
                let answer = other.post("/v1/aggregate", &json!({"as_of": as_of})).await;
                assert!(!self.is_long || answer.status == 200, "{}", answer.text());
                self.nodes[hit.node].app.resume();
            }
        }
        night.await.expect("it was asked for");
    }

    async fn makes_the_night(&mut self, node: usize, as_of: DateTime<Utc>) {
        let as_of = as_of.to_rfc3339();
        let begun = Instant::now();
        loop {
            let app = &self.nodes[node].app;
            let answer = app.post("/v1/aggregate", &json!({"as_of": as_of})).await;
            if answer.status == 200 && misses_nothing(&answer.json()) {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{}: no night: {}\n{}", self.name, answer.text(), app.log());
            sleep(Duration::from_millis(50)).await;
        }
        // Made again, and compared with what is computed from everything.
        self.nodes[node].app.night_of(&as_of).await;
    }

    /// After a round all is well.
    async fn checks(&self, hit: Option<Hit>, unknown: u64) {
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

    async fn kills(&mut self, node: usize) {
        self.dropped += drops(&self.nodes[node].app).await;
        self.nodes[node].app.kill();
    }
    async fn stops(&mut self, node: usize) {
        self.dropped += drops(&self.nodes[node].app).await;
        assert_eq!(self.nodes[node].app.stop().await, Some(0));
    }
    fn redis(&mut self) -> &mut Server {
        self.redis.as_mut().expect("the pair has a Redis")
    }
    fn operates(&mut self, command: &[&str]) {
        tokio::task::block_in_place(|| self.redis().operate::<()>(command));
    }
    fn disk(&self, operate: impl FnOnce(&mut Disk)) {
        let disk = self.nodes.iter().find_map(|node| node.disk.as_ref()).expect("one has a disk");
        tokio::task::block_in_place(|| operate(&mut disk.lock().expect("nobody panics here")));
    }
}

/// A run that closed whatever was due.
fn misses_nothing(run: &Value) -> bool {
    run["nodes_behind"] == json!([])
        && run["waits_for"].as_array().is_none_or(Vec::is_empty)
        && run["store_forgets"].is_null()
}

async fn drops(app: &TestApp) -> u64 {
    sum_of(&app.get("/metrics").await.expect_status(200).text(), "counterfoil_clicks_dropped_total")
}

/// Where a node's journals end, or how far they are applied.
async fn positions(app: &TestApp, which: &str) -> [u64; 2] {
    let text = app.get("/metrics").await.expect_status(200).text();
    ["clicks", "facts"]
        .map(|log| sum_of(&text, &format!("counterfoil_journal_{which}_position{{log=\"{log}\"}}")))
}

/// What is known of an account, without the clicks' ids and what staff did twice since the first answer was lost.
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
        "contradicted": account["conflicts"].as_array().is_some_and(|all| !all.is_empty()),
        "active_days": account["active_days"],
        "crossed_on": account["crossed_on"],
        "events": events,
        "acts": acts,
    })
}
