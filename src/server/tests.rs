//! Raw sockets against a real listener.

use super::*;
use http_body_util::{BodyExt, Full};
use std::future::pending;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

type Answer = Response<Full<Bytes>>;

fn quick() -> Limits {
    Limits {
        connections: 1000,
        header_bytes: 16 * 1024,
        headers: 64,
        uri_bytes: 2048,
        large_heads: 100,
        header_timeout: Duration::from_millis(300),
        keep_alive_timeout: Duration::from_millis(700),
        slow_reader_timeout: Duration::from_millis(500),
        drain_linger: Duration::from_millis(200),
        drain_timeout: Duration::from_secs(5),
    }
}

struct Running {
    address: SocketAddr,
    gauges: Arc<Gauges>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Drained>,
}

impl Running {
    fn with<H, F>(limits: Limits, handler: H) -> Self
    where
        H: Fn(Request<Incoming>, SocketAddr) -> F + Send + Sync + 'static,
        F: Future<Output = Answer> + Send + 'static,
    {
        let listener = bind(([127, 0, 0, 1], 0).into(), false).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let gauges = Arc::new(Gauges::default());
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async {
            // A dropped sender is no signal: a test that does not stop the server must not drain it.
            if stopped.await.is_err() {
                pending::<()>().await;
            }
        };
        let ended = tokio::spawn(serve(listener, handler, limits, Arc::clone(&gauges), shutdown));
        Self { address, gauges, stop, ended }
    }
    fn plain(limits: Limits) -> Self {
        Self::with(limits, |_, _| async { Response::new("hello".into()) })
    }
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the listener is there")
    }
    /// Sends bytes and reads until the server closes.
    async fn exchange(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.connect().await;
        // A server that has seen enough closes before everything is sent.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        answer
    }
    async fn stop(self) -> Drained {
        self.stop.send(()).expect("it runs");
        self.ended.await.expect("it ends in order")
    }
}

fn status_of(answer: &[u8]) -> Option<u16> {
    let line = answer.strip_prefix(b"HTTP/1.1 ").or_else(|| answer.strip_prefix(b"HTTP/1.0 "))?;
    std::str::from_utf8(line.get(..3)?).ok()?.parse().ok()
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Reads one answer with `content-length` off a connection that stays open.
async fn read_answer(stream: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"hello") {
        if stream.read(&mut byte).await.ok()? == 0 {
            return None;
        }
        text.push(byte[0]);
    }
    String::from_utf8(text).ok()
}

/// How long the server keeps a connection open from now on.
async fn time_to_close(stream: &mut TcpStream) -> Duration {
    let begun = Instant::now();
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "the connection was left open");
    begun.elapsed()
}

fn about(found: Duration, expected_ms: u64) {
    let expected = Duration::from_millis(expected_ms);
    // A busy machine may be late; too early would be a bug.
    assert!(found + Duration::from_millis(80) >= expected, "{found:?} is sooner than {expected:?}");
    assert!(found < expected + Duration::from_secs(3), "{found:?} is later than {expected:?}");
}

