//! The nightly schedule: every node checks the clock, and the one that gets the lease runs.

use crate::app::{AggregateError, App};
use crate::domain::calendar::Zone;
use chrono::{DateTime, NaiveTime, Utc};
use std::sync::Arc;
use std::time::Duration;

/// How often it checks the clock.
const TICK: Duration = Duration::from_secs(1);
/// The wait after a run that failed.
const RETRY_AFTER: Duration = Duration::from_mins(1);

/// Runs every night at a local time until the application stops. If all nodes were down for a night, its run
/// is made afterwards; a program without any run yet waits for its first night.
pub async fn run(app: Arc<App>, at: NaiveTime) {
    let started = app.now();
    // Whether the last run closed nothing because nodes were behind.
    let mut waits = false;
    loop {
        if app.stopping().await_for(TICK).await {
            return;
        }
        let due = latest_due(app.zone(), at, app.now());
        let last = |app: &App| app.directory().last_run().map_or(started, |last| last.run.as_of);
        if due <= last(&app) && !waits {
            continue;
        }
        // Another node may just have made the run.
        if app.follow_directory().await.is_err() || (due <= last(&app) && !waits) {
            continue;
        }
        waits = false;
        match app.aggregate_due(due).await {
            Ok(report) if report.may_miss_facts() => {
                tracing::warn!(nodes = ?report.nodes_behind, store = ?report.store_forgets,
                    "facts may be missing: no month closed; tried again in a minute");
                waits = true;
                app.stopping().await_for(RETRY_AFTER).await;
            }
            Ok(report) => tracing::info!(through = %report.through, closed = ?report.closed,
                accounts = report.accounts, crossings = report.crossings, "the nightly run is done"),
            // Another node has the lease: the directory shows when its run is done.
            Err(AggregateError::Busy) => {}
            Err(error) => {
                tracing::error!(%error, "the nightly run failed; it is tried again in a minute");
                if app.stopping().await_for(RETRY_AFTER).await {
                    return;
                }
            }
        }
    }
}

/// The latest instant at which a run was due, at or before now.
fn latest_due(zone: &Zone, at: NaiveTime, now: DateTime<Utc>) -> DateTime<Utc> {
    let today = zone.date_of(now);
    let due = zone.local_time_on(today, at);
    if due <= now { due } else { zone.local_time_on(today.pred_opt().unwrap_or(today), at) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_due_night() {
        let zone: Zone = "America/New_York".parse().expect("a known zone");
        let at = NaiveTime::from_hms_opt(4, 15, 0).expect("a literal");
        let table = [
            ("2026-01-02T09:14:59Z", "2026-01-01T09:15:00Z"),
            ("2026-01-02T09:15:00Z", "2026-01-02T09:15:00Z"),
            ("2026-07-02T08:15:00Z", "2026-07-02T08:15:00Z"),
        ];
        for (now, due) in table {
            let (now, due): (DateTime<Utc>, DateTime<Utc>) =
                (now.parse().expect(now), due.parse().expect(due));
            assert_eq!(latest_due(&zone, at, now), due, "{now}");
        }
    }
}
