//! An account as it is kept: what was reported about it, what was decided, how staff judged it.
//!
//! Each fact about an account is one method here, which returns what the fact did. Facts arrive late, twice
//! and in any order, and are applied again after a crash: a method that sees a fact for the second time
//! changes nothing.

use super::attribution::Attribution;
use super::fact::{Delivery, ReviewAction, Signup, same_instant};
use super::id::{AccountId, AffiliateId, ClaimId, NodeId};
use super::named::named;
use super::outcome::{FactOutcome, HoldReason};
use super::statement::{AccountEvent, Change, Referral};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// After this time without a decision, another node may take over a reservation.
pub const CLAIM_LIFETIME: TimeDelta = TimeDelta::seconds(30);
/// How many nodes may wait for another node's decision on one signup.
pub const MAX_PENDING: usize = 8;
/// How many events are kept in the account's own document. Later ones have documents of their own, so that
/// the work for one more event does not grow with their number.
pub const EVENTS_WITHIN: usize = 32;
/// How many events one report may move out of the account's own document.
const MOST_AT_ONCE: usize = 256;
/// How many conflicts are shown with an account; later ones are only in the journal.
pub const MAX_CONFLICTS: usize = 16;

/// The journaled fact that something came from. Origins compare in the order of the facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    /// When the node received it.
    pub at: DateTime<Utc>,
    /// The node that received it.
    pub node: NodeId,
    /// Its position in the node's journal.
    pub position: u64,
}

/// The reservation of a signup: the node that holds it decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// The signup's record.
    pub origin: Origin,
    /// When the reservation was made; after an outage of the store, long after the signup was received.
    pub claimed_at: DateTime<Utc>,
    /// The signup.
    pub signup: Signup,
}

/// What a reported signup led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignupOutcome {
    /// Unclaimed so far: this node has reserved it and decides.
    Claimed,
    /// The same signup was reported before, and is being decided.
    Pending,
    /// The same signup was decided before.
    Replayed,
    /// Another signup was reported before.
    Conflict,
}

named! {
    /// Why staff's wish can't be met; nothing changed.
    pub enum Refusal {
        /// No such account, or no signup of it yet.
        UnknownAccount = "unknown_account",
        /// The account is credited to nobody.
        NotReferred = "not_referred",
        /// No such affiliate.
        UnknownAffiliate = "unknown_affiliate",
        /// The affiliate never was active: nothing could have been earned.
        NeverActive = "affiliate_never_active",
        /// No such link.
        UnknownLink = "unknown_link",
        /// It is its affiliate's default link.
        DefaultLink = "default_link",
        /// The affiliate's status does not allow the step.
        WrongStatus = "wrong_status",
        /// Somebody else has this e-mail.
        EmailTaken = "email_taken",
        /// Another affiliate has this referral code.
        CodeTaken = "code_taken",
        /// The affiliate is not active: it can't have links yet.
        NotActive = "affiliate_not_active",
        /// The month is closed already, with other bytes, or by a later run.
        AlreadyClosed = "already_closed",
        /// Another password was set since: a link was used twice, or two people changed it at once.
        PasswordReplaced = "password_replaced",
        /// No such member of staff, or one that is disabled.
        UnknownStaff = "unknown_staff",
        /// Nobody would be left who may manage staff.
        LastAdmin = "last_admin",
        /// The affiliate has as many links as it may have.
        TooManyLinks = "too_many_links",
        /// No such claim.
        UnknownClaim = "unknown_claim",
        /// The agreement's version stands for another text.
        AgreementChanged = "agreement_changed",
        /// No fact is set aside there, or a person decided about it already.
        NotSetAside = "not_set_aside",
        /// The fact is in another node's journal.
        OfAnotherNode = "of_another_node",
        /// The fact can't be read or applied as things stand.
        StillUnreadable = "still_unreadable",
        /// Staff decided about the claim already.
        AlreadyDecided = "already_decided",
        /// No such payout batch.
        UnknownPayout = "unknown_payout",
        /// The affiliate has no item in the batch.
        UnknownPayoutItem = "unknown_payout_item",
        /// The batch's status does not allow it.
        WrongPayoutStatus = "wrong_payout_status",
        /// The item's status does not allow it.
        WrongItemStatus = "wrong_item_status",
        /// The batch is not what was looked at.
        PayoutChanged = "payout_changed",
        /// Another person must approve what this one made.
        SecondPerson = "second_person_required",
        /// Another payout pays the same statement.
        StatementInPayout = "statement_in_payout",
        /// An item is not the sum of what it pays, or not above zero.
        WrongPayoutSum = "wrong_payout_sum",
        /// The part was exported before, or by somebody else at the same time.
        ExportedBefore = "exported_before",
        /// A call to PayPal about the item is under way, or was made only once.
        SendUnderWay = "send_under_way",
        /// Payouts were made already.
        PayoutsBegun = "payouts_begun",
        /// No line by hand has this key.
        UnknownLine = "unknown_line",
        /// The key stands for a line by hand with another amount or reason.
        LineDiffers = "line_differs",
        /// The affiliate has as many open lines by hand as it may have.
        TooManyLines = "too_many_lines",
        /// A line by hand was taken back while its month was closing.
        LinesChanged = "lines_changed",
    }
}

