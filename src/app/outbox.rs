//! The outbox: mail that waits to be sent, in the directory's partition of the store.
//!
//! A fact's mail enters it in the same commit as what the fact does, under a name made of the fact's place in the
//! journal: it enters once, however often the fact is applied. Sending is another matter ([`crate::jobs::mail`]).
//! What has been sent leaves its name behind, without address or text, so that a replay does not write again; when a
//! replay would not write about so old a fact anyway, the name goes too.

use super::layout::lost_mail_key;
use super::work::{Source, Work, decode};
use super::{App, StoreError, SubmitError};
use crate::domain::mail::{LIFETIME, Letter, LostMail, Mail, MailOutcome, id_from, id_from_fact, written_at};
use crate::domain::person::Person;
use crate::store::{Commit, Committed, Finding, IndexChange, Partition, Remove, Result};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::sync::atomic::Ordering;

/// Names of mail read from the store at once.
const IDS_AT_ONCE: usize = 1_000;
/// Mail that waits longer is worth an operator's while.
const LONG_MINUTES: i64 = 15;
/// Names of unsent mail.
pub(crate) const OUTBOX: &str = "outbox";
/// Names of mail that has ended, as long as they are kept.
pub(crate) const ENDED: &str = "outbox_ended";
/// Names of ended mail that go in one commit.
const FORGET_AT_ONCE: usize = 200;
/// Lost mail that is remembered of a person, the newest.
const LOST_MAIL: usize = 20;
/// How far the clocks of two nodes may be apart.
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

/// A mail that never reached anybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostMailDoc {
    /// When it was given up.
    pub at: DateTime<Utc>,
    /// Which, and why.
    #[serde(flatten)]
    pub mail: LostMail,
}

pub(crate) fn mail_key(id: &str) -> String {
    format!("mail:{id}")
}

/// The documents of the mail that a fact of the directory may bring about: to be loaded with its others.
pub(crate) fn keys_of(source: &Source, most: usize) -> impl Iterator<Item = String> + use<> {
    let source = *source;
    (0..most).map(move |nth| mail_key(&source.mail_id(nth)))
}

impl Source {
    fn mail_id(&self, nth: usize) -> String {
        id_from_fact(self.at, self.node, self.cursor.epoch, self.cursor.position, nth)
    }
}

/// Puts a letter into the outbox, in the commit of what the fact does that is being applied; as many as its kind says.
pub(crate) fn enqueue_in(work: &mut Work, letter: Letter) -> Result<()> {
    let Some(source) = work.source().copied() else { return Ok(()) };
    if source.now - source.at > LIFETIME {
        return Ok(());
    }
    let nth = work.count_letter();
    let id = source.mail_id(nth);
    let key = mail_key(&id);
    if work.get::<MailDoc>(&key)?.is_none() {
        let mail = Mail::new(id.clone(), letter, source.at);
        work.put(&key, &MailDoc::Waits(Box::new(mail)))?;
        work.index(OUTBOX.to_owned(), id, true);
    }
    Ok(())
}

/// Whether no replay would write a mail of this name again: what is kept of it may go.
fn is_over(id: &str, now: DateTime<Utc>) -> bool {
    written_at(id).is_none_or(|at| now - at > LIFETIME + CLOCKS)
}

/// A mail has ended: its name stays for a while, its address and text go.
pub(crate) fn mail_done(
    work: &mut Work,
    mail_id: &str,
    outcome: MailOutcome,
    at: DateTime<Utc>,
) -> Result<()> {
    let key = mail_key(mail_id);
    work.index(OUTBOX.to_owned(), mail_id.to_owned(), false);
    // A replay meets the ends of all mail that there ever was.
    let is_history = work.source().is_some_and(|source| is_over(mail_id, source.now));
    if !is_history || work.get::<MailDoc>(&key)?.is_some() {
        work.index(ENDED.to_owned(), mail_id.to_owned(), true);
        work.put(&key, &MailDoc::Done { outcome, at })?;
    }
    Ok(())
}

