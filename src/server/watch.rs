//! Time-outs that are cheap enough for every request.
//!
//! A timer per request would cost more than parsing the request. So a connection has one alarm, set far
//! ahead. When it fires, it checks what the connection is waiting for and since when; the time comes from a
//! coarse clock that one task updates. hyper shows when it begins and stops to wait for headers by making and
//! dropping what it takes for its timer: that is [`HeadWait`].

use super::{Limits, READ_BYTES};
use memchr::memchr_iter;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, Take};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;

/// Reads from a peer that is still sending, before other tasks run.
const LINGER_READS: usize = 16;
/// No time-out is set.
const NONE: u64 = u64::MAX;

/// Milliseconds since the listener's start, slightly out of date.
#[derive(Debug, Clone)]
pub(super) struct CoarseClock(Arc<AtomicU64>);

impl CoarseClock {
    /// Starts a clock that runs until nobody holds it, fine enough for the shortest limit.
    pub(super) fn start(limits: &Limits) -> Self {
        let shortest = shortest(limits);
        let tick = (shortest / 4).clamp(Duration::from_millis(5), Duration::from_millis(100));
        let now = Arc::new(AtomicU64::new(0));
        tokio::spawn(advance(Arc::downgrade(&now), tick));
        Self(now)
    }
    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

async fn advance(clock: Weak<AtomicU64>, tick: Duration) {
    let start = Instant::now();
    let mut ticks = tokio::time::interval(tick);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(clock) = clock.upgrade() else { return };
        clock.store(millis(start.elapsed()), Ordering::Relaxed);
    }
}

fn shortest(limits: &Limits) -> Duration {
    limits.header_timeout.min(limits.keep_alive_timeout).min(limits.slow_reader_timeout)
}

fn millis(duration: Duration) -> u64 {
    // 2^64 milliseconds are longer than any process runs.
    u64::try_from(duration.as_millis()).unwrap_or(NONE)
}

/// What a connection waits for, and until when. Shared by its reader, its writer and its alarm, which all run
/// in one task: the atomics are never contended, they only make it `Sync`.
#[derive(Debug)]
pub(super) struct Watch {
    clock: CoarseClock,
    header: u64,
    keep_alive: u64,
    slow_reader: u64,
    shortest: u64,
    /// hyper waits for headers until then.
    head_until: AtomicU64,
    /// A byte has come since hyper began to wait for headers.
    head_begun: AtomicBool,
    /// Bytes that came since hyper began to wait for headers.
    head_bytes: AtomicUsize,
    /// Headers came that do not fit one read.
    large_head: AtomicBool,
    /// A line of headers ended without a carriage return.
    bare_line_feed: AtomicBool,
    /// The last request has a body, and some of it may not have arrived yet.
    has_body: AtomicBool,
    /// The connection has had a request.
    used: AtomicBool,
    /// The peer must take more of the answer until then.
    write_until: AtomicU64,
    /// When the wait for the peer began.
    stalled_since: AtomicU64,
    /// Milliseconds of waiting that the answer still has. Each byte that is taken adds one, so that a reader
    /// of a kilobyte per second is never cut off.
    patience: AtomicU64,
}

impl Watch {
    pub(super) fn new(limits: &Limits, clock: CoarseClock) -> Self {
        let header = millis(limits.header_timeout);
        let slow_reader = millis(limits.slow_reader_timeout);
        Self {
            head_until: AtomicU64::new(clock.now() + header),
            clock,
            header,
            keep_alive: millis(limits.keep_alive_timeout),
            slow_reader,
            shortest: millis(shortest(limits)),
            head_begun: AtomicBool::new(false),
            head_bytes: AtomicUsize::new(0),
            large_head: AtomicBool::new(false),
            bare_line_feed: AtomicBool::new(false),
            has_body: AtomicBool::new(false),
            used: AtomicBool::new(false),
            write_until: AtomicU64::new(NONE),
            stalled_since: AtomicU64::new(NONE),
            patience: AtomicU64::new(slow_reader),
        }
    }

    /// What hyper takes for its timer.
    pub(super) fn timer(self: &Arc<Self>) -> HeadTimer {
        HeadTimer(Arc::clone(self))
    }

