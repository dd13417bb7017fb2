//! Signing in and out, one-time links, choosing a password: one set of pages for affiliates and for staff. What differs
//! stands in their [`Entrance`].

use super::session::{Client, Signed, Who, with_session, without_session};
use super::{Form, Frame, PageError, PageState, Part, local_path, parameter, see_other};
use crate::app::people::{LinkError, OpenLink, SetPasswordError, SignInError};
use crate::domain::input::Email;
use crate::domain::one_time::OneTimeError;
use crate::domain::person::Realm;
use axum::extract::{RawQuery, Request, State};
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

/// What is said of every e-mail and password that don't go together, whether the account exists or not.
const WRONG: &str = "E-mail and password don’t go together. Please check both.";
/// What is said after too many failed attempts.
pub const TOO_MANY: &str =
    "There were too many failed attempts. Please wait 15 minutes, or choose a new password.";

/// Finds a form wrong whose passwords were not taken.
pub fn wrong_password(form: &mut Form, error: &SetPasswordError, too_many: &str) -> Result<(), PageError> {
    match error {
        SetPasswordError::Password(fault) => form.wrong("new_password", fault.sentence()),
        SetPasswordError::Wrong => form.wrong("old_password", "This is not your present password."),
        SetPasswordError::TooMany => form.too_often("old_password", too_many),
        SetPasswordError::Link(_) => return Err(PageError::Conflict),
        SetPasswordError::Deferred => return Err(PageError::Kept),
        SetPasswordError::Unavailable => return Err(PageError::Unavailable),
    }
    Ok(())
}

/// Where people of a realm sign in, and what is said there.
#[derive(Debug, Serialize)]
pub struct Entrance {
    #[serde(skip)]
    realm: Realm,
    part: Part,
    /// The first of the pages that one signs in for.
    #[serde(skip)]
    home: &'static str,
    /// Where a password that was just set leads.
    #[serde(skip)]
    welcome: &'static str,
    login: &'static str,
    forgot: &'static str,
    activate: &'static str,
    /// What to do when a link has expired, and when somebody else has used it.
    #[serde(skip)]
    over: [&'static str; 2],
}

/// That of affiliates.
pub static PORTAL: Entrance = Entrance {
    realm: Realm::Portal,
    part: Part::Portal,
    home: "/portal",
    welcome: "/portal",
    login: "/login",
    forgot: "/forgot",
    activate: "/activate",
    over: ["Please ask for a new one.", "ask for a new link now and choose a new password."],
};

/// That of staff.
pub static STAFF: Entrance = Entrance {
    realm: Realm::Staff,
    part: Part::Staff,
    home: "/admin",
    welcome: "/admin?done=welcome",
    login: "/admin/login",
    forgot: "/admin/forgot",
    activate: "/admin/activate",
    over: ["Ask for a new one here, or have an administrator make one.", "tell an administrator now."],
};

impl Entrance {
    fn page(&self, state: &PageState, status: StatusCode, template: &str, mut content: Value) -> Response {
        // Before affiliates have signed in they see what everyone sees.
        let part = if self.part == Part::Portal { Part::Public } else { self.part };
        let chrome = Frame { part, ..Frame::default() };
        content["door"] = json!(self);
        state.page_with(status, template, &chrome, content)
    }

    fn form(&self, state: &PageState, form: &Form) -> Response {
        let no_staff = self.realm == Realm::Staff && state.app.staff().is_empty();
        self.page(state, form.status, "sign_in/login.html", json!({"form": form, "no_staff": no_staff}))
    }

    fn forgot_page(&self, state: &PageState, form: &Form, sent: bool) -> Response {
        self.page(state, form.status, "sign_in/forgot.html", json!({"form": form, "sent": sent}))
    }

    fn password_page(&self, state: &PageState, open: &OpenLink, token: &str, form: &Form) -> Response {
        let first = open.link.credential_version == 0;
        let content =
            json!({"form": form, "token": token, "name": open.name, "email": open.email, "first": first});
        self.page(state, form.status, "sign_in/password.html", content)
    }

    /// The page of a link that is not good, or not any more.
    pub fn link_over(&self, state: &PageState, error: OneTimeError) -> Response {
        let [expired, used] = self.over;
        let (heading, sentence) = match error {
            OneTimeError::Bad => (
                "This link is not whole",
                "A part of it may have been lost on its way. Please copy the whole link, or ask for a new one."
                    .to_owned(),
            ),
            OneTimeError::Expired => (
                "This link has expired",
                format!("For your safety such links work for a limited time. {expired}"),
            ),
            OneTimeError::Spent => (
                "This link was used already",
                format!("Each link works once. If it was you, please sign in; if not, {used}"),
            ),
        };
        let content = json!({"heading": heading, "sentence": sentence});
        self.page(state, StatusCode::GONE, "sign_in/link_over.html", content)
    }

