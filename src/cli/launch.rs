//! The interface between commands and the server that they start.

use super::Failure;
use crate::clock::Clock;
use crate::config::Config;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;

/// Ready when the server should stop.
pub type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Starts servers, and does other work that only a process that owns the data directory can do.
///
/// All functions lock the data directory; [`Failure::Other`] says which process has the lock. A store that can't
/// be reached is [`Failure::Unavailable`]; keys or settings that can't be used are [`Failure::Config`].
#[async_trait]
pub trait Launcher: Send + Sync {
    /// Serves on both listeners until `stop` is ready, then drains. Writes the [`ServeFile`] when both are bound,
    /// and removes it at the end. With `settable`, `POST /v1/clock` sets the clock.
    async fn serve(&self, config: Config, clock: Clock, settable: bool, stop: Stop) -> Result<(), Failure>;
    /// Starts a server for one command: the internal listener only, on a free port of 127.0.0.1, without the
    /// nightly schedule. It can be used when this returns.
    async fn start_for_command(&self, config: Config) -> Result<Started, Failure>;
    /// Makes the store again from journals.
    async fn rebuild(&self, config: &Config, journals: &[PathBuf]) -> Result<Rebuilt, Failure>;
}

/// A server that runs for one command.
pub struct Started {
    /// The address of its internal listener.
    pub internal: SocketAddr,
    /// Stops it. When this returns, everything is on disk and the lock is released.
    pub stop: Box<dyn FnOnce() -> Stop + Send>,
}

impl std::fmt::Debug for Started {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Started").field("internal", &self.internal).finish_non_exhaustive()
    }
}

/// What a rebuild did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rebuilt {
    /// Facts applied.
    pub facts: u64,
    /// Clicks applied.
    pub clicks: u64,
    /// Nodes whose journals were read.
    pub nodes: Vec<String>,
}

/// `<data_dir>/serve.json`: the addresses of the running server. The server writes it when it listens and removes
/// it when it stops; a crash leaves it behind, so a reader tries the address first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServeFile {
    /// The server's process id.
    pub pid: u32,
    /// The address of its internal listener.
    pub internal: SocketAddr,
    /// The address of its public listener.
    pub public: SocketAddr,
}

impl ServeFile {
    const NAME: &str = "serve.json";

    /// Writes it, whole or not at all.
    pub fn write(&self, data_dir: &Path) -> io::Result<()> {
        crate::files::replace(&data_dir.join(Self::NAME), &serde_json::to_vec(self)?)
    }
    /// Reads it, if a server has written one.
    pub fn read(data_dir: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(data_dir.join(Self::NAME)).ok()?).ok()
    }
    /// Removes it.
    pub fn remove(data_dir: &Path) {
        // If the file stays, it only costs the next reader a try.
        let _ = std::fs::remove_file(data_dir.join(Self::NAME));
    }
}
