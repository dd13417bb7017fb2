//! Facts that could not be applied: they are set aside until a person decides, so that later facts are not blocked.
//!
//! A fact that can't be read, or that needs a document which can't be read, would stop the facts drainer at every attempt.
//! The drainer journals that it sets such a fact aside, and continues. Facts set aside are counted and shown with their
//! cause; a person has each of them tried again, when its cause is corrected, or drops it.

use super::actor::{Actor, SERVER};
use super::layout::{SET_ASIDE, set_aside_key};
use super::people::ActError;
use super::work::{decode, load_one};
use super::{App, ReadError};
use crate::domain::account::Refusal;
use crate::domain::fact::{self, Fact, Record};
use crate::domain::id::{AccountId, BadId, NodeId};
use crate::domain::input::Reason;
use crate::domain::outcome::FactOutcome;
use crate::store::{Cursor, Finding, Log, Partition, Result};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Facts that may wait for a person; with more, something else is wrong, and the drainer stops applying.
pub(super) const MOST_WAITING: u64 = 1_000;
/// The largest record that is kept with a fact set aside; a larger one can only be tried again by a rebuild.
const MOST_BYTES: usize = 512 << 10;

/// A fact that was set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    /// The node whose journal it is in.
    pub node: NodeId,
    /// Its position in the journal.
    pub position: u64,
    /// The epoch of the node's journal: a later one may hold another fact at this position.
    #[serde(default = "fact::first_epoch", skip_serializing_if = "fact::is_first_epoch")]
    pub epoch: u32,
    /// When it was set aside.
    pub at: DateTime<Utc>,
    /// What is wrong.
    pub cause: String,
    /// Its kind, as far as it can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The account that it is about, if one, as far as it can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<AccountId>,
    /// Its record, to be tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) record: Option<String>,
    /// What a person decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
}

/// Identifies a fact: its node, its position in the node's journal, and, after the first, the epoch of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SetAsideId {
    pub(super) node: NodeId,
    pub(super) position: u64,
    pub(super) epoch: u32,
}

impl fmt::Display for SetAsideId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.node, self.position)?;
        if fact::is_first_epoch(&self.epoch) { Ok(()) } else { write!(out, ":{}", self.epoch) }
    }
}
impl FromStr for SetAsideId {
    type Err = BadId;
    fn from_str(text: &str) -> std::result::Result<Self, BadId> {
        let bad = || BadId("SetAsideId");
        let (node, place) = text.split_once(':').ok_or_else(bad)?;
        let (position, epoch) = match place.split_once(':') {
            Some((position, epoch)) => (position, epoch.parse().map_err(|_| bad())?),
            None => (place, fact::first_epoch()),
        };
        let id = Self { node: node.parse()?, position: position.parse().map_err(|_| bad())?, epoch };
        // Each fact has one id.
        Some(id).filter(|id| id.to_string() == text).ok_or_else(bad)
    }
}
impl<'de> Deserialize<'de> for SetAsideId {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for SetAsideId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl SetAside {
    /// Its id.
    pub const fn id(&self) -> SetAsideId {
        SetAsideId { node: self.node, position: self.position, epoch: self.epoch }
    }
}
impl fact::SetAside {
    pub(super) const fn id(&self) -> SetAsideId {
        SetAsideId { node: self.node, position: self.position, epoch: self.epoch }
    }
}
impl fact::SetAsideEnded {
    pub(super) const fn id(&self) -> SetAsideId {
        SetAsideId { node: self.node, position: self.position, epoch: self.epoch }
    }
}

/// A person's decision about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When it was decided.
    pub at: DateTime<Utc>,
    /// Who decided.
    pub by: String,
    /// It was tried again; false: it was dropped.
    pub retried: bool,
    /// The reason that was given.
    pub reason: String,
}

fn decision(id: SetAsideId, retried: bool, reason: Reason) -> fact::SetAsideEnded {
    let SetAsideId { node, position, epoch } = id;
    fact::SetAsideEnded { node, position, epoch, retried, reason: reason.into() }
}

/// What can be read of a record that can't be read whole.
#[derive(Deserialize)]
struct Glimpse {
    fact: Option<String>,
    account_id: Option<AccountId>,
}

/// The fact that says that the one at a position is set aside.
pub(super) fn set_aside_fact(node: NodeId, at: Cursor, cause: &str, payload: &[u8]) -> Fact {
    let glimpse = serde_json::from_slice::<Glimpse>(payload).ok();
    let record = std::str::from_utf8(payload).ok().filter(|text| text.len() <= MOST_BYTES);
    let (kind, account_id) = glimpse.map_or((None, None), |glimpse| (glimpse.fact, glimpse.account_id));
    let (cause, record) = (cause.to_owned(), record.map(str::to_owned));
    let Cursor { epoch, position } = at;
    Fact::SetAside(fact::SetAside { node, position, epoch, cause, kind, account_id, record })
}

