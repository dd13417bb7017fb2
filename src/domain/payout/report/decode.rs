//! The text of a file, whose encoding nothing tells.

use std::borrow::Cow;

/// What windows-1252 has at 0x80 to 0x9f, where it differs from Unicode; five places have no character.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{fffd}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{fffd}', 'Ž', '\u{fffd}',
    '\u{fffd}', '\u{2018}', '\u{2019}', '“', '”', '•', '–', '—', '\u{2dc}', '™', 'š', '›', 'œ', '\u{fffd}',
    'ž', 'Ÿ',
];

/// The file as text with `\n` at the ends of lines: UTF-8, with or without byte order mark, else windows-1252.
/// Nothing if it is neither: spreadsheets' own files, archives and UTF-16 have NUL bytes, a text has none.
pub fn decode(bytes: &[u8]) -> Option<String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.contains(&0) {
        return None;
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => bytes.iter().map(|byte| letter(*byte)).collect::<String>().into(),
    };
    Some(text.replace("\r\n", "\n").replace('\r', "\n"))
}

fn letter(byte: u8) -> char {
    match byte {
        0x80..=0x9f => WINDOWS_1252[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_in_its_encoding() {
        let table: [(&[u8], Option<&str>); 9] = [
            (b"", Some("")),
            ("Zoë €".as_bytes(), Some("Zoë €")),
            (b"\xef\xbb\xbfZo\xc3\xab", Some("Zoë")),
            (b"Zo\xeb \x80 \x93x\x94 \x8a\x9f", Some("Zoë € “x” ŠŸ")),
            (b"\x81\x8d\x8f\x90\x9d", Some("\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}")),
            (b"a\r\nb\rc\nd\r\n", Some("a\nb\nc\nd\n")),
            (b"a\r\r\n", Some("a\n\n")),
            (b"\xff\xfeS\0t\0", None),
            (b"PK\x03\x04\0\0", None),
        ];
        for (bytes, text) in table {
            assert_eq!(decode(bytes).as_deref(), text, "{bytes:?}");
        }
    }
}
