//! The journal: what is told is kept here first, and everything else can be made from it again.
//!
//! A node has two logs. **Clicks** ([`ClickLog`]) are appended by the serving thread and flushed each second: they
//! survive our death, and a power cut may take the last second. **Facts** ([`FactLog`]) are flushed before they
//! are answered. A [`Reader`] follows a log while it is written; [`verify()`] walks through both without the lock.
//!
//! # The files
//!
//! ```text
//! <data_dir>/lock                               held while a process has the directory; holds its id
//! <data_dir>/node.json                          the node's id, its epochs, and who wrote the journal
//! <data_dir>/journal/{clicks,facts}/
//!     00000000000000000001.seg …                segments, named by their first position (20 digits)
//!     next                                      a segment being made: nothing, or renamed when next opened
//!     flushed                                   how far the log is known to be on the disk
//! ```
//!
//! All numbers are little-endian. *Hash* is the first 16 bytes of a SHA-256.
//!
//! A **segment** starts with a header of 68 bytes: magic `cfoiljnl`, format (u32, now 1), kind (u32: 1 clicks,
//! 2 facts), node id (u64), epoch (u32), first position (u64), chain hash of the record before it (16), and the
//! hash of these 52. Records follow without a gap:
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | length of the payload (u32): 1 to [`MAX_CLICK_BYTES`] or [`MAX_FACT_BYTES`] |
//! | 8 | position (u64): one more than the record before; the log's first is 1 |
//! | 16 | chain hash: hash of (chain hash before, length, position, epoch, payload) |
//! | … | payload |
//!
//! The chain starts with the hash of (magic, kind, node id). A chain hash is a record's checksum and, kept
//! elsewhere, a proof that nothing up to it was changed since ([`hash_at`]).
//!
//! `flushed` is described in its module, `node.json` is one line of JSON that ends with its own check.
//! Who writes: the process with the lock. Who deletes: [`Journal::remove_clicks_before`], whole segments
//! of clicks; segments of facts may be archived, oldest first. A reader that meets another format, or a
//! check that does not match, stops and names the place. A closed segment is never changed; only what
//! lies beyond `flushed` is cut off when it is torn.
//!
//! # Epochs
//!
//! A disk may be restored from a backup, or a copy of it may run, and both have records under the same positions that are
//! not the same. So each process that opens a journal gives the disk another name from there on (`lives` in `node.json`),
//! and the store keeps `node.json` of the disk that it met last, and how far the disks before that were applied. When they
//! meet, [`Journal::meet`] finds (module `lives`):
//!
//! 1. up to which record both disks have the same ones: what is applied of these, the store's cursors say;
//! 2. which later ones of this disk were applied when another one took its place;
//! 3. what is left. If the store knows these positions of the other disk, a new **epoch** begins: positions go on, in a new
//!    segment, and compare as later than all that the store remembers. It begins with the same records once more, and
//!    only these count ([`Journal::repeated`]). Cursors are moved to where this disk has what they have.
//!
//! Where the store knows no disks (an older version wrote to it), what was journaled since a process last met the store is
//! left: `unmet` in `node.json` says where that begins. `node.json` also says how many records an epoch repeats. It is
//! replaced once, before anything is repeated: from then on an open goes on with what is left, before the log takes any
//! other record.

mod clicks;
mod disk;
mod error;
mod facts;
mod faults;
mod flushed;
mod keeper;
mod lives;
mod node;
mod read;
mod record;
mod recover;
mod retain;
mod verify;
mod walk;
mod watch;

#[cfg(test)]
mod tests;

use crate::domain::id::NodeId;
use crate::store::{Cursor, Log};
use faults::Faults;
use lives::Meeting;
use recover::Recovered;
use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use clicks::{ClickLog, LOCK_WAIT};
pub use error::{AppendError, Damage, JournalError, TornTail};
pub use facts::{FactLog, MAX_BATCH_BYTES, MAX_WAITING_APPENDS, MAX_WAITING_BYTES};
pub use lives::{Applied, Disks, Life, Move, Remembered};
pub use node::{Ends, EpochStart, Node};
pub use read::{Batch, Reader};
pub use record::{MAX_CLICK_BYTES, MAX_FACT_BYTES};
pub use retain::Removed;
pub use verify::{LogReport, Report, hash_at, verify};

/// What may be chosen about a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// A new segment begins when the last one has this many bytes.
    pub segment_bytes: u64,
    /// Clicks are dropped while more than this many bytes of them, appended since the start, wait for the store.
    pub click_backlog_bytes: u64,
    /// How often clicks are flushed: what a power cut may take.
    pub click_flush_interval: Duration,
    /// Each record of about the newest this many bytes of each log is checked at the start; the rest when it is
    /// read or verified.
    pub verify_on_open_bytes: u64,
    /// Acknowledges facts before they are flushed: the twin that the tests must catch.
    #[cfg(feature = "sabotage")]
    pub sabotage_ack_before_flush: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            click_backlog_bytes: 4 << 30,
            click_flush_interval: Duration::from_secs(1),
            verify_on_open_bytes: 256 << 20,
            #[cfg(feature = "sabotage")]
            sabotage_ack_before_flush: false,
        }
    }
}

