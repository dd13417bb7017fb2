//! `/portal/profile`: who the affiliate is, where it is reached and paid, its password and devices.

use crate::app::people::{ChangedAffiliate, SignInError};
use crate::http::pages::session::{Client, Portal, Signed, Visit, with_session, without_session};
use crate::http::pages::sign_in::wrong_password;
use crate::http::pages::{Form, PageError, Part, see_other};
use axum::response::Response;
use chrono::{DateTime, Utc};
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
pub async fn show(visit: Visit<Portal>) -> Result<Response, PageError> {
    page(&visit, Form::default()).await
}

/// Changes name, company, web site.
pub async fn change(Signed { visit, mut form }: Signed<Portal>) -> Result<Response, PageError> {
    let changed = ChangedAffiliate {
        name: form.need("name", "Please tell us your name."),
        company: Some(form.take("company")),
        website: Some(form.take("website")),
        ..ChangedAffiliate::default()
    };
    if !form.is_good() {
        return page(&visit, form).await;
    }
    visit.app.change_affiliate(&visit.actor(), visit.who.affiliate.id, changed).await?;
    Ok(see_other("/portal/profile?done=profile"))
}

/// Asks for another e-mail: it counts once a mail to it has confirmed it.
pub async fn change_email(Signed { visit, mut form }: Signed<Portal>) -> Result<Response, PageError> {
    let Some(email) = form.need("new_email", "Please type the new address.") else {
        return page(&visit, form).await;
    };
    if !confirmed(&visit, &mut form, "email_password").await? {
        return page(&visit, form).await;
    }
    visit.app.ask_to_change_email(visit.who.affiliate.id, &email).await?;
    Ok(see_other("/portal/profile?done=email"))
}

/// Asks for another PayPal e-mail: it counts once a mail to the affiliate's own address has confirmed it.
pub async fn change_paypal(Signed { visit, mut form }: Signed<Portal>) -> Result<Response, PageError> {
    let Some(email) = form.need("new_paypal", "Please type the address of your PayPal account.") else {
        return page(&visit, form).await;
    };
    if !confirmed(&visit, &mut form, "paypal_password").await? {
        return page(&visit, form).await;
    }
    visit.app.ask_to_change_paypal(visit.who.affiliate.id, &email).await?;
    Ok(see_other("/portal/profile?done=paypal"))
}

/// Asks for the present password: a session alone, which may be stolen, does not redirect mail or money. Whether it
/// was given; if not, the form says so.
async fn confirmed(visit: &Visit<Portal>, form: &mut Form, field: &'static str) -> Result<bool, PageError> {
    match visit.app.confirm_password(&visit.who.session, form.secret(field)).await {
        Ok(()) => return Ok(true),
        Err(SignInError::Wrong) => form.wrong(field, "This is not your present password."),
        Err(SignInError::TooMany) => form.too_often(field, TOO_MANY),
        Err(SignInError::Unavailable) => return Err(PageError::Unavailable),
    }
    Ok(false)
}

const TOO_MANY: &str = "That was a wrong password too often. Please try again in a quarter of an hour.";

/// Changes the password; all other sessions end.
pub async fn change_password(
    client: Client,
    Signed { visit, mut form }: Signed<Portal>,
) -> Result<Response, PageError> {
    let (old, new) = (form.secret("old_password").to_owned(), form.secret("new_password").to_owned());
    match visit.app.change_password(&visit.who.session, &old, &new, &client.agent).await {
        Ok(session) => return Ok(with_session(&visit, &session, see_other("/portal/profile?done=password"))),
        Err(error) => wrong_password(&mut form, &error, TOO_MANY)?,
    }
    page(&visit, form).await
}

/// Ends all sessions, this one too.
pub async fn sign_out_everywhere(Signed { visit, .. }: Signed<Portal>) -> Result<Response, PageError> {
    let person = visit.who.session.person;
    visit.app.sign_out_everywhere(&visit.actor(), person).await?;
    Ok(without_session(&visit, Part::Portal, see_other("/login")))
}

async fn page(visit: &Visit<Portal>, form: Form) -> Result<Response, PageError> {
    let affiliate = &visit.who.affiliate;
    let profile = &affiliate.profile;
    // The page has several forms: of those that were not sent, what is known is shown.
    let form = form.or([
        ("name", Some(profile.name.as_str())),
        ("company", profile.company.as_deref()),
        ("website", profile.website.as_deref()),
    ]);
    let devices: Vec<Device> = visit
        .app
        .sessions_of(&visit.who.session)
        .await?
        .into_iter()
        .map(|one| Device { name: device(&one.agent), seen_at: one.seen_at, is_this: one.is_this })
        .collect();
    let held = affiliate.payouts_held_until().filter(|until| visit.app.now() < *until);
    let status = form.status;
    let content = context! {
        form => Value::from(Serde(form)),
        email => profile.email.clone(),
        paypal_email => profile.paypal_email.clone(),
        held_until => Value::from(Serde(held)),
        holds => affiliate.holds_when_changed(),
        signature => Value::from(Serde(affiliate.signature())),
        devices => Value::from(Serde(devices)),
        may_act => affiliate.may_act(),
        code => affiliate.code.to_string(),
        id => affiliate.id.to_string(),
    };
    Ok(visit.page_with(status, "portal/profile.html", "profile", content))
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
