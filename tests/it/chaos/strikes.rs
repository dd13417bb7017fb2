//! What goes wrong with a world, and what a person does about it.

use super::faults::{Fault, Hit};
use super::outcome::drops;
use super::world::{PATIENCE, World};
use crate::support::app::TestApp;
use crate::support::disk::Disk;
use crate::support::history::sum_of;
use crate::support::servers::Server;
use chrono::{DateTime, Utc};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How long a fault lasts.
const PAUSE: Duration = Duration::from_millis(1_500);
/// How long a node is stopped in the long form: longer than the lease of a nightly run, and that of mail.
const LEASE: Duration = Duration::from_secs(32);

impl World {
    pub async fn strikes(&mut self, hit: Hit) {
        match hit.fault {
            Fault::Killed => {
                self.kills(hit.node).await;
                sleep(PAUSE / 2).await;
                self.nodes[hit.node].app.run().await;
            }
            Fault::Paused => {
                self.nodes[hit.node].app.pause();
                sleep(self.stop_time()).await;
                self.nodes[hit.node].app.resume();
            }
            Fault::Restarted => {
                self.stops(hit.node).await;
                self.nodes[hit.node].app.run().await;
            }
            Fault::StoreLost => {
                self.stops(hit.node).await;
                self.nodes[hit.node].app.loses_its_store();
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
    pub async fn mends(&mut self, hit: Hit) -> Duration {
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
    pub async fn evicts_and_is_set_right(&mut self) {
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

    pub async fn kills(&mut self, node: usize) {
        self.dropped += drops(&self.nodes[node].app).await;
        self.nodes[node].app.kill();
    }
    async fn stops(&mut self, node: usize) {
        self.dropped += drops(&self.nodes[node].app).await;
        assert_eq!(self.nodes[node].app.stop().await, Some(0));
    }
    pub fn redis(&mut self) -> &mut Server {
        self.redis.as_mut().expect("the pair has a Redis")
    }
    fn operates(&mut self, command: &[&str]) {
        tokio::task::block_in_place(|| self.redis().operate::<()>(command));
    }
    fn disk(&mut self, operate: impl FnOnce(&mut Disk)) {
        let disk = self.nodes.iter_mut().find_map(|node| node.disk.as_mut()).expect("one has a disk");
        tokio::task::block_in_place(|| operate(disk));
    }

    /// How long a node is stopped.
    pub const fn stop_time(&self) -> Duration {
        if self.is_long { LEASE } else { PAUSE }
    }
}

/// Where a node's journals end, or how far they are applied.
async fn positions(app: &TestApp, which: &str) -> [u64; 2] {
    let text = app.get("/metrics").await.expect_status(200).text();
    ["clicks", "facts"]
        .map(|log| sum_of(&text, &format!("counterfoil_journal_{which}_position{{log=\"{log}\"}}")))
}
