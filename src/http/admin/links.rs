//! Links of affiliates.

use super::affiliates::{AffiliatePath, Paging, first_of, read_cursor};
use super::{deferred, submit};
use crate::domain::affiliate::Link;
use crate::domain::fact::Fact;
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
    let allowed = |value: &Value| (state.hooks.destination_allowed)(value.as_str()?).ok();
    let link = Link {
        id: LinkId::random(),
        affiliate,
        destination: fields.optional("destination", Problem::InvalidDestination, allowed)?,
        label: fields.optional("label", Problem::InvalidLabel, line(100))?,
        created_at: state.app.now(),
        disabled_at: None,
    };
    fields.done()?;
    let fact = Fact::LinkCreated { link: link.clone(), within: None };
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

/// Switches a link off: it redirects on, and earns no more.
#[utoipa::path(
    post, path = "/v1/links/{link_id}/disable", tag = "links",
    params(("link_id" = String, Path, description = "The link's id", example = "lnk_0a1b2c3d4e5f6")),
    responses(
        (status = 200, body = LinkView, description = "Off"),
        (status = 202, body = super::Deferred, description = "Kept; done when the store is back"),
    ),
    security(("bearer" = []))
)]
pub async fn disable(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    PathId(link_id): PathId<LinkId>,
    JsonBody(fields): JsonBody,
) -> Result<Response, Problem> {
    fields.done()?;
    let before = state.app.directory().link(link_id).cloned().ok_or(Problem::UnknownLink)?;
    let fact = Fact::LinkDisabled { link_id, affiliate_id: before.affiliate };
    if submit(&state, &caller, fact).await?.outcome == FactOutcome::Deferred {
        return Ok(deferred(&link_id));
    }
    let link = state.app.directory().link(link_id).cloned().unwrap_or(before);
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
            disabled_at: link.disabled_at,
        }
    }
}
