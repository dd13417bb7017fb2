//! The order of a replay. After the store lost data, each node applies its journal again. The content of the
//! directory depends on the order in which people acted, also on several nodes: a link can only be created while
//! its affiliate is active, and the last change of an address wins. So facts about the directory are applied in
//! the order of their times, over all known nodes: each node reports in its heartbeat how far its replay is, and
//! waits for nodes that are further back, and for nodes that have not checked the store since. So are lines by
//! hand and the closings that have some. Facts about accounts need no order (see
//! [`Account`](crate::domain::account::Account)).
//!
//! The known nodes are listed on the node's own disk, since a store that was emptied knows none.

use super::layout::FORGOTTEN;
use super::node::is_in;
use super::{App, lock};
use crate::domain::id::NodeId;
use crate::store::{Log, NodeState, Partition, Result};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

const FILE: &str = "peers.json";
/// There is nothing to replay.
pub(super) const NOTHING: i64 = i64::MAX;

/// The other known nodes, each with the life of the store in which it was last seen.
#[derive(Debug, Default)]
pub(super) struct Peers {
    known: BTreeMap<NodeId, String>,
    /// Whether the list on the disk is the same.
    are_kept: bool,
}

impl Peers {
    pub(super) fn open(data_dir: &Path) -> Self {
        let known = match std::fs::read(data_dir.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            read => read.and_then(|bytes| Ok(serde_json::from_slice(&bytes)?)),
        };
        match known {
            Ok(known) => Self { known, are_kept: true },
            Err(error) => {
                tracing::warn!(%error, "{FILE}, the list of other nodes, can't be read; it is made again from the store");
                Self::default()
            }
        }
    }

    /// Adds nodes that the store need not know.
    pub(super) fn with(mut self, others: Vec<NodeId>) -> Self {
        self.change(|known| known.extend(others.into_iter().map(|node| (node, String::new()))));
        self
    }

    /// Updates the list with the nodes that the store knows: a node that is missing in the same life was
    /// forgotten.
    fn notice(&mut self, own: NodeId, nodes: &[NodeState], life: &str) {
        let is_there = |node: &NodeId| nodes.iter().any(|state| state.node == *node);
        self.change(|known| {
            known.retain(|node, seen_in| seen_in != life || is_there(node));
            let others = nodes.iter().filter(|state| state.node != own);
            known.extend(others.map(|state| (state.node, life.to_owned())));
        });
    }

    fn forget(&mut self, node: NodeId) {
        self.change(|known| drop(known.remove(&node)));
    }

    fn change(&mut self, change: impl FnOnce(&mut BTreeMap<NodeId, String>)) {
        let before = self.known.clone();
        change(&mut self.known);
        self.are_kept &= self.known == before;
    }
}

/// How far the other nodes' replays are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Others {
    /// Each node with the time of its next fact; `None`: it has not checked the store since the store lost data.
    behind: BTreeMap<NodeId, Option<i64>>,
    /// The nodes whose next fact waits for one of another node.
    waiting: Vec<NodeId>,
}

impl Others {
    fn of(own: NodeId, peers: &Peers, nodes: &[NodeState], life: &str) -> Self {
        let mut behind = BTreeMap::new();
        let mut waiting = Vec::new();
        for state in nodes.iter().filter(|state| state.node != own) {
            match (&state.met, state.replays_from) {
                // A version that does not report this is not waited for.
                (None, _) => {}
                (Some(met), Some(from)) if met == life => {
                    behind.insert(state.node, Some(from));
                    waiting.extend(state.waits_for_others.then_some(state.node));
                }
                (Some(met), None) if met == life => {}
                (Some(_), _) => _ = behind.insert(state.node, None),
            }
        }
        let missing = peers.known.keys().filter(|peer| nodes.iter().all(|state| state.node != **peer));
        behind.extend(missing.map(|peer| (*peer, None)));
        Self { behind, waiting }
    }

    /// The node that a fact of this time must wait for, if any: its next fact is older, or it has not come back
    /// yet.
    pub(super) fn before(&self, own: NodeId, at_ms: i64) -> Option<NodeId> {
        let is_before = |(node, from): &(&NodeId, &Option<i64>)| {
            from.is_none_or(|from| (from, **node) < (at_ms, own)) && !self.waiting.contains(node)
        };
        self.behind.iter().find(is_before).map(|(node, _)| *node)
    }

    /// Whether no other node has a fact that could change the outcome of a fact of this time: all others have
    /// applied theirs, or their next facts wait too and are younger.
    pub(super) fn none_can_change(&self, own: NodeId, at_ms: i64) -> bool {
        self.behind.iter().all(|(node, from)| {
            self.waiting.contains(node) && from.is_some_and(|from| (from, *node) > (at_ms, own))
        })
    }
    /// The nodes that have not checked the store since it lost data.
    pub(super) fn missing(&self) -> impl Iterator<Item = NodeId> {
        self.behind.iter().filter(|(_, from)| from.is_none()).map(|(node, _)| *node)
    }
}

