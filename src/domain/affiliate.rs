//! An affiliate and its life: `applied → approved → activated → active`, or `applied → rejected`;
//! `active ⇄ suspended`; any → `closed`.

use super::id::{AffiliateId, LinkId, ReferralCode};
use super::named::named;
use super::person::{Signature, same_email};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

named! {
    /// The state of an affiliate.
    pub enum Status {
        /// Asked to join; waits for review.
        Applied = "applied",
        /// Accepted; has yet to set a password.
        Approved = "approved",
        /// Has a password; has yet to sign the agreement.
        Activated = "activated",
        /// Signed; its links earn.
        Active = "active",
        /// Its links redirect but do not earn; earlier referrals go on earning.
        Suspended = "suspended",
        /// Not accepted.
        Rejected = "rejected",
        /// Left permanently.
        Closed = "closed",
    }
}

/// A step of an affiliate's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Staff accept the application.
    Approve,
    /// Staff reject the application.
    Reject,
    /// The person set a password.
    Activate,
    /// The person signed the agreement.
    Sign,
    /// Staff stop its links from earning.
    Suspend,
    /// Staff let its links earn again.
    Reinstate,
    /// The affiliate leaves permanently.
    Close,
}

/// A step is not possible in the affiliate's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{step:?} an affiliate that is {}", from.code())]
pub struct TransitionError {
    /// The status.
    pub from: Status,
    /// The step that was requested.
    pub step: Step,
}

/// A change of status, kept permanently: attribution needs the status at any instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusChange {
    /// When it changed.
    pub at: DateTime<Utc>,
    /// The new status.
    pub status: Status,
    /// The reason that staff gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What an affiliate says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Profile {
    /// The person's or company's name.
    pub name: String,
    /// Where mail goes.
    pub email: String,
    /// Company, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub company: Option<String>,
    /// Web site, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub website: Option<String>,
    /// How it will promote the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion: Option<String>,
    /// One of the configured kinds of partner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partner_type: Option<String>,
    /// Where payouts go; may be given later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paypal_email: Option<String>,
}

impl Profile {
    /// Takes from `after` what differs from `before` (everything if there is no `before`), and leaves the
    /// rest.
    pub fn take_changes(&mut self, before: Option<&Self>, after: &Self) {
        let Some(before) = before else {
            self.clone_from(after);
            return;
        };
        // A field that is added and forgotten here does not compile.
        let Self { name, email, company, website, promotion, partner_type, paypal_email } = self;
        take(name, &before.name, &after.name);
        take(email, &before.email, &after.email);
        take(company, &before.company, &after.company);
        take(website, &before.website, &after.website);
        take(promotion, &before.promotion, &after.promotion);
        take(partner_type, &before.partner_type, &after.partner_type);
        take(paypal_email, &before.paypal_email, &after.paypal_email);
    }
}

fn take<T: PartialEq + Clone>(field: &mut T, before: &T, after: &T) {
    if before != after {
        field.clone_from(after);
    }
}

/// A partner who may earn commissions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Affiliate {
    /// Its id.
    pub id: AffiliateId,
    /// What it says about itself.
    pub profile: Profile,
    /// What prospects may type instead of following a link.
    pub code: ReferralCode,
    /// The link that it gets with its application; it can't be switched off.
    pub default_link: LinkId,
    /// All changes of status, oldest first; never empty.
    pub history: Vec<StatusChange>,
    /// Staff exempted it from holds, for example because it is a user of accounts that it referred.
    #[serde(default)]
    pub exempt_from_holds: bool,
    /// Signatures under agreements, oldest first; empty for an affiliate that signed in another system.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<Signature>,
    /// How its addresses changed.
    #[serde(default, skip_serializing_if = "Addresses::are_as_given")]
    pub addresses: Addresses,
}

/// How the addresses of an affiliate were changed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Addresses {
    /// How often its e-mail was changed. A one-time link that is older than the last change is spent, even if
    /// the e-mail is the same again.
    #[serde(default)]
    pub email_changes: u32,
    /// How often the payout address was changed.
    #[serde(default)]
    pub paypal_changes: u32,
    /// When an address was last changed in a way that holds payouts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_since: Option<DateTime<Utc>>,
    /// Earlier e-mails that are still notified about changes of the payout address; oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<FormerEmail>,
}

