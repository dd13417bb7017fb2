//! Visits and click counts.

use super::SqliteStore;
use super::documents::{move_cursor, part};
use crate::clock::Clock;
use crate::domain::attribution::Visit;
use crate::domain::id::{AffiliateId, LinkId, VisitorId};
use crate::store::packed::{self, OTHER};
use crate::store::{
    ClickBatch, Clicks, Committed, Counter, CounterChange, Dates, DayCounts, MAX_SUB_VALUES, Result,
    VisitWrite,
};
use async_trait::async_trait;
use chrono::{Datelike, NaiveDate};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::time::{Duration, Instant};

/// How often some visitors are checked for expiry, if anything is written at all.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// How many of them: some milliseconds of work; a million take a quarter of an hour.
const VISITORS_A_SWEEP: u16 = 10_000;

#[async_trait]
impl Clicks for SqliteStore {
    async fn apply_clicks(&self, batch: &ClickBatch) -> Result<Committed> {
        let batch = batch.clone();
        self.writer.run(move |change| apply(change, &batch)).await
    }

    async fn visits(&self, visitors: &[VisitorId]) -> Result<Vec<Vec<Visit>>> {
        let visitors = visitors.to_vec();
        self.readers
            .run(move |connection| {
                let now = Clock::system().millis();
                visitors
                    .iter()
                    .map(|visitor| packed::read_visits(&visits_of(connection, *visitor, now)?))
                    .collect()
            })
            .await
    }

    async fn click_counts(&self, of: AffiliateId, days: &Dates) -> Result<Vec<DayCounts>> {
        let days = days.clone();
        self.readers.run(move |connection| counts_of(connection, of, &days)).await
    }

    async fn click_totals(&self, of: AffiliateId, links: &[LinkId], days: &Dates) -> Result<Vec<DayCounts>> {
        let (links, days) = (links.to_vec(), days.clone());
        self.readers.run(move |connection| totals_of(connection, of, &links, &days)).await
    }
}

fn apply(change: &Transaction<'_>, batch: &ClickBatch) -> Result<Committed> {
    if let Some(elsewhere) = move_cursor(change, part(batch.partition), &batch.advance)? {
        return Ok(Committed::CursorAt(elsewhere));
    }
    let now = Clock::system().millis();
    let expires = now.saturating_add(i64::try_from(batch.visits_ttl_ms).unwrap_or(i64::MAX));
    for write in &batch.visits {
        put_visit(change, write, now, expires)?;
    }
    for counter in &batch.counters {
        add(change, counter)?;
    }
    Ok(Committed::Done)
}

fn visits_of(connection: &Connection, visitor: VisitorId, now: i64) -> Result<Vec<u8>> {
    let visits = connection
        .prepare_cached("SELECT visits FROM visits WHERE visitor = ? AND expires_ms > ?")?
        .query_row(params![visitor.0.as_bytes(), now], |row| row.get(0))
        .optional()?;
    Ok(visits.unwrap_or_default())
}

/// A visitor that is new with this click may be here already: by an earlier click of the same batch, which
/// came before the browser had its cookie.
fn put_visit(change: &Transaction<'_>, write: &VisitWrite, now: i64, expires: i64) -> Result<()> {
    let mut visit = Vec::with_capacity(packed::VISIT_BYTES);
    packed::put_visit(&write.visit, &mut visit);
    if write.new_visitor {
        let added = change
            .prepare_cached("INSERT INTO visits VALUES (?, ?, ?) ON CONFLICT DO NOTHING")?
            .execute(params![write.visitor.0.as_bytes(), expires, visit])?;
        if added == 1 {
            return Ok(());
        }
    }
    let mut visits = visits_of(change, write.visitor, now)?;
    packed::add_visits(&mut visits, &visit);
    change.prepare_cached("INSERT OR REPLACE INTO visits VALUES (?, ?, ?)")?.execute(params![
        write.visitor.0.as_bytes(),
        expires,
        visits
    ])?;
    Ok(())
}

fn add(change: &Transaction<'_>, counter: &CounterChange) -> Result<()> {
    let mut field = packed::counter_field(&counter.counter);
    let (affiliate, day) = (counter.affiliate.bits().cast_signed(), counter.day.num_days_from_ce());
    let clicks_of = |field: &[u8]| {
        change
            .prepare_cached("SELECT clicks FROM counts WHERE affiliate = ? AND day = ? AND field = ?")?
            .query_row(params![affiliate, day, field], |row| row.get::<_, i64>(0))
            .optional()
    };
    let count = |field: &[u8], by: u64| {
        change
            .prepare_cached(
                "INSERT INTO counts VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET clicks = clicks + excluded.clicks",
            )?
            .execute(params![affiliate, day, field, by.cast_signed()])
    };
    if let Some(values_field) = packed::sub_values_field(&field)
        && clicks_of(&field)?.is_none()
    {
        if clicks_of(&values_field)?.unwrap_or(0).cast_unsigned() < MAX_SUB_VALUES as u64 {
            count(&values_field, 1)?;
        } else {
            field.truncate(1);
            field.extend_from_slice(OTHER);
        }
    }
    count(&field, counter.by)?;
    Ok(())
}

