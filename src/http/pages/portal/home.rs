//! `/portal`: the link to share, and how it does.

use super::{payouts, qr, words};
use crate::app::{AffiliateReport, Figures, FiguresDay};
use crate::domain::affiliate::Status;
use crate::domain::money::Money;
use crate::domain::payout::Balance;
use crate::domain::query::judge_sub;
use crate::http::pages::chart::{Chart, Unit};
use crate::http::pages::payout::whys;
use crate::http::pages::session::{Portal, Visit};
use crate::http::pages::view::show_day;
use crate::http::pages::{Form, PageError};
use axum::response::Response;
use minijinja::context;
use minijinja::value::{Serde, Value};
use serde::Serialize;
use url::Url;

/// A way to share the link.
#[derive(Debug, Serialize)]
struct Variant {
    id: String,
    label: &'static str,
    hint: String,
    url: String,
}

/// Shows it.
pub async fn show(visit: Visit<Portal>) -> Result<Response, PageError> {
    let affiliate = &visit.who.affiliate;
    let AffiliateReport { figures, statements, .. } = visit.app.affiliate_report(affiliate).await?;
    let next = visit.app.payout_outlook(affiliate, &statements).await?;
    let Balance { owed, under_way, paid } = payouts::balance(&next.ledger, &statements);
    let directory = visit.app.directory();
    let link = directory.link(affiliate.default_link).filter(|_| affiliate.status() != Status::Closed);
    let off = link.and_then(|link| words::off(link, visit.app.zone()));
    // An address that earns nothing is not one to share.
    let shared = link.filter(|link| !link.switch.is_off());
    let url = shared.map(|link| visit.app.link_url(link)).unwrap_or_default();
    let page = link
        .and_then(|link| link.destination.clone())
        .unwrap_or_else(|| visit.app.config().program.landing.to_string());
    let (form, built) = build(&url, &page, visit.raw.as_deref());
    let content = context! {
        first_name => affiliate.profile.name.split_whitespace().next().unwrap_or_default(),
        qr => Value::from_safe_string(qr::svg(&url).unwrap_or_default()),
        variants => Value::from(Serde(variants(&url))),
        earns => affiliate.status() == Status::Active,
        closed => affiliate.status() == Status::Closed,
        link_id => affiliate.default_link.to_string(),
        code => affiliate.code.to_string(),
        host => page.parse::<Url>().ok().and_then(|page| page.host_str().map(str::to_owned)).unwrap_or_default(),
        form => Value::from(Serde(&form)), built, url, off,
        figures => Value::from(Serde(&figures)),
        clicks_chart => clicks_chart(&figures).map(Value::from_safe_string),
        accounts_chart => accounts_chart(&figures).map(Value::from_safe_string),
        has_due => !owed.is_zero(), owes_us => owed < Money::ZERO, owed => owed.to_string(),
        any_paid => !(paid.is_zero() && under_way.is_zero()), paid => paid.to_string(),
        any_under_way => !under_way.is_zero(), under_way => under_way.to_string(),
        due_on => next.on.to_string(), carried => whys(&visit, &next),
        needs_paypal => affiliate.profile.paypal_email.is_none(),
        email => affiliate.profile.email.clone(),
    };
    Ok(visit.page("portal/home.html", "home", content))
}

fn variants(url: &str) -> [Variant; 2] {
    let variant = |name: &str, label, sub1| Variant {
        id: format!("link-{name}"),
        label,
        hint: format!("Clicks are counted apart under “{sub1}”."),
        url: format!("{url}?sub1={sub1}"),
    };
    [variant("mail", "For your newsletter", "newsletter"), variant("social", "For social media", "social")]
}

