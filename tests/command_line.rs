//! The program as it is used from a terminal, with a server running and without.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// A configuration with free ports and a data directory of its own.
struct Terminal {
    dir: TempDir,
}

impl Terminal {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let data = dir.path().join("data").display().to_string();
        // The public port must be known to be in links; the internal one need not.
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
        let config = format!(
            "data_dir = {data:?}\n[listen]\npublic = \"127.0.0.1:{port}\"\ninternal = \"127.0.0.1:0\"\n\
             public_url = \"http://127.0.0.1:{port}\"\n[aggregate]\nat = \"\"\n[log]\nlevel = \"error\"\n"
        );
        std::fs::write(dir.path().join("counterfoil.toml"), config).expect("a file");
        Self { dir }
    }
    fn path(&self) -> &Path {
        self.dir.path()
    }
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_counterfoil"));
        command.current_dir(self.path()).args(["--config", "counterfoil.toml"]).args(words);
        command
    }
    fn types(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("it runs")
    }
    /// The result of a command that must do well.
    fn reads(&self, words: &[&str]) -> Value {
        let output = self.command(words).arg("--json").output().expect("it runs");
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }
    /// The exit code of a command that must fail, and the one line that it says.
    fn fails(&self, words: &[&str]) -> (i32, String) {
        let output = self.types(words);
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(said.lines().count(), 1, "{words:?}: {said}");
        (output.status.code().expect("no signal"), said)
    }
    fn serves(&self) -> Server {
        let mut child = self.command(&["serve"]).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        // It says where it is when it can be asked.
        while !self.path().join("data/serve.json").exists() {
            lines.next().expect("it says where it is before it ends").expect("text");
        }
        // Kept open: a server whose greeting nobody reads must not be stopped by it.
        Server { child, _output: lines }
    }
}

struct Server {
    child: Child,
    _output: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Server {
    /// Asks it to stop, and answers its exit code.
    fn terminate(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const ADA: [&str; 8] = [
    "affiliate",
    "bring-over",
    "--name",
    "Ada",
    "--email",
    "ada@example.com",
    "--agreement-accepted-at",
    "2025-12-01T00:00:00Z",
];

/// What staff do in a quarter, whoever answers.
fn a_quarter(terminal: &Terminal) {
    let affiliate = terminal.reads(&ADA);
    let id = affiliate["id"].as_str().expect("an id");
    let link = terminal.reads(&["link", "create", id, "--label", "news"]);
    assert_eq!(link["label"], "news");
    assert_eq!(terminal.reads(&["link", "list", id])["data"].as_array().map(Vec::len), Some(2));
    terminal.reads(&["link", "disable", link["id"].as_str().expect("an id")]);
    terminal.reads(&["affiliate", "set", id, "--paypal-email", "pay@example.com"]);
    assert_eq!(terminal.reads(&["affiliate", "show", id])["paypal_email"], "pay@example.com");
    terminal.reads(&["affiliate", "suspend", id, "--reason", "a question"]);
    terminal.reads(&["affiliate", "reinstate", id]);
    assert_eq!(terminal.reads(&["affiliate", "list", "--status", "active"])["data"][0]["id"], id);

    let code = affiliate["code"].as_str().expect("a code");
    let signup = json!({
        "kind": "signup", "account_id": "acct_1", "plan": "growth",
        "signed_up_at": "2026-01-01T10:00:00-05:00", "code": code,
    });
    std::fs::write(terminal.path().join("old.ndjson"), format!("{signup}\n")).expect("a file");
    assert_eq!(terminal.reads(&["import", "old.ndjson", "--dry-run"])["status"], "created");
    assert_eq!(terminal.reads(&["import", "old.ndjson"])["status"], "created");
    assert_eq!(terminal.reads(&["import", "old.ndjson"])["status"], "replayed");
    assert_eq!(terminal.reads(&["account", "show", "acct_1"])["crossed_on"], "2026-04-01");

    let as_of = "2026-05-04T04:15:00-04:00";
    let dry = terminal.reads(&["aggregate", "--dry-run", "--as-of", as_of]);
    assert_eq!(dry["closed"], json!(["2026-01", "2026-02", "2026-03", "2026-04"]));
    assert_eq!(terminal.reads(&["aggregate", "--as-of", as_of])["closed"], dry["closed"]);
    let statement = terminal.reads(&["statement", "show", id, "2026-04"]);
    assert_eq!((&statement["status"], &statement["total"]), (&json!("closed"), &json!("99.00")));
    assert_eq!(terminal.reads(&["statement", "list", "--month", "2026-04"])["data"][0], statement);

    terminal.reads(&["account", "hold", "acct_1", "--reason", "a look"]);
    assert_eq!(terminal.reads(&["account", "list", "--held"])["data"][0]["account_id"], "acct_1");
    terminal.reads(&["account", "release", "acct_1", "--reason", "fine"]);
    terminal.reads(&["account", "credit", "acct_1", "--nobody", "--reason", "by mistake"]);
    terminal.reads(&["account", "credit", "acct_1", "--affiliate", id, "--reason", "after all"]);

    assert_eq!(terminal.reads(&["doctor"])["ok"], true);
    assert_eq!(terminal.reads(&["verify"])["untouched"], true);
    assert_eq!(terminal.reads(&["node", "list"])["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(terminal.reads(&["store", "confirm"])["confirmed"], true);
}

#[test]
fn commands_without_a_server_start_one_for_themselves() {
    a_quarter(&Terminal::new());
}

#[test]
fn commands_ask_the_running_server_which_ends_with_0_when_asked_to_stop() {
    let terminal = Terminal::new();
    let server = terminal.serves();
    a_quarter(&terminal);
    let (code, said) = terminal.fails(&["serve"]);
    assert_eq!(code, 1, "{said}");
    assert_eq!(server.terminate(), Some(0));
    assert!(!terminal.path().join("data/serve.json").exists());
    assert_eq!(terminal.reads(&["account", "show", "acct_1"])["crossed_on"], "2026-04-01");
}

#[test]
fn failures_have_their_exit_codes_and_one_line() {
    let terminal = Terminal::new();
    for (words, code, part) in [
        (&["affiliate", "show", "aff_0000000000001"][..], 1, "unknown_affiliate"),
        (&["affiliate", "shwo"], 64, "shwo"),
        (&["import", "missing.ndjson"], 64, "missing.ndjson"),
        (&["aggregate", "--as-of", "2999-01-01T00:00:00Z"], 1, "as_of_in_future"),
        (&["rebuild", "--journal", "missing"], 64, "missing"),
    ] {
        let (found, said) = terminal.fails(words);
        assert!(found == code && said.contains(part), "{words:?}: {found}, {said}");
    }
    let wrong = Command::new(env!("CARGO_BIN_EXE_counterfoil"))
        .current_dir(terminal.path())
        .args(["verify"])
        .env("COUNTERFOIL__STORE__ULR", "x")
        .output()
        .expect("it runs");
    assert_eq!(wrong.status.code(), Some(78));
    let away =
        terminal.command(&["node", "list"]).env("COUNTERFOIL__STORE__URL", "redis://127.0.0.1:1").output();
    assert_eq!(away.expect("it runs").status.code(), Some(69));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let terminal = Terminal::new();
    terminal.reads(&ADA);
    let mut child =
        terminal.command(&["affiliate", "list"]).stdout(Stdio::piped()).spawn().expect("it starts");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}
