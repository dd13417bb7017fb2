//! Where things live in the store: the names of documents, indexes and streams, and their partitions.
//!
//! | document | partition | body |
//! | --- | --- | --- |
//! | `account:<account>` | the account's | [`Account`] |
//! | `event:<account>/<event>` | the account's | an event beyond the first [`EVENTS_WITHIN`](crate::domain::account::EVENTS_WITHIN) |
//! | `delivery:<account>/<delivery>` | the account's | the delivery that brought one of these |
//! | `statement:<affiliate>:<month>` | the affiliate's | `StatementDoc` |
//! | `line:<affiliate>/<key>` | the affiliate's | [`KeptLine`](crate::domain::by_hand::KeptLine): a line by hand, and what became of it |
//! | `lines:<affiliate>` | the affiliate's | its open lines by hand, the oldest first |
//! | `summaries:<affiliate>:<part>` | the affiliate's | summaries of its referrals from the last nightly run |
//! | `night` | each hashed one | the checkpoint of the last nightly run, or that one is under way |
//! | `affiliate:<affiliate>` | directory | [`Affiliate`](crate::domain::affiliate::Affiliate) |
//! | `link:<link>` | directory | [`Link`](crate::domain::affiliate::Link) |
//! | `email:<e-mail>`, `code:<code>` | directory | the affiliate's id: both are unique |
//! | `month:<month>` | directory | `MonthDoc` |
//! | `run` | directory | the last finished run |
//! | `credentials:<person>` | directory | [`Credentials`](crate::domain::password::Credentials) |
//! | `staff:<staff>` | directory | [`StaffMember`](crate::domain::person::StaffMember) |
//! | `staff_email:<e-mail>` | directory | the member's id: it is unique |
//! | `agreement:<version>` | directory | [`Agreement`](crate::domain::person::Agreement), as it may have been signed |
//! | `admins` | directory | who may manage staff; written when a fact first requires that one remains |
//! | `link_count:<affiliate>` | directory | how many links it has; written when a fact first requires a limit |
//! | `notes:<affiliate>` | directory | the newest 200 notes of staff, oldest first |
//! | `claim:<claim>` | directory | [`MissingReferral`](crate::domain::person::MissingReferral) |
//! | `applied_again:<e-mail>` | directory | when the address's owner last got a mail about this; not rebuilt |
//! | `sessions:<person>` | the person's | who is signed in; not rebuilt |
//! | `aside:<node>:<position>`, `…:<epoch>` after the first epoch | directory | [`SetAside`](super::SetAside): a fact that could not be applied |
//! | `disks:<node>` | directory | [`Disks`](crate::journal::Disks): which disk of the node was last seen; not rebuilt |
//! | `mail:<mail>` | directory | a waiting mail; after it has ended, for three days, how it ended |
//! | `forgot` | directory | that the store's servers have evicted keys; not rebuilt |
//! | `payout:<payout>` | directory | [`Batch`](crate::domain::payout::Batch) |
//! | `payout_carried:<payout>/<part>` | directory | what a batch leaves to a later one, by some affiliates |
//! | `ledger:<affiliate>` | directory | [`Ledger`](crate::domain::payout::Ledger): its items and the movements of its money |
//! | `payout_opening` | directory | the last month that was paid elsewhere, for all affiliates |
//! | `told:<affiliate>:<kind>:<of what>` | directory | when the affiliate was told: it is told once |
//! | `news` | directory | how far feed and months were read for news to affiliates; not rebuilt |
//! | `payout_hint:<PayPal's batch>` | directory | [`Hint`](crate::domain::payout::Hint): what PayPal has told of it |
//! | `lost_mail:<person>` | directory | the newest 20 mails that never reached the person, oldest first |
//!
//! Indexes of accounts: `accounts`, `referrals:<affiliate>`, `held`, `conflicts`, `waiting`, and
//! `claims:<node>` (signups that the node has yet to decide on), `undecided` (those of all nodes); `events:<account>` (events kept apart from their account). Of statements, in the affiliate's partition:
//! `statements:<affiliate>` (months) and `statements` (`<month>:<affiliate>`), `with_lines` (affiliates that have open lines by hand). Of the directory: `affiliates`,
//! `links`, `months`, `outbox` (mail that waits), `outbox_ended` (mail whose name is still kept), `staff`, `missing` (claims),
//! `payouts`, `payout:<payout>` (its affiliates), `payout:<payout>/<status>`, `payout:<payout>#<call>`, `payout_attention` (items for a person), `payout_hints` (PayPal's batches that it is to be asked about), `missing:<affiliate>`, `missing_open`, `missing_owed` (granted, yet to be credited), `forgotten_nodes`, `aside` (facts set aside that wait for a person).
//!
//! Streams: `feed` (by account partition), `audit`, `changes` and `runs` (directory).

