//! The cookie by which a browser is known again.

use crate::config::CookieMode;
use crate::domain::token::{Keyring, VISITOR_LETTERS, VisitorClaim};
use http::HeaderMap;
use http::header::COOKIE;

/// A browser sends one or two cookies of a name (one for the host, one for the domain above it); more are
/// not looked at, so that a request can't buy itself thousands of signatures.
const MAX_CANDIDATES: usize = 4;

/// A cookie's name or domain would not survive a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("use {0:?} in a cookie")]
pub struct BadCookie(pub String);

/// The cookie as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisitorCookie {
    mode: CookieMode,
    prefix: String,
    attributes: String,
}

impl VisitorCookie {
    /// A cookie of this name that lives `max_age_s` seconds; an empty domain means this host only.
    pub fn new(
        name: &str,
        domain: &str,
        mode: CookieMode,
        secure: bool,
        max_age_s: u64,
    ) -> Result<Self, BadCookie> {
        let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if name.is_empty() || !name.bytes().all(in_name) {
            return Err(BadCookie(name.to_owned()));
        }
        if !domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)) {
            return Err(BadCookie(domain.to_owned()));
        }
        let secure = if secure { "; Secure" } else { "" };
        let domain = if domain.is_empty() { String::new() } else { format!("; Domain={domain}") };
        let attributes = format!("; Path=/; Max-Age={max_age_s}{secure}; HttpOnly; SameSite=Lax{domain}");
        Ok(Self { mode, prefix: format!("{name}="), attributes })
    }

    /// When it is set.
    pub const fn mode(&self) -> CookieMode {
        self.mode
    }

    /// The visitor whom a request's cookie names.
    pub fn read(&self, headers: &HeaderMap, keyring: &Keyring) -> Option<VisitorClaim> {
        if self.mode == CookieMode::Never {
            return None;
        }
        let lines = headers.get_all(COOKIE).iter();
        let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
        let values = pairs.filter_map(|pair| pair.trim_ascii().strip_prefix(self.prefix.as_bytes()));
        values
            .take(MAX_CANDIDATES)
            .filter_map(|value| std::str::from_utf8(value).ok())
            .find_map(|value| keyring.verify_visitor(value).ok())
    }

    /// Appends the value of `Set-Cookie` that names a visitor.
    pub fn write(&self, claim: &VisitorClaim, keyring: &Keyring, out: &mut Vec<u8>) {
        out.reserve(self.prefix.len() + VISITOR_LETTERS + self.attributes.len());
        out.extend_from_slice(self.prefix.as_bytes());
        keyring.write_visitor(claim, out);
        out.extend_from_slice(self.attributes.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CookieMode;
    use crate::domain::id::{AffiliateId, ClickId, LinkId, VisitorId};
    use crate::domain::token::Click;
    use uuid::Uuid;

    fn keyring() -> Keyring {
        Keyring::new("k1", &[("k1".into(), vec![1; 32])], &[]).expect("a keyring")
    }
    fn claim() -> VisitorClaim {
        let affiliate = AffiliateId::from_bits(1);
        let click = Click { id: ClickId(Uuid::from_u128(1)), affiliate, link: LinkId::from_bits(1) };
        VisitorClaim { visitor: VisitorId(Uuid::from_u128(1)), first: click, last: click }
    }

    #[test]
    fn the_cookie_has_the_attributes_of_the_contract() {
        let token = keyring().sign_visitor(&claim());
        let written = |domain, secure| {
            let cookie = VisitorCookie::new("counterfoil", domain, CookieMode::Always, secure, 7_776_000);
            let mut out = Vec::new();
            cookie.expect("a cookie").write(&claim(), &keyring(), &mut out);
            String::from_utf8(out).expect("ASCII")
        };
        assert_eq!(
            written("example.com", true),
            format!(
                "counterfoil={token}; Path=/; Max-Age=7776000; Secure; HttpOnly; SameSite=Lax; Domain=example.com"
            )
        );
        assert_eq!(
            written("", false),
            format!("counterfoil={token}; Path=/; Max-Age=7776000; HttpOnly; SameSite=Lax")
        );
    }

    #[test]
    fn the_first_good_cookie_of_the_name_counts() {
        let token = keyring().sign_visitor(&claim());
        let table = [
            (vec![format!("counterfoil={token}")], true),
            (vec![format!("a=b; counterfoil={token};c=d")], true),
            (vec!["a=b".into(), format!("counterfoil={token}")], true),
            (vec![format!("counterfoil=bad; counterfoil={token}")], true),
            (vec![format!("{}counterfoil={token}", "counterfoil=bad; ".repeat(4))], false),
            (vec![format!("Counterfoil={token}")], false),
            (vec![format!("xcounterfoil={token}")], false),
            (vec![format!("counterfoil=\"{token}\"")], false),
            (vec![format!("counterfoil={token}A")], false),
            (vec!["counterfoil=; ;=;".into()], false),
            (vec![], false),
        ];
        let cookie = |mode| VisitorCookie::new("counterfoil", "", mode, true, 1).expect("a cookie");
        for (lines, found) in table {
            let mut headers = HeaderMap::new();
            for line in &lines {
                headers.append(COOKIE, line.parse().expect("a header"));
            }
            let expected = found.then(claim);
            assert_eq!(cookie(CookieMode::Always).read(&headers, &keyring()), expected, "{lines:?}");
            assert_eq!(cookie(CookieMode::Never).read(&headers, &keyring()), None);
        }
    }

    #[test]
    fn names_and_domains_that_break_headers_are_refused() {
        for (name, domain) in [("", ""), ("a b", ""), ("a;b", ""), ("a=b", ""), ("a", "b;c"), ("a", "b\r\nc")]
        {
            assert!(
                VisitorCookie::new(name, domain, CookieMode::Always, true, 1).is_err(),
                "{name} {domain}"
            );
        }
    }
}
