//! What each fact does to the store's documents: decided here by the domain's rules, applied by the drainer.

use super::layout::{
    AUDIT, CHANGES, FEED, RUN, account_key, account_partition, affiliate_partition, index_changes,
    statement_key, statements_index,
};
use super::work::Work;
use super::{MonthDoc, RunDoc, StatementDoc};
use crate::domain::account::{Account, Claim, Origin, Refusal, SignupOutcome};
use crate::domain::affiliate::{Affiliate, Link, Status};
use crate::domain::fact::{AffiliateChange, Fact, Record, ReviewAction};
use crate::domain::id::{AccountId, AffiliateId, NodeId};
use crate::domain::outcome::FactOutcome;
use crate::domain::statement::{Line, Statement};
use crate::store::{Cursor, IndexChange, Partition, Result};
use chrono::{DateTime, Utc};
use serde_json::json;
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
        | Fact::MonthClosing { .. }
        | Fact::MonthClosed { .. }
        | Fact::RunFinished { .. } => Some(Partition::Directory),
    }
}

/// Whether a fact changes something in a partition.
pub(crate) fn touches(fact: &Fact, partition: Partition, partitions: u16) -> bool {
    home_of(fact, partitions) == Some(partition) || (partition == Partition::Directory && is_audited(fact))
}

/// Whether a person did it, so that the audit log shows it.
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
            | Fact::MonthClosing { .. }
            | Fact::MonthClosed { .. }
            | Fact::RunFinished { .. }
    )
}

/// The documents that a fact reads and may change in a partition.
pub(crate) fn keys_of(fact: &Fact, partition: Partition) -> Vec<String> {
    if let (Some(account), Partition::Hashed(_)) = (fact.account_id(), partition) {
        return vec![account_key(account)];
    }
    match fact {
        Fact::StatementClosed { statement, .. } => {
            vec![statement_key(statement.affiliate_id, statement.month)]
        }
        Fact::AffiliateCreated { affiliate, link } => vec![
            affiliate_key(affiliate.id),
            link_key(link),
            email_key(&affiliate.profile.email),
            code_key(affiliate.code.as_str()),
        ],
        Fact::AffiliateStep { affiliate_id, .. } => vec![affiliate_key(*affiliate_id)],
        Fact::AffiliateChanged { affiliate_id, change } => {
            let email = change.profile.as_ref().map(|profile| email_key(&profile.email));
            let code = change.code.as_ref().map(|code| code_key(code.as_str()));
            [affiliate_key(*affiliate_id)].into_iter().chain(email).chain(code).collect()
        }
        Fact::LinkCreated { link } => vec![affiliate_key(link.affiliate), link_key(link)],
        Fact::LinkDisabled { link_id, .. } => vec![format!("link:{link_id}")],
        Fact::MonthClosing { month, .. } | Fact::MonthClosed { month, .. } => vec![format!("month:{month}")],
        Fact::RunFinished { .. } => vec![RUN.to_owned()],
        _ => Vec::new(),
    }
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
            Fact::StatementClosed { statement, read_at, .. } => close_statement(work, statement, *read_at),
            fact => match fact.account_id() {
                Some(id) => apply_to_account(work, id, node, located, now),
                None => Ok(Effect::done(FactOutcome::Ignored)),
            },
        };
    }
    let effect = apply_to_directory(work, located)?;
    if is_audited(&located.record.fact) && !matches!(effect, Effect::Void { .. }) {
        // Only what took effect is in the log; a record is plain data, which JSON can say.
        work.append(AUDIT, &json!(located.record));
    }
    Ok(effect)
}

