//! The accept loop: our own on hyper's HTTP/1, because a public port needs limits that hyper does not have.
//!
//! - A permit is taken before a connection is accepted, so that there are never more than
//!   [`Limits::connections`]; the others wait in the kernel's queue.
//! - Every wait for a client has a limit: for a request's headers, for the next request, for a reader that
//!   takes its answer slowly ([`watch`]). Bodies have a limit where they are read.
//! - The memory for clients' headers is bounded: only a few connections at once may send large ones, and such
//!   a connection is closed after its answer, since hyper would keep its buffer.
//! - A request that breaks a limit is answered 4xx and its connection closed; the handler never sees it.
//! - Stopping loses nothing: stop accepting, answer what is in flight, keep idle connections open for a
//!   moment in which their next request is still answered with `Connection: close`, close them, cut off what
//!   takes longer than [`Limits::drain_timeout`].
//!
//! Deliberately absent: HTTP/2 and TLS (the proxy in front does both), middleware, routing.

mod connection;
mod listen;
mod refusal;
#[cfg(test)]
mod tests;
mod watch;

pub use listen::{bind, raise_open_files_limit, stop_signal};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

/// The limits of a listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections open at once.
    pub connections: usize,
    /// Bytes of a request's first line and headers.
    pub header_bytes: usize,
    /// Number of headers of a request, at most 100.
    pub headers: usize,
    /// Bytes of a request's target.
    pub uri_bytes: usize,
    /// Connections at once whose headers do not fit [`READ_BYTES`]; others wait.
    pub large_heads: usize,
    /// Time for a request's headers from the first byte, and for a new connection's first byte.
    pub header_timeout: Duration,
    /// Time until the next request on a connection that has had one.
    pub keep_alive_timeout: Duration,
    /// Time that a reader may delay an answer.
    pub slow_reader_timeout: Duration,
    /// Time for the next requests on kept connections, after the signal to stop.
    pub drain_linger: Duration,
    /// Time for requests to end, after the signal to stop.
    pub drain_timeout: Duration,
}

/// Bytes that are read from a connection at once. hyper then never makes its buffer larger than a request's headers need;
/// it holds at most twice as many without one of the [`Limits::large_heads`].
pub const READ_BYTES: usize = 8 * 1024 - 1;

/// The current numbers of a listener, which may be read at any time.
#[derive(Debug, Default)]
pub struct Gauges {
    /// Connections open now.
    pub connections: AtomicUsize,
    /// Requests that the handler is answering now.
    pub in_flight: AtomicUsize,
    /// Requests refused before the handler: over a limit, or malformed beyond what hyper refuses itself.
    pub refused: AtomicU64,
    /// Connections closed because of a time-out.
    pub timed_out: AtomicU64,
    /// Connections whose task panicked: a bug.
    pub panicked: AtomicU64,
}

/// How a listener ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut off with a request unanswered or an answer not taken.
    pub cut_off: usize,
}

/// The phases of a listener's life, in order.
mod phase {
    /// Serving.
    pub const RUNNING: u8 = 0;
    /// No new connections; answers say that the connection closes.
    pub const LINGERING: u8 = 1;
    /// Connections without a request are closed.
    pub const CLOSING: u8 = 2;
    /// Everything is cut off.
    pub const ENDED: u8 = 3;
}

/// What all connections of a listener share.
struct Shared<H> {
    handler: H,
    limits: Limits,
    gauges: Arc<Gauges>,
    clock: watch::CoarseClock,
    large_heads: Arc<Semaphore>,
    phase: AtomicU8,
    phase_changed: Notify,
}

impl<H> Shared<H> {
    fn phase(&self) -> u8 {
        self.phase.load(Ordering::Relaxed)
    }
    fn enter(&self, phase: u8) {
        self.phase.store(phase, Ordering::SeqCst);
        self.phase_changed.notify_waiters();
    }
}

/// Answers requests until `shutdown` is ready, then drains and returns.
///
/// `handler` is called for each request within the limits, with the peer's address; its future is polled
/// where it stands, so a handler that answers at once costs nothing more.
pub async fn serve<H, F, B>(
    listener: TcpListener,
    handler: H,
    limits: Limits,
    gauges: Arc<Gauges>,
    shutdown: impl Future<Output = ()>,
) -> Drained
where
    H: Fn(Request<Incoming>, SocketAddr) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let shared = Arc::new(Shared {
        handler,
        limits,
        gauges,
        clock: watch::CoarseClock::start(&limits),
        large_heads: Arc::new(Semaphore::new(limits.large_heads)),
        phase: AtomicU8::new(phase::RUNNING),
        phase_changed: Notify::new(),
    });
    let permits = Arc::new(Semaphore::new(limits.connections));
    let tasks = TaskTracker::new();
    let open = |stream: TcpStream, peer: SocketAddr, permit: Option<OwnedSemaphorePermit>| {
        tasks.spawn(connection::run(stream, peer, Arc::clone(&shared), permit));
    };

    tokio::pin!(shutdown);
    loop {
        // The permit comes first: a connection that can't be served stays in the kernel's queue, where
        // another process may take it.
        let accepted = async {
            // The semaphore is never closed.
            let permit = Arc::clone(&permits).acquire_owned().await.ok();
            (permit, listener.accept().await)
        };
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            (permit, accepted) = accepted => match accepted {
                Ok((stream, peer)) => open(stream, peer, permit),
                Err(error) => listen::after_failed_accept(&error).await,
            },
        }
    }

    shared.enter(phase::LINGERING);
    // Connections that the kernel has already accepted for us have to be answered, with or without a permit.
    for (stream, peer) in listen::accept_rest(listener) {
        open(stream, peer, None);
    }
    tasks.close();
    drain(&shared, &tasks).await
}

async fn drain<H>(shared: &Shared<H>, tasks: &TaskTracker) -> Drained {
    let limits = &shared.limits;
    let within = |limit: Duration| async move { tokio::time::timeout(limit, tasks.wait()).await.is_ok() };
    if within(limits.drain_linger.min(limits.drain_timeout)).await {
        return Drained { cut_off: 0 };
    }
    shared.enter(phase::CLOSING);
    if within(limits.drain_timeout.saturating_sub(limits.drain_linger)).await {
        return Drained { cut_off: 0 };
    }
    let cut_off = tasks.len();
    shared.enter(phase::ENDED);
    tasks.wait().await;
    Drained { cut_off }
}
