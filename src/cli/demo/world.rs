//! The demo's world: a server in its own process, its clock, the company's signup flow, and the nightly runs.

use super::browser::{Browser, Evidence};
use crate::cli::Failure;
use crate::cli::client::{Answer, Client, full};
use crate::cli::launch::ServeFile;
use crate::cli::show::{Show, line};
use crate::secret::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use http::{Method, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sha2::Sha256;
use std::fs::{DirBuilder, File};
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// When the story begins.
const BEGINNING: &str = "2026-01-01T00:00:00-05:00";
/// The first nightly run: early morning in New York, in winter and in summer.
const FIRST_NIGHT: &str = "2026-01-02T09:00:00Z";
/// How long the server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(15);
/// How many servers are tried if their ports are taken by others before they are bound.
const STARTS: usize = 3;
/// How often a process or a file is checked while waiting for it.
const LOOK: Duration = Duration::from_millis(20);

/// What the story uses.
pub(super) struct World {
    show: Show,
    dir: PathBuf,
    server: Child,
    /// Staff's client of the API.
    pub staff: Client,
    company: Client,
    browser: Browser,
    webhook_key: Vec<u8>,
    now: DateTime<Utc>,
    next_night: DateTime<Utc>,
    deliveries: u64,
    /// The number of nightly runs.
    pub nights: u64,
}

/// A server that is running.
struct Met {
    file: ServeFile,
    staff: Client,
    webhook_key: Vec<u8>,
}

/// An affiliate of the story.
#[derive(Debug, Clone)]
pub(super) struct Partner {
    pub id: String,
    pub name: &'static str,
    /// Its e-mail, also that of its PayPal account.
    pub email: &'static str,
    pub code: String,
    /// The path of its link on the public listener.
    pub link: String,
    /// The full URL of its link.
    pub url: String,
}

impl World {
    /// Starts a server on free ports, with a data directory that is removed at the end.
    pub(super) async fn start(show: Show) -> Result<Self, Failure> {
        let dir = std::env::temp_dir().join(format!("counterfoil-demo-{}", std::process::id()));
        let made = DirBuilder::new().mode(0o700).create(&dir);
        made.map_err(|error| Failure::other(format!("can't make {}: {error}", dir.display())))?;
        let mut server = spawn(&dir).inspect_err(|_| remove(&dir))?;
        let mut met = Self::meet(show, &dir, &mut server).await;
        for _ in 1..STARTS {
            if met.is_ok() || !matches!(server.try_wait(), Ok(Some(_))) {
                break;
            }
            server = spawn(&dir).inspect_err(|_| remove(&dir))?;
            met = Self::meet(show, &dir, &mut server).await;
        }
        match met {
            Ok(met) => {
                let (now, next_night) = (instant(BEGINNING)?.to_utc(), instant(FIRST_NIGHT)?.to_utc());
                Ok(Self {
                    show,
                    dir,
                    server,
                    staff: met.staff,
                    company: Client::stranger(met.file.internal),
                    browser: Browser::new(met.file.public),
                    webhook_key: met.webhook_key,
                    now,
                    next_night,
                    deliveries: 0,
                    nights: 0,
                })
            }
            Err(failure) => {
                let failure = with_log(&dir, failure);
                // The process may have ended by itself; then there is nothing to kill.
                let _ = server.kill();
                let _ = server.wait();
                remove(&dir);
                Err(failure)
            }
        }
    }

    /// Waits for the server to answer.
    async fn meet(show: Show, dir: &Path, server: &mut Child) -> Result<Met, Failure> {
        let begun = Instant::now();
        let data_dir = dir.join("data");
        while begun.elapsed() < PATIENCE {
            if let Ok(Some(status)) = server.try_wait() {
                return Err(Failure::other(format!("the demo's server ended at once ({status})")));
            }
            let key = std::fs::read_to_string(data_dir.join("keys/admin"));
            if let (Some(file), Ok(key)) = (ServeFile::read(&data_dir), key) {
                let staff = Client::new(file.internal, &Secret::new(key.trim()))?;
                if staff.answers().await {
                    if !show.is_json() {
                        line(&format!(
                            "A server runs on http://{} (public) and http://{} (internal).",
                            file.public, file.internal
                        ))?;
                    }
                    return Ok(Met { file, staff, webhook_key: read_webhook_key(dir)? });
                }
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(Failure::other("the demo's server did not start in time"))
    }

    /// Prints a sentence of the story.
    pub(super) fn print(&self, sentence: &str) -> Result<(), Failure> {
        if self.show.is_json() { Ok(()) } else { line(sentence) }
    }

    /// Prints what staff see.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.staff.get(path).await
    }

    /// Makes the nightly runs up to a time, and sets the clock to it.
    pub(super) async fn until(&mut self, time: &str) -> Result<(), Failure> {
        let time = instant(time)?.to_utc();
        while self.next_night <= time {
            self.set_clock(self.next_night).await?;
            let run =
                self.staff.send(Method::POST, "/v1/aggregate", &json!({ "as_of": self.next_night })).await?;
            self.nights += 1;
            self.next_night += TimeDelta::days(1);
            for month in run["closed"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                let day = self.now.format("%B %-d");
                self.print(&format!(
                    "  night of {day}: {month} is closed; its statements never change again"
                ))?;
            }
        }
        self.set_clock(time).await
    }

    async fn set_clock(&mut self, now: DateTime<Utc>) -> Result<(), Failure> {
        self.now = now;
        self.staff.send(Method::POST, "/v1/clock", &json!({ "now": now })).await.map(drop)
    }

    /// Imports an affiliate from the company's former system.
    pub(super) async fn brings_over(
        &self,
        name: &'static str,
        email: &'static str,
    ) -> Result<Partner, Failure> {
        let body = json!({
            "name": name, "email": email, "paypal_email": email,
            "active": true, "agreement_accepted_at": "2025-12-01T12:00:00-05:00",
        });
        let affiliate = self.staff.send(Method::POST, "/v1/affiliates", &body).await?;
        let field = |pointer: &str| {
            let text = affiliate.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
            text.ok_or_else(|| Failure::other(format!("the new affiliate has no {pointer}")))
        };
        let url = field("/default_link/url")?;
        let link =
            url::Url::parse(&url).map_err(|error| Failure::other(format!("a link is no URL: {error}")))?;
        Ok(Partner {
            id: field("/id")?,
            name,
            email,
            code: field("/code")?,
            link: link.path().to_owned(),
            url,
        })
    }

    /// A person follows a link.
    pub(super) async fn follows(&self, partner: &Partner) -> Result<Evidence, Failure> {
        self.browser.follows(&partner.link).await
    }

    /// Bots follow a link; returns how many.
    pub(super) async fn programs_follow(&self, partner: &Partner) -> Result<u64, Failure> {
        self.browser.programs_follow(&partner.link).await
    }

    /// The company's signup flow reports a new account, now.
    pub(super) async fn signs_up(
        &mut self,
        account: &str,
        plan: &str,
        evidence: Value,
    ) -> Result<Answer, Failure> {
        let mut body = json!({ "account_id": account, "plan": plan, "signed_up_at": self.now });
        if let (Value::Object(body), Value::Object(evidence)) = (&mut body, evidence) {
            body.extend(evidence);
        }
        self.calls_back("/v1/signups", &body).await
    }

    /// The company reports an event of an account at `time`.
    pub(super) async fn happens(
        &mut self,
        account: &str,
        kind: &str,
        plan: Option<&str>,
        time: &str,
    ) -> Result<(), Failure> {
        let event_id = format!("evt_{}", self.deliveries + 1);
        let mut body = json!({ "account_id": account, "event_id": event_id, "type": kind, "occurred_at": instant(time)? });
        if let Some(plan) = plan {
            body["plan"] = json!(plan);
        }
        let answer = self.calls_back(&format!("/v1/accounts/{account}/events"), &body).await?;
        expect("the status of an event's callback", &answer.status, &StatusCode::CREATED)
    }

    /// A callback, signed as Standard Webhooks requires.
    async fn calls_back(&mut self, path: &str, body: &Value) -> Result<Answer, Failure> {
        self.deliveries += 1;
        let (id, timestamp, body) =
            (format!("msg_{}", self.deliveries), self.now.timestamp().to_string(), body.to_string());
        // HMAC takes keys of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.webhook_key).expect("any key will do");
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        let headers = [
            ("content-type", "application/json"),
            ("webhook-id", id.as_str()),
            ("webhook-timestamp", timestamp.as_str()),
            ("webhook-signature", signature.as_str()),
        ];
        self.company.ask(Method::POST, path, &headers, full(body)).await
    }

    /// Stops the server in order, and removes its data.
    pub(super) async fn stop(mut self) -> Result<(), Failure> {
        // A process that has ended already can't be asked to stop; this is noticed below.
        let _ = kill_process(Pid::from_child(&self.server), Signal::TERM);
        let begun = Instant::now();
        let ended = loop {
            match self.server.try_wait() {
                Ok(Some(status)) if status.success() => break Ok(()),
                Ok(Some(status)) => {
                    break Err(Failure::other(format!("the demo's server failed ({status})")));
                }
                Ok(None) if begun.elapsed() < PATIENCE => tokio::time::sleep(LOOK).await,
                _ => break Err(Failure::other("the demo's server did not stop in time")),
            }
        };
        ended.map_err(|failure| self.with_log(failure))
    }

    /// A failure, with the last line of the server's log.
    pub(super) fn with_log(&self, failure: Failure) -> Failure {
        with_log(&self.dir, failure)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // After an orderly stop, both do nothing.
        let _ = self.server.kill();
        let _ = self.server.wait();
        remove(&self.dir);
    }
}

/// Compares a result with the expected one.
pub(super) fn expect<T: PartialEq + std::fmt::Debug>(
    what: &str,
    found: &T,
    wanted: &T,
) -> Result<(), Failure> {
    if found == wanted {
        return Ok(());
    }
    Err(Failure::other(format!("the demo failed: {what} is {found:?} and should be {wanted:?}")))
}

fn instant(time: &str) -> Result<DateTime<FixedOffset>, Failure> {
    DateTime::parse_from_rfc3339(time).map_err(|error| Failure::other(format!("{time} is no time: {error}")))
}

fn spawn(dir: &Path) -> Result<Child, Failure> {
    let failed = |error: std::io::Error| Failure::other(format!("can't start the demo's server: {error}"));
    // Free now; if somebody else takes the port first, the server ends, and another one is tried.
    let port =
        TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).map_err(failed)?.port();
    let data_dir = dir.join("data").display().to_string();
    let config = format!(
        "data_dir = {data_dir:?}\n[listen]\npublic = \"127.0.0.1:{port}\"\ninternal = \"127.0.0.1:0\"\n\
         public_url = \"http://127.0.0.1:{port}\"\n[aggregate]\nat = \"\"\n[payouts]\nat = \"\"\n[limits]\napply_ms = 15000\n[log]\nlevel = \"warn\"\n"
    );
    let file = dir.join("demo.toml");
    std::fs::write(&file, config).map_err(failed)?;
    let log = File::create(dir.join("server.log")).map_err(failed)?;
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(program);
    command.arg("serve").arg("--config").arg(file).args(["--settable-clock", BEGINNING]);
    // The demo must not depend on settings for another server.
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("COUNTERFOIL_"))
    {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().map_err(failed)
}

fn read_webhook_key(dir: &Path) -> Result<Vec<u8>, Failure> {
    let read = std::fs::read_to_string(dir.join("data/keys/webhook")).ok();
    read.and_then(|text| STANDARD.decode(text.trim().strip_prefix("whsec_")?).ok())
        .ok_or_else(|| Failure::other("the demo's server made no webhook secret"))
}

fn with_log(dir: &Path, failure: Failure) -> Failure {
    let log = std::fs::read_to_string(dir.join("server.log")).unwrap_or_default();
    match (failure, log.lines().last()) {
        (Failure::Other(text), Some(last)) => {
            Failure::Other(format!("{text}; the server's log ends with: {last}"))
        }
        (failure, _) => failure,
    }
}

fn remove(dir: &Path) {
    // If it can't be removed, it stays in the system's directory for temporary files.
    let _ = std::fs::remove_dir_all(dir);
}
