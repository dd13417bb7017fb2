//! `[mail]`: where mail is sent, and from whom it comes.

use super::{Config, ConfigError, secrets};
use crate::domain::mail::Topic;
use crate::mail::{MailRoute, SmtpRoute, Tls};
use crate::secret::Secret;
use lettre::message::Mailbox;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::path::PathBuf;

/// Mail to affiliates and staff.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailConfig {
    /// The sender of all mail.
    pub from: String,
    /// Where replies go; empty: to the sender.
    pub reply_to: String,
    /// Where mail is sent; read it by [`Config::mail_route`].
    url: String,
    /// The mail server's password; read it by [`Config::mail_route`].
    password: Option<Secret>,
    pub(super) password_file: Option<PathBuf>,
    /// The authorities that may sign the mail server's certificate, PEM; empty: the public ones.
    pub(super) ca_file: PathBuf,
    /// A directory whose templates replace ours; empty: none.
    pub templates: PathBuf,
    /// Kinds of mail about money that are not written.
    #[serde(deserialize_with = "topics")]
    pub off: Vec<Topic>,
}

/// Names of kinds of mail.
fn topics<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Topic>, D::Error> {
    let named = |name: &String| {
        name.parse().map_err(|_| {
            let known = Topic::ALL.map(Topic::code).join(", ");
            D::Error::custom(format!(
                "no kind of mail that can be switched off: {name:?}; these can: {known}"
            ))
        })
    };
    Vec::<String>::deserialize(from)?.iter().map(named).collect()
}

impl Config {
    /// Where mail is sent, with the password read from its file if there is one.
    pub fn mail_route(&self) -> Result<MailRoute, ConfigError> {
        let mut route = parse(&self.mail, &self.data_dir)?;
        if let MailRoute::Smtp(smtp) = &mut route {
            smtp.password = match (&self.mail.password_file, &self.mail.password) {
                (Some(file), _) => Some(secrets::read_file("mail.password_file", file)?),
                (None, password) => password.clone(),
            };
            if smtp.user.is_some() != smtp.password.is_some() {
                return Err(ConfigError(
                    "mail.url: a user needs mail.password_file, and a password a user in mail.url; give both or neither"
                        .to_owned(),
                ));
            }
        }
        Ok(route)
    }
    /// Whether mail would go to files although people elsewhere use the server: useful only for a trial.
    pub fn keeps_mail_from_people(&self) -> bool {
        self.mail.url == "file" && self.listen.is_secure()
    }
    /// Whether only people at this machine can reach the server: then secrets may be shown to them.
    pub fn is_for_development(&self) -> bool {
        self.listen.public.ip().is_loopback() && !self.listen.is_secure()
    }
}

/// Checks of `[mail]` that need no files.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let address = |key: &str, text: &str| {
        text.parse::<Mailbox>().map(drop).map_err(|error| {
            ConfigError(format!(
                "mail.{key}: {error}; write it like \"Affiliate program <affiliates@example.com>\""
            ))
        })
    };
    address("from", &config.mail.from)?;
    if !config.mail.reply_to.is_empty() {
        address("reply_to", &config.mail.reply_to)?;
    }
    parse(&config.mail, &config.data_dir).map(drop)
}

/// `file`, `smtp://[user@]host[:port][?tls=required|none]`, `smtps://[user@]host[:port]`.
fn parse(mail: &MailConfig, data_dir: &std::path::Path) -> Result<MailRoute, ConfigError> {
    let wrong = |mend: &str| Err(ConfigError(format!("mail.url: {mend}")));
    if mail.url == "file" {
        return Ok(MailRoute::File(data_dir.join("outbox")));
    }
    let Ok(url) = url::Url::parse(&mail.url) else {
        return wrong("is not \"file\" or a URL like smtp://user@mail.example.com:587");
    };
    let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
        return wrong("has no host; write it like smtp://user@mail.example.com:587");
    };
    if url.password().is_some() {
        return wrong("holds a password; put it into a file and name that with mail.password_file");
    }
    let is_loopback = host == "localhost"
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let tls = match (url.scheme(), url.query()) {
        ("smtps", None) => Tls::FromTheStart,
        ("smtp", None | Some("tls=none")) if is_loopback => Tls::None,
        ("smtp", None | Some("tls=required")) => Tls::StartTls,
        ("smtp", Some("tls=none")) => return wrong("tls=none is for loopback addresses only; remove it"),
        ("smtp", Some(_)) => return wrong("after ? only tls=required and tls=none are known"),
        _ => return wrong("must start with smtp:// or smtps://, or be \"file\""),
    };
    if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
        return wrong("has more than scheme, user, host, port and tls; remove what follows");
    }
    let user = percent_encoding::percent_decode_str(url.username()).decode_utf8_lossy().into_owned();
    let port = url.port().unwrap_or(if tls == Tls::FromTheStart { 465 } else { 587 });
    Ok(MailRoute::Smtp(SmtpRoute {
        host: host.trim_matches(['[', ']']).to_owned(),
        port,
        tls,
        user: (!user.is_empty()).then_some(user),
        password: None,
        ca_file: (!mail.ca_file.as_os_str().is_empty()).then(|| mail.ca_file.clone()),
    }))
}
