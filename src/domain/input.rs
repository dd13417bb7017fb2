//! What people and programs type in: one type for each sort of field, with its limits, so that forms, the API and the
//! command line take the same.

use super::by_hand::MOST_CENTS;
use super::calendar::Zone;
use super::email::read_email;
use super::money::Money;
use super::text::is_blank;
use super::website::read_website;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

/// A person's or a company's name.
pub type Name = Line<200>;
/// The name of a link.
pub type Label = Line<100>;
/// What identifies a payment elsewhere.
pub type Reference = Line<100>;
/// Why somebody did something.
pub type Reason = Line<500>;
/// A text of several lines.
pub type Text = Paragraph<2_000>;
/// Where mail goes.
pub type Email = Address<254>;
/// Where payouts go. PayPal takes at most 127 bytes.
pub type PaypalEmail = Address<127>;

/// Why an input is not taken, in a sentence for the person who typed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadInput {
    /// Nothing of it can be seen.
    #[error("Please fill this in.")]
    Blank,
    /// It has more characters than this.
    #[error("Please use at most {0} characters.")]
    TooLong(usize),
    /// It has several lines, or control characters.
    #[error("Please write this on one line.")]
    ManyLines,
    /// It has characters that change the text around it, or can't be shown.
    #[error("This holds characters that can't be shown.")]
    NotShowable,
    /// Mail can't be sent there.
    #[error("This does not look like an e-mail address, such as ann@example.com.")]
    NotAnEmail,
    /// It is not the address of a web site.
    #[error("This does not look like a web address, such as example.com.")]
    NotAWebSite,
    /// It is not one of the configured choices.
    #[error("Please choose one of the list.")]
    NotListed,
    /// Links must not lead there; these are the hosts to which they may.
    #[error("Links can lead to pages of {0} only.")]
    NotADestination(String),
    /// It is not an amount like -25.00, or it is nothing, or too much.
    #[error("Please give an amount such as 50.00 or -25.00: not zero, and at most 100,000.00 up or down.")]
    NotAnAmount,
    /// It is not an instant from the year 2000 on.
    #[error("Please give a time such as 2026-05-04T04:15:00-04:00.")]
    NotAnInstant,
    /// An affiliate is active from the time at which it accepted the agreement, and only then.
    #[error("An active affiliate needs the time at which it accepted the agreement, not after now.")]
    NotAgreed,
}

/// A text of one line and at most `MOST` characters, trimmed, of which something can be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<const MOST: usize>(String);

/// A text of at most `MOST` characters that may have several lines, trimmed, of which something can be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paragraph<const MOST: usize>(String);

/// An e-mail address of at most `MOST` bytes, in the form in which it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address<const MOST: usize>(String);

/// The address of a web site; without a scheme it is one of `https`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSite(String);

/// An instant: RFC 3339, from the year 2000 on. A leap second is the first instant of the next minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instant(pub DateTime<Utc>);

/// The amount of a line by hand: a bonus, or, below zero, a claw-back; never nothing, and within
/// [`MOST_CENTS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandAmount(Money);

impl FromStr for HandAmount {
    type Err = BadInput;
    fn from_str(text: &str) -> Result<Self, BadInput> {
        let amount: Money = text.trim().parse().map_err(|_| BadInput::NotAnAmount)?;
        let most = Money::from_cents(MOST_CENTS);
        let is_fit = !amount.is_zero() && (-most..=most).contains(&amount);
        if is_fit { Ok(Self(amount)) } else { Err(BadInput::NotAnAmount) }
    }
}

impl From<HandAmount> for Money {
    fn from(amount: HandAmount) -> Self {
        amount.0
    }
}

impl<'de> Deserialize<'de> for HandAmount {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

impl PartialSchema for HandAmount {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new().schema_type(Type::String);
        text.pattern(Some(r"^-?[0-9]{1,6}(\.[0-9]{1,2})?$")).build().into()
    }
}
impl ToSchema for HandAmount {}

const YEAR_2000: i64 = 946_684_800;

impl FromStr for Instant {
    type Err = BadInput;
    fn from_str(text: &str) -> Result<Self, BadInput> {
        let at = DateTime::parse_from_rfc3339(text).map_err(|_| BadInput::NotAnInstant)?;
        let nanos = TimeDelta::nanoseconds(i64::from(at.timestamp_subsec_nanos()));
        let second = DateTime::from_timestamp(at.timestamp(), 0).filter(|at| at.timestamp() >= YEAR_2000);
        second.map(|second| Self(second + nanos)).ok_or(BadInput::NotAnInstant)
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// A day, or an instant that lies in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// A day of the program.
    Day(NaiveDate),
    /// An instant.
    At(Instant),
}

impl Moment {
    /// The day, in the program's zone.
    pub fn day(self, zone: &Zone) -> NaiveDate {
        match self {
            Self::Day(day) => day,
            Self::At(Instant(at)) => zone.date_of(at),
        }
    }
}
impl FromStr for Moment {
    type Err = BadInput;
    fn from_str(text: &str) -> Result<Self, BadInput> {
        let first = NaiveDate::from_ymd_opt(2000, 1, 1);
        match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
            Ok(day) if Some(day) >= first && day.to_string() == text => Ok(Self::Day(day)),
            Ok(_) => Err(BadInput::NotAnInstant),
            Err(_) => text.parse().map(Self::At),
        }
    }
}
impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}
impl PartialSchema for Moment {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new().schema_type(Type::String);
        text.examples([serde_json::json!("2026-10-31")]).build().into()
    }
}
impl ToSchema for Moment {}