impl App {
    /// How far the other nodes' replays are, in a life of the store.
    pub(super) async fn other_replays(&self, life: &str) -> Result<Others> {
        let mut nodes = self.store.nodes().await?;
        for state in nodes.iter_mut().filter(|state| state.stopped) {
            // The node stopped with everything applied, and the store has all of it.
            if is_in(self.applied_of(state.node, Log::Facts).await?, state.facts) {
                state.met = None;
            }
        }
        let forgotten = self.store.members(Partition::Directory, FORGOTTEN, None, usize::MAX).await?;
        let mut others = Others::of(self.node, &lock(&self.meeting.peers), &nodes, life);
        // A forgotten node that came back after all is treated like any other.
        let is_back = |node: &NodeId| nodes.iter().any(|state| state.node == *node);
        others.behind.retain(|node, _| is_back(node) || !forgotten.contains(&node.to_string()));
        Ok(others)
    }

    /// Remembers the nodes that a life of the store knows.
    pub(super) fn notice_peers(&self, nodes: &[NodeState], life: &str) {
        lock(&self.meeting.peers).notice(self.node, nodes, life);
    }

    /// Writes the list of other nodes to the disk, if it has changed.
    pub(super) async fn keep_peers(&self) {
        let known = {
            let peers = lock(&self.meeting.peers);
            if peers.are_kept {
                return;
            }
            peers.known.clone()
        };
        let path = self.config().data_dir.join(FILE);
        // The disk may be full or stall, so this does not run on a thread that serves requests.
        let written = tokio::task::spawn_blocking({
            let bytes = serde_json::to_vec(&known);
            move || crate::files::replace(&path, &bytes?)
        });
        match written.await {
            Ok(Ok(())) => {
                let mut peers = lock(&self.meeting.peers);
                peers.are_kept = peers.known == known;
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "the list of other nodes could not be written to the disk");
            }
            Err(error) => tracing::error!(%error, "the task that writes the list of other nodes failed"),
        }
    }

    /// Whether a node is known to the store, or to this node from before the store was emptied.
    pub async fn knows_node(&self, node: NodeId) -> Result<bool> {
        let is_there = self.store.nodes().await?.iter().any(|state| state.node == node);
        Ok(is_there || lock(&self.meeting.peers).known.contains_key(&node))
    }

    /// Stops waiting for a node.
    pub(super) fn forget_peer(&self, node: NodeId) {
        lock(&self.meeting.peers).forget(node);
    }

    /// Reports to the other nodes how far this node's replay is; [`NOTHING`]: it replays nothing.
    pub(super) async fn announce_replay_from(&self, at_ms: i64) -> Result<()> {
        if self.meeting.replays_from.swap(at_ms, Ordering::Relaxed) != at_ms {
            self.heartbeat().await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Cursor;

    fn node(bits: u64) -> NodeId {
        NodeId::from_bits(bits)
    }
    fn state(bits: u64, met: Option<&str>, replays_from: Option<i64>, waits: bool) -> NodeState {
        NodeState {
            node: node(bits),
            instance: String::new(),
            seen_ms: 0,
            facts: Cursor::default(),
            clicks: Cursor::default(),
            stopped: false,
            waits_for_others: waits,
            met: met.map(str::to_owned),
            replays_from,
        }
    }

    #[test]
    fn a_fact_waits_for_older_ones_and_for_nodes_that_were_not_here_yet() {
        // The node that waits: node 5, with a fact of the time 100.
        let table = [
            ("alone", vec![], None, true),
            ("done", vec![state(1, Some("now"), None, false)], None, true),
            ("older", vec![state(1, Some("now"), Some(99), false)], Some(1), false),
            ("younger", vec![state(1, Some("now"), Some(101), false)], None, false),
            ("as old, of the smaller id", vec![state(1, Some("now"), Some(100), false)], Some(1), false),
            ("as old, of the larger id", vec![state(9, Some("now"), Some(100), false)], None, false),
            ("older, and waits for others", vec![state(1, Some("now"), Some(99), true)], None, false),
            ("younger, and waits for others", vec![state(1, Some("now"), Some(101), true)], None, true),
            ("of another life", vec![state(1, Some("then"), None, false)], Some(1), false),
            ("of an older version", vec![state(1, None, None, false)], None, true),
        ];
        for (what, nodes, before, nobody) in table {
            let others = Others::of(node(5), &Peers::default(), &nodes, "now");
            assert_eq!(others.before(node(5), 100), before.map(node), "{what}");
            assert_eq!(others.none_can_change(node(5), 100), nobody, "{what}");
        }
    }

    #[test]
    fn nodes_are_remembered_until_they_are_forgotten() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut peers = Peers::open(dir.path());
        let both = [state(5, Some("one"), None, false), state(1, Some("one"), None, false)];
        assert!(peers.are_kept);
        peers.notice(node(5), &both, "one");
        assert!(!peers.are_kept);
        let bytes = serde_json::to_vec(&peers.known).expect("plain data");
        crate::files::replace(&dir.path().join(FILE), &bytes).expect("writable");
        // The store was emptied: it does not know the other node, which is missing.
        let mut peers_again = Peers::open(dir.path());
        peers_again.notice(node(5), &both[..1], "two");
        assert!(peers_again.are_kept, "nothing has changed");
        let others = Others::of(node(5), &peers_again, &both[..1], "two");
        assert_eq!(others.missing().collect::<Vec<_>>(), [node(1)]);
        assert_eq!(others.before(node(5), 100), Some(node(1)));
        // In the same life, somebody forgot the node.
        peers.notice(node(5), &both[..1], "one");
        assert!(peers.known.is_empty() && !peers.are_kept);
    }
}
