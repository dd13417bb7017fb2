//! One connection, from accept to close.

use super::refusal::Refusal;
use super::watch::{Watch, Watched};
use super::{Gauges, Shared, phase, refusal};
use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response};
use http_body::Body;
use http_body_util::Either;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};

/// hyper's buffers for a connection: headers must fit, and answers up to this size are sent in one piece.
const BUFFER_BYTES: usize = 32 * 1024;

pub(super) async fn run<H, F, B>(
    stream: TcpStream,
    peer: SocketAddr,
    shared: Arc<Shared<H>>,
    permit: Option<OwnedSemaphorePermit>,
) where
    H: Fn(Request<Incoming>, SocketAddr) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    // Returned when the connection is closed, also by a panic.
    let _permit = permit;
    let _open = Counted::new(&shared.gauges.connections, &shared.gauges);
    let watch = Arc::new(Watch::new(&shared.limits, shared.clock.clone()));

    let service = service_fn(|request: Request<Incoming>| {
        watch.request_came(!request.body().is_end_stream());
        let malformed = watch.had_bare_line_feed().then_some(Refusal::BARE_LINE_FEED);
        let answer = match malformed.or_else(|| refusal::of(&request, &shared.limits)) {
            Some(refusal) => {
                shared.gauges.refused.fetch_add(1, Ordering::Relaxed);
                Err(refusal)
            }
            None => {
                Ok((Counted::new(&shared.gauges.in_flight, &shared.gauges), (shared.handler)(request, peer)))
            }
        };
        let (shared, watch) = (&shared, &watch);
        async move {
            let mut response = match answer {
                Ok((_in_flight, answer)) => answer.await.map(Either::Right),
                Err(refusal) => refusal.response().map(Either::Left),
            };
            if shared.phase() != phase::RUNNING || watch.had_large_head() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(watch.timer())
        // Only enables the timer: the watch decides how long it is.
        .header_read_timeout(shared.limits.header_timeout)
        .max_header_size(shared.limits.header_bytes)
        .max_buf_size(BUFFER_BYTES.max(shared.limits.header_bytes))
        // A client that closes its sending side after its request still gets the answer.
        .half_close(true);
    let watched = Watched::new(stream, Arc::clone(&watch), Arc::clone(&shared.large_heads));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(watched), service));
    let mut alarm = pin!(sleep_until(Instant::now() + watch.next_look()));
    let mut phase_changed = pin!(shared.phase_changed.notified());
    let (mut phase_seen, mut registered) = (phase::RUNNING, false);

    poll_fn(|context| {
        let phase = shared.phase();
        if phase != phase_seen {
            phase_seen = phase;
            if phase == phase::ENDED {
                return Poll::Ready(());
            }
            if phase == phase::CLOSING {
                connection.as_mut().graceful_shutdown();
            }
        }
        // Registering takes a lock that all connections share. While serving, one registration is enough: a
        // change of the phase wakes this task.
        if phase != phase::RUNNING || !registered {
            registered = true;
            while phase_changed.as_mut().poll(context).is_ready() {
                phase_changed.set(shared.phase_changed.notified());
                // Checks the phase again, which may have changed before this registration.
                context.waker().wake_by_ref();
            }
        }
        while alarm.as_mut().poll(context).is_ready() {
            if watch.is_over() {
                shared.gauges.timed_out.fetch_add(1, Ordering::Relaxed);
                return Poll::Ready(());
            }
            alarm.as_mut().reset(Instant::now() + watch.next_look());
        }
        // The result of a connection does not matter here: hyper has answered malformed requests, and losses
        // are counted where they happen.
        connection.as_mut().poll(context).map(drop)
    })
    .await;
}

/// Counts itself while it exists, and a panic that ends it.
struct Counted<'a> {
    gauge: &'a AtomicUsize,
    gauges: &'a Gauges,
}

impl<'a> Counted<'a> {
    fn new(gauge: &'a AtomicUsize, gauges: &'a Gauges) -> Self {
        gauge.fetch_add(1, Ordering::Relaxed);
        Self { gauge, gauges }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.gauge.fetch_sub(1, Ordering::Relaxed);
        // A connection may hold two of these; the one for the connection counts the panic.
        if std::thread::panicking() && std::ptr::eq(self.gauge, &raw const self.gauges.connections) {
            self.gauges.panicked.fetch_add(1, Ordering::Relaxed);
        }
    }
}
