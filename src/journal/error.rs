//! Why the journal could not do what it was asked.

use serde::Serialize;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A place in the journal that is not as it was written. Nothing is mended on the way: a person decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("read {}: {what} (byte {offset}, position {position})", .file.display())]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// The first byte of the record or header that is damaged.
    pub offset: u64,
    /// The position of the record that should stand there; 0 where none should.
    pub position: u64,
    /// What is wrong with it.
    pub what: String,
}

/// A last record that was never acknowledged as flushed and is not whole: what a power cut or a kill leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TornTail {
    /// The file.
    pub file: PathBuf,
    /// Where the torn part begins.
    pub offset: u64,
    /// The position that the torn record would have had.
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
    /// A file is not as it was written.
    #[error(transparent)]
    Damage(#[from] Damage),
    /// The operating system refused.
    #[error("{action} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What it answered.
        source: io::Error,
    },
}

impl JournalError {
    /// For `map_err`: names what was tried with which file.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// Why a fact was not taken. It is not in the journal, unless the process died before it could be cut off:
/// the sender tries again, and what arrives twice has one effect.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// An empty record has no meaning.
    #[error("append an empty record")]
    Empty,
    /// A record or batch is larger than the journal takes.
    #[error("append {bytes} bytes: at most {limit} are taken")]
    TooLarge {
        /// How large it was.
        bytes: usize,
        /// How large it may be.
        limit: usize,
    },
    /// The record could not be read back.
    #[error("append a record that could not be read back: {0}")]
    Unreadable(String),
    /// More is waiting for the disk than memory should hold.
    #[error("append: too many records wait for the disk")]
    QueueFull,
    /// The disk refused; the journal goes on by itself when it takes records again.
    #[error("write the facts journal: {0}")]
    Disk(Arc<io::Error>),
    /// The journal is closing.
    #[error("append: the journal is closed")]
    Closed,
}
