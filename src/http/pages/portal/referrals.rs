//! `/portal/referrals`: who was referred, how far each is, and why it was credited. Nothing personal is shown.

use super::{chrome, words};
use crate::app::{ReferralState, ReferralSummary};
use crate::domain::id::AccountId;
use crate::domain::statement::Change;
use crate::http::pages::payout::{earned_for, stated, tier};
use crate::http::pages::session::Portal;
use crate::http::pages::table::{Cell, Column, Filter, List, Query, Row, Spec};
use crate::http::pages::view::{money, show_day};
use crate::http::pages::{Fault, PageState, download};
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use chrono::{DateTime, Utc};
use minijinja::context;
use minijinja::value::{Serde, Value};
use serde::Serialize;
use std::cmp::Ordering;

fn spec() -> Spec {
    let states = [
        ("", "All"),
        ("active", "Active"),
        ("crossed", "Reached the mark"),
        ("waiting", "On the way"),
        ("paused", "Paused or canceled"),
        ("review", "In review"),
    ];
    Spec {
        columns: vec![
            Column::text("account", "Account").sortable(),
            Column::text("plan", "Plan now").sortable(),
            Column::text("state", "State"),
            Column::text("progress", "Progress").sortable(),
            Column::text("reaches_mark", "Reaches the mark").sortable(),
            Column::text("signed_up", "Signed up").sortable(),
            Column::text("via", "Credited by"),
            Column::text("earned_for", "Earned for"),
            Column::number("earned", "Earned").sortable(),
        ],
        filters: vec![Filter::of("state", "Show", &states)],
        search: Some("Account or plan"),
        order: "-signed_up",
    }
}

/// Lists them, or exports them.
pub async fn list(
    State(state): State<PageState>,
    portal: Portal,
    RawQuery(raw): RawQuery,
) -> Result<Response, Fault> {
    let spec = spec();
    let query = Query::read(raw.as_deref(), &spec).map_err(|_| Fault::BadRequest)?;
    let statements = state.app.statements_of(portal.affiliate.id).await?;
    let mut referrals = state.app.referrals_of(portal.affiliate.id, &statements).await?;
    let has_any = !referrals.is_empty();
    referrals.retain(|one| {
        query.matches(&[one.account_id.as_str(), one.plan.as_str()]) && is_shown(one, query.filter("state"))
    });
    query.arrange(&mut referrals, compare);
    let (referrals, pages) = query.cut(referrals);
    let rows = referrals.iter().map(|one| row(&state, one)).collect();
    let list = List::new(
        "/portal/referrals",
        "Your referrals",
        "Your referrals will stand here.",
        spec,
        &query,
        (rows, pages),
    );
    if query.csv {
        return Ok(download("text/csv; charset=utf-8", "referrals.csv", list.to_csv()));
    }
    let content = context! { list => Value::from(Serde(list)), has_any };
    Ok(state.page("portal/referrals.html", &chrome(&portal, "referrals", None), content))
}

fn is_shown(referral: &ReferralSummary, filter: Option<&str>) -> bool {
    use crate::app::ReferralState::{Active, Canceled, InReview, NotYetActive, Suspended};
    match filter {
        Some("active") => referral.state == Active,
        Some("crossed") => referral.crossed_on.is_some(),
        Some("waiting") => {
            referral.crossed_on.is_none() && matches!(referral.state, Active | NotYetActive | InReview)
        }
        Some("paused") => matches!(referral.state, Suspended | Canceled),
        Some("review") => referral.state == InReview,
        _ => true,
    }
}

fn compare(key: &str, one: &ReferralSummary, other: &ReferralSummary) -> Ordering {
    let by = match key {
        "account" => one.account_id.cmp(&other.account_id),
        "plan" => one.plan.cmp(&other.plan),
        "progress" => one.active_days.cmp(&other.active_days),
        // Those that will not cross come last.
        "reaches_mark" => {
            let day = |referral: &ReferralSummary| referral.crossed_on.or(referral.expected_on);
            (day(one).is_none(), day(one)).cmp(&(day(other).is_none(), day(other)))
        }
        "earned" => one.earned.cmp(&other.earned),
        _ => one.signed_up_at.cmp(&other.signed_up_at),
    };
    by.then_with(|| one.account_id.cmp(&other.account_id))
}

