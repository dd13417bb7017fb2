//! Requests that wait for their fact to be applied.

use super::Submitted;
use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use tokio::sync::oneshot;

/// Outcomes kept for requests that have not asked yet: far more than there can be requests between a fact's flush
/// and their next step.
const MAX_EARLY: usize = 8_192;

/// The requests that wait, by position in the facts journal.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: HashMap<u64, oneshot::Sender<Submitted>>,
    /// The drainer was faster than the request that wrote the fact.
    early: HashMap<u64, Submitted>,
    early_order: VecDeque<u64>,
}

impl Waiters {
    /// Waits for a position.
    pub(crate) fn wait_for(&self, position: u64) -> oneshot::Receiver<Submitted> {
        let (sender, receiver) = oneshot::channel();
        let mut inner = self.lock();
        match inner.early.remove(&position) {
            // The receiver is alive: it is in this function.
            Some(submitted) => drop(sender.send(submitted)),
            None => {
                inner.waiting.insert(position, sender);
            }
        }
        receiver
    }
    /// Stops waiting.
    pub(crate) fn forget(&self, position: u64) {
        self.lock().waiting.remove(&position);
    }
    /// Reports the outcome of a position.
    pub(crate) fn complete(&self, position: u64, submitted: Submitted) {
        let mut inner = self.lock();
        if let Some(sender) = inner.waiting.remove(&position) {
            // A request that stopped waiting has answered without it.
            drop(sender.send(submitted));
            return;
        }
        inner.early.insert(position, submitted);
        inner.early_order.push_back(position);
        if inner.early_order.len() > MAX_EARLY
            && let Some(oldest) = inner.early_order.pop_front()
        {
            inner.early.remove(&oldest);
        }
    }
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // Nothing panics while it holds this lock; if it did, the maps would still be consistent.
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
