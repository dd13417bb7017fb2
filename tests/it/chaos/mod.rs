//! Chaos: two nodes on Redis and one on the embedded store go through all faults under load, and end as a quiet server
//! that was told the same.
//!
//! What happens at the company ([`plan`]) follows from the seed alone, and so does which fault comes when ([`faults`]).
//! Clients repeat what was not acknowledged ([`clients`]). In each round something goes wrong while they are at work;
//! then months are closed, with everything that was acknowledged before. In the end the statements of all worlds ([`world`])
//! are the same, byte by byte, and so is what is known of each account.
//!
//! `COUNTERFOIL_CHAOS_SEED=N` repeats a run; `COUNTERFOIL_CHAOS_ROUNDS=N` makes it long: rounds come until N, and nodes
//! are stopped for longer than their leases.

mod clients;
mod faults;
mod outcome;
mod plan;
mod strikes;
mod world;

use crate::support::app::{Partner, TestApp, Visitor};
use crate::support::dice::Dice;
use crate::support::disk::Disk;
use crate::support::gate::Gate;
use crate::support::history::History;
use crate::support::servers::{Program, Server};
use clients::{Clients, name_of};
use faults::{Fault, OF_A_NODE_ALONE, OF_A_PAIR, schedule};
use outcome::Outcome;
use plan::{PARTNERS, Plan};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;
use world::{Node, World};

const SEED: &str = "COUNTERFOIL_CHAOS_SEED";
const ROUNDS: &str = "COUNTERFOIL_CHAOS_ROUNDS";
/// Rounds of the short form.
const FEW: usize = 8;
/// The world in which nothing goes wrong.
const CONTROL: &str = "control";
/// Accounts cross within the rounds, and reach the second tier.
const PROGRAM: &str = r#"
[program]
mark_days = 20
[[program.tiers]]
from = 0
rates = { performance = "39.00", growth = "99.00", connect = "299.00" }
[[program.tiers]]
from = 5
rates = { performance = "59.00", growth = "149.00", connect = "449.00" }
"#;

/// Where all worlds begin: a server that knows the affiliates.
struct Beginning {
    dir: tempfile::TempDir,
    app: TestApp,
    partners: Vec<Partner>,
}

async fn beginning() -> Beginning {
    let dir = tempfile::tempdir().expect("a directory");
    let mut app = TestApp::prepare(dir.path(), "sqlite", PROGRAM);
    app.begins_at(&plan::noon(0).to_rfc3339());
    app.run().await;
    let mut partners = Vec::new();
    for partner in 0..PARTNERS {
        partners.push(app.partner(&name_of(partner)).await);
    }
    assert_eq!(app.stop().await, Some(0));
    Beginning { dir, app, partners }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    let copied = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().expect("cp runs");
    assert!(copied.success());
}

impl Beginning {
    /// A node that is not started yet: the one that knows the affiliates, or another one with its keys.
    fn node(&self, store: &str, is_first: bool, disk: Option<Disk>) -> Node {
        let dir = tempfile::tempdir().expect("a directory");
        let mut app = TestApp::prepare(dir.path(), store, PROGRAM);
        app.begins_at(&plan::noon(0).to_rfc3339());
        // On a machine that is busy with other tests.
        app.environment.push(("COUNTERFOIL__STORE__TIMEOUT_MS", "500".to_owned()));
        if let Some(disk) = &disk {
            disk.takes_data_of(dir.path());
        }
        let (from, to) = (self.app.data_dir(), app.data_dir());
        if is_first {
            copy(&from, &to);
        } else {
            copy(&from.join("keys"), &to.join("keys"));
        }
        Node { disk, gate: None, app, _dir: dir }
    }

    fn world(
        &self,
        name: &'static str,
        plan: &Plan,
        nodes: Vec<Node>,
        redis: Option<Server>,
        run: &Run,
    ) -> World {
        let clients = Clients {
            nodes: nodes.iter().map(|node| (node.app.public, node.app.internal)).collect(),
            partners: self.partners.clone(),
            visitors: (0..plan.visitors()).map(|_| tokio::sync::Mutex::new(Visitor::default())).collect(),
            history: History::default(),
            taken: tokio::sync::Mutex::default(),
            sent: 0.into(),
            unknown: 0.into(),
            copies: name != CONTROL,
        };
        World {
            name,
            seed_line: format!("seed {}", run.seed),
            nodes,
            redis,
            clients: Arc::new(clients),
            is_long: run.is_long,
            dropped: 0,
        }
    }
}

