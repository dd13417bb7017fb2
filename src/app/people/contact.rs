//! Where people are reached and paid: a new address counts only after a mail has confirmed it.

use super::limits::CHANGES_OF;
use super::{ActError, App};
use crate::app::actor::Actor;
use crate::domain::account::Refusal;
use crate::domain::affiliate::Profile;
use crate::domain::fact::{AffiliateChange, AffiliateChanged};
use crate::domain::id::AffiliateId;
use crate::domain::input::{Email, PaypalEmail};
use crate::domain::mail::{Asked, Letter, Message};
use crate::domain::one_time::{LinkKind, OneTimeError};
use crate::domain::person::{Person, Realm, same_email};
use std::sync::Arc;

/// What a link confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmed {
    /// Mail goes to the new address.
    Email {
        /// Payouts wait because of it.
        held: bool,
    },
    /// Payouts go to the new address.
    Paypal {
        /// There was no address before.
        first: bool,
        /// Payouts wait because of it.
        held: bool,
    },
}

/// Why a change was not confirmed.
#[derive(Debug, thiserror::Error)]
pub enum ConfirmError {
    /// The link is not valid.
    #[error("{0}")]
    Link(#[from] OneTimeError),
    /// The change was refused.
    #[error("{0}")]
    Act(#[from] ActError),
}

impl App {
    /// Asks the owner of a new e-mail to confirm it. Whether somebody else has the address is checked after the
    /// answer, so that neither the answer nor its duration shows it.
    pub async fn ask_to_change_email(self: &Arc<Self>, id: AffiliateId, new: &Email) -> Result<(), ActError> {
        let (profile, asked) = self.changing(id).await?;
        let (app, new) = (Arc::clone(self), new.to_string());
        self.do_later(async move {
            if let Err(error) = app.ask_new_email(id, profile, asked, new).await {
                tracing::warn!(%error, "a mail to a new address was not written");
            }
        });
        Ok(())
    }
    async fn ask_new_email(
        &self,
        id: AffiliateId,
        profile: Profile,
        asked: Asked,
        new: String,
    ) -> Result<(), ActError> {
        if same_email(&profile.email, &new) || self.person_with(Realm::Portal, &new).await?.is_some() {
            return Ok(());
        }
        let message = Message::ConfirmEmail { new_email: new.clone(), asked };
        let person = Some(Person::Affiliate(id));
        Ok(self.enqueue(Letter { to: new, name: profile.name, person, message }).await?)
    }

    /// Asks, by mail to the affiliate's own address, to confirm another address for payouts.
    pub async fn ask_to_change_paypal(&self, id: AffiliateId, new: &PaypalEmail) -> Result<(), ActError> {
        let (profile, asked) = self.changing(id).await?;
        if profile.paypal_email.as_deref().is_some_and(|present| same_email(present, new.as_str())) {
            return Ok(());
        }
        let first = profile.paypal_email.is_none();
        let message = Message::ConfirmPaypal { new_email: new.to_string(), first, asked };
        let person = Some(Person::Affiliate(id));
        Ok(self.enqueue(Letter { to: profile.email, name: profile.name, person, message }).await?)
    }

    async fn changing(&self, id: AffiliateId) -> Result<(Profile, Asked), ActError> {
        let directory = self.directory();
        let affiliate = directory.affiliate(id).ok_or(ActError::Refused(Refusal::UnknownAffiliate))?;
        if !affiliate.may_act() {
            return Err(ActError::Refused(Refusal::WrongStatus));
        }
        if self.count_one(&Self::by_id("changes", &id, CHANGES_OF)).await? {
            return Err(ActError::TooMany);
        }
        let credentials = self.credentials(Person::Affiliate(id)).await?;
        let credentials = credentials.map_or(0, |credentials| credentials.generation());
        let asked = Asked { credentials, addresses: affiliate.addresses.changes() };
        Ok((affiliate.profile.clone(), asked))
    }

    /// Does what a link confirms. The change itself uses the link up.
    pub async fn confirm_change(self: &Arc<Self>, token: &str) -> Result<Confirmed, ConfirmError> {
        let (link, ..) = self.open_link(token).await.map_err(|error| match error {
            super::LinkError::Link(error) => ConfirmError::Link(error),
            super::LinkError::Store(error) => ConfirmError::Act(error.into()),
        })?;
        let (Person::Affiliate(id), Some(address)) = (link.person, link.new_address) else {
            return Err(OneTimeError::Bad.into());
        };
        let directory = self.directory();
        let affiliate = directory.affiliate(id).filter(|one| one.may_act()).ok_or(OneTimeError::Spent)?;
        let (before, held) = (affiliate.profile.clone(), affiliate.holds_when_changed());
        let mut profile = before.clone();
        let confirmed = match link.kind {
            LinkKind::ConfirmEmail => {
                profile.email = address;
                Confirmed::Email { held }
            }
            LinkKind::ConfirmPaypal => {
                let first = profile.paypal_email.replace(address).is_none();
                Confirmed::Paypal { first, held }
            }
            LinkKind::Activate | LinkKind::Reset | LinkKind::InviteStaff => {
                return Err(OneTimeError::Bad.into());
            }
        };
        let change =
            AffiliateChange { before: Some(before), profile: Some(profile), ..AffiliateChange::default() };
        self.act(&Actor::Affiliate(id), AffiliateChanged { affiliate_id: id, change }).await?;
        Ok(confirmed)
    }
}
