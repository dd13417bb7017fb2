//! Facts: what was reported to us, or what we decided. Each is journaled as one line of JSON and kept
//! permanently, without changes; the store can be made again from them.
//!
//! An unknown `fact`, which a newer version wrote, is set aside.

use super::affiliate::{Affiliate, Link, Profile, Step};
use super::attribution::Attribution;
use super::calendar::Month;
use super::id::{AccountId, AffiliateId, ClaimId, LineKey, LinkId, NodeId, Plan, ReferralCode, StaffId};
use super::mail::{LostMail, MailOutcome, News};
use super::money::Money;
use super::named::named;
use super::password::PasswordHash;
use super::payout::{Answer, CarriedSum, Change, Clearance, Method, NewItem, PayPalId, PayoutId};
use super::person::{Agreement, MissingReferral, Person, Role, Signature, StaffMember};
use super::program::Rules;
use super::statement::{AccountEvent, ClosingReferrals, Statement};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A fact with the time and the source of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When the node received it.
    pub at: DateTime<Utc>,
    /// Who reported it: the name of an API key, a member of staff, or `counterfoil` itself.
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

        #[cfg(test)]
        const KINDS: &[&str] = &[$($name),*];
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
        /// Whether the signup itself made it active; `false`: a trial.
        pub active: bool,
        /// The evidence for attribution.
        #[serde(default)]
        pub evidence: Evidence,
        /// The delivery that brought it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub delivery: Option<Delivery>,
        /// The warnings in the first answer; later answers repeat them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub warnings: Vec<String>,
    },
    /// Something happened to an account.
    Event = "event" {
        /// The account.
        pub account_id: AccountId,
        /// What happened.
        pub event: AccountEvent,
        /// The delivery that brought it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub delivery: Option<Delivery>,
    },
    /// A decision about a signup; it repeats the signup, so that it can be applied alone.
    Decision = "decision" {
        /// The signup.
        pub signup: Signup,
        /// When the node that decided had received the signup.
        pub received_at: DateTime<Utc>,
        /// The signup's position in the same journal.
        pub signup_position: u64,
        /// The decision.
        pub attribution: Attribution,
    },
    /// A fact of the same journal has no effect: it was rejected, or is a conflict. A replay skips it.
    Void = "void" {
        /// The fact's position in the same journal.
        pub position: u64,
        /// Why it has no effect.
        pub reason: String,
        /// The account, if it is a conflict: staff see it there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub account_id: Option<AccountId>,
    },
    /// Staff judged a referral.
    Review = "review" {
        /// The account.
        pub account_id: AccountId,
        /// The judgement.
        pub action: ReviewAction,
        /// The reason that was given.
        pub reason: String,
    },
    /// Staff credited an account by hand.
    Credit = "credit" {
        /// The account.
        pub account_id: AccountId,
        /// The affiliate that is credited; `None`: nobody.
        pub affiliate_id: Option<AffiliateId>,
        /// The reason that was given.
        pub reason: String,
        /// The claim that this grants: it is credited once, even if reported again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub claim_id: Option<ClaimId>,
        /// Whether it ends a hold or a rejection even if the affiliate stays the same. Older records do not
        /// have it, and keep the effect that they had.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        pub ends_judgement: bool,
    },
    /// An affiliate applied, or was imported; with its default link.
    AffiliateCreated = "affiliate_created" {
        /// The affiliate.
        pub affiliate: Affiliate,
        /// Its default link.
        pub link: Link,
    },
    /// An affiliate took a step of its life.
    AffiliateStep = "affiliate_step" {
        /// The affiliate.
        pub affiliate_id: AffiliateId,
        /// Which step.
        pub step: Step,
        /// The reason that was given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reason: Option<String>,
    },
    /// An affiliate's profile was changed: fields that are given replace the old ones.
    AffiliateChanged = "affiliate_changed" {
        /// The affiliate.
        pub affiliate_id: AffiliateId,
        /// What changed.
        pub change: AffiliateChange,
    },
    /// A link was made.
    LinkCreated = "link_created" {
        /// The link.
        pub link: Link,
        /// How many links the affiliate may have, this one included; `None`: no limit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub within: Option<Within>,
    },
    /// A link was switched off.
    LinkDisabled = "link_disabled" {
        /// The link.
        pub link_id: LinkId,
        /// Its affiliate.
        pub affiliate_id: AffiliateId,
        /// The reason; empty if none was given. A fact without it comes from a version that did not protect
        /// default links: it switches off any link.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reason: Option<String>,
    },
    /// A link was switched on again.
    LinkEnabled = "link_enabled" {
        /// The link.
        pub link_id: LinkId,
        /// Its affiliate.
        pub affiliate_id: AffiliateId,
    },
    /// An affiliate's month was closed.
    StatementClosed = "statement_closed" {
        /// The statement; it never changes.
        pub statement: Statement,
        /// When the run read the facts behind it.
        pub read_at: DateTime<Utc>,
        /// The fencing token of the lease of the run that closed it.
        pub fence: u64,
        /// Which referrals counted; `None`: the closing is older than this field.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub referrals: Option<ClosingReferrals>,
    },
    /// The closing of a month began: its rules are fixed from here on.
    MonthClosing = "month_closing" {
        /// The month.
        pub month: Month,
        /// The rules that its statements are computed by, permanently.
        pub rules: Rules,
        /// The time that the run was made for.
        pub as_of: DateTime<Utc>,
        /// The run's fencing token.
        pub fence: u64,
    },
    /// All of a month's statements are closed.
    MonthClosed = "month_closed" {
        /// The month.
        pub month: Month,
        /// The number of its statements.
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
    /// Somebody set a password. An approved affiliate becomes activated by it.
    PasswordSet = "password_set" {
        /// Whose password it is.
        pub person: Person,
        /// The hash of the password.
        pub hash: PasswordHash,
        /// The version that it replaces; refused if another version is the current one.
        pub replaces: u32,
    },
    /// The text of an agreement, journaled before anybody signs it: from then on its version can't have
    /// another text.
    AgreementPublished = "agreement_published" {
        /// The text, with its version and hash.
        pub agreement: Agreement,
    },
    /// An affiliate signed the agreement.
    AgreementSigned = "agreement_signed" {
        /// The affiliate.
        pub affiliate_id: AffiliateId,
        /// The signature.
        pub signature: Signature,
    },
    /// A member of staff was made.
    StaffCreated = "staff_created" {
        /// The member of staff.
        pub member: StaffMember,
    },
    /// A member of staff got another role, or was disabled or enabled.
    StaffChanged = "staff_changed" {
        /// The member of staff.
        pub staff_id: StaffId,
        /// The new role.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub role: Option<Role>,
        /// Whether it is disabled now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub disabled: Option<bool>,
        /// The administrators that were known when this was requested: the change is refused if it would leave
        /// none. `None`: not checked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub admins: Option<BTreeSet<StaffId>>,
    },
    /// Somebody made a link to set the password of a member of staff.
    StaffInvited = "staff_invited" {
        /// The member of staff.
        pub staff_id: StaffId,
    },
    /// Staff sent an affiliate a link to set its password.
    ActivationSent = "activation_sent" {
        /// The affiliate.
        pub affiliate_id: AffiliateId,
    },
    /// An affiliate, or staff for it, ended all of its sessions and open links.
    SignedOutEverywhere = "signed_out_everywhere" {
        /// The affiliate.
        pub affiliate_id: AffiliateId,
    },
    /// A member of staff ended all of its own sessions and open links.
    StaffSignedOutEverywhere = "staff_signed_out_everywhere" {
        /// The member of staff.
        pub staff_id: StaffId,
    },
    /// Staff wrote a note about an affiliate.
    NoteAdded = "note_added" {
        /// The affiliate.
        pub affiliate_id: AffiliateId,
        /// The text of the note.
        pub text: String,
    },
    /// An affiliate reports that a referral is missing.
    ClaimFiled = "claim_filed" {
        /// The claim.
        pub claim: MissingReferral,
    },
    /// Staff decided about a missing referral.
    ClaimDecided = "claim_decided" {
        /// The claim.
        pub claim_id: ClaimId,
        /// Its affiliate.
        pub affiliate_id: AffiliateId,
        /// Whether the claim is granted.
        pub granted: bool,
        /// The reason that was given.
        pub reason: String,
        /// The account that is credited because of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub account_id: Option<AccountId>,
    },
    /// Finance added a line by hand: a bonus or a claw-back.
    LineAdded = "line_added" {
        /// The affiliate.
        pub affiliate_id: AffiliateId,
        /// The line's name, unique for the affiliate.
        pub key: LineKey,
        /// A bonus, or, below zero, a claw-back.
        pub amount: Money,
        /// The reason that was given.
        pub reason: String,
    },
    /// Finance took a line by hand back.
    LineRemoved = "line_removed" {
        /// The affiliate.
        pub affiliate_id: AffiliateId,
        /// The line's name.
        pub key: LineKey,
    },
    /// A fact could not be applied, and is set aside so that later facts are not blocked.
    SetAside = "set_aside" {
        /// The node whose journal it is in.
        pub node: NodeId,
        /// Its position in that journal.
        pub position: u64,
        /// The epoch of that journal; older versions did not write it, and it counts as the first.
        #[serde(default = "first_epoch", skip_serializing_if = "is_first_epoch")]
        pub epoch: u32,
        /// What is wrong with it.
        pub cause: String,
        /// Its kind, if it can be read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub kind: Option<String>,
        /// The account that it is about, if there is one and it can be read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub account_id: Option<AccountId>,
        /// Its record, as it was journaled.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub record: Option<String>,
    },
    /// A person decided about a fact that was set aside.
    SetAsideEnded = "set_aside_ended" {
        /// The node whose journal it is in.
        pub node: NodeId,
        /// Its position in that journal.
        pub position: u64,
        /// The epoch of that journal.
        #[serde(default = "first_epoch", skip_serializing_if = "is_first_epoch")]
        pub epoch: u32,
        /// True: it was journaled again; false: it is dropped.
        pub retried: bool,
        /// The reason that was given.
        pub reason: String,
    },
    /// A mail was sent, or will not be sent any more.
    MailDone = "mail_done" {
        /// The mail.
        pub mail_id: String,
        /// How it ended.
        pub outcome: MailOutcome,
        /// What was lost, if it never reached the person that it was about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub lost: Option<LostMail>,
    },
    /// A payout batch is begun: its items follow.
    PayoutBegun = "payout_begun" {
        /// The batch.
        pub payout_id: PayoutId,
        /// ISO 4217 code.
        pub currency: String,
        /// The fencing token of the run that makes it.
        pub fence: u64,
    },
    /// What a batch pays, and what it leaves to a later one: some affiliates of it.
    PayoutItemsAdded = "payout_items_added" {
        /// The batch.
        pub payout_id: PayoutId,
        /// Counts these facts of a run, from 0; a later run begins at 0 again.
        pub part: u32,
        /// What it pays.
        pub items: Vec<NewItem>,
        /// What it carries.
        pub carried: Vec<CarriedSum>,
        /// The fencing token of the run that makes it.
        pub fence: u64,
    },
    /// All items of a batch are there: it waits for approval.
    PayoutDrafted = "payout_drafted" {
        /// The batch.
        pub payout_id: PayoutId,
        /// How many facts with items there are.
        pub parts: u32,
        /// How many affiliates it carries.
        pub carried: u32,
        /// The fencing token of the run that makes it.
        pub fence: u64,
    },
    /// Somebody approved a batch.
    PayoutApproved = "payout_approved" {
        /// The batch.
        pub payout_id: PayoutId,
        /// How it is paid from now on.
        pub method: Method,
        /// The hash of what was looked at; refused if the batch has another one.
        pub hash: String,
        /// Whether it must be another than who made the batch.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        pub two_persons: bool,
    },
    /// Somebody discarded a batch of which nothing was exported or sent.
    PayoutDiscarded = "payout_discarded" {
        /// The batch.
        pub payout_id: PayoutId,
        /// The reason that was given.
        pub reason: String,
    },
    /// Somebody exports a part of a batch as a file. It is journaled before the file leaves.
    PayoutExported = "payout_exported" {
        /// The batch.
        pub payout_id: PayoutId,
        /// Which part, from 1.
        pub part: u32,
        /// How often it was exported before, as was seen: of two at once, one is refused.
        pub before: u32,
    },
    /// Something happened to items of a batch; all of it, or nothing if one of the steps is not allowed.
    PayoutItemsChanged = "payout_items_changed" {
        /// The batch.
        pub payout_id: PayoutId,
        /// What happened.
        pub changes: Vec<Change>,
    },
    /// Somebody said that PayPal is to be called about an approved batch, or again after it refused.
    PayoutSubmitted = "payout_submitted" {
        /// The batch.
        pub payout_id: PayoutId,
    },
    /// PayPal is about to be called: journaled and applied before the call is made.
    PayoutCalling = "payout_calling" {
        /// The batch.
        pub payout_id: PayoutId,
        /// Which part of it, from 1.
        pub chunk: u32,
        /// What the receivers read.
        pub note: String,
        /// SHA-256 of the bytes, hex.
        pub body_hash: String,
        /// When, by the later one of the node's clock and the store's: PayPal keeps ids for 30 days.
        pub called_at: DateTime<Utc>,
        /// The fencing token of the sender's lease.
        pub fence: u64,
    },
    /// What a call to PayPal brought.
    PayoutAnswered = "payout_answered" {
        /// The batch.
        pub payout_id: PayoutId,
        /// Which part of it.
        pub chunk: u32,
        /// Which call, from 1.
        pub attempt: u32,
        /// What it brought.
        pub answer: Answer,
        /// The day, in the program's zone.
        pub on: NaiveDate,
    },
    /// PayPal told of something that happened to one of its batches. What it told is not believed: PayPal is asked.
    PayoutHinted = "payout_hinted" {
        /// The id of what it sent.
        pub event_id: PayPalId,
        /// PayPal's id of the batch.
        pub payout_batch_id: PayPalId,
    },
    /// Statements up to a month were paid before payouts were made here; `None`: no statement was.
    PayoutOpening = "payout_opening" {
        /// The last month that was paid elsewhere.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub through: Option<Month>,
        /// For this affiliate alone; `None`: for all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub affiliate_id: Option<AffiliateId>,
    },
    /// Staff confirmed something because of which an affiliate was carried.
    PayoutCleared = "payout_cleared" {
        /// The affiliate.
        pub affiliate_id: AffiliateId,
        /// What is confirmed.
        pub clearance: Clearance,
        /// The reason that was given.
        pub reason: String,
    },
    /// An affiliate is told something about its referrals and statements, once.
    AffiliateTold = "affiliate_told" {
        /// The affiliate.
        pub affiliate_id: AffiliateId,
        /// What.
        #[serde(flatten)]
        pub news: News,
    },
}

