//! What strangers may make the real server hold: headers of ten thousand connections, of any size.

use crate::alone;
use crate::support::app::{CHROME, TestApp};
use crate::support::http;
use counterfoil::for_tests::raise_open_files_limit;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// The default of `limits.connections`.
const CONNECTIONS: usize = 10_000;
/// What `config/default.toml` says a connection takes, and all large headers together.
const KIB_A_CONNECTION: usize = 24;
const HEADER_MEMORY_MIB: usize = 64;
/// Headers that each of them sends, without ever ending them.
const HEADER_BYTES: usize = 40 * 1024;

/// The memory that a process has, in KiB.
fn resident_kib(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells it");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Opens a connection and sends headers that do not end, as much of them as the server takes.
async fn sends_endless_headers(server: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(server).await.expect("it listens");
    let head = format!("GET /r/x HTTP/1.1\r\nHost: a\r\nCookie: {}", "x".repeat(HEADER_BYTES));
    // What does not fit the kernel's buffers waits for its turn, and is not waited for.
    tokio::time::timeout(Duration::from_millis(1), stream.write_all(head.as_bytes())).await.ok();
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_headers_of_ten_thousand_connections_fit_the_memory_that_is_named() {
    let _alone = alone().await;
    assert!(raise_open_files_limit() > CONNECTIONS as u64 + 1_000, "more open files are needed");
    let app = TestApp::start_with("sqlite", "").await;
    let (server, pid, before) = (app.public, app.pid(), resident_kib(app.pid()));
    // One is left for the person below.
    let (mut opening, mut open) = (JoinSet::new(), Vec::with_capacity(CONNECTIONS));
    for number in 0..CONNECTIONS - 1 {
        opening.spawn(sends_endless_headers(server));
        if number >= 200 {
            open.push(opening.join_next().await.expect("one is being opened").expect("no panic"));
        }
    }
    open.extend(opening.join_all().await);
    let begun = Instant::now();
    let mut most = 0;
    // The server reads what it will within a second or two.
    while begun.elapsed() < Duration::from_secs(3) {
        most = most.max(resident_kib(pid));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let bound = CONNECTIONS * KIB_A_CONNECTION + HEADER_MEMORY_MIB * 1024;
    let grown = most.saturating_sub(before);
    println!("{} MiB for {} connections; the bound is {} MiB", grown / 1024, open.len(), bound / 1024);
    assert!(grown <= bound, "{grown} KiB, more than {bound}");
    // Who sends ordinary headers is answered meanwhile.
    let agent = [("user-agent".to_owned(), CHROME.to_owned())];
    http::get(server, "/r/x", &agent).await.expect_status(302);
}
