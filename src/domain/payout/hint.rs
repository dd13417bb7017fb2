//! What PayPal's notifications are good for: they say that it is worth asking PayPal about one of its batches.

use crate::domain::id::BadId;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::str::FromStr;

/// The most bytes of an id; PayPal's own are far shorter.
const MOST_ID_BYTES: usize = 64;
/// The events that are remembered of a batch, the newest: PayPal sends an event again until it is taken.
const EVENTS_KEPT: usize = 16;
/// How long a hint waits. One about a batch that is not known here may be faster than our own note of the batch's id.
const WAITS_FOR: TimeDelta = TimeDelta::days(1);
/// The hints that wait at most, before a further batch is refused: PayPal tells of all batches of the account, also
/// of those that another program made.
pub const MOST_HINTS: usize = 1_000;

/// An id that PayPal gave: 1 to 64 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct PayPalId(String);

impl PayPalId {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl fmt::Display for PayPalId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}
impl FromStr for PayPalId {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        let is_id =
            (1..=MOST_ID_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_id { Ok(Self(text.to_owned())) } else { Err(BadId("PayPalId")) }
    }
}
impl<'de> Deserialize<'de> for PayPalId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What PayPal has told of one of its batches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    /// When it told something new.
    pub at: DateTime<Utc>,
    /// The newest events, the latest first.
    events: Vec<PayPalId>,
}

impl Hint {
    /// With an event that came at a time; `None`: the event is known, and says nothing new.
    pub fn with(known: Option<Self>, event: &PayPalId, at: DateTime<Utc>) -> Option<Self> {
        if known.as_ref().is_some_and(|known| known.has_heard(event)) {
            return None;
        }
        let (before, older) = known.map_or((at, Vec::new()), |known| (known.at, known.events));
        let events = std::iter::once(event.clone()).chain(older).take(EVENTS_KEPT).collect();
        Some(Self { at: at.max(before), events })
    }
    /// Whether an event is one of the newest.
    pub fn has_heard(&self, event: &PayPalId) -> bool {
        self.events.contains(event)
    }
    /// Whether it waits no longer: PayPal is asked at its usual times anyway.
    pub fn is_over(&self, now: DateTime<Utc>) -> bool {
        now - self.at > WAITS_FOR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> PayPalId {
        text.parse().expect("an id")
    }
    fn at(hour: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::hours(hour)
    }

    #[test]
    fn an_id_is_short_and_visible() {
        let longest = "x".repeat(64);
        for good in ["5UXD2E8A7EBQJ", "WH-1/a:b|c{d}", "x", &longest] {
            let parsed: PayPalId = good.parse().expect(good);
            let json = serde_json::to_string(&parsed).expect("plain data");
            assert_eq!(serde_json::from_str::<PayPalId>(&json).expect(&json), parsed);
        }
        let too_long = "x".repeat(65);
        for bad in ["", " ", "a b", "a\n", "a\u{0}", "\u{e9}", "\u{202e}x", &too_long] {
            assert!(bad.parse::<PayPalId>().is_err(), "{bad:?}");
            assert!(serde_json::from_value::<PayPalId>(bad.into()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_event_is_news_once() {
        let first = Hint::with(None, &id("WH-1"), at(5)).expect("news");
        assert_eq!(Hint::with(Some(first.clone()), &id("WH-1"), at(6)), None);
        // An earlier one that arrives later is news, and does not make the hint older.
        let second = Hint::with(Some(first), &id("WH-0"), at(4)).expect("news");
        assert_eq!(second.at, at(5));
        assert!(second.has_heard(&id("WH-1")) && second.has_heard(&id("WH-0")));
        let many = (2..40).fold(second, |hint, number| {
            Hint::with(Some(hint), &id(&format!("WH-{number}")), at(7)).expect("news")
        });
        assert_eq!(many.events.len(), EVENTS_KEPT);
        assert!(many.has_heard(&id("WH-39")) && !many.has_heard(&id("WH-1")));
    }

    #[test]
    fn a_hint_waits_a_day() {
        let hint = Hint::with(None, &id("WH-1"), at(5)).expect("news");
        for (hour, is_over) in [(0, false), (5, false), (29, false), (30, true)] {
            assert_eq!(hint.is_over(at(hour)), is_over, "{hour}");
        }
    }
}