fn apply_to_account(
    work: &mut Work,
    id: &AccountId,
    node: NodeId,
    located: &Located,
    now: DateTime<Utc>,
) -> Result<Effect> {
    let key = account_key(id);
    let before: Option<Account> = work.get(&key)?;
    let mut account = before.clone().unwrap_or_else(|| Account::new(id.clone()));
    let origin = located.origin(node);
    let by = located.record.by.as_str();
    let mut feed = Vec::new();
    let effect = match &located.record.fact {
        Fact::Signup(signup) => match account.report_signup(signup, origin, now) {
            SignupOutcome::Claimed => {
                Effect::Claimed(Box::new(Claim { origin, claimed_at: now, signup: signup.clone() }))
            }
            SignupOutcome::Pending => Effect::Pending,
            SignupOutcome::Replayed => Effect::done(FactOutcome::Replayed),
            SignupOutcome::Conflict => Effect::conflict("signup".to_owned()),
        },
        Fact::Decision { signup, received_at, signup_position, attribution } => {
            let signed_up = Origin { at: *received_at, node, position: *signup_position };
            let stands = account.decide(signup, signed_up, attribution);
            if stands && account.credited_to.is_some() {
                feed.push(json!({"kind": "attributed", "at": signup.signed_up_at, "plan": signup.plan,
                    "active": signup.active, "held": account.is_held()}));
                feed.extend(account.events.iter().map(|kept| json!({"kind": "event", "event": kept.event})));
            }
            Effect::done(if stands { FactOutcome::New } else { FactOutcome::Replayed })
        }
        Fact::Event { event, delivery, .. } => match account.report_event(event, delivery.as_ref()) {
            FactOutcome::Conflict => Effect::conflict(format!("event:{}", event.event_id)),
            outcome => {
                if outcome == FactOutcome::New && account.credited_to.is_some() {
                    feed.push(json!({"kind": "event", "event": event}));
                }
                Effect::done(outcome)
            }
        },
        Fact::Review { action, reason, .. } => match account.review(*action, reason, by, origin) {
            Ok(true) => {
                let kind = match action {
                    ReviewAction::Hold => "held",
                    ReviewAction::Release => "released",
                    ReviewAction::Reject => "rejected",
                };
                feed.push(json!({"kind": kind}));
                Effect::done(FactOutcome::New)
            }
            Ok(false) => Effect::done(FactOutcome::Replayed),
            Err(refusal) => Effect::refused(refusal),
        },
        Fact::Credit { affiliate_id, reason, .. } => {
            match account.credit(*affiliate_id, reason, by, origin) {
                Ok(true) => {
                    let former = before.as_ref().and_then(|account| account.credited_to);
                    feed.push(json!({"kind": "credited", "before": former}));
                    Effect::done(FactOutcome::New)
                }
                Ok(false) => Effect::done(FactOutcome::Replayed),
                Err(refusal) => Effect::refused(refusal),
            }
        }
        Fact::Void { position, reason, .. } => {
            account.note_conflict(Origin { position: *position, ..origin }, reason.clone());
            Effect::done(FactOutcome::New)
        }
        _ => Effect::done(FactOutcome::Ignored),
    };
    if before.as_ref() != Some(&account) && !matches!(effect, Effect::Void { .. }) {
        work.index_all(index_changes(before.as_ref(), &account));
        work.put(&key, &account)?;
    }
    for mut entry in feed {
        entry["account_id"] = json!(id);
        entry["affiliate_id"] = json!(account.credited_to);
        entry["recorded_at"] = json!(located.record.at);
        work.append(FEED, &entry);
    }
    Ok(match effect {
        Effect::Done { outcome, .. } => Effect::Done { outcome, account: Some(Arc::new(account)) },
        other => other,
    })
}

fn close_statement(work: &mut Work, statement: &Statement, read_at: DateTime<Utc>) -> Result<Effect> {
    let key = statement_key(statement.affiliate_id, statement.month);
    let before = work.get::<StatementDoc>(&key)?;
    if let Some(known) = before.as_ref().filter(|known| known.is_closed()) {
        return Ok(if known.statement.hash == statement.hash {
            Effect::done(FactOutcome::Replayed)
        } else {
            Effect::refused(Refusal::AlreadyClosed)
        });
    }
    work.put(
        &key,
        &StatementDoc { closed_at: Some(read_at), withdrawn: false, statement: statement.clone() },
    )?;
    work.index_all(statement_indexes(statement));
    let shown = before.as_ref().filter(|doc| !doc.withdrawn).map(|doc| &doc.statement);
    for entry in crossing_entries(shown, statement) {
        work.append(FEED, &entry);
    }
    Ok(Effect::done(FactOutcome::New))
}

