//! The templates of mail: two per message, text and HTML, in `templates/mail`. Each can be replaced by a file
//! with the same name in a directory of the configuration. The first line of a text is the subject.

use crate::domain::calendar::{Month, Zone};
use crate::domain::id::AccountId;
use crate::domain::mail::{Asked, Letter, Message, Need, Payment};
use crate::domain::money::Money;
use crate::domain::payout::PayoutId;
use chrono::{DateTime, Utc};
use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, context};
use std::path::Path;

/// The longest name that is used in a greeting.
const LONGEST_NAME: usize = 60;
/// The most words in a stranger's name.
const NAME_WORDS: usize = 4;

/// A template can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write a mail by {name}: {why}")]
pub struct TemplateError {
    /// The template.
    pub name: String,
    /// What is wrong with it.
    pub why: String,
}

/// What all mail says about the program.
#[derive(Debug, Clone)]
pub struct Context {
    /// Its name.
    pub program: String,
    /// Who runs it.
    pub company: String,
    /// Where people may ask for help; empty: nowhere.
    pub support: String,
    /// The portal's address.
    pub portal: String,
    /// The address of the sign-in page.
    pub sign_in: String,
    /// The address of the page of referrals.
    pub referrals: String,
    /// The address of the page of payouts.
    pub payouts: String,
    /// The address of the staff's page of payouts.
    pub staff_payouts: String,
    /// The time zone of dates.
    pub zone: Zone,
}

/// What is looked up when a letter is written out, so that the outbox and the journal need no copy of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Enclosed {
    /// The one-time link, if there is one.
    pub link: Option<String>,
    /// The text that was signed.
    pub agreement: Option<String>,
    /// The amount that is due to its reader, with the currency; `None`: nothing.
    pub due: Option<String>,
}

/// A mail as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The subject, one line.
    pub subject: String,
    /// As plain text.
    pub text: String,
    /// As a page.
    pub html: String,
}

macro_rules! templates {
    ($($name:literal)+) => {
        &[$(($name, include_str!(concat!("../../templates/mail/", $name)))),+]
    };
}

/// The built-in templates.
const TEMPLATES: &[(&str, &str)] = templates![
    "layout.html" "button.html" "foot.txt"
    "application_received.txt" "application_received.html"
    "application_known.txt" "application_known.html"
    "approved.txt" "approved.html"
    "rejected.txt" "rejected.html"
    "password_reset.txt" "password_reset.html"
    "password_changed.txt" "password_changed.html"
    "agreement_signed.txt" "agreement_signed.html"
    "confirm_email.txt" "confirm_email.html"
    "email_changed.txt" "email_changed.html"
    "confirm_paypal.txt" "confirm_paypal.html"
    "paypal_changed.txt" "paypal_changed.html"
    "claim_decided.txt" "claim_decided.html"
    "link_disabled.txt" "link_disabled.html"
    "link_enabled.txt" "link_enabled.html"
    "suspended.txt" "suspended.html"
    "reinstated.txt" "reinstated.html"
    "closed.txt" "closed.html"
    "staff_password_reset.txt" "staff_password_reset.html"
    "staff_link_made.txt" "staff_link_made.html"
    "referral_credited.txt" "referral_credited.html"
    "referral_qualified.txt" "referral_qualified.html"
    "statement_final.txt" "statement_final.html"
    "payout_sent.txt" "payout_sent.html"
    "payout_paid.txt" "payout_paid.html"
    "payout_needs_you.txt" "payout_needs_you.html"
    "payout_waits.txt" "payout_waits.html"
    "payout_refused.txt" "payout_refused.html"
    "payout_doubts.txt" "payout_doubts.html"
];

/// Writes letters out.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
    context: Context,
}

