//! Passwords: which ones are good, and what is kept of them.

use super::account::Origin;
use super::text::{composed, decomposed};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The least number of characters.
pub const SHORTEST: usize = 12;
/// The greatest number of characters: hashing more would only cost time.
pub const LONGEST: usize = 128;

/// Words that most guessed passwords are made of, one per line, in lower case.
const COMMON: &str = include_str!("password/common.txt");

/// What is kept of a password: its argon2id hash as a PHC string.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Takes a PHC string.
    pub fn new(phc: impl Into<String>) -> Self {
        Self(phc.into())
    }
    /// The PHC string; for comparing only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("PasswordHash")
    }
}

/// What somebody signs in with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// Counts the passwords that were set, including this one; starts at 1.
    pub version: u32,
    /// Counts how often all sessions and links were ended without a new password.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ended: u32,
    /// The hash of the password.
    pub hash: PasswordHash,
    /// When it was set.
    pub changed_at: DateTime<Utc>,
    /// The record that set it; `None` if an older version did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

impl Credentials {
    /// The credentials that are valid after a password is set that replaces the version `replaces`; `None`:
    /// the known ones stay. A later version wins, and of two that replace the same version the earlier one,
    /// in whatever order nodes report them.
    pub fn after(known: Option<&Self>, hash: &PasswordHash, replaces: u32, origin: Origin) -> Option<Self> {
        let version = replaces.saturating_add(1);
        let wins = known.is_none_or(|known| {
            let is_earlier = known.origin.is_some_and(|known| origin < known);
            known.version < version || (known.version == version && is_earlier)
        });
        // A password that takes the place of another of the same version ends the sessions and links of that
        // one.
        let ended = known.map_or(0, |known| known.ended.saturating_add(u32::from(known.version == version)));
        let set = Self { version, ended, hash: hash.clone(), changed_at: origin.at, origin: Some(origin) };
        wins.then_some(set)
    }

    /// The number that sessions and links are compared with: it changes with each password, and each time
    /// that all sessions are ended.
    pub const fn generation(&self) -> u32 {
        self.version.saturating_add(self.ended)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Why a password is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPassword {
    /// Fewer than 12 characters.
    #[error("use a password of fewer than 12 characters")]
    TooShort,
    /// More than 128 characters.
    #[error("use a password of more than 128 characters")]
    TooLong,
    /// Little more than the person's e-mail or name.
    #[error("use an e-mail or a name as the password")]
    IsOwnName,
    /// Among the first that anybody would guess.
    #[error("use a password that many others use")]
    TooCommon,
}

impl BadPassword {
    /// The text that the person reads.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::TooShort => "Use at least 12 characters; a few words in a row are easy to remember.",
            Self::TooLong => "Use at most 128 characters.",
            Self::IsOwnName => "Don't use your name or e-mail address as your password.",
            Self::TooCommon => "This password is easy to guess; choose another one.",
        }
    }
}

/// The form of a password that is hashed. Some keyboards type an `é` as one character, others as two that
/// look the same: it is the same password (NFC).
pub fn normal(password: &str) -> String {
    composed(password).into_owned()
}

/// The forms in which a typed password may have been hashed, the likeliest first: the normal one and, from
/// versions that did not normalize, as it was typed on this or on another keyboard.
pub fn spellings(password: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for spelling in [normal(password), password.to_owned(), decomposed(password).into_owned()] {
        if !all.contains(&spelling) {
            all.push(spelling);
        }
    }
    all
}

/// Whether a person with this e-mail and name may choose a password. Its length matters, not the kinds of
/// characters in it.
pub fn check(password: &str, email: &str, name: &str) -> Result<(), BadPassword> {
    let letters = composed(password).chars().count();
    if letters < SHORTEST {
        return Err(BadPassword::TooShort);
    }
    if letters > LONGEST {
        return Err(BadPassword::TooLong);
    }
    let (password, core) = (password.trim().to_lowercase(), core(password));
    let email = email.trim().to_lowercase();
    let local = email.split('@').next().unwrap_or_default();
    let is_own = |own: &str| {
        let squeezed: String = own.chars().filter(|letter| letter.is_alphanumeric()).collect();
        !squeezed.is_empty() && (core == squeezed || password == own || core == self::core(own))
    };
    if is_own(&email) || is_own(local) || is_own(&name.trim().to_lowercase()) {
        return Err(BadPassword::IsOwnName);
    }
    if is_run(&password) || is_repeated(&password) || core.is_empty() || is_made_of_common_words(&core) {
        return Err(BadPassword::TooCommon);
    }
    Ok(())
}

