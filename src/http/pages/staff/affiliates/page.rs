//! The page of an affiliate: its figures as its own pages say them, and all that staff need to judge it.

use super::payouts;
use super::referrals::referrals;
use crate::app::{CHART_DAYS, Figures, StatementDoc};
use crate::domain::affiliate::{Affiliate, Link, Status};
use crate::domain::id::{AffiliateId, LineKey, LinkId};
use crate::domain::money::Money;
use crate::domain::payout::Outlook;
use crate::domain::person::Person;
use crate::http::pages::chart::{Chart, Unit};
use crate::http::pages::payout;
use crate::http::pages::staff::hints::Known;
use crate::http::pages::staff::words::{self, Words};
use crate::http::pages::staff::{Staff, Visit};
use crate::http::pages::table::Row;
use crate::http::pages::{Form, PageError, PageState};
use crate::store::{Counter, DayCounts};
use axum::response::Response;
use chrono::Days;
use serde_json::{Value, json};
use std::sync::Arc;

/// Referrals shown on the page, the newest.
const REFERRALS: usize = 8;
/// Statements shown on the page, the newest.
const STATEMENTS: usize = 24;

pub async fn page(visit: Visit<Staff, AffiliateId>) -> Result<Response, PageError> {
    let affiliate = visit.affiliate()?;
    show(&visit, &affiliate, &Form::default()).await
}

pub async fn show<At>(
    visit: &Visit<Staff, At>,
    affiliate: &Affiliate,
    form: &Form,
) -> Result<Response, PageError> {
    let (state, id) = (&visit.state, affiliate.id);
    let (words, directory) = (Words::of(state), state.app.directory());
    let now = state.app.now();
    let book = state.app.affiliate_report(affiliate).await?;
    let figures = &book.figures;
    let list = referrals(words, affiliate);
    let newest: Vec<Row> = book.referrals.iter().take(REFERRALS).map(|one| list.row(one)).collect();
    let (stands, tone) = words::status(affiliate.status());
    let notes = state.app.notes(id).await?;
    let notes: Vec<Value> = notes
        .iter()
        .rev()
        .map(|note| json!({"at": words.at(note.at), "by": state.app.name_of(&note.by), "text": note.text}))
        .collect();
    let lines: Vec<Value> = state
        .app
        .open_lines(id)
        .await?
        .iter()
        .map(|line| {
            json!({"key": line.key, "amount": words.money(line.amount), "reason": line.reason,
                "by": state.app.name_of(&line.by), "at": words.at(line.at)})
        })
        .collect();
    let next = state.app.payout_outlook(affiliate, &book.statements).await?;
    let statements: Vec<Value> =
        book.statements.iter().take(STATEMENTS).map(|doc| statement(state, &next, doc)).collect();
    let lost: Vec<Value> = state.app.lost_mail(Person::Affiliate(id)).await?.iter().rev().map(|doc| {
        json!({"at": words.at(doc.at), "what": doc.mail.kind.replace('_', " "), "why": doc.mail.why.sentence()})
    }).collect();
    let paypal_hold = affiliate.payouts_held_until().filter(|until| now < *until);
    let sum = |of: fn(&crate::app::FiguresDay) -> u64| figures.days.iter().map(of).sum::<u64>();
    let content = json!({
        "id": id, "profile": affiliate.profile, "code": affiliate.code, "status": affiliate.status(),
        "state": stands, "tone": tone, "sentence": words::status_sentence(affiliate.status(), &directory.links_of(id)),
        "exempt": affiliate.exempt_from_holds, "history": history(&words, affiliate),
        "signatures": signatures(&words, affiliate), "notes": notes,
        "hints": if affiliate.status() == Status::Applied { Known::of(&directory).hints(affiliate) } else { Vec::new() },
        "paypal_hold": paypal_hold.map(|until| words.at(until)),
        "links": links(state, affiliate).await?, "newest": newest, "referral_heads": list.heads(),
        "referrals": figures.referrals, "statements": statements, "all_statements": book.statements.len(),
        "figures": {
            "clicks": sum(|day| day.people), "bots": sum(|day| day.others),
            "active": figures.active_accounts, "crossed": figures.all.crossings, "held": figures.held,
            "earned": words.money(figures.all.earned.unwrap_or(Money::ZERO)),
        },
        "payouts": payouts::summary(state, affiliate, &next, &book.statements),
        "chart": clicks_chart(&words, figures).bars(),
        "lines": lines, "line_key": LineKey::random(), "was_active": affiliate.was_ever_active(),
        "may_sign_in": affiliate.may_sign_in(), "lost_mail": lost,
        "form": form,
    });
    Ok(visit.page_with(form.status, "staff/affiliate.html", "affiliates", content))
}

fn history(words: &Words<'_>, affiliate: &Affiliate) -> Vec<Value> {
    let newest_first = affiliate.history.iter().rev().map(|change| {
        let (name, tone) = words::status(change.status);
        json!({"at": words.at(change.at), "status": name, "tone": tone, "reason": change.reason})
    });
    newest_first.collect()
}

fn signatures(words: &Words<'_>, affiliate: &Affiliate) -> Vec<Value> {
    let newest_first = affiliate.signatures.iter().rev().map(
        |one| json!({"version": one.version, "name": one.name, "at": words.at(one.at), "sha256": one.sha256}),
    );
    newest_first.collect()
}

fn statement(state: &PageState, next: &Outlook, doc: &StatementDoc) -> Value {
    let (words, says) = (Words::of(state), &doc.statement);
    json!({"month": says.month, "name": words.month(says.month), "closed": doc.is_closed(),
        "payment": payout::standing(state, next, doc),
        "active": says.active_accounts, "crossings": says.lines.len(), "total": words.money(says.total)})
}

/// Clicks by day: people, and all others.
fn clicks_chart(words: &Words<'_>, figures: &Figures) -> Chart {
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let points =
        figures.days.iter().map(|day| (words.day(day.day), vec![count(day.people), count(day.others)]));
    Chart {
        id: "clicks",
        title: "Clicks by day".to_owned(),
        along: "Day",
        series: vec!["people", "bots and others"],
        points: points.collect(),
        unit: Unit::Count,
    }
}

/// Its links as staff see them.
pub async fn links(state: &PageState, affiliate: &Affiliate) -> Result<Vec<Value>, PageError> {
    let (words, all) = (Words::of(state), state.app.directory().links_of(affiliate.id));
    let ids: Vec<LinkId> = all.iter().map(|link| link.id).collect();
    let today = state.app.zone().date_of(state.app.now());
    let first = today - Days::new(CHART_DAYS - 1);
    let counts: Vec<DayCounts> = state.app.click_totals(affiliate.id, &ids, &(first..=today)).await?;
    let sum = |wanted: &Counter| -> u64 {
        let all = counts.iter().flat_map(|day| &day.counts);
        all.filter(|(counter, _)| counter == wanted).map(|(_, count)| count).sum()
    };
    let link = |link: &Arc<Link>| {
        json!({"id": link.id, "url": state.app.link_url(link), "label": link.label, "destination": link.destination,
            "default": link.id == affiliate.default_link, "made": words.at(link.created_at),
            "off": link.switch.disabled_at.map(|at| words.at(at)), "off_reason": link.switch.disabled_reason,
            "off_by": link.switch.disabled_by.as_ref().map(|by| state.app.name_of(by)),
            "people": sum(&Counter::Link(link.id)), "others": sum(&Counter::LinkOther(link.id))})
    };
    Ok(all.iter().map(link).collect())
}
