//! Why the journal could not do what was requested.

use serde::Serialize;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A place in the journal that differs from what was written. Nothing is repaired automatically: a person
/// decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("read {}: {what} (byte {offset}, position {position})", .file.display())]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// The first byte of the record or header that is damaged.
    pub offset: u64,
    /// The position of the record that should be there; 0 if there should be none.
    pub position: u64,
    /// What is wrong with it.
    pub what: String,
}

/// A last record that is not whole and was never acknowledged as flushed: left by a power cut or a kill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TornTail {
    /// The file.
    pub file: PathBuf,
    /// Where the torn part begins.
    pub offset: u64,
    /// The position of the torn record.
    pub position: u64,
    /// Bytes that were, or would be, cut off, later segments included.
    pub bytes: u64,
}

/// Why the journal could not be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process has the data directory.
    #[error("lock {}: process {holder} holds it; stop it, or use another data_dir", .data_dir.display())]
    Locked {
        /// The directory.
        data_dir: PathBuf,
        /// The other's process id, as it wrote it.
        holder: String,
    },
    /// A file differs from what was written.
    #[error(transparent)]
    Damage(#[from] Damage),
    /// The operating system returned an error.
    #[error("{action} {}: {source}", .path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
}

impl JournalError {
    /// For `map_err`: adds what was attempted with which file.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// Why a fact was not accepted. It is not in the journal, unless the process died before it could be cut off:
/// the sender tries again, and a fact that arrives twice has one effect.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// An empty record has no meaning.
    #[error("append an empty record")]
    Empty,
    /// A record or batch is larger than the journal accepts.
    #[error("append {bytes} bytes: at most {limit} are accepted")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The largest allowed size.
        limit: usize,
    },
    /// The record could not be read back.
    #[error("append a record that could not be read back: {0}")]
    Unreadable(String),
    /// More is waiting for the disk than may be held in memory.
    #[error("append: too many records wait for the disk")]
    QueueFull,
    /// The disk returned an error; the journal continues by itself when it accepts records again.
    #[error("write the facts journal: {0}")]
    Disk(Arc<io::Error>),
    /// The journal is closing.
    #[error("append: the journal is closed")]
    Closed,
}
