//! Statements: what an affiliate earned in a month; open, closed, adjusted.

mod adjust;
mod book;
mod closing;
mod project;
mod summary;

pub use closing::ClosingReferrals;
pub use project::project;
pub use summary::{Summarizer, Summary};

use super::by_hand::LineByHand;
use super::calendar::Month;
use super::id::{AccountId, AffiliateId, Plan};
use super::mark::Marks;
use super::money::Money;
use super::program::{Rules, hex};
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// What an affiliate earned in a month. Once closed it never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The affiliate.
    pub affiliate_id: AffiliateId,
    /// Which month.
    pub month: Month,
    /// Its referrals that are active at the month's end, neither held nor rejected.
    pub active_accounts: u32,
    /// The tier that `active_accounts` reached.
    pub tier_from: u32,
    /// One line for each referral that qualified in the month, by account id.
    pub lines: Vec<Line>,
    /// Corrections of closed months, by month and account id.
    pub adjustments: Vec<Adjustment>,
    /// Bonuses and claw-backs that finance added, the oldest first. A statement without any is written, and has its hash,
    /// as before there were lines by hand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_hand: Vec<LineByHand>,
    /// Payable lines plus adjustments plus lines by hand.
    pub total: Money,
    /// ISO 4217 code.
    pub currency: String,
    /// SHA-256 of the rules' canonical JSON.
    pub rules_hash: String,
    /// SHA-256, in hex, of the canonical JSON of a list: for each referral, by account id, the SHA-256 of the
    /// canonical JSON of its facts dated before the month's end.
    pub facts_hash: String,
    /// The hash of the affiliate's latest earlier statement.
    pub previous: Option<String>,
    /// SHA-256 of the canonical JSON of all the above.
    pub hash: String,
}

impl Statement {
    /// What its adjustments add up to.
    pub fn adjusted(&self) -> Money {
        self.adjustments.iter().map(|one| one.amount).sum()
    }
    /// What its lines by hand add up to.
    pub fn added_by_hand(&self) -> Money {
        self.by_hand.iter().map(|one| one.amount).sum()
    }
}

/// A referral's one-time commission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Line {
    /// The referred account.
    #[schema(value_type = String)]
    pub account_id: AccountId,
    /// The plan in force at the end of the day of qualification.
    #[schema(value_type = String)]
    pub plan: Plan,
    /// The day on which it qualified.
    pub crossed_on: NaiveDate,
    /// What it earns.
    #[schema(value_type = String, example = "149.00")]
    pub amount: Money,
    /// Why the amount is zero, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub note: Option<Note>,
}

/// Why a line earns nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// The program has no rate for the plan.
    NoRate,
    /// It qualified before the program's first month here.
    SettledElsewhere,
}

impl Note {
    /// Its stable name, as in JSON.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoRate => "no_rate",
            Self::SettledElsewhere => "settled_elsewhere",
        }
    }
}

/// What a closed month would say now, minus what it and its earlier adjustments say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Adjustment {
    /// The closed month.
    #[schema(value_type = String, example = "2026-03")]
    pub for_month: Month,
    /// The referred account.
    #[schema(value_type = String)]
    pub account_id: AccountId,
    /// The closed line plus all earlier adjustments for it.
    #[schema(value_type = String, example = "149.00")]
    pub stated: Money,
    /// What the facts known now say.
    #[schema(value_type = String, example = "99.00")]
    pub now: Money,
    /// `now - stated`.
    #[schema(value_type = String, example = "-50.00")]
    pub amount: Money,
}

/// A referral as statements use it: its facts, and how staff judged it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referral {
    /// The account.
    pub account_id: AccountId,
    /// The plan at signup.
    pub plan: Plan,
    /// When it signed up.
    pub signed_up_at: DateTime<Utc>,
    /// Whether the signup itself made it active.
    pub active: bool,
    /// Its events, in any order.
    pub events: Vec<AccountEvent>,
    /// Since when it is held, if it is.
    pub held_since: Option<DateTime<Utc>>,
    /// Whether staff rejected it.
    pub rejected: bool,
}

