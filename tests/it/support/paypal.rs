//! A fake PayPal for tests, with an authority of its own that signs its notifications.

use super::tools;
use counterfoil::for_tests::Secret;
use counterfoil::for_tests::fake_paypal::{
    CERTIFICATE_PATH, CLIENT_ID, CLIENT_SECRET, Exchange, Fake, Signer, Target,
};
use counterfoil::for_tests::paypal::webhook::WebhookSettings;
use counterfoil::for_tests::paypal::{Client, Settings, Timeouts};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use serde_json::json;
use std::ops::Deref;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// Whose certificates sign PayPal's notifications.
pub const SIGNING_HOST: &str = "messageverificationcerts.sandbox.paypal.com";
/// The webhook that the tests have at PayPal.
pub const WEBHOOK_ID: &str = "8PT597110X687430LKGECATA";
/// How long a client waits that is not patient: for a fake that is silent.
const IMPATIENCE: Duration = Duration::from_secs(2);

/// A fake PayPal that is listening.
pub struct Paypal {
    fake: Fake,
    pub authority: Authority,
}

impl Deref for Paypal {
    type Target = Fake;
    fn deref(&self) -> &Fake {
        &self.fake
    }
}

impl Paypal {
    /// Starts one; its clock begins at the last day of October 2026.
    pub async fn start() -> Self {
        let now = "2026-10-31T06:00:00Z".parse().expect("a literal");
        let fake = Fake::start(now).await.expect("a port");
        Self { fake, authority: Authority::new("PayPal's authority") }
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        Client::new(&settings(&self.url())).expect("good settings")
    }
    /// A client of it that does not wait long.
    pub fn impatient_client(&self) -> Client {
        let timeouts = Timeouts { connect: IMPATIENCE, call: IMPATIENCE };
        Client::new(&Settings { timeouts, ..settings(&self.url()) }).expect("good settings")
    }

    /// Its notifications go to this address.
    pub fn tells(&self, url: &str) {
        let signer = self.authority.signer(SIGNING_HOST);
        self.notifies(Target { url: url.to_owned(), webhook_id: WEBHOOK_ID.to_owned(), signer });
    }

    /// What to judge its notifications by.
    pub fn webhook_settings(&self) -> WebhookSettings {
        WebhookSettings {
            url: self.url().parse().expect("an address"),
            webhook_id: WEBHOOK_ID.to_owned(),
            authorities_pem: Some(self.authority.pem.clone().into_bytes()),
            timeouts: Timeouts::default(),
        }
    }

    /// Checks each call that it got, and each honest answer, against PayPal's descriptions.
    pub async fn conforms(&self) {
        conform(&self.exchanges()).await;
    }
}

/// Checks calls, and honest answers to them, against PayPal's descriptions.
pub async fn conform(exchanges: &[Exchange]) {
    let lines: Vec<String> = exchanges.iter().flat_map(lines_of).collect();
    assert!(!lines.is_empty(), "there is something to check");
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/paypal");
    let arguments = [tools::script("check_paypal.py"), data];
    let output = tools::run_python(&arguments, 60, lines.concat().as_bytes()).await;
    assert!(output.status.success(), "{}", tools::said(&output));
    assert!(tools::said(&output).contains(&format!("{} checked", lines.len())), "{}", tools::said(&output));
}

/// How a client reaches a PayPal at an address.
pub fn settings(url: &str) -> Settings {
    Settings {
        url: url.parse().expect("an address"),
        client_id: CLIENT_ID.to_owned(),
        client_secret: Secret::new(CLIENT_SECRET),
        timeouts: Timeouts::default(),
    }
}

/// What has to be true of an exchange: a line for the request, and one for the answer.
fn lines_of(exchange: &Exchange) -> Vec<String> {
    let Exchange { method, path, body, status, answer, is_honest, .. } = exchange;
    let about = format!("{method} {path} -> {status:?}");
    let line = |schema: &str, body: &[u8]| {
        let body = String::from_utf8_lossy(body);
        format!("{}\n", json!({"about": about, "schema": schema, "body": body}))
    };
    let sent = match path.as_str() {
        "/v1/payments/payouts" => Some("create_payout_request"),
        "/v1/notifications/verify-webhook-signature" => Some("verify_webhook_signature"),
        _ => None,
    };
    let got = match (path.as_str(), *status) {
        (_, None) | ("/v1/oauth2/token" | CERTIFICATE_PATH, _) => None,
        (_, Some(400..)) => Some("error"),
        ("/v1/payments/payouts", _) => Some("payout"),
        ("/v1/notifications/verify-webhook-signature", _) => Some("verify_webhook_signature_response"),
        (path, _) if path.starts_with("/v1/payments/payouts/") => Some("payout_batch"),
        _ => Some("payout_item-2"),
    };
    let sent = sent.map(|schema| line(schema, body));
    let got = got.filter(|_| *is_honest).map(|schema| line(schema, answer));
    sent.into_iter().chain(got).collect()
}

/// An authority that only these tests believe.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub pem: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }
    /// Who signs with a certificate for a host.
    pub fn signer(&self, host: &str) -> Signer {
        self.signer_with(host, |_| {})
    }
    /// Who signs with a certificate that differs.
    pub fn signer_with(&self, host: &str, differ: impl FnOnce(&mut CertificateParams)) -> Signer {
        let key = rsa_key();
        let mut params = CertificateParams::new(vec![host.to_owned()]).expect("a name");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        differ(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Signer::new(key.serialized_der(), certificate.pem()).expect("an RSA key")
    }
}

/// The key of whoever signs. Making one takes a while: all tests of this program have the same.
fn rsa_key() -> KeyPair {
    static PEM: OnceLock<String> = OnceLock::new();
    KeyPair::from_pem(PEM.get_or_init(make_rsa_key)).expect("a key")
}

/// A new RSA key, as PayPal's are.
pub fn make_rsa_key() -> String {
    let made = Command::new("openssl")
        .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
        .output()
        .expect("openssl, which `tests/run` installs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).expect("PEM")
}