/// An e-mail address that was replaced not long ago.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerEmail {
    /// The address.
    pub email: String,
    /// The address is notified about the payout address until then.
    pub until: DateTime<Utc>,
}

impl Addresses {
    /// Whether no address was changed yet.
    fn are_as_given(&self) -> bool {
        *self == Self::default()
    }
    /// How often any address was changed.
    pub const fn changes(&self) -> u32 {
        self.email_changes.saturating_add(self.paypal_changes)
    }
    /// The earlier e-mails that are still notified about changes of the payout address.
    pub fn former_at(&self, at: DateTime<Utc>) -> impl Iterator<Item = &str> {
        self.former.iter().filter(move |one| at < one.until).map(|one| one.email.as_str())
    }
}

/// How long payouts are held after an address was changed: time for the owner to object.
pub const ADDRESS_HOLD: TimeDelta = TimeDelta::days(7);
/// How many earlier e-mails are notified. If there are more, the first ones most likely belong to the owner.
pub const MOST_FORMER: usize = 3;

impl Affiliate {
    /// The current status.
    pub fn status(&self) -> Status {
        // Every affiliate is made with its first change.
        self.history.last().map_or(Status::Applied, |change| change.status)
    }
    /// The status at an instant; `None` before the affiliate existed.
    pub fn status_at(&self, at: DateTime<Utc>) -> Option<Status> {
        self.history.iter().rfind(|change| change.at <= at).map(|change| change.status)
    }
    /// Whether its links ever earned. Once true, it stays so.
    pub fn was_ever_active(&self) -> bool {
        self.history.iter().any(|change| change.status == Status::Active)
    }
    /// Whether its links earned at an instant.
    pub fn was_active_at(&self, at: DateTime<Utc>) -> bool {
        self.status_at(at) == Some(Status::Active)
    }
    /// When it left permanently.
    pub fn closed_at(&self) -> Option<DateTime<Utc>> {
        self.history.iter().find(|change| change.status == Status::Closed).map(|change| change.at)
    }
    /// Until when payouts are held because an address was changed.
    pub fn payouts_held_until(&self) -> Option<DateTime<Utc>> {
        self.addresses.held_since.map(|changed| changed + ADDRESS_HOLD)
    }
    /// Whether changing an address holds payouts: once there may be something to pay, or an address to pay it
    /// to.
    pub fn holds_when_changed(&self) -> bool {
        self.profile.paypal_email.is_some()
            || self.addresses.held_since.is_some()
            || self.history.iter().any(|change| change.status == Status::Active)
    }
    /// Whether payouts are held at an instant because an address was changed.
    #[cfg(test)]
    pub fn payouts_are_held_at(&self, at: DateTime<Utc>) -> bool {
        self.payouts_held_until().is_some_and(|until| at < until)
    }
    /// The latest signature.
    pub fn signature(&self) -> Option<&Signature> {
        self.signatures.last()
    }
    /// Whether this version of the agreement was signed.
    pub fn has_signed(&self, version: &str) -> bool {
        self.signatures.iter().any(|signature| signature.version == version)
    }
    /// Whether it may sign in: from its approval on. A closed affiliate may still read, if it was approved
    /// before.
    pub fn may_sign_in(&self) -> bool {
        let enters = |status: Status| {
            matches!(status, Status::Approved | Status::Activated | Status::Active | Status::Suspended)
        };
        match self.status() {
            Status::Closed => self.history.iter().any(|change| enters(change.status)),
            status => enters(status),
        }
    }
    /// Whether it may do more than read: not after it was closed.
    pub fn may_act(&self) -> bool {
        self.may_sign_in() && self.status() != Status::Closed
    }
    /// Signs an agreement; the first signature lets its links earn. `Ok(false)`: this version was already
    /// signed.
    pub fn sign(&mut self, signature: Signature) -> Result<bool, TransitionError> {
        match self.status() {
            Status::Activated => self.step(Step::Sign, None, signature.at)?,
            Status::Active | Status::Suspended => {}
            from => return Err(TransitionError { from, step: Step::Sign }),
        }
        if self.has_signed(&signature.version) {
            return Ok(false);
        }
        self.signatures.push(signature);
        self.signatures.sort_by_key(|signature| signature.at);
        Ok(true)
    }
    /// Takes another profile. Any change of the e-mail or the payout address holds payouts, also when the
    /// payout address is cleared, or set for the first time after the affiliate became active.
    pub fn take_profile(&mut self, before: Option<&Profile>, after: &Profile, at: DateTime<Utc>) {
        let (former, holds) = (self.profile.clone(), self.holds_when_changed());
        self.profile.take_changes(before, after);
        let moved = !same_email(&former.email, &self.profile.email);
        let paid_elsewhere = match (&former.paypal_email, &self.profile.paypal_email) {
            (Some(old), Some(new)) => !same_email(old, new),
            (old, new) => old != new,
        };
        let addresses = &mut self.addresses;
        addresses.email_changes += u32::from(moved);
        addresses.paypal_changes += u32::from(paid_elsewhere);
        if !holds || !(moved || paid_elsewhere) {
            return;
        }
        addresses.held_since = Some(addresses.held_since.map_or(at, |last| at.max(last)));
        addresses.former.retain(|one| at < one.until);
        if moved && addresses.former.len() < MOST_FORMER {
            addresses.former.push(FormerEmail { email: former.email, until: at + ADDRESS_HOLD });
        }
    }
    /// Takes a step.
    ///
    /// A step is dated no earlier than the one before, so that the history stays in order even if the clocks
    /// of nodes differ.
    pub fn step(
        &mut self,
        step: Step,
        reason: Option<String>,
        at: DateTime<Utc>,
    ) -> Result<(), TransitionError> {
        let from = self.status();
        let status = next_status(from, step).ok_or(TransitionError { from, step })?;
        let at = self.history.last().map_or(at, |last| at.max(last.at));
        self.history.push(StatusChange { at, status, reason });
        Ok(())
    }
}

