//! The list of an affiliate's referrals.

use super::PATH;
use crate::app::ReferralSummary;
use crate::domain::affiliate::Affiliate;
use crate::domain::id::AffiliateId;
use crate::domain::outcome::Via;
use crate::http::pages::PageError;
use crate::http::pages::payout;
use crate::http::pages::staff::words::{self, Words};
use crate::http::pages::staff::{Staff, Visit, accounts, show_list};
use crate::http::pages::table::{self, Cell, List, Tone};
use axum::response::Response;

pub async fn list(visit: Visit<Staff, AffiliateId>) -> Result<Response, PageError> {
    let affiliate = visit.affiliate()?;
    let list = referrals(Words::of(&visit), &affiliate);
    let query = list.read(visit.raw.as_deref())?;
    let statements = visit.app.statements_of(visit.at).await?;
    let list = list.show(visit.app.referrals_of(visit.at, &statements).await?, &query);
    let title = title(&affiliate);
    show_list(&visit, "affiliates", &title, "", &query, list)
}

fn title(affiliate: &Affiliate) -> String {
    format!("Referrals of {}", affiliate.profile.name)
}

/// The list of an affiliate's referrals.
pub fn referrals<'a>(words: Words<'a>, affiliate: &Affiliate) -> List<'a, ReferralSummary> {
    type Column<'a> = table::Column<'a, ReferralSummary>;
    let columns = vec![
        Column::text("account_id", "Account", |one| {
            Cell::link(one.account_id.as_str(), accounts::path(&one.account_id)).mono()
        })
        .sort_by(|one| one.account_id.clone()),
        Column::text("state", "State", |one| {
            let (stands, tone) = words::referral_state(one.state);
            Cell::mark(stands, tone)
        })
        .sort_by(|one| words::referral_state(one.state).0),
        Column::text("plan", "Plan now", |one| Cell::text(one.plan.as_str())).sort_by(|one| one.plan.clone()),
        Column::text("signed_up", "Signed up", move |one| words.when(one.signed_up_at))
            .sort_first_down_by(|one| one.signed_up_at),
        Column::text("via", "Came by", |one| match one.via {
            Some(Via::Hand) => Cell::text("by hand"),
            Some(via) => Cell::text(via.code()),
            None => words::none(),
        }),
        Column::number("days", "Active days", |one| Cell::text(one.active_days.to_string()))
            .sort_by(|one| one.active_days),
        Column::text("crosses", "Qualifies", move |one| match (one.crossed_on, one.expected_on) {
            (Some(day), _) => Cell::mark(words.day(day), Tone::Good).export(day.to_string()),
            (None, Some(day)) => Cell::mark(format!("expected {}", words.day(day)), Tone::Quiet).export(""),
            (None, None) => words::none(),
        })
        .sort_by(|one| one.crossed_on.or(one.expected_on)),
        Column::text("earned_for", "Earned for", |one| {
            one.earned_for.as_ref().map_or_else(words::none, |one| Cell::text(payout::earned_for(one)))
        }),
        Column::number("earned", "Earned", move |one| {
            one.earned.map_or_else(words::none, |amount| words.amount(amount))
        })
        .sort_by(|one| one.earned),
    ];
    let path = format!("{PATH}/{}/referrals", affiliate.id);
    let states = ["Active", "Inactive", "Held", "Rejected"].map(|name| (name, name));
    List::new(path, title(affiliate), "No referral yet.", columns)
        .search("The account's id or plan", |one| format!("{}\n{}", one.account_id, one.plan))
        .filter("state", "State", states, |one, name| words::referral_state(one.state).0 == name)
}
