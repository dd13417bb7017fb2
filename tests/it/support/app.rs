//! The real server as a child process on free ports and a clock that tests set, told as a story.

use super::http::{self, Answer};
use super::servers::free_port;
use counterfoil::for_tests::journal::{Journal, Settings};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The bearer key of the tests.
pub const KEY: &str = "a-key-of-the-tests-0123456789";
/// A browser of these days.
pub const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36";
/// When stories begin, unless they say otherwise.
pub const BEGINNING: &str = "2026-01-01T09:00:00-05:00";
/// How long a server may take to be ready, on a machine that is busy with other tests.
const READY: Duration = Duration::from_secs(30);

/// A server.
#[derive(Debug)]
pub struct TestApp {
    child: Option<Child>,
    dir: PathBuf,
    /// Removes the directory at the end.
    keeper: Option<tempfile::TempDir>,
    pub public: SocketAddr,
    pub internal: SocketAddr,
    now: String,
    /// Environment of the process.
    pub environment: Vec<(&'static str, String)>,
}

/// A browser that follows links.
#[derive(Debug, Clone, Default)]
pub struct Visitor {
    pub cookie: Option<String>,
    pub cfoil: Option<String>,
}

/// An affiliate that is active.
#[derive(Debug, Clone)]
pub struct Partner {
    pub id: String,
    pub link: String,
    pub code: String,
}

impl TestApp {
    /// A server on the embedded store.
    pub async fn start() -> Self {
        Self::start_with("sqlite", "").await
    }
    /// A server on a store, with more configuration (TOML; tables only).
    pub async fn start_with(store: &str, more: &str) -> Self {
        let keeper = tempfile::tempdir().expect("a directory");
        let mut app = Self::prepare(keeper.path(), store, more);
        app.keeper = Some(keeper);
        app.run().await;
        app
    }
    /// Another node with the same keys on the same store.
    pub async fn start_beside(first: &Self, store: &str, more: &str) -> Self {
        let keeper = tempfile::tempdir().expect("a directory");
        let mut app = Self::prepare(keeper.path(), store, more);
        app.keeper = Some(keeper);
        std::fs::create_dir_all(app.data_dir()).expect("a directory");
        let keys = [first.data_dir().join("keys"), app.data_dir().join("keys")];
        let copied = Command::new("cp").arg("-a").args(keys).status().expect("cp runs");
        assert!(copied.success());
        app.run().await;
        app
    }
    /// A server in a directory of the test's own, not started yet.
    pub fn prepare(dir: &Path, store: &str, more: &str) -> Self {
        let (public, internal) = (loopback(free_port()), loopback(free_port()));
        // No payout is made by itself, unless a test says how payouts are made.
        let payouts = if more.contains("[payouts]") { "" } else { "[payouts]\nat = \"\"" };
        let config = format!(
            r#"data_dir = "{data}"
[listen]
public = "{public}"
internal = "{internal}"
public_url = "http://{public}"
[store]
url = "{store}"
[aggregate]
at = ""
{payouts}
[events]
ignore = ["upgraded", "merged.*"]
[limits]
clicks_per_minute_per_ip = 0
[[api.keys]]
name = "tests"
key = "{KEY}"
scopes = ["admin", "callback"]
{more}
"#,
            data = dir.join("data").display()
        );
        std::fs::write(dir.join("counterfoil.toml"), config).expect("a file");
        Self {
            child: None,
            dir: dir.to_owned(),
            keeper: None,
            public,
            internal,
            now: BEGINNING.to_owned(),
            environment: Vec::new(),
        }
    }
    /// Where its journal and its embedded store are.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }
    /// Its configuration.
    pub fn config(&self) -> PathBuf {
        self.dir.join("counterfoil.toml")
    }
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("started").id()
    }
    /// What its clock will show when it starts.
    pub fn begins_at(&mut self, now: &str) {
        now.clone_into(&mut self.now);
    }
    /// Starts the process, and waits until it is ready.
    pub async fn run(&mut self) {
        self.spawn();
        self.wait_until_ready().await;
    }
    /// Starts the process.
    pub fn spawn(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.dir.join("log"));
        let child = Command::new(env!("CARGO_BIN_EXE_counterfoil"))
            .args(["serve", "--config"])
            .arg(self.config())
            .args(["--settable-clock", &self.now])
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::null())
            .stderr(log.expect("a log"))
            .spawn();
        self.child = Some(child.expect("counterfoil starts"));
    }
    /// Waits until it answers.
    pub async fn wait_until_ready(&mut self) {
        let begun = Instant::now();
        loop {
            let answer = http::try_get(self.internal, "/readyz", &[]).await;
            if answer.is_some_and(|answer| answer.status == 200) {
                return;
            }
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            assert!(ended.is_none() && begun.elapsed() < READY, "not ready ({ended:?}):\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    /// Waits until it has logged something: a thread of its own writes the log.
    pub async fn logs(&self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            let log = self.log();
            if log.contains(text) {
                return log;
            }
            assert!(begun.elapsed() < Duration::from_secs(5), "it does not log {text:?}: {log}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }
    /// Ends it as a power switch would, but for the disk.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it runs");
            child.wait().expect("it ends");
        }
    }
    /// The signal that has ended it by itself; `None`: it runs.
    #[cfg(feature = "sabotage")]
    pub fn died_of(&mut self) -> Option<i32> {
        use std::os::unix::process::ExitStatusExt;
        let ended = self.child.as_mut().and_then(|child| child.try_wait().expect("it can be asked"))?;
        self.child = None;
        Some(ended.signal().unwrap_or_else(|| panic!("it ended by itself ({ended}):\n{}", self.log())))
    }
    /// Stops it from running, with its connections left open.
    pub fn pause(&self) {
        self.signal("-STOP");
    }
    /// Lets it run again.
    pub fn resume(&self) {
        self.signal("-CONT");
    }
    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").arg(signal).arg(self.pid().to_string()).status().expect("kill runs");
        assert!(sent.success());
    }
    /// Loses its embedded store, while it is stopped.
    pub fn loses_its_store(&self) {
        for file in ["store.sqlite", "store.sqlite-wal", "store.sqlite-shm"] {
            // SQLite removes the latter two when it ends well.
            drop(std::fs::remove_file(self.data_dir().join(file)));
        }
    }
    /// Asks it to stop; answers its exit code.
    pub async fn stop(&mut self) -> Option<i32> {
        self.signal("-TERM");
        let mut child = self.child.take().expect("started");
        tokio::task::spawn_blocking(move || child.wait().expect("it ends").code()).await.expect("it waits")
    }

    /// Waits until it ends by itself; answers its exit code.
    pub async fn ends(&mut self) -> Option<i32> {
        let mut child = self.child.take().expect("started");
        tokio::task::spawn_blocking(move || child.wait().expect("it ends").code()).await.expect("it waits")
    }

    /// It is restarted after an older version switched a link off, as such a version journaled it: without a reason, and
    /// default links as well.
    pub async fn is_switched_off_by_an_older_version(&mut self, link: &Value) {
        self.stop().await;
        let journal = Journal::open(&self.data_dir(), &Settings::default()).expect("the journal");
        let fact = json!({"at": self.now, "by": "ann", "fact": "link_disabled",
            "link_id": link["id"], "affiliate_id": link["affiliate_id"]});
        journal.facts().append(fact.to_string().into_bytes()).await.expect("a disk");
        drop(journal);
        self.run().await;
        self.settles().await;
    }
    /// Sets the clock.
    pub async fn set_now(&mut self, now: &str) {
        self.now = now.to_owned();
        self.post("/v1/clock", &json!({"now": now})).await.expect_status(200);
    }
    /// Asks the internal listener.
    pub async fn get(&self, path: &str) -> Answer {
        http::get(self.internal, path, &bearer()).await
    }
    /// Sends a request to the internal listener.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        http::post(self.internal, path, &bearer(), body.to_string()).await
    }

    /// Brings an affiliate over, active since long ago.
    pub async fn partner(&self, name: &str) -> Partner {
        let body = json!({"name": name, "email": format!("{name}@partners.example"), "active": true,
            "agreement_accepted_at": "2025-01-01T00:00:00Z"});
        let made = self.post("/v1/affiliates", &body).await.expect_status(201).json();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        Partner { id: text(&made["id"]), link: text(&made["default_link"]["url"]), code: text(&made["code"]) }
    }
    /// A signup with a visitor's evidence, at the clock's time.
    pub async fn signs_up(&self, visitor: &Visitor, account: &str, plan: &str) -> Answer {
        let body = json!({"account_id": account, "plan": plan, "signed_up_at": self.now,
            "click": visitor.cfoil, "cookie": visitor.cookie});
        self.post("/v1/signups", &body).await
    }
    /// A new visitor clicks an affiliate's link and signs up.
    pub async fn refers(&self, partner: &Partner, account: &str) -> Answer {
        let mut visitor = Visitor::default();
        visitor.clicks(&partner.link).await.expect_status(302);
        self.signs_up(&visitor, account, "growth").await
    }
    /// Something happens to an account.
    pub async fn happens(&self, account: &str, event: &str, kind: &str, at: &str) -> Answer {
        let body = json!({"event_id": event, "type": kind, "occurred_at": at});
        self.post(&format!("/v1/accounts/{account}/events"), &body).await
    }
    /// A nightly run as of a time, which becomes the clock's. A dry run before and one after compute everything from
    /// all that is known: the night, which computes what became known since the last one, must say the same, of
    /// what it closes and of what stays open, and what the store shows afterwards must be what was said.
    pub async fn night_of(&mut self, as_of: &str) -> Value {
        self.set_now(as_of).await;
        let before = self.aggregate(as_of, true).await;
        let run = self.aggregate(as_of, false).await;
        assert_eq!(run["statements_hash"], before["statements_hash"], "{run}\n{before}");
        assert_eq!(run["closed"], before["closed"], "{run}\n{before}");
        let after = self.aggregate(as_of, true).await;
        assert_eq!(self.hash_of_open_statements().await, after["statements_hash"], "{after}");
        run
    }
    async fn aggregate(&self, as_of: &str, dry_run: bool) -> Value {
        let asked = json!({"as_of": as_of, "dry_run": dry_run});
        self.post("/v1/aggregate", &asked).await.expect_status(200).json()
    }
    async fn hash_of_open_statements(&self) -> String {
        let mut open: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("/v1/statements?limit=500{cursor}")).await.expect_status(200).json();
            for statement in
                page["data"].as_array().expect("a list").iter().filter(|one| one["status"] == "open")
            {
                let text = |key: &str| statement[key].as_str().expect("a text").to_owned();
                open.entry(text("affiliate_id")).or_default().insert(text("month"), text("hash"));
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let hash_of = |texts: &mut dyn Iterator<Item = &String>| {
            let hash = texts.fold(Sha256::new(), Sha256::chain_update);
            hash.finalize().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
        };
        let affiliates: Vec<String> = open.values().map(|months| hash_of(&mut months.values())).collect();
        hash_of(&mut affiliates.iter())
    }
    /// All statements, of a month or of all.
    pub async fn statements(&self, query: &str) -> Vec<Value> {
        let page = self.get(&format!("/v1/statements?limit=500{query}")).await.expect_status(200).json();
        assert_eq!(page["next_cursor"], Value::Null, "more than a page");
        page["data"].as_array().expect("a list").clone()
    }
    /// A metric's value; 0 if it is not there.
    pub async fn metric(&self, line: &str) -> u64 {
        let text = self.get("/metrics").await.expect_status(200).text();
        let value = text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().expect("a count"))
    }
    /// Waits until everything journaled is applied.
    pub async fn settles(&self) {
        let begun = Instant::now();
        loop {
            let text = self.get("/metrics").await.expect_status(200).text();
            let value = |name: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
                line.and_then(|value| value.parse::<f64>().ok()).unwrap_or(f64::NAN)
            };
            let settled = ["clicks", "facts"].iter().all(|log| {
                let last = value(&format!("counterfoil_journal_last_position{{log=\"{log}\"}}"));
                last <= value(&format!("counterfoil_journal_applied_position{{log=\"{log}\"}}"))
            });
            if settled {
                return;
            }
            assert!(begun.elapsed() < READY, "does not settle:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            drop(child.kill());
            drop(child.wait());
        }
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log());
        }
    }
}

