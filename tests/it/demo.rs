//! The newcomer's first command: the whole story, checked by itself.

use serde_json::Value;
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn the_demo_ends_well_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().expect("a directory");
    let begun = Instant::now();
    let demo = Command::new(env!("CARGO_BIN_EXE_counterfoil"))
        .args(["demo", "--json"])
        .env("TMPDIR", dir.path())
        // Another server's settings are none of its business.
        .env("COUNTERFOIL__STORE__URL", "redis://127.0.0.1:1")
        .output()
        .expect("it runs");
    assert!(demo.status.success(), "{}", String::from_utf8_lossy(&demo.stderr));
    // It takes some seconds; a machine that is busy with other tests may be several times slower.
    assert!(begun.elapsed() < Duration::from_mins(3), "{:?}", begun.elapsed());
    assert_eq!(std::fs::read_dir(dir.path()).expect("a directory").count(), 0);
    let summary: Value = serde_json::from_slice(&demo.stdout).expect("JSON");
    let totals: Vec<&Value> =
        summary["statements"].as_array().into_iter().flatten().map(|one| &one["total"]).collect();
    assert_eq!(totals, ["447.00", "148.00"]);
    assert_eq!(summary["nights"], 368);
}
