//! The newcomer's first command: the whole story, checked by itself.

use serde_json::{Value, json};
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
    for statement in summary["statements"].as_array().into_iter().flatten() {
        let payout = json!({"id": "pay_2026-09-1", "status": "paid", "paid_at": "2026-10-31"});
        assert_eq!(statement["payout"], payout, "{statement}");
    }
    let said = |list: &str, keys: [&str; 3]| -> Vec<[Value; 3]> {
        let rows = summary[list].as_array().into_iter().flatten();
        rows.map(|row| keys.map(|key| row[key].clone())).collect()
    };
    let payouts = [
        [json!("settled"), json!("3831.00"), json!({"paid": 1, "failed": 1})],
        [json!("settled"), json!("398.00"), json!({"paid": 1})],
    ];
    assert_eq!(said("payouts", ["status", "total", "counts"]), payouts);
    let balances = [["0.00", "0.00", "3433.00"], ["0.00", "0.00", "398.00"]];
    assert_eq!(
        said("balances", ["owed", "under_way", "paid"]),
        balances.map(|row| row.map(|one| json!(one)))
    );
}
