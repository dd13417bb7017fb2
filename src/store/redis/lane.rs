//! One connection to one server, which never lets its caller wait longer than the time-out.
//!
//! The `redis` crate's own reconnecting is not used: its back-off is outside its time-outs, and a connection
//! that only times out is never replaced. Here a call is tried once, under one time-out that includes
//! connecting. After three failures in a row, calls fail at once, while a background task asks the server
//! every 150 ms whether it is back; three time-outs in a row replace the connection.

use super::address::host_and_port;
use arc_swap::ArcSwapOption;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, RedisError, ServerErrorKind, Value, cmd,
};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Failures in a row after which calls fail without being sent.
const OPEN_AFTER: u32 = 3;
/// How often the server is asked whether it is back.
const PROBE_EVERY: Duration = Duration::from_millis(150);
/// Time-outs in a row after which the connection is replaced.
const REPLACE_AFTER: u32 = 3;
/// Connecting continues after a call has timed out, for this many time-outs.
const CONNECT_TIMEOUTS: u32 = 2;

/// Why a call has no result.
#[derive(Debug)]
pub enum Failure {
    /// The server can't be reached, or did not answer in time.
    Lost(String),
    /// The server answered that it can't do this now.
    Refused(String),
    /// The server is not, or no longer, the right one.
    Misplaced(String),
    /// The server does not know the script; nothing was done.
    NoScript,
    /// The server holds something other than expected.
    Corrupt(String),
}

/// A connection to one server; see the module.
pub struct Lane(Arc<Inner>);

struct Inner {
    client: Client,
    timeout: Duration,
    connection: Arc<Connection>,
    /// The number of time-outs in a row.
    timeouts: AtomicU32,
    /// The number of failures in a row.
    failures: AtomicU32,
    probing: AtomicBool,
}

struct Connection {
    current: ArcSwapOption<MultiplexedConnection>,
    /// Held while a connection is being made.
    connecting: Arc<tokio::sync::Mutex<()>>,
}

impl Lane {
    /// A lane to a server; nothing is sent yet.
    pub fn new(info: &ConnectionInfo, timeout: Duration) -> Result<Self, RedisError> {
        Ok(Self(Arc::new(Inner {
            client: Client::open(info.clone())?,
            timeout,
            connection: Arc::new(Connection { current: ArcSwapOption::empty(), connecting: Arc::default() }),
            timeouts: AtomicU32::new(0),
            failures: AtomicU32::new(0),
            probing: AtomicBool::new(false),
        })))
    }

    /// Sends a command once and waits for its answer, not longer than the time-out.
    pub async fn call(&self, command: &Cmd) -> Result<Value, Failure> {
        if self.0.failures.load(Ordering::Relaxed) >= OPEN_AFTER {
            self.probe();
            return Err(Failure::Lost(format!("{} has not answered lately", self.0.server())));
        }
        let result = self.0.attempt(command).await;
        match &result {
            Err(Failure::Lost(_)) => {
                let in_a_row = self.0.failures.fetch_add(1, Ordering::Relaxed) + 1;
                if in_a_row >= OPEN_AFTER {
                    self.probe();
                }
            }
            _ => self.0.failures.store(0, Ordering::Relaxed),
        }
        result
    }

    fn probe(&self) {
        if !self.0.probing.swap(true, Ordering::Relaxed) {
            tokio::spawn(probe(Probing(Arc::downgrade(&self.0))));
        }
    }
}

/// Clears the flag when the probe ends, even if the task is dropped with its runtime.
struct Probing(Weak<Inner>);

impl Drop for Probing {
    fn drop(&mut self) {
        if let Some(lane) = self.0.upgrade() {
            lane.probing.store(false, Ordering::Relaxed);
        }
    }
}

/// Asks until the server answers anything, or the lane is gone; then calls are sent again.
///
/// A caller's call can't be the probe: callers give up on many calls when the first of them fails.
async fn probe(probing: Probing) {
    loop {
        sleep(PROBE_EVERY).await;
        let Some(lane) = probing.0.upgrade() else { return };
        if !matches!(lane.attempt(&cmd("PING")).await, Err(Failure::Lost(_))) {
            lane.failures.store(0, Ordering::Relaxed);
            return;
        }
    }
}

