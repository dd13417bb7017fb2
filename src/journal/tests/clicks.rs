//! The clicks log under load, at its cap, and on a disk that returns errors.

use super::*;
use crate::domain::outcome::ClickDrop;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

fn quick() -> Settings {
    Settings { click_flush_interval: Duration::from_millis(1), ..Settings::default() }
}

#[test]
fn threads_append_side_by_side_and_segments_change_under_them() {
    let story = Story::with(Settings { segment_bytes: 20_000, ..quick() });
    let journal = story.journal();
    let enough = AtomicBool::new(false);
    let acknowledged: HashSet<(u64, Vec<u8>)> = std::thread::scope(|scope| {
        let append = |thread: usize| {
            let mut acknowledged = Vec::new();
            while !enough.load(Ordering::Relaxed) {
                let payload = click(10_000_000 * thread + acknowledged.len());
                // A busy machine may suspend the thread that has the lock: that click is dropped.
                acknowledged
                    .extend(journal.clicks().append(&payload).ok().map(|position| (position, payload)));
            }
            acknowledged
        };
        let threads: Vec<_> = (0..8).map(|thread| scope.spawn(move || append(thread))).collect();
        until("segments change", || story.segments(Log::Clicks).len() > 3);
        enough.store(true, Ordering::Relaxed);
        threads.into_iter().flat_map(|thread| thread.join().expect("the thread ends")).collect()
    });
    assert!(!acknowledged.is_empty());
    until("all is flushed", || journal.clicks().flushed_position() == journal.clicks().last_position());
    let read: HashSet<_> =
        story.read(Log::Clicks).into_iter().map(|(at, payload)| (at.position, payload)).collect();
    assert_eq!(read, acknowledged, "what was taken is there, and nothing else");
    assert!(story.verify().is_whole());
}

#[test]
fn a_click_is_dropped_rather_than_made_to_wait() {
    let story = Story::new();
    let journal = story.journal();
    // The log is stopped, as by a stalled disk.
    let held = journal.clicks().hold().expect("the disk is well");
    let start = Instant::now();
    assert_eq!(journal.clicks().append(&click(0)), Err(ClickDrop::JournalBusy));
    assert!(start.elapsed() >= LOCK_WAIT);
    let start = Instant::now();
    for _ in 0..1_000 {
        assert_eq!(journal.clicks().append(&click(0)), Err(ClickDrop::JournalBusy));
    }
    assert!(start.elapsed() < 200 * LOCK_WAIT, "only the first one waits");
    drop(held);
    story.clicks(3);
    assert_eq!(journal.clicks().last_position(), 3);
}

#[test]
fn a_full_disk_drops_clicks_and_takes_them_again_when_there_is_room() {
    let mut story = Story::with(Settings { segment_bytes: 300, ..quick() });
    story.clicks(3);
    story.faults.set_write(FaultInjection::NO_SPACE);
    for _ in 0..5 {
        assert_eq!(story.journal().clicks().append(&click(9)), Err(ClickDrop::JournalFailed));
    }
    story.faults.set_cut(FaultInjection::IO);
    assert_eq!(story.journal().clicks().append(&click(9)), Err(ClickDrop::JournalFailed));
    story.faults.set_write(0);
    assert_eq!(story.journal().clicks().append(&click(9)), Err(ClickDrop::JournalFailed));
    story.faults.set_cut(0);
    story.clicks(30);
    story.open().expect("the journal is whole");
    assert_eq!(story.journal().torn_tails(), []);
    assert_eq!(story.read(Log::Clicks).len(), 33);
    assert!(story.segments(Log::Clicks).len() > 1, "new segments are made again");
}

#[test]
fn after_a_failed_flush_clicks_are_written_again_until_one_succeeds() {
    let mut story = Story::with(Settings { segment_bytes: 2_000, ..Settings::default() });
    story.clicks(5);
    story.journal().clicks().flush().expect("a flush");
    story.clicks(5);
    story.faults.set_sync(FaultInjection::IO);
    for _ in 0..3 {
        assert!(story.journal().clicks().flush().is_err());
        story.clicks(100);
        assert_eq!(story.journal().clicks().flushed_position(), 5);
    }
    assert_eq!(story.journal().clicks().last_position(), 310, "clicks are taken meanwhile");
    story.faults.set_sync(0);
    assert_eq!(story.journal().clicks().flush().expect("a flush"), 310);
    story.open().expect("the journal is whole");
    assert_eq!(story.read(Log::Clicks).len(), 310);
    assert!(story.verify().is_whole());
}

