//! What the drainers know about the store, and what other tasks ask of them.

use super::App;
use super::standstill::Standstill;
use crate::store::{Cursor, Log};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::{Notify, watch};

/// How far the journals are applied, and whether the store keeps what is applied.
#[derive(Debug)]
pub(super) struct Drains {
    store_up: AtomicBool,
    applied_facts: AtomicU64,
    applied_clicks: AtomicU64,
    /// How often it became uncertain whether the store has all clicks, and the latest such moment after which they
    /// were all found.
    clicks_doubted: AtomicU64,
    clicks_sure: AtomicU64,
    /// Position of the oldest signup that this node has to decide; 0: there is none.
    pub(super) oldest_undecided: AtomicU64,
    pub(super) facts_standstill: Mutex<Standstill>,
    pub(super) clicks_standstill: Mutex<Standstill>,
    /// Why the store may lose, or has lost, what it was given.
    pub(super) may_forget: Mutex<Option<String>>,
    /// A nightly run wants to know whether the store still has what was applied to it.
    check_wanted: AtomicBool,
    check_wish: Notify,
    /// How often the drainer has checked that.
    checks: watch::Sender<u64>,
    /// Facts that are set aside and wait for a person, as last seen.
    pub(super) waiting_aside: AtomicU64,
    /// Facts that this process set aside.
    pub(super) set_aside_here: AtomicU64,
}

impl Default for Drains {
    fn default() -> Self {
        Self {
            store_up: AtomicBool::new(false),
            applied_facts: AtomicU64::new(0),
            applied_clicks: AtomicU64::new(0),
            clicks_doubted: AtomicU64::new(1),
            clicks_sure: AtomicU64::new(0),
            oldest_undecided: AtomicU64::new(0),
            facts_standstill: Mutex::default(),
            clicks_standstill: Mutex::default(),
            may_forget: Mutex::default(),
            check_wanted: AtomicBool::new(false),
            check_wish: Notify::new(),
            checks: watch::Sender::new(0),
            waiting_aside: AtomicU64::new(0),
            set_aside_here: AtomicU64::new(0),
        }
    }
}

impl App {
    /// Whether the store answered when it was last asked.
    pub fn store_is_up(&self) -> bool {
        self.drains.store_up.load(Ordering::Relaxed)
    }

    pub(super) fn set_store_up(&self, up: bool) {
        if self.drains.store_up.swap(up, Ordering::Relaxed) != up {
            tracing::debug!(up, "the store");
        }
    }

    /// Whether all clicks that the journal held when the store was last reached are in the store. A signup's
    /// visits are then complete.
    pub(super) fn clicks_are_in(&self) -> bool {
        self.drains.clicks_sure.load(Ordering::Acquire) == self.doubts_about_clicks()
    }

    /// The store was away, or lost data: the clicks are checked before the next decision.
    pub(super) fn doubt_clicks(&self) {
        self.drains.clicks_doubted.fetch_add(1, Ordering::AcqRel);
    }

    /// How often the drainer connected to the store; what was found in the store earlier may be gone.
    pub(crate) fn store_meetings(&self) -> u64 {
        self.doubts_about_clicks()
    }

    pub(super) fn doubts_about_clicks(&self) -> u64 {
        self.drains.clicks_doubted.load(Ordering::Acquire)
    }

    /// All clicks were found in the store after this many such moments.
    pub(super) fn clicks_are_in_despite(&self, doubts: u64) {
        self.drains.clicks_sure.store(doubts, Ordering::Release);
    }

    /// The end of a journal as a cursor, for a reader that is at `next_position` and has read everything. Cursors
    /// move there, past records without effect (a refusal, the beginning of another epoch).
    pub(super) fn end_of(&self, log: Log, next_position: u64) -> Option<Cursor> {
        let last = self.positions(log).0;
        let is_at_end = last > 0 && next_position == last + 1;
        is_at_end.then(|| Cursor { epoch: self.journal.node().epoch(), position: last })
    }

    /// The last position of a journal, and how far it has been applied.
    pub fn positions(&self, log: Log) -> (u64, u64) {
        match log {
            Log::Facts => {
                (self.journal.facts().last_position(), self.drains.applied_facts.load(Ordering::Relaxed))
            }
            Log::Clicks => {
                (self.journal.clicks().last_position(), self.drains.applied_clicks.load(Ordering::Relaxed))
            }
        }
    }

    pub(super) fn set_applied(&self, log: Log, position: u64) {
        match log {
            Log::Facts => self.drains.applied_facts.store(position, Ordering::Relaxed),
            Log::Clicks => self.drains.applied_clicks.store(position, Ordering::Relaxed),
        }
    }

    /// Waits until the drainer has checked that the store still has what was applied to it.
    pub(crate) async fn store_is_checked(&self) {
        let mut checks = self.drains.checks.subscribe();
        self.drains.check_wanted.store(true, Ordering::Relaxed);
        self.drains.check_wish.notify_one();
        // The sender lives in `self`, so waiting can't fail.
        drop(checks.changed().await);
    }

    pub(super) fn check_wanted(&self) -> bool {
        self.drains.check_wanted.load(Ordering::Relaxed)
    }

    pub(super) async fn until_check_wanted(&self) {
        self.drains.check_wish.notified().await;
    }

    pub(super) fn checked(&self) {
        self.drains.check_wanted.store(false, Ordering::Relaxed);
        self.drains.checks.send_modify(|checks| *checks += 1);
    }
}
