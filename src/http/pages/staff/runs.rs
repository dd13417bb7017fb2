//! Nightly runs: those that were made, one by hand, and what one would do.

use super::words::{self, Words};
use super::{Act, Staff, Visit, export, for_role};
use crate::app::{AggregateError, RunDoc};
use crate::domain::calendar::Month;
use crate::domain::fact::RunReport;
use crate::domain::input::Instant;
use crate::http::pages::table::{self, Cell, List};
use crate::http::pages::{PageError, PageState, see_other};
use axum::response::Response;
use chrono::DateTime;
use http::header::{CONTENT_DISPOSITION, REFRESH};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

const PATH: &str = "/admin/runs";
/// How long the page waits for a run before it shows how far it is.
const PATIENCE: Duration = Duration::from_secs(3);

/// Runs that are listed: those of more than a year.
const LISTED: usize = 400;

fn nightly_runs(state: &PageState) -> List<'_, RunDoc> {
    type Column<'a> = table::Column<'a, RunDoc>;
    let words = Words::of(state);
    let by = move |run: &RunDoc| run.by.as_deref().map(|by| state.app.name_of(by)).unwrap_or_default();
    let closed = move |run: &RunDoc| -> String {
        let months: Vec<String> = run.run.closed.iter().map(|month| words.month(*month)).collect();
        months.join(", ")
    };
    let columns = vec![
        Column::text("finished", "Finished", move |run| words.when(run.finished_at))
            .sort_first_down_by(|run| run.finished_at),
        Column::text("by", "Asked for by", move |run| {
            run.by.as_deref().map_or_else(words::none, |asked| Cell::text(by(run)).export(asked))
        })
        .sort_by(move |run| by(run).to_lowercase()),
        Column::text("through", "Counted through", move |run| {
            Cell::text(words.day(run.run.through)).whole().export(run.run.through.to_string())
        })
        .sort_by(|run| run.run.through),
        Column::text("closed", "Months closed", move |run| {
            match (closed(run), why_not_closed(&words, &run.run)) {
                (months, None) if months.is_empty() => words::none(),
                (months, None) => Cell::text(months),
                (months, Some(why)) => Cell::text(months).note(why),
            }
        })
        .sort_by(|run| run.run.closed.clone()),
        Column::number("computed", "Affiliates computed", |run| Cell::text(run.run.computed.to_string()))
            .sort_by(|run| run.run.computed),
        Column::number("crossings", "Qualified", |run| Cell::text(run.run.crossings.to_string()))
            .sort_by(|run| run.run.crossings),
        Column::number("adjustments", "Adjustments", |run| Cell::text(run.run.adjustments.to_string()))
            .sort_by(|run| run.run.adjustments),
        Column::number("took", "Took", |run| {
            run.took_ms.map_or_else(words::none, |ms| Cell::text(took(ms)).whole().export(ms.to_string()))
        })
        .sort_by(|run| run.took_ms),
    ];
    List::new(PATH, "Nightly runs", "None has finished yet.", columns).search(
        "Who, day or month",
        move |run| {
            let through = run.run.through;
            [by(run), closed(run), words.day(through), through.to_string()].join("\n")
        },
    )
}

pub async fn page(visit: Visit<Staff>) -> Result<Response, PageError> {
    let mut response = show(&visit, "", &Value::Null).await?;
    if !response.headers().contains_key(CONTENT_DISPOSITION) && visit.app.aggregate_progress().running {
        // The browser looks again by itself, also without a script.
        response.headers_mut().insert(REFRESH, HeaderValue::from_static("5"));
    }
    Ok(response)
}

/// The page, or the list as CSV; with what was wrong with the form, or what a run would do.
async fn show(visit: &Visit<Staff>, error: &str, dry: &Value) -> Result<Response, PageError> {
    let words = Words::of(visit);
    let list = nightly_runs(visit);
    let query = list.read(visit.raw.as_deref().filter(|raw| !raw.starts_with("done=")))?;
    let runs = visit.app.runs(LISTED).await?;
    let last = runs.first().map(|last| {
        let mut said = told(&words, &last.run);
        said["finished"] = words.at(last.finished_at).into();
        said["ago"] = words.ago(last.finished_at).into();
        said
    });
    let table = list.show(runs, &query);
    if query.csv {
        return export(&visit.who, "nightly-runs", table.to_csv());
    }
    let content = json!({"last": last, "running": visit.app.aggregate_progress(), "error": error, "dry": dry,
        "list": for_role(&visit.who, table), "listed": LISTED});
    let status = if error.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok(visit.page_with(status, "staff/runs.html", "runs", content))
}

