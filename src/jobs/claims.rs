//! Claims that were granted are credited, also when the server was stopped between the two.

use crate::app::App;
use chrono::TimeDelta;
use std::sync::Arc;
use std::time::Duration;

/// How often they are looked for.
const EVERY: Duration = Duration::from_secs(30);
/// Whoever has just granted one credits it at once.
const AGE: TimeDelta = TimeDelta::seconds(30);

/// Looks for them until the application stops.
pub async fn run(app: Arc<App>) {
    while !app.stopping().await_for(EVERY).await {
        if app.store_is_up()
            && let Err(error) = app.credit_what_is_owed(AGE).await
        {
            tracing::debug!(%error, "granted claims can't be looked at");
        }
    }
}
