//! The outbox: mail that waits to be sent, in the directory's partition of the store.
//!
//! A fact's mail enters the outbox in the same commit as the fact's other effects, with an id derived from the
//! fact's position in the journal, so that it enters once however often the fact is applied. Sending is a separate
//! job ([`crate::jobs::mail`]). Of sent mail only the id is kept, without address or text, so that a replay does
//! not send it again. When a replay would not send mail about such an old fact anyway, the id is removed too.

use super::layout::lost_mail_key;
use super::work::{Source, Work, load_one};
use super::{App, StoreError, SubmitError};
use crate::domain::mail::{LIFETIME, Letter, LostMail, Mail, MailOutcome, id_from, id_from_fact, written_at};
use crate::domain::person::Person;
use crate::store::{Commit, Committed, Finding, IndexChange, Partition, Remove, Result};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::sync::atomic::Ordering;

/// Ids of mail read from the store at once.
const IDS_AT_ONCE: usize = 1_000;
/// Mail that waits longer than this should be seen by an operator.
const LONG_MINUTES: i64 = 15;
/// Ids of unsent mail.
pub(crate) const OUTBOX: &str = "outbox";
/// Ids of mail that has ended, as long as they are kept.
pub(crate) const ENDED: &str = "outbox_ended";
/// Ids of ended mail in one commit.
const FORGET_AT_ONCE: usize = 200;
/// How many lost mails are remembered for a person.
const LOST_MAIL: usize = 20;
/// How far the clocks of two nodes may differ.
const CLOCKS: TimeDelta = TimeDelta::hours(1);

/// What is kept of a mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MailDoc {
    /// It waits.
    Waits(Box<Mail>),
    /// It has ended.
    Done {
        /// How.
        outcome: MailOutcome,
        /// When.
        at: DateTime<Utc>,
    },
}

/// A mail that never reached its recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostMailDoc {
    /// When the server gave it up.
    pub at: DateTime<Utc>,
    /// Its kind, and why it was given up.
    #[serde(flatten)]
    pub mail: LostMail,
}

pub(crate) fn mail_key(id: &str) -> String {
    format!("mail:{id}")
}

/// The documents of the mail that a fact of the directory may cause; loaded with the fact's other documents.
pub(crate) fn keys_of(source: &Source, most: usize) -> impl Iterator<Item = String> + use<> {
    let source = *source;
    // Nothing is written about an old fact.
    let most = if source.is_old() { 0 } else { most };
    (0..most).map(move |nth| mail_key(&source.mail_id(nth)))
}

impl Source {
    /// Whether nobody is written to about it any more.
    fn is_old(&self) -> bool {
        self.now - self.at > LIFETIME
    }
    fn mail_id(&self, nth: usize) -> String {
        id_from_fact(self.at, self.node, self.cursor.epoch, self.cursor.position, nth)
    }
}

/// Puts a letter into the outbox, in the commit of the fact that is being applied; at most as many as the fact's
/// kind declares.
pub(crate) fn enqueue_in(work: &mut Work, letter: Letter) -> Result<()> {
    let Some(source) = work.source().copied() else { return Ok(()) };
    if source.is_old() {
        return Ok(());
    }
    // It is counted before it is left out: the ids of the others stay, whatever is switched off.
    let nth = work.count_letter();
    if !work.wants(&letter.message) {
        return Ok(());
    }
    let id = source.mail_id(nth);
    let key = mail_key(&id);
    if work.get::<MailDoc>(&key)?.is_none() {
        let mail = Mail::new(id.clone(), letter, source.at);
        work.put(&key, &MailDoc::Waits(Box::new(mail)))?;
        work.index(OUTBOX.to_owned(), id, true);
    }
    Ok(())
}

/// Whether no replay would send this mail again, so that its id can be removed.
fn is_over(id: &str, now: DateTime<Utc>) -> bool {
    written_at(id).is_none_or(|at| now - at > LIFETIME + CLOCKS)
}

