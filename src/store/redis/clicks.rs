//! Visits and click counts.

use super::RedisStore;
use super::client::Lanes;
use super::keys;
use super::reply;
use super::script::{CLICKS, Call};
use crate::domain::attribution::Visit;
use crate::domain::id::{AffiliateId, LinkId, VisitorId};
use crate::domain::outcome::Verdict;
use crate::store::packed::{self, VISIT_BYTES};
use crate::store::{
    ClickBatch, Clicks, Committed, Counter, CounterChange, Dates, DayCounts, MAX_SUB_VALUES, MAX_VISITS,
    Result, StoreError, VisitWrite, affiliate_partition, visitor_partition,
};
use async_trait::async_trait;
use chrono::NaiveDate;
use futures_util::future::try_join_all;
use redis::{Value, cmd};
use std::collections::BTreeMap;

/// How many calls of one read run at once.
const AT_ONCE: usize = 64;

#[async_trait]
impl Clicks for RedisStore {
    async fn apply_clicks(&self, batch: &ClickBatch) -> Result<Committed> {
        let answer = self.client.script(batch.partition, Lanes::Clicks, &CLICKS, &pack(batch)).await?;
        match answer {
            Value::Int(1) => Ok(Committed::Done),
            other => Ok(Committed::CursorAt(packed::read_cursor(&reply::bytes(other)?)?)),
        }
    }

    async fn visits(&self, visitors: &[VisitorId]) -> Result<Vec<Vec<Visit>>> {
        let mut found = Vec::with_capacity(visitors.len());
        for visitors in visitors.chunks(AT_ONCE) {
            found.extend(try_join_all(visitors.iter().map(|&visitor| self.visits_of(visitor))).await?);
        }
        Ok(found)
    }

    async fn click_counts(&self, of: AffiliateId, days: &Dates) -> Result<Vec<DayCounts>> {
        let partition = affiliate_partition(of, keys::PARTITIONS);
        let days: Vec<_> = days.start().iter_days().take_while(|day| day <= days.end()).collect();
        let mut found = Vec::new();
        for days in days.chunks(AT_ONCE) {
            let reads = days.iter().map(|&day| async move {
                let mut get = cmd("HGETALL");
                get.arg(keys::counts(partition, of, day));
                let fields = reply::array(self.client.command(partition, Lanes::Reads, &get).await?)?;
                Ok::<_, StoreError>(DayCounts { day, counts: read_counts(fields)? })
            });
            let read = try_join_all(reads).await?;
            found.extend(read.into_iter().filter(|day| !day.counts.is_empty()));
        }
        Ok(found)
    }

    async fn click_totals(&self, of: AffiliateId, links: &[LinkId], days: &Dates) -> Result<Vec<DayCounts>> {
        let partition = affiliate_partition(of, keys::PARTITIONS);
        let counters = Verdict::ALL.iter().copied().map(Counter::Verdict).chain([Counter::Unique]);
        let links = links.iter().flat_map(|link| [Counter::Link(*link), Counter::LinkOther(*link)]);
        let counters: Vec<Counter> = counters.chain(links).collect();
        let fields: Vec<Vec<u8>> = counters.iter().map(packed::counter_field).collect();
        let days: Vec<_> = days.start().iter_days().take_while(|day| day <= days.end()).collect();
        let mut found = Vec::new();
        for days in days.chunks(AT_ONCE) {
            let reads = days.iter().map(|&day| {
                let mut get = cmd("HMGET");
                get.arg(keys::counts(partition, of, day)).arg(&fields);
                async move { reply::array(self.client.command(partition, Lanes::Reads, &get).await?) }
            });
            for (day, values) in days.iter().zip(try_join_all(reads).await?) {
                let some = counters.iter().zip(values).filter(|(_, value)| *value != Value::Nil);
                let counts = some.map(|(counter, value)| Ok((counter.clone(), reply::number(value)?)));
                let counts = counts.collect::<Result<Vec<_>>>()?;
                if !counts.is_empty() {
                    found.push(DayCounts { day: *day, counts });
                }
            }
        }
        Ok(found)
    }
}

impl RedisStore {
    async fn visits_of(&self, visitor: VisitorId) -> Result<Vec<Visit>> {
        let partition = visitor_partition(visitor, keys::PARTITIONS);
        let get = async |key: &[u8]| {
            let mut get = cmd("GET");
            get.arg(key);
            match self.client.command(partition, Lanes::Reads, &get).await? {
                Value::Nil => Ok(Vec::new()),
                found => reply::bytes(found),
            }
        };
        let keys = [keys::moment(partition, keys::moment_of(visitor)), keys::visits(partition, visitor)];
        let (moment, later) = tokio::try_join!(get(&keys[0]), get(&keys[1]))?;
        let mut visits = from_moment(&moment, visitor);
        packed::add_visits(&mut visits, &later);
        packed::read_visits(&visits)
    }
}

