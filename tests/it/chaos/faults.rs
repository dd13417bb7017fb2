//! All that can go wrong here, and how it ends.

use crate::support::dice::Dice;
use std::fmt::{Display, Formatter};

/// What goes wrong in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A node is killed, and started again.
    Killed,
    /// A node is stopped by a signal, and goes on: in the long form later than its leases end.
    Paused,
    /// A node is asked to stop, and started again.
    Restarted,
    /// A node is killed in the night that closes months.
    KilledInTheNight,
    /// A node is stopped in a night until its lease is over (the long form only).
    PausedInTheNight,
    /// The file system of a node's data does not answer.
    DiskFrozen,
    /// It is full.
    DiskFull,
    /// The clocks are stepped, apart from each other where there are two.
    ClocksApart,
    /// The embedded store is gone at a restart.
    StoreLost,
    RedisKilled,
    /// Redis is killed in the night that closes months.
    RedisKilledInTheNight,
    RedisPaused,
    /// Redis is emptied, and a person confirms that all nodes are in.
    RedisEmptied,
    /// Redis has no memory left.
    RedisFull,
    /// Redis may evict, then does, and is set right as `doctor` says.
    RedisEvicts,
    /// A node's connections to Redis are cut.
    Cut,
    /// Nothing comes through them.
    Swallowed,
}

use Fault::{
    ClocksApart, Cut, DiskFrozen, DiskFull, Killed, KilledInTheNight, Paused, PausedInTheNight, RedisEmptied,
    RedisEvicts, RedisFull, RedisKilled, RedisKilledInTheNight, RedisPaused, Restarted, StoreLost, Swallowed,
};

/// What can go wrong with two nodes on Redis.
pub const OF_A_PAIR: [Fault; 16] = [
    Killed,
    Paused,
    Restarted,
    KilledInTheNight,
    PausedInTheNight,
    DiskFrozen,
    DiskFull,
    ClocksApart,
    RedisKilled,
    RedisKilledInTheNight,
    RedisPaused,
    RedisEmptied,
    RedisFull,
    RedisEvicts,
    Cut,
    Swallowed,
];
/// What can go wrong with a node on the embedded store.
pub const OF_A_NODE_ALONE: [Fault; 8] =
    [Killed, Paused, Restarted, KilledInTheNight, DiskFrozen, DiskFull, ClocksApart, StoreLost];

impl Fault {
    /// Whether clicks may have no answer.
    pub const fn takes_a_node_away(self) -> bool {
        matches!(self, Killed | Paused | Restarted | KilledInTheNight | PausedInTheNight | StoreLost)
    }
    pub const fn needs_a_disk(self) -> bool {
        matches!(self, DiskFrozen | DiskFull)
    }
    /// Whether it hits one of the nodes, and not what they share.
    pub const fn hits_a_node(self) -> bool {
        self.takes_a_node_away() || self.needs_a_disk() || matches!(self, Cut | Swallowed)
    }
}

/// A fault, the node that it hits and that makes the night, and a number for when.
#[derive(Debug, Clone, Copy)]
pub struct Hit {
    pub fault: Fault,
    pub node: usize,
    pub moment: u64,
}

impl Display for Hit {
    fn fmt(&self, to: &mut Formatter<'_>) -> std::fmt::Result {
        write!(to, "{:?}", self.fault)?;
        if self.fault.hits_a_node() { write!(to, " at node {}", self.node + 1) } else { Ok(()) }
    }
}

/// Which faults come, in which order: all of them before one comes again.
pub fn schedule(dice: &mut Dice, faults: &[Fault], nodes: usize, rounds: usize) -> Vec<Hit> {
    let mut hits = Vec::new();
    while hits.len() < rounds {
        let mut deck = faults.to_vec();
        dice.shuffle(&mut deck);
        hits.extend(deck.into_iter().map(|fault| {
            let (node, moment) = (dice.index(nodes), dice.below(60));
            // The last one's data lies on a disk of its own.
            Hit { fault, node: if fault.needs_a_disk() { nodes - 1 } else { node }, moment }
        }));
    }
    hits.truncate(rounds);
    hits
}