    /// What a link for a password of this realm says.
    async fn open(
        &self,
        state: &PageState,
        token: &str,
    ) -> Result<Result<OpenLink, OneTimeError>, PageError> {
        match state.app.read_one_time(token).await {
            Ok(open) if open.link.kind.sets_password() && open.link.person.realm() == self.realm => {
                Ok(Ok(open))
            }
            Ok(_) => Ok(Err(OneTimeError::Bad)),
            Err(LinkError::Link(error)) => Ok(Err(error)),
            Err(LinkError::Store(error)) => Err(error.into()),
        }
    }
}

/// The form to sign in; who is signed in already goes on.
pub async fn show<W: Who + 'static>(State(state): State<PageState>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let next = parameter(parts.uri.query(), "next");
    let next = local_path(&next, W::ENTRANCE.home);
    if W::find(&parts, &state).await.is_ok() {
        return see_other(next.unwrap_or(W::ENTRANCE.home));
    }
    W::ENTRANCE.form(&state, &Form::with([("next", next)]))
}

/// Signs in.
pub async fn sign_in<W: Who + 'static>(
    State(state): State<PageState>,
    client: Client,
    mut form: Form,
) -> Result<Response, PageError> {
    let entrance = W::ENTRANCE;
    let email = form.text("email").to_owned();
    if email.is_empty() {
        form.wrong("email", "Please type your e-mail address.");
    }
    if form.secret("password").is_empty() {
        form.wrong("password", "Please type your password.");
    }
    if !form.is_good() {
        return Ok(entrance.form(&state, &form));
    }
    match state.app.sign_in(entrance.realm, &email, form.secret("password"), &client.knock()).await {
        Ok(new) => {
            let directory = state.app.directory();
            let affiliate = new.person.affiliate().and_then(|id| directory.affiliate(id));
            let next = if affiliate.is_some_and(|affiliate| state.app.must_sign(affiliate)) {
                "/agreement"
            } else {
                local_path(form.text("next"), entrance.home).unwrap_or(entrance.home)
            };
            return Ok(with_session(&state, &new, see_other(next)));
        }
        Err(SignInError::Wrong) => form.wrong("form", WRONG),
        Err(SignInError::TooMany) => form.too_often("form", TOO_MANY),
        Err(SignInError::Unavailable) => return Err(PageError::Unavailable),
    }
    Ok(entrance.form(&state, &form))
}

/// Signs out.
pub async fn sign_out<W: Who + 'static>(Signed { visit, .. }: Signed<W>) -> Result<Response, PageError> {
    visit.app.sign_out(visit.who.session()).await?;
    Ok(without_session(&visit, W::ENTRANCE.part, see_other(W::ENTRANCE.login)))
}

/// The form to ask for a link to choose a new password.
pub async fn forgot<W: Who + 'static>(State(state): State<PageState>) -> Response {
    W::ENTRANCE.forgot_page(&state, &Form::default(), false)
}

/// Sends the link, if somebody has the address. The answer is the same for everybody.
pub async fn send_link<W: Who + 'static>(
    State(state): State<PageState>,
    client: Client,
    mut form: Form,
) -> Result<Response, PageError> {
    let entrance = W::ENTRANCE;
    if form.need::<Email>("email", "Please type your e-mail address.").is_none() {
        return Ok(entrance.forgot_page(&state, &form, false));
    }
    match state.app.forgot_password(entrance.realm, form.text("email"), &client.knock()).await {
        Ok(()) | Err(SignInError::Wrong) => Ok(entrance.forgot_page(&state, &Form::default(), true)),
        Err(SignInError::TooMany) => Err(PageError::TooMany),
        Err(SignInError::Unavailable) => Err(PageError::Unavailable),
    }
}

/// The page of a one-time link. Looking at it spends nothing: mail scanners open links too.
pub async fn choose<W: Who + 'static>(
    State(state): State<PageState>,
    RawQuery(raw): RawQuery,
) -> Result<Response, PageError> {
    let token = parameter(raw.as_deref(), "token");
    Ok(match W::ENTRANCE.open(&state, &token).await? {
        Ok(link) => W::ENTRANCE.password_page(&state, &link, &token, &Form::default()),
        Err(error) => W::ENTRANCE.link_over(&state, error),
    })
}

/// Sets the password and signs the person in.
pub async fn set_password<W: Who + 'static>(
    State(state): State<PageState>,
    client: Client,
    mut form: Form,
) -> Result<Response, PageError> {
    let entrance = W::ENTRANCE;
    let token = form.text("token").to_owned();
    let link = match entrance.open(&state, &token).await? {
        Ok(link) => link,
        Err(error) => return Ok(entrance.link_over(&state, error)),
    };
    match state.app.set_password(&token, form.secret("new_password"), &client.agent).await {
        Ok(new) => Ok(with_session(&state, &new, see_other(entrance.welcome))),
        Err(SetPasswordError::Password(fault)) => {
            form.wrong("new_password", fault.sentence());
            Ok(entrance.password_page(&state, &link, &token, &form))
        }
        Err(SetPasswordError::Link(error)) => Ok(entrance.link_over(&state, error)),
        Err(SetPasswordError::TooMany) => Err(PageError::TooMany),
        Err(SetPasswordError::Deferred) => Err(PageError::Kept),
        Err(SetPasswordError::Wrong | SetPasswordError::Unavailable) => Err(PageError::Unavailable),
    }
}
