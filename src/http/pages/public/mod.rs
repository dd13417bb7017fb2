//! Pages for everyone: the program, applying, activating, signing in; and the agreement.

mod agreement;
mod apply;
mod confirm;
mod home;

use super::routes::{Door, Routes};
use super::session::Portal;
use super::sign_in;

/// Their routes.
pub fn routes() -> Routes {
    Routes::default()
        .get("/", Door::Open, home::show)
        .get("/apply", Door::Open, apply::show)
        .post("/apply", Door::Open, apply::send)
        .get("/apply/thanks", Door::Open, apply::thanks)
        .get("/login", Door::Open, sign_in::show::<Portal>)
        .post("/login", Door::Open, sign_in::sign_in::<Portal>)
        .post("/sign-out", Door::SignedIn, sign_in::sign_out::<Portal>)
        .get("/forgot", Door::Open, sign_in::forgot::<Portal>)
        .post("/forgot", Door::Open, sign_in::send_link::<Portal>)
        .get("/activate", Door::Open, sign_in::choose::<Portal>)
        .post("/activate", Door::Open, sign_in::set_password::<Portal>)
        .get("/reset", Door::Open, sign_in::choose::<Portal>)
        .post("/reset", Door::Open, sign_in::set_password::<Portal>)
        .get("/confirm", Door::Open, confirm::show)
        .post("/confirm", Door::Open, confirm::send)
        .get("/agreement", Door::SignedIn, agreement::show)
        .post("/agreement", Door::SignedIn, agreement::sign)
}
