//! The own account: its password, its devices.

use super::{Act, Staff, Visit};
use crate::domain::person::Person;
use crate::http::pages::session::{Client, with_session, without_session};
use crate::http::pages::sign_in::{TOO_MANY, wrong_password};
use crate::http::pages::{Form, PageError, Part, see_other};
use axum::response::Response;
use serde_json::json;

pub async fn out_everywhere(Act { visit, .. }: Act) -> Result<Response, PageError> {
    visit.app.sign_out_everywhere(&visit.actor(), Person::Staff(visit.who.member.id)).await?;
    Ok(without_session(&visit, Part::Staff, see_other("/admin/login")))
}

pub async fn me(visit: Visit<Staff>) -> Result<Response, PageError> {
    me_page(&visit, &Form::default()).await
}

async fn me_page(visit: &Visit<Staff>, form: &Form) -> Result<Response, PageError> {
    let words = super::words::Words::of(visit);
    let sessions = visit.app.sessions_of(&visit.who.session).await?;
    let sessions: Vec<_> = sessions
        .iter()
        .map(|one| json!({"agent": one.agent, "seen": words.ago(one.seen_at), "since": words.at(one.created_at), "this": one.is_this}))
        .collect();
    let member = &visit.who.member;
    let content = json!({"member_name": member.name, "email": member.email,
        "role": super::members::role_name(member.role), "sessions": sessions, "form": form});
    Ok(visit.page_with(form.status, "staff/me.html", "me", content))
}

pub async fn change_password(client: Client, Act { visit, mut form }: Act) -> Result<Response, PageError> {
    let (old, new) = (form.secret("old_password").to_owned(), form.secret("new_password").to_owned());
    match visit.app.change_password(&visit.who.session, &old, &new, &client.agent).await {
        Ok(new) => return Ok(with_session(&visit, &new, see_other("/admin/me?done=password"))),
        Err(error) => wrong_password(&mut form, &error, TOO_MANY)?,
    }
    me_page(&visit, &form).await
}
