//! `/`: what the program is, and what it pays.

use crate::domain::id::Plan;
use crate::domain::money::Money;
use crate::http::pages::{Frame, PageState};
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use std::collections::BTreeSet;

#[derive(Serialize)]
struct Content {
    /// How many active accounts each column is for.
    tiers: Vec<String>,
    /// Each plan with its rate in each tier, the cheapest first.
    plans: Vec<(Plan, Vec<Option<Money>>)>,
}

/// Shows it.
pub async fn show(State(state): State<PageState>) -> Response {
    let tiers = &state.app.settings().rules.tiers;
    let words = tiers.iter().enumerate().map(|(place, tier)| match (tiers.get(place + 1), tier.from) {
        (None, 0) => "Commission".to_owned(),
        (None, from) => format!("{from} or more active"),
        (Some(next), 0) => format!("Fewer than {} active", next.from),
        (Some(next), from) => format!("{from} to {} active", next.from - 1),
    });
    let names: BTreeSet<&Plan> = tiers.iter().flat_map(|tier| tier.rates.keys()).collect();
    let rates = |plan: &Plan| tiers.iter().map(|tier| tier.rates.get(plan).copied()).collect();
    let mut plans: Vec<(Plan, Vec<Option<Money>>)> =
        names.into_iter().map(|plan| (plan.clone(), rates(plan))).collect();
    plans.sort_by(|(_, one), (_, other)| one.cmp(other));
    state.page("public/home.html", &Frame::default(), Content { tiers: words.collect(), plans })
}
