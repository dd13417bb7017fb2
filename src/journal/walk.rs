//! Reads the records of one segment file, checking each against the chain.

use super::disk::segment_path;
use super::error::{Damage, JournalError};
use super::record::{Chain, HEADER_BYTES, Header, RECORD_HEAD, RecordHead, limit, link, part};
use crate::store::Log;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The largest piece read at once: large enough that a system call costs little per record.
const CHUNK: usize = 256 << 10;
/// The first piece read; the size doubles each time.
const FIRST_CHUNK: usize = 8 << 10;

/// The next item in a segment.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// A record's payload; the walk is now after it.
    Record(&'a [u8]),
    /// The file ends here, after a whole record.
    End,
    /// This is not the expected record; the walk stays before it.
    Bad(&'static str),
}

/// What is next in the buffer.
enum Peek {
    /// A record of this size with its head, unchecked.
    Whole(RecordHead, usize),
    End,
    Bad(&'static str),
}

/// A place in a segment, before a record.
#[derive(Debug)]
pub(super) struct Walk {
    file: File,
    pub path: PathBuf,
    pub header: Header,
    /// Where the next record starts.
    pub offset: u64,
    /// The next record's position.
    pub position: u64,
    /// The chain hash of the record before.
    pub chain: Chain,
    buffer: Vec<u8>,
    at: usize,
    filled: usize,
}

impl Walk {
    /// The start of the segment with this first position.
    pub fn open(dir: &Path, log: Log, first_position: u64) -> Result<Self, JournalError> {
        let path = segment_path(dir, first_position);
        let file = File::open(&path).map_err(JournalError::io("open", &path))?;
        Self::start(file, path, log, first_position)
    }

    /// The start of a segment in an open file.
    pub fn start(file: File, path: PathBuf, log: Log, first_position: u64) -> Result<Self, JournalError> {
        let damage = |what: String| Damage { file: path.clone(), offset: 0, position: first_position, what };
        let mut bytes = [0; HEADER_BYTES];
        match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(damage("the header ends early".into()).into());
            }
            Err(error) => return Err(JournalError::io("read", &path)(error)),
        }
        let header = Header::decode(&bytes, log).map_err(damage)?;
        if header.first_position != first_position {
            let what = format!("the header names position {}, the file another", header.first_position);
            return Err(damage(what).into());
        }
        Ok(Self::resume(file, path, header, HEADER_BYTES as u64, first_position, header.chain_before))
    }

    /// Continues at a known place within a segment.
    pub const fn resume(
        file: File,
        path: PathBuf,
        header: Header,
        offset: u64,
        position: u64,
        chain: Chain,
    ) -> Self {
        Self { file, path, header, offset, position, chain, buffer: Vec::new(), at: 0, filled: 0 }
    }

    /// The next record. Without `verify` its checksum is not checked.
    pub fn step(&mut self, verify: bool) -> Result<Step<'_>, JournalError> {
        let (head, size) = match self.peek()? {
            Peek::Whole(head, size) => (head, size),
            Peek::End => return Ok(Step::End),
            Peek::Bad(what) => return Ok(Step::Bad(what)),
        };
        let payload = self.at + RECORD_HEAD..self.at + size;
        if verify
            && link(&self.chain, self.header.epoch, self.position, &self.buffer[payload.clone()])
                != head.chain
        {
            return Ok(Step::Bad("the record's checksum does not match"));
        }
        self.advance(&head, size);
        Ok(Step::Record(&self.buffer[payload]))
    }

    /// Skips a record whose checksum does not match, trusting its length, so that the following ones can be
    /// checked too; `false` if its length can't be right either.
    pub fn step_over(&mut self) -> Result<bool, JournalError> {
        let Peek::Whole(head, size) = self.peek()? else { return Ok(false) };
        self.advance(&head, size);
        Ok(true)
    }

    fn advance(&mut self, head: &RecordHead, size: usize) {
        self.at += size;
        self.offset += size as u64;
        self.position += 1;
        self.chain = head.chain;
    }

    fn peek(&mut self) -> Result<Peek, JournalError> {
        match self.fill(RECORD_HEAD)? {
            0 => return Ok(Peek::End),
            have if have < RECORD_HEAD => return Ok(Peek::Bad("the record's head ends early")),
            _ => {}
        }
        let head = RecordHead::decode(&part(&self.buffer, self.at));
        if head.position != self.position {
            return Ok(Peek::Bad("the record has another position"));
        }
        if head.length == 0 || head.length > limit(self.header.log) {
            return Ok(Peek::Bad("the record has an impossible length"));
        }
        let size = RECORD_HEAD + head.length;
        if self.fill(size)? < size {
            return Ok(Peek::Bad("the record ends early"));
        }
        Ok(Peek::Whole(head, size))
    }

    /// Fills the buffer with at least `need` bytes, unless the file ends before; returns how many it has.
    fn fill(&mut self, need: usize) -> Result<usize, JournalError> {
        let have = self.filled - self.at;
        if have >= need {
            return Ok(have);
        }
        self.buffer.copy_within(self.at..self.filled, 0);
        (self.at, self.filled) = (0, have);
        let room = need.max((2 * self.buffer.len()).clamp(FIRST_CHUNK, CHUNK));
        if self.buffer.len() < room {
            self.buffer.resize(room, 0);
        }
        while self.filled < need {
            let from = self.offset + self.filled as u64;
            match self.file.read_at(&mut self.buffer[self.filled..], from) {
                Ok(0) => break,
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(JournalError::io("read", &self.path)(error)),
            }
        }
        Ok(self.filled)
    }

    /// Whether the file ends here.
    pub fn is_empty(&self) -> Result<bool, JournalError> {
        let length = self.file.metadata().map_err(JournalError::io("read", &self.path))?.len();
        Ok(length <= self.offset)
    }

    /// Drops the buffer, so that bytes that may have been written since are read again.
    pub const fn forget(&mut self) {
        (self.at, self.filled) = (0, 0);
    }

    /// The damage that a [`Step::Bad`] means at this place.
    pub fn damage(&self, what: &str) -> Damage {
        Damage {
            file: self.path.clone(),
            offset: self.offset,
            position: self.position,
            what: what.to_owned(),
        }
    }
}
