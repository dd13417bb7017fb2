//! Ids: each kind is a type of its own, parsed where it comes in, so that a `String` is never an id further
//! inside.
//!
//! Ids that we make are 63 random bits, shown as a prefix and 13 letters and digits (`aff_0k3v…`). Nodes make
//! them without asking each other: among 10⁶ ids, two are equal with a probability of 10⁻⁷.

use super::text;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// A text is not an id of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("parse {0}")]
pub struct BadId(pub &'static str);

/// Lower-case letters and digits without `i l o u`, which people confuse with others.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const DIGITS: usize = 13;

fn write_base32(prefix: &str, value: u64, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = [0u8; DIGITS];
    for (place, slot) in text.iter_mut().enumerate() {
        let shift = 5 * (DIGITS - 1 - place);
        *slot = ALPHABET[((value >> shift) & 31) as usize];
    }
    out.write_str(prefix)?;
    for byte in text {
        fmt::Write::write_char(out, char::from(byte))?;
    }
    Ok(())
}

fn read_base32(text: &str) -> Option<u64> {
    if text.len() != DIGITS {
        return None;
    }
    let value = text.bytes().try_fold(0u128, |value, byte| {
        let digit = ALPHABET.iter().position(|&letter| letter == byte)?;
        Some(value << 5 | digit as u128)
    })?;
    i64::try_from(value).ok().map(i64::cast_unsigned)
}

fn random_63_bits() -> u64 {
    // The operating system's generator only fails where no process could make keys or sessions either;
    // stopping is all that can be done.
    let bits = getrandom::u64().expect("the operating system gives random numbers");
    bits >> 1
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        // All ids have the same, whether each of it is used or not.
        #[allow(dead_code)]
        impl $name {
            /// A new random id.
            pub fn random() -> Self {
                Self(random_63_bits())
            }
            /// The id with these 63 bits; the highest bit is dropped.
            pub const fn from_bits(bits: u64) -> Self {
                Self(bits & (u64::MAX >> 1))
            }
            /// The id's 63 bits.
            pub const fn bits(self) -> u64 {
                self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_base32($prefix, self.0, out)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, out)
            }
        }
        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                text.strip_prefix($prefix)
                    .and_then(read_base32)
                    .map(Self)
                    .ok_or(BadId(stringify!($name)))
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

random_id!(
    /// A partner who may earn commissions.
    AffiliateId,
    "aff_"
);
random_id!(
    /// A signed address of an affiliate.
    LinkId,
    "lnk_"
);
random_id!(
    /// A member of staff.
    StaffId,
    "stf_"
);
random_id!(
    /// A referral that an affiliate says is missing.
    ClaimId,
    "clm_"
);
random_id!(
    /// The data directory of a server process, for as long as that directory exists.
    NodeId,
    "node_"
);

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $most:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        // All ids have the same, whether each of it is used or not.
        #[allow(dead_code)]
        impl $name {
            /// The id as the company writes it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }
        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
                if (1..=$most).contains(&text.len()) && text.bytes().all(allowed) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(BadId(stringify!($name)))
                }
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

text_id!(
    /// A customer of the company, by the company's own id: 1–128 of `A-Za-z0-9_.:-`.
    AccountId,
    128
);
text_id!(
    /// An event of an account, unique for the account: 1–128 of `A-Za-z0-9_.:-`.
    EventId,
    128
);
text_id!(
    /// A line by hand, unique for its affiliate: 1–64 of `A-Za-z0-9_.:-`.
    LineKey,
    64
);

impl LineKey {
    /// A new random key.
    pub fn random() -> Self {
        Self(format!("line-{:016x}", random_63_bits()))
    }
}

/// A plan of the company, compared in lower case: 1–64 printable characters without space at the ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Plan(String);

impl Plan {
    /// The plan's name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl FromStr for Plan {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        let plan = text.trim().to_lowercase();
        if (1..=64).contains(&plan.len()) && !plan.chars().any(char::is_control) {
            Ok(Self(plan))
        } else {
            Err(BadId("Plan"))
        }
    }
}

