//! A disk that was restored or cloned begins a new epoch.

use super::*;
use crate::store::Partition;
use std::sync::Arc;

/// A store that remembers this for both logs.
fn store_at(epoch: u32, position: u64) -> [Cursor; 2] {
    [Cursor { epoch, position }; 2]
}

/// A store with one partition, which remembers no disks.
fn remembered([facts, clicks]: [Cursor; 2]) -> Remembered {
    let of = |cursor| vec![(Partition::Hashed(0), cursor)];
    Remembered { disks: Disks::default(), facts: of(facts), clicks: of(clicks) }
}

impl Story {
    fn meets(&self, cursors: [Cursor; 2]) -> Result<Option<u32>, JournalError> {
        self.journal().meet(&remembered(cursors)).map(|met| met.epoch)
    }

    /// A journal that the store knows, and that is opened again.
    fn known_to_the_store(facts: usize, clicks: usize) -> Self {
        let mut story = Self::with_small_segments();
        story.facts(facts);
        story.clicks(clicks);
        assert_eq!(story.meets(store_at(0, 0)).expect("met"), None);
        story.open().expect("it opens");
        story
    }

    /// What a store that remembers these cursors applies.
    fn applied_after(&self, [facts, clicks]: [Cursor; 2]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let of = |log, remembered: Cursor| {
            let repeated = self.journal().repeated(log);
            let counts = |cursor: &Cursor| {
                *cursor > remembered && !repeated.iter().any(|range| range.contains(&cursor.position))
            };
            let records = self.read(log).into_iter();
            records.filter(|(cursor, _)| counts(cursor)).map(|(_, payload)| payload).collect()
        };
        (of(Log::Facts, facts), of(Log::Clicks, clicks))
    }

    fn appends(&self, index: usize) {
        block_on(self.journal().facts().append(fact(index))).expect("the fact is taken");
        self.journal().clicks().append(&click(index)).expect("the click is taken");
    }
}

/// Killed before any of its writes and flushes, and at its end; then serving for a while before the store is
/// back.
#[test]
fn a_new_epoch_that_is_killed_at_any_step_loses_nothing_and_doubles_nothing() {
    let mut story = Story::known_to_the_store(4, 4);
    // Restored from a backup, it serves while the store is away, and is restarted meanwhile.
    for index in 10..18 {
        story.appends(index);
    }
    story.open().expect("it opens");
    for index in 18..24 {
        story.appends(index);
    }
    let remembered = store_at(3, 12);
    let (steps, kills) = (tempfile::tempdir().expect("a directory"), Arc::new(Mutex::new(Vec::new())));
    let (data_dir, into, taken) = (story.dir.path().to_owned(), steps.path().to_owned(), Arc::clone(&kills));
    story.faults.watch(move || {
        let mut taken = taken.lock().expect("nobody panicked");
        let copy = into.join(taken.len().to_string());
        fs::create_dir(&copy).expect("a directory");
        copy_dir(&data_dir, &copy);
        taken.push(copy);
    });
    assert_eq!(story.meets(remembered).expect("met"), Some(4));
    story.faults.watch_no_more();
    let kills = std::mem::take(&mut *kills.lock().expect("nobody panicked"));
    let mut interrupted = 0;
    for (step, data_dir) in kills.iter().enumerate() {
        story.close();
        fs::remove_dir_all(story.dir.path()).expect("removed");
        fs::create_dir(story.dir.path()).expect("a directory");
        copy_dir(data_dir, story.dir.path());
        let begun = Node::read(data_dir).expect("whole").expect("it is there").epoch() == 4;
        interrupted += usize::from(begun);
        story.open().unwrap_or_else(|error| panic!("step {step}: {error}"));
        story.appends(30);
        assert_eq!(story.meets(remembered).expect("met"), (!begun).then_some(4), "step {step}");
        story.appends(31);
        let late: Vec<usize> = (10..24).chain([30, 31]).collect();
        let expected = |of: fn(usize) -> Vec<u8>, from: &[usize]| -> Vec<Vec<u8>> {
            from.iter().chain(&late).map(|index| of(*index)).collect()
        };
        let none = (expected(fact, &[]), expected(click, &[]));
        assert_eq!(story.applied_after(remembered), none, "step {step}");
        let all = (expected(fact, &[0, 1, 2, 3]), expected(click, &[0, 1, 2, 3]));
        assert_eq!(story.applied_after(store_at(0, 0)), all, "step {step}: after a wipe");
        story.open().expect("it opens");
        let applied = [Log::Facts, Log::Clicks].map(|log| story.journal().end(log));
        assert_eq!(story.meets(applied).expect("met"), None, "step {step}");
        assert!(story.verify().is_whole(), "step {step}: {:?}", story.verify());
    }
    assert!(interrupted > 20 && interrupted < kills.len(), "{interrupted} of {}", kills.len());
}

