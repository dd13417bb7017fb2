//! Credits granted claims, even if the server was stopped between granting and crediting.

use crate::app::App;
use chrono::TimeDelta;
use std::sync::Arc;
use std::time::Duration;

/// How often it looks for them.
const EVERY: Duration = Duration::from_secs(30);
/// The request that grants a claim credits it at once, so younger ones are left to it.
const AGE: TimeDelta = TimeDelta::seconds(30);

/// Runs until the application stops.
pub async fn run(app: Arc<App>) {
    while !app.stopping().await_for(EVERY).await {
        if app.store_is_up()
            && let Err(error) = app.credit_what_is_owed(AGE).await
        {
            tracing::debug!(%error, "granted claims could not be checked");
        }
    }
}