impl Refusal {
    /// Whether the refusal is final: no fact that another node still has to replay can change it.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::PasswordReplaced)
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

/// What is kept apart from the account's document about a reported event and the delivery that brings it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Apart {
    /// The event, if it is kept apart.
    pub event: Option<KeptEvent>,
    /// The delivery with the same id, if it brought an event that is kept apart.
    pub delivery: Option<Delivery>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// How staff judged a referral: held, rejected, or neither.
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

impl Standing {
    /// An action that only a newer version knows changes nothing here.
    fn judge(&mut self, action: &str, at: DateTime<Utc>) {
        match action {
            HOLD => {
                self.held_since.get_or_insert(at);
                if !self.hold_reasons.contains(&HoldReason::Staff) {
                    self.hold_reasons.push(HoldReason::Staff);
                }
            }
            RELEASE => *self = Self::default(),
            REJECT => drop(self.rejected_since.get_or_insert(at)),
            _ => {}
        }
    }
}

/// What staff did to an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaffAction {
    /// The record of the action: it identifies an action that is applied twice.
    pub origin: Origin,
    /// Who did it.
    pub by: String,
    /// `hold`, `release`, `reject` or `credit`.
    pub action: String,
    /// The reason that was given.
    pub reason: String,
    /// The affiliate that was credited before a credit by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credited_before: Option<AffiliateId>,
    /// The affiliate that is credited since a credit by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credited_since: Option<AffiliateId>,
    /// The claim that this credit granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<ClaimId>,
    /// Whether a credit ends a hold or a rejection even if the affiliate stays the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ends_judgement: bool,
    /// The action changes nothing at its place in the order, unless an earlier one comes in later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub idle: bool,
}

impl StaffAction {
    fn new(name: &str, reason: &str, by: &str, origin: Origin) -> Self {
        Self {
            origin,
            by: by.to_owned(),
            action: name.to_owned(),
            reason: reason.to_owned(),
            credited_before: None,
            credited_since: None,
            claim: None,
            ends_judgement: false,
            idle: false,
        }
    }
}

/// A report that contradicts an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// The record of the report.
    pub origin: Origin,
    /// What was reported: `signup` or `event:<id>`.
    pub what: String,
}

/// An account, with everything that is known about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The company's name for it.
    pub id: AccountId,
    /// The reservation of the node that is deciding on its signup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Reservation>,
    /// The same signup as other nodes received it during the reservation: if the deciding node never comes
    /// back, one of them decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<Reservation>,
    /// The signup that is valid, with its record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signup: Option<Reservation>,
    /// The decision about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribution: Option<Attribution>,
    /// Who is credited now: by the decision, or by a correction of staff.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credited_to: Option<AffiliateId>,
    /// Its events, by (`occurred_at`, `event_id`). In the store: the first [`EVENTS_WITHIN`]; with all events
    /// read: all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<KeptEvent>,
    /// How many more events are kept apart from the account's document.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub events_apart: u64,
    /// How staff judged it.
    #[serde(default)]
    pub standing: Standing,
    /// What staff did, by origin. Who is credited and how the referral was judged are computed from these in
    /// order, so that the order in which nodes report them does not matter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<StaffAction>,
    /// Reports that contradict earlier ones; at most [`MAX_CONFLICTS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<Conflict>,
}

impl Account {
    /// An account about which nothing is known yet.
    pub const fn new(id: AccountId) -> Self {
        Self {
            id,
            claim: None,
            pending: Vec::new(),
            signup: None,
            attribution: None,
            credited_to: None,
            events: Vec::new(),
            events_apart: 0,
            standing: Standing { held_since: None, hold_reasons: Vec::new(), rejected_since: None },
            actions: Vec::new(),
            conflicts: Vec::new(),
        }
    }

