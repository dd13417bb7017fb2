//! Sends the mail that waits in the outbox: one node at a time, the oldest first.
//!
//! Each mail is sent at least once. A second copy is sent only after a crash between the mail server's answer
//! and the record of it; it has the same `Message-ID`. A mail server that can't be reached, or accepts
//! nothing, gets no mail for a minute, and this does not count as an attempt. A mail that fails by itself is
//! tried again after longer and longer waits, for three days, and delays no other: mail that was not tried
//! yet goes first. A mail that reaches nobody becomes a fact that staff see. Nothing is sent while the store
//! is being rebuilt, since it is not known yet what was sent before.

use crate::app::App;
use crate::app::actor::Actor;
use crate::domain::fact::MailDone;
use crate::domain::mail::{AfterFailure, Asked, LostMail, Mail, MailOutcome, Message, SERVER_PAUSE};
use crate::domain::one_time::LinkKind;
use crate::domain::person::Person;
use crate::mail::{Enclosed, Fault, Mailer, Outgoing, SendError, Sent, Templates};
use crate::metrics::MailAttempt;
use crate::store::{Lease, Log, StoreError};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How often it looks at the outbox.
const TICK: Duration = Duration::from_millis(500);
const LEASE: &str = "mail";
/// How long mail waits for a node that died while sending.
const LEASE_TTL: Duration = Duration::from_secs(8);
/// How often a sending node renews its lease.
const LEASE_RENEWED: Duration = Duration::from_secs(2);
/// How often the ids of mail that ended long ago are removed.
const FORGET_EVERY: TimeDelta = TimeDelta::minutes(10);

/// Writes letters and sends them.
#[derive(Debug)]
pub struct Post {
    /// Writes them.
    pub templates: Templates,
    /// Sends them.
    pub mailer: Mailer,
    /// Only people at this machine reach the server, so links in mail files may be shown to them.
    pub shows_links: bool,
}

/// Runs until the application stops.
pub async fn run(app: Arc<App>, post: Post) {
    let mut sending = Sending::new(app, post);
    loop {
        if sending.app.store_is_up()
            && let Err(error) = sending.round().await.and(sending.forget_the_old().await)
        {
            tracing::debug!(%error, "the outbox could not be read");
        }
        if sending.app.stopping().await_for(TICK).await {
            return;
        }
    }
}

/// Why a letter could not be written now.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Refused(String),
}

/// A mail that has ended.
struct Ended {
    id: String,
    outcome: MailOutcome,
    lost: Option<LostMail>,
}

struct Sending {
    app: Arc<App>,
    post: Post,
    /// When mail that failed is due again, as last read.
    due: HashMap<String, DateTime<Utc>>,
    /// Mail that has ended but may still be in the outbox.
    ended: HashSet<String>,
    /// Ends of mail that could not be journaled yet.
    unrecorded: Vec<Ended>,
    /// The mail server failed, and gets no mail until then.
    paused_until: Option<DateTime<Utc>>,
    /// Up to this position, this node's journal may hold the ends of mail that an earlier process sent.
    earlier_mail_up_to: u64,
    /// When old ids were last removed.
    forgot_at: Option<DateTime<Utc>>,
}

impl Sending {
    fn new(app: Arc<App>, post: Post) -> Self {
        let (earlier_mail_up_to, _) = app.positions(Log::Facts);
        Self {
            earlier_mail_up_to,
            forgot_at: None,
            app,
            post,
            due: HashMap::new(),
            ended: HashSet::new(),
            unrecorded: Vec::new(),
            paused_until: None,
        }
    }

    /// Reads the outbox, and sends what is due.
    async fn round(&mut self) -> Result<(), StoreError> {
        self.record_the_rest().await;
        let ids = self.app.waiting_mail_ids().await?;
        self.app.set_waiting_mail(ids.len());
        let known: HashSet<&String> = ids.iter().collect();
        self.due.retain(|id, _| known.contains(id));
        self.ended.retain(|id| known.contains(id));
        let now = self.app.now();
        let is_due = |id: &&String| {
            !self.ended.contains(*id) && self.due.get(*id).is_none_or(|next_try_at| *next_try_at <= now)
        };
        let mut due: Vec<String> = ids.iter().filter(is_due).cloned().collect();
        // Mail that failed before waits for mail that was not tried yet.
        due.sort_by_key(|id| self.due.contains_key(id));
        if due.is_empty() || self.paused_until.is_some_and(|until| now < until) || !self.may_send().await? {
            return Ok(());
        }
        self.paused_until = None;
        let sent = self.send_all(due).await;
        // Whatever the result: other nodes must not wait for an unused lease.
        let released = self.app.store.release(LEASE, &self.app.node_name()).await;
        sent.and(released)
    }

