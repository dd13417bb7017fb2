//! The list of an affiliate's referrals.

use super::PATH;
use crate::app::ReferralSummary;
use crate::domain::id::AffiliateId;
use crate::domain::outcome::Via;
use crate::http::guard::PathId;
use crate::http::pages::payout;
use crate::http::pages::staff::words::{self, Words};
use crate::http::pages::staff::{Staff, accounts, show_list};
use crate::http::pages::table::{Cell, Column, Filter, List, Query, Row, Spec, Tone};
use crate::http::pages::{Fault, PageState};
use axum::extract::{RawQuery, State};
use axum::response::Response;

pub async fn list(
    State(state): State<PageState>,
    who: Staff,
    PathId(id): PathId<AffiliateId>,
    RawQuery(raw): RawQuery,
) -> Result<Response, Fault> {
    let affiliate = state.app.directory().affiliate(id).cloned().ok_or(Fault::NotFound)?;
    let states = ["Active", "Inactive", "Held", "Rejected"];
    let mut options = vec![("", "All")];
    options.extend(states.map(|name| (name, name)));
    let spec = Spec {
        columns: columns(),
        filters: vec![Filter::of("state", "State", &options)],
        search: Some("The account's id or plan"),
        order: "-signed_up",
    };
    let query = Query::read(raw.as_deref(), &spec)?;
    let statements = state.app.statements_of(id).await?;
    let mut found = state.app.referrals_of(id, &statements).await?;
    let state_of = |one: &ReferralSummary| words::referral_state(one.state).0;
    found.retain(|one| {
        query.filter("state").is_none_or(|name| state_of(one) == name)
            && query.matches(&[one.account_id.as_str(), one.plan.as_str()])
    });
    query.arrange(&mut found, |key, one, other| match key {
        "account_id" => one.account_id.cmp(&other.account_id),
        "state" => state_of(one).cmp(state_of(other)),
        "plan" => one.plan.cmp(&other.plan),
        "days" => one.active_days.cmp(&other.active_days),
        "earned" => one.earned.cmp(&other.earned),
        "crosses" => {
            let day = |one: &ReferralSummary| one.crossed_on.or(one.expected_on);
            day(one).cmp(&day(other))
        }
        _ => one.signed_up_at.cmp(&other.signed_up_at),
    });
    let (found, pages) = query.cut(found);
    let rows = found.iter().map(|one| row(&state, one)).collect();
    let title = format!("Referrals of {}", affiliate.profile.name);
    let path = format!("{PATH}/{id}/referrals");
    let list = List::new(path, title.clone(), "No referral yet.", spec, &query, (rows, pages));
    show_list(&state, &who, "affiliates", &title, "", &query, list)
}

/// The columns of referrals.
pub fn columns() -> Vec<Column> {
    vec![
        Column::text("account_id", "Account").sortable(),
        Column::text("state", "State").sortable(),
        Column::text("plan", "Plan now").sortable(),
        Column::text("signed_up", "Signed up").sortable(),
        Column::text("via", "Came by"),
        Column::number("days", "Active days").sortable(),
        Column::text("crosses", "Crosses the mark").sortable(),
        Column::text("earned_for", "Earned for"),
        Column::number("earned", "Earned").sortable(),
    ]
}

/// A referral, with how far it is.
pub fn row(state: &PageState, referral: &ReferralSummary) -> Row {
    let words = Words::of(state);
    let (stands, tone) = words::referral_state(referral.state);
    let crosses = match (referral.crossed_on, referral.expected_on) {
        (Some(day), _) => Cell::mark(words.day(day), Tone::Good).export(day.to_string()),
        (None, Some(day)) => Cell::mark(format!("expected {}", words.day(day)), Tone::Quiet).export(""),
        (None, None) => words::none(),
    };
    vec![
        Cell::link(referral.account_id.as_str(), accounts::path(&referral.account_id)).mono(),
        Cell::mark(stands, tone),
        Cell::text(referral.plan.as_str()),
        words.when(referral.signed_up_at),
        match referral.via {
            Some(Via::Hand) => Cell::text("by hand"),
            Some(via) => Cell::text(via.code()),
            None => words::none(),
        },
        Cell::text(referral.active_days.to_string()),
        crosses,
        referral.earned_for.as_ref().map_or_else(words::none, |one| Cell::text(payout::earned_for(one))),
        referral.earned.map_or_else(words::none, |amount| words.amount(amount)),
    ]
    .into()
}
