//! Members of staff: who they are, what they may do; made and changed by administrators.

use super::words::Words;
use super::{Act, Staff, Visit, done};
use crate::app::people::{ActError, NewStaff};
use crate::domain::account::Refusal;
use crate::domain::id::StaffId;
use crate::domain::person::{Role, StaffMember};
use crate::http::pages::table::{self, Cell, List, Tone};
use crate::http::pages::{Form, PageError};
use axum::response::Response;
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
        Role::Finance => {
            "starts nightly runs, exports lists, changes where mail and payouts go, adds bonuses and claw-backs"
        }
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

pub async fn list(visit: Visit<Staff>) -> Result<Response, PageError> {
    show_all(&visit, &Form::default())
}

fn show_all(visit: &Visit<Staff>, form: &Form) -> Result<Response, PageError> {
    let list = members(Words::of(visit));
    let query = list.read(visit.raw.as_deref())?;
    let list = list.show(visit.app.staff(), &query);
    if query.csv {
        return super::export(&visit.who, "staff", list.to_csv());
    }
    let content = json!({"list": super::for_role(&visit.who, list), "roles": roles(), "form": form});
    Ok(visit.page_with(form.status, "staff/members.html", "members", content))
}

fn roles() -> Vec<(&'static str, String)> {
    Role::ALL.map(|role| (role.code(), format!("{} – {}", role_name(role), role_sentence(role)))).to_vec()
}

pub async fn create(Act { visit, mut form }: Act) -> Result<Response, PageError> {
    let name = form.need("name", "Please give a name.");
    let email = form.need("email", "Please give an e-mail address.");
    let role: Option<Role> = form.text("role").parse().ok();
    if role.is_none() {
        form.wrong("role", "Please choose a role.");
    }
    if let (Some(name), Some(email), Some(role)) = (name, email, role) {
        match visit.app.create_staff(&visit.actor(), NewStaff { name, email, role }).await {
            Ok((member, link)) => return Ok(show_link(&visit, &member, &link)),
            Err(ActError::Refused(Refusal::EmailTaken)) => {
                form.wrong("email", "Another member of staff has this e-mail.");
            }
            ended => return done(ended, PATH, "later"),
        }
    }
    show_all(&visit, &form)
}

/// Shows a one-time link, once.
fn show_link<At>(visit: &Visit<Staff, At>, member: &StaffMember, link: &str) -> Response {
    let content = json!({"name": member.name, "email": member.email, "link": link, "id": member.id});
    visit.page("staff/invited.html", "members", content)
}

pub async fn page(visit: Visit<Staff, StaffId>) -> Result<Response, PageError> {
    let member = visit.app.directory().staff_member(visit.at).cloned().ok_or(PageError::NotFound)?;
    Ok(show(&visit, &member, &Form::default()))
}

fn show(visit: &Visit<Staff, StaffId>, member: &StaffMember, form: &Form) -> Response {
    let words = Words::of(visit);
    let content = json!({
        "id": member.id, "name": member.name, "email": member.email, "role": member.role.code(),
        "role_name": role_name(member.role), "since": words.at(member.created_at),
        "disabled": member.disabled_at.map(|at| words.at(at)), "roles": roles(),
        "self": visit.who.member.id == member.id, "form": form,
    });
    visit.page_with(form.status, "staff/member.html", "members", content)
}

pub async fn change(Act { visit, mut form }: Act<StaffId>) -> Result<Response, PageError> {
    let member = visit.app.directory().staff_member(visit.at).cloned().ok_or(PageError::NotFound)?;
    let (role, disabled, code) = match form.text("change") {
        "role" => {
            let role: Role = form.text("role").parse().map_err(|_| PageError::BadRequest)?;
            (Some(role), None, "role")
        }
        "disable" => (None, Some(true), "disabled"),
        "enable" => (None, Some(false), "enabled"),
        "invite" => {
            return match visit.app.invite_staff(&visit.actor(), visit.at).await {
                Ok(link) => Ok(show_link(&visit, &member, &link)),
                Err(error) => Err(error.into()),
            };
        }
        _ => return Err(PageError::BadRequest),
    };
    match visit.app.change_staff(&visit.actor(), visit.at, role, disabled).await {
        Err(ActError::Refused(Refusal::LastAdmin)) => {
            let field = if disabled.is_some() { "form" } else { "role" };
            form.wrong(field, "This is the last administrator: give somebody else that role first.");
            Ok(show(&visit, &member, &form))
        }
        ended => done(ended, &format!("{PATH}/{}", visit.at), code),
    }
}
