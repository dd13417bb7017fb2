//! The certificates that notifications name, from PayPal alone.

use super::Doubt;
use super::authority::{Authority, Certificate};
use crate::paypal::wire::{Call, Wire};
use crate::paypal::{BadSettings, Timeouts, is_loopback};
use chrono::{DateTime, TimeDelta, Utc};
use http::StatusCode;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use tokio::sync::Semaphore;
use url::Url;

/// Where PayPal has its certificates.
const HOSTS: [&str; 4] =
    ["api.paypal.com", "api-m.paypal.com", "api.sandbox.paypal.com", "api-m.sandbox.paypal.com"];
const PATH: &str = "/v1/notifications/certs/";
/// The most of a file that is read.
const MOST_BYTES: usize = 64 * 1024;
/// The most certificates that are kept. PayPal uses one at a time.
const MOST_KEPT: usize = 16;
/// How long one is kept.
const KEPT_FOR: TimeDelta = TimeDelta::days(7);
/// How many are fetched at once: strangers decide which are asked for.
const FETCHES: usize = 2;

/// Where a certificate is, at PayPal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place(Url);

struct Kept {
    certificate: Certificate,
    since: DateTime<Utc>,
}

/// Fetches certificates, and keeps those that were found good.
pub(super) struct Certificates {
    authority: Authority,
    /// Where ours are in a test.
    on_loopback: Option<Url>,
    timeouts: Timeouts,
    kept: Mutex<HashMap<String, Kept>>,
    fetches: Semaphore,
}

impl Certificates {
    pub(super) fn new(url: &Url, authority: Authority, timeouts: Timeouts) -> Result<Self, BadSettings> {
        // The same rule as for calls.
        Wire::new(url, timeouts)?;
        let on_loopback = is_loopback(url).then(|| url.clone());
        let (kept, fetches) = (Mutex::default(), Semaphore::new(FETCHES));
        Ok(Self { authority, on_loopback, timeouts, kept, fetches })
    }

    /// The place that a notification names; `None`: it is not PayPal's.
    pub(super) fn place(&self, text: &str) -> Option<Place> {
        let url = Url::parse(text).ok()?;
        let is_plain = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        // The parser has removed a port that is the scheme's own.
        let is_paypals = url.scheme() == "https"
            && url.port().is_none()
            && url.host_str().is_some_and(|host| HOSTS.contains(&host));
        let is_ours = self.on_loopback.as_ref().is_some_and(|ours| {
            // The origin of a URL with a host is never opaque.
            ours.origin() == url.origin()
        });
        let name = url.path().strip_prefix(PATH)?;
        let is_name = crate::paypal::create::is_id(name);
        (is_plain && (is_paypals || is_ours) && is_name).then_some(Place(url))
    }

    /// The certificate there, if it signs for PayPal. One that does not any longer is fetched once more.
    pub(super) async fn get(&self, place: Place, now: DateTime<Utc>) -> Result<Certificate, Doubt> {
        if let Some(known) = self.known(&place, now) {
            return Ok(known);
        }
        let fetched = self.fetch(&place).await?;
        self.authority.check(&fetched, now)?;
        self.keep(place, fetched.clone(), now);
        Ok(fetched)
    }

    fn known(&self, place: &Place, now: DateTime<Utc>) -> Option<Certificate> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.get(place.0.as_str()).filter(|kept| now - kept.since < KEPT_FOR)?;
        self.authority.check(&known.certificate, now).ok()?;
        Some(known.certificate.clone())
    }

    fn keep(&self, Place(url): Place, certificate: Certificate, now: DateTime<Utc>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST_KEPT && !kept.contains_key(url.as_str()) {
            let oldest = kept.iter().min_by_key(|(_, kept)| kept.since).map(|(url, _)| url.clone());
            oldest.and_then(|oldest| kept.remove(&oldest));
        }
        kept.insert(url.into(), Kept { certificate, since: now });
    }

    async fn fetch(&self, place: &Place) -> Result<Certificate, Doubt> {
        let _permit = self.fetches.try_acquire().map_err(|_| Doubt::NoCertificate)?;
        let mut host = place.0.clone();
        host.set_path("");
        let wire = Wire::new(&host, self.timeouts).map_err(|_| Doubt::NoCertificate)?;
        let call = Call::file(place.0.clone(), MOST_BYTES);
        let answer = wire.send(&call, None).await.map_err(|_| Doubt::NoCertificate)?;
        if answer.status != StatusCode::OK {
            return Err(Doubt::NoCertificate);
        }
        Certificate::read(&answer.body).ok_or(Doubt::NotACertificate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificates(url: &str) -> Certificates {
        let authority = Authority::new(None).expect("the public ones");
        let url = url.parse().expect("a literal");
        Certificates::new(&url, authority, Timeouts::default()).expect("a good address")
    }

    #[test]
    fn a_certificate_is_at_paypal_or_nowhere() {
        let live = certificates("https://api-m.paypal.com");
        let good =
            ["api.paypal.com", "api-m.paypal.com", "api.sandbox.paypal.com", "api-m.sandbox.paypal.com"];
        for host in good {
            let url = format!("https://{host}/v1/notifications/certs/CERT-360caa42-fca2a594");
            assert!(live.place(&url).is_some(), "{url}");
        }
        assert!(live.place("https://API.paypal.com:443/v1/notifications/certs/CERT-1").is_some());
        for url in [
            "",
            "CERT-1",
            "http://api.paypal.com/v1/notifications/certs/CERT-1",
            "https://evilpaypal.com/v1/notifications/certs/CERT-1",
            "https://api.paypal.com.evil.example/v1/notifications/certs/CERT-1",
            "https://evil.example/api.paypal.com/v1/notifications/certs/CERT-1",
            "https://api.paypal.com@evil.example/v1/notifications/certs/CERT-1",
            "https://user@api.paypal.com/v1/notifications/certs/CERT-1",
            "https://www.paypal.com/v1/notifications/certs/CERT-1",
            "https://api.paypal.com:8443/v1/notifications/certs/CERT-1",
            "https://api.paypal.com/v1/notifications/certs/",
            "https://api.paypal.com/v1/notifications/certs/a/b",
            "https://api.paypal.com/v1/notifications/certs/../webhooks",
            "https://api.paypal.com/v1/notifications/certs/%2e%2e/webhooks",
            "https://api.paypal.com/v1/notifications/certs/CERT%2d1",
            "https://api.paypal.com/v1/notifications/certs/CERT-1?a=b",
            "https://api.paypal.com/v1/notifications/certs/CERT-1#a",
            "https://api.paypal.com/redirect?to=/v1/notifications/certs/CERT-1",
            "http://127.0.0.1:4010/v1/notifications/certs/CERT-1",
            "file:///v1/notifications/certs/CERT-1",
        ] {
            assert_eq!(live.place(url), None, "{url}");
        }
    }

    #[test]
    fn in_a_test_it_may_be_where_the_api_is() {
        let ours = certificates("http://127.0.0.1:4010");
        assert!(ours.place("http://127.0.0.1:4010/v1/notifications/certs/CERT-1").is_some());
        assert!(ours.place("https://api.paypal.com/v1/notifications/certs/CERT-1").is_some());
        for url in [
            "http://127.0.0.1:4011/v1/notifications/certs/CERT-1",
            "http://127.0.0.2:4010/v1/notifications/certs/CERT-1",
            "https://127.0.0.1:4010/v1/notifications/certs/CERT-1",
            "http://localhost:4010/v1/notifications/certs/CERT-1",
        ] {
            assert_eq!(ours.place(url), None, "{url}");
        }
    }
}