impl<const MOST: usize> FromStr for Line<MOST> {
    type Err = BadInput;
    fn from_str(text: &str) -> Result<Self, BadInput> {
        let text = sized(text, MOST)?;
        if text.contains(breaks_line) {
            Err(BadInput::ManyLines)
        } else if text.contains(turns_direction) {
            Err(BadInput::NotShowable)
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

impl<const MOST: usize> FromStr for Paragraph<MOST> {
    type Err = BadInput;
    fn from_str(text: &str) -> Result<Self, BadInput> {
        let text = sized(text, MOST)?;
        let is_control = |letter: char| letter.is_control() && !matches!(letter, '\n' | '\r' | '\t');
        if text.contains(is_control) { Err(BadInput::NotShowable) } else { Ok(Self(text.to_owned())) }
    }
}

impl<const MOST: usize> FromStr for Address<MOST> {
    type Err = BadInput;
    fn from_str(text: &str) -> Result<Self, BadInput> {
        if text.trim().is_empty() {
            return Err(BadInput::Blank);
        }
        read_email(text, MOST).map(Self).ok_or(BadInput::NotAnEmail)
    }
}

impl FromStr for WebSite {
    type Err = BadInput;
    fn from_str(text: &str) -> Result<Self, BadInput> {
        let text = sized(text, 2_048)?;
        read_website(&with_scheme(text)).map(Self).ok_or(BadInput::NotAWebSite)
    }
}

/// The address of a page as browsers read what people type: without a scheme it is one of `https`.
pub fn with_scheme(text: &str) -> Cow<'_, str> {
    if text.contains("://") { text.into() } else { format!("https://{text}").into() }
}

fn sized(text: &str, most: usize) -> Result<&str, BadInput> {
    let text = text.trim();
    if is_blank(text) {
        Err(BadInput::Blank)
    } else if text.chars().count() > most {
        Err(BadInput::TooLong(most))
    } else {
        Ok(text)
    }
}

/// What has no place in a text of one line.
pub fn breaks_line(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}')
}

/// Turns the direction of the text after it, also outside of the field: a name could make the page around it say
/// something else. Names in scripts that are written from right to left don't need it.
pub fn turns_direction(letter: char) -> bool {
    matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What all of these types have in common: they are texts.
macro_rules! texts {
    ($( ($($generic:tt)*) $type:ty: $schema:expr; )*) => { $(
        impl<$($generic)*> $type {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl<$($generic)*> From<$type> for String {
            fn from(text: $type) -> Self {
                text.0
            }
        }
        impl<$($generic)*> fmt::Display for $type {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }
        impl<'de, $($generic)*> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                Cow::<'de, str>::deserialize(from)?.parse().map_err(D::Error::custom)
            }
        }
        impl<$($generic)*> PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                let text = ObjectBuilder::new().schema_type(Type::String);
                let schema: fn(ObjectBuilder) -> ObjectBuilder = $schema;
                schema(text).build().into()
            }
        }
        impl<$($generic)*> ToSchema for $type {}
    )* };
}

