//! Amounts of PayPal's: a text and a currency. They come back with other decimals than they were sent with, so they are
//! compared as numbers, and never as text or float.

use crate::domain::money::Money;
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer};
use std::str::FromStr;

/// An amount, as PayPal said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amount {
    /// The currency's code.
    pub currency: String,
    /// How much, exactly.
    pub value: Decimal,
}

/// More digits are no amount.
const MOST_DIGITS: usize = 28;

impl Amount {
    /// Whether it is this amount.
    pub fn is(&self, money: Money, currency: &str) -> bool {
        self.value == money.decimal() && self.currency == currency
    }
}

/// Reads plain digits: no exponent, sign `+`, blank or separator.
fn exactly(text: &str) -> Option<Decimal> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, places) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_plain = all_digits(whole) && all_digits(places) && digits.len() <= MOST_DIGITS;
    is_plain.then(|| Decimal::from_str(text).ok()).flatten()
}

impl Amount {
    /// Reads what PayPal wrote; `None`: it is no amount.
    pub(super) fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Self>, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Amount { currency: String, value: String },
            Other(serde::de::IgnoredAny),
        }
        Ok(match Written::deserialize(from)? {
            Written::Amount { currency, value } => exactly(&value).map(|value| Self { currency, value }),
            Written::Other(_) => None,
        })
    }
}

/// Currencies in which PayPal has no decimals.
const WHOLE: [&str; 3] = ["HUF", "JPY", "TWD"];

/// An amount as PayPal wants it, with the decimals of its currency; `None`: it can't be paid in this currency.
pub(super) fn written(money: Money, currency: &str) -> Option<String> {
    let is_code = currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_uppercase());
    if !is_code || money <= Money::ZERO {
        return None;
    }
    if !WHOLE.contains(&currency) {
        return Some(money.to_string());
    }
    let whole = money.decimal().normalize();
    (whole.scale() == 0).then(|| whole.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_the_same_with_other_decimals() {
        for (said, ours, is_same) in [
            ("190.0", "190.00", true),
            ("190", "190.00", true),
            ("190.000000", "190.00", true),
            ("0.0", "0.00", true),
            ("190.01", "190.00", false),
            ("190.001", "190.00", false),
            ("-190.00", "190.00", false),
        ] {
            let amount = Amount { currency: "USD".to_owned(), value: exactly(said).expect("an amount") };
            let ours: Money = ours.parse().expect("an amount");
            assert_eq!(amount.is(ours, "USD"), is_same, "{said}");
            assert!(!amount.is(ours, "EUR"));
        }
    }

    #[test]
    fn what_is_not_an_amount_is_none() {
        for text in ["", ".", "1.", ".5", "1e3", "+1", "1,000.00", " 1", "NaN", &"9".repeat(40)] {
            assert_eq!(exactly(text), None, "{text}");
        }
        for json in [r#"{"currency":"USD","value":12.5}"#, r#"{"value":"1"}"#, "null", "7"] {
            let mut from = serde_json::Deserializer::from_str(json);
            assert_eq!(Amount::read(&mut from).expect("JSON"), None, "{json}");
        }
    }

    #[test]
    fn an_amount_is_written_with_its_currencys_decimals() {
        for (ours, currency, written_as) in [
            ("12.5", "USD", Some("12.50")),
            ("1999999.98", "EUR", Some("1999999.98")),
            ("1200", "JPY", Some("1200")),
            ("100", "HUF", Some("100")),
            ("12.50", "TWD", None),
            ("0", "USD", None),
            ("-1", "USD", None),
            ("1", "usd", None),
            ("1", "US", None),
        ] {
            let ours: Money = ours.parse().expect("an amount");
            assert_eq!(written(ours, currency).as_deref(), written_as, "{ours} {currency}");
        }
    }
}
