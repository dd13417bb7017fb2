//! People: applications, sign-in, one-time links, addresses, the agreement, claims, notes, staff.
//!
//! What people do is a fact like any other, [applied](super::facts) with its effects: documents, audit log, mail.
//! Only sessions and limits are not facts: they are kept only in the store, and lost with it.

mod affiliates;
mod agreement;
mod claims;
mod contact;
mod hasher;
mod limits;
mod links;
mod one_time_links;
mod sign_in;
mod staff;
#[cfg(test)]
mod tests;

pub use affiliates::{ChangedAffiliate, NewAffiliate};
pub(crate) use agreement::SAMPLE_IN_USE;
pub use claims::NewClaim;
pub use contact::{ConfirmError, Confirmed};
pub(crate) use hasher::Hasher;
pub use links::NewLink;
pub use sign_in::Knock;
pub use staff::NewStaff;

use super::actor::Actor;
use super::layout::{credentials_key, email_key};
use super::work::{decode, load_one};
use super::{App, ReadError, SubmitError, Submitted};
use crate::domain::account::Refusal;
use crate::domain::email::canonical_email;
use crate::domain::fact::Fact;
use crate::domain::id::AffiliateId;
use crate::domain::input::BadInput;
use crate::domain::mail::Asked;
use crate::domain::one_time::{OneTimeError, Present};
use crate::domain::outcome::FactOutcome;
use crate::domain::password::{BadPassword, Credentials};
use crate::domain::person::{Person, Realm, same_email};
use crate::store::{Partition, StoreError};
use std::sync::Arc;

pub use super::sessions::{NewSession, Session};

/// How many notes about an affiliate are kept to be shown, the newest; the audit log has all.
pub const NOTES: usize = 200;

/// Why a person could not sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// No such account, a wrong password, or an account that may not sign in; the answer does not say which.
    #[error("sign in with this e-mail and password")]
    Wrong,
    /// Too many failures from this address or for this account, whether it exists or not.
    #[error("sign in after too many failures")]
    TooMany,
    /// The store does not answer, or the server is too busy.
    #[error("sign in while the server can't check the password")]
    Unavailable,
}

