//! Opens a log after any kind of end: distinguishes a torn tail from damage, and finds where the next record
//! goes.
//!
//! - A segment `next` that has a whole header and continues the log was not renamed in time: it is renamed
//!   now.
//! - The headers of all segments are checked, and every record of the newest segments: those within
//!   [`Settings::verify_on_open_bytes`](super::Settings) and those with anything not known to be flushed.
//! - A record that is not whole, or missing, at or below the flushed position is [`Damage`]. Above it, it was
//!   never acknowledged: it is cut off, with everything after it.
//! - The rest is flushed, and then known to be flushed.

use super::disk::{NEXT, segment_path, segments};
use super::error::{Damage, JournalError, TornTail};
use super::flushed::{self, Flushed, Mark};
use super::node::Node;
use super::record::{Chain, HEADER_BYTES, Header, genesis};
use super::walk::{Step, Walk};
use crate::files::sync_dir;
use crate::store::Log;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A log as it was found: where the next record goes.
#[derive(Debug)]
pub(super) struct Recovered {
    pub file: File,
    pub header: Header,
    pub offset: u64,
    /// The last record.
    pub last: Mark,
    pub flushed: Flushed,
    pub torn: Option<TornTail>,
}

/// Where reading the segments ended.
struct Ended {
    header: Header,
    offset: u64,
    last: Mark,
    torn: Option<(usize, TornTail)>,
}

/// Opens an existing log.
pub(super) fn recover(
    dir: &Path,
    log: Log,
    node: &Node,
    verify_bytes: u64,
) -> Result<Recovered, JournalError> {
    let reading = flushed::read(dir)?;
    if let Some(damage) = &reading.damage {
        tracing::warn!(%damage, "an older flush is taken for the last");
    }
    adopt_next(dir, log, reading.mark)?;
    let firsts = segments(dir).map_err(JournalError::io("list", dir))?;
    let ended = check(dir, log, node, &firsts, reading.mark, verify_bytes)?;
    let mut kept = firsts;
    if let Some((index, torn)) = &ended.torn {
        tracing::warn!(
            file = %torn.file.display(), offset = torn.offset, position = torn.position,
            bytes = torn.bytes, "a torn tail is cut off: it was never known to be flushed"
        );
        cut(dir, &kept, *index, ended.offset)?;
        kept.truncate(index + 1);
    }
    for first in kept.iter().rev() {
        let path = segment_path(dir, *first);
        let synced = File::open(&path).and_then(|file| file.sync_all());
        synced.map_err(JournalError::io("sync", &path))?;
        if *first <= reading.mark.position {
            break;
        }
    }
    let path = flushed::path(dir);
    let mut flushed = Flushed::open(dir, &reading).map_err(JournalError::io("open", &path))?;
    if reading.damage.is_some() || reading.mark != ended.last {
        let written = flushed.write(ended.last).and_then(|()| flushed.sync());
        written.map_err(JournalError::io("write", &path))?;
    }
    let path = segment_path(dir, ended.header.first_position);
    let file = File::options().read(true).write(true).open(&path);
    Ok(Recovered {
        file: file.map_err(JournalError::io("open", &path))?,
        header: ended.header,
        offset: ended.offset,
        last: ended.last,
        flushed,
        torn: ended.torn.map(|(_, torn)| torn),
    })
}

/// A kill between a segment's first record and its renaming leaves it with the name [`NEXT`].
fn adopt_next(dir: &Path, log: Log, flushed: Mark) -> Result<(), JournalError> {
    let path = dir.join(NEXT);
    let Ok(file) = File::open(&path) else { return Ok(()) };
    let mut bytes = [0; HEADER_BYTES];
    let header = file.read_exact_at(&mut bytes, 0).ok().and_then(|()| Header::decode(&bytes, log).ok());
    match header {
        Some(header) if header.first_position > flushed.position && !has_records(dir, &header) => {
            let named = segment_path(dir, header.first_position);
            fs::rename(&path, &named).map_err(JournalError::io("rename", &path))?;
        }
        _ => fs::remove_file(&path).map_err(JournalError::io("remove", &path))?,
    }
    sync_dir(dir).map_err(JournalError::io("sync", dir))
}

