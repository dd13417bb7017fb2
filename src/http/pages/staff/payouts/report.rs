//! PayPal's report about an exported file: what it would change is shown row by row, and taken when somebody says so.

use super::words::item_state;
use super::{SECTION, batch, ended, item_path, path};
use crate::app::Directory;
use crate::app::payouts::{Preview, PreviewRow, RowOutcome, StepError};
use crate::app::people::ActError;
use crate::domain::account::Refusal;
use crate::domain::payout::{Batch, Method, PayoutId};
use crate::http::pages::staff::Staff;
use crate::http::pages::staff::accounts::name_of;
use crate::http::pages::upload::Upload;
use crate::http::pages::view::month_in_words;
use crate::http::pages::{Form, PageError};
use axum::response::Response;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::BTreeMap;

type Sent = Upload<Staff, PayoutId>;

/// Rows that are shown one by one: those that need a person first, then those that change something.
const SHOWN: usize = 100;
/// A report of at most so many bytes stands in the form that applies it; a larger one is chosen a second time.
const KEPT_BYTES_MAX: usize = 24 * 1024;

/// Whether a batch has what a report can be about.
pub fn is_reported(batch: &Batch) -> bool {
    batch.method().is_some_and(Method::is_by_file) && !batch.exports.is_empty()
}

/// Shows what a report would change.
pub async fn preview(sent: Sent) -> Result<Response, PageError> {
    if sent.file.is_empty() {
        return without_file(sent).await;
    }
    let read = sent.visit.app.preview_payout_report(sent.visit.at, &sent.file).await;
    show(sent, read).await
}

/// Takes what a report says, if that is still what was shown.
pub async fn apply(mut sent: Sent) -> Result<Response, PageError> {
    if sent.file.is_empty() {
        sent.file = kept(&sent.form)?;
    }
    if sent.file.is_empty() {
        return without_file(sent).await;
    }
    let (app, id) = (&sent.visit.app, sent.visit.at);
    let hash = sent.form.text("hash");
    match app.take_payout_report(&sent.visit.actor(), id, &sent.file, Some(hash)).await {
        Err(StepError::Act(ActError::Refused(Refusal::PayoutChanged))) => {
            sent.form.wrong("form", CHANGED);
            let read = sent.visit.app.preview_payout_report(id, &sent.file).await;
            show(sent, read).await
        }
        taken => match ended(&mut sent.form, taken, &path(id), "reported")? {
            Some(response) => Ok(response),
            None => batch::show(&sent.visit, &sent.form).await,
        },
    }
}

const CHANGED: &str = "Nothing was applied: the payout changed since the preview, or the file is another one. This is what the report would change now.";

/// The report that the form holds; empty if it was too large for that.
fn kept(form: &Form) -> Result<Bytes, PageError> {
    let decoded = BASE64_STANDARD.decode(form.text("kept")).map_err(|_| PageError::BadRequest)?;
    Ok(decoded.into())
}

async fn without_file(mut sent: Sent) -> Result<Response, PageError> {
    sent.form.wrong("report", "Please choose the file.");
    batch::show(&sent.visit, &sent.form).await
}

/// What a report would change, or why it can't be read.
async fn show(sent: Sent, read: Result<Preview, StepError>) -> Result<Response, PageError> {
    let Upload { visit, mut form, file } = sent;
    let preview = match read {
        Ok(preview) => preview,
        Err(error) => {
            form.wrong("report", super::why_not(error)?);
            return batch::show(&visit, &form).await;
        }
    };
    let mut content = told(&visit.app.directory(), &preview);
    content["path"] = json!(path(visit.at));
    content["name"] = json!(format!("Payout for {}", month_in_words(visit.at.month)));
    content["hash"] = json!(preview.hash());
    content["kept"] = json!((file.len() <= KEPT_BYTES_MAX).then(|| BASE64_STANDARD.encode(&file)));
    form.values.clear();
    content["form"] = json!(form);
    Ok(visit.page_with(form.status, "staff/payout_report.html", SECTION, content))
}

/// The preview in words.
fn told(directory: &Directory, preview: &Preview) -> Value {
    let (foreign, mut ours): (Vec<&PreviewRow>, Vec<&PreviewRow>) =
        preview.rows.iter().partition(|row| row.outcome == RowOutcome::NotOurs);
    let rank = |row: &PreviewRow| (!row.outcome.needs_a_person(), row.outcome != RowOutcome::Changes);
    ours.sort_by_key(|row| (rank(row), row.line));
    let rows: Vec<Value> = ours.iter().take(SHOWN).map(|row| told_row(directory, row)).collect();
    let count = |is_it: fn(RowOutcome) -> bool| ours.iter().filter(|row| is_it(row.outcome)).count();
    json!({
        "rows": rows, "ours": ours.len(), "foreign": foreign.len(), "moves": moves(&preview.rows),
        "changes": count(|outcome| outcome == RowOutcome::Changes),
        "for_a_person": count(RowOutcome::needs_a_person),
        "known": count(|outcome| matches!(outcome, RowOutcome::Known | RowOutcome::Repeated)),
    })
}

fn told_row(directory: &Directory, row: &PreviewRow) -> Value {
    let payment = row.item.map(
        |id| json!({"path": item_path(id), "name": name_of(directory, Some(id.affiliate)), "id": id.to_string()}),
    );
    let tone = if row.outcome.needs_a_person() { "warn" } else { "info" };
    let state = |status| {
        let (word, tone, _) = item_state(status);
        json!({"word": word, "tone": tone})
    };
    json!({"line": row.line, "payment": payment, "tone": tone, "says": row.outcome.sentence(),
        "before": row.before.map(state), "after": row.after.map(state)})
}

/// How many payments go from which state to which.
fn moves(rows: &[PreviewRow]) -> Vec<Value> {
    let mut counts = BTreeMap::new();
    for row in rows {
        if let (Some(before), Some(after)) = (row.before, row.after) {
            *counts.entry((before, after)).or_insert(0_usize) += 1;
        }
    }
    let told = |((before, after), count)| {
        let ((before, ..), (after, tone, _)) = (item_state(before), item_state(after));
        json!({"count": count, "before": before, "after": after, "tone": tone})
    };
    counts.into_iter().map(told).collect()
}
