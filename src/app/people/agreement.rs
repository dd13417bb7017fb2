//! The agreement: the text that affiliates sign, kept permanently from before its first signature.
//!
//! A version stands for one text. A node with another text for a known version neither starts nor accepts a
//! signature: nobody's name may appear under a text that they did not read.

use super::{ActError, App};
use crate::app::actor::Actor;
use crate::app::layout::agreement_key;
use crate::app::work::load_one;
use crate::domain::account::Refusal;
use crate::domain::affiliate::{Affiliate, Status};
use crate::domain::fact::{AffiliateChange, AffiliateChanged, AgreementPublished, AgreementSigned};
use crate::domain::id::AffiliateId;
use crate::domain::input::{Name, PaypalEmail};
use crate::domain::person::{Agreement, Signature};
use crate::store::{Finding, Partition, StoreError};
use std::net::IpAddr;
use std::sync::Arc;

impl App {
    /// The agreement that affiliates sign now.
    pub fn agreement(&self) -> &Agreement {
        &self.settings.agreement
    }
    /// Whether an affiliate has not signed the present agreement; a closed affiliate need not.
    pub fn must_sign(&self, affiliate: &Affiliate) -> bool {
        affiliate.status() != Status::Closed && !affiliate.has_signed(&self.agreement().version)
    }

    /// Signs the present agreement with a typed name; after the first signature the affiliate's links earn.
    pub async fn sign_agreement(
        self: &Arc<Self>,
        id: AffiliateId,
        name: &Name,
        ip: IpAddr,
    ) -> Result<(), ActError> {
        self.publish_agreement().await?;
        let agreement = self.agreement();
        let signature = Signature {
            version: agreement.version.clone(),
            sha256: agreement.sha256.clone(),
            name: name.to_string(),
            ip: ip.to_canonical().to_string(),
            at: self.now(),
        };
        self.act(&Actor::Affiliate(id), AgreementSigned { affiliate_id: id, signature }).await?;
        Ok(())
    }

    /// Journals the present text once, before anybody signs it.
    async fn publish_agreement(self: &Arc<Self>) -> Result<(), ActError> {
        let agreement = self.agreement();
        let ended = match self.published(&agreement.version).await? {
            Some(known) if known.sha256 == agreement.sha256 => return Ok(()),
            Some(_) => Err(ActError::Refused(Refusal::AgreementChanged)),
            None => {
                let agreement = agreement.clone();
                self.act(&Actor::server(), AgreementPublished { agreement }).await.map(drop)
            }
        };
        match ended {
            Err(ActError::Refused(refusal)) => {
                tracing::error!(version = agreement.version, %refusal, "nobody can sign the agreement");
                Err(ActError::Unavailable)
            }
            // The text is on disk, but nothing is signed yet.
            Err(ActError::Deferred) => Err(ActError::Unavailable),
            other => other,
        }
    }

    /// The text that a version stands for, if it may have been signed.
    pub async fn published(&self, version: &str) -> Result<Option<Agreement>, StoreError> {
        load_one(self.store.as_ref(), Partition::Directory, &agreement_key(version)).await
    }
    /// The very text that a signature is under.
    pub async fn signed_text(&self, signature: &Signature) -> Result<Option<Agreement>, StoreError> {
        let known = self.published(&signature.version).await?;
        Ok(known.filter(|known| known.sha256 == signature.sha256))
    }

    /// What is wrong with the configured agreement: its version already stands for another text.
    pub(crate) async fn agreement_trouble(&self) -> Result<Option<String>, StoreError> {
        let ours = self.agreement();
        let known = self.published(&ours.version).await?.filter(|known| known.sha256 != ours.sha256);
        Ok(known.map(|known| {
            format!(
                "portal.agreement_file: the agreement {} was put to use with another text (SHA-256 {}…, now {}…); \
                 bring that text back, or give the new one a version of its own in portal.agreement_version",
                ours.version,
                beginning(&known.sha256),
                beginning(&ours.sha256),
            )
        }))
    }

    /// What an operator should know about the agreement.
    pub(crate) async fn inspect_agreement(&self) -> Finding {
        let found = |ok: bool, text: String| Finding { check: "agreement", ok, text };
        if self.config().signs_the_sample() {
            return found(false, SAMPLE_IN_USE.to_owned());
        }
        match self.agreement_trouble().await {
            Ok(None) => {
                let Agreement { version, sha256, .. } = self.agreement();
                found(true, format!("{version}, SHA-256 {}…", beginning(sha256)))
            }
            Ok(Some(trouble)) => found(false, trouble),
            Err(error) => found(false, format!("failed to {error}")),
        }
    }

    /// Sets where payouts go, as entered on the page on which an affiliate signs for the first time: the address
    /// in the application may be mistyped, or somebody else's.
    pub async fn settle_paypal(
        self: &Arc<Self>,
        id: AffiliateId,
        paypal_email: Option<PaypalEmail>,
    ) -> Result<(), ActError> {
        let directory = self.directory();
        let affiliate = directory.affiliate(id).ok_or(ActError::Refused(Refusal::UnknownAffiliate))?;
        if affiliate.status() != Status::Activated {
            return Err(ActError::Refused(Refusal::WrongStatus));
        }
        let before = affiliate.profile.clone();
        let paypal_email = paypal_email.map(String::from);
        if before.paypal_email == paypal_email {
            return Ok(());
        }
        let mut profile = before.clone();
        profile.paypal_email = paypal_email;
        let change =
            AffiliateChange { before: Some(before), profile: Some(profile), ..AffiliateChange::default() };
        self.act(&Actor::Affiliate(id), AffiliateChanged { affiliate_id: id, change }).await?;
        Ok(())
    }
}

/// What operators are told when people elsewhere would sign our sample text.
pub(crate) const SAMPLE_IN_USE: &str =
    "affiliates sign our sample text; name the file of your own in portal.agreement_file";

/// The beginning of a hash, long enough for people to compare.
fn beginning(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}
