//! Facts: what someone told us, or what we decided. Journaled as one line of JSON each, never changed,
//! kept for ever; the store can be made again from them.
//!
//! A reader that meets an unknown `fact` stops and names it: a newer version wrote it.

use super::affiliate::{Affiliate, Link, Profile, Step};
use super::attribution::Attribution;
use super::calendar::Month;
use super::id::{AccountId, AffiliateId, ClaimId, LinkId, NodeId, Plan, ReferralCode, StaffId};
use super::mail::{LostMail, MailOutcome};
use super::named::named;
use super::password::PasswordHash;
use super::person::{Agreement, MissingReferral, Person, Role, Signature, StaffMember};
use super::program::Rules;
use super::statement::{AccountEvent, ClosingReferrals, Statement};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A fact with when and from whom it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When the node took it in.
    pub at: DateTime<Utc>,
    /// Who told it: the name of an API key, a member of staff, or `counterfoil` itself.
    pub by: String,
    /// The fact.
    #[serde(flatten)]
    pub fact: Fact,
}

/// Defines the kinds of facts: a struct for each, and [`Fact`] that is one of them.
macro_rules! facts {
    ($( $(#[$about:meta])* $kind:ident = $name:literal { $($fields:tt)* }, )*) => {
        $(
            $(#[$about])*
            #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
            pub struct $kind { $($fields)* }

            impl $kind {
                /// The kind's stable name, on disk and in metrics.
                pub const NAME: &'static str = $name;
            }

            impl From<$kind> for Fact {
                fn from(fact: $kind) -> Self {
                    Self::$kind(fact)
                }
            }
        )*

        /// What is journaled.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "fact")]
        pub enum Fact {
            $(
                $(#[$about])*
                #[serde(rename = $name)]
                $kind($kind),
            )*
        }

        impl Fact {
            /// The kind's stable name, on disk and in metrics.
            pub const fn kind(&self) -> &'static str {
                match self {
                    $( Self::$kind(_) => $name, )*
                }
            }
        }
    };
}

facts! {
    /// A new account at the company.
    Signup = "signup" {
        /// The new account.
        pub account_id: AccountId,
        /// Its plan.
        pub plan: Plan,
        /// When it signed up.
        pub signed_up_at: DateTime<Utc>,
        /// Whether the signup itself activated it; `false`: a trial.
        pub active: bool,
        /// The evidence it came with.
        #[serde(default)]
        pub evidence: Evidence,
        /// The delivery that brought it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub delivery: Option<Delivery>,
        /// What its sender was warned of: part of the first answer, which stands.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub warnings: Vec<String>,
    },
    /// Something happened to an account.
    Event = "event" {
        /// Whose event.
        pub account_id: AccountId,
        /// What.
        pub event: AccountEvent,
        /// The delivery that brought it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub delivery: Option<Delivery>,
    },
    /// We decided about a signup; carries the signup, so that it can be applied alone.
    Decision = "decision" {
        /// The signup.
        pub signup: Signup,
        /// When the node that decided had received the signup.
        pub received_at: DateTime<Utc>,
        /// The signup's position in the same journal.
        pub signup_position: u64,
        /// What was decided.
        pub attribution: Attribution,
    },
    /// A fact of the same journal had no effect: a conflict, or refused. A replay skips it.
    Void = "void" {
        /// The fact's position in the same journal.
        pub position: u64,
        /// Why.
        pub reason: String,
        /// The account, when it was a conflict of one: staff see it there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub account_id: Option<AccountId>,
    },
    /// Staff judged a referral.
    Review = "review" {
        /// The account.
        pub account_id: AccountId,
        /// How.
        pub action: ReviewAction,
        /// Why.
        pub reason: String,
    },
    /// Staff credited an account by hand.
    Credit = "credit" {
        /// The account.
        pub account_id: AccountId,
        /// To whom; `None`: to nobody.
        pub affiliate_id: Option<AffiliateId>,
        /// Why.
        pub reason: String,
        /// The claim that was granted by it: it is credited once, however often that is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub claim_id: Option<ClaimId>,
        /// It ends a hold or a rejection also where the affiliate stays the same: said since credits do so; what was
        /// journaled before keeps the effect that it had.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        pub ends_judgement: bool,
    },
    /// An affiliate applied, or was brought over; with its default link.
    AffiliateCreated = "affiliate_created" {
        /// The affiliate.
        pub affiliate: Affiliate,
        /// Its default link.
        pub link: Link,
    },
    /// An affiliate took a step of its life.
    AffiliateStep = "affiliate_step" {
        /// Who.
        pub affiliate_id: AffiliateId,
        /// Which step.
        pub step: Step,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reason: Option<String>,
    },
    /// An affiliate's profile was changed: what is given replaces what was.
    AffiliateChanged = "affiliate_changed" {
        /// Who.
        pub affiliate_id: AffiliateId,
        /// What changed.
        pub change: AffiliateChange,
    },
    /// A link was made.
    LinkCreated = "link_created" {
        /// The link.
        pub link: Link,
        /// How many the affiliate may have with it; `None`: as many as there are.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub within: Option<Within>,
    },
    /// A link was switched off.
    LinkDisabled = "link_disabled" {
        /// Which.
        pub link_id: LinkId,
        /// Whose.
        pub affiliate_id: AffiliateId,
        /// Why; empty where nobody said. A fact without it is from before default links were kept on: it
        /// switches off what it names.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reason: Option<String>,
    },
    /// A link that was switched off is on again.
    LinkEnabled = "link_enabled" {
        /// Which.
        pub link_id: LinkId,
        /// Whose.
        pub affiliate_id: AffiliateId,
    },
    /// An affiliate's month was closed.
    StatementClosed = "statement_closed" {
        /// What it says, for ever.
        pub statement: Statement,
        /// When the run read the facts that it says it from.
        pub read_at: DateTime<Utc>,
        /// The lease's fencing token of the run that closed it.
        pub fence: u64,
        /// Which referrals counted; `None`: it was closed before closings said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub referrals: Option<ClosingReferrals>,
    },
    /// A month's closing began: its rules are fixed from here on.
    MonthClosing = "month_closing" {
        /// Which.
        pub month: Month,
        /// By what its statements are computed for ever.
        pub rules: Rules,
        /// The run's as-of.
        pub as_of: DateTime<Utc>,
        /// The run's fencing token.
        pub fence: u64,
    },
    /// All of a month's statements are closed.
    MonthClosed = "month_closed" {
        /// Which.
        pub month: Month,
        /// How many statements it has.
        pub statements: u64,
        /// The run's fencing token.
        pub fence: u64,
    },
    /// A nightly run ended.
    RunFinished = "run_finished" {
        /// What it did.
        pub run: RunReport,
        /// The run's fencing token.
        pub fence: u64,
        /// How long it took, in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub took_ms: Option<u64>,
    },
    /// Somebody set a password. An affiliate that was approved is activated by it.
    PasswordSet = "password_set" {
        /// Who.
        pub person: Person,
        /// Of the password.
        pub hash: PasswordHash,
        /// The version that it replaces: another one stands, and it is refused.
        pub replaces: u32,
    },
    /// An agreement's text, written down before anybody signs it: from then on its version has no other.
    AgreementPublished = "agreement_published" {
        /// The text, with its version and hash.
        pub agreement: Agreement,
    },
    /// An affiliate signed the agreement.
    AgreementSigned = "agreement_signed" {
        /// Who.
        pub affiliate_id: AffiliateId,
        /// How.
        pub signature: Signature,
    },
    /// A member of staff was made.
    StaffCreated = "staff_created" {
        /// Who.
        pub member: StaffMember,
    },
    /// A member of staff may do something else, or may no longer sign in.
    StaffChanged = "staff_changed" {
        /// Who.
        pub staff_id: StaffId,
        /// Another role.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub role: Option<Role>,
        /// Whether it may not sign in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub disabled: Option<bool>,
        /// Asks that an administrator be left, and names those who were known; `None`: this is not asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub admins: Option<BTreeSet<StaffId>>,
    },
    /// Somebody made a link that sets a member's password.
    StaffInvited = "staff_invited" {
        /// Whose password.
        pub staff_id: StaffId,
    },
    /// Staff sent an affiliate a link that sets its password.
    ActivationSent = "activation_sent" {
        /// Whose password.
        pub affiliate_id: AffiliateId,
    },
    /// An affiliate, or staff for it, ended all of its sessions and open links.
    SignedOutEverywhere = "signed_out_everywhere" {
        /// Whose.
        pub affiliate_id: AffiliateId,
    },
    /// A member of staff ended all of its own sessions and open links.
    StaffSignedOutEverywhere = "staff_signed_out_everywhere" {
        /// Whose.
        pub staff_id: StaffId,
    },
    /// Staff wrote something about an affiliate.
    NoteAdded = "note_added" {
        /// About whom.
        pub affiliate_id: AffiliateId,
        /// What.
        pub text: String,
    },
    /// An affiliate says that a referral is missing.
    ClaimFiled = "claim_filed" {
        /// Which.
        pub claim: MissingReferral,
    },
    /// Staff decided about a missing referral.
    ClaimDecided = "claim_decided" {
        /// Which.
        pub claim_id: ClaimId,
        /// Whose.
        pub affiliate_id: AffiliateId,
        /// Whether it is credited.
        pub granted: bool,
        /// Why.
        pub reason: String,
        /// The account that is credited by it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub account_id: Option<AccountId>,
    },
    /// A fact could not be applied, and is set aside so that those after it go on.
    SetAside = "set_aside" {
        /// Whose journal it is in.
        pub node: NodeId,
        /// Its position there.
        pub position: u64,
        /// In which life of the node's disk; earlier versions did not say so, and it is taken for the first.
        #[serde(default = "first_epoch", skip_serializing_if = "is_first_epoch")]
        pub epoch: u32,
        /// What is wrong with it.
        pub cause: String,
        /// Its kind, as far as it can be read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub kind: Option<String>,
        /// The account that it is about, if one, as far as it can be read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub account_id: Option<AccountId>,
        /// Its record, as it was journaled.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub record: Option<String>,
    },
    /// A person decided about a fact that was set aside.
    SetAsideEnded = "set_aside_ended" {
        /// Whose journal it is in.
        pub node: NodeId,
        /// Its position there.
        pub position: u64,
        /// In which life of the node's disk.
        #[serde(default = "first_epoch", skip_serializing_if = "is_first_epoch")]
        pub epoch: u32,
        /// It was journaled again; false: it is dropped.
        pub retried: bool,
        /// Why.
        pub reason: String,
    },
    /// A mail was sent, or given up.
    MailDone = "mail_done" {
        /// Which.
        pub mail_id: String,
        /// How it ended.
        pub outcome: MailOutcome,
        /// What was lost with it, if it never reached anybody and was about somebody.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub lost: Option<LostMail>,
    },
}

pub(crate) const fn first_epoch() -> u32 {
    1
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
pub(crate) const fn is_first_epoch(epoch: &u32) -> bool {
    *epoch == first_epoch()
}

/// A limit that must hold where a fact is applied, and not only where it was asked for: of two who ask at once, both may
/// see room for one. It stands in the fact, so that what was applied without it is never refused by a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Within {
    /// So many there may be.
    pub most: u32,
    /// So many were known: where a store has not counted yet, it begins with them.
    pub known: u32,
}

impl Signup {
    /// Whether another report says the same of the account: equal plan, instant and standing. Evidence
    /// and warnings do not count.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.account_id == other.account_id
            && self.plan == other.plan
            && same_instant(self.signed_up_at, other.signed_up_at)
            && self.active == other.active
    }
}

/// Whether two reports mean the same instant: databases round what they keep to a part of a millisecond.
pub fn same_instant(one: DateTime<Utc>, other: DateTime<Utc>) -> bool {
    (one - other).abs() < TimeDelta::milliseconds(1)
}

/// What a signup may be credited by. Only keyed hashes of e-mail and IP are kept, and the mail domain.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// The click token of the landing page, as given (at most 512 bytes are kept).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub click: Option<String>,
    /// The visitor cookie's value, as given (at most 512 bytes are kept).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<String>,
    /// The typed code, as [`ReferralCode::fold`] writes it (at most 64 bytes are kept); before that was so, as given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Keyed hash of the trimmed lower-case e-mail, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email_hash: Option<String>,
    /// The e-mail's domain in lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email_domain: Option<String>,
    /// Keyed hash of the IP, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_hash: Option<String>,
}

/// A webhook delivery: the same id with other bytes for an account is a conflict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The sender's `webhook-id`, hashed: first 16 hex digits of its SHA-256.
    pub id: String,
    /// The body: first 16 hex digits of its SHA-256.
    pub body: String,
}