fn counts_of(connection: &Connection, affiliate: AffiliateId, days: &Dates) -> Result<Vec<DayCounts>> {
    let (from, to) = (days.start().num_days_from_ce(), days.end().num_days_from_ce());
    let mut statement = connection.prepare_cached(
        "SELECT day, field, clicks FROM counts WHERE affiliate = ? AND day BETWEEN ? AND ? ORDER BY day",
    )?;
    let mut rows = statement.query(params![affiliate.bits().cast_signed(), from, to])?;
    let mut days: Vec<DayCounts> = Vec::new();
    while let Some(row) = rows.next()? {
        // The table holds only valid days.
        let day = NaiveDate::from_num_days_from_ce_opt(row.get(0)?).unwrap_or_default();
        let Some(counter) = packed::read_counter(&row.get::<_, Vec<u8>>(1)?)? else { continue };
        let count: (Counter, u64) = (counter, row.get::<_, i64>(2)?.cast_unsigned());
        match days.last_mut() {
            Some(last) if last.day == day => last.counts.push(count),
            _ => days.push(DayCounts { day, counts: vec![count] }),
        }
    }
    Ok(days)
}

/// Read day by day, so that a day's thousands of sub ids are skipped: their names begin with digits, those of
/// links with `l` and `o`, of unique clicks and verdicts with `u` and `v`.
fn totals_of(
    connection: &Connection,
    affiliate: AffiliateId,
    links: &[LinkId],
    dates: &Dates,
) -> Result<Vec<DayCounts>> {
    let first = connection
        .prepare_cached("SELECT min(day) FROM counts WHERE affiliate = ?")?
        .query_row([affiliate.bits().cast_signed()], |row| row.get::<_, Option<i32>>(0))?
        .and_then(NaiveDate::from_num_days_from_ce_opt);
    let Some(first) = first else { return Ok(Vec::new()) };
    let mut statement = connection.prepare_cached(
        "SELECT field, clicks FROM counts WHERE affiliate = ? AND day = ? AND field >= ? AND field < x'77'",
    )?;
    let least: &[u8] = if links.is_empty() { b"u" } else { b"l" };
    let asked = |counter: &Counter| match counter {
        Counter::Link(link) | Counter::LinkOther(link) => links.contains(link),
        _ => true,
    };
    let mut days = Vec::new();
    for day in first.max(*dates.start()).iter_days().take_while(|day| day <= dates.end()) {
        let mut rows =
            statement.query(params![affiliate.bits().cast_signed(), day.num_days_from_ce(), least])?;
        let mut counts = Vec::new();
        while let Some(row) = rows.next()? {
            let Some(counter) = packed::read_counter(&row.get::<_, Vec<u8>>(0)?)? else { continue };
            if asked(&counter) {
                counts.push((counter, row.get::<_, i64>(1)?.cast_unsigned()));
            }
        }
        if !counts.is_empty() {
            days.push(DayCounts { day, counts });
        }
    }
    Ok(days)
}

/// Deletes what has expired, going through all visitors a part at a time, again and again.
pub(super) struct Sweep {
    last: Instant,
    /// Visitors up to this one have been checked in this round.
    after: Vec<u8>,
}

impl Sweep {
    pub(super) fn new() -> Self {
        Self { last: Instant::now(), after: Vec::new() }
    }

    pub(super) fn if_due(&mut self, connection: &mut Connection) {
        if self.last.elapsed() < SWEEP_EVERY {
            return;
        }
        self.last = Instant::now();
        if let Err(error) = purge(connection, &mut self.after, Clock::system().millis()) {
            tracing::warn!(%error, "failed to delete expired visits");
        }
    }
}

/// Deletes the expired ones among the next visitors, and expired windows; returns how many.
fn purge(connection: &Connection, after: &mut Vec<u8>, now: i64) -> rusqlite::Result<usize> {
    let last: Option<Vec<u8>> = connection
        .prepare_cached("SELECT visitor FROM visits WHERE visitor > ? ORDER BY visitor LIMIT 1 OFFSET ?")?
        .query_row(params![*after, VISITORS_A_SWEEP], |row| row.get(0))
        .optional()?;
    let expired = connection
        .prepare_cached(
            "DELETE FROM visits WHERE visitor > ?1 AND (?2 IS NULL OR visitor <= ?2) AND expires_ms <= ?3",
        )?
        .execute(params![*after, last, now])?;
    *after = last.unwrap_or_default();
    let windows = connection.prepare_cached("DELETE FROM windows WHERE expires_ms <= ?")?.execute([now])?;
    Ok(expired + windows)
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    #[test]
    fn expired_visits_are_deleted_and_others_are_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut connection = file::open_to_write(&dir.path().join("store.sqlite")).expect("a file");
        let visitors = u32::from(VISITORS_A_SWEEP) * 2 + 10;
        let change = connection.transaction().expect("a transaction");
        for number in 0..visitors {
            change
                .execute("INSERT INTO visits VALUES (?, ?, x'')", params![number.to_be_bytes(), number % 2])
                .expect("a visit");
        }
        change.commit().expect("visitors");
        let mut after = Vec::new();
        let purged: Vec<_> = (0..4).map(|_| purge(&connection, &mut after, 0).expect("a purge")).collect();
        assert_eq!(purged[..3].iter().sum::<usize>(), visitors as usize / 2, "{purged:?}");
        assert_eq!(purged[3], 0, "the next round finds none");
        let left =
            connection.query_row("SELECT count(*) FROM visits WHERE expires_ms = 1", [], |row| row.get(0));
        assert_eq!(left, Ok(visitors / 2));
    }
}
