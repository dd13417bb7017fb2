//! The clicks log: the serving thread writes a record itself and continues.
//!
//! An append takes a lock, hashes, and makes one write into the page cache: it survives the end of the
//! process, not a power cut. Nothing else is done under the lock. A second thread, the keeper, flushes each
//! [`Settings::click_flush_interval`](super::Settings), makes the next segment ahead, and changes segments; a
//! segment grows past its size while the keeper can't.
//!
//! Nobody waits long: a thread that does not get the lock within [`LOCK_WAIT`] drops the click, and while the
//! lock is not given back, all other threads drop theirs at once. So a stalled disk blocks only one serving
//! thread, the one inside the write.
//!
//! That thread may be the one that would have waited for the sockets, and while it is in the write no thread
//! does: the others sleep, and every request waits. So a third thread, the [watch](super::watch), looks at
//! the appends: when one does not return, it first wakes another serving thread, and then has clicks dropped
//! at once.
//!
//! After a failed write, what it left is cut off and its click is dropped; the next append tries again. After
//! a failed flush it is unknown what the kernel has written, so the keeper reads what was not flushed yet,
//! checks it, and writes the same bytes over it, until a flush succeeds. If they can't be read back whole,
//! positions that the store may have applied are lost: the log accepts nothing more, and a restart cuts it
//! and, by what the store remembers, begins a new epoch.

use super::disk::Disk;
use super::error::JournalError;
use super::faults::FaultInjection;
use super::flushed::Mark;
use super::keeper::{Keeper, keep};
use super::node::Beginning;
use super::read::Reader;
use super::record::{Header, MAX_CLICK_BYTES, RECORD_HEAD, encode};
use super::recover::Recovered;
use super::watch::{Appends, Watch};
use crate::domain::outcome::ClickDrop;
use crate::store::Log;
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long an append may wait for the one before it. That is a few turns of the scheduler, since the other
/// thread may have lost its core while it wrote. A disk that stalls delays each serving thread this long
/// once.
pub const LOCK_WAIT: Duration = Duration::from_millis(20);
/// The part of this wait in which the thread only lets others run.
const YIELD_TIME: Duration = Duration::from_micros(200);
/// The sleep between later checks of the lock.
const SLEEP_TIME: Duration = Duration::from_micros(100);
/// Checks of the lock before the thread lets others run: about the time of one append.
const SPINS: u32 = 200;
/// The size of the backlog is known to within one such part of its cap.
const MARKS: u64 = 1_024;
/// Room for twice as many, so that an append never makes the list grow.
const MARKS_ROOM: usize = 2_048;

/// The clicks log of a node.
#[derive(Debug)]
pub struct ClickLog {
    shared: Arc<Shared>,
    keeper: Arc<Mutex<Keeper>>,
    thread: Option<JoinHandle<()>>,
    watch: Watch,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub dir: PathBuf,
    pub segment_bytes: u64,
    backlog_cap: u64,
    pub faults: FaultInjection,
    tail: Mutex<Tail>,
    /// A thread did not get the tail in time, and no thread got it since.
    stuck: AtomicBool,
    pub appends: Appends,
    last_position: AtomicU64,
    pub flushed_position: AtomicU64,
    /// Bytes appended since the log was opened, as of the last mark, and the part of them that is drained.
    pub appended_bytes: AtomicU64,
    drained_bytes: AtomicU64,
    /// Positions, each with the bytes appended up to it.
    marks: Mutex<VecDeque<(u64, u64)>>,
    /// The last flush failed.
    pub failing: AtomicBool,
    pub closing: AtomicBool,
}

/// Where the next record goes.
#[derive(Debug)]
pub(super) struct Tail {
    pub disk: Arc<Disk>,
    pub header: Header,
    pub offset: u64,
    pub last: Mark,
    pub bytes: u64,
    next_mark: u64,
    /// The remains of a failed write could not be cut off.
    pub junk: bool,
    /// Unflushed records can't be read back: see the module.
    pub lost: bool,
    pub keeper_called: bool,
    /// An epoch whose beginning is not complete: until then no click is accepted.
    begins: Option<Beginning>,
    buffer: Vec<u8>,
}

