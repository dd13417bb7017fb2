//! What a crash leaves is cut off; what was changed afterwards is found and reported.

use super::*;
use crate::journal::flushed::{Flushed, Mark};
use crate::journal::record::{HEADER_BYTES, Header, genesis};
use std::os::unix::fs::FileExt;

/// Sets a log's `flushed` to a position, as if nothing later had been flushed.
fn forget_flushes_after(data_dir: &Path, log: Log, position: u64) {
    let reader = Reader::open_at(data_dir, log, position, false).expect("a reader");
    let mark = Mark { position, chain: reader.chain_before() };
    Flushed::create(&node::log_dir(data_dir, log), mark).expect("written");
}

/// Flips a bit in place: writing a new file would make the file system flush it each time.
fn flip(file: &Path, whole: &[u8], bit: usize) {
    put(file, bit / 8, whole[bit / 8] ^ 1 << (bit % 8));
}

fn restore(file: &Path, whole: &[u8], bit: usize) {
    put(file, bit / 8, whole[bit / 8]);
}

fn put(file: &Path, at: usize, byte: u8) {
    let file = fs::File::options().write(true).open(file).expect("a file");
    file.write_all_at(&[byte], at as u64).expect("written");
}

fn open(data_dir: &Path) -> Result<Journal, JournalError> {
    Journal::open(data_dir, &Settings::default())
}

/// A closed journal of three records in each log, and the newest file of one of them.
fn closed_story(log: Log) -> (Story, PathBuf) {
    let mut story = Story::new();
    story.facts(3);
    story.clicks(3);
    story.close();
    let file = story.newest(log);
    (story, file)
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_off_and_nothing_else() {
    for log in [Log::Facts, Log::Clicks] {
        let (mut story, file) = closed_story(log);
        let whole = fs::read(&file).expect("bytes");
        let start = {
            let reader = Reader::open_at(story.dir.path(), log, 2, true).expect("a reader");
            usize::try_from(reader.place().1).expect("a small file")
        };
        forget_flushes_after(story.dir.path(), log, 2);
        let flushed = fs::read(flushed::path(&story.log_dir(log))).expect("bytes");
        for end in start..whole.len() {
            fs::write(&file, &whole[..end]).expect("written");
            fs::write(flushed::path(&story.log_dir(log)), &flushed).expect("written");
            let torn = story.verify().logs.into_iter().find_map(|log| log.torn);
            story.open().expect("a torn tail is no damage");
            assert_eq!(story.journal().end(log).position, 2, "{log:?} cut at {end}");
            assert_eq!(story.journal().torn_tails(), torn.as_slice());
            assert_eq!(torn.is_some(), end > start);
            assert!(torn.is_none_or(|torn| {
                torn.offset == start as u64 && torn.bytes == (end - start) as u64 && torn.position == 3
            }));
            story.close();
        }
    }
}

#[test]
fn a_record_that_was_flushed_is_missed() {
    for log in [Log::Facts, Log::Clicks] {
        let (mut story, file) = closed_story(log);
        let length = fs::metadata(&file).expect("a file").len();
        fs::File::options().write(true).open(&file).and_then(|it| it.set_len(length - 1)).expect("cut");
        let Err(JournalError::Damage(damage)) = story.open() else { panic!("damage was taken for a tail") };
        assert_eq!((damage.file.as_path(), damage.position), (file.as_path(), 3));
        assert!(story.verify().all_damage().any(|found| *found == damage), "{:?}", story.verify());
    }
}

#[test]
fn every_flipped_bit_is_found_and_named() {
    let mut story = Story::with_small_segments();
    story.facts(8);
    story.clicks(8);
    story.journal().clicks().flush().expect("a flush");
    story.clicks(2);
    story.close();
    assert!(story.segments(Log::Facts).len() >= 2 && story.segments(Log::Clicks).len() >= 2);
    let copy = story.copy();
    let mut files = vec![copy.path().join("node.json")];
    for log in [Log::Facts, Log::Clicks] {
        let dir = node::log_dir(copy.path(), log);
        files.push(flushed::path(&dir));
        files.extend(story.segments(log).into_iter().map(|first| disk::segment_path(&dir, first)));
    }
    for file in files {
        let whole = fs::read(&file).expect("bytes");
        for bit in 0..whole.len() * 8 {
            flip(&file, &whole, bit);
            let report = verify(copy.path()).expect("readable");
            let named = report.all_damage().any(|damage| damage.file == file);
            // A newest segment without records was never known to be flushed.
            let mut torn = report.logs.iter().filter_map(|log| log.torn.as_ref());
            let torn = torn.any(|torn| torn.file == file && torn.offset == 0);
            assert!(named || torn && whole.len() == HEADER_BYTES, "{} bit {bit}: {report:?}", file.display());
            restore(&file, &whole, bit);
        }
    }
    assert!(verify(copy.path()).expect("readable").is_whole());
}

#[test]
fn a_flipped_bit_stops_the_start() {
    let mut story = Story::with_small_segments();
    story.facts(8);
    story.clicks(8);
    story.close();
    for log in [Log::Facts, Log::Clicks] {
        for first in story.segments(log) {
            let file = disk::segment_path(&story.log_dir(log), first);
            let whole = fs::read(&file).expect("bytes");
            // One bit of each byte is enough: the verifier above has checked all of them, and the code is the
            // same.
            for byte in 0..whole.len() {
                let bit = 8 * byte + byte % 8;
                flip(&file, &whole, bit);
                let Err(JournalError::Damage(damage)) = story.open() else {
                    panic!("{} byte {byte} was overlooked", file.display());
                };
                assert!(damage.to_string().contains(&damage.offset.to_string()));
                restore(&file, &whole, bit);
            }
        }
    }
    story.open().expect("the journal is whole again");
}

#[test]
fn files_that_are_gone_are_missed() {
    let mut story = Story::with_small_segments();
    story.facts(20);
    story.clicks(20);
    story.close();
    let facts = story.segments(Log::Facts);
    assert!(facts.len() >= 3);
    let segment = |first: u64| disk::segment_path(&node::log_dir(Path::new(""), Log::Facts), first);
    for gone in [
        Path::new("node.json").to_owned(),
        flushed::path(&node::log_dir(Path::new(""), Log::Facts)),
        segment(facts[1]),
        segment(facts[facts.len() - 1]),
    ] {
        let copy = story.copy();
        fs::remove_file(copy.path().join(&gone)).expect("removed");
        assert!(!verify(copy.path()).expect("readable").is_whole(), "{}", gone.display());
        assert!(matches!(open(copy.path()), Err(JournalError::Damage(_))), "{}", gone.display());
    }
    let archived = story.copy();
    fs::remove_file(archived.path().join(segment(facts[0]))).expect("removed");
    assert!(verify(archived.path()).expect("readable").is_whole(), "old facts may be archived");
    open(archived.path()).expect("old facts may be archived");
}

#[test]
fn another_nodes_segment_is_refused() {
    let mut story = Story::new();
    story.facts(3);
    story.close();
    let mut other = Story::new();
    other.facts(3);
    other.close();
    fs::copy(other.newest(Log::Facts), story.newest(Log::Facts)).expect("copied");
    assert!(matches!(story.open(), Err(JournalError::Damage(_))));
}

#[test]
fn closed_segments_are_checked_as_far_back_as_asked() {
    let mut story = Story::with_small_segments();
    story.facts(40);
    story.close();
    let file = disk::segment_path(&story.log_dir(Log::Facts), 1);
    let mut bytes = fs::read(&file).expect("bytes");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, bytes).expect("written");
    story.settings.verify_on_open_bytes = 500;
    story.open().expect("old segments are left to the verifier");
    story.close();
    assert_eq!(story.verify().all_damage().count(), 1);
    let mut reader = Reader::open_at(story.dir.path(), Log::Facts, 0, true).expect("a reader");
    let read = reader.next_batch(100, 1 << 20, 40);
    assert!(matches!(read, Err(JournalError::Damage(_))), "a checking reader meets it too");
}

