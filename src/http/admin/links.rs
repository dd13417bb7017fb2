//! Links of affiliates.

use super::affiliates::{AffiliatePath, Paging, first_of, read_cursor};
use super::{deferred, optional_reason, submit};
use crate::domain::affiliate::{Link, Switch};
use crate::domain::fact::{self, Fact};
use crate::domain::id::{AffiliateId, LinkId};
use crate::domain::outcome::FactOutcome;
use crate::http::answer::{List, json, ok};
use crate::http::auth::Caller;
use crate::http::body::JsonBody;
use crate::http::error::Problem;
use crate::http::fields::{Params, line};
use crate::http::guard::PathId;
use crate::http::openapi::ProblemDoc;
use crate::http::state::ApiState;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;

/// Makes a link for an affiliate.
#[utoipa::path(
    post, path = "/v1/affiliates/{affiliate_id}/links", tag = "links",
    params(AffiliatePath),
    request_body(content = NewLink, description = "Where it leads, and its name"),
    responses(
        (status = 201, body = LinkView, description = "Made"),
        (status = 202, body = super::Deferred, description = "Kept; made when the store is back"),
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`affiliate_not_active`"),
    ),
    security(("bearer" = []))
)]
pub async fn create(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    PathId(affiliate): PathId<AffiliateId>,
    JsonBody(mut fields): JsonBody,
) -> Result<Response, Problem> {
    let allowed = |value: &Value| state.app.destination(value.as_str()?);
    let link = Link {
        id: LinkId::random(),
        affiliate,
        destination: fields.optional("destination", Problem::InvalidDestination, allowed)?,
        label: fields.optional("label", Problem::InvalidLabel, line(100))?,
        created_at: state.app.now(),
        switch: Switch::default(),
    };
    fields.done()?;
    let fact = Fact::LinkCreated(fact::LinkCreated { link: link.clone(), within: None });
    if submit(&state, &caller, fact).await?.outcome == FactOutcome::Deferred {
        return Ok(deferred(&link.id));
    }
    Ok(json(StatusCode::CREATED, &LinkView::of(&link, state.app.link_url(&link))))
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
    if let Some(after) = read_cursor::<LinkId>(&page)? {
        // Links are never taken away: one that is not there was not given as a cursor.
        let last = links.iter().position(|link| link.id == after).ok_or(Problem::InvalidCursor)?;
        links.drain(..=last);
    }
    let page = first_of(links, page.limit, |link| link.id.to_string());
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
    Extension(caller): Extension<Caller>,
    PathId(link_id): PathId<LinkId>,
    JsonBody(mut fields): JsonBody,
) -> Result<Response, Problem> {
    // Programs that are older than the reason give none.
    let reason = optional_reason(&mut fields)?.unwrap_or_default();
    fields.done()?;
    let disabled =
        |affiliate_id| Fact::LinkDisabled(fact::LinkDisabled { link_id, affiliate_id, reason: Some(reason) });
    switch(&state, &caller, link_id, disabled).await
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
    Extension(caller): Extension<Caller>,
    PathId(link_id): PathId<LinkId>,
    JsonBody(fields): JsonBody,
) -> Result<Response, Problem> {
    fields.done()?;
    switch(&state, &caller, link_id, |affiliate_id| {
        Fact::LinkEnabled(fact::LinkEnabled { link_id, affiliate_id })
    })
    .await
}

async fn switch(
    state: &ApiState,
    caller: &Caller,
    id: LinkId,
    fact: impl FnOnce(AffiliateId) -> Fact,
) -> Result<Response, Problem> {
    let before = state.app.directory().link(id).cloned().ok_or(Problem::UnknownLink)?;
    if submit(state, caller, fact(before.affiliate)).await?.outcome == FactOutcome::Deferred {
        return Ok(deferred(&id));
    }
    let link = state.app.directory().link(id).cloned().unwrap_or(before);
    Ok(ok(&LinkView::of(&link, state.app.link_url(&link))))
}

/// A new link.
#[derive(Debug, utoipa::ToSchema)]
#[schema(example = json!({"destination": "https://www.calltrackingmetrics.com/plans?ref=spring", "label": "Spring mail"}))]
pub struct NewLink {
    /// Where it leads, on one of the program's hosts; absent: the program's landing page.
    #[schema(max_length = 2048)]
    pub destination: Option<String>,
    /// The affiliate's own name for it.
    #[schema(min_length = 1, max_length = 100)]
    pub label: Option<String>,
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