impl App {
    /// The facts that are set aside and wait for a person, by node and position.
    pub async fn set_aside(&self) -> std::result::Result<Vec<SetAside>, ReadError> {
        let lists = self.store.load_indexed(Partition::Directory, &[SET_ASIDE.to_owned()], "aside:").await?;
        let docs = lists.into_iter().flatten().map(|doc| decode(SET_ASIDE, &doc?.body));
        let mut found = docs.collect::<Result<Vec<SetAside>>>()?;
        found.sort_by_key(SetAside::id);
        Ok(found)
    }

    /// Tries a fact that was set aside again: its record is journaled once more and applied like any other.
    pub async fn retry_set_aside(
        self: &Arc<Self>,
        actor: &Actor,
        id: SetAsideId,
        reason: Reason,
    ) -> std::result::Result<(), ActError> {
        let decision = decision(id, true, reason);
        let aside = self.open_aside(actor, &decision).await?;
        let record = aside.record.as_deref().and_then(|text| serde_json::from_str::<Record>(text).ok());
        let record = record.ok_or(ActError::Refused(Refusal::StillUnreadable))?;
        // Positions in it would be mistaken for positions in this node's journal.
        if matches!(record.fact, Fact::Void(_) | Fact::Decision(_)) && !self.holds(id) {
            return Err(ActError::Refused(Refusal::StillUnreadable));
        }
        let mut refused = None;
        // The record keeps its time and author, so effects that the fact has had already are not repeated.
        let position_now = self.take_in_own(std::slice::from_ref(&record)).await?[0];
        let applied = self.intake.waiters.wait_for(position_now);
        match tokio::time::timeout(self.settings.apply_patience, applied).await {
            Ok(Ok(submitted)) if submitted.outcome == FactOutcome::Deferred => {
                // The retry was set aside too: only one entry stays open for the fact.
                let (node, position) = (self.node, position_now);
                let epoch = self.epoch_at(position);
                let again = fact::SetAsideEnded { node, position, epoch, retried: false, ..decision };
                self.end_aside(actor, again).await?;
                return Err(ActError::Refused(Refusal::StillUnreadable));
            }
            // It was applied, and the rules refused it: this ends it too.
            Ok(Ok(submitted)) => refused = submitted.refusal,
            Ok(Err(_)) => {}
            Err(_) => self.intake.waiters.forget(position_now),
        }
        self.end_aside(actor, decision).await?;
        refused.map_or(Ok(()), |refusal| Err(ActError::Refused(refusal)))
    }

    /// Drops a fact that was set aside: it never has an effect.
    pub async fn drop_set_aside(
        self: &Arc<Self>,
        actor: &Actor,
        id: SetAsideId,
        reason: Reason,
    ) -> std::result::Result<(), ActError> {
        let decision = decision(id, false, reason);
        self.open_aside(actor, &decision).await?;
        self.end_aside(actor, decision).await
    }

    async fn end_aside(
        self: &Arc<Self>,
        actor: &Actor,
        decision: fact::SetAsideEnded,
    ) -> std::result::Result<(), ActError> {
        if self.holds(decision.id()) {
            // At its old position it must have no effect, also in a replay: a dropped fact never has one, and a
            // retried fact has it at its new position.
            let position = decision.position;
            let void = Fact::Void(fact::Void { position, reason: "set_aside".to_owned(), account_id: None });
            let void = Record { at: self.now(), by: SERVER.to_owned(), fact: void };
            self.take_in_own(&[void]).await?;
        }
        self.act(actor, decision).await.map(drop)
    }

    /// The fact that a decision is about, if the actor may decide and nobody has decided yet.
    async fn open_aside(
        &self,
        actor: &Actor,
        decision: &fact::SetAsideEnded,
    ) -> std::result::Result<SetAside, ActError> {
        // Checked before anything is journaled: a retry journals the fact again before its decision.
        self.check_permitted(actor, &decision.clone().into())?;
        let id = decision.id();
        // A running node handles its own facts. A node that was forgotten can't do so any more.
        if id.node != self.node && self.knows_node(id.node).await? {
            return Err(ActError::Refused(Refusal::OfAnotherNode));
        }
        let aside: Option<SetAside> =
            load_one(self.store.as_ref(), Partition::Directory, &set_aside_key(id)).await?;
        let open = aside.filter(|aside| aside.ended.is_none());
        open.ok_or(ActError::Refused(Refusal::NotSetAside))
    }

    /// Whether the fact is in this node's journal. Records of an earlier epoch that a restored backup lacks are not:
    /// another fact may be at their position.
    fn holds(&self, id: SetAsideId) -> bool {
        id.node == self.node && self.epoch_at(id.position) == id.epoch
    }
    fn epoch_at(&self, position: u64) -> u32 {
        self.journal.node().epoch_at(Log::Facts, position)
    }