texts! {
    (const MOST: usize) Line<MOST>: |text| text.min_length(Some(1)).max_length(Some(MOST));
    (const MOST: usize) Paragraph<MOST>: |text| text.min_length(Some(1)).max_length(Some(MOST));
    (const MOST: usize) Address<MOST>: |text| {
        text.max_length(Some(MOST)).format(Some(SchemaFormat::KnownFormat(KnownFormat::Email)))
    };
    () WebSite: |text| text.max_length(Some(2_048));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_short_visible_and_one() {
        let long = "x".repeat(11);
        let table = [
            ("  Ann Lee ", Ok("Ann Lee")),
            ("שלום", Ok("שלום")),
            ("", Err(BadInput::Blank)),
            ("\u{3164}\u{200b}", Err(BadInput::Blank)),
            (long.as_str(), Err(BadInput::TooLong(10))),
            ("A\nB", Err(BadInput::ManyLines)),
            ("A\u{2028}B", Err(BadInput::ManyLines)),
            ("A\0B", Err(BadInput::ManyLines)),
            ("Ann\u{202e}", Err(BadInput::NotShowable)),
            ("\u{2066}Ann\u{2069}", Err(BadInput::NotShowable)),
        ];
        for (typed, kept) in table {
            assert_eq!(typed.parse::<Line<10>>().map(String::from), kept.map(str::to_owned), "{typed:?}");
        }
    }

    #[test]
    fn an_amount_by_hand_is_something_and_not_too_much() {
        let table = [
            ("25", Some("25.00")),
            (" -25.5 ", Some("-25.50")),
            ("0.01", Some("0.01")),
            ("100000.00", Some("100000.00")),
            ("-100000", Some("-100000.00")),
            ("100000.01", None),
            ("-100000.01", None),
            ("0", None),
            ("-0.00", None),
            ("0.001", None),
            ("1,000.00", None),
            ("$5", None),
            ("", None),
        ];
        for (typed, kept) in table {
            let read = typed.parse::<HandAmount>().map(|amount| Money::from(amount).to_string());
            assert_eq!(read, kept.map(str::to_owned).ok_or(BadInput::NotAnAmount), "{typed:?}");
        }
    }

    #[test]
    fn a_paragraph_may_have_several_lines() {
        let table = [
            (" By mail\r\n\tand more ", Ok("By mail\r\n\tand more")),
            ("\u{2800}", Err(BadInput::Blank)),
            ("A\0B", Err(BadInput::NotShowable)),
        ];
        for (typed, kept) in table {
            assert_eq!(typed.parse::<Text>().map(String::from), kept.map(str::to_owned), "{typed:?}");
        }
        assert_eq!("x".repeat(2_001).parse::<Text>(), Err(BadInput::TooLong(2_000)));
    }

    #[test]
    fn an_address_of_mail_has_its_length_in_bytes() {
        let payouts = |text: &str| text.parse::<PaypalEmail>().map(String::from);
        assert_eq!(payouts(" a@b.example "), Ok("a@b.example".to_owned()));
        assert_eq!(payouts(" "), Err(BadInput::Blank));
        assert_eq!(payouts("ann"), Err(BadInput::NotAnEmail));
        let long = format!("{}@{}.example", "x".repeat(60), "y".repeat(60));
        assert_eq!(payouts(&long), Err(BadInput::NotAnEmail));
        assert!(long.parse::<Email>().is_ok());
    }

    #[test]
    fn a_web_site_may_be_typed_without_a_scheme() {
        let table = [
            ("example.com", Ok("https://example.com/")),
            (" http://example.com/x ", Ok("http://example.com/x")),
            ("", Err(BadInput::Blank)),
            ("localhost", Err(BadInput::NotAWebSite)),
            ("javascript:x", Err(BadInput::NotAWebSite)),
            ("well-known.example@evil.example", Err(BadInput::NotAWebSite)),
        ];
        for (typed, kept) in table {
            assert_eq!(typed.parse::<WebSite>().map(String::from), kept.map(str::to_owned), "{typed:?}");
        }
    }

    fn read_instant(text: &str) -> Option<DateTime<Utc>> {
        text.parse().ok().map(|Instant(at)| at)
    }

    #[test]
    fn instants_are_exact_whatever_their_offset() {
        let same = [
            "2026-01-01T10:00:00-05:00",
            "2026-01-01T15:00:00Z",
            "2026-01-01T15:00:00.000Z",
            "2026-01-01t15:00:00z",
            "2026-01-01T20:45:00+05:45",
            "2026-01-01T14:59:60Z",
        ];
        let at: DateTime<Utc> = "2026-01-01T15:00:00Z".parse().expect("a literal");
        for text in same {
            assert_eq!(read_instant(text), Some(at), "{text}");
        }
        assert_eq!(
            read_instant("2026-01-01T15:00:00.123456789Z").map(|at| at.timestamp_subsec_nanos()),
            Some(123_456_789)
        );
    }

    #[test]
    fn what_is_not_an_instant_is_none() {
        let bad = [
            "",
            "now",
            "2026-01-01",
            "2026-01-01T10:00:00",
            "2026-01-01 10:00",
            "2026-02-30T10:00:00Z",
            "2026-13-01T10:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T10:60:00Z",
            "2026-01-01T10:00:61Z",
            "2026-01-01T10:00:00+24:00",
            "2026-01-01T10:00:00 Z",
            " 2026-01-01T10:00:00Z",
            "2026-01-01T10:00:00Z ",
            "26-01-01T10:00:00Z",
            "12026-01-01T10:00:00Z",
            "+2026-01-01T10:00:00Z",
            "-2026-01-01T10:00:00Z",
            "1999-12-31T23:59:59Z",
            "0000-01-01T00:00:00Z",
            "1767225600",
            "2026-01-01T10:00:00Zjunk",
            "２０２６-01-01T10:00:00Z",
        ];
        for text in bad {
            assert_eq!(read_instant(text), None, "{text}");
        }
    }
}
