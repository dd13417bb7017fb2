//! `/forgot`: asking for a link to choose a new password. The answer is the same whoever asks.

use crate::app::people::SignInError;
use crate::domain::input::Email;
use crate::domain::person::Realm;
use crate::http::pages::session::Client;
use crate::http::pages::{Chrome, Fault, Form, FormView, PageState};
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use minijinja::context;
use minijinja::value::{Serde, Value};

/// Shows the form.
pub async fn show(State(state): State<PageState>) -> Response {
    page(&state, StatusCode::OK, &FormView::default(), false)
}

/// Sends the link, if somebody has the address.
pub async fn send(State(state): State<PageState>, client: Client, mut form: Form) -> Result<Response, Fault> {
    if form.need::<Email>("email", "Please type your e-mail address.").is_none() {
        return Ok(page(&state, StatusCode::UNPROCESSABLE_ENTITY, &form.view(), false));
    }
    match state.app.forgot_password(Realm::Portal, form.text("email"), &client.knock()).await {
        Ok(()) | Err(SignInError::Wrong) => Ok(page(&state, StatusCode::OK, &FormView::default(), true)),
        Err(SignInError::TooMany) => Err(Fault::TooMany),
        Err(SignInError::Unavailable) => Err(Fault::Unavailable),
    }
}

fn page(state: &PageState, status: StatusCode, form: &FormView, sent: bool) -> Response {
    let content = context! { form => Value::from(Serde(form)), sent };
    state.page_with(status, "public/forgot.html", &Chrome::default(), content)
}
