//! Every way a page can be refused: a status, a heading and a sentence for the person who reads it.

use super::Part;
use crate::app::people::ActError;
use crate::app::{ReadError, SubmitError};
use crate::http::error::Problem;
use crate::store::StoreError;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode};

/// Why there is no page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageError {
    /// The request is not one that our pages make.
    BadRequest,
    /// Nobody is signed in; afterwards the person goes on to this path.
    SignIn(Part, String),
    /// The agreement comes first.
    MustSign,
    /// It is on disk, and will be done when the store is back.
    Kept,
    /// A form that did not come from our own page, or whose page is older than the session.
    Forged,
    /// The account is closed: it can be read, and no more.
    Closed,
    /// The person's role does not allow it.
    Forbidden,
    /// There is nothing here, or nothing that the person may see.
    NotFound,
    /// The address exists, but is not asked for so.
    Method,
    /// What was sent did not arrive in time.
    Timeout,
    /// What was sent is larger than any form of ours.
    TooLarge,
    /// Too many requests of a kind.
    TooMany,
    /// Something else stands already: another person was faster.
    Conflict,
    /// A failure of ours; the log says which.
    Internal,
    /// The store or the journal is away, or the server stops.
    Unavailable,
}

impl PageError {
    /// The status.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::SignIn(..) | Self::MustSign => StatusCode::SEE_OTHER,
            Self::Kept => StatusCode::ACCEPTED,
            Self::Forged | Self::Forbidden | Self::Closed => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
    /// What the page says.
    pub const fn words(&self) -> (&'static str, &'static str) {
        match self {
            Self::BadRequest => (
                "That did not work",
                "The request was not one that our pages make. Please go back and try again.",
            ),
            Self::SignIn(..) => ("Please sign in", "This page is for people who are signed in."),
            Self::MustSign => ("The agreement comes first", "Please read and sign the agreement."),
            Self::Kept => (
                "Kept, and soon done",
                "We have kept what you sent safe, but our records are slow to follow just now. It will show in a minute; there is no need to send it again.",
            ),
            Self::Forged => (
                "Please try that again",
                "The form you sent had expired, or did not come from our own page. Nothing was changed. Go back, load the page again and send it once more.",
            ),
            Self::Closed => (
                "Your account is closed",
                "You can still read your statements and payouts. Nothing else can be done here any more.",
            ),
            Self::Forbidden => (
                "Not for your role",
                "Your role does not allow this. Ask an administrator if you think it should.",
            ),
            Self::NotFound => (
                "There is nothing here",
                "The address may be mistyped, or what it named is not yours to see.",
            ),
            Self::Method => (
                "That did not work",
                "This address is asked for in another way. Please go back and try again.",
            ),
            Self::Timeout => {
                ("That took too long", "What you sent did not arrive in time. Please try again.")
            }
            Self::TooLarge => ("That was too much", "What you sent is larger than this form allows."),
            Self::TooMany => (
                "A little slower, please",
                "There were too many requests from your network. Please try again in some minutes.",
            ),
            Self::Conflict => (
                "Someone was faster",
                "What you wanted to change has changed meanwhile. Go back, load the page again and look.",
            ),
            Self::Internal => (
                "Something went wrong",
                "This is our mistake, and it was noted. Please try again a little later.",
            ),
            Self::Unavailable => (
                "Please try again in a minute",
                "We can't reach our records just now. Nothing you did is lost; links keep working meanwhile.",
            ),
        }
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        *response.status_mut() = self.status();
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(http::header::RETRY_AFTER, HeaderValue::from_static("30"));
        }
        // Shown by `headers::finish`, which knows the templates.
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Problem> for PageError {
    fn from(problem: Problem) -> Self {
        match problem.status() {
            403 => Self::Forbidden,
            404 => Self::NotFound,
            405 => Self::Method,
            408 => Self::Timeout,
            409 => Self::Conflict,
            413 => Self::TooLarge,
            500 => Self::Internal,
            503 => Self::Unavailable,
            _ => Self::BadRequest,
        }
    }
}
impl From<ActError> for PageError {
    fn from(error: ActError) -> Self {
        match error {
            ActError::NotTaken(error) => error.into(),
            ActError::Invalid(_) => Self::BadRequest,
            ActError::Refused(_) => Self::Conflict,
            ActError::TooMany => Self::TooMany,
            ActError::Deferred => Self::Kept,
            ActError::Unavailable => Self::Unavailable,
        }
    }
}
impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        Problem::from(error).into()
    }
}
impl From<ReadError> for PageError {
    fn from(error: ReadError) -> Self {
        Problem::from(error).into()
    }
}
impl From<SubmitError> for PageError {
    fn from(error: SubmitError) -> Self {
        Problem::from(error).into()
    }
}