#[test]
fn a_segment_that_was_not_yet_renamed_is_taken_up() {
    let mut story = Story::with_small_segments();
    story.clicks(20);
    story.close();
    let dir = story.log_dir(Log::Clicks);
    let firsts = story.segments(Log::Clicks);
    let newest = firsts[firsts.len() - 1];
    forget_flushes_after(story.dir.path(), Log::Clicks, newest - 1);
    fs::rename(disk::segment_path(&dir, newest), dir.join(disk::NEXT)).expect("renamed");
    story.open().expect("the segment is found");
    assert_eq!(story.journal().clicks().last_position(), 20);
    assert_eq!(story.segments(Log::Clicks), firsts);
}

#[test]
fn after_a_power_cut_that_kept_a_later_segment_only_the_unbroken_part_counts() {
    let mut story = Story::with_small_segments();
    story.clicks(20);
    story.close();
    let firsts = story.segments(Log::Clicks);
    assert!(firsts.len() >= 3);
    let middle = disk::segment_path(&story.log_dir(Log::Clicks), firsts[1]);
    forget_flushes_after(story.dir.path(), Log::Clicks, firsts[1]);
    let length = fs::metadata(&middle).expect("a file").len();
    fs::File::options().write(true).open(&middle).and_then(|it| it.set_len(length - 1)).expect("cut");
    story.open().expect("nothing that was flushed is missing");
    assert_eq!(story.journal().clicks().last_position(), firsts[2] - 2);
    assert_eq!(story.segments(Log::Clicks), firsts[..2]);
    story.clicks(10);
    assert_eq!(story.read(Log::Clicks).len() as u64, firsts[2] - 2 + 10);
    assert!(story.verify().is_whole());
}

#[test]
fn a_crash_in_the_first_start_leaves_nothing_in_the_way() {
    let dir = tempfile::tempdir().expect("a directory");
    let facts = node::make_log_dir(dir.path(), Log::Facts).expect("made");
    let stranger = NodeId::from_bits(7);
    let header = Header {
        log: Log::Facts,
        node: stranger,
        epoch: 1,
        first_position: 1,
        chain_before: genesis(Log::Facts, stranger),
    };
    let disk = disk::Disk::create_segment(&facts, &header, &FaultInjection::default()).expect("made");
    let journal = open(dir.path()).expect("the leftover is replaced");
    assert_ne!(journal.node_id(), stranger);
    drop((journal, disk));
    let file = fs::File::options().write(true).open(disk::segment_path(&facts, 1)).expect("a file");
    file.write_all_at(b"record", 68).expect("written");
    fs::remove_file(node::path(dir.path())).expect("removed");
    assert!(matches!(open(dir.path()), Err(JournalError::Damage(_))), "records without a node are damage");
}
