//! Lines by hand on an affiliate's statements: added, and taken back until their month closes.

use super::{page, path};
use crate::app::NewLine;
use crate::app::people::ActError;
use crate::domain::account::Refusal;
use crate::domain::by_hand::MOST_OPEN_LINES;
use crate::domain::id::{AffiliateId, LineKey};
use crate::http::pages::PageError;
use crate::http::pages::staff::{Act, done};
use axum::response::Response;

/// Adds one. The form brings a key that was made with it: sent twice, it adds one line.
pub async fn add(Act { visit, mut form }: Act<AffiliateId>) -> Result<Response, PageError> {
    let affiliate = visit.affiliate()?;
    let amount = form.need("amount", "Please give an amount, such as 50.00 or -25.00.");
    let reason = form.need("line_reason", "Please say why: it stands on the statement.");
    let key: LineKey = form.text("line_key").parse().map_err(|_| PageError::BadRequest)?;
    if let (Some(amount), Some(reason)) = (amount, reason) {
        match visit.app.add_line(&visit.actor(), visit.at, NewLine { amount, reason, key }).await {
            Err(ActError::Refused(Refusal::LineDiffers)) => {
                form.wrong(
                    "amount",
                    "This form was sent before with something else; please look at the list.",
                );
            }
            Err(ActError::Refused(Refusal::NeverActive)) => {
                form.wrong("amount", "They have never been active: they have no statements.");
            }
            Err(ActError::Refused(Refusal::TooManyLines)) => {
                let text = format!("They have {MOST_OPEN_LINES} open lines by hand, which is the most.");
                form.wrong("amount", text);
            }
            ended => return done(ended, &path(visit.at), "line-added"),
        }
    }
    page::show(&visit, &affiliate, &form).await
}

/// Takes one back.
pub async fn take_back(Act { visit, .. }: Act<(AffiliateId, LineKey)>) -> Result<Response, PageError> {
    let (id, key) = visit.at.clone();
    match visit.app.take_back_line(&visit.actor(), id, key).await {
        Err(ActError::Refused(Refusal::UnknownLine)) => Err(PageError::NotFound),
        Err(ActError::Refused(Refusal::AlreadyClosed)) => Err(PageError::Conflict),
        ended => done(ended, &path(id), "line-back"),
    }
}