/// A disk that fills up at any step: the journal accepts nothing until the epoch has begun completely.
#[test]
fn a_new_epoch_that_a_full_disk_interrupts_goes_on_when_the_store_is_met_again() {
    let mut interrupted = 0;
    for full_from in 1..30 {
        let mut story = Story::known_to_the_store(1, 1);
        story.appends(10);
        let (faults, mut steps) = (story.faults.clone(), 0);
        story.faults.watch(move || {
            steps += 1;
            faults.set_write(if steps >= full_from { FaultInjection::NO_SPACE } else { 0 });
        });
        let met = story.meets(store_at(1, 9));
        story.faults.watch_no_more();
        story.faults.set_write(FaultInjection::NO_SPACE);
        let begun = story.journal().node().epoch() == 2;
        interrupted += usize::from(begun && met.is_err());
        assert!(block_on(story.journal().facts().append(fact(11))).is_err());
        assert!(story.journal().clicks().append(&click(11)).is_err());
        story.faults.set_write(0);
        assert_eq!(story.meets(store_at(1, 9)).expect("met"), (!begun).then_some(2), "from {full_from} on");
        story.appends(12);
        let expected = (vec![fact(10), fact(12)], vec![click(10), click(12)]);
        assert_eq!(story.applied_after(store_at(1, 9)), expected, "from {full_from} on");
        story.open().expect("it opens");
        assert!(story.verify().is_whole(), "{:?}", story.verify());
    }
    assert!(interrupted > 3, "{interrupted}");
}

#[test]
fn a_store_that_knows_more_than_the_disk_had_is_found_out_however_often_the_node_started_since() {
    let mut story = Story::known_to_the_store(4, 4);
    for start in 1..=3 {
        story.appends(start);
        story.open().expect("it opens");
    }
    story.close();
    // The disk had 4 records of each log when the store was last met, and has 7 now.
    for (position, epoch) in [(0, None), (4, None), (5, Some(2)), (7, Some(2)), (8, Some(2))] {
        let copy = story.copy();
        let journal = Journal::open(copy.path(), &story.settings).expect("it opens");
        let met = journal.meet(&remembered(store_at(1, position))).expect("met");
        assert_eq!(met.epoch, epoch, "{position}");
    }
}

#[test]
fn a_new_epoch_goes_on_with_later_cursors() {
    let mut story = Story::known_to_the_store(4, 2);
    assert_eq!(story.journal().end(Log::Facts), Cursor { epoch: 1, position: 4 });
    assert_eq!(story.meets(store_at(5, 1)).expect("met"), Some(6), "later than the store's");
    assert_eq!(story.journal().end(Log::Facts), Cursor { epoch: 6, position: 4 });
    story.facts(1);
    story.clicks(1);
    for round in 0..2 {
        let facts: Vec<_> = story.read(Log::Facts).into_iter().map(|(at, _)| at).collect();
        assert_eq!(facts[3..], [Cursor { epoch: 1, position: 4 }, Cursor { epoch: 6, position: 5 }]);
        let clicks: Vec<_> = story.read(Log::Clicks).into_iter().map(|(at, _)| at).collect();
        assert_eq!(clicks[1..], [Cursor { epoch: 1, position: 2 }, Cursor { epoch: 6, position: 3 }]);
        assert!(story.verify().is_whole(), "{:?}", story.verify());
        let remembered = Cursor { epoch: 5, position: 900 };
        assert_eq!(story.journal().resume_after(Log::Facts, remembered), 4);
        story.open().expect("round {round}");
        assert_eq!(story.journal().node().epoch(), 6, "round {round}");
    }
}

#[test]
fn epochs_of_an_empty_journal_replace_its_segments() {
    let mut story = Story::new();
    for epoch in 1..=2 {
        assert_eq!(story.meets(store_at(epoch, 9)).expect("met"), Some(epoch + 1));
    }
    assert_eq!(story.segments(Log::Facts), [1]);
    story.facts(2);
    story.clicks(2);
    assert_eq!(story.read(Log::Facts)[0].0, Cursor { epoch: 3, position: 1 });
    story.open().expect("the journal is whole");
    assert!(story.verify().is_whole(), "{:?}", story.verify());
}

#[test]
fn an_epoch_that_a_crash_interrupted_is_begun_at_the_next_start() {
    let mut story = Story::known_to_the_store(4, 2);
    let ends = Ends { facts: 4, clicks: 2 };
    let next = story.journal().node().with_epoch(2, ends, ends);
    story.close();
    next.write(story.dir.path()).expect("written");
    story.open().expect("the epoch is begun");
    story.facts(1);
    story.clicks(1);
    assert_eq!(story.read(Log::Facts)[4].0, Cursor { epoch: 2, position: 5 });
    assert_eq!(story.read(Log::Clicks)[2].0, Cursor { epoch: 2, position: 3 });
    assert!(story.verify().is_whole(), "{:?}", story.verify());
    let wrong = story.journal().node().with_epoch(3, Ends { facts: 9, clicks: 9 }, Ends::default());
    story.close();
    wrong.write(story.dir.path()).expect("written");
    assert!(matches!(story.open(), Err(JournalError::Damage(_))), "an epoch can't begin past the end");
}

#[test]
fn a_full_disk_can_begin_an_epoch_later() {
    let story = Story::known_to_the_store(4, 2);
    story.faults.set_write(FaultInjection::NO_SPACE);
    assert!(story.meets(store_at(1, 9)).is_err());
    story.faults.set_write(0);
    story.meets(store_at(1, 9)).expect("met");
    story.facts(1);
    assert_eq!(story.read(Log::Facts)[4].0, Cursor { epoch: 2, position: 5 });
}