named! {
    /// How staff judge a referral.
    pub enum ReviewAction {
        /// Keep it out of months not yet closed.
        Hold = "hold",
        /// Let it count, with the months missed.
        Release = "release",
        /// It never counts.
        Reject = "reject",
    }
}

/// What changed of an affiliate.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AffiliateChange {
    /// The profile that the change was made to: of the new one, only what differs from it is taken, so that
    /// two people who change different things at once both have their way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Profile>,
    /// The whole new profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// Another referral code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ReferralCode>,
    /// Whether it is exempt from holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exempt_from_holds: Option<bool>,
}

impl AffiliateChange {
    /// Whether it changes where mail and payouts go, and whether it changes anything else.
    pub fn touches(&self) -> (bool, bool) {
        let before = self.before.clone().unwrap_or_default();
        let Some(after) = &self.profile else { return (false, !self.is_of_profile()) };
        let addresses = before.email != after.email || before.paypal_email != after.paypal_email;
        let (email, paypal_email) = (after.email.clone(), after.paypal_email.clone());
        let others = Profile { email, paypal_email, ..before } != *after;
        (addresses, others || !self.is_of_profile())
    }
    /// Whether it changes nothing but the profile.
    pub const fn is_of_profile(&self) -> bool {
        self.code.is_none() && self.exempt_from_holds.is_none()
    }
}

