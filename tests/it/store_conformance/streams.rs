//! Streams.

use super::make::entry;
use counterfoil::for_tests::store::{Commit, Partition, Store, Stream, StreamId};
use std::sync::Arc;

const HERE: Partition = Partition::Hashed(0);

pub async fn entries_are_read_in_order_from_both_ends(store: Arc<dyn Store>) {
    for page in 0..4 {
        let bodies = (page * 5)..(page * 5 + 5);
        let appends = bodies.map(|number| entry("feed", &number.to_string())).collect();
        store.commit(&Commit { appends, ..Commit::to(HERE) }).await.expect("a commit");
    }
    let mut seen = Vec::new();
    let mut after = StreamId::default();
    loop {
        let page = store.read_stream(Stream(HERE, "feed"), after, 7).await.expect("a page");
        let Some(last) = page.last() else { break };
        after = last.id;
        seen.extend(page);
    }
    assert!(seen.is_sorted_by(|one, next| one.id < next.id));
    let bodies: Vec<String> =
        seen.iter().map(|entry| String::from_utf8_lossy(&entry.body).into_owned()).collect();
    assert_eq!(bodies, (0..20).map(|number| number.to_string()).collect::<Vec<_>>());

    let mut back = Vec::new();
    let mut before = None;
    loop {
        let page = store.read_stream_back(Stream(HERE, "feed"), before, 7).await.expect("a page");
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        back.extend(page);
    }
    back.reverse();
    assert_eq!(back, seen);
    let nothing = store.read_stream_back(Stream(HERE, "feed"), Some(StreamId::default()), 7).await;
    assert!(nothing.expect("nothing before the beginning").is_empty());
}

pub async fn streams_and_partitions_are_apart(store: Arc<dyn Store>) {
    let commit = Commit { appends: vec![entry("feed", "a"), entry("changes", "b")], ..Commit::to(HERE) };
    store.commit(&commit).await.expect("a commit");
    for (partition, stream, expected) in
        [(HERE, "feed", 1), (HERE, "changes", 1), (HERE, "none", 0), (Partition::Directory, "feed", 0)]
    {
        let entries =
            store.read_stream(Stream(partition, stream), StreamId::default(), 9).await.expect("a read");
        assert_eq!(entries.len(), expected, "{partition:?} {stream}");
    }
}
