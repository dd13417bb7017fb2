//! The arguments of the command line.

use crate::domain::calendar::Month;
use crate::domain::id::{AccountId, AffiliateId, LineKey, LinkId, NodeId, ReferralCode, StaffId};
use crate::domain::input::HandAmount;
use crate::domain::money::Money;
use crate::domain::payout::{ItemId, ItemStatus, Method, PayoutId};
use crate::domain::person::Role;
use chrono::{DateTime, FixedOffset};
use clap::{Args as Group, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Referral attribution: signed links, provable credit, commissions that add up.
#[derive(Debug, Parser)]
#[command(name = "counterfoil", version, about, infer_long_args = false, arg_required_else_help = true)]
pub(super) struct Args {
    /// The configuration file; without it, the defaults apply
    #[arg(long, global = true, value_name = "FILE", env = "COUNTERFOIL_CONFIG")]
    pub config: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the server, until SIGTERM or Ctrl-C
    Serve {
        /// Start with a clock that can be set (for the demo and tests)
        #[arg(long, hide = true, value_name = "RFC3339")]
        settable_clock: Option<DateTime<FixedOffset>>,
    },
    /// Show the whole story with made-up data, in a few seconds: start here
    Demo,
    /// Make a nightly run: compute statements, add adjustments, close the months that are due
    Aggregate {
        /// Run as of this time, such as 2026-05-04T04:15:00-04:00; without it, as of now
        #[arg(long, value_name = "RFC3339")]
        as_of: Option<DateTime<FixedOffset>>,
        /// Only show what the run would close and adjust
        #[arg(long)]
        dry_run: bool,
    },
    /// Affiliates: their applications, states and profiles
    #[command(subcommand)]
    Affiliate(Affiliate),
    /// Links of affiliates
    #[command(subcommand)]
    Link(Link),
    /// Accounts: who is credited with them and why; reviews
    #[command(subcommand)]
    Account(Account),
    /// Statements: what affiliates earned
    #[command(subcommand)]
    Statement(Statement),
    /// Payouts: how affiliates are paid
    #[command(subcommand)]
    Payout(Payout),
    /// Import signups and events from another system
    Import {
        /// A file with one JSON object per line: `{"kind": "signup"|"event", …}`
        #[arg(value_name = "FILE.ndjson")]
        file: PathBuf,
        /// Only show what would happen
        #[arg(long)]
        dry_run: bool,
    },
    /// Members of staff: who may sign in to the pages for staff
    #[command(subcommand)]
    Staff(Staff),
    /// Facts that could not be applied and wait for a person
    #[command(subcommand)]
    Facts(Facts),
    /// Check configuration, keys, store and disk, and say what to correct
    Doctor,
    /// Make the store again from journals
    Rebuild {
        /// Data directories, which hold node.json and journal/: this node's, and copies of those of other nodes
        #[arg(long = "journal", value_name = "DIR", required = true, num_args = 1..)]
        journals: Vec<PathBuf>,
    },
    /// Prove that closed statements and journals are unchanged; prints the head hash, to be kept elsewhere
    Verify,
    /// The store that the nodes share
    #[command(subcommand)]
    Store(Store),
    /// The nodes that share the store
    #[command(subcommand)]
    Node(Node),
}

#[derive(Debug, Subcommand)]
pub(super) enum Affiliate {
    /// Add an application
    Apply(NewProfile),
    /// Import an affiliate that was active in another system: its links earn at once
    BringOver {
        #[command(flatten)]
        profile: NewProfile,
        /// When it accepted the agreement there; without this, now
        #[arg(long, value_name = "RFC3339")]
        agreement_accepted_at: Option<DateTime<FixedOffset>>,
    },
    /// List affiliates
    List {
        /// Only those in this state: applied, approved, activated, active, suspended, rejected, closed
        #[arg(long)]
        status: Option<String>,
    },
    /// Show an affiliate with its link and history
    Show {
        #[arg(value_name = "AFFILIATE")]
        id: AffiliateId,
    },
    /// Accept an application
    Approve(Step),
    /// Send it a link that sets its password: again, or to an imported affiliate for the first time
    Invite {
        #[arg(value_name = "AFFILIATE")]
        id: AffiliateId,
    },
    /// Reject an application
    Reject(ReasonedStep),
    /// Stop its links from earning; earlier referrals continue to earn
    Suspend(ReasonedStep),
    /// Let its links earn again
    Reinstate(Step),
    /// End the partnership permanently
    Close(ReasonedStep),
    /// Add a bonus or a claw-back by hand to its earliest open month, or take one back; without either, list the open ones
    Adjust {
        #[arg(value_name = "AFFILIATE")]
        id: AffiliateId,
        /// How much, such as 50.00; a claw-back is negative, such as -25.00
        #[arg(long, allow_hyphen_values = true, requires = "reason", conflicts_with = "remove")]
        amount: Option<HandAmount>,
        /// The reason, which stands on the statement
        #[arg(long, value_name = "TEXT", requires = "amount")]
        reason: Option<String>,
        /// The line's name, with which the command can be repeated safely; without it, one is made and printed
        #[arg(long)]
        key: Option<LineKey>,
        /// Take back the line with this key, until its month closes
        #[arg(long, requires = "key")]
        remove: bool,
    },
    /// Change the profile; an empty text clears a field
    Set {
        #[arg(value_name = "AFFILIATE")]
        id: AffiliateId,
        #[arg(long)]
        name: Option<String>,
        #[arg(long)]
        email: Option<String>,
        #[command(flatten)]
        more: MoreProfile,
        /// Whether its referrals are never held for review
        #[arg(long, value_name = "true|false")]
        exempt_from_holds: Option<bool>,
    },
}

#[derive(Debug, Group)]
pub(super) struct NewProfile {
    /// The person's or company's name
    #[arg(long)]
    pub name: String,
    /// Where mail goes
    #[arg(long)]
    pub email: String,
    #[command(flatten)]
    pub more: MoreProfile,
}

#[derive(Debug, Group)]
pub(super) struct MoreProfile {
    #[arg(long)]
    pub company: Option<String>,
    /// Web site, http or https
    #[arg(long, value_name = "URL")]
    pub website: Option<String>,
    /// How it will promote
    #[arg(long, value_name = "TEXT")]
    pub promotion: Option<String>,
    /// One of the program's kinds of partner
    #[arg(long, value_name = "TYPE")]
    pub partner_type: Option<String>,
    /// Where payouts go
    #[arg(long, value_name = "EMAIL")]
    pub paypal_email: Option<String>,
    /// The referral code that prospects can type
    #[arg(long)]
    pub code: Option<ReferralCode>,
}

#[derive(Debug, Group)]
pub(super) struct Step {
    #[arg(value_name = "AFFILIATE")]
    pub id: AffiliateId,
    /// The reason
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

#[derive(Debug, Group)]
pub(super) struct ReasonedStep {
    #[arg(value_name = "AFFILIATE")]
    pub id: AffiliateId,
    /// The reason
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum Staff {
    /// Create a member of staff, and print the one-time link that sets the password
    Create {
        /// The person's name
        #[arg(long)]
        name: String,
        /// What the person signs in with
        #[arg(long)]
        email: String,
        /// The role: admin, reviewer, finance, read_only
        #[arg(long, value_parser = read_role)]
        role: Role,
    },
    /// List members of staff
    List,
    /// Print a new one-time link that sets a member's password
    Invite {
        #[arg(value_name = "MEMBER")]
        id: StaffId,
    },
    /// Disable a member: no more sign-in, and all sessions end
    Disable {
        #[arg(value_name = "MEMBER")]
        id: StaffId,
    },
    /// Enable a disabled member again
    Enable {
        #[arg(value_name = "MEMBER")]
        id: StaffId,
    },
    /// Give a member another role
    Role {
        #[arg(value_name = "MEMBER")]
        id: StaffId,
        /// The role: admin, reviewer, finance, read_only
        #[arg(value_parser = read_role)]
        role: Role,
    },
}

fn read_role(text: &str) -> Result<Role, String> {
    text.replace('-', "_").parse().map_err(|_| "a role is admin, reviewer, finance or read_only".to_owned())
}

#[derive(Debug, Subcommand)]
pub(super) enum Link {
    /// Create a link for an affiliate
    Create {
        #[arg(value_name = "AFFILIATE")]
        affiliate: AffiliateId,
        /// Where it leads; without this, to the program's landing page
        #[arg(long, value_name = "URL")]
        destination: Option<String>,
        /// A name for the link
        #[arg(long, value_name = "TEXT")]
        label: Option<String>,
    },
    /// List the links of an affiliate
    List {
        #[arg(value_name = "AFFILIATE")]
        affiliate: AffiliateId,
    },
    /// Switch a link off: it still redirects, but earns nothing. To stop a default link, suspend its affiliate
    Disable {
        #[arg(value_name = "LINK")]
        id: LinkId,
        /// The reason, which is sent to the affiliate
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Switch a link on again; clicks made while it was off earn nothing
    Enable {
        #[arg(value_name = "LINK")]
        id: LinkId,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Facts {
    /// List them, with their errors
    List,
    /// Try one again, after its cause is corrected
    Retry {
        #[arg(value_name = "FACT")]
        id: String,
        /// The reason, for the record
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Drop one: it never has an effect
    Drop {
        #[arg(value_name = "FACT")]
        id: String,
        /// The reason, for the record
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Account {
    /// List accounts
    List {
        /// Only those held for review
        #[arg(long, group = "which")]
        held: bool,
        /// Only those with contradicting reports
        #[arg(long, group = "which")]
        conflict: bool,
        /// Only those with events but no signup yet
        #[arg(long, group = "which")]
        waiting: bool,
    },
    /// Show an account: who is credited and why, its history, its active days
    Show {
        #[arg(value_name = "ACCOUNT")]
        id: AccountId,
    },
    /// Hold a referral for review: it counts in no month that closes meanwhile
    Hold(Review),
    /// Release a held referral: it counts, also for the months that it missed
    Release(Review),
    /// Reject a referral: it never counts
    Reject(Review),
    /// Credit an account by hand, instead of the server's decision
    Credit {
        #[arg(value_name = "ACCOUNT")]
        id: AccountId,
        /// The affiliate to credit
        #[arg(long, value_name = "AFFILIATE", required_unless_present = "nobody")]
        affiliate: Option<AffiliateId>,
        /// Credit nobody
        #[arg(long, conflicts_with = "affiliate")]
        nobody: bool,
        /// The reason
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

#[derive(Debug, Group)]
pub(super) struct Review {
    #[arg(value_name = "ACCOUNT")]
    pub id: AccountId,
    /// The reason
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum Statement {
    /// List the statements of a month, or of an affiliate
    List {
        /// A month, such as 2026-04
        #[arg(long, required_unless_present = "affiliate")]
        month: Option<Month>,
        #[arg(long)]
        affiliate: Option<AffiliateId>,
    },
    /// Show a statement line by line
    Show {
        #[arg(value_name = "AFFILIATE")]
        affiliate: AffiliateId,
        /// A month, such as 2026-04
        #[arg(value_name = "MONTH")]
        month: Month,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Store {
    /// Confirm that all nodes have replayed their journals into a store that was found empty
    Confirm,
}

#[derive(Debug, Subcommand)]
pub(super) enum Node {
    /// List the nodes
    List,
    /// Forget a node that will never come back; archive its journal first
    Forget {
        #[arg(value_name = "NODE")]
        id: NodeId,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Payout {
    /// List the batches
    List,
    /// Make the batch that pays a month, and what is left of earlier ones
    Make {
        /// A month, such as 2026-04; without it, the month that is paid at the end of this one
        #[arg(long)]
        month: Option<Month>,
    },
    /// Show a batch
    Show { payout: PayoutId },
    /// List a batch's payments
    Items {
        payout: PayoutId,
        /// Only those with this status
        #[arg(long)]
        status: Option<ItemStatus>,
    },
    /// List what a batch leaves to a later one, and why
    Carried { payout: PayoutId },
    /// Approve a draft: receivers, amounts and the way of paying are fixed
    Approve {
        payout: PayoutId,
        /// The hash of the batch that was looked at, as `payout show` prints it
        #[arg(long)]
        hash: String,
        /// How it is paid; without it, as the configuration says
        #[arg(long)]
        method: Option<Method>,
    },
    /// Send an approved batch by PayPal's API, or send it again after PayPal refused
    Submit { payout: PayoutId },
    /// Say that a person has looked at a payment about which something was doubtful
    Seen {
        item: ItemId,
        #[arg(long)]
        reason: String,
    },
    /// Discard a batch of which nothing was exported or sent
    Discard {
        payout: PayoutId,
        #[arg(long)]
        reason: String,
    },
    /// Write a part of an approved batch as the file that PayPal's site takes; uploading it twice pays twice
    Export {
        payout: PayoutId,
        /// Which part, from 1; a part has at most 5,000 payments
        #[arg(long, default_value_t = 1)]
        part: u32,
        /// Where to write it; must not exist
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Export it although it was exported before
        #[arg(long)]
        again: bool,
    },
    /// Read the report that PayPal's site gives about an uploaded file
    Results {
        payout: PayoutId,
        #[arg(value_name = "FILE.csv")]
        file: PathBuf,
        /// Only show what would change
        #[arg(long)]
        dry_run: bool,
    },
    /// Note that a payment, or all of a batch that were not exported, was made by other means
    Paid {
        /// A batch, or one of its payments
        #[arg(value_name = "PAYOUT or ITEM")]
        what: String,
        /// The day on which it was paid, such as 2026-10-31
        #[arg(long, value_name = "DAY")]
        on: String,
        /// What identifies the payment, like a bank's number
        #[arg(long)]
        reference: Option<String>,
        #[arg(long)]
        reason: String,
    },
    /// Take a payment out of its batch before it is exported or sent
    Withdraw {
        item: ItemId,
        #[arg(long)]
        reason: String,
    },
    /// Decide what became of a payment about which nothing certain is known
    Resolve {
        item: ItemId,
        #[arg(value_enum)]
        outcome: Found,
        /// The day on which it was paid; without it, today
        #[arg(long, value_name = "DAY")]
        on: Option<String>,
        #[arg(long)]
        reason: String,
    },
    /// Show what is in the way of payouts, and what waits for a person
    Status,
    /// Show what an affiliate is owed, what is under way to it and what it was paid
    Balance { affiliate: AffiliateId },
    /// Let an affiliate's payouts go on
    Release {
        affiliate: AffiliateId,
        /// Why they waited
        #[arg(value_enum)]
        what: Held,
        /// With `sum`: the largest sum that may be paid
        #[arg(long, required_if_eq("what", "sum"))]
        up_to: Option<Money>,
        #[arg(long)]
        reason: String,
    },
    /// Say before the first payout which statements were paid elsewhere
    Opening {
        /// The last month that was paid elsewhere
        #[arg(long, required_unless_present = "none")]
        paid_through: Option<Month>,
        /// No statement was paid elsewhere
        #[arg(long, conflicts_with = "paid_through")]
        none: bool,
        /// For this affiliate alone
        #[arg(long)]
        affiliate: Option<AffiliateId>,
    },
    /// Write what each affiliate was paid and earned in a calendar year, as CSV
    Year { year: u16 },
}

/// What a person found out about a payment.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Found {
    /// The affiliate has the money
    Paid,
    /// The affiliate does not get the money from this payment
    NotPaid,
}

/// Why an affiliate's payouts waited.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Held {
    /// A payment was blocked, refunded or reversed, or failed
    Blocked,
    /// Several affiliates have the same PayPal e-mail
    SharedReceiver,
    /// The sum is above the limit for one payment
    Sum,
}