impl ClickLog {
    pub(super) fn start(
        dir: &Path,
        found: Recovered,
        settings: &super::Settings,
        faults: FaultInjection,
    ) -> io::Result<Self> {
        let disk = Arc::new(Disk::new(found.file, faults.clone()));
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            segment_bytes: settings.segment_bytes,
            backlog_cap: settings.click_backlog_bytes,
            faults,
            stuck: AtomicBool::new(false),
            appends: Appends::default(),
            last_position: AtomicU64::new(found.last.position),
            flushed_position: AtomicU64::new(found.last.position),
            appended_bytes: AtomicU64::new(0),
            drained_bytes: AtomicU64::new(0),
            marks: Mutex::new(VecDeque::with_capacity(MARKS_ROOM)),
            failing: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            tail: Mutex::new(Tail {
                disk,
                header: found.header,
                offset: found.offset,
                last: found.last,
                bytes: 0,
                next_mark: 0,
                junk: false,
                lost: false,
                keeper_called: false,
                begins: None,
                buffer: Vec::with_capacity(RECORD_HEAD + MAX_CLICK_BYTES),
            }),
        });
        let keeper = Arc::new(Mutex::new(Keeper::new(&shared, found.flushed)));
        let (kept, log) = (Arc::clone(&keeper), Arc::clone(&shared));
        let interval = settings.click_flush_interval;
        let thread = std::thread::Builder::new()
            .name("clicks-journal".into())
            .spawn(move || keep(&kept, &log, interval))?;
        let watch = Watch::start(Arc::clone(&shared))?;
        Ok(Self { shared, keeper, thread: Some(thread), watch })
    }

    /// Appends a record and returns its position, or why the click is dropped. It never waits long and never
    /// allocates. A record that is empty or larger than [`MAX_CLICK_BYTES`] counts as refused.
    pub fn append(&self, payload: &[u8]) -> Result<u64, ClickDrop> {
        if payload.is_empty() || payload.len() > MAX_CLICK_BYTES {
            return Err(ClickDrop::JournalFailed);
        }
        let mut guard = self.shared.tail_in_time().ok_or(ClickDrop::JournalBusy)?;
        let tail = &mut *guard;
        let size = (RECORD_HEAD + payload.len()) as u64;
        if tail.bytes + size > self.shared.backlog_cap + self.shared.drained_bytes.load(Ordering::Relaxed) {
            return Err(ClickDrop::BacklogFull);
        }
        if self.shared.appends.begin() {
            self.watch.wake();
        }
        let written = tail.write(payload);
        self.shared.appends.end();
        if written.is_err() {
            return Err(ClickDrop::JournalFailed);
        }
        self.shared.last_position.store(tail.last.position, Ordering::Release);
        if tail.bytes >= tail.next_mark {
            self.shared.mark(tail);
        }
        let position = tail.last.position;
        if tail.offset >= self.shared.segment_bytes && !tail.keeper_called {
            tail.keeper_called = true;
            drop(guard);
            self.call_keeper();
        }
        Ok(position)
    }

    /// The position of the last record: written, and perhaps not yet flushed.
    pub fn last_position(&self) -> u64 {
        self.shared.last_position.load(Ordering::Acquire)
    }

    /// The position of the last record that is on the disk.
    pub fn flushed_position(&self) -> u64 {
        self.shared.flushed_position.load(Ordering::Acquire)
    }

    /// Records that the store has applied everything up to this position, so that it no longer counts as
    /// backlog.
    pub fn set_drained(&self, position: u64) {
        let mut marks = self.shared.marks();
        while let Some((_, bytes)) = marks.pop_front_if(|(marked, _)| *marked <= position) {
            self.shared.drained_bytes.store(bytes, Ordering::Relaxed);
        }
        drop(marks);
        // At the end of the log there is no mark to wait for.
        if position >= self.last_position()
            && let Some(tail) = self.shared.free_tail()
            && position >= tail.last.position
        {
            self.shared.drained_bytes.store(tail.bytes, Ordering::Relaxed);
            self.shared.appended_bytes.store(tail.bytes, Ordering::Relaxed);
        }
    }

    /// Bytes appended since the log was opened and not drained, to within about a thousandth of the cap.
    pub fn backlog_bytes(&self) -> u64 {
        let appended = self.shared.appended_bytes.load(Ordering::Relaxed);
        appended.saturating_sub(self.shared.drained_bytes.load(Ordering::Relaxed))
    }

    /// Whether the last flush failed. Appends that fail report it themselves.
    pub fn is_failing(&self) -> bool {
        self.shared.failing.load(Ordering::Relaxed)
    }

    /// Flushes now; returns the last flushed position.
    pub fn flush(&self) -> io::Result<u64> {
        self.keeper().work()?;
        Ok(self.flushed_position())
    }

    /// Stops all writes to the log; everything in it is flushed.
    pub(super) fn hold(&self) -> Result<Held<'_>, JournalError> {
        let dir = &self.shared.dir;
        let mut keeper = self.keeper();
        keeper.work().map_err(JournalError::io("flush a segment in", dir))?;
        let mut tail = self.shared.tail();
        keeper.flush_tail(&mut tail).map_err(JournalError::io("flush a segment in", dir))?;
        Ok(Held { keeper, tail, shared: &self.shared })
    }

    /// Completes the beginning of an epoch.
    pub(super) fn go_on_beginning(&self) -> Result<(), JournalError> {
        let begins = self.shared.tail().begins.clone();
        begins.map_or(Ok(()), |beginning| self.hold()?.begin(&beginning))
    }

    fn keeper(&self) -> MutexGuard<'_, Keeper> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call_keeper(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