pub(crate) const fn first_epoch() -> u32 {
    1
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
pub(crate) const fn is_first_epoch(epoch: &u32) -> bool {
    *epoch == first_epoch()
}

/// A limit that is checked when a fact is applied, and not only when it was requested: of two requests at
/// once, both may see room for one. It is part of the fact, so that a replay never refuses what was applied
/// before the limit existed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Within {
    /// The limit.
    pub most: u32,
    /// How many were known: a store that has no count yet starts with this number.
    pub known: u32,
}

impl Signup {
    /// Whether another report says the same about the account: the same plan, instant and standing. Evidence
    /// and warnings do not count.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.account_id == other.account_id
            && self.plan == other.plan
            && same_instant(self.signed_up_at, other.signed_up_at)
            && self.active == other.active
    }
}

/// Whether two reports mean the same instant: databases round times to a fraction of a millisecond.
pub fn same_instant(one: DateTime<Utc>, other: DateTime<Utc>) -> bool {
    (one - other).abs() < TimeDelta::milliseconds(1)
}

/// What a signup may be credited by. Of e-mail and IP only keyed hashes and the mail domain are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// The click token of the landing page, as given (at most 512 bytes are kept).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub click: Option<String>,
    /// The visitor cookie's value, as given (at most 512 bytes are kept).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<String>,
    /// The typed code, as [`ReferralCode::fold`] writes it (at most 64 bytes are kept); as given in older
    /// records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Keyed hash of the mailbox that the e-mail reaches, hex; in older records of the trimmed lower-case e-mail.
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
    /// The profile that the change was made to. Only what differs from it is taken, so that two people can
    /// change different fields at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Profile>,
    /// The whole new profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// The new referral code.
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
    /// The time that it was made for.
    pub as_of: DateTime<Utc>,
    /// The last full day that it saw.
    #[schema(value_type = String, format = Date)]
    pub through: NaiveDate,
    /// The months that it closed.
    #[schema(value_type = Vec<String>)]
    pub closed: Vec<Month>,
    /// Referred accounts read.
    pub accounts: u64,
    /// Qualifications in months that were open before the run.
    pub crossings: u64,
    /// Statements computed.
    pub statements: u64,
    /// Adjustments placed.
    pub adjustments: u64,
    /// Affiliates that were computed again; for all others the result of the last run is still valid.
    #[serde(default)]
    pub computed: u64,
    /// SHA-256, in hex, of the hashes of the statements of all months that were open before the run (those that it
    /// closed and those still open), by affiliate and month. A dry run before it, which computes everything
    /// again, must get the same hash.
    #[serde(default)]
    pub statements_hash: String,
    /// Nodes whose journals were behind or silent, so that no month closed.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub nodes_behind: Vec<NodeId>,
    /// Other causes why no month closed, each as a sentence: facts that are set aside, documents that can't
    /// be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<String>,
    /// Months that are due by the node's clock but not by the store's clock, and did not close.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub too_early: Vec<Month>,
    /// Why the store may have lost facts, so that no month closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub store_forgets: Option<String>,
}