#[test]
fn clicks_that_the_disk_lost_stop_the_log_until_a_restart_cuts_them() {
    let mut story = Story::new();
    story.clicks(5);
    story.journal().clicks().flush().expect("a flush");
    story.clicks(5);
    let file = story.newest(Log::Clicks);
    let reader = Reader::open_at(story.dir.path(), Log::Clicks, 7, true).expect("a reader");
    let mut bytes = fs::read(&file).expect("bytes");
    bytes[usize::try_from(reader.place().1).expect("a small file") + 30] ^= 1;
    fs::write(&file, bytes).expect("written");
    story.faults.set_sync(FaultInjection::IO);
    assert!(story.journal().clicks().flush().is_err());
    story.faults.set_sync(0);
    assert_eq!(story.journal().clicks().append(&click(9)), Err(ClickDrop::JournalFailed));
    // The flush itself is possible again, and must not confirm what was lost.
    assert!(story.journal().clicks().flush().is_err());
    assert_eq!(story.journal().clicks().flushed_position(), 5);
    story.open().expect("what was flushed is whole");
    assert_eq!(story.journal().clicks().last_position(), 7);
    assert_eq!(story.journal().torn_tails().len(), 1);
    story.clicks(1);
}

#[test]
fn a_cap_bounds_the_clicks_that_wait_for_the_store() {
    let story = Story::with(Settings { click_backlog_bytes: 100_000, ..quick() });
    let clicks = story.journal().clicks();
    let taken = (0..10_000).take_while(|index| clicks.append(&click(*index)).is_ok()).count() as u64;
    assert_eq!(clicks.append(&click(0)), Err(ClickDrop::BacklogFull));
    assert!((90_000..=100_000).contains(&clicks.backlog_bytes()), "{}", clicks.backlog_bytes());
    clicks.set_drained(taken / 2);
    assert!((45_000..=55_000).contains(&clicks.backlog_bytes()), "{}", clicks.backlog_bytes());
    clicks.append(&click(0)).expect("there is room again");
    clicks.set_drained(0);
    assert!(clicks.backlog_bytes() < 60_000, "what was drained once stays drained");
    clicks.set_drained(clicks.last_position());
    assert_eq!(clicks.backlog_bytes(), 0);
}

#[test]
fn old_applied_clicks_are_removed_by_whole_segments() {
    let mut story = Story::with_small_segments();
    let millis = |payload: &[u8]| std::str::from_utf8(&payload[6..12]).ok()?.parse::<i64>().ok();
    for start in (0..30).step_by(3) {
        for index in start..start + 3 {
            story.journal().clicks().append(&click(index)).expect("taken");
        }
        story.journal().clicks().flush().expect("a flush");
    }
    let remove = |story: &Story, before, applied| {
        story.journal().remove_clicks_before(before, applied, millis).expect("removed").segments
    };
    let firsts = story.segments(Log::Clicks);
    assert!(firsts.len() >= 5);
    assert_eq!(remove(&story, 0, 30), 0, "all are too young");
    assert_eq!(remove(&story, 1_000, 0), 0, "none is applied");
    assert_eq!(remove(&story, 1_000, firsts[1] - 1), 1, "one is applied");
    let young = i64::try_from(firsts[3]).expect("small");
    assert_eq!(remove(&story, young, 30), 2, "two more are old");
    assert_eq!(story.segments(Log::Clicks), firsts[3..]);
    story.clicks(1);
    story.journal().clicks().flush().expect("a flush");
    assert_eq!(remove(&story, 1_000, 31), firsts.len() as u64 - 4, "the one that takes records stays");
    let reader = story.journal().reader(Log::Clicks, 0, true).expect("a reader");
    assert_eq!(reader.next_position(), firsts[firsts.len() - 1]);
    assert!(story.verify().is_whole());
    story.open().expect("the journal goes on");
    story.clicks(1);
    assert_eq!(story.journal().clicks().last_position(), 32);
}
