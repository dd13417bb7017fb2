//! `/confirm`: a new e-mail or PayPal e-mail counts once the button in the page that a mail leads to was pressed.

use crate::app::people::{ConfirmError, Confirmed, LinkError};
use crate::domain::one_time::{LinkKind, OneTimeError};
use crate::http::pages::sign_in::PORTAL;
use crate::http::pages::{Form, Frame, PageError, PageState, parameter};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use minijinja::context;

const EMAIL: &str = "e-mail";
const PAYPAL: &str = "PayPal e-mail";

/// Shows what would change.
pub async fn show(State(state): State<PageState>, RawQuery(query): RawQuery) -> Result<Response, PageError> {
    let token = parameter(query.as_deref(), "token");
    let link = match state.app.read_one_time(&token).await {
        Ok(open) => open.link,
        Err(LinkError::Link(error)) => return Ok(PORTAL.link_over(&state, error)),
        Err(LinkError::Store(error)) => return Err(error.into()),
    };
    let (Some(what), Some(new_address)) = (what(link.kind), link.new_address.clone()) else {
        return Ok(PORTAL.link_over(&state, OneTimeError::Bad));
    };
    let affiliate = link.person.affiliate().and_then(|id| state.app.directory().affiliate(id).cloned());
    let affiliate = affiliate.ok_or(PageError::NotFound)?;
    let first = link.kind == LinkKind::ConfirmPaypal && affiliate.profile.paypal_email.is_none();
    let held = affiliate.holds_when_changed();
    let content = context! { what, first, held, new_address, token, done => false };
    Ok(state.page("public/confirm.html", &Frame::default(), content))
}

/// Makes the change.
pub async fn send(State(state): State<PageState>, form: Form) -> Result<Response, PageError> {
    let (what, first, held) = match state.app.confirm_change(form.text("token")).await {
        Ok(Confirmed::Email { held }) => (EMAIL, false, held),
        Ok(Confirmed::Paypal { first, held }) => (PAYPAL, first, held),
        Err(ConfirmError::Link(error)) => return Ok(PORTAL.link_over(&state, error)),
        Err(ConfirmError::Act(error)) => return Err(error.into()),
    };
    Ok(state.page("public/confirm.html", &Frame::default(), context! { what, first, held, done => true }))
}

const fn what(kind: LinkKind) -> Option<&'static str> {
    match kind {
        LinkKind::ConfirmEmail => Some(EMAIL),
        LinkKind::ConfirmPaypal => Some(PAYPAL),
        LinkKind::Activate | LinkKind::Reset | LinkKind::InviteStaff => None,
    }
}
