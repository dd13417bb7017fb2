//! The facts log under load, and on a disk that returns errors.

use super::*;
use std::collections::HashSet;
use std::sync::Arc;

#[test]
fn sixty_four_tasks_share_flushes_and_each_gets_its_own_position() {
    let story = Story::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    let facts = Arc::new(story.journal.expect("open"));
    let acknowledged: Vec<(u64, Vec<u8>)> = runtime.block_on(async {
        let tasks = (0..64).map(|task| {
            let journal = Arc::clone(&facts);
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for index in 0..50 {
                    let payload = fact(1_000 * task + index);
                    let position = journal.facts().append(payload.clone()).await.expect("taken");
                    assert!(journal.facts().last_position() >= position, "acknowledged when on the disk");
                    acknowledged.push((position, payload));
                }
                acknowledged
            })
        });
        let tasks: Vec<_> = tasks.collect();
        let mut acknowledged = Vec::new();
        for task in tasks {
            acknowledged.extend(task.await.expect("the task ends"));
        }
        acknowledged
    });
    assert_eq!(acknowledged.iter().map(|(position, _)| *position).collect::<HashSet<_>>().len(), 3_200);
    drop(facts);
    let mut reader = Reader::open_at(story.dir.path(), Log::Facts, 0, true).expect("a reader");
    let read: HashSet<_> =
        read_on(&mut reader, u64::MAX).into_iter().map(|(at, payload)| (at.position, payload)).collect();
    assert_eq!(read, acknowledged.into_iter().collect());
}

#[test]
fn a_batch_gets_positions_in_a_row() {
    let story = Story::new();
    story.facts(1);
    let positions = block_on(story.journal().facts().append_many((0..5).map(fact).collect()));
    assert_eq!(positions.expect("taken"), 2..7);
    let none = block_on(story.journal().facts().append_many(Vec::new()));
    assert_eq!(none.expect("nothing is taken easily"), 7..7);
    let mut watch = story.journal().facts().subscribe();
    assert_eq!(*watch.borrow_and_update(), 6);
    story.facts(1);
    assert!(watch.has_changed().expect("the log is open"));
}

#[test]
fn records_have_bounds() {
    let story = Story::new();
    let facts = story.journal().facts();
    assert!(matches!(block_on(facts.append(Vec::new())), Err(AppendError::Empty)));
    let large = block_on(facts.append(vec![1; MAX_FACT_BYTES + 1]));
    assert!(matches!(large, Err(AppendError::TooLarge { limit: MAX_FACT_BYTES, .. })));
    let many = block_on(facts.append_many(vec![vec![1; MAX_FACT_BYTES]; 4]));
    assert!(matches!(many, Err(AppendError::TooLarge { limit: MAX_BATCH_BYTES, .. })));
    assert_eq!(block_on(facts.append(vec![1; MAX_FACT_BYTES])).expect("taken"), 1);
    assert_eq!(story.read(Log::Facts).len(), 1);
}

#[test]
fn what_waits_for_the_disk_is_bounded() {
    let story = Story::new();
    let journal = story.journal();
    // The writer is stopped, as by a stalled disk.
    let held = journal.facts().hold().expect("the disk is well");
    let waiting: Vec<_> = (0..100).map(|_| journal.facts().append(vec![1; 1 << 20])).collect();
    let refused = waiting.into_iter().filter_map(block_on_now).count();
    assert!(journal.facts().waiting_bytes() <= MAX_WAITING_BYTES);
    assert!((30..=40).contains(&refused));
    drop(held);
}

/// The result of a future that is ready.
fn block_on_now<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(answer) => Some(answer),
        std::task::Poll::Pending => None,
    }
}

#[test]
fn a_full_disk_refuses_facts_and_takes_them_again_when_there_is_room() {
    let mut story = Story::with_small_segments();
    story.facts(3);
    story.faults.set_write(FaultInjection::NO_SPACE);
    for _ in 0..5 {
        let refused = block_on(story.journal().facts().append(fact(9)));
        assert!(matches!(refused, Err(AppendError::Disk(_))), "{refused:?}");
    }
    story.faults.set_cut(FaultInjection::IO);
    assert!(block_on(story.journal().facts().append(fact(9))).is_err());
    assert_eq!(story.journal().facts().last_position(), 3);
    assert!(story.verify().is_whole());
    story.faults.set_write(0);
    assert!(block_on(story.journal().facts().append(fact(9))).is_err(), "what is left is cut off first");
    assert!(story.journal().facts().is_failing());
    story.faults.set_cut(0);
    story.facts(20);
    assert!(!story.journal().facts().is_failing());
    story.open().expect("the journal is whole");
    assert_eq!(story.journal().torn_tails(), []);
    assert_eq!(story.read(Log::Facts).len(), 23);
}

#[test]
fn a_segment_whose_flush_failed_takes_no_more_records() {
    for facts_before in [0, 3] {
        let mut story = Story::new();
        story.facts(facts_before);
        let before = story.segments(Log::Facts);
        story.faults.set_sync(FaultInjection::IO);
        for _ in 0..3 {
            let refused = block_on(story.journal().facts().append(fact(9)));
            assert!(matches!(refused, Err(AppendError::Disk(_))), "{refused:?}");
        }
        assert_eq!(story.journal().facts().last_position(), facts_before as u64);
        story.faults.set_sync(0);
        story.facts(2);
        let expected = if facts_before == 0 { before } else { vec![1, 4] };
        assert_eq!(story.segments(Log::Facts), expected);
        let mut reader = story.journal().reader(Log::Facts, 0, true).expect("a reader");
        assert_eq!(read_on(&mut reader, story.journal().facts().last_position()).len(), facts_before + 2);
        story.open().expect("the journal is whole");
        assert_eq!(story.read(Log::Facts).len(), facts_before + 2);
        assert!(story.verify().is_whole());
    }
}

#[test]
fn a_reader_of_an_empty_segment_follows_its_replacement() {
    let story = Story::new();
    let mut reader = story.journal().reader(Log::Facts, 0, true).expect("a reader");
    assert!(reader.next_batch(10, 1_000, 0).expect("nothing yet").is_empty());
    story.faults.set_sync(FaultInjection::IO);
    assert!(block_on(story.journal().facts().append(fact(0))).is_err());
    story.faults.set_sync(0);
    story.facts(2);
    assert_eq!(read_on(&mut reader, 2).len(), 2);
}

#[test]
fn a_future_that_is_dropped_does_not_take_its_record_back() {
    let mut story = Story::new();
    drop(story.journal().facts().append(fact(0)));
    story.close();
    assert_eq!(story.read(Log::Facts).len(), 1, "closing writes what waits");
}
