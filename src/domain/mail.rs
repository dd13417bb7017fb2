//! The mails that we send, and when a mail that could not be delivered is tried again.
//!
//! A message holds what happened and never a one-time link. The link is made when the mail is sent, so that
//! neither the store nor a backup holds one.

mod news;

pub use news::{Need, News, Payment, Topic, news_of_item};

use super::calendar::Month;
use super::id::{AccountId, NodeId};
use super::money::Money;
use super::payout::PayoutId;
use super::person::Person;
use super::program::hex;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What a mail is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Message {
    /// Thanks for the application; staff will look at it.
    ApplicationReceived,
    /// Somebody applied with an address that is already known. Only the owner of the address is notified.
    ApplicationKnown,
    /// Welcome; with the link to set the first password.
    Approved,
    /// The application was rejected.
    Rejected {
        /// The reason that staff gave.
        reason: String,
    },
    /// The link to set a new password.
    PasswordReset,
    /// A password was set or changed.
    PasswordChanged,
    /// A copy of the signature.
    AgreementSigned {
        /// The version of the agreement.
        version: String,
        /// The SHA-256 of the agreement's text, in hex.
        sha256: String,
        /// The name as typed.
        name: String,
        /// When it was signed.
        at: DateTime<Utc>,
    },
    /// Asks the new address to confirm the change.
    ConfirmEmail {
        /// The new address.
        new_email: String,
        /// What was known when the change was requested; no link is made if it changed since.
        asked: Asked,
    },
    /// Notifies the old address.
    EmailChanged {
        /// The new address, as `a…@example.com`.
        new_email_masked: String,
        /// Whether payouts are held because of it.
        held: bool,
    },
    /// Asks the account's address to confirm a new payout address.
    ConfirmPaypal {
        /// The new payout address.
        new_email: String,
        /// Whether it is the first payout address.
        first: bool,
        /// What was known when the change was requested; no link is made if it changed since.
        asked: Asked,
    },
    /// Payouts go to another address, after a hold.
    PaypalChanged {
        /// The new address, as `a…@example.com`; empty: it was removed.
        masked: String,
        /// Whether it is the first payout address.
        first: bool,
        /// Payouts are held until then.
        held_until: DateTime<Utc>,
    },
    /// Staff decided about a claim of a missing referral.
    ClaimDecided {
        /// Whether it is credited now.
        granted: bool,
        /// The reason that staff gave.
        reason: String,
    },
    /// Staff switched a link off.
    LinkDisabled {
        /// The affiliate's name for it.
        label: Option<String>,
        /// When the link was made: identifies a link without a name.
        made_at: DateTime<Utc>,
        /// The reason that staff gave; empty: none.
        reason: String,
    },
    /// A link was switched on again.
    LinkEnabled {
        /// The affiliate's name for it.
        label: Option<String>,
        /// When the link was made.
        made_at: DateTime<Utc>,
    },
    /// Links do not earn for now.
    Suspended {
        /// The reason that staff gave.
        reason: String,
    },
    /// Links earn again.
    Reinstated,
    /// The account is closed permanently; says what is still due.
    Closed {
        /// The reason that staff gave.
        reason: String,
    },
    /// The link to set a new password of a member of staff.
    StaffPasswordReset,
    /// A colleague made a link to set a new password for a member of staff who has one.
    StaffLinkMade,
    /// An account was credited to the affiliate.
    ReferralCredited {
        /// The account.
        account_id: AccountId,
    },
    /// An account qualified: it earns a commission.
    ReferralQualified {
        /// The account.
        account_id: AccountId,
        /// The month on whose statement it is.
        month: Month,
    },
    /// The statement of a month is final.
    StatementFinal {
        /// The month.
        month: Month,
        /// Its total; may be below zero.
        total: Money,
        /// ISO 4217 code.
        currency: String,
    },
    /// A payment is on its way.
    PayoutSent(Payment),
    /// A payment arrived.
    PayoutPaid(Payment),
    /// The affiliate has to do something before it can be paid.
    PayoutNeedsYou {
        /// What is the matter.
        need: Need,
        /// The payment.
        #[serde(flatten)]
        payment: Payment,
    },
    /// To staff: a payout waits for approval.
    PayoutWaits {
        /// The payout.
        payout_id: PayoutId,
        /// How many payments it has.
        items: u32,
        /// What they add up to.
        total: Money,
        /// ISO 4217 code.
        currency: String,
    },
    /// To staff: PayPal refused a payout.
    PayoutRefused {
        /// The payout.
        payout_id: PayoutId,
        /// PayPal's name of the cause.
        why: String,
    },
    /// To staff: payments that a person has to look at.
    PayoutDoubts {
        /// Their payout.
        payout_id: PayoutId,
        /// How many there are.
        items: u32,
    },
}

