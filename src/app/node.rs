//! A node among others: its identity, whether it may run, and what it reports to the other nodes.

use super::actor::SERVER;
use super::layout::{FORGOTTEN, all_partitions, claims_index};
use super::people::ActError;
use super::replay::{NOTHING, Peers};
use super::work::decode;
use super::{App, ReadError, lock};
use crate::domain::account::Account;
use crate::domain::fact::Record;
use crate::domain::id::NodeId;
use crate::journal::Journal;
use crate::store::{
    Commit, Cursor, FORMAT, Finding, IndexChange, Log, NodeState, Partition, Result, StoreError, StoreMeta,
};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How often a node reports to the others that it is running.
pub(super) const HEARTBEAT: Duration = Duration::from_millis(500);
/// A node with a heartbeat this recent may be running: its heartbeat is watched before its id is used.
const RECENT_MS: i64 = 5_000;
/// How long the heartbeat is watched: more than two heartbeats.
pub(super) const WATCH: Duration = Duration::from_millis(1_200);
/// Clocks that differ by more than this are set wrong.
const CLOCKS_APART_MS: i64 = 5 * 60 * 1_000;
/// A node that did not stop but has been silent for this long may hold facts that nobody else knows.
pub(crate) const SILENT_MS: i64 = 10_000;

/// The last fact when the process started, and whether the node has checked the store since.
#[derive(Debug)]
struct Start {
    facts: u64,
    met: bool,
    /// The life of the store when it was last checked.
    store_id: Option<String>,
}

impl Start {
    fn of(journal: &Journal) -> Self {
        Self { facts: journal.facts().last_position(), met: false, store_id: None }
    }
}

/// What this process knows about the store that it is connected to, and about the other nodes.
#[derive(Debug)]
pub(super) struct Meeting {
    /// A random id of this process.
    instance: String,
    started: tokio::sync::Mutex<Start>,
    /// The life of the store when it was last checked.
    pub(super) life: Mutex<Option<String>>,
    /// How far facts were applied, as last seen.
    pub(super) seen_cursors: Mutex<HashMap<Partition, Cursor>>,
    /// Whether the other nodes can know about this process.
    has_sent_heartbeat: AtomicBool,
    /// The other nodes that are known.
    pub(super) peers: Mutex<Peers>,
    /// Whether the next fact may need one of another node.
    pub(super) waits_for_others: AtomicBool,
    /// The time of the next fact of a replay, in Unix milliseconds.
    pub(super) replays_from: AtomicI64,
    /// How far this node's clock is behind the clock of another node, in milliseconds.
    pub(super) clock_behind_ms: AtomicI64,
}

impl Meeting {
    pub(super) fn begin(journal: &Journal, peers: Peers) -> Self {
        Self {
            instance: NodeId::random().to_string(),
            started: tokio::sync::Mutex::new(Start::of(journal)),
            life: Mutex::default(),
            seen_cursors: Mutex::default(),
            has_sent_heartbeat: AtomicBool::new(false),
            peers: Mutex::new(peers),
            waits_for_others: AtomicBool::new(false),
            replays_from: AtomicI64::new(NOTHING),
            clock_behind_ms: AtomicI64::new(0),
        }
    }
}

impl App {
    /// Whether the store may lack data that it had: it was emptied or went back to an older state, and what is
    /// missing may return in a moment.
    pub(crate) async fn is_refilling(&self) -> bool {
        let Ok(Some(meta)) = self.store.meta().await else { return true };
        let is_new = Some(meta.life()) != *lock(&self.meeting.life);
        is_new || meta.recovering || self.meeting.replays_from.load(Ordering::Relaxed) != NOTHING
    }

    /// The time by the clock that is furthest ahead among the nodes, unless the clocks differ too much. So actions
    /// on one node and later on another are ordered correctly.
    pub(super) fn by_all_clocks(&self) -> DateTime<Utc> {
        self.now() + TimeDelta::milliseconds(self.clock_behind_ms())
    }

