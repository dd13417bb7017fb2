//! Texts that people type or paste, as they look: what can't be seen must make no difference.

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::CodePointSetData;
use icu_properties::props::{Dash, DefaultIgnorableCodePoint};

/// The text in its compatible form (NFKC: full-width letters are plain ones), without letters that can't be seen: zero
/// width, soft hyphens, marks of direction and byte order, control characters other than tabs and ends of lines.
pub fn plain(text: &str) -> String {
    let is_seen = |letter: &char| {
        letter.is_whitespace()
            || !(letter.is_control()
                || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(*letter))
    };
    ComposingNormalizerBorrowed::new_nfkc().normalize(text).chars().filter(is_seen).collect()
}

/// Whether a letter is a dash, of whatever length.
pub fn is_dash(letter: char) -> bool {
    CodePointSetData::new::<Dash>().contains(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

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
