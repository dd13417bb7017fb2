//! The journal: everything that is reported or decided is kept here first, and all other data can be made
//! from it again.
//!
//! A node has two logs. **Clicks** ([`ClickLog`]) are appended by the serving thread and flushed each second:
//! they survive the end of the process, and a power cut may lose the last second. **Facts** ([`FactLog`]) are
//! flushed before they are answered. A [`Reader`] follows a log while it is written; [`verify()`] reads both
//! without the lock.
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
//! The chain starts with the hash of (magic, kind, node id). A chain hash is a record's checksum; kept
//! elsewhere, it also proves that nothing up to it was changed since ([`hash_at`]).
//!
//! `flushed` is described in its module, `node.json` is one line of JSON that ends with its own check. Who
//! writes: the process with the lock. Who deletes: [`Journal::remove_clicks_before`], whole segments of
//! clicks; segments of facts may be archived, oldest first. A reader that finds another format, or a check
//! that does not match, stops and names the place. A closed segment is never changed; only torn data after
//! the flushed position is cut off.
//!
//! # Epochs
//!
//! A disk may be restored from a backup, or a copy of it may run; then two disks have different records under
//! the same positions. So each process that opens a journal gives the disk another name from there on
//! (`lives` in `node.json`), and the store keeps `node.json` of the disk that it met last, and how far
//! earlier disks were applied. When a disk meets the store, [`Journal::meet`] finds (module `lives`):
//!
//! 1. up to which record both disks are the same: the store's cursors say how many of these are applied;
//! 2. which later records of this disk were applied before another disk replaced it;
//! 3. the remaining records. If the store knows their positions from the other disk, a new **epoch** begins:
//!    positions continue, in a new segment, and count as later than everything that the store remembers. It
//!    begins with a copy of the same records, and only the copies count ([`Journal::repeated`]). Cursors are
//!    moved to the positions where this disk has the same records.
//!
//! If the store knows no disks (an older version wrote to it), the remaining records are those journaled
//! since a process last met the store: `unmet` in `node.json` says where they begin. `node.json` also says
//! how many records an epoch repeats. It is replaced once, before anything is repeated: from then on each
//! start completes the copies before the log accepts any other record.

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
use faults::FaultInjection;
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

/// Settings of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// A new segment begins when the last one has this many bytes.
    pub segment_bytes: u64,
    /// Clicks are dropped while more than this many bytes of them, appended since the start, wait for the store.
    pub click_backlog_bytes: u64,
    /// How often clicks are flushed: what a power cut may take.
    pub click_flush_interval: Duration,
    /// At the start, each record in about this many of the newest bytes of each log is checked; the others
    /// when they are read or verified.
    pub verify_on_open_bytes: u64,
    /// Acknowledges facts before they are flushed: a wrong variant that the tests must detect.
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

/// A node's journal. The data directory belongs to this process until the journal is dropped, which writes
/// and flushes what waits.
#[derive(Debug)]
pub struct Journal {
    data_dir: PathBuf,
    node: Mutex<Node>,
    facts: FactLog,
    clicks: ClickLog,
    /// Up to here the logs are as they were when the store was last met, if the disk was not restored since.
    since: Ends,
    torn: Vec<TornTail>,
    /// Dropped last.
    _lock: File,
}

impl Journal {
    /// Opens the journal of a data directory; makes a new node in an empty one.
    pub fn open(data_dir: &Path, settings: &Settings) -> Result<Self, JournalError> {
        Self::open_with(data_dir, settings, &FaultInjection::default())
    }

    /// Whether a data directory holds a node's journal.
    pub fn is_in(data_dir: &Path) -> bool {
        node::is_in(data_dir)
    }

    fn open_with(
        data_dir: &Path,
        settings: &Settings,
        faults: &FaultInjection,
    ) -> Result<Self, JournalError> {
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
        // A crash may have come after an epoch was named and before its beginning was complete.
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

    /// Start even on a full disk. Without the note, something is missing only if this process dies before it
    /// has met the store, on a restored disk.
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
        // It is only replaced as a whole, never changed in part.
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

    /// Positions of a log whose records are repeated later in it: only the copies count.
    pub fn repeated(&self, log: Log) -> Vec<Range<u64>> {
        self.node().repeated(log)
    }

    fn meeting<'a>(&self, node: &'a Node, store: &'a Remembered) -> Meeting<'a> {
        Meeting { node, store, since: self.since, last: self.ends() }
    }

    fn ends(&self) -> Ends {
        Ends { facts: self.facts.last_position(), clicks: self.clicks.last_position() }
    }

    /// Agrees with a store on how much of this disk is applied, before anything is applied to it. If the
    /// store remembers records of another disk of the node, a later epoch begins and repeats what is not
    /// applied from this one. Facts wait meanwhile, and clicks are dropped. After an error, call it again.
    /// The cursors of partitions must be moved before anything else is done with the store, and the result of
    /// [`Remembered::replaced_by`] must be kept before that.
    pub fn meet(&self, store: &Remembered) -> Result<Met, JournalError> {
        // What an error interrupted is completed first.
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
        // Old clicks that were removed had been applied.
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

/// The result when a journal meets a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Met {
    /// The epoch that began, if any.
    pub epoch: Option<u32>,
    /// How partitions' cursors move to this disk's positions in that epoch.
    pub moves: Vec<Move>,
}

/// A new node, in a directory without records. `node.json` is written last: if it exists, the logs do.
fn first_start(data_dir: &Path, facts: &Path, clicks: &Path) -> Result<Node, JournalError> {
    let node = Node::new();
    for (dir, log) in [(facts, Log::Facts), (clicks, Log::Clicks)] {
        recover::clear_unused(dir, &node::path(data_dir))?;
        recover::create(dir, log, &node)?;
    }
    node.write(data_dir)?;
    Ok(node)
}

/// Checks that an epoch that was named but has no segment yet begins where the log ends.
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
