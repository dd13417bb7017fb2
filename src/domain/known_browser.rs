//! A browser that has signed in before, known by a signed cookie.
//!
//! The cookie gives no access: the password is still needed. But guesses of strangers do not count against
//! such a browser, so that nobody can lock a person out by guessing; the browser has a limit of its own. It
//! is valid for one person, and so for one realm. A new password leaves it valid: otherwise a person who
//! chooses one would be locked out on all other devices. "Sign out everywhere" ends it, since that is meant
//! for a lost device too.

use super::person::Person;
use super::token::{Keyring, Use};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};

/// How long a browser stays known after its last sign-in.
pub const LIFETIME: TimeDelta = TimeDelta::days(180);

/// The first byte of tokens of this kind; [`one_time`](super::one_time) has the others.
const KIND: u8 = 0x31;
/// Kind, key, person, browser, expiry, how often all sessions were ended.
const SIGNED: usize = 1 + 2 + 9 + 8 + 8 + 4;
const MAC: usize = 32;

/// The content of the cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownBrowser {
    /// Who signed in.
    pub person: Person,
    /// Identifies one browser of a person: its guesses are counted by it.
    pub id: u64,
    /// It is valid until then; in whole seconds.
    pub expires_at: DateTime<Utc>,
    /// How often the person's sessions and links had been ended when it was made.
    pub ended: u32,
}

impl KnownBrowser {
    /// A browser that signs in now.
    pub fn new(person: Person, id: u64, ended: u32, now: DateTime<Utc>) -> Self {
        Self { person, id, expires_at: now + LIFETIME, ended }
    }

    /// Whether it is still valid for a person whose sessions were ended this many times.
    pub fn is_good(&self, ended: u32, now: DateTime<Utc>) -> bool {
        now < self.expires_at && self.ended == ended
    }

    /// The signed value of the cookie.
    pub fn sign(&self, keyring: &Keyring) -> String {
        let mut raw = vec![KIND];
        raw.extend_from_slice(&keyring.current_tag());
        raw.extend_from_slice(&self.person.to_bytes());
        raw.extend_from_slice(&self.id.to_be_bytes());
        raw.extend_from_slice(&self.expires_at.timestamp().to_be_bytes());
        raw.extend_from_slice(&self.ended.to_be_bytes());
        let mac = keyring.mac(Use::KnownBrowser, &raw);
        raw.extend_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(raw)
    }

    /// Reads a cookie's value; `None`: it is not one of ours, or its key is retired.
    pub fn verify(text: &str, keyring: &Keyring) -> Option<Self> {
        // A longer value does not fit.
        let mut raw = [0; SIGNED + MAC];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut raw).ok()?;
        let (signed, mac) = raw.split_at(SIGNED);
        if length != raw.len() || signed[0] != KIND {
            return None;
        }
        keyring.verify_mac(Use::KnownBrowser, [signed[1], signed[2]], signed, mac).ok()?;
        let expires = i64::from_be_bytes(signed[20..28].try_into().ok()?);
        Some(Self {
            person: Person::from_bytes(signed[3..12].try_into().ok()?)?,
            id: u64::from_be_bytes(signed[12..20].try_into().ok()?),
            expires_at: DateTime::from_timestamp(expires, 0)?,
            ended: u32::from_be_bytes(signed[28..32].try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{AffiliateId, StaffId};

    fn keyring(current: &str, retired: &[String]) -> Keyring {
        let keys = ["k1", "k2"].map(|name| (name.to_owned(), vec![name.as_bytes()[1]; 32]));
        Keyring::new(current, &keys, retired).expect("good keys")
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a literal")
    }

    #[test]
    fn a_browser_is_known_by_its_whole_cookie_alone() {
        let now = at("2026-01-01T00:00:00Z");
        for person in [Person::Affiliate(AffiliateId::from_bits(7)), Person::Staff(StaffId::from_bits(7))] {
            let known = KnownBrowser::new(person, 42, 3, now);
            let text = known.sign(&keyring("k1", &[]));
            assert_eq!(KnownBrowser::verify(&text, &keyring("k1", &[])), Some(known));
            assert_eq!(KnownBrowser::verify(&text, &keyring("k2", &[])), Some(known), "after a rotation");
            assert_eq!(
                KnownBrowser::verify(&text, &keyring("k2", &["k1".to_owned()])),
                None,
                "a retired key"
            );
            for place in 0..text.len() {
                let mut letters = text.clone().into_bytes();
                letters[place] = if letters[place] == b'A' { b'B' } else { b'A' };
                let altered = String::from_utf8(letters).expect("ASCII");
                assert_eq!(KnownBrowser::verify(&altered, &keyring("k1", &[])), None, "{altered}");
            }
            for bad in ["", "x", &text[1..], &format!("{text}A"), &"A".repeat(10_000)] {
                assert_eq!(KnownBrowser::verify(bad, &keyring("k1", &[])), None, "{bad}");
            }
        }
    }

    #[test]
    fn a_browser_is_forgotten_in_time_and_when_all_sessions_end() {
        let now = at("2026-01-01T00:00:00Z");
        let known = KnownBrowser::new(Person::Staff(StaffId::from_bits(7)), 42, 3, now);
        assert!(known.is_good(3, now) && known.is_good(3, now + LIFETIME - TimeDelta::seconds(1)));
        assert!(!known.is_good(3, now + LIFETIME) && !known.is_good(4, now) && !known.is_good(2, now));
    }

    /// Cookies in people's browsers have to stay readable.
    #[test]
    fn a_cookie_has_golden_letters() {
        let expires_at = at("2026-06-30T00:00:00Z");
        let person = Person::Affiliate(AffiliateId::from_bits(7));
        let known = KnownBrowser { person, id: 42, expires_at, ended: 3 };
        assert_eq!(
            known.sign(&keyring("k1", &[])),
            "MWq5AQAAAAAAAAAHAAAAAAAAACoAAAAAakMHAAAAAAPW1xEsHfHGqaVDdjHgWD5V6nyh_3ri0IzGHFF6sqf6eA"
        );
    }
}
