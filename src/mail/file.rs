//! Mail as files, for development: nobody sends them.

use super::{Fault, Outgoing, SendError};
use lettre::Message;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

pub(super) struct Files {
    dir: PathBuf,
}

impl Files {
    pub(super) const fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Writes a mail's file; replaces that of an earlier attempt.
    pub(super) async fn keep(&self, mail: &Outgoing<'_>, message: &Message) -> Result<PathBuf, SendError> {
        let time = mail.date.format("%Y%m%dT%H%M%SZ");
        let file = self.dir.join(format!("{time}-{}-{}.eml", mail.kind, mail.id));
        let (dir, path, bytes) = (self.dir.clone(), file.clone(), message.formatted());
        // The disk may be slow: not on a serving thread.
        let written = tokio::task::spawn_blocking(move || write(&dir, &path, &bytes)).await;
        match written {
            Ok(Ok(())) => Ok(file),
            Ok(Err(error)) => Err(failed(&error.to_string())),
            Err(error) => Err(failed(&error.to_string())),
        }
    }
}

fn failed(why: &str) -> SendError {
    SendError { text: format!("write the mail's file: {why}"), class: "file", fault: Fault::Way }
}

/// It may hold a link that opens an account, so only the owner may read it.
fn write(dir: &Path, file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let draft = file.with_extension("new");
    let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    out.write_all(bytes)?;
    std::fs::rename(&draft, file)
}