/// Remembers for staff that a mail never reached its person. A replay finds it here already.
pub(crate) fn remember_lost(work: &mut Work, mail: &LostMail, at: DateTime<Utc>) -> Result<()> {
    let key = lost_mail_key(mail.person);
    let mut all: Vec<LostMailDoc> = work.get(&key)?.unwrap_or_default();
    let doc = LostMailDoc { at, mail: mail.clone() };
    if !all.contains(&doc) {
        all.push(doc);
        // In one order, whichever node's journal is replayed first.
        all.sort_by_key(|doc| doc.at);
        all.drain(..all.len().saturating_sub(LOST_MAIL));
        work.put(&key, &all)?;
    }
    Ok(())
}

impl App {
    /// Mail that never reached a person, the newest, oldest first.
    pub async fn lost_mail(&self, person: Person) -> Result<Vec<LostMailDoc>> {
        let key = lost_mail_key(person);
        let docs = self.store.load(Partition::Directory, std::slice::from_ref(&key)).await?;
        let doc = docs.into_iter().flatten().next();
        Ok(doc.map(|doc| decode(&key, &doc.body)).transpose()?.unwrap_or_default())
    }

    /// Puts a letter into the outbox that no fact brings about, as for a forgotten password. It is lost with the
    /// store; whoever asked for it asks again.
    pub async fn enqueue(&self, letter: Letter) -> std::result::Result<(), SubmitError> {
        let now = self.now();
        let unique = crate::domain::id::LinkId::random();
        let mail = Mail::new(id_from(now, &format!("letter {unique}")), letter, now);
        let key = mail_key(&mail.id);
        let failed = |error: StoreError| SubmitError::Journal(error.to_string());
        let mut work =
            Work::load(&*self.store, Partition::Directory, vec![key.clone()]).await.map_err(failed)?;
        work.index(OUTBOX.to_owned(), mail.id.clone(), true);
        work.put(&key, &MailDoc::Waits(Box::new(mail))).map_err(failed)?;
        match self.store.commit(&work.into_commit()).await.map_err(failed)? {
            Committed::Done => Ok(()),
            other => Err(SubmitError::Journal(format!("put a mail into the outbox: {other:?}"))),
        }
    }

    /// The names of all mail that waits, the oldest first.
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
        let key = mail_key(id);
        let docs = self.store.load(Partition::Directory, std::slice::from_ref(&key)).await?;
        let Some(doc) = docs.into_iter().flatten().next() else { return Ok(None) };
        Ok(match decode(&key, &doc.body)? {
            MailDoc::Waits(mail) => Some(*mail),
            MailDoc::Done { .. } => None,
        })
    }
    /// Keeps what an attempt left of a mail, if it still waits.
    pub(crate) async fn put_waiting_mail(&self, mail: Mail) -> Result<()> {
        let key = mail_key(&mail.id);
        let mut work = Work::load(&*self.store, Partition::Directory, vec![key.clone()]).await?;
        if let Some(MailDoc::Waits(_)) = work.get(&key)? {
            work.put(&key, &MailDoc::Waits(Box::new(mail)))?;
            // If somebody else wrote it meanwhile, what they wrote stands.
            self.store.commit(&work.into_commit()).await?;
        }
        Ok(())
    }

    /// Lets go what is kept of mail that ended long ago; answers of how much.
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
            // Another node may be at it: what is left then is left to it.
            let done = self.store.commit(&commit).await? == Committed::Done;
            forgotten += if done { ids.len() } else { 0 };
            if is_last || !done {
                return Ok(forgotten);
            }
        }
    }

    /// How much mail waits, as last seen.
    pub fn waiting_mail_count(&self) -> u64 {
        self.people.waiting_mail.load(Ordering::Relaxed)
    }
    pub(crate) fn set_waiting_mail(&self, count: usize) {
        self.people.waiting_mail.store(count as u64, Ordering::Relaxed);
    }

    /// What an operator should know of the outbox.
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
            // It has ended just now.
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
