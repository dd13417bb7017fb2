//! Ids of batches and items. They are made of what they are for, so that a repeated step can't make a second one.

use crate::domain::calendar::Month;
use crate::domain::id::{AffiliateId, BadId};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// A payout batch: its month, and a number that begins at 1 and goes up when a batch of the month was discarded.
/// Shown as `pay_2026-09-1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PayoutId {
    /// The newest month that it pays.
    pub month: Month,
    /// The number of the batch for this month, from 1 to [`MOST_BATCHES`].
    pub number: u16,
}

/// Batches of one month: an id of an item has at most 30 characters.
pub const MOST_BATCHES: u16 = 999;

/// An item: what a batch pays one affiliate. Shown as `pay_2026-09-1_0k3v…`, at most 30 characters without blanks, so
/// that it fits PayPal's file and its API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId {
    /// Its batch.
    pub payout: PayoutId,
    /// Who is paid.
    pub affiliate: AffiliateId,
}

/// What an affiliate's id begins with.
const AFFILIATE: &str = "aff_";

impl fmt::Display for PayoutId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(&format!("pay_{}-{}", self.month, self.number))
    }
}
impl FromStr for PayoutId {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = BadId("PayoutId");
        let (month, number) = text.strip_prefix("pay_").and_then(|rest| rest.rsplit_once('-')).ok_or(bad)?;
        let id = Self { month: month.parse().map_err(|_| bad)?, number: number.parse().map_err(|_| bad)? };
        // One id has one text.
        let is_canonical = (1..=MOST_BATCHES).contains(&id.number) && id.to_string() == text;
        if is_canonical { Ok(id) } else { Err(bad) }
    }
}

impl fmt::Display for ItemId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let affiliate = self.affiliate.to_string();
        write!(out, "{}_{}", self.payout, affiliate.strip_prefix(AFFILIATE).unwrap_or(&affiliate))
    }
}
impl FromStr for ItemId {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = BadId("ItemId");
        let (payout, affiliate) = text.rsplit_once('_').ok_or(bad)?;
        let affiliate = format!("{AFFILIATE}{affiliate}").parse().map_err(|_| bad)?;
        Ok(Self { payout: payout.parse().map_err(|_| bad)?, affiliate })
    }
}

macro_rules! as_text {
    ($name:ident) => {
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
as_text!(PayoutId);
as_text!(ItemId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_and_read_back() {
        for (number, text) in [(1, "pay_2026-09-1"), (MOST_BATCHES, "pay_2026-09-999")] {
            let id = PayoutId { month: "2026-09".parse().expect("a month"), number };
            assert_eq!(id.to_string(), text);
            assert_eq!(text.parse(), Ok(id));
            let item = ItemId { payout: id, affiliate: AffiliateId::from_bits(u64::MAX) };
            let text = item.to_string();
            assert!(text.len() <= 30 && !text.contains(' '), "{text}");
            assert_eq!(text.parse(), Ok(item));
        }
    }

    #[test]
    fn no_other_text_is_an_id() {
        for text in [
            "",
            "pay_",
            "pay_2026-09",
            "pay_2026-09-0",
            "pay_2026-09-01",
            "pay_2026-9-1",
            "pay_2026-09-1000",
            "pay_2026-13-1",
            "pay_2026-09-1 ",
            "2026-09-1",
            "pay_2026-09--1",
        ] {
            assert!(text.parse::<PayoutId>().is_err(), "{text}");
            assert!(format!("{text}_0000000000001").parse::<ItemId>().is_err(), "{text}");
        }
        assert!("pay_2026-09-1_".parse::<ItemId>().is_err());
    }
}