/// The state of an account when a signed-in person requested a change. The link to confirm the change is made
/// when the mail is sent: if a password or an address was changed in the meantime, it must not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Asked {
    /// The generation of the credentials.
    pub credentials: u32,
    /// How often an address had been changed.
    pub addresses: u32,
}

impl Message {
    /// Whether it goes to an address that nobody has confirmed yet: it may belong to somebody else.
    pub const fn is_to_stranger(&self) -> bool {
        matches!(self, Self::ApplicationReceived | Self::ApplicationKnown | Self::Rejected { .. })
    }

    /// The stable name; templates have the same.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::ApplicationReceived => "application_received",
            Self::ApplicationKnown => "application_known",
            Self::Approved => "approved",
            Self::Rejected { .. } => "rejected",
            Self::PasswordReset => "password_reset",
            Self::PasswordChanged => "password_changed",
            Self::AgreementSigned { .. } => "agreement_signed",
            Self::ConfirmEmail { .. } => "confirm_email",
            Self::EmailChanged { .. } => "email_changed",
            Self::ConfirmPaypal { .. } => "confirm_paypal",
            Self::PaypalChanged { .. } => "paypal_changed",
            Self::ClaimDecided { .. } => "claim_decided",
            Self::LinkDisabled { .. } => "link_disabled",
            Self::LinkEnabled { .. } => "link_enabled",
            Self::Suspended { .. } => "suspended",
            Self::Reinstated => "reinstated",
            Self::Closed { .. } => "closed",
            Self::StaffPasswordReset => "staff_password_reset",
            Self::StaffLinkMade => "staff_link_made",
            Self::ReferralCredited { .. } => "referral_credited",
            Self::ReferralQualified { .. } => "referral_qualified",
            Self::StatementFinal { .. } => "statement_final",
            Self::PayoutSent(_) => "payout_sent",
            Self::PayoutPaid(_) => "payout_paid",
            Self::PayoutNeedsYou { .. } => "payout_needs_you",
            Self::PayoutWaits { .. } => "payout_waits",
            Self::PayoutRefused { .. } => "payout_refused",
            Self::PayoutDoubts { .. } => "payout_doubts",
        }
    }

    /// Its kind, if a program may switch that off.
    pub fn topic(&self) -> Option<Topic> {
        self.kind().parse().ok()
    }
}

/// A message to somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// The address.
    pub to: String,
    /// The name for the greeting.
    pub name: String,
    /// The account that it is about; one-time links are made for this person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<Person>,
    /// The content.
    pub message: Message,
}

/// A letter that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// Its id, the same however often it is made or sent; ids sort by time.
    pub id: String,
    /// The letter.
    #[serde(flatten)]
    pub letter: Letter,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// How often sending it has failed.
    #[serde(default)]
    pub attempts: u32,
    /// It is not tried again before then.
    pub next_try_at: DateTime<Utc>,
    /// The error of the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// How a mail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailOutcome {
    /// A mail server took it.
    Sent,
    /// It was refused permanently, or for three days.
    GivenUp,
}

/// Why a mail never reached anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undelivered {
    /// No mail can be sent to this address.
    BadAddress,
    /// The address has non-ASCII characters before its `@`, which the mail server does not accept.
    NeedsSmtputf8,
    /// The mail server refused it permanently.
    Refused,
    /// It could not be sent for three days.
    Expired,
}

impl Undelivered {
    /// The text that staff read.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::BadAddress => "No mail can be sent to this address: it is not a complete one.",
            Self::NeedsSmtputf8 => {
                "Our mail server does not send to addresses with such letters before the @: it lacks SMTPUTF8."
            }
            Self::Refused => "The mail server refused it for good.",
            Self::Expired => "It could not be sent for three days.",
        }
    }
}

/// What is kept about a mail that never reached anybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostMail {
    /// The person that it was about.
    pub person: Person,
    /// The kind of the message.
    pub kind: String,
    /// Why it was lost.
    pub why: Undelivered,
}

/// What happens after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterFailure {
    /// It is tried again then.
    RetryAt(DateTime<Utc>),
    /// It is not tried again.
    GiveUp(Undelivered),
}

/// How long a mail is worth sending. An older fact causes none, so that a replay does not write to people
/// about old news.
pub const LIFETIME: TimeDelta = TimeDelta::days(3);

/// How long a mail server that accepts nothing gets no further mail.
pub const SERVER_PAUSE: TimeDelta = TimeDelta::minutes(1);

/// The waits after the first, second … failure; the last one repeats.
const WAITS: [TimeDelta; 5] = [
    TimeDelta::minutes(1),
    TimeDelta::minutes(5),
    TimeDelta::minutes(30),
    TimeDelta::hours(2),
    TimeDelta::hours(12),
];

