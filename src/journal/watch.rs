//! The watch of the clicks log: while an append does not return from the disk, another thread handles the
//! sockets.

use super::clicks::Shared;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;
use tokio::runtime::Handle;

/// How often it looks while clicks come. A disk that works takes some microseconds: if an append is still out
/// at a second look, another serving thread is woken, which is harmless.
const LOOK: Duration = Duration::from_millis(4);

/// Counts appends, so that no clock is read for a click. Only the thread that holds the log's tail changes
/// it.
#[derive(Debug, Default)]
pub(super) struct Appends {
    begun: AtomicU64,
    ended: AtomicU64,
    /// The watch sleeps until it is woken.
    watch_sleeps: AtomicBool,
}

impl Appends {
    /// An append begins; returns whether the watch has to be woken.
    pub fn begin(&self) -> bool {
        self.begun.store(self.begun.load(Ordering::Relaxed) + 1, Ordering::SeqCst);
        self.watch_sleeps.load(Ordering::SeqCst)
    }
    /// The append has returned.
    pub fn end(&self) {
        self.ended.store(self.begun.load(Ordering::Relaxed), Ordering::Release);
    }
    /// How many began and how many returned.
    fn counts(&self) -> (u64, u64) {
        let ended = self.ended.load(Ordering::Acquire);
        (self.begun.load(Ordering::SeqCst), ended)
    }
}

/// The thread that watches.
#[derive(Debug)]
pub(super) struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts the watch for the current runtime, if there is one.
    pub fn start(shared: Arc<Shared>) -> io::Result<Self> {
        let (watched, runtime) = (Arc::clone(&shared), Handle::try_current().ok());
        let thread = std::thread::Builder::new()
            .name("clicks-watch".into())
            .spawn(move || watch(&watched, runtime.as_ref()))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Wakes the watch: clicks are coming.
    pub fn wake(&self) {
        self.shared.appends.watch_sleeps.store(false, Ordering::SeqCst);
        self.thread.as_ref().map(JoinHandle::thread).map(Thread::unpark).unwrap_or_default();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        self.wake();
        if let Some(thread) = self.thread.take() {
            // The thread's panic was printed where it happened; there is nothing else to report it to.
            let _ = thread.join();
        }
    }
}

fn watch(shared: &Shared, runtime: Option<&Handle>) {
    let mut seen = 0;
    while !shared.closing.load(Ordering::Acquire) {
        let (begun, ended) = shared.appends.counts();
        let is_new = begun != seen;
        seen = begun;
        if !is_new && begun == ended {
            // No click came since the last look: it sleeps until the next one.
            shared.appends.watch_sleeps.store(true, Ordering::SeqCst);
            let still_quiet = shared.appends.counts() == (begun, ended);
            if still_quiet && !shared.closing.load(Ordering::Acquire) {
                std::thread::park();
            }
            shared.appends.watch_sleeps.store(false, Ordering::SeqCst);
            continue;
        }
        if let Some(runtime) = runtime.filter(|_| !is_new) {
            // The thread that runs this empty task waits for the sockets next.
            drop(runtime.spawn(async {}));
        }
        std::thread::park_timeout(LOOK);
    }
}
