//! Links of affiliates.

use super::paging::{Paging, page_of};
use super::{Act, Nothing, ReasonRequest, answer};
use crate::app::people::NewLink;
use crate::domain::affiliate::Link;
use crate::domain::fact::{LinkDisabled, LinkEnabled};
use crate::domain::id::{AffiliateId, LinkId};
use crate::http::answer::{List, json, ok};
use crate::http::error::{Problem, ProblemDoc};
use crate::http::fields::PageParams;
use crate::http::guard::PathId;
use crate::http::state::ApiState;
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::Serialize;
use std::sync::Arc;

/// Creates a link for an affiliate.
#[utoipa::path(
    post, path = "/v1/affiliates/{affiliate_id}/links", tag = "links",
    request_body(content = NewLink, description = "Where it leads, and its name"),
    responses(
        (status = 201, body = LinkView, description = "Made"),
        (status = 202, body = super::Deferred, description = "Kept; made when the store is back"),
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`affiliate_not_active`, `too_many_links`"),
    )
)]
pub async fn create(act: Act<AffiliateId, NewLink>) -> Result<Response, Problem> {
    let fact = act.state.app.new_link(&act.actor, act.at, act.asked)?;
    let link = fact.link.clone();
    answer(act.state.app.act(&act.actor, fact).await, &link.id, async |_| {
        Ok(json(StatusCode::CREATED, &LinkView::of(&link, act.state.app.link_url(&link))))
    })
    .await
}

/// Lists the links of an affiliate, oldest first.
#[utoipa::path(
    get, path = "/v1/affiliates/{affiliate_id}/links", tag = "links",
    params(Paging),
    responses((status = 200, body = List<LinkView>, description = "A page"))
)]
pub async fn list(
    State(state): State<ApiState>,
    PathId(affiliate): PathId<AffiliateId>,
    page: PageParams,
) -> Result<Response, Problem> {
    let directory = state.app.directory();
    directory.affiliate(affiliate).ok_or(Problem::UnknownAffiliate)?;
    let mut links = directory.links_of(affiliate);
    links.sort_unstable_by_key(|link| (link.created_at, link.id));
    let page = page_of(links, &page, |link| link.id)?;
    Ok(ok(&List::of(page, |link| LinkView::of(&link, state.app.link_url(&link)))))
}

/// Switches a link off: it still redirects, but new clicks on it earn nothing.
#[utoipa::path(
    post, path = "/v1/links/{link_id}/disable", tag = "links",
    request_body(content = super::ReasonRequest, description = "Why: the affiliate reads it in the mail and in the portal. Programs from before it was asked for may leave it out"),
    responses(
        (status = 200, body = LinkView, description = "Off"), super::Later,
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`default_link`: suspend the affiliate instead"),
    )
)]
pub async fn disable(act: Act<LinkId, ReasonRequest>) -> Result<Response, Problem> {
    // Programs that are older than the reason give none.
    let reason = Some(act.asked.reason.map(String::from).unwrap_or_default());
    let link = find(&act.state, act.at)?;
    let disabled = LinkDisabled { link_id: act.at, affiliate_id: link.affiliate, reason };
    answer(act.state.app.act(&act.actor, disabled).await, &act.at, async |_| Ok(show(&act.state, &link)))
        .await
}

/// Switches a link on again: new clicks on it earn. Clicks made while it was off stay without credit.
#[utoipa::path(
    post, path = "/v1/links/{link_id}/enable", tag = "links",
    request_body(content = super::Nothing, description = "Nothing"),
    responses((status = 200, body = LinkView, description = "On"), super::Later)
)]
pub async fn enable(act: Act<LinkId, Nothing>) -> Result<Response, Problem> {
    let link = find(&act.state, act.at)?;
    let enabled = LinkEnabled { link_id: act.at, affiliate_id: link.affiliate };
    answer(act.state.app.act(&act.actor, enabled).await, &act.at, async |_| Ok(show(&act.state, &link))).await
}

fn find(state: &ApiState, id: LinkId) -> Result<Arc<Link>, Problem> {
    state.app.directory().link(id).cloned().ok_or(Problem::UnknownLink)
}

/// A link as it is now.
fn show(state: &ApiState, before: &Arc<Link>) -> Response {
    let link = state.app.directory().link(before.id).cloned().unwrap_or_else(|| Arc::clone(before));
    ok(&LinkView::of(&link, state.app.link_url(&link)))
}

/// A link.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct LinkView {
    /// Its id.
    #[schema(value_type = String, example = "lnk_0a1b2c3d4e5f6")]
    pub id: LinkId,
    /// Whose it is.
    #[schema(value_type = String, example = "aff_0a1b2c3d4e5f6")]
    pub affiliate_id: AffiliateId,
    /// Its whole address, to be given to people.
    pub url: String,
    /// Where it leads; null: the program's landing page.
    pub destination: Option<String>,
    /// The affiliate's own name for it.
    pub label: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was switched off; null: it is on.
    pub disabled_at: Option<DateTime<Utc>>,
    /// Why; null: it is on, or nobody said.
    pub disabled_reason: Option<String>,
}

impl LinkView {
    /// A link with its address.
    pub fn of(link: &Link, url: String) -> Self {
        Self {
            id: link.id,
            affiliate_id: link.affiliate,
            url,
            destination: link.destination.clone(),
            label: link.label.clone(),
            created_at: link.created_at,
            disabled_at: link.switch.disabled_at,
            disabled_reason: link.switch.disabled_reason.clone(),
        }
    }
}
