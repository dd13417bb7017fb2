//! The note that a receiver reads, in the letters that PayPal's file takes.

use super::NOTE_LENGTH;
use crate::domain::text;

/// The text as a note that PayPal takes: one line of plain ASCII, at most 400 characters. Letters lose their
/// accents; what has no likeness in ASCII becomes one `?`.
pub fn note(text: &str) -> String {
    let plain = text::plain(text);
    let mut note = String::new();
    for letter in text::decomposed(&plain).chars() {
        match likeness(letter) {
            Some(" ") if note.is_empty() || note.ends_with(' ') => {}
            Some(like) => note.push_str(like),
            None if matches!(letter, '!' | '#'..='~') => note.push(letter),
            None if note.ends_with('?') => {}
            None => note.push('?'),
        }
    }
    // All of it is ASCII, so each byte is a character.
    note.truncate(NOTE_LENGTH);
    note.truncate(note.trim_end().len());
    note
}

/// How a character is written in ASCII where it isn't itself; `"` too, since PayPal says nothing of quotes
/// within quotes.
fn likeness(letter: char) -> Option<&'static str> {
    Some(match letter {
        _ if letter.is_whitespace() => " ",
        '\u{300}'..='\u{36f}' => "",
        '"' | '\u{2018}'..='\u{201f}' | '«' | '»' | '‹' | '›' => "'",
        '-' => return None,
        _ if text::is_dash(letter) => "-",
        '⁄' => "/",
        '×' => "x",
        '•' | '·' => "*",
        'ß' => "ss",
        'æ' => "ae",
        'Æ' => "AE",
        'œ' => "oe",
        'Œ' => "OE",
        'ø' => "o",
        'Ø' => "O",
        'ł' => "l",
        'Ł' => "L",
        'đ' | 'ð' => "d",
        'Đ' | 'Ð' => "D",
        'þ' => "th",
        'Þ' => "Th",
        'ı' => "i",
        '€' => "EUR",
        '£' => "GBP",
        '¥' => "JPY",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_becomes_a_note() {
        let table = [
            ("", ""),
            (" a\r\n\tb\u{2028}c ", "a b c"),
            ("Zoë & Łukasz – Größe “x”", "Zoe & Lukasz - Grosse 'x'"),
            ("25 € \u{2026} ½", "25 EUR ... 1/2"),
            ("\u{feff}ja\u{200b}ne \u{1b}[31m", "jane [31m"),
            ("李小龍 paid 👩\u{200d}🚀", "? paid ?"),
            ("say \"hi\" -1 +1 =2", "say 'hi' -1 +1 =2"),
            ("Ａ１", "A1"),
        ];
        for (text, written) in table {
            assert_eq!(note(text), written, "{text:?}");
        }
        assert_eq!(note(&"ab ".repeat(500)), "ab ".repeat(134)[..400].trim_end());
    }
}
