//! People who sign in, affiliates and staff: who they are, what they may do, what they sign and claim.

use super::id::{AccountId, AffiliateId, BadId, ClaimId, StaffId};
use super::named::named;
use super::program::hex;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// Somebody who may sign in; written as its id, whose prefix says which kind it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Person {
    /// An affiliate.
    Affiliate(AffiliateId),
    /// A member of staff.
    Staff(StaffId),
}

impl fmt::Display for Person {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Affiliate(id) => id.fmt(out),
            Self::Staff(id) => id.fmt(out),
        }
    }
}

impl FromStr for Person {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        let staff = || text.parse().map(Self::Staff);
        text.parse().map(Self::Affiliate).or_else(|_| staff()).map_err(|_| BadId("Person"))
    }
}

impl From<AffiliateId> for Person {
    fn from(id: AffiliateId) -> Self {
        Self::Affiliate(id)
    }
}

impl From<StaffId> for Person {
    fn from(id: StaffId) -> Self {
        Self::Staff(id)
    }
}

impl Serialize for Person {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Person {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Person {
    /// The form in signed tokens: the kind and the id.
    pub fn to_bytes(self) -> [u8; 9] {
        let (kind, id) = match self {
            Self::Affiliate(id) => (1, id.bits()),
            Self::Staff(id) => (2, id.bits()),
        };
        let mut bytes = [kind; 9];
        bytes[1..].copy_from_slice(&id.to_be_bytes());
        bytes
    }
    /// Reads what [`Person::to_bytes`] wrote.
    pub fn from_bytes([kind, id @ ..]: [u8; 9]) -> Option<Self> {
        let id = u64::from_be_bytes(id);
        match kind {
            1 => Some(Self::Affiliate(AffiliateId::from_bits(id))),
            2 => Some(Self::Staff(StaffId::from_bits(id))),
            _ => None,
        }
    }
    /// Where the person signs in.
    pub const fn realm(self) -> Realm {
        match self {
            Self::Affiliate(_) => Realm::Portal,
            Self::Staff(_) => Realm::Staff,
        }
    }
    /// The affiliate, if it is one.
    pub const fn affiliate(self) -> Option<AffiliateId> {
        match self {
            Self::Affiliate(id) => Some(id),
            Self::Staff(_) => None,
        }
    }
    /// The member of staff, if it is one.
    pub const fn staff(self) -> Option<StaffId> {
        match self {
            Self::Affiliate(_) => None,
            Self::Staff(id) => Some(id),
        }
    }
}

/// Where people sign in: a person of one realm can't enter the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Realm {
    /// The affiliates' pages.
    Portal,
    /// The staff's pages.
    Staff,
}

named! {
    /// The role of a member of staff.
    pub enum Role {
        /// May do everything.
        Admin = "admin",
        /// Judges affiliates and referrals.
        Reviewer = "reviewer",
        /// Starts nightly runs, changes where mail and payouts go, adds lines by hand, exports lists.
        Finance = "finance",
        /// May only look.
        ReadOnly = "read_only",
    }
}

named! {
    /// What only some members of staff may do. Everyone may look.
    pub enum Permission {
        /// Approve or reject an application.
        ReviewApplications = "review",
        /// Suspend and reinstate affiliates, sign them out, change their data, send them a link to set a password.
        ChangeAffiliates = "change",
        /// Change where an affiliate's mail and payouts go.
        ChangeAddresses = "addresses",
        /// Close an affiliate permanently.
        CloseAffiliates = "close",
        /// Write a note about an affiliate.
        WriteNotes = "note",
        /// Hold, release and reject referrals.
        JudgeHolds = "judge",
        /// Decide about missing referrals.
        DecideClaims = "claims",
        /// Credit an account by hand.
        Credit = "credit",
        /// Start a nightly run.
        Aggregate = "aggregate",
        /// Download lists.
        Export = "export",
        /// Make and approve payouts, add bonuses and claw-backs by hand.
        Payouts = "payouts",
        /// Create members of staff, change their roles, disable them.
        ManageStaff = "staff",
    }
}

impl Role {
    /// The table of permissions.
    pub const fn may(self, permission: Permission) -> bool {
        match permission {
            Permission::ReviewApplications
            | Permission::ChangeAffiliates
            | Permission::WriteNotes
            | Permission::JudgeHolds
            | Permission::DecideClaims
            | Permission::Credit => matches!(self, Self::Admin | Self::Reviewer),
            Permission::ChangeAddresses
            | Permission::Aggregate
            | Permission::Export
            | Permission::Payouts => matches!(self, Self::Admin | Self::Finance),
            Permission::CloseAffiliates | Permission::ManageStaff => matches!(self, Self::Admin),
        }
    }
}

/// A member of staff.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaffMember {
    /// Its id.
    pub id: StaffId,
    /// The person's name.
    pub name: String,
    /// The e-mail that the person signs in with.
    pub email: String,
    /// What the person may do.
    pub role: Role,
    /// When the member was created.
    pub created_at: DateTime<Utc>,
    /// When the member was disabled; it may not sign in since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<DateTime<Utc>>,
    /// How often it was disabled: an older one-time link is spent, even after the member is enabled again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub disablings: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl StaffMember {
    /// Whether the member may do this now.
    pub const fn may(&self, action: Permission) -> bool {
        self.disabled_at.is_none() && self.role.may(action)
    }
}