impl Visitor {
    /// Follows a link in a browser; keeps the cookie and the click token.
    pub async fn clicks(&mut self, link: &str) -> Answer {
        self.try_clicks(link).await.expect("an answer")
    }
    /// The same; `None`: there was no answer.
    pub async fn try_clicks(&mut self, link: &str) -> Option<Answer> {
        let answer = self.try_follows(link, CHROME).await?;
        if let Some(cookie) = answer.header("set-cookie") {
            let value = cookie.split(';').next().and_then(|pair| pair.split_once('='));
            self.cookie = value.map(|(_, value)| value.to_owned());
        }
        self.cfoil = cfoil_of(&answer);
        Some(answer)
    }
    /// Its browser fetches a link ahead of a click; answers the status.
    pub async fn prefetches(&self, link: &str) -> Option<u16> {
        let ahead = [("user-agent", CHROME), ("sec-purpose", "prefetch")];
        let headers = ahead.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let (host, path) = link.strip_prefix("http://")?.split_once('/')?;
        Some(http::try_get(host.parse().ok()?, &format!("/{path}"), &headers).await?.status)
    }
    /// Follows a link as some program.
    pub async fn follows(&self, link: &str, agent: &str) -> Answer {
        self.try_follows(link, agent).await.expect("an answer")
    }
    async fn try_follows(&self, link: &str, agent: &str) -> Option<Answer> {
        let address: url::Url = link.parse().expect("a link");
        let host = format!("{}:{}", address.host_str().expect("a host"), address.port().expect("a port"));
        let path = &address[url::Position::BeforePath..];
        let mut headers = vec![("user-agent".to_owned(), agent.to_owned())];
        headers
            .extend(self.cookie.iter().map(|cookie| ("cookie".to_owned(), format!("counterfoil={cookie}"))));
        http::try_get(host.parse().expect("an address"), path, &headers).await
    }
}

/// The click token of a landing page's address.
pub fn cfoil_of(answer: &Answer) -> Option<String> {
    let location: url::Url = answer.header("location")?.parse().ok()?;
    location.query_pairs().find(|(name, _)| name == "cfoil").map(|(_, value)| value.into_owned())
}

/// The headers of the tests' key.
pub fn bearer() -> Vec<(String, String)> {
    vec![("authorization".to_owned(), format!("Bearer {KEY}"))]
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
