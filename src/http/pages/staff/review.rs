//! Applications: who waits, since when, what is known of them; approve or reject.

use super::hints::Known;
use super::words::{self, Words};
use super::{Act, Staff, done, show_list};
use crate::domain::affiliate::{Affiliate, Status, Step};
use crate::domain::fact::AffiliateStep;
use crate::domain::id::AffiliateId;
use crate::http::guard::PathId;
use crate::http::pages::table::{self, Cell, List, Tone};
use crate::http::pages::{Fault, FormView, PageState, see_other};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::StatusCode;
use serde_json::json;
use std::sync::Arc;

pub const PATH: &str = "/admin/review";

fn applications<'a>(state: &'a PageState, known: &'a Known) -> List<'a, Arc<Affiliate>> {
    type Column<'a> = table::Column<'a, Arc<Affiliate>>;
    let (words, now) = (Words::of(state), state.app.now());
    let is_late = move |one: &Affiliate| now - words::applied_at(one) > words::PROMISED;
    let columns = vec![
        Column::text("name", "Applicant", |one| {
            Cell::link(&one.profile.name, format!("{PATH}/{}", one.id)).note(&one.profile.email)
        })
        .sort_by(|one| one.profile.name.to_lowercase()),
        Column::text("company", "Company", |one| Cell::text(one.profile.company.clone().unwrap_or_default()))
            .sort_by(|one| one.profile.company.clone()),
        Column::text("partner_type", "Kind", |one| {
            Cell::text(one.profile.partner_type.clone().unwrap_or_default())
        })
        .sort_by(|one| one.profile.partner_type.clone()),
        Column::text("applied", "Waiting", move |one| {
            let age = words.age(words::applied_at(one));
            if is_late(one) { age.toned(Tone::Bad) } else { age }
        })
        .sort_first_by(|one| words::applied_at(one)),
        Column::text("hints", "Worth a look", |one| serious_hints(known, one)),
    ];
    let empty = "No application waits. New ones come from the page /apply.";
    List::new(PATH, "Applications", empty, columns)
        .search("Name, e-mail, company, web site", |one| {
            let profile = &one.profile;
            let optional =
                [&profile.company, &profile.website].map(|text| text.as_deref().unwrap_or_default());
            [&profile.name, &profile.email, optional[0], optional[1]].join("\n")
        })
        .filter("age", "Age", [("late", "Past 48 hours"), ("fresh", "Within 48 hours")], move |one, age| {
            (age == "late") == is_late(one)
        })
}

fn serious_hints(known: &Known, one: &Affiliate) -> Cell {
    let hints = known.hints(one);
    match hints.iter().filter(|hint| matches!(hint.tone, Tone::Bad | Tone::Warn)).count() {
        0 => words::none(),
        1 => Cell::mark("1 hint", Tone::Warn).export("1"),
        some => Cell::mark(format!("{some} hints"), Tone::Warn).export(some.to_string()),
    }
}

pub async fn list(
    State(state): State<PageState>,
    who: Staff,
    RawQuery(raw): RawQuery,
) -> Result<Response, Fault> {
    let directory = state.app.directory();
    let known = Known::of(&directory);
    let list = applications(&state, &known);
    let query = list.read(raw.as_deref())?;
    let mut found = directory.affiliates();
    found.retain(|one| one.status() == Status::Applied);
    let list = list.show(found, &query);
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
