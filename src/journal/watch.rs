//! The watch of the clicks log: while an append does not come back from the disk, another thread looks after the sockets.

use super::clicks::Shared;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;
use tokio::runtime::Handle;

/// How often it looks while clicks come. A disk that answers takes some microseconds: for an append that is out at two
/// looks, another serving thread is woken, which does no harm.
const LOOK: Duration = Duration::from_millis(4);

/// Counts appends: no clock is asked on the way of a click. Changed only by who holds the log's tail.
#[derive(Debug, Default)]
pub(super) struct Appends {
    begun: AtomicU64,
    ended: AtomicU64,
    /// The watch sleeps until somebody wakes it.
    watch_sleeps: AtomicBool,
}

impl Appends {
    /// An append begins; answers whether the watch is to be woken.
    pub fn begin(&self) -> bool {
        self.begun.store(self.begun.load(Ordering::Relaxed) + 1, Ordering::SeqCst);
        self.watch_sleeps.load(Ordering::SeqCst)
    }
    /// It came back.
    pub fn end(&self) {
        self.ended.store(self.begun.load(Ordering::Relaxed), Ordering::Release);
    }
    /// How many began and how many came back.
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
    /// Watches on behalf of the runtime that this is called in, if it is called in one.
    pub fn start(shared: Arc<Shared>) -> io::Result<Self> {
        let (watched, runtime) = (Arc::clone(&shared), Handle::try_current().ok());
        let thread = std::thread::Builder::new()
            .name("clicks-watch".into())
            .spawn(move || watch(&watched, runtime.as_ref()))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Wakes it: clicks come.
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
            // The thread's panic was printed where it happened; there is nobody left to tell.
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
            // Nothing came since the last look: it sleeps until the next click.
            shared.appends.watch_sleeps.store(true, Ordering::SeqCst);
            let still_quiet = shared.appends.counts() == (begun, ended);
            if still_quiet && !shared.closing.load(Ordering::Acquire) {
                std::thread::park();
            }
            shared.appends.watch_sleeps.store(false, Ordering::SeqCst);
            continue;
        }
        if let Some(runtime) = runtime.filter(|_| !is_new) {
            // Whoever runs this nothing looks after the sockets next.
            drop(runtime.spawn(async {}));
        }
        std::thread::park_timeout(LOOK);
    }
}
