//! What can go wrong with a store, as far as callers act on it.

/// Why a store did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It can't be reached, is too slow, is full or refuses writes: the journal holds what comes in.
    #[error("reach the store: {0}")]
    Unavailable(String),
    /// It holds something that this version can't read.
    #[error("read what the store holds: {0}")]
    Corrupt(String),
    /// Its file is damaged: that is no single fact's fault.
    #[error("read the embedded store's file: {0}")]
    Damaged(String),
}

impl StoreError {
    /// Whether waiting may help.
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}