    /// Applies a reported signup. `seen` is the delivery with its id, if one is kept apart.
    pub fn report_signup(
        &mut self,
        signup: &Signup,
        seen: Option<&Delivery>,
        origin: Origin,
        now: DateTime<Utc>,
    ) -> SignupOutcome {
        if self.delivery_contradicts(signup.delivery.as_ref(), seen) {
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
                let waits = |claim: &Reservation| claim.origin.node == origin.node;
                if !self.pending.iter().any(waits) && self.pending.len() < MAX_PENDING {
                    self.pending.push(Reservation { origin, claimed_at: now, signup: signup.clone() });
                }
                SignupOutcome::Pending
            }
            None => {
                self.claim = Some(Reservation { origin, claimed_at: now, signup: signup.clone() });
                SignupOutcome::Claimed
            }
        }
    }

    /// Takes over the reservation of a node that does not come back, if `node` received the same signup and
    /// the reservation is older than [`CLAIM_LIFETIME`].
    pub fn take_over(&mut self, node: NodeId, now: DateTime<Utc>) -> Option<Reservation> {
        let claim = self.claim.as_ref()?;
        if claim.origin.node == node || now - claim.claimed_at <= CLAIM_LIFETIME {
            return None;
        }
        let place = self.pending.iter().position(|claim| claim.origin.node == node)?;
        let ours = Reservation { claimed_at: now, ..self.pending.remove(place) };
        self.claim = Some(ours.clone());
        Some(ours)
    }
    /// Nodes that may have to decide on it.
    pub fn deciding_nodes(&self) -> impl Iterator<Item = NodeId> {
        self.claim.iter().chain(&self.pending).map(|claim| claim.origin.node)
    }

    /// Applies a decision about a signup; returns whether it is valid.
    ///
    /// Two nodes may both have decided when a store lost a reservation. The signup that was received first is
    /// valid, so that replays in any order end with the same result. Signups that differ from it are
    /// conflicts.
    pub fn decide(&mut self, signup: &Signup, origin: Origin, attribution: &Attribution) -> bool {
        if self.signup.as_ref().is_some_and(|standing| standing.origin <= origin) {
            if self.contradicts(signup) {
                self.note_conflict(origin, "signup".to_owned());
            }
            return false;
        }
        let others = self.claim.take().into_iter().chain(self.pending.drain(..)).chain(self.signup.take());
        let lost: Vec<_> = others.filter(|other| !other.signup.says_the_same(signup)).collect();
        for other in lost {
            self.note_conflict(other.origin, "signup".to_owned());
        }
        self.signup = Some(Reservation { origin, claimed_at: origin.at, signup: signup.clone() });
        self.attribution = Some(attribution.clone());
        self.fold();
        true
    }

    /// Whether a valid signup differs from this one.
    pub fn contradicts(&self, signup: &Signup) -> bool {
        self.signup.as_ref().is_some_and(|standing| !standing.signup.says_the_same(signup))
    }

    /// Applies an event. `apart` is what is kept apart about this event and its delivery, and is updated in
    /// place. Afterwards [`Self::take_events_to_keep_apart`] returns what no longer fits into the account's
    /// own document.
    pub fn report_event(
        &mut self,
        event: &AccountEvent,
        delivery: Option<&Delivery>,
        apart: &mut Apart,
    ) -> FactOutcome {
        if self.delivery_contradicts(delivery, apart.delivery.as_ref()) {
            return FactOutcome::Conflict;
        }
        let within = self.events.iter_mut().find(|kept| kept.event.event_id == event.event_id);
        let key = |event: &AccountEvent| (event.occurred_at, event.event_id.clone());
        if let Some(known) = within.or(apart.event.as_mut()) {
            let outcome = report_known_event(known, event, delivery);
            self.events.sort_by_key(|kept| key(&kept.event));
            return outcome;
        }
        let place = self.events.partition_point(|kept| key(&kept.event) < key(event));
        self.events.insert(place, KeptEvent { event: event.clone(), delivery: delivery.cloned() });
        if matches!(event.change, Change::Unknown { .. }) { FactOutcome::Ignored } else { FactOutcome::New }
    }

    /// Takes out the events that have to be kept apart: nearly always one at most. An account of an older
    /// version, which kept all of them inside, gives away some with each report.
    pub fn take_events_to_keep_apart(&mut self) -> Vec<KeptEvent> {
        let stay = EVENTS_WITHIN.max(self.events.len().saturating_sub(MOST_AT_ONCE));
        let apart = self.events.split_off(self.events.len().min(stay));
        self.events_apart += apart.len() as u64;
        apart
    }

    /// Puts the events that are kept apart back in their places.
    pub fn put_events_back(&mut self, apart: Vec<KeptEvent>) {
        self.events.extend(apart);
        self.events.sort_by(|one, other| {
            (one.event.occurred_at, &one.event.event_id)
                .cmp(&(other.event.occurred_at, &other.event.event_id))
        });
        // An event that was moved during the reading was read in both places.
        self.events.dedup_by(|one, other| one.event.event_id == other.event.event_id);
        self.events_apart = 0;
    }

    /// The account without its history: enough to answer a request.
    #[must_use]
    pub fn without_history(mut self) -> Self {
        self.events = Vec::new();
        self.actions = Vec::new();
        self.conflicts = Vec::new();
        self
    }

    /// Adds a report that contradicts an earlier one.
    pub fn note_conflict(&mut self, origin: Origin, what: String) {
        let known = self.conflicts.iter().any(|conflict| conflict.origin == origin);
        if !known && self.conflicts.len() < MAX_CONFLICTS {
            self.conflicts.push(Conflict { origin, what });
        }
    }

    /// Whether staff may judge it; checked before the action is journaled. An action that was journaled while
    /// the account was credited to nobody is kept, and has no effect.
    pub fn may_be_reviewed(&self) -> Result<(), Refusal> {
        self.signup.as_ref().ok_or(Refusal::UnknownAccount)?;
        self.credited_to.map(drop).ok_or(Refusal::NotReferred)
    }

    /// Applies a judgement of staff about the referral; returns whether it changed anything.
    pub fn review(
        &mut self,
        action: ReviewAction,
        reason: &str,
        by: &str,
        origin: Origin,
    ) -> Result<bool, Refusal> {
        let name = match action {
            ReviewAction::Hold => HOLD,
            ReviewAction::Release => RELEASE,
            ReviewAction::Reject => REJECT,
        };
        self.act(StaffAction::new(name, reason, by, origin))
    }

    /// Applies a credit by hand, valid from the signup on; returns whether it changed anything. The referral
    /// starts again as neither held nor rejected, even if it was credited to the same affiliate before.
    pub fn credit(
        &mut self,
        affiliate: Option<AffiliateId>,
        ends_judgement: bool,
        (reason, by): (&str, &str),
        origin: Origin,
    ) -> Result<bool, Refusal> {
        let credit = StaffAction::new(CREDIT, reason, by, origin);
        self.act(StaffAction { credited_since: affiliate, ends_judgement, ..credit })
    }

    /// Applies the credit that grants a claim. It counts once, by its first record, whatever staff did with
    /// the account since.
    pub fn credit_claim(
        &mut self,
        claim: ClaimId,
        affiliate: Option<AffiliateId>,
        ends_judgement: bool,
        (reason, by): (&str, &str),
        origin: Origin,
    ) -> Result<bool, Refusal> {
        let granted = |known: &StaffAction| known.claim == Some(claim);
        if self.actions.iter().any(|known| granted(known) && known.origin <= origin) {
            return Ok(false);
        }
        self.actions.retain(|known| !granted(known));
        let credit = StaffAction::new(CREDIT, reason, by, origin);
        self.act(StaffAction { credited_since: affiliate, claim: Some(claim), ends_judgement, ..credit })
    }

    /// The actions of staff that changed something, oldest first.
    pub fn effective_actions(&self) -> impl DoubleEndedIterator<Item = &StaffAction> {
        self.actions.iter().filter(|action| !action.idle)
    }

    fn act(&mut self, action: StaffAction) -> Result<bool, Refusal> {
        self.signup.as_ref().ok_or(Refusal::UnknownAccount)?;
        if self.actions.iter().any(|known| known.origin == action.origin) {
            return Ok(false);
        }
        self.actions.push(action);
        let (credited, standing) = (self.credited_to, self.standing.clone());
        self.fold();
        Ok((credited, standing) != (self.credited_to, self.standing.clone()))
    }

    /// Computes who is credited and how the referral was judged: the decision first, then the actions of
    /// staff in order.
    fn fold(&mut self) {
        let decided = self.attribution.as_ref();
        self.credited_to = decided.and_then(|decided| decided.affiliate_id);
        self.standing = Standing::default();
        if let (Some(signup), Some(decided)) = (&self.signup, decided)
            && !decided.holds.is_empty()
        {
            self.standing.held_since = Some(signup.origin.at);
            self.standing.hold_reasons.clone_from(&decided.holds);
        }
        self.actions.sort_by_key(|action| action.origin);
        for action in &mut self.actions {
            let before = (self.credited_to, self.standing.clone());
            if action.action == CREDIT {
                action.credited_before = before.0;
                if action.ends_judgement || before.0 != action.credited_since {
                    self.credited_to = action.credited_since;
                    self.standing = Standing::default();
                }
            } else if self.credited_to.is_some() {
                self.standing.judge(&action.action, action.origin.at);
            }
            action.idle = before == (self.credited_to, self.standing.clone());
        }
    }

    /// Whether a delivery with the same id had other content.
    fn delivery_contradicts(&self, delivery: Option<&Delivery>, apart: Option<&Delivery>) -> bool {
        let Some(delivery) = delivery else { return false };
        let claims = [&self.signup, &self.claim];
        let signups = claims.into_iter().flatten().filter_map(|claim| claim.signup.delivery.as_ref());
        let events = self.events.iter().filter_map(|kept| kept.delivery.as_ref());
        signups.chain(events).chain(apart).any(|seen| seen.id == delivery.id && seen.body != delivery.body)
    }

    /// Whether it is credited to an affiliate; `None`: its signup has not come yet.
    pub fn referred(&self) -> Option<bool> {
        self.signup.as_ref().map(|_| self.credited_to.is_some())
    }
    /// Whether it is held for review.
    pub fn is_held(&self) -> bool {
        self.standing.held_since.is_some() && self.standing.rejected_since.is_none()
    }
    /// The referral as statements use it; `None` if the account is credited to nobody.
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

