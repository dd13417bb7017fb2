//! The keeper of the clicks log: flushes it, makes the next segment ahead, and changes segments.

use super::clicks::{Shared, Tail};
use super::disk::{Disk, NEXT, segment_path};
use super::error::JournalError;
use super::flushed::{Flushed, Mark};
use super::record::{HEADER_BYTES, Header};
use super::walk::{Step, Walk};
use crate::files::sync_dir;
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The block size for writing records again in place.
const COPY_BYTES: usize = 256 << 10;

/// A segment with records that are not known to be flushed.
#[derive(Debug)]
struct Unflushed {
    disk: Arc<Disk>,
    header: Header,
    /// Everything before this offset is flushed.
    from: u64,
    last: Mark,
    /// Where the segment ended when it was closed; `None`: it gets records.
    end: Option<u64>,
}

impl Unflushed {
    fn at(disk: &Arc<Disk>, header: Header, from: u64, last: Mark) -> Self {
        Self { disk: Arc::clone(disk), header, from, last, end: None }
    }

    /// Whether the unflushed bytes up to `end` can still be read as they were written.
    fn is_whole(&self, path: PathBuf, end: u64) -> Result<bool, JournalError> {
        let file = self.disk.reader().map_err(JournalError::io("open", &path))?;
        let position = self.last.position + 1;
        let mut walk = Walk::resume(file, path, self.header, self.from, position, self.last.chain);
        while walk.offset < end {
            if !matches!(walk.step(true)?, Step::Record(_)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes the same bytes over the unflushed ones up to `end`, so that the next flush writes them again.
    fn write_again(&self, end: u64) -> io::Result<()> {
        let mut at = self.from;
        let mut bytes = vec![0; COPY_BYTES];
        while at < end {
            let size = usize::try_from(end - at).unwrap_or(COPY_BYTES).min(COPY_BYTES);
            self.disk.read_exact_at(&mut bytes[..size], at)?;
            self.disk.write_all_at(&bytes[..size], at)?;
            at += size as u64;
        }
        Ok(())
    }
}

/// Flushes, and changes segments.
#[derive(Debug)]
pub(super) struct Keeper {
    shared: Arc<Shared>,
    flushed: Flushed,
    /// Oldest first; the last one takes records.
    unflushed: VecDeque<Unflushed>,
    /// The next segment, made ahead.
    next: Option<Disk>,
    /// The last segment's first position, while its file still has to be renamed.
    unnamed: Option<u64>,
    /// A file was renamed, and the new name may not be on the disk.
    names_unflushed: bool,
    /// Unflushed records can't be read back: no flush can confirm them any more.
    lost: bool,
}

/// The keeper's thread: runs until the log is closed.
pub(super) fn keep(keeper: &Mutex<Keeper>, log: &Shared, interval: Duration) {
    let mut closing = false;
    while !closing {
        let deadline = Instant::now() + interval;
        // Woken early, it has a segment to change, or the log is closing.
        std::thread::park_timeout(deadline.saturating_duration_since(Instant::now()));
        closing = log.closing.load(Ordering::Acquire);
        let mut keeper = keeper.lock().unwrap_or_else(PoisonError::into_inner);
        let worked = keeper.work();
        keeper.log_result(worked.err());
    }
}

impl Keeper {
    pub fn new(shared: &Arc<Shared>, flushed: Flushed) -> Self {
        let tail = shared.tail();
        // A log is flushed to its end when it is opened.
        let open = Unflushed::at(&tail.disk, tail.header, tail.offset, tail.last);
        Self {
            shared: Arc::clone(shared),
            flushed,
            unflushed: VecDeque::from([open]),
            next: None,
            unnamed: None,
            names_unflushed: false,
            lost: false,
        }
    }

    /// Does everything that is due.
    pub fn work(&mut self) -> io::Result<()> {
        self.name_segment()?;
        if self.next.is_none() {
            // If there is no room for another segment, this one grows; appends report when there is no room
            // at all.
            self.next = Disk::create_next(&self.shared.dir, &self.shared.faults).ok();
        }
        self.change_segment()?;
        self.flush()
    }

    /// Logs once that it fails, and once that it works again.
    fn log_result(&self, error: Option<io::Error>) {
        let failed_before = self.shared.failing.swap(error.is_some(), Ordering::Relaxed);
        match error {
            Some(error) if !failed_before => {
                tracing::error!(%error, "the clicks journal can't be flushed");
            }
            None if failed_before => tracing::info!("the clicks journal is flushed again"),
            _ => {}
        }
    }

    fn name_segment(&mut self) -> io::Result<()> {
        if let Some(first_position) = self.unnamed {
            let named = segment_path(&self.shared.dir, first_position);
            std::fs::rename(self.shared.dir.join(NEXT), named)?;
            self.unnamed = None;
            self.names_unflushed = true;
        }
        if self.names_unflushed {
            sync_dir(&self.shared.dir)?;
            self.names_unflushed = false;
        }
        Ok(())
    }

    /// Records go to the next segment if this one is full. Only the header is written under the lock.
    fn change_segment(&mut self) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let mut tail = shared.tail();
        let full = tail.offset >= shared.segment_bytes && tail.offset > HEADER_BYTES as u64;
        // A closed segment ends with a whole record.
        if !full || tail.junk {
            return Ok(());
        }
        let Some(next) = self.next.take() else { return Ok(()) };
        let header =
            Header { first_position: tail.last.position + 1, chain_before: tail.last.chain, ..tail.header };
        if let Err(error) = next.write_all_at(&header.encode(), 0) {
            self.next = Some(next);
            return Err(error);
        }
        self.unnamed = Some(header.first_position);
        self.go_on_with(&mut tail, next, header);
        drop(tail);
        self.name_segment()
    }

    fn go_on_with(&mut self, tail: &mut Tail, next: Disk, header: Header) {
        let start = HEADER_BYTES as u64;
        let next = Arc::new(next);
        if let Some(closed) = self.unflushed.back_mut() {
            closed.end = Some(tail.offset);
        }
        self.unflushed.push_back(Unflushed::at(&next, header, start, tail.last));
        tail.disk = next;
        tail.header = header;
        tail.offset = start;
        tail.keeper_called = false;
    }

    /// Flushes everything that is written by now, and notes the position.
    fn flush(&mut self) -> io::Result<()> {
        let (offset, last) = {
            let tail = self.shared.tail();
            self.shared.appended_bytes.store(tail.bytes, Ordering::Relaxed);
            (tail.offset, tail.last)
        };
        self.flush_to(offset, last)
    }

    pub fn flush_tail(&mut self, tail: &mut Tail) -> io::Result<()> {
        if tail.junk {
            tail.disk.cut(tail.offset)?;
            tail.junk = false;
        }
        self.flush_to(tail.offset, tail.last)
    }

    fn flush_to(&mut self, offset: u64, last: Mark) -> io::Result<()> {
        if self.lost {
            return Err(io::Error::other("unflushed clicks were lost"));
        }
        while let Some(oldest) = self.unflushed.front() {
            let end = oldest.end.unwrap_or(offset);
            let nothing_new = oldest.end.is_none() && oldest.from == offset;
            if !nothing_new && let Err(error) = oldest.disk.sync_data() {
                return Err(self.doubt(end, error));
            }
            if oldest.end.is_none() {
                break;
            }
            self.unflushed.pop_front();
        }
        let Some(open) = self.unflushed.back_mut() else { return Ok(()) };
        if self.shared.flushed_position.load(Ordering::Acquire) == last.position {
            return self.flushed.sync();
        }
        (open.from, open.last) = (offset, last);
        self.flushed.write(last)?;
        self.shared.flushed_position.store(last.position, Ordering::Release);
        self.flushed.sync()
    }

    /// A flush of the oldest segment failed: see the module.
    fn doubt(&mut self, end: u64, error: io::Error) -> io::Error {
        let Some(oldest) = self.unflushed.front() else { return error };
        let first = oldest.header.first_position;
        let path = if self.unnamed == Some(first) {
            self.shared.dir.join(NEXT)
        } else {
            segment_path(&self.shared.dir, first)
        };
        match oldest.is_whole(path, end) {
            Ok(true) => {
                if let Err(again) = oldest.write_again(end) {
                    // The next flush has the same doubt, and tries again.
                    tracing::warn!(error = %again, "unflushed clicks could not be written again");
                }
            }
            Ok(false) => {
                tracing::error!("unflushed clicks can't be read back: the log takes no more");
                self.lost = true;
                self.shared.tail().lost = true;
            }
            Err(again) => tracing::warn!(error = %again, "unflushed clicks could not be read"),
        }
        error
    }

    /// A new segment of a later epoch, at once.
    pub fn start_epoch(&mut self, tail: &mut Tail, epoch: u32) -> io::Result<()> {
        let header = Header {
            epoch,
            first_position: tail.last.position + 1,
            chain_before: tail.last.chain,
            ..tail.header
        };
        // It takes the name of the segment that was made ahead.
        self.next = None;
        let disk = Disk::create_segment(&self.shared.dir, &header, &self.shared.faults)?;
        self.go_on_with(tail, disk, header);
        Ok(())
    }
}
