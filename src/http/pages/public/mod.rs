//! Pages for everyone: the program, applying, activating, signing in; and the agreement.

mod agreement;
mod apply;
mod confirm;
mod home;

use super::routes::Door::{Open, SignedIn};
use super::routes::Routes;
use super::session::Portal;
use super::sign_in;

/// Their routes.
pub fn routes() -> Routes {
    Routes::default()
        .get("/", Open, home::show)
        .get("/apply", Open, apply::show)
        .post("/apply", Open, apply::send)
        .get("/apply/thanks", Open, apply::thanks)
        .get("/login", Open, sign_in::show::<Portal>)
        .post("/login", Open, sign_in::sign_in::<Portal>)
        .post("/sign-out", SignedIn, sign_in::sign_out::<Portal>)
        .get("/forgot", Open, sign_in::forgot::<Portal>)
        .post("/forgot", Open, sign_in::send_link::<Portal>)
        .get("/activate", Open, sign_in::choose::<Portal>)
        .post("/activate", Open, sign_in::set_password::<Portal>)
        .get("/reset", Open, sign_in::choose::<Portal>)
        .post("/reset", Open, sign_in::set_password::<Portal>)
        .get("/confirm", Open, confirm::show)
        .post("/confirm", Open, confirm::send)
        .get("/agreement", SignedIn, agreement::show)
        .post("/agreement", SignedIn, agreement::sign)
}
