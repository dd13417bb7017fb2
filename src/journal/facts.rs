//! The facts log: a record is on the disk before its append completes.
//!
//! One thread writes. It takes the waiting records, up to [`MAX_BATCH_BYTES`], writes them with one call,
//! flushes, notes the place in `flushed`, and only then completes the appends: the more of them wait, the
//! less a flush costs each.
//!
//! When the disk returns an error:
//! - After a failed **write**, what it left is cut off, and the whole batch fails. The next batch tries
//!   again: the log continues by itself when there is room.
//! - After a failed **flush** it is unknown what the kernel has written: pages may read as written and never
//!   reach the disk, and the next flush may succeed all the same. So the segment gets no record any more.
//!   Before the next batch it is cut back to the last flushed record, flushed, read again with every
//!   checksum, and followed by a new segment. Until all of that succeeds, every batch fails.

use super::disk::{Disk, segment_path};
use super::error::{AppendError, JournalError};
use super::faults::FaultInjection;
use super::flushed::{Flushed, Mark};
use super::node::Beginning;
use super::read::{Batch, Reader};
use super::record::{HEADER_BYTES, Header, MAX_FACT_BYTES, RECORD_HEAD, encode};
use super::recover::Recovered;
use super::walk::{Step, Walk};
use crate::store::Log;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// The size of a batch: a larger one would hardly make a flush cheaper per record, and a batch must not take
/// long.
pub const MAX_BATCH_BYTES: usize = 4 << 20;
/// Appends that may wait for the disk.
pub const MAX_WAITING_APPENDS: usize = 16 << 10;
/// Bytes that may wait for the disk.
pub const MAX_WAITING_BYTES: usize = 64 << 20;
/// How long the file `flushed` may itself be unflushed.
const FLUSHED_SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// The facts log of a node.
#[derive(Debug)]
pub struct FactLog {
    /// `None` once the log closes.
    sender: Option<SyncSender<Request>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    tail: Mutex<Tail>,
    waiting_bytes: AtomicUsize,
    /// The last batch failed.
    failing: AtomicBool,
    last_position: watch::Sender<u64>,
}

impl Shared {
    fn tail(&self) -> MutexGuard<'_, Tail> {
        // A panic while the tail was held can only come from a failed allocation before the write: the tail's
        // fields change after the flush, together.
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records of one caller, to be appended in this order.
#[derive(Debug)]
struct Request {
    payloads: Vec<Vec<u8>>,
    bytes: usize,
    reply: oneshot::Sender<Result<Range<u64>, AppendError>>,
}

impl FactLog {
    pub(super) fn start(
        dir: &Path,
        found: Recovered,
        segment_bytes: u64,
        faults: FaultInjection,
        #[cfg(feature = "sabotage")] ack_before_flush: bool,
    ) -> io::Result<Self> {
        let (sender, receiver) = mpsc::sync_channel(MAX_WAITING_APPENDS);
        let shared = Arc::new(Shared {
            last_position: watch::Sender::new(found.last.position),
            waiting_bytes: AtomicUsize::new(0),
            failing: AtomicBool::new(false),
            tail: Mutex::new(Tail {
                dir: dir.to_owned(),
                segment_bytes,
                disk: Disk::new(found.file, faults.clone()),
                faults,
                header: found.header,
                offset: found.offset,
                last: found.last,
                flushed: found.flushed,
                suspect: false,
                junk: false,
                begins: None,
                buffer: Vec::new(),
                #[cfg(feature = "sabotage")]
                sabotage: ack_before_flush.then_some(0),
            }),
        });
        let writer = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("facts-journal".into())
            .spawn(move || write_batches(&receiver, &writer))?;
        Ok(Self { sender: Some(sender), shared, thread: Some(thread) })
    }

    /// Appends a record and returns its position when it is on the disk. The record is already queued when
    /// this returns: dropping the future does not take it back.
    pub fn append(&self, payload: Vec<u8>) -> impl Future<Output = Result<u64, AppendError>> + Send + use<> {
        let appended = self.append_many(vec![payload]);
        async move { Ok(appended.await?.start) }
    }

    /// Appends records one after the other, with one flush, and returns their positions. All of them are
    /// acknowledged or none; a crash before that may leave the first few.
    pub fn append_many(
        &self,
        payloads: Vec<Vec<u8>>,
    ) -> impl Future<Output = Result<Range<u64>, AppendError>> + Send + use<> {
        let sent = self.send(payloads);
        async move { sent?.await.unwrap_or(Err(AppendError::Closed)) }
    }

