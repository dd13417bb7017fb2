//! Some nodes with their store, what goes wrong with them, and what is left in the end.

use super::clients::Clients;
use super::faults::{Fault, Hit};
use super::plan::{self, Round};
use crate::support::app::{TestApp, bearer};
use crate::support::disk::Disk;
use crate::support::gate::Gate;
use crate::support::http;
use crate::support::servers::Server;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Over how long the deeds of a round are spread.
const LOAD: Duration = Duration::from_secs(2);
/// When a fault begins after them.
const LEAD: Duration = Duration::from_millis(300);
/// Clients at once.
const CLIENTS: usize = 6;
/// How long anything may take to be well again.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A node; what it lies on goes first, so that it can be ended.
pub struct Node {
    pub disk: Option<Disk>,
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
            let (seed, name, took) = (&self.seed_line, self.name, took.as_millis());
            println!("{seed} {name} round {number}: {hit}; all applied again after {took} ms");
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

    pub async fn sets_clocks(&mut self, now: DateTime<Utc>) {
        for node in &mut self.nodes {
            node.app.set_now(&now.to_rfc3339()).await;
        }
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
        // Where there is another node, a night first waits for its word, half a second at most.
        let step = if self.nodes.len() > 1 { 12 } else { 3 };
        sleep(Duration::from_millis(5 + step * hit.moment)).await;
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
                sleep(self.stop_time()).await;
                // Another one makes the night, in which nothing closes, since this one is silent.
                let other = &self.nodes[(hit.node + 1) % self.nodes.len()].app;
                let answer = other.post("/v1/aggregate", &json!({"as_of": as_of})).await;
                assert!(!self.is_long || answer.status == 200, "{}", answer.text());
                self.nodes[hit.node].app.resume();
            }
        }
        night.await.expect("it was asked for");
    }

    pub async fn makes_the_night(&mut self, node: usize, as_of: DateTime<Utc>) {
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
}

/// A run that closed everything that was due.
fn misses_nothing(run: &Value) -> bool {
    run["nodes_behind"] == json!([])
        && run["waits_for"].as_array().is_none_or(Vec::is_empty)
        && run["store_forgets"].is_null()
}
