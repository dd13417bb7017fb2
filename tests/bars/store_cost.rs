//! What a click costs the store: promised for Redis. `--nocapture` shows the numbers.

use crate::alone;
use crate::support::servers::{Program, Server};
use chrono::NaiveDate;
use counterfoil::for_tests::Click;
use counterfoil::for_tests::Verdict;
use counterfoil::for_tests::Visit;
use counterfoil::for_tests::store::sqlite::SqliteStore;
use counterfoil::for_tests::store::{
    Advance, ClickBatch, Clicks, Committed, Counter, CounterChange, Cursor, Log, Partition, Store,
    StoreSettings, VisitWrite, affiliate_partition, open, visitor_partition,
};
use counterfoil::for_tests::{AffiliateId, ClickId, LinkId, NodeId, VisitorId};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use uuid::Uuid;

const CPU_A_CLICK: f64 = 2.5;
const BYTES_A_VISITOR: f64 = 260.0;
/// CPU of Redis for one of many pipelined `SET`s with a time to live, on the quiet machine that the promise
/// was made on. Where it takes longer, by a slower machine or a busy one, a click may too.
const CPU_A_SET: f64 = 3.0;

/// Ninety days.
const TTL_MS: u64 = 90 * 24 * 3_600_000;
const AFFILIATES: u64 = 1_000;

/// Clicks of new visitors on the links of affiliates, of whom a few are popular.
struct Traffic {
    random: u64,
    /// Clicks a second.
    rate: u64,
    /// Of a hundred clicks, those of visitors who came lately.
    returning: u64,
    lately: Vec<VisitorId>,
    /// Unix microseconds.
    now_us: u64,
    at: BTreeMap<Partition, Cursor>,
}

impl Traffic {
    fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn time_ordered(&mut self) -> Uuid {
        Uuid::from_u64_pair(
            (self.now_us / 1_000) << 16 | 0x7000 | self.next() >> 52,
            1 << 63 | self.next() >> 2,
        )
    }

    fn visitor(&mut self) -> (VisitorId, bool) {
        let place = usize::try_from(self.next() % 10_000).expect("a small number");
        if self.next() % 100 < self.returning && place < self.lately.len() {
            return (self.lately[place], false);
        }
        let visitor = VisitorId(self.time_ordered());
        if place < self.lately.len() {
            self.lately[place] = visitor;
        } else {
            self.lately.push(visitor);
        }
        (visitor, true)
    }

    /// Drains so many clicks: a batch for each partition, with the counts added up.
    fn batches(&mut self, store: &dyn Store, clicks: u64) -> Vec<ClickBatch> {
        let day = NaiveDate::from_ymd_opt(2026, 4, 1).expect("a day");
        let mut visits: BTreeMap<Partition, Vec<VisitWrite>> = BTreeMap::new();
        let mut counts: BTreeMap<(AffiliateId, Counter), u64> = BTreeMap::new();
        for _ in 0..clicks {
            self.now_us += 1_000_000 / self.rate;
            let (visitor, new_visitor) = self.visitor();
            let popularity = (self.next() % 1_000) * (self.next() % 1_000) / 1_000;
            let affiliate =
                AffiliateId::from_bits((popularity % AFFILIATES).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let link = LinkId::from_bits(affiliate.bits() + 1);
            let click = Click { id: ClickId(self.time_ordered()), affiliate, link };
            let visit = VisitWrite {
                visitor,
                new_visitor,
                visit: Visit { click, verdict: Verdict::Human, paid_ad: false },
            };
            visits.entry(visitor_partition(visitor, store.partitions())).or_default().push(visit);
            for counter in [Counter::Verdict(Verdict::Human), Counter::Unique, Counter::Link(link)] {
                *counts.entry((affiliate, counter)).or_default() += 1;
            }
        }
        let mut counters: BTreeMap<Partition, Vec<CounterChange>> = BTreeMap::new();
        for ((affiliate, counter), by) in counts {
            let partition = affiliate_partition(affiliate, store.partitions());
            counters.entry(partition).or_default().push(CounterChange { affiliate, day, counter, by });
        }
        (0..store.partitions())
            .map(Partition::Hashed)
            .map(|partition| {
                let from = *self.at.entry(partition).or_default();
                let to = Cursor { epoch: 1, position: from.position + 1 };
                self.at.insert(partition, to);
                ClickBatch {
                    partition,
                    advance: Advance { node: NodeId::from_bits(1), log: Log::Clicks, from, to },
                    visits: visits.remove(&partition).unwrap_or_default(),
                    counters: counters.remove(&partition).unwrap_or_default(),
                    visits_ttl_ms: TTL_MS,
                }
            })
            .collect()
    }
}

fn traffic(rate: u64, returning: u64) -> Traffic {
    let (random, now_us) = (0x2545_f491_4f6c_dd1d, 1_800_000_000_000_000);
    Traffic { random, rate, returning, lately: Vec::new(), now_us, at: BTreeMap::new() }
}

fn info(server: &Server, section: &str, field: &str) -> f64 {
    let info: String = server.operate(&["INFO", section]);
    let line = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).expect(field);
    // `commandstats` lists several values in a line.
    let value = line.split(',').find_map(|part| part.strip_prefix("usec=")).unwrap_or(line);
    value.parse().expect("a number")
}

