//! Who owns the data directory: the file `node.json`, and the lock.

use super::error::{Damage, JournalError};
use super::lives::{Life, with_another};
use super::record::{FORMAT, hex, short_hash};
use crate::domain::id::NodeId;
use crate::files::{self, sync_dir};
use crate::store::{Cursor, Log};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Where an epoch begins: records after these positions belong to it, until the next one begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochStart {
    /// The epoch.
    pub epoch: u32,
    /// Its first position in the facts log.
    pub first_position_facts: u64,
    /// Its first position in the clicks log.
    pub first_position_clicks: u64,
    /// How many of its first records in the facts log repeat the records right before them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeated_facts: u64,
    /// How many of its first records in the clicks log repeat the records right before them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeated_clicks: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl EpochStart {
    pub(super) const fn first_position(&self, log: Log) -> u64 {
        match log {
            Log::Facts => self.first_position_facts,
            Log::Clicks => self.first_position_clicks,
        }
    }

    /// The positions of the records that its first ones repeat.
    fn repeated(&self, log: Log) -> Range<u64> {
        let (first, count) = match log {
            Log::Facts => (self.first_position_facts, self.repeated_facts),
            Log::Clicks => (self.first_position_clicks, self.repeated_clicks),
        };
        first.saturating_sub(count)..first
    }
}

/// The last position of each log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ends {
    /// Of the facts log.
    pub facts: u64,
    /// Of the clicks log.
    pub clicks: u64,
}

impl Ends {
    pub(super) const fn of(&self, log: Log) -> u64 {
        match log {
            Log::Facts => self.facts,
            Log::Clicks => self.clicks,
        }
    }
}

/// How one log begins an epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Beginning {
    pub epoch: u32,
    first: u64,
    repeated: Range<u64>,
}

impl Beginning {
    /// The records that are still to be repeated, in a log that ends there.
    pub fn left(&self, last_position: u64) -> Range<u64> {
        let done = (last_position + 1).saturating_sub(self.first);
        (self.repeated.start + done).min(self.repeated.end)..self.repeated.end
    }

    /// Whether a log has more to do, if its newest segment is of `epoch` and it ends there.
    pub fn is_due(&self, epoch: u32, last_position: u64) -> bool {
        epoch < self.epoch || !self.left(last_position).is_empty()
    }
}

/// A node: its id and its epochs, oldest first; there is always one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    format: u32,
    #[serde(rename = "node_id")]
    id: NodeId,
    epochs: Vec<EpochStart>,
    /// Where the logs ended when they were opened by a process that has not met the store yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unmet: Option<Ends>,
    /// The processes that wrote the journal, oldest first; empty for those before lives were kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    lives: Vec<Life>,
}

/// The content of the file: the node, and the first 16 bytes of the SHA-256 of its compact JSON, in hex.
#[derive(Serialize, Deserialize)]
struct Checked {
    #[serde(flatten)]
    node: Node,
    check: String,
}

pub(super) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("node.json")
}

/// Whether a data directory belongs, or belonged, to a node.
pub(super) fn is_in(data_dir: &Path) -> bool {
    path(data_dir).is_file()
}

impl Node {
    /// A new node, at the start of its first epoch.
    pub(super) fn new() -> Self {
        let first = EpochStart {
            epoch: 1,
            first_position_facts: 1,
            first_position_clicks: 1,
            repeated_facts: 0,
            repeated_clicks: 0,
        };
        Self { format: FORMAT, id: NodeId::random(), epochs: vec![first], unmet: None, lives: Vec::new() }
    }

    /// The node's id.
    pub const fn id(&self) -> NodeId {
        self.id
    }

    /// The epochs of its journal, oldest first.
    pub fn epochs(&self) -> &[EpochStart] {
        &self.epochs
    }

    /// The current epoch.
    pub fn epoch(&self) -> u32 {
        // A file without an epoch is refused when it is read.
        self.epochs.last().map_or(1, |last| last.epoch)
    }

