//! What a recorded redirect costs, compared with bare hyper, on the same machine in the same minutes.

use crate::bare::LISTENS;
use crate::load::{self, Outcome, Plan};
use crate::process::{Process, cpu_time};
use crate::redis;
use crate::server::{Counted, Server};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[derive(Args)]
pub struct Ratio {
    /// The server's program
    #[arg(long, default_value = "target/release/counterfoil")]
    server: PathBuf,
    /// The store: sqlite, or redis://host:port of an empty Redis
    #[arg(long, default_value = "sqlite")]
    store: String,
    /// Clicks per second
    #[arg(long, default_value_t = 4_000.0)]
    rate: f64,
    /// Seconds per round and side
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Rounds; in each, both servers get the same load, one after the other
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Connections, kept alive
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Clicks that a connection sends at once
    #[arg(long, default_value_t = 1)]
    pipeline: usize,
    /// Share of clicks by visitors who come back
    #[arg(long, default_value_t = 0.0)]
    returning: f64,
    /// Affiliates
    #[arg(long, default_value_t = 10)]
    affiliates: usize,
    /// Links per affiliate
    #[arg(long, default_value_t = 5)]
    links: usize,
}

/// The result of one side in one round.
struct Measured {
    outcome: Outcome,
    cpu_micros: f64,
    drain: Duration,
}

impl Ratio {
    pub fn run(&self) -> Result<()> {
        redis::must_be_empty(&self.store)?;
        let (bare, bare_address) = start_bare()?;
        let mut server = Server::start(&self.server, &self.store)?;
        let links = server.make_links(self.affiliates, self.links)?;
        let before = server.wait_until_drained()?;
        println!(
            "{} clicks/s for {} s a round, {} connections, {} at once, {} links, store {}",
            self.rate,
            self.seconds,
            self.connections,
            self.pipeline,
            links.len(),
            self.store
        );
        let bare_plan = self.plan(bare_address, vec!["/r/fixed".to_owned()]);
        let server_plan = self.plan(server.public, links);
        let on_bare = || measure(&bare, &bare_plan, || Ok(()));
        let on_server = || measure(&server.process, &server_plan, || server.wait_until_drained().map(drop));
        let mut total = warm_up(&on_bare, &on_server)?;
        let spent_before = redis::spent(&self.store)?;
        let mut ratios = Vec::new();
        let mut recorded = 0;
        for round in 1..=self.rounds {
            // The order alternates, so that a machine that slows down affects both sides alike.
            let (fixed, real) = if round % 2 == 1 {
                let fixed = on_bare()?;
                (fixed, on_server()?)
            } else {
                let real = on_server()?;
                (on_bare()?, real)
            };
            let ratio = real.cpu_micros / fixed.cpu_micros;
            println!("round {round}: {ratio:.2} x");
            println!("  bare    {:.2} us/request  {}", fixed.cpu_micros, fixed.outcome.latencies());
            println!("  server  {:.2} us/request  {}", real.cpu_micros, real.outcome.latencies());
            println!("  drained {:.1} s after the last click", real.drain.as_secs_f64());
            tell_errors("bare", &fixed.outcome);
            tell_errors("server", &real.outcome);
            recorded += real.outcome.redirected;
            total.add(&real.outcome);
            ratios.push(ratio);
        }
        println!("median {:.2} x", median(&mut ratios));
        if let Some((before, after)) = spent_before.zip(redis::spent(&self.store)?) {
            let clicks = recorded.max(1) as f64;
            println!(
                "redis: {:.2} us of CPU and {:.0} bytes more a click",
                (after.cpu_micros - before.cpu_micros) / clicks,
                (after.memory_bytes - before.memory_bytes) / clicks
            );
        }
        reconcile(&server, before, &total)?;
        server.process.stop()
    }

    fn plan(&self, address: SocketAddr, paths: Vec<String>) -> Plan {
        Plan {
            address,
            paths,
            rate: self.rate,
            duration: Duration::from_secs_f64(self.seconds),
            connections: self.connections,
            pipeline: self.pipeline.max(1),
            returning: self.returning,
        }
    }
}

fn start_bare() -> Result<(Process, SocketAddr)> {
    let mut command = Command::new(std::env::current_exe().context("find this program")?);
    command.arg("bare").stdout(Stdio::piped());
    let mut process = Process::start("the bare server", &mut command)?;
    let output = process.child.stdout.take().context("hear the bare server")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    let address = line.trim().strip_prefix(LISTENS).and_then(|address| address.parse().ok());
    Ok((process, address.with_context(|| format!("the bare server said {line:?}"))?))
}

/// A round that does not count: it warms up files, caches, connections and branches.
fn warm_up(
    on_bare: &impl Fn() -> Result<Measured>,
    on_server: &impl Fn() -> Result<Measured>,
) -> Result<Outcome> {
    on_bare()?;
    Ok(on_server()?.outcome)
}

/// Puts load on a process, waits until it has done all resulting work, and returns the cost.
fn measure(process: &Process, plan: &Plan, settle: impl Fn() -> Result<()>) -> Result<Measured> {
    let before = cpu_time(process.id())?;
    let outcome = load::run(plan);
    let end = Instant::now();
    settle()?;
    let drain = end.elapsed();
    let spent = cpu_time(process.id())?.saturating_sub(before);
    if outcome.redirected == 0 {
        bail!("{} redirected nothing: {:?}", process.name, outcome.errors);
    }
    let cpu_micros = spent.as_secs_f64() * 1e6 / outcome.redirected as f64;
    Ok(Measured { outcome, cpu_micros, drain })
}

fn tell_errors(side: &str, outcome: &Outcome) {
    if outcome.failed() > 0 {
        println!("  ERRORS of {side}: {:?} of {}", outcome.errors, outcome.sent);
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

/// Everything that was redirected is in the journal, in the store and in the reports, or was counted as dropped.
fn reconcile(server: &Server, before: Counted, total: &Outcome) -> Result<()> {
    let after = server.counted()?;
    let (reported, unique) = server.reported()?;
    let journaled = after.journaled - before.journaled;
    let dropped = after.dropped - before.dropped;
    println!(
        "sent {}, redirected {}, journaled {journaled}, dropped {dropped}; reported {reported} \
         ({} before), unique {unique} of {} new visitors",
        total.sent, total.redirected, before.journaled, total.new_visitors
    );
    if total.failed() == 0 && journaled + dropped != total.redirected {
        bail!("clicks are missing: {} were redirected", total.redirected);
    }
    if reported != after.journaled || after.applied != after.journaled {
        bail!("the reports have {reported} of {} clicks in the journal", after.journaled);
    }
    if total.failed() == 0 && dropped == 0 && unique != total.new_visitors {
        bail!("{unique} clicks count as unique, {} were", total.new_visitors);
    }
    println!("all clicks are accounted for");
    Ok(())
}
