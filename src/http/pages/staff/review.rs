//! Applications: who waits, since when, what is known of them; approve or reject.

use super::hints::Known;
use super::words::{self, Words};
use super::{Act, Staff, Visit, done, reason, show_list};
use crate::domain::affiliate::{Affiliate, Status, Step};
use crate::domain::fact::AffiliateStep;
use crate::domain::id::AffiliateId;
use crate::http::pages::table::{self, Cell, List, Tone};
use crate::http::pages::{Form, PageError, PageState, see_other};
use axum::response::Response;
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

pub async fn list(visit: Visit<Staff>) -> Result<Response, PageError> {
    let directory = visit.app.directory();
    let known = Known::of(&directory);
    let list = applications(&visit, &known);
    let query = list.read(visit.raw.as_deref())?;
    let mut found = directory.affiliates();
    found.retain(|one| one.status() == Status::Applied);
    let list = list.show(found, &query);
    let intro = "An answer is promised within 48 hours; what is older is marked red.";
    show_list(&visit, "review", "Applications", intro, &query, list)
}

pub async fn page(visit: Visit<Staff, AffiliateId>) -> Result<Response, PageError> {
    let affiliate = visit.affiliate()?;
    if affiliate.status() != Status::Applied {
        // It was decided meanwhile: what is known now stands on the affiliate's page.
        return Ok(see_other(&format!("/admin/affiliates/{}", visit.at)));
    }
    Ok(show(&visit, &affiliate, &Form::default()))
}

fn show(visit: &Visit<Staff, AffiliateId>, affiliate: &Affiliate, form: &Form) -> Response {
    let words = Words::of(visit);
    let at = words::applied_at(affiliate);
    let content = json!({
        "id": affiliate.id, "profile": affiliate.profile, "code": affiliate.code,
        "applied": words.at(at), "age": words.ago(at), "late": visit.app.now() - at > words::PROMISED,
        "hints": Known::of(&visit.app.directory()).hints(affiliate), "form": form,
    });
    visit.page_with(form.status, "staff/application.html", "review", content)
}

pub async fn approve(Act { visit, .. }: Act<AffiliateId>) -> Result<Response, PageError> {
    decide(&visit, Step::Approve, None).await
}

pub async fn reject(Act { visit, mut form }: Act<AffiliateId>) -> Result<Response, PageError> {
    let affiliate = visit.affiliate()?;
    let Some(reason) = reason(&mut form) else {
        return Ok(show(&visit, &affiliate, &form));
    };
    decide(&visit, Step::Reject, Some(reason.into())).await
}

async fn decide(
    visit: &Visit<Staff, AffiliateId>,
    step: Step,
    reason: Option<String>,
) -> Result<Response, PageError> {
    let id = visit.affiliate()?.id;
    let code = if step == Step::Approve { "approved" } else { "rejected" };
    let step = AffiliateStep { affiliate_id: id, step, reason };
    done(visit.app.act(&visit.actor(), step).await, &format!("/admin/affiliates/{id}"), code)
}