    /// Makes sure that this node and the store belong together. Called after every reconnect, so that a store that
    /// was emptied meanwhile is noticed here.
    pub(super) async fn check_store_identity(&self) -> Result<()> {
        let mut start = self.meeting.started.lock().await;
        let meta = match self.store.meta().await? {
            Some(meta) => meta,
            None => self.store.init_meta(&self.first_meta(start.met).await?).await?,
        };
        let meta = self.notice_another_life(&start, meta).await?;
        let meta = self.notice_a_fall_back(&start, meta).await?;
        start.store_id = Some(meta.store_id.clone());
        let life = meta.life();
        self.check_meta(meta).await?;
        if !start.met {
            self.check_nobody_else_is_this_node().await?;
            self.notice_a_wiped_store(&start).await?;
            self.meet_as_this_disk().await?;
        }
        self.name_this_disk(start.met).await?;
        start.met = true;
        if lock(&self.meeting.life).as_ref() != Some(&life) {
            // The drainer finds out next how far this node is; until then others must wait for it. This is set
            // before the life, because a heartbeat may be sent in between.
            self.meeting.replays_from.store(0, Ordering::SeqCst);
            *lock(&self.meeting.life) = Some(life);
            // When this node is ready, the store must list it as a node.
            self.heartbeat().await?;
        }
        Ok(())
    }

    /// A store that has less of this node's facts than before, but is not empty: it came back from a snapshot, or
    /// a replica that was behind took over. Other nodes' facts may be lost too.
    async fn notice_a_fall_back(&self, start: &Start, meta: StoreMeta) -> Result<StoreMeta> {
        let cursors = self.store.cursors(self.node, Log::Facts).await?.into_iter().collect();
        let seen = std::mem::replace(&mut *lock(&self.meeting.seen_cursors), cursors);
        let is_less =
            |(partition, now): (&Partition, &Cursor)| seen.get(partition).is_some_and(|seen| now < seen);
        let lost = lock(&self.meeting.seen_cursors).iter().any(is_less);
        if !lost || start.store_id.as_ref() != Some(&meta.store_id) || self.settings.embedded {
            return Ok(meta);
        }
        let meta = StoreMeta { fell_back: Some(NodeId::random().to_string()), ..meta };
        self.store.set_meta(&meta).await?;
        Ok(meta)
    }

    fn has_history(&self) -> bool {
        self.journal.facts().last_position() > 0 || self.journal.clicks().last_position() > 0
    }

    /// What is known about an empty store. If any node has used it before, it may have held data.
    async fn first_meta(&self, met_before: bool) -> Result<StoreMeta> {
        // An embedded store is complete when this node has replayed its journal.
        let recovering = (met_before || self.has_history()) && !self.settings.embedded;
        if recovering {
            tracing::warn!(
                "the store is empty; this node replays its journal, and no month closes until `counterfoil store confirm`"
            );
        }
        Ok(StoreMeta {
            store_id: NodeId::random().to_string(),
            format: FORMAT,
            partitions: self.store.partitions(),
            keys_fingerprint: write_digests(self.settings.key_digests.iter().cloned().collect()),
            recovering,
            fell_back: None,
            evicted_before: self.evicted_before().await?,
        })
    }

    /// The node that finds the emptied store first may have no history, so every node that has some reports it
    /// too.
    async fn notice_another_life(&self, start: &Start, meta: StoreMeta) -> Result<StoreMeta> {
        let is_another = start.store_id.as_ref().is_some_and(|before| *before != meta.store_id);
        if !is_another || !self.has_history() || meta.recovering || self.settings.embedded {
            return Ok(meta);
        }
        let meta = StoreMeta { recovering: true, ..meta };
        self.store.set_meta(&meta).await?;
        Ok(meta)
    }

    async fn check_meta(&self, meta: StoreMeta) -> Result<()> {
        if meta.format != FORMAT || meta.partitions != self.store.partitions() {
            return Err(self.refuse("the store was written by another version of counterfoil; use that version, or an empty store with `counterfoil rebuild`"));
        }
        let mut known = read_digests(&meta.keys_fingerprint);
        let mut new = false;
        for (id, digest) in &self.settings.key_digests {
            match known.get(id) {
                Some(other) if other != digest => {
                    let text = format!(
                        "signing key `{id}` differs from the key that other nodes use under this name; give every node the same keys"
                    );
                    return Err(self.refuse(&text));
                }
                Some(_) => {}
                None => {
                    known.insert(id.clone(), digest.clone());
                    new = true;
                }
            }
        }
        if new {
            self.store.set_meta(&StoreMeta { keys_fingerprint: write_digests(known), ..meta }).await?;
        }
        Ok(())
    }