/// What the feed says when a statement's lines change: crossings that are new, and those that late facts undid.
pub(crate) fn crossing_entries(before: Option<&Statement>, after: &Statement) -> Vec<serde_json::Value> {
    let old = before.map(|statement| statement.lines.as_slice()).unwrap_or_default();
    let entry = |kind, line: &Line| {
        json!({"kind": kind, "account_id": line.account_id, "affiliate_id": after.affiliate_id,
            "crossed_on": line.crossed_on, "plan": line.plan, "month": after.month})
    };
    let in_it = |lines: &[Line], line: &Line| {
        lines.iter().any(|other| other.account_id == line.account_id && other.crossed_on == line.crossed_on)
    };
    let gone =
        old.iter().filter(|line| !in_it(&after.lines, line)).map(|line| entry("crossing_undone", line));
    let new = after.lines.iter().filter(|line| !in_it(old, line)).map(|line| entry("crossed", line));
    gone.chain(new).collect()
}

/// The indexes that a statement is found by.
pub(crate) fn statement_indexes(statement: &Statement) -> Vec<IndexChange> {
    let (affiliate, month) = (statement.affiliate_id, statement.month);
    [
        (statements_index(affiliate), month.to_string()),
        ("statements".to_owned(), format!("{month}:{affiliate}")),
    ]
    .map(|(index, member)| IndexChange { index, member, present: true })
    .to_vec()
}

fn apply_to_directory(work: &mut Work, located: &Located) -> Result<Effect> {
    let new = Effect::done(FactOutcome::New);
    match &located.record.fact {
        Fact::AffiliateCreated { affiliate, link } => create_affiliate(work, affiliate, link),
        Fact::AffiliateStep { affiliate_id, step, reason } => {
            let key = affiliate_key(*affiliate_id);
            let Some(mut affiliate) = work.get::<Affiliate>(&key)? else {
                return Ok(Effect::refused(Refusal::UnknownAffiliate));
            };
            if affiliate.step(*step, reason.clone(), located.record.at).is_err() {
                return Ok(Effect::refused(Refusal::WrongStatus));
            }
            put_affiliate(work, &affiliate)?;
            Ok(new)
        }
        Fact::AffiliateChanged { affiliate_id, change } => change_affiliate(work, *affiliate_id, change),
        Fact::LinkCreated { link } => {
            let Some(affiliate) = work.get::<Affiliate>(&affiliate_key(link.affiliate))? else {
                return Ok(Effect::refused(Refusal::UnknownAffiliate));
            };
            if affiliate.status() != Status::Active {
                return Ok(Effect::refused(Refusal::NotActive));
            }
            put_link(work, link)?;
            Ok(new)
        }
        Fact::LinkDisabled { link_id, affiliate_id } => {
            let link: Option<Link> = work.get(&format!("link:{link_id}"))?;
            let Some(mut link) = link.filter(|link| link.affiliate == *affiliate_id) else {
                return Ok(Effect::refused(Refusal::UnknownLink));
            };
            if link.disabled_at.is_some() {
                return Ok(Effect::done(FactOutcome::Replayed));
            }
            link.disabled_at = Some(located.record.at);
            put_link(work, &link)?;
            Ok(new)
        }
        Fact::MonthClosing { month, rules, as_of, .. } => {
            let key = format!("month:{month}");
            if let Some(known) = work.get::<MonthDoc>(&key)? {
                return Ok(if known.rules == *rules {
                    Effect::done(FactOutcome::Replayed)
                } else {
                    Effect::refused(Refusal::AlreadyClosed)
                });
            }
            let doc = MonthDoc {
                month: *month,
                rules: rules.clone(),
                as_of: *as_of,
                closing_at: located.record.at,
                closed: false,
                statements: 0,
            };
            put_month(work, &doc)?;
            Ok(new)
        }
        Fact::MonthClosed { month, statements, .. } => {
            let Some(mut doc) = work.get::<MonthDoc>(&format!("month:{month}"))? else {
                return Ok(Effect::refused(Refusal::AlreadyClosed));
            };
            doc.closed = true;
            doc.statements = *statements;
            put_month(work, &doc)?;
            Ok(new)
        }
        Fact::RunFinished { run, .. } => {
            work.put(RUN, &RunDoc { run: run.clone(), finished_at: located.record.at })?;
            work.append(CHANGES, &json!({"kind": "run"}));
            Ok(new)
        }
        // Of an account: here only for the audit log.
        _ => Ok(new),
    }
}