/// Applies an event whose id is known.
///
/// Two instants that differ only by rounding are the same, and the earlier one is valid. Of an event without
/// effect and one with an effect, with the same id and instant, the one with an effect is valid. The order
/// does not matter, so all replays end with the same result.
fn report_known_event(
    known: &mut KeptEvent,
    event: &AccountEvent,
    delivery: Option<&Delivery>,
) -> FactOutcome {
    let has_effect = |event: &AccountEvent| !matches!(event.change, Change::Unknown { .. });
    if !same_instant(known.event.occurred_at, event.occurred_at) {
        return FactOutcome::Conflict;
    }
    let outcome = match (has_effect(&known.event), has_effect(event)) {
        (false, true) => {
            known.event.change = event.change.clone();
            known.delivery = delivery.cloned();
            FactOutcome::New
        }
        (true, false) => FactOutcome::Replayed,
        _ if known.event.change == event.change => FactOutcome::Replayed,
        _ => return FactOutcome::Conflict,
    };
    known.event.occurred_at = known.event.occurred_at.min(event.occurred_at);
    outcome
}

const HOLD: &str = "hold";
const RELEASE: &str = "release";
const REJECT: &str = "reject";
const CREDIT: &str = "credit";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fact::Evidence;
    use crate::domain::naive::credited;
    use crate::domain::outcome::Reason;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_767_276_000 + second, 0).expect("a time")
    }
    fn origin(node: u64, second: i64) -> Origin {
        let position = u64::try_from(second).expect("not before the beginning");
        Origin { at: at(second), node: NodeId::from_bits(node), position }
    }
    fn account() -> Account {
        Account::new("acct".parse().expect("an id"))
    }
    fn signup(plan: &str) -> Signup {
        Signup {
            account_id: "acct".parse().expect("an id"),
            plan: plan.parse().expect("a plan"),
            signed_up_at: at(0),
            active: true,
            evidence: Evidence::default(),
            delivery: None,
            warnings: Vec::new(),
        }
    }
    fn credited_to_ann() -> Attribution {
        credited(Some(7), &[])
    }
    fn event(id: &str, second: i64, change: Change) -> AccountEvent {
        AccountEvent { event_id: id.parse().expect("an id"), occurred_at: at(second), change }
    }
    fn delivery(id: &str, body: &str) -> Delivery {
        Delivery { id: id.to_owned(), body: body.to_owned() }
    }

    #[test]
    fn the_first_report_claims_and_what_follows_waits_or_contradicts() {
        let mut account = account();
        let table = [
            (origin(1, 1), "growth", SignupOutcome::Claimed),
            (origin(1, 1), "growth", SignupOutcome::Claimed),
            (origin(1, 2), "growth", SignupOutcome::Pending),
            (origin(2, 3), "growth", SignupOutcome::Pending),
            (origin(2, 4), "connect", SignupOutcome::Conflict),
        ];
        for (origin, plan, outcome) in table {
            assert_eq!(account.report_signup(&signup(plan), None, origin, at(5)), outcome, "{origin:?}");
        }
        assert_eq!(account.referred(), None);
        assert_eq!(account.deciding_nodes().count(), 2);
        assert!(account.decide(&signup("growth"), origin(1, 1), &credited(Some(7), &[])));
        assert_eq!(account.deciding_nodes().count(), 0);
        assert_eq!(
            account.report_signup(&signup("growth"), None, origin(3, 9), at(9)),
            SignupOutcome::Replayed
        );
        assert_eq!(
            account.report_signup(&signup("connect"), None, origin(3, 9), at(9)),
            SignupOutcome::Conflict
        );
        assert_eq!(
            (account.referred(), account.attribution.map(|one| one.reason)),
            (Some(true), Some(Reason::Attributed))
        );
    }

    #[test]
    fn of_two_decisions_the_signup_received_first_stands_in_whatever_order_they_come() {
        let decisions = [(origin(1, 5), 7), (origin(2, 4), 8)];
        for order in [[0, 1], [1, 0]] {
            let mut account = account();
            for index in order {
                let (origin, affiliate) = decisions[index];
                account.decide(&signup("growth"), origin, &credited(Some(affiliate), &[]));
            }
            assert_eq!(account.credited_to, Some(AffiliateId::from_bits(8)));
        }
    }

    #[test]
    fn a_signup_with_other_facts_that_was_claimed_while_another_one_was_decided_is_a_conflict() {
        let mut account = account();
        let claimed = account.report_signup(&signup("connect"), None, origin(2, 9), at(9));
        assert_eq!(claimed, SignupOutcome::Claimed);
        account.decide(&signup("growth"), origin(1, 1), &credited_to_ann());
        let conflict = [Conflict { origin: origin(2, 9), what: "signup".to_owned() }];
        assert_eq!(account.conflicts, conflict);
        // Its node decides all the same; the conflict is the same for both orders of the two decisions.
        assert!(!account.decide(&signup("connect"), origin(2, 9), &credited_to_ann()));
        assert_eq!(account.conflicts, conflict);
        let mut replayed = Account::new(account.id.clone());
        replayed.decide(&signup("connect"), origin(2, 9), &credited_to_ann());
        assert!(replayed.decide(&signup("growth"), origin(1, 1), &credited_to_ann()));
        assert_eq!(replayed, account);
        let mut same = Account::new(account.id);
        same.report_signup(&signup("growth"), None, origin(2, 9), at(9));
        same.decide(&signup("growth"), origin(1, 1), &credited_to_ann());
        assert_eq!(same.conflicts, []);
    }

    #[test]
    fn only_a_node_with_the_same_signup_takes_over_a_claim_that_is_too_old() {
        let mut account = account();
        account.report_signup(&signup("growth"), None, origin(1, 0), at(100));
        account.report_signup(&signup("growth"), None, origin(2, 1), at(100));
        let (second, third) = (NodeId::from_bits(2), NodeId::from_bits(3));
        // The age counts from the reservation: the signup itself may have waited for the store.
        assert_eq!(account.take_over(second, at(130)), None);
        assert_eq!(account.take_over(NodeId::from_bits(1), at(131)), None);
        assert_eq!(account.take_over(third, at(131)), None);
        let taken = account.take_over(second, at(131)).expect("the claim is too old");
        assert_eq!((taken.origin, taken.claimed_at), (origin(2, 1), at(131)));
        assert_eq!(account.take_over(second, at(131)), None);
    }

    #[test]
    fn events_are_kept_in_order_once() {
        let mut account = account();
        let table = [
            (event("b", 2, Change::Suspended), FactOutcome::New),
            (event("a", 2, Change::Activated), FactOutcome::New),
            (event("c", 1, Change::Unknown { name: "upgraded".into() }), FactOutcome::Ignored),
            (event("b", 2, Change::Suspended), FactOutcome::Replayed),
            (event("b", 3, Change::Suspended), FactOutcome::Conflict),
        ];
        for (event, outcome) in table {
            assert_eq!(account.report_event(&event, None, &mut Apart::default()), outcome, "{event:?}");
        }
        let order: Vec<&str> = account.events.iter().map(|kept| kept.event.event_id.as_str()).collect();
        assert_eq!(order, ["c", "a", "b"]);
    }

    #[test]
    fn an_event_with_an_effect_replaces_one_without_whichever_comes_first() {
        let canceled = event("e", 2, Change::Canceled);
        let unknown = |name: &str, second| event("e", second, Change::Unknown { name: name.into() });
        let table = [
            (unknown("cancelled", 2), canceled.clone(), FactOutcome::New, &canceled),
            (canceled.clone(), unknown("cancelled", 2), FactOutcome::Replayed, &canceled),
            (unknown("cancelled", 3), canceled.clone(), FactOutcome::Conflict, &unknown("cancelled", 3)),
            (unknown("a", 2), unknown("a", 2), FactOutcome::Replayed, &unknown("a", 2)),
            (unknown("a", 2), unknown("b", 2), FactOutcome::Conflict, &unknown("a", 2)),
            (canceled.clone(), event("e", 2, Change::Suspended), FactOutcome::Conflict, &canceled),
        ];
        for (first, second, outcome, kept) in table {
            let mut account = account();
            account.report_event(&first, Some(&delivery("one", "x")), &mut Apart::default());
            // The sender got no answer and sends again: the same delivery, which this version reads
            // differently.
            let again = account.report_event(&second, Some(&delivery("one", "x")), &mut Apart::default());
            assert_eq!(again, outcome, "{first:?} {second:?}");
            assert_eq!(account.events.iter().map(|kept| &kept.event).collect::<Vec<_>>(), [kept]);
        }
    }

    #[test]
    fn an_instant_that_was_rounded_on_its_way_is_the_same_and_the_first_stands() {
        let rounded = |event: &AccountEvent| {
            let occurred_at = event.occurred_at + TimeDelta::nanoseconds(999_999);
            AccountEvent { occurred_at, ..event.clone() }
        };
        let mut account = account();
        let first = event("e", 2, Change::Canceled);
        account.report_event(&first, None, &mut Apart::default());
        assert_eq!(
            account.report_event(&rounded(&first), None, &mut Apart::default()),
            FactOutcome::Replayed
        );
        assert_eq!(
            account.report_event(&rounded(&rounded(&first)), None, &mut Apart::default()),
            FactOutcome::Conflict
        );
        assert_eq!(account.events[0].event, first);

        let first = signup("growth");
        let again = Signup { signed_up_at: at(0) + TimeDelta::nanoseconds(999_999), ..first.clone() };
        account.report_signup(&first, None, origin(1, 1), at(1));
        assert_eq!(account.report_signup(&again, None, origin(1, 2), at(2)), SignupOutcome::Pending);
        account.decide(&first, origin(1, 1), &credited(None, &[]));
        assert_eq!(account.report_signup(&again, None, origin(1, 3), at(3)), SignupOutcome::Replayed);
        assert_eq!(account.signup.map(|claim| claim.signup), Some(first));
    }

    #[test]
    fn of_two_instants_of_one_event_within_a_millisecond_the_earlier_stands_whichever_comes_first() {
        let unknown = Change::Unknown { name: "cancelled".into() };
        for first_change in [Change::Canceled, unknown] {
            let early = event("e", 2, first_change);
            let late = AccountEvent {
                occurred_at: early.occurred_at + TimeDelta::microseconds(400),
                ..event("e", 2, Change::Canceled)
            };
            let between = AccountEvent {
                occurred_at: early.occurred_at + TimeDelta::microseconds(200),
                ..event("d", 2, Change::Suspended)
            };
            let after = |order: [&AccountEvent; 3]| {
                let mut account = account();
                for event in order {
                    assert_ne!(
                        account.report_event(event, None, &mut Apart::default()),
                        FactOutcome::Conflict
                    );
                }
                account.events
            };
            let events = after([&early, &between, &late]);
            assert_eq!(events[0].event.occurred_at, early.occurred_at);
            assert_eq!(after([&late, &between, &early]), events);
            assert_eq!(after([&between, &late, &early]), events);
        }
        let mut apart = Apart {
            event: Some(KeptEvent { event: event("e", 2, Change::Canceled), delivery: None }),
            delivery: None,
        };
        let mut earlier = event("e", 2, Change::Canceled);
        earlier.occurred_at -= TimeDelta::microseconds(400);
        assert_eq!(account().report_event(&earlier, None, &mut apart), FactOutcome::Replayed);
        assert_eq!(apart.event.map(|kept| kept.event), Some(earlier));
    }

    /// As the store keeps them: what does not fit into the account's document, by event and by delivery.
    #[test]
    fn events_kept_apart_are_known_again_and_read_back_in_order() {
        let mut account = account();
        let (mut events, mut deliveries) =
            (std::collections::HashMap::new(), std::collections::HashMap::new());
        let count = i64::try_from(EVENTS_WITHIN).expect("a few") + 10;
        let report = |number: i64, change: Change| event(&format!("e{number:03}"), count - number, change);
        let mut outcomes = Vec::new();
        for round in 0..3 {
            for number in 0..count {
                // In the last round each event differs from its first report.
                let change = if round == 2 { Change::Suspended } else { Change::Activated };
                let event = report(number, change);
                let by = delivery(&format!("d{number}-{round}"), "x");
                let id = event.event_id.as_str().to_owned();
                let mut apart =
                    Apart { event: events.remove(&id), delivery: deliveries.get(&by.id).cloned() };
                let outcome = account.report_event(&event, Some(&by), &mut apart);
                outcomes.push(outcome);
                for kept in account.take_events_to_keep_apart().into_iter().chain(apart.event) {
                    deliveries.extend(kept.delivery.iter().map(|by| (by.id.clone(), by.clone())));
                    events.insert(kept.event.event_id.as_str().to_owned(), kept);
                }
                assert!(account.events.len() <= EVENTS_WITHIN);
            }
        }
        let expected = [FactOutcome::New, FactOutcome::Replayed, FactOutcome::Conflict];
        assert!(
            outcomes
                .chunks(usize::try_from(count).expect("a few"))
                .zip(expected)
                .all(|(round, outcome)| { round.iter().all(|other| *other == outcome) })
        );
        assert_eq!(account.events_apart, events.len() as u64);
        // A delivery that brought one of them arrives with other bytes.
        let mut apart = Apart { event: None, delivery: deliveries.values().next().cloned() };
        let id = apart.delivery.as_ref().expect("one").id.clone();
        let outcome =
            account.report_event(&report(999, Change::Activated), Some(&delivery(&id, "y")), &mut apart);
        assert_eq!(outcome, FactOutcome::Conflict);
        account.put_events_back(events.into_values().collect());
        assert_eq!((account.events.len(), account.events_apart), (usize::try_from(count).expect("a few"), 0));
        assert!(
            account.events.is_sorted_by_key(|kept| (kept.event.occurred_at, kept.event.event_id.clone()))
        );
    }

    #[test]
    fn a_delivery_with_other_bytes_contradicts_whatever_it_says() {
        let mut account = account();
        let mut first = signup("growth");
        first.delivery = Some(delivery("msg", "one"));
        account.report_signup(&first, None, origin(1, 1), at(1));
        let mut again = first.clone();
        again.delivery = Some(delivery("msg", "two"));
        assert_eq!(account.report_signup(&again, None, origin(1, 2), at(2)), SignupOutcome::Conflict);
        let suspended = event("e", 1, Change::Suspended);
        assert_eq!(
            account.report_event(&suspended, Some(&delivery("msg", "x")), &mut Apart::default()),
            FactOutcome::Conflict
        );
        assert_eq!(
            account.report_event(&suspended, Some(&delivery("other", "x")), &mut Apart::default()),
            FactOutcome::New
        );
        assert_eq!(
            account.report_event(
                &event("f", 1, Change::Activated),
                Some(&delivery("other", "y")),
                &mut Apart::default()
            ),
            FactOutcome::Conflict
        );
    }

    #[test]
    fn staff_hold_release_reject_and_credit_and_the_same_record_acts_once() {
        let mut account = account();
        let hold = |account: &mut Account, second| {
            account.review(ReviewAction::Hold, "why", "ann", origin(1, second))
        };
        assert_eq!(hold(&mut account, 1), Err(Refusal::UnknownAccount));
        account.decide(&signup("growth"), origin(1, 2), &credited(None, &[]));
        assert_eq!(account.may_be_reviewed(), Err(Refusal::NotReferred));
        assert_eq!(hold(&mut account, 3), Ok(false), "journaled all the same, it changes nothing");
        let someone = AffiliateId::from_bits(7);
        assert_eq!(account.credit(Some(someone), true, ("a call", "ann"), origin(1, 4)), Ok(true));
        assert_eq!(account.credit(Some(someone), true, ("a call", "ann"), origin(1, 4)), Ok(false));
        assert_eq!(
            account.credit(Some(someone), true, ("again", "ann"), origin(1, 5)),
            Ok(false),
            "nothing to change"
        );
        assert_eq!(hold(&mut account, 6), Ok(true));
        assert_eq!(hold(&mut account, 7), Ok(false), "it is held already");
        assert!(account.is_held());
        assert_eq!(account.review(ReviewAction::Reject, "no", "ann", origin(1, 8)), Ok(true));
        assert!(!account.is_held(), "what is rejected does not wait");
        assert!(account.referral().expect("credited").rejected);
        assert_eq!(account.review(ReviewAction::Release, "yes", "ann", origin(1, 9)), Ok(true));
        assert_eq!(account.standing, Standing::default());
        let acts: Vec<&str> = account.effective_actions().map(|action| action.action.as_str()).collect();
        assert_eq!(acts, ["credit", "hold", "reject", "release"]);
        assert_eq!(account.credit(None, true, ("nobody's", "ann"), origin(1, 10)), Ok(true));
        assert_eq!((account.referred(), account.referral()), (Some(false), None));
    }

    #[test]
    fn a_credit_by_hand_ends_a_hold_or_a_rejection_that_stands_on_the_account() {
        let (ann, ben) = (AffiliateId::from_bits(7), AffiliateId::from_bits(9));
        for (judged, credited) in [
            (Some(ReviewAction::Reject), ann),
            (Some(ReviewAction::Reject), ben),
            (Some(ReviewAction::Hold), ann),
            (Some(ReviewAction::Hold), ben),
            (None, ben),
        ] {
            let mut account = account();
            account.decide(&signup("growth"), origin(1, 2), &credited_to_ann());
            if let Some(judged) = judged {
                assert_eq!(account.review(judged, "why", "bob", origin(1, 3)), Ok(true));
            }
            assert_eq!(
                account.credit(Some(credited), true, ("a call", "bob"), origin(1, 4)),
                Ok(true),
                "{judged:?}"
            );
            assert_eq!((account.credited_to, &account.standing), (Some(credited), &Standing::default()));
        }
        let mut nothing_to_change = account();
        nothing_to_change.decide(&signup("growth"), origin(1, 2), &credited_to_ann());
        assert_eq!(nothing_to_change.credit(Some(ann), true, ("a call", "bob"), origin(1, 3)), Ok(false));
    }

    #[test]
    fn a_credit_that_was_journaled_before_they_ended_judgements_keeps_its_effect() {
        let ann = AffiliateId::from_bits(7);
        let mut account = account();
        account.decide(&signup("growth"), origin(1, 2), &credited_to_ann());
        assert_eq!(account.review(ReviewAction::Reject, "fraud", "bob", origin(1, 3)), Ok(true));
        let claim = ClaimId::from_bits(5);
        assert_eq!(account.credit(Some(ann), false, ("a call", "bob"), origin(1, 4)), Ok(false));
        assert_eq!(account.credit_claim(claim, Some(ann), false, ("a call", "bob"), origin(1, 5)), Ok(false));
        assert!(account.standing.rejected_since.is_some());
        assert_eq!(account.effective_actions().count(), 1);
    }

    #[test]
    fn a_granted_claim_earns_once_and_does_not_undo_what_staff_decide_afterwards() {
        let (ann, claim) = (AffiliateId::from_bits(7), ClaimId::from_bits(5));
        for rejected_before in [true, false] {
            let mut account = account();
            account.decide(&signup("growth"), origin(1, 2), &credited_to_ann());
            if rejected_before {
                assert_eq!(account.review(ReviewAction::Reject, "no", "bob", origin(1, 3)), Ok(true));
            }
            let grant = |account: &mut Account, second| {
                account.credit_claim(claim, Some(ann), true, ("it is theirs", "bob"), origin(1, second))
            };
            assert_eq!(grant(&mut account, 4), Ok(rejected_before));
            assert_eq!(account.standing, Standing::default(), "it earns");
            assert_eq!(account.review(ReviewAction::Reject, "after all", "bob", origin(1, 5)), Ok(true));
            assert_eq!(grant(&mut account, 6), Ok(false), "it came again");
            assert!(account.standing.rejected_since.is_some());
        }
    }

    #[test]
    fn a_decision_that_comes_late_leaves_a_credit_by_hand_alone_and_holds_what_it_suspects() {
        let mut suspected = account();
        suspected.decide(&signup("growth"), origin(1, 2), &credited(Some(7), &[HoldReason::SelfReferral]));
        assert_eq!(suspected.standing.held_since, Some(at(2)));
        let mut corrected = account();
        corrected.decide(&signup("growth"), origin(1, 2), &credited(None, &[]));
        let someone = AffiliateId::from_bits(9);
        assert_eq!(corrected.credit(Some(someone), true, ("a call", "ann"), origin(1, 4)), Ok(true));
        corrected.decide(&signup("growth"), origin(2, 1), &credited(Some(7), &[HoldReason::Burst]));
        assert_eq!((corrected.credited_to, corrected.is_held()), (Some(someone), false));
    }

    /// As an older version kept it: in the order in which its node applied them, and without those that
    /// changed nothing.
    #[test]
    fn an_account_of_an_older_version_continues_as_it_is() {
        let mut account = account();
        account.decide(&signup("growth"), origin(1, 2), &credited(Some(7), &[HoldReason::Burst]));
        account.review(ReviewAction::Release, "fine", "ann", origin(1, 3)).expect("signed up");
        account
            .credit(Some(AffiliateId::from_bits(9)), true, ("a call", "ann"), origin(1, 4))
            .expect("signed up");
        account.review(ReviewAction::Hold, "odd", "ann", origin(1, 5)).expect("signed up");
        let text = serde_json::to_string(&account).expect("plain data");
        assert!(!text.contains("idle"), "{text}");
        let before = (account.credited_to, account.standing.clone());
        assert_eq!(account.review(ReviewAction::Hold, "again", "ann", origin(1, 6)), Ok(false));
        assert_eq!((account.credited_to, account.standing.clone()), before);
        let before: Vec<_> = account.effective_actions().map(|action| action.credited_before).collect();
        assert_eq!(before, [None, Some(AffiliateId::from_bits(7)), None]);
    }

    /// A fact of one of three nodes: a decision about the same signup, or an action of staff.
    fn applies(account: &mut Account, (node, second, what): (u64, i64, u8)) -> Result<bool, Refusal> {
        // Some have the same instant on two nodes.
        let from = Origin { at: at(second / 2), ..origin(node, second) };
        let review = |account: &mut Account, action| account.review(action, "why", "ann", from);
        let affiliate = |bits| Some(AffiliateId::from_bits(bits));
        match what {
            0 => Ok(account.decide(&signup("growth"), from, &credited(Some(node), &[HoldReason::Burst]))),
            1 => Ok(account.decide(&signup("growth"), from, &credited(None, &[]))),
            2 => review(account, ReviewAction::Hold),
            3 => review(account, ReviewAction::Release),
            4 => review(account, ReviewAction::Reject),
            5 => account.credit(None, true, ("nobody's", "ann"), from),
            6 | 7 => account.credit(affiliate(u64::from(what)), true, ("a call", "ann"), from),
            _ => account.credit_claim(ClaimId::from_bits(5), affiliate(8), true, ("theirs", "ann"), from),
        }
    }

    proptest::proptest! {
        /// A fact waits while its signup has yet to be replayed by another node, as in a store that was found
        /// empty.
        #[test]
        fn nodes_that_replay_in_any_order_end_with_the_same_account(
            facts in proptest::collection::vec((1..=3_u64, 0..=8_u8), 1..14),
            turns in proptest::collection::vec(0..3_usize, 60),
        ) {
            let replay = |turns: &[usize]| {
                let mut journals: [std::collections::VecDeque<_>; 3] = Default::default();
                journals[0].push_back((1, 0, 0));
                for (second, (node, what)) in (1..).zip(&facts) {
                    journals[usize::try_from(*node - 1).expect("small")].push_back((*node, second, *what));
                }
                let mut account = account();
                for turn in turns.iter().copied().chain((0..3).cycle().take(3 * 2 * (facts.len() + 1))) {
                    let Some(fact) = journals[turn].front() else { continue };
                    if applies(&mut account, *fact).is_ok() {
                        journals[turn].pop_front();
                    }
                }
                assert!(journals.iter().all(std::collections::VecDeque::is_empty), "all are in: {journals:?}");
                account
            };
            let one = replay(&[]);
            proptest::prop_assert_eq!(replay(&turns), one);
        }
    }

    #[test]
    fn contradictions_are_shown_up_to_a_number_each_once() {
        let mut account = account();
        for second in 0..40 {
            account.note_conflict(origin(1, second), "signup".into());
            account.note_conflict(origin(1, second), "signup".into());
        }
        assert_eq!(account.conflicts.len(), MAX_CONFLICTS);
    }

    #[test]
    fn an_account_reads_back_from_its_json() {
        let mut account = account();
        account.report_event(
            &event("e", 1, Change::PlanChanged { plan: "growth".parse().expect("a plan") }),
            None,
            &mut Apart::default(),
        );
        account.decide(&signup("growth"), origin(1, 2), &credited(Some(7), &[HoldReason::Burst]));
        let json = serde_json::to_vec(&account).expect("plain data");
        assert_eq!(serde_json::from_slice::<Account>(&json).expect("our own"), account);
    }
}
