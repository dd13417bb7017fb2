//! How affiliates are paid.

use super::{Config, ConfigError, empty_is_none, parsed, secrets, time_of_day};
use crate::domain::money::Money;
use crate::domain::payout::Method;
use crate::paypal::webhook::{WebhookSettings, Webhooks};
use crate::paypal::{BadSettings, Client, Settings, Timeouts};
use crate::secret::Secret;
use chrono::NaiveTime;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// PayPal waits for the answer while its certificate is fetched.
const CERTIFICATE: Timeouts = Timeouts { connect: Duration::from_secs(5), call: Duration::from_secs(10) };

/// Payouts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payouts {
    /// How batches are paid.
    pub method: Method,
    /// When the batch is made on the last day of a month, in the program's time; `None`: never by itself.
    #[serde(deserialize_with = "time_of_day")]
    pub at: Option<NaiveTime>,
    /// Whether a batch must be approved by another person than the one who made it.
    pub two_persons: bool,
    /// A sum above it is pointed out before approval.
    pub large_sum: Money,
    /// PayPal.
    pub paypal: PayPal,
}

/// PayPal.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PayPal {
    /// Where its API is.
    #[serde(deserialize_with = "parsed")]
    pub url: Url,
    /// The id of the app that calls it.
    pub client_id: String,
    client_secret: Option<Secret>,
    pub(super) client_secret_file: Option<PathBuf>,
    /// The id of the webhook, as PayPal shows it; empty: no webhook is taken.
    pub webhook_id: String,
    /// Further authorities of webhooks' certificates.
    #[serde(deserialize_with = "empty_is_none")]
    pub webhook_ca_file: Option<PathBuf>,
    /// Seconds between two looks at payments that are not final.
    pub poll_seconds: u32,
    /// A larger payment goes to a person.
    pub item_limit: Money,
}

impl Config {
    /// PayPal's API, if batches are paid by it, with the secret read from its file if there is one.
    pub fn paypal(&self) -> Result<Option<Client>, ConfigError> {
        let paypal = &self.payouts.paypal;
        if !self.payouts.method.calls_paypal() {
            return Ok(None);
        }
        let secret = match (&paypal.client_secret_file, &paypal.client_secret) {
            (Some(file), _) => Some(secrets::read_file("payouts.paypal.client_secret_file", file)?),
            (None, secret) => secret.clone(),
        };
        let Some(client_secret) = secret.filter(|_| !paypal.client_id.is_empty()) else {
            return Err(ConfigError(
                "payouts.method: \"api\" needs payouts.paypal.client_id and payouts.paypal.client_secret_file; give both, or use \"file\"".to_owned(),
            ));
        };
        let (url, client_id) = (paypal.url.clone(), paypal.client_id.clone());
        let settings = Settings { url, client_id, client_secret, timeouts: Timeouts::default() };
        Client::new(&settings).map(Some).map_err(|error| ConfigError(format!("payouts.paypal: {error}")))
    }
}

impl Config {
    /// The judge of PayPal's notifications; `None`: none are taken.
    pub fn paypal_webhooks(&self) -> Result<Option<Webhooks>, ConfigError> {
        let PayPal { url, webhook_id, webhook_ca_file, .. } = &self.payouts.paypal;
        if webhook_id.is_empty() {
            return Ok(None);
        }
        let wrong =
            |key: &str, error: &dyn std::fmt::Display| ConfigError(format!("payouts.paypal.{key}: {error}"));
        let read = |file: &PathBuf| {
            let shown = file.display();
            std::fs::read(file).map_err(|error| {
                wrong("webhook_ca_file", &format!("can't read {shown}: {error}; name a file of certificates"))
            })
        };
        let authorities_pem = webhook_ca_file.as_ref().map(read).transpose()?;
        let (url, webhook_id) = (url.clone(), webhook_id.clone());
        let settings = WebhookSettings { url, webhook_id, authorities_pem, timeouts: CERTIFICATE };
        let webhooks = Webhooks::new(&settings).map_err(|error| match error {
            BadSettings::Roots => wrong("webhook_ca_file", &format!("failed to {error}")),
            BadSettings::WebhookId => wrong("webhook_id", &error),
            _ => wrong("url", &error),
        });
        webhooks.map(Some)
    }
}

/// Checks of `[payouts]` that need no files.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let wrong = |key: &str, mend: &str| Err(ConfigError(format!("payouts.{key}: {mend}")));
    let Payouts { large_sum, paypal, .. } = &config.payouts;
    if *large_sum < Money::ZERO {
        return wrong("large_sum", "is below zero; write an amount like \"2000.00\"");
    }
    if paypal.item_limit <= Money::ZERO {
        return wrong("paypal.item_limit", "is not above zero; write an amount like \"20000.00\"");
    }
    if !(5..=86_400).contains(&paypal.poll_seconds) {
        return wrong("paypal.poll_seconds", "is not 5 to 86400; 60 is usual");
    }
    let is_loopback = match paypal.url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if paypal.url.scheme() != "https" && !is_loopback {
        return wrong("paypal.url", "is not https://; the secret would travel in clear");
    }
    Ok(())
}
