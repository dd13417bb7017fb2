//! A stream of bytes cut into lines, in bounded memory.

use super::body::BODY_TIMEOUT;
use super::error::Problem;
use super::fields::BYTE_ORDER_MARK;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

/// The longest line, in bytes, without its end.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// Lines of a body, as they arrive.
#[derive(Debug)]
pub struct Lines {
    body: Body,
    /// What arrived and was not given out yet: less than a line and a frame.
    pending: BytesMut,
    /// Bytes at the start of `pending` that are known to hold no end of a line.
    searched: usize,
    /// The rest of a line that was too long is passed over.
    skipping: bool,
    number: u64,
    ended: bool,
}

/// A line with its number, from 1.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number.
    pub number: u64,
    /// What it says, or why it can't be read.
    pub text: Result<Bytes, Problem>,
}

impl Lines {
    /// The lines of a body.
    pub fn new(body: Body) -> Self {
        Self { body, pending: BytesMut::new(), searched: 0, skipping: false, number: 0, ended: false }
    }

    /// The next line that is not blank; `None` after the last. A body that breaks off or stalls gives a
    /// line that says so, as its last.
    pub async fn next(&mut self) -> Option<Line> {
        loop {
            if let Some(line) = self.cut() {
                let blank = matches!(&line.text, Ok(text) if is_blank(text));
                if !blank {
                    return Some(line);
                }
                continue;
            }
            if self.ended {
                return None;
            }
            if let Err(problem) = self.fill().await {
                let number = self.number + 1;
                *self = Self { number, ended: true, ..Self::new(Body::empty()) };
                return Some(Line { number, text: Err(problem) });
            }
        }
    }

    /// Takes in the next part of the body.
    async fn fill(&mut self) -> Result<(), Problem> {
        match tokio::time::timeout(BODY_TIMEOUT, self.body.frame()).await {
            Err(_) => Err(Problem::RequestTimeout),
            Ok(Some(Err(_))) => Err(Problem::BodyIncomplete),
            Ok(None) => {
                self.ended = true;
                Ok(())
            }
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    self.pending.extend_from_slice(&data);
                }
                Ok(())
            }
        }
    }

    /// Cuts the next line off what is pending, if it is there whole.
    fn cut(&mut self) -> Option<Line> {
        let end = self.pending[self.searched..].iter().position(|&byte| byte == b'\n');
        let whole = match end {
            Some(place) => {
                let mut line = self.pending.split_to(self.searched + place + 1);
                line.truncate(line.len() - 1);
                Some(line)
            }
            None if self.ended && !self.pending.is_empty() => Some(self.pending.split()),
            None => None,
        };
        let Some(whole) = whole else { return self.cut_short() };
        self.searched = 0;
        if std::mem::take(&mut self.skipping) {
            return self.cut();
        }
        self.number += 1;
        let text = if whole.len() > MAX_LINE_BYTES { Err(Problem::LineTooLong) } else { Ok(whole.freeze()) };
        Some(Line { number: self.number, text })
    }

    /// Gives up a line that is longer than allowed before its end is seen.
    fn cut_short(&mut self) -> Option<Line> {
        self.searched = self.pending.len();
        if self.pending.len() <= MAX_LINE_BYTES && !self.skipping {
            return None;
        }
        self.pending.clear();
        self.searched = 0;
        if std::mem::replace(&mut self.skipping, true) {
            return None;
        }
        self.number += 1;
        Some(Line { number: self.number, text: Err(Problem::LineTooLong) })
    }
}

/// Whether there is nothing in a line; a file's first one may begin with a byte order mark.
fn is_blank(text: &[u8]) -> bool {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text).trim_ascii().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    fn body(chunks: Vec<Vec<u8>>) -> Lines {
        Lines::new(Body::from_stream(stream::iter(chunks.into_iter().map(Ok::<_, std::io::Error>))))
    }

    async fn all(mut lines: Lines) -> Vec<(u64, Result<usize, Problem>)> {
        let mut seen = Vec::new();
        while let Some(line) = lines.next().await {
            seen.push((line.number, line.text.map(|text| text.len())));
        }
        seen
    }

    #[tokio::test]
    async fn lines_are_the_same_however_they_are_cut_into_parts() {
        let text = b"one\n\r\n  \nfour\n\nsix";
        for size in 1..=text.len() {
            let lines = all(body(text.chunks(size).map(<[u8]>::to_vec).collect())).await;
            assert_eq!(lines, [(1, Ok(3)), (4, Ok(4)), (6, Ok(3))], "parts of {size}");
        }
        assert_eq!(all(body(vec![])).await, []);
        assert_eq!(all(body(vec![b"\n\n\n".to_vec()])).await, []);
        assert_eq!(all(body(vec!["\u{feff}\r\none".into()])).await, [(2, Ok(3))]);
    }

    #[tokio::test]
    async fn a_line_too_long_is_passed_over_and_the_next_one_read() {
        let long = vec![b'x'; MAX_LINE_BYTES + 1];
        let just = vec![b'x'; MAX_LINE_BYTES];
        let text = [b"a\n".as_slice(), &long, &long, b"\n", &just, b"\nb\n", &long].concat();
        let expected = [
            (1, Ok(1)),
            (2, Err(Problem::LineTooLong)),
            (3, Ok(MAX_LINE_BYTES)),
            (4, Ok(1)),
            (5, Err(Problem::LineTooLong)),
        ];
        for size in [1_000, 65_536, 70_000, text.len()] {
            let lines = all(body(text.chunks(size).map(<[u8]>::to_vec).collect())).await;
            assert_eq!(lines, expected, "parts of {size}");
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_says_so_in_its_last_line() {
        let parts = [Ok(Bytes::from_static(b"one\ntwo")), Err(std::io::Error::other("reset"))];
        let lines = all(Lines::new(Body::from_stream(stream::iter(parts)))).await;
        assert_eq!(lines, [(1, Ok(3)), (2, Err(Problem::BodyIncomplete))]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_is_given_up() {
        let lines = Lines::new(Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()));
        assert_eq!(all(lines).await, [(1, Err(Problem::RequestTimeout))]);
    }
}
