//! Every way a request can fail: one table of stable codes, each with its status and its sentence.
//!
//! Answers are RFC 9457 problems. They hold nothing of the input and nothing of the inside: a code is
//! all that a program needs, the sentence is for the person who reads its log.

use crate::app::people::ActError;
use crate::app::{AggregateError, ConfirmError, ReadError, SubmitError};
use crate::domain::account::Refusal;
use crate::store::StoreError;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

macro_rules! problems {
    ($($case:ident = $status:literal $code:literal: $title:literal,)+) => {
        /// Why a request was refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Problem { $(#[doc = $title] $case,)+ }

        impl Problem {
            /// Each of them, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$case,)+];
            /// The stable code.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$case => $code,)+ }
            }
            /// The HTTP status.
            pub const fn status(self) -> u16 {
                match self { $(Self::$case => $status,)+ }
            }
            /// The whole answer's body.
            fn body(self) -> &'static str {
                match self {
                    $(Self::$case => concat!(
                        "{\"type\":\"urn:counterfoil:problem:", $code, "\",\"title\":\"", $title,
                        "\",\"status\":", stringify!($status), ",\"code\":\"", $code, "\"}"
                    ),)+
                }
            }
        }
    };
}

problems! {
    InvalidJson = 400 "invalid_json": "The body is not one JSON document in UTF-8",
    NotUtf8 = 400 "not_utf8": "The body is UTF-16; send it as UTF-8",
    DuplicateKey = 400 "duplicate_key": "The body names a key twice",
    InvalidQuery = 400 "invalid_query": "The query string can't be read, or names a parameter twice",
    BodyIncomplete = 400 "body_incomplete": "The body ended before its end",

    Unauthorized = 401 "unauthorized": "The request is not signed or authorized as it must be",
    Forbidden = 403 "forbidden": "The API key lacks the scope for this",

    NotFound = 404 "not_found": "There is nothing here",
    UnknownAccount = 404 "unknown_account": "No such account, or no signup of it yet",
    UnknownAffiliate = 404 "unknown_affiliate": "No such affiliate",
    UnknownLink = 404 "unknown_link": "No such link",
    UnknownStaff = 404 "unknown_staff": "No such member of staff, or one that is disabled",
    UnknownClaim = 404 "unknown_claim": "No such claim",
    UnknownPayout = 404 "unknown_payout": "No such payout",
    UnknownPayoutItem = 404 "unknown_payout_item": "The payout has no such item",
    NoSuchPart = 404 "no_such_part": "The payout has no such part; parts count from 1",
    UnknownLine = 404 "unknown_line": "The affiliate has no line by hand with this key",
    NotSetAside = 404 "not_set_aside": "No fact is set aside there, or it was decided about already",
    MethodNotAllowed = 405 "method_not_allowed": "The address exists, but not with this method",
    RequestTimeout = 408 "request_timeout": "The body did not arrive in time",

    Conflict = 409 "conflict": "Other facts stand under this name; nothing changed",
    DefaultLink = 409 "default_link": "An affiliate's default link can't be switched off; suspend the affiliate instead",
    TooManyLinks = 409 "too_many_links": "The affiliate has 200 links, which is the most; sub ids tell clicks on one link apart",
    WrongStatus = 409 "wrong_status": "The affiliate's status does not allow this step",
    EmailTaken = 409 "email_taken": "Somebody else has this e-mail",
    CodeTaken = 409 "code_taken": "Another affiliate has this referral code",
    AffiliateNotActive = 409 "affiliate_not_active": "The affiliate is not active",
    AffiliateNeverActive = 409 "affiliate_never_active": "The affiliate has never been active, so it can't be credited",
    NotReferred = 409 "not_referred": "The account is credited to no affiliate",
    AlreadyClosed = 409 "already_closed": "The month is closed",
    PasswordReplaced = 409 "password_replaced": "Another password was set since",
    AlreadyDecided = 409 "already_decided": "The claim was decided before",
    LineDiffers = 409 "line_differs": "The key stands for a line with another amount or reason",
    TooManyLines = 409 "too_many_lines": "The affiliate has 200 open lines by hand, which is the most; a month takes them when it closes",
    LinesChanged = 409 "lines_changed": "A line by hand was taken back while its month was closing; run again, and the month closes without it",
    OfAnotherNode = 409 "of_another_node": "The fact stands in another node's journal; ask that node, whose name begins the fact's id, or forget the node if it never comes back",
    StillUnreadable = 409 "still_unreadable": "The fact still can't be applied; correct its cause first, or drop it",
    MonthOpen = 409 "month_open": "The month is not closed yet",
    PayoutStopped = 409 "payout_stopped": "Something is in the way of payouts; GET /v1/payouts/status says what, and what to do",
    OpeningUnknown = 409 "opening_unknown": "Statements of earlier months would be paid; say first whether they were paid elsewhere (POST /v1/payouts/opening)",
    NothingDue = 409 "nothing_due": "Nothing is due: all closed statements are paid, under way or 0.00",
    PayoutsBegun = 409 "payouts_begun": "Payouts were made already; what was paid elsewhere can be said before the first one only",
    TooManyPayouts = 409 "too_many_payouts": "The month has had 999 payouts, which is the most",
    WrongPayoutStatus = 409 "wrong_payout_status": "The payout's status does not allow this",
    WrongItemStatus = 409 "wrong_item_status": "The item's status does not allow this",
    PayoutChanged = 409 "payout_changed": "The payout is not the one that was looked at; look at it again and send its hash",
    SecondPersonRequired = 409 "second_person_required": "Another person must approve a payout than the one who made it",
    PayoutMethodUnavailable = 409 "payout_method_unavailable": "The configuration has no such way of paying (payouts.method)",
    SendUnderWay = 409 "send_under_way": "PayPal is still being asked about this item; decide when the same id was asked again",
    StatementInPayout = 409 "statement_in_payout": "Another payout pays a statement of this item",
    WrongPayoutSum = 409 "wrong_payout_sum": "The item is not the sum of what it pays, or not above zero",
    ExportedBefore = 409 "exported_before": "This part was exported before, and uploading it twice pays twice; to export it again, send again: true",
    PayoutNotWritable = 409 "payout_not_writable": "An item can't be written as PayPal's file; the log says which",
    NoPaypalEmail = 409 "no_paypal_email": "The affiliate has no PayPal e-mail",
    Busy = 409 "busy": "A nightly run is under way, or a payout is being made",
    Recovering = 409 "recovering": "The store is being rebuilt and waits for a person to confirm it",
    NotAllIn = 409 "not_all_in": "Nodes have not replayed their journals yet; see `counterfoil doctor`, then confirm again",
    NotReplayed = 409 "not_replayed": "Facts are still being brought to the store; `counterfoil doctor` says whether they stand still, then ask again",
    NodeAlive = 409 "node_alive": "The node was heard of within the last minute",

    BodyTooLarge = 413 "body_too_large": "The body is larger than allowed",
    UnsupportedMediaType = 415 "unsupported_media_type": "The body must be application/json",

    NotAnObject = 422 "not_an_object": "The body must be a JSON object",
    UnknownField = 422 "unknown_field": "The body has a field that is not known here",
    UnknownParameter = 422 "unknown_parameter": "The query has a parameter that is not known here",
    InvalidAccountId = 422 "invalid_account_id": "account_id must be 1 to 128 of A-Z a-z 0-9 _ . : -",
    InvalidAmount = 422 "invalid_amount": "amount must be like -25.00, not zero, and at most 100000.00 up or down",
    InvalidKey = 422 "invalid_key": "key must be 1 to 64 of A-Z a-z 0-9 _ . : -",
    InvalidPlan = 422 "invalid_plan": "plan must be 1 to 64 printable bytes",
    InvalidSignedUpAt = 422 "invalid_signed_up_at": "signed_up_at must be RFC 3339, from 2015 to five minutes from now",
    InvalidActive = 422 "invalid_active": "active must be true or false",
    InvalidEventId = 422 "invalid_event_id": "event_id must be 1 to 128 of A-Z a-z 0-9 _ . : -",
    InvalidType = 422 "invalid_type": "type must be activated, suspended, canceled or plan_changed, or one that the configuration lists",
    AccountMismatch = 422 "account_mismatch": "account_id is another one than in the path",
    InvalidOccurredAt = 422 "invalid_occurred_at": "occurred_at must be RFC 3339, from 2015 to five minutes from now",
    InvalidKind = 422 "invalid_kind": "kind must be signup or event",
    LineTooLong = 422 "line_too_long": "The line is longer than allowed",
    InvalidName = 422 "invalid_name": "name must be 1 to 200 characters on one line",
    InvalidEmail = 422 "invalid_email": "email must be an e-mail address of at most 254 bytes",
    InvalidCompany = 422 "invalid_company": "company must be 1 to 200 characters on one line",
    InvalidWebsite = 422 "invalid_website": "website must be an http or https address of at most 2048 bytes",
    InvalidPromotion = 422 "invalid_promotion": "promotion must be 1 to 2000 characters",
    InvalidPartnerType = 422 "invalid_partner_type": "partner_type must be one of the program's",
    InvalidPaypalEmail = 422 "invalid_paypal_email": "paypal_email must be an e-mail address of at most 127 bytes",
    InvalidCode = 422 "invalid_code": "code must be 3 to 32 of A-Z a-z 0-9 -",
    InvalidExemptFromHolds = 422 "invalid_exempt_from_holds": "exempt_from_holds must be true or false",
    InvalidAgreementAcceptedAt = 422 "invalid_agreement_accepted_at": "agreement_accepted_at must be RFC 3339, from 2000 to now, and stand beside active: true",
    InvalidDestination = 422 "invalid_destination": "destination must be an address on one of the program's hosts",
    InvalidLabel = 422 "invalid_label": "label must be 1 to 100 characters on one line",
    InvalidText = 422 "invalid_text": "text must be 1 to 2000 characters",
    InvalidRole = 422 "invalid_role": "role must be admin, reviewer, finance or read_only",
    InvalidGranted = 422 "invalid_granted": "granted must be true or false",
    InvalidState = 422 "invalid_state": "state must be open, granted or declined",
    InvalidReason = 422 "invalid_reason": "reason must be 1 to 500 characters on one line",
    InvalidAffiliateId = 422 "invalid_affiliate_id": "affiliate_id must be an affiliate's id",
    InvalidAsOf = 422 "invalid_as_of": "as_of must be RFC 3339, from 2000",
    AsOfInFuture = 422 "as_of_in_future": "as_of must not be after now",
    InvalidDryRun = 422 "invalid_dry_run": "dry_run must be true or false",
    InvalidMonth = 422 "invalid_month": "month must be like 2026-04",
    InvalidStatus = 422 "invalid_status": "status must be one that the API document lists",
    InvalidList = 422 "invalid_list": "at most one of held, conflict and waiting may be true",
    InvalidFrom = 422 "invalid_from": "from must be a date like 2026-04-01",
    InvalidTo = 422 "invalid_to": "to must be a date like 2026-04-30, not before from and at most 366 days later",
    InvalidBy = 422 "invalid_by": "by must be day, link or sub1 to sub5",
    InvalidHash = 422 "invalid_hash": "hash must be the payout's hash, 64 hexadecimal digits",
    InvalidMethod = 422 "invalid_method": "method must be file or api",
    InvalidPart = 422 "invalid_part": "part must be a number from 1",
    InvalidAgain = 422 "invalid_again": "again must be true or false",
    InvalidPaidAt = 422 "invalid_paid_at": "paid_at must be a day like 2026-10-31, or RFC 3339, from 2000",
    PaidInFuture = 422 "paid_in_future": "paid_at must not be after today",
    InvalidReference = 422 "invalid_reference": "reference must be 1 to 100 characters on one line",
    InvalidOutcome = 422 "invalid_outcome": "outcome must be paid or not_paid",
    InvalidThrough = 422 "invalid_through": "through must be a month like 2026-04, or null",
    InvalidWhat = 422 "invalid_what": "what must be blocked, shared_receiver or sum",
    InvalidUpTo = 422 "invalid_up_to": "up_to must be an amount above zero like 25000.00, with sum and only then",
    InvalidReport = 422 "invalid_report": "The body is not a report that PayPal's site makes as CSV; the log says what is missing",
    InvalidYear = 422 "invalid_year": "year must be 2000 to 2999",
    InvalidLimit = 422 "invalid_limit": "limit must be 1 to 500",
    InvalidCursor = 422 "invalid_cursor": "cursor must be one that an earlier answer gave",
    InvalidNow = 422 "invalid_now": "now must be RFC 3339, from 2000",

    TooManyRequests = 429 "too_many_requests": "This was asked for too often; try again later",
    Internal = 500 "internal": "The server failed; its log says how",
    JournalUnavailable = 503 "journal_unavailable": "The journal can't be written; nothing was kept, try again",
    Stopping = 503 "stopping": "The server is stopping; nothing was kept, try again",
    StoreUnavailable = 503 "store_unavailable": "The store can't be reached; try again",
    WebhookUndecided = 503 "webhook_undecided": "Who sent this can't be found out now; send it again",
    TooManyWebhooks = 503 "too_many_webhooks": "More of these came in than are taken at once; send it again",
}