impl Templates {
    /// The built-in templates, except those that are replaced in `dir` (empty: no directory). Each is tried
    /// with a sample, so that a broken one stops the start and not a mail.
    pub fn open(context: Context, dir: &Path) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.add_filter("indented", indented);
        let zone = context.zone.clone();
        environment.add_filter("day", move |text: &str| {
            instant(text).map(|at| zone.date_of(at).format("%B %-d, %Y").to_string())
        });
        environment.add_filter("instant", |text: &str| {
            instant(text).map(|at| at.format("%B %-d, %Y, %H:%M UTC").to_string())
        });
        for (name, ours) in TEMPLATES {
            let source = theirs(dir, name)?.unwrap_or_else(|| (*ours).to_owned());
            environment
                .add_template_owned((*name).to_owned(), source)
                .map_err(|error| wrong(name, &error))?;
        }
        let templates = Self { environment, context };
        let sample = Enclosed {
            link: Some("https://go.example.com/x".to_owned()),
            agreement: Some("The agreement.".to_owned()),
            due: None,
        };
        for message in samples() {
            templates.write("Ann", &message, &sample)?;
        }
        Ok(templates)
    }

    /// Writes a letter out, with what it includes.
    pub fn letter(&self, letter: &Letter, enclosed: &Enclosed) -> Result<Written, TemplateError> {
        self.write(&salutation(letter), &letter.message, enclosed)
    }

    fn write(&self, name: &str, message: &Message, enclosed: &Enclosed) -> Result<Written, TemplateError> {
        let text = self.render(message, "txt", name, enclosed, "")?;
        let (subject, text) = text.split_once('\n').unwrap_or((&text, ""));
        let subject = subject.trim().to_owned();
        let html = self.render(message, "html", name, enclosed, &subject)?;
        Ok(Written { text: format!("{}\n", text.trim()), html, subject })
    }

    fn render(
        &self,
        message: &Message,
        form: &str,
        name: &str,
        enclosed: &Enclosed,
        subject: &str,
    ) -> Result<String, TemplateError> {
        let file = format!("{}.{form}", message.kind());
        let common = &self.context;
        let values = context! {
            program => common.program.as_str(),
            company => common.company.as_str(),
            support => common.support.as_str(),
            portal => common.portal.as_str(),
            sign_in => common.sign_in.as_str(),
            referrals => common.referrals.as_str(),
            payouts => common.payouts.as_str(),
            staff_payouts => common.staff_payouts.as_str(),
            name => name,
            link => enclosed.link.as_deref().unwrap_or_default(),
            agreement => enclosed.agreement.as_deref().unwrap_or_default(),
            due => enclosed.due.as_deref(),
            subject => subject,
            ..of_message(message)
        };
        let template = self.environment.get_template(&file).map_err(|error| wrong(&file, &error))?;
        template.render(values).map_err(|error| wrong(&file, &error))
    }
}

