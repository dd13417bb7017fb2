//! Money: decimal, two places, never a float.

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub};
use std::str::FromStr;

/// An amount in the program's currency, two decimal places, from −10¹⁸ to 10¹⁸.
///
/// The only rounding (banker's, half to even) happens where an amount is made; sums and differences of
/// amounts are exact.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Money(Decimal);

/// Digits before the point that an amount may have: more than any sum of configured rates, so that every
/// written amount can be read.
const MOST_DIGITS: usize = 18;

/// A text is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("parse an amount like 39.00")]
pub struct BadMoney;

impl Money {
    /// Zero.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// The amount, rounded to two places.
    pub fn rounded(value: Decimal) -> Self {
        let mut value = value.round_dp_with_strategy(2, RoundingStrategy::MidpointNearestEven);
        value.rescale(2);
        // A negative zero would print as `-0.00`.
        Self(if value.is_zero() { Decimal::new(0, 2) } else { value })
    }
    /// The amount of a number of hundredths.
    pub fn from_cents(cents: i64) -> Self {
        Self::rounded(Decimal::new(cents, 2))
    }
    /// Whether it is zero.
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }
    /// The amount as a decimal.
    pub fn decimal(self) -> Decimal {
        self.0
    }
}

impl fmt::Display for Money {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `pad` rather than a direct `{:.2}`, because tables ask for a width.
        out.pad(&format!("{:.2}", self.0))
    }
}
impl fmt::Debug for Money {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl FromStr for Money {
    type Err = BadMoney;
    /// Reads `39`, `39.5`, `-39.00`: at most two places; no sign `+`, exponent, symbol or separator.
    fn from_str(text: &str) -> Result<Self, BadMoney> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, places) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !all_digits(whole) || !all_digits(places) || places.len() > 2 || whole.len() > MOST_DIGITS {
            return Err(BadMoney);
        }
        Decimal::from_str_exact(text).map(Self::rounded).map_err(|_| BadMoney)
    }
}

impl Add for Money {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self::rounded(self.0 + other.0)
    }
}
impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}
impl Sub for Money {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self::rounded(self.0 - other.0)
    }
}
impl Neg for Money {
    type Output = Self;
    fn neg(self) -> Self {
        Self::rounded(-self.0)
    }
}
impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_print_two_places_and_read_back() {
        for (text, shown) in [
            ("39", "39.00"),
            ("1999999999999999.98", "1999999999999999.98"),
            ("39.5", "39.50"),
            ("-50.00", "-50.00"),
            ("0", "0.00"),
            ("-0", "0.00"),
        ] {
            let money: Money = text.parse().expect(text);
            assert_eq!(money.to_string(), shown);
            assert_eq!(shown.parse(), Ok(money));
        }
    }

    #[test]
    fn what_is_not_an_amount_is_refused() {
        for text in ["", "-", ".5", "1.", "1.234", "1e3", "+1", "1,000", "$1", " 1", "1234567890123456789"] {
            assert_eq!(text.parse::<Money>(), Err(BadMoney), "{text}");
        }
    }

    #[test]
    fn a_half_cent_goes_to_the_even_one() {
        for (thousandths, shown) in [(1_005, "1.00"), (1_015, "1.02"), (-1_005, "-1.00")] {
            assert_eq!(Money::rounded(Decimal::new(thousandths, 3)).to_string(), shown);
        }
    }

    #[test]
    fn a_difference_of_nothing_is_plain_nothing() {
        let fee = Money::from_cents(3900);
        assert_eq!((fee - fee).to_string(), "0.00");
        assert_eq!((-(fee - fee)).to_string(), "0.00");
        assert_eq!(fee - fee, Money::ZERO);
    }
}
