//! `/portal/profile`: who the affiliate is, where it is reached and paid, its password and devices.

use super::chrome;
use crate::app::people::{ChangedAffiliate, SetPasswordError, SignInError};
use crate::http::pages::session::{Client, Portal, Signed, with_session, without_session};
use crate::http::pages::{Fault, Form, FormView, PageState, Part, see_other};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use chrono::{DateTime, Utc};
use http::StatusCode;
use minijinja::context;
use minijinja::value::{Serde, Value};
use serde::Serialize;

/// A device that is signed in.
#[derive(Debug, Serialize)]
struct Device {
    name: String,
    seen_at: DateTime<Utc>,
    is_this: bool,
}

/// Shows it.
pub async fn show(
    State(state): State<PageState>,
    portal: Portal,
    RawQuery(query): RawQuery,
) -> Result<Response, Fault> {
    page(&state, &portal, query.as_deref(), StatusCode::OK, None).await
}

/// Changes name, company, web site.
pub async fn change(
    State(state): State<PageState>,
    Signed(portal, mut form): Signed<Portal>,
) -> Result<Response, Fault> {
    let changed = ChangedAffiliate {
        name: form.need("name", "Please tell us your name."),
        company: Some(form.take("company")),
        website: Some(form.take("website")),
        ..ChangedAffiliate::default()
    };
    if !form.is_good() {
        return refused(&state, &portal, &form).await;
    }
    state.app.change_affiliate(&portal.actor(), portal.affiliate.id, changed).await?;
    Ok(see_other("/portal/profile?done=profile"))
}

/// Asks for another e-mail: it counts once a mail to it has confirmed it.
pub async fn change_email(
    State(state): State<PageState>,
    Signed(portal, mut form): Signed<Portal>,
) -> Result<Response, Fault> {
    let Some(email) = form.need("new_email", "Please type the new address.") else {
        return refused(&state, &portal, &form).await;
    };
    if let Some(status) = confirmed(&state, &portal, &mut form, "email_password").await? {
        return page(&state, &portal, None, status, Some(form.view())).await;
    }
    state.app.ask_to_change_email(portal.affiliate.id, &email).await?;
    Ok(see_other("/portal/profile?done=email"))
}

/// Asks for another PayPal e-mail: it counts once a mail to the affiliate's own address has confirmed it.
pub async fn change_paypal(
    State(state): State<PageState>,
    Signed(portal, mut form): Signed<Portal>,
) -> Result<Response, Fault> {
    let Some(email) = form.need("new_paypal", "Please type the address of your PayPal account.") else {
        return refused(&state, &portal, &form).await;
    };
    if let Some(status) = confirmed(&state, &portal, &mut form, "paypal_password").await? {
        return page(&state, &portal, None, status, Some(form.view())).await;
    }
    state.app.ask_to_change_paypal(portal.affiliate.id, &email).await?;
    Ok(see_other("/portal/profile?done=paypal"))
}

/// Asks for the present password: a session alone, which may be stolen, does not redirect mail or money. Answers with
/// what status the form is shown again, if it was not given.
async fn confirmed(
    state: &PageState,
    portal: &Portal,
    form: &mut Form,
    field: &'static str,
) -> Result<Option<StatusCode>, Fault> {
    let password = form.secret(field).to_owned();
    match state.app.confirm_password(&portal.session, &password).await {
        Ok(()) => Ok(None),
        Err(SignInError::Wrong) => {
            form.wrong(field, "This is not your present password.");
            Ok(Some(StatusCode::UNPROCESSABLE_ENTITY))
        }
        Err(SignInError::TooMany) => {
            form.wrong(field, TOO_MANY);
            Ok(Some(StatusCode::TOO_MANY_REQUESTS))
        }
        Err(SignInError::Unavailable) => Err(Fault::Unavailable),
    }
}

const TOO_MANY: &str = "That was a wrong password too often. Please try again in a quarter of an hour.";

