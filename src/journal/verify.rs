//! Proves that a journal is as it was written: reads everything, writes nothing, needs no lock.

use super::disk::segments;
use super::error::{Damage, JournalError, TornTail};
use super::flushed::{self, Mark};
use super::node::{self, Node, log_dir};
use super::record::{Chain, genesis, hex};
use super::walk::{Step, Walk};
use crate::domain::id::NodeId;
use crate::store::{Cursor, Log};
use serde::Serialize;
use std::io;
use std::path::Path;

/// How many damaged places are listed; a log with more has other problems.
const MAX_NAMED: usize = 100;

/// What was found in a data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The node whose journal it is; `None`: `node.json` can't be read.
    pub node_id: Option<NodeId>,
    /// What is wrong with `node.json`.
    pub damage: Vec<Damage>,
    /// Facts, then clicks.
    pub logs: Vec<LogReport>,
}

/// What was found in a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogReport {
    /// Which log.
    pub log: Log,
    /// Segment files.
    pub segments: u64,
    /// Whole records.
    pub records: u64,
    /// Their bytes, including heads.
    pub bytes: u64,
    /// The first position that is still kept.
    pub first_position: u64,
    /// The last whole record.
    pub last: Cursor,
    /// Its chain hash, in hex: kept elsewhere, it shows later whether anything up to here was changed.
    pub head: String,
    /// The last position known to be on the disk; `None`: the file `flushed` can't be read.
    pub flushed_position: Option<u64>,
    /// What the next start would cut off, or what is being written right now.
    pub torn: Option<TornTail>,
    /// Every place that differs from what was written, at most a hundred.
    pub damage: Vec<Damage>,
}

impl Report {
    /// Whether everything is as it was written.
    pub fn is_whole(&self) -> bool {
        self.all_damage().next().is_none()
    }
    /// Every damaged place.
    pub fn all_damage(&self) -> impl Iterator<Item = &Damage> {
        self.damage.iter().chain(self.logs.iter().flat_map(|log| &log.damage))
    }
}

/// Reads both logs completely. An error means that a file could not be read at all.
pub fn verify(data_dir: &Path) -> Result<Report, JournalError> {
    let mut damage = Vec::new();
    let node = or_damage(Node::read(data_dir), &mut damage)?.flatten();
    if node.is_none() && damage.is_empty() {
        let what = "the file is missing".to_owned();
        damage.push(Damage { file: node::path(data_dir), offset: 0, position: 0, what });
    }
    let logs = [Log::Facts, Log::Clicks].map(|log| verify_log(data_dir, log, node.as_ref()));
    let logs = logs.into_iter().collect::<Result<_, _>>()?;
    Ok(Report { node_id: node.map(|node| node.id()), damage, logs })
}

/// The chain hash of the record at a position, in hex, to compare with one kept elsewhere; `None`: there is
/// no such record any more, or not yet. It is a proof only together with [`verify`].
pub fn hash_at(data_dir: &Path, log: Log, position: u64) -> Result<Option<String>, JournalError> {
    let reader = super::Reader::open_at(data_dir, log, position, true)?;
    Ok((reader.next_position() == position + 1).then(|| hex(&reader.chain_before())))
}

fn or_damage<T>(
    result: Result<T, JournalError>,
    damage: &mut Vec<Damage>,
) -> Result<Option<T>, JournalError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(JournalError::Damage(found)) => {
            if damage.len() < MAX_NAMED {
                damage.push(found);
            }
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn verify_log(data_dir: &Path, log: Log, node: Option<&Node>) -> Result<LogReport, JournalError> {
    let dir = log_dir(data_dir, log);
    let mut damage = Vec::new();
    let reading = or_damage(flushed::read(&dir), &mut damage)?;
    damage.extend(reading.as_ref().and_then(|reading| reading.damage.clone()));
    let flushed = reading.map(|reading| reading.mark);
    let firsts = segments(&dir).map_err(JournalError::io("list", &dir))?;
    let mut survey = Survey {
        node,
        flushed,
        expected: None,
        report: LogReport {
            log,
            segments: 0,
            records: 0,
            bytes: 0,
            first_position: firsts.first().copied().unwrap_or(0),
            last: Cursor::default(),
            head: String::new(),
            flushed_position: flushed.map(|mark| mark.position),
            torn: None,
            damage,
        },
    };
    for first in firsts {
        match Walk::open(&dir, log, first) {
            // Old clicks may be removed meanwhile.
            Err(JournalError::Io { source, .. })
                if source.kind() == io::ErrorKind::NotFound && survey.report.records == 0 => {}
            opened => survey.segment(opened)?,
        }
        if survey.report.torn.is_some() {
            break;
        }
    }
    Ok(survey.finish(&dir))
}

/// The reading of a log, and what it found.
struct Survey<'a> {
    node: Option<&'a Node>,
    flushed: Option<Mark>,
    /// The next position and the chain hash before it; `None`: not known at the start, or after damage.
    expected: Option<(u64, Chain)>,
    report: LogReport,
}

