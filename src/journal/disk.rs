//! A segment file that is being written, and its directory.

use super::faults::FaultInjection;
use super::record::{HEADER_BYTES, Header};
use crate::files::sync_dir;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A segment is made under this name, and renamed when it gets records.
pub(super) const NEXT: &str = "next";
const SUFFIX: &str = ".seg";

/// The path of the segment whose first record has this position.
pub(super) fn segment_path(dir: &Path, first_position: u64) -> PathBuf {
    dir.join(format!("{first_position:020}{SUFFIX}"))
}

/// The first positions of a directory's segments, in order. Files with other names are ignored.
pub(super) fn segments(dir: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).filter(|it| it.len() == 20);
        found.extend(digits.and_then(|digits| digits.parse::<u64>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

/// An open segment file.
#[derive(Debug)]
pub(super) struct Disk {
    file: File,
    faults: FaultInjection,
}

impl Disk {
    pub const fn new(file: File, faults: FaultInjection) -> Self {
        Self { file, faults }
    }

    /// An empty file with the name [`NEXT`]; replaces an existing one.
    pub fn create_next(dir: &Path, faults: &FaultInjection) -> io::Result<Self> {
        faults.at_write()?;
        let file = File::options().read(true).write(true).create(true).truncate(true).open(dir.join(NEXT))?;
        // The header's block is allocated now, so that a full disk is noticed here and not when the segment
        // is needed.
        file.write_all_at(&[0; HEADER_BYTES], 0)?;
        file.sync_all()?;
        Ok(Self::new(file, faults.clone()))
    }

    /// A segment with this header and no records, durable, under its own name.
    pub fn create_segment(dir: &Path, header: &Header, faults: &FaultInjection) -> io::Result<Self> {
        let disk = Self::create_next(dir, faults)?;
        disk.write_all_at(&header.encode(), 0)?;
        disk.sync_all()?;
        fs::rename(dir.join(NEXT), segment_path(dir, header.first_position))?;
        sync_dir(dir)?;
        Ok(disk)
    }

    pub fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if let Err(error) = self.faults.at_write() {
            // Behaves like a disk that fills up in the middle of a write.
            self.file.write_all_at(&bytes[..bytes.len() / 2], offset)?;
            return Err(error);
        }
        self.file.write_all_at(bytes, offset)
    }

    pub fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }

    pub fn sync_data(&self) -> io::Result<()> {
        self.faults.at_sync()?;
        self.file.sync_data()
    }

    pub fn sync_all(&self) -> io::Result<()> {
        self.faults.at_sync()?;
        self.file.sync_all()
    }

    /// Cuts off everything after the last whole record.
    pub fn cut(&self, offset: u64) -> io::Result<()> {
        self.faults.at_cut()?;
        self.file.set_len(offset)
    }

    /// A handle to read what was written.
    pub fn reader(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}