    fn until(&self) -> u64 {
        self.head_until.load(Ordering::Relaxed).min(self.write_until.load(Ordering::Relaxed))
    }

    /// Whether a time-out has passed.
    pub(super) fn is_over(&self) -> bool {
        self.until() <= self.clock.now()
    }

    /// When the alarm must fire next. A later time-out is at least the shortest limit ahead when it is set,
    /// so an alarm that is not later than that misses none.
    pub(super) fn next_look(&self) -> Duration {
        let until = self.until();
        let ahead = if until == NONE { self.shortest } else { until.saturating_sub(self.clock.now()) };
        // At least a tick: the clock may be slightly behind the alarm.
        Duration::from_millis(ahead.max(5))
    }

    fn head_wait_begins(&self) {
        let limit = if self.used.load(Ordering::Relaxed) { self.keep_alive } else { self.header };
        self.head_begun.store(false, Ordering::Relaxed);
        self.head_bytes.store(0, Ordering::Relaxed);
        self.head_until.store(self.clock.now() + limit, Ordering::Relaxed);
        self.patience.store(self.slow_reader, Ordering::Relaxed);
    }

    fn head_wait_ends(&self) {
        self.used.store(true, Ordering::Relaxed);
        self.head_until.store(NONE, Ordering::Relaxed);
    }

    /// Whether the connection had headers that do not fit one read.
    pub(super) fn had_large_head(&self) -> bool {
        self.large_head.load(Ordering::Relaxed)
    }

    /// Whether hyper waits for the rest of headers that already filled a whole read.
    fn head_is_large(&self) -> bool {
        self.head_until.load(Ordering::Relaxed) != NONE
            && self.head_bytes.load(Ordering::Relaxed) >= READ_BYTES
    }

    fn bytes_came(&self, bytes: usize) {
        self.head_bytes.fetch_add(bytes, Ordering::Relaxed);
        if self.head_until.load(Ordering::Relaxed) != NONE && !self.head_begun.swap(true, Ordering::Relaxed) {
            let until = self.head_until.load(Ordering::Relaxed).min(self.clock.now() + self.header);
            self.head_until.store(until, Ordering::Relaxed);
        }
    }

    /// hyper has read a request's headers.
    pub(super) fn request_came(&self, has_body: bool) {
        self.has_body.store(has_body, Ordering::Relaxed);
    }

    /// Whether a line of headers ended in a way that other programs read differently.
    pub(super) fn had_bare_line_feed(&self) -> bool {
        self.bare_line_feed.load(Ordering::Relaxed)
    }

