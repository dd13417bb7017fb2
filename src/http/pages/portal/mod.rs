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

use super::routes::Door::SignedIn;
use super::routes::Routes;
pub use words::DONE;

/// Their routes.
pub fn routes() -> Routes {
    Routes::default()
        .get("/portal", SignedIn, home::show)
        .get("/portal/referrals", SignedIn, referrals::list)
        .get("/portal/referrals/{account_id}", SignedIn, referrals::show)
        .get("/portal/statements", SignedIn, statements::list)
        .get("/portal/statements/{month}", SignedIn, statements::show)
        .get("/portal/statements/{month}/print", SignedIn, statements::print)
        .get("/portal/payouts", SignedIn, payouts::show)
        .get("/portal/links", SignedIn, links::list)
        .post("/portal/links", SignedIn, links::create)
        .post("/portal/links/{link_id}/disable", SignedIn, links::disable)
        .get("/portal/links/{link_id}/qr.svg", SignedIn, links::qr)
        .get("/portal/claims", SignedIn, claims::list)
        .post("/portal/claims", SignedIn, claims::file)
        .get("/portal/profile", SignedIn, profile::show)
        .post("/portal/profile", SignedIn, profile::change)
        .post("/portal/profile/email", SignedIn, profile::change_email)
        .post("/portal/profile/paypal", SignedIn, profile::change_paypal)
        .post("/portal/profile/password", SignedIn, profile::change_password)
        .post("/portal/profile/sign-out-everywhere", SignedIn, profile::sign_out_everywhere)
}
