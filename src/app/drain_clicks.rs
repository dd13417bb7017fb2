//! The clicks drainer: reads the journal's clicks in batches, counts them, and writes each partition's share
//! together with the node's cursor.
//!
//! What a partition has applied, it never applies again: its cursor moves in the same step as the counts and the
//! visits. If the store did not acknowledge a write, the drainer asks for the cursor before it writes again.

use super::App;
use super::layout::{affiliate_partition, all_partitions};
use super::node::{HEARTBEAT, SILENT_MS, is_in};
use super::outage_log::OutageLog;
use crate::domain::attribution::Visit;
use crate::domain::calendar::Zone;
use crate::domain::click_record::ClickRecord;
use crate::domain::id::AffiliateId;
use crate::journal::{Batch, JournalError, Reader, Removed};
use crate::store::{
    Advance, ClickBatch, Committed, Counter, CounterChange, Cursor, Log, Partition, StoreError, VisitWrite,
    visitor_partition,
};
use chrono::{DateTime, NaiveDate, Utc};
use futures_util::future::join_all;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the journal is read: rarely enough for batches that are worth a round trip, often enough that a
/// signup seconds after its click finds the visit.
const TICK: Duration = Duration::from_millis(100);
/// Clicks applied together: bounds a batch's memory, and a script's time in the store to a few milliseconds.
const BATCH_RECORDS: usize = 4_096;
const BATCH_BYTES: usize = 4 << 20;
/// How often the store is asked whether it still has its clicks, while no new ones come.
const CHECK_EVERY: Duration = HEARTBEAT;
/// How long decisions wait for the clicks of other running nodes after the store lost some.
const OTHERS_PATIENCE: Duration = Duration::from_secs(3);
/// The pause after the store failed.
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// After a connection that lasted this long, an outage counts as a new one.
const LASTED: Duration = Duration::from_secs(5);
/// Visits are kept for the window and this much longer.
const VISITS_EXTRA_MS: i64 = 30 * 24 * 3_600_000;

/// Runs until the application stops and everything that can be applied has been applied.
pub(crate) async fn run(app: Arc<App>) {
    let mut outage = OutageLog::default();
    loop {
        let error = match ClicksDrainer::connect(&app).await {
            Ok(mut drainer) => {
                let begun = Instant::now();
                let Err(error) = drainer.drain().await else { return };
                if begun.elapsed() > LASTED {
                    outage.ok();
                }
                error
            }
            Err(error) => error,
        };
        app.broke_off(Log::Clicks, None, why(&error));
        outage.failed(&error, "clicks wait in the journal");
        app.metrics.store_failed();
        app.doubt_clicks();
        if app.stopping().await_for(RETRY_AFTER).await {
            return;
        }
    }
}

/// The error, and what an operator can do about it.
fn why(error: &StoreError) -> String {
    let remedy = if error.is_unavailable() {
        "it continues by itself when the store is back"
    } else {
        "see `counterfoil verify`: restore the journal's files from a backup, or remove the file of a damaged store"
    };
    format!("failed to {error}; {remedy}")
}

struct ClicksDrainer {
    app: Arc<App>,
    reader: Reader,
    cursors: HashMap<Partition, Cursor>,
    days: DayCache,
    /// Positions of clicks that are in the journal again, further on.
    repeated: Vec<Range<u64>>,
    connected: Instant,
    checked: Instant,
}

impl ClicksDrainer {
    async fn connect(app: &Arc<App>) -> Result<Self, StoreError> {
        app.check_store_identity().await?;
        let cursors: HashMap<_, _> = app.store.cursors(app.node, Log::Clicks).await?.into_iter().collect();
        let hashed = cursors.iter().filter(|(partition, _)| **partition != Partition::Directory);
        let lowest = hashed.map(|(_, cursor)| *cursor).min().unwrap_or_default();
        let start = app.journal.resume_after(Log::Clicks, lowest);
        let reader = app.journal.reader(Log::Clicks, start, false).map_err(unreadable)?;
        app.set_applied(Log::Clicks, start);
        let (days, repeated) = (DayCache::new(app.zone().clone()), app.journal.repeated(Log::Clicks));
        let (app, now) = (Arc::clone(app), Instant::now());
        Ok(Self { app, reader, cursors, days, repeated, connected: now, checked: now })
    }

