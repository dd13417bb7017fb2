//! The address of a web site, as people enter it.

use super::text::is_unseen;
use url::Url;

const MAX_BYTES: usize = 2_048;

/// Reads the address of a web site: `http` or `https`, and a host name with a dot. A user name is refused,
/// since it could look like the host: `https://well-known.example@elsewhere.example`.
pub fn read_website(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let names_nobody = url.username().is_empty() && url.password().is_none();
    let has_domain = url.host_str().is_some_and(|host| host.contains('.'));
    let good = matches!(url.scheme(), "http" | "https") && names_nobody && has_domain;
    (good && !text.contains(is_unseen) && url.as_str().len() <= MAX_BYTES).then(|| url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_web_site_has_a_host_and_no_user() {
        let table = [
            ("http://example.com/x", "http://example.com/x"),
            ("HTTPS://Example.org", "https://example.org/"),
            ("https://bücher.example/é", "https://xn--bcher-kva.example/%C3%A9"),
            ("https://example.com/@ann", "https://example.com/@ann"),
        ];
        for (typed, kept) in table {
            assert_eq!(read_website(typed).as_deref(), Some(kept), "{typed}");
        }
        let bad = [
            "",
            "example.com",
            "javascript://alert.x/",
            "ftp://example.com",
            "https://localhost",
            "ht tp://x.y",
            "https://ann@example.com",
            "https://ann:secret@example.com",
            "https://:secret@example.com",
            "https://www.paypal.example@evil.example/",
            "https://exa\u{200b}mple.com",
            "https://example.com/\u{202e}x",
        ];
        for bad in bad {
            assert_eq!(read_website(bad), None, "{bad:?}");
        }
        assert_eq!(read_website(&format!("https://example.com/{}", "x".repeat(2_048))), None);
    }
}
