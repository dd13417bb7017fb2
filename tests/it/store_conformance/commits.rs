//! Commits: whole or not at all, and once.

use super::make::{NODE, advance, cursor, derived, enters, entry, leaves, remove, write};
use counterfoil::for_tests::store::{Commit, Committed, Cursor, Log, Partition, Store, Stream, StreamId};
use std::sync::Arc;

const HERE: Partition = Partition::Hashed(0);

fn first() -> Commit {
    Commit {
        advance: Some(advance(Log::Facts, Cursor::default(), cursor(3))),
        writes: vec![write("account:1", 0, "one")],
        indexes: vec![enters("all", "1")],
        appends: vec![entry("feed", "born")],
        ..Commit::to(HERE)
    }
}

/// What a commit could have changed, as far as these tests change anything.
async fn everything(store: &dyn Store) -> String {
    let documents = store.load(HERE, &["account:1".to_owned(), "account:2".to_owned()]).await;
    let members = store.members(HERE, "all", None, 10).await;
    let entries = store.read_stream(Stream(HERE, "feed"), StreamId::default(), 10).await;
    let cursors = store.cursors(NODE, Log::Facts).await;
    format!("{documents:?} {members:?} {entries:?} {cursors:?}")
}

pub async fn a_commit_is_applied_once(store: Arc<dyn Store>) {
    assert_eq!(store.commit(&first()).await.expect("a commit"), Committed::Done);
    let document =
        store.load(HERE, &["account:1".to_owned()]).await.expect("a read").remove(0).expect("a document");
    assert_eq!((document.version, document.body.as_slice()), (1, &b"one"[..]));
    assert_eq!(store.members(HERE, "all", None, 10).await.expect("a read"), ["1"]);
    let entries = store.read_stream(Stream(HERE, "feed"), StreamId::default(), 10).await.expect("a read");
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].body, b"born");

    let before = everything(&*store).await;
    assert_eq!(store.commit(&first()).await.expect("the same again"), Committed::CursorAt(cursor(3)));
    assert_eq!(everything(&*store).await, before);

    let next = Commit {
        advance: Some(advance(Log::Facts, cursor(3), cursor(4))),
        writes: vec![write("account:1", 1, "two"), write("account:2", 0, "")],
        indexes: vec![leaves("all", "1"), enters("all", "2"), leaves("all", "unknown")],
        appends: vec![entry("feed", "grown"), entry("feed", "old")],
        ..Commit::to(HERE)
    };
    assert_eq!(store.commit(&next).await.expect("the next"), Committed::Done);
    let documents =
        store.load(HERE, &["account:1".to_owned(), "account:2".to_owned()]).await.expect("a read");
    let documents: Vec<_> = documents.into_iter().flatten().map(|doc| (doc.version, doc.body)).collect();
    assert_eq!(documents, [(2, b"two".to_vec()), (1, Vec::new())]);
    assert_eq!(store.members(HERE, "all", None, 10).await.expect("a read"), ["2"]);
}

pub async fn a_commit_from_another_cursor_changes_nothing(store: Arc<dyn Store>) {
    let before = everything(&*store).await;
    let ahead = Commit { advance: Some(advance(Log::Facts, cursor(1), cursor(3))), ..first() };
    assert_eq!(store.commit(&ahead).await.expect("an answer"), Committed::CursorAt(Cursor::default()));
    assert_eq!(everything(&*store).await, before);

    store.commit(&first()).await.expect("a commit");
    let before = everything(&*store).await;
    let other_epoch = Cursor { epoch: 2, position: 3 };
    let elsewhere = Commit { advance: Some(advance(Log::Facts, other_epoch, cursor(9))), ..first() };
    assert_eq!(store.commit(&elsewhere).await.expect("an answer"), Committed::CursorAt(cursor(3)));
    assert_eq!(everything(&*store).await, before);
}

pub async fn a_stale_document_stops_the_whole_commit(store: Arc<dyn Store>) {
    store.commit(&first()).await.expect("a commit");
    let before = everything(&*store).await;
    for expected in [0, 2] {
        let stale = Commit {
            advance: Some(advance(Log::Facts, cursor(3), cursor(4))),
            writes: vec![write("account:2", 0, "good"), write("account:1", expected, "stale")],
            indexes: vec![enters("all", "2")],
            appends: vec![entry("feed", "stale")],
            ..Commit::to(HERE)
        };
        assert_eq!(store.commit(&stale).await.expect("an answer"), Committed::Stale);
        assert_eq!(everything(&*store).await, before, "expected {expected}");
    }
}