    async fn drain(&mut self) -> Result<(), StoreError> {
        loop {
            let stopping = self.app.stopping().is_set();
            let doubts = self.app.doubts_about_clicks();
            let batch = self.read()?;
            let full = batch.iter().len() >= BATCH_RECORDS / 2;
            let end = batch.last();
            if let Some(end) = end {
                self.apply(&batch, end).await?;
                self.app.journal.clicks().set_drained(end.position);
                self.app.set_applied(Log::Clicks, end.position);
            }
            if full {
                continue;
            }
            let doubted = !self.app.clicks_are_in();
            if doubted || stopping || self.checked.elapsed() >= CHECK_EVERY {
                self.check().await?;
            }
            if doubted && self.others_are_in().await? {
                self.app.clicks_are_in_despite(doubts);
            }
            if stopping && end.is_none() {
                return Ok(());
            }
            if !stopping {
                self.app.stopping().await_for(TICK).await;
            }
        }
    }

    /// Makes sure that the store still has what was applied to it: it may have lost data while nobody clicked.
    async fn check(&mut self) -> Result<(), StoreError> {
        self.checked = Instant::now();
        if let Some(end) = self.app.end_of(Log::Clicks, self.reader.next_position()) {
            self.apply(&Batch::default(), end).await?;
        }
        let stands: HashMap<_, _> =
            self.app.store.cursors(self.app.node, Log::Clicks).await?.into_iter().collect();
        if stands != self.cursors {
            return Err(StoreError::Unavailable("the store lost clicks that it had".to_owned()));
        }
        Ok(())
    }

