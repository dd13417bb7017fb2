//! Every way a page can be refused: a status, a heading and a sentence for the person who reads it.

use super::Part;
use crate::app::ReadError;
use crate::app::people::ActError;
use crate::http::error::Problem;
use crate::store::StoreError;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode};

macro_rules! page_errors {
    ($($(#[$about:meta])* $case:ident $(($($holds:ty),+))? = $status:ident $heading:literal: $sentence:literal,)+) => {
        /// Why there is no page.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum PageError { $($(#[$about])* $case $(($($holds),+))?,)+ }

        impl PageError {
            /// The status.
            pub const fn status(&self) -> StatusCode {
                match self { $(Self::$case { .. } => StatusCode::$status,)+ }
            }
            /// What the page says: its heading and a sentence.
            pub const fn words(&self) -> (&'static str, &'static str) {
                match self { $(Self::$case { .. } => ($heading, $sentence),)+ }
            }
        }
    };
}

page_errors! {
    /// The request is not one that our pages make.
    BadRequest = BAD_REQUEST "That did not work": "The request was not one that our pages make. Please go back and try again.",
    /// Nobody is signed in; afterwards the person goes on to this path.
    SignIn(Part, String) = SEE_OTHER "Please sign in": "This page is for people who are signed in.",
    /// The agreement comes first.
    MustSign = SEE_OTHER "The agreement comes first": "Please read and sign the agreement.",
    /// It is on disk, and will be done when the store is back.
    Kept = ACCEPTED "Kept, and soon done": "We have kept what you sent safe, but our records are slow to follow just now. It will show in a minute; there is no need to send it again.",
    /// A form that did not come from our own page, or whose page is older than the session.
    Forged = FORBIDDEN "Please try that again": "The form you sent had expired, or did not come from our own page. Nothing was changed. Go back, load the page again and send it once more.",
    /// The account is closed: it can be read, and no more.
    Closed = FORBIDDEN "Your account is closed": "You can still read your statements and payouts. Nothing else can be done here any more.",
    /// The person's role does not allow it.
    Forbidden = FORBIDDEN "Not for your role": "Your role does not allow this. Ask an administrator if you think it should.",
    /// There is nothing here, or nothing that the person may see.
    NotFound = NOT_FOUND "There is nothing here": "The address may be mistyped, or what it named is not yours to see.",
    /// The address exists, but is not asked for so.
    Method = METHOD_NOT_ALLOWED "That did not work": "This address is asked for in another way. Please go back and try again.",
    /// What was sent did not arrive in time.
    Timeout = REQUEST_TIMEOUT "That took too long": "What you sent did not arrive in time. Please try again.",
    /// What was sent is larger than any form of ours.
    TooLarge = PAYLOAD_TOO_LARGE "That was too much": "What you sent is larger than this form allows.",
    /// Too many requests of a kind.
    TooMany = TOO_MANY_REQUESTS "A little slower, please": "There were too many requests from your network. Please try again in some minutes.",
    /// Something else stands already: another person was faster.
    Conflict = CONFLICT "Someone was faster": "What you wanted to change has changed meanwhile. Go back, load the page again and look.",
    /// A failure of ours; the log says which.
    Internal = INTERNAL_SERVER_ERROR "Something went wrong": "This is our mistake, and it was noted. Please try again a little later.",
    /// The store or the journal is away, or the server stops.
    Unavailable = SERVICE_UNAVAILABLE "Please try again in a minute": "We can't reach our records just now. Nothing you did is lost; links keep working meanwhile.",
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
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
            ActError::NotTaken(error) => Problem::from(error).into(),
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