    fn send(
        &self,
        payloads: Vec<Vec<u8>>,
    ) -> Result<oneshot::Receiver<Result<Range<u64>, AppendError>>, AppendError> {
        let bytes = size(&payloads)?;
        let (reply, answer) = oneshot::channel();
        let sender = self.sender.as_ref().ok_or(AppendError::Closed)?;
        let waiting = self.shared.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let sent = if waiting + bytes > MAX_WAITING_BYTES {
            Err(AppendError::QueueFull)
        } else {
            sender.try_send(Request { payloads, bytes, reply }).map_err(|error| match error {
                TrySendError::Full(_) => AppendError::QueueFull,
                TrySendError::Disconnected(_) => AppendError::Closed,
            })
        };
        if sent.is_err() {
            self.shared.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        sent.map(|()| answer)
    }

    /// The position of the last record; it is on the disk.
    pub fn last_position(&self) -> u64 {
        *self.shared.last_position.borrow()
    }

    /// Notifies each time that [`Self::last_position`] changes.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.last_position.subscribe()
    }

    /// Bytes of appends that wait for the disk.
    pub fn waiting_bytes(&self) -> usize {
        self.shared.waiting_bytes.load(Ordering::Relaxed)
    }

    /// Whether the last batch failed.
    pub fn is_failing(&self) -> bool {
        self.shared.failing.load(Ordering::Relaxed)
    }

    /// Stops all writes to the log, ready for records; everything in it is flushed.
    pub(super) fn hold(&self) -> Result<Held<'_>, JournalError> {
        let mut held = Held { tail: self.shared.tail(), shared: &self.shared };
        held.heal()?;
        Ok(held)
    }
}

/// A log to which nobody else writes meanwhile.
pub(super) struct Held<'log> {
    tail: MutexGuard<'log, Tail>,
    shared: &'log Shared,
}

impl Held<'_> {
    pub fn last_position(&self) -> u64 {
        self.tail.last.position
    }

    /// Begins an epoch. After an error the log accepts no record until the rest is done.
    pub fn begin(&mut self, beginning: &Beginning) -> Result<(), JournalError> {
        self.tail.begins = Some(beginning.clone());
        self.heal()
    }

    fn heal(&mut self) -> Result<(), JournalError> {
        let healed = self.tail.heal();
        self.shared.last_position.send_replace(self.tail.last.position);
        healed.map_err(JournalError::io("repair a segment in", &self.tail.dir))
    }
}

impl Drop for FactLog {
    /// Writes what waits, and flushes `flushed`.
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // The thread's panic was printed where it happened; there is nothing else to report it to.
            let _ = thread.join();
        }
    }
}

fn size(payloads: &[Vec<u8>]) -> Result<usize, AppendError> {
    let mut bytes = 0;
    for payload in payloads {
        if payload.is_empty() {
            return Err(AppendError::Empty);
        }
        if payload.len() > MAX_FACT_BYTES {
            return Err(AppendError::TooLarge { bytes: payload.len(), limit: MAX_FACT_BYTES });
        }
        bytes += RECORD_HEAD + payload.len();
    }
    if bytes > MAX_BATCH_BYTES {
        return Err(AppendError::TooLarge { bytes, limit: MAX_BATCH_BYTES });
    }
    Ok(bytes)
}

