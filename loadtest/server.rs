//! The real server, in a process and a directory of its own.

use crate::http::Admin;
use crate::process::Process;
use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const READY_PATIENCE: Duration = Duration::from_secs(20);
const DRAIN_PATIENCE: Duration = Duration::from_mins(2);
/// The time between two readings of the metrics: each costs the server some of the measured time.
const DRAIN_LOOK: Duration = Duration::from_millis(250);
const KEY: &str = "a-key-of-the-load-test-only";
const CONFIG: &str = "config.toml";

pub struct Server {
    pub process: Process,
    pub public: SocketAddr,
    pub admin: Admin,
    program: PathBuf,
    /// Removed last, when the process has stopped.
    directory: TempDir,
}

/// What a server counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Clicks in the journal.
    pub journaled: u64,
    /// Those of them that the store has applied.
    pub applied: u64,
    /// Clicks that were redirected and not recorded.
    pub dropped: u64,
}

impl Server {
    /// Starts `program` on a store, and waits until it is ready.
    pub fn start(program: &Path, store: &str) -> Result<Self> {
        Self::start_at(program, store, None)
    }

    /// Like [`Self::start`], with a clock that is set to a time and does not move.
    pub fn start_at(program: &Path, store: &str, now: Option<DateTime<Utc>>) -> Result<Self> {
        Self::start_with(program, store, now, "")
    }

    /// Like [`Self::start_at`], with more in its config.
    pub fn start_with(program: &Path, store: &str, now: Option<DateTime<Utc>>, more: &str) -> Result<Self> {
        let directory = tempfile::tempdir().context("make a directory")?;
        let (public, internal) = (free_address()?, free_address()?);
        let config = directory.path().join(CONFIG);
        let data = directory.path().join("data");
        // Every visitor has an address of its own, through a trusted proxy; no nightly run happens during a
        // measurement.
        let text = format!(
            "data_dir = {:?}\n\
             [listen]\npublic = \"{public}\"\ninternal = \"{internal}\"\npublic_url = \"http://{public}\"\n\
             trusted_proxies = [\"127.0.0.1/32\"]\n\
             [store]\nurl = {store:?}\n\
             [aggregate]\nat = \"\"\n\
             [log]\nlevel = \"warn\"\n\
             [[api.keys]]\nname = \"loadtest\"\nkey = \"{KEY}\"\nscopes = [\"admin\"]\n{more}",
            data.display().to_string()
        );
        std::fs::write(&config, text).context("write a config")?;
        let process = launch(program, &config, now)?;
        let admin = Admin { address: internal, key: KEY.to_owned() };
        let mut server = Self { process, public, admin, program: program.to_owned(), directory };
        server.wait_until_ready()?;
        Ok(server)
    }

