//! The token and the query of a link that was followed, even if mail, chat or people changed its address.
//!
//! The token is the beginning of the path, as many characters as a link's token has, with escapes undone
//! once. What follows is dropped: a full stop, a bracket, a quote or a slash from the text around the link.
//! Only a `&` or `?` there begins a query, which comes before the address's own query. If that sign is
//! escaped, everything after it was escaped too, and is undone once.

use super::token::LINK_LETTERS;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// A followed link, split into its parts; nothing is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed<'a> {
    /// The link's token, or whatever is in its place.
    pub token: Cow<'a, str>,
    /// The query, without its `?`.
    pub query: Cow<'a, str>,
}

impl<'a> Followed<'a> {
    /// Splits an address: its path after the prefix, and its query. Allocates nothing for an unchanged
    /// address.
    pub fn read(path: &'a str, query: &'a str) -> Self {
        let split = if path.len() == LINK_LETTERS { None } else { split(path) };
        match split {
            Some((token, tail)) => Self { token: token.into(), query: joined(begun(tail), query) },
            None => Self { token: path.into(), query: query.into() },
        }
    }
}

/// The token that a path begins with, and what follows it.
fn split(path: &str) -> Option<(String, &str)> {
    let (mut token, mut rest) = (String::with_capacity(LINK_LETTERS), path);
    while token.len() < LINK_LETTERS {
        let (letter, after) = first_letter(rest)?;
        token.push(char::from(letter));
        rest = after;
    }
    Some((token, rest))
}

/// The first character, plain or escaped, if tokens may contain it.
fn first_letter(text: &str) -> Option<(u8, &str)> {
    let (letter, len) = match *text.as_bytes() {
        [b'%', high, low, ..] => (byte(high, low)?, 3),
        [letter, ..] => (letter, 1),
        [] => return None,
    };
    let in_tokens = letter.is_ascii_alphanumeric() || b"-_".contains(&letter);
    in_tokens.then(|| (letter, &text[len..]))
}

/// The byte that two hex digits stand for.
fn byte(high: u8, low: u8) -> Option<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

/// The query that begins in the text after a token.
fn begun(tail: &str) -> Cow<'_, str> {
    for (at, sign) in tail.bytes().enumerate() {
        if sign == b'&' || sign == b'?' {
            return Cow::Borrowed(&tail[at + 1..]);
        }
        if let [b'%', high, low, rest @ ..] = &tail.as_bytes()[at..]
            && matches!(byte(*high, *low), Some(b'&' | b'?'))
        {
            let rest = &tail[tail.len() - rest.len()..];
            return percent_decode_str(rest).decode_utf8().unwrap_or_default();
        }
    }
    Cow::Borrowed("")
}

fn joined<'a>(first: Cow<'a, str>, second: &'a str) -> Cow<'a, str> {
    match (first.is_empty(), second.is_empty()) {
        (true, _) => Cow::Borrowed(second),
        (_, true) => first,
        _ => Cow::Owned(format!("{first}&{second}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "EWq5ASNFZ4mrze8AAAAAAAAAKkbmEwyzu2kVjEuK20dM-_k";

    #[test]
    fn a_token_is_found_whatever_follows_it() {
        let table = [
            ("", ""),
            (".", ""),
            (")", ""),
            (").", ""),
            ("/", ""),
            ("//evil.test/", ""),
            ("%22", ""),
            ("%E2%80%9D", ""),
            ("%ff", ""),
            ("%", ""),
            ("%2", ""),
            ("\u{201d}", ""),
            (";jsessionid=1", ""),
            ("AAAA", ""),
            ("&utm_source=x", "utm_source=x"),
            (".&utm_source=x&b=%26", "utm_source=x&b=%26"),
            ("&amp;sub1=a", "amp;sub1=a"),
            ("%26utm_source%3Dx%26b=%2526", "utm_source=x&b=%26"),
            ("%3Fsub1%3Da%2520b", "sub1=a%20b"),
            ("%3fsub1=a&b", "sub1=a&b"),
            ("%3F%ff", ""),
            ("&", ""),
        ];
        assert_eq!(TOKEN.len(), LINK_LETTERS);
        for (tail, query) in table {
            for token in [TOKEN, &TOKEN.replace('_', "%5F").replace('-', "%2d"), &TOKEN.replace('E', "%45")] {
                let path = format!("{token}{tail}");
                let followed = Followed::read(&path, "");
                assert_eq!((&*followed.token, &*followed.query), (TOKEN, query), "{path}");
                let both = if query.is_empty() { "own=1".to_owned() } else { format!("{query}&own=1") };
                assert_eq!(Followed::read(&path, "own=1").query, both, "{path}");
            }
        }
    }

    #[test]
    fn what_does_not_begin_with_a_token_stays_as_it_is() {
        let short = &TOKEN[1..];
        for path in
            ["", "/", &format!("/{TOKEN}"), &format!("%20{TOKEN}"), short, &format!("{short}."), "%zz", "%25"]
        {
            let followed = Followed::read(path, "a=b");
            assert_eq!((&*followed.token, &*followed.query), (path, "a=b"));
        }
    }
}