/// Whether a segment with this header's name has records: only an empty one may be replaced.
fn has_records(dir: &Path, header: &Header) -> bool {
    let named = fs::metadata(segment_path(dir, header.first_position));
    named.is_ok_and(|file| file.len() > HEADER_BYTES as u64)
}

/// Reads the segments as the module says. What can't be verified is damage or a torn tail.
fn check(
    dir: &Path,
    log: Log,
    node: &Node,
    firsts: &[u64],
    flushed: Mark,
    verify_bytes: u64,
) -> Result<Ended, JournalError> {
    let Some((&oldest, &newest)) = firsts.first().zip(firsts.last()) else {
        let what = format!("no segment is left of {} records", flushed.position);
        return Err(Damage { file: dir.to_owned(), offset: 0, position: flushed.position, what }.into());
    };
    let deep_from = first_to_verify(dir, firsts, flushed.position, verify_bytes)?;
    let mut before: Option<Walk> = None;
    for (index, &first) in firsts.iter().enumerate() {
        // The name is enough to identify a segment that was never known to be flushed.
        let unpromised = first > flushed.position && first != oldest;
        let mut walk = match Walk::open(dir, log, first).and_then(|walk| owned(walk, log, node)) {
            Ok(walk) => walk,
            Err(JournalError::Damage(damage)) if unpromised && index > deep_from => {
                return torn_before(dir, firsts, index, before, flushed, damage.position);
            }
            Err(error) => return Err(error),
        };
        if let Some(last) = before.take_if(|_| index > deep_from) {
            if last.position < first && last.position > flushed.position {
                return torn_before(dir, firsts, index, Some(last), flushed, first);
            }
            if last.position != first || last.chain != walk.header.chain_before {
                let what = format!("segment {first} does not continue the one before");
                return Err(last.damage(&what).into());
            }
        } else if first == 1 && walk.header.chain_before != genesis(log, node.id()) {
            return Err(walk.damage("the log does not start as this node's does").into());
        }
        if index < deep_from {
            continue;
        }
        loop {
            check_mark(&walk, flushed)?;
            match walk.step(true)? {
                Step::Record(_) => {}
                Step::End => break,
                Step::Bad(what) => {
                    if walk.position <= flushed.position {
                        return Err(walk.damage(what).into());
                    }
                    return torn_in(dir, firsts, index, &walk);
                }
            }
        }
        before = Some(walk);
    }
    // The loop ran at least once and verified the records of its last segment: `newest` is always verified.
    let last = before.expect("the newest segment was walked through");
    debug_assert_eq!(last.header.first_position, newest);
    if last.position <= flushed.position {
        let what = format!("the log ends here, though {} was flushed", flushed.position);
        return Err(last.damage(&what).into());
    }
    Ok(ended(&last, None))
}

/// The first segment whose records are checked one by one.
fn first_to_verify(dir: &Path, firsts: &[u64], flushed: u64, bytes: u64) -> Result<usize, JournalError> {
    let mut seen = 0;
    for (index, &first) in firsts.iter().enumerate().rev() {
        let path = segment_path(dir, first);
        seen += fs::metadata(&path).map_err(JournalError::io("read", &path))?.len();
        if seen >= bytes && first <= flushed.max(1) {
            return Ok(index);
        }
    }
    Ok(0)
}

/// Refuses a segment of another node, or with another epoch than its position's.
fn owned(walk: Walk, log: Log, node: &Node) -> Result<Walk, JournalError> {
    if walk.header.node != node.id() {
        let what = format!("the segment is of {}, the directory of {}", walk.header.node, node.id());
        return Err(walk.damage(&what).into());
    }
    let (epoch, first) = (walk.header.epoch, walk.header.first_position);
    // A segment that was empty when an epoch began is replaced only after node.json.
    let begun = node.epochs().iter().any(|it| it.epoch == epoch && it.first_position(log) <= first);
    let over = node.epochs().iter().any(|it| it.epoch > epoch && it.first_position(log) < first);
    if !begun || over {
        return Err(walk.damage("the segment's epoch is not the one of its position").into());
    }
    Ok(walk)
}

