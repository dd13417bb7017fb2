//! Texts that people type or paste, compared by how they look: invisible characters must make no difference.

use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};
use icu_properties::props::{Dash, DefaultIgnorableCodePoint, GeneralCategory};
use icu_properties::{CodePointMapData, CodePointSetData};
use std::borrow::Cow;

/// The text in its compatible form (NFKC: full-width letters become plain ones), without invisible
/// characters: zero width, soft hyphens, marks of direction and byte order, control characters other than
/// tabs and ends of lines.
pub fn plain(text: &str) -> String {
    let is_seen = |letter: &char| letter.is_whitespace() || !is_unseen(*letter);
    ComposingNormalizerBorrowed::new_nfkc().normalize(text).chars().filter(is_seen).collect()
}

/// Whether a character is a dash, of any length.
pub fn is_dash(letter: char) -> bool {
    CodePointSetData::new::<Dash>().contains(letter)
}

/// The text in its composed form (NFC), as most keyboards type it.
pub fn composed(text: &str) -> Cow<'_, str> {
    ComposingNormalizerBorrowed::new_nfc().normalize(text)
}

/// The text in its decomposed form (NFD), as some keyboards type it.
pub fn decomposed(text: &str) -> Cow<'_, str> {
    DecomposingNormalizerBorrowed::new_nfd().normalize(text)
}

/// Whether a character is invisible: controls, formats, blanks, and everything that is left out when it can't
/// be shown (fillers, variation selectors, tags); and the empty cell of Braille.
pub fn is_unseen(letter: char) -> bool {
    use GeneralCategory::{Control, Format, LineSeparator, ParagraphSeparator, SpaceSeparator};
    let category = || CodePointMapData::<GeneralCategory>::new().get(letter);
    let is_ignorable = || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(letter);
    !letter.is_ascii_graphic()
        && (letter == '\u{2800}'
            || matches!(category(), Control | Format | LineSeparator | ParagraphSeparator | SpaceSeparator)
            || is_ignorable())
}

/// Whether a text has no visible character.
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

    #[test]
    fn what_cannot_be_seen_makes_no_difference() {
        let table = [
            ("jane", "jane"),
            ("\u{feff}ja\u{200b}n\u{ad}e\u{200f}", "jane"),
            ("\u{2066}jane\u{2069}\u{202c}", "jane"),
            ("j\u{0}a\u{7f}ne", "jane"),
            ("\u{ff2a}\u{ff21}\u{ff2e}\u{ff25}\u{ff0d}\u{ff11}", "JANE-1"),
            ("zoe\u{308}", "zoë"),
            ("\u{fb01}n", "fin"),
            ("a\u{a0}b\tc\n", "a b\tc\n"),
            ("\u{5d0}\u{5d1}", "\u{5d0}\u{5d1}"),
            ("ja\u{2800}n\u{fff9}e", "jane"),
        ];
        for (text, seen) in table {
            assert_eq!(plain(text), seen, "{text:?}");
        }
        for dash in ['-', '\u{2010}', '\u{2011}', '\u{2013}', '\u{2014}', '\u{2212}', '\u{ff0d}'] {
            assert!(is_dash(dash), "{dash:?}");
        }
        assert!(!is_dash('_') && !is_dash('a'));
    }
}
