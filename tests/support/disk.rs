//! A file system of the test's own in a file, which can be frozen as a disk that does not answer.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted file system; it is thawed and unmounted when dropped.
#[derive(Debug)]
pub struct Disk {
    dir: tempfile::TempDir,
    frozen: bool,
}

impl Disk {
    /// Makes and mounts one of so many MiB.
    pub fn mount(mib: u32) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let image = dir.path().join("image");
        as_root("truncate", &["--size", &format!("{mib}M"), &text(&image)]);
        as_root("mkfs.ext4", &["-q", &text(&image)]);
        let disk = Self { dir, frozen: false };
        std::fs::create_dir(disk.path()).expect("a directory");
        as_root("mount", &["-o", "loop", &text(&image), &text(&disk.path())]);
        as_root("chmod", &["777", &text(&disk.path())]);
        disk
    }
    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("mounted")
    }
    /// From now on no write comes back.
    pub fn freeze(&mut self) {
        as_root("fsfreeze", &["--freeze", &text(&self.path())]);
        self.frozen = true;
    }
    /// They all come back.
    pub fn thaw(&mut self) {
        as_root("fsfreeze", &["--unfreeze", &text(&self.path())]);
        self.frozen = false;
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.frozen {
            self.thaw();
        }
        // Whoever still writes there is killed by the test that started it, before or after.
        drop(command("umount", &["--lazy", &text(&self.path())]).status());
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn command(program: &str, arguments: &[&str]) -> Command {
    let is_root = rustix::process::getuid().is_root();
    let mut command = Command::new(if is_root { program } else { "sudo" });
    command.args((!is_root).then_some(program)).args(arguments);
    command
}

#[track_caller]
fn as_root(program: &str, arguments: &[&str]) {
    let ended = command(program, arguments).status().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(ended.success(), "{program} {arguments:?}: {ended}; this test needs root and a loop device");
}
