//! `/activate` (and `/reset`): choosing a password with a link from a mail. Looking at the page spends nothing: mail
//! scanners open links too.

use super::parameter;
use crate::app::people::{LinkError, OpenLink, SetPasswordError};
use crate::domain::one_time::{OneTimeError, Purpose};
use crate::domain::person::{Person, Realm};
use crate::http::pages::session::{Client, with_session};
use crate::http::pages::{Chrome, Fault, Form, FormView, PageState, see_other};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::StatusCode;
use minijinja::context;
use minijinja::value::{Serde, Value};

/// Shows the form.
pub async fn show(State(state): State<PageState>, RawQuery(query): RawQuery) -> Result<Response, Fault> {
    let token = parameter(query.as_deref(), "token");
    match open(&state, &token).await? {
        Ok(link) => Ok(page(&state, StatusCode::OK, &link, &token, &FormView::default())),
        Err(error) => Ok(over(&state, error)),
    }
}

/// Sets the password and signs the person in.
pub async fn send(State(state): State<PageState>, client: Client, mut form: Form) -> Result<Response, Fault> {
    let token = form.text("token").to_owned();
    let link = match open(&state, &token).await? {
        Ok(link) => link,
        Err(error) => return Ok(over(&state, error)),
    };
    match state.app.set_password(&token, form.secret("new_password"), &client.agent).await {
        Ok(new) => Ok(with_session(&state, &new, see_other("/portal"))),
        Err(SetPasswordError::Password(fault)) => {
            form.wrong("new_password", fault.sentence());
            Ok(page(&state, StatusCode::UNPROCESSABLE_ENTITY, &link, &token, &form.view()))
        }
        Err(SetPasswordError::Link(error)) => Ok(over(&state, error)),
        Err(SetPasswordError::TooMany) => Err(Fault::TooMany),
        Err(SetPasswordError::Deferred) => Err(Fault::Kept),
        Err(SetPasswordError::Wrong | SetPasswordError::Unavailable) => Err(Fault::Unavailable),
    }
}

/// What a link for an affiliate's password says.
async fn open(state: &PageState, token: &str) -> Result<Result<OpenLink, OneTimeError>, Fault> {
    match state.app.read_one_time(token).await {
        Ok(open) if open.link.purpose.sets_password() && open.link.person.realm() == Realm::Portal => {
            Ok(Ok(open))
        }
        Ok(_) => Ok(Err(OneTimeError::Bad)),
        Err(LinkError::Link(error)) => Ok(Err(error)),
        Err(LinkError::Store(error)) => Err(error.into()),
    }
}

fn page(state: &PageState, status: StatusCode, open: &OpenLink, token: &str, form: &FormView) -> Response {
    let first = open.link.purpose == Purpose::Activate && matches!(open.link.person, Person::Affiliate(_));
    let content = context! {
        form => Value::from(Serde(form)), token, first, action => "/activate",
        name => open.name.clone(), email => open.email.clone(),
    };
    state.page_with(status, "public/password.html", &Chrome::default(), content)
}

/// The page of a link that is not good, or not any more.
pub(super) fn over(state: &PageState, error: OneTimeError) -> Response {
    let (heading, sentence) = match error {
        OneTimeError::Bad => (
            "This link is not whole",
            "A part of it may have been lost on its way. Please copy the whole link from the mail, or ask for a new one.",
        ),
        OneTimeError::Expired => (
            "This link has expired",
            "For your safety such links work for a limited time. Please ask for a new one.",
        ),
        OneTimeError::Spent => (
            "This link was used already",
            "Each link works once. If it was you, please sign in; if not, ask for a new link now and choose a new password.",
        ),
    };
    state.page_with(
        StatusCode::GONE,
        "public/link_over.html",
        &Chrome::default(),
        context! { heading, sentence },
    )
}