/// Something that happened to an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountEvent {
    /// Unique within the account.
    pub event_id: super::id::EventId,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// What happened.
    pub change: Change,
}

/// What can happen to an account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Change {
    /// In good standing from now on.
    Activated,
    /// Not in good standing from now on.
    Suspended,
    /// Left; may come back.
    Canceled,
    /// On another plan from now on.
    PlanChanged {
        /// The new plan.
        plan: Plan,
    },
    /// A type that this version does not know: kept, without effect.
    Unknown {
        /// What the sender called it, at most 64 bytes.
        name: String,
    },
}

/// A month that was closed for the program, with the affiliate's statement if it had one.
#[derive(Debug, Clone)]
pub struct ClosedMonth {
    /// The month.
    pub month: Month,
    /// The rules that it was computed by; they never change.
    pub rules: Arc<Rules>,
    /// When it was closed.
    pub closed_at: DateTime<Utc>,
    /// The affiliate's statement.
    pub statement: Option<Statement>,
    /// Which referrals counted; `None`: there is no statement, so none did, or the closing is older than this
    /// field.
    pub referrals: Option<ClosingReferrals>,
}

/// What an affiliate's statements are computed from, apart from its referrals.
#[derive(Debug, Clone)]
pub struct Ledger<'a> {
    /// The affiliate.
    pub affiliate_id: AffiliateId,
    /// When it left permanently: later qualifications earn nothing.
    pub closed_at: Option<DateTime<Utc>>,
    /// The months that are closed for the program, ascending.
    pub closed_months: &'a [ClosedMonth],
    /// Its lines by hand that no closed month has, the oldest first.
    pub by_hand: &'a [LineByHand],
    /// The rules of open months.
    pub rules: &'a Arc<Rules>,
    /// The last full day.
    pub through: NaiveDate,
}

impl Ledger<'_> {
    /// The qualifying periods of its months.
    fn marks(&self) -> Marks {
        Marks::of(self.rules, self.closed_months.iter().map(|closed| (closed.month, &*closed.rules)))
    }
}

/// Whether a statement is unchanged: its hash is that of the rest of it.
pub fn verify_hash(statement: &Statement) -> bool {
    statement.hash == hash_of(statement)
}

/// SHA-256 of the canonical JSON of everything but the hash, in lower-case hex. Canonical means: fields in
/// the order of the type, without blanks.
fn hash_of(statement: &Statement) -> String {
    #[derive(Serialize)]
    struct Content<'a> {
        affiliate_id: &'a AffiliateId,
        month: &'a Month,
        active_accounts: u32,
        tier_from: u32,
        lines: &'a [Line],
        adjustments: &'a [Adjustment],
        #[serde(skip_serializing_if = "<[LineByHand]>::is_empty")]
        by_hand: &'a [LineByHand],
        total: Money,
        currency: &'a str,
        rules_hash: &'a str,
        facts_hash: &'a str,
        previous: Option<&'a str>,
    }
    // Every field is named, so that a new one can't be forgotten here.
    let Statement {
        affiliate_id,
        month,
        active_accounts,
        tier_from,
        lines,
        adjustments,
        by_hand,
        total,
        currency,
        rules_hash,
        facts_hash,
        previous,
        hash: _,
    } = statement;
    let content = Content {
        affiliate_id,
        month,
        active_accounts: *active_accounts,
        tier_from: *tier_from,
        lines,
        adjustments,
        by_hand,
        total: *total,
        currency,
        rules_hash,
        facts_hash,
        previous: previous.as_deref(),
    };
    // Plain data without maps always serializes.
    let json = serde_json::to_vec(&content).expect("a statement is plain data");
    hex(&Sha256::digest(json))
}

#[cfg(test)]
mod tests;