/// A node's journal. The data directory is this process's until it is dropped, which writes and flushes what waits.
#[derive(Debug)]
pub struct Journal {
    data_dir: PathBuf,
    node: Mutex<Node>,
    facts: FactLog,
    clicks: ClickLog,
    /// Up to here the logs are as they were when the store was met last, if the disk was not restored since.
    since: Ends,
    torn: Vec<TornTail>,
    /// The last to go.
    _lock: File,
}

impl Journal {
    /// Opens the journal of a data directory, or makes a new node of an empty one.
    pub fn open(data_dir: &Path, settings: &Settings) -> Result<Self, JournalError> {
        Self::open_with(data_dir, settings, &Faults::default())
    }

    /// Whether a data directory holds a node's journal.
    pub fn is_in(data_dir: &Path) -> bool {
        node::is_in(data_dir)
    }

    fn open_with(data_dir: &Path, settings: &Settings, faults: &Faults) -> Result<Self, JournalError> {
        fs::create_dir_all(data_dir).map_err(JournalError::io("create", data_dir))?;
        let lock = node::lock(data_dir)?;
        let facts_dir = node::make_log_dir(data_dir, Log::Facts)?;
        let clicks_dir = node::make_log_dir(data_dir, Log::Clicks)?;
        let node = match Node::read(data_dir)? {
            Some(node) => node,
            None => first_start(data_dir, &facts_dir, &clicks_dir)?,
        };
        let bytes = settings.verify_on_open_bytes;
        let mut found_facts = recover::recover(&facts_dir, Log::Facts, &node, bytes)?;
        let mut found_clicks = recover::recover(&clicks_dir, Log::Clicks, &node, bytes)?;
        let torn = [found_facts.torn.take(), found_clicks.torn.take()].into_iter().flatten().collect();
        let due = |found: &Recovered| {
            let beginning = node.beginning(found.header.log);
            beginning.is_due(found.header.epoch, found.last.position).then_some(beginning)
        };
        let (facts_due, clicks_due) = (due(&found_facts), due(&found_clicks));
        check_epoch_start(&facts_dir, &node, &found_facts)?;
        check_epoch_start(&clicks_dir, &node, &found_clicks)?;
        let facts = FactLog::start(
            &facts_dir,
            found_facts,
            settings.segment_bytes,
            faults.clone(),
            #[cfg(feature = "sabotage")]
            settings.sabotage_ack_before_flush,
        );
        let facts = facts.map_err(JournalError::io("start the writer of", &facts_dir))?;
        let clicks = ClickLog::start(&clicks_dir, found_clicks, settings, faults.clone());
        let clicks = clicks.map_err(JournalError::io("start the keeper of", &clicks_dir))?;
        // A crash may have come between naming an epoch and all that it begins with.
        if let Some(beginning) = facts_due {
            facts.hold()?.begin(&beginning)?;
        }
        if let Some(beginning) = clicks_due {
            clicks.hold()?.begin(&beginning)?;
        }
        let ends = Ends { facts: facts.last_position(), clicks: clicks.last_position() };
        let since = node.unmet().unwrap_or(ends);
        let data_dir = data_dir.to_owned();
        let journal = Self { data_dir, node: Mutex::new(node), facts, clicks, since, torn, _lock: lock };
        journal.note_life(ends);
        Ok(journal)
    }

    /// A full disk is no reason not to start: what is lost is the note, should this process die before it has met
    /// the store, on a disk that was restored.
    fn note_life(&self, ends: Ends) {
        let mut node = self.node();
        *node = node.with_life(ends);
        if let Err(error) = node.write(&self.data_dir) {
            tracing::warn!(%error, "it is not noted that the store was not met yet");
        }
    }

    /// The node's id.
    pub fn node_id(&self) -> NodeId {
        self.node().id()
    }

    /// The node, with its epochs.
    pub fn node(&self) -> MutexGuard<'_, Node> {
        // It is only ever replaced whole.
        self.node.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The facts log.
    pub const fn facts(&self) -> &FactLog {
        &self.facts
    }

    /// The clicks log.
    pub const fn clicks(&self) -> &ClickLog {
        &self.clicks
    }

    /// What was cut off when the journal was opened.
    pub fn torn_tails(&self) -> &[TornTail] {
        &self.torn
    }

