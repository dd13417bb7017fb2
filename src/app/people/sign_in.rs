//! Signing in, and asking for a new password.

use super::limits::{
    Counted, FAILURES_FROM, FAILURES_OF_BROWSER, FAILURES_OF_BROWSERS, FAILURES_ON_ACCOUNT, FORGOTTEN_BY,
    FORGOTTEN_BY_BROWSER, FORGOTTEN_FROM,
};
use super::{ActError, App, NewSession, Session, SignInError};
use crate::app::actor::Actor;
use crate::domain::fact::{Fact, SignedOutEverywhere, StaffSignedOutEverywhere};
use crate::domain::known_browser::KnownBrowser;
use crate::domain::mail::{Letter, Message};
use crate::domain::password::{Credentials, LONGEST};
use crate::domain::person::{Person, Realm};
use crate::metrics::SignInOutcome;
use crate::store::StoreError;
use std::net::IpAddr;
use std::sync::Arc;

/// An e-mail that is longer belongs to no account.
const EMAIL_BYTES: usize = 254;
/// The most bytes of a password that are read: a character may take several.
const PASSWORD_BYTES: usize = LONGEST * 16;

/// What is known about the person who wants to sign in.
#[derive(Debug, Clone, Copy)]
pub struct Knock<'a> {
    /// The address of the request.
    pub ip: IpAddr,
    /// The browser's user agent.
    pub agent: &'a str,
    /// The token that the browser got when somebody signed in with it before.
    pub known_browser: Option<&'a str>,
}

/// The person with this e-mail and password.
struct Verified {
    person: Person,
    credentials: Credentials,
}