/// A password without the digits and signs before and after it, in lower case, and with letters for the
/// digits and signs that look like them.
fn core(password: &str) -> String {
    let lower = password.to_lowercase();
    let bare = lower.trim_matches(|letter: char| !letter.is_alphabetic());
    let plain = |letter| match letter {
        '0' => 'o',
        '1' | '!' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        other => other,
    };
    bare.chars().map(plain).filter(|letter| letter.is_alphanumeric()).collect()
}

/// Whether it is neighbors on a keyboard or in the alphabet, one after the other.
fn is_run(password: &str) -> bool {
    const ROWS: [&str; 6] = [
        "abcdefghijklmnopqrstuvwxyz",
        "01234567890123456789",
        "qwertyuiop[]asdfghjkl;'zxcvbnm,./",
        "qwertzuiopasdfghjklyxcvbnm",
        "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/",
        "1q2w3e4r5t6y7u8i9o0p",
    ];
    ROWS.iter().any(|row| {
        let back: String = row.chars().rev().collect();
        row.contains(password) || back.contains(password)
    })
}

/// Whether it is a few characters, repeated.
fn is_repeated(password: &str) -> bool {
    let letters: Vec<char> = password.chars().collect();
    (1..=letters.len() / 2).take(6).any(|step| letters.iter().skip(step).eq(&letters[..letters.len() - step]))
}