fn cpu_us(server: &Server) -> f64 {
    (info(server, "cpu", "used_cpu_user") + info(server, "cpu", "used_cpu_sys")) * 1e6
}

/// What a click cost Redis; its CPU as on the machine that the promise was made on.
struct Cost {
    cpu_us: f64,
    bytes: f64,
}

/// What a `SET` with a time to live costs, here and now.
fn cpu_of_a_set(server: &Server, round: u32) -> f64 {
    let mut connection = server.operator();
    let before = cpu_us(server);
    for batch in 0..100 {
        let mut sets = redis::pipe();
        for number in 0..200 {
            let key = format!("set:{round}:{batch}:{number}");
            sets.cmd("SET").arg(key).arg([7_u8; 33].as_slice()).arg("PX").arg(TTL_MS).ignore();
        }
        sets.query::<()>(&mut connection).expect("sets");
    }
    (cpu_us(server) - before) / 20_000.0
}

/// Applies four times 80,000 clicks in batches of 200 a partition, and answers the cheapest: whatever else
/// runs on the machine makes a click dearer, nothing makes it cheaper.
async fn measure(rate: u64, returning: u64) -> Cost {
    let server = Server::start(Program::Redis, &[]);
    let settings = StoreSettings { timeout: Duration::from_secs(10) };
    let store = open(&server.url(), Path::new("."), &settings).expect("a store");
    let mut traffic = traffic(rate, returning);
    let drain = 200 * u64::from(store.partitions());
    for batch in traffic.batches(&*store, drain) {
        store.apply_clicks(&batch).await.expect("a batch");
    }
    let mut best = Cost { cpu_us: f64::INFINITY, bytes: f64::INFINITY };
    for round in 0..4 {
        let set = cpu_of_a_set(&server, round);
        let drains: Vec<_> = (0..25).map(|_| traffic.batches(&*store, drain)).collect();
        let (mut clicks, mut counts) = (0_u32, 0_u32);
        let (cpu, memory) = (cpu_us(&server), info(&server, "memory", "used_memory"));
        let script = info(&server, "commandstats", "cmdstat_evalsha");
        for batch in drains.iter().flatten() {
            assert_eq!(store.apply_clicks(batch).await.expect("a batch"), Committed::Done);
            clicks += u32::try_from(batch.visits.len()).expect("some");
            counts += u32::try_from(batch.counters.len()).expect("some");
        }
        let a_click = |total: f64| total / f64::from(clicks);
        let cpu = a_click(cpu_us(&server) - cpu);
        let script = a_click(info(&server, "commandstats", "cmdstat_evalsha") - script);
        let bytes = a_click(info(&server, "memory", "used_memory") - memory);
        let counted = a_click(f64::from(counts));
        println!(
            "Redis, {rate} clicks/s, {returning} % returning: {cpu:.2} µs of CPU a click ({script:.2} µs in the \
             script), {bytes:.0} bytes, {counted:.2} counts; {set:.2} µs a plain SET"
        );
        let cpu = cpu / (set / CPU_A_SET).max(1.0);
        best = Cost { cpu_us: best.cpu_us.min(cpu), bytes: best.bytes.min(bytes) };
    }
    best
}

#[tokio::test]
async fn a_new_visitors_click_is_cheap_for_redis() {
    let _alone = alone().await;
    for rate in [20_000, 2_000, 200] {
        let Cost { cpu_us, bytes } = measure(rate, 0).await;
        assert!(cpu_us <= CPU_A_CLICK, "{cpu_us:.2} µs of CPU a click");
        assert!(bytes <= BYTES_A_VISITOR, "{bytes:.0} bytes a new visitor");
    }
}

/// Their later visits have a key of their own.
#[tokio::test]
async fn a_fifth_of_returning_visitors_does_not_double_it() {
    let _alone = alone().await;
    let Cost { cpu_us, .. } = measure(2_000, 20).await;
    assert!(cpu_us <= 2.0 * CPU_A_CLICK, "{cpu_us:.2} µs of CPU a click");
}

#[tokio::test]
async fn a_click_takes_microseconds_in_sqlite() {
    let _alone = alone().await;
    let dir = tempfile::tempdir().expect("a directory");
    let store = SqliteStore::open(&dir.path().join("store.sqlite")).expect("a file");
    let mut traffic = traffic(2_000, 0);
    let mut best = f64::INFINITY;
    for round in 1..=4 {
        let drains: Vec<_> = (0..100).map(|_| traffic.batches(&store, 1_000)).collect();
        let begun = Instant::now();
        for batch in drains.iter().flatten() {
            assert_eq!(store.apply_clicks(batch).await.expect("a batch"), Committed::Done);
        }
        let us = begun.elapsed().as_secs_f64() * 1e6 / 100_000.0;
        println!("SQLite: {us:.1} µs a click at {round}00,000 visitors");
        best = best.min(us);
    }
    // On a busy machine; alone it takes a third of that.
    assert!(best <= 15.0, "{best:.1} µs a click");
}