/// A mail has ended: its id stays for a while, its address and text are removed.
pub(crate) fn mail_done(
    work: &mut Work,
    mail_id: &str,
    outcome: MailOutcome,
    at: DateTime<Utc>,
) -> Result<()> {
    let key = mail_key(mail_id);
    work.index(OUTBOX.to_owned(), mail_id.to_owned(), false);
    // A replay applies the ends of all earlier mail.
    let is_history = work.source().is_some_and(|source| is_over(mail_id, source.now));
    if !is_history || work.get::<MailDoc>(&key)?.is_some() {
        work.index(ENDED.to_owned(), mail_id.to_owned(), true);
        work.put(&key, &MailDoc::Done { outcome, at })?;
    }
    Ok(())
}

/// Remembers for staff that a mail never reached its recipient. In a replay it may be here already.
pub(crate) fn remember_lost(work: &mut Work, mail: &LostMail, at: DateTime<Utc>) -> Result<()> {
    let key = lost_mail_key(mail.person);
    let mut all: Vec<LostMailDoc> = work.get(&key)?.unwrap_or_default();
    let doc = LostMailDoc { at, mail: mail.clone() };
    if !all.contains(&doc) {
        all.push(doc);
        // In a fixed order, no matter which node's journal is replayed first.
        all.sort_by_key(|doc| doc.at);
        all.drain(..all.len().saturating_sub(LOST_MAIL));
        work.put(&key, &all)?;
    }
    Ok(())
}

impl App {
    /// The newest mail that never reached a person, oldest first.
    pub async fn lost_mail(&self, person: Person) -> Result<Vec<LostMailDoc>> {
        let lost = load_one(self.store.as_ref(), Partition::Directory, &lost_mail_key(person)).await?;
        Ok(lost.unwrap_or_default())
    }

    /// Puts a letter into the outbox that no fact causes, such as for a forgotten password. It is lost with the
    /// store; the person asks again.
    pub async fn enqueue(&self, letter: Letter) -> std::result::Result<(), SubmitError> {
        let unique = crate::domain::id::LinkId::random();
        let entered = self.enqueue_once(self.now(), &format!("letter {unique}"), letter).await;
        entered.map_err(|error| SubmitError::Journal(error.to_string()))
    }

    /// Puts a letter into the outbox that says something about the state of the store: once for each time and source,
    /// also by several nodes and after the store was rebuilt. It is left out if it is switched off, or old news.
    pub(crate) async fn enqueue_once(&self, at: DateTime<Utc>, source: &str, letter: Letter) -> Result<()> {
        let mail = Mail::new(id_from(at, source), letter, at);
        let key = mail_key(&mail.id);
        if self.now() - at > LIFETIME {
            return Ok(());
        }
        let mut work = Work::load(&*self.store, Partition::Directory, vec![key.clone()]).await?;
        work.switch_off(&self.config().mail.off);
        if work.get::<MailDoc>(&key)?.is_some() || !work.wants(&mail.letter.message) {
            return Ok(());
        }
        work.index(OUTBOX.to_owned(), mail.id.clone(), true);
        work.put(&key, &MailDoc::Waits(Box::new(mail)))?;
        match self.store.commit(&work.into_commit()).await? {
            Committed::Done => Ok(()),
            other => Err(StoreError::Unavailable(format!("put a mail into the outbox: {other:?}"))),
        }
    }