/// Checks that the record that `flushed` names is still the same.
fn check_mark(walk: &Walk, flushed: Mark) -> Result<(), JournalError> {
    if walk.position == flushed.position + 1 && walk.chain != flushed.chain {
        let what = "another record was flushed as the one before this place";
        return Err(walk.damage(what).into());
    }
    Ok(())
}

fn ended(walk: &Walk, torn: Option<(usize, TornTail)>) -> Ended {
    let last = Mark { position: walk.position - 1, chain: walk.chain };
    Ended { header: walk.header, offset: walk.offset, last, torn }
}

/// The log ends in the segment `index`, before a record that is not whole.
fn torn_in(dir: &Path, firsts: &[u64], index: usize, walk: &Walk) -> Result<Ended, JournalError> {
    let bytes = bytes_from(dir, firsts, index, walk.offset)?;
    let torn = TornTail { file: walk.path.clone(), offset: walk.offset, position: walk.position, bytes };
    Ok(ended(walk, Some((index, torn))))
}

/// The log ends before the segment `index`, which does not continue it.
fn torn_before(
    dir: &Path,
    firsts: &[u64],
    index: usize,
    before: Option<Walk>,
    flushed: Mark,
    position: u64,
) -> Result<Ended, JournalError> {
    match before {
        Some(before) if before.position > flushed.position => torn_in(dir, firsts, index - 1, &before),
        _ => {
            let what = "the segments before do not reach the flushed position".to_owned();
            Err(Damage { file: segment_path(dir, firsts[index]), offset: 0, position, what }.into())
        }
    }
}

fn bytes_from(dir: &Path, firsts: &[u64], index: usize, offset: u64) -> Result<u64, JournalError> {
    let mut bytes = 0;
    for &first in &firsts[index..] {
        let path = segment_path(dir, first);
        bytes += fs::metadata(&path).map_err(JournalError::io("read", &path))?.len();
    }
    Ok(bytes.saturating_sub(offset))
}

/// Cuts the log off in the segment `index`. Later segments are removed first, newest first, so that a crash
/// in between leaves a torn tail again.
fn cut(dir: &Path, firsts: &[u64], index: usize, offset: u64) -> Result<(), JournalError> {
    for &first in firsts[index + 1..].iter().rev() {
        let path = segment_path(dir, first);
        fs::remove_file(&path).map_err(JournalError::io("remove", &path))?;
    }
    sync_dir(dir).map_err(JournalError::io("sync", dir))?;
    let path = segment_path(dir, firsts[index]);
    let file = File::options().write(true).open(&path);
    let cut = file.and_then(|file| file.set_len(offset).and_then(|()| file.sync_all()));
    cut.map_err(JournalError::io("cut", &path))
}

/// Makes a log that does not exist yet: an empty first segment, and nothing flushed.
pub(super) fn create(dir: &Path, log: Log, node: &Node) -> Result<(), JournalError> {
    let start: Chain = genesis(log, node.id());
    let header = Header { log, node: node.id(), epoch: node.epoch(), first_position: 1, chain_before: start };
    super::disk::Disk::create_segment(dir, &header, &super::faults::FaultInjection::default())
        .map_err(JournalError::io("create a segment in", dir))?;
    Flushed::create(dir, Mark { position: 0, chain: start })
        .map_err(JournalError::io("create", &flushed::path(dir)))
}

/// Removes what an interrupted first start left before `node.json` was written. Records there mean that the
/// file was lost, which is damage.
pub(super) fn clear_unused(dir: &Path, node_file: &Path) -> Result<(), JournalError> {
    for first in segments(dir).map_err(JournalError::io("list", dir))? {
        let path = segment_path(dir, first);
        let length = fs::metadata(&path).map_err(JournalError::io("read", &path))?.len();
        if first != 1 || length > HEADER_BYTES as u64 {
            let what = format!("the file is missing, though {} has records", path.display());
            return Err(Damage { file: node_file.to_owned(), offset: 0, position: first, what }.into());
        }
        fs::remove_file(&path).map_err(JournalError::io("remove", &path))?;
    }
    Ok(())
}