#[tokio::test]
async fn a_silent_socket_is_closed_in_its_time_and_others_go_on() {
    let server = Running::plain(quick());
    let mut silent = server.connect().await;
    let closing = tokio::spawn(async move { time_to_close(&mut silent).await });
    assert_eq!(status_of(&server.exchange(GET).await), Some(200));
    about(closing.await.expect("no panic"), 300);
    assert_eq!(server.gauges.timed_out.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn headers_that_drip_are_cut_off_from_their_first_byte_on() {
    let server = Running::plain(quick());
    let (mut reader, mut writer) = server.connect().await.into_split();
    let dripping = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        for byte in GET.iter().cycle() {
            ticks.tick().await;
            if *byte != b'\n' && writer.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
    });
    let begun = Instant::now();
    let mut rest = Vec::new();
    let _ = reader.read_to_end(&mut rest).await;
    about(begun.elapsed(), 300);
    assert_eq!(rest, b"");
    dripping.abort();
}

#[tokio::test]
async fn a_kept_connection_may_idle_longer_than_headers_may_take() {
    let server = Running::plain(quick());
    let mut stream = server.connect().await;
    for _ in 0..2 {
        stream.write_all(GET).await.expect("open");
        assert!(read_answer(&mut stream).await.is_some());
    }
    about(time_to_close(&mut stream).await, 700);
}

#[tokio::test]
async fn a_begun_request_on_a_kept_connection_has_the_time_of_headers() {
    let server = Running::plain(Limits { keep_alive_timeout: Duration::from_secs(30), ..quick() });
    let mut stream = server.connect().await;
    stream.write_all(GET).await.expect("open");
    assert!(read_answer(&mut stream).await.is_some());
    stream.write_all(b"GET / HT").await.expect("open");
    about(time_to_close(&mut stream).await, 300);
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_cut_off() {
    let large = Bytes::from(vec![b'x'; 32 * 1024 * 1024]);
    let server = Running::with(quick(), move |_, _| {
        let body = large.clone();
        async { Response::new(Full::new(body)) }
    });
    let mut stream = server.connect().await;
    stream.write_all(GET).await.expect("open");
    let begun = Instant::now();
    while server.gauges.timed_out.load(Ordering::Relaxed) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(10), "the connection was left open");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    about(begun.elapsed(), 500);
}

#[tokio::test]
async fn a_reader_that_takes_a_little_at_a_time_gets_all() {
    let large = Bytes::from(vec![b'x'; 16 * 1024 * 1024]);
    let expected = large.len();
    let server = Running::with(quick(), move |_, _| {
        let body = large.clone();
        async { Response::new(Full::new(body)) }
    });
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.expect("open");
    let (mut got, mut piece) = (0, vec![0; 1024 * 1024]);
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    loop {
        ticks.tick().await;
        match stream.read(&mut piece).await.expect("open") {
            0 => break,
            bytes => got += bytes,
        }
    }
    assert!(got > expected);
}

#[tokio::test]
async fn limits_are_answered_with_their_status() {
    let server = Running::plain(quick());
    let target = |len: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(len - 1));
    let header = |len: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(len));
    let headers = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count - 1));
    let table = [
        ("target of 2,048", target(2048), 200),
        ("target of 2,049", target(2049), 414),
        ("header of 15 KiB", header(15 * 1024), 200),
        ("header of 17 KiB", header(17 * 1024), 431),
        ("headers: 64", headers(64), 200),
        ("headers: 65", headers(65), 431),
        ("headers: 101", headers(101), 431),
        ("no host", "GET / HTTP/1.1\r\n\r\n".into(), 400),
        ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".into(), 400),
        ("no host in 1.0", "GET / HTTP/1.0\r\n\r\n".into(), 200),
        ("connect", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n".into(), 405),
        ("no version", "GET /\r\n\r\n".into(), 400),
        ("nonsense", "\u{1}\u{2}\u{3}\r\n\r\n".into(), 400),
        ("space in a name", "GET / HTTP/1.1\r\nHost : a\r\n\r\n".into(), 400),
        ("a bad length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n".into(), 400),
        ("chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(), 200),
        ("chunked in capitals", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n".into(), 200),
        ("chunked twice", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(), 400),
        ("chunked twice in a line", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n".into(), 400),
        ("another coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n".into(), 400),
        ("a bare line feed in the line", "GET / HTTP/1.1\nHost: a\r\n\r\n".into(), 400),
        ("a bare line feed after a header", "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n".into(), 400),
        ("a bare line feed at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n".into(), 400),
        (
            "line feeds in a body",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n{\n\n\n}\n".into(),
            200,
        ),
        (
            "two lengths",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab".into(),
            400,
        ),
    ];
    for (name, request, expected) in table {
        assert_eq!(status_of(&server.exchange(request.as_bytes()).await), Some(expected), "{name}");
    }
}

#[tokio::test]
async fn an_answer_before_the_body_is_read_arrives_and_is_no_reset() {
    let server = Running::plain(quick());
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n";
    let lone = "POST / HTTP/1.1\nHost: a\r\nContent-Length: 4000000\r\n\r\n";
    for (head, expected) in [(head, 200), (lone, 400)].repeat(20) {
        let mut stream = server.connect().await;
        stream.write_all(head.as_bytes()).await.expect("the head is taken");
        // The client reads after it has sent everything, as most do.
        stream.write_all(&vec![b'x'; 4_000_000]).await.expect("the body is taken");
        let mut answer = Vec::new();
        // Ends when the server closes its side.
        stream.read_to_end(&mut answer).await.expect("no reset");
        assert_eq!(status_of(&answer), Some(expected));
    }
}

/// A request whose headers are this many bytes larger than a small one's.
fn padded(bytes: usize) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {}\r\n\r\n", "x".repeat(bytes)).into_bytes()
}

#[tokio::test]
async fn large_headers_wait_for_their_turn_and_small_ones_do_not() {
    let limits = Limits { large_heads: 1, header_timeout: Duration::from_secs(30), ..quick() };
    let server = Running::plain(limits);
    let large = padded(12 * 1024);
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    // The first one may send large headers, and does not end them.
    first.write_all(&large[..large.len() - 1]).await.expect("open");
    while server.gauges.connections.load(Ordering::Relaxed) < 2 {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    second.write_all(&large).await.expect("open");
    let early = tokio::time::timeout(Duration::from_millis(100), read_answer(&mut second)).await;
    assert!(early.is_err(), "answered out of its turn");
    let small = padded(4 * 1024);
    assert_eq!(status_of(&server.exchange(&small).await), Some(200));
    // A connection is closed after large headers, which frees its buffer and its permit.
    first.write_all(&large[large.len() - 1..]).await.expect("open");
    for stream in [&mut first, &mut second] {
        let answer = read_answer(stream).await.expect("answered in its turn");
        assert!(answer.contains("connection: close"), "{answer}");
        assert_eq!(read_answer(stream).await, None);
    }
}

#[tokio::test]
async fn who_waits_for_the_turn_waits_no_longer_than_for_headers() {
    let server = Running::plain(Limits { large_heads: 0, ..quick() });
    let mut stream = server.connect().await;
    stream.write_all(&padded(12 * 1024)).await.expect("open");
    about(time_to_close(&mut stream).await, 300);
}

#[tokio::test]
async fn a_large_body_needs_no_turn() {
    let limits = Limits { large_heads: 0, ..quick() };
    let server = Running::with(limits, |request, _| async move {
        let body = request.into_body().collect().await.expect("a body").to_bytes();
        Response::new(Bytes::from(format!("{} hello", body.len())).into())
    });
    let mut stream = server.connect().await;
    for _ in 0..2 {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n";
        stream.write_all(&[head.as_bytes(), &vec![b'x'; 60_000]].concat()).await.expect("open");
        let answer = read_answer(&mut stream).await.expect("answered");
        assert!(answer.ends_with("60000 hello") && !answer.contains("connection: close"), "{answer}");
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_and_a_half_closed_client_too() {
    let server = Running::with(quick(), |request, _| async move {
        tokio::task::yield_now().await;
        Response::new(Bytes::from(format!("[{}]", request.uri().path())).into())
    });
    let requests: Vec<String> = (0..40).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    let requests = requests.concat();
    let answer = String::from_utf8(server.exchange(requests.as_bytes()).await).expect("text");
    let order: Vec<&str> = answer.split(['[', ']']).filter(|part| part.starts_with('/')).collect();
    let expected: Vec<String> = (0..40).map(|n| format!("/{n}")).collect();
    assert_eq!(order, expected);
}

/// A small generator that always gives the same numbers.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, bound: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).expect("31 bits") % bound
    }
}

/// A request with something wrong: bytes changed, cut, doubled or put in, or lines swapped.
fn malformed(random: &mut Seeded) -> Vec<u8> {
    const SEEDS: [&str; 5] = [
        "GET /r/abc?to=/x HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\nAccept: */*\r\n\r\n",
        "POST /v1/signups HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HEAD http://a/x HTTP/1.0\r\nConnection: keep-alive\r\nCookie: a=b; c=d\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nUpgrade: h2c\r\nTE: trailers\r\n\r\n",
    ];
    const PIECES: [&[u8]; 14] = [
        b"\0",
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n\r\n",
        b" ",
        b"\t",
        b":",
        b"\xff\xfe",
        b"%00",
        b"HTTP/9.9",
        b"Content-Length: 99999999999999999999\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    let mut bytes = SEEDS[random.below(SEEDS.len())].as_bytes().to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        match random.below(5) {
            0 => bytes.truncate(at),
            1 => drop(bytes.splice(at..at, PIECES[random.below(PIECES.len())].iter().copied())),
            2 => {
                let end = (at + random.below(20)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, copy));
            }
            3 => drop(bytes.drain(at..(at + random.below(9)).min(bytes.len()))),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = u8::try_from(random.below(256)).expect("a byte");
                }
            }
        }
    }
    bytes
}

