//! What each fact does to the store's documents: decided here by the domain's rules, applied by the drainer.

mod accounts;
mod directory;
mod people;

pub(crate) use accounts::{crossing_entries, statement_indexes};

use super::layout::{
    AUDIT, RUN, account_partition, affiliate_key, affiliate_partition, applied_again_key, credentials_key,
    email_key, link_count_key, lost_mail_key, set_aside_key, statement_key,
};
use super::outbox::{self, mail_key};
use super::set_aside::SetAsideId;
use super::work::{Source, Work};
use crate::domain::account::{Account, Claim, Origin, Refusal};
use crate::domain::fact::{Fact, Record};
use crate::domain::id::NodeId;
use crate::domain::outcome::FactOutcome;
use crate::domain::person::Person;
use crate::store::{Cursor, Partition, Result};
use accounts::{apply_to_account, close_statement};
use chrono::{DateTime, Utc};
use directory::{code_key, link_key};
use std::sync::Arc;

/// A fact with its place in the journal.
#[derive(Debug, Clone)]
pub(crate) struct Located {
    pub(crate) cursor: Cursor,
    pub(crate) record: Record,
}

impl Located {
    pub(crate) fn origin(&self, node: NodeId) -> Origin {
        Origin { at: self.record.at, node, position: self.cursor.position }
    }
    /// What is named by it comes from here.
    pub(crate) const fn source(&self, node: NodeId, now: DateTime<Utc>) -> Source {
        Source { node, cursor: self.cursor, at: self.record.at, now }
    }
}

/// What became of a fact in one partition.
#[derive(Debug)]
pub(crate) enum Effect {
    /// It ended.
    Done { outcome: FactOutcome, account: Option<Arc<Account>> },
    /// The signup is ours to decide on.
    Claimed(Box<Claim>),
    /// The same signup is being decided.
    Pending,
    /// It had no effect, and never will.
    Void { reason: String, refusal: Option<Refusal> },
}

impl Effect {
    const fn done(outcome: FactOutcome) -> Self {
        Self::Done { outcome, account: None }
    }
    fn refused(refusal: Refusal) -> Self {
        Self::Void { reason: refusal.code().to_owned(), refusal: Some(refusal) }
    }
    const fn conflict(what: String) -> Self {
        Self::Void { reason: what, refusal: None }
    }
}

/// The partition that a fact is about, if it is about anything in the store.
pub(crate) fn home_of(fact: &Fact, partitions: u16) -> Option<Partition> {
    match fact {
        Fact::Signup(_)
        | Fact::Event { .. }
        | Fact::Decision { .. }
        | Fact::Void { .. }
        | Fact::Review { .. }
        | Fact::Credit { .. } => fact.account_id().map(|id| account_partition(id, partitions)),
        Fact::StatementClosed { statement, .. } => {
            Some(affiliate_partition(statement.affiliate_id, partitions))
        }
        Fact::AffiliateCreated { .. }
        | Fact::AffiliateStep { .. }
        | Fact::AffiliateChanged { .. }
        | Fact::LinkCreated { .. }
        | Fact::LinkDisabled { .. }
        | Fact::LinkEnabled { .. }
        | Fact::MonthClosing { .. }
        | Fact::MonthClosed { .. }
        | Fact::RunFinished { .. }
        | Fact::MailDone { .. }
        | Fact::SetAside { .. }
        | Fact::SetAsideEnded { .. }
        | Fact::PasswordSet { .. }
        | Fact::AgreementPublished { .. }
        | Fact::AgreementSigned { .. }
        | Fact::StaffCreated { .. }
        | Fact::StaffChanged { .. }
        | Fact::StaffInvited { .. }
        | Fact::ActivationSent { .. }
        | Fact::SignedOutEverywhere { .. }
        | Fact::StaffSignedOutEverywhere { .. }
        | Fact::NoteAdded { .. }
        | Fact::ClaimFiled { .. }
        | Fact::ClaimDecided { .. } => Some(Partition::Directory),
    }
}

/// Whether a fact changes something in a partition.
pub(crate) fn touches(fact: &Fact, partition: Partition, partitions: u16) -> bool {
    home_of(fact, partitions) == Some(partition) || (partition == Partition::Directory && is_audited(fact))
}

