//! Things to put into a store.

use chrono::NaiveDate;
use counterfoil::for_tests::Click;
use counterfoil::for_tests::Verdict;
use counterfoil::for_tests::Visit;
use counterfoil::for_tests::store::{
    Advance, Append, ClickBatch, Commit, CounterChange, Cursor, IndexChange, Log, Partition, Remove, Store,
    VisitWrite, Write, visitor_partition,
};
use counterfoil::for_tests::{AffiliateId, ClickId, LinkId, NodeId, VisitorId};
use uuid::Uuid;

pub const TTL_MS: u64 = 600_000;
pub const NODE: NodeId = NodeId::from_bits(7);

pub fn cursor(position: u64) -> Cursor {
    Cursor { epoch: 1, position }
}

pub fn advance(log: Log, from: Cursor, to: Cursor) -> Advance {
    Advance { node: NODE, log, from, to }
}

pub fn write(key: &str, expected: u64, body: &str) -> Write {
    Write { key: key.to_owned(), expected, body: body.into() }
}

pub fn remove(key: &str, expected: u64) -> Remove {
    Remove { key: key.to_owned(), expected }
}

pub fn enters(index: &str, member: &str) -> IndexChange {
    IndexChange { index: index.to_owned(), member: member.to_owned(), present: true }
}

pub fn leaves(index: &str, member: &str) -> IndexChange {
    IndexChange { present: false, ..enters(index, member) }
}

pub fn entry(stream: &'static str, body: &str) -> Append {
    Append { stream, body: body.into() }
}

/// A commit of documents that comes from no journal.
pub fn derived(partition: Partition, writes: Vec<Write>) -> Commit {
    Commit { writes, ..Commit::to(partition) }
}

pub fn visit(number: u128) -> Visit {
    let click = Click {
        id: ClickId(Uuid::from_u128(number)),
        affiliate: AffiliateId::from_bits(1),
        link: LinkId::from_bits(2),
    };
    Visit { click, verdict: Verdict::Human, paid_ad: number % 2 == 1 }
}

pub fn visitor(number: u128) -> VisitorId {
    VisitorId(Uuid::from_u128(number))
}

/// A batch of one visitor's clicks.
pub fn clicks(
    store: &dyn Store,
    of: VisitorId,
    new_visitor: bool,
    numbers: &[u128],
    from: u64,
    to: u64,
) -> ClickBatch {
    let write = |&number| VisitWrite { visitor: of, new_visitor, visit: visit(number) };
    ClickBatch {
        partition: visitor_partition(of, store.partitions()),
        advance: advance(Log::Clicks, if from == 0 { Cursor::default() } else { cursor(from) }, cursor(to)),
        visits: numbers.iter().map(write).collect(),
        counters: Vec::new(),
        visits_ttl_ms: TTL_MS,
    }
}

/// A batch of counts.
pub fn counts(partition: Partition, counters: Vec<CounterChange>, from: Cursor, to: Cursor) -> ClickBatch {
    ClickBatch {
        partition,
        advance: advance(Log::Clicks, from, to),
        visits: Vec::new(),
        counters,
        visits_ttl_ms: TTL_MS,
    }
}

pub fn day(day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 4, day).expect("a day in April")
}
