//! `/login` and `/sign-out`.

use super::parameter;
use crate::app::people::SignInError;
use crate::domain::person::Realm;
use crate::http::pages::session::{Client, Portal, Signed, Who, with_session, without_session};
use crate::http::pages::{Chrome, Fault, Form, FormView, PageState, Part, local_path, see_other};
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use minijinja::context;
use minijinja::value::{Serde, Value};

/// What is said of every e-mail and password that don't go together, whether the account exists or not.
const WRONG: &str = "E-mail and password don’t go together. Please check both.";
const TOO_MANY: &str =
    "There were too many failed attempts. Please wait 15 minutes, or choose a new password.";

/// Shows the form; who is signed in already goes on.
pub async fn show(State(state): State<PageState>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let next = parameter(parts.uri.query(), "next");
    let next = local_path(&next, "/portal");
    if Portal::find(&parts, &state).await.is_ok() {
        return see_other(next.unwrap_or("/portal"));
    }
    page(&state, StatusCode::OK, &FormView::with([("next", next)]))
}

/// Signs in.
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
    let password = form.secret("password");
    match state.app.sign_in(Realm::Portal, &email, password, &client.knock()).await {
        Ok(new) => {
            let directory = state.app.directory();
            let affiliate = new.person.affiliate().and_then(|id| directory.affiliate(id));
            let next = if affiliate.is_some_and(|affiliate| state.app.must_sign(affiliate)) {
                "/agreement"
            } else {
                local_path(form.text("next"), "/portal").unwrap_or("/portal")
            };
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

/// Signs out.
pub async fn out(
    State(state): State<PageState>,
    Signed(portal, _): Signed<Portal>,
) -> Result<Response, Fault> {
    state.app.sign_out(&portal.session).await?;
    Ok(without_session(&state, Part::Portal, see_other("/login")))
}

fn page(state: &PageState, status: StatusCode, form: &FormView) -> Response {
    let content = context! { form => Value::from(Serde(form)) };
    state.page_with(status, "public/login.html", &Chrome::default(), content)
}
