//! Visits and click counts.

use super::make::{clicks, counts, cursor, day, visit, visitor};
use counterfoil::for_tests::Verdict;
use counterfoil::for_tests::store::{
    Committed, Counter, CounterChange, Cursor, MAX_SUB_VALUES, MAX_VISITS, Store, VisitWrite,
    affiliate_partition,
};
use counterfoil::for_tests::{AffiliateId, LinkId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

const AFFILIATE: AffiliateId = AffiliateId::from_bits(42);

async fn visits_of(store: &dyn Store, number: u128) -> Vec<u128> {
    let found = store.visits(&[visitor(number)]).await.expect("a read").remove(0);
    found.iter().map(|visit| visit.click.id.0.as_u128()).collect()
}

pub async fn clicks_are_applied_once(store: Arc<dyn Store>) {
    let mut batch = clicks(&*store, visitor(1), true, &[10], 0, 5);
    let affiliate = (0..1_000)
        .map(AffiliateId::from_bits)
        .find(|id| affiliate_partition(*id, store.partitions()) == batch.partition);
    let affiliate = affiliate.expect("one of many");
    batch.counters = vec![CounterChange { affiliate, day: day(1), counter: Counter::Unique, by: 3 }];
    assert_eq!(store.apply_clicks(&batch).await.expect("a batch"), Committed::Done);
    for _ in 0..2 {
        assert_eq!(store.apply_clicks(&batch).await.expect("the same again"), Committed::CursorAt(cursor(5)));
        assert_eq!(visits_of(&*store, 1).await, [10]);
        let counts = store.click_counts(affiliate, &(day(1)..=day(1))).await.expect("counts");
        assert_eq!(counts[0].counts, [(Counter::Unique, 3)]);
    }
    let gap = clicks(&*store, visitor(1), false, &[11], 6, 7);
    assert_eq!(store.apply_clicks(&gap).await.expect("an answer"), Committed::CursorAt(cursor(5)));
    assert_eq!(visits_of(&*store, 1).await, [10]);
}

pub async fn the_first_and_the_newest_visits_are_kept(store: Arc<dyn Store>) {
    let turns: [Vec<u128>; 4] =
        [(1..=1).collect(), (2..=20).collect(), (21..=33).collect(), (34..=80).collect()];
    for (at, numbers) in (0..).zip(turns) {
        let batch = clicks(&*store, visitor(1), at == 0, &numbers, at, at + 1);
        assert_eq!(store.apply_clicks(&batch).await.expect("a batch"), Committed::Done);
        let all: Vec<u128> = (1..=*numbers.last().expect("some")).collect();
        let expected = if all.len() <= MAX_VISITS {
            all
        } else {
            std::iter::once(1).chain(all[all.len() - (MAX_VISITS - 1)..].iter().copied()).collect()
        };
        assert_eq!(visits_of(&*store, 1).await, expected);
    }
}

pub async fn a_visit_is_kept_once(store: Arc<dyn Store>) {
    for (at, (new, numbers)) in [(true, vec![1, 1]), (false, vec![2, 1, 2, 3])].into_iter().enumerate() {
        let batch = clicks(&*store, visitor(1), new, &numbers, at as u64, at as u64 + 1);
        assert_eq!(store.apply_clicks(&batch).await.expect("a batch"), Committed::Done);
    }
    assert_eq!(visits_of(&*store, 1).await, [1, 2, 3]);
    let read = store.visits(&[visitor(1)]).await.expect("a read").remove(0);
    assert_eq!(read[0], visit(1), "all of a visit comes back");
}

pub async fn a_visitor_new_in_the_batch_may_click_again_in_it(store: Arc<dyn Store>) {
    let mut batch = clicks(&*store, visitor(1), true, &[1], 0, 1);
    batch.visits.push(VisitWrite { visitor: visitor(1), new_visitor: false, visit: visit(2) });
    store.apply_clicks(&batch).await.expect("a batch");
    assert_eq!(visits_of(&*store, 1).await, [1, 2]);
}

pub async fn visits_are_forgotten_after_their_time(store: Arc<dyn Store>) {
    let mut batch = clicks(&*store, visitor(1), true, &[1], 0, 1);
    batch.visits_ttl_ms = 100;
    store.apply_clicks(&batch).await.expect("a batch");
    let begun = Instant::now();
    while !visits_of(&*store, 1).await.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(5), "the visit is still there");
    }
    let later = clicks(&*store, visitor(1), false, &[2], 1, 2);
    store.apply_clicks(&later).await.expect("a batch");
    assert_eq!(visits_of(&*store, 1).await, [2], "and comes back for none");
}

pub async fn visits_come_in_the_order_asked(store: Arc<dyn Store>) {
    let mut at = BTreeMap::new();
    for number in 1..=100 {
        let mut batch = clicks(&*store, visitor(number), true, &[number], 0, 1);
        let from = at.entry(batch.partition).or_insert(0);
        if *from > 0 {
            batch.advance.from = cursor(*from);
        }
        *from += 1;
        batch.advance.to = cursor(*from);
        assert_eq!(store.apply_clicks(&batch).await.expect("a batch"), Committed::Done);
    }
    let asked: Vec<_> = (1..=101).rev().map(visitor).collect();
    let found = store.visits(&asked).await.expect("a read");
    assert!(found[0].is_empty(), "101 never came");
    for (visits, number) in found[1..].iter().zip((1..=100).rev()) {
        assert_eq!(visits.as_slice(), [visit(number)]);
    }
    assert!(store.visits(&[]).await.expect("nothing asked").is_empty());
}

