//! How long a nightly run takes for many accounts, and how much memory the server needs for it.

use crate::http::Upload;
use crate::process::{cpu_time, peak_memory, reset_peak_memory};
use crate::redis;
use crate::server::Server;
use anyhow::{Context, Result, bail};
use chrono::{DateTime, Duration, SecondsFormat, Utc};
use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Instant;

/// Longer than any acceptable run.
const RUN_PATIENCE: std::time::Duration = std::time::Duration::from_mins(10);
/// Days before now on which accounts sign up: they qualify in several months, most of them closed.
const FIRST_SIGNUP: i64 = 300;
const LAST_SIGNUP: i64 = 5;
const PLANS: [&str; 3] = ["performance", "growth", "connect"];
const MEGABYTE: u64 = 1_000_000;
const MEBIBYTE: f64 = 1_048_576.0;

/// The nights that are measured, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Which {
    /// Everything is new, and many months are due.
    First,
    /// Nothing became known since the first.
    Quiet,
    /// Something became known about some accounts.
    Ordinary,
    /// A dry run, which computes everything again from all facts.
    Full,
}

impl Which {
    const ALL: [Self; 4] = [Self::First, Self::Quiet, Self::Ordinary, Self::Full];

    const fn name(self) -> &'static str {
        match self {
            Self::First => "first run, everything is new",
            Self::Quiet => "second run, nothing is new",
            Self::Ordinary => "an ordinary night",
            Self::Full => "everything computed again (dry)",
        }
    }
}

#[derive(Args)]
pub struct Night {
    /// The server's program
    #[arg(long, default_value = "target/release/counterfoil")]
    server: PathBuf,
    /// The store: sqlite, or redis://host:port of an empty Redis
    #[arg(long, default_value = "sqlite")]
    store: String,
    /// Accounts, all referred
    #[arg(long, default_value_t = 100_000)]
    accounts: usize,
    /// Events of these accounts
    #[arg(long, default_value_t = 300_000)]
    events: usize,
    /// Affiliates
    #[arg(long, default_value_t = 1_000)]
    affiliates: usize,
    /// Some affiliates bring far more accounts than others, as in reality
    #[arg(long)]
    uneven: bool,
    /// The share of all accounts about which something becomes known before the last, ordinary night
    #[arg(long, default_value_t = 0.01)]
    changed: f64,
    /// Seconds that a run may take
    #[arg(long, default_value_t = 5.0)]
    max_seconds: f64,
    /// MB (of a million bytes) that the server may need at its peak
    #[arg(long, default_value_t = 300)]
    max_megabytes: u64,
}

