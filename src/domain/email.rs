//! E-mail addresses: which ones are accepted, and the form in which they are kept and looked up.

use super::text::{composed, is_unseen};
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use lettre::Address;

/// Reads an address of at most `most` bytes that mail can be sent to, in the form that is kept. All entrances
/// call this function, and it uses the parser of the mailer: an address that is accepted here is never
/// refused when a mail is written.
pub fn read_email(text: &str, most: usize) -> Option<String> {
    let address = canonical_email(text);
    let (local, domain) = address.rsplit_once('@')?;
    let good = !text.trim().contains(is_unseen)
        && address.len() <= most
        // An address that needs quotes is far more often a mistake than a real address.
        && !local.contains('"')
        && is_domain(domain)
        && address.parse::<Address>().is_ok();
    good.then_some(address)
}

/// The form of an address that is kept: composed letters (NFC), and a domain with non-ASCII letters in the
/// form that DNS and mail servers know (`xn--…`). A text that is not an address stays as it is.
pub fn canonical_email(text: &str) -> String {
    let composed = composed(text.trim());
    let international = composed.rsplit_once('@').filter(|(_, domain)| !domain.is_ascii());
    let written =
        international.and_then(|(local, domain)| Some(format!("{local}@{}", ascii_domain(domain)?)));
    written.unwrap_or_else(|| composed.into_owned())
}

/// The mailbox that an address reaches, in lower case, to compare two addresses: without a `+` in the local part and what
/// follows it, and at Gmail, which ignores them, without dots and with its main domain. Mail is never sent to this form.
pub fn mailbox_of(address: &str) -> String {
    let address = canonical_email(address).to_lowercase();
    let Some((local, domain)) = address.rsplit_once('@') else { return address };
    let before_plus = local.split_once('+').map_or(local, |(before, _)| before);
    let (local_part, domain) = match domain {
        "gmail.com" | "googlemail.com" => (before_plus.replace('.', ""), "gmail.com"),
        _ => (before_plus.to_owned(), domain),
    };
    // Nothing but an alias is no alias of anything.
    if local_part.is_empty() { format!("{local}@{domain}") } else { format!("{local_part}@{domain}") }
}

/// The ASCII form of a domain, if it may be a host name.
fn ascii_domain(domain: &str) -> Option<String> {
    let rules = (AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify);
    let ascii = Uts46::new().to_ascii(domain.as_bytes(), rules.0, rules.1, rules.2);
    ascii.ok().map(std::borrow::Cow::into_owned)
}

/// A name with a dot that is not an IP address.
fn is_domain(domain: &str) -> bool {
    let top = domain.rsplit_once('.').map(|(_, top)| top);
    top.is_some_and(|top| !top.bytes().all(|byte| byte.is_ascii_digit())) && ascii_domain(domain).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_taken_can_be_mailed_and_is_kept_in_one_form() {
        let table = [
            ("a@b.example", "a@b.example"),
            (" Ann.Smith+x@Mail.example.com ", "Ann.Smith+x@Mail.example.com"),
            ("o'brien@b.example", "o'brien@b.example"),
            ("a/b=c!#$%&*?^_`{|}~@b.example", "a/b=c!#$%&*?^_`{|}~@b.example"),
            ("é@b.example", "é@b.example"),
            ("e\u{301}@b.example", "é@b.example"),
            ("ann@bücher.example", "ann@xn--bcher-kva.example"),
            ("ann@bu\u{308}cher.example", "ann@xn--bcher-kva.example"),
            ("ann@BÜCHER.example", "ann@xn--bcher-kva.example"),
            ("ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"),
            ("ann@例え。example", "ann@xn--r8jz45g.example"),
            ("ann@r3---sn.example", "ann@r3---sn.example"),
        ];
        for (typed, kept) in table {
            assert_eq!(read_email(typed, 254).as_deref(), Some(kept), "{typed:?}");
            assert_eq!(read_email(kept, 254).as_deref(), Some(kept), "read once more: {kept:?}");
            assert_eq!(canonical_email(typed), kept);
        }
    }

    #[test]
    fn all_spellings_of_a_mailbox_are_one() {
        let table = [
            ("ann@b.example", "ann@b.example"),
            (" Ann@B.Example ", "ann@b.example"),
            ("ann+x@b.example", "ann@b.example"),
            ("ann+x+y@b.example", "ann@b.example"),
            ("ann+@b.example", "ann@b.example"),
            ("a.n.n+x.y@b.example", "a.n.n@b.example"),
            ("ann-x@b.example", "ann-x@b.example"),
            ("a.n.n@gmail.com", "ann@gmail.com"),
            ("Ann+x@gmail.com", "ann@gmail.com"),
            ("A.n.n+x.y@GoogleMail.com", "ann@gmail.com"),
            // Only the local part may have aliases, and only these two domains are Gmail's.
            ("a.nn@mail.gmail.com", "a.nn@mail.gmail.com"),
            ("a.nn@gmail.co", "a.nn@gmail.co"),
            ("ann@b+c.example", "ann@b+c.example"),
            ("ann+x@bücher.example", "ann@xn--bcher-kva.example"),
            ("E\u{301}+x@b.example", "é@b.example"),
            // Nothing would be left.
            ("+x@b.example", "+x@b.example"),
            ("+@gmail.com", "+@gmail.com"),
            ("..@gmail.com", "..@gmail.com"),
            // What is no address stays as it is.
            ("ann+x", "ann+x"),
            ("", ""),
        ];
        for (address, mailbox) in table {
            assert_eq!(mailbox_of(address), mailbox, "{address:?}");
            assert_eq!(mailbox_of(mailbox), mailbox, "once more: {mailbox:?}");
        }
    }

    #[test]
    fn what_no_mail_would_reach_is_refused() {
        let table = [
            "",
            "a",
            "@b.example",
            "a@",
            "a@b",
            "a@b..example",
            "a@.example",
            "a@b.example.",
            "a@-b.example",
            "a@b-.example",
            "a@b_c.example",
            "a@b!c.example",
            "a@xn--a.example",
            "a@1.2.3.4",
            "a@[1.2.3.4]",
            ".ann@b.example",
            "ann.@b.example",
            "a..b@b.example",
            "a b@c.example",
            "a\u{a0}b@c.example",
            "a@b.example\nBcc: c",
            "a\r\nBcc@b.example",
            "a\0b@c.example",
            "<a@b.example>",
            "Ann <a@b.example>",
            "a@b@c.example",
            "\"a\"@b.example",
            "a,c@b.example",
            "a:c@b.example",
            "a(c)@b.example",
            "a\\c@b.example",
            "ann＠b.example",
            // An invisible character.
            "an\u{200b}n@b.example",
            "ann@b\u{200b}.example",
            "\u{feff}ann@b.example",
            "ann\u{ad}@b.example",
            "\u{3164}@b.example",
            "ann\u{202e}@b.example",
            "ann\u{e0041}@b.example",
        ];
        for bad in table {
            assert_eq!(read_email(bad, 254), None, "{bad:?}");
        }
        assert_eq!(read_email("a@b.example", 10), None);
        assert_eq!(read_email(&format!("{}@b.example", "a".repeat(65)), 254), None);
        assert_eq!(read_email(&format!("a@{}.example", "b".repeat(64)), 254), None);
    }
}
