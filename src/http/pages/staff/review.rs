//! Applications: who waits, since when, what is known of them; approve or reject.

use super::hints::Known;
use super::words::{self, Words};
use super::{Act, Staff, done, show_list};
use crate::domain::affiliate::{Affiliate, Status, Step};
use crate::domain::fact::AffiliateStep;
use crate::domain::id::AffiliateId;
use crate::http::guard::PathId;
use crate::http::pages::table::{Cell, Column, Filter, List, Query, Row, Spec, Tone};
use crate::http::pages::{Fault, FormView, PageState, see_other};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::StatusCode;
use serde_json::json;
use std::sync::Arc;

pub const PATH: &str = "/admin/review";

fn spec() -> Spec {
    Spec {
        columns: vec![
            Column::text("name", "Applicant").sortable(),
            Column::text("company", "Company").sortable(),
            Column::text("partner_type", "Kind").sortable(),
            Column::text("applied", "Waiting").sortable(),
            Column::text("hints", "Worth a look"),
        ],
        filters: vec![Filter::of(
            "age",
            "Age",
            &[("", "All"), ("late", "Past 48 hours"), ("fresh", "Within 48 hours")],
        )],
        search: Some("Name, e-mail, company, web site"),
        order: "applied",
    }
}

pub async fn list(
    State(state): State<PageState>,
    who: Staff,
    RawQuery(raw): RawQuery,
) -> Result<Response, Fault> {
    let (spec, words) = (spec(), Words::of(&state));
    let query = Query::read(raw.as_deref(), &spec)?;
    let (directory, now) = (state.app.directory(), state.app.now());
    let is_late = |one: &Affiliate| now - words::applied_at(one) > words::PROMISED;
    let mut found: Vec<Arc<Affiliate>> = directory.affiliates();
    found.retain(|one| {
        let profile = &one.profile;
        one.status() == Status::Applied
            && query.filter("age").is_none_or(|age| (age == "late") == is_late(one))
            && query.matches(&[
                &profile.name,
                &profile.email,
                profile.company.as_deref().unwrap_or_default(),
                profile.website.as_deref().unwrap_or_default(),
            ])
    });
    query.arrange(&mut found, |key, one, other| match key {
        "name" => one.profile.name.to_lowercase().cmp(&other.profile.name.to_lowercase()),
        "company" => one.profile.company.cmp(&other.profile.company),
        "partner_type" => one.profile.partner_type.cmp(&other.profile.partner_type),
        _ => words::applied_at(one).cmp(&words::applied_at(other)),
    });
    let (found, pages) = query.cut(found);
    let known = Known::of(&directory);
    let row = |one: &Arc<Affiliate>| {
        let profile = &one.profile;
        let age = words.age(words::applied_at(one));
        let hints = known.hints(one);
        let serious = hints.iter().filter(|hint| matches!(hint.tone, Tone::Bad | Tone::Warn)).count();
        let hints = match serious {
            0 => words::none(),
            1 => Cell::mark("1 hint", Tone::Warn).export("1"),
            some => Cell::mark(format!("{some} hints"), Tone::Warn).export(some.to_string()),
        };
        Row::from(vec![
            Cell::link(&profile.name, format!("{PATH}/{}", one.id)).note(&profile.email),
            Cell::text(profile.company.clone().unwrap_or_default()),
            Cell::text(profile.partner_type.clone().unwrap_or_default()),
            if is_late(one) { age.toned(Tone::Bad) } else { age },
            hints,
        ])
    };
    let rows = found.iter().map(row).collect();
    let empty = "No application waits. New ones come from the page /apply.";
    let list = List::new(PATH, "Applications", empty, spec, &query, (rows, pages));
    let intro = "An answer is promised within 48 hours; what is older is marked red.";
    show_list(&state, &who, "review", "Applications", intro, &query, list)
}

pub async fn page(
    State(state): State<PageState>,
    who: Staff,
    PathId(id): PathId<AffiliateId>,
    RawQuery(raw): RawQuery,
) -> Result<Response, Fault> {
    let affiliate = state.app.directory().affiliate(id).cloned().ok_or(Fault::NotFound)?;
    if affiliate.status() != Status::Applied {
        // It was decided meanwhile: what is known now stands on the affiliate's page.
        return Ok(see_other(&format!("/admin/affiliates/{id}")));
    }
    Ok(show(&state, &who, &affiliate, raw.as_deref(), StatusCode::OK, &FormView::default()))
}

fn show(
    state: &PageState,
    who: &Staff,
    affiliate: &Affiliate,
    raw: Option<&str>,
    status: StatusCode,
    form: &FormView,
) -> Response {
    let words = Words::of(state);
    let at = words::applied_at(affiliate);
    let content = json!({
        "id": affiliate.id, "profile": affiliate.profile, "code": affiliate.code,
        "applied": words.at(at), "age": words.ago(at), "late": state.app.now() - at > words::PROMISED,
        "hints": Known::of(&state.app.directory()).hints(affiliate), "form": form,
    });
    state.page_with(status, "staff/application.html", &who.chrome("review", raw), content)
}

pub async fn approve(
    State(state): State<PageState>,
    PathId(id): PathId<AffiliateId>,
    act: Act,
) -> Result<Response, Fault> {
    decide(&state, &act, id, Step::Approve, None).await
}

pub async fn reject(
    State(state): State<PageState>,
    PathId(id): PathId<AffiliateId>,
    mut act: Act,
) -> Result<Response, Fault> {
    let affiliate = state.app.directory().affiliate(id).cloned().ok_or(Fault::NotFound)?;
    let Some(reason) = act.reason() else {
        let view = act.form.view();
        return Ok(show(&state, &act.who, &affiliate, None, StatusCode::UNPROCESSABLE_ENTITY, &view));
    };
    decide(&state, &act, id, Step::Reject, Some(reason.into())).await
}

async fn decide(
    state: &PageState,
    act: &Act,
    id: AffiliateId,
    step: Step,
    reason: Option<String>,
) -> Result<Response, Fault> {
    state.app.directory().affiliate(id).ok_or(Fault::NotFound)?;
    let code = if step == Step::Approve { "approved" } else { "rejected" };
    let step = AffiliateStep { affiliate_id: id, step, reason };
    done(state.app.act(&act.actor(), step).await, &format!("/admin/affiliates/{id}"), code)
}
