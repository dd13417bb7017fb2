//! Pages of a signed-in affiliate, all below `/portal`.
//!
//! Whatever an address names is looked for among the affiliate's own things only: another's account, statement or link
//! is answered as one that does not exist.

mod claims;
mod home;
mod links;
mod payouts;
mod profile;
mod qr;
mod referrals;
mod statements;
mod words;

use super::session::Portal;
use super::{Chrome, PageState};
use axum::Router;
use axum::routing::{get, post};

/// Their routes.
pub fn routes() -> Router<PageState> {
    Router::new()
        .route("/portal", get(home::show))
        .route("/portal/referrals", get(referrals::list))
        .route("/portal/referrals/{account_id}", get(referrals::show))
        .route("/portal/statements", get(statements::list))
        .route("/portal/statements/{month}", get(statements::show))
        .route("/portal/statements/{month}/print", get(statements::print))
        .route("/portal/payouts", get(payouts::show))
        .route("/portal/links", get(links::list).post(links::create))
        .route("/portal/links/{link_id}/disable", post(links::disable))
        .route("/portal/links/{link_id}/qr.svg", get(links::qr))
        .route("/portal/claims", get(claims::list).post(claims::file))
        .route("/portal/profile", get(profile::show).post(profile::change))
        .route("/portal/profile/email", post(profile::change_email))
        .route("/portal/profile/paypal", post(profile::change_paypal))
        .route("/portal/profile/password", post(profile::change_password))
        .route("/portal/profile/sign-out-everywhere", post(profile::sign_out_everywhere))
}

/// What stands around a page, with what its address says was just done.
fn chrome(portal: &Portal, section: &'static str, query: Option<&str>) -> Chrome {
    let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let done = pairs.into_iter().find(|(key, _)| key == "done").and_then(|(_, value)| words::done(&value));
    Chrome { notice: done, ..portal.chrome(section) }
}