/// What a nightly run did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunReport {
    /// The time it was run as of.
    pub as_of: DateTime<Utc>,
    /// The last full day.
    #[schema(value_type = String, format = Date)]
    pub through: NaiveDate,
    /// Months that it closed.
    #[schema(value_type = Vec<String>)]
    pub closed: Vec<Month>,
    /// Referred accounts read.
    pub accounts: u64,
    /// Crossings in months open before the run.
    pub crossings: u64,
    /// Statements computed.
    pub statements: u64,
    /// Adjustments placed.
    pub adjustments: u64,
    /// Affiliates that were computed; all others stand as the run before found them.
    #[serde(default)]
    pub computed: u64,
    /// SHA-256 of the hashes of all statements that it computed, those that it closed and those left open, by affiliate
    /// and month, in hex. A dry run computes everything anew: it says the same as one that computed what changed.
    #[serde(default)]
    pub statements_hash: String,
    /// Nodes whose journals were behind or silent: no month closed because of them.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub nodes_behind: Vec<NodeId>,
    /// What else kept months from closing, each in a sentence: facts that are set aside, documents that can't be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<String>,
    /// Months that would be due by the node's clock, and are not by the store's: they did not close.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub too_early: Vec<Month>,
    /// Why the store may have forgotten facts: no month closed because of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_forgets: Option<String>,
}

