//! Tells affiliates and staff what is new about money.

use crate::app::App;
use std::sync::Arc;
use std::time::Duration;

/// How often it looks for news.
const TICK: Duration = Duration::from_secs(1);

/// Runs until the application stops.
pub async fn run(app: Arc<App>) {
    while !app.stopping().await_for(TICK).await {
        if app.store_is_up()
            && let Err(error) = app.tell_news().await
        {
            tracing::debug!(%error, "news could not be read");
        }
    }
}
