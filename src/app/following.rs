//! The directory in a node's memory: how it follows the store, and who is called when it changes.

use super::{App, Directory, lock};
use crate::domain::mark::Marks;
use crate::store::StoreError;
use arc_swap::ArcSwap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Is called with every new directory.
type DirectoryListener = Box<dyn Fn(&Directory, bool) + Send + Sync>;

/// The directory as last seen.
#[derive(Default)]
pub(super) struct Following {
    now: ArcSwap<Directory>,
    /// Only one task at a time follows the store.
    turn: tokio::sync::Mutex<()>,
    listener: Mutex<Option<DirectoryListener>>,
    /// Whether it is complete: no store that lost data is being refilled.
    is_whole: AtomicBool,
}

impl App {
    /// The directory now.
    pub fn directory(&self) -> Arc<Directory> {
        self.following.now.load_full()
    }

    /// The qualifying periods of all months, those of closed months by their own rules.
    pub fn marks(&self) -> Marks {
        let directory = self.directory();
        Marks::of(&self.settings.rules, directory.months().map(|month| (month.month, &month.rules)))
    }

    /// Calls `listener` with the directory now and whenever it changes, and with whether it is complete. While a
    /// store that lost data is being refilled it is not, and may say outdated things about an affiliate.
    pub fn on_directory(&self, listener: impl Fn(&Directory, bool) + Send + Sync + 'static) {
        listener(&self.following.now.load(), self.following.is_whole.load(Ordering::Relaxed));
        *lock(&self.following.listener) = Some(Box::new(listener));
    }

    pub(super) async fn reload_directory(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.following.turn.lock().await;
        let directory = Directory::load(&*self.store).await?;
        self.check_currency(&directory)?;
        self.set_directory(directory);
        Ok(())
    }

    pub(crate) async fn follow_directory(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.following.turn.lock().await;
        let now = self.following.now.load_full();
        if let Some(next) = now.follow(&*self.store).await? {
            self.check_currency(&next)?;
            self.set_directory(next);
        }
        Ok(())
    }

    /// A program's currency is that of its first closed month; a node with another one in its configuration stops.
    pub(super) fn check_currency(&self, directory: &Directory) -> Result<(), StoreError> {
        let Some(first) = directory.months().next() else { return Ok(()) };
        let (stated, ours) = (&first.rules.currency, &self.settings.rules.currency);
        if stated == ours {
            return Ok(());
        }
        Err(self.refuse(&format!(
            "program.currency: {} was closed in {stated}, and a program can't change its currency; set it to {stated} instead of {ours}",
            first.month
        )))
    }

    /// Sets whether the directory is complete.
    pub(super) fn set_whole(&self, is_whole: bool) {
        if self.following.is_whole.swap(is_whole, Ordering::Relaxed) != is_whole
            && is_whole
            && let Some(listener) = lock(&self.following.listener).as_ref()
        {
            listener(&self.following.now.load(), true);
        }
    }

    pub(super) fn set_directory(&self, directory: Directory) {
        let directory = Arc::new(directory);
        self.following.now.store(Arc::clone(&directory));
        if let Some(listener) = lock(&self.following.listener).as_ref() {
            listener(&directory, self.following.is_whole.load(Ordering::Relaxed));
        }
    }
}