/// The link that leads to another page, or counts under a name, as the form asks for.
fn build(url: &str, page: &str, query: Option<&str>) -> (Form, Option<String>) {
    let asked = |name| crate::http::pages::parameter(query, name).trim().to_owned();
    let (to, sub1) = (asked("to"), asked("sub1"));
    let mut form = Form::with([("to", Some(to.as_str())), ("sub1", Some(sub1.as_str()))]);
    if to.is_empty() && sub1.is_empty() {
        return (form, None);
    }
    let path = deeper(page, &to);
    if path.is_none() && !to.is_empty() {
        form.wrong("to", "This must be a page on the same site, such as /pricing or its whole address.");
    }
    if judge_sub(&sub1).is_err() {
        form.wrong("sub1", "Please use at most 512 letters, digits and signs, and no {placeholder}.");
    }
    if !form.is_good() {
        return (form, None);
    }
    let mut pairs = url::form_urlencoded::Serializer::new(String::new());
    if let Some(path) = &path {
        pairs.append_pair("to", path);
    }
    if !sub1.is_empty() {
        pairs.append_pair("sub1", &sub1);
    }
    (form, Some(format!("{url}?{}", pairs.finish())))
}

/// The path of a page on the same site as `page`, given as a path or as a whole address.
fn deeper(page: &str, to: &str) -> Option<String> {
    let page: Url = page.parse().ok()?;
    let whole = if to.starts_with('/') && !to.starts_with("//") {
        page.join(to).ok()?
    } else {
        let with_scheme = if to.contains("://") { to.to_owned() } else { format!("https://{to}") };
        with_scheme.parse::<Url>().ok()?
    };
    let plain = !to.contains(|letter: char| letter.is_control() || letter == '\\') && to.len() <= 512;
    let same = whole.host() == page.host() && whole.port() == page.port() && whole.username().is_empty();
    let path = whole[url::Position::BeforePath..].to_owned();
    (plain && same && !to.is_empty() && !path.starts_with("//")).then_some(path)
}

fn clicks_chart(figures: &Figures) -> Option<String> {
    let of = |day: &FiguresDay| [day.people, day.others];
    chart("clicks", "Clicks by day", vec!["People", "Bots and others"], figures, of)
}

fn accounts_chart(figures: &Figures) -> Option<String> {
    let of = |day: &FiguresDay| [day.signups, day.crossings];
    chart("accounts", "Signups and qualifications by day", vec!["Signups", "Qualified"], figures, of)
}

/// A chart of the last days; `None`: there is nothing to draw.
fn chart(
    id: &'static str,
    title: &str,
    series: Vec<&'static str>,
    figures: &Figures,
    of: impl Fn(&FiguresDay) -> [u64; 2],
) -> Option<String> {
    if figures.days.iter().all(|day| of(day) == [0, 0]) {
        return None;
    }
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let point = |day: &FiguresDay| (show_day(day.day), of(day).map(number).to_vec());
    let points = figures.days.iter().map(point).collect();
    Some(Chart { id, title: title.to_owned(), along: "Day", series, points, unit: Unit::Count }.bars())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "https://www.example.com/plans";

    #[test]
    fn a_deep_link_stays_on_its_site() {
        let table = [
            ("/pricing", Some("/pricing")),
            ("https://www.example.com/a?b=1", Some("/a?b=1")),
            ("www.example.com/a", Some("/a")),
            ("https://www.example.com", Some("/")),
            ("//evil.example/a", None),
            ("https://evil.example/a", None),
            ("https://www.example.com@evil.example/", None),
            ("/\\evil.example", None),
            ("javascript:alert(1)", None),
            ("", None),
        ];
        for (to, path) in table {
            assert_eq!(deeper(PAGE, to).as_deref(), path, "{to}");
        }
    }

    #[test]
    fn the_form_builds_a_link_or_says_what_is_wrong() {
        let (_, built) = build("https://go.example/r/x", PAGE, Some("to=%2Fa%3Fb%3D1&sub1=spring+mail"));
        assert_eq!(built.as_deref(), Some("https://go.example/r/x?to=%2Fa%3Fb%3D1&sub1=spring+mail"));
        let (form, built) =
            build("https://go.example/r/x", PAGE, Some("to=%2F%2Fevil.example&sub1=%7Bgclid%7D"));
        assert_eq!((built, form.errors.len()), (None, 2));
        assert_eq!(build("u", PAGE, None).1, None);
    }
}
