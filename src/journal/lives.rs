//! Which disk wrote what: a disk and its copies have the same records up to the point where they diverged.
//!
//! Each process that opens a journal begins a **life** of the disk, under a random name. Two disks with a
//! common life diverged at the earliest later life of either. The store keeps the lives of the disk that it
//! met last and, for a disk that was replaced by another one, how much of it was applied by then. So it is
//! always known what is applied.

use super::node::{Ends, Node};
use crate::domain::id::NodeId;
use crate::store::{Cursor, Log, Partition};
use serde::{Deserialize, Serialize};

/// How many lives a disk remembers: the newest ones.
const MOST_LIVES: usize = 4_096;
/// How many disks the store remembers besides the one that it met last: the newest ones.
const MOST_LEFT: usize = 8;

/// A process on a node's disk: it wrote everything after these positions, up to the next life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    id: String,
    pub(super) after: Ends,
}

/// How far a log is applied in each partition that uses it.
pub type Applied = Vec<(Partition, Cursor)>;

/// A disk that was replaced by another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Left {
    disk: Node,
    facts: Applied,
    clicks: Applied,
}

/// What a store keeps about the disks of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Disks {
    /// The disk that was met last.
    met: Option<Node>,
    /// How far replaced disks were applied at that time, oldest first.
    left: Vec<Left>,
    /// The moves of cursors from when it was met. After a crash, moves that are missing are made before
    /// anything else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    moves: Vec<Move>,
}

impl Disks {
    /// Names this disk as the one that is met.
    pub fn name(&mut self, disk: &Node) {
        self.met = Some(disk.clone());
    }

    /// The moves of cursors that still have to be made, if a crash prevented them.
    pub fn moves(&self) -> &[Move] {
        &self.moves
    }

    /// Whether the disk that was met last has this one's epochs. If not, a process began an epoch that
    /// replaced that disk, and was killed before it could report that.
    pub fn has_epochs_of(&self, disk: &Node) -> bool {
        self.met.as_ref().is_none_or(|met| met.epoch() == disk.epoch())
    }

    /// Whether the process that met the store last wrote on a disk that this one was never a copy of.
    pub fn is_another(&self, disk: &Node) -> bool {
        let last = self.met.as_ref().and_then(|met| met.lives().last());
        last.is_some_and(|last| disk.lives().iter().all(|life| life.id != last.id))
    }
}

/// What a store remembers about a node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Remembered {
    /// About its disks.
    pub disks: Disks,
    /// How far its facts are applied.
    pub facts: Applied,
    /// How far its clicks are applied.
    pub clicks: Applied,
}

impl Remembered {
    /// This disk replaces the one that was met last, and cursors are to be moved. Returns what must be kept
    /// before that.
    pub fn replaced_by(mut self, disk: &Node, moves: Vec<Move>) -> Disks {
        if let Some(disk) = self.disks.met.take() {
            let left = &mut self.disks.left;
            left.push(Left { disk, facts: self.facts, clicks: self.clicks });
            left.drain(..left.len().saturating_sub(MOST_LEFT));
        }
        Disks { met: Some(disk.clone()), moves, left: self.disks.left }
    }

    fn applied(&self, log: Log) -> &Applied {
        match log {
            Log::Facts => &self.facts,
            Log::Clicks => &self.clicks,
        }
    }

    pub(super) fn highest(&self, log: Log) -> Cursor {
        self.applied(log).iter().map(|(_, cursor)| *cursor).max().unwrap_or_default()
    }
}

/// A partition's cursor is to name the same records by their positions in a new epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Which log.
    pub log: Log,
    /// Which partition.
    pub partition: Partition,
    /// The cursor before.
    pub from: Cursor,
    /// The cursor afterwards.
    pub to: Cursor,
}

/// A disk, compared with what a store remembers about its node.
pub(super) struct Meeting<'a> {
    pub node: &'a Node,
    pub store: &'a Remembered,
    /// Where the logs ended when the store was met last, if the disk was not copied since.
    pub since: Ends,
    /// Where the logs end.
    pub last: Ends,
}

/// Up to which position two disks have the same records.
#[derive(Debug, PartialEq, Eq)]
enum Shared {
    UpTo(u64),
    /// Everything that one of them wrote in the lives that it remembers; the other may have continued from
    /// there.
    AllOfOne(u64),
    /// They have no life in common; they may have forgotten it.
    Unknown,
}