    /// Other nodes replay their own clicks that the store lost; running nodes do so at once.
    async fn others_are_in(&self) -> Result<bool, StoreError> {
        if self.connected.elapsed() > OTHERS_PATIENCE {
            return Ok(true);
        }
        let now = self.app.clock.millis();
        for other in self.app.store.nodes().await? {
            let lives = !other.stopped && now - other.seen_ms <= SILENT_MS;
            let is_other = other.node != self.app.node;
            if is_other && lives && !is_in(self.app.applied_of(other.node, Log::Clicks).await?, other.clicks)
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn read(&mut self) -> Result<Batch, StoreError> {
        let up_to = self.app.journal.clicks().last_position();
        self.reader.next_batch(BATCH_RECORDS, BATCH_BYTES, up_to).map_err(unreadable)
    }

    /// Applies clicks in all partitions at the same time; each applies only what is beyond its cursor.
    async fn apply(&mut self, batch: &Batch, end: Cursor) -> Result<(), StoreError> {
        let parts = self.split(batch, end)?;
        let app = &self.app;
        let sent =
            parts.iter().map(|part| async move { (part.partition, app.store.apply_clicks(part).await) });
        let mut failed = None;
        for (partition, committed) in join_all(sent).await {
            match committed {
                Ok(Committed::Done) => drop(self.cursors.insert(partition, end)),
                Ok(other) => {
                    let text = format!("{partition:?} answered {other:?} to clicks");
                    failed = Some(StoreError::Unavailable(text));
                }
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn split(&mut self, clicks: &Batch, end: Cursor) -> Result<Vec<ClickBatch>, StoreError> {
        let partitions = self.app.store.partitions();
        let ttl = self.app.attribution_rules().window_ms + VISITS_EXTRA_MS;
        let mut parts: HashMap<Partition, (ClickBatch, Counts)> = HashMap::new();
        for partition in all_partitions(partitions).filter(|partition| *partition != Partition::Directory) {
            let from = self.cursors.get(&partition).copied().unwrap_or_default();
            if from >= end {
                continue;
            }
            let advance = Advance { node: self.app.node, log: Log::Clicks, from, to: end };
            let batch = ClickBatch {
                partition,
                advance,
                visits: Vec::new(),
                counters: Vec::new(),
                visits_ttl_ms: ttl.unsigned_abs(),
            };
            parts.insert(partition, (batch, Counts::new()));
        }
        let repeated = &self.repeated;
        let counts = |cursor: &Cursor| !repeated.iter().any(|range| range.contains(&cursor.position));
        for (cursor, payload) in clicks.iter().filter(|(cursor, _)| counts(cursor)) {
            let click = ClickRecord::decode(payload)
                .map_err(|error| StoreError::Corrupt(format!("click at {cursor:?}: {error}")))?;
            if let Some(visitor) = click.visitor
                && let Some((batch, _)) = parts.get_mut(&visitor_partition(visitor, partitions))
                && cursor > batch.advance.from
            {
                let visit = Visit { click: click.click, verdict: click.verdict, paid_ad: click.paid_ad };
                batch.visits.push(VisitWrite { visitor, new_visitor: click.new_visitor, visit });
            }
            if let Some((batch, counts)) =
                parts.get_mut(&affiliate_partition(click.click.affiliate, partitions))
                && cursor > batch.advance.from
            {
                count(counts, &click, self.days.day_of(click.click.id.millis()));
            }
        }
        let finish = |(mut batch, counts): (ClickBatch, Counts)| {
            batch.counters = counts
                .into_iter()
                .map(|((affiliate, day, counter), by)| CounterChange { affiliate, day, counter, by })
                .collect();
            batch
        };
        Ok(parts.into_values().map(finish).collect())
    }
}

impl App {
    /// Removes clicks from the journal that are too old for any signup.
    pub(crate) fn remove_old_clicks(&self) -> Result<Removed, JournalError> {
        let oldest = self.now().timestamp_millis() - self.attribution_rules().window_ms - VISITS_EXTRA_MS;
        let (_, applied) = self.positions(Log::Clicks);
        let made_at =
            |payload: &[u8]| ClickRecord::decode(payload).ok().map(|record| record.click.id.millis());
        self.journal.remove_clicks_before(oldest, applied, made_at)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "a function for `map_err`")]
fn unreadable(error: JournalError) -> StoreError {
    StoreError::Corrupt(error.to_string())
}

type Counts = HashMap<(AffiliateId, NaiveDate, Counter), u64>;

/// Adds a click to the counts of its affiliate's day.
fn count(counts: &mut Counts, record: &ClickRecord<'_>, day: NaiveDate) {
    let click = record.click;
    let mut add = |counter| *counts.entry((click.affiliate, day, counter)).or_default() += 1;
    add(Counter::Verdict(record.verdict));
    if !record.verdict.is_human() {
        add(Counter::LinkOther(click.link));
        return;
    }
    add(Counter::Link(click.link));
    if record.unique {
        add(Counter::Unique);
    }
    for (number, value) in (1..).zip(record.subs.iter()) {
        if let Some(value) = value {
            add(Counter::Sub(number, value.to_string()));
        }
    }
}

/// The day of a click, without asking the zone for each: clicks come in order, thousands a day.
struct DayCache {
    zone: Zone,
    day: NaiveDate,
    /// Milliseconds from the day's first instant to the next day's.
    span: std::ops::Range<i64>,
}

impl DayCache {
    fn new(zone: Zone) -> Self {
        Self { zone, day: NaiveDate::MIN, span: 0..0 }
    }
    fn day_of(&mut self, millis: i64) -> NaiveDate {
        if !self.span.contains(&millis) {
            let instant = DateTime::<Utc>::from_timestamp_millis(millis).unwrap_or_default();
            self.day = self.zone.date_of(instant);
            let start = |day: NaiveDate| self.zone.start_of(day).timestamp_millis();
            self.span = start(self.day)..start(self.day.succ_opt().unwrap_or(self.day));
        }
        self.day
    }
}
