//! Only its owner may read a data directory: it holds names, addresses, hashes of passwords, keys.
//!
//! New files are private because of the process's mask ([`make_files_private`]); those of an earlier start
//! are [corrected](tighten). Only the program's own files are changed: the directory may hold other things.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What this program puts into a data directory; a name that ends in `*` is a prefix.
const OURS: [&str; 9] = [
    "journal",
    "keys",
    "outbox",
    "store.sqlite*",
    "serve.json*",
    "node.json*",
    "links.jsonl*",
    "peers.json*",
    "lock",
];
const OTHERS: u32 = 0o077;

/// From now on, only their owner can access files and directories that this process makes.
pub fn make_files_private() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(OTHERS));
}

/// The program's files in a data directory that others can access, each directory before its content. Links
/// are not followed.
pub fn open_to_others(data_dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(data_dir).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_ours = |ours: &str| match ours.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == *ours,
        };
        if OURS.iter().any(|ours| is_ours(ours)) {
            look(&entry.path(), &mut found);
        }
    }
    found
}

fn look(path: &Path, found: &mut Vec<PathBuf>) {
    let Ok(metadata) = path.symlink_metadata() else { return };
    if metadata.is_symlink() {
        return;
    }
    if metadata.permissions().mode() & OTHERS != 0 {
        found.push(path.to_owned());
    }
    if metadata.is_dir() {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries.for_each(|entry| look(&entry.path(), found));
    }
}

/// Removes the access of others to files that an earlier start made. Files that we may not change stay as
/// they are; `doctor` reports them.
pub fn tighten(data_dir: &Path) {
    for path in open_to_others(data_dir) {
        let Ok(metadata) = path.symlink_metadata() else { continue };
        let mode = metadata.permissions().mode() & 0o7777 & !OTHERS;
        if let Err(error) = std::fs::set_permissions(&path, Permissions::from_mode(mode)) {
            tracing::warn!(path = %path.display(), %error, "others may read this; chmod failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_is_closed_to_others_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a directory");
        let facts = dir.path().join("journal/facts");
        std::fs::create_dir_all(&facts).expect("directories");
        let paths = [
            dir.path().join("journal"),
            facts.clone(),
            facts.join("1.seg"),
            dir.path().join("store.sqlite-wal"),
            dir.path().join("lock"),
        ];
        let theirs = dir.path().join("notes.txt");
        for path in &paths {
            if !path.is_dir() {
                std::fs::write(path, "x").expect("a file");
            }
            let mode = if path.is_dir() { 0o755 } else { 0o644 };
            std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("its owner may");
        }
        std::fs::write(&theirs, "x").expect("a file");
        std::fs::set_permissions(&theirs, Permissions::from_mode(0o644)).expect("its owner may");

        let mut found = open_to_others(dir.path());
        found.sort();
        let mut expected = paths.to_vec();
        expected.sort();
        assert_eq!(found, expected);
        tighten(dir.path());
        assert_eq!(open_to_others(dir.path()), Vec::<PathBuf>::new());
        let mode = |path: &Path| path.metadata().expect("it is there").permissions().mode() & 0o777;
        assert_eq!((mode(&facts), mode(&paths[2]), mode(&theirs)), (0o700, 0o600, 0o644));
    }
}
