//! An account as it is kept: what was told of it, what we decided, how staff judged it.
//!
//! Each fact about an account is one method here, which says what became of the fact. Facts arrive
//! late, twice and in any order, and are applied again after a crash: a method that meets what it did
//! before changes nothing.

use super::attribution::Attribution;
use super::fact::{Delivery, ReviewAction, Signup};
use super::id::{AccountId, AffiliateId, NodeId};
use super::outcome::{FactOutcome, HoldReason, Reason};
use super::statement::{AccountEvent, Change, Referral};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// A claim that was not followed by a decision for so long may be taken over by another node.
pub const CLAIM_LIFETIME: TimeDelta = TimeDelta::seconds(30);
/// Nodes that may wait for another node's decision on one signup.
pub const MAX_PENDING: usize = 8;
/// Conflicts that are shown with an account; later ones stand in the journal only.
pub const MAX_CONFLICTS: usize = 16;

/// The journaled fact that something came from: compares as facts are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    /// When the node received it.
    pub at: DateTime<Utc>,
    /// Which node.
    pub node: NodeId,
    /// Its position in the node's journal.
    pub position: u64,
}

/// A signup that a node is about to decide on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The signup's record.
    pub origin: Origin,
    /// When the claim was made; after an outage of the store, long after the signup was received.
    pub claimed_at: DateTime<Utc>,
    /// The signup.
    pub signup: Signup,
}

/// What became of a reported signup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignupOutcome {
    /// The account is free, and ours to decide on.
    Claimed,
    /// The same was reported before, and is being decided.
    Pending,
    /// The same was decided before.
    Replayed,
    /// Something else was reported before.
    Conflict,
}

/// Why staff's wish can't be met; nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// No such account, or no signup of it yet.
    #[error("find the account's signup")]
    UnknownAccount,
    /// The account is credited to nobody.
    #[error("find an affiliate that is credited with the account")]
    NotReferred,
    /// No such affiliate.
    #[error("find the affiliate")]
    UnknownAffiliate,
    /// No such link.
    #[error("find the link")]
    UnknownLink,
    /// The affiliate's status does not allow the step.
    #[error("take this step from the affiliate's present status")]
    WrongStatus,
    /// Another affiliate has this e-mail.
    #[error("use an e-mail that another affiliate has")]
    EmailTaken,
    /// Another affiliate has this referral code.
    #[error("use a referral code that another affiliate has")]
    CodeTaken,
    /// The affiliate is not active: it can't have links yet.
    #[error("make a link for an affiliate that is not active")]
    NotActive,
    /// The month is closed already, with other bytes, or by a later run.
    #[error("close a month's statement twice")]
    AlreadyClosed,
}

impl Refusal {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::UnknownAccount => "unknown_account",
            Self::NotReferred => "not_referred",
            Self::UnknownAffiliate => "unknown_affiliate",
            Self::UnknownLink => "unknown_link",
            Self::WrongStatus => "wrong_status",
            Self::EmailTaken => "email_taken",
            Self::CodeTaken => "code_taken",
            Self::NotActive => "affiliate_not_active",
            Self::AlreadyClosed => "already_closed",
        }
    }
}

/// An event with the delivery that brought it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptEvent {
    /// The event.
    #[serde(flatten)]
    pub event: AccountEvent,
    /// The delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
}

/// A referral waits for review, or was waved off.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Standing {
    /// Since when it is held, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_since: Option<DateTime<Utc>>,
    /// Why it is held.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hold_reasons: Vec<HoldReason>,
    /// Since when it is rejected, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected_since: Option<DateTime<Utc>>,
}

/// What staff did to an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// The record of it: applied twice, it is known by this.
    pub origin: Origin,
    /// Who.
    pub by: String,
    /// What: `hold`, `release`, `reject` or `credit`.
    pub action: String,
    /// Why.
    pub reason: String,
    /// Who was credited before, for a credit by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credited_before: Option<AffiliateId>,
    /// Who is credited since, for a credit by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credited_since: Option<AffiliateId>,
}

/// A report that contradicted what stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// The record of it.
    pub origin: Origin,
    /// What it was: `signup` or `event:<id>`.
    pub what: String,
}