    /// The ids of all waiting mail, the oldest first.
    pub(crate) async fn waiting_mail_ids(&self) -> Result<Vec<String>> {
        let mut ids: Vec<String> = Vec::new();
        loop {
            let after = ids.last().map(String::as_str);
            let some = self.store.members(Partition::Directory, OUTBOX, after, IDS_AT_ONCE).await?;
            let is_last = some.len() < IDS_AT_ONCE;
            ids.extend(some);
            if is_last {
                return Ok(ids);
            }
        }
    }
    /// A mail, if it waits.
    pub(crate) async fn waiting_mail(&self, id: &str) -> Result<Option<Mail>> {
        Ok(match load_one(self.store.as_ref(), Partition::Directory, &mail_key(id)).await? {
            Some(MailDoc::Waits(mail)) => Some(*mail),
            Some(MailDoc::Done { .. }) | None => None,
        })
    }
    /// Saves the result of an attempt to send a mail, if the mail still waits.
    pub(crate) async fn put_waiting_mail(&self, mail: Mail) -> Result<()> {
        let key = mail_key(&mail.id);
        let mut work = Work::load(&*self.store, Partition::Directory, vec![key.clone()]).await?;
        if let Some(MailDoc::Waits(_)) = work.get(&key)? {
            work.put(&key, &MailDoc::Waits(Box::new(mail)))?;
            // If somebody else changed the mail meanwhile, their version stays.
            self.store.commit(&work.into_commit()).await?;
        }
        Ok(())
    }

    /// Removes what is kept of mail that ended long ago; returns how much was removed.
    pub(crate) async fn forget_ended_mail(&self) -> Result<usize> {
        let (now, mut forgotten) = (self.now(), 0);
        loop {
            let mut ids = self.store.members(Partition::Directory, ENDED, None, FORGET_AT_ONCE).await?;
            let is_last = ids.len() < FORGET_AT_ONCE;
            ids.retain(|id| is_over(id, now));
            if ids.is_empty() {
                return Ok(forgotten);
            }
            let keys: Vec<String> = ids.iter().map(|id| mail_key(id)).collect();
            let docs = self.store.load(Partition::Directory, &keys).await?;
            let removes = keys
                .into_iter()
                .zip(docs)
                .filter_map(|(key, doc)| doc.map(|doc| Remove { key, expected: doc.version }));
            let leaves = |member: &String| IndexChange {
                index: ENDED.to_owned(),
                member: member.clone(),
                present: false,
            };
            let commit = Commit {
                removes: removes.collect(),
                indexes: ids.iter().map(leaves).collect(),
                ..Commit::to(Partition::Directory)
            };
            // Another node may be doing the same; it removes the rest.
            let done = self.store.commit(&commit).await? == Committed::Done;
            forgotten += if done { ids.len() } else { 0 };
            if is_last || !done {
                return Ok(forgotten);
            }
        }
    }

    /// The number of waiting mails, as last seen.
    pub fn waiting_mail_count(&self) -> u64 {
        self.people.waiting_mail.load(Ordering::Relaxed)
    }
    pub(crate) fn set_waiting_mail(&self, count: usize) {
        self.people.waiting_mail.store(count as u64, Ordering::Relaxed);
    }

    /// What an operator should know about the outbox.
    pub(crate) async fn inspect_mail(&self) -> Finding {
        let route = &self.settings.mail_route;
        let found = |ok: bool, text: String| Finding { check: "mail", ok, text };
        let ids = match self.waiting_mail_ids().await {
            Ok(ids) => ids,
            Err(error) => return found(false, format!("failed to {error}")),
        };
        let Some(first) = ids.first() else {
            return if self.config().keeps_mail_from_people() {
                found(false, format!("goes to {route}, where nobody reads it; set mail.url to a mail server"))
            } else {
                found(true, format!("goes to {route}; none waits"))
            };
        };
        let count = ids.len();
        let mail = match self.waiting_mail(first).await {
            Ok(Some(mail)) => mail,
            // It has just ended.
            Ok(None) => return found(true, format!("goes to {route}; {count} wait")),
            Err(error) => {
                let text =
                    format!("goes to {route}; {count} wait, the oldest can't be read: failed to {error}");
                return found(false, text);
            }
        };
        let minutes = (self.now() - mail.created_at).num_minutes();
        let why = mail.last_error.map(|error| format!(": {error}")).unwrap_or_default();
        let text = format!("goes to {route}; {count} wait, the oldest for {minutes} min{why}");
        found(minutes < LONG_MINUTES, text)
    }
}