    /// A copy of this node's disk may be in use elsewhere: its heartbeat would have our id.
    async fn check_nobody_else_is_this_node(&self) -> Result<()> {
        let Some(before) = self.own_state().await? else { return Ok(()) };
        let age = self.clock.millis() - before.seen_ms;
        if before.stopped || before.instance == self.meeting.instance || age > RECENT_MS {
            return Ok(());
        }
        tokio::time::sleep(WATCH).await;
        match self.own_state().await? {
            Some(after) if after.seen_ms != before.seen_ms => Err(self.refuse(
                "another process runs under this node's id, perhaps on a copy of its disk; stop it, or give this one an empty data_dir",
            )),
            _ => Ok(()),
        }
    }
    async fn own_state(&self) -> Result<Option<NodeState>> {
        Ok(self.store.nodes().await?.into_iter().find(|state| state.node == self.node))
    }

    /// A store that does not know a node with history was emptied, no matter which node found it first.
    async fn notice_a_wiped_store(&self, start: &Start) -> Result<()> {
        if start.facts == 0 || self.settings.embedded {
            return Ok(());
        }
        let cursors = self.store.cursors(self.node, Log::Facts).await?;
        let meta = self.store.meta().await?.filter(|meta| !meta.recovering);
        if let Some(meta) = meta
            && cursors.iter().all(|(_, cursor)| *cursor == Cursor::default())
        {
            self.store.set_meta(&StoreMeta { recovering: true, ..meta }).await?;
        }
        Ok(())
    }

    pub(super) fn refuse(&self, why: &str) -> StoreError {
        *lock(&self.ending.fatal) = Some(why.to_owned());
        self.ending.stop.set();
        StoreError::Corrupt(why.to_owned())
    }

    fn state(&self, stopped: bool) -> NodeState {
        let epoch = self.journal.node().epoch();
        NodeState {
            node: self.node,
            instance: self.meeting.instance.clone(),
            seen_ms: self.clock.millis(),
            facts: Cursor { epoch, position: self.journal.facts().last_position() },
            clicks: Cursor { epoch, position: self.journal.clicks().last_position() },
            stopped,
            waits_for_others: self.meeting.waits_for_others.load(Ordering::Relaxed),
            // Read before the cursors; see `check_store_identity`.
            met: lock(&self.meeting.life).clone(),
            replays_from: Some(self.meeting.replays_from.load(Ordering::Relaxed))
                .filter(|from| *from != NOTHING),
        }
    }

    /// Tells the other nodes that this one has stopped, if all its facts are applied.
    pub(super) async fn announce_stop(&self) {
        let all_in = [Log::Facts, Log::Clicks].into_iter().all(|log| {
            let (last, applied) = self.positions(log);
            last == applied
        });
        if all_in && self.meeting.started.lock().await.met {
            if let Err(error) = self.store.put_node(&self.state(true)).await {
                tracing::warn!(%error, "the other nodes could not be told that this one stops");
            }
        } else {
            tracing::warn!("records that are not applied yet stay in the journal until the next start");
        }
    }

    /// Other nodes whose journals hold, or may hold, facts that the store does not know; also those without a
    /// heartbeat since `seen_before`.
    pub(crate) async fn nodes_behind(&self, seen_before: &[NodeState]) -> Result<Vec<NodeId>> {
        let mut behind = Vec::new();
        let others = self.store.nodes().await?.into_iter().filter(|state| state.node != self.node);
        for state in others {
            let applied = self.applied_of(state.node, Log::Facts).await?;
            let is_old = self.clock.millis() - state.seen_ms > SILENT_MS;
            let silent = !state.stopped && (is_old || seen_before.contains(&state));
            if !is_in(applied, state.facts) || silent {
                behind.push(state.node);
            }
        }
        Ok(behind)
    }

