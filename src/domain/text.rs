//! What people can't see in a text.

use regex::Regex;
use std::sync::LazyLock;

/// Unicode's letters without a shape of their own: controls, formats, blanks, and whatever is left out when it can't be
/// shown (fillers, variation selectors, tags); and the empty cell of Braille.
static UNSEEN: LazyLock<Regex> = LazyLock::new(|| {
    // The pattern is a literal, which each test that reads a text compiles.
    Regex::new(r"^[\p{Cc}\p{Cf}\p{Z}\p{Default_Ignorable_Code_Point}\u{2800}]$").expect("a good pattern")
});

/// Whether a letter leaves nothing to be seen.
pub fn is_unseen(letter: char) -> bool {
    !letter.is_ascii_graphic() && UNSEEN.is_match(letter.encode_utf8(&mut [0; 4]))
}

/// Whether nothing of a text can be seen.
pub fn is_blank(text: &str) -> bool {
    text.chars().all(is_unseen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_letters_that_nobody_sees_is_blank() {
        let blank = [
            "",
            " ",
            "\t\n",
            "\u{a0}",
            "\u{200b}",
            "\u{feff}",
            "\u{3164}",
            "\u{115f}\u{1160}",
            "\u{ffa0}",
            "\u{2800}",
            "\u{202e}",
            "\u{ad}",
            "\u{fe0f}",
            "\u{e0041}",
            "\u{2029}",
        ];
        for text in blank {
            assert!(is_blank(text), "{text:?}");
        }
        for text in ["a", "é", "e\u{301}", "李", "\u{200f}שלום", "👩\u{200d}🚀", "-", "\u{200b}x"] {
            assert!(!is_blank(text), "{text:?}");
        }
    }
}
