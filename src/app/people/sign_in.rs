//! Signing in, and asking for a new password.

use super::limits::{Counted, FAILURES_FROM, FAILURES_ON_ACCOUNT, FORGOTTEN_BY, FORGOTTEN_FROM};
use super::{App, NewSession, Session, SignInError};
use crate::domain::mail::{Letter, Message};
use crate::domain::password::{Credentials, LONGEST};
use crate::domain::person::{Person, Realm};
use crate::metrics::SignInOutcome;
use crate::store::StoreError;
use std::net::IpAddr;
use std::sync::Arc;

/// An e-mail that is longer belongs to nobody.
const EMAIL_BYTES: usize = 254;

impl App {
    /// Signs somebody in. The answer to an unknown e-mail is the one to a wrong password, and takes as long.
    pub async fn sign_in(
        &self,
        realm: Realm,
        email: &str,
        password: &str,
        ip: IpAddr,
        agent: &str,
    ) -> Result<NewSession, SignInError> {
        if email.len() > EMAIL_BYTES || password.chars().count() > LONGEST {
            return Err(SignInError::Wrong);
        }
        let ended = match self.verified(realm, email, password, ip).await {
            Ok((person, version)) => {
                self.begin_session(person, version, agent).await.map_err(SignInError::from)
            }
            Err(error) => Err(error),
        };
        let outcome = match &ended {
            Ok(_) => SignInOutcome::Ok,
            Err(SignInError::Wrong) => SignInOutcome::Wrong,
            Err(SignInError::TooMany) => SignInOutcome::TooMany,
            Err(SignInError::Unavailable) => SignInOutcome::Unavailable,
        };
        self.metrics.sign_in(realm == Realm::Staff, outcome);
        ended
    }

    /// Who has this e-mail and password, with the generation of the credentials.
    async fn verified(
        &self,
        realm: Realm,
        email: &str,
        password: &str,
        ip: IpAddr,
    ) -> Result<(Person, u32), SignInError> {
        let limits = self.failures(realm, email, ip);
        // Before waiting in line, so that those who guess don't fill it …
        self.refuse_guessers(&limits).await?;
        let turn = self.hasher.turn().await.map_err(|_| SignInError::Unavailable)?;
        // … and after it, so that no more are let through at once than take turns.
        self.refuse_guessers(&limits).await?;
        let known = self.who(realm, email).await?;
        let hash = known.as_ref().map(|(_, credentials)| &credentials.hash);
        let matches = turn.verify(password, hash).await.map_err(|_| SignInError::Unavailable)?;
        if let Some((person, credentials)) = known.filter(|_| matches) {
            return Ok((person, credentials.generation()));
        }
        for counted in &limits {
            self.count_one(counted).await?;
        }
        Err(SignInError::Wrong)
    }

    /// Asks somebody who is signed in for the password once more, before something that a stolen session must not do.
    pub async fn confirm_password(&self, session: &Session, password: &str) -> Result<(), SignInError> {
        self.knows_password(session.person, password).await.map(drop)
    }

    /// Whether somebody who is signed in knows the password: its version, and how often sessions were ended. Failures
    /// are counted by themselves: strangers who guess at the door don't keep the owner from a change.
    pub(super) async fn knows_password(
        &self,
        person: Person,
        password: &str,
    ) -> Result<(u32, u32), SignInError> {
        if password.chars().count() > LONGEST {
            return Err(SignInError::Wrong);
        }
        let failures = [Self::by_id("confirm", &person, FAILURES_ON_ACCOUNT)];
        self.refuse_guessers(&failures).await?;
        let turn = self.hasher.turn().await.map_err(|_| SignInError::Unavailable)?;
        self.refuse_guessers(&failures).await?;
        let known = self.credentials(person).await?.ok_or(SignInError::Wrong)?;
        let matches = turn.verify(password, Some(&known.hash)).await;
        if matches.map_err(|_| SignInError::Unavailable)? {
            return Ok((known.version, known.ended));
        }
        for counted in &failures {
            self.count_one(counted).await?;
        }
        Err(SignInError::Wrong)
    }

    fn failures(&self, realm: Realm, email: &str, ip: IpAddr) -> [Counted; 2] {
        let what = match realm {
            Realm::Portal => "sign_in",
            Realm::Staff => "staff_sign_in",
        };
        [self.by_email(what, email, FAILURES_ON_ACCOUNT), self.by_ip("sign_in_from", ip, FAILURES_FROM)]
    }

    async fn refuse_guessers(&self, limits: &[Counted]) -> Result<(), SignInError> {
        for counted in limits {
            if self.is_used_up(counted).await? {
                return Err(SignInError::TooMany);
            }
        }
        Ok(())
    }

    /// Who may sign in with an e-mail, and by what.
    async fn who(&self, realm: Realm, email: &str) -> Result<Option<(Person, Credentials)>, StoreError> {
        let person = self.person_with(realm, email).await?;
        // Also for nobody something is asked for, so that it takes as long.
        let asked = person.unwrap_or_else(|| nobody(realm));
        let credentials = self.credentials(asked).await?;
        let may = self.contact(asked).is_some_and(|contact| contact.may_sign_in);
        Ok(person.zip(credentials).filter(|_| may))
    }

    /// Sends a link that sets a new password to an e-mail, if somebody who may sign in has it. Whether anybody has
    /// is found out after this has answered, so that neither the answer nor its time tells.
    pub async fn forgot_password(
        self: &Arc<Self>,
        realm: Realm,
        email: &str,
        ip: IpAddr,
    ) -> Result<(), SignInError> {
        if email.len() > EMAIL_BYTES {
            return Ok(());
        }
        let from = self.by_ip("forgot_from", ip, FORGOTTEN_FROM);
        if self.count_one(&from).await? {
            return Err(SignInError::TooMany);
        }
        let what = match realm {
            Realm::Portal => "forgot",
            Realm::Staff => "staff_forgot",
        };
        let once_more = self.count_one(&self.by_email(what, email, FORGOTTEN_BY)).await?;
        if once_more {
            return Ok(());
        }
        let (app, email) = (Arc::clone(self), email.to_owned());
        self.do_later(async move {
            if let Err(error) = app.send_reset(realm, &email).await {
                tracing::warn!(%error, "a mail for a forgotten password was not written");
            }
        });
        Ok(())
    }

    async fn send_reset(&self, realm: Realm, email: &str) -> Result<(), super::ActError> {
        let Some(person) = self.person_with(realm, email).await? else { return Ok(()) };
        let Some(contact) = self.contact(person).filter(|contact| contact.may_sign_in) else { return Ok(()) };
        let message = match realm {
            Realm::Portal => Message::PasswordReset,
            Realm::Staff => Message::StaffPasswordReset,
        };
        let letter = Letter { to: contact.email, name: contact.name, person: Some(person), message };
        Ok(self.enqueue(letter).await?)
    }
}

/// An id that nobody has.
fn nobody(realm: Realm) -> Person {
    match realm {
        Realm::Portal => Person::Affiliate(crate::domain::id::AffiliateId::from_bits(0)),
        Realm::Staff => Person::Staff(crate::domain::id::StaffId::from_bits(0)),
    }
}
