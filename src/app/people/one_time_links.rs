//! One-time links: made when a mail is written or shown at a terminal, read by pages, used up by what they do.

use super::{App, Contact, LinkError, NewSession, OpenLink, Session, SetPasswordError, SignInError};
use crate::app::actor::Actor;
use crate::domain::fact::PasswordSet;
use crate::domain::mail::Asked;
use crate::domain::one_time::{LinkKind, OneTime, OneTimeError};
use crate::domain::outcome::FactOutcome;
use crate::domain::password;
use crate::domain::person::{Person, Realm};
use crate::store::StoreError;
use std::sync::Arc;

impl App {
    /// The full URL of a link made now. `new_address`: the address to be confirmed. `None`: the person is not
    /// known, or may not do this any more.
    pub async fn one_time_url(
        &self,
        kind: LinkKind,
        person: Person,
        new_address: Option<&str>,
    ) -> Result<Option<String>, StoreError> {
        self.one_time_url_if(kind, person, new_address, None).await
    }

    /// The same, but also `None` if the account has changed since the link was requested.
    pub(crate) async fn one_time_url_if(
        &self,
        kind: LinkKind,
        person: Person,
        new_address: Option<&str>,
        asked: Option<Asked>,
    ) -> Result<Option<String>, StoreError> {
        let Some(contact) = self.contact(person).filter(|contact| contact.may_sign_in) else {
            return Ok(None);
        };
        let credentials = self.credentials(person).await?;
        let version = credentials.map_or(0, |credentials| credentials.generation());
        if asked.is_some_and(|asked| asked != contact.asked(version)) {
            return Ok(None);
        }
        let new_address = new_address.map(str::to_owned);
        let link = OneTime::new(kind, person, contact.present(version), new_address, self.now());
        let token = link.sign(&self.keyring);
        let listen = &self.config().listen;
        Ok(Some(match (kind, person.realm()) {
            (LinkKind::ConfirmEmail | LinkKind::ConfirmPaypal, _) => {
                format!("{}/confirm?token={token}", listen.public_base())
            }
            (_, Realm::Portal) => format!("{}/activate?token={token}", listen.public_base()),
            (_, Realm::Staff) => format!("{}/admin/activate?token={token}", listen.staff_base()),
        }))
    }

    /// Reads a link. This does not use it up, because mail scanners open links too.
    pub async fn read_one_time(&self, token: &str) -> Result<OpenLink, LinkError> {
        let (link, contact, _) = self.open_link(token).await?;
        Ok(OpenLink { link, name: contact.name, email: contact.email })
    }

    /// A valid link, its person, and the version and end times of the person's credentials.
    pub(super) async fn open_link(&self, token: &str) -> Result<(OneTime, Contact, (u32, u32)), LinkError> {
        let link = OneTime::verify(token, &self.keyring)?;
        let known = self.contact(link.person).filter(|contact| contact.may_sign_in);
        let credentials = self.credentials(link.person).await?;
        let (version, ended) = credentials.map_or((0, 0), |known| (known.version, known.ended));
        // A person who was closed or disabled since then can't use it.
        let contact = known.ok_or(OneTimeError::Spent)?;
        link.check(contact.present(version.saturating_add(ended)), self.now())?;
        Ok((link, contact, (version, ended)))
    }

    /// Sets the password that a link is for, and signs its person in; an approved affiliate becomes active. This
    /// uses the link up: of two requests at once, one succeeds.
    pub async fn set_password(
        self: &Arc<Self>,
        token: &str,
        new: &str,
        agent: &str,
    ) -> Result<NewSession, SetPasswordError> {
        let (link, contact, replaces) = self.open_link(token).await?;
        if !link.kind.sets_password() {
            return Err(OneTimeError::Bad.into());
        }
        self.replace_password(link.person, &contact, replaces, new, agent).await
    }

    /// Changes the password of a person who is signed in and knows the present one. All other sessions end.
    pub async fn change_password(
        self: &Arc<Self>,
        session: &Session,
        old: &str,
        new: &str,
        agent: &str,
    ) -> Result<NewSession, SetPasswordError> {
        let person = session.person;
        let replaces = self.knows_password(person, old).await.map_err(|error| match error {
            SignInError::Wrong => SetPasswordError::Wrong,
            SignInError::TooMany => SetPasswordError::TooMany,
            SignInError::Unavailable => SetPasswordError::Unavailable,
        })?;
        let contact = self.contact(person).ok_or(SetPasswordError::Wrong)?;
        self.replace_password(person, &contact, replaces, new, agent).await
    }

    async fn replace_password(
        self: &Arc<Self>,
        person: Person,
        contact: &Contact,
        (replaces, ended): (u32, u32),
        new: &str,
        agent: &str,
    ) -> Result<NewSession, SetPasswordError> {
        password::check(new, &contact.email, &contact.name)?;
        let busy = |_| SetPasswordError::Unavailable;
        let hash = self.people.hasher.turn().await.map_err(busy)?.hash(new).await.map_err(busy)?;
        let fact = PasswordSet { person, hash, replaces };
        let submitted =
            self.submit(&Actor::Server(person.to_string().into()), fact.into()).await.map_err(|error| {
                tracing::warn!(%error, "a new password was not kept");
                SetPasswordError::Unavailable
            })?;
        match submitted.outcome {
            FactOutcome::Deferred => Err(SetPasswordError::Deferred),
            // Another password was set first, or the person was closed or disabled meanwhile.
            FactOutcome::Refused | FactOutcome::Conflict => Err(OneTimeError::Spent.into()),
            _ => Ok(self.begin_session(person, (replaces + 1, ended), agent).await?),
        }
    }
}
