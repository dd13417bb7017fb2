//! Sends mail: a letter is written by a template ([`Templates`]) and given to a mail server, or put into a
//! file for development. Other modules decide who gets what when; nothing here waits or tries again.

mod file;
mod smtp;
mod templates;
#[cfg(test)]
mod tests;
mod verdict;

pub use smtp::{SmtpRoute, Tls};
pub use templates::{Context, Enclosed, Templates, Written, salutation};

use crate::domain::email::canonical_email;
use crate::domain::mail::Undelivered;
use chrono::{DateTime, Utc};
use lettre::Message;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use std::path::PathBuf;

/// Where mail is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailRoute {
    /// Into files in this directory: nobody sends them.
    File(PathBuf),
    /// To a mail server.
    Smtp(SmtpRoute),
}

impl std::fmt::Display for MailRoute {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(dir) => write!(out, "files in {}", dir.display()),
            Self::Smtp(route) => route.fmt(out),
        }
    }
}

/// The sender of mail.
#[derive(Debug, Clone)]
pub struct Sender {
    /// The address.
    pub from: Mailbox,
    /// Where replies go, if not to the sender.
    pub reply_to: Option<Mailbox>,
}

/// A mail that is ready to be sent.
#[derive(Debug, Clone)]
pub struct Outgoing<'a> {
    /// The mail's id: the same at every attempt, so that a mail that was sent twice is recognized.
    pub id: &'a str,
    /// The kind of message.
    pub kind: &'static str,
    /// The address.
    pub to: &'a str,
    /// The recipient's name.
    pub name: &'a str,
    /// When it was written.
    pub date: DateTime<Utc>,
    /// Its content.
    pub written: &'a Written,
}

/// How a mail was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// A mail server took it.
    Accepted,
    /// It is in this file.
    Filed(PathBuf),
}

/// Why a mail was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct SendError {
    /// The reason, as staff may see it; it may name the address.
    pub text: String,
    /// Where it failed, for logs, without any address.
    pub class: &'static str,
    /// What caused it.
    pub fault: Fault,
}

/// The cause of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The mail, permanently: trying again is useless.
    MailForGood(Undelivered),
    /// The mail, for now.
    Mail,
    /// The mail server: other mail would fail too.
    Way,
}

/// Sends mail.
pub struct Mailer {
    route: Open,
    sender: Sender,
}

enum Open {
    File(file::Files),
    Smtp(Box<smtp::Smtp>),
}

impl std::fmt::Debug for Mailer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Mailer").field("sender", &self.sender).finish_non_exhaustive()
    }
}

impl Mailer {
    /// Prepares the sending; nothing is connected yet.
    pub fn open(route: &MailRoute, sender: Sender) -> Result<Self, String> {
        let route = match route {
            MailRoute::File(dir) => Open::File(file::Files::new(dir.clone())),
            MailRoute::Smtp(route) => Open::Smtp(Box::new(smtp::Smtp::open(route)?)),
        };
        Ok(Self { route, sender })
    }

    /// Sends a mail, once.
    pub async fn send(&self, mail: &Outgoing<'_>) -> Result<Sent, SendError> {
        let message = compose(&self.sender, mail)?;
        match &self.route {
            Open::File(files) => files.keep(mail, &message).await.map(Sent::Filed),
            Open::Smtp(smtp) => smtp.send(&message).await.map(|()| Sent::Accepted),
        }
    }
}

/// A mail in its final form. Line breaks and other control characters can't get into a header: they are
/// removed from names here, and `lettre` encodes the rest.
fn compose(sender: &Sender, mail: &Outgoing<'_>) -> Result<Message, SendError> {
    let refused = |what: &str| SendError {
        text: format!("write the mail: {what}"),
        class: "compose",
        fault: Fault::MailForGood(Undelivered::BadAddress),
    };
    let address = canonical_email(mail.to).parse().map_err(|_| refused("the address is not one"))?;
    let name = one_line(mail.name);
    let host = sender.from.email.domain();
    let mut builder = Message::builder()
        .from(sender.from.clone())
        .to(Mailbox::new((!name.is_empty()).then_some(name), address))
        .subject(one_line(&mail.written.subject))
        .message_id(Some(format!("<{}@{host}>", mail.id)))
        .date(mail.date.into())
        // Automatic replies, such as holiday notices, must not be sent to it.
        .raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ));
    if let Some(reply_to) = &sender.reply_to {
        builder = builder.reply_to(reply_to.clone());
    }
    let body = MultiPart::alternative_plain_html(mail.written.text.clone(), mail.written.html.clone());
    builder.multipart(body).map_err(|error| refused(&error.to_string()))
}

/// A text in a form that may be in a header: on one line, without other control characters.
fn one_line(text: &str) -> String {
    let plain: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}