impl Shared {
    fn of(log: Log, ours: &[Life], theirs: &[Life]) -> Self {
        let find = |life: &Life| theirs.iter().position(|other| other.id == life.id);
        let common = ours.iter().enumerate().rev().find_map(|(place, life)| Some((place, find(life)?)));
        let is_full = ours.len().max(theirs.len()) >= MOST_LIVES;
        let (our_next, their_next) = match common {
            Some((ours, theirs)) => (ours + 1, theirs + 1),
            None if is_full => return Self::Unknown,
            None => (0, 0),
        };
        let parted = |lives: &[Life]| lives.iter().map(|life| life.after.of(log)).min();
        match (parted(&ours[our_next..]), parted(&theirs[their_next..])) {
            (Some(ours), Some(theirs)) => Self::UpTo(ours.min(theirs)),
            (Some(ours), None) => Self::AllOfOne(ours),
            // It is this very process, or a copy of its disk that continued.
            (None, theirs) => Self::UpTo(theirs.unwrap_or(u64::MAX)),
        }
    }
}

impl Meeting<'_> {
    /// Up to where this disk and the one that the store met last have the same records.
    fn shared(&self, log: Log) -> u64 {
        let since = self.since.of(log);
        let theirs = self.store.disks.met.as_ref().map_or(&[][..], Node::lives);
        let shared = match Shared::of(log, self.node.lives(), theirs) {
            Shared::UpTo(position) => position,
            // What this disk has noted as met is certain, even if the store forgot these lives.
            Shared::AllOfOne(position) => position.max(since),
            Shared::Unknown => since,
        };
        shared.min(self.last.of(log))
    }

    /// The last one of the shared records that a partition has.
    fn original(&self, log: Log, cursor: Cursor) -> u64 {
        let shared = self.shared(log);
        match &self.store.disks.met {
            Some(met) => met.original_of(log, cursor, shared),
            None if cursor > self.node.cursor_at(log, shared) => shared,
            None => self.node.original_of(log, cursor, shared),
        }
    }

    /// Up to which of this disk's records a partition has them.
    fn applied(&self, log: Log, partition: Partition, cursor: Cursor) -> Cursor {
        let now = self.node.copy_of(log, self.original(log, cursor), self.shared(log));
        let left =
            self.store.disks.left.iter().filter_map(|left| self.applied_when_left(log, partition, left));
        left.max().map_or(now, |left| left.max(now))
    }

    fn applied_when_left(&self, log: Log, partition: Partition, left: &Left) -> Option<Cursor> {
        let (Shared::UpTo(shared) | Shared::AllOfOne(shared)) =
            Shared::of(log, self.node.lives(), left.disk.lives())
        else {
            return None;
        };
        let shared = shared.min(self.last.of(log));
        let applied = if log == Log::Facts { &left.facts } else { &left.clicks };
        let (_, cursor) = applied.iter().find(|(of, _)| *of == partition)?;
        Some(self.node.copy_of(log, left.disk.original_of(log, *cursor, shared), shared))
    }

    /// Up to which position every partition has this disk's records, or can still use the shared ones.
    pub fn base(&self, log: Log) -> u64 {
        let takes_from_shared = |cursor| {
            let original = self.original(log, cursor);
            self.node.cursor_at(log, original) <= cursor && cursor < self.node.cursor_at(log, original + 1)
        };
        let others = self.store.applied(log).iter().filter(|(_, cursor)| !takes_from_shared(*cursor));
        let applied = others.map(|(partition, cursor)| self.applied(log, *partition, *cursor).position);
        applied.min().unwrap_or_else(|| self.shared(log))
    }

    /// Whether records of this disk that are not applied have positions that the store knows from another
    /// disk.
    pub fn needs_an_epoch(&self) -> bool {
        let next = |log| self.node.next_that_counts(log, self.base(log));
        [Log::Facts, Log::Clicks].into_iter().any(|log| next(log) <= self.store.highest(log))
    }

    /// The cursors to move: what partitions have, by this disk's positions.
    pub fn moves(&self) -> impl Iterator<Item = Move> {
        [Log::Facts, Log::Clicks].into_iter().flat_map(move |log| {
            let moved = self.store.applied(log).iter().map(move |(partition, from)| {
                let to = self.applied(log, *partition, *from);
                Move { log, partition: *partition, from: *from, to }
            });
            moved.filter(|moved| moved.to > moved.from)
        })
    }
}

/// The lives of a disk and one more, of a process that found its logs ending there.
pub(super) fn with_another(mut lives: Vec<Life>, after: Ends) -> Vec<Life> {
    lives.push(Life { id: NodeId::random().to_string(), after });
    lives.drain(..lives.len().saturating_sub(MOST_LIVES));
    lives
}
