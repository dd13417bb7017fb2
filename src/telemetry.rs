//! Logs, to stderr, as text or JSON.
//!
//! What may be logged: ids that we made, names of routes, outcomes, counts, durations, errors of the disk and
//! of the store. Never: a whole IP, an e-mail, a name, a token, a cookie, a key, the body or the query of a
//! request, or anything else that a stranger wrote. A log is kept longer and read by more people than the
//! data it is about. An error that quotes its input is logged by its kind.
//!
//! A thread of its own writes the logs, since their destination may stall, and nobody may wait for that.
//! Lines that find no room are dropped and counted.

use crate::config::{Log, LogFormat};
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How many lines may wait to be written; some MiB.
const LINES_WAITING: usize = 10_000;

static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

/// How many lines were dropped since the process started.
pub fn lines_dropped() -> u64 {
    DROPPED.get().map_or(0, |dropped| dropped.dropped_lines() as u64)
}

/// Starts logging as configured, including panics. A second call in a process changes nothing. Dropping the
/// result writes the waiting lines first.
#[must_use = "logging ends when it is dropped"]
pub fn start(log: &Log) -> WorkerGuard {
    let (writer, guard) =
        NonBlockingBuilder::default().buffered_lines_limit(LINES_WAITING).finish(std::io::stderr());
    let dropped = writer.error_counter();
    // The configuration was checked, so the filter parses; if it does not, logging at `info` is better than
    // nothing.
    let filter = EnvFilter::builder().parse(&log.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    let started = match log.format {
        LogFormat::Json => registry.with(layer().json().flatten_event(true).with_writer(writer)).try_init(),
        LogFormat::Text => registry.with(layer().with_ansi(false).with_writer(writer)).try_init(),
    };
    if started.is_ok() {
        DROPPED.get_or_init(|| dropped);
        std::panic::set_hook(Box::new(log_panic));
    }
    guard
}

/// A panic is a bug: one event has its place and its message.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let said = panic.payload_as_str().unwrap_or("something that is not a text").replace(['\n', '\r'], " ");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
    tracing::error!(place, thread, said, "panicked: this is a bug");
}
