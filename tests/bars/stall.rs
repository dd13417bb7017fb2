//! A disk that does not answer for a while: prospects arrive at once, and every click is kept or counted.

use crate::alone;
use crate::support::app::{CHROME, TestApp, Visitor, bearer};
use crate::support::disk::Disk;
use crate::support::http;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// People who follow the link one click after the other.
const PEOPLE: usize = 16;
const STALL: Duration = Duration::from_secs(3);
/// What 99 of 100 redirects that begin in the stall may take: the promise is 5 ms; this is an unoptimized build on a
/// machine that is busy with other tests.
const P99: Duration = Duration::from_millis(50);

/// How often somebody follows the link while hardly anybody does.
const NOW_AND_THEN: Duration = Duration::from_millis(100);

/// A followed link.
struct Followed {
    begun: Instant,
    took: Duration,
    status: Option<u16>,
}

async fn follow_until(link: String, end: Instant) -> Vec<Followed> {
    let address: url::Url = link.parse().expect("a link");
    let to = address.socket_addrs(|| None).expect("an address")[0];
    let headers = [("user-agent".to_owned(), CHROME.to_owned())];
    let mut all = Vec::new();
    while all.is_empty() || Instant::now() < end {
        let begun = Instant::now();
        let answer = http::try_get(to, address.path(), &headers).await;
        all.push(Followed { begun, took: begun.elapsed(), status: answer.map(|answer| answer.status) });
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn prospects_arrive_at_once_while_the_disk_does_not_answer() {
    let _alone = alone().await;
    let mut disk = Disk::mount(64);
    // The log lies there too.
    let mut app = TestApp::prepare(&disk.path(), "sqlite", "");
    app.run().await;
    let partner = app.partner("ann").await;
    Visitor::default().clicks(&partner.link).await.expect_status(302);
    app.settles().await;
    let before = Instant::now() + Duration::from_millis(500);
    let end = before + STALL + Duration::from_millis(500);
    let mut people = JoinSet::new();
    for _ in 0..PEOPLE {
        people.spawn(follow_until(partner.link.clone(), end));
    }
    tokio::time::sleep_until(before.into()).await;
    disk.freeze();
    let frozen = Instant::now();
    let signup =
        json!({"account_id": "acct", "plan": "growth", "signed_up_at": crate::support::app::BEGINNING});
    let internal = app.internal;
    let callback = tokio::spawn(async move {
        http::post(internal, "/v1/signups", &bearer(), signup.to_string()).await.status
    });
    tokio::time::sleep(STALL).await;
    let thawing = Instant::now();
    disk.thaw();
    let callback = callback.await.expect("an answer");
    assert!(matches!(callback, 201 | 202 | 503), "a callback waits, or is to be sent again: {callback}");
    let mut all: Vec<Followed> = people.join_all().await.into_iter().flatten().collect();
    assert!(all.iter().all(|one| one.status == Some(302)), "every prospect arrives");
    let mut stalled: Vec<Duration> =
        all.iter().filter(|one| one.begun > frozen && one.begun < thawing).map(|one| one.took).collect();
    stalled.sort_unstable();
    let p99 = stalled[stalled.len() * 99 / 100];
    let waited = stalled.iter().filter(|took| **took > Duration::from_millis(500)).count();
    println!("{} redirects in the stall, p99 {p99:?}, {waited} waited for its end", stalled.len());
    assert!(stalled.len() > 200 && p99 < P99, "{} redirects, p99 {p99:?}", stalled.len());
    let threads = std::thread::available_parallelism().expect("known").get();
    assert!(waited <= threads, "at most one request a thread waits: {waited}");
    all.extend(hardly_anybody_clicks(&mut disk, &partner.link, threads).await);
    app.settles().await;
    let clicks = all.len() as u64 + 1;
    let dropped = app.metric(r#"counterfoil_clicks_dropped_total{reason="journal_busy"}"#).await;
    assert_eq!(app.metric("counterfoil_clicks_received_total").await, clicks);
    assert!(dropped > 0, "what could not be kept is counted");
    assert_eq!(app.metric(r#"counterfoil_clicks_journaled_total{verdict="human"}"#).await + dropped, clicks);
    app.kill();
}

/// While nothing else happens, the thread that writes may be the one that looks after the sockets.
async fn hardly_anybody_clicks(disk: &mut Disk, link: &str, threads: usize) -> Vec<Followed> {
    disk.freeze();
    let end = Instant::now() + STALL;
    let mut people = JoinSet::new();
    while Instant::now() < end {
        // Each is gone after one click.
        people.spawn(follow_until(link.to_owned(), Instant::now()));
        tokio::time::sleep(NOW_AND_THEN).await;
    }
    disk.thaw();
    let all: Vec<Followed> = people.join_all().await.into_iter().flatten().collect();
    let waited = all.iter().filter(|one| one.took > P99).count();
    println!("{} came one by one, {waited} waited", all.len());
    assert!(all.len() > 10 && all.iter().all(|one| one.status == Some(302)), "every prospect arrives");
    assert!(waited <= threads, "at most one request a thread waits: {waited} of {}", all.len());
    all
}
