//! Removes clicks that are not needed any more.

use super::Journal;
use super::disk::{segment_path, segments};
use super::error::JournalError;
use super::node::log_dir;
use super::walk::{Step, Walk};
use crate::files::sync_dir;
use crate::store::Log;
use std::fs;

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Whole segments.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Journal {
    /// Removes the oldest segments of clicks, as long as all their clicks are applied and flushed, and were
    /// made before `instant_ms` (Unix milliseconds). `millis` returns when a click was made. Clicks are in
    /// the order of time, so the first click of the next segment is enough to judge a whole segment.
    pub fn remove_clicks_before(
        &self,
        instant_ms: i64,
        applied_position: u64,
        millis: impl Fn(&[u8]) -> Option<i64>,
    ) -> Result<Removed, JournalError> {
        let dir = log_dir(&self.data_dir, Log::Clicks);
        let done = applied_position.min(self.clicks.flushed_position());
        let firsts = segments(&dir).map_err(JournalError::io("list", &dir))?;
        let mut removed = Removed::default();
        for pair in firsts.windows(2) {
            if pair[1] > done + 1 {
                break;
            }
            let mut after = Walk::open(&dir, Log::Clicks, pair[1])?;
            let Step::Record(payload) = after.step(true)? else { break };
            if millis(payload).is_none_or(|made| made >= instant_ms) {
                break;
            }
            let path = segment_path(&dir, pair[0]);
            removed.bytes += fs::metadata(&path).map_err(JournalError::io("read", &path))?.len();
            fs::remove_file(&path).map_err(JournalError::io("remove", &path))?;
            removed.segments += 1;
        }
        sync_dir(&dir).map_err(JournalError::io("sync", &dir))?;
        Ok(removed)
    }
}
