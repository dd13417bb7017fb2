//! What a store does while its server is gone, slow, full or emptied.

use super::make::{NODE, advance, clicks, cursor, derived, visitor, write};
use super::store_at;
use crate::support::servers::{Cluster, Program, Server};
use counterfoil::for_tests::store::{
    Commit, Committed, Cursor, Documents, Log, Partition, Store, StoreError,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The store's time-out is 250 ms; the rest is for a busy machine.
const ANSWERED: Duration = Duration::from_millis(700);
/// A server that is back is noticed within this time.
const NOTICED: Duration = Duration::from_secs(1);
/// A cluster needs its node time-out and an election to replace a master.
const FAILED_OVER: Duration = Duration::from_secs(15);

const HERE: Partition = Partition::Hashed(0);

fn next(at: u64) -> Commit {
    let from = if at == 0 { Cursor::default() } else { cursor(at) };
    Commit { advance: Some(advance(Log::Facts, from, cursor(at + 1))), ..Commit::to(HERE) }
}

/// Every way to use the server answers that it is unavailable, and soon.
async fn is_unavailable(store: &dyn Store) {
    let (commit, batch) = (next(1), clicks(store, visitor(1), true, &[1], 0, 1));
    for _ in 0..6 {
        let begun = Instant::now();
        let results = tokio::join!(
            store.commit(&commit),
            store.apply_clicks(&batch),
            store.cursors(NODE, Log::Facts),
            store.ping(),
        );
        assert!(begun.elapsed() < ANSWERED, "answered after {:?}", begun.elapsed());
        let errors = [results.0.err(), results.1.err(), results.2.err(), results.3.err()];
        for error in errors {
            assert!(error.as_ref().is_some_and(StoreError::is_unavailable), "{error:?}");
        }
    }
}

/// Waits until every way to use the server works, not longer than it may take.
async fn works_within(store: &dyn Store, patience: Duration) {
    let (begun, asked) = (Instant::now(), [visitor(1)]);
    loop {
        let results =
            tokio::join!(store.cursors(NODE, Log::Clicks), store.raise_fence(HERE, 1), store.visits(&asked));
        let batch = clicks(store, visitor(2), true, &[1], 9, 9);
        let clicks = store.apply_clicks(&batch).await;
        if results.0.is_ok() && results.1.is_ok() && results.2.is_ok() && clicks.is_ok() {
            return;
        }
        assert!(begun.elapsed() < patience, "after {:?}: {results:?} {clicks:?}", begun.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn survives_a_kill(program: Program) {
    let mut server = Server::start(program, &["--appendfsync", "always"]);
    let store = store_at(&server.url());
    assert_eq!(store.commit(&next(0)).await.expect("a commit"), Committed::Done);
    server.kill();
    is_unavailable(&*store).await;
    server.start_again();
    works_within(&*store, NOTICED).await;
    assert_eq!(store.commit(&next(0)).await.expect("an answer"), Committed::CursorAt(cursor(1)));
}

#[tokio::test]
async fn a_killed_redis_is_unavailable_and_noticed_when_it_is_back() {
    survives_a_kill(Program::Redis).await;
}

#[tokio::test]
async fn a_killed_valkey_is_unavailable_and_noticed_when_it_is_back() {
    survives_a_kill(Program::Valkey).await;
}

#[tokio::test]
async fn a_paused_redis_is_unavailable_and_noticed_when_it_runs_again() {
    let server = Server::start(Program::Redis, &[]);
    let store = store_at(&server.url());
    store.commit(&next(0)).await.expect("a commit");
    server.pause();
    is_unavailable(&*store).await;
    server.resume();
    works_within(&*store, NOTICED).await;
    // Nobody knows whether a commit that timed out was made: the cursor shows it, and it was made at most once.
    let at = store.cursors(NODE, Log::Facts).await.expect("cursors");
    assert!(at.contains(&(HERE, cursor(1))) || at.contains(&(HERE, cursor(2))), "{at:?}");
}

#[tokio::test]
async fn a_store_opens_while_its_redis_is_down() {
    let mut server = Server::start(Program::Redis, &[]);
    server.kill();
    let store = store_at(&server.url());
    is_unavailable(&*store).await;
    assert!(store.inspect().await.iter().all(|finding| !finding.ok));
    server.start_again();
    works_within(&*store, NOTICED).await;
}

#[tokio::test]
async fn a_wiped_redis_begins_at_the_beginning() {
    let server = Server::start(Program::Redis, &[]);
    let store = store_at(&server.url());
    store.commit(&next(0)).await.expect("a commit");
    let _: String = server.operate(&["FLUSHALL"]);
    assert_eq!(store.commit(&next(1)).await.expect("an answer"), Committed::CursorAt(Cursor::default()));
    let cursors = store.cursors(NODE, Log::Facts).await.expect("cursors");
    assert!(cursors.iter().all(|(_, at)| *at == Cursor::default()));
    assert_eq!(store.meta().await.expect("an answer"), None);
}

#[tokio::test]
async fn a_removed_file_begins_at_the_beginning() {
    let dir = tempfile::tempdir().expect("a directory");
    let open = |name: &str| {
        counterfoil::for_tests::store::sqlite::SqliteStore::open(&dir.path().join(name)).expect("a file")
    };
    let store = open("a");
    store.commit(&next(0)).await.expect("a commit");
    drop(store);
    assert!(
        open("a").cursors(NODE, Log::Facts).await.expect("cursors").contains(&(HERE, cursor(1))),
        "it is kept"
    );
    let cursors = open("b").cursors(NODE, Log::Facts).await.expect("cursors");
    assert!(cursors.iter().all(|(_, at)| *at == Cursor::default()));
}

#[tokio::test]
async fn a_redis_that_forgot_its_scripts_gets_them_again() {
    let server = Server::start(Program::Redis, &[]);
    let store = store_at(&server.url());
    store.commit(&next(0)).await.expect("a commit");
    let _: String = server.operate(&["SCRIPT", "FLUSH"]);
    assert_eq!(store.commit(&next(1)).await.expect("a commit"), Committed::Done);
}

#[tokio::test]
async fn a_redis_out_of_memory_is_unavailable_and_keeps_no_half() {
    let server = Server::start(Program::Redis, &[]);
    let store = store_at(&server.url());
    store.commit(&next(0)).await.expect("a commit");
    let _: String = server.operate(&["CONFIG", "SET", "maxmemory", "1"]);
    let names: Vec<String> = (0..50).map(|number| format!("d{number}")).collect();
    let commit = Commit { writes: names.iter().map(|name| write(name, 0, "body")).collect(), ..next(1) };
    let error = store.commit(&commit).await.expect_err("no memory");
    assert!(error.is_unavailable(), "{error}");
    let documents = store.load(HERE, &names).await.expect("reads go on");
    assert!(documents.iter().all(Option::is_none));
    assert!(store.cursors(NODE, Log::Facts).await.expect("cursors").contains(&(HERE, cursor(1))));
    let _: String = server.operate(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(store.commit(&commit).await.expect("memory again"), Committed::Done);
}

#[tokio::test]
async fn a_redis_that_may_not_write_is_unavailable() {
    let server = Server::start(Program::Redis, &[]);
    let store = store_at(&server.url());
    let _: String = server.operate(&["REPLICAOF", "127.0.0.1", "1"]);
    let error = store.commit(&next(0)).await.expect_err("a replica");
    assert!(error.is_unavailable(), "{error}");
    let _: String = server.operate(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(store.commit(&next(0)).await.expect("a master again"), Committed::Done);
}

#[tokio::test]
async fn a_redis_with_debians_settings_is_reported() {
    let server = Server::start(Program::Redis, &["--appendonly", "no", "--maxmemory-policy", "allkeys-lru"]);
    let findings = store_at(&server.url()).inspect().await;
    let faults: Vec<_> = findings.iter().filter(|finding| !finding.ok).map(|finding| finding.check).collect();
    assert_eq!(faults, ["redis_persistence", "redis_eviction"]);
}

#[tokio::test]
async fn a_wrong_password_is_unavailable_and_is_not_repeated() {
    let server = Server::start(Program::Redis, &[]);
    let _: String = server.operate(&["CONFIG", "SET", "requirepass", "right"]);
    let url = |password: &str| server.url().replace("127", &format!(":{password}@127"));
    let error = store_at(&url("wr0ng")).ping().await.expect_err("a wrong password");
    assert!(error.is_unavailable() && !error.to_string().contains("wr0ng"), "{error}");
    store_at(&url("right")).ping().await.expect("the right password");
}

#[tokio::test]
async fn a_redis_without_tls_is_not_talked_to_as_if_it_had() {
    let server = Server::start(Program::Redis, &[]);
    let store = store_at(&server.url().replace("redis://", "rediss://"));
    let error = store.ping().await.expect_err("it does not know TLS");
    assert!(error.is_unavailable() && !error.to_string().contains("panic"), "{error}");
}

#[tokio::test]
async fn a_cluster_whose_master_is_killed_goes_on_with_its_replica() {
    let mut cluster = Cluster::start(Program::Redis, 3, 1);
    let store = store_at(&cluster.url());
    works_everywhere(&store, FAILED_OVER).await;
    let owner = {
        let slots = cluster.masters();
        // The first partition's slot is in the first third.
        slots.iter().map(|server| server.port).find(|port| owns_slot(&slots, *port, 515)).expect("an owner")
    };
    let killed = cluster.servers.iter_mut().find(|server| server.port == owner).expect("the owner");
    killed.kill();
    let error = store.commit(&next(7)).await.expect_err("its master is gone");
    assert!(error.is_unavailable(), "{error}");
    works_everywhere(&store, FAILED_OVER).await;
}

#[tokio::test]
async fn a_slot_that_moves_to_another_master_is_followed() {
    let cluster = Cluster::start(Program::Redis, 3, 0);
    let store = store_at(&cluster.url());
    works_everywhere(&store, NOTICED).await;
    let masters = cluster.masters();
    let to = masters.iter().find(|server| !owns_slot(&masters, server.port, 515)).expect("another master");
    let id: String = to.operate(&["CLUSTER", "MYID"]);
    // The slot's keys stay behind; what matters here is where the next call goes.
    for server in masters
        .iter()
        .filter(|server| !owns_slot(&masters, server.port, 515))
        .chain(masters.iter().filter(|server| owns_slot(&masters, server.port, 515)))
    {
        let keys: Vec<Vec<u8>> = server.operate(&["CLUSTER", "GETKEYSINSLOT", "515", "100"]);
        if !keys.is_empty() {
            let mut delete = redis::cmd("DEL");
            let _: i64 = delete.arg(keys).query(&mut server.operator()).expect("deleted");
        }
        let _: String = server.operate(&["CLUSTER", "SETSLOT", "515", "NODE", &id]);
    }
    assert_eq!(store.commit(&next(0)).await.expect("the new owner"), Committed::Done);
}

fn owns_slot(masters: &[&Server], port: u16, slot: i64) -> bool {
    let redis::Value::Array(ranges) = masters[0].operate(&["CLUSTER", "SLOTS"]) else { return false };
    ranges.iter().any(|range| {
        let redis::Value::Array(range) = range else { return false };
        let [redis::Value::Int(first), redis::Value::Int(last), redis::Value::Array(master), ..] =
            range.as_slice()
        else {
            return false;
        };
        (*first..=*last).contains(&slot) && master.get(1) == Some(&redis::Value::Int(i64::from(port)))
    })
}

/// Waits until a document can be written in every partition.
async fn works_everywhere(store: &Arc<dyn Store>, patience: Duration) {
    let begun = Instant::now();
    let partitions = (0..store.partitions()).map(Partition::Hashed).chain([Partition::Directory]);
    for (number, partition) in partitions.enumerate() {
        let name = format!("{number} {begun:?}");
        loop {
            match store.commit(&derived(partition, vec![write(&name, 0, "body")])).await {
                Ok(Committed::Done | Committed::Stale) => break,
                other => assert!(begun.elapsed() < patience, "{other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
