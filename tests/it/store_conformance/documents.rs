//! Documents and indexes.

use super::make::{derived, enters, leaves, write};
use counterfoil::for_tests::store::{Commit, Committed, Partition, Store};
use std::sync::Arc;

const HERE: Partition = Partition::Hashed(0);

pub async fn documents_come_back_in_the_order_asked(store: Arc<dyn Store>) {
    let binary = (0..=255).collect::<Vec<u8>>();
    let mut commit = derived(HERE, vec![write("a", 0, "1"), write("ä/*{}", 0, "2")]);
    commit.writes[0].body.clone_from(&binary);
    assert_eq!(store.commit(&commit).await.expect("a commit"), Committed::Done);
    let asked: Vec<String> = ["none", "ä/*{}", "a", "ä/*{}"].iter().map(|name| (*name).to_owned()).collect();
    let found = store.load(HERE, &asked).await.expect("a read");
    let bodies: Vec<_> = found.iter().map(|doc| doc.as_ref().map(|doc| doc.body.as_slice())).collect();
    assert_eq!(bodies, [None, Some(&b"2"[..]), Some(&binary[..]), Some(&b"2"[..])]);
    assert!(store.load(HERE, &[]).await.expect("nothing asked").is_empty());
}

pub async fn documents_of_partitions_are_apart(store: Arc<dyn Store>) {
    store.commit(&derived(HERE, vec![write("a", 0, "here")])).await.expect("a commit");
    let there = derived(Partition::Directory, vec![write("a", 0, "there")]);
    assert_eq!(store.commit(&there).await.expect("a commit"), Committed::Done);
    for (partition, body) in [(HERE, "here"), (Partition::Directory, "there")] {
        let found = store.load(partition, &["a".to_owned()]).await.expect("a read").remove(0);
        assert_eq!(found.expect("a document").body, body.as_bytes());
    }
}

pub async fn members_come_in_byte_order_and_pages(store: Arc<dyn Store>) {
    let names = ["b", "a", "B", "aa", "é", "a:1", "z"];
    let commit = Commit {
        indexes: names
            .iter()
            .map(|name| enters("all", name))
            .chain([leaves("all", "z"), enters("all", "a")])
            .collect(),
        ..Commit::to(HERE)
    };
    store.commit(&commit).await.expect("a commit");
    let sorted = ["B", "a", "a:1", "aa", "b", "é"];
    assert_eq!(store.members(HERE, "all", None, 100).await.expect("all"), sorted);
    assert_eq!(store.members(HERE, "all", None, 2).await.expect("a page"), sorted[..2]);
    assert_eq!(store.members(HERE, "all", Some("a"), 2).await.expect("the next"), sorted[2..4]);
    assert_eq!(store.members(HERE, "all", Some("ab"), 9).await.expect("after no member"), sorted[4..]);
    assert!(store.members(HERE, "all", Some("é"), 9).await.expect("past the end").is_empty());
    assert!(store.members(HERE, "none", None, 9).await.expect("no index").is_empty());
    assert!(store.members(Partition::Directory, "all", None, 9).await.expect("elsewhere").is_empty());
}

pub async fn documents_are_found_by_their_index(store: Arc<dyn Store>) {
    let commit = Commit {
        indexes: vec![
            enters("x", "2"),
            enters("x", "1"),
            enters("y", "2"),
            enters("z", "1"),
            enters("z", "gone"),
        ],
        ..derived(
            HERE,
            vec![write("account:1", 0, "one"), write("account:2", 0, "two"), write("1", 0, "other")],
        )
    };
    store.commit(&commit).await.expect("a commit");
    let indexes: Vec<String> = ["y", "none", "x"].iter().map(|name| (*name).to_owned()).collect();
    let found = store.load_indexed(HERE, &indexes, "account:").await.expect("a read");
    let there = |doc: counterfoil::for_tests::store::Result<counterfoil::for_tests::store::Doc>| {
        doc.map(|doc| (doc.version, doc.body)).expect("it is there")
    };
    let bodies: Vec<Vec<_>> = found.into_iter().map(|docs| docs.into_iter().map(there).collect()).collect();
    let doc = |body: &str| (1, body.as_bytes().to_vec());
    assert_eq!(bodies, [vec![doc("two")], vec![], vec![doc("one"), doc("two")]]);
    // What an index names and the store lost is an error in its place.
    let found = store.load_indexed(HERE, &["z".to_owned()], "account:").await.expect("a read").remove(0);
    let says = |doc: &counterfoil::for_tests::store::Result<counterfoil::for_tests::store::Doc>| {
        doc.as_ref().err().map(ToString::to_string)
    };
    let said: Vec<_> = found.iter().map(says).collect();
    let lost = "read what the store holds: account:gone is missing, although `z` names it";
    assert_eq!(said, [None, Some(lost.to_owned())]);
    assert!(store.load_indexed(HERE, &[], "account:").await.expect("nothing asked").is_empty());
}

/// Larger than what one call to a server reads, in documents and in bytes.
pub async fn a_large_index_is_read_whole(store: Arc<dyn Store>) {
    let body = "x".repeat(1_500);
    for page in 0..5 {
        let numbers = (page * 500)..(page * 500 + 500);
        let commit = Commit {
            indexes: numbers.clone().map(|number| enters("large", &format!("{number:05}"))).collect(),
            ..derived(
                HERE,
                numbers
                    .map(|number| write(&format!("d:{number:05}"), 0, &format!("{number}{body}")))
                    .collect(),
            )
        };
        store.commit(&commit).await.expect("a commit");
    }
    let small: Vec<String> = (0..200).map(|number| format!("small{number}")).collect();
    let of_small = |name: &String| enters(name, &format!("{:05}", name.len()));
    let commit = Commit { indexes: small.iter().map(of_small).collect(), ..Commit::to(HERE) };
    store.commit(&commit).await.expect("a commit");

    let mut indexes = vec!["large".to_owned()];
    indexes.extend(small);
    indexes.push("large".to_owned());
    let found = store.load_indexed(HERE, &indexes, "d:").await.expect("a large read");
    assert_eq!(found.len(), 202);
    for large in [&found[0], &found[201]] {
        assert_eq!(large.len(), 2_500);
        for (number, document) in large.iter().enumerate() {
            let document = document.as_ref().expect("it is there");
            assert!(document.body.starts_with(format!("{number}x").as_bytes()), "{number}");
        }
    }
    assert!(found[1..201].iter().all(|documents| documents.len() == 1));
}
