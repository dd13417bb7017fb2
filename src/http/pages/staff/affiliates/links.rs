//! An affiliate's links: made, switched off with a reason, switched on again.

use super::{page, path};
use crate::app::people::{ActError, NewLink};
use crate::domain::account::Refusal;
use crate::domain::affiliate::{Affiliate, Link, MOST_LINKS};
use crate::domain::fact::{LinkDisabled, LinkEnabled};
use crate::domain::id::{AffiliateId, LinkId};
use crate::http::pages::staff::{Act, Staff, Visit, done, reason};
use crate::http::pages::{Form, PageError};
use axum::response::Response;
use serde_json::json;
use std::sync::Arc;

/// The affiliate and the link in a path.
type OfLink = (AffiliateId, LinkId);

/// Makes one.
pub async fn create(Act { visit, mut form }: Act<AffiliateId>) -> Result<Response, PageError> {
    let affiliate = visit.affiliate()?;
    let label = form.need("label", "Please give the link a name, so that its affiliate knows it.");
    let new = NewLink { label, destination: form.take("destination") };
    let actor = visit.actor();
    match visit.app.new_link(&actor, visit.at, new) {
        Err(ActError::Invalid(faults)) => form.wrong_as(faults),
        Ok(link) if form.is_good() => match visit.app.act(&actor, link).await {
            Err(ActError::Refused(Refusal::NotActive)) => {
                form.wrong("label", "Only an active affiliate can have more links.");
            }
            Err(ActError::Refused(Refusal::TooManyLinks)) => {
                form.wrong("label", format!("They have {MOST_LINKS} links, which is the most."));
            }
            ended => return done(ended, &path(visit.at), "linked"),
        },
        ended => drop(ended?),
    }
    page::show(&visit, &affiliate, &form).await
}

/// Asks why a link is to be switched off, beside what it does.
pub async fn ask_off(visit: Visit<Staff, OfLink>) -> Result<Response, PageError> {
    let (affiliate, link) = find(&visit)?;
    off_page(&visit, &affiliate, &link, &Form::default()).await
}

/// Switches one off.
pub async fn off(Act { visit, mut form }: Act<OfLink>) -> Result<Response, PageError> {
    let (affiliate, link) = find(&visit)?;
    if let Some(reason) = reason(&mut form) {
        let reason = Some(reason.into());
        let disabled = LinkDisabled { link_id: link.id, affiliate_id: affiliate.id, reason };
        match visit.app.act(&visit.actor(), disabled).await {
            Err(ActError::Refused(Refusal::DefaultLink)) => {
                form.wrong("form", "This is their default link. To stop it, suspend the affiliate.");
            }
            ended => return done(ended, &path(affiliate.id), "link-off"),
        }
    }
    off_page(&visit, &affiliate, &link, &form).await
}

/// Switches one on again.
pub async fn on(Act { visit, .. }: Act<OfLink>) -> Result<Response, PageError> {
    let (affiliate, link) = find(&visit)?;
    let enabled = LinkEnabled { link_id: link.id, affiliate_id: affiliate.id };
    done(visit.app.act(&visit.actor(), enabled).await, &path(affiliate.id), "link-on")
}

/// An affiliate and one of its links, as an address names them.
fn find(visit: &Visit<Staff, OfLink>) -> Result<(Arc<Affiliate>, Arc<Link>), PageError> {
    let (affiliate, link) = visit.at;
    let directory = visit.app.directory();
    let link = directory.link(link).filter(|link| link.affiliate == affiliate).cloned();
    directory.affiliate(affiliate).cloned().zip(link).ok_or(PageError::NotFound)
}

async fn off_page(
    visit: &Visit<Staff, OfLink>,
    affiliate: &Affiliate,
    link: &Link,
    form: &Form,
) -> Result<Response, PageError> {
    let all = page::links(visit, affiliate).await?;
    let shown = all.into_iter().find(|one| one["id"] == json!(link.id)).ok_or(PageError::NotFound)?;
    let content = json!({"id": affiliate.id, "name": affiliate.profile.name, "link": shown, "form": form});
    Ok(visit.page_with(form.status, "staff/link_off.html", "affiliates", content))
}