/// An account, with all that is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The company's name for it.
    pub id: AccountId,
    /// A node is deciding on its signup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// The same signup, as other nodes received it while the claim stood: if the claim's node never comes
    /// back, one of them decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<Claim>,
    /// The signup that stands, with its record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signup: Option<Claim>,
    /// What was decided about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribution: Option<Attribution>,
    /// Who is credited now: as decided, or as staff corrected it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credited_to: Option<AffiliateId>,
    /// Its events, by (`occurred_at`, `event_id`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<KeptEvent>,
    /// How it was judged.
    #[serde(default)]
    pub standing: Standing,
    /// What staff did, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<Action>,
    /// Reports that contradicted what stands; at most [`MAX_CONFLICTS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<Conflict>,
}

impl Account {
    /// An account of which nothing is known yet.
    pub const fn new(id: AccountId) -> Self {
        Self {
            id,
            claim: None,
            pending: Vec::new(),
            signup: None,
            attribution: None,
            credited_to: None,
            events: Vec::new(),
            standing: Standing { held_since: None, hold_reasons: Vec::new(), rejected_since: None },
            actions: Vec::new(),
            conflicts: Vec::new(),
        }
    }

    /// Takes in a reported signup.
    pub fn report_signup(&mut self, signup: &Signup, origin: Origin, now: DateTime<Utc>) -> SignupOutcome {
        if self.delivery_contradicts(signup.delivery.as_ref()) {
            return SignupOutcome::Conflict;
        }
        if let Some(standing) = &self.signup {
            return if standing.signup.says_the_same(signup) {
                SignupOutcome::Replayed
            } else {
                SignupOutcome::Conflict
            };
        }
        match &self.claim {
            Some(claim) if claim.origin == origin => SignupOutcome::Claimed,
            Some(claim) if !claim.signup.says_the_same(signup) => SignupOutcome::Conflict,
            Some(claim) if claim.origin.node == origin.node => SignupOutcome::Pending,
            Some(_) => {
                let waits = |claim: &Claim| claim.origin.node == origin.node;
                if !self.pending.iter().any(waits) && self.pending.len() < MAX_PENDING {
                    self.pending.push(Claim { origin, claimed_at: now, signup: signup.clone() });
                }
                SignupOutcome::Pending
            }
            None => {
                self.claim = Some(Claim { origin, claimed_at: now, signup: signup.clone() });
                SignupOutcome::Claimed
            }
        }
    }

    /// Takes over the claim of a node that never came back, if `node` received the same signup and the
    /// claim is older than [`CLAIM_LIFETIME`].
    pub fn take_over(&mut self, node: NodeId, now: DateTime<Utc>) -> Option<Claim> {
        let claim = self.claim.as_ref()?;
        if claim.origin.node == node || now - claim.claimed_at <= CLAIM_LIFETIME {
            return None;
        }
        let place = self.pending.iter().position(|claim| claim.origin.node == node)?;
        let ours = Claim { claimed_at: now, ..self.pending.remove(place) };
        self.claim = Some(ours.clone());
        Some(ours)
    }
    /// Nodes that may have to decide on it.
    pub fn deciding_nodes(&self) -> impl Iterator<Item = NodeId> {
        self.claim.iter().chain(&self.pending).map(|claim| claim.origin.node)
    }

    /// Takes in a decision about a signup; answers whether it stands.
    ///
    /// Two nodes may both have decided when a store forgot a claim. The signup received first stands,
    /// so that all replays in whatever order end alike.
    pub fn decide(&mut self, signup: &Signup, origin: Origin, attribution: &Attribution) -> bool {
        if self.signup.as_ref().is_some_and(|standing| standing.origin <= origin) {
            return false;
        }
        self.claim = None;
        self.pending.clear();
        self.signup = Some(Claim { origin, claimed_at: origin.at, signup: signup.clone() });
        self.attribution = Some(attribution.clone());
        if self.actions.iter().all(|action| action.action != CREDIT) {
            self.credited_to = attribution.affiliate_id;
            if !attribution.holds.is_empty() && self.standing == Standing::default() {
                self.standing.held_since = Some(origin.at);
                self.standing.hold_reasons.clone_from(&attribution.holds);
            }
        }
        true
    }

    /// Takes in an event.
    pub fn report_event(&mut self, event: &AccountEvent, delivery: Option<&Delivery>) -> FactOutcome {
        if self.delivery_contradicts(delivery) {
            return FactOutcome::Conflict;
        }
        if let Some(known) = self.events.iter().find(|kept| kept.event.event_id == event.event_id) {
            return if known.event == *event { FactOutcome::Replayed } else { FactOutcome::Conflict };
        }
        let key = |event: &AccountEvent| (event.occurred_at, event.event_id.clone());
        let place = self.events.partition_point(|kept| key(&kept.event) < key(event));
        self.events.insert(place, KeptEvent { event: event.clone(), delivery: delivery.cloned() });
        if matches!(event.change, Change::Unknown { .. }) { FactOutcome::Ignored } else { FactOutcome::New }
    }