/// A log to which nobody else writes meanwhile.
pub(super) struct Held<'log> {
    keeper: MutexGuard<'log, Keeper>,
    tail: MutexGuard<'log, Tail>,
    shared: &'log Shared,
}

impl Held<'_> {
    pub fn last_position(&self) -> u64 {
        self.tail.last.position
    }

    /// Begins an epoch. After an error the log accepts no click until the rest is done.
    pub fn begin(&mut self, beginning: &Beginning) -> Result<(), JournalError> {
        self.tail.begins = Some(beginning.clone());
        let begun = self.repeat(beginning);
        self.shared.last_position.store(self.tail.last.position, Ordering::Release);
        self.shared.mark(&mut self.tail);
        begun?;
        self.tail.begins = None;
        Ok(())
    }

    fn repeat(&mut self, beginning: &Beginning) -> Result<(), JournalError> {
        let dir = &self.shared.dir;
        if self.tail.header.epoch < beginning.epoch {
            let started = self.keeper.start_epoch(&mut self.tail, beginning.epoch);
            started.map_err(JournalError::io("create a segment in", dir))?;
        }
        let left = beginning.left(self.tail.last.position);
        Reader::repeat(dir, Log::Clicks, &left, |batch| {
            batch.iter().try_for_each(|(_, payload)| self.tail.append(payload))
        })
    }
}

impl Drop for ClickLog {
    /// Flushes what was appended.
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        self.call_keeper();
        if let Some(thread) = self.thread.take() {
            // The thread's panic was printed where it happened; there is nothing else to report it to.
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// The tail, after any wait.
    pub fn tail(&self) -> MutexGuard<'_, Tail> {
        // Nothing panics while the tail is held: its buffer is as large as a record can be.
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn marks(&self) -> MutexGuard<'_, VecDeque<(u64, u64)>> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn free_tail(&self) -> Option<MutexGuard<'_, Tail>> {
        let tail = match self.tail.try_lock() {
            Ok(tail) => tail,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        if self.stuck.load(Ordering::Relaxed) {
            self.stuck.store(false, Ordering::Relaxed);
        }
        Some(tail)
    }

    /// The tail within [`LOCK_WAIT`]; while others have waited in vain, at once or not at all.
    fn tail_in_time(&self) -> Option<MutexGuard<'_, Tail>> {
        if let Some(tail) = self.free_tail() {
            return Some(tail);
        }
        if self.stuck.load(Ordering::Relaxed) {
            return None;
        }
        for _ in 0..SPINS {
            std::hint::spin_loop();
            if let Some(tail) = self.free_tail() {
                return Some(tail);
            }
        }
        let start = Instant::now();
        loop {
            let waited = start.elapsed();
            if waited < YIELD_TIME {
                std::thread::yield_now();
            } else {
                std::thread::sleep(SLEEP_TIME);
            }
            if let Some(tail) = self.free_tail() {
                return Some(tail);
            }
            if self.stuck.load(Ordering::Relaxed) {
                return None;
            }
            if waited >= LOCK_WAIT {
                if !self.stuck.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        "the disk does not answer: clicks are redirected and dropped until it does"
                    );
                }
                return None;
            }
        }
    }

    fn mark(&self, tail: &mut Tail) {
        self.marks().push_back((tail.last.position, tail.bytes));
        self.appended_bytes.store(tail.bytes, Ordering::Relaxed);
        tail.next_mark = tail.bytes + self.backlog_cap / MARKS;
    }
}

impl Tail {
    fn write(&mut self, payload: &[u8]) -> io::Result<()> {
        if self.begins.is_some() {
            return Err(io::Error::other("a new epoch has not begun whole"));
        }
        self.append(payload)
    }

    fn append(&mut self, payload: &[u8]) -> io::Result<()> {
        if self.lost {
            return Err(io::Error::other("unflushed clicks were lost"));
        }
        if self.junk {
            self.disk.cut(self.offset)?;
            self.junk = false;
        }
        self.buffer.clear();
        let position = self.last.position + 1;
        let chain = encode(&mut self.buffer, &self.last.chain, self.header.epoch, position, payload);
        if let Err(error) = self.disk.write_all_at(&self.buffer, self.offset) {
            self.junk = self.disk.cut(self.offset).is_err();
            return Err(error);
        }
        self.offset += self.buffer.len() as u64;
        self.bytes += self.buffer.len() as u64;
        self.last = Mark { position, chain };
        Ok(())
    }
}
