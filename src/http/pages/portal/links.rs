//! `/portal/links`: an affiliate's links, their figures, more of them.

use super::{chrome, qr as code, words};
use crate::app::people::{ActError, NewLink};
use crate::domain::account::Refusal;
use crate::domain::affiliate::{Link, MOST_LINKS, Status};
use crate::domain::fact::LinkDisabled;
use crate::domain::id::LinkId;
use crate::http::pages::session::{Portal, Signed};
use crate::http::pages::{Fault, FormView, PageState, download, see_other};
use crate::store::Counter;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use chrono::{DateTime, Days, Utc};
use http::StatusCode;
use minijinja::context;
use minijinja::value::{Serde, Value};
use serde::Serialize;
use std::collections::HashMap;

/// Days whose clicks are shown.
const DAYS: u64 = 30;
/// Links on a page.
const ON_A_PAGE: usize = 50;

#[derive(Debug, Serialize)]
struct Shown {
    id: LinkId,
    url: String,
    label: Option<String>,
    destination: Option<String>,
    created_at: DateTime<Utc>,
    /// Since when it is off, and why.
    off: Option<String>,
    is_default: bool,
    people: u64,
    others: u64,
    signups: usize,
}

/// Lists them, the default one first, then the newest.
pub async fn list(
    State(state): State<PageState>,
    portal: Portal,
    RawQuery(query): RawQuery,
) -> Result<Response, Fault> {
    page(&state, &portal, query.as_deref(), StatusCode::OK, &FormView::default()).await
}

/// Makes one.
pub async fn create(
    State(state): State<PageState>,
    Signed(portal, mut form): Signed<Portal>,
) -> Result<Response, Fault> {
    let label = form.need("label", "Please give the link a name, so that you know it again.");
    let new = NewLink { label, destination: form.take("destination") };
    let actor = portal.actor();
    match state.app.new_link(&actor, portal.affiliate.id, new) {
        Err(ActError::Invalid(faults)) => form.wrong_as(faults),
        Ok(link) if form.is_good() => match state.app.act(&actor, link).await {
            Ok(_) => return Ok(see_other("/portal/links?done=link")),
            Err(ActError::Refused(Refusal::NotActive)) => {
                form.wrong("form", "New links can be made while your account is active.");
            }
            Err(ActError::Refused(Refusal::TooManyLinks)) => form.wrong(
                "form",
                format!(
                    "You have {MOST_LINKS} links, which is the most. Sub ids tell clicks on one link apart."
                ),
            ),
            Err(error) => return Err(error.into()),
        },
        ended => drop(ended?),
    }
    page(&state, &portal, None, StatusCode::UNPROCESSABLE_ENTITY, &form.view()).await
}

/// Switches one off.
pub async fn disable(
    State(state): State<PageState>,
    Path(id): Path<String>,
    Signed(portal, _): Signed<Portal>,
) -> Result<Response, Fault> {
    let link = own(&state, &portal, &id)?;
    // It is their own: they owe nobody a reason.
    let reason = Some(String::new());
    let disabled = LinkDisabled { link_id: link.id, affiliate_id: portal.affiliate.id, reason };
    state.app.act(&portal.actor(), disabled).await?;
    Ok(see_other("/portal/links?done=disabled"))
}

/// Its QR code, to be saved.
pub async fn qr(
    State(state): State<PageState>,
    Path(id): Path<String>,
    portal: Portal,
) -> Result<Response, Fault> {
    let link = own(&state, &portal, &id)?;
    let svg = code::svg(&state.app.link_url(&link)).ok_or(Fault::NotFound)?;
    Ok(download("image/svg+xml", "link-qr.svg", svg))
}

fn own(state: &PageState, portal: &Portal, id: &str) -> Result<Link, Fault> {
    let id: LinkId = id.parse().map_err(|_| Fault::NotFound)?;
    let directory = state.app.directory();
    let link = directory.link(id).filter(|link| link.affiliate == portal.affiliate.id);
    link.map(|link| Link::clone(link)).ok_or(Fault::NotFound)
}

async fn page(
    state: &PageState,
    portal: &Portal,
    query: Option<&str>,
    status: StatusCode,
    form: &FormView,
) -> Result<Response, Fault> {
    let affiliate = &portal.affiliate;
    let today = state.app.zone().date_of(state.app.now());
    let signups = state.app.signups_by_link(affiliate.id).await?;
    let mut links = state.app.directory().links_of(affiliate.id);
    links.sort_by_key(|link| (link.id != affiliate.default_link, std::cmp::Reverse(link.created_at)));
    let asked = crate::http::pages::parameter(query, "page").parse().unwrap_or(1_usize);
    let pages = links.len().div_ceil(ON_A_PAGE).max(1);
    let number = asked.clamp(1, pages);
    let links: Vec<_> = links.into_iter().skip((number - 1) * ON_A_PAGE).take(ON_A_PAGE).collect();
    let ids: Vec<LinkId> = links.iter().map(|link| link.id).collect();
    let first = today - Days::new(DAYS - 1);
    let clicks = clicks_of(&state.app.click_totals(affiliate.id, &ids, first, today).await?);
    let shown = links.iter().map(|link| {
        let (people, others) = clicks.get(&link.id).copied().unwrap_or_default();
        Shown {
            id: link.id,
            url: state.app.link_url(link),
            label: link.label.clone(),
            destination: link.destination.clone(),
            created_at: link.created_at,
            off: words::off(link, state.app.zone()),
            is_default: link.id == affiliate.default_link,
            people,
            others,
            signups: signups.get(&link.id).copied().unwrap_or_default(),
        }
    });
    let content = context! {
        form => Value::from(Serde(form)),
        links => Value::from(Serde(shown.collect::<Vec<_>>())),
        hosts => state.app.config().program.destinations.join(", "),
        may_create => affiliate.status() == Status::Active,
        days => DAYS, page => number, pages,
    };
    Ok(state.page_with(status, "portal/links.html", &chrome(portal, "links", query), content))
}

fn clicks_of(days: &[crate::store::DayCounts]) -> HashMap<LinkId, (u64, u64)> {
    let mut clicks: HashMap<LinkId, (u64, u64)> = HashMap::new();
    for (counter, count) in days.iter().flat_map(|day| &day.counts) {
        match counter {
            Counter::Link(link) => clicks.entry(*link).or_default().0 += count,
            Counter::LinkOther(link) => clicks.entry(*link).or_default().1 += count,
            Counter::Verdict(_) | Counter::Unique | Counter::Sub(..) => {}
        }
    }
    clicks
}
