//! An affiliate's links: made, switched off with a reason, switched on again.

use super::{again, page, path};
use crate::app::people::{ActError, NewLink};
use crate::domain::account::Refusal;
use crate::domain::affiliate::{Affiliate, Link, MOST_LINKS};
use crate::domain::fact::{LinkDisabled, LinkEnabled};
use crate::domain::id::{AffiliateId, LinkId};
use crate::http::guard::PathId;
use crate::http::pages::staff::{Act, Staff, done};
use crate::http::pages::{Fault, FormView, PageState};
use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use serde_json::json;
use std::sync::Arc;

/// Makes one.
pub async fn create(
    State(state): State<PageState>,
    PathId(affiliate): PathId<AffiliateId>,
    mut act: Act,
) -> Result<Response, Fault> {
    state.app.directory().affiliate(affiliate).ok_or(Fault::NotFound)?;
    let label = act.form.need("label", "Please give the link a name, so that its affiliate knows it.");
    let new = NewLink { label, destination: act.form.take("destination") };
    let actor = act.actor();
    match state.app.new_link(&actor, affiliate, new) {
        Err(ActError::Invalid(faults)) => act.form.wrong_as(faults),
        Ok(link) if act.form.is_good() => match state.app.act(&actor, link).await {
            Err(ActError::Refused(Refusal::NotActive)) => {
                act.form.wrong("label", "Only an active affiliate can have more links.");
            }
            Err(ActError::Refused(Refusal::TooManyLinks)) => {
                act.form.wrong("label", format!("They have {MOST_LINKS} links, which is the most."));
            }
            ended => return done(ended, &path(affiliate), "linked"),
        },
        ended => drop(ended?),
    }
    again(&state, &act, affiliate).await
}

/// Asks why a link is to be switched off, beside what it does.
pub async fn ask_off(
    State(state): State<PageState>,
    who: Staff,
    Path(names): Path<(String, String)>,
) -> Result<Response, Fault> {
    let (affiliate, link) = find(&state, &names)?;
    off_page(&state, &who, &affiliate, &link, StatusCode::OK, &FormView::default()).await
}

/// Switches one off.
pub async fn off(
    State(state): State<PageState>,
    Path(names): Path<(String, String)>,
    mut act: Act,
) -> Result<Response, Fault> {
    let (affiliate, link) = find(&state, &names)?;
    if let Some(reason) = act.reason() {
        let reason = Some(reason.into());
        let disabled = LinkDisabled { link_id: link.id, affiliate_id: affiliate.id, reason };
        match state.app.act(&act.actor(), disabled).await {
            Err(ActError::Refused(Refusal::DefaultLink)) => {
                act.form.wrong("form", "This is their default link. To stop it, suspend the affiliate.");
            }
            ended => return done(ended, &path(affiliate.id), "link-off"),
        }
    }
    let view = act.form.view();
    off_page(&state, &act.who, &affiliate, &link, StatusCode::UNPROCESSABLE_ENTITY, &view).await
}

/// Switches one on again.
pub async fn on(
    State(state): State<PageState>,
    Path(names): Path<(String, String)>,
    act: Act,
) -> Result<Response, Fault> {
    let (affiliate, link) = find(&state, &names)?;
    let enabled = LinkEnabled { link_id: link.id, affiliate_id: affiliate.id };
    done(state.app.act(&act.actor(), enabled).await, &path(affiliate.id), "link-on")
}

/// An affiliate and one of its links, as an address names them.
fn find(
    state: &PageState,
    (affiliate, link): &(String, String),
) -> Result<(Arc<Affiliate>, Arc<Link>), Fault> {
    let affiliate: AffiliateId = affiliate.parse().map_err(|_| Fault::NotFound)?;
    let link: LinkId = link.parse().map_err(|_| Fault::NotFound)?;
    let directory = state.app.directory();
    let link = directory.link(link).filter(|link| link.affiliate == affiliate).cloned();
    directory.affiliate(affiliate).cloned().zip(link).ok_or(Fault::NotFound)
}

async fn off_page(
    state: &PageState,
    who: &Staff,
    affiliate: &Affiliate,
    link: &Link,
    status: StatusCode,
    form: &FormView,
) -> Result<Response, Fault> {
    let all = page::links(state, affiliate).await?;
    let shown = all.into_iter().find(|one| one["id"] == json!(link.id)).ok_or(Fault::NotFound)?;
    let content = json!({"id": affiliate.id, "name": affiliate.profile.name, "link": shown, "form": form});
    Ok(state.page_with(status, "staff/link_off.html", &who.chrome("affiliates", None), content))
}
