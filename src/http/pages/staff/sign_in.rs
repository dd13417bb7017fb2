//! Signing in and out, one-time links, the own password: as for affiliates, in a realm of its own.

use super::{Act, Staff};
use crate::app::people::{LinkError, OpenLink, SetPasswordError, SignInError};
use crate::domain::input::Email;
use crate::domain::one_time::OneTimeError;
use crate::domain::person::{Person, Realm};
use crate::http::pages::session::{Client, Who, with_session, without_session};
use crate::http::pages::{Chrome, Fault, Form, FormView, PageState, Part, local_path, see_other};
use axum::extract::{RawQuery, Request, State};
use axum::response::Response;
use http::StatusCode;
use serde_json::json;

/// What is said of every e-mail and password that don't go together, whether the account exists or not.
const WRONG: &str = "E-mail and password don’t go together. Please check both.";
const TOO_MANY: &str =
    "There were too many failed attempts. Please wait 15 minutes, or choose a new password.";

fn bare() -> Chrome {
    Chrome { part: Part::Staff, ..Chrome::default() }
}

fn parameter(raw: Option<&str>, name: &str) -> String {
    let mut pairs = url::form_urlencoded::parse(raw.unwrap_or_default().as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
}

pub async fn show(State(state): State<PageState>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let next = parameter(parts.uri.query(), "next");
    let next = local_path(&next, "/admin");
    if Staff::find(&parts, &state).await.is_ok() {
        return see_other(next.unwrap_or("/admin"));
    }
    page(&state, StatusCode::OK, &FormView::with([("next", next)]))
}

fn page(state: &PageState, status: StatusCode, form: &FormView) -> Response {
    let first = state.app.staff().is_empty();
    state.page_with(status, "staff/login.html", &bare(), json!({"form": form, "first": first}))
}

pub async fn send(State(state): State<PageState>, client: Client, mut form: Form) -> Result<Response, Fault> {
    let email = form.text("email").to_owned();
    if email.is_empty() {
        form.wrong("email", "Please type your e-mail address.");
    }
    if form.secret("password").is_empty() {
        form.wrong("password", "Please type your password.");
    }
    if !form.is_good() {
        return Ok(page(&state, StatusCode::UNPROCESSABLE_ENTITY, &form.view()));
    }
    match state.app.sign_in(Realm::Staff, &email, form.secret("password"), &client.knock()).await {
        Ok(new) => {
            let next = local_path(form.text("next"), "/admin").unwrap_or("/admin");
            Ok(with_session(&state, &new, see_other(next)))
        }
        Err(SignInError::Wrong) => {
            Ok(page(&state, StatusCode::UNPROCESSABLE_ENTITY, &form.view().error("form", WRONG)))
        }
        Err(SignInError::TooMany) => {
            Ok(page(&state, StatusCode::TOO_MANY_REQUESTS, &form.view().error("form", TOO_MANY)))
        }
        Err(SignInError::Unavailable) => Err(Fault::Unavailable),
    }
}

pub async fn out(State(state): State<PageState>, act: Act) -> Result<Response, Fault> {
    state.app.sign_out(&act.who.session).await?;
    Ok(without_session(&state, Part::Staff, see_other("/admin/login")))
}

pub async fn out_everywhere(State(state): State<PageState>, act: Act) -> Result<Response, Fault> {
    state.app.sign_out_everywhere(&act.actor(), Person::Staff(act.who.member.id)).await?;
    Ok(without_session(&state, Part::Staff, see_other("/admin/login")))
}

pub async fn forgot(State(state): State<PageState>) -> Response {
    forgot_page(&state, StatusCode::OK, &FormView::default(), false)
}

fn forgot_page(state: &PageState, status: StatusCode, form: &FormView, sent: bool) -> Response {
    state.page_with(status, "staff/forgot.html", &bare(), json!({"form": form, "sent": sent}))
}

pub async fn send_link(
    State(state): State<PageState>,
    client: Client,
    mut form: Form,
) -> Result<Response, Fault> {
    if form.need::<Email>("email", "Please type your e-mail address.").is_none() {
        return Ok(forgot_page(&state, StatusCode::UNPROCESSABLE_ENTITY, &form.view(), false));
    }
    match state.app.forgot_password(Realm::Staff, form.text("email"), &client.knock()).await {
        Ok(()) | Err(SignInError::Wrong) => {
            Ok(forgot_page(&state, StatusCode::OK, &FormView::default(), true))
        }
        Err(SignInError::TooMany) => Err(Fault::TooMany),
        Err(SignInError::Unavailable) => Err(Fault::Unavailable),
    }
}

/// The page of a one-time link. Looking at it spends nothing.
pub async fn choose(State(state): State<PageState>, RawQuery(raw): RawQuery) -> Result<Response, Fault> {
    let token = parameter(raw.as_deref(), "token");
    Ok(match open(&state, &token).await? {
        Ok(link) => choose_page(&state, StatusCode::OK, &link, &token, &FormView::default()),
        Err(error) => over(&state, error),
    })
}

async fn open(state: &PageState, token: &str) -> Result<Result<OpenLink, OneTimeError>, Fault> {
    match state.app.read_one_time(token).await {
        Ok(open) if open.link.purpose.sets_password() && open.link.person.realm() == Realm::Staff => {
            Ok(Ok(open))
        }
        Ok(_) => Ok(Err(OneTimeError::Bad)),
        Err(LinkError::Link(error)) => Ok(Err(error)),
        Err(LinkError::Store(error)) => Err(error.into()),
    }
}

fn choose_page(
    state: &PageState,
    status: StatusCode,
    open: &OpenLink,
    token: &str,
    form: &FormView,
) -> Response {
    let first = open.link.credential_version == 0;
    let content =
        json!({"form": form, "token": token, "name": open.name, "email": open.email, "first": first});
    state.page_with(status, "staff/password.html", &bare(), content)
}

fn over(state: &PageState, error: OneTimeError) -> Response {
    let (heading, sentence) = match error {
        OneTimeError::Bad => (
            "This link is not whole",
            "A part of it may have been lost on its way. Please copy the whole link, or ask for a new one.",
        ),
        OneTimeError::Expired => (
            "This link has expired",
            "For safety such links work for a limited time. Ask an administrator for a new one, or use “Forgot your password?”.",
        ),
        OneTimeError::Spent => (
            "This link was used already",
            "Each link works once. If it was you, please sign in; if not, tell an administrator now.",
        ),
    };
    let content = json!({"heading": heading, "sentence": sentence});
    state.page_with(StatusCode::GONE, "staff/link_over.html", &bare(), content)
}

pub async fn set_password(
    State(state): State<PageState>,
    client: Client,
    mut form: Form,
) -> Result<Response, Fault> {
    let token = form.text("token").to_owned();
    let link = match open(&state, &token).await? {
        Ok(link) => link,
        Err(error) => return Ok(over(&state, error)),
    };
    match state.app.set_password(&token, form.secret("new_password"), &client.agent).await {
        Ok(new) => Ok(with_session(&state, &new, see_other("/admin?done=welcome"))),
        Err(SetPasswordError::Password(fault)) => {
            form.wrong("new_password", fault.sentence());
            Ok(choose_page(&state, StatusCode::UNPROCESSABLE_ENTITY, &link, &token, &form.view()))
        }
        Err(SetPasswordError::Link(error)) => Ok(over(&state, error)),
        Err(SetPasswordError::TooMany) => Err(Fault::TooMany),
        Err(SetPasswordError::Deferred) => Err(Fault::Kept),
        Err(SetPasswordError::Wrong | SetPasswordError::Unavailable) => Err(Fault::Unavailable),
    }
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