/// The days that count towards the mark; of one that was rejected, none do.
fn counted(referral: &ReferralSummary) -> String {
    if referral.state == ReferralState::Rejected {
        return String::new();
    }
    referral.active_days.min(referral.mark_days).to_string()
}

fn row(state: &PageState, referral: &ReferralSummary) -> Row {
    let (word, tone, _) = words::state(referral.state);
    let day = |day: Option<chrono::NaiveDate>| {
        day.map_or_else(|| Cell::text(""), |day| Cell::text(show_day(day)).export(day.to_string()))
    };
    let mut reaches = day(referral.crossed_on.or(referral.expected_on));
    if referral.crossed_on.is_none() && referral.expected_on.is_some() {
        reaches = reaches.note("expected");
    }
    let earned = referral.earned.map_or_else(
        || Cell::text(""),
        |amount| {
            let amount = amount.to_string();
            Cell::text(money(&amount, &state.app.config().program.currency)).export(amount)
        },
    );
    vec![
        Cell::link(referral.account_id.as_str(), format!("/portal/referrals/{}", referral.account_id)),
        Cell::text(referral.plan.as_str()),
        Cell::mark(word, tone),
        Cell::text(words::progress(referral)).export(counted(referral)),
        reaches,
        day(Some(referral.signed_up_on)),
        Cell::text(words::via(referral)),
        referral.earned_for.as_ref().map_or_else(
            || Cell::text(""),
            |one| Cell::text(one.plan.as_str()).note(tier(one.tier_from)).export(earned_for(one)),
        ),
        earned,
    ]
    .into()
}

/// Something that happened to a referral.
#[derive(Debug, Serialize)]
struct Moment {
    at: DateTime<Utc>,
    words: String,
}

/// Shows one.
pub async fn show(
    State(state): State<PageState>,
    portal: Portal,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    let id: AccountId = id.parse().map_err(|_| Fault::NotFound)?;
    let statements = state.app.statements_of(portal.affiliate.id).await?;
    let found = state.app.referral_of(portal.affiliate.id, &id, &statements).await?;
    let (account, referral) = found.ok_or(Fault::NotFound)?;
    let directory = state.app.directory();
    let link = referral.link_id.and_then(|id| directory.link(id).cloned());
    let link = link.filter(|link| link.affiliate == portal.affiliate.id);
    let clicked_on = referral.clicked_at.map(|at| state.app.zone().date_of(at));
    let (state_word, tone, meaning) = words::state(referral.state);
    let mut moments = Vec::new();
    if let Some(claim) = &account.signup {
        let words = format!("Signed up, on the plan {}", claim.signup.plan);
        moments.push(Moment { at: referral.signed_up_at, words });
    }
    moments.extend(account.events.iter().filter_map(|kept| {
        let words = match &kept.event.change {
            Change::Activated => "Active".to_owned(),
            Change::Suspended => "Paused".to_owned(),
            Change::Canceled => "Canceled".to_owned(),
            Change::PlanChanged { plan } => format!("Moved to the plan {plan}"),
            Change::Unknown { .. } => return None,
        };
        Some(Moment { at: kept.event.occurred_at, words })
    }));
    let content = context! {
        progress => words::progress(&referral),
        why => words::why(&referral, link.as_deref(), clicked_on),
        referral => Value::from(Serde(&referral)),
        state_word, meaning,
        rejected => referral.state == ReferralState::Rejected,
        tone => Value::from(Serde(tone)),
        moments => Value::from(Serde(moments)),
        stated => Value::from(Serde(stated(&statements, &id))),
        earned_for => referral.earned_for.as_ref().map(earned_for),
        email => portal.affiliate.profile.email.clone(),
    };
    Ok(state.page("portal/referral.html", &chrome(&portal, "referrals", None), content))
}
