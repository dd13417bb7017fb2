//! Claims of missing referrals, and notes about affiliates.

use super::limits::CLAIMS_OF;
use super::{ActError, App};
use crate::app::actor::Actor;
use crate::app::layout::{MISSING, MISSING_OPEN, MISSING_OWED, claim_key, missing_index, notes_key};
use crate::app::work::{decode, load_one};
use crate::domain::account::Refusal;
use crate::domain::fact::{ClaimDecided, ClaimFiled, Credit, NoteAdded};
use crate::domain::id::{AccountId, AffiliateId, ClaimId};
use crate::domain::input::{Name, Reason, Text};
use crate::domain::person::{ClaimState, MissingReferral, Note};
use crate::store::{Partition, StoreError};
use chrono::TimeDelta;
use std::sync::Arc;

/// What an affiliate claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewClaim {
    /// The account's id, if the affiliate knows it.
    pub account_hint: Option<AccountId>,
    /// The customer's company.
    pub company: Name,
    /// Why the affiliate should be credited.
    pub evidence: Text,
}

impl App {
    /// Files a claim: the affiliate referred a customer who is missing.
    pub async fn file_claim(
        self: &Arc<Self>,
        affiliate_id: AffiliateId,
        claim: NewClaim,
    ) -> Result<ClaimId, ActError> {
        if !self.directory().affiliate(affiliate_id).is_some_and(|one| one.may_act()) {
            return Err(ActError::Refused(Refusal::WrongStatus));
        }
        if self.count_one(&Self::by_id("claims", &affiliate_id, CLAIMS_OF)).await? {
            return Err(ActError::TooMany);
        }
        let id = ClaimId::random();
        let claim = MissingReferral {
            id,
            affiliate_id,
            account_hint: claim.account_hint.map(|id| id.to_string()),
            company: claim.company.into(),
            evidence: claim.evidence.into(),
            filed_at: self.now(),
            state: ClaimState::Open,
            reason: None,
            decided_by: None,
            decided_at: None,
            account_id: None,
        };
        self.act(&Actor::Affiliate(affiliate_id), ClaimFiled { claim }).await?;
        Ok(id)
    }

    /// Decides a claim; the first decision counts. If an account is named, a granted claim credits it to the
    /// affiliate; if the server stops in between, [this is done later](Self::credit_what_is_owed).
    pub async fn decide_claim(
        self: &Arc<Self>,
        actor: &Actor,
        claim_id: ClaimId,
        granted: bool,
        reason: &Reason,
        credit: Option<&AccountId>,
    ) -> Result<(), ActError> {
        let claim = self.claim(claim_id).await?.ok_or(ActError::Refused(Refusal::UnknownClaim))?;
        if claim.state != ClaimState::Open {
            return Err(ActError::Refused(Refusal::AlreadyDecided));
        }
        let account_id = credit.filter(|_| granted).cloned();
        if let Some(id) = &account_id
            && self.account(id).await?.is_none_or(|account| account.signup.is_none())
        {
            return Err(ActError::Refused(Refusal::UnknownAccount));
        }
        // Checked before the claim is granted: a grant that can't be credited would be a broken promise.
        if account_id.is_some()
            && let Some(refusal) = self.refuses_credit_to(claim.affiliate_id).await
        {
            return Err(ActError::Refused(refusal));
        }
        let (affiliate_id, reason) = (claim.affiliate_id, reason.to_string());
        self.act(actor, ClaimDecided { claim_id, affiliate_id, granted, reason, account_id }).await?;
        match self.claim(claim_id).await.map_err(ActError::from)? {
            Some(decided) => self.credit_claim(&decided).await.map_err(|error| {
                // It is decided and on disk; what is owed is credited a little later.
                tracing::warn!(claim = %claim_id, %error, "a granted claim is not credited yet");
                ActError::Deferred
            }),
            None => Ok(()),
        }
    }

    /// Credits the account of a granted claim. Repeating it has no further effect.
    async fn credit_claim(self: &Arc<Self>, claim: &MissingReferral) -> Result<(), ActError> {
        let Some(account_id) = claim.account_id.clone() else { return Ok(()) };
        let credit = Credit {
            account_id,
            affiliate_id: Some(claim.affiliate_id),
            reason: claim.reason.clone().unwrap_or_default(),
            claim_id: Some(claim.id),
            ends_judgement: true,
        };
        let decided_by = Actor::Server(claim.decided_by.as_deref().unwrap_or_default().into());
        self.act(&decided_by, credit).await.map(drop)
    }

    /// Credits what was granted more than `age` ago and is not credited yet, because a server stopped in between.
    pub(crate) async fn credit_what_is_owed(self: &Arc<Self>, age: TimeDelta) -> Result<(), ActError> {
        if self.is_recovering().await? {
            return Ok(());
        }
        let now = self.now();
        for claim in self.claims_in(MISSING_OWED.to_owned()).await? {
            if claim.decided_at.is_some_and(|at| now - at >= age) {
                match self.credit_claim(&claim).await {
                    Err(ActError::Refused(refusal)) => {
                        tracing::error!(claim = %claim.id, %refusal, "a granted claim can't be credited");
                    }
                    ended => ended?,
                }
            }
        }
        Ok(())
    }

    /// A claim.
    pub async fn claim(&self, id: ClaimId) -> Result<Option<MissingReferral>, StoreError> {
        load_one(self.store.as_ref(), Partition::Directory, &claim_key(id)).await
    }
    /// All claims, or those that staff have not decided; the oldest first.
    pub async fn claims(&self, open_only: bool) -> Result<Vec<MissingReferral>, StoreError> {
        self.claims_in(if open_only { MISSING_OPEN } else { MISSING }.to_owned()).await
    }
    /// The claims of an affiliate, the oldest first.
    pub async fn claims_of(&self, affiliate: AffiliateId) -> Result<Vec<MissingReferral>, StoreError> {
        self.claims_in(missing_index(affiliate)).await
    }
    async fn claims_in(&self, index: String) -> Result<Vec<MissingReferral>, StoreError> {
        let lists = self.store.load_indexed(Partition::Directory, &[index], "claim:").await?;
        let docs = lists.into_iter().flatten();
        let mut claims: Vec<MissingReferral> =
            docs.map(|doc| decode("claim", &doc?.body)).collect::<Result<_, _>>()?;
        claims.sort_by_key(|claim| (claim.filed_at, claim.id));
        Ok(claims)
    }

    /// Writes a note about an affiliate, for staff.
    pub async fn add_note(
        self: &Arc<Self>,
        actor: &Actor,
        affiliate_id: AffiliateId,
        text: Text,
    ) -> Result<(), ActError> {
        self.act(actor, NoteAdded { affiliate_id, text: text.into() }).await?;
        Ok(())
    }
    /// The newest [`NOTES`](super::NOTES) notes about an affiliate, the oldest first.
    pub async fn notes(&self, affiliate: AffiliateId) -> Result<Vec<Note>, StoreError> {
        let notes = load_one(self.store.as_ref(), Partition::Directory, &notes_key(affiliate)).await?;
        Ok(notes.unwrap_or_default())
    }
}