use super::SetAsideId;
use crate::domain::account::Account;
use crate::domain::calendar::Month;
use crate::domain::fact::Delivery;
use crate::domain::id::{AccountId, AffiliateId, ClaimId, EventId, LineKey, NodeId, StaffId};
use crate::domain::mail::Topic;
use crate::domain::payout::{ItemStatus, PayPalId, PayoutId};
use crate::domain::person::Person;
use crate::store::{IndexChange, Partition, partition_of};
pub(crate) use crate::store::{account_partition, affiliate_partition};
use std::collections::BTreeSet;

pub(crate) const FEED: &str = "feed";
pub(crate) const AUDIT: &str = "audit";
pub(crate) const CHANGES: &str = "changes";
pub(crate) const RUN: &str = "run";
/// Finished runs.
pub(crate) const RUNS: &str = "runs";
pub(crate) const CHECKPOINT: &str = "night";
pub(crate) const FORGOT: &str = "forgot";

pub(crate) fn account_key(id: &AccountId) -> String {
    format!("account:{id}")
}
/// The key of an event that is kept apart from its account. An id has no slash.
pub(crate) fn event_key(account: &AccountId, event: &EventId) -> String {
    format!("{}{event}", events_prefix(account))
}
pub(crate) fn events_prefix(account: &AccountId) -> String {
    format!("event:{account}/")
}
pub(crate) fn events_index(account: &AccountId) -> String {
    format!("events:{account}")
}
pub(crate) fn delivery_key(account: &AccountId, delivery: &Delivery) -> String {
    format!("delivery:{account}/{}", delivery.id)
}
pub(crate) fn statement_key(affiliate: AffiliateId, month: Month) -> String {
    format!("statement:{affiliate}:{month}")
}
/// The key of a line by hand. An id has no slash.
pub(crate) fn line_key(affiliate: AffiliateId, key: &LineKey) -> String {
    format!("line:{affiliate}/{key}")
}
pub(crate) fn lines_key(affiliate: AffiliateId) -> String {
    format!("{LINES_PREFIX}{affiliate}")
}
pub(crate) const LINES_PREFIX: &str = "lines:";
/// Affiliates that have open lines by hand.
pub(crate) const WITH_LINES: &str = "with_lines";
pub(crate) fn summaries_key(affiliate: AffiliateId, part: u16) -> String {
    format!("summaries:{affiliate}:{part}")
}
pub(crate) fn referrals_index(affiliate: AffiliateId) -> String {
    format!("referrals:{affiliate}")
}
pub(crate) fn statements_index(affiliate: AffiliateId) -> String {
    format!("statements:{affiliate}")
}
pub(crate) fn claims_index(node: NodeId) -> String {
    format!("claims:{node}")
}
/// Nodes that a person declared gone for good.
pub(crate) const FORGOTTEN: &str = "forgotten_nodes";
/// Signups that a node has reserved and not decided.
pub(crate) const UNDECIDED: &str = "undecided";
pub(crate) fn disks_key(node: NodeId) -> String {
    format!("disks:{node}")
}
pub(crate) fn affiliate_key(id: AffiliateId) -> String {
    format!("affiliate:{id}")
}
pub(crate) fn email_key(email: &str) -> String {
    format!("email:{}", email.trim().to_lowercase())
}
pub(crate) fn applied_again_key(email: &str) -> String {
    format!("applied_again:{}", email.trim().to_lowercase())
}
pub(crate) fn credentials_key(person: Person) -> String {
    format!("credentials:{person}")
}
pub(crate) const ADMINS: &str = "admins";
pub(crate) fn link_count_key(affiliate: AffiliateId) -> String {
    format!("link_count:{affiliate}")
}
pub(crate) fn lost_mail_key(person: Person) -> String {
    format!("lost_mail:{person}")
}
pub(crate) fn staff_key(id: StaffId) -> String {
    format!("staff:{id}")
}
pub(crate) fn staff_email_key(email: &str) -> String {
    format!("staff_email:{}", email.trim().to_lowercase())
}
pub(crate) fn agreement_key(version: &str) -> String {
    format!("agreement:{version}")
}
pub(crate) fn notes_key(affiliate: AffiliateId) -> String {
    format!("notes:{affiliate}")
}
pub(crate) fn claim_key(id: ClaimId) -> String {
    format!("claim:{id}")
}
/// Claims of missing referrals.
pub(crate) const MISSING: &str = "missing";
/// Claims that staff have not decided yet.
pub(crate) const MISSING_OPEN: &str = "missing_open";
/// Granted claims whose account is not credited yet.
pub(crate) const MISSING_OWED: &str = "missing_owed";
/// The claims of an affiliate.
pub(crate) fn missing_index(affiliate: AffiliateId) -> String {
    format!("missing:{affiliate}")
}
pub(crate) fn payout_key(id: PayoutId) -> String {
    format!("payout:{id}")
}
pub(crate) fn carried_key(id: PayoutId, part: u32) -> String {
    format!("payout_carried:{id}/{part}")
}
pub(crate) fn ledger_key(affiliate: AffiliateId) -> String {
    format!("ledger:{affiliate}")
}
pub(crate) const PAYOUT_OPENING: &str = "payout_opening";
/// Payout batches.
pub(crate) const PAYOUTS: &str = "payouts";
/// Items that a person has to look at.
pub(crate) const PAYOUT_ATTENTION: &str = "payout_attention";
/// Batches of PayPal's that it told something of, and that it was not asked about since.
pub(crate) const PAYOUT_HINTS: &str = "payout_hints";
pub(crate) fn payout_hint_key(payout_batch_id: &PayPalId) -> String {
    format!("payout_hint:{payout_batch_id}")
}
/// The affiliates in a batch; with a status, those whose item has it.
pub(crate) fn payout_index(id: PayoutId, status: Option<ItemStatus>) -> String {
    match status {
        Some(status) => format!("payout:{id}/{status}"),
        None => format!("payout:{id}"),
    }
}
/// The affiliates whose items are in a call to PayPal, or in a part of the file.
pub(crate) fn payout_chunk_index(id: PayoutId, chunk: u32) -> String {
    format!("payout:{id}#{chunk}")
}
/// What an affiliate was told about something, of which it is told once.
pub(crate) fn told_key(affiliate: AffiliateId, topic: Topic, what: &str) -> String {
    format!("told:{affiliate}:{topic}:{what}")
}
/// How far feed and months were read for news to affiliates.
pub(crate) const NEWS: &str = "news";
pub(crate) fn sessions_key(person: Person) -> String {
    format!("sessions:{person}")
}
/// Facts that are set aside and wait for a person.
pub(crate) const SET_ASIDE: &str = "aside";
pub(crate) fn set_aside_key(id: SetAsideId) -> String {
    format!("aside:{id}")
}
/// The partition of a person's sessions.
pub(crate) fn person_partition(person: Person, partitions: u16) -> Partition {
    match person {
        Person::Affiliate(id) => affiliate_partition(id, partitions),
        Person::Staff(id) => partition_of(&id.bits().to_be_bytes(), partitions),
    }
}
/// All partitions; the hashed ones come first.
pub(crate) fn all_partitions(partitions: u16) -> impl Iterator<Item = Partition> {
    (0..partitions).map(Partition::Hashed).chain([Partition::Directory])
}

/// The indexes that an account is in.
fn indexes_of(account: &Account) -> BTreeSet<String> {
    let mut indexes = BTreeSet::from(["accounts".to_owned()]);
    indexes.extend(account.credited_to.map(referrals_index));
    indexes.extend(account.is_held().then(|| "held".to_owned()));
    indexes.extend((!account.conflicts.is_empty()).then(|| "conflicts".to_owned()));
    let waiting = account.signup.is_none() && !account.events.is_empty();
    indexes.extend(waiting.then(|| "waiting".to_owned()));
    indexes.extend(account.deciding_nodes().map(claims_index));
    indexes.extend(account.claim.is_some().then(|| UNDECIDED.to_owned()));
    indexes
}

/// The changes of the indexes when an account changes.
pub(crate) fn index_changes(before: Option<&Account>, after: &Account) -> Vec<IndexChange> {
    let old = before.map(indexes_of).unwrap_or_default();
    let new = indexes_of(after);
    let change = |index: &String, present| IndexChange {
        index: index.clone(),
        member: after.id.as_str().to_owned(),
        present,
    };
    let left = old.difference(&new).map(|index| change(index, false));
    let entered = new.difference(&old).map(|index| change(index, true));
    left.chain(entered).collect()
}