fn create_affiliate(work: &mut Work, affiliate: &Affiliate, link: &Link) -> Result<Effect> {
    if work.get::<Affiliate>(&affiliate_key(affiliate.id))?.is_some() {
        return Ok(Effect::done(FactOutcome::Replayed));
    }
    let (email, code) = (email_key(&affiliate.profile.email), code_key(affiliate.code.as_str()));
    if work.get::<AffiliateId>(&email)?.is_some() {
        return Ok(Effect::refused(Refusal::EmailTaken));
    }
    if work.get::<AffiliateId>(&code)?.is_some() {
        return Ok(Effect::refused(Refusal::CodeTaken));
    }
    work.put(&email, &affiliate.id)?;
    work.put(&code, &affiliate.id)?;
    put_affiliate(work, affiliate)?;
    put_link(work, link)?;
    Ok(Effect::done(FactOutcome::New))
}

fn change_affiliate(work: &mut Work, id: AffiliateId, change: &AffiliateChange) -> Result<Effect> {
    let Some(mut affiliate) = work.get::<Affiliate>(&affiliate_key(id))? else {
        return Ok(Effect::refused(Refusal::UnknownAffiliate));
    };
    // A former e-mail or code stays the affiliate's own: old links on paper still lead to it.
    let claims = [
        (change.profile.as_ref().map(|profile| email_key(&profile.email)), Refusal::EmailTaken),
        (change.code.as_ref().map(|code| code_key(code.as_str())), Refusal::CodeTaken),
    ];
    for (key, refusal) in &claims {
        if let Some(key) = key
            && work.get::<AffiliateId>(key)?.is_some_and(|owner| owner != id)
        {
            return Ok(Effect::refused(*refusal));
        }
    }
    for key in claims.iter().filter_map(|(key, _)| key.as_ref()) {
        work.put(key, &id)?;
    }
    if let Some(profile) = &change.profile {
        affiliate.profile.take_changes(change.before.as_ref(), profile);
    }
    if let Some(code) = &change.code {
        affiliate.code = code.clone();
    }
    if let Some(exempt) = change.exempt_from_holds {
        affiliate.exempt_from_holds = exempt;
    }
    put_affiliate(work, &affiliate)?;
    Ok(Effect::done(FactOutcome::New))
}

fn put_affiliate(work: &mut Work, affiliate: &Affiliate) -> Result<()> {
    work.index("affiliates".to_owned(), affiliate.id.to_string(), true);
    work.append(CHANGES, &json!({"kind": "affiliate", "id": affiliate.id}));
    work.put(&affiliate_key(affiliate.id), affiliate)
}

fn put_link(work: &mut Work, link: &Link) -> Result<()> {
    work.index("links".to_owned(), link.id.to_string(), true);
    work.append(CHANGES, &json!({"kind": "link", "id": link.id}));
    work.put(&link_key(link), link)
}

fn put_month(work: &mut Work, doc: &MonthDoc) -> Result<()> {
    work.index("months".to_owned(), doc.month.to_string(), true);
    work.append(CHANGES, &json!({"kind": "month", "id": doc.month}));
    work.put(&format!("month:{}", doc.month), doc)
}

fn affiliate_key(id: AffiliateId) -> String {
    format!("affiliate:{id}")
}
fn link_key(link: &Link) -> String {
    format!("link:{}", link.id)
}
fn email_key(email: &str) -> String {
    format!("email:{}", email.trim().to_lowercase())
}
fn code_key(code: &str) -> String {
    format!("code:{code}")
}