impl RunReport {
    /// Whether something is missing, or may be: no month closes then.
    pub const fn may_miss_facts(&self) -> bool {
        !self.nodes_behind.is_empty() || !self.waits_for.is_empty() || self.store_forgets.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is on disk for ever: these bytes must go on being read, and written.
    #[test]
    fn records_have_golden_bytes() {
        let golden = [
            r#"{"at":"2026-01-01T15:00:00Z","by":"signup-flow","fact":"signup","account_id":"acct_81","plan":"growth","signed_up_at":"2026-01-01T15:00:00Z","active":true,"evidence":{"click":"token"},"delivery":{"id":"0a","body":"0b"}}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"signup-flow","fact":"signup","account_id":"acct_81","plan":"gold","signed_up_at":"2026-01-01T15:00:00Z","active":true,"evidence":{},"warnings":["plan_without_rate"]}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"signup-flow","fact":"event","account_id":"acct_81","event":{"event_id":"evt_9","occurred_at":"2026-01-02T00:00:00Z","change":{"type":"plan_changed","plan":"connect"}}}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"counterfoil","fact":"void","position":7,"reason":"signup","account_id":"acct_81"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"ann","fact":"review","account_id":"acct_81","action":"hold","reason":"looks odd"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"ann","fact":"credit","account_id":"acct_81","affiliate_id":"aff_0000000000007","reason":"a call"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"ann","fact":"affiliate_step","affiliate_id":"aff_0000000000007","step":"suspend","reason":"spam"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"ann","fact":"link_disabled","link_id":"lnk_0000000000003","affiliate_id":"aff_0000000000007"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"ann","fact":"link_disabled","link_id":"lnk_0000000000003","affiliate_id":"aff_0000000000007","reason":"spam"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"ann","fact":"link_enabled","link_id":"lnk_0000000000003","affiliate_id":"aff_0000000000007"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"counterfoil","fact":"month_closed","month":"2026-04","statements":3,"fence":1767279600000}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"aff_0000000000007","fact":"password_set","person":"aff_0000000000007","hash":"$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA","replaces":0}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"counterfoil","fact":"agreement_published","agreement":{"version":"2026-01","text":"You earn.","sha256":"ab"}}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"aff_0000000000007","fact":"agreement_signed","affiliate_id":"aff_0000000000007","signature":{"version":"2026-01","sha256":"ab","name":"Ann Smith","ip":"203.0.113.9","at":"2026-01-01T15:00:00Z"}}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"ann","fact":"staff_created","member":{"id":"stf_0000000000009","name":"Bob","email":"bob@example.com","role":"read_only","created_at":"2026-01-01T15:00:00Z"}}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"ann","fact":"staff_changed","staff_id":"stf_0000000000009","role":"finance"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"ann","fact":"staff_changed","staff_id":"stf_0000000000009","disabled":true}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"ann","fact":"staff_changed","staff_id":"stf_0000000000009","disabled":true,"admins":["stf_0000000000008","stf_0000000000009"]}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"ann","fact":"link_created","link":{"id":"lnk_0000000000003","affiliate":"aff_0000000000007","created_at":"2026-01-01T15:00:00Z"}}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"aff_0000000000007","fact":"link_created","link":{"id":"lnk_0000000000003","affiliate":"aff_0000000000007","created_at":"2026-01-01T15:00:00Z"},"within":{"most":200,"known":3}}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"ann","fact":"staff_invited","staff_id":"stf_0000000000009"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"ann","fact":"activation_sent","affiliate_id":"aff_0000000000007"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"ann","fact":"signed_out_everywhere","affiliate_id":"aff_0000000000007"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"stf_0000000000009","fact":"staff_signed_out_everywhere","staff_id":"stf_0000000000009"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"stf_0000000000009","fact":"note_added","affiliate_id":"aff_0000000000007","text":"called"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"aff_0000000000007","fact":"claim_filed","claim":{"id":"clm_0000000000005","affiliate_id":"aff_0000000000007","account_hint":"acct_81","company":"Acme","evidence":"we met","filed_at":"2026-01-01T15:00:00Z","state":"open"}}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"stf_0000000000009","fact":"claim_decided","claim_id":"clm_0000000000005","affiliate_id":"aff_0000000000007","granted":true,"reason":"they said so"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"stf_0000000000009","fact":"claim_decided","claim_id":"clm_0000000000005","affiliate_id":"aff_0000000000007","granted":true,"reason":"they said so","account_id":"acct_81"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"ann","fact":"credit","account_id":"acct_81","affiliate_id":"aff_0000000000007","reason":"a call","claim_id":"clm_0000000000005"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"counterfoil","fact":"mail_done","mail_id":"019b0a","outcome":"given_up"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"counterfoil","fact":"mail_done","mail_id":"019b0a","outcome":"given_up","lost":{"person":"aff_0000000000007","kind":"approved","why":"needs_smtputf8"}}"#,
        ];
        for text in golden {
            let record: Record = serde_json::from_str(text).expect(text);
            assert_eq!(serde_json::to_string(&record).expect("plain data"), text);
            assert!(text.contains(&format!(r#""fact":"{}""#, record.fact.kind())), "{text}");
        }
        let unknown = golden[3].replace("void", "voided_by_a_newer_version");
        assert!(serde_json::from_str::<Record>(&unknown).is_err());
    }

    #[test]
    fn evidence_does_not_make_another_signup() {
        let read = |text: &str| match serde_json::from_str::<Record>(text).expect(text).fact {
            Fact::Signup(signup) => signup,
            other => panic!("{other:?}"),
        };
        let text = r#"{"at":"2026-01-01T15:00:00Z","by":"x","fact":"signup","account_id":"a","plan":"growth","signed_up_at":"2026-01-01T15:00:00Z","active":true}"#;
        let first = read(text);
        let with_evidence = read(&text.replace("true}", r#"true,"evidence":{"code":"x"}}"#));
        assert!(first.says_the_same(&with_evidence));
        for (from, to) in [
            ("growth", "connect"),
            ("true", "false"),
            (r#""a""#, r#""b""#),
            ("15:00:00Z\",\"active", "15:00:01Z\",\"active"),
            ("15:00:00Z\",\"active", "15:00:00.001Z\",\"active"),
        ] {
            assert!(!first.says_the_same(&read(&text.replace(from, to))), "{from}");
        }
    }

    #[test]
    fn instants_that_differ_by_less_than_a_millisecond_are_equal() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().expect(text);
        let table = [
            ("2026-01-01T15:00:00.123456789Z", "2026-01-01T15:00:00.123457Z", true),
            ("2026-01-01T15:00:00.123456789Z", "2026-01-01T15:00:00.123Z", true),
            ("2026-01-01T15:00:00.999999999Z", "2026-01-01T15:00:01Z", true),
            ("2026-01-01T15:00:00Z", "2026-01-01T15:00:00.000999999Z", true),
            ("2026-01-01T15:00:00Z", "2026-01-01T15:00:00.001Z", false),
            ("2026-01-01T15:00:00.5Z", "2026-01-01T15:00:00Z", false),
        ];
        for (one, other, same) in table {
            assert_eq!(same_instant(at(one), at(other)), same, "{one} {other}");
            assert_eq!(same_instant(at(other), at(one)), same, "{other} {one}");
        }
    }
}