fn read_counts(fields: Vec<Value>) -> Result<Vec<(Counter, u64)>> {
    let mut counts = Vec::with_capacity(fields.len() / 2);
    let mut fields = fields.into_iter();
    while let (Some(field), Some(count)) = (fields.next(), fields.next()) {
        if let Some(counter) = packed::read_counter(&reply::bytes(field)?)? {
            counts.push((counter, reply::number(count)?));
        }
    }
    Ok(counts)
}

/// A moment is a sequence of records: a visitor and a visit.
const RECORD_BYTES: usize = 16 + VISIT_BYTES;

fn from_moment(moment: &[u8], visitor: VisitorId) -> Vec<u8> {
    let mut visits = Vec::new();
    for record in moment.as_chunks::<RECORD_BYTES>().0 {
        let (of, visit) = record.split_at(16);
        if of == visitor.0.as_bytes() {
            packed::add_visits(&mut visits, visit);
        }
    }
    visits
}

/// The visits of a visitor in a batch, in the order of the journal.
#[derive(Default)]
struct OfVisitor {
    new: bool,
    visits: Vec<u8>,
}

/// Sorts visits: for new visitors by moment, with the bytes to append; for known visitors by visitor.
fn sort_visits(writes: &[VisitWrite]) -> (BTreeMap<u64, Vec<u8>>, BTreeMap<VisitorId, Vec<u8>>) {
    let mut by_visitor: BTreeMap<VisitorId, OfVisitor> = BTreeMap::new();
    for write in writes {
        let of_visitor = by_visitor.entry(write.visitor).or_default();
        of_visitor.new |= write.new_visitor;
        let mut visit = Vec::with_capacity(VISIT_BYTES);
        packed::put_visit(&write.visit, &mut visit);
        packed::add_visits(&mut of_visitor.visits, &visit);
    }
    let (mut moments, mut known) = (BTreeMap::new(), BTreeMap::new());
    for (visitor, OfVisitor { new, visits }) in by_visitor {
        if new {
            let moment: &mut Vec<u8> = moments.entry(keys::moment_of(visitor)).or_default();
            for visit in visits.as_chunks::<VISIT_BYTES>().0 {
                moment.extend_from_slice(visitor.0.as_bytes());
                moment.extend_from_slice(visit);
            }
        } else {
            known.insert(visitor, visits);
        }
    }
    (moments, known)
}

/// Plain counters, and those of sub ids, of which only a limited number are counted separately.
#[derive(Default)]
struct OfDay {
    plain: Vec<(Vec<u8>, u64)>,
    subs: Vec<(Vec<u8>, u64)>,
}

fn sort_counters(counters: &[CounterChange]) -> BTreeMap<(AffiliateId, NaiveDate), OfDay> {
    let mut days: BTreeMap<_, OfDay> = BTreeMap::new();
    for change in counters {
        let day = days.entry((change.affiliate, change.day)).or_default();
        let kind = if matches!(change.counter, Counter::Sub(..)) { &mut day.subs } else { &mut day.plain };
        kind.push((packed::counter_field(&change.counter), change.by));
    }
    days
}

/// The keys and arguments of `clicks.lua`.
fn pack(batch: &ClickBatch) -> Call {
    let at = batch.partition;
    let (moments, known) = sort_visits(&batch.visits);
    let days = sort_counters(&batch.counters);

    let of_moments = moments.keys().map(|moment| keys::moment(at, *moment));
    let of_known = known
        .keys()
        .flat_map(|visitor| [keys::visits(at, *visitor), keys::moment(at, keys::moment_of(*visitor))]);
    let of_days = days.keys().map(|(affiliate, day)| keys::counts(at, *affiliate, *day));
    let mut call = Call::of([keys::cursors(at)].into_iter().chain(of_moments).chain(of_known).chain(of_days));

    call.arg(&keys::cursor_field(batch.advance.node, batch.advance.log));
    call.arg(&packed::cursor(batch.advance.from));
    call.arg(&packed::cursor(batch.advance.to));
    // Redis refuses a TTL of zero.
    call.number(batch.visits_ttl_ms.max(1));
    for size in [moments.len(), known.len(), VISIT_BYTES, MAX_VISITS, MAX_SUB_VALUES] {
        call.number(size as u64);
    }
    for visits in moments.values().chain(known.values()) {
        call.arg(visits);
    }
    for OfDay { plain, subs } in days.values() {
        call.number(plain.len() as u64);
        call.number(subs.len() as u64);
        for (field, by) in plain.iter().chain(subs) {
            call.arg(field);
            call.number(*by);
        }
    }
    call
}
