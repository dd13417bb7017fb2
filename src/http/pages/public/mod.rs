//! Pages for everyone: the program, applying, activating, signing in; and the agreement.

mod agreement;
mod apply;
mod confirm;
mod home;

use super::session::Portal;
use super::{PageState, sign_in};
use axum::Router;
use axum::routing::{get, post};

/// Their routes.
pub fn routes() -> Router<PageState> {
    Router::new()
        .route("/", get(home::show))
        .route("/apply", get(apply::show).post(apply::send))
        .route("/apply/thanks", get(apply::thanks))
        .route("/login", get(sign_in::show::<Portal>).post(sign_in::sign_in::<Portal>))
        .route("/sign-out", post(sign_in::sign_out::<Portal>))
        .route("/forgot", get(sign_in::forgot::<Portal>).post(sign_in::send_link::<Portal>))
        .route("/activate", get(sign_in::choose::<Portal>).post(sign_in::set_password::<Portal>))
        .route("/reset", get(sign_in::choose::<Portal>).post(sign_in::set_password::<Portal>))
        .route("/confirm", get(confirm::show).post(confirm::send))
        .route("/agreement", get(agreement::show).post(agreement::sign))
}