/// The writer thread: runs until all senders are gone.
fn write_batches(receiver: &Receiver<Request>, shared: &Shared) {
    let mut batch: Vec<Request> = Vec::new();
    let mut last_sync = Instant::now();
    loop {
        match receiver.recv_timeout(FLUSHED_SYNC_INTERVAL) {
            Ok(first) => batch.push(first),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        let mut bytes = batch.first().map_or(0, |first| first.bytes);
        while bytes > 0 && bytes < MAX_BATCH_BYTES {
            let Ok(more) = receiver.try_recv() else { break };
            bytes += more.bytes;
            batch.push(more);
        }
        let mut tail = shared.tail();
        if !batch.is_empty() {
            write_batch(&mut tail, &mut batch, shared);
            shared.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        if last_sync.elapsed() >= FLUSHED_SYNC_INTERVAL {
            tail.sync_flushed();
            last_sync = Instant::now();
        }
    }
    shared.tail().sync_flushed();
}

fn write_batch(tail: &mut Tail, batch: &mut Vec<Request>, shared: &Shared) {
    let payloads = batch.iter().flat_map(|request| &request.payloads);
    let written = tail.write(payloads.map(Vec::as_slice));
    match written {
        Ok(mut next) => {
            if shared.failing.swap(false, Ordering::Relaxed) {
                tracing::info!("the facts journal is written again");
            }
            shared.last_position.send_replace(tail.last.position);
            for request in batch.drain(..) {
                let end = next + request.payloads.len() as u64;
                // A caller that stopped waiting does not need the answer.
                let _ = request.reply.send(Ok(next..end));
                next = end;
            }
        }
        Err(error) => {
            if !shared.failing.swap(true, Ordering::Relaxed) {
                tracing::error!(%error, "the facts journal can't be written: facts are refused");
            }
            let error = Arc::new(error);
            for request in batch.drain(..) {
                let _ = request.reply.send(Err(AppendError::Disk(Arc::clone(&error))));
            }
        }
    }
}

/// Where the next record goes. Everything before is flushed.
#[derive(Debug)]
struct Tail {
    dir: PathBuf,
    segment_bytes: u64,
    faults: FaultInjection,
    disk: Disk,
    header: Header,
    offset: u64,
    last: Mark,
    flushed: Flushed,
    /// A flush of the segment failed.
    suspect: bool,
    /// The remains of a failed write could not be cut off.
    junk: bool,
    /// An epoch whose beginning is not complete.
    begins: Option<Beginning>,
    buffer: Vec<u8>,
    /// Acknowledges before it flushes, and counts the batches since: a wrong variant that tests must detect.
    #[cfg(feature = "sabotage")]
    sabotage: Option<u32>,
}

impl Tail {
    /// Writes and flushes records; returns the first one's position.
    fn write<'a>(&mut self, payloads: impl Iterator<Item = &'a [u8]>) -> io::Result<u64> {
        self.heal()?;
        self.append(payloads)
    }

    fn append<'a>(&mut self, payloads: impl Iterator<Item = &'a [u8]>) -> io::Result<u64> {
        if self.offset >= self.segment_bytes {
            self.next_segment(self.header.epoch)?;
        }
        let first = self.last.position + 1;
        let mut last = self.last;
        self.buffer.clear();
        for payload in payloads {
            last.position += 1;
            last.chain = encode(&mut self.buffer, &last.chain, self.header.epoch, last.position, payload);
        }
        if let Err(error) = self.disk.write_all_at(&self.buffer, self.offset) {
            self.junk = self.disk.cut(self.offset).is_err();
            return Err(error);
        }
        if self.flush_is_due() {
            if let Err(error) = self.disk.sync_data() {
                self.suspect = true;
                // These were not acknowledged; if the process dies before the segment is repaired, they are
                // gone.
                self.junk = self.disk.cut(self.offset).is_err();
                return Err(error);
            }
            self.note_flushed(last);
        }
        self.offset += self.buffer.len() as u64;
        self.last = last;
        Ok(first)
    }

    /// The records are on the disk even if this can't be noted: `flushed` then names an older flush.
    fn note_flushed(&mut self, last: Mark) {
        if let Err(error) = self.flushed.write(last) {
            tracing::error!(%error, "the flushed position of the facts journal could not be noted");
        }
    }

    fn sync_flushed(&mut self) {
        if let Err(error) = self.flushed.sync() {
            tracing::error!(%error, "the flushed position of the facts journal could not be flushed");
        }
    }

    #[cfg(not(feature = "sabotage"))]
    #[expect(clippy::unused_self, reason = "its sabotaged twin counts")]
    const fn flush_is_due(&self) -> bool {
        true
    }

    #[cfg(feature = "sabotage")]
    fn flush_is_due(&mut self) -> bool {
        self.sabotage.as_mut().is_none_or(|batches| {
            *batches += 1;
            *batches % 16 == 0
        })
    }

    /// Makes the segment ready for records again after a failure; without one it does nothing.
    fn heal(&mut self) -> io::Result<()> {
        if self.junk || self.suspect {
            self.disk.cut(self.offset)?;
            self.junk = false;
        }
        if self.suspect {
            self.disk.sync_all()?;
            self.read_again()?;
            self.next_segment(self.header.epoch)?;
            self.suspect = false;
            tracing::warn!(position = self.last.position, "a new segment follows one whose flush failed");
        }
        self.go_on_beginning()
    }

    /// Completes the beginning of an epoch.
    fn go_on_beginning(&mut self) -> io::Result<()> {
        let Some(beginning) = self.begins.clone() else { return Ok(()) };
        if self.header.epoch < beginning.epoch {
            self.next_segment(beginning.epoch)?;
        }
        let (dir, left) = (self.dir.clone(), beginning.left(self.last.position));
        let write = |batch: &Batch| self.append(batch.iter().map(|(_, payload)| payload)).map(drop);
        Reader::repeat(&dir, Log::Facts, &left, write).map_err(io::Error::other)?;
        self.begins = None;
        Ok(())
    }

    /// Reads the segment from its start to the last flushed record, with every checksum.
    fn read_again(&self) -> io::Result<()> {
        let path = segment_path(&self.dir, self.header.first_position);
        let mut walk = Walk::start(self.disk.reader()?, path, self.header.log, self.header.first_position)
            .map_err(io::Error::other)?;
        loop {
            let what = match walk.step(true).map_err(io::Error::other)? {
                Step::Record(_) => continue,
                Step::End => "the segment ends elsewhere",
                Step::Bad(what) => what,
            };
            if walk.offset == self.offset && walk.chain == self.last.chain {
                return Ok(());
            }
            return Err(io::Error::other(walk.damage(what)));
        }
    }

    fn next_segment(&mut self, epoch: u32) -> io::Result<()> {
        let header = Header {
            epoch,
            first_position: self.last.position + 1,
            chain_before: self.last.chain,
            ..self.header
        };
        self.disk = Disk::create_segment(&self.dir, &header, &self.faults)?;
        self.header = header;
        self.offset = HEADER_BYTES as u64;
        Ok(())
    }
}
