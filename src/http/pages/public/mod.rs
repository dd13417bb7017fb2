//! Pages for everyone: the program, applying, activating, signing in; and the agreement.

mod agreement;
mod apply;
mod confirm;
mod forgot;
mod home;
mod password;
mod sign_in;

use super::PageState;
use super::view::Source;
use axum::Router;
use axum::routing::{get, post};

/// The templates of these pages.
pub const TEMPLATES: &[Source] = crate::templates![
    "public/home.html",
    "public/apply.html",
    "public/thanks.html",
    "public/login.html",
    "public/forgot.html",
    "public/password.html",
    "public/link_over.html",
    "public/confirm.html",
    "public/agreement.html",
];

/// Their routes.
pub fn routes() -> Router<PageState> {
    Router::new()
        .route("/", get(home::show))
        .route("/apply", get(apply::show).post(apply::send))
        .route("/apply/thanks", get(apply::thanks))
        .route("/login", get(sign_in::show).post(sign_in::send))
        .route("/sign-out", post(sign_in::out))
        .route("/forgot", get(forgot::show).post(forgot::send))
        .route("/activate", get(password::show).post(password::send))
        .route("/reset", get(password::show).post(password::send))
        .route("/confirm", get(confirm::show).post(confirm::send))
        .route("/agreement", get(agreement::show).post(agreement::sign))
}

/// The first value of a parameter of the query; empty without one.
pub(super) fn parameter(query: Option<&str>, name: &str) -> String {
    let mut pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
}
