//! `aggregate`: a nightly run on request.

use super::client::Client;
use super::session::with_server;
use super::show::{number, text};
use super::{Context, Failure};
use chrono::{DateTime, FixedOffset};
use http::Method;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::time::Duration;

/// How often the server is asked for the progress.
const LOOK: Duration = Duration::from_millis(200);

pub(super) async fn run(
    context: Context<'_>,
    as_of: Option<DateTime<FixedOffset>>,
    dry_run: bool,
) -> Result<(), Failure> {
    let mut request = json!({ "dry_run": dry_run });
    if let Some(as_of) = as_of {
        request["as_of"] = json!(as_of.to_rfc3339());
    }
    let report = with_server(&context, async |client: &Client| {
        let run = client.send(Method::POST, "/v1/aggregate", &request);
        if std::io::stderr().is_terminal() { while_watching(client, run).await } else { run.await }
    })
    .await?;
    let closed = if dry_run { "would close" } else { "closed" };
    context.show.thing(
        &report,
        &[
            text("as of", "/as_of"),
            text("last full day", "/through"),
            text(closed, "/closed"),
            number("accounts", "/accounts"),
            number("qualified", "/crossings"),
            number("statements", "/statements"),
            number("adjustments", "/adjustments"),
            text("waits for nodes", "/nodes_behind"),
            text("waits for", "/waits_for"),
            text("the store forgets", "/store_forgets"),
            text("too early by the store's clock", "/too_early"),
            number("milliseconds", "/duration_ms"),
        ],
    )
}

/// Shows the progress of a run while waiting for it.
async fn while_watching(
    client: &Client,
    run: impl Future<Output = Result<Value, Failure>>,
) -> Result<Value, Failure> {
    let bar = bar(0, "affiliates");
    let watch = async {
        let mut looks = tokio::time::interval(LOOK);
        loop {
            looks.tick().await;
            // The progress is only informative: the run's own answer reports errors.
            if let Ok(progress) = client.get("/v1/aggregate").await {
                bar.set_length(progress["total"].as_u64().unwrap_or(0));
                bar.set_position(progress["done"].as_u64().unwrap_or(0));
            }
        }
    };
    let ended = tokio::select! {
        biased;
        ended = run => ended,
        never = watch => never,
    };
    bar.finish_and_clear();
    ended
}

/// A progress bar on stderr.
pub(super) fn bar(total: u64, unit: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template(&format!("{{bar:40}} {{pos}} of {{len}} {unit}, {{eta}} left"));
    let bar = ProgressBar::new(total);
    // The template is a literal except for the unit, so it can't be wrong.
    style.map_or(bar.clone(), |style| bar.with_style(style))
}
