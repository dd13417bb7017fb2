//! Mail through a mail server.

use super::verdict::{Met, Stage, Verdict, judge};
use super::{Fault, SendError};
use crate::domain::mail::Undelivered;
use crate::secret::Secret;
use lettre::Message;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Noop, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter, ServerInfo};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How long the server may take for each answer.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How long it may take to close the connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection that is idle longer is closed: servers close theirs after some minutes.
const IDLE_LIMIT: Duration = Duration::from_secs(20);

/// The mail server and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpRoute {
    /// Its name or address; the certificate must match it.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: Tls,
    /// The user to sign in as.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
    /// The authorities that may sign the server's certificate; `None`: the public ones.
    pub ca_file: Option<PathBuf>,
}

/// How the connection to a mail server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// Not at all: for loopback addresses.
    None,
    /// By STARTTLS; without it nothing is sent.
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

/// Talks to one mail server, one mail after the other.
pub(super) struct Smtp {
    host: String,
    port: u16,
    tls: Tls,
    parameters: Option<TlsParameters>,
    login: Option<Credentials>,
    /// The name in our EHLO.
    hello: ClientId,
    /// The connection that the last mail used, and since when it is idle.
    idle: Mutex<Option<(AsyncSmtpConnection, Instant)>>,
}

/// A conversation that did not succeed.
#[derive(Debug)]
struct Failure {
    stage: Stage,
    met: Met,
    text: String,
}

impl Smtp {
    pub(super) fn open(route: &SmtpRoute) -> Result<Self, String> {
        let parameters = (route.tls != Tls::None).then(|| tls_parameters(route)).transpose()?;
        let login = route.user.clone().zip(route.password.as_ref());
        Ok(Self {
            host: route.host.clone(),
            port: route.port,
            tls: route.tls,
            parameters,
            login: login.map(|(user, password)| Credentials::new(user, password.expose().to_owned())),
            hello: ClientId::default(),
            idle: Mutex::new(None),
        })
    }

    /// Sends a mail, once. If a failure may be the mail's or the server's, the server is tried with another
    /// conversation: if that works, only this mail failed.
    pub(super) async fn send(&self, message: &Message) -> Result<(), SendError> {
        let mut idle = self.idle.lock().await;
        let mut connection = match still_usable(idle.take()).await {
            Some(connection) => connection,
            None => self.connect().await.map_err(|failure| failure.with(Fault::Way))?,
        };
        let options = match options(message, connection.server_info()) {
            Ok(options) => options,
            Err(error) => {
                *idle = Some((connection, Instant::now()));
                return Err(error);
            }
        };
        let failure = match deliver(&mut connection, message, options).await {
            Ok(()) => {
                *idle = Some((connection, Instant::now()));
                return Ok(());
            }
            Err(failure) => failure,
        };
        close(connection).await;
        match judge(failure.stage, failure.met) {
            Verdict::Server => Err(failure.with(Fault::Way)),
            Verdict::Mail => Err(failure.with(Fault::Mail)),
            Verdict::MailForGood => Err(failure.with(Fault::MailForGood(Undelivered::Refused))),
            Verdict::Unclear => match self.begin(message).await {
                Ok(connection) => {
                    *idle = Some((connection, Instant::now()));
                    Err(failure.with(Fault::Mail))
                }
                Err(failure) => Err(failure.with(Fault::Way)),
            },
        }
    }

    /// Connects, up to the point where a mail may begin.
    async fn connect(&self) -> Result<AsyncSmtpConnection, Failure> {
        let wrapped = self.parameters.clone().filter(|_| self.tls == Tls::FromTheStart);
        let server = (self.host.as_str(), self.port);
        let connecting =
            AsyncSmtpConnection::connect_tokio1(server, Some(TIMEOUT), &self.hello, wrapped, None);
        let mut connection = step(Stage::Connecting, connecting).await?;
        if let Some(parameters) = self.parameters.clone().filter(|_| self.tls == Tls::StartTls) {
            step(Stage::Connecting, connection.starttls(parameters, &self.hello)).await?;
        }
        if let Some(login) = &self.login {
            step(Stage::Connecting, connection.auth(DEFAULT_MECHANISMS, login)).await?;
        }
        Ok(connection)
    }

