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

use super::routes::{Door, Routes};
pub use words::DONE;

/// Their routes.
pub fn routes() -> Routes {
    Routes::default()
        .get("/portal", Door::SignedIn, home::show)
        .get("/portal/referrals", Door::SignedIn, referrals::list)
        .get("/portal/referrals/{account_id}", Door::SignedIn, referrals::show)
        .get("/portal/statements", Door::SignedIn, statements::list)
        .get("/portal/statements/{month}", Door::SignedIn, statements::show)
        .get("/portal/statements/{month}/print", Door::SignedIn, statements::print)
        .get("/portal/payouts", Door::SignedIn, payouts::show)
        .get("/portal/links", Door::SignedIn, links::list)
        .post("/portal/links", Door::SignedIn, links::create)
        .post("/portal/links/{link_id}/disable", Door::SignedIn, links::disable)
        .get("/portal/links/{link_id}/qr.svg", Door::SignedIn, links::qr)
        .get("/portal/claims", Door::SignedIn, claims::list)
        .post("/portal/claims", Door::SignedIn, claims::file)
        .get("/portal/profile", Door::SignedIn, profile::show)
        .post("/portal/profile", Door::SignedIn, profile::change)
        .post("/portal/profile/email", Door::SignedIn, profile::change_email)
        .post("/portal/profile/paypal", Door::SignedIn, profile::change_paypal)
        .post("/portal/profile/password", Door::SignedIn, profile::change_password)
        .post("/portal/profile/sign-out-everywhere", Door::SignedIn, profile::sign_out_everywhere)
}
