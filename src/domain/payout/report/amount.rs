//! Amounts as they are written in many countries.

use crate::domain::money::Money;

/// What stands between thousands.
const BETWEEN_THOUSANDS: [char; 9] =
    ['.', ',', ' ', '\u{a0}', '\u{2009}', '\u{202f}', '\'', '\u{2019}', '\u{66c}'];

/// The amount, with a decimal point or comma, with or without separators between thousands. Nothing if the
/// text can be read in two ways or in none.
pub fn read(text: &str) -> Option<Money> {
    let (is_negative, digits) = sign(text.trim());
    let (whole, places) = parts(digits);
    let amount: Money = format!("{}.{places}", without_thousands(whole)?).parse().ok()?;
    Some(if is_negative { -amount } else { amount })
}

/// Whether it is below zero: `-1`, `1-` or `(1)`.
fn sign(text: &str) -> (bool, &str) {
    let is_minus = |letter| matches!(letter, '-' | '\u{2212}');
    let negative = text
        .strip_prefix(is_minus)
        .or_else(|| text.strip_suffix(is_minus))
        .or_else(|| text.strip_prefix('(')?.strip_suffix(')'));
    negative.map_or((false, text), |digits| (true, digits.trim()))
}

/// What is before and after the decimal point. Three digits after the last separator are thousands: no amount
/// here has three places.
fn parts(digits: &str) -> (&str, &str) {
    match digits.rsplit_once(['.', ',']) {
        Some((whole, places)) if places.len() != 3 && !is_repeated(digits, whole) => (whole, places),
        _ => (digits, "0"),
    }
}

/// Whether the separator after `whole` stands within it too: then it is none of decimals.
fn is_repeated(digits: &str, whole: &str) -> bool {
    digits[whole.len()..].chars().next().is_some_and(|separator| whole.contains(separator))
}

/// The digits of a whole number, whose groups of thousands are all of three digits and parted alike.
fn without_thousands(whole: &str) -> Option<String> {
    let is_digits = |group: &str| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit());
    let Some(separator) = whole.chars().find(|letter| BETWEEN_THOUSANDS.contains(letter)) else {
        return is_digits(whole).then(|| whole.to_owned());
    };
    let mut groups = whole.split(separator);
    let first =
        groups.next().filter(|first| first.len() <= 3 && !first.starts_with('0') && is_digits(first))?;
    let rest: Option<String> =
        groups.map(|group| (group.len() == 3 && is_digits(group)).then_some(group)).collect();
    Some(format!("{first}{}", rest?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_all_countries_are_read_exactly() {
        let table = [
            ("99.00", "99.00"),
            ("99,00", "99.00"),
            ("99", "99.00"),
            ("99.0", "99.00"),
            (" 99,5 ", "99.50"),
            ("0.01", "0.01"),
            ("-99.00", "-99.00"),
            ("\u{2212}99,00", "-99.00"),
            ("99.00-", "-99.00"),
            ("(99.00)", "-99.00"),
            ("- 99.00", "-99.00"),
            ("-0.00", "0.00"),
            ("1,234.50", "1234.50"),
            ("1.234,50", "1234.50"),
            ("1 234,50", "1234.50"),
            ("1\u{a0}234,50", "1234.50"),
            ("1\u{202f}234,50", "1234.50"),
            ("1'234.50", "1234.50"),
            ("1\u{2019}234.50", "1234.50"),
            ("-1,234,567.89", "-1234567.89"),
            ("1.234.567,89", "1234567.89"),
            ("1,234,567", "1234567.00"),
            ("1,234", "1234.00"),
            ("1.234", "1234.00"),
            ("1234567.89", "1234567.89"),
            ("0099.00", "99.00"),
        ];
        for (text, amount) in table {
            assert_eq!(read(text).map(|read| read.to_string()).as_deref(), Some(amount), "{text:?}");
        }
    }

    #[test]
    fn what_is_not_one_certain_amount_is_none() {
        let table = [
            "",
            "-",
            "--1",
            "-1-",
            "+1",
            ".",
            ".50",
            "99.",
            "99,",
            "0.234",
            "0,234",
            "99.0000",
            "1234,567",
            "1,23,456.00",
            "1,2345.00",
            "1,234,5",
            "1.234.5",
            "1.234,567",
            "1,234 567",
            "9 9.00",
            "1 234'567",
            "1e3",
            "$99.00",
            "99.00 USD",
            "٩٩",
            "1234567890123456789",
            "99.00 / 3.00",
        ];
        for text in table {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