    /// The current epoch and a log's last position.
    pub fn end(&self, log: Log) -> Cursor {
        let position = match log {
            Log::Facts => self.facts.last_position(),
            Log::Clicks => self.clicks.last_position(),
        };
        Cursor { epoch: self.node().epoch(), position }
    }

    /// The position after which a log's records are later than what the store remembers.
    pub fn resume_after(&self, log: Log, remembered: Cursor) -> u64 {
        self.node().resume_after(log, remembered)
    }

    /// A reader of one of the logs, after a position.
    pub fn reader(&self, log: Log, after_position: u64, verify: bool) -> Result<Reader, JournalError> {
        Reader::open_at(&self.data_dir, log, after_position, verify)
    }

    /// Positions of a log whose records stand in it once more, further on: only the later ones count.
    pub fn repeated(&self, log: Log) -> Vec<Range<u64>> {
        self.node().repeated(log)
    }

    fn meeting<'a>(&self, node: &'a Node, store: &'a Remembered) -> Meeting<'a> {
        Meeting { node, store, since: self.since, last: self.ends() }
    }

    fn ends(&self) -> Ends {
        Ends { facts: self.facts.last_position(), clicks: self.clicks.last_position() }
    }

    /// Agrees with a store on what is applied of this disk, before anything is applied to it. If the store remembers what
    /// another disk of the node wrote, a later epoch begins and repeats what is not applied of this one.
    /// Facts wait meanwhile, and clicks are dropped. After an error it is called again. The cursors of partitions must be
    /// moved before anything else is done with the store, and [kept](Remembered::replaced_by) before that.
    pub fn meet(&self, store: &Remembered) -> Result<Met, JournalError> {
        // What an error interrupted comes first.
        drop(self.facts.hold()?);
        self.clicks.go_on_beginning()?;
        let mut node = self.node();
        let began = self.meeting(&node, store).needs_an_epoch();
        if began {
            self.begin_epoch(&mut node, store)?;
        } else if node.unmet().is_some() {
            let met = node.met();
            met.write(&self.data_dir)?;
            *node = met;
        }
        let moves = self.meeting(&node, store).moves().collect();
        Ok(Met { epoch: began.then_some(node.epoch()), moves })
    }

    fn begin_epoch(&self, node: &mut Node, store: &Remembered) -> Result<(), JournalError> {
        let (mut facts, mut clicks) = (self.facts.hold()?, self.clicks.hold()?);
        let last = Ends { facts: facts.last_position(), clicks: clicks.last_position() };
        let meeting = Meeting { last, ..self.meeting(node, store) };
        // Old clicks that are gone were applied.
        let gone = self.first_click()?.saturating_sub(1).min(last.clicks);
        let since = Ends { facts: meeting.base(Log::Facts), clicks: meeting.base(Log::Clicks).max(gone) };
        let remembered = store.highest(Log::Facts).max(store.highest(Log::Clicks));
        let next = node.with_epoch(node.epoch().max(remembered.epoch) + 1, last, since);
        next.write(&self.data_dir)?;
        *node = next;
        let begun = facts.begin(&node.beginning(Log::Facts));
        clicks.begin(&node.beginning(Log::Clicks)).and(begun)
    }

    fn first_click(&self) -> Result<u64, JournalError> {
        let dir = node::log_dir(&self.data_dir, Log::Clicks);
        let firsts = disk::segments(&dir).map_err(JournalError::io("list", &dir))?;
        Ok(firsts.first().copied().unwrap_or(1))
    }
}

/// What it came to that a journal and a store met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Met {
    /// The epoch that began.
    pub epoch: Option<u32>,
    /// What partitions have of this disk, by its places in that epoch.
    pub moves: Vec<Move>,
}

/// A new node, in a directory without records. `node.json` comes last: where it is, the logs are.
fn first_start(data_dir: &Path, facts: &Path, clicks: &Path) -> Result<Node, JournalError> {
    let node = Node::new();
    for (dir, log) in [(facts, Log::Facts), (clicks, Log::Clicks)] {
        recover::clear_unused(dir, &node::path(data_dir))?;
        recover::create(dir, log, &node)?;
    }
    node.write(data_dir)?;
    Ok(node)
}

/// An epoch that was named but has no segment yet must begin where the log ends.
fn check_epoch_start(dir: &Path, node: &Node, found: &Recovered) -> Result<(), JournalError> {
    let next = found.last.position + 1;
    let starts = node.epochs().last().map_or(1, |epoch| epoch.first_position(found.header.log));
    if found.header.epoch < node.epoch() && starts != next {
        let what = format!("epoch {} should begin at position {starts}", node.epoch());
        let file = disk::segment_path(dir, found.header.first_position);
        return Err(Damage { file, offset: found.offset, position: next, what }.into());
    }
    Ok(())
}