    /// Sends what is due, as long as this node has the lease. After a failure, which may have taken long, it
    /// reads the outbox again.
    async fn send_all(&mut self, due: Vec<String>) -> Result<(), StoreError> {
        for id in due {
            if self.app.stopping().is_set() || take_lease(&self.app).await? == Lease::Held {
                break;
            }
            let Some(mail) = self.app.waiting_mail(&id).await? else { continue };
            if mail.attempts > 0 {
                self.due.insert(id.clone(), mail.next_try_at);
            }
            if mail.next_try_at <= self.app.now() {
                self.send(mail).await?;
            }
            if self.due.contains_key(&id) {
                break;
            }
        }
        Ok(())
    }

    /// From time to time, removes what is kept about mail that ended long ago.
    async fn forget_the_old(&mut self) -> Result<(), StoreError> {
        let now = self.app.now();
        if self.forgot_at.is_none_or(|at| now - at >= FORGET_EVERY) {
            let forgotten = self.app.forget_ended_mail().await?;
            self.forgot_at = Some(now);
            tracing::debug!(forgotten, "names of mail that ended long ago");
        }
        Ok(())
    }

    /// While nodes, this one included, have not replayed their journals, it is not known what was sent.
    async fn may_send(&self) -> Result<bool, StoreError> {
        let (_, applied) = self.app.positions(Log::Facts);
        Ok(applied >= self.earlier_mail_up_to && !self.app.is_recovering().await?)
    }

    async fn send(&mut self, mail: Mail) -> Result<(), StoreError> {
        let (id, kind) = (mail.id.clone(), mail.letter.message.kind());
        let enclosed = match self.enclosed(&mail).await {
            Ok(enclosed) => enclosed,
            Err(WriteError::Store(error)) => return Err(error),
            Err(WriteError::Refused(why)) => {
                tracing::warn!(mail = id, kind, why, "a mail is not needed any more and is not sent");
                self.app.metrics.mail(MailAttempt::GivenUp);
                self.end(Ended { id, outcome: MailOutcome::GivenUp, lost: None }).await;
                return Ok(());
            }
        };
        let sent = match self.post.templates.letter(&mail.letter, &enclosed) {
            Ok(written) => {
                let outgoing = Outgoing {
                    id: &id,
                    kind,
                    to: &mail.letter.to,
                    name: &crate::mail::salutation(&mail.letter),
                    date: mail.created_at,
                    written: &written,
                };
                let app = Arc::clone(&self.app);
                tokio::select! {
                    sent = self.post.mailer.send(&outgoing) => sent,
                    never = keep_lease(&app) => match never {},
                }
            }
            // The templates were checked at the start; trying again is all that can be done.
            Err(error) => Err(SendError { text: error.to_string(), class: "template", fault: Fault::Mail }),
        };
        match sent {
            Ok(sent) => {
                tracing::info!(mail = id, kind, "mail sent");
                if let Sent::Filed(file) = &sent {
                    self.show(kind, file, enclosed.link.as_deref());
                }
                self.app.metrics.mail(MailAttempt::Sent);
                self.end(Ended { id, outcome: MailOutcome::Sent, lost: None }).await;
                Ok(())
            }
            Err(error) => self.failed(mail, &error).await,
        }
    }

    /// What a mail includes, looked up now.
    async fn enclosed(&self, mail: &Mail) -> Result<Enclosed, WriteError> {
        let link = self.link(mail).await?;
        let (mut agreement, mut due) = (None, None);
        match &mail.letter.message {
            Message::AgreementSigned { version, sha256, .. } => {
                let signed = self.app.published(version).await?.filter(|known| known.sha256 == *sha256);
                // The agreement was journaled before it was signed, so it can only be missing here for now.
                let missing = || StoreError::Unavailable(format!("find the agreement {version}"));
                agreement = Some(signed.ok_or_else(missing)?.text);
            }
            Message::Closed { .. } => {
                if let Some(affiliate) = mail.letter.person.and_then(Person::affiliate) {
                    due = self.app.due_to(affiliate).await?;
                }
            }
            _ => {}
        }
        Ok(Enclosed { link, agreement, due })
    }

