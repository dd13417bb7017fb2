//! Stories about a whole journal; tests of a single file are at that file's end.

mod clicks;
mod copies;
mod damage;
mod epochs;
mod facts;

use super::faults::FaultInjection;
use super::*;
use crate::store::Log;
use std::fs;
use std::time::Instant;
use tempfile::TempDir;

/// A journal in a directory of its own, which can be closed and opened again.
struct Story {
    dir: TempDir,
    settings: Settings,
    faults: FaultInjection,
    journal: Option<Journal>,
}

impl Story {
    fn new() -> Self {
        Self::with(Settings::default())
    }

    /// Segments of a few records each.
    fn with_small_segments() -> Self {
        Self::with(Settings { segment_bytes: 300, ..Settings::default() })
    }

    fn with(settings: Settings) -> Self {
        let mut story = Self {
            dir: tempfile::tempdir().expect("a directory"),
            settings,
            faults: FaultInjection::default(),
            journal: None,
        };
        story.open().expect("a new journal opens");
        story
    }

    fn open(&mut self) -> Result<(), JournalError> {
        self.journal = None;
        self.journal = Some(Journal::open_with(self.dir.path(), &self.settings, &self.faults)?);
        Ok(())
    }

    fn close(&mut self) {
        self.journal = None;
    }

    fn journal(&self) -> &Journal {
        self.journal.as_ref().expect("the journal is open")
    }

    /// Appends this many facts, one after the other, in one flush each.
    fn facts(&self, count: usize) {
        for index in 0..count {
            let appended = block_on(self.journal().facts().append(fact(index)));
            appended.expect("the fact is taken");
        }
    }

    /// Appends this many clicks. With small segments they are flushed from time to time: a flush also changes
    /// a full segment.
    fn clicks(&self, count: usize) {
        for index in 0..count {
            self.journal().clicks().append(&click(index)).expect("the click is taken");
            if self.settings.segment_bytes < 1_000 && index % 3 == 2 {
                self.journal().clicks().flush().expect("a flush");
            }
        }
    }

    /// All records of a log, as a reader finds them at rest.
    fn read(&self, log: Log) -> Vec<(Cursor, Vec<u8>)> {
        let mut reader = Reader::open_at(self.dir.path(), log, 0, true).expect("the log opens");
        read_on(&mut reader, u64::MAX)
    }

    fn log_dir(&self, log: Log) -> PathBuf {
        node::log_dir(self.dir.path(), log)
    }

    fn segments(&self, log: Log) -> Vec<u64> {
        disk::segments(&self.log_dir(log)).expect("a list")
    }

    /// The newest segment file of a log.
    fn newest(&self, log: Log) -> PathBuf {
        let first = *self.segments(log).last().expect("there is a segment");
        disk::segment_path(&self.log_dir(log), first)
    }

    fn verify(&self) -> Report {
        verify(self.dir.path()).expect("the files can be read")
    }

    /// A copy of the directory, to be damaged.
    fn copy(&self) -> TempDir {
        let copy = tempfile::tempdir().expect("a directory");
        copy_dir(self.dir.path(), copy.path());
        copy
    }
}

fn copy_dir(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a list") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            fs::create_dir(&target).expect("a directory");
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("a copy");
        }
    }
}

fn read_on(reader: &mut Reader, up_to: u64) -> Vec<(Cursor, Vec<u8>)> {
    let mut records = Vec::new();
    loop {
        let batch = reader.next_batch(3, 1 << 20, up_to).expect("the log reads on");
        if batch.is_empty() {
            return records;
        }
        records.extend(batch.iter().map(|(cursor, payload)| (cursor, payload.to_vec())));
    }
}

fn fact(index: usize) -> Vec<u8> {
    format!("{{\"fact\":\"number {index}\"}}").into_bytes()
}