impl Inner {
    async fn attempt(&self, command: &Cmd) -> Result<Value, Failure> {
        if let Ok(result) = timeout(self.timeout, self.send(command)).await {
            self.timeouts.store(0, Ordering::Relaxed);
            return result;
        }
        Err(self.timed_out())
    }

    async fn send(&self, command: &Cmd) -> Result<Value, Failure> {
        let connection = self.connect().await?;
        let answer = command.query_async(&mut MultiplexedConnection::clone(&connection)).await;
        answer.map_err(|error| {
            let failure = classify(&error);
            if matches!(failure, Failure::Lost(_) | Failure::Misplaced(_)) {
                self.replace(&connection);
            }
            failure
        })
    }

    /// The connection. Connecting continues even if the caller is gone, so that a slow handshake succeeds for
    /// a later call.
    async fn connect(&self) -> Result<Arc<MultiplexedConnection>, Failure> {
        if let Some(connection) = self.connection.current.load_full() {
            return Ok(connection);
        }
        let turn = Arc::clone(&self.connection.connecting).lock_owned().await;
        if let Some(connection) = self.connection.current.load_full() {
            return Ok(connection);
        }
        let (client, shared) = (self.client.clone(), Arc::clone(&self.connection));
        let patience = self.timeout * CONNECT_TIMEOUTS;
        let attempt = tokio::spawn(async move {
            let _turn = turn;
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(patience))
                .set_response_timeout(Some(patience));
            let opening = client.get_multiplexed_async_connection_with_config(&config);
            let made = match timeout(patience, opening).await {
                Ok(made) => Arc::new(made.map_err(|error| classify_connecting(&error))?),
                Err(_) => return Err(Failure::Lost(format!("no connection within {patience:?}"))),
            };
            shared.current.store(Some(Arc::clone(&made)));
            Ok(made)
        });
        attempt.await.unwrap_or_else(|error| Err(Failure::Lost(error.to_string())))
    }

    fn timed_out(&self) -> Failure {
        let in_a_row = self.timeouts.fetch_add(1, Ordering::Relaxed) + 1;
        if in_a_row.is_multiple_of(REPLACE_AFTER) {
            self.connection.current.store(None);
        }
        Failure::Lost(format!("{} did not answer within {:?}", self.server(), self.timeout))
    }

    /// Drops the connection, unless it was already replaced.
    fn replace(&self, broken: &Arc<MultiplexedConnection>) {
        self.connection.current.rcu(|current| match current {
            Some(current) if !Arc::ptr_eq(current, broken) => Some(Arc::clone(current)),
            _ => None,
        });
    }

    fn server(&self) -> String {
        let (host, port) = host_and_port(self.client.get_connection_info());
        format!("{host}:{port}")
    }
}

/// A server that refuses the login may accept it a minute later, so this is no reason to stop.
fn classify_connecting(error: &RedisError) -> Failure {
    Failure::Lost(format!("connect: {error}"))
}

fn classify(error: &RedisError) -> Failure {
    let text = error.to_string();
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::NoScript) => Failure::NoScript,
        ErrorKind::Server(
            ServerErrorKind::Moved
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ReadOnly,
        ) => Failure::Misplaced(text),
        ErrorKind::Server(_) | ErrorKind::Extension if error.code() == Some("WRONGTYPE") => {
            Failure::Corrupt(text)
        }
        // LOADING, MISCONF, OOM, BUSY, TRYAGAIN, ASK (a slot that is being moved), NOPERM, NOREPLICAS, …
        ErrorKind::Server(_) | ErrorKind::Extension | ErrorKind::AuthenticationFailed => {
            Failure::Refused(text)
        }
        ErrorKind::UnexpectedReturnType => Failure::Corrupt(text),
        _ => Failure::Lost(text),
    }
}