    /// The mail's one-time link, made now.
    async fn link(&self, mail: &Mail) -> Result<Option<String>, WriteError> {
        let Some((link_kind, new_address, asked)) = link_kind(&mail.letter.message) else { return Ok(None) };
        let Some(person) = mail.letter.person else {
            return Err(WriteError::Refused("it concerns no person".to_owned()));
        };
        // Another node may have applied the approval just now.
        self.app.follow_directory().await?;
        // A link must not go to an address that was replaced while the mail waited.
        if link_kind != LinkKind::ConfirmEmail && !self.app.has_email(person, &mail.letter.to) {
            return Err(WriteError::Refused("its person has another address now".to_owned()));
        }
        match self.app.one_time_url_if(link_kind, person, new_address, asked).await? {
            Some(url) => Ok(Some(url)),
            None => Err(WriteError::Refused("its person may not do this any more".to_owned())),
        }
    }

    async fn failed(&mut self, mut mail: Mail, error: &SendError) -> Result<(), StoreError> {
        let now = self.app.now();
        let (id, kind) = (mail.id.clone(), mail.letter.message.kind());
        let text = error.text.clone();
        let after = match error.fault {
            Fault::MailForGood(why) => AfterFailure::GiveUp(why),
            Fault::Mail => mail.failed(text, now),
            Fault::Way => {
                self.paused_until = Some(now + SERVER_PAUSE);
                mail.met_no_server(text, now)
            }
        };
        // The text may contain an address: it is for the store and `doctor`, not for logs.
        tracing::warn!(
            mail = id,
            kind,
            class = error.class,
            attempts = mail.attempts,
            ?after,
            "mail not sent"
        );
        match after {
            AfterFailure::GiveUp(why) => {
                self.app.metrics.mail(MailAttempt::GivenUp);
                let about = |person| LostMail { person, kind: kind.to_owned(), why };
                let lost = mail.letter.person.map(about);
                self.end(Ended { id, outcome: MailOutcome::GivenUp, lost }).await;
                Ok(())
            }
            AfterFailure::RetryAt(next_try_at) => {
                self.app.metrics.mail(MailAttempt::Failed);
                self.due.insert(id, next_try_at);
                self.app.put_waiting_mail(mail).await
            }
        }
    }

    /// Journals that a mail has ended.
    async fn end(&mut self, ended: Ended) {
        self.ended.insert(ended.id.clone());
        self.unrecorded.push(ended);
        self.record_the_rest().await;
    }
    async fn record_the_rest(&mut self) {
        while let Some(Ended { id, outcome, lost }) = self.unrecorded.last() {
            let done = MailDone { mail_id: id.clone(), outcome: *outcome, lost: lost.clone() };
            if let Err(error) = self.app.submit(&Actor::server(), done.into()).await {
                tracing::warn!(%error, "the end of a mail could not be recorded yet");
                return;
            }
            self.unrecorded.pop();
        }
    }

    /// Shows a mail that went into a file to the people at this machine.
    fn show(&self, kind: &str, file: &Path, link: Option<&str>) {
        use std::io::Write;
        let link = link.filter(|_| self.post.shows_links).map(|link| format!("\n             {link}"));
        let text = format!("mail         {kind}: {}{}\n", file.display(), link.unwrap_or_default());
        // A closed terminal is no failure.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
}

async fn take_lease(app: &App) -> Result<Lease, StoreError> {
    let ttl = u64::try_from(LEASE_TTL.as_millis()).unwrap_or(u64::MAX);
    app.store.lease(LEASE, &app.node_name(), ttl).await
}

/// Renews the lease while a mail is being sent. A renewal that fails is tried again.
async fn keep_lease(app: &App) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(LEASE_RENEWED).await;
        if let Err(error) = take_lease(app).await {
            tracing::debug!(%error, "the lease to send mail was not renewed");
        }
    }
}

/// The purpose of a message's one-time link, if it has one, and the state in which it was requested.
fn link_kind(message: &Message) -> Option<(LinkKind, Option<&str>, Option<Asked>)> {
    match message {
        Message::Approved => Some((LinkKind::Activate, None, None)),
        Message::PasswordReset | Message::StaffPasswordReset => Some((LinkKind::Reset, None, None)),
        Message::ConfirmEmail { new_email, asked } => {
            Some((LinkKind::ConfirmEmail, Some(new_email.as_str()), Some(*asked)))
        }
        Message::ConfirmPaypal { new_email, asked, .. } => {
            Some((LinkKind::ConfirmPaypal, Some(new_email.as_str()), Some(*asked)))
        }
        _ => None,
    }
}