    /// Stops it, and starts it again with a clock that is set to a time.
    pub fn restart_at(&mut self, now: DateTime<Utc>) -> Result<()> {
        self.process.stop()?;
        self.process = launch(&self.program, &self.directory.path().join(CONFIG), Some(now))?;
        self.wait_until_ready()
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_PATIENCE;
        while self.admin.get("/readyz").is_err() {
            self.process.check_alive()?;
            if Instant::now() > deadline {
                bail!("the server is not ready after {READY_PATIENCE:?}: {:?}", self.admin.get("/readyz"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Makes active affiliates with links, and returns the links' paths.
    pub fn make_links(&self, affiliates: usize, links_each: usize) -> Result<Vec<String>> {
        let mut paths = Vec::new();
        for number in 0..affiliates {
            let affiliate = self.make_affiliate(number, "2026-01-01T00:00:00Z")?;
            let id = affiliate["id"].as_str().context("an affiliate without id")?;
            for link in 0..links_each {
                let path = format!("/v1/affiliates/{id}/links");
                let link = self.admin.post(&path, &json!({"label": format!("link {link}")}))?;
                let url = link["url"].as_str().context("a link without url")?;
                paths.push(path_of(url)?);
            }
        }
        Ok(paths)
    }

    /// Makes affiliates that have been active since a time, and returns their codes.
    pub fn make_affiliates(&self, affiliates: usize, since: DateTime<Utc>) -> Result<Vec<String>> {
        let since = since.to_rfc3339();
        let code = |number| {
            let affiliate = self.make_affiliate(number, &since)?;
            let code = affiliate["code"].as_str();
            Ok(code.with_context(|| format!("no code in {}", brief(&affiliate)))?.to_owned())
        };
        (0..affiliates).map(code).collect()
    }

    /// The directory of mail files.
    pub fn outbox(&self) -> PathBuf {
        self.directory.path().join("data/outbox")
    }

    pub fn make_affiliate(&self, number: usize, since: &str) -> Result<Value> {
        self.admin.post(
            "/v1/affiliates",
            &json!({
                "name": format!("Partner {number}"),
                "email": format!("partner-{number}@example.com"),
                "active": true,
                "agreement_accepted_at": since,
            }),
        )
    }

    /// Waits until the store has every click of the journal.
    pub fn wait_until_drained(&self) -> Result<Counted> {
        let deadline = Instant::now() + DRAIN_PATIENCE;
        loop {
            let counted = self.counted()?;
            if counted.applied == counted.journaled {
                return Ok(counted);
            }
            if Instant::now() > deadline {
                bail!(
                    "the store has {} of {} clicks after {DRAIN_PATIENCE:?}",
                    counted.applied,
                    counted.journaled
                );
            }
            std::thread::sleep(DRAIN_LOOK);
        }
    }

    pub fn counted(&self) -> Result<Counted> {
        let metrics = self.admin.get("/metrics")?;
        let journaled = metric(&metrics, "counterfoil_journal_last_position{log=\"clicks\"}");
        let applied = metric(&metrics, "counterfoil_journal_applied_position{log=\"clicks\"}");
        Ok(Counted {
            journaled: journaled.context("the metrics tell no last position of clicks")?,
            applied: applied.context("the metrics tell no applied position of clicks")?,
            dropped: sum(&metrics, "counterfoil_clicks_dropped_total"),
        })
    }

    /// `(total, unique)` clicks of all affiliates, as in the reports.
    pub fn reported(&self) -> Result<(u64, u64)> {
        let stats = self.admin.get_json("/v1/stats")?;
        let figure = |name: &str| stats["clicks"][name].as_u64();
        figure("total").zip(figure("unique")).with_context(|| format!("no clicks in {}", brief(&stats)))
    }
}

fn launch(program: &Path, config: &Path, now: Option<DateTime<Utc>>) -> Result<Process> {
    let mut command = Command::new(program);
    command.arg("serve").arg("--config").arg(config).stdout(Stdio::null());
    if let Some(now) = now {
        command.arg("--settable-clock").arg(now.to_rfc3339());
    }
    Process::start("the server", &mut command)
}

fn brief(value: &Value) -> String {
    value.to_string().chars().take(200).collect()
}

pub fn path_of(url: &str) -> Result<String> {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let start = after_scheme.find('/').with_context(|| format!("no path in {url}"))?;
    Ok(after_scheme[start..].to_owned())
}

/// An address that nothing listens on now.
fn free_address() -> Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("find a free port")?;
    Ok(listener.local_addr()?)
}

/// The value of one series.
fn metric(metrics: &str, series: &str) -> Option<u64> {
    let value = metrics.lines().find_map(|line| line.strip_prefix(series))?;
    whole(value)
}

/// The sum over all series of a name.
fn sum(metrics: &str, name: &str) -> u64 {
    let series = metrics.lines().filter_map(|line| line.strip_prefix(name));
    let labelled = series.filter(|rest| rest.starts_with('{') || rest.starts_with(' '));
    labelled.filter_map(|rest| whole(rest.rsplit(' ').next()?)).sum()
}

/// Prometheus writes whole numbers also as `1e+06`.
fn whole(value: &str) -> Option<u64> {
    let value: f64 = value.trim().parse().ok()?;
    (0.0..9e15).contains(&value).then_some(value as u64)
}
