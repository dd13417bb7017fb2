//! What people do with a batch.

use super::batch::{find, show};
use super::{day, ended, path, why_not};
use crate::app::payouts::StepError;
use crate::domain::input::{Label, Reason};
use crate::domain::payout::PayoutId;
use crate::http::pages::staff::Act;
use crate::http::pages::{CSV, PageError, download};
use axum::response::Response;

pub async fn approve(Act { visit, mut form }: Act<PayoutId>) -> Result<Response, PageError> {
    let method = visit.app.config().payouts.method;
    let hash = form.text("hash").to_owned();
    if !form.has("looked") {
        form.wrong("looked", "Please confirm that you looked at the payments.");
    }
    if form.is_good() {
        let approved = visit.app.approve_payout(&visit.actor(), visit.at, method, &hash).await;
        if let Some(response) = ended(&mut form, approved, &path(visit.at), "payout-approved")? {
            return Ok(response);
        }
    }
    show(&visit, &form).await
}

pub async fn discard(Act { visit, mut form }: Act<PayoutId>) -> Result<Response, PageError> {
    if let Some(reason) = form.need::<Reason>("discard_reason", "Please say why, for those who ask later.") {
        let discarded = visit.app.discard_payout(&visit.actor(), visit.at, reason.into()).await;
        if let Some(response) = ended(&mut form, discarded, &path(visit.at), "payout-discarded")? {
            return Ok(response);
        }
    }
    show(&visit, &form).await
}

/// Answers a part as the file that PayPal reads.
pub async fn export(Act { visit, mut form }: Act<PayoutId>) -> Result<Response, PageError> {
    let part: u32 = form.text("part").parse().map_err(|_| PageError::BadRequest)?;
    match visit.app.export_payout(&visit.actor(), visit.at, part, form.has("again")).await {
        Ok(file) => return Ok(download(CSV, &file.name, file.csv)),
        Err(error @ StepError::ExportedBefore) => form.wrong("again", why_not(error)?),
        Err(error) => form.wrong("form", why_not(error)?),
    }
    show(&visit, &form).await
}

/// Notes that everything that is left was paid by other means.
pub async fn pay(Act { visit, mut form }: Act<PayoutId>) -> Result<Response, PageError> {
    find(&visit, visit.at).await?;
    let on = day(&mut form, "paid_on");
    let reference: Option<Label> = form.take("paid_reference");
    let reason: Option<Reason> = form.need("paid_reason", "Please say why, for those who ask later.");
    if let (Some(on), Some(reason), true) = (on, reason, form.is_good()) {
        let (reference, reason) = (reference.map(String::from), String::from(reason));
        let app = &visit.app;
        let paid = app.pay_batch_otherwise(&visit.actor(), visit.at, on, reference.as_deref(), &reason).await;
        if matches!(paid, Ok(0)) {
            form.wrong("form", "No payment was left to be marked: all of them were exported, sent or ended.");
        } else if let Some(response) = ended(&mut form, paid, &path(visit.at), "payout-paid")? {
            return Ok(response);
        }
    }
    show(&visit, &form).await
}