    /// Begins a mail like this one, without a recipient, and cancels it.
    async fn begin(&self, message: &Message) -> Result<AsyncSmtpConnection, Failure> {
        let mut connection = self.connect().await?;
        let sender = message.envelope().from().cloned();
        step(Stage::Sender, connection.command(Mail::new(sender, Vec::new()))).await?;
        step(Stage::Sender, connection.command(Rset)).await?;
        Ok(connection)
    }
}

impl Failure {
    fn with(self, fault: Fault) -> SendError {
        let class = match (self.stage, self.met) {
            (Stage::Connecting, Met::Reply(_)) => "smtp refuses us",
            (_, Met::Reply(500..)) => "smtp 5xx",
            (_, Met::Reply(_)) => "smtp 4xx",
            (_, Met::NoAnswer) => "timeout",
            (Stage::Connecting, Met::Disconnected) => "connection",
            (_, Met::Disconnected) => "smtp cut off",
        };
        SendError { text: self.text, class, fault }
    }
}

/// The parameters of `MAIL FROM` for a mail. Only addresses with non-ASCII characters need any: those before
/// an `@`, since domains were written in ASCII before. They need a server that offers SMTPUTF8.
fn options(message: &Message, server: &ServerInfo) -> Result<Vec<MailParameter>, SendError> {
    if message.formatted().is_ascii() {
        return Ok(Vec::new());
    }
    if server.supports_feature(Extension::SmtpUtfEight) {
        return Ok(vec![MailParameter::SmtpUtfEight, MailParameter::Body(MailBodyParameter::EightBitMime)]);
    }
    let to_such = message.envelope().to().iter().any(|address| !address.to_string().is_ascii());
    // Our own sender is the same for all mail.
    let fault = if to_such { Fault::MailForGood(Undelivered::NeedsSmtputf8) } else { Fault::Way };
    let text = "the mail server does not take addresses with such letters (SMTPUTF8)".to_owned();
    Err(SendError { text, class: "smtputf8", fault })
}

/// Sends a whole mail.
async fn deliver(
    connection: &mut AsyncSmtpConnection,
    message: &Message,
    options: Vec<MailParameter>,
) -> Result<(), Failure> {
    let envelope = message.envelope();
    step(Stage::Sender, connection.command(Mail::new(envelope.from().cloned(), options))).await?;
    for recipient in envelope.to() {
        step(Stage::Recipient, connection.command(Rcpt::new(recipient.clone(), Vec::new()))).await?;
    }
    step(Stage::Content, connection.command(Data)).await?;
    step(Stage::Content, connection.message(&message.formatted())).await?;
    Ok(())
}

/// One step of a conversation.
async fn step<T>(stage: Stage, doing: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    // Filters may check a mail's text before it is accepted, and may be slow.
    let patience = if stage == Stage::Content { TIMEOUT * 3 } else { TIMEOUT };
    match tokio::time::timeout(patience, doing).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => {
            let code = error.status().map(u16::from);
            let silent = error.is_timeout();
            let met = code.map_or(if silent { Met::NoAnswer } else { Met::Disconnected }, Met::Reply);
            Err(Failure { stage, met, text: causes(&error) })
        }
        Err(_) => {
            let text = "the mail server takes too long".to_owned();
            Err(Failure { stage, met: Met::NoAnswer, text })
        }
    }
}

/// The idle connection, if it was not idle too long and still answers.
async fn still_usable(idle: Option<(AsyncSmtpConnection, Instant)>) -> Option<AsyncSmtpConnection> {
    let (mut connection, since) = idle?;
    let answers =
        since.elapsed() < IDLE_LIMIT && step(Stage::Connecting, connection.command(Noop)).await.is_ok();
    if answers {
        return Some(connection);
    }
    close(connection).await;
    None
}

/// Closes the connection; whether the server notices does not matter.
async fn close(mut connection: AsyncSmtpConnection) {
    drop(tokio::time::timeout(CLOSE_TIMEOUT, connection.abort()).await);
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

/// An error with all its causes, on one line of limited length.
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