    /// The epoch that a position of a log belongs to.
    pub(crate) fn epoch_at(&self, log: Log, position: u64) -> u32 {
        let started = self.epochs.iter().rev().find(|epoch| epoch.first_position(log) <= position);
        started.map_or(0, |epoch| epoch.epoch)
    }

    /// The position after which a log's records are later than `cursor`.
    pub(super) fn resume_after(&self, log: Log, cursor: Cursor) -> u64 {
        let later = self.epochs.iter().find(|epoch| epoch.epoch > cursor.epoch);
        later.map_or(cursor.position, |later| cursor.position.min(later.first_position(log) - 1))
    }

    /// The same node in a later epoch, which begins after `last` and repeats what was journaled after
    /// `since`.
    pub(super) fn with_epoch(&self, epoch: u32, last: Ends, since: Ends) -> Self {
        let mut node = self.met();
        node.epochs.push(EpochStart {
            epoch,
            first_position_facts: last.facts + 1,
            first_position_clicks: last.clicks + 1,
            repeated_facts: last.facts.saturating_sub(since.facts),
            repeated_clicks: last.clicks.saturating_sub(since.clicks),
        });
        node
    }

    /// The same node, after it has met the store.
    pub(super) fn met(&self) -> Self {
        Self { unmet: None, ..self.clone() }
    }

    pub(super) const fn unmet(&self) -> Option<Ends> {
        self.unmet
    }

    /// The same node, after another process opened its journal, which ended there.
    pub(super) fn with_life(&self, ends: Ends) -> Self {
        let mut lives = self.lives.clone();
        // A process that wrote nothing and met no store is not known anywhere.
        lives.pop_if(|last| self.unmet.is_some() && last.after == ends);
        let lives = with_another(lives, ends);
        Self { unmet: self.unmet.or(Some(ends)), lives, ..self.clone() }
    }

    pub(super) fn lives(&self) -> &[Life] {
        &self.lives
    }

    pub(super) fn cursor_at(&self, log: Log, position: u64) -> Cursor {
        Cursor { epoch: self.epoch_at(log, position), position }
    }

    /// The position of the first record after a position that counts, or that comes next.
    pub(super) fn next_that_counts(&self, log: Log, after: u64) -> Cursor {
        let repeated = self.repeated(log);
        let mut next = after + 1;
        while let Some(range) = repeated.iter().find(|range| range.contains(&next)) {
            next = range.end;
        }
        self.cursor_at(log, next)
    }

    /// For a disk that continued after `shared`: where its journal has the copy of a record up to there, and
    /// before everything that follows.
    pub(super) fn copy_of(&self, log: Log, position: u64, shared: u64) -> Cursor {
        let mut copy = self.cursor_at(log, position);
        for epoch in self.epochs.iter().skip(1).filter(|epoch| epoch.first_position(log) > shared) {
            let range = epoch.repeated(log);
            if range.start <= copy.position + 1 && copy.position < range.end {
                let position = copy.position + (range.end - range.start);
                copy = Cursor { epoch: epoch.epoch, position };
            }
        }
        copy
    }

    /// The opposite: how many of the records up to `shared` are applied, if this disk is applied up to a
    /// cursor.
    pub(super) fn original_of(&self, log: Log, applied: Cursor, shared: u64) -> u64 {
        let mut position = self.resume_after(log, applied);
        for epoch in self.epochs.iter().rev().filter(|epoch| epoch.first_position(log) > shared) {
            let range = epoch.repeated(log);
            if epoch.epoch > applied.epoch {
                // A record that is repeated later has no effect here.
                position = position.min(range.start - 1);
            } else if position + 1 >= range.end {
                position -= range.end - range.start;
            }
        }
        position.min(shared)
    }

