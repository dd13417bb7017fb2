//! What the answer to a batch's creation proves.

use super::plain;
use super::wire::Answer;
use http::StatusCode;
use serde::Deserialize;
use url::Url;

/// How the creation of a batch ended.
///
/// It is about this one call. An earlier call under the same id, whose answer was lost, may have made the batch all
/// the same; only [`Created::Exists`] would say so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// PayPal took the batch. Nothing is paid yet.
    Accepted {
        /// PayPal's id of it.
        payout_batch_id: String,
    },
    /// There is a batch under this id already. It may be another than ours, and need not be paid: compare its items.
    /// PayPal's own text advises another id; that would pay twice.
    Exists {
        /// PayPal's id of it, if PayPal named it.
        payout_batch_id: Option<String>,
    },
    /// The whole call was refused, and made nothing.
    Refused {
        /// PayPal's stable name of the reason.
        name: String,
        /// The part of the call that is wrong, as `items[6].receiver`.
        field: Option<String>,
        /// PayPal's words, for people.
        message: String,
    },
    /// We may not pay at all, and nothing was made: staff have to settle it with PayPal.
    Restricted {
        /// PayPal's stable name of the reason.
        name: String,
    },
    /// There is not enough money in the account; nothing was made.
    Unfunded,
    /// PayPal wants fewer calls; presumably nothing was made.
    Throttled,
    /// The call surely did not reach PayPal.
    NotSent(String),
    /// Nobody knows whether the batch was made.
    Unclear(String),
}

/// PayPal's names of what is wrong with a call. A name that is not here proves nothing.
const REFUSALS: [&str; 9] = [
    "VALIDATION_ERROR",
    "NON_HOLDING_CURRENCY",
    "INVALID_REQUEST",
    "MALFORMED_REQUEST",
    "MALFORMED_REQUEST_ERROR",
    "MALFORMED_REQUEST_JSON",
    "MISSING_REQUIRED_PARAMETER",
    "INVALID_PARAMETER_SYNTAX",
    "UNSUPPORTED_MEDIA_TYPE",
];

#[derive(Deserialize)]
struct Made {
    batch_header: MadeHeader,
}

#[derive(Deserialize)]
struct MadeHeader {
    payout_batch_id: String,
    sender_batch_header: Option<SenderHeader>,
}

#[derive(Deserialize)]
struct SenderHeader {
    sender_batch_id: Option<String>,
}

/// An error, in PayPal's form.
#[derive(Deserialize)]
pub(super) struct Problem {
    pub name: String,
    message: Option<String>,
    #[serde(default)]
    details: Vec<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    field: Option<String>,
    issue: Option<String>,
    description: Option<String>,
    /// PayPal writes both names.
    #[serde(default, alias = "links")]
    link: Vec<Link>,
}

#[derive(Deserialize)]
struct Link {
    href: String,
}

impl Problem {
    /// Reads an error; `None`: it is none of PayPal's, but of something on the way.
    pub(super) fn of(answer: &Answer) -> Option<Self> {
        let problem: Self = serde_json::from_slice(&answer.body).ok()?;
        (!problem.name.is_empty()).then_some(problem)
    }
    /// PayPal's words, for people.
    fn words(&self) -> String {
        let detail = self.details.first();
        let issue = detail.and_then(|detail| detail.issue.as_deref().or(detail.description.as_deref()));
        plain::text(issue.or(self.message.as_deref()).unwrap_or_default())
    }
    fn field(&self) -> Option<String> {
        self.details.iter().find_map(|detail| detail.field.as_deref()).map(plain::text)
    }
    /// Whether a text of it has these words.
    fn says(&self, words: &str) -> bool {
        let details = self.details.iter().flat_map(|detail| [&detail.issue, &detail.description]);
        let mut texts = details.chain([&self.message]).flatten();
        texts.any(|text| text.to_ascii_lowercase().contains(words))
    }
    /// Whether it says that there is a batch under our id.
    fn is_duplicate(&self) -> bool {
        let names_the_id = self.details.iter().any(|detail| {
            let field = detail.field.as_deref().unwrap_or_default();
            field.to_ascii_uppercase().contains("SENDER_BATCH_ID")
        });
        let says_so = self.says("already exist") || self.says("duplicate");
        says_so && (names_the_id || self.name == "USER_BUSINESS_ERROR")
    }
    fn existing_batch(&self) -> Option<String> {
        self.details.iter().flat_map(|detail| &detail.link).find_map(|link| batch_of(&link.href))
    }
    fn lacks_funds(&self) -> bool {
        const NAME: &str = "INSUFFICIENT_FUNDS";
        self.name == NAME || self.details.iter().any(|detail| detail.issue.as_deref() == Some(NAME))
    }
}

/// Reads the answer to the call that makes the batch `batch_id`.
pub(super) fn judge(batch_id: &str, answer: &Answer) -> Created {
    if answer.status.is_success() {
        return made(batch_id, answer);
    }
    if answer.status == StatusCode::TOO_MANY_REQUESTS {
        return Created::Throttled;
    }
    match Problem::of(answer) {
        Some(problem) if answer.status.is_client_error() => refused(&problem, answer),
        _ => unclear(answer),
    }
}

fn made(batch_id: &str, answer: &Answer) -> Created {
    let Ok(Made { batch_header }) = serde_json::from_slice(&answer.body) else { return unclear(answer) };
    let MadeHeader { payout_batch_id, sender_batch_header } = batch_header;
    let said = sender_batch_header.and_then(|header| header.sender_batch_id);
    if said.is_some_and(|said| said != batch_id) {
        return Created::Unclear("PayPal answered for another batch than ours".to_owned());
    }
    if is_id(&payout_batch_id) { Created::Accepted { payout_batch_id } } else { unclear(answer) }
}

fn refused(problem: &Problem, answer: &Answer) -> Created {
    if problem.is_duplicate() {
        return Created::Exists { payout_batch_id: problem.existing_batch() };
    }
    if problem.lacks_funds() {
        return Created::Unfunded;
    }
    let name = plain::text(&problem.name);
    match answer.status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Created::Restricted { name },
        _ if REFUSALS.contains(&name.as_str()) => {
            Created::Refused { field: problem.field(), message: problem.words(), name }
        }
        _ => unclear(answer),
    }
}

/// An answer that proves nothing.
pub(super) fn unclear(answer: &Answer) -> Created {
    Created::Unclear(shown(answer))
}

/// An answer in a few words, for the log.
pub(super) fn shown(answer: &Answer) -> String {
    let status = answer.status.as_u16();
    let name = Problem::of(answer).map(|problem| format!(" {}", plain::text(&problem.name)));
    let debug_id = answer.debug_id.as_ref().map(|id| format!(" (debug id {id})"));
    format!("PayPal answered {status}{}{}", name.unwrap_or_default(), debug_id.unwrap_or_default())
}

/// The id in a link to a batch. Where the link leads to does not matter: PayPal is asked by id.
fn batch_of(href: &str) -> Option<String> {
    let base: Url = Url::parse("https://paypal.invalid").ok()?;
    let url = base.join(href).ok()?;
    let path: Vec<&str> = url.path_segments()?.collect();
    let at = path.windows(2).find(|pair| pair[0] == "payouts")?;
    is_id(at[1]).then(|| at[1].to_owned())
}

/// Whether a text may be one of PayPal's ids.
pub(super) fn is_id(text: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=64).contains(&text.len()) && text.bytes().all(is_known)
}

#[cfg(test)]
mod tests;
