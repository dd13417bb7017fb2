//! Keeps the links that a node knows on its disk, so that they work even if it starts while the store is
//! away.

use crate::app::{App, OutageLog};
use crate::edge::kept;
use crate::http::click::Edge;
use std::sync::Arc;
use std::time::Duration;

/// How long changes are collected before they are written.
const EVERY: Duration = Duration::from_secs(1);

/// Writes the links that changed, at most once per [`EVERY`], and once more when the application stops.
pub async fn run(app: Arc<App>, edge: Arc<Edge>) {
    let mut written = None;
    let mut outage = OutageLog::default();
    loop {
        let stops = app.stopping().await_for(EVERY).await;
        let routes = edge.routes();
        if written.as_ref() != Some(&routes) {
            let (app, known) = (Arc::clone(&app), Arc::clone(&routes));
            // The disk may be full or stall, so this does not run on a thread that serves requests.
            let done = tokio::task::spawn_blocking(move || kept::write(&app.config().data_dir, &known)).await;
            match done {
                Ok(Ok(())) => {
                    outage.ok();
                    written = Some(routes);
                }
                Ok(Err(error)) => outage.failed(&error, "the links could not be written to the disk"),
                Err(error) => tracing::error!(%error, "the task that writes the links failed"),
            }
        }
        if stops {
            return;
        }
    }
}
