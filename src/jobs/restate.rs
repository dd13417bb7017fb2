//! Statements of open months are computed each night and journaled nowhere. A store that was refilled from the journals
//! gets them back within seconds, not with the next night.

use crate::app::{AggregateError, App, Told};
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked whether the store was refilled.
const EVERY: Duration = Duration::from_secs(1);

/// Looks after them until the application stops.
pub async fn run(app: Arc<App>) {
    // Which meeting with the store found them there.
    let mut found = None;
    let mut told = Told::default();
    while !app.stopping().await_for(EVERY).await {
        let meeting = app.store_meetings();
        if found == Some(meeting) {
            continue;
        }
        match app.restate().await {
            Ok(there) => {
                told.well();
                found = there.then_some(meeting);
            }
            // The store is being refilled, or another node does it.
            Err(AggregateError::Recovering | AggregateError::Busy | AggregateError::Stopping) => {}
            Err(error) => told.ill(&error, "statements of open months are missing"),
        }
    }
}