/// What a message says in addition to what all messages say.
fn of_message(message: &Message) -> Value {
    match message {
        Message::ApplicationReceived
        | Message::ApplicationKnown
        | Message::Approved
        | Message::PasswordReset
        | Message::PasswordChanged
        | Message::Reinstated
        | Message::StaffPasswordReset
        | Message::StaffLinkMade => context! {},
        Message::Rejected { reason } | Message::Suspended { reason } | Message::Closed { reason } => {
            context! { reason => reason }
        }
        Message::AgreementSigned { version, sha256, name, at } => {
            context! { version => version, sha256 => sha256, signed_by => name, at => at.to_rfc3339() }
        }
        Message::ConfirmEmail { new_email, .. } => context! { new_email => new_email },
        Message::ConfirmPaypal { new_email, first, .. } => {
            context! { new_email => new_email, first => first }
        }
        Message::EmailChanged { new_email_masked, held } => {
            context! { new_email_masked => new_email_masked, held => held }
        }
        Message::PaypalChanged { masked, first, held_until } => {
            context! { masked => masked, first => first, held_until => held_until.to_rfc3339() }
        }
        Message::LinkDisabled { label, made_at, reason } => {
            context! { label => label, made_at => made_at.to_rfc3339(), reason => reason }
        }
        Message::LinkEnabled { label, made_at } => {
            context! { label => label, made_at => made_at.to_rfc3339() }
        }
        Message::ClaimDecided { granted, reason } => context! { granted => granted, reason => reason },
        Message::ReferralCredited { account_id } => context! { account => account_id.as_str() },
        Message::ReferralQualified { account_id, month } => {
            context! { account => account_id.as_str(), month => in_words(*month) }
        }
        Message::StatementFinal { month, total, currency } => context! {
            month => in_words(*month),
            amount => format!("{total} {currency}"),
            is_negative => *total < Money::ZERO,
        },
        Message::PayoutSent(payment) | Message::PayoutPaid(payment) => of_payment(payment),
        Message::PayoutNeedsYou { need, payment } => {
            context! { need => need.code(), ..of_payment(payment) }
        }
        Message::PayoutWaits { payout_id, items, total, currency } => context! {
            payout => payout_id.to_string(),
            items => items,
            amount => format!("{total} {currency}"),
        },
        Message::PayoutRefused { payout_id, why } => {
            context! { payout => payout_id.to_string(), why_refused => why }
        }
        Message::PayoutDoubts { payout_id, items } => {
            context! { payout => payout_id.to_string(), items => items }
        }
    }
}

fn of_payment(payment: &Payment) -> Value {
    let Payment { amount, currency, months, receiver } = payment;
    let months: Vec<String> = months.iter().map(|month| in_words(*month)).collect();
    context! {
        amount => format!("{amount} {currency}"),
        months => listed(&months),
        receiver => receiver,
    }
}

/// A month like `April 2026`.
fn in_words(month: Month) -> String {
    month.first_day().format("%B %Y").to_string()
}

/// `a, b and c`.
fn listed(all: &[String]) -> String {
    match all {
        [] => String::new(),
        [one] => one.clone(),
        [others @ .., last] => format!("{} and {last}", others.join(", ")),
    }
}

/// One message of each kind.
pub(super) fn samples() -> Vec<Message> {
    let (reason, at) = ("We could not open your web site.".to_owned(), DateTime::<Utc>::UNIX_EPOCH);
    let (new_email, asked) = ("ann@example.com".to_owned(), Asked::default());
    let (version, sha256) = ("2026-01".to_owned(), "0".repeat(64));
    let label = Some("Spring mail".to_owned());
    vec![
        Message::ApplicationReceived,
        Message::ApplicationKnown,
        Message::Approved,
        Message::Rejected { reason: reason.clone() },
        Message::PasswordReset,
        Message::PasswordChanged,
        Message::AgreementSigned { version, sha256, name: "Ann".to_owned(), at },
        Message::ConfirmEmail { new_email: new_email.clone(), asked },
        Message::EmailChanged { new_email_masked: new_email.clone(), held: true },
        Message::ConfirmPaypal { new_email: new_email.clone(), first: false, asked },
        Message::PaypalChanged { masked: new_email.clone(), first: false, held_until: at },
        Message::ClaimDecided { granted: true, reason: reason.clone() },
        Message::ClaimDecided { granted: false, reason: reason.clone() },
        Message::Suspended { reason: reason.clone() },
        Message::Closed { reason: reason.clone() },
        Message::Reinstated,
        Message::StaffPasswordReset,
        Message::StaffLinkMade,
        Message::ConfirmPaypal { new_email: new_email.clone(), first: true, asked },
        Message::PaypalChanged { masked: new_email, first: true, held_until: at },
        Message::PaypalChanged { masked: String::new(), first: false, held_until: at },
        Message::LinkDisabled { label: label.clone(), made_at: at, reason },
        Message::LinkDisabled { label: None, made_at: at, reason: String::new() },
        Message::LinkEnabled { label, made_at: at },
    ]
    .into_iter()
    .chain(samples_about_money())
    .collect()
}

