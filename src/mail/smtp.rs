//! Mail through a mail server.

use super::{Fault, SendError};
use crate::config::Secret;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls as LettreTls, TlsParameters};
use lettre::transport::smtp::{Error, PoolConfig};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use std::path::PathBuf;
use std::time::Duration;

/// How long the server may take for each answer.
const TIMEOUT: Duration = Duration::from_secs(20);
/// A connection that rests longer is closed: servers close theirs after some minutes.
const REST: Duration = Duration::from_secs(20);

/// Which mail server, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpRoute {
    /// Its name or address; its certificate must be for it.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How what is said is kept secret.
    pub tls: Tls,
    /// Whom we sign in as.
    pub user: Option<String>,
    /// With what.
    pub password: Option<Secret>,
    /// Authorities that its certificate may be signed by; `None`: the public ones.
    pub ca_file: Option<PathBuf>,
}

/// How the connection to a mail server is kept secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// Not at all: for loopback addresses.
    None,
    /// After STARTTLS; without it nothing is sent.
    StartTls,
    /// From the first byte.
    FromTheStart,
}

impl std::fmt::Display for SmtpRoute {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tls = match self.tls {
            Tls::None => "without TLS",
            Tls::StartTls => "STARTTLS required",
            Tls::FromTheStart => "TLS",
        };
        write!(out, "{}:{} ({tls})", self.host, self.port)
    }
}

pub(super) struct Smtp(AsyncSmtpTransport<Tokio1Executor>);

impl Smtp {
    pub(super) fn open(route: &SmtpRoute) -> Result<Self, String> {
        let tls = match route.tls {
            Tls::None => LettreTls::None,
            Tls::StartTls => LettreTls::Required(tls_parameters(route)?),
            Tls::FromTheStart => LettreTls::Wrapper(tls_parameters(route)?),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&route.host)
            .port(route.port)
            .tls(tls)
            .timeout(Some(TIMEOUT))
            // Mail goes one after the other.
            .pool_config(PoolConfig::new().max_size(1).idle_timeout(REST));
        if let (Some(user), Some(password)) = (&route.user, &route.password) {
            builder = builder.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
        }
        Ok(Self(builder.build()))
    }

    pub(super) async fn send(&self, message: &Message) -> Result<(), SendError> {
        // The time-out is for each answer; a server that is slow at each of them is as good as away.
        match tokio::time::timeout(TIMEOUT * 3, AsyncTransport::send(&self.0, message.clone())).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(judge(&error)),
            Err(_) => Err(SendError {
                text: "the mail server takes too long".into(),
                class: "timeout",
                fault: Fault::Way,
            }),
        }
    }
}

fn tls_parameters(route: &SmtpRoute) -> Result<TlsParameters, String> {
    let mut builder = TlsParameters::builder(route.host.clone());
    if let Some(file) = &route.ca_file {
        let shown = file.display();
        let pem = std::fs::read(file).map_err(|error| format!("can't read {shown}: {error}"))?;
        let certificate = Certificate::from_pem(&pem)
            .map_err(|error| format!("{shown} holds no certificate that can be read: {error}"))?;
        builder = builder.certificate_store(CertificateStore::None).add_root_certificate(certificate);
    }
    builder.build().map_err(|error| error.to_string())
}

/// What a failure means. A server that does not take our password or our TLS takes no mail of ours at all.
fn judge(error: &Error) -> SendError {
    let text = causes(error);
    let code = error.status().map(u16::from);
    // Refusals of the way, not of the mail: shutting down, TLS or a password wanted or wrong.
    let (class, fault) = match code {
        Some(421 | 454 | 530 | 534 | 535 | 538) => ("smtp refuses us", Fault::Way),
        Some(_) if error.is_permanent() => ("smtp 5xx", Fault::MailForGood),
        Some(_) => ("smtp 4xx", Fault::Mail),
        None if error.is_tls() => ("tls", Fault::Way),
        None if error.is_timeout() => ("timeout", Fault::Way),
        None => ("connection", Fault::Way),
    };
    SendError { text, class, fault }
}

/// An error with all that caused it, on one line of reasonable length.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    super::one_line(&text).chars().take(300).collect()
}