impl Mail {
    /// A letter as it enters the outbox.
    pub const fn new(id: String, letter: Letter, now: DateTime<Utc>) -> Self {
        Self { id, letter, created_at: now, attempts: 0, next_try_at: now, last_error: None }
    }
    /// Records a failed attempt that is the mail's own fault.
    pub fn failed(&mut self, error: String, now: DateTime<Utc>) -> AfterFailure {
        let wait = WAITS[(self.attempts as usize).min(WAITS.len() - 1)];
        self.attempts += 1;
        self.waits(error, wait, now)
    }
    /// Records a failed attempt that is the mail server's fault. It is not counted, so that the mail is tried
    /// soon when the server is back.
    pub fn met_no_server(&mut self, error: String, now: DateTime<Utc>) -> AfterFailure {
        self.waits(error, SERVER_PAUSE, now)
    }
    fn waits(&mut self, error: String, wait: TimeDelta, now: DateTime<Utc>) -> AfterFailure {
        self.last_error = Some(error);
        self.next_try_at = now + wait;
        if self.next_try_at > self.created_at + LIFETIME {
            AfterFailure::GiveUp(Undelivered::Expired)
        } else {
            AfterFailure::RetryAt(self.next_try_at)
        }
    }
}

/// The id of the `nth` mail that a fact causes: the same in every replay.
pub fn id_from_fact(at: DateTime<Utc>, node: NodeId, epoch: u32, position: u64, nth: usize) -> String {
    id_from(at, &format!("fact {node} {epoch} {position} {nth}"))
}

/// An id made of a time and a source that differs from those of other mails of that time.
pub fn id_from(at: DateTime<Utc>, source: &str) -> String {
    let digest = Sha256::new().chain_update(b"counterfoil mail ").chain_update(source).finalize();
    format!("{:011x}{}", at.timestamp_millis(), hex(&digest[..8]))
}

/// When the mail with this id was written.
pub fn written_at(id: &str) -> Option<DateTime<Utc>> {
    let millis = i64::from_str_radix(id.get(..11)?, 16).ok()?;
    DateTime::from_timestamp_millis(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a literal")
    }

    fn mail() -> Mail {
        let letter = Letter {
            to: "ann@example.com".into(),
            name: "Ann".into(),
            person: None,
            message: Message::Rejected { reason: "no web site".into() },
        };
        Mail::new("019b".into(), letter, at("2026-01-01T00:00:00Z"))
    }

    #[test]
    fn a_mail_is_tried_for_three_days_ever_more_rarely() {
        let mut mail = mail();
        let mut now = mail.created_at;
        let mut waits = Vec::new();
        while let AfterFailure::RetryAt(next) = mail.failed("451 later".into(), now) {
            waits.push((next - now).num_minutes());
            now = next;
        }
        assert_eq!(waits, [1, 5, 30, 120, 720, 720, 720, 720, 720]);
        assert_eq!(mail.attempts, 10);
    }

    #[test]
    fn a_server_that_was_away_does_not_make_a_mail_one_that_is_rarely_tried() {
        let mut mail = mail();
        let at = |minutes| mail_time() + TimeDelta::minutes(minutes);
        for minute in 0..100 {
            let after = mail.met_no_server("connection refused".into(), at(minute));
            assert_eq!(after, AfterFailure::RetryAt(at(minute + 1)));
        }
        assert_eq!(mail.failed("451 later".into(), at(100)), AfterFailure::RetryAt(at(101)));
        let over = mail.met_no_server("connection refused".into(), at(3 * 24 * 60));
        assert_eq!(over, AfterFailure::GiveUp(Undelivered::Expired), "three days are the end here too");
        assert_eq!(mail.last_error.as_deref(), Some("connection refused"));
    }

    fn mail_time() -> DateTime<Utc> {
        mail().created_at
    }

    #[test]
    fn names_are_stable_and_sort_by_time() {
        let node = NodeId::from_bits(7);
        let first = at("2026-01-01T00:00:00Z");
        let id = id_from_fact(first, node, 1, 42, 0);
        assert_eq!(id, id_from_fact(first, node, 1, 42, 0));
        assert_ne!(id, id_from_fact(first, node, 1, 42, 1));
        assert_ne!(id, id_from_fact(first, node, 2, 42, 0));
        assert!(id < id_from_fact(at("2026-01-01T00:00:00.001Z"), node, 1, 42, 0));
        assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(written_at(&id), Some(first));
        assert_eq!(written_at("\u{e9}").or_else(|| written_at("none")), None);
    }

    #[test]
    fn a_mail_is_kept_as_plain_json() {
        let text = serde_json::to_string(&mail()).expect("plain data");
        assert_eq!(
            text,
            r#"{"id":"019b","to":"ann@example.com","name":"Ann","message":{"kind":"rejected","reason":"no web site"},"created_at":"2026-01-01T00:00:00Z","attempts":0,"next_try_at":"2026-01-01T00:00:00Z"}"#
        );
        assert_eq!(serde_json::from_str::<Mail>(&text).expect("the same"), mail());
    }
}
