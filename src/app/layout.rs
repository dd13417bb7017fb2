//! Where things live in the store: the names of documents, indexes and streams, and their partitions.
//!
//! | document | partition | body |
//! | --- | --- | --- |
//! | `account:<account>` | the account's | [`Account`] |
//! | `statement:<affiliate>:<month>` | the affiliate's | `StatementDoc` |
//! | `summaries:<affiliate>` | the affiliate's | its referrals as the last run found them |
//! | `night` | each hashed one | what the last run leaves for the next |
//! | `affiliate:<affiliate>` | directory | [`Affiliate`](crate::domain::affiliate::Affiliate) |
//! | `link:<link>` | directory | [`Link`](crate::domain::affiliate::Link) |
//! | `email:<e-mail>`, `code:<code>` | directory | the affiliate's id: both are unique |
//! | `month:<month>` | directory | `MonthDoc` |
//! | `run` | directory | the last finished run |
//!
//! Indexes of accounts: `accounts`, `referrals:<affiliate>`, `held`, `conflicts`, `waiting`, and
//! `claims:<node>` (signups that the node has yet to decide on). Of statements, in the affiliate's partition:
//! `statements:<affiliate>` (months) and `statements` (`<month>:<affiliate>`). Of the directory: `affiliates`,
//! `links`, `months`.
//!
//! Streams: `feed` (by account partition), `audit` and `changes` (directory).

use crate::domain::account::Account;
use crate::domain::calendar::Month;
use crate::domain::id::{AccountId, AffiliateId, NodeId};
use crate::store::{IndexChange, Partition};
pub(crate) use crate::store::{account_partition, affiliate_partition};
use std::collections::BTreeSet;

pub(crate) const FEED: &str = "feed";
pub(crate) const AUDIT: &str = "audit";
pub(crate) const CHANGES: &str = "changes";
pub(crate) const RUN: &str = "run";
pub(crate) const NIGHT: &str = "night";

pub(crate) fn account_key(id: &AccountId) -> String {
    format!("account:{id}")
}
pub(crate) fn statement_key(affiliate: AffiliateId, month: Month) -> String {
    format!("statement:{affiliate}:{month}")
}
pub(crate) fn summaries_key(affiliate: AffiliateId) -> String {
    format!("summaries:{affiliate}")
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
/// All partitions, the hashed ones first.
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
    indexes
}

/// How the indexes follow a change of an account.
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