    /// How a log begins the current epoch.
    pub(super) fn beginning(&self, log: Log) -> Beginning {
        // A file without an epoch is refused when it is read.
        let last = self.epochs.last();
        let (first, repeated) = last.map_or((1, 1..1), |it| (it.first_position(log), it.repeated(log)));
        Beginning { epoch: self.epoch(), first, repeated }
    }

    /// Positions of a log whose records are repeated later in it: only the copies count. A later epoch may
    /// have repeated a copy too: then the older copy does not count either.
    pub(super) fn repeated(&self, log: Log) -> Vec<Range<u64>> {
        let mut all: Vec<Range<u64>> = Vec::new();
        for range in self.epochs.iter().map(|epoch| epoch.repeated(log)) {
            let count = range.end - range.start;
            let within = |known: &Range<u64>| known.start.max(range.start)..known.end.min(range.end);
            let copies = |within: Range<u64>| within.start + count..within.end + count;
            let more: Vec<_> = all.iter().map(within).filter(|it| !it.is_empty()).map(copies).collect();
            all.extend(more);
            all.extend((!range.is_empty()).then_some(range));
        }
        all
    }

    fn encode(&self) -> Vec<u8> {
        let check = hex(&short_hash(&[&json(self)]));
        let mut bytes = json(&Checked { node: self.clone(), check });
        bytes.push(b'\n');
        bytes
    }

    pub(super) fn write(&self, data_dir: &Path) -> Result<(), JournalError> {
        let path = path(data_dir);
        files::replace(&path, &self.encode()).map_err(JournalError::io("write", &path))
    }

    /// The node of a data directory; `None`: it has none yet.
    pub fn read(data_dir: &Path) -> Result<Option<Self>, JournalError> {
        let path = path(data_dir);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(JournalError::io("read", &path)(error)),
        };
        let damage = |what: String| Damage { file: path.clone(), offset: 0, position: 0, what };
        let read: Checked =
            serde_json::from_slice(&bytes).map_err(|error| damage(format!("not a node's JSON: {error}")))?;
        if read.node.encode() != bytes {
            return Err(damage("the file is not as it was written: its check does not match".into()).into());
        }
        if read.node.format != FORMAT {
            let what = format!("format {} was written by another version", read.node.format);
            return Err(damage(what).into());
        }
        let starts = &read.node.epochs;
        let rising = starts.windows(2).all(|pair| {
            pair[0].epoch < pair[1].epoch
                && pair[0].first_position_facts <= pair[1].first_position_facts
                && pair[0].first_position_clicks <= pair[1].first_position_clicks
        });
        let from_one = starts
            .first()
            .is_some_and(|it| it.epoch >= 1 && it.first_position_facts == 1 && it.first_position_clicks == 1);
        let repeat_what_is_there = starts.iter().all(|it| {
            it.repeated_facts < it.first_position_facts && it.repeated_clicks < it.first_position_clicks
        });
        if !(rising && from_one && repeat_what_is_there) {
            return Err(damage("its epochs do not rise from position 1".into()).into());
        }
        Ok(Some(read.node))
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // Numbers, strings and lists always have a JSON form.
    serde_json::to_vec(value).expect("plain data has a JSON form")
}

/// Locks the data directory for this process, until the file is closed. The file holds our process id.
pub(super) fn lock(data_dir: &Path) -> Result<File, JournalError> {
    let path = data_dir.join("lock");
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(JournalError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let holder = fs::read_to_string(&path).unwrap_or_default();
            let holder = holder.trim();
            let holder = if holder.is_empty() { "(unknown)" } else { holder }.to_owned();
            return Err(JournalError::Locked { data_dir: data_dir.to_owned(), holder });
        }
        Err(TryLockError::Error(error)) => return Err(JournalError::io("lock", &path)(error)),
    }
    // The id is for people: start even if the disk is too full to hold it.
    let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    if let Err(error) = written {
        tracing::warn!(path = %path.display(), %error, "the lock does not name this process");
    }
    Ok(file)
}

