//! Who sent a notification: judged by its signature, without asking PayPal each time.
//!
//! A notification is only a hint: it is never believed as to what it says. The judgment keeps strangers from making us
//! ask PayPal all the time, and its text out of our log.

mod authority;
mod certificate;

use super::{BadSettings, is_loopback};
use authority::Authority;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use certificate::Certificates;
use chrono::{DateTime, Utc};
use http::HeaderMap;
use serde::Serialize;
use serde_json::value::RawValue;
use url::Url;

/// The id that the events of PayPal's simulator are signed for.
const SIMULATOR: &str = "WEBHOOK_ID";
/// The algorithm that PayPal signs with.
const ALGORITHM: &str = "SHA256withRSA";
/// The most bytes of one of the headers.
const MOST_HEADER_BYTES: usize = 1_024;

/// What to judge notifications by.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// Where PayPal's API is. If that is on a loopback address, certificates may be there too.
    pub url: Url,
    /// The id of the webhook, which PayPal shows: it is part of what is signed.
    pub webhook_id: String,
    /// Authorities, and certificates between them and PayPal's, in PEM form, besides the public ones.
    pub authorities_pem: Option<Vec<u8>>,
    /// How long PayPal may take to give a certificate.
    pub timeouts: super::Timeouts,
}

/// The headers of a notification that say who sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmission {
    /// The id of this sending.
    pub id: String,
    /// When it was sent, as it is written there.
    pub time: String,
    /// The signature, in base64.
    pub signature: String,
    /// Where the certificate is.
    pub cert_url: String,
    /// How it is signed.
    pub auth_algo: String,
}

/// Who sent a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgment {
    /// PayPal did, for our webhook.
    Verified,
    /// Somebody else did, or it was altered.
    Forged(Forgery),
    /// It can't be judged here: PayPal has to be asked.
    CantDecide(Doubt),
}

/// Why a notification is not PayPal's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Forgery {
    /// One of the headers is missing, or no text that PayPal would send.
    #[error("a header of PayPal's is missing or unreadable")]
    Headers,
    /// The certificate is not at PayPal.
    #[error("the certificate is not at PayPal's address")]
    CertificateUrl,
    /// The signature is not that of this notification for our webhook.
    #[error("the signature does not fit; is the id of the webhook right?")]
    Signature,
    /// PayPal's simulator sent it, which knows no webhook.
    #[error("it is from PayPal's simulator, whose events are signed for no webhook")]
    Simulator,
}

/// Why a notification can't be judged without PayPal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// An algorithm that we don't know.
    #[error("it is signed by another algorithm")]
    Algorithm,
    /// The certificate can't be fetched now.
    #[error("the certificate can't be fetched")]
    NoCertificate,
    /// What is at its address is no certificate.
    #[error("what is at the certificate's address is none")]
    NotACertificate,
    /// None of the authorities that we know vouches for it.
    #[error("the certificate's authority is not known here")]
    UnknownAuthority,
    /// It is not valid now.
    #[error("the certificate is not valid now")]
    NotValidNow,
    /// It is for another purpose, or damaged.
    #[error("the certificate can't be used")]
    Unusable,
    /// It is for another name than that of PayPal's notifications.
    #[error("the certificate is for another name")]
    OtherName,
}

impl Transmission {
    /// The headers; `None`: one is missing, or can't be PayPal's.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let header = |name: &str| {
            let mut values = headers.get_all(name).iter();
            let value = values.next()?.to_str().ok()?;
            let fits = values.next().is_none() && !value.is_empty() && value.len() <= MOST_HEADER_BYTES;
            fits.then(|| value.to_owned())
        };
        Some(Self {
            id: header("paypal-transmission-id")?,
            time: header("paypal-transmission-time")?,
            signature: header("paypal-transmission-sig")?,
            cert_url: header("paypal-cert-url")?,
            auth_algo: header("paypal-auth-algo")?,
        })
    }

    /// What is signed: the checksum is that of the body as it came, not of what is read from it.
    fn signed_text(&self, webhook_id: &str, body: &[u8]) -> String {
        format!("{}|{}|{webhook_id}|{}", self.id, self.time, crc32fast::hash(body))
    }
}

/// Judges notifications.
pub struct Webhooks {
    webhook_id: String,
    certificates: Certificates,
}

