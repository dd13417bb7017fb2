//! The own account: its password, its devices.

use super::{Act, Staff};
use crate::app::people::SetPasswordError;
use crate::domain::person::Person;
use crate::http::pages::session::{Client, with_session, without_session};
use crate::http::pages::sign_in::TOO_MANY;
use crate::http::pages::{Fault, FormView, PageState, Part, see_other};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::StatusCode;
use serde_json::json;

pub async fn out_everywhere(State(state): State<PageState>, act: Act) -> Result<Response, Fault> {
    state.app.sign_out_everywhere(&act.actor(), Person::Staff(act.who.member.id)).await?;
    Ok(without_session(&state, Part::Staff, see_other("/admin/login")))
}

pub async fn me(
    State(state): State<PageState>,
    who: Staff,
    RawQuery(raw): RawQuery,
) -> Result<Response, Fault> {
    me_page(&state, &who, raw.as_deref(), StatusCode::OK, &FormView::default()).await
}

async fn me_page(
    state: &PageState,
    who: &Staff,
    raw: Option<&str>,
    status: StatusCode,
    form: &FormView,
) -> Result<Response, Fault> {
    let words = super::words::Words::of(state);
    let sessions = state.app.sessions_of(&who.session).await?;
    let sessions: Vec<_> = sessions
        .iter()
        .map(|one| json!({"agent": one.agent, "seen": words.ago(one.seen_at), "since": words.at(one.created_at), "this": one.is_this}))
        .collect();
    let member = &who.member;
    let content = json!({"member_name": member.name, "email": member.email,
        "role": super::members::role_name(member.role), "sessions": sessions, "form": form});
    Ok(state.page_with(status, "staff/me.html", &who.chrome("me", raw), content))
}

pub async fn change_password(
    State(state): State<PageState>,
    client: Client,
    Act { who, mut form }: Act,
) -> Result<Response, Fault> {
    let (old, new) = (form.secret("old_password").to_owned(), form.secret("new_password").to_owned());
    match state.app.change_password(&who.session, &old, &new, &client.agent).await {
        Ok(new) => return Ok(with_session(&state, &new, see_other("/admin/me?done=password"))),
        Err(SetPasswordError::Password(fault)) => form.wrong("new_password", fault.sentence()),
        Err(SetPasswordError::Wrong) => {
            form.wrong("old_password", "This is not your present password.");
        }
        Err(SetPasswordError::TooMany) => form.wrong("old_password", TOO_MANY),
        Err(SetPasswordError::Link(_)) => return Err(Fault::Conflict),
        Err(SetPasswordError::Deferred) => return Err(Fault::Kept),
        Err(SetPasswordError::Unavailable) => return Err(Fault::Unavailable),
    }
    me_page(&state, &who, None, StatusCode::UNPROCESSABLE_ENTITY, &form.view()).await
}
