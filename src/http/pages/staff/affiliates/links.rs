//! An affiliate's links: made, switched off with a reason, switched on again.

use super::{again, back, page};
use crate::domain::account::Refusal;
use crate::domain::affiliate::{Affiliate, Link, Switch};
use crate::domain::fact::{self, Fact};
use crate::domain::id::{AffiliateId, LinkId};
use crate::domain::person::Action;
use crate::http::guard::PathId;
use crate::http::pages::staff::{Act, Outcome, Staff};
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
    act.need(Action::ChangeAffiliates)?;
    state.app.directory().affiliate(affiliate).ok_or(Fault::NotFound)?;
    let label = act.form.line("label", 100);
    let destination = act.form.line("destination", 2_048).and_then(|text| {
        let allowed = state.app.destination(&text);
        if allowed.is_none() {
            act.form
                .wrong("destination", "Links may lead to https addresses on the program's own hosts only.");
        }
        allowed
    });
    if !act.form.is_good() {
        return again(&state, &act, affiliate).await;
    }
    let link = Link {
        id: LinkId::random(),
        affiliate,
        destination,
        label,
        created_at: state.app.now(),
        switch: Switch::default(),
    };
    match act.submit(&state, Fact::LinkCreated(fact::LinkCreated { link, within: None })).await? {
        Outcome::Done => Ok(back(affiliate, "linked")),
        Outcome::Later => Ok(back(affiliate, "later")),
        Outcome::Refused(_) => {
            act.form.wrong("label", "Only an active affiliate can have more links.");
            again(&state, &act, affiliate).await
        }
    }
}

/// Asks why a link is to be switched off, beside what it does.
pub async fn ask_off(
    State(state): State<PageState>,
    who: Staff,
    Path(names): Path<(String, String)>,
) -> Result<Response, Fault> {
    who.need(Action::ChangeAffiliates)?;
    let (affiliate, link) = find(&state, &names)?;
    off_page(&state, &who, &affiliate, &link, StatusCode::OK, &FormView::default()).await
}

/// Switches one off.
pub async fn off(
    State(state): State<PageState>,
    Path(names): Path<(String, String)>,
    mut act: Act,
) -> Result<Response, Fault> {
    act.need(Action::ChangeAffiliates)?;
    let (affiliate, link) = find(&state, &names)?;
    let reason = act.reason();
    if act.form.is_good() {
        let fact = Fact::LinkDisabled(fact::LinkDisabled {
            link_id: link.id,
            affiliate_id: affiliate.id,
            reason: Some(reason),
        });
        match act.submit(&state, fact).await? {
            Outcome::Done => return Ok(back(affiliate.id, "link-off")),
            Outcome::Later => return Ok(back(affiliate.id, "later")),
            Outcome::Refused(Some(Refusal::DefaultLink)) => {
                act.form.wrong("form", "This is their default link. To stop it, suspend the affiliate.");
            }
            Outcome::Refused(_) => return Err(Fault::Conflict),
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
    act.need(Action::ChangeAffiliates)?;
    let (affiliate, link) = find(&state, &names)?;
    match act
        .submit(&state, Fact::LinkEnabled(fact::LinkEnabled { link_id: link.id, affiliate_id: affiliate.id }))
        .await?
    {
        Outcome::Done => Ok(back(affiliate.id, "link-on")),
        Outcome::Later => Ok(back(affiliate.id, "later")),
        Outcome::Refused(_) => Err(Fault::Conflict),
    }
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
