//! The errors of a store that callers distinguish.

/// Why a store did not do what was requested.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It can't be reached, is too slow, is full or refuses writes: the journal keeps what comes in.
    #[error("reach the store: {0}")]
    Unavailable(String),
    /// It holds something that this version can't read.
    #[error("read what the store holds: {0}")]
    Corrupt(String),
    /// Its file is damaged, which is not the fault of a single fact.
    #[error("read the embedded store's file: {0}")]
    Damaged(String),
}

impl StoreError {
    /// Whether waiting may help.
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}