/// An RFC 9457 problem.
#[derive(Debug, utoipa::ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "only the API document reads it")]
pub struct ProblemDoc {
    /// `urn:counterfoil:problem:` and the code.
    pub r#type: String,
    /// What it means, for people.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The stable code.
    pub code: String,
}

/// The media type of problems.
pub const PROBLEM_JSON: &str = "application/problem+json";

impl Problem {
    /// A field of a request has a value that it can't have, or is missing.
    pub fn invalid(field: &str) -> Self {
        let is_of_field = |problem: &&Self| problem.code().strip_prefix("invalid_") == Some(field);
        // A test holds the fields of all requests against the table.
        Self::ALL.iter().find(is_of_field).copied().unwrap_or(Self::UnknownField)
    }
    /// After how many seconds trying again is worth it.
    const fn retry_after(self) -> Option<&'static str> {
        match self {
            Self::JournalUnavailable | Self::StoreUnavailable => Some("2"),
            Self::Stopping => Some("5"),
            Self::WebhookUndecided | Self::TooManyWebhooks => Some("30"),
            _ => None,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // The table holds nothing but statuses that exist; a test walks it.
        let status = StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, [(CONTENT_TYPE, PROBLEM_JSON)], self.body()).into_response();
        let headers = response.headers_mut();
        if self.status() == 401 {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        response
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Journal(why) => {
                tracing::error!(error = %why, "failed to write the journal");
                Self::JournalUnavailable
            }
            SubmitError::Stopping => Self::Stopping,
            SubmitError::Forbidden => Self::Forbidden,
            SubmitError::Refilling => Self::StoreUnavailable,
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if error.is_unavailable() {
            tracing::warn!(error = %error, "failed to answer from the store");
            Self::StoreUnavailable
        } else {
            tracing::error!(error = %error, "failed to answer from the store");
            Self::Internal
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::BadCursor => Self::InvalidCursor,
            ReadError::Store(error) => error.into(),
        }
    }
}