impl Survey<'_> {
    /// Without a readable `flushed`, everything counts as acknowledged.
    fn was_promised(&self, position: u64) -> bool {
        self.flushed.is_none_or(|mark| position <= mark.position)
    }

    fn name(&mut self, damage: Damage) {
        if self.report.damage.len() < MAX_NAMED {
            self.report.damage.push(damage);
        }
    }

    fn segment(&mut self, opened: Result<Walk, JournalError>) -> Result<(), JournalError> {
        self.report.segments += 1;
        let mut walk = match opened {
            Ok(walk) => walk,
            Err(JournalError::Damage(damage)) => {
                self.not_whole(damage, 0);
                self.expected = None;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if let Some(damage) = self.wrong_header(&walk) {
            self.not_whole(damage, 0);
            if self.report.torn.is_some() {
                return Ok(());
            }
        }
        self.records(&mut walk)
    }

    fn records(&mut self, walk: &mut Walk) -> Result<(), JournalError> {
        loop {
            if let Some(mark) = self.flushed
                && walk.position == mark.position + 1
                && walk.chain != mark.chain
            {
                self.name(walk.damage("another record was flushed as the one before this place"));
            }
            let start = walk.offset;
            let what = match walk.step(true)? {
                Step::Record(_) => {
                    self.report.records += 1;
                    self.report.bytes += walk.offset - start;
                    let position = walk.position - 1;
                    self.report.last = Cursor { epoch: walk.header.epoch, position };
                    self.report.head = hex(&walk.chain);
                    continue;
                }
                Step::End => break,
                Step::Bad(what) => what,
            };
            let length = std::fs::metadata(&walk.path).map_or(start, |file| file.len());
            self.not_whole(walk.damage(what), length.saturating_sub(start));
            if self.report.torn.is_some() || !walk.step_over()? {
                self.expected = None;
                return Ok(());
            }
        }
        self.expected = Some((walk.position, walk.chain));
        Ok(())
    }

    /// A torn tail if it was never known to be flushed, otherwise damage.
    fn not_whole(&mut self, damage: Damage, bytes: u64) {
        if self.was_promised(damage.position) {
            return self.name(damage);
        }
        let Damage { file, offset, position, .. } = damage;
        self.report.torn = Some(TornTail { file, offset, position, bytes });
    }

    fn wrong_header(&self, walk: &Walk) -> Option<Damage> {
        let header = &walk.header;
        if let Some(node) = self.node {
            if header.node != node.id() {
                return Some(walk.damage(&format!("the segment is of {}", header.node)));
            }
            if header.epoch != node.epoch_at(header.log, header.first_position) {
                return Some(walk.damage("the segment's epoch is not the one of its position"));
            }
        }
        let first = header.first_position == 1;
        let expected = self.expected.or_else(|| first.then(|| (1, genesis(header.log, header.node))));
        let (position, chain) = expected?;
        if (header.first_position, header.chain_before) == (position, chain) {
            return None;
        }
        let what = format!("position {position} should follow here, in a segment of its own");
        Some(Damage { position, ..walk.damage(&what) })
    }

    fn finish(mut self, dir: &Path) -> LogReport {
        let reached = self.expected.map(|(next, _)| next - 1);
        let flushed = self.flushed.map_or(0, |mark| mark.position);
        if self.report.segments == 0 || reached.is_some_and(|reached| reached < flushed) {
            let what = format!("the log ends before position {flushed}, which was flushed");
            let position = self.report.last.position + 1;
            self.name(Damage { file: dir.to_owned(), offset: 0, position, what });
        }
        self.report
    }
}
