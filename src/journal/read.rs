//! Reading a log in order, also while it is written.

use super::disk::{NEXT, segment_path, segments};
use super::error::{Damage, JournalError};
use super::node::log_dir;
use super::record::Chain;
use super::walk::{Step, Walk};
use crate::store::{Cursor, Log};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The size of the pieces in which a new epoch's repeated records are read.
const REPEATED_BYTES: usize = 1 << 20;

/// Records in the order of the log.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    records: Vec<(Cursor, Range<usize>)>,
}

impl Batch {
    /// Each record's place and payload.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Cursor, &[u8])> {
        self.records.iter().map(|(cursor, range)| (*cursor, &self.bytes[range.clone()]))
    }
    /// How many records.
    pub const fn len(&self) -> usize {
        self.records.len()
    }
    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
    /// The place of the last record.
    pub fn last(&self) -> Option<Cursor> {
        self.records.last().map(|(cursor, _)| *cursor)
    }
}

/// A place in a log, before a record. Several may read a log while it is written; none needs the lock.
#[derive(Debug)]
pub struct Reader {
    dir: PathBuf,
    log: Log,
    verify: bool,
    walk: Walk,
    /// The buffered bytes were final up to this position when they were read.
    final_to: u64,
}

impl Reader {
    /// The reader at a position. If the log begins later (old segments were removed or archived), it is at
    /// the log's beginning: compare [`Self::next_position`]. A position past the end means the end.
    ///
    /// With `verify`, each record is checked against the one before; without it, only its length and position
    /// are.
    pub fn open_at(
        data_dir: &Path,
        log: Log,
        after_position: u64,
        verify: bool,
    ) -> Result<Self, JournalError> {
        Self::open_in(log_dir(data_dir, log), log, after_position, verify)
    }

    /// Passes the records at these positions to `write`, a piece at a time.
    pub(super) fn repeat(
        dir: &Path,
        log: Log,
        positions: &Range<u64>,
        mut write: impl FnMut(&Batch) -> io::Result<()>,
    ) -> Result<(), JournalError> {
        if positions.is_empty() {
            return Ok(());
        }
        let mut reader = Self::open_in(dir.to_owned(), log, positions.start - 1, true)?;
        if reader.next_position() != positions.start {
            return Err(reader.walk.damage("an epoch repeats these records, and they were archived").into());
        }
        while reader.next_position() < positions.end {
            let batch = reader.next_batch(usize::MAX, REPEATED_BYTES, positions.end - 1)?;
            write(&batch).map_err(JournalError::io("write a segment in", dir))?;
        }
        Ok(())
    }

    fn open_in(dir: PathBuf, log: Log, after_position: u64, verify: bool) -> Result<Self, JournalError> {
        let firsts = segments(&dir).map_err(JournalError::io("list", &dir))?;
        let later = firsts.partition_point(|first| *first <= after_position.saturating_add(1));
        let Some(&first) = firsts.get(later.saturating_sub(1)) else {
            let what = "the log has no segment".to_owned();
            return Err(
                Damage { file: dir, offset: 0, position: after_position.saturating_add(1), what }.into()
            );
        };
        let walk = Walk::open(&dir, log, first)?;
        let mut reader = Self { dir, log, verify, walk, final_to: 0 };
        reader.skip_to(after_position)?;
        Ok(reader)
    }

    fn skip_to(&mut self, after_position: u64) -> Result<(), JournalError> {
        while self.walk.position <= after_position {
            let goes_on = match self.walk.step(false)? {
                Step::Record(_) => true,
                Step::End => self.next_segment(u64::MAX)?,
                Step::Bad(_) => false,
            };
            if !goes_on {
                break;
            }
        }
        // The end may still be being written.
        self.walk.forget();
        Ok(())
    }

    /// The position of the record that comes next.
    pub const fn next_position(&self) -> u64 {
        self.walk.position
    }

    /// The chain hash of the record before.
    pub(super) const fn chain_before(&self) -> Chain {
        self.walk.chain
    }

    /// The file and byte where the next record starts.
    pub fn place(&self) -> (&Path, u64) {
        (&self.walk.path, self.walk.offset)
    }

    /// The next records: at most `max_records`, no more after `max_bytes`, none beyond `up_to_position`. For
    /// a log that is being written, pass its last position; for a log at rest, [`u64::MAX`] reads up to the
    /// first record that is not whole.
    pub fn next_batch(
        &mut self,
        max_records: usize,
        max_bytes: usize,
        up_to_position: u64,
    ) -> Result<Batch, JournalError> {
        let mut batch = Batch::default();
        while batch.len() < max_records
            && batch.bytes.len() < max_bytes
            && self.walk.position <= up_to_position
        {
            if self.walk.position > self.final_to {
                self.walk.forget();
                self.final_to = up_to_position;
            }
            let cursor = Cursor { epoch: self.walk.header.epoch, position: self.walk.position };
            match self.walk.step(self.verify)? {
                Step::Record(payload) => {
                    let start = batch.bytes.len();
                    batch.bytes.extend_from_slice(payload);
                    batch.records.push((cursor, start..batch.bytes.len()));
                }
                Step::End => {
                    if !self.next_segment(up_to_position)? {
                        break;
                    }
                }
                Step::Bad(_) if up_to_position == u64::MAX => break,
                Step::Bad(what) => return Err(self.walk.damage(what).into()),
            }
        }
        if up_to_position == u64::MAX {
            // The last bytes that were read may have been half a record.
            self.final_to = 0;
        }
        Ok(batch)
    }

    /// Moves to the next segment when one was read to its end; `false`: there is none yet.
    fn next_segment(&mut self, up_to_position: u64) -> Result<bool, JournalError> {
        let first = self.walk.position;
        let named = segment_path(&self.dir, first);
        let Some(file) = self.open_segment(&named, first) else {
            return self.nothing_follows(up_to_position);
        };
        let walk = Walk::start(file, named, self.log, first)?;
        // An empty segment can be replaced by another with the same name; otherwise it is just the end again.
        if first == self.walk.header.first_position && walk.is_empty()? {
            return self.nothing_follows(up_to_position);
        }
        if self.verify && walk.header.chain_before != self.walk.chain {
            return Err(walk.damage("the segment does not continue the one before").into());
        }
        self.walk = walk;
        Ok(true)
    }

    /// The segment gets records before it is renamed; it may also be renamed between the two attempts.
    fn open_segment(&self, named: &Path, first: u64) -> Option<File> {
        let unnamed = || {
            let file = File::open(self.dir.join(NEXT)).ok()?;
            let copy = file.try_clone().ok()?;
            Walk::start(copy, self.dir.join(NEXT), self.log, first).ok()?;
            Some(file)
        };
        File::open(named).ok().or_else(unnamed).or_else(|| File::open(named).ok())
    }

    fn nothing_follows(&self, up_to_position: u64) -> Result<bool, JournalError> {
        if up_to_position == u64::MAX {
            return Ok(false);
        }
        let what = format!("the log ends here, though it should go on to {up_to_position}");
        Err(self.walk.damage(&what).into())
    }
}