/// Why an action was not done.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// It was not taken in: nothing was kept.
    #[error("{0}")]
    NotTaken(#[from] SubmitError),
    /// Invalid fields, each with the reason.
    #[error("accept invalid input")]
    Invalid(Vec<(&'static str, BadInput)>),
    /// The rules don't allow it.
    #[error("{0}")]
    Refused(Refusal),
    /// It was done too often.
    #[error("do this as often")]
    TooMany,
    /// It is on disk, and will be done when the store is back; it must not be sent again.
    #[error("wait for the store")]
    Deferred,
    /// Nothing was kept; it can be tried again.
    #[error("reach the store or the journal")]
    Unavailable,
}

/// Why a password was not set.
#[derive(Debug, thiserror::Error)]
pub enum SetPasswordError {
    /// The link is not valid.
    #[error("{0}")]
    Link(#[from] OneTimeError),
    /// The new password is not allowed.
    #[error("{0}")]
    Password(#[from] BadPassword),
    /// The present password is wrong.
    #[error("verify the present password")]
    Wrong,
    /// Too many failures.
    #[error("change a password after too many failures")]
    TooMany,
    /// The new password is on disk and will be in effect when the store is back.
    #[error("wait for the store")]
    Deferred,
    /// Nothing was kept; it can be tried again.
    #[error("reach the store or the journal")]
    Unavailable,
}

/// Why a link could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The link is not valid.
    #[error("{0}")]
    Link(#[from] OneTimeError),
    /// The store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// What a valid link is for, to be shown on a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenLink {
    /// The content of the link.
    pub link: crate::domain::one_time::OneTime,
    /// The person's name.
    pub name: String,
    /// The person's e-mail.
    pub email: String,
}

/// A person who may have an account.
#[derive(Debug, Clone)]
pub(crate) struct Contact {
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) email_changes: u32,
    pub(crate) paypal_email: Option<String>,
    pub(crate) paypal_changes: u32,
    pub(crate) may_sign_in: bool,
}

impl App {
    /// The name of the person who is recorded as `by`; otherwise `by` itself.
    pub fn name_of(&self, by: &str) -> String {
        let person = by.parse::<Person>().ok().and_then(|person| self.contact(person));
        person.map_or_else(|| by.to_owned(), |contact| contact.name)
    }

    /// Where a person is reached.
    pub(crate) fn contact(&self, person: Person) -> Option<Contact> {
        let directory = self.directory();
        match person {
            Person::Affiliate(id) => directory.affiliate(id).map(|affiliate| Contact {
                name: affiliate.profile.name.clone(),
                email: affiliate.profile.email.clone(),
                email_changes: affiliate.addresses.email_changes,
                paypal_email: affiliate.profile.paypal_email.clone(),
                paypal_changes: affiliate.addresses.paypal_changes,
                may_sign_in: affiliate.may_sign_in(),
            }),
            Person::Staff(id) => directory.staff_member(id).map(|member| Contact {
                name: member.name.clone(),
                email: member.email.clone(),
                // A member's links end by being disabled.
                email_changes: member.disablings,
                paypal_email: None,
                paypal_changes: 0,
                may_sign_in: member.disabled_at.is_none(),
            }),
        }
    }

    /// Whether an e-mail is the person's present one, in either of its forms.
    pub(crate) fn has_email(&self, person: Person, email: &str) -> bool {
        let email = canonical_email(email);
        self.contact(person).is_some_and(|one| same_email(&canonical_email(&one.email), &email))
    }

    /// Who signs in with an e-mail; a replaced address is nobody's. It is looked up in the form that is kept now
    /// and as it was typed, which is how it was kept formerly. All lookups are done whether the person exists or
    /// not.
    pub(crate) async fn person_with(&self, realm: Realm, email: &str) -> Result<Option<Person>, StoreError> {
        let person = match realm {
            Realm::Portal => {
                let keys = [email_key(&canonical_email(email)), email_key(email)];
                let docs = self.store.load(Partition::Directory, &keys).await?;
                let ids = docs.into_iter().flatten().map(|doc| decode(&keys[0], &doc.body));
                let people = ids.collect::<Result<Vec<AffiliateId>, _>>()?.into_iter().map(Person::Affiliate);
                // If two people have the address in its two forms, the older account may sign in.
                let people: Vec<Person> = people.collect();
                let may = |person: &&Person| self.contact(**person).is_some_and(|one| one.may_sign_in);
                people.iter().rev().find(may).or(people.first()).copied()
            }
            Realm::Staff => {
                let directory = self.directory();
                let member =
                    directory.staff_with(&canonical_email(email)).or_else(|| directory.staff_with(email));
                member.map(|member| Person::Staff(member.id))
            }
        };
        Ok(person.filter(|person| self.has_email(*person, email)))
    }

    /// What a person signs in with.
    pub(crate) async fn credentials(&self, person: Person) -> Result<Option<Credentials>, StoreError> {
        load_one(self.store.as_ref(), Partition::Directory, &credentials_key(person)).await
    }

    /// Accepts what a person did: every act of people and of staff's programs goes through here.
    pub async fn act(self: &Arc<Self>, actor: &Actor, fact: impl Into<Fact>) -> Result<Submitted, ActError> {
        let submitted = self.submit(actor, fact.into()).await?;
        match submitted.outcome {
            FactOutcome::Deferred => Err(ActError::Deferred),
            FactOutcome::Refused | FactOutcome::Conflict => {
                Err(ActError::Refused(submitted.refusal.unwrap_or(Refusal::WrongStatus)))
            }
            _ => Ok(submitted),
        }
    }
}

impl Contact {
    pub(crate) fn present(&self, credential_version: u32) -> Present<'_> {
        Present {
            credential_version,
            email: &self.email,
            email_changes: self.email_changes,
            paypal_email: self.paypal_email.as_deref(),
            paypal_changes: self.paypal_changes,
        }
    }
    /// The state of the account, for what was requested just now.
    pub(crate) const fn asked(&self, credentials: u32) -> Asked {
        Asked { credentials, addresses: self.email_changes.saturating_add(self.paypal_changes) }
    }
}

impl From<StoreError> for ActError {
    fn from(error: StoreError) -> Self {
        unavailable(&error);
        Self::Unavailable
    }
}

impl From<StoreError> for SignInError {
    fn from(error: StoreError) -> Self {
        unavailable(&error);
        Self::Unavailable
    }
}

impl From<StoreError> for SetPasswordError {
    fn from(error: StoreError) -> Self {
        unavailable(&error);
        Self::Unavailable
    }
}

impl From<LinkError> for SetPasswordError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Link(error) => error.into(),
            LinkError::Store(error) => error.into(),
        }
    }
}

impl From<ReadError> for ActError {
    fn from(error: ReadError) -> Self {
        unavailable(&error);
        Self::Unavailable
    }
}

fn unavailable(error: &dyn std::fmt::Display) {
    tracing::warn!(%error, "the store could not be asked about a person");
}