/// The table of allowed steps.
fn next_status(from: Status, step: Step) -> Option<Status> {
    use Status::{Activated, Active, Applied, Approved, Closed, Rejected, Suspended};
    match (from, step) {
        (Applied, Step::Approve) => Some(Approved),
        (Applied, Step::Reject) => Some(Rejected),
        (Approved, Step::Activate) => Some(Activated),
        (Activated, Step::Sign) | (Suspended, Step::Reinstate) => Some(Active),
        (Active, Step::Suspend) => Some(Suspended),
        (Closed, Step::Close) => None,
        (_, Step::Close) => Some(Closed),
        _ => None,
    }
}

/// Links that an affiliate may have, at most. Sub ids tell clicks on one link apart.
pub const MOST_LINKS: u32 = 200;

/// A signed address of an affiliate, without its token: that is made from the ids when it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its id.
    pub id: LinkId,
    /// The affiliate that owns it.
    pub affiliate: AffiliateId,
    /// Where it leads; `None`: the program's landing page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// The affiliate's own name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Whether it is on or off.
    #[serde(flatten)]
    pub switch: Switch,
}

/// Whether a link earns or was switched off.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Switch {
    /// Since when the link is off, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<DateTime<Utc>>,
    /// The reason, if one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_reason: Option<String>,
    /// Who switched it off, as in the fact's record; `None` if an older version did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_by: Option<String>,
    /// When it was last switched on or off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    switched_at: Option<DateTime<Utc>>,
}