impl RunReport {
    /// Whether facts are missing or may be missing, so that no month may close.
    pub const fn may_miss_facts(&self) -> bool {
        !self.nodes_behind.is_empty() || !self.waits_for.is_empty() || self.store_forgets.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These bytes are on disk permanently: every version has to read and write them.
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
            r#"{"at":"2026-01-01T15:00:00Z","by":"counterfoil","fact":"affiliate_told","affiliate_id":"aff_0000000000007","news":"referral_qualified","account_id":"acct_81","month":"2026-04"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"counterfoil","fact":"affiliate_told","affiliate_id":"aff_0000000000007","news":"statement_final","month":"2026-04","total":"99.00","currency":"USD"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"counterfoil","fact":"mail_done","mail_id":"019b0a","outcome":"given_up"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"counterfoil","fact":"mail_done","mail_id":"019b0a","outcome":"given_up","lost":{"person":"aff_0000000000007","kind":"approved","why":"needs_smtputf8"}}"#,
            r#"{"at":"2026-01-12T15:00:00.188Z","by":"counterfoil","fact":"decision","signup":{"account_id":"acct_81","plan":"growth","signed_up_at":"2026-01-12T15:00:00Z","active":true,"evidence":{"click":"forged"}},"received_at":"2026-01-12T15:00:00.186Z","signup_position":88,"attribution":{"affiliate_id":null,"link_id":null,"click_id":null,"clicked_at":null,"via":null,"model":"last_click","reason":"bad_signature","holds":[],"considered":[{"via":["click"],"dropped":"bad_signature"}]}}"#,
            r#"{"at":"2026-01-01T14:00:01.128Z","by":"applicant","fact":"affiliate_created","affiliate":{"id":"aff_0000000000007","profile":{"name":"Eve","email":"eve@partners.example"},"code":"g0kh9czq","default_link":"lnk_0000000000003","history":[{"at":"2026-01-01T14:00:01.128Z","status":"applied"}],"exempt_from_holds":false},"link":{"id":"lnk_0000000000003","affiliate":"aff_0000000000007","created_at":"2026-01-01T14:00:01.128Z"}}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"ann","fact":"affiliate_changed","affiliate_id":"aff_0000000000007","change":{"before":{"name":"Eve","email":"eve@partners.example"},"profile":{"name":"Eve","email":"eve@partners.example","paypal_email":"pay@partners.example"},"code":"eve-10","exempt_from_holds":true}}"#,
            r#"{"at":"2026-03-05T09:15:00.107Z","by":"counterfoil","fact":"statement_closed","statement":{"affiliate_id":"aff_0000000000007","month":"2026-01","active_accounts":2,"tier_from":0,"lines":[],"adjustments":[],"total":"0.00","currency":"USD","rules_hash":"803d","facts_hash":"95ef","previous":null,"hash":"739c"},"read_at":"2026-03-05T09:15:00.078Z","fence":1796025498954}"#,
            r#"{"at":"2025-03-13T09:15:01.687Z","by":"counterfoil","fact":"month_closing","month":"2025-02","rules":{"timezone":"America/New_York","currency":"USD","mark_days":20,"active_days":"cumulative","tiers":[{"from":0,"rates":{"connect":"299.00","growth":"99.00","performance":"39.00"}},{"from":5,"rates":{"connect":"449.00","growth":"149.00","performance":"59.00"}}],"first_month":null},"as_of":"2025-03-13T09:15:00Z","fence":1796050574487}"#,
            r#"{"at":"2026-05-06T08:15:00.120Z","by":"counterfoil","fact":"run_finished","run":{"as_of":"2026-05-06T08:15:00Z","through":"2026-05-05","closed":["2026-04"],"accounts":34,"crossings":0,"statements":3,"adjustments":26,"computed":2,"statements_hash":"6670","nodes_behind":[]},"fence":1796025499500,"took_ms":37}"#,
            r#"{"at":"2026-03-05T09:15:00.107Z","by":"counterfoil","fact":"statement_closed","statement":{"affiliate_id":"aff_0000000000007","month":"2026-01","active_accounts":0,"tier_from":0,"lines":[],"adjustments":[],"by_hand":[{"key":"spring-bonus","amount":"-25.00","reason":"paid twice","by":"stf_0000000000009","at":"2026-01-20T15:00:00.500Z"}],"total":"-25.00","currency":"USD","rules_hash":"803d","facts_hash":"95ef","previous":null,"hash":"739c"},"read_at":"2026-03-05T09:15:00.078Z","fence":1796025498954}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"stf_0000000000009","fact":"line_added","affiliate_id":"aff_0000000000007","key":"spring-bonus","amount":"-25.00","reason":"paid twice"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"stf_0000000000009","fact":"line_removed","affiliate_id":"aff_0000000000007","key":"spring-bonus"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"stf_0000000000009","fact":"payout_begun","payout_id":"pay_2026-04-1","currency":"USD","fence":1767279600000}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"stf_0000000000009","fact":"payout_items_added","payout_id":"pay_2026-04-1","part":0,"items":[{"affiliate_id":"aff_0000000000007","receiver":"ann@example.com","amount":"98.00","parts":[{"month":"2026-04","hash":"ab","amount":"99.00"},{"correction":0,"amount":"-1.00"}]}],"carried":[{"affiliate_id":"aff_0000000000008","amount":"12.00","reasons":["below_minimum"]}],"fence":1767279600000}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"stf_0000000000009","fact":"payout_drafted","payout_id":"pay_2026-04-1","parts":1,"carried":1,"fence":1767279600000}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"stf_0000000000009","fact":"payout_approved","payout_id":"pay_2026-04-1","method":"file","hash":"ab"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"stf_0000000000009","fact":"payout_approved","payout_id":"pay_2026-04-1","method":"api","hash":"ab","two_persons":true}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"stf_0000000000009","fact":"payout_discarded","payout_id":"pay_2026-04-1","reason":"a typo"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"stf_0000000000009","fact":"payout_exported","payout_id":"pay_2026-04-1","part":1,"before":0}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"stf_0000000000009","fact":"payout_items_changed","payout_id":"pay_2026-04-1","changes":[{"affiliate_id":"aff_0000000000007","event":"submit","on":"2026-05-31","chunk":1},{"affiliate_id":"aff_0000000000008","event":"failed","on":"2026-05-31","provider":{"item_id":"I1","transaction_id":"T1","error":"INVALID_EMAIL"}},{"affiliate_id":"aff_0000000000009","event":"paid_otherwise","on":"2026-05-31","means":{"by":"stf_0000000000009","reason":"her bank","reference":"wire 7"}}]}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"stf_0000000000009","fact":"payout_submitted","payout_id":"pay_2026-04-1"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"stf_0000000000009","fact":"payout_calling","payout_id":"pay_2026-04-1","chunk":1,"note":"a note","body_hash":"ab","called_at":"2026-05-31T15:00:00Z","fence":1767279600000}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"stf_0000000000009","fact":"payout_answered","payout_id":"pay_2026-04-1","chunk":1,"attempt":1,"answer":{"answer":"accepted","payout_batch_id":"P1"},"on":"2026-05-31"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"stf_0000000000009","fact":"payout_answered","payout_id":"pay_2026-04-1","chunk":1,"attempt":1,"answer":{"answer":"refused_item","affiliate_id":"aff_0000000000007","why":"VALIDATION_ERROR"},"on":"2026-05-31"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"counterfoil","fact":"payout_hinted","event_id":"WH-2WR32451HC0233532-67976317FL4543714","payout_batch_id":"5UXD2E8A7EBQJ"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"stf_0000000000009","fact":"payout_opening","through":"2026-03"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"stf_0000000000009","fact":"payout_opening","affiliate_id":"aff_0000000000007"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"stf_0000000000009","fact":"payout_cleared","affiliate_id":"aff_0000000000007","clearance":{"what":"shared_receiver","receiver":"ann@example.com"},"reason":"a couple"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"stf_0000000000009","fact":"payout_cleared","affiliate_id":"aff_0000000000007","clearance":{"what":"released"},"reason":"a call"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"stf_0000000000009","fact":"payout_cleared","affiliate_id":"aff_0000000000007","clearance":{"what":"sum","up_to":"25000.00"},"reason":"a good year"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"counterfoil","fact":"set_aside","node":"node_0000000000009","position":81,"epoch":2,"cause":"read the record","kind":"review","account_id":"acct_81","record":"{}"}"#,
            r#"{"at":"2026-01-01T15:00:00Z","by":"ann","fact":"set_aside_ended","node":"node_0000000000009","position":81,"retried":true,"reason":"mended"}"#,
        ];
        for text in golden {
            let record: Record = serde_json::from_str(text).expect(text);
            assert_eq!(serde_json::to_string(&record).expect("plain data"), text);
        }
        for kind in KINDS {
            let is_held = golden.iter().any(|text| text.contains(&format!(r#""fact":"{kind}""#)));
            assert!(is_held, "no golden bytes hold {kind}");
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
