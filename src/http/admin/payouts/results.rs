//! PayPal's report about an uploaded file.

use crate::app::actor::Actor;
use crate::app::payouts::{Preview, PreviewRow, RowOutcome};
use crate::domain::payout::report::BYTES_MAX;
use crate::domain::payout::{ItemId, ItemStatus, PayoutId};
use crate::http::answer::ok;
use crate::http::body::read_up_to;
use crate::http::error::{Problem, ProblemDoc};
use crate::http::fields::Params;
use crate::http::guard::PathId;
use crate::http::state::ApiState;
use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use serde::Serialize;

/// Reads the report that PayPal's site gives about an uploaded file, and takes what it says.
///
/// Rows that can't be matched with certainty, or say what can't be, change nothing; a person has to look at them. With
/// `dry_run` nothing is changed at all. Sent again, it changes nothing.
#[utoipa::path(
    post, path = "/v1/payouts/{payout_id}/results", tag = "payouts",
    params(("dry_run" = Option<bool>, Query, description = "Only say what would change")),
    request_body(content = String, content_type = "text/csv", description = "The file as PayPal made it, at most 8 MiB"),
    responses(
        (status = 200, body = ResultsView, description = "Row by row"),
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`wrong_payout_status`"),
    )
)]
pub async fn results(
    State(state): State<ApiState>,
    Extension(actor): Extension<Actor>,
    PathId(payout_id): PathId<PayoutId>,
    mut params: Params,
    request: Request,
) -> Result<Response, Problem> {
    let dry_run = params.optional("dry_run")?.unwrap_or(false);
    params.done()?;
    let (parts, body) = request.into_parts();
    let bytes = read_up_to(BYTES_MAX, &parts.headers, body).await?;
    let preview = if dry_run {
        state.app.preview_payout_report(payout_id, &bytes).await?
    } else {
        state.app.take_payout_report(&actor, payout_id, &bytes, None).await?
    };
    Ok(ok(&ResultsView::of(&preview)))
}

/// What a report does.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PayoutResults)]
pub struct ResultsView {
    /// Row by row.
    pub rows: Vec<RowView>,
    /// How many rows change something.
    pub changes: usize,
    /// How many rows a person has to look at.
    pub for_a_person: usize,
}

/// A row of a report, and what it does.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PayoutResult)]
pub struct RowView {
    /// The line of the report, from 1.
    pub line: u64,
    /// What it does.
    pub outcome: RowOutcome,
    /// The same, for people.
    pub why: &'static str,
    /// The item that it is about.
    #[schema(value_type = Option<String>)]
    pub item_id: Option<ItemId>,
    /// The item's status before.
    pub before: Option<ItemStatus>,
    /// The item's status afterwards, if it changes.
    pub after: Option<ItemStatus>,
}

impl ResultsView {
    fn of(preview: &Preview) -> Self {
        let count =
            |is_it: fn(RowOutcome) -> bool| preview.rows.iter().filter(|row| is_it(row.outcome)).count();
        Self {
            changes: count(|outcome| outcome == RowOutcome::Changes),
            for_a_person: count(RowOutcome::needs_a_person),
            rows: preview.rows.iter().map(RowView::of).collect(),
        }
    }
}
impl RowView {
    fn of(row: &PreviewRow) -> Self {
        let PreviewRow { line, outcome, item, before, after } = *row;
        Self { line, outcome, why: outcome.sentence(), item_id: item, before, after }
    }
}