/// The text that affiliates sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    /// Its version: with a new one, everybody has to sign again.
    pub version: String,
    /// Its text.
    pub text: String,
    /// The text's SHA-256, hex.
    pub sha256: String,
}

impl Agreement {
    /// An agreement with this text.
    pub fn new(version: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let sha256 = hex(&Sha256::digest(text.as_bytes()));
        Self { version: version.into(), text, sha256 }
    }
}

/// An affiliate's signature under an agreement.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The version of the agreement.
    pub version: String,
    /// The SHA-256 of the agreement's text, in hex.
    pub sha256: String,
    /// The name as typed.
    pub name: String,
    /// The IP address that it was signed from.
    pub ip: String,
    /// When it was signed.
    pub at: DateTime<Utc>,
}

impl fmt::Debug for Signature {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither name nor address: this may end up in a log.
        out.debug_struct("Signature").field("version", &self.version).finish_non_exhaustive()
    }
}

/// A note of staff about an affiliate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = StaffNote)]
pub struct Note {
    /// When it was written.
    pub at: DateTime<Utc>,
    /// Who wrote it.
    pub by: String,
    /// What.
    pub text: String,
}

named! {
    /// The state of a claim.
    pub enum ClaimState {
        /// Staff have not decided yet.
        Open = "open",
        /// The referral is credited.
        Granted = "granted",
        /// The referral is not credited.
        Declined = "declined",
    }
}

/// A claim that a referral is missing, which staff decide about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingReferral {
    /// Its id.
    pub id: ClaimId,
    /// The affiliate that made the claim.
    pub affiliate_id: AffiliateId,
    /// The account's id, if the affiliate knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_hint: Option<String>,
    /// The customer's company.
    pub company: String,
    /// Why the affiliate should be credited.
    pub evidence: String,
    /// When it was filed.
    pub filed_at: DateTime<Utc>,
    /// Its state.
    pub state: ClaimState,
    /// The reason that staff gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// When it was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<DateTime<Utc>>,
    /// The account that is credited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<AccountId>,
}

/// An e-mail address as others may see it: `a…@example.com`.
pub fn mask_email(address: &str) -> String {
    let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    let first: String = local.chars().take(1).collect();
    format!("{first}…@{domain}")
}

/// Whether two e-mail addresses are the same, ignoring case.
pub fn same_email(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_what_each_role_may_do() {
        use Permission::*;
        let judges = [ReviewApplications, ChangeAffiliates, WriteNotes, JudgeHolds, DecideClaims, Credit];
        let pays = [ChangeAddresses, Aggregate, Export, Payouts];
        for action in Permission::ALL {
            assert!(Role::Admin.may(action), "{action:?}");
            assert_eq!(Role::Reviewer.may(action), judges.contains(&action), "{action:?}");
            assert_eq!(Role::Finance.may(action), pays.contains(&action), "{action:?}");
            assert!(!Role::ReadOnly.may(action), "{action:?}");
        }
    }

    #[test]
    fn who_is_disabled_may_nothing() {
        let at: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().expect("a literal");
        let mut member = StaffMember {
            id: StaffId::from_bits(1),
            name: "Ann".into(),
            email: "ann@example.com".into(),
            role: Role::Admin,
            created_at: at,
            disabled_at: None,
            disablings: 0,
        };
        assert!(member.may(Permission::ManageStaff));
        member.disabled_at = Some(at);
        assert!(!member.may(Permission::ManageStaff));
    }

    #[test]
    fn roles_and_people_read_back() {
        for role in Role::ALL {
            assert_eq!(role.code().parse(), Ok(role));
            assert_eq!(serde_json::to_value(role).expect("plain data"), role.code());
        }
        assert!("Admin".parse::<Role>().is_err());
        for person in [Person::Affiliate(AffiliateId::from_bits(7)), Person::Staff(StaffId::from_bits(7))] {
            assert_eq!(person.to_string().parse(), Ok(person));
        }
        assert!("lnk_0000000000007".parse::<Person>().is_err());
    }

    #[test]
    fn a_signature_tells_a_log_neither_name_nor_address() {
        let signature = Signature {
            version: "2026-01".into(),
            sha256: "ab".into(),
            name: "Ann Smith".into(),
            ip: "203.0.113.9".into(),
            at: DateTime::default(),
        };
        assert_eq!(format!("{signature:?}"), r#"Signature { version: "2026-01", .. }"#);
    }

    #[test]
    fn addresses_are_masked_and_compared_without_case() {
        let table = [
            ("ann@example.com", "a…@example.com"),
            ("é@b.example", "é…@b.example"),
            ("@b", "…@b"),
            ("x", "x…@"),
        ];
        for (address, masked) in table {
            assert_eq!(mask_email(address), masked);
        }
        assert!(same_email(" Ann@Example.com", "ann@example.COM"));
        assert!(!same_email("ann@example.com", "bob@example.com"));
    }
}