#[tokio::test]
async fn malformed_requests_get_4xx_or_a_closed_connection() {
    const SEED: u64 = 20_261_123;
    let server = Arc::new(Running::with(quick(), |request, _| async move {
        let body = request.into_body().collect().await;
        Response::new(Full::from(body.map_or_else(|error| error.to_string(), |_| "hello".into())))
    }));
    let mut random = Seeded(SEED);
    let mut statuses = std::collections::BTreeMap::<Option<u16>, usize>::new();
    for _ in 0..60 {
        let mut round = JoinSet::new();
        for _ in 0..50 {
            let (server, bytes) = (Arc::clone(&server), malformed(&mut random));
            round.spawn(async move { (server.exchange(&bytes).await, bytes) });
        }
        while let Some(done) = round.join_next().await {
            let (answer, bytes) = done.expect("no panic");
            let status = status_of(&answer);
            let shown = String::from_utf8_lossy(&bytes);
            assert!(status.is_some() || answer.is_empty(), "seed {SEED}: {shown:?}");
            assert!(status.is_none_or(|status| status < 500), "seed {SEED}: {shown:?} got {status:?}");
            *statuses.entry(status).or_default() += 1;
        }
    }
    assert!(statuses[&Some(400)] > 500, "they were hardly malformed: {statuses:?}");
    assert_eq!(server.gauges.panicked.load(Ordering::Relaxed), 0);
    assert_eq!(status_of(&server.exchange(GET).await), Some(200), "it still serves");
    while server.gauges.connections.load(Ordering::Relaxed) > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.gauges.in_flight.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn no_more_connections_than_permits_and_the_rest_wait() {
    let server =
        Running::plain(Limits { connections: 2, keep_alive_timeout: Duration::from_secs(30), ..quick() });
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    for stream in [&mut first, &mut second] {
        stream.write_all(GET).await.expect("open");
        assert!(read_answer(stream).await.is_some());
    }
    let mut third = server.connect().await;
    third.write_all(GET).await.expect("the kernel took the connection");
    let early = tokio::time::timeout(Duration::from_millis(50), read_answer(&mut third)).await;
    assert!(early.is_err(), "answered beyond the limit");
    assert_eq!(server.gauges.connections.load(Ordering::Relaxed), 2);
    drop(first);
    assert!(read_answer(&mut third).await.is_some());
}

#[tokio::test]
async fn a_stop_waits_for_answers_and_cuts_off_what_takes_too_long() {
    let limits = Limits { drain_timeout: Duration::from_millis(600), ..quick() };
    let server = Running::with(limits, |request, _| async move {
        if request.uri().path() == "/slow" {
            tokio::time::sleep(Duration::from_millis(300)).await;
        } else if request.uri().path() == "/endless" {
            pending::<()>().await;
        }
        Response::new("hello".into())
    });
    let (mut slow, mut endless) = (server.connect().await, server.connect().await);
    slow.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("open");
    endless.write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("open");
    while server.gauges.in_flight.load(Ordering::Relaxed) < 2 {
        tokio::task::yield_now().await;
    }
    let answer = tokio::spawn(async move { read_answer(&mut slow).await });
    assert_eq!(server.stop().await, Drained { cut_off: 1 });
    let answer = answer.await.expect("no panic").expect("answered");
    assert!(answer.contains("connection: close"), "{answer}");
    assert_eq!(read_answer(&mut endless).await, None);
}

/// Clients keep connections and open new ones, while the server is replaced: a listener with `reuse_port`
/// takes over, the old one drains. Not one request may fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_under_load_loses_no_request() {
    let first = bind(([127, 0, 0, 1], 0).into(), true).expect("a free port");
    let address = first.local_addr().expect("bound");
    let start = |listener: TcpListener| {
        let (stop, stopped) = oneshot::channel::<()>();
        let gauges = Arc::new(Gauges::default());
        let handler = |_: Request<Incoming>, _: SocketAddr| async {
            tokio::task::yield_now().await;
            Answer::new("hello".into())
        };
        let shutdown = async { drop(stopped.await) };
        (stop, tokio::spawn(serve(listener, handler, quick(), gauges, shutdown)))
    };
    let (finish, finished) = tokio::sync::watch::channel(false);
    let total = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..32 {
        let (finished, total) = (finished.clone(), Arc::clone(&total));
        clients.spawn(async move {
            let mut reconnects = 0_u64;
            while !*finished.borrow() {
                let mut stream = TcpStream::connect(address).await.expect("somebody listens");
                reconnects += 1;
                loop {
                    stream.write_all(GET).await.expect("the request is taken");
                    let answer = read_answer(&mut stream).await.expect("the request is answered");
                    total.fetch_add(1, Ordering::Relaxed);
                    if answer.contains("connection: close") || *finished.borrow() {
                        break;
                    }
                }
            }
            reconnects
        });
    }
    let (mut stop, mut ended) = start(first);
    for round in 1..=5 {
        while total.load(Ordering::Relaxed) < round * 500 {
            tokio::task::yield_now().await;
        }
        let (next_stop, next_ended) = start(bind(address, true).expect("the port is shared"));
        stop.send(()).expect("it runs");
        assert_eq!(ended.await.expect("no panic"), Drained { cut_off: 0 });
        (stop, ended) = (next_stop, next_ended);
    }
    finish.send(true).expect("clients run");
    let reconnects: u64 = clients.join_all().await.into_iter().sum();
    assert!(reconnects >= 32 * 3, "{reconnects} connections: the restarts were not felt");
}

#[test]
fn the_limit_of_open_files_is_raised() {
    assert!(raise_open_files_limit() >= 1024);
}