impl Night {
    pub fn run(&self) -> Result<()> {
        redis::must_be_empty(&self.store)?;
        if self.accounts == 0 || self.affiliates == 0 {
            bail!("give at least one of --accounts and --affiliates");
        }
        #[expect(clippy::disallowed_methods, reason = "the server that is measured has no clock that is set")]
        let now = Utc::now();
        let server = Server::start(&self.server, &self.store)?;
        let pid = server.process.id();
        let codes = server.make_affiliates(self.affiliates, now - Duration::days(FIRST_SIGNUP + 1))?;
        println!(
            "{} accounts of {} affiliates{}, {} events, store {}",
            self.accounts,
            self.affiliates,
            if self.uneven { " (uneven)" } else { "" },
            self.events,
            self.store
        );
        let accounts = self.made_up(now);
        import(&server, "accounts", self.accounts, signups(&accounts, &codes))?;
        import(&server, "events", self.events, self.events(&accounts, now))?;
        let mut most = peak_memory(pid)?;
        println!("the import took {:.0} MiB at its peak", most as f64 / MEBIBYTE);
        let mut slowest: f64 = 0.0;
        let mut took = BTreeMap::new();
        for night in Which::ALL {
            if night == Which::Ordinary {
                let count = (self.accounts as f64 * self.changed) as usize;
                import(&server, "events of the day", count, self.day(count, now))?;
            }
            // If the kernel does not allow it, the peak includes the import.
            reset_peak_memory(pid);
            let (start, before) = (Instant::now(), cpu_time(pid)?);
            let asked = json!({"dry_run": night == Which::Full});
            let report = server.admin.post_within("/v1/aggregate", &asked, RUN_PATIENCE)?;
            let seconds = start.elapsed().as_secs_f64();
            let spent = cpu_time(pid)?.saturating_sub(before).as_secs_f64();
            let memory = peak_memory(pid)?;
            println!(
                "{}: {seconds:.2} s, {spent:.2} s of CPU, {:.0} MiB at its peak",
                night.name(),
                memory as f64 / MEBIBYTE
            );
            println!("  {report}");
            self.check(night, &report, took.get(&Which::Ordinary).map(|(_, report)| report))?;
            (slowest, most) = (slowest.max(seconds), most.max(memory));
            took.insert(night, (spent, report));
        }
        let cpu = |night| took.get(&night).map_or(f64::NAN, |(spent, _)| *spent);
        println!(
            "an ordinary night ({:.1} % changed) against computing everything: {:.2} x of its CPU",
            self.changed * 100.0,
            cpu(Which::Ordinary) / cpu(Which::Full)
        );
        if let Some(spent) = redis::spent(&self.store)? {
            println!(
                "redis: {:.1} s of CPU, {:.0} MiB",
                spent.cpu_micros / 1e6,
                spent.memory_bytes / MEBIBYTE
            );
        }
        let mut server = server;
        server.process.stop()?;
        if slowest > self.max_seconds || most > self.max_megabytes * MEGABYTE {
            bail!("the bar is {} s and {} MB", self.max_seconds, self.max_megabytes);
        }
        Ok(())
    }

    /// A run that did not do its work gives no valid measurement.
    fn check(&self, night: Which, report: &Value, ordinary: Option<&Value>) -> Result<()> {
        let name = night.name();
        if report["accounts"].as_u64() != u64::try_from(self.accounts).ok() {
            bail!("{name} saw {} accounts", report["accounts"]);
        }
        let closed = report["closed"].as_array().map_or(0, Vec::len);
        if (closed > 0) != (night == Which::First) {
            bail!("{name} closed {closed} months");
        }
        let computed = report["computed"].as_u64().unwrap_or_default();
        if (night == Which::Quiet) != (computed == 0) {
            bail!("{name} computed {computed} affiliates");
        }
        // Computed again from everything, the statements must be the same to the last byte.
        if night == Which::Full
            && ordinary.is_some_and(|known| known["statements_hash"] != report["statements_hash"])
        {
            bail!("the ordinary night says other than a computation from everything");
        }
        Ok(())
    }

    /// What becomes known on an ordinary day: some accounts, across all affiliates, change their plan.
    fn day(&self, count: usize, now: DateTime<Utc>) -> Vec<u8> {
        let at = text(now - Duration::days(3));
        lines(count, |number, line| {
            // Writing to a String does not fail.
            let _ = write!(
                line,
                r#"{{"kind":"event","account_id":"acct_{}","event_id":"evt_day","occurred_at":"{at}","type":"plan_changed","plan":"growth"}}"#,
                // A prime, so that they are spread over accounts and affiliates.
                number * 7_919 % self.accounts
            );
        })
    }

    fn made_up(&self, now: DateTime<Utc>) -> Vec<Account> {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        let span = Duration::days(FIRST_SIGNUP - LAST_SIGNUP).num_seconds() as f64;
        let first = now - Duration::days(FIRST_SIGNUP);
        (0..self.accounts)
            .map(|number| {
                // The square of an even share: of 1,000 affiliates the first brings 3 of 100 accounts.
                let share = dice.share();
                let affiliate = if self.uneven {
                    (share * share * self.affiliates as f64) as usize
                } else {
                    number % self.affiliates
                };
                let signed_up_at = first + Duration::seconds((dice.share() * span) as i64);
                Account { affiliate, plan: PLANS[dice.0 as usize % PLANS.len()], signed_up_at }
            })
            .collect()
    }

