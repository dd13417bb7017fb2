//! Pages for everyone: the program, applying, activating, signing in; and the agreement.

mod agreement;
mod apply;
mod confirm;
mod forgot;
mod home;
mod password;
mod sign_in;

use super::routes::{Door, Routes};
use super::view::Source;

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
pub fn routes() -> Routes {
    Routes::default()
        .get("/", Door::Open, home::show)
        .get("/apply", Door::Open, apply::show)
        .post("/apply", Door::Open, apply::send)
        .get("/apply/thanks", Door::Open, apply::thanks)
        .get("/login", Door::Open, sign_in::show)
        .post("/login", Door::Open, sign_in::send)
        .post("/sign-out", Door::SignedIn, sign_in::out)
        .get("/forgot", Door::Open, forgot::show)
        .post("/forgot", Door::Open, forgot::send)
        .get("/activate", Door::Open, password::show)
        .post("/activate", Door::Open, password::send)
        .get("/reset", Door::Open, password::show)
        .post("/reset", Door::Open, password::send)
        .get("/confirm", Door::Open, confirm::show)
        .post("/confirm", Door::Open, confirm::send)
        .get("/agreement", Door::SignedIn, agreement::show)
        .post("/agreement", Door::SignedIn, agreement::sign)
}

/// The first value of a parameter of the query; empty without one.
pub(super) fn parameter(query: Option<&str>, name: &str) -> String {
    let mut pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
}