fn samples_about_money() -> Vec<Message> {
    let april = Month { year: 2026, month: 4 };
    let (amount, currency) = (Money::from_cents(14_800), "USD".to_owned());
    let months = vec![april, april.next()];
    let payment =
        Payment { amount, currency: currency.clone(), months, receiver: "a…@example.com".to_owned() };
    let nowhere = Payment { months: Vec::new(), receiver: String::new(), ..payment.clone() };
    let account_id: Result<AccountId, _> = "acct_81".parse();
    let payout_id = PayoutId { month: april, number: 1 };
    let needs = |need, payment: &Payment| Message::PayoutNeedsYou { need, payment: payment.clone() };
    let about_account = account_id.into_iter().flat_map(|account_id| {
        let qualified = Message::ReferralQualified { account_id: account_id.clone(), month: april };
        [Message::ReferralCredited { account_id }, qualified]
    });
    let others = [
        Message::StatementFinal { month: april, total: amount, currency: currency.clone() },
        Message::StatementFinal { month: april, total: Money::from_cents(-500), currency: currency.clone() },
        Message::PayoutSent(payment.clone()),
        Message::PayoutPaid(payment.clone()),
        Message::PayoutPaid(nowhere.clone()),
        needs(Need::NoPaypalEmail, &nowhere),
        needs(Need::Unclaimed, &payment),
        needs(Need::Returned, &payment),
        needs(Need::NeedsChange, &payment),
        Message::PayoutWaits { payout_id, items: 2, total: amount, currency },
        Message::PayoutRefused { payout_id, why: "INSUFFICIENT_FUNDS".to_owned() },
        Message::PayoutDoubts { payout_id, items: 1 },
    ];
    about_account.chain(others).collect()
}

/// The name in a letter's greeting. For people whom staff have not approved yet, only what is certainly a
/// name: anyone may apply with any address.
pub fn salutation(letter: &Letter) -> String {
    let name = greeting(&letter.name);
    let may_be_a_message =
        name.split_whitespace().count() > NAME_WORDS || name.contains(|letter: char| letter.is_numeric());
    if letter.message.is_to_stranger() && may_be_a_message { String::new() } else { name }
}

/// The name in a mail's greeting. Strangers type names and addresses into the application form: text that
/// looks like an advertisement is left out, since we would send it for them.
pub(super) fn greeting(name: &str) -> String {
    let name = super::one_line(name);
    let looks_like_an_address = name.contains(['/', '@', ':', '<', '>', '\\'])
        || name.split_whitespace().any(|word| {
            // "J.R. Smith" is a name, "spam.example" is not.
            word.split('.').collect::<Vec<_>>().windows(2).any(|pair| pair[0].len() > 2 && pair[1].len() > 1)
        });
    if looks_like_an_address || name.chars().count() > LONGEST_NAME { String::new() } else { name }
}

/// A text that somebody else wrote, indented to set it apart from ours.
fn indented(text: &str) -> String {
    let lines = text.lines().map(|line| format!("    {}", super::one_line(line)));
    lines.collect::<Vec<_>>().join("\n")
}

fn instant(text: &str) -> Result<DateTime<Utc>, Error> {
    text.parse().map_err(|_| Error::new(ErrorKind::InvalidOperation, "not an instant"))
}

fn theirs(dir: &Path, name: &str) -> Result<Option<String>, TemplateError> {
    if dir.as_os_str().is_empty() {
        return Ok(None);
    }
    match std::fs::read_to_string(dir.join(name)) {
        Ok(source) => Ok(Some(source)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && dir.is_dir() => Ok(None),
        Err(error) => Err(TemplateError {
            name: name.to_owned(),
            why: format!("can't read it in {}: {error}", dir.display()),
        }),
    }
}

fn wrong(name: &str, error: &Error) -> TemplateError {
    let line = error.line().map(|line| format!(" (line {line})")).unwrap_or_default();
    TemplateError { name: error.name().unwrap_or(name).to_owned(), why: format!("{error}{line}") }
}