    /// Each account is suspended, comes back, changes its plan, and so on; every tenth is canceled in the
    /// end.
    fn events(&self, accounts: &[Account], now: DateTime<Utc>) -> Vec<u8> {
        let each = self.events.div_ceil(accounts.len());
        let mut dice = Dice(0x2545_f491_4f6c_dd1d);
        lines(self.events, |number, line| {
            let (turn, account) = (number / accounts.len(), number % accounts.len());
            let signed_up_at = accounts[account].signed_up_at;
            let left = (now - signed_up_at).num_seconds() as f64;
            let when = left * (turn as f64 + dice.share()) / each as f64;
            let at = text(signed_up_at + Duration::seconds(when as i64));
            let kind = match turn % 3 {
                _ if turn > 0 && turn + 1 == each && account.is_multiple_of(10) => r#""canceled""#.to_owned(),
                0 => r#""suspended""#.to_owned(),
                1 => r#""activated""#.to_owned(),
                _ => format!(r#""plan_changed","plan":"{}""#, PLANS[dice.0 as usize % PLANS.len()]),
            };
            // Writing to a String does not fail.
            let _ = write!(
                line,
                r#"{{"kind":"event","account_id":"acct_{account}","event_id":"evt_{turn}","occurred_at":"{at}","type":{kind}}}"#
            );
        })
    }
}

struct Account {
    affiliate: usize,
    plan: &'static str,
    signed_up_at: DateTime<Utc>,
}

fn signups(accounts: &[Account], codes: &[String]) -> Vec<u8> {
    lines(accounts.len(), |number, line| {
        let account = &accounts[number];
        let (plan, at, code) = (account.plan, text(account.signed_up_at), &codes[account.affiliate]);
        // Writing to a String does not fail.
        let _ = write!(
            line,
            r#"{{"kind":"signup","account_id":"acct_{number}","plan":"{plan}","signed_up_at":"{at}","code":"{code}"}}"#
        );
    })
}

pub fn lines(count: usize, mut write: impl FnMut(usize, &mut String)) -> Vec<u8> {
    let mut text = String::new();
    for number in 0..count {
        write(number, &mut text);
        text.push('\n');
    }
    text.into_bytes()
}

pub fn text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Imports lines, each of which must be new. Facts that a busy store applies later are there when a run
/// begins.
pub fn import(server: &Server, what: &str, count: usize, body: Vec<u8>) -> Result<()> {
    let start = Instant::now();
    let mut statuses: BTreeMap<String, usize> = BTreeMap::new();
    let upload = Upload::start(&server.admin, "/v1/import", body)?;
    upload.each_line(|line| {
        let result: Value = serde_json::from_slice(line).context("read a line's result")?;
        let status = result["status"].as_str().context("a result without status")?;
        let code = result["code"].as_str().map_or(String::new(), |code| format!(" ({code})"));
        *statuses.entry(format!("{status}{code}")).or_default() += 1;
        Ok(())
    })?;
    let seconds = start.elapsed().as_secs_f64();
    println!("{count} {what} imported in {seconds:.1} s: {:.0} a second", count as f64 / seconds);
    let new = ["created", "deferred"].map(|status| statuses.get(status).copied().unwrap_or_default());
    if new[1] > 0 {
        println!("  {} of them were left for later: the store was too slow", new[1]);
    }
    if new.iter().sum::<usize>() != count {
        bail!("of {count} {what}, the import made {statuses:?}");
    }
    Ok(())
}

/// The same numbers each time, so that results can be compared.
struct Dice(u64);

impl Dice {
    /// From 0 to 1, without 1.
    fn share(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}
