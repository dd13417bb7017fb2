//! A disk that was restored or cloned begins a new life.

use super::*;

#[test]
fn a_new_epoch_goes_on_with_later_cursors() {
    let mut story = Story::new();
    story.facts(4);
    story.clicks(2);
    assert_eq!(story.journal().end(Log::Facts), Cursor { epoch: 1, position: 4 });
    assert_eq!(story.journal().new_epoch(5).expect("an epoch"), 6, "later than the store's");
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
    story.journal().new_epoch(1).expect("an epoch");
    story.journal().new_epoch(2).expect("an epoch");
    assert_eq!(story.segments(Log::Facts), [1]);
    story.facts(2);
    story.clicks(2);
    assert_eq!(story.read(Log::Facts)[0].0, Cursor { epoch: 3, position: 1 });
    story.open().expect("the journal is whole");
    assert!(story.verify().is_whole(), "{:?}", story.verify());
}

#[test]
fn an_epoch_that_a_crash_interrupted_is_begun_at_the_next_start() {
    let mut story = Story::new();
    story.facts(4);
    story.clicks(2);
    let next = story.journal().node().with_epoch(2, 4, 2);
    story.close();
    next.write(story.dir.path()).expect("written");
    story.open().expect("the epoch is begun");
    story.facts(1);
    story.clicks(1);
    assert_eq!(story.read(Log::Facts)[4].0, Cursor { epoch: 2, position: 5 });
    assert_eq!(story.read(Log::Clicks)[2].0, Cursor { epoch: 2, position: 3 });
    assert!(story.verify().is_whole(), "{:?}", story.verify());
    let wrong = story.journal().node().with_epoch(3, 9, 9);
    story.close();
    wrong.write(story.dir.path()).expect("written");
    assert!(matches!(story.open(), Err(JournalError::Damage(_))), "an epoch can't begin past the end");
}

#[test]
fn a_full_disk_can_begin_an_epoch_later() {
    let story = Story::new();
    story.facts(4);
    story.faults.set_write(Faults::NO_SPACE);
    assert!(story.journal().new_epoch(1).is_err());
    story.faults.set_write(0);
    assert_eq!(story.journal().new_epoch(1).expect("an epoch"), 2);
    story.facts(1);
    assert_eq!(story.read(Log::Facts)[4].0, Cursor { epoch: 2, position: 5 });
}