    /// Checks the bytes that are read while hyper waits for headers.
    fn look_at_head(&self, lines: &mut Lines, came: &[u8]) {
        if self.head_until.load(Ordering::Relaxed) != NONE && lines.have_bare_line_feed(came) {
            self.bare_line_feed.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the peer may still be sending: closing the socket would then reset the connection, and the
    /// answer would be lost.
    fn may_be_sending(&self) -> bool {
        let in_head =
            self.head_until.load(Ordering::Relaxed) != NONE && self.head_begun.load(Ordering::Relaxed);
        in_head || self.has_body.load(Ordering::Relaxed)
    }

    fn linger_begins(&self) {
        self.head_until.store(self.clock.now() + self.shortest, Ordering::Relaxed);
    }

    fn peer_takes_nothing(&self) {
        if self.stalled_since.load(Ordering::Relaxed) == NONE {
            let now = self.clock.now();
            self.stalled_since.store(now, Ordering::Relaxed);
            self.write_until.store(now + self.patience.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    fn peer_took(&self, bytes: usize) {
        let since = self.stalled_since.load(Ordering::Relaxed);
        if since != NONE {
            let waited = self.clock.now().saturating_sub(since);
            // A usize fits a u64 on every platform that tokio runs on.
            let left = self.patience.load(Ordering::Relaxed).saturating_sub(waited) + bytes as u64;
            self.patience.store(left, Ordering::Relaxed);
            self.stalled_since.store(NONE, Ordering::Relaxed);
            self.write_until.store(NONE, Ordering::Relaxed);
        }
    }
}

/// What hyper takes for its timer.
#[derive(Debug, Clone)]
pub(super) struct HeadTimer(Arc<Watch>);

impl hyper::rt::Timer for HeadTimer {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        HeadWait::begin(&self.0)
    }
    fn sleep_until(&self, _: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        HeadWait::begin(&self.0)
    }
    fn reset(&self, _: &mut Pin<Box<dyn hyper::rt::Sleep>>, _: Instant) {
        // The wait continues in the same place; replacing it would end the new one with the old.
        self.0.head_wait_begins();
    }
}

/// Exists while hyper waits for headers. Never ready: the connection's own alarm ends the wait.
struct HeadWait(Arc<Watch>);

impl HeadWait {
    fn begin(watch: &Arc<Watch>) -> Pin<Box<dyn hyper::rt::Sleep>> {
        watch.head_wait_begins();
        Box::pin(Self(Arc::clone(watch)))
    }
}

impl Drop for HeadWait {
    fn drop(&mut self) {
        self.0.head_wait_ends();
    }
}

impl Future for HeadWait {
    type Output = ();
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

impl hyper::rt::Sleep for HeadWait {}

/// Where the reader is in the lines of headers, from read to read.
#[derive(Debug, Default)]
struct Lines {
    last: u8,
    /// Nothing of a line has come except perhaps its carriage return.
    at_start: bool,
}

impl Lines {
    /// Whether a line ends without a carriage return, up to the end of the headers: what follows is a body,
    /// or the beginning of another request. It costs a search for line feeds, not a step for each byte.
    fn have_bare_line_feed(&mut self, came: &[u8]) -> bool {
        let mut begin = 0;
        for end in memchr_iter(b'\n', came) {
            self.go_on(&came[begin..end]);
            if self.last != b'\r' {
                return true;
            }
            if self.at_start {
                let rest = &came[end + 1..];
                self.last = rest.last().copied().unwrap_or(b'\n');
                self.at_start = rest.ends_with(b"\n");
                return false;
            }
            *self = Self { last: b'\n', at_start: true };
            begin = end + 1;
        }
        self.go_on(&came[begin..]);
        false
    }

    /// Takes in a part of a line that holds no line feed.
    fn go_on(&mut self, part: &[u8]) {
        self.last = part.last().copied().unwrap_or(self.last);
        self.at_start = self.at_start && part.iter().all(|&byte| byte == b'\r');
    }
}

/// A socket that reports its traffic to the watch, and reads large headers only with a permit.
#[derive(Debug)]
pub(super) struct Watched {
    stream: Take<TcpStream>,
    watch: Arc<Watch>,
    large_heads: PollSemaphore,
    /// The permit for large headers, kept until the connection is closed.
    turn: Option<OwnedSemaphorePermit>,
    lines: Lines,
    /// Our side is closed; what the peer still sends is dropped.
    lingering: bool,
}

impl Watched {
    pub(super) fn new(stream: TcpStream, watch: Arc<Watch>, large_heads: Arc<Semaphore>) -> Self {
        let stream = stream.take(READ_BYTES as u64);
        Self {
            stream,
            watch,
            large_heads: PollSemaphore::new(large_heads),
            turn: None,
            lines: Lines::default(),
            lingering: false,
        }
    }
    fn stream(&mut self) -> Pin<&mut TcpStream> {
        Pin::new(self.stream.get_mut())
    }
    /// Waits for the permit; the watch decides how long.
    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.turn.is_none() {
            // The semaphore is never closed.
            self.turn = ready!(self.large_heads.poll_acquire(context));
            self.watch.large_head.store(true, Ordering::Relaxed);
        }
        Poll::Ready(())
    }
    fn wrote(&self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &outcome {
            Poll::Ready(Ok(bytes)) => self.watch.peer_took(*bytes),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.watch.peer_takes_nothing(),
        }
        outcome
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.watch.head_is_large() {
            ready!(self.poll_turn(context));
        }
        let before = buffer.filled().len();
        self.stream.set_limit(READ_BYTES as u64);
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        let bytes = buffer.filled().len() - before;
        if bytes > 0 {
            let Self { watch, lines, .. } = &mut *self;
            watch.look_at_head(lines, &buffer.filled()[before..]);
            watch.bytes_came(bytes);
        }
        outcome
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = self.stream().poll_write(context, bytes);
        self.wrote(outcome)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = self.stream().poll_write_vectored(context, slices);
        self.wrote(outcome)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.get_ref().is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(context)
    }
    /// Closes our side, and waits a while until the peer has sent everything, so that the answer reaches it.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.lingering {
            ready!(self.stream().poll_shutdown(context))?;
            if !self.watch.may_be_sending() {
                return Poll::Ready(Ok(()));
            }
            self.lingering = true;
            self.watch.linger_begins();
        }
        let mut dropped = [0; 4_096];
        for _ in 0..LINGER_READS {
            let mut buffer = ReadBuf::new(&mut dropped);
            let read = ready!(self.stream().poll_read(context, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
        // Lets other tasks run.
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_line_feed_is_found_in_headers_wherever_they_are_cut_and_never_in_a_body() {
        let table: [(&[u8], bool); 6] = [
            (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", false),
            (b"GET / HTTP/1.1\nHost: a\r\n\r\n", true),
            (b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", true),
            (b"GET / HTTP/1.1\r\nHost: a\r\n\n", true),
            (b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", false),
            (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
        ];
        for (head, expected) in table {
            for cut in 0..head.len() {
                let mut lines = Lines::default();
                let found =
                    lines.have_bare_line_feed(&head[..cut]) || lines.have_bare_line_feed(&head[cut..]);
                assert_eq!(found, expected, "{} cut at {cut}", head.escape_ascii());
            }
        }
        // A body comes with the read that ends its head, or after hyper has the head.
        let with_body = b"POST / HTTP/1.1\r\nHost: a\r\n\r\n{\n\n}\n";
        let end = with_body.len() - 6;
        for cut in 0..end {
            let mut lines = Lines::default();
            assert!(!lines.have_bare_line_feed(&with_body[..cut]), "cut at {cut}");
            assert!(!lines.have_bare_line_feed(&with_body[cut..]), "cut at {cut}");
            assert!(!lines.have_bare_line_feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "after a body");
        }
        // Another request begins in the same read, and ends in the next.
        let two = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: b\r\n\r\n";
        for cut in 28..two.len() {
            let mut lines = Lines::default();
            assert!(!lines.have_bare_line_feed(&two[..cut]), "cut at {cut}");
            assert!(!lines.have_bare_line_feed(&two[cut..]), "cut at {cut}");
        }
    }

    /// The same as [`Lines::have_bare_line_feed`], a byte at a time.
    fn byte_by_byte(lines: &mut Lines, came: &[u8]) -> bool {
        for (at, &byte) in came.iter().enumerate() {
            match (byte, lines.last) {
                (b'\n', b'\r') if lines.at_start => {
                    let rest = &came[at + 1..];
                    lines.last = rest.last().copied().unwrap_or(byte);
                    lines.at_start = rest.ends_with(b"\n");
                    return false;
                }
                (b'\n', b'\r') => lines.at_start = true,
                (b'\n', _) => return true,
                (b'\r', _) => {}
                _ => lines.at_start = false,
            }
            lines.last = byte;
        }
        false
    }

    #[test]
    fn a_search_for_line_feeds_finds_what_a_look_at_each_byte_finds() {
        let bytes = *b"a\r\n";
        for length in 0..=8 {
            for number in 0..3_usize.pow(length) {
                let came: Vec<u8> = (0..length).map(|place| bytes[number / 3_usize.pow(place) % 3]).collect();
                for (last, at_start) in
                    [0, b'a', b'\r', b'\n'].map(|last| [(last, false), (last, true)]).concat()
                {
                    let mut searched = Lines { last, at_start };
                    let mut looked_at = Lines { last, at_start };
                    let found = searched.have_bare_line_feed(&came);
                    let expected = byte_by_byte(&mut looked_at, &came);
                    let (after, reached) =
                        ((searched.last, searched.at_start), (looked_at.last, looked_at.at_start));
                    assert_eq!(
                        (found, after),
                        (expected, reached),
                        "{} after {last}, {at_start}",
                        came.escape_ascii()
                    );
                }
            }
        }
    }
}
