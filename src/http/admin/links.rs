//! Links of affiliates.

use super::paging::{Paging, page_of};
use super::{AffiliatePath, Nothing, ReasonRequest, answer};
use crate::app::actor::Actor;
use crate::app::people::NewLink;
use crate::domain::affiliate::Link;
use crate::domain::fact::{LinkDisabled, LinkEnabled};
use crate::domain::id::{AffiliateId, LinkId};
use crate::http::answer::{List, json, ok};
use crate::http::body::JsonBody;
use crate::http::error::{Problem, ProblemDoc};
use crate::http::fields::Params;
use crate::http::guard::PathId;
use crate::http::state::ApiState;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::Serialize;
use std::sync::Arc;

/// Makes a link for an affiliate.
#[utoipa::path(
    post, path = "/v1/affiliates/{affiliate_id}/links", tag = "links",
    params(AffiliatePath),
    request_body(content = NewLink, description = "Where it leads, and its name"),
    responses(
        (status = 201, body = LinkView, description = "Made"),
        (status = 202, body = super::Deferred, description = "Kept; made when the store is back"),
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`affiliate_not_active`, `too_many_links`"),
    ),
    security(("bearer" = []))
)]
pub async fn create(
    State(state): State<ApiState>,
    Extension(actor): Extension<Actor>,
    PathId(affiliate): PathId<AffiliateId>,
    JsonBody(new): JsonBody<NewLink>,
) -> Result<Response, Problem> {
    let fact = state.app.new_link(&actor, affiliate, new)?;
    let link = fact.link.clone();
    answer(state.app.act(&actor, fact).await, &link.id, async |_| {
        Ok(json(StatusCode::CREATED, &LinkView::of(&link, state.app.link_url(&link))))
    })
    .await
}

/// Lists the links of an affiliate, oldest first.
#[utoipa::path(
    get, path = "/v1/affiliates/{affiliate_id}/links", tag = "links",
    params(AffiliatePath, Paging),
    responses((status = 200, body = List<LinkView>, description = "A page")),
    security(("bearer" = []))
)]
pub async fn list(
    State(state): State<ApiState>,
    PathId(affiliate): PathId<AffiliateId>,
    mut params: Params,
) -> Result<Response, Problem> {
    let page = params.page()?;
    params.done()?;
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
    params(LinkPath),
    request_body(content = super::ReasonRequest, description = "Why: the affiliate reads it in the mail and in the portal. Programs from before it was asked for may leave it out"),
    responses(
        (status = 200, body = LinkView, description = "Off"),
        (status = 202, body = super::Deferred, description = "Kept; done when the store is back"),
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`default_link`: suspend the affiliate instead"),
    ),
    security(("bearer" = []))
)]
pub async fn disable(
    State(state): State<ApiState>,
    Extension(actor): Extension<Actor>,
    PathId(id): PathId<LinkId>,
    JsonBody(why): JsonBody<ReasonRequest>,
) -> Result<Response, Problem> {
    // Programs that are older than the reason give none.
    let reason = Some(why.reason.map(String::from).unwrap_or_default());
    let link = find(&state, id)?;
    let disabled = LinkDisabled { link_id: id, affiliate_id: link.affiliate, reason };
    answer(state.app.act(&actor, disabled).await, &id, async |_| Ok(show(&state, &link))).await
}

/// Switches a link on again: new clicks on it earn. Clicks made while it was off stay without credit.
#[utoipa::path(
    post, path = "/v1/links/{link_id}/enable", tag = "links",
    params(LinkPath),
    request_body(content = super::Nothing, description = "Nothing"),
    responses(
        (status = 200, body = LinkView, description = "On"),
        (status = 202, body = super::Deferred, description = "Kept; done when the store is back"),
    ),
    security(("bearer" = []))
)]
pub async fn enable(
    State(state): State<ApiState>,
    Extension(actor): Extension<Actor>,
    PathId(id): PathId<LinkId>,
    JsonBody(Nothing {}): JsonBody<Nothing>,
) -> Result<Response, Problem> {
    let link = find(&state, id)?;
    let enabled = LinkEnabled { link_id: id, affiliate_id: link.affiliate };
    answer(state.app.act(&actor, enabled).await, &id, async |_| Ok(show(&state, &link))).await
}

fn find(state: &ApiState, id: LinkId) -> Result<Arc<Link>, Problem> {
    state.app.directory().link(id).cloned().ok_or(Problem::UnknownLink)
}

/// A link as it is now.
fn show(state: &ApiState, before: &Arc<Link>) -> Response {
    let link = state.app.directory().link(before.id).cloned().unwrap_or_else(|| Arc::clone(before));
    ok(&LinkView::of(&link, state.app.link_url(&link)))
}

/// Which link.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only the API document reads it")]
pub struct LinkPath {
    /// The link's id.
    #[param(example = "lnk_0a1b2c3d4e5f6")]
    link_id: String,
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
    #[schema(required)]
    pub destination: Option<String>,
    /// The affiliate's own name for it.
    #[schema(required)]
    pub label: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was switched off; null: it is on.
    #[schema(required)]
    pub disabled_at: Option<DateTime<Utc>>,
    /// Why; null: it is on, or nobody said.
    #[schema(required)]
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
