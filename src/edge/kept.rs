//! The links that a node knows, kept on its own disk: if it restarts while the store is away, they still lead
//! where they did.
//!
//! The file is a copy and not the truth: the directory is newer as soon as the store answers. It has one line
//! of JSON per link, and a last line with the SHA-256 of everything before it, so that a torn file is
//! detected.

use super::{Route, Routes};
use crate::domain::click::LinkState;
use crate::domain::destination::AllowList;
use crate::domain::id::{AffiliateId, LinkId};
use crate::domain::program::hex;
use crate::files;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::io;
use std::path::Path;

const FILE: &str = "links.jsonl";

#[derive(Serialize, Deserialize)]
struct Line {
    link: LinkId,
    affiliate: AffiliateId,
    state: LinkState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    destination: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct End {
    sha256: String,
}

/// The links that are kept in a data directory; none in a new one. A destination that is not allowed any more
/// is replaced by the landing page.
pub fn read(data_dir: &Path, allowed: &AllowList) -> io::Result<Routes> {
    let bytes = match fs::read(data_dir.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Routes::default()),
        read => read?,
    };
    let torn = || io::Error::new(io::ErrorKind::InvalidData, "the file is not as it was written");
    let end_at = bytes.trim_ascii_end().iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
    let (lines, end) = bytes.split_at(end_at);
    let end: End = serde_json::from_slice(end).map_err(|_| torn())?;
    if end.sha256 != digest(lines) {
        return Err(torn());
    }
    let lines = lines.split_inclusive(|byte| *byte == b'\n');
    lines.map(|line| Ok(route(serde_json::from_slice(line)?, allowed))).collect()
}

fn route(line: Line, allowed: &AllowList) -> (LinkId, Route) {
    let destination = line.destination.and_then(|url| allowed.destination(&url).ok());
    (line.link, Route { affiliate: line.affiliate, state: line.state, destination })
}

fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Replaces the links that are kept in a data directory.
pub fn write(data_dir: &Path, routes: &Routes) -> io::Result<()> {
    let mut lines = Vec::new();
    for (link, route) in &routes.links {
        let destination = route.destination.as_ref().map(|destination| destination.as_str().to_owned());
        let line = Line { link: *link, affiliate: route.affiliate, state: route.state, destination };
        serde_json::to_writer(&mut lines, &line)?;
        lines.push(b'\n');
    }
    let end = End { sha256: digest(&lines) };
    serde_json::to_writer(&mut lines, &end)?;
    lines.push(b'\n');
    files::replace(&data_dir.join(FILE), &lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(host: &str) -> AllowList {
        AllowList::new(&[host.to_owned()]).expect("a host")
    }
    fn routes(allowed: &AllowList) -> Routes {
        let to = |url: &str| allowed.destination(url).ok();
        let of = |link, state, destination| {
            (LinkId::from_bits(link), Route { affiliate: AffiliateId::from_bits(7), state, destination })
        };
        Routes::from_iter([
            of(1, LinkState::Known, to("https://www.example.com/a?b=c#d")),
            of(2, LinkState::Disabled, None),
            of(3, LinkState::AffiliateNotActive, to("https://www.example.com/")),
        ])
    }

    #[test]
    fn links_are_read_as_they_were_written_and_none_from_a_new_directory() {
        let (dir, allowed) = (tempfile::tempdir().expect("a directory"), allowed("www.example.com"));
        assert_eq!(read(dir.path(), &allowed).expect("readable"), Routes::default());
        for routes in [routes(&allowed), Routes::default()] {
            write(dir.path(), &routes).expect("writable");
            assert_eq!(read(dir.path(), &allowed).expect("readable"), routes);
        }
    }

    #[test]
    fn a_destination_that_is_not_allowed_any_more_gives_way_to_the_landing_page() {
        let dir = tempfile::tempdir().expect("a directory");
        write(dir.path(), &routes(&allowed("www.example.com"))).expect("writable");
        let routes = read(dir.path(), &allowed("other.example")).expect("readable");
        assert_eq!(routes.links.len(), 3);
        assert!(routes.links.values().all(|route| route.destination.is_none()));
    }

    #[test]
    fn a_file_that_is_not_as_it_was_written_is_refused() {
        let (dir, allowed) = (tempfile::tempdir().expect("a directory"), allowed("www.example.com"));
        write(dir.path(), &routes(&allowed)).expect("writable");
        let file = dir.path().join(FILE);
        let whole = fs::read(&file).expect("readable");
        for cut in 0..whole.len() - 1 {
            fs::write(&file, &whole[..cut]).expect("writable");
            assert!(read(dir.path(), &allowed).is_err(), "cut at {cut}");
        }
        for place in 0..whole.len() - 1 {
            let mut flipped = whole.clone();
            flipped[place] ^= 1;
            fs::write(&file, &flipped).expect("writable");
            assert!(read(dir.path(), &allowed).is_err(), "flipped at {place}");
        }
    }
}