/// Changes the password; all other sessions end.
pub async fn change_password(
    State(state): State<PageState>,
    client: Client,
    Signed(portal, mut form): Signed<Portal>,
) -> Result<Response, Fault> {
    let (old, new) = (form.secret("old_password").to_owned(), form.secret("new_password").to_owned());
    match state.app.change_password(&portal.session, &old, &new, &client.agent).await {
        Ok(session) => Ok(with_session(&state, &session, see_other("/portal/profile?done=password"))),
        Err(SetPasswordError::Wrong) => {
            form.wrong("old_password", "This is not your present password.");
            refused(&state, &portal, &form).await
        }
        Err(SetPasswordError::Password(fault)) => {
            form.wrong("new_password", fault.sentence());
            refused(&state, &portal, &form).await
        }
        Err(SetPasswordError::TooMany) => {
            form.wrong("old_password", TOO_MANY);
            page(&state, &portal, None, StatusCode::TOO_MANY_REQUESTS, Some(form.view())).await
        }
        Err(SetPasswordError::Link(_)) => Err(Fault::Conflict),
        Err(SetPasswordError::Deferred) => Err(Fault::Kept),
        Err(SetPasswordError::Unavailable) => Err(Fault::Unavailable),
    }
}

/// Ends all sessions, this one too.
pub async fn sign_out_everywhere(
    State(state): State<PageState>,
    Signed(portal, _): Signed<Portal>,
) -> Result<Response, Fault> {
    let person = portal.session.person;
    state.app.sign_out_everywhere(&portal.actor(), person).await?;
    Ok(without_session(&state, Part::Portal, see_other("/login")))
}

async fn refused(state: &PageState, portal: &Portal, form: &Form) -> Result<Response, Fault> {
    page(state, portal, None, StatusCode::UNPROCESSABLE_ENTITY, Some(form.view())).await
}

async fn page(
    state: &PageState,
    portal: &Portal,
    query: Option<&str>,
    status: StatusCode,
    refused: Option<FormView>,
) -> Result<Response, Fault> {
    let profile = &portal.affiliate.profile;
    let mut form = FormView::with([
        ("name", Some(profile.name.as_str())),
        ("company", profile.company.as_deref()),
        ("website", profile.website.as_deref()),
    ]);
    if let Some(refused) = refused {
        // The page has several forms: of those that were not sent, what is known is shown.
        form.values.extend(refused.values);
        (form.errors, form.order) = (refused.errors, refused.order);
    }
    let devices: Vec<Device> = state
        .app
        .sessions_of(&portal.session)
        .await?
        .into_iter()
        .map(|one| Device { name: device(&one.agent), seen_at: one.seen_at, is_this: one.is_this })
        .collect();
    let held = portal.affiliate.payouts_held_until().filter(|until| state.app.now() < *until);
    let content = context! {
        form => Value::from(Serde(form)),
        email => profile.email.clone(),
        paypal_email => profile.paypal_email.clone(),
        held_until => Value::from(Serde(held)),
        holds => portal.affiliate.holds_when_changed(),
        signature => Value::from(Serde(portal.affiliate.signature())),
        devices => Value::from(Serde(devices)),
        may_act => portal.affiliate.may_act(),
        code => portal.affiliate.code.to_string(),
        id => portal.affiliate.id.to_string(),
    };
    Ok(state.page_with(status, "portal/profile.html", &chrome(portal, "profile", query), content))
}

/// A browser and its system, as people know them.
fn device(agent: &str) -> String {
    let known = |names: &[(&str, &'static str)]| {
        names.iter().find(|(sign, _)| agent.contains(sign)).map(|(_, name)| *name)
    };
    let browser = known(&[
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    ]);
    let system = known(&[
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("Windows", "Windows"),
        ("Mac OS X", "Mac"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => "Another device".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_as_people_know_them() {
        let table = [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/143.0 Safari/537.36",
                "Chrome on Windows",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1",
                "Safari on iPhone",
            ),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
            ("curl/8.0", "Another device"),
        ];
        for (agent, name) in table {
            assert_eq!(device(agent), name);
        }
    }
}