    /// Why no month may close, apart from other nodes and clocks: facts that are not applied, or data that can't be read.
    pub(super) async fn why_no_month_closes(&self) -> Result<Vec<String>> {
        self.count_set_aside().await?;
        let aside = match self.facts_set_aside() {
            0 => None,
            count => Some(format!("{count} facts are set aside; decide about them with `counterfoil facts`")),
        };
        let directory = self.directory();
        let unreadable = directory.unreadable().map(|name| format!("{name} can't be read or is missing"));
        Ok(aside.into_iter().chain(unreadable).collect())
    }

    /// Counts the facts that wait, for the metrics.
    pub(super) async fn count_set_aside(&self) -> Result<()> {
        let limit = usize::try_from(MOST_WAITING).unwrap_or(usize::MAX);
        let waiting = self.store.members(Partition::Directory, SET_ASIDE, None, limit).await?.len();
        self.drains.waiting_aside.store(waiting as u64, Ordering::Relaxed);
        Ok(())
    }
    /// How many facts are set aside and wait for a person, as last seen.
    pub fn facts_set_aside(&self) -> u64 {
        self.drains.waiting_aside.load(Ordering::Relaxed)
    }
    /// How many facts this process has set aside.
    pub fn facts_set_aside_here(&self) -> u64 {
        self.drains.set_aside_here.load(Ordering::Relaxed)
    }
    pub(super) async fn inspect_set_aside(&self) -> Finding {
        let counted = self.count_set_aside().await.map(|()| self.facts_set_aside());
        let (ok, text) = match counted {
            Err(error) => (false, format!("failed to {error}")),
            Ok(0) => (true, "none".to_owned()),
            Ok(count) => (
                false,
                format!(
                    "{count} could not be applied and wait for a person: see `counterfoil facts list`, then `retry` or `drop` each"
                ),
            ),
        };
        Finding { check: "facts_set_aside", ok, text }
    }
    pub(super) fn inspect_directory(&self) -> Finding {
        let directory = self.directory();
        let names: Vec<&str> = directory.unreadable().collect();
        let ok = names.is_empty();
        let text = if ok {
            "all of it is there and can be read".to_owned()
        } else {
            let names = names.join(", ");
            format!("{names} can't be read or is missing, and no month closes; {}", self.how_to_refill())
        };
        Finding { check: "directory", ok, text }
    }
    /// Why the last nightly run closed no month; it reads more data than any other part.
    pub(super) fn inspect_last_run(&self) -> Finding {
        let directory = self.directory();
        let waits = directory.last_run().map(|last| &last.run).filter(|run| !run.waits_for.is_empty());
        let text = waits.map(|run| {
            let (through, waits_for) = (run.through, run.waits_for.join("; "));
            format!(
                "the last one, through {through}, closed no month: {waits_for}; when that is corrected, `counterfoil aggregate` makes another"
            )
        });
        let (ok, good) = (text.is_none(), || "the last one read all that it needed".to_owned());
        Finding { check: "nightly_run", ok, text: text.unwrap_or_else(good) }
    }
    /// What an operator should do with a store that lost data.
    pub(super) const fn how_to_refill(&self) -> &'static str {
        if self.settings.embedded {
            "stop the server, remove the store's file, start it again: the store is made again from the journal"
        } else {
            "set `maxmemory-policy noeviction`, then `FLUSHALL` and `counterfoil store confirm`: the nodes refill it from their journals"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_at_one_position_in_two_lives_of_a_disk_have_two_names() {
        let id = |position, epoch| SetAsideId { node: NodeId::from_bits(5), position, epoch };
        for (id, text) in [
            (id(16, 1), "node_0000000000005:16"),
            (id(16, 2), "node_0000000000005:16:2"),
            (id(2, 16), "node_0000000000005:2:16"),
        ] {
            assert_eq!(id.to_string(), text);
            assert_eq!(text.parse::<SetAsideId>().expect("ours"), id);
        }
        for bad in [
            "",
            ":",
            "16",
            "node_0000000000005",
            "node_0000000000005:",
            "node_0000000000005:16:",
            "node_0000000000005:16:1",
            "node_0000000000005:016",
            "node_0000000000005:16:2:3",
            "node_0000000000005:+1",
        ] {
            assert!(bad.parse::<SetAsideId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_was_set_aside_before_lives_were_noted_is_of_the_first_and_is_written_as_it_was() {
        let text = r#"{"node":"node_0000000000005","position":16,"retried":false,"reason":"odd"}"#;
        let ended: fact::SetAsideEnded = serde_json::from_str(text).expect("it reads");
        assert_eq!(ended.epoch, 1);
        assert_eq!(serde_json::to_string(&ended).expect("plain data"), text);
    }
}
