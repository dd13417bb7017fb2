//! Statements of open months are computed each night and not journaled. A store that was refilled from the
//! journals gets them back within seconds, not in the next night.

use crate::app::{AggregateError, App, OutageLog};
use std::sync::Arc;
use std::time::Duration;

/// How often it checks whether the store was refilled.
const EVERY: Duration = Duration::from_secs(1);

/// Runs until the application stops.
pub async fn run(app: Arc<App>) {
    // The check of the store's identity after which the statements were found.
    let mut found = None;
    let mut outage = OutageLog::default();
    while !app.stopping().await_for(EVERY).await {
        let meeting = app.store_meetings();
        if found == Some(meeting) {
            continue;
        }
        match app.restate().await {
            Ok(there) => {
                outage.ok();
                found = there.then_some(meeting);
            }
            // The store is still being refilled, or another node computes the statements.
            Err(AggregateError::Recovering | AggregateError::Busy | AggregateError::Stopping) => {}
            Err(error) => outage.failed(&error, "statements of open months are missing"),
        }
    }
}