    /// How far a node's journal is applied in all partitions that use it.
    pub(super) async fn applied_of(&self, node: NodeId, log: Log) -> Result<Cursor> {
        let cursors = self.store.cursors(node, log).await?;
        let takes = |partition| log == Log::Facts || partition != Partition::Directory;
        let taking = cursors.into_iter().filter(|(partition, _)| takes(*partition));
        Ok(taking.map(|(_, cursor)| cursor).min().unwrap_or_default())
    }

    /// Reports that this node is running; stops it if another process reports the same id.
    pub(super) async fn heartbeat(&self) -> Result<()> {
        let nodes = self.store.nodes().await?;
        let met = lock(&self.meeting.life).clone();
        // A store that was just emptied knows no nodes, and not who was forgotten.
        let life = self.store.meta().await?.map(|meta| meta.life()).filter(|life| Some(life) == met.as_ref());
        if let Some(life) = life {
            self.notice_peers(&nodes, &life);
        }
        self.compare_clocks(&nodes);
        let is_other = |state: &NodeState| {
            state.node == self.node
                && state.instance != self.meeting.instance
                && !state.stopped
                && self.meeting.has_sent_heartbeat.load(Ordering::Relaxed)
        };
        if nodes.iter().any(is_other) {
            return Err(self.refuse(
                "another process started under this node's id, perhaps on a copy of its disk; give it an empty data_dir",
            ));
        }
        self.store.put_node(&self.state(false)).await?;
        self.meeting.has_sent_heartbeat.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// By how much this node's clock is behind that of another running node, as last seen.
    pub(super) fn clock_behind_ms(&self) -> i64 {
        self.meeting.clock_behind_ms.load(Ordering::Relaxed)
    }

    /// Compares this node's clock with those of other running nodes; one that is far ahead is set wrong.
    fn compare_clocks(&self, nodes: &[NodeState]) {
        let now = self.clock.millis();
        let live = nodes.iter().filter(|state| state.node != self.node && !state.stopped);
        let ahead =
            live.map(|state| state.seen_ms - now).filter(|ahead| (0..CLOCKS_APART_MS).contains(ahead));
        self.meeting.clock_behind_ms.store(ahead.max().unwrap_or(0), Ordering::Relaxed);
    }

    /// Finds out whether the disk accepts writes again, since a node that is not ready gets no callbacks.
    async fn try_the_disk(&self) {
        let file = self.config().data_dir.join("probe");
        let tried = tokio::task::spawn_blocking(move || {
            // As much as a batch of facts may need.
            std::fs::write(&file, vec![0; 1 << 16])?;
            std::fs::File::open(&file)?.sync_all()?;
            std::fs::remove_file(&file)
        });
        if matches!(tried.await, Ok(Ok(()))) {
            self.forget_trouble();
        }
    }

    /// The name under which this node holds leases.
    pub(crate) fn node_name(&self) -> String {
        self.node.to_string()
    }
    /// The nodes that share the store.
    pub async fn nodes(&self) -> std::result::Result<Vec<NodeState>, ReadError> {
        Ok(self.store.nodes().await?)
    }
    /// Forgets a node that will never come back. The signups that it had not decided are submitted again by this
    /// node, which decides them when the other node's reservations have expired.
    pub async fn forget_node(&self, node: NodeId) -> std::result::Result<(), ActError> {
        let claimed = self.claimed_accounts(node).await?;
        let claims = claimed.into_iter().filter_map(|account| account.claim);
        let ours = claims.filter(|claim| claim.origin.node == node).map(|claim| Record {
            at: self.now(),
            by: SERVER.to_owned(),
            fact: claim.signup.into(),
        });
        let ours: Vec<Record> = ours.collect();
        self.take_in_own(&ours).await?;
        // Also when the store does not know the node: the store was emptied, and others wait for that node.
        let indexes =
            vec![IndexChange { index: FORGOTTEN.to_owned(), member: node.to_string(), present: true }];
        self.store.commit(&Commit { indexes, ..Commit::to(Partition::Directory) }).await?;
        self.forget_peer(node);
        Ok(self.store.forget_node(node).await?)
    }
    /// The accounts whose signups a node has not decided.
    pub(super) async fn claimed_accounts(&self, node: NodeId) -> Result<Vec<Account>> {
        let index = [claims_index(node)];
        let mut accounts = Vec::new();
        for partition in all_partitions(self.store.partitions()) {
            let lists = self.store.load_indexed(partition, &index, "account:").await?;
            for doc in lists.into_iter().flatten() {
                match doc.and_then(|doc| decode("account", &doc.body)) {
                    Ok(account) => accounts.push(account),
                    // That account's facts are set aside one by one, and no month closes; other accounts continue.
                    Err(error) => tracing::error!(%error, "an account's document can't be read"),
                }
            }
        }
        Ok(accounts)
    }
    /// Whether months stay open until a person confirms that all nodes are present.
    pub(crate) async fn is_recovering(&self) -> Result<bool> {
        Ok(self.store.meta().await?.is_none_or(|meta| meta.recovering))
    }

    /// What an operator should know about the store, the journal and the nodes.
    pub async fn inspect(&self) -> Vec<Finding> {
        self.ask_whether_the_store_forgets().await;
        let mut findings = self.readiness().await;
        findings.extend(self.store.inspect().await);
        findings.push(match self.nodes_behind(&[]).await {
            Ok(behind) if behind.is_empty() => {
                Finding { check: "nodes", ok: true, text: "all known nodes' facts are in the store".into() }
            }
            Ok(behind) => {
                let names: Vec<String> = behind.iter().map(NodeId::to_string).collect();
                let text = format!("{} behind or silent: months do not close; start them, or run `counterfoil node forget` for a node that never comes back", names.join(", "));
                Finding { check: "nodes", ok: false, text }
            }
            Err(error) => Finding { check: "nodes", ok: false, text: format!("failed to {error}") },
        });
        findings.push(self.inspect_set_aside().await);
        findings.push(self.inspect_mail().await);
        findings.push(self.inspect_agreement().await);
        findings
    }
    /// Readiness: each dependency, and whether it works.
    pub async fn readiness(&self) -> Vec<Finding> {
        let journal = match self.journal_trouble() {
            None => Finding { check: "journal", ok: true, text: "accepts facts and clicks".into() },
            Some(trouble) => Finding { check: "journal", ok: false, text: trouble },
        };
        let store = match self.store.ping().await {
            Ok(()) => Finding { check: "store", ok: true, text: "answers".into() },
            Err(error) => Finding {
                check: "store",
                ok: false,
                text: format!("failed to {error}; the journal keeps what comes in"),
            },
        };
        let recovering = match self.is_recovering().await {
            Ok(true) => Finding {
                check: "recovery",
                ok: false,
                text:
                    "the store was found empty; when all nodes have replayed, run `counterfoil store confirm`"
                        .into(),
            },
            Ok(false) => Finding { check: "recovery", ok: true, text: "not needed".into() },
            Err(_) => Finding {
                check: "recovery",
                ok: true,
                text: "not known while the store does not answer".into(),
            },
        };
        let [facts, clicks] = [Log::Facts, Log::Clicks].map(|log| self.inspect_standstill(log));
        let looked_at = [self.inspect_keeping(), self.inspect_directory(), self.inspect_last_run()];
        [journal, store, recovering, facts, clicks].into_iter().chain(looked_at).collect()
    }
}

/// Whether a journal that ends there is applied; one without records always is.
pub(super) fn is_in(applied: Cursor, end: Cursor) -> bool {
    end.position == 0 || applied >= end
}

/// Sends heartbeats until the application stops.
pub(super) async fn send_heartbeats(app: Arc<App>) {
    loop {
        if app.meeting.started.lock().await.met
            && let Err(error) = app.heartbeat().await
        {
            tracing::debug!(%error, "the heartbeat could not be written");
        }
        app.keep_peers().await;
        if app.journal_trouble().is_some() {
            app.try_the_disk().await;
        }
        if app.ending.stop.await_for(HEARTBEAT).await {
            return;
        }
    }
}

/// Key ids with digests of their values, as stored: `k1=0a1b…,k2=…`.
fn write_digests(digests: BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = digests.into_iter().map(|(id, digest)| format!("{id}={digest}")).collect();
    pairs.join(",")
}
fn read_digests(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(id, digest)| (id.to_owned(), digest.to_owned())).collect()
}
