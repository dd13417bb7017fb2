//! Programs of others that tests run.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A file beside this one.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support").join(name)
}

/// The Python that has the tests' packages.
pub fn python() -> PathBuf {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-tools/venv/bin/python");
    there("Python with the tests' packages", venv)
}

/// A browser.
pub fn chromium() -> PathBuf {
    let path = std::env::var_os("COUNTERFOIL_CHROMIUM").filter(|path| !path.is_empty());
    let path = path.unwrap_or_else(|| "/usr/bin/chromium".into());
    there("chromium (COUNTERFOIL_CHROMIUM names another)", path.into())
}

/// A browser of another make.
pub fn firefox() -> PathBuf {
    let path = std::env::var_os("COUNTERFOIL_FIREFOX").filter(|path| !path.is_empty());
    let path = path.unwrap_or_else(|| "/usr/bin/firefox-esr".into());
    there("firefox-esr (COUNTERFOIL_FIREFOX names another)", path.into())
}

/// What leads a browser.
pub fn chromedriver() -> PathBuf {
    let path = std::env::var_os("COUNTERFOIL_CHROMEDRIVER").filter(|path| !path.is_empty());
    let path = path.unwrap_or_else(|| "/usr/bin/chromedriver".into());
    there("chromedriver (COUNTERFOIL_CHROMEDRIVER names another)", path.into())
}

/// axe-core, which finds what people with disabilities would trip over.
pub fn axe() -> PathBuf {
    there("axe-core", Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-tools/axe.min.js"))
}

#[track_caller]
fn there(what: &str, path: PathBuf) -> PathBuf {
    assert!(path.exists(), "{what} is not at {}: run `tests/run`, which installs it", path.display());
    path
}

/// Runs a program to its end, or ends it after some seconds; its exit code is then 124.
pub async fn run(program: PathBuf, seconds: u32, prepare: impl FnOnce(&mut Command), input: &[u8]) -> Output {
    let mut command = Command::new("timeout");
    command.args(["--kill-after", "5", &seconds.to_string()]).arg(program);
    prepare(&mut command);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let input = input.to_owned();
    let ended = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().expect("`timeout` starts");
        // What it does not read it does not want; the handle is closed here.
        child.stdin.take().expect("a pipe").write_all(&input).ok();
        child.wait_with_output().expect("it ends")
    });
    ended.await.expect("it is waited for")
}

/// Runs a Python module or script with the tests' packages.
pub async fn run_python<Argument: AsRef<OsStr>>(
    arguments: &[Argument],
    seconds: u32,
    input: &[u8],
) -> Output {
    // What it leaves behind goes with the directory.
    let dir = tempfile::tempdir().expect("a directory");
    let prepare = |command: &mut Command| {
        command
            .args(arguments)
            .current_dir(dir.path())
            .env("SCHEMATHESIS_HOOKS", script("schemathesis_hooks.py"));
    };
    run(python(), seconds, prepare, input).await
}

/// What it said, on both streams.
pub fn said(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}\n{}", output.status, text(&output.stdout), text(&output.stderr))
}
