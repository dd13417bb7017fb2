//! `import FILE`: signups and events from another system, one result per line.

use super::aggregate::bar;
use super::client::{Body, Client, broke_off, refusal};
use super::session::with_server;
use super::show::{Show, line, shown};
use super::{Context, Failure};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::stream::try_unfold;
use http::Method;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use indicatif::ProgressBar;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::Path;
use tokio::fs::File;
use tokio::io::AsyncReadExt;

/// Bytes of the file sent at once.
const PIECE: usize = 64 * 1024;

pub(super) async fn run(context: Context<'_>, file: &Path, dry_run: bool) -> Result<(), Failure> {
    let unreadable = |error: io::Error| {
        Failure::Usage(format!("can't read {}: {error}; name a file of lines of JSON", file.display()))
    };
    let total = count_lines(file).map_err(unreadable)?;
    if is_utf16(file).map_err(unreadable)? {
        return Err(Failure::Usage(format!("{} is UTF-16; save it as UTF-8", file.display())));
    }
    let opened = File::open(file).await.map_err(unreadable)?;
    let show = context.show;
    let tally = with_server(&context, async |client: &Client| {
        let path = if dry_run { "/v1/import?dry_run=true" } else { "/v1/import" };
        let headers = [("content-type", "application/x-ndjson")];
        let (status, _, body) = client.open(Method::POST, path, &headers, pieces(opened)).await?;
        if !status.is_success() {
            let problem = body.collect().await.map_err(|error| broke_off(&error))?.to_bytes();
            return Err(refusal(status, &serde_json::from_slice(&problem).unwrap_or(Value::Null)));
        }
        let progress = std::io::stderr().is_terminal().then(|| bar(total, "lines"));
        let tally = read_results(body, show, progress.as_ref()).await;
        if let Some(progress) = progress {
            progress.finish_and_clear();
        }
        tally
    })
    .await?;
    if !show.is_json() {
        let counts: Vec<String> =
            tally.endings.iter().map(|(status, count)| format!("{count} {status}")).collect();
        line(&format!("{}{}", if dry_run { "would be: " } else { "" }, counts.join(", ")))?;
        for (warning, count) in &tally.warnings {
            line(&format!("warning {warning}: {count} lines"))?;
        }
    }
    let bad: u64 =
        ["invalid", "failed", "conflict"].iter().filter_map(|status| tally.endings.get(*status)).sum();
    if bad == 0 {
        Ok(())
    } else {
        Err(Failure::other(format!("{bad} of the lines were not accepted; correct them and import again")))
    }
}

fn count_lines(file: &Path) -> io::Result<u64> {
    let mut reader = BufReader::with_capacity(PIECE, std::fs::File::open(file)?);
    let (mut lines, mut last) = (0, b'\n');
    loop {
        let piece = reader.fill_buf()?;
        let Some(&end) = piece.last() else { return Ok(lines + u64::from(last != b'\n')) };
        lines += piece.iter().map(|&byte| u64::from(byte == b'\n')).sum::<u64>();
        last = end;
        let read = piece.len();
        reader.consume(read);
    }
}

/// Whether a file begins with the byte order mark of UTF-16.
fn is_utf16(file: &Path) -> io::Result<bool> {
    let mut beginning = Vec::new();
    std::fs::File::open(file)?.take(2).read_to_end(&mut beginning)?;
    Ok(beginning == b"\xff\xfe" || beginning == b"\xfe\xff")
}

/// The file as a request body, read while it is sent.
fn pieces(file: File) -> Body {
    let stream = try_unfold(file, |mut file| async move {
        let mut piece = BytesMut::with_capacity(PIECE);
        let read = file.read_buf(&mut piece).await?;
        Ok::<_, io::Error>((read > 0).then(|| (Frame::data(piece.freeze()), file)))
    });
    StreamBody::new(stream).boxed_unsync()
}

/// How many lines had which outcome, and which warnings.
#[derive(Debug, Default)]
struct Tally {
    endings: BTreeMap<String, u64>,
    warnings: BTreeMap<String, u64>,
}

/// Counts the results. Each is printed as it comes: all of them as JSON, for people only the bad ones.
async fn read_results(
    mut body: Incoming,
    show: Show,
    progress: Option<&ProgressBar>,
) -> Result<Tally, Failure> {
    let mut tally = Tally::default();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let data = frame.map_err(|error| broke_off(&error))?.into_data().unwrap_or_default();
        rest.extend_from_slice(&data);
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let text: Bytes = rest.split_to(end).freeze();
            rest.advance(1);
            let result: Value = serde_json::from_slice(&text)
                .map_err(|_| Failure::other("the server's answer does not have one result per line"))?;
            let status = result["status"].as_str().unwrap_or("unknown");
            *tally.endings.entry(status.to_owned()).or_default() += 1;
            for warning in result["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                *tally.warnings.entry(warning.to_owned()).or_default() += 1;
            }
            if let Some(progress) = progress {
                progress.set_position(result["line"].as_u64().unwrap_or(0));
            }
            print(show, &result, progress)?;
        }
    }
    Ok(tally)
}

fn print(show: Show, result: &Value, progress: Option<&ProgressBar>) -> Result<(), Failure> {
    let text = if show.is_json() {
        result.to_string()
    } else if result["code"].is_null() {
        return Ok(());
    } else {
        let said = |key: &str| shown(result.get(key));
        format!("line {}: {} ({}) {}", said("line"), said("status"), said("code"), said("account_id"))
    };
    // A progress bar on the screen must be cleared first.
    progress.map_or_else(|| line(&text), |progress| progress.suspend(|| line(&text)))
}
