//! Texts from outside, made fit to be shown and logged.

/// The most of a text that is kept.
const MOST_CHARS: usize = 300;

/// A text on one line, of limited length, without addresses of people: PayPal repeats what it refuses.
pub(super) fn text(from: &str) -> String {
    let words = from.split(|char: char| char.is_whitespace() || char.is_control());
    let mut text = String::new();
    for word in words.filter(|word| !word.is_empty()) {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(if word.contains('@') || word.contains("%40") { "(address)" } else { word });
    }
    text.chars().take(MOST_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn nothing_of_a_person_is_shown() {
        for (from, shown) in [
            (
                "Receiver is invalid or does not match with type",
                "Receiver is invalid or does not match with type",
            ),
            ("ann@example.com is no\r\n receiver", "(address) is no receiver"),
            ("'ann+x@example.com'", "(address)"),
            ("see /v1?receiver=ann%40example.com", "see (address)"),
            ("\u{1b}[31m  red", "[31m red"),
            ("", ""),
        ] {
            assert_eq!(text(from), shown);
        }
        assert_eq!(text(&"é".repeat(1_000)).chars().count(), 300);
    }
}