impl<'de> Deserialize<'de> for Plan {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What a prospect may type instead of following a link: 3–32 of `A-Za-z0-9-`, read as [`ReferralCode::fold`] says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ReferralCode(String);

impl ReferralCode {
    /// The code in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// A typed or pasted text in the form of a code: without blanks and invisible characters, in plain lower
    /// case, with plain dashes, and without quotes or a full stop around it.
    pub fn fold(text: &str) -> String {
        let plain = text::plain(text);
        let letters = plain.chars().filter(|letter| !letter.is_whitespace());
        let code: String = letters.map(|letter| if text::is_dash(letter) { '-' } else { letter }).collect();
        code.trim_matches(|letter: char| !letter.is_alphanumeric() && letter != '-').to_ascii_lowercase()
    }
    /// A new random code of eight letters and digits.
    pub fn random() -> Self {
        let mut bits = random_63_bits();
        let letters = std::iter::repeat_with(|| {
            let letter = ALPHABET[(bits & 31) as usize];
            bits >>= 5;
            char::from(letter)
        });
        Self(letters.take(8).collect())
    }
}

impl fmt::Display for ReferralCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl FromStr for ReferralCode {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        let code = Self::fold(text);
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if (3..=32).contains(&code.len()) && code.bytes().all(allowed) {
            Ok(Self(code))
        } else {
            Err(BadId("ReferralCode"))
        }
    }
}

impl<'de> Deserialize<'de> for ReferralCode {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A click: a UUID of version 7, whose first 48 bits are the click's Unix time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClickId(pub Uuid);

impl ClickId {
    /// When the click was made, in Unix milliseconds.
    pub fn millis(self) -> i64 {
        let bytes = self.0.as_bytes();
        let mut wide = [0u8; 8];
        wide[2..].copy_from_slice(&bytes[..6]);
        i64::from_be_bytes(wide)
    }
}

impl fmt::Display for ClickId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, out)
    }
}

/// A browser, known by a signed first-party cookie: the UUID of version 7 of its first click, so that stored
/// visitors are in the order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VisitorId(pub Uuid);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_what_they_print() {
        for bits in [0, 1, 31, 32, u64::MAX >> 1, 0x0123_4567_89ab_cdef] {
            let id = AffiliateId::from_bits(bits);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn ids_of_another_kind_or_form_are_refused() {
        let link = LinkId::random().to_string();
        assert!(link.parse::<AffiliateId>().is_err());
        for text in ["", "aff_", "aff_zzzzzzzzzzzzz", "aff_0000000000000x", "aff_000000000000U"] {
            assert!(text.parse::<AffiliateId>().is_err(), "{text}");
        }
    }

    #[test]
    fn names_of_the_company_have_bounds() {
        assert!("acct_81".parse::<AccountId>().is_ok());
        assert!("a".repeat(128).parse::<AccountId>().is_ok());
        for text in ["", "a b", "a/b", "é", &"a".repeat(129)] {
            assert!(text.parse::<AccountId>().is_err(), "{text}");
        }
        assert_eq!(" Growth ".parse::<Plan>().map(|plan| plan.to_string()), Ok("growth".into()));
        assert!("  ".parse::<Plan>().is_err());
        assert_eq!(" AbC-1 ".parse::<ReferralCode>(), "abc-1".parse());
    }

    #[test]
    fn a_code_is_known_however_it_was_pasted() {
        let same = [
            "jane-10",
            " JANE-10\n",
            "jane-10.",
            "jane-10,",
            "\u{201c}Jane-10\u{201d}",
            "\u{ab}jane-10\u{bb}!",
            "(jane-10)",
            "#jane-10",
            "ja ne - 10",
            "jane\u{a0}-10",
            "\u{feff}jane\u{200b}-10\u{200e}",
            "ja\u{ad}ne-10",
            "\u{202a}jane-10\u{202c}",
            "jane\u{2011}10",
            "jane\u{2013}10",
            "jane\u{2212}10",
            "\u{ff2a}\u{ff21}\u{ff2e}\u{ff25}\u{ff0d}\u{ff11}\u{ff10}",
            "jane-10\u{1f600}",
            "jane-10\u{fffd}",
        ];
        for text in same {
            assert_eq!(
                text.parse::<ReferralCode>().map(|code| code.to_string()),
                Ok("jane-10".into()),
                "{text:?}"
            );
        }
        for other in
            ["", "...", "ja", "jané", "éjane", "jane_10", "jane.10", "jane/10", "я-jane", &"a".repeat(33)]
        {
            assert!(other.parse::<ReferralCode>().is_err(), "{other:?}");
        }
    }

    #[test]
    fn a_click_id_tells_its_time() {
        let id = Uuid::parse_str("017f22e2-79b0-7cc3-98c4-dc0c0c07398f").expect("a literal");
        assert_eq!(ClickId(id).millis(), 1_645_557_742_000);
    }
}
