//! Data that earlier versions wrote is opened by this one, and says what it said: `tests/data/<commit>/` holds a data
//! directory of the program at that commit, with what its faces answered.

use crate::support::app::TestApp;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// When the directory was left: June is open, March, April and May are closed.
const LEFT: &str = "2026-06-05T05:00:00-04:00";

/// The data directory of the program at a commit, in a directory of the test's own.
struct Kept {
    dir: tempfile::TempDir,
    answers: PathBuf,
}

impl Kept {
    fn of(commit: &str) -> Self {
        let answers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(commit);
        let dir = tempfile::tempdir().expect("a directory");
        let unpacked = Command::new("tar")
            .args(["--extract", "--gzip", "--no-same-owner", "--file"])
            .arg(answers.join("data.tar.gz"))
            .arg("--directory")
            .arg(dir.path())
            .status();
        assert!(unpacked.expect("tar runs").success());
        Self { dir, answers }
    }
    fn answer(&self, name: &str) -> Value {
        let text = std::fs::read_to_string(self.answers.join(name)).expect("an answer");
        serde_json::from_str(&text).expect("JSON")
    }
    async fn serve(&self) -> TestApp {
        let mut app = TestApp::prepare(self.dir.path(), "sqlite", "");
        app.begins_at(LEFT);
        app.run().await;
        app.settles().await;
        app
    }
    fn lose_the_store(&self) {
        for file in std::fs::read_dir(self.dir.path().join("data")).expect("a directory") {
            let path = file.expect("a file").path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("store.sqlite")) {
                std::fs::remove_file(path).expect("it goes");
            }
        }
    }
}

/// Everything that was answered is still answered; there may be more.
#[track_caller]
fn assert_says(now: &Value, before: &Value, place: &str) {
    match (now, before) {
        (Value::Object(now), Value::Object(before)) => {
            for (key, value) in before {
                let found = now.get(key).unwrap_or_else(|| panic!("{place} has no {key} any more"));
                assert_says(found, value, &format!("{place}/{key}"));
            }
        }
        (Value::Array(now), Value::Array(before)) => {
            assert_eq!(now.len(), before.len(), "{place}");
            for (index, (now, before)) in now.iter().zip(before).enumerate() {
                assert_says(now, before, &format!("{place}/{index}"));
            }
        }
        _ => assert_eq!(now, before, "{place}"),
    }
}

/// The accounts as that version said them, but for one thing that it said wrong: a rejected account has crossed nowhere.
fn accounts_of(kept: &Kept) -> Value {
    let mut accounts = kept.answer("accounts.json");
    let all = accounts["data"].as_array_mut().expect("a list");
    let rejected = all.iter_mut().filter(|account| account["state"] == "rejected");
    let mut count = 0;
    for account in rejected {
        account["crossed_on"] = Value::Null;
        count += 1;
    }
    assert!(count > 0, "one was rejected");
    accounts
}

async fn answered(app: &TestApp, path: &str) -> Value {
    app.get(path).await.expect_status(200).json()
}

fn closed(statements: &Value) -> Value {
    let all = statements["data"].as_array().expect("a list");
    all.iter().filter(|statement| statement["status"] == "closed").cloned().collect()
}

#[tokio::test]
async fn a_data_directory_of_1a67ac4_says_what_it_said() {
    let kept = Kept::of("1a67ac4");
    let mut app = kept.serve().await;
    assert_says(
        &answered(&app, "/v1/statements?limit=500").await,
        &kept.answer("statements.json"),
        "statements",
    );
    assert_says(&answered(&app, "/v1/accounts?limit=500").await, &accounts_of(&kept), "accounts");
    let affiliate = &kept.answer("accounts.json")["data"][0]["affiliate_id"];
    let stats = format!(
        "/v1/stats?affiliate_id={}&from=2026-01-01&to=2026-01-31&by=day",
        affiliate.as_str().expect("an id")
    );
    assert_says(&answered(&app, &stats).await, &kept.answer("stats.json"), "stats");
    let verified = answered(&app, "/v1/verify").await;
    assert_eq!((&verified["untouched"], &verified["damage"]), (&json!(true), &json!([])), "{verified}");
    // A night of this version leaves what was closed, and goes on from there.
    let before = closed(&answered(&app, "/v1/statements?limit=500").await);
    app.night_of("2026-07-05T04:15:00-04:00").await;
    let after = closed(&answered(&app, "/v1/statements?limit=500").await);
    let june = |one: &&Value| one["month"] == "2026-06";
    let after: Value = after.as_array().expect("a list").iter().filter(|one| !june(one)).cloned().collect();
    assert_eq!(after, before);
    assert_eq!(answered(&app, "/v1/verify").await["untouched"], true);
}

#[tokio::test]
async fn the_journal_of_1a67ac4_makes_the_same_store_again() {
    let kept = Kept::of("1a67ac4");
    kept.lose_the_store();
    let mut app = kept.serve().await;
    let before = kept.answer("statements.json");
    assert_eq!(closed(&answered(&app, "/v1/statements?limit=500").await), closed(&before));
    assert_says(&answered(&app, "/v1/accounts?limit=500").await, &accounts_of(&kept), "accounts");
    app.night_of("2026-06-05T05:00:00-04:00").await;
    assert_says(&answered(&app, "/v1/statements?limit=500").await, &before, "statements");
}
