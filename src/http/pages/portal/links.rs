//! `/portal/links`: an affiliate's links, their figures, more of them.

use super::{qr as code, words};
use crate::app::people::{ActError, NewLink};
use crate::domain::account::Refusal;
use crate::domain::affiliate::{Link, MOST_LINKS, Status};
use crate::domain::fact::LinkDisabled;
use crate::domain::id::LinkId;
use crate::http::pages::session::{Portal, Signed, Visit};
use crate::http::pages::{Form, PageError, download, see_other};
use crate::store::Counter;
use axum::response::Response;
use chrono::{DateTime, Days, Utc};
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
pub async fn list(visit: Visit<Portal>) -> Result<Response, PageError> {
    page(&visit, &Form::default()).await
}

/// Makes one.
pub async fn create(Signed { visit, mut form }: Signed<Portal>) -> Result<Response, PageError> {
    let label = form.need("label", "Please give the link a name, so that you know it again.");
    let new = NewLink { label, destination: form.take("destination") };
    let actor = visit.actor();
    match visit.app.new_link(&actor, visit.who.affiliate.id, new) {
        Err(ActError::Invalid(faults)) => form.wrong_as(faults),
        Ok(link) if form.is_good() => match visit.app.act(&actor, link).await {
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
    page(&visit, &form).await
}

/// Switches one off.
pub async fn disable(Signed { visit, .. }: Signed<Portal, LinkId>) -> Result<Response, PageError> {
    let link = own(&visit)?;
    // It is their own: they owe nobody a reason.
    let reason = Some(String::new());
    let disabled = LinkDisabled { link_id: link.id, affiliate_id: visit.who.affiliate.id, reason };
    visit.app.act(&visit.actor(), disabled).await?;
    Ok(see_other("/portal/links?done=disabled"))
}

/// Its QR code, to be saved.
pub async fn qr(visit: Visit<Portal, LinkId>) -> Result<Response, PageError> {
    let link = own(&visit)?;
    let svg = code::svg(&visit.app.link_url(&link)).ok_or(PageError::NotFound)?;
    Ok(download("image/svg+xml", "link-qr.svg", svg))
}

fn own(visit: &Visit<Portal, LinkId>) -> Result<Link, PageError> {
    let directory = visit.app.directory();
    let link = directory.link(visit.at).filter(|link| link.affiliate == visit.who.affiliate.id);
    link.map(|link| Link::clone(link)).ok_or(PageError::NotFound)
}

async fn page(visit: &Visit<Portal>, form: &Form) -> Result<Response, PageError> {
    let (state, affiliate) = (&visit.state, &visit.who.affiliate);
    let today = state.app.zone().date_of(state.app.now());
    let signups = state.app.signups_by_link(affiliate.id).await?;
    let mut links = state.app.directory().links_of(affiliate.id);
    links.sort_by_key(|link| (link.id != affiliate.default_link, std::cmp::Reverse(link.created_at)));
    let asked = crate::http::pages::parameter(visit.raw.as_deref(), "page").parse().unwrap_or(1_usize);
    let pages = links.len().div_ceil(ON_A_PAGE).max(1);
    let number = asked.clamp(1, pages);
    let links: Vec<_> = links.into_iter().skip((number - 1) * ON_A_PAGE).take(ON_A_PAGE).collect();
    let ids: Vec<LinkId> = links.iter().map(|link| link.id).collect();
    let first = today - Days::new(DAYS - 1);
    let clicks = clicks_of(&state.app.click_totals(affiliate.id, &ids, &(first..=today)).await?);
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
    Ok(visit.page_with(form.status, "portal/links.html", "links", content))
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
