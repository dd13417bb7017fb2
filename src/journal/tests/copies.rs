//! Copies of a disk that run with one node's id, one after the other: every record that any of them accepted
//! counts once.

use super::*;
use crate::store::Partition;
use std::collections::{BTreeMap, HashMap};

const PARTITIONS: [Partition; 2] = [Partition::Hashed(0), Partition::Directory];
const LOGS: [Log; 2] = [Log::Facts, Log::Clicks];

/// A store in memory, and the disks of one node; one of them runs at a time.
#[derive(Default)]
struct Copies {
    disks: Vec<TempDir>,
    running: Option<(usize, Journal)>,
    met: bool,
    known: Disks,
    cursors: HashMap<(Log, Partition), Cursor>,
    /// How often each record was applied.
    applied: BTreeMap<(Log, Partition, Vec<u8>), u32>,
    taken: usize,
}

impl Copies {
    fn of_one_disk() -> Self {
        let disks = vec![tempfile::tempdir().expect("a directory")];
        Self { disks, ..Self::default() }
    }

    fn journal(&self) -> &Journal {
        &self.running.as_ref().expect("one runs").1
    }

    fn stops(&mut self) {
        self.running = None;
        self.met = false;
    }

    /// A process starts on a disk.
    fn runs(&mut self, disk: usize) {
        self.stops();
        let settings = Settings { segment_bytes: 300, ..Settings::default() };
        let journal = Journal::open(self.disks[disk].path(), &settings).expect("it opens");
        self.running = Some((disk, journal));
    }

    fn appends(&mut self, count: usize) {
        for _ in 0..count {
            self.taken += 1;
            block_on(self.journal().facts().append(fact(self.taken))).expect("the fact is taken");
            self.journal().clicks().append(&click(self.taken)).expect("the click is taken");
        }
    }

    /// Copies a disk, perhaps one that is being written.
    fn copies(&mut self, disk: usize) -> usize {
        if let Some((_, journal)) = &self.running {
            journal.clicks().flush().expect("flushed");
        }
        let copy = tempfile::tempdir().expect("a directory");
        copy_dir(self.disks[disk].path(), copy.path());
        self.disks.push(copy);
        self.disks.len() - 1
    }

    fn remembered(&self) -> Remembered {
        let of = |log| {
            let reached = |partition| self.cursors.get(&(log, partition)).copied().unwrap_or_default();
            PARTITIONS.map(|partition| (partition, reached(partition))).to_vec()
        };
        Remembered { disks: self.known.clone(), facts: of(Log::Facts), clicks: of(Log::Clicks) }
    }

    /// The running disk meets the store, as in the application; interrupted after some steps.
    fn meets_for(&mut self, steps: usize) -> Option<u32> {
        self.moves(usize::MAX);
        let store = self.remembered();
        let met = (steps > 0).then(|| self.journal().meet(&store).expect("met"))?;
        let node = self.journal().node().clone();
        if steps > 1 && (!store.disks.has_epochs_of(&node) || !met.moves.is_empty()) {
            self.known = store.replaced_by(&node, met.moves);
        }
        if steps > 2 {
            self.moves(steps - 3);
        }
        if steps > 8 {
            self.known.name(&node);
            self.met = true;
        }
        met.epoch
    }

    fn moves(&mut self, most: usize) {
        for moved in self.known.moves().iter().take(most) {
            let reached = self.cursors.entry((moved.log, moved.partition)).or_default();
            if *reached == moved.from {
                *reached = moved.to;
            }
        }
    }

    fn meets(&mut self) -> Option<u32> {
        self.meets_for(usize::MAX)
    }

    /// One partition applies some of one log.
    fn applies(&mut self, log: Log, partition: Partition, most: usize) {
        assert!(self.met);
        let reached = self.cursors.get(&(log, partition)).copied().unwrap_or_default();
        let journal = self.journal();
        let repeated = journal.repeated(log);
        let start = journal.resume_after(log, reached);
        let mut reader = journal.reader(log, start, true).expect("it reads");
        let read = read_on(&mut reader, journal.end(log).position);
        let due = read.into_iter().filter(|(cursor, _)| *cursor > reached).take(most);
        for (cursor, payload) in due.collect::<Vec<_>>() {
            if !repeated.iter().any(|range| range.contains(&cursor.position)) {
                *self.applied.entry((log, partition, payload)).or_default() += 1;
            }
            self.cursors.insert((log, partition), cursor);
        }
    }

    fn applies_all(&mut self) {
        for (log, partition) in LOGS.into_iter().flat_map(|log| PARTITIONS.map(|at| (log, at))) {
            self.applies(log, partition, usize::MAX);
        }
    }

    fn is_wiped(&mut self) {
        self.stops();
        self.known = Disks::default();
        self.cursors.clear();
        self.applied.clear();
    }

    fn counts(&self, log: Log, payload: &[u8]) -> [u32; 2] {
        let count = |at| self.applied.get(&(log, at, payload.to_vec())).copied().unwrap_or_default();
        PARTITIONS.map(count)
    }

