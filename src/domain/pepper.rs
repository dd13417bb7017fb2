//! Keyed hashes of what must not be kept: e-mail and IP addresses of signups.
//!
//! They are compared with hashes made years before. So their key is a secret of its own that never rotates,
//! and not one of the keys that sign tokens.

use super::email::{canonical_email, mailbox_of};
use super::program::hex;
use super::token::subkey;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt;
use std::net::IpAddr;

/// A pepper has fewer than 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("use the pepper: it has fewer than 32 bytes")]
pub struct ShortPepper;

/// What a hash is of: equal bytes of two kinds have different hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hashed {
    /// An e-mail address.
    Email,
    /// An IP address.
    Ip,
}

/// The secret of keyed hashes, as the keys derived from it.
pub struct Pepper {
    email: Hmac<Sha256>,
    ip: Hmac<Sha256>,
}

impl fmt::Debug for Pepper {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Pepper")
    }
}

impl Pepper {
    /// Takes a secret of at least 32 bytes.
    pub fn new(secret: &[u8]) -> Result<Self, ShortPepper> {
        if secret.len() < 32 {
            return Err(ShortPepper);
        }
        let email = subkey(secret, b"counterfoil hash email");
        let ip = subkey(secret, b"counterfoil hash ip");
        Ok(Self { email, ip })
    }
    /// The keyed hash of bytes: 64 hex digits.
    pub fn keyed_hash(&self, of: Hashed, bytes: &[u8]) -> String {
        let key = match of {
            Hashed::Email => &self.email,
            Hashed::Ip => &self.ip,
        };
        hex(&key.clone().chain_update(bytes).finalize().into_bytes())
    }
    /// The keyed hash of an e-mail address in the form that is kept, in lower case.
    pub fn email(&self, address: &str) -> String {
        self.keyed_hash(Hashed::Email, canonical_email(address).to_lowercase().as_bytes())
    }
    /// The keyed hash of the mailbox that an address reaches: equal for all spellings of it.
    pub fn mailbox(&self, address: &str) -> String {
        self.keyed_hash(Hashed::Email, mailbox_of(address).as_bytes())
    }
    /// The keyed hash of an IP address; an IPv4 address written as IPv6 has the same hash.
    pub fn ip(&self, address: IpAddr) -> String {
        self.keyed_hash(Hashed::Ip, address.to_canonical().to_string().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_have_golden_values() {
        let pepper = Pepper::new(&[7; 32]).expect("32 bytes");
        let email = pepper.email("  Ann@Example.COM ");
        assert_eq!(email, pepper.keyed_hash(Hashed::Email, b"ann@example.com"));
        assert_eq!(email, "a7cacd8d9ba1d743f3168daa1f5ab719bec823365fe93609410e1c65dc2b54d9");
        assert_eq!(pepper.mailbox(" Ann+news@Example.COM "), email);
        assert_eq!(pepper.mailbox("a.n.n+x@GoogleMail.com"), pepper.email("ann@gmail.com"));
        let mapped: IpAddr = "::ffff:203.0.113.9".parse().expect("a literal");
        assert_eq!(pepper.ip(mapped), pepper.keyed_hash(Hashed::Ip, b"203.0.113.9"));
        assert_ne!(pepper.keyed_hash(Hashed::Ip, b"x"), pepper.keyed_hash(Hashed::Email, b"x"));
    }

    #[test]
    fn another_secret_hashes_otherwise_and_a_short_one_is_refused() {
        let [one, other] = [[7; 32], [8; 32]].map(|secret| Pepper::new(&secret).expect("32 bytes"));
        assert_ne!(one.email("a@b.c"), other.email("a@b.c"));
        assert_eq!(Pepper::new(&[7; 31]).err(), Some(ShortPepper));
        assert_eq!(format!("{one:?}"), "Pepper");
    }
}
