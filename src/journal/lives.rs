//! Which disk wrote what: a disk and the copies that were made of it have the same records up to where they parted.
//!
//! Each process that opens a journal begins a **life** of the disk, under a random name. Two disks that have a life in
//! common parted at the earliest later life of either. The store keeps the lives of the disk that it met last, and of a
//! disk in whose place another one was met, how far it was applied then: so nobody has to guess what is applied.

use super::node::{Ends, Node};
use crate::domain::id::NodeId;
use crate::store::{Cursor, Log, Partition};
use serde::{Deserialize, Serialize};

/// Lives that a disk remembers, the newest.
const MOST_LIVES: usize = 4_096;
/// Disks that the store remembers beside the one that it met last, the newest.
const MOST_LEFT: usize = 8;

/// A process on a node's disk: it wrote what lies beyond these places, up to the next life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    id: String,
    pub(super) after: Ends,
}

/// How far a log is applied in each partition that takes from it.
pub type Applied = Vec<(Partition, Cursor)>;

/// A disk in whose place the store met another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Left {
    disk: Node,
    facts: Applied,
    clicks: Applied,
}

/// What a store keeps of the disks of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Disks {
    /// The one that was met last.
    met: Option<Node>,
    /// How far others were applied when another was met in their place, oldest first.
    left: Vec<Left>,
    /// Of cursors, when it was met. Those that a crash left are made before anything else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    moves: Vec<Move>,
}

impl Disks {
    /// This disk is the one that is met.
    pub fn name(&mut self, disk: &Node) {
        self.met = Some(disk.clone());
    }

    /// Moves of cursors that are to be made, if they were not.
    pub fn moves(&self) -> &[Move] {
        &self.moves
    }

    /// Whether the disk that was met last has this one's epochs: one that was begun since, by a process that was killed
    /// before it said so, has taken the place of that disk.
    pub fn has_epochs_of(&self, disk: &Node) -> bool {
        self.met.as_ref().is_none_or(|met| met.epoch() == disk.epoch())
    }

    /// Whether the process that met the store last wrote a disk that this one has never been.
    pub fn is_another(&self, disk: &Node) -> bool {
        let last = self.met.as_ref().and_then(|met| met.lives().last());
        last.is_some_and(|last| disk.lives().iter().all(|life| life.id != last.id))
    }
}

/// What a store remembers of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Remembered {
    /// Of its disks.
    pub disks: Disks,
    /// How far its facts are applied.
    pub facts: Applied,
    /// How far its clicks are applied.
    pub clicks: Applied,
}

impl Remembered {
    /// This disk takes the place of the one that was met last, and cursors are to be moved: what is to be kept before that.
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

/// A partition's cursor names the same records by their place in a new epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Which log.
    pub log: Log,
    /// Which partition.
    pub partition: Partition,
    /// Where its cursor stands.
    pub from: Cursor,
    /// Where it is to stand.
    pub to: Cursor,
}

/// A disk beside what a store remembers of its node.
pub(super) struct Meeting<'a> {
    pub node: &'a Node,
    pub store: &'a Remembered,
    /// Where the logs ended when the store was met last, if the disk was not copied since.
    pub since: Ends,
    /// Where the logs end.
    pub last: Ends,
}

/// Up to where two disks have the same records.
#[derive(Debug, PartialEq, Eq)]
enum Shared {
    UpTo(u64),
    /// All that one of them wrote in the lives that it remembers; the other may have gone on from there.
    AllOfOne(u64),
    /// They have no life in common, and perhaps forgot it.
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
            // It is this very process, or a copy of its disk that ran on.
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
            // What this disk knows itself to have been met is not in doubt, even if the store forgot these lives.
            Shared::AllOfOne(position) => position.max(since),
            Shared::Unknown => since,
        };
        shared.min(self.last.of(log))
    }

    /// What a partition has of the records that are shared: the last one of them.
    fn original(&self, log: Log, stands: Cursor) -> u64 {
        let shared = self.shared(log);
        match &self.store.disks.met {
            Some(met) => met.original_of(log, stands, shared),
            None if stands > self.node.cursor_at(log, shared) => shared,
            None => self.node.original_of(log, stands, shared),
        }
    }

    /// Up to where a partition has this disk's records.
    fn applied(&self, log: Log, partition: Partition, stands: Cursor) -> Cursor {
        let now = self.node.copy_of(log, self.original(log, stands), self.shared(log));
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

    /// Up to where every partition has this disk's records, or still takes from those that are shared.
    pub fn base(&self, log: Log) -> u64 {
        let takes_from_shared = |stands| {
            let original = self.original(log, stands);
            self.node.cursor_at(log, original) <= stands && stands < self.node.cursor_at(log, original + 1)
        };
        let others = self.store.applied(log).iter().filter(|(_, stands)| !takes_from_shared(*stands));
        let applied = others.map(|(partition, stands)| self.applied(log, *partition, *stands).position);
        applied.min().unwrap_or_else(|| self.shared(log))
    }

    /// Whether records of this disk that are not applied have places that the store knows of another disk.
    pub fn needs_an_epoch(&self) -> bool {
        let next = |log| self.node.next_that_counts(log, self.base(log));
        [Log::Facts, Log::Clicks].into_iter().any(|log| next(log) <= self.store.highest(log))
    }

    /// What partitions have, in this disk's places.
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

/// The lives of a disk with one more, of a process that found its logs to end there.
pub(super) fn with_another(mut lives: Vec<Life>, after: Ends) -> Vec<Life> {
    lives.push(Life { id: NodeId::random().to_string(), after });
    lives.drain(..lives.len().saturating_sub(MOST_LIVES));
    lives
}
