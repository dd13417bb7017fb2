//! Load on the redirect: what it costs, how long it takes, and whether every click was kept. Also the nightly
//! run: how long it takes for many accounts; the partner portal of an affiliate with many accounts; and a payout of
//! many affiliates.
//!
//! See `README.md` beside this file for how to run it and for the last results.
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of clicks and microseconds are far below what a float holds exactly"
)]

mod bare;
mod http;
mod load;
mod night;
mod payees;
mod payout;
mod paypal;
mod portal;
mod process;
mod ratio;
mod redis;
mod server;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use load::Plan;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Parser)]
#[command(about = "Puts load on a server, and says what it cost")]
struct Cli {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand)]
enum Scenario {
    /// Follow links of a running server at a fixed rate
    Click(Click),
    /// Measure a recorded redirect against bare hyper
    Ratio(ratio::Ratio),
    /// Measure a nightly run over many accounts
    Night(night::Night),
    /// Measure the partner portal's pages
    Portal(portal::Portal),
    /// Measure a payout of many affiliates
    Payout(payout::Payout),
    /// Serve a fixed redirect by hyper alone
    Bare {
        /// The address to listen on
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
    },
}

#[derive(Args)]
struct Click {
    /// The public listener
    #[arg(long)]
    address: SocketAddr,
    /// A link's path (/r/…); may be given several times
    #[arg(long)]
    path: Vec<String>,
    /// A file with one link's path per line
    #[arg(long)]
    paths: Option<PathBuf>,
    /// Clicks per second
    #[arg(long, default_value_t = 1_000.0)]
    rate: f64,
    /// How many seconds
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Connections, kept alive
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Clicks that a connection sends at once
    #[arg(long, default_value_t = 1)]
    pipeline: usize,
    /// Share of clicks by visitors who come back
    #[arg(long, default_value_t = 0.2)]
    returning: f64,
    /// The server's process, to show its CPU time
    #[arg(long)]
    pid: Option<u32>,
}

impl Click {
    fn run(&self) -> Result<()> {
        let mut paths = self.path.clone();
        if let Some(file) = &self.paths {
            let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
            paths.extend(text.lines().filter(|line| !line.is_empty()).map(str::to_owned));
        }
        if paths.is_empty() || paths.iter().any(|path| !path.starts_with('/')) {
            bail!("give at least one --path or a file of --paths; each starts with /");
        }
        let plan = Plan {
            address: self.address,
            paths,
            rate: self.rate,
            duration: Duration::from_secs_f64(self.seconds),
            connections: self.connections.max(1),
            pipeline: self.pipeline.max(1),
            returning: self.returning,
        };
        let before = self.pid.map(process::cpu_time).transpose()?;
        let outcome = load::run(&plan);
        println!("sent {}, redirected {}", outcome.sent, outcome.redirected);
        println!("{}", outcome.latencies());
        println!("errors {:?}", outcome.errors);
        if let (Some(pid), Some(before)) = (self.pid, before) {
            let spent = process::cpu_time(pid)?.saturating_sub(before);
            println!("{:.2} us of CPU a request", spent.as_secs_f64() * 1e6 / outcome.sent as f64);
        }
        if outcome.failed() > 0 {
            bail!("{} of {} clicks were not redirected", outcome.failed(), outcome.sent);
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    // Threads wake on time, not some 50 us later; where this is not allowed, latencies are longer by that.
    let _ = std::fs::write("/proc/self/timerslack_ns", "1");
    match Cli::parse().scenario {
        Scenario::Click(click) => click.run(),
        Scenario::Ratio(ratio) => ratio.run(),
        Scenario::Night(night) => night.run(),
        Scenario::Portal(portal) => portal.run(),
        Scenario::Payout(payout) => payout.run(),
        Scenario::Bare { listen } => bare::serve(listen),
    }
}