    /// Notes a report that contradicted what stands.
    pub fn note_conflict(&mut self, origin: Origin, what: String) {
        let known = self.conflicts.iter().any(|conflict| conflict.origin == origin);
        if !known && self.conflicts.len() < MAX_CONFLICTS {
            self.conflicts.push(Conflict { origin, what });
        }
    }

    /// Takes in how staff judged the referral; answers whether that changed anything.
    pub fn review(
        &mut self,
        action: ReviewAction,
        reason: &str,
        by: &str,
        origin: Origin,
    ) -> Result<bool, Refusal> {
        if self.actions.iter().any(|known| known.origin == origin) {
            return Ok(false);
        }
        self.signup.as_ref().ok_or(Refusal::UnknownAccount)?;
        self.credited_to.ok_or(Refusal::NotReferred)?;
        let before = self.standing.clone();
        let name = match action {
            ReviewAction::Hold => {
                self.standing.held_since.get_or_insert(origin.at);
                if !self.standing.hold_reasons.contains(&HoldReason::Staff) {
                    self.standing.hold_reasons.push(HoldReason::Staff);
                }
                "hold"
            }
            ReviewAction::Release => {
                self.standing = Standing::default();
                "release"
            }
            ReviewAction::Reject => {
                self.standing.rejected_since.get_or_insert(origin.at);
                "reject"
            }
        };
        if before == self.standing {
            return Ok(false);
        }
        self.act(name, reason, by, origin);
        Ok(true)
    }

    /// Takes in a credit by hand, as of the signup; answers whether that changed anything. The referral
    /// starts afresh with its new affiliate: neither held nor rejected.
    pub fn credit(
        &mut self,
        affiliate: Option<AffiliateId>,
        reason: &str,
        by: &str,
        origin: Origin,
    ) -> Result<bool, Refusal> {
        if self.actions.iter().any(|known| known.origin == origin) {
            return Ok(false);
        }
        self.signup.as_ref().ok_or(Refusal::UnknownAccount)?;
        if self.credited_to == affiliate {
            return Ok(false);
        }
        let before = std::mem::replace(&mut self.credited_to, affiliate);
        self.standing = Standing::default();
        let action = self.act(CREDIT, reason, by, origin);
        action.credited_before = before;
        action.credited_since = affiliate;
        Ok(true)
    }

    fn act(&mut self, name: &str, reason: &str, by: &str, origin: Origin) -> &mut Action {
        let (by, reason) = (by.to_owned(), reason.to_owned());
        self.actions.push(Action {
            origin,
            by,
            action: name.to_owned(),
            reason,
            credited_before: None,
            credited_since: None,
        });
        let last = self.actions.len() - 1;
        &mut self.actions[last]
    }

    /// Whether a delivery's id was seen with other bytes.
    fn delivery_contradicts(&self, delivery: Option<&Delivery>) -> bool {
        let Some(delivery) = delivery else { return false };
        let claims = [&self.signup, &self.claim];
        let signups = claims.into_iter().flatten().filter_map(|claim| claim.signup.delivery.as_ref());
        let events = self.events.iter().filter_map(|kept| kept.delivery.as_ref());
        signups.chain(events).any(|seen| seen.id == delivery.id && seen.body != delivery.body)
    }

    /// Whether it is credited to somebody; `None`: its signup has not come yet.
    pub fn referred(&self) -> Option<bool> {
        self.signup.as_ref().map(|_| self.credited_to.is_some())
    }
    /// Whether it is held for review.
    pub fn is_held(&self) -> bool {
        self.standing.held_since.is_some() && self.standing.rejected_since.is_none()
    }
    /// Why it is credited, or is not.
    pub fn reason(&self) -> Option<Reason> {
        self.attribution.as_ref().map(|attribution| attribution.reason)
    }
    /// As statements see it; `None` if it is credited to nobody.
    pub fn referral(&self) -> Option<Referral> {
        self.credited_to?;
        let signup = &self.signup.as_ref()?.signup;
        Some(Referral {
            account_id: self.id.clone(),
            plan: signup.plan.clone(),
            signed_up_at: signup.signed_up_at,
            active: signup.active,
            events: self.events.iter().map(|kept| kept.event.clone()).collect(),
            held_since: self.standing.held_since,
            rejected: self.standing.rejected_since.is_some(),
        })
    }
}

const CREDIT: &str = "credit";
