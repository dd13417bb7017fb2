//! Facts about missing referrals that affiliates claim.

use super::puts::write_to;
use super::{Applied, Audit, Context, Effect, Kind, NotApplied, Subject, sentence};
use crate::app::actor::Actor;
use crate::app::layout::{MISSING, MISSING_OPEN, MISSING_OWED, affiliate_key, claim_key, missing_index};
use crate::app::work::Work;
use crate::domain::account::Refusal;
use crate::domain::affiliate::Affiliate;
use crate::domain::fact::{ClaimDecided, ClaimFiled};
use crate::domain::mail::Message;
use crate::domain::person::Permission;
use crate::domain::person::{ClaimState, MissingReferral};
use crate::metrics::FactKind;

impl Kind for ClaimFiled {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = 0;
    const AUDIT: Option<Audit> = Audit::saying(|_| sentence("Claimed a missing referral"));

    fn subject(&self) -> Subject<'_> {
        Subject::Directory
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.is(self.claim.affiliate_id)
    }
    fn documents(&self) -> Vec<String> {
        vec![affiliate_key(self.claim.affiliate_id), claim_key(self.claim.id)]
    }
    fn apply(&self, work: &mut Work, _: &Context<'_>) -> Applied {
        let (key, affiliate) = (claim_key(self.claim.id), self.claim.affiliate_id);
        work.need::<Affiliate>(&affiliate_key(affiliate), Refusal::UnknownAffiliate)?;
        if work.get::<MissingReferral>(&key)?.is_some() {
            return Ok(Effect::of(false));
        }
        for index in [MISSING.to_owned(), MISSING_OPEN.to_owned(), missing_index(affiliate)] {
            work.index(index, self.claim.id.to_string(), true);
        }
        work.put(&key, &self.claim)?;
        Ok(Effect::of(true))
    }
}

impl Kind for ClaimDecided {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = 1;
    const AUDIT: Option<Audit> = Audit::saying(|_| sentence("Decided a claim"));

    fn subject(&self) -> Subject<'_> {
        Subject::Directory
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.may(Permission::DecideClaims) && (self.account_id.is_none() || actor.may(Permission::Credit))
    }
    fn documents(&self) -> Vec<String> {
        vec![affiliate_key(self.affiliate_id), claim_key(self.claim_id)]
    }
    fn apply(&self, work: &mut Work, context: &Context<'_>) -> Applied {
        let (key, member) = (claim_key(self.claim_id), self.claim_id.to_string());
        let mut claim: MissingReferral = work.need(&key, Refusal::UnknownClaim)?;
        if claim.affiliate_id != self.affiliate_id {
            return Err(NotApplied::Refused(Refusal::UnknownClaim));
        }
        if claim.state != ClaimState::Open {
            return Err(Refusal::AlreadyDecided.into());
        }
        claim.state = if self.granted { ClaimState::Granted } else { ClaimState::Declined };
        claim.reason = Some(self.reason.clone());
        claim.decided_by = Some(context.by.to_owned());
        claim.decided_at = Some(context.at);
        claim.account_id = self.account_id.clone().filter(|_| self.granted);
        // The account is in another partition: the credit is a separate fact, and owed until it is applied.
        work.index(MISSING_OWED.to_owned(), member.clone(), claim.account_id.is_some());
        work.index(MISSING_OPEN.to_owned(), member, false);
        work.put(&key, &claim)?;
        if let Some(affiliate) = work.get::<Affiliate>(&affiliate_key(self.affiliate_id))? {
            let (granted, reason) = (self.granted, self.reason.clone());
            write_to(work, &affiliate, Message::ClaimDecided { granted, reason })?;
        }
        Ok(Effect::of(true))
    }
}
