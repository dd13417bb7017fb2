//! `/portal/claims`: "I referred someone who is missing here."

use crate::app::people::{ActError, NewClaim};
use crate::domain::id::AccountId;
use crate::http::pages::session::{Portal, Signed, Visit};
use crate::http::pages::{Form, PageError, see_other};
use axum::response::Response;
use minijinja::context;
use minijinja::value::{Serde, Value};

/// Earlier claims that are shown, the newest first.
const SHOWN: usize = 50;

/// Shows the form and earlier claims.
pub async fn list(visit: Visit<Portal>) -> Result<Response, PageError> {
    page(&visit, &Form::default()).await
}

/// Files a claim.
pub async fn file(Signed { visit, mut form }: Signed<Portal>) -> Result<Response, PageError> {
    let company = form.need("company", "Please tell us who it is.");
    let evidence = form.need("evidence", "Please tell us how you referred them.");
    let account_hint: Option<AccountId> = form.text("account_hint").parse().ok();
    if account_hint.is_none() && !form.text("account_hint").is_empty() {
        form.wrong("account_hint", "An account id has only letters, digits and the signs _ . : -");
    }
    if let (Some(company), Some(evidence), true) = (company, evidence, form.is_good()) {
        match visit.app.file_claim(visit.who.affiliate.id, NewClaim { account_hint, company, evidence }).await
        {
            Ok(_) => return Ok(see_other("/portal/claims?done=claim")),
            Err(ActError::TooMany) => {
                let sentence = "You have sent us many claims today. Please send the next one tomorrow.";
                form.too_often("form", sentence);
            }
            Err(error) => return Err(error.into()),
        }
    }
    page(&visit, &form).await
}

async fn page(visit: &Visit<Portal>, form: &Form) -> Result<Response, PageError> {
    let affiliate = &visit.who.affiliate;
    let mut claims = visit.app.claims_of(affiliate.id).await?;
    claims.reverse();
    claims.truncate(SHOWN);
    let content = context! { form => Value::from(Serde(form)), claims => Value::from(Serde(claims)), may_act => affiliate.may_act() };
    Ok(visit.page_with(form.status, "portal/claims.html", "claims", content))
}