/// Whether a person did it, or should know of it, so that the audit log shows it.
const fn is_audited(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::Review { .. }
            | Fact::Credit { .. }
            | Fact::AffiliateCreated { .. }
            | Fact::AffiliateStep { .. }
            | Fact::AffiliateChanged { .. }
            | Fact::LinkCreated { .. }
            | Fact::LinkDisabled { .. }
            | Fact::LinkEnabled { .. }
            | Fact::MonthClosing { .. }
            | Fact::MonthClosed { .. }
            | Fact::RunFinished { .. }
            | Fact::PasswordSet { .. }
            | Fact::AgreementPublished { .. }
            | Fact::AgreementSigned { .. }
            | Fact::StaffCreated { .. }
            | Fact::StaffChanged { .. }
            | Fact::StaffInvited { .. }
            | Fact::ActivationSent { .. }
            | Fact::SignedOutEverywhere { .. }
            | Fact::StaffSignedOutEverywhere { .. }
            | Fact::NoteAdded { .. }
            | Fact::ClaimFiled { .. }
            | Fact::ClaimDecided { .. }
            | Fact::SetAsideEnded { .. }
            | Fact::MailDone { lost: Some(_), .. }
    )
}

/// The documents that a fact reads and may change in a partition.
pub(crate) fn keys_of(fact: &Fact, partition: Partition) -> Vec<String> {
    if let (Some(account), Partition::Hashed(_)) = (fact.account_id(), partition) {
        return accounts::keys_of(account, fact);
    }
    match fact {
        Fact::StatementClosed { statement, .. } => {
            vec![statement_key(statement.affiliate_id, statement.month)]
        }
        Fact::AffiliateCreated { affiliate, link } => vec![
            affiliate_key(affiliate.id),
            link_key(link),
            email_key(&affiliate.profile.email),
            applied_again_key(&affiliate.profile.email),
            code_key(affiliate.code.as_str()),
        ],
        Fact::AffiliateStep { affiliate_id, .. } => vec![affiliate_key(*affiliate_id)],
        Fact::AffiliateChanged { affiliate_id, change } => {
            let email = change.profile.as_ref().map(|profile| email_key(&profile.email));
            let code = change.code.as_ref().map(|code| code_key(code.as_str()));
            let own = [affiliate_key(*affiliate_id), credentials_key(Person::Affiliate(*affiliate_id))];
            own.into_iter().chain(email).chain(code).collect()
        }
        Fact::LinkCreated { link, .. } => {
            vec![affiliate_key(link.affiliate), link_key(link), link_count_key(link.affiliate)]
        }
        Fact::LinkDisabled { link_id, affiliate_id, .. } | Fact::LinkEnabled { link_id, affiliate_id } => {
            vec![affiliate_key(*affiliate_id), format!("link:{link_id}")]
        }
        Fact::MonthClosing { month, .. } | Fact::MonthClosed { month, .. } => vec![format!("month:{month}")],
        Fact::RunFinished { .. } => vec![RUN.to_owned()],
        Fact::MailDone { mail_id, lost, .. } => std::iter::once(mail_key(mail_id))
            .chain(lost.as_ref().map(|lost| lost_mail_key(lost.person)))
            .collect(),
        Fact::SetAside { node, position, .. } | Fact::SetAsideEnded { node, position, .. } => {
            vec![set_aside_key(SetAsideId { node: *node, position: *position })]
        }
        fact => people::keys_of(fact),
    }
}

/// The documents of the mail that a fact may bring about: whatever people do in the directory.
pub(crate) fn mail_keys(
    located: &Located,
    partition: Partition,
    node: NodeId,
    now: DateTime<Utc>,
) -> Vec<String> {
    let writes = partition == Partition::Directory
        && located.record.fact.account_id().is_none()
        && is_of_people(&located.record.fact);
    let most = outbox::most_letters(&located.record.fact);
    if writes { outbox::keys_of(&located.source(node, now), most).collect() } else { Vec::new() }
}

/// Whether it is no run's, and no mail's own.
const fn is_of_people(fact: &Fact) -> bool {
    !matches!(
        fact,
        Fact::MonthClosing { .. }
            | Fact::MonthClosed { .. }
            | Fact::RunFinished { .. }
            | Fact::StatementClosed { .. }
            | Fact::MailDone { .. }
            | Fact::SetAside { .. }
            | Fact::SetAsideEnded { .. }
    )
}

/// Applies a fact to a partition's documents.
pub(crate) fn apply(
    work: &mut Work,
    partition: Partition,
    node: NodeId,
    located: &Located,
    now: DateTime<Utc>,
) -> Result<Effect> {
    if let Partition::Hashed(_) = partition {
        return match &located.record.fact {
            Fact::StatementClosed { statement, read_at, referrals, .. } => {
                close_statement(work, statement, *read_at, referrals.as_ref())
            }
            fact => match fact.account_id() {
                Some(id) => apply_to_account(work, id, node, located, now),
                None => Ok(Effect::done(FactOutcome::Ignored)),
            },
        };
    }
    work.begin(located.source(node, now));
    let effect = directory::apply(work, located)?;
    if is_audited(&located.record.fact) && !matches!(effect, Effect::Void { .. }) {
        // Only what took effect is in the log.
        work.append(AUDIT, &people::audited(&located.record));
    }
    Ok(effect)
}
