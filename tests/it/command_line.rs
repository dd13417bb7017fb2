//! The program as it is used from a terminal, with a server running and without.

use crate::support::servers::free_port;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
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
        let port = free_port();
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

/// The groups of commands that have a list, as the program's own help names them.
fn groups_with_a_list(terminal: &Terminal) -> Vec<String> {
    let commands_of = |words: &[&str]| {
        let help = String::from_utf8(terminal.types(words).stdout).expect("text");
        let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
        let commands = commands.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
        let names = commands.filter_map(|line| line.split_whitespace().next()).map(str::to_owned);
        names.collect::<Vec<String>>()
    };
    let mut groups = commands_of(&["--help"]);
    groups.retain(|group| group != "help" && commands_of(&[group, "--help"]).iter().any(|one| one == "list"));
    assert!(groups.len() >= 7, "{groups:?}");
    groups
}

/// What staff do in a quarter, with any server.
fn a_quarter(terminal: &Terminal) {
    let affiliate = terminal.reads(&ADA);
    let id = affiliate["id"].as_str().expect("an id");
    let link = terminal.reads(&["link", "create", id, "--label", "news"]);
    assert_eq!(link["label"], "news");
    assert_eq!(terminal.reads(&["link", "list", id])["data"].as_array().map(Vec::len), Some(2));
    let link = link["id"].as_str().expect("an id");
    let off = terminal.reads(&["link", "disable", link, "--reason", "The page was hacked"]);
    assert_eq!(off["disabled_reason"], "The page was hacked");
    assert_eq!(terminal.reads(&["link", "enable", link])["disabled_at"], Value::Null);
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

    let staff = ["staff", "create", "--name", "Bob", "--email", "bob@example.com", "--role", "read-only"];
    let bob = terminal.reads(&staff);
    let (member, link) = (bob["id"].as_str().expect("an id"), bob["one_time_url"].as_str().expect("a link"));
    assert!(link.contains("/admin/activate?token="), "{link}");
    terminal.reads(&["staff", "role", member, "finance"]);
    terminal.reads(&["staff", "disable", member]);
    terminal.reads(&["staff", "enable", member]);
    let known = terminal.reads(&["staff", "list"]);
    assert_eq!(
        (&known["data"][0]["role"], &known["data"][0]["disabled_at"]),
        (&json!("finance"), &Value::Null)
    );
    // What is not a terminal may be a log: the link is not written there.
    let said = String::from_utf8(terminal.types(&["staff", "invite", member]).stdout).expect("text");
    assert!(said.contains("--json") && !said.contains("token="), "{said}");
    terminal.reads(&["affiliate", "invite", id]);

    for group in groups_with_a_list(terminal) {
        let of_whom = match group.as_str() {
            "link" => vec![id],
            "statement" => vec!["--affiliate", id],
            _ => Vec::new(),
        };
        let shown = terminal.reads(&[&[group.as_str(), "list"], of_whom.as_slice()].concat());
        assert!(shown["data"].is_array(), "{group} list: {shown}");
    }
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
        (&["rebuild", "--journal", "data/journal"], 1, "name its data directory"),
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

/// With any mask of the shell, and any creator of the directory.
#[test]
fn nobody_else_may_read_what_a_data_directory_holds() {
    use std::os::unix::fs::PermissionsExt;
    let terminal = Terminal::new();
    let data = terminal.path().join("data");
    let chmod = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("its owner may");
    };
    std::fs::create_dir(&data).expect("a directory");
    chmod(&data, 0o755);
    terminal.reads(&ADA);
    assert_eq!(counterfoil::for_tests::open_to_others(&data), Vec::<std::path::PathBuf>::new());
    assert!(data.join("store.sqlite").exists() && data.join("journal/facts").is_dir());

    chmod(&data.join("store.sqlite"), 0o644);
    chmod(&data.join("journal"), 0o755);
    let output = terminal.types(&["doctor"]);
    let said = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(1), "{said}");
    let line = said.lines().find(|line| line.trim_start().starts_with("FIX")).unwrap_or_default();
    assert!(line.contains("others may read 2 things") && line.contains("chmod"), "{said}");
    // The start that the doctor needed has corrected it.
    assert_eq!(terminal.reads(&["doctor"])["ok"], true);
}

/// The link of a member who is made before the server is started.
#[test]
fn a_link_that_is_printed_without_a_server_leads_to_the_one_to_come() {
    let terminal = Terminal::new();
    let file = terminal.path().join("counterfoil.toml");
    let config = std::fs::read_to_string(&file).expect("it was written");
    let port = free_port();
    let config = config.replace("internal = \"127.0.0.1:0\"", &format!("internal = \"127.0.0.1:{port}\""));
    std::fs::write(&file, config).expect("a file");
    let made = terminal.reads(&[
        "staff",
        "create",
        "--name",
        "Bob",
        "--email",
        "bob@example.com",
        "--role",
        "admin",
    ]);
    let link = made["one_time_url"].as_str().unwrap_or_default();
    assert!(link.starts_with(&format!("http://127.0.0.1:{port}/admin/activate?token=")), "{made}");
}