/// What was asked for.
#[derive(Clone, Copy)]
struct Run {
    seed: u64,
    rounds: usize,
    is_long: bool,
}

async fn lives(mut world: World, plan: Arc<Plan>, hits: Vec<faults::Hit>) -> Outcome {
    for (number, round) in plan.rounds.iter().enumerate() {
        let hit = number.checked_sub(1).and_then(|number| hits.get(number)).copied();
        world.lives(number, round, hit).await;
    }
    world.ends(plan.rounds.len()).await
}

fn disk() -> Option<Disk> {
    match Disk::try_mount(96) {
        Ok(disk) => Some(disk),
        Err(why) => {
            println!("LEFT OUT: no disk freezes or is full: {why}");
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_acknowledged_in_chaos_ends_as_on_a_quiet_server() {
    let mut dice = Dice::seeded_by(SEED);
    let asked = std::env::var(ROUNDS).ok().and_then(|rounds| rounds.parse().ok());
    let run = Run { seed: dice.seed(), rounds: asked.unwrap_or(FEW), is_long: asked.is_some() };
    let plan = Arc::new(Plan::of(&dice, run.rounds));
    let begun = Instant::now();
    let start = beginning().await;

    let (pair_disk, alone_disk) = (disk(), disk());
    let left = |faults: &[Fault], has_disk: bool| -> Vec<Fault> {
        let possible = |fault: &Fault| {
            (has_disk || !fault.needs_a_disk()) && (run.is_long || *fault != Fault::PausedInTheNight)
        };
        faults.iter().copied().filter(possible).collect()
    };
    let pair_hits = schedule(&mut dice, &left(&OF_A_PAIR, pair_disk.is_some()), 2, run.rounds);
    let alone_hits = schedule(&mut dice, &left(&OF_A_NODE_ALONE, alone_disk.is_some()), 1, run.rounds);

    let redis = Server::start(Program::Redis, &[]);
    let mut nodes = Vec::new();
    for (is_first, disk) in [(true, None), (false, pair_disk)] {
        let gate = Gate::before(redis.port, "never").await;
        let mut node = start.node(&gate.url(), is_first, disk);
        node.gate = Some(gate);
        node.app.run().await;
        nodes.push(node);
    }
    nodes[0].app.post("/v1/store/confirm", &serde_json::json!({})).await.expect_status(200);
    let pair = start.world("pair", &plan, nodes, Some(redis), &run);
    let mut alone = start.node("sqlite", true, alone_disk);
    alone.app.run().await;
    let alone = start.world("alone", &plan, vec![alone], None, &run);
    let mut control = start.node("sqlite", true, None);
    control.app.run().await;
    let control = start.world(CONTROL, &plan, vec![control], None, &run);
    drop(start.dir);

    let pair = tokio::spawn(lives(pair, Arc::clone(&plan), pair_hits));
    let alone = tokio::spawn(lives(alone, Arc::clone(&plan), alone_hits));
    let control = lives(control, Arc::clone(&plan), Vec::new()).await;
    println!(
        "control: {} accounts, {} statements, after {:?}",
        control.accounts.len(),
        control.statements.len(),
        begun.elapsed()
    );
    for (name, world) in [("alone", alone), ("pair", pair)] {
        let lived = world.await.unwrap_or_else(|error| panic!("{SEED}={}: {name}: {error}", run.seed));
        compare(name, &lived, &control);
    }
    println!("seed {}: {} rounds, the same in all worlds, after {:?}", run.seed, run.rounds, begun.elapsed());
}

fn compare(name: &str, found: &Outcome, control: &Outcome) {
    assert_eq!(found.accounts.len(), control.accounts.len(), "{name}: accounts");
    for (account, expected) in &control.accounts {
        assert_eq!(found.accounts.get(account), Some(expected), "{name}: {account}");
    }
    assert_eq!(found.waiting, control.waiting, "{name}: what waits");
    assert_eq!(found.statements.len(), control.statements.len(), "{name}: statements");
    for (found, expected) in found.statements.iter().zip(&control.statements) {
        assert_eq!(found, expected, "{name}: a statement");
    }
}
