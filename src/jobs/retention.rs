//! Clicks are kept for the window and 30 days: then whole segments of the clicks journal are removed.

use crate::app::App;
use std::sync::Arc;
use std::time::Duration;

/// How often it looks at the journal.
const EVERY: Duration = Duration::from_hours(1);

/// Removes old segments regularly, until the application stops.
pub async fn run(app: Arc<App>) {
    while !app.stopping().await_for(EVERY).await {
        run_once(&app).await;
    }
}

/// Removes the segments that are too old now.
pub async fn run_once(app: &Arc<App>) {
    let app = Arc::clone(app);
    // Removing files may wait for the disk, so this does not run on a thread that serves requests.
    let removed = tokio::task::spawn_blocking(move || app.remove_old_clicks()).await;
    match removed {
        Ok(Ok(removed)) if removed.segments > 0 => {
            tracing::info!(segments = removed.segments, bytes = removed.bytes, "old clicks left the journal");
        }
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::error!(%error, "old clicks could not be removed"),
        Err(error) => tracing::error!(%error, "the task that removes old clicks failed"),
    }
}