impl Webhooks {
    /// A judge for one webhook.
    pub fn new(settings: &WebhookSettings) -> Result<Self, BadSettings> {
        let may_be_simulated = is_loopback(&settings.url);
        let id = settings.webhook_id.as_str();
        // A `|` could move the borders of the parts of what is signed.
        let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'|');
        if !is_id || (id == SIMULATOR && !may_be_simulated) {
            return Err(BadSettings::WebhookId);
        }
        let authority = Authority::new(settings.authorities_pem.as_deref())?;
        let certificates = Certificates::new(&settings.url, authority, settings.timeouts)?;
        Ok(Self { webhook_id: id.to_owned(), certificates })
    }

    /// Judges a notification by its headers and its body as it came.
    pub async fn judge(&self, headers: &HeaderMap, body: &[u8], now: DateTime<Utc>) -> Judgment {
        match self.decide(headers, body, now).await {
            Ok(()) => Judgment::Verified,
            Err(judgment) => judgment,
        }
    }

    async fn decide(&self, headers: &HeaderMap, body: &[u8], now: DateTime<Utc>) -> Result<(), Judgment> {
        let sent = Transmission::of(headers).ok_or(Judgment::Forged(Forgery::Headers))?;
        let place = self.certificates.place(&sent.cert_url);
        let place = place.ok_or(Judgment::Forged(Forgery::CertificateUrl))?;
        if sent.auth_algo != ALGORITHM {
            return Err(Judgment::CantDecide(Doubt::Algorithm));
        }
        let signature = STANDARD.decode(&sent.signature).map_err(|_| Judgment::Forged(Forgery::Signature))?;
        let certificate = self.certificates.get(place, now).await.map_err(Judgment::CantDecide)?;
        let fits = |id: &str| certificate.signed(sent.signed_text(id, body).as_bytes(), &signature);
        if fits(&self.webhook_id) {
            Ok(())
        } else if fits(SIMULATOR) {
            Err(Judgment::Forged(Forgery::Simulator))
        } else {
            Err(Judgment::Forged(Forgery::Signature))
        }
    }
}

#[derive(Serialize)]
struct Postback<'a> {
    transmission_id: &'a str,
    transmission_time: &'a str,
    transmission_sig: &'a str,
    cert_url: &'a str,
    auth_algo: &'a str,
    webhook_id: &'a str,
    webhook_event: &'a RawValue,
}

/// What PayPal wants to know for its own judgment, with the event's bytes as they came; `None`: the event is no JSON.
pub(super) fn postback(sent: &Transmission, webhook_id: &str, raw_event: &[u8]) -> Option<Bytes> {
    let webhook_event: &RawValue = serde_json::from_slice(raw_event).ok()?;
    let postback = Postback {
        transmission_id: &sent.id,
        transmission_time: &sent.time,
        transmission_sig: &sent.signature,
        cert_url: &sent.cert_url,
        auth_algo: &sent.auth_algo,
        webhook_id,
        webhook_event,
    };
    serde_json::to_vec(&postback).ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent() -> Transmission {
        Transmission {
            id: "69cd13f0".to_owned(),
            time: "2026-10-02T08:00:00Z".to_owned(),
            signature: "c2ln".to_owned(),
            cert_url: "https://api.paypal.com/v1/notifications/certs/CERT-1".to_owned(),
            auth_algo: ALGORITHM.to_owned(),
        }
    }

    #[test]
    fn the_checksum_is_that_of_the_bytes_as_they_came() {
        let text = |body: &[u8]| sent().signed_text("W1", body);
        // The check value of CRC-32 in every table of checksums.
        assert_eq!(text(b"123456789"), "69cd13f0|2026-10-02T08:00:00Z|W1|3421780262");
        assert_ne!(text(br#"{"value":1.0}"#), text(br#"{"value":1}"#));
    }

    #[test]
    fn an_event_goes_back_as_it_came_and_brings_no_field_of_its_own() {
        let event = br#"{ "b" : 1.0,  "a":"\u0041" }"#;
        let body = postback(&sent(), "W1", event).expect("JSON");
        let body = std::str::from_utf8(&body).expect("text");
        assert!(
            body.ends_with(r#""webhook_id":"W1","webhook_event":{ "b" : 1.0,  "a":"\u0041" }}"#),
            "{body}"
        );
        for raw in ["", "{", r#"{},"webhook_id":"W2""#, r"{}}", "\u{feff}{}"] {
            assert_eq!(postback(&sent(), "W1", raw.as_bytes()), None, "{raw}");
        }
    }

    #[test]
    fn all_headers_have_to_be_there_once() {
        let names = ["id", "time", "sig"].map(|part| format!("paypal-transmission-{part}"));
        let names = names.into_iter().chain(["paypal-cert-url".to_owned(), "paypal-auth-algo".to_owned()]);
        let whole: HeaderMap = names
            .map(|name| {
                (name.parse::<http::HeaderName>().expect("a name"), http::HeaderValue::from_static("x"))
            })
            .collect();
        assert!(Transmission::of(&whole).is_some());
        for name in whole.keys() {
            let mut fewer = whole.clone();
            fewer.remove(name);
            assert_eq!(Transmission::of(&fewer), None, "without {name}");
            for value in ["", "y", &"x".repeat(1_025)] {
                let mut other = whole.clone();
                let value = http::HeaderValue::from_str(value).expect("a value");
                if value == "y" {
                    other.append(name, value)
                } else {
                    other.insert(name, value).is_some()
                };
                assert_eq!(Transmission::of(&other), None, "{name}");
            }
        }
    }

    #[test]
    fn the_simulators_id_is_for_tests_only() {
        let made = |url: &str, id: &str| {
            let settings = WebhookSettings {
                url: url.parse().expect("a literal"),
                webhook_id: id.to_owned(),
                authorities_pem: None,
                timeouts: crate::paypal::Timeouts::default(),
            };
            Webhooks::new(&settings).err()
        };
        assert_eq!(made("https://api-m.paypal.com", "8PT59"), None);
        assert_eq!(made("http://127.0.0.1:1", SIMULATOR), None);
        for id in [SIMULATOR, "", "a|b", "a b"] {
            assert_eq!(made("https://api-m.paypal.com", id), Some(BadSettings::WebhookId), "{id}");
        }
    }
}
