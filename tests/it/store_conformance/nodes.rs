//! What nodes agree on.

use super::make::cursor;
use counterfoil::for_tests::NodeId;
use counterfoil::for_tests::store::{FORMAT, Lease, NodeState, Partition, Store, StoreMeta};
use std::sync::Arc;
use std::time::{Duration, Instant};

const HOUR_MS: u64 = 3_600_000;

async fn token(store: &dyn Store, holder: &str, ttl_ms: u64) -> Option<u64> {
    match store.lease("night", holder, ttl_ms).await.expect("an answer") {
        Lease::Granted { token } => Some(token),
        Lease::Held => None,
    }
}

pub async fn a_lease_has_one_holder(store: Arc<dyn Store>) {
    let first = token(&*store, "a", HOUR_MS).await.expect("nobody has it");
    assert_eq!(token(&*store, "b", HOUR_MS).await, None);
    assert_eq!(token(&*store, "a", HOUR_MS).await, Some(first), "who renews keeps the token");
    assert!(matches!(store.lease("mail", "b", HOUR_MS).await.expect("another lease"), Lease::Granted { .. }));
    store.release("night", "b").await.expect("who has it not gives nothing back");
    assert_eq!(token(&*store, "b", HOUR_MS).await, None);
    store.release("night", "a").await.expect("given back");
    assert!(token(&*store, "b", HOUR_MS).await.is_some_and(|second| second > first));
}

pub async fn a_lease_is_free_again_after_its_time(store: Arc<dyn Store>) {
    let first = token(&*store, "a", 100).await.expect("nobody has it");
    let begun = Instant::now();
    let second = loop {
        match token(&*store, "b", 100).await {
            Some(second) => break second,
            None => assert!(begun.elapsed() < Duration::from_secs(5), "the lease is still held"),
        }
    };
    assert!(begun.elapsed() > Duration::from_millis(50), "the lease was held for its time");
    assert!(second > first);
}

pub async fn a_new_holder_has_a_higher_token(store: Arc<dyn Store>) {
    let mut last = 0;
    for turn in 0..20 {
        let holder = if turn % 2 == 0 { "a" } else { "b" };
        let next = token(&*store, holder, HOUR_MS).await.expect("given back by the one before");
        assert!(next > last);
        last = next;
        store.release("night", holder).await.expect("given back");
    }
}

pub async fn a_fence_only_rises(store: Arc<dyn Store>) {
    let here = Partition::Hashed(0);
    assert!(store.raise_fence(here, 7).await.expect("an answer"));
    assert!(store.raise_fence(here, 7).await.expect("the same again"));
    assert!(!store.raise_fence(here, 6).await.expect("a lower one"));
    assert!(store.raise_fence(Partition::Directory, 6).await.expect("another partition"));
    assert!(store.raise_fence(here, 1_800_000_000_000).await.expect("a time in milliseconds"));
    assert!(!store.raise_fence(here, 1_799_999_999_999).await.expect("one lower"));
}

pub async fn nodes_know_each_other(store: Arc<dyn Store>) {
    let state = |bits, seen_ms| NodeState {
        node: NodeId::from_bits(bits),
        instance: format!("instance of {bits}"),
        seen_ms,
        facts: cursor(bits),
        clicks: cursor(bits + 1),
        stopped: bits == 2,
        waits_for_others: bits == 1,
        met: (bits == 1).then(|| "a life".to_owned()),
        replays_from: (bits == 2).then_some(7),
    };
    for state in [state(1, 10), state(2, 20), state(1, 30)] {
        store.put_node(&state).await.expect("told");
    }
    let mut nodes = store.nodes().await.expect("nodes");
    nodes.sort_by_key(|state| state.node);
    assert_eq!(nodes, [state(1, 30), state(2, 20)]);
    store.forget_node(NodeId::from_bits(1)).await.expect("forgotten");
    store.forget_node(NodeId::from_bits(9)).await.expect("never known");
    assert_eq!(store.nodes().await.expect("nodes"), [state(2, 20)]);
}

pub async fn the_first_meta_is_kept_until_it_is_replaced(store: Arc<dyn Store>) {
    let meta = |store_id: &str| StoreMeta {
        store_id: store_id.to_owned(),
        format: FORMAT,
        partitions: store.partitions(),
        keys_fingerprint: "f".to_owned(),
        recovering: false,
        fell_back: (store_id == "third").then(|| "a word".to_owned()),
        evicted_before: std::collections::BTreeMap::from([("a run".to_owned(), 7)]),
    };
    assert_eq!(store.meta().await.expect("an answer"), None);
    assert_eq!(store.init_meta(&meta("first")).await.expect("an answer"), meta("first"));
    assert_eq!(store.init_meta(&meta("second")).await.expect("an answer"), meta("first"));
    store.set_meta(&meta("third")).await.expect("replaced");
    assert_eq!(store.meta().await.expect("an answer"), Some(meta("third")));
}

pub async fn a_window_forgets(store: Arc<dyn Store>) {
    let count = |member: &'static str, now_ms| {
        let store = Arc::clone(&store);
        async move { store.count_in_window("burst:1", member, now_ms, HOUR_MS).await.expect("a count") }
    };
    let hour = 3_600_000;
    let start = 1_800_000_000_000;
    assert_eq!(count("a", start).await, 1);
    assert_eq!(count("a", start + 1).await, 1, "a member counts once");
    assert_eq!(count("b", start + 2).await, 2);
    assert_eq!(count("c", start + hour).await, 3);
    assert_eq!(count("d", start + hour + 1).await, 3, "a is forgotten");
    assert_eq!(count("e", start + 3 * hour).await, 1);
    assert_eq!(store.count_in_window("burst:2", "a", start, HOUR_MS).await.expect("a count"), 1);
}

pub async fn an_operator_sees_what_there_is(store: Arc<dyn Store>) {
    store.ping().await.expect("it answers");
    let findings = store.inspect().await;
    assert!(!findings.is_empty());
    for finding in findings {
        assert!(finding.ok, "{finding:?}");
    }
}
