//! What can be typed.

use crate::domain::calendar::Month;
use crate::domain::id::{AccountId, AffiliateId, LinkId, NodeId, ReferralCode, StaffId};
use crate::domain::person::Role;
use chrono::{DateTime, FixedOffset};
use clap::{Args as Group, Parser, Subcommand};
use std::path::PathBuf;

/// Referral attribution: signed links, provable credit, commissions that add up.
#[derive(Debug, Parser)]
#[command(name = "counterfoil", version, about, infer_long_args = false, arg_required_else_help = true)]
pub(super) struct Args {
    /// The configuration file; without it, the defaults
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
        /// Start on a clock that can be set (for the demo and tests)
        #[arg(long, hide = true, value_name = "RFC3339")]
        settable_clock: Option<DateTime<FixedOffset>>,
    },
    /// See the whole story on made-up data, in about a minute: start here
    Demo,
    /// Make a nightly run: fold what is known, place adjustments, close the months that are due
    Aggregate {
        /// Run as of this time, like 2026-05-04T04:15:00-04:00; without it, as of now
        #[arg(long, value_name = "RFC3339")]
        as_of: Option<DateTime<FixedOffset>>,
        /// Only say what it would close and adjust
        #[arg(long)]
        dry_run: bool,
    },
    /// Affiliates: their applications, their life, their profile
    #[command(subcommand)]
    Affiliate(Affiliate),
    /// Links of affiliates
    #[command(subcommand)]
    Link(Link),
    /// Accounts: who is credited with them and why, and reviews
    #[command(subcommand)]
    Account(Account),
    /// Statements: what affiliates earned
    #[command(subcommand)]
    Statement(Statement),
    /// Bring in signups and events from another system
    Import {
        /// A file of lines `{"kind": "signup"|"event", …}`
        #[arg(value_name = "FILE.ndjson")]
        file: PathBuf,
        /// Only say what would happen
        #[arg(long)]
        dry_run: bool,
    },
    /// Members of staff: who may sign in to the staff's pages
    #[command(subcommand)]
    Staff(Staff),
    /// Facts that could not be applied and wait for a person
    #[command(subcommand)]
    Facts(Facts),
    /// Check configuration, keys, store and disk, and say what to mend
    Doctor,
    /// Make the store again from journals
    Rebuild {
        /// Data directories, which hold node.json and journal/: this node's, and copies of other nodes'
        #[arg(long = "journal", value_name = "DIR", required = true, num_args = 1..)]
        journals: Vec<PathBuf>,
    },
    /// Prove that closed statements and journals are untouched; prints the head hash, to keep elsewhere
    Verify,
    /// The store that nodes share
    #[command(subcommand)]
    Store(Store),
    /// The nodes that share the store
    #[command(subcommand)]
    Node(Node),
}

#[derive(Debug, Subcommand)]
pub(super) enum Affiliate {
    /// Enter an application
    Apply(NewProfile),
    /// Enter an affiliate that was active elsewhere: its links earn at once
    BringOver {
        #[command(flatten)]
        profile: NewProfile,
        /// When it accepted the agreement there; without it: now
        #[arg(long, value_name = "RFC3339")]
        agreement_accepted_at: Option<DateTime<FixedOffset>>,
    },
    /// List affiliates
    List {
        /// Only those who stand there: applied, approved, activated, active, suspended, rejected, closed
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
    /// Send it a link that sets its password: again, or to one that was brought over
    Invite {
        #[arg(value_name = "AFFILIATE")]
        id: AffiliateId,
    },
    /// Turn an application down
    Reject(ReasonedStep),
    /// Stop its links from earning; earlier referrals go on earning
    Suspend(ReasonedStep),
    /// Let its links earn again
    Reinstate(Step),
    /// End the partnership for good
    Close(ReasonedStep),
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
    /// The referral code that prospects may type
    #[arg(long)]
    pub code: Option<ReferralCode>,
}

#[derive(Debug, Group)]
pub(super) struct Step {
    #[arg(value_name = "AFFILIATE")]
    pub id: AffiliateId,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

#[derive(Debug, Group)]
pub(super) struct ReasonedStep {
    #[arg(value_name = "AFFILIATE")]
    pub id: AffiliateId,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum Staff {
    /// Make a member of staff, and print the one-time link that sets its password
    Create {
        /// The person's name
        #[arg(long)]
        name: String,
        /// What the person signs in with
        #[arg(long)]
        email: String,
        /// What it may do: admin, reviewer, finance, read_only
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
    /// Let a member sign in no more; its sessions end
    Disable {
        #[arg(value_name = "MEMBER")]
        id: StaffId,
    },
    /// Let a disabled member sign in again
    Enable {
        #[arg(value_name = "MEMBER")]
        id: StaffId,
    },
    /// Give a member another role
    Role {
        #[arg(value_name = "MEMBER")]
        id: StaffId,
        /// What it may do: admin, reviewer, finance, read_only
        #[arg(value_parser = read_role)]
        role: Role,
    },
}

fn read_role(text: &str) -> Result<Role, String> {
    text.replace('-', "_").parse().map_err(|_| "a role is admin, reviewer, finance or read_only".to_owned())
}

#[derive(Debug, Subcommand)]
pub(super) enum Link {
    /// Make a link for an affiliate
    Create {
        #[arg(value_name = "AFFILIATE")]
        affiliate: AffiliateId,
        /// Where it leads; without it, to the program's landing page
        #[arg(long, value_name = "URL")]
        destination: Option<String>,
        /// A name for it
        #[arg(long, value_name = "TEXT")]
        label: Option<String>,
    },
    /// List the links of an affiliate
    List {
        #[arg(value_name = "AFFILIATE")]
        affiliate: AffiliateId,
    },
    /// Switch a link off: it still redirects, but earns no more. An affiliate's default link can't be: suspend them instead
    Disable {
        #[arg(value_name = "LINK")]
        id: LinkId,
        /// Why; the affiliate is told
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Switch a link on again; clicks made while it was off stay without credit
    Enable {
        #[arg(value_name = "LINK")]
        id: LinkId,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Facts {
    /// List them, with what is wrong
    List,
    /// Try one again, when its cause is mended
    Retry {
        #[arg(value_name = "FACT")]
        id: String,
        /// Why, for those who ask later
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Drop one: it never has an effect
    Drop {
        #[arg(value_name = "FACT")]
        id: String,
        /// Why, for those who ask later
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
        /// Only those with reports that contradict what stands
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
    /// Keep a referral out of months not yet closed
    Hold(Review),
    /// Let a held referral count, with the months missed
    Release(Review),
    /// Let a referral never count
    Reject(Review),
    /// Credit an account by hand, in place of what was decided
    Credit {
        #[arg(value_name = "ACCOUNT")]
        id: AccountId,
        /// Who is to be credited
        #[arg(long, value_name = "AFFILIATE", required_unless_present = "nobody")]
        affiliate: Option<AffiliateId>,
        /// Take the credit away
        #[arg(long, conflicts_with = "affiliate")]
        nobody: bool,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

#[derive(Debug, Group)]
pub(super) struct Review {
    #[arg(value_name = "ACCOUNT")]
    pub id: AccountId,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum Statement {
    /// List the statements of a month, or of an affiliate
    List {
        /// Like 2026-04
        #[arg(long, required_unless_present = "affiliate")]
        month: Option<Month>,
        #[arg(long)]
        affiliate: Option<AffiliateId>,
    },
    /// Show a statement line by line
    Show {
        #[arg(value_name = "AFFILIATE")]
        affiliate: AffiliateId,
        /// Like 2026-04
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