fn click(index: usize) -> Vec<u8> {
    format!("click {index:06} of a visitor").into_bytes()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

/// Waits for a condition that another thread fulfills.
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn one_process_owns_a_data_directory() {
    let mut story = Story::new();
    let second = Journal::open(story.dir.path(), &story.settings);
    let Err(JournalError::Locked { holder, .. }) = second else { panic!("{second:?}") };
    assert_eq!(holder, std::process::id().to_string());
    story.close();
    story.open().expect("the lock goes with the journal");
}

#[test]
fn what_is_appended_is_read_in_order_across_segments_and_starts() {
    let mut story = Story::with_small_segments();
    let node = story.journal().node_id();
    for round in 1..=3u64 {
        story.facts(10);
        story.clicks(10);
        story.journal().clicks().flush().expect("a flush");
        assert_eq!(story.journal().facts().last_position(), 10 * round);
        assert_eq!(story.journal().clicks().last_position(), 10 * round);
        story.open().expect("the journal opens again");
        assert_eq!(story.journal().torn_tails(), []);
        assert_eq!(story.journal().node_id(), node);
    }
    for (log, payload) in [(Log::Facts, fact as fn(usize) -> Vec<u8>), (Log::Clicks, click)] {
        assert!(story.segments(log).len() >= 3, "{log:?}");
        let records = story.read(log);
        assert_eq!(records.len(), 30);
        for (index, (cursor, read)) in records.iter().enumerate() {
            assert_eq!(*cursor, Cursor { epoch: 1, position: index as u64 + 1 });
            assert_eq!(*read, payload(index % 10));
        }
    }
    let report = story.verify();
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(report.logs.iter().map(|log| log.records).sum::<u64>(), 60);
    assert_eq!(report.node_id, Some(node));
}

#[test]
fn a_reader_starts_after_any_position_and_stops_at_its_limit() {
    let story = Story::with_small_segments();
    story.facts(25);
    for after in 0..=26 {
        let mut reader = story.journal().reader(Log::Facts, after, true).expect("a reader");
        let next = after.min(25) + 1;
        assert_eq!(reader.next_position(), next);
        let expected: Vec<u64> = (next..=20).collect();
        let found: Vec<u64> = read_on(&mut reader, 20).iter().map(|(at, _)| at.position).collect();
        assert_eq!(found, expected, "after {after}");
    }
    let mut reader = story.journal().reader(Log::Facts, 0, true).expect("a reader");
    assert_eq!(reader.next_batch(100, 30, 25).expect("a batch").len(), 2, "bytes bound a batch");
    let beyond = reader.next_batch(100, 1 << 20, 26);
    assert!(matches!(beyond, Err(JournalError::Damage(_))), "a record that should be there is missed");
}

#[test]
fn a_reader_follows_both_logs_while_they_are_written() {
    let story = Story::with(Settings { segment_bytes: 4_000, ..Settings::default() });
    let journal = story.journal();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for index in 0..5_000 {
                journal.clicks().append(&click(index)).expect("the click is taken");
            }
        });
        scope.spawn(|| {
            for index in 0..100 {
                let batch = (0..10).map(|more| fact(10 * index + more)).collect();
                block_on(journal.facts().append_many(batch)).expect("the facts are taken");
            }
        });
        let mut facts = journal.reader(Log::Facts, 0, true).expect("a reader");
        let mut clicks = journal.reader(Log::Clicks, 0, true).expect("a reader");
        let (mut seen_facts, mut seen_clicks) = (0, 0);
        until("all records are seen", || {
            for (_, payload) in read_on(&mut facts, journal.facts().last_position()) {
                assert_eq!(payload, fact(seen_facts));
                seen_facts += 1;
            }
            for (_, payload) in read_on(&mut clicks, journal.clicks().last_position()) {
                assert_eq!(payload, click(seen_clicks));
                seen_clicks += 1;
            }
            (seen_facts, seen_clicks) == (1_000, 5_000)
        });
    });
    assert!(story.segments(Log::Clicks).len() > 1);
}

#[test]
fn a_kept_hash_tells_whether_history_was_changed() {
    let story = Story::new();
    story.facts(5);
    let head = story.verify().logs[0].head.clone();
    assert_eq!(hash_at(story.dir.path(), Log::Facts, 5).expect("readable"), Some(head.clone()));
    story.facts(5);
    assert_eq!(hash_at(story.dir.path(), Log::Facts, 5).expect("readable"), Some(head));
    assert_eq!(hash_at(story.dir.path(), Log::Facts, 11).expect("readable"), None);
    let twin = Story::new();
    twin.facts(5);
    assert_ne!(twin.verify().logs[0].head, story.verify().logs[0].head, "another node, another chain");
}
