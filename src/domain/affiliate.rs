//! An affiliate and its life: `applied → approved → activated → active`, or `applied → rejected`;
//! `active ⇄ suspended`; any → `closed`.

use super::id::{AffiliateId, LinkId, ReferralCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Where an affiliate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Asked to join; waits for review.
    Applied,
    /// Accepted; has yet to set a password.
    Approved,
    /// Has a password; has yet to sign the agreement.
    Activated,
    /// Signed; its links earn.
    Active,
    /// Its links redirect but do not earn; earlier referrals go on earning.
    Suspended,
    /// Not accepted.
    Rejected,
    /// Left for good.
    Closed,
}

impl Status {
    /// The stable name.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Approved => "approved",
            Self::Activated => "activated",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Rejected => "rejected",
            Self::Closed => "closed",
        }
    }
}

/// A step of an affiliate's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Staff accept the application.
    Approve,
    /// Staff turn the application down.
    Reject,
    /// The person set a password.
    Activate,
    /// The person signed the agreement.
    Sign,
    /// Staff stop its links from earning.
    Suspend,
    /// Staff let its links earn again.
    Reinstate,
    /// It leaves for good.
    Close,
}

/// Why a step can't be taken from where the affiliate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{step:?} an affiliate that is {}", from.code())]
pub struct TransitionError {
    /// Where it stands.
    pub from: Status,
    /// What was asked for.
    pub step: Step,
}

/// A change of status, kept for ever: attribution asks where an affiliate stood at an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusChange {
    /// When.
    pub at: DateTime<Utc>,
    /// To what.
    pub status: Status,
    /// Why, where staff said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What an affiliate says of itself.
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
    /// How it will promote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion: Option<String>,
    /// One of the configured kinds of partner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partner_type: Option<String>,
    /// Where payouts go; may come later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paypal_email: Option<String>,
}

impl Profile {
    /// Takes of `after` what differs from `before` (all of it without one), and leaves the rest as it is.
    pub fn take_changes(&mut self, before: Option<&Self>, after: &Self) {
        let Some(before) = before else {
            self.clone_from(after);
            return;
        };
        take(&mut self.name, &before.name, &after.name);
        take(&mut self.email, &before.email, &after.email);
        take(&mut self.company, &before.company, &after.company);
        take(&mut self.website, &before.website, &after.website);
        take(&mut self.promotion, &before.promotion, &after.promotion);
        take(&mut self.partner_type, &before.partner_type, &after.partner_type);
        take(&mut self.paypal_email, &before.paypal_email, &after.paypal_email);
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
    /// What it says of itself.
    pub profile: Profile,
    /// What prospects may type instead of following a link.
    pub code: ReferralCode,
    /// The link of its home page.
    pub default_link: LinkId,
    /// All changes of status, oldest first; never empty.
    pub history: Vec<StatusChange>,
    /// Staff exempted it from holds: it may rightly be a user on accounts that it referred.
    #[serde(default)]
    pub exempt_from_holds: bool,
}

impl Affiliate {
    /// Where it stands now.
    pub fn status(&self) -> Status {
        // Every affiliate is made with its first change.
        self.history.last().map_or(Status::Applied, |change| change.status)
    }
    /// Where it stood at an instant; `None` before it existed.
    pub fn status_at(&self, at: DateTime<Utc>) -> Option<Status> {
        self.history.iter().rfind(|change| change.at <= at).map(|change| change.status)
    }
    /// Whether its links earned at an instant.
    pub fn was_active_at(&self, at: DateTime<Utc>) -> bool {
        self.status_at(at) == Some(Status::Active)
    }
    /// When it left for good.
    pub fn closed_at(&self) -> Option<DateTime<Utc>> {
        self.history.iter().find(|change| change.status == Status::Closed).map(|change| change.at)
    }
    /// Takes a step of its life.
    ///
    /// A step is dated no earlier than the one before, so that the history stays in order when nodes'
    /// clocks differ.
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

/// The table of an affiliate's life.
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

/// A signed address of an affiliate, without its token: that is made from the ids when it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its id.
    pub id: LinkId,
    /// Whose it is.
    pub affiliate: AffiliateId,
    /// Where it leads; `None`: the program's landing page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// The affiliate's own name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was switched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<DateTime<Utc>>,
}

#[cfg(test)]
mod tests {
    use super::*;

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