pub async fn a_document_goes_if_nobody_wrote_it_since(store: Arc<dyn Store>) {
    store.commit(&first()).await.expect("a commit");
    let before = everything(&*store).await;
    for removes in [vec![remove("account:1", 2)], vec![remove("account:1", 1), remove("account:2", 1)]] {
        let stale = Commit {
            writes: vec![write("account:3", 0, "good")],
            removes,
            indexes: vec![leaves("all", "1")],
            ..Commit::to(HERE)
        };
        assert_eq!(store.commit(&stale).await.expect("an answer"), Committed::Stale);
        assert_eq!(everything(&*store).await, before);
    }
    let good = Commit {
        advance: Some(advance(Log::Facts, cursor(3), cursor(4))),
        writes: vec![write("account:2", 0, "two")],
        removes: vec![remove("account:1", 1)],
        indexes: vec![leaves("all", "1"), enters("all", "2")],
        appends: vec![entry("feed", "gone")],
        ..Commit::to(HERE)
    };
    assert_eq!(store.commit(&good).await.expect("a commit"), Committed::Done);
    let names = ["account:1", "account:2", "account:3"].map(str::to_owned);
    let documents = store.load(HERE, &names).await.expect("a read");
    let bodies: Vec<_> = documents.into_iter().map(|doc| doc.map(|doc| doc.body)).collect();
    assert_eq!(bodies, [None, Some(b"two".to_vec()), None]);
    assert_eq!(store.members(HERE, "all", None, 10).await.expect("a read"), ["2"]);
    assert_eq!(
        store.read_stream(Stream(HERE, "feed"), StreamId::default(), 10).await.expect("a read").len(),
        2
    );

    // What is gone is as what was never there.
    let again = derived(HERE, vec![write("account:1", 0, "anew")]);
    assert_eq!(store.commit(&again).await.expect("a commit"), Committed::Done);
}

pub async fn a_fenced_run_changes_nothing(store: Arc<dyn Store>) {
    assert!(store.raise_fence(HERE, 5).await.expect("a fence"));
    let before = everything(&*store).await;
    let run = |token| Commit { fence: Some(token), ..derived(HERE, vec![write("account:1", 0, "late")]) };
    assert_eq!(store.commit(&run(4)).await.expect("an answer"), Committed::Fenced(5));
    assert_eq!(everything(&*store).await, before);
    assert_eq!(store.commit(&run(5)).await.expect("an answer"), Committed::Done);

    let elsewhere = Commit { partition: Partition::Directory, ..run(4) };
    assert_eq!(store.commit(&elsewhere).await.expect("another partition"), Committed::Done);
}

pub async fn checks_come_in_their_order(store: Arc<dyn Store>) {
    store.commit(&first()).await.expect("a commit");
    store.raise_fence(HERE, 5).await.expect("a fence");
    let mut wrong = first();
    wrong.fence = Some(4);
    assert_eq!(store.commit(&wrong).await.expect("an answer"), Committed::CursorAt(cursor(3)));
    wrong.advance = Some(advance(Log::Facts, cursor(3), cursor(4)));
    assert_eq!(store.commit(&wrong).await.expect("an answer"), Committed::Fenced(5));
    wrong.fence = Some(6);
    assert_eq!(store.commit(&wrong).await.expect("an answer"), Committed::Stale);
}

pub async fn journals_and_partitions_have_cursors_of_their_own(store: Arc<dyn Store>) {
    let unused = store.cursors(NODE, Log::Facts).await.expect("cursors");
    assert_eq!(unused.len(), usize::from(store.partitions()) + 1);
    assert!(unused.iter().all(|(_, at)| *at == Cursor::default()));

    store.commit(&first()).await.expect("a commit");
    let to = Cursor { epoch: u32::MAX, position: u64::MAX };
    let far = Commit {
        advance: Some(advance(Log::Facts, Cursor::default(), to)),
        ..Commit::to(Partition::Directory)
    };
    store.commit(&far).await.expect("a commit of nothing but its cursor");
    for (partition, at) in store.cursors(NODE, Log::Facts).await.expect("cursors") {
        let expected = match partition {
            HERE => cursor(3),
            Partition::Directory => to,
            Partition::Hashed(_) => Cursor::default(),
        };
        assert_eq!(at, expected, "{partition:?}");
    }
    let clicks = store.cursors(NODE, Log::Clicks).await.expect("cursors");
    assert!(clicks.iter().all(|(_, at)| *at == Cursor::default()));
}

pub async fn a_large_commit_is_applied_whole(store: Arc<dyn Store>) {
    let body = "x".repeat(2_000);
    let names: Vec<String> = (0..1_200).map(|number| format!("account:{number}")).collect();
    let commit = Commit {
        advance: Some(advance(Log::Facts, Cursor::default(), cursor(1_200))),
        writes: names.iter().map(|name| write(name, 0, &body)).collect(),
        indexes: names.iter().map(|name| enters("all", name)).collect(),
        appends: names.iter().map(|name| entry("feed", name)).collect(),
        ..Commit::to(HERE)
    };
    assert_eq!(store.commit(&commit).await.expect("a large commit"), Committed::Done);
    let documents = store.load(HERE, &names).await.expect("a large read");
    assert!(
        documents
            .iter()
            .all(|document| document.as_ref().is_some_and(|document| document.body.len() == 2_000))
    );
    assert_eq!(store.members(HERE, "all", None, 5_000).await.expect("a read").len(), 1_200);
    assert_eq!(
        store.read_stream(Stream(HERE, "feed"), StreamId::default(), 5_000).await.expect("a read").len(),
        1_200
    );
}
