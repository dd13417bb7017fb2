//! Standard Webhooks: who sent these bytes, and when.
//!
//! `webhook-signature` holds up to eight `v1,<base64>` of HMAC-SHA-256 over `{id}.{timestamp}.{body}`,
//! separated by spaces (<https://github.com/standard-webhooks/standard-webhooks>). All is verified over
//! the raw bytes before any of them is parsed, and every fault gets the same answer.

use super::refused::Cause;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

/// The header with the delivery's id.
pub const ID: &str = "webhook-id";
/// The header with the Unix time of sending, in seconds.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// The header with the signatures.
pub const SIGNATURE: &str = "webhook-signature";

/// How far a delivery's time may lie from now, either way.
pub const TOLERANCE_S: i64 = 300;
/// A number whose first digits are so close to now is a time of these days in a smaller unit.
const ONE_DAY_S: i64 = 86_400;
/// Signatures that are looked at; a sender that rotates its secret sends two.
const MAX_SIGNATURES: usize = 8;
/// Longest id of a delivery, in bytes.
const MAX_ID_BYTES: usize = 256;

/// A text is not `whsec_` and the base64 of 24 to 64 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("parse a webhook secret: `whsec_` and the base64 of 24 to 64 random bytes")]
pub struct BadSecret;

/// The secrets that callbacks may be signed with: several while one is replaced by another.
#[derive(Default)]
pub struct WebhookSecrets {
    keys: Vec<Vec<u8>>,
}

impl std::fmt::Debug for WebhookSecrets {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "WebhookSecrets({})", self.keys.len())
    }
}

impl WebhookSecrets {
    /// Reads secrets as the sender's side shows them.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, BadSecret> {
        let keys = texts.into_iter().map(parse_secret).collect::<Result<_, _>>()?;
        Ok(Self { keys })
    }

    /// Verifies a delivery at `now`, in Unix seconds; answers its id.
    pub fn verify<'a>(&self, headers: &'a HeaderMap, body: &[u8], now: i64) -> Result<&'a [u8], Cause> {
        let id = only(headers, ID)?;
        let timestamp = only(headers, TIMESTAMP)?;
        let signatures = only(headers, SIGNATURE)?;
        // With a dot in it, the beginning of what is signed could be another id and another time.
        if !is_delivery_id(id) || id.contains(&b'.') {
            return Err(Cause::MalformedId);
        }
        let behind = now - parse_timestamp(timestamp, now)?;
        if behind > TOLERANCE_S {
            return Err(Cause::TooOld(behind));
        }
        if behind < -TOLERANCE_S {
            return Err(Cause::TooNew(-behind));
        }
        let expected: Vec<String> = self.keys.iter().map(|key| sign(key, id, timestamp, body)).collect();
        if any_matches(signatures, &expected)? { Ok(id) } else { Err(Cause::NoMatch) }
    }
}

/// The value of a header that must be there exactly once.
pub fn only<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a [u8], Cause> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or(Cause::MissingHeader(name))?;
    if values.next().is_some() { Err(Cause::DoubleHeader(name)) } else { Ok(value.as_bytes()) }
}

/// Whether bytes may be a delivery's id: 1 to 256 printable ASCII characters.
pub fn is_delivery_id(id: &[u8]) -> bool {
    (1..=MAX_ID_BYTES).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

/// The base64 of the signature of a delivery.
pub fn sign(key: &[u8], id: &[u8], timestamp: &[u8], body: &[u8]) -> String {
    // HMAC takes keys of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in [id, b".", timestamp, b".", body] {
        mac.update(part);
    }
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Whether a signature of the list is one of those expected. All are compared, each in constant time; as
/// their base64 is compared, only the canonical form of each is good.
fn any_matches(signatures: &[u8], expected: &[String]) -> Result<bool, Cause> {
    let mut found = Choice::from(0);
    for (place, signature) in signatures.split(|&byte| byte == b' ').enumerate() {
        if place >= MAX_SIGNATURES {
            return Err(Cause::TooManySignatures);
        }
        // Other versions, as `v1a` of asymmetric keys, may stand beside ours.
        let Some(given) = signature.strip_prefix(b"v1,") else { continue };
        for expected in expected {
            found |= given.ct_eq(expected.as_bytes());
        }
    }
    Ok(found.into())
}

fn parse_timestamp(text: &[u8], now: i64) -> Result<i64, Cause> {
    let is_number = (1..=19).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    let number = |digits: &[u8]| digits.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
    match text.len() {
        _ if !is_number => Err(Cause::MalformedTimestamp),
        1..=12 => Ok(number(text)),
        13 | 16 | 19 if (number(&text[..10]) - now).abs() <= ONE_DAY_S => Err(Cause::NotSeconds),
        _ => Err(Cause::MalformedTimestamp),
    }
}

fn parse_secret(text: &str) -> Result<Vec<u8>, BadSecret> {
    let base64 = text.strip_prefix("whsec_").ok_or(BadSecret)?;
    let key = STANDARD.decode(base64).map_err(|_| BadSecret)?;
    if (24..=64).contains(&key.len()) { Ok(key) } else { Err(BadSecret) }
}

#[cfg(test)]
mod tests;
