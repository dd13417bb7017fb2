//! The request to stop, for which every task can wait.

use std::time::Duration;
use tokio::sync::watch;

/// Set once, and never reset.
#[derive(Debug, Clone)]
pub struct Stop {
    sender: watch::Sender<bool>,
}

impl Default for Stop {
    fn default() -> Self {
        Self { sender: watch::Sender::new(false) }
    }
}

impl Stop {
    /// Asks everything to stop.
    pub fn set(&self) {
        self.sender.send_replace(true);
    }
    /// Whether everything was asked to stop.
    pub fn is_set(&self) -> bool {
        *self.sender.borrow()
    }
    /// Waits until everything is asked to stop.
    pub async fn wait(&self) {
        // The sender lives in `self`, so waiting can't fail.
        drop(self.sender.subscribe().wait_for(|set| *set).await);
    }
    /// Waits for this long; returns whether everything was asked to stop.
    pub async fn await_for(&self, duration: Duration) -> bool {
        tokio::time::timeout(duration, self.wait()).await.is_ok()
    }
}
