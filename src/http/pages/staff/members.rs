//! Members of staff: who they are, what they may do; made and changed by administrators.

use super::words::Words;
use super::{Act, Staff, done};
use crate::app::people::{ActError, NewStaff};
use crate::domain::account::Refusal;
use crate::domain::id::StaffId;
use crate::domain::person::{Role, StaffMember};
use crate::http::guard::PathId;
use crate::http::pages::table::{self, Cell, List, Tone};
use crate::http::pages::{Fault, FormView, PageState};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::StatusCode;
use serde_json::json;
use std::sync::Arc;

const PATH: &str = "/admin/members";

/// A role in words.
pub const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Admin => "Administrator",
        Role::Reviewer => "Reviewer",
        Role::Finance => "Finance",
        Role::ReadOnly => "Read only",
    }
}

const fn role_sentence(role: Role) -> &'static str {
    match role {
        Role::Admin => "may do everything",
        Role::Reviewer => "judges applications, affiliates, held referrals and claims",
        Role::Finance => "runs nights, pays, exports lists, changes where mail and payouts go",
        Role::ReadOnly => "looks at everything, changes nothing",
    }
}

fn members(words: Words<'_>) -> List<'_, Arc<StaffMember>> {
    type Column<'a> = table::Column<'a, Arc<StaffMember>>;
    let columns = vec![
        Column::text("name", "Name", |one| {
            Cell::link(&one.name, format!("{PATH}/{}", one.id)).note(&one.email)
        })
        .sort_first_by(|one| one.name.to_lowercase()),
        Column::text("role", "Role", |one| Cell::text(role_name(one.role)).export(one.role.code()))
            .sort_by(|one| one.role.code()),
        Column::text("state", "State", |one| match one.disabled_at {
            Some(_) => Cell::mark("Disabled", Tone::Info),
            None => Cell::mark("May sign in", Tone::Good),
        })
        .sort_by(|one| one.disabled_at),
        Column::text("since", "Since", move |one| words.when(one.created_at)).sort_by(|one| one.created_at),
    ];
    let roles = Role::ALL.map(|role| (role.code(), role_name(role)));
    List::new(PATH, "Staff", "No member of staff yet.", columns)
        .search("Name or e-mail", |one| format!("{}\n{}", one.name, one.email))
        .filter("role", "Role", roles, |one, code| one.role.code() == code)
}

pub async fn list(
    State(state): State<PageState>,
    who: Staff,
    RawQuery(raw): RawQuery,
) -> Result<Response, Fault> {
    show_all(&state, &who, raw.as_deref(), StatusCode::OK, &FormView::default())
}

fn show_all(
    state: &PageState,
    who: &Staff,
    raw: Option<&str>,
    status: StatusCode,
    form: &FormView,
) -> Result<Response, Fault> {
    let list = members(Words::of(state));
    let query = list.read(raw)?;
    let list = list.show(state.app.staff(), &query);
    if query.csv {
        return super::export(who, "staff", &list);
    }
    let content = json!({"list": super::for_role(who, list), "roles": roles(), "form": form});
    Ok(state.page_with(status, "staff/members.html", &who.chrome("members", None), content))
}

fn roles() -> Vec<(&'static str, String)> {
    Role::ALL.map(|role| (role.code(), format!("{} – {}", role_name(role), role_sentence(role)))).to_vec()
}

pub async fn create(State(state): State<PageState>, mut act: Act) -> Result<Response, Fault> {
    let name = act.form.need("name", "Please give a name.");
    let email = act.form.need("email", "Please give an e-mail address.");
    let role: Option<Role> = act.form.text("role").parse().ok();
    if role.is_none() {
        act.form.wrong("role", "Please choose a role.");
    }
    if let (Some(name), Some(email), Some(role)) = (name, email, role) {
        match state.app.create_staff(&act.actor(), NewStaff { name, email, role }).await {
            Ok((member, link)) => return Ok(show_link(&state, &act.who, &member, &link)),
            Err(ActError::Refused(Refusal::EmailTaken)) => {
                act.form.wrong("email", "Another member of staff has this e-mail.");
            }
            ended => return done(ended, PATH, "later"),
        }
    }
    let view = act.form.view();
    show_all(&state, &act.who, None, StatusCode::UNPROCESSABLE_ENTITY, &view)
}

/// Shows a one-time link, once.
fn show_link(state: &PageState, who: &Staff, member: &StaffMember, link: &str) -> Response {
    let content = json!({"name": member.name, "email": member.email, "link": link, "id": member.id});
    state.page("staff/invited.html", &who.chrome("members", None), content)
}

pub async fn page(
    State(state): State<PageState>,
    who: Staff,
    PathId(id): PathId<StaffId>,
    RawQuery(raw): RawQuery,
) -> Result<Response, Fault> {
    let member = state.app.directory().staff_member(id).cloned().ok_or(Fault::NotFound)?;
    Ok(show(&state, &who, &member, raw.as_deref(), StatusCode::OK, &FormView::default()))
}

fn show(
    state: &PageState,
    who: &Staff,
    member: &StaffMember,
    raw: Option<&str>,
    status: StatusCode,
    form: &FormView,
) -> Response {
    let words = Words::of(state);
    let content = json!({
        "id": member.id, "name": member.name, "email": member.email, "role": member.role.code(),
        "role_name": role_name(member.role), "since": words.at(member.created_at),
        "disabled": member.disabled_at.map(|at| words.at(at)), "roles": roles(),
        "self": who.member.id == member.id, "form": form,
    });
    state.page_with(status, "staff/member.html", &who.chrome("members", raw), content)
}

pub async fn change(
    State(state): State<PageState>,
    PathId(id): PathId<StaffId>,
    mut act: Act,
) -> Result<Response, Fault> {
    let member = state.app.directory().staff_member(id).cloned().ok_or(Fault::NotFound)?;
    let (role, disabled, code) = match act.form.text("change") {
        "role" => {
            let role: Role = act.form.text("role").parse().map_err(|_| Fault::BadRequest)?;
            (Some(role), None, "role")
        }
        "disable" => (None, Some(true), "disabled"),
        "enable" => (None, Some(false), "enabled"),
        "invite" => {
            return match state.app.invite_staff(&act.actor(), id).await {
                Ok(link) => Ok(show_link(&state, &act.who, &member, &link)),
                Err(error) => Err(error.into()),
            };
        }
        _ => return Err(Fault::BadRequest),
    };
    match state.app.change_staff(&act.actor(), id, role, disabled).await {
        Err(ActError::Refused(Refusal::LastAdmin)) => {
            let field = if disabled.is_some() { "form" } else { "role" };
            act.form.wrong(field, "This is the last administrator: give somebody else that role first.");
            let view = act.form.view();
            Ok(show(&state, &act.who, &member, None, StatusCode::UNPROCESSABLE_ENTITY, &view))
        }
        ended => done(ended, &format!("{PATH}/{id}"), code),
    }
}
