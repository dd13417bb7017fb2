//! `/portal/claims`: "I referred someone who is missing here."

use super::chrome;
use crate::app::people::{ActError, NewClaim};
use crate::domain::id::AccountId;
use crate::http::pages::session::{Portal, Signed};
use crate::http::pages::{Fault, FormView, PageState, see_other};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::StatusCode;
use minijinja::context;
use minijinja::value::{Serde, Value};

/// Earlier claims that are shown, the newest first.
const SHOWN: usize = 50;

/// Shows the form and earlier claims.
pub async fn list(
    State(state): State<PageState>,
    portal: Portal,
    RawQuery(query): RawQuery,
) -> Result<Response, Fault> {
    page(&state, &portal, query.as_deref(), StatusCode::OK, &FormView::default()).await
}

/// Files a claim.
pub async fn file(
    State(state): State<PageState>,
    Signed(portal, mut form): Signed<Portal>,
) -> Result<Response, Fault> {
    let company = form.need("company", "Please tell us who it is.");
    let evidence = form.need("evidence", "Please tell us how you referred them.");
    let account_hint: Option<AccountId> = form.text("account_hint").parse().ok();
    if account_hint.is_none() && !form.text("account_hint").is_empty() {
        form.wrong("account_hint", "An account id has only letters, digits and the signs _ . : -");
    }
    let mut status = StatusCode::UNPROCESSABLE_ENTITY;
    if let (Some(company), Some(evidence), true) = (company, evidence, form.is_good()) {
        match state.app.file_claim(portal.affiliate.id, NewClaim { account_hint, company, evidence }).await {
            Ok(_) => return Ok(see_other("/portal/claims?done=claim")),
            Err(ActError::TooMany) => {
                form.wrong("form", "You have sent us many claims today. Please send the next one tomorrow.");
                status = StatusCode::TOO_MANY_REQUESTS;
            }
            Err(error) => return Err(error.into()),
        }
    }
    page(&state, &portal, None, status, &form.view()).await
}

async fn page(
    state: &PageState,
    portal: &Portal,
    query: Option<&str>,
    status: StatusCode,
    form: &FormView,
) -> Result<Response, Fault> {
    let mut claims = state.app.claims_of(portal.affiliate.id).await?;
    claims.reverse();
    claims.truncate(SHOWN);
    let content = context! { form => Value::from(Serde(form)), claims => Value::from(Serde(claims)), may_act => portal.affiliate.may_act() };
    Ok(state.page_with(status, "portal/claims.html", &chrome(portal, "claims", query), content))
}