impl App {
    /// Signs a person in. The answer to an unknown e-mail is the same as to a wrong password, and takes as long.
    pub async fn sign_in(
        &self,
        realm: Realm,
        email: &str,
        password: &str,
        knock: &Knock<'_>,
    ) -> Result<NewSession, SignInError> {
        if email.len() > EMAIL_BYTES || password.len() > PASSWORD_BYTES {
            return Err(SignInError::Wrong);
        }
        let ended = match self.verified(realm, email, password, knock).await {
            Ok(Verified { person, credentials: known }) => {
                let begun = self.begin_session(person, (known.version, known.ended), knock.agent).await;
                begun.map_err(SignInError::from)
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

    async fn verified(
        &self,
        realm: Realm,
        email: &str,
        password: &str,
        knock: &Knock<'_>,
    ) -> Result<Verified, SignInError> {
        let known = self.who(realm, email).await?;
        let limits = self.failures(realm, email, known.as_ref(), knock);
        // Checked before waiting in the queue, so that guesses don't fill it …
        self.refuse_guessers(&limits).await?;
        let turn = self.people.hasher.turn().await.map_err(|_| SignInError::Unavailable)?;
        // … and after it, so that no more pass at once than there are turns.
        self.refuse_guessers(&limits).await?;
        let hash = known.as_ref().map(|known| &known.credentials.hash);
        let matches = turn.verify(password, hash).await.map_err(|_| SignInError::Unavailable)?;
        if let Some(known) = known.filter(|_| matches) {
            return Ok(known);
        }
        for counted in &limits {
            self.count_one(counted).await?;
        }
        Err(SignInError::Wrong)
    }

    /// Asks a person who is signed in for the password again, before something that a stolen session must not do.
    pub async fn confirm_password(&self, session: &Session, password: &str) -> Result<(), SignInError> {
        self.knows_password(session.person, password).await.map(drop)
    }

    /// Whether a person who is signed in knows the password; returns its version, and how often sessions were
    /// ended. These failures are counted separately: strangers who guess at the sign-in page must not keep the
    /// owner from a change.
    pub(super) async fn knows_password(
        &self,
        person: Person,
        password: &str,
    ) -> Result<(u32, u32), SignInError> {
        if password.len() > PASSWORD_BYTES {
            return Err(SignInError::Wrong);
        }
        let known = self.credentials(person).await?.ok_or(SignInError::Wrong)?;
        let failures = [Self::by_id("confirm", &format!("{person}:{}", known.version), FAILURES_ON_ACCOUNT)];
        self.refuse_guessers(&failures).await?;
        let turn = self.people.hasher.turn().await.map_err(|_| SignInError::Unavailable)?;
        self.refuse_guessers(&failures).await?;
        let matches = turn.verify(password, Some(&known.hash)).await;
        if matches.map_err(|_| SignInError::Unavailable)? {
            return Ok((known.version, known.ended));
        }
        for counted in &failures {
            self.count_one(counted).await?;
        }
        Err(SignInError::Wrong)
    }

    /// What failures count against. For strangers: the account and their address; for a browser that has signed in
    /// before: only itself, whatever strangers did. Failures for an account count per password: a new one begins
    /// at zero.
    fn failures(
        &self,
        realm: Realm,
        email: &str,
        known: Option<&Verified>,
        knock: &Knock<'_>,
    ) -> [Counted; 2] {
        if let Some(browser) =
            known.and_then(|known| self.known_browser(known.person, &known.credentials, knock))
        {
            let of_all = Self::by_id("sign_in_browsers", &browser.person, FAILURES_OF_BROWSERS);
            return [Self::by_id("sign_in_browser", &browser.id, FAILURES_OF_BROWSER), of_all];
        }
        let what = match realm {
            Realm::Portal => "sign_in",
            Realm::Staff => "staff_sign_in",
        };
        let version = known.map_or(0, |known| known.credentials.version);
        let on_account = self.by_email(&format!("{what}:{version}"), email, FAILURES_ON_ACCOUNT);
        [on_account, self.by_ip("sign_in_from", knock.ip, FAILURES_FROM)]
    }

    /// The browser of the request, if this person signed in with it before.
    fn known_browser(
        &self,
        person: Person,
        credentials: &Credentials,
        knock: &Knock<'_>,
    ) -> Option<KnownBrowser> {
        let browser = KnownBrowser::verify(knock.known_browser?, &self.keyring)?;
        (browser.person == person && browser.is_good(credentials.ended, self.now())).then_some(browser)
    }

    async fn refuse_guessers(&self, limits: &[Counted]) -> Result<(), SignInError> {
        for counted in limits {
            if self.is_used_up(counted).await? {
                return Err(SignInError::TooMany);
            }
        }
        Ok(())
    }

    /// Who may sign in with an e-mail, and with what.
    async fn who(&self, realm: Realm, email: &str) -> Result<Option<Verified>, StoreError> {
        let person = self.person_with(realm, email).await?;
        // The store is also asked when there is no such person, so that it takes as long.
        let asked = person.unwrap_or_else(|| nobody(realm));
        let credentials = self.credentials(asked).await?;
        let may = self.contact(asked).is_some_and(|contact| contact.may_sign_in);
        let known = person.zip(credentials).filter(|_| may);
        Ok(known.map(|(person, credentials)| Verified { person, credentials }))
    }

    /// Ends all sessions and open links of a person, and forgets the person's browsers; the password stays.
    pub async fn sign_out_everywhere(
        self: &Arc<Self>,
        actor: &Actor,
        person: Person,
    ) -> Result<(), ActError> {
        let fact: Fact = match person {
            Person::Affiliate(affiliate_id) => SignedOutEverywhere { affiliate_id }.into(),
            Person::Staff(staff_id) => StaffSignedOutEverywhere { staff_id }.into(),
        };
        self.act(actor, fact).await?;
        Ok(())
    }

    /// Sends a link that sets a new password to an e-mail, if it belongs to somebody who may sign in. Whether it
    /// does is found out after the answer, so that neither the answer nor its duration shows it. A repeated
    /// request within some minutes, also after a stranger's, is served by the mail that was sent already: its link
    /// lasts longer than that. A browser with which the person has signed in before gets its own mail.
    pub async fn forgot_password(
        self: &Arc<Self>,
        realm: Realm,
        email: &str,
        knock: &Knock<'_>,
    ) -> Result<(), SignInError> {
        if email.len() > EMAIL_BYTES {
            return Ok(());
        }
        let known = self.owner_of_browser(realm, email, knock).await?;
        if known.is_none() && self.count_one(&self.by_ip("forgot_from", knock.ip, FORGOTTEN_FROM)).await? {
            return Err(SignInError::TooMany);
        }
        let what = match realm {
            Realm::Portal => "forgot",
            Realm::Staff => "staff_forgot",
        };
        let mails = match known {
            Some(person) => Self::by_id("forgot_browsers", &person, FORGOTTEN_BY_BROWSER),
            None => self.by_email(what, email, FORGOTTEN_BY),
        };
        if !self.take_one(&mails).await? {
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

    /// The person whose browser asks, if the e-mail is that person's.
    async fn owner_of_browser(
        &self,
        realm: Realm,
        email: &str,
        knock: &Knock<'_>,
    ) -> Result<Option<Person>, StoreError> {
        let browser = knock.known_browser.and_then(|text| KnownBrowser::verify(text, &self.keyring));
        let person = browser.map(|browser| browser.person);
        let Some(person) = person.filter(|one| one.realm() == realm && self.has_email(*one, email)) else {
            return Ok(None);
        };
        let credentials = self.credentials(person).await?;
        Ok(credentials.filter(|known| self.known_browser(person, known, knock).is_some()).map(|_| person))
    }

    async fn send_reset(&self, realm: Realm, email: &str) -> Result<(), ActError> {
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