/// Why months that were due did not close.
fn why_not_closed(words: &Words<'_>, run: &RunReport) -> Option<String> {
    let behind: Vec<String> = run.nodes_behind.iter().map(ToString::to_string).collect();
    let early: Vec<String> = run.too_early.iter().map(|month| words.month(*month)).collect();
    let behind = (!behind.is_empty()).then(|| format!("behind: {}", behind.join(", ")));
    let early = (!early.is_empty())
        .then(|| format!("by the store's clock it is too early to close {}", early.join(", ")));
    let others = run.waits_for.iter().cloned().chain(run.store_forgets.clone());
    let all: Vec<String> = behind.into_iter().chain(early).chain(others).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// How long a run took.
fn took(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
    }
}

fn told(words: &Words<'_>, run: &RunReport) -> Value {
    let months: Vec<String> = run.closed.iter().map(|month: &Month| words.month(*month)).collect();
    let behind: Vec<String> = run.nodes_behind.iter().map(ToString::to_string).collect();
    json!({"as_of": words.at(run.as_of), "through": words.day(run.through), "closed": months,
        "accounts": run.accounts, "crossings": run.crossings, "statements": run.statements,
        "adjustments": run.adjustments, "nodes_behind": behind})
}

pub async fn start(Act { visit, form }: Act) -> Result<Response, PageError> {
    let dry_run = form.text("kind") == "dry";
    let as_of = match form.text("as_of") {
        "" => None,
        text => {
            let read = read_instant(&visit, text);
            if read.is_none() {
                let why = "Please give a time like 2026-05-04 04:15, not after now.";
                return show(&visit, why, &Value::Null).await;
            }
            read
        }
    };
    if dry_run {
        let report = match visit.app.aggregate(&visit.actor(), as_of, true).await {
            Ok(report) => report,
            Err(error) => return failed(&visit, error).await,
        };
        let told = told(&Words::of(&visit), &report);
        return show(&visit, "", &told).await;
    }
    tracing::info!(by = %visit.who.member.id, "a nightly run was started by hand");
    let (app, actor) = (std::sync::Arc::clone(&visit.app), visit.actor());
    // A run goes on when the person who started it does not wait for it.
    let mut run = tokio::spawn(async move {
        let made = app.aggregate(&actor, as_of, false).await;
        if let Err(error) = &made {
            tracing::warn!(%error, "a nightly run by hand was not made");
        }
        made
    });
    match tokio::time::timeout(PATIENCE, &mut run).await {
        Ok(Ok(Ok(_))) => Ok(see_other(&format!("{PATH}?done=run"))),
        Ok(Ok(Err(error))) => failed(&visit, error).await,
        Ok(Err(_)) => Err(PageError::Internal),
        Err(_) => Ok(see_other(&format!("{PATH}?done=running"))),
    }
}

/// A time of the program's zone, or one with an offset.
fn read_instant(state: &PageState, text: &str) -> Option<DateTime<chrono::Utc>> {
    let local = |text: &str| {
        let text = text.replace('T', " ");
        let at = chrono::NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M").ok()?;
        Some(state.app.zone().local_time_on(at.date(), at.time()))
    };
    let Instant(at) = text.parse().ok().or_else(|| local(text)?.to_rfc3339().parse().ok())?;
    (at <= state.app.now()).then_some(at)
}

async fn failed(visit: &Visit<Staff>, error: AggregateError) -> Result<Response, PageError> {
    let why = match error {
        AggregateError::AsOfInFuture => "The time lies after now.",
        AggregateError::Busy | AggregateError::Overtaken => {
            "Another run is under way. Look here again in a moment."
        }
        AggregateError::Recovering => {
            "The store is being rebuilt. When all nodes are in, an operator confirms it by “counterfoil store confirm”."
        }
        other => return Err(crate::http::error::Problem::from(other).into()),
    };
    show(visit, why, &Value::Null).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_said_as_a_person_would() {
        for (ms, said) in [(0, "0 ms"), (999, "999 ms"), (1_250, "1.2 s"), (61_000, "1 min 1 s")] {
            assert_eq!(took(ms), said);
        }
    }
}