impl From<ActError> for Problem {
    fn from(error: ActError) -> Self {
        match error {
            ActError::NotTaken(error) => error.into(),
            ActError::Invalid(faults) => {
                faults.first().map_or(Self::UnknownField, |(field, _)| Self::invalid(field))
            }
            ActError::Refused(refusal) => refusal.into(),
            ActError::TooMany => Self::TooManyRequests,
            ActError::Deferred | ActError::Unavailable => Self::StoreUnavailable,
        }
    }
}

impl From<AggregateError> for Problem {
    fn from(error: AggregateError) -> Self {
        match error {
            AggregateError::Forbidden => Self::Forbidden,
            AggregateError::AsOfInFuture => Self::AsOfInFuture,
            AggregateError::Busy | AggregateError::Overtaken => Self::Busy,
            AggregateError::LinesChanged => Self::LinesChanged,
            AggregateError::Recovering => Self::Recovering,
            AggregateError::Store(error) => error.into(),
            AggregateError::Journal(error) => error.into(),
            AggregateError::NotDrained => Self::StoreUnavailable,
            AggregateError::Stopping => Self::Stopping,
        }
    }
}

impl From<ConfirmError> for Problem {
    fn from(error: ConfirmError) -> Self {
        match error {
            ConfirmError::NotAllIn(_) => {
                tracing::warn!(%error, "the store is not confirmed");
                Self::NotAllIn
            }
            ConfirmError::Store(error) => error.into(),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let is_it = |problem: &&Self| problem.code() == refusal.code();
        // No key of the API signs an agreement, or is the last administrator.
        Self::ALL.iter().find(is_it).copied().unwrap_or(Self::WrongStatus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_code_stands_once_and_in_order_of_status() {
        let codes: BTreeSet<_> = Problem::ALL.iter().map(|problem| problem.code()).collect();
        assert_eq!(codes.len(), Problem::ALL.len());
        assert!(Problem::ALL.windows(2).all(|pair| pair[0].status() <= pair[1].status()));
    }

    #[test]
    fn each_problem_is_a_document_of_rfc_9457() {
        for &problem in Problem::ALL {
            let body: serde_json::Value = serde_json::from_str(problem.body()).expect("a JSON document");
            assert_eq!(body["type"], format!("urn:counterfoil:problem:{}", problem.code()));
            assert!(body["title"].as_str().is_some_and(|title| !title.is_empty()));
            assert_eq!(body["status"], problem.status());
            assert_eq!(body["code"], problem.code());
            let response = problem.into_response();
            assert_eq!(response.status().as_u16(), problem.status());
            assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
            assert_eq!(response.headers().contains_key(RETRY_AFTER), problem.status() == 503);
            assert_eq!(response.headers().contains_key(WWW_AUTHENTICATE), problem.status() == 401);
        }
    }

    #[test]
    fn only_our_own_failures_are_5xx() {
        let ours: Vec<_> =
            Problem::ALL.iter().filter(|problem| problem.status() >= 500).map(|p| p.code()).collect();
        assert_eq!(
            ours,
            [
                "internal",
                "journal_unavailable",
                "stopping",
                "store_unavailable",
                "webhook_undecided",
                "too_many_webhooks",
            ]
        );
    }

    #[test]
    fn a_refusal_keeps_its_code() {
        for refusal in Refusal::ALL {
            let is_of_people = matches!(refusal, Refusal::AgreementChanged | Refusal::LastAdmin);
            assert_eq!(Problem::from(refusal).code() == refusal.code(), !is_of_people, "{refusal}");
        }
    }
}
