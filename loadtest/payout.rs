//! A payout of many affiliates: how long it takes to be made, how much memory that needs, how fast its pages are, and
//! what it costs to ask PayPal about it.

use crate::http::Connection;
use crate::payees::{PATIENCE, Time, count, fill, staff_signs_in};
use crate::paypal::PayPal;
use crate::process::{cpu_time, peak_memory, reset_peak_memory};
use crate::redis;
use crate::server::Server;
use anyhow::{Context, Result, bail};
use clap::Args;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const MEGABYTE: f64 = 1e6;
/// Items of a page, by the API.
const PAGE_ITEMS: usize = 500;
/// The pages that staff look at.
const STAFF_PAGES: usize = 100;

#[derive(Args)]
pub struct Payout {
    /// The server's program
    #[arg(long, default_value = "target/release/counterfoil")]
    server: PathBuf,
    /// The store: sqlite, or redis://host:port of an empty Redis
    #[arg(long, default_value = "sqlite")]
    store: String,
    /// Affiliates, each with a closed statement and a PayPal e-mail
    #[arg(long, default_value_t = 100_000)]
    affiliates: usize,
    /// Seconds in which the payout is made
    #[arg(long, default_value_t = 10.0)]
    max_seconds: f64,
    /// MB (of a million bytes) that the server may need for it, over what it had before
    #[arg(long, default_value_t = 300.0)]
    max_megabytes: f64,
    /// Seconds of the server's CPU for a look at 15,000 items that PayPal has
    #[arg(long, default_value_t = 3.0)]
    max_poll_seconds: f64,
}

impl Payout {
    pub fn run(&self) -> Result<()> {
        redis::must_be_empty(&self.store)?;
        let time = Time::new();
        let paypal = PayPal::start(time.now)?;
        let mut server = Server::start_with(&self.server, &self.store, Some(time.now), &paypal.config())?;
        println!("{} affiliates, store {}", self.affiliates, self.store);
        fill(&server, self.affiliates, &time)?;
        // A new process: memory that the nightly run gave back would hide what the payout needs.
        server.restart_at(time.now)?;
        let (seconds, megabytes, batch) = self.make(&server, &time.month())?;
        self.look(&server, &batch)?;
        let poll_seconds = paypal.measure(&server, &batch, time.now)?;
        if let Some(spent) = redis::spent(&self.store)? {
            println!(
                "redis: {:.1} s of CPU, {:.0} MB",
                spent.cpu_micros / 1e6,
                spent.memory_bytes / MEGABYTE
            );
        }
        server.process.stop()?;
        let bars = [
            (seconds, self.max_seconds, "s to make it"),
            (megabytes, self.max_megabytes, "MB to make it"),
            (poll_seconds, self.max_poll_seconds, "s of CPU for a look"),
        ];
        for (measured, bar, what) in bars {
            if measured > bar {
                bail!("{measured:.1} {what}: the bar is {bar}");
            }
        }
        Ok(())
    }

    /// Makes the batch. Returns the seconds, the megabytes over what there was before, and the batch.
    fn make(&self, server: &Server, month: &str) -> Result<(f64, f64, Value)> {
        let pid = server.process.id();
        reset_peak_memory(pid);
        let memory = peak_memory(pid)?;
        let (start, before) = (Instant::now(), cpu_time(pid)?);
        let batch = server.admin.post_within("/v1/payouts", &json!({"month": month}), PATIENCE)?;
        let seconds = start.elapsed().as_secs_f64();
        let spent = cpu_time(pid)?.saturating_sub(before).as_secs_f64();
        let before = memory as f64 / MEGABYTE;
        let megabytes = peak_memory(pid)? as f64 / MEGABYTE - before;
        println!("made in {seconds:.2} s, {spent:.2} s of CPU, {megabytes:.0} MB over {before:.0} MB");
        if count(&batch, "ready") != self.affiliates as u64 {
            bail!("it does not pay all affiliates: {batch}");
        }
        Ok((seconds, megabytes, batch))
    }

    /// Shows all its items by the API, and its first pages to staff.
    fn look(&self, server: &Server, batch: &Value) -> Result<()> {
        let id = batch["id"].as_str().context("a batch without id")?;
        let (mut latency, mut seen, mut cursor) = (latencies(), 0, String::new());
        loop {
            let path = format!("/v1/payouts/{id}/items?limit={PAGE_ITEMS}{cursor}");
            let begun = Instant::now();
            let page = server.admin.get_json(&path)?;
            record(&mut latency, begun.elapsed());
            seen += page["data"].as_array().map_or(0, Vec::len);
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        println!("{seen} items by the API, {PAGE_ITEMS} a page: {}", in_words(&latency));
        if seen != self.affiliates {
            bail!("the pages show {seen} items");
        }
        let cookie = staff_signs_in(server)?;
        let (mut latency, mut path) = (latencies(), format!("/admin/payouts/{id}"));
        let mut connection = Connection::open(server.admin.address)?;
        for _ in 0..STAFF_PAGES {
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: {}\r\nCookie: {cookie}\r\n\r\n", server.admin.address);
            let begun = Instant::now();
            connection.send(request.as_bytes())?;
            let answer = connection.receive()?;
            record(&mut latency, begun.elapsed());
            if answer.status != 200 {
                bail!("GET {path} was answered {}: {}", answer.status, answer.brief());
            }
            let page = String::from_utf8_lossy(answer.body);
            let next =
                page.split_once(r#"<a rel="next" href=""#).and_then(|(_, rest)| rest.split('"').next());
            let Some(next) = next else { break };
            path = next.replace("&amp;", "&").replace("&#x2f;", "/");
        }
        println!("{} pages of staff: {}", latency.len(), in_words(&latency));
        Ok(())
    }
}

fn latencies() -> Histogram<u64> {
    // The bounds are constants that the histogram accepts.
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("constant bounds are right")
}

fn record(latency: &mut Histogram<u64>, took: Duration) {
    latency.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
}

fn in_words(latency: &Histogram<u64>) -> String {
    let millis = |quantile| latency.value_at_quantile(quantile) as f64 / 1e3;
    format!("p50 {:.1} ms, p99 {:.1} ms, most {:.1} ms", millis(0.5), millis(0.99), millis(1.0))
}
