//! Which certificates sign for PayPal.

use super::Doubt;
use crate::paypal::BadSettings;
use chrono::{DateTime, Utc};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use std::time::Duration;
use webpki::{EndEntityCert, Error, KeyUsage};

/// Whose certificates sign notifications: live and in the sandbox.
const NAMES: [&str; 2] =
    ["messageverificationcerts.paypal.com", "messageverificationcerts.sandbox.paypal.com"];
/// The most certificates of one file: its own, and those between it and an authority.
const MOST_CERTIFICATES: usize = 8;

/// The authorities that are believed.
pub struct Authority {
    anchors: Vec<TrustAnchor<'static>>,
}

/// A certificate that was found good, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Certificate {
    own: CertificateDer<'static>,
    between: Vec<CertificateDer<'static>>,
}

impl Authority {
    /// The public authorities, and those of a PEM file.
    pub fn new(pem: Option<&[u8]>) -> Result<Self, BadSettings> {
        let mut anchors = webpki_roots::TLS_SERVER_ROOTS.to_vec();
        if let Some(pem) = pem {
            let certificates = certificates_of(pem).filter(|found| !found.is_empty());
            for certificate in certificates.ok_or(BadSettings::Roots)? {
                let anchor = webpki::anchor_from_trusted_cert(&certificate);
                anchors.push(anchor.map_err(|_| BadSettings::Roots)?.to_owned());
            }
        }
        Ok(Self { anchors })
    }

    /// Whether a certificate signs for PayPal now.
    pub(super) fn check(&self, certificate: &Certificate, now: DateTime<Utc>) -> Result<(), Doubt> {
        let own = EndEntityCert::try_from(&certificate.own).map_err(|_| Doubt::NotACertificate)?;
        let seconds = u64::try_from(now.timestamp()).map_err(|_| Doubt::NotValidNow)?;
        let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let usage = KeyUsage::server_auth();
        own.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &self.anchors,
            &certificate.between,
            time,
            usage,
            None,
            None,
        )
        .map_err(|error| doubt(&error))?;
        let is_for = |name: &str| {
            ServerName::try_from(name).is_ok_and(|name| own.verify_is_valid_for_subject_name(&name).is_ok())
        };
        if NAMES.iter().any(|name| is_for(name)) { Ok(()) } else { Err(Doubt::OtherName) }
    }
}

fn doubt(error: &Error) -> Doubt {
    match error {
        Error::UnknownIssuer => Doubt::UnknownAuthority,
        Error::CertExpired { .. } | Error::CertNotValidYet { .. } => Doubt::NotValidNow,
        _ => Doubt::Unusable,
    }
}

impl Certificate {
    /// Reads a PEM file: the certificate itself, then those between it and an authority.
    pub(super) fn read(pem: &[u8]) -> Option<Self> {
        let mut all = certificates_of(pem)?.into_iter().take(MOST_CERTIFICATES);
        Some(Self { own: all.next()?, between: all.collect() })
    }

    /// Whether its key made the signature.
    pub(super) fn signed(&self, text: &[u8], signature: &[u8]) -> bool {
        let algorithm = webpki::ring::RSA_PKCS1_2048_8192_SHA256;
        let own = EndEntityCert::try_from(&self.own);
        own.is_ok_and(|own| own.verify_signature(algorithm, text, signature).is_ok())
    }
}

/// `None`: a part of it can't be read.
fn certificates_of(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()
}