impl Switch {
    /// Whether the link is off.
    pub const fn is_off(&self) -> bool {
        self.disabled_at.is_some()
    }
    /// Whether the link's own affiliate switched it off.
    pub fn is_off_by(&self, affiliate: AffiliateId) -> bool {
        self.disabled_by.as_ref().is_some_and(|by| *by == affiliate.to_string())
    }
    /// Switches the link off; false: it is already off, or a later change of it is known. An empty reason
    /// counts as none.
    pub fn off(&mut self, at: DateTime<Utc>, by: &str, reason: Option<&str>) -> bool {
        if !self.take_turn(at) || self.is_off() {
            return false;
        }
        self.disabled_at = Some(at);
        self.disabled_by = Some(by.to_owned());
        self.disabled_reason = reason.filter(|reason| !reason.is_empty()).map(str::to_owned);
        true
    }
    /// Switches the link on again; false: it is already on, or a later change of it is known.
    pub fn on(&mut self, at: DateTime<Utc>) -> bool {
        if !self.take_turn(at) || !self.is_off() {
            return false;
        }
        *self = Self { switched_at: self.switched_at, ..Self::default() };
        true
    }
    /// Whether this is the latest change: in whatever order the nodes' journals are replayed, the same change
    /// wins.
    fn take_turn(&mut self, at: DateTime<Utc>) -> bool {
        let is_latest = self.switched_at.or(self.disabled_at).is_none_or(|last| last <= at);
        if is_latest {
            self.switched_at = Some(at);
        }
        is_latest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use SwitchedTo::{Off, On};

    /// A change of a link at a second.
    enum SwitchedTo {
        Off(i64),
        On(i64),
    }

    /// A name, the changes in order, and whether the link is off at the end.
    type Case = (&'static str, &'static [(SwitchedTo, bool)], bool);

    #[test]
    fn a_link_is_as_it_was_last_switched_whichever_node_is_replayed_first() {
        let at = |second| DateTime::from_timestamp(second, 0).expect("an instant");
        // Each change with whether it has an effect.
        let table: [Case; 7] = [
            ("off", &[(Off(1), true)], true),
            ("off twice", &[(Off(1), true), (Off(2), false)], true),
            ("on, which it was", &[(On(1), false)], false),
            ("off and on", &[(Off(1), true), (On(2), true)], false),
            ("the same, the other node first", &[(On(2), false), (Off(1), false)], false),
            ("off, on and off", &[(Off(1), true), (On(2), true), (Off(3), true)], true),
            ("the same, the other node last", &[(Off(1), true), (Off(3), false), (On(2), false)], true),
        ];
        for (name, facts, is_off) in table {
            let mut switch = Switch::default();
            for (fact, changes) in facts {
                let changed = match fact {
                    Off(second) => switch.off(at(*second), "ann", Some("spam")),
                    On(second) => switch.on(at(*second)),
                };
                assert_eq!(changed, *changes, "{name}");
            }
            assert_eq!(switch.is_off(), is_off, "{name}");
            assert_eq!(switch.disabled_reason.is_some(), is_off, "{name}");
        }
    }

    #[test]
    fn a_link_that_an_older_version_switched_off_is_off_and_can_be_switched_on() {
        let text = r#"{"id":"lnk_0000000000003","affiliate":"aff_0000000000007","created_at":"2026-01-01T15:00:00Z","disabled_at":"2026-01-02T15:00:00Z"}"#;
        let mut link: Link = serde_json::from_str(text).expect("an old document");
        assert_eq!(serde_json::to_string(&link).expect("plain data"), text);
        assert!(link.switch.is_off() && link.switch.disabled_reason.is_none());
        assert!(!link.switch.on("2026-01-02T14:59:59Z".parse().expect("a literal")), "it was said before");
        assert!(link.switch.on("2026-01-03T15:00:00Z".parse().expect("a literal")));
        assert_eq!(link.switch.disabled_at, None);
    }

    #[test]
    fn the_table_of_an_affiliates_life() {
        use Status::*;
        let steps = [
            Step::Approve,
            Step::Reject,
            Step::Activate,
            Step::Sign,
            Step::Suspend,
            Step::Reinstate,
            Step::Close,
        ];
        let table: [(Status, [Option<Status>; 7]); 7] = [
            (Applied, [Some(Approved), Some(Rejected), None, None, None, None, Some(Closed)]),
            (Approved, [None, None, Some(Activated), None, None, None, Some(Closed)]),
            (Activated, [None, None, None, Some(Active), None, None, Some(Closed)]),
            (Active, [None, None, None, None, Some(Suspended), None, Some(Closed)]),
            (Suspended, [None, None, None, None, None, Some(Active), Some(Closed)]),
            (Rejected, [None, None, None, None, None, None, Some(Closed)]),
            (Closed, [None, None, None, None, None, None, None]),
        ];
        for (from, row) in table {
            for (step, expected) in steps.into_iter().zip(row) {
                assert_eq!(next_status(from, step), expected, "{from:?} {step:?}");
            }
        }
    }

    #[test]
    fn two_changes_of_different_things_both_count() {
        let before = Profile { name: "Ann".into(), email: "a@b.example".into(), ..Profile::default() };
        let pays = Profile { paypal_email: Some("pay@b.example".into()), ..before.clone() };
        let moves = Profile { website: Some("https://b.example/".into()), ..before.clone() };
        let mut profile = before.clone();
        profile.take_changes(Some(&before), &pays);
        profile.take_changes(Some(&before), &moves);
        assert_eq!((&profile.paypal_email, &profile.website), (&pays.paypal_email, &moves.website));
        profile.take_changes(Some(&pays), &before);
        assert_eq!((profile.paypal_email.as_deref(), &profile.website), (None, &moves.website));
        profile.take_changes(None, &before);
        assert_eq!(profile, before);
    }

    fn affiliate(status: Status, paypal_email: Option<&str>) -> Affiliate {
        let profile = Profile {
            email: "ann@b.example".into(),
            paypal_email: paypal_email.map(str::to_owned),
            ..Profile::default()
        };
        Affiliate {
            id: AffiliateId::from_bits(1),
            profile,
            code: "code-1".parse().expect("a literal"),
            default_link: LinkId::from_bits(1),
            history: vec![StatusChange { at: DateTime::default(), status, reason: None }],
            exempt_from_holds: false,
            signatures: Vec::new(),
            addresses: Addresses::default(),
        }
    }

    #[test]
    fn a_changed_address_makes_payouts_wait_once_there_may_be_some() {
        let at: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().expect("a literal");
        let table = [
            (Status::Applied, None, "ann@b.example", Some("pay@b.example"), false),
            (Status::Applied, None, "new@b.example", None, false),
            (Status::Active, None, "ann@b.example", Some("pay@b.example"), true),
            (Status::Active, None, "new@b.example", None, true),
            (Status::Active, None, " ANN@b.example", None, false),
            (Status::Applied, Some("pay@b.example"), "ann@b.example", Some("other@b.example"), true),
            (Status::Applied, Some("pay@b.example"), "ann@b.example", None, true),
            (Status::Active, Some("pay@b.example"), "ann@b.example", Some("PAY@b.example"), false),
        ];
        for (status, paypal, email, new_paypal, held) in table {
            let mut affiliate = affiliate(status, paypal);
            let after = Profile {
                email: email.into(),
                paypal_email: new_paypal.map(str::to_owned),
                ..Profile::default()
            };
            affiliate.take_profile(None, &after, at);
            let until = held.then(|| at + TimeDelta::days(7));
            assert_eq!(affiliate.payouts_held_until(), until, "{status:?} {paypal:?} {email} {new_paypal:?}");
        }
    }

    #[test]
    fn each_change_of_an_address_is_counted_and_former_ones_hear_for_a_week() {
        let at: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().expect("a literal");
        let mut affiliate = affiliate(Status::Active, None);
        let mut moves = |email: &str, day: i64| {
            let after = Profile { email: email.into(), ..Profile::default() };
            affiliate.take_profile(None, &after, at + TimeDelta::days(day));
            affiliate.addresses.clone()
        };
        moves("b@b.example", 0);
        let back = moves("ann@b.example", 1);
        assert_eq!((back.email_changes, back.changes()), (2, 2), "back, but not as if nothing had been");
        moves("c@b.example", 2);
        let many = moves("d@b.example", 3);
        let notified = |day| many.former_at(at + TimeDelta::days(day)).collect::<Vec<_>>();
        assert_eq!(notified(3), ["ann@b.example", "b@b.example", "ann@b.example"]);
        assert_eq!(notified(7), ["b@b.example", "ann@b.example"]);
        assert_eq!(moves("e@b.example", 20).former.len(), 1);
    }

    #[test]
    fn an_affiliate_is_active_from_its_signature_to_its_suspension() {
        let at =
            |hour: u32| format!("2026-01-01T{hour:02}:00:00Z").parse::<DateTime<Utc>>().expect("a literal");
        let mut affiliate = Affiliate {
            id: AffiliateId::from_bits(1),
            profile: Profile::default(),
            code: "code-1".parse().expect("a literal"),
            default_link: LinkId::from_bits(1),
            history: vec![StatusChange { at: at(1), status: Status::Activated, reason: None }],
            exempt_from_holds: false,
            signatures: Vec::new(),
            addresses: Addresses::default(),
        };
        affiliate.step(Step::Sign, None, at(2)).expect("activated");
        affiliate.step(Step::Suspend, None, at(4)).expect("active");
        // A clock that runs behind does not put the history out of order.
        affiliate.step(Step::Reinstate, None, at(3)).expect("suspended");
        let active: Vec<bool> = (0..6).map(|hour| affiliate.was_active_at(at(hour))).collect();
        assert_eq!(active, [false, false, true, true, true, true]);
        assert_eq!(affiliate.history.last().map(|change| change.at), Some(at(4)));
        assert_eq!(affiliate.closed_at(), None);
    }
}
