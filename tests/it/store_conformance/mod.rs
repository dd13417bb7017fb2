//! Every store keeps the same promises: one suite, run on SQLite, Redis, Valkey and Redis Cluster.

use counterfoil::for_tests::store::{Store, StoreSettings, open};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

mod clicks;
mod commits;
mod documents;
mod faults;
mod make;
mod nodes;
mod streams;

use crate::support::servers::{Cluster, Program, Server};

fn store_at(url: &str) -> Arc<dyn Store> {
    open(url, Path::new("."), &StoreSettings::default()).expect("a store")
}

/// Runs each case, all of them even if one fails, and names those that failed.
macro_rules! run {
    ($store:expr; $($case:path,)+) => {{
        let mut failed = Vec::new();
        $(
            let store: Arc<dyn Store> = $store;
            println!("{}", stringify!($case));
            if tokio::spawn($case(store)).await.is_err() {
                failed.push(stringify!($case));
            }
        )+
        assert!(failed.is_empty(), "failed: {failed:?}");
    }};
}

/// The suite; `$store` makes a store that is empty.
macro_rules! suite {
    ($store:expr) => {
        run! { $store;
            commits::a_commit_is_applied_once,
            commits::a_commit_from_another_cursor_changes_nothing,
            commits::a_stale_document_stops_the_whole_commit,
            commits::a_document_goes_if_nobody_wrote_it_since,
            commits::a_fenced_run_changes_nothing,
            commits::checks_come_in_their_order,
            commits::journals_and_partitions_have_cursors_of_their_own,
            commits::a_large_commit_is_applied_whole,
            documents::documents_come_back_in_the_order_asked,
            documents::documents_of_partitions_are_apart,
            documents::members_come_in_byte_order_and_pages,
            documents::documents_are_found_by_their_index,
            documents::a_large_index_is_read_whole,
            streams::entries_are_read_in_order_from_both_ends,
            streams::streams_and_partitions_are_apart,
            clicks::clicks_are_applied_once,
            clicks::the_first_and_the_newest_visits_are_kept,
            clicks::a_visit_is_kept_once,
            clicks::a_visitor_new_in_the_batch_may_click_again_in_it,
            clicks::visits_are_forgotten_after_their_time,
            clicks::visits_come_in_the_order_asked,
            clicks::counts_add_up_by_day,
            clicks::values_of_a_sub_id_past_the_cap_are_counted_together,
            nodes::a_lease_has_one_holder,
            nodes::a_lease_is_free_again_after_its_time,
            nodes::a_new_holder_has_a_higher_token,
            nodes::a_fence_only_rises,
            nodes::nodes_know_each_other,
            nodes::the_first_meta_is_kept_until_it_is_replaced,
            nodes::a_window_forgets,
            nodes::an_operator_sees_what_there_is,
        }
    };
}

fn emptied(servers: &[&Server], url: &str) -> Arc<dyn Store> {
    for server in servers {
        let _: String = server.operate(&["FLUSHALL"]);
    }
    // What it answers counts here, not how soon.
    let settings = StoreSettings { timeout: Duration::from_secs(10) };
    open(url, Path::new("."), &settings).expect("a store")
}

#[tokio::test]
async fn sqlite() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut files = 0;
    let mut new_file = || {
        files += 1;
        let store =
            counterfoil::for_tests::store::sqlite::SqliteStore::open(&dir.path().join(files.to_string()));
        Arc::new(store.expect("a file"))
    };
    suite!(new_file());
}

#[tokio::test]
async fn redis() {
    let server = Server::start(Program::Redis, &[]);
    suite!(emptied(&[&server], &server.url()));
}

#[tokio::test]
async fn valkey() {
    let server = Server::start(Program::Valkey, &[]);
    suite!(emptied(&[&server], &server.url()));
}

#[tokio::test]
async fn redis_cluster() {
    let cluster = Cluster::start(Program::Redis, 3, 0);
    suite!(emptied(&cluster.masters(), &cluster.url()));
}