/// The directory of a log; makes it if necessary.
pub(super) fn make_log_dir(data_dir: &Path, log: Log) -> Result<PathBuf, JournalError> {
    let dir = log_dir(data_dir, log);
    if dir.is_dir() {
        return Ok(dir);
    }
    fs::create_dir_all(&dir).map_err(JournalError::io("create", &dir))?;
    for made in dir.ancestors().take(3) {
        sync_dir(made).map_err(JournalError::io("sync", made))?;
    }
    Ok(dir)
}

/// The directory of a log: `journal/clicks` or `journal/facts`.
pub(super) fn log_dir(data_dir: &Path, log: Log) -> PathBuf {
    data_dir.join("journal").join(log.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Node {
        let last = Ends { facts: 400, clicks: 9_000 };
        Node { id: NodeId::from_bits(5), ..Node::new() }.with_epoch(3, last, last)
    }

    #[test]
    fn a_node_has_these_bytes() {
        let expected = concat!(
            r#"{"format":1,"node_id":"node_0000000000005","epochs":["#,
            r#"{"epoch":1,"first_position_facts":1,"first_position_clicks":1},"#,
            r#"{"epoch":3,"first_position_facts":401,"first_position_clicks":9001}],"#,
            r#""check":"ddebab7d5e626bee71b47cbe69ed00d7"}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(node().encode()).expect("JSON is UTF-8"), expected);
    }

    #[test]
    fn a_node_that_repeats_records_and_has_not_met_the_store_has_these_bytes() {
        let (last, since) = (Ends { facts: 410, clicks: 9_001 }, Ends { facts: 408, clicks: 9_001 });
        let node = Node { unmet: Some(last), ..node().with_epoch(4, last, since) };
        let text = String::from_utf8(node.encode()).expect("JSON is UTF-8");
        let expected = concat!(
            r#"{"epoch":4,"first_position_facts":411,"first_position_clicks":9002,"repeated_facts":2}],"#,
            r#""unmet":{"facts":410,"clicks":9001},"check":""#
        );
        assert!(text.contains(expected), "{text}");
        let dir = tempfile::tempdir().expect("a directory");
        node.write(dir.path()).expect("write");
        assert_eq!(Node::read(dir.path()).expect("read"), Some(node.clone()));
        assert_eq!(node.repeated(Log::Facts).into_iter().flatten().collect::<Vec<u64>>(), [409, 410]);
        assert_eq!(node.repeated(Log::Clicks), []);
        for (last, left) in [(410, 409..411), (411, 410..411), (412, 411..411), (900, 411..411)] {
            assert_eq!(node.beginning(Log::Facts).left(last), left, "{last}");
        }
    }

    #[test]
    fn every_flipped_bit_of_a_node_is_found() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(Node::read(dir.path()).expect("read"), None);
        let whole = node().encode();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(path(dir.path()), bytes).expect("write");
            assert!(matches!(Node::read(dir.path()), Err(JournalError::Damage(_))), "bit {bit}");
        }
        node().write(dir.path()).expect("write");
        assert_eq!(Node::read(dir.path()).expect("read"), Some(node()));
    }

    #[test]
    fn a_store_that_remembers_more_than_the_journal_has_is_resumed_at_the_new_epoch() {
        let node = node();
        assert_eq!(node.epoch(), 3);
        for (cursor, after) in [
            (Cursor::default(), 0),
            (Cursor { epoch: 1, position: 300 }, 300),
            (Cursor { epoch: 1, position: 600 }, 400),
            (Cursor { epoch: 2, position: 600 }, 400),
            (Cursor { epoch: 3, position: 401 }, 401),
        ] {
            assert_eq!(node.resume_after(Log::Facts, cursor), after, "{cursor:?}");
        }
        assert_eq!(node.epoch_at(Log::Facts, 400), 1);
        assert_eq!(node.epoch_at(Log::Facts, 401), 3);
    }
}
