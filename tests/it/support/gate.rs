//! A way to a store that ends after certain requests: what was sent before has arrived, what follows has not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, tcp};
use tokio::sync::watch;

/// Permanently open.
const OPEN: i64 = i64::MAX;

/// Passes everything on to a port of this machine, until it is shut.
#[derive(Debug)]
pub struct Gate {
    at: SocketAddr,
    port: u16,
    word: &'static [u8],
    /// Requests with the word that still pass.
    left: AtomicI64,
    /// After them nothing passes on; otherwise all connections are cut.
    swallows: AtomicBool,
    shut: watch::Sender<bool>,
    /// Everything is taken in, and nothing comes out on either side.
    hole: watch::Sender<bool>,
}

impl Gate {
    /// A gate that counts requests that contain `word`.
    pub async fn before(port: u16, word: &'static str) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        let (left, swallows) = (AtomicI64::new(OPEN), AtomicBool::new(false));
        let (shut, hole) = (watch::Sender::new(false), watch::Sender::new(false));
        let gate = Arc::new(Self { at, port, word: word.as_bytes(), left, swallows, shut, hole });
        let kept = Arc::clone(&gate);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let gate = Arc::clone(&kept);
                tokio::spawn(async move { gate.serve(client).await });
            }
        });
        gate
    }
    /// Its address, as a store's.
    pub fn url(&self) -> String {
        format!("redis://{}", self.at)
    }
    /// Lets so many requests with the word pass, and nothing after them.
    pub fn shut_after(&self, count: i64) {
        self.swallows.store(false, Ordering::SeqCst);
        self.left.store(count, Ordering::SeqCst);
    }
    /// Lets so many requests with the word pass, and keeps all others until it is opened: what was asked waits.
    pub fn swallow_after(&self, count: i64) {
        self.swallows.store(true, Ordering::SeqCst);
        self.left.store(count, Ordering::SeqCst);
    }
    /// Lets everything pass.
    pub fn open(&self) {
        self.left.store(OPEN, Ordering::SeqCst);
        self.shut.send_replace(false);
        self.hole.send_replace(false);
    }
    /// Cuts all connections, and new ones at once.
    pub fn shut(&self) {
        self.shut.send_replace(true);
    }
    /// Keeps all connections, takes new ones, and passes nothing on.
    pub fn swallow(&self) {
        self.hole.send_replace(true);
    }
    /// Waits until it swallows everything.
    pub async fn is_swallowing(&self) {
        // The sender lives in `self`.
        drop(self.hole.subscribe().wait_for(|hole| *hole).await);
    }
    /// Waits until it is shut.
    pub async fn is_shut(&self) {
        // The sender lives in `self`.
        drop(self.shut.subscribe().wait_for(|shut| *shut).await);
    }

    async fn serve(&self, client: TcpStream) {
        let Ok(server) = TcpStream::connect(("127.0.0.1", self.port)).await else { return };
        let ((from, mut to_client), (mut answers, to)) = (client.into_split(), server.into_split());
        let answering = async {
            let mut bytes = vec![0; 1 << 16];
            while let Ok(size @ 1..) = answers.read(&mut bytes).await {
                self.is_no_hole().await;
                if to_client.write_all(&bytes[..size]).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = self.pass(from, to) => {}
            () = self.is_shut() => {}
            () = answering => {}
        }
    }

    async fn is_no_hole(&self) {
        // The sender lives in `self`.
        drop(self.hole.subscribe().wait_for(|hole| !*hole).await);
    }

    async fn pass(&self, mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf) {
        let mut bytes = vec![0; 1 << 20];
        while let Ok(size @ 1..) = from.read(&mut bytes).await {
            self.is_no_hole().await;
            let request = &bytes[..size];
            let counts = request.windows(self.word.len()).any(|found| found == self.word);
            let open = self.left.load(Ordering::SeqCst) == OPEN;
            let is_last = counts && !open && self.left.fetch_sub(1, Ordering::SeqCst) == 1;
            if to.write_all(request).await.is_err() {
                return;
            }
            if is_last {
                let done = if self.swallows.load(Ordering::SeqCst) { &self.hole } else { &self.shut };
                done.send_replace(true);
            }
        }
    }
}