/// Whether it is at most three common words and nothing else: more of them make a good password.
fn is_made_of_common_words(core: &str) -> bool {
    fn fits(left: &str, words: u32) -> bool {
        left.is_empty()
            || (words > 0
                && COMMON.lines().any(|word| {
                    !word.is_empty() && left.strip_prefix(word).is_some_and(|rest| fits(rest, words - 1))
                }))
    }
    fits(core, 3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::NodeId;

    #[test]
    fn the_table_of_passwords() {
        let table: &[(&str, Result<(), BadPassword>)] = &[
            ("", Err(BadPassword::TooShort)),
            ("elevenchars", Err(BadPassword::TooShort)),
            ("éééééééééé", Err(BadPassword::TooShort)),
            ("tulip anvil rain", Ok(())),
            ("correct horse battery staple", Ok(())),
            ("kv3-9fLq-0xTz", Ok(())),
            ("grün7Birke-Tal", Ok(())),
            ("            ", Err(BadPassword::TooCommon)),
            ("aaaaaaaaaaaa", Err(BadPassword::TooCommon)),
            ("abababababab", Err(BadPassword::TooCommon)),
            ("hallo1hallo1", Err(BadPassword::TooCommon)),
            ("123456789012", Err(BadPassword::TooCommon)),
            ("098765432109", Err(BadPassword::TooCommon)),
            ("qwertyuiop[]", Err(BadPassword::TooCommon)),
            ("1qaz2wsx3edc", Err(BadPassword::TooCommon)),
            ("abcdefghijklm", Err(BadPassword::TooCommon)),
            ("Password1234!", Err(BadPassword::TooCommon)),
            ("P@ssw0rd2026", Err(BadPassword::TooCommon)),
            ("passwordpassword1", Err(BadPassword::TooCommon)),
            ("iloveyou12345", Err(BadPassword::TooCommon)),
            ("Welcome-Summer-2026", Err(BadPassword::TooCommon)),
            ("918273645546372819", Err(BadPassword::TooCommon)),
            ("ann.smith@example.com", Err(BadPassword::IsOwnName)),
            ("Ann.Smith@Example.com1", Err(BadPassword::IsOwnName)),
            ("ann.smith2026", Err(BadPassword::IsOwnName)),
            ("AnnSmithers12", Err(BadPassword::IsOwnName)),
            ("Ann Smithers!", Err(BadPassword::IsOwnName)),
        ];
        for (password, expected) in table {
            assert_eq!(check(password, "ann.smith@example.com", "Ann Smithers"), *expected, "{password}");
        }
        assert_eq!(check(&"x1y2".repeat(33), "a@b", "A"), Err(BadPassword::TooLong));
        let longest = format!("{}tulip anvil rain", "x".repeat(112));
        assert_eq!(check(&longest, "a@b", "A"), Ok(()));
    }

    #[test]
    fn a_password_is_the_same_on_every_keyboard() {
        let (composed, apart) = ("gr\u{fc}ne W\u{e4}lder", "gru\u{308}ne Wa\u{308}lder");
        assert_eq!(normal(apart), composed);
        assert_eq!(spellings(apart), [composed, apart]);
        assert_eq!(spellings(composed), [composed, apart]);
        assert_eq!(spellings("gr\u{fc}ne Wa\u{308}lder").len(), 3, "half and half");
        assert_eq!(spellings("tulip anvil rain"), ["tulip anvil rain"], "no more work than before");
        let eleven = "e\u{301}".repeat(11);
        assert_eq!(
            check(&eleven, "a@b", "A"),
            Err(BadPassword::TooShort),
            "letters are counted, not their parts"
        );
    }

    fn origin(node: u64, second: i64) -> Origin {
        let at = DateTime::from_timestamp(1_767_276_000 + second, 0).expect("a time");
        Origin { at, node: NodeId::from_bits(node), position: 1 }
    }

    #[test]
    fn of_two_passwords_that_replace_the_same_one_the_earlier_stands() {
        let hash = PasswordHash::new;
        let kept = |version, origin| Credentials {
            version,
            ended: 3,
            hash: hash("kept"),
            changed_at: DateTime::default(),
            origin,
        };
        let first = || Some(kept(2, Some(origin(1, 5))));
        for (known, replaces, from, wins) in [
            (None, 0, origin(1, 5), true),
            // A store that lost the version before: the person who replaced it had seen it.
            (None, 4, origin(1, 5), true),
            (first(), 2, origin(2, 4), true),
            (first(), 0, origin(2, 4), false),
            (first(), 1, origin(2, 4), true),
            (first(), 1, origin(2, 5), false),
            (first(), 1, origin(1, 5), false),
            (first(), 1, origin(1, 6), false),
            // As an older version kept it, without an origin: the first to come stays.
            (Some(kept(2, None)), 1, origin(2, 4), false),
            (Some(kept(2, None)), 2, origin(2, 4), true),
        ] {
            let after = Credentials::after(known.as_ref(), &hash("new"), replaces, from);
            assert_eq!(after.is_some(), wins, "{known:?} {replaces} {from:?}");
            let Some(after) = after else { continue };
            assert_eq!((after.version, after.changed_at), (replaces + 1, from.at));
            let displaced = known.as_ref().is_some_and(|known| known.version == after.version);
            assert_eq!(after.ended, known.map_or(0, |known| known.ended) + u32::from(displaced));
        }
    }

    #[test]
    fn a_password_that_takes_the_place_of_a_later_one_ends_its_sessions_and_links() {
        let first = Credentials::after(None, &PasswordHash::new("first"), 0, origin(1, 5)).expect("it wins");
        let earlier = Credentials::after(Some(&first), &PasswordHash::new("earlier"), 0, origin(2, 4));
        let earlier = earlier.expect("it wins");
        assert!(earlier.generation() > first.generation());
        let next = Credentials::after(Some(&earlier), &PasswordHash::new("next"), 1, origin(1, 6));
        assert!(next.expect("it wins").generation() > earlier.generation());
    }

    proptest::proptest! {
        #[test]
        fn passwords_of_several_nodes_end_with_the_same_one_in_any_order(
            sets in proptest::collection::vec((0..4_u32, 1..4_u64, 0..6_i64), 1..10),
            order in proptest::collection::vec(proptest::num::u32::ANY, 10),
        ) {
            let fold = |sets: &[(usize, (u32, u64, i64))]| {
                sets.iter().fold(None, |known: Option<Credentials>, (place, (replaces, node, second))| {
                    let origin = Origin { position: *place as u64, ..origin(*node, *second) };
                    let hash = PasswordHash::new(place.to_string());
                    Credentials::after(known.as_ref(), &hash, *replaces, origin).or(known)
                })
            };
            // How often sessions were ended is kept only in this store, as the sessions are.
            let winner = |sets: &[_]| fold(sets).map(|known| (known.version, known.origin, known.hash));
            let mut sets: Vec<_> = sets.into_iter().enumerate().collect();
            let one = winner(&sets);
            sets.sort_by_key(|(place, _)| order[*place]);
            proptest::prop_assert_eq!(winner(&sets), one);
        }
    }

    #[test]
    fn a_hash_is_never_printed() {
        let hash = PasswordHash::new("$argon2id$v=19$secret");
        let credentials =
            Credentials { version: 1, ended: 0, hash, changed_at: DateTime::default(), origin: None };
        assert!(!format!("{credentials:?}").contains("argon2"));
    }

    #[test]
    fn common_words_are_lower_case_and_in_order() {
        let words: Vec<&str> = COMMON.lines().collect();
        assert!(words.windows(2).all(|pair| pair[0] < pair[1]), "sort them");
        assert!(words.iter().all(|word| word.chars().all(|letter| letter.is_ascii_lowercase())));
        assert!(words.iter().all(|word| (3..=20).contains(&word.len())));
    }
}