    /// Each record that the running disk has is applied, and none twice.
    fn all_count_once(&self) {
        let disk = self.running.as_ref().expect("one runs").0;
        for log in LOGS {
            let mut reader = Reader::open_at(self.disks[disk].path(), log, 0, true).expect("the log opens");
            for (cursor, payload) in read_on(&mut reader, u64::MAX) {
                let counts = self.counts(log, &payload);
                assert_eq!(counts, [1; 2], "{log:?} {cursor:?} of disk {disk}");
            }
        }
        self.none_is_doubled();
        assert!(verify(self.disks[disk].path()).expect("it reads").is_whole());
    }

    fn none_is_doubled(&self) {
        for ((log, partition, payload), count) in &self.applied {
            assert_eq!(*count, 1, "{log:?} {partition:?} {}", String::from_utf8_lossy(payload));
        }
    }
}

/// A disk that the store knows up to its fourth record, and a copy of it from when it had `so_far`.
fn known_up_to_four(so_far: usize) -> (Copies, usize) {
    let mut copies = Copies::of_one_disk();
    copies.runs(0);
    copies.appends(so_far);
    copies.meets();
    let copy = copies.copies(0);
    copies.appends(4 - so_far);
    copies.applies_all();
    copies.runs(0);
    copies.meets();
    (copies, copy)
}

#[test]
fn a_backlog_is_not_skipped_when_another_copy_of_the_disk_went_further() {
    for (so_far, epochs) in [(3, [Some(2), Some(3)]), (4, [None, Some(2)])] {
        let (mut copies, copy) = known_up_to_four(so_far);
        // The store is away: these are acknowledged, and not applied.
        copies.appends(8);
        // Meanwhile an old copy of the disk runs with this id.
        copies.runs(copy);
        assert_eq!(copies.meets(), epochs[0]);
        copies.appends(3);
        copies.applies_all();
        copies.runs(0);
        assert_eq!(copies.meets(), epochs[1], "copied at {so_far}");
        copies.applies_all();
        copies.all_count_once();
    }
}

#[test]
fn a_backup_taken_while_the_store_was_away_doubles_nothing() {
    let (mut copies, _) = known_up_to_four(4);
    copies.runs(0);
    copies.appends(3);
    let backup = copies.copies(0);
    // The store comes back: these are applied, and two more.
    assert_eq!(copies.meets(), None);
    copies.appends(2);
    copies.applies_all();
    // The disk dies; the backup is restored, and accepts some records before it meets the store.
    copies.runs(backup);
    copies.appends(2);
    assert_eq!(copies.meets(), Some(2));
    copies.applies_all();
    copies.all_count_once();
}

/// Partitions may be at different positions when a node is killed.
#[test]
fn what_one_partition_had_applied_when_a_copy_took_over_is_not_applied_there_again() {
    let (mut copies, copy) = known_up_to_four(3);
    copies.appends(8);
    copies.applies(Log::Facts, Partition::Hashed(0), 2);
    copies.applies(Log::Clicks, Partition::Directory, 5);
    copies.runs(copy);
    copies.meets();
    copies.appends(3);
    copies.applies(Log::Facts, Partition::Directory, 2);
    copies.runs(0);
    copies.meets();
    copies.appends(1);
    copies.applies_all();
    copies.all_count_once();
}

#[test]
fn a_store_that_was_emptied_between_two_copies_has_all_of_both() {
    let (mut copies, copy) = known_up_to_four(3);
    copies.appends(8);
    copies.applies_all();
    copies.is_wiped();
    copies.runs(copy);
    copies.meets();
    copies.appends(3);
    copies.applies_all();
    copies.all_count_once();
    copies.runs(0);
    copies.meets();
    copies.applies_all();
    copies.all_count_once();
}

/// Lost with one of several servers, while the cursors were kept.
#[test]
fn a_store_that_forgets_the_lives_of_a_disk_is_not_taken_for_one_of_another() {
    let (mut copies, _) = known_up_to_four(4);
    let before = copies.known.clone();
    copies.runs(0);
    copies.meets();
    copies.appends(2);
    copies.applies_all();
    for known in [before, Disks::default()] {
        copies.known = known;
        copies.runs(0);
        assert_eq!(copies.meets(), None);
        copies.applies_all();
        copies.all_count_once();
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 32, ..Default::default() })]
    /// Disks are copied, killed, restored and meet emptied stores, at any step.
    #[test]
    fn whatever_copies_of_a_disk_run_one_after_the_other_each_record_counts_once(
        steps in proptest::collection::vec((0..13_u8, 0..64_usize), 1..40),
    ) {
        let mut copies = Copies::of_one_disk();
        copies.runs(0);
        for (step, number) in steps {
            let disk = number % copies.disks.len();
            match step {
                0 | 1 => copies.runs(disk),
                2 if copies.disks.len() < 4 => drop(copies.copies(disk)),
                3 if number == 0 => {
                    copies.is_wiped();
                    copies.runs(disk);
                }
                4 if !copies.met => {
                    copies.meets_for(number % 8);
                    let running = copies.running.as_ref().expect("one runs").0;
                    copies.runs(running);
                }
                5 | 6 if !copies.met => drop(copies.meets()),
                7..=9 => copies.appends(number % 4),
                _ if copies.met => {
                    let (log, partition) = (LOGS[number % 2], PARTITIONS[number / 2 % 2]);
                    copies.applies(log, partition, number / 4);
                    copies.none_is_doubled();
                }
                _ => {}
            }
        }
        for disk in 0..copies.disks.len() {
            copies.runs(disk);
            copies.meets();
            copies.applies_all();
            copies.all_count_once();
        }
    }
}
