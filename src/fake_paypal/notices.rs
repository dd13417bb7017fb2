//! Notifications, signed as PayPal signs them.

use super::answers;
use super::book::{Batch, Book, Item};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::SocketAddr;

/// Where its certificate is.
pub const CERTIFICATE_PATH: &str = "/v1/notifications/certs/CERT-360caa42-fca2a594-a5cafa77";

/// Who signs.
pub struct Signer {
    key: RsaKeyPair,
    certificate_pem: String,
}

/// Who is told.
pub struct Target {
    /// Where notifications go.
    pub url: String,
    /// The id of the webhook, which is part of what is signed.
    pub webhook_id: String,
    /// Who signs.
    pub signer: Signer,
}

/// A notification.
#[derive(Debug, Clone)]
pub struct Notice {
    /// What happened, as `PAYMENT.PAYOUTS-ITEM.SUCCEEDED`.
    pub event_type: String,
    /// What is sent.
    pub body: Vec<u8>,
    /// The headers that say who sent it.
    pub headers: Vec<(&'static str, String)>,
}

/// What was told, and to whom.
#[derive(Default)]
pub(super) struct Notices {
    pub target: Option<Target>,
    /// What is at the certificate's address, if it is another.
    pub served: Option<String>,
    /// The word that was told last, by the id of a batch or an item.
    told: HashMap<String, &'static str>,
    /// What was sent, by the id of its sending.
    sent: HashMap<String, (String, Vec<u8>)>,
}

impl Signer {
    /// A signer with an RSA key (PKCS #8) and its certificate; `None`: it is no such key.
    pub fn new(key_pkcs8: &[u8], certificate_pem: String) -> Option<Self> {
        let key = RsaKeyPair::from_pkcs8(key_pkcs8).ok()?;
        Some(Self { key, certificate_pem })
    }
    /// Its certificate.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }
    /// The signature of a text, in base64.
    pub fn sign(&self, text: &str) -> String {
        let mut signature = vec![0; self.key.public().modulus_len()];
        let signed = self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature);
        // Only a wrong length could fail; without a signature, nobody believes the notice.
        if signed.is_err() {
            signature.clear();
        }
        STANDARD.encode(signature)
    }
}

/// What an item's status is called in notifications.
fn item_event(word: &str) -> Option<&'static str> {
    Some(match word {
        "SUCCESS" => "PAYMENT.PAYOUTS-ITEM.SUCCEEDED",
        "FAILED" => "PAYMENT.PAYOUTS-ITEM.FAILED",
        "UNCLAIMED" => "PAYMENT.PAYOUTS-ITEM.UNCLAIMED",
        "RETURNED" => "PAYMENT.PAYOUTS-ITEM.RETURNED",
        "ONHOLD" => "PAYMENT.PAYOUTS-ITEM.HELD",
        "BLOCKED" => "PAYMENT.PAYOUTS-ITEM.BLOCKED",
        "REFUNDED" => "PAYMENT.PAYOUTS-ITEM.REFUNDED",
        _ => return None,
    })
}

fn batch_event(word: &str) -> Option<&'static str> {
    Some(match word {
        "PENDING" => "PAYMENT.PAYOUTSBATCH.PROCESSING",
        "SUCCESS" => "PAYMENT.PAYOUTSBATCH.SUCCESS",
        "DENIED" => "PAYMENT.PAYOUTSBATCH.DENIED",
        _ => return None,
    })
}

impl Notices {
    /// What is new since the last time, and can be told.
    pub fn news(&mut self, book: &Book, now: DateTime<Utc>, at: SocketAddr) -> Vec<Notice> {
        let mut events = Vec::new();
        for batch in book.batches() {
            if let Some(event) = self.changed(&batch.id, batch.word(now)).and_then(batch_event) {
                events.push((event, "payouts", json!({"batch_header": answers::header(batch, now)})));
            }
            for item in &batch.items {
                if let Some(event) = self.changed(&item.id, item.step(now).word).and_then(item_event) {
                    events.push((event, "payouts_item", resource(batch, item, now)));
                }
            }
        }
        events.into_iter().filter_map(|(event, kind, it)| self.notice(event, kind, &it, now, at)).collect()
    }

    fn changed(&mut self, id: &str, word: &'static str) -> Option<&'static str> {
        (self.told.insert(id.to_owned(), word) != Some(word)).then_some(word)
    }

    fn notice(
        &mut self,
        event_type: &'static str,
        resource_type: &str,
        resource: &Value,
        now: DateTime<Utc>,
        at: SocketAddr,
    ) -> Option<Notice> {
        let target = self.target.as_ref()?;
        let number = self.sent.len() + 1;
        let event = json!({"id": format!("WH-{number:017}"), "event_version": "1.0", "resource_version": "1.0",
            "create_time": answers::time(now), "resource_type": resource_type, "event_type": event_type,
            "summary": "A payout has changed", "resource": resource, "links": []});
        let body = event.to_string().into_bytes();
        let id = format!("tr{number:08}-c0de-11f0-9d3e-5d8f0c1b2a3e");
        let headers = sign(target, &id, &answers::time(now), &body, at);
        self.sent.insert(id, (target.webhook_id.clone(), body.clone()));
        Some(Notice { event_type: event_type.to_owned(), body, headers })
    }

    /// The certificate's file.
    pub fn certificate(&self) -> Option<String> {
        let own = || self.target.as_ref().map(|target| target.signer.certificate_pem.clone());
        self.served.clone().or_else(own)
    }

    /// Whether it sent such an event, with these very bytes, for this webhook.
    pub fn has_sent(&self, transmission_id: &str, webhook_id: &str, event: &[u8]) -> bool {
        let sent = self.sent.get(transmission_id);
        sent.is_some_and(|(its_webhook, body)| its_webhook == webhook_id && body == event)
    }
}

fn resource(batch: &Batch, item: &Item, now: DateTime<Utc>) -> Value {
    let mut resource = answers::item(batch, item, now, true);
    // Notifications have no errors.
    if let Some(fields) = resource.as_object_mut() {
        fields.remove("errors");
    }
    resource
}

fn sign(target: &Target, id: &str, time: &str, body: &[u8], at: SocketAddr) -> Vec<(&'static str, String)> {
    let text = format!("{id}|{time}|{}|{}", target.webhook_id, crc32fast::hash(body));
    vec![
        ("paypal-transmission-id", id.to_owned()),
        ("paypal-transmission-time", time.to_owned()),
        ("paypal-transmission-sig", target.signer.sign(&text)),
        ("paypal-cert-url", format!("http://{at}{CERTIFICATE_PATH}")),
        ("paypal-auth-algo", "SHA256withRSA".to_owned()),
        ("paypal-auth-version", "v2".to_owned()),
    ]
}

/// Sends a notification; `None`: there was no answer.
pub(super) async fn send(target: &str, notice: &Notice) -> Option<u16> {
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let mut request = http::Request::post(target).header("content-type", "application/json");
    for (name, value) in &notice.headers {
        request = request.header(*name, value);
    }
    let request = request.body(Full::from(notice.body.clone())).ok()?;
    client.request(request).await.ok().map(|answer| answer.status().as_u16())
}
