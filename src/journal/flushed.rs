//! The file `flushed` beside a log's segments: how much of the log is known to be on the disk.
//!
//! Two slots of 40 bytes, written alternately, so that a write torn by a power cut leaves the other: position
//! (u64, little-endian), chain hash of the record there (16 bytes), and the first 16 bytes of the SHA-256 of
//! these 24. The whole slot with the higher position counts.
//!
//! It is written after each flush and before the flush is acknowledged, so after a kill of the process it is
//! never behind an acknowledgement. It is itself flushed at most a second later: after a power cut it may
//! name an earlier flush, and a record that is both newer and damaged then reads as a torn tail.

use super::error::{Damage, JournalError};
use super::record::{Chain, part, short_hash};
use crate::files::{self, sync_dir};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const NAME: &str = "flushed";
const SLOT: usize = 40;

/// A place in a log: a record, by position and chain hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub position: u64,
    pub chain: Chain,
}

impl Mark {
    fn encode(self) -> [u8; SLOT] {
        let mut slot = [0; SLOT];
        slot[..8].copy_from_slice(&self.position.to_le_bytes());
        slot[8..24].copy_from_slice(&self.chain);
        let check = short_hash(&[&slot[..24]]);
        slot[24..].copy_from_slice(&check);
        slot
    }

    fn decode(slot: &[u8]) -> Option<Self> {
        let whole = short_hash(&[&slot[..24]]) == part::<16>(slot, 24);
        whole.then(|| Self { position: u64::from_le_bytes(part(slot, 0)), chain: part(slot, 8) })
    }
}

/// The content of the file.
#[derive(Debug)]
pub(super) struct Reading {
    pub mark: Mark,
    /// The slot that counts.
    slot: usize,
    /// The other slot is not whole: as far as is known, an older flush counts.
    pub damage: Option<Damage>,
}

pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join(NAME)
}

pub(super) fn read(dir: &Path) -> Result<Reading, JournalError> {
    let path = path(dir);
    let damage = |offset: usize, what: &str| Damage {
        file: path.clone(),
        offset: offset as u64,
        position: 0,
        what: what.to_owned(),
    };
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(damage(0, "the file is missing, so nobody knows how far the log was flushed").into());
        }
        Err(error) => return Err(JournalError::io("read", &path)(error)),
    };
    if bytes.len() != 2 * SLOT {
        return Err(damage(0, "the file has not the length of two slots").into());
    }
    let (first, second) = (Mark::decode(&bytes[..SLOT]), Mark::decode(&bytes[SLOT..]));
    let reading = |slot: usize, mark: Mark, damage| Reading { mark, slot, damage };
    match (first, second) {
        (Some(first), Some(second)) if second.position > first.position => Ok(reading(1, second, None)),
        (Some(first), Some(_)) => Ok(reading(0, first, None)),
        (Some(first), None) => Ok(reading(0, first, Some(damage(SLOT, "a slot is not whole")))),
        (None, Some(second)) => Ok(reading(1, second, Some(damage(0, "a slot is not whole")))),
        (None, None) => Err(damage(0, "neither slot is whole").into()),
    }
}

/// The file, open for writing.
#[derive(Debug)]
pub(super) struct Flushed {
    file: File,
    slot: usize,
    /// Written since the file itself was last flushed.
    dirty: bool,
}

impl Flushed {
    /// A new file for a log that starts with `mark`.
    pub fn create(dir: &Path, mark: Mark) -> io::Result<()> {
        let slot = mark.encode();
        files::replace(&path(dir), &[slot, slot].concat())?;
        sync_dir(dir)
    }

    pub fn open(dir: &Path, reading: &Reading) -> io::Result<Self> {
        let file = File::options().write(true).open(path(dir))?;
        Ok(Self { file, slot: reading.slot, dirty: false })
    }

    /// Writes a mark over the older slot.
    pub fn write(&mut self, mark: Mark) -> io::Result<()> {
        let slot = 1 - self.slot;
        self.file.write_all_at(&mark.encode(), (slot * SLOT) as u64)?;
        self.slot = slot;
        self.dirty = true;
        Ok(())
    }

    /// Flushes the file itself, if it changed.
    pub fn sync(&mut self) -> io::Result<()> {
        if self.dirty {
            self.file.sync_data()?;
            self.dirty = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::hex;
    use super::*;

    fn mark(position: u64) -> Mark {
        Mark { position, chain: *b"0123456789abcdef" }
    }

    #[test]
    fn a_slot_has_these_bytes() {
        assert_eq!(
            hex(&mark(258).encode()),
            "0201000000000000303132333435363738396162636465669dcae70b4a8e866ea0a1316b62a75486"
        );
    }

    #[test]
    fn the_later_whole_slot_counts_and_a_damaged_one_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        Flushed::create(dir.path(), mark(0)).expect("create");
        let mut file = Flushed::open(dir.path(), &read(dir.path()).expect("read")).expect("open");
        for position in 1..=3 {
            file.write(mark(position)).expect("write");
            assert_eq!(read(dir.path()).expect("read").mark, mark(position));
        }
        let whole = std::fs::read(path(dir.path())).expect("bytes");
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(path(dir.path()), &bytes).expect("write");
            let reading = read(dir.path()).expect("one slot is left");
            assert!(reading.damage.is_some() && (2..=3).contains(&reading.mark.position), "bit {bit}");
        }
        std::fs::write(path(dir.path()), &whole[1..]).expect("write");
        assert!(matches!(read(dir.path()), Err(JournalError::Damage(_))));
    }
}
