//! Detects a standstill: the oldest record of a journal that the store does not accept, since when, and why.
//!
//! As long as records are applied one after the other there is no standstill, however many wait. The drainers
//! report why they stopped; one task checks every half second whether they have advanced, and logs a standstill
//! once a minute.

use super::node::HEARTBEAT;
use super::{App, lock};
use crate::domain::fact::Record;
use crate::store::{Finding, Log};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Without progress for this long, a journal is at a standstill.
const AFTER: Duration = Duration::from_secs(2);
/// An error that a drainer reported longer ago is not the cause any more.
const FRESH: Duration = Duration::from_secs(10);
const LOGGED_EVERY: Duration = Duration::from_mins(1);
/// How often the store is asked whether it may lose data. Keys that were evicted after the last check and before a
/// restart of the server are not noticed.
const ASKED_EVERY: Duration = Duration::from_secs(1);

/// What is known about one journal.
#[derive(Debug, Default)]
pub(super) struct Standstill {
    waits: Option<Waits>,
    failure: Option<Failure>,
}

/// The oldest record that waits.
#[derive(Debug, Clone)]
struct Waits {
    position: u64,
    since: Instant,
    /// When it was journaled, in Unix milliseconds, once there is a standstill and if the record can be read.
    journaled_ms: Option<i64>,
}

#[derive(Debug)]
struct Failure {
    at: Instant,
    /// The record that could not be applied, where it is known.
    position: Option<u64>,
    cause: String,
}

impl App {
    /// A drainer stopped with an error.
    pub(super) fn broke_off(&self, log: Log, position: Option<u64>, cause: String) {
        lock(self.standstill(log)).failure = Some(Failure { at: Instant::now(), position, cause });
    }

    /// For how many seconds the oldest record that is not applied has waited; 0 while records are being applied.
    pub(crate) fn standstill_seconds(&self, log: Log) -> u64 {
        let standstill = lock(self.standstill(log));
        standstill
            .waits
            .as_ref()
            .filter(|waits| waits.stands())
            .map_or(0, |waits| self.age_of(waits).as_secs())
    }

    pub(super) fn inspect_standstill(&self, log: Log) -> Finding {
        let (check, text) = (log.code(), self.stands_still(log));
        let good = || "all records are applied, or are being applied".to_owned();
        Finding { check, ok: text.is_none(), text: text.unwrap_or_else(good) }
    }

    /// What is at a standstill in a journal, why, and what to do; `None`: nothing is.
    fn stands_still(&self, log: Log) -> Option<String> {
        let standstill = lock(self.standstill(log));
        let waits = standstill.waits.as_ref().filter(|waits| waits.stands())?;
        let failure = standstill.failure.as_ref().filter(|failure| failure.at.elapsed() < FRESH);
        let one = if log == Log::Facts { "fact" } else { "click" };
        let (age, node, position) = (self.age_of(waits).as_secs(), self.node, waits.position);
        let waiting = self.positions(log).0.saturating_sub(position);
        let cause = failure.map_or_else(|| self.why_undecided(), |failure| failure.cause.clone());
        Some(format!(
            "the {one} at position {position} of {node} waits for {age} s, and {waiting} after it: {cause}"
        ))
    }

    fn why_undecided(&self) -> String {
        if self.clicks_are_in() {
            "it is not decided: see the check `recovery`, and this node's log".to_owned()
        } else {
            "it is not decided before all clicks are in the store: see the check `clicks`".to_owned()
        }
    }

    fn age_of(&self, waits: &Waits) -> Duration {
        let millis = waits.journaled_ms.map_or(0, |at| self.clock.millis().saturating_sub(at));
        waits.since.elapsed().max(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
    }

    /// Checks whether the oldest record that waits is still the same.
    fn look_for_standstill(&self, log: Log) {
        let (last, applied) = self.positions(log);
        let undecided =
            if log == Log::Facts { self.drains.oldest_undecided.load(Ordering::Relaxed) } else { 0 };
        let mut standstill = lock(self.standstill(log));
        let failed = standstill.failure.as_ref().and_then(|failure| failure.position);
        let oldest = match (last > applied, undecided) {
            (true, _) => failed.filter(|position| *position > applied).or(Some(applied + 1)),
            (false, 0) => None,
            (false, undecided) => Some(undecided),
        };
        let Some(position) = oldest else { return standstill.waits = None };
        match &mut standstill.waits {
            Some(waits) if waits.position == position => {
                if waits.stands() && waits.journaled_ms.is_none() && log == Log::Facts {
                    waits.journaled_ms = self.journaled_at(position);
                }
            }
            waits => *waits = Some(Waits { position, since: Instant::now(), journaled_ms: None }),
        }
    }

    fn journaled_at(&self, position: u64) -> Option<i64> {
        let mut reader = self.journal.reader(Log::Facts, position - 1, false).ok()?;
        let batch = reader.next_batch(1, 1, position).ok()?;
        let (_, payload) = batch.iter().next()?;
        Some(serde_json::from_slice::<Record>(payload).ok()?.at.timestamp_millis())
    }

    const fn standstill(&self, log: Log) -> &std::sync::Mutex<Standstill> {
        match log {
            Log::Facts => &self.drains.facts_standstill,
            Log::Clicks => &self.drains.clicks_standstill,
        }
    }

    /// Why the store may lose, or has lost, what it was given, as last seen.
    pub(super) fn store_may_forget(&self) -> Option<String> {
        lock(&self.drains.may_forget).clone()
    }

    pub(super) async fn ask_whether_the_store_forgets(&self) {
        if let Err(error) = self.why_the_store_forgets().await {
            // It is asked again soon.
            tracing::debug!(%error, "the store could not be asked whether it keeps its data");
        }
    }

    fn log_standstill(&self) {
        for text in [Log::Facts, Log::Clicks].into_iter().filter_map(|log| self.stands_still(log)) {
            tracing::warn!("at a standstill: {text}");
        }
        if let Some(why) = self.store_may_forget() {
            tracing::warn!("no month closes on a store that forgets: {why}");
        }
    }

    fn has_trouble(&self) -> bool {
        [Log::Facts, Log::Clicks].into_iter().any(|log| self.stands_still(log).is_some())
            || self.store_may_forget().is_some()
    }
}

impl Waits {
    fn stands(&self) -> bool {
        self.since.elapsed() >= AFTER
    }
}

/// Watches for a standstill until the application stops.
pub(super) async fn watch(app: Arc<App>) {
    let (mut asked, mut logged): (Option<Instant>, Option<Instant>) = (None, None);
    let is_due = |last: Option<Instant>, every| last.is_none_or(|last| last.elapsed() >= every);
    loop {
        for log in [Log::Facts, Log::Clicks] {
            app.look_for_standstill(log);
        }
        if is_due(asked, ASKED_EVERY) {
            asked = Some(Instant::now());
            app.ask_whether_the_store_forgets().await;
        }
        if !app.has_trouble() {
            logged = None;
        } else if is_due(logged, LOGGED_EVERY) {
            logged = Some(Instant::now());
            app.log_standstill();
        }
        if app.ending.stop.await_for(HEARTBEAT).await {
            return;
        }
    }
}