pub async fn counts_add_up_by_day(store: Arc<dyn Store>) {
    let partition = affiliate_partition(AFFILIATE, store.partitions());
    let counters = [
        Counter::Verdict(Verdict::Human),
        Counter::Verdict(Verdict::Flood),
        Counter::Unique,
        Counter::Link(LinkId::from_bits(1)),
        Counter::LinkOther(LinkId::from_bits(1)),
        Counter::Sub(1, "mail".to_owned()),
        Counter::Sub(5, "mail".to_owned()),
        Counter::Sub(5, "é x".to_owned()),
    ];
    let changes = |day_of_april, by: u64| {
        let change = |counter: &Counter| CounterChange {
            affiliate: AFFILIATE,
            day: day(day_of_april),
            counter: counter.clone(),
            by,
        };
        counters.iter().map(change).collect::<Vec<_>>()
    };
    let mut from = Cursor::default();
    for (position, (of_april, by)) in [(2, 1), (2, 10), (30, 5)].into_iter().enumerate() {
        let to = cursor(position as u64 + 1);
        let mut changes = changes(of_april, by);
        let other = AffiliateId::from_bits(43);
        if affiliate_partition(other, store.partitions()) == partition {
            changes.push(CounterChange { affiliate: other, day: day(2), counter: Counter::Unique, by: 1 });
        }
        store.apply_clicks(&counts(partition, changes, from, to)).await.expect("a batch");
        from = to;
    }
    let days = store.click_counts(AFFILIATE, &(day(1)..=day(30))).await.expect("counts");
    assert_eq!(days.iter().map(|day| day.day).collect::<Vec<_>>(), [day(2), day(30)]);
    for (found, expected) in days.iter().zip([11, 5]) {
        let found: BTreeMap<_, _> = found.counts.iter().cloned().collect();
        assert_eq!(found, counters.iter().map(|counter| (counter.clone(), expected)).collect());
    }
    assert!(store.click_counts(AFFILIATE, &(day(3)..=day(29))).await.expect("counts").is_empty());
    let totals = store.click_totals(AFFILIATE, &[], &(day(1)..=day(30))).await.expect("counts");
    assert_eq!(totals.iter().map(|day| day.day).collect::<Vec<_>>(), [day(2), day(30)]);
    for (found, expected) in totals.iter().zip([11, 5]) {
        let found: BTreeMap<_, _> = found.counts.iter().cloned().collect();
        assert_eq!(found, counters[..3].iter().map(|counter| (counter.clone(), expected)).collect());
    }
    // With the links that are asked for, and no others.
    let links = [LinkId::from_bits(1), LinkId::from_bits(2)];
    let second = day(2)..=day(2);
    let with = store.click_totals(AFFILIATE, &links, &second).await.expect("counts").remove(0);
    let found: BTreeMap<_, _> = with.counts.into_iter().collect();
    assert_eq!(found, counters[..5].iter().map(|counter| (counter.clone(), 11)).collect());
    let without = store.click_totals(AFFILIATE, &links[1..], &second).await.expect("counts").remove(0);
    assert_eq!(without.counts.len(), 3);
}

pub async fn values_of_a_sub_id_past_the_cap_are_counted_together(store: Arc<dyn Store>) {
    let partition = affiliate_partition(AFFILIATE, store.partitions());
    let change = |sub, value: usize| CounterChange {
        affiliate: AFFILIATE,
        day: day(1),
        counter: Counter::Sub(sub, format!("v{value}")),
        by: 2,
    };
    // Values 0 to 1,009, then 0 and 1,009 again, and one of another sub id.
    let values = (0..MAX_SUB_VALUES + 10).map(|value| change(1, value)).collect();
    // The longest, of any script.
    let long = Counter::Sub(3, "\u{4f60}".repeat(170) + "\u{e9}");
    let mut again = vec![change(1, 0), change(1, MAX_SUB_VALUES + 9), change(2, 0), change(3, 0)];
    again[3].counter = long.clone();
    store.apply_clicks(&counts(partition, values, Cursor::default(), cursor(1))).await.expect("a batch");
    store.apply_clicks(&counts(partition, again, cursor(1), cursor(2))).await.expect("a batch");

    let found = store.click_counts(AFFILIATE, &(day(1)..=day(1))).await.expect("counts").remove(0);
    let found: BTreeMap<_, _> = found.counts.into_iter().collect();
    assert_eq!(found.len(), MAX_SUB_VALUES + 3);
    assert_eq!(found[&long], 2);
    assert_eq!(found[&Counter::Sub(1, "v0".to_owned())], 4);
    assert_eq!(found[&Counter::Sub(1, "other".to_owned())], 22);
    assert_eq!(found[&Counter::Sub(2, "v0".to_owned())], 2);
}
