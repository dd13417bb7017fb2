//! A file system of the test's own in a file, which can be full, or frozen as a disk that does not answer.

use std::os::unix::fs::PermissionsExt;
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
    #[track_caller]
    pub fn mount(mib: u32) -> Self {
        Self::try_mount(mib).unwrap_or_else(|error| panic!("{error}"))
    }
    /// The same; an error says why this machine can't: it needs root and a loop device.
    pub fn try_mount(mib: u32) -> Result<Self, String> {
        let dir = tempfile::tempdir().expect("a directory");
        let image = dir.path().join("image");
        as_root("truncate", &["--size", &format!("{mib}M"), &text(&image)])?;
        as_root("mkfs.ext4", &["-q", &text(&image)])?;
        let disk = Self { dir, frozen: false };
        std::fs::create_dir(disk.path()).expect("a directory");
        as_root("mount", &["-o", "loop", &text(&image), &text(&disk.path())])?;
        as_root("chmod", &["777", &text(&disk.path())])?;
        Ok(disk)
    }
    /// The data of a server that is prepared in a directory will be here, and its log there: a thread that writes to a log
    /// on a stalled disk waits for it.
    pub fn takes_data_of(&self, dir: &Path) {
        let data = self.path().join("data");
        std::fs::create_dir(&data).expect("a directory");
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o700)).expect("ours");
        std::os::unix::fs::symlink(&data, dir.join("data")).expect("a link");
    }
    /// Takes all room that there is.
    pub fn fill(&self) {
        let mut file = std::fs::File::create(self.filler()).expect("a file");
        for size in [1 << 20, 1 << 12, 1] {
            while std::io::Write::write_all(&mut file, &vec![1; size]).is_ok() {}
        }
    }
    /// Gives the room back.
    pub fn make_room(&self) {
        std::fs::remove_file(self.filler()).expect("it is there");
    }
    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }
    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("mounted")
    }
    /// From now on no write comes back.
    pub fn freeze(&mut self) {
        as_root("fsfreeze", &["--freeze", &text(&self.path())]).expect("it is mounted");
        self.frozen = true;
    }
    /// They all come back.
    pub fn thaw(&mut self) {
        as_root("fsfreeze", &["--unfreeze", &text(&self.path())]).expect("it is frozen");
        self.frozen = false;
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.frozen {
            self.thaw();
        }
        // A process that still writes there is killed by the test that started it, before or after.
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

fn as_root(program: &str, arguments: &[&str]) -> Result<(), String> {
    let needs = "this test needs root and a loop device";
    match command(program, arguments).status() {
        Ok(ended) if ended.success() => Ok(()),
        Ok(ended) => Err(format!("{program} {arguments:?}: {ended}; {needs}")),
        Err(error) => Err(format!("{program}: {error}; {needs}")),
    }
}
