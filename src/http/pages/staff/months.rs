//! Months: open, closing, closed; their totals and due dates; the statements of one, and one statement.

use super::accounts::{self, name_of};
use super::words::Words;
use super::{Staff, show_list};
use crate::app::StatementDoc;
use crate::domain::calendar::Month;
use crate::domain::id::AffiliateId;
use crate::domain::money::Money;
use crate::domain::statement::{Note, Statement, verify_hash};
use crate::http::guard::PathId;
use crate::http::pages::payout;
use crate::http::pages::table::{Cell, Column, Filter, List, Query, Row, Spec, Tone};
use crate::http::pages::{Fault, PageState};
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use chrono::Days;
use serde_json::{Value, json};

const PATH: &str = "/admin/months";
const AT_ONCE: usize = 500;
/// The list adds up months of at most so many statements; a larger one is added up on its own page.
const ADDED_UP: usize = 2_000;
/// So many months back an open month is looked for.
const LOOK_BACK: usize = 14;

/// Where a month stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    Due,
    Closing,
    Closed,
}

impl Stage {
    fn of(state: &PageState, month: Month) -> Self {
        let directory = state.app.directory();
        let doc = directory.months().find(|doc| doc.month == month).cloned();
        match doc {
            Some(doc) if doc.closed => Self::Closed,
            Some(_) => Self::Closing,
            None => {
                let through = state.app.zone().last_full_day(state.app.now());
                let delay = state.app.config().program.close_delay_days;
                if month.is_due(through, delay) { Self::Due } else { Self::Open }
            }
        }
    }
    const fn said(self) -> (&'static str, &'static str, Tone) {
        match self {
            Self::Open => ("open", "Open", Tone::Info),
            Self::Due => ("due", "Due to close", Tone::Warn),
            Self::Closing => ("closing", "Closing", Tone::Warn),
            Self::Closed => ("closed", "Closed", Tone::Good),
        }
    }
}

/// A month with what it adds up to.
struct Summary {
    month: Month,
    stage: Stage,
    statements: usize,
    total: Money,
    /// There are more statements than were added up.
    more: bool,
}

/// Statements of a month, at most so many; whether there are more.
async fn statements(
    state: &PageState,
    month: Month,
    most: usize,
) -> Result<(Vec<StatementDoc>, bool), Fault> {
    let (mut all, mut cursor) = (Vec::new(), None::<String>);
    while all.len() < most {
        let page = state.app.statements(Some(month), None, cursor.as_deref(), AT_ONCE).await?;
        all.extend(page.data);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok((all, false));
        }
    }
    Ok((all, true))
}

/// All months that anything is known of, newest first.
fn known(state: &PageState) -> Vec<Month> {
    let directory = state.app.directory();
    let this = state.app.zone().month_of(state.app.now());
    let mut months: Vec<Month> = directory.months().map(|doc| doc.month).collect();
    let first = months
        .iter()
        .max()
        .copied()
        .map_or_else(|| (0..LOOK_BACK).fold(this, |month, _| month.previous()), Month::next);
    months.extend(first.through(this));
    months.sort_unstable();
    months.dedup();
    months.reverse();
    months
}

async fn summary(pages: &PageState, month: Month) -> Result<Summary, Fault> {
    let (docs, more) = statements(pages, month, ADDED_UP).await?;
    let total = docs.iter().map(|doc| doc.statement.total).sum();
    let stage = Stage::of(pages, month);
    Ok(Summary { month, stage, statements: docs.len(), total, more })
}

/// The months that should be closed by now, in words.
pub async fn due(pages: &PageState) -> Result<Vec<Value>, Fault> {
    let mut found = Vec::new();
    for month in known(pages) {
        let stage = Stage::of(pages, month);
        let waits = stage == Stage::Closing
            || (stage == Stage::Due
                && !pages.app.statements(Some(month), None, None, 1).await?.data.is_empty());
        if waits {
            found.push(
                json!({"month": month, "name": Words::of(pages).month(month), "state": stage.said().1}),
            );
        }
    }
    Ok(found)
}

/// When a month may be closed: the day after the delay.
fn closes_on(state: &PageState, month: Month) -> Option<chrono::NaiveDate> {
    let delay = u64::from(state.app.config().program.close_delay_days);
    month.last_day().checked_add_days(Days::new(delay + 1))
}

fn spec() -> Spec {
    Spec {
        columns: vec![
            Column::text("month", "Month").sortable(),
            Column::text("state", "State").sortable(),
            Column::number("statements", "Statements").sortable(),
            Column::number("total", "Total").sortable(),
            Column::text("closes", "Closes").sortable(),
            Column::text("to_be_paid", "To be paid"),
        ],
        filters: vec![Filter::of(
            "state",
            "State",
            &[
                ("", "All"),
                ("open", "Open"),
                ("due", "Due to close"),
                ("closing", "Closing"),
                ("closed", "Closed"),
            ],
        )],
        search: Some("2026-04"),
        order: "-month",
    }
}

pub async fn list(
    State(state): State<PageState>,
    who: Staff,
    RawQuery(raw): RawQuery,
) -> Result<Response, Fault> {
    let (spec, words) = (spec(), Words::of(&state));
    let query = Query::read(raw.as_deref(), &spec)?;
    let mut found = Vec::new();
    for month in known(&state) {
        let wanted = query.filter("state").is_none_or(|code| code == Stage::of(&state, month).said().0);
        if wanted && query.matches(&[&month.to_string(), &words.month(month)]) {
            let summary = summary(&state, month).await?;
            // Before the first referral there are months without anything.
            if summary.statements > 0 || summary.stage != Stage::Due {
                found.push(summary);
            }
        }
    }
    query.arrange(&mut found, |key, one, other| match key {
        "state" => one.stage.said().1.cmp(other.stage.said().1),
        "statements" => one.statements.cmp(&other.statements),
        "total" => one.total.cmp(&other.total),
        _ => one.month.cmp(&other.month),
    });
    let (found, pages) = query.cut(found);
    let today = state.app.zone().date_of(state.app.now());
    let row = |one: &Summary| {
        let (_, stands, tone) = one.stage.said();
        let plus = if one.more { "+" } else { "" };
        Row::from(vec![
            Cell::link(words.month(one.month), format!("{PATH}/{}", one.month)).export(one.month.to_string()),
            Cell::mark(stands, tone),
            Cell::text(format!("{}{plus}", one.statements)),
            if one.more {
                Cell::mark("see the month", Tone::Quiet).export("")
            } else {
                words.amount(one.total)
            },
            closes_on(&state, one.month)
                .map_or_else(super::words::none, |day| Cell::text(words.day(day)).export(day.to_string())),
            // One that was not added up has something to pay.
            (one.more || one.total > Money::ZERO)
                .then(|| one.month.batch(today))
                .map_or_else(super::words::none, |day| Cell::text(words.day(day)).export(day.to_string())),
        ])
    };
    let rows = found.iter().map(row).collect();
    let empty = "No month yet.";
    let list = List::new(PATH, "Months", empty, spec, &query, (rows, pages));
    let intro = "An open month is a projection that every nightly run makes anew. Once closed it never changes; what comes later is an adjustment in an open month.";
    show_list(&state, &who, "months", "Months", intro, &query, list)
}

fn month_spec() -> Spec {
    Spec {
        columns: vec![
            Column::text("affiliate", "Affiliate").sortable(),
            Column::number("active_accounts", "Active accounts").sortable(),
            Column::text("tier", "Tier"),
            Column::number("crossings", "Crossings").sortable(),
            Column::number("adjustments", "Adjustments").sortable(),
            Column::number("total", "Total").sortable(),
            Column::text("state", "State"),
        ],
        filters: Vec::new(),
        search: Some("Affiliate's name, e-mail, id"),
        order: "affiliate",
    }
}

pub async fn month(
    State(state): State<PageState>,
    who: Staff,
    PathId(month): PathId<Month>,
    RawQuery(raw): RawQuery,
) -> Result<Response, Fault> {
    let (spec, words, directory) = (month_spec(), Words::of(&state), state.app.directory());
    let query = Query::read(raw.as_deref(), &spec)?;
    let (all, _) = statements(&state, month, usize::MAX).await?;
    let total: Money = all.iter().map(|doc| doc.statement.total).sum();
    let lines: usize = all.iter().map(|doc| doc.statement.lines.len()).sum();
    let adjusted: Money = all.iter().flat_map(|doc| &doc.statement.adjustments).map(|one| one.amount).sum();
    let statements = all.len();
    let name = |doc: &StatementDoc| name_of(&directory, Some(doc.statement.affiliate_id));
    let mut found = all;
    found.retain(|doc| {
        let id = doc.statement.affiliate_id;
        let email = directory.affiliate(id).map(|one| one.profile.email.clone()).unwrap_or_default();
        query.matches(&[&name(doc), &email, &id.to_string()])
    });
    query.arrange(&mut found, |key, one, other| {
        let (a, b) = (&one.statement, &other.statement);
        match key {
            "active_accounts" => a.active_accounts.cmp(&b.active_accounts),
            "crossings" => a.lines.len().cmp(&b.lines.len()),
            "adjustments" => adjustments(a).cmp(&adjustments(b)),
            "total" => a.total.cmp(&b.total),
            _ => name(one).to_lowercase().cmp(&name(other).to_lowercase()),
        }
    });
    let (found, pages) = query.cut(found);
    let row = |doc: &StatementDoc| {
        let says = &doc.statement;
        let (stands, tone) = if doc.is_closed() { ("Closed", Tone::Good) } else { ("Open", Tone::Info) };
        Row::from(vec![
            Cell::link(name(doc), format!("{PATH}/{month}/{}", says.affiliate_id))
                .export(says.affiliate_id.to_string()),
            Cell::text(says.active_accounts.to_string()),
            Cell::text(payout::tier(says.tier_from)),
            Cell::text(says.lines.len().to_string()),
            words.amount(adjustments(says)),
            words.amount(says.total),
            Cell::mark(stands, tone),
        ])
    };
    let rows = found.iter().map(row).collect();
    let path = format!("{PATH}/{month}");
    let empty = "No affiliate has a statement for this month.";
    let list =
        List::new(path, format!("Statements of {}", words.month(month)), empty, spec, &query, (rows, pages));
    if query.csv {
        return super::export(&who, &format!("statements-{month}"), &list);
    }
    let (_, stands, tone) = Stage::of(&state, month).said();
    let doc = directory.months().find(|doc| doc.month == month).cloned();
    let content = json!({
        "month": month, "name": words.month(month), "state": stands, "tone": tone,
        "previous": month.previous(), "next": month.next(),
        "total": words.money(total), "statements": statements, "crossings": lines, "adjusted": words.money(adjusted),
        "closes": closes_on(&state, month).map(|day| words.day(day)),
        "to_be_paid": (total > Money::ZERO).then(|| words.day(month.batch(state.app.zone().date_of(state.app.now())))),
        "rules": doc.as_ref().map(|doc| doc.rules.hash()),
        "closing_at": doc.as_ref().map(|doc| words.at(doc.closing_at)),
        "list": super::for_role(&who, list),
    });
    Ok(state.page("staff/month.html", &who.chrome("months", None), content))
}

fn adjustments(statement: &Statement) -> Money {
    statement.adjustments.iter().map(|one| one.amount).sum()
}

/// One statement of an affiliate.
pub async fn statement(
    State(state): State<PageState>,
    who: Staff,
    Path((month, affiliate)): Path<(String, String)>,
    RawQuery(raw): RawQuery,
) -> Result<Response, Fault> {
    let (Ok(month), Ok(id)) = (month.parse::<Month>(), affiliate.parse::<AffiliateId>()) else {
        return Err(Fault::NotFound);
    };
    let affiliate = state.app.directory().affiliate(id).cloned().ok_or(Fault::NotFound)?;
    let all = state.app.statements_of(id).await?;
    let doc = all.iter().find(|doc| doc.statement.month == month).ok_or(Fault::NotFound)?;
    let payment = payout::standing(&state, &payout::outlook(&state, &affiliate, &all), doc);
    let (words, directory, says) = (Words::of(&state), state.app.directory(), &doc.statement);
    let line = |line: &crate::domain::statement::Line| {
        let note = line.note.map(|note| match note {
            Note::NoRate => "no rate for this plan",
            Note::SettledElsewhere => "settled elsewhere",
        });
        json!({"account": line.account_id, "path": accounts::path(&line.account_id), "plan": line.plan,
            "crossed": words.day(line.crossed_on), "amount": words.money(line.amount), "note": note})
    };
    let adjustment = |one: &crate::domain::statement::Adjustment| {
        json!({"month": words.month(one.for_month), "account": one.account_id, "path": accounts::path(&one.account_id),
            "stated": words.money(one.stated), "now": words.money(one.now), "amount": words.money(one.amount)})
    };
    if raw.as_deref() == Some("format=csv") {
        return csv(&who, doc);
    }
    let content = json!({
        "month": month, "name": words.month(month), "id": id, "affiliate": name_of(&directory, Some(id)),
        "closed": doc.is_closed(), "closed_at": doc.closed_at.map(|at| words.at(at)),
        "payment": payment, "active_accounts": says.active_accounts, "tier": payout::tier(says.tier_from), "total": words.money(says.total),
        "lines": says.lines.iter().map(line).collect::<Vec<_>>(),
        "adjustments": says.adjustments.iter().map(adjustment).collect::<Vec<_>>(),
        "hash": says.hash, "previous": says.previous, "rules": says.rules_hash, "facts": says.facts_hash,
        "proven": verify_hash(says),
    });
    Ok(state.page("staff/statement.html", &who.chrome("months", None), content))
}

fn csv(who: &Staff, doc: &StatementDoc) -> Result<Response, Fault> {
    let says = &doc.statement;
    let text = |text: &str| text.to_owned();
    let mut lines = vec![
        ["kind", "account_id", "plan", "crossed_on", "for_month", "amount", "currency", "note", "tier_from"]
            .map(text)
            .to_vec(),
    ];
    for line in &says.lines {
        let note = line.note.map_or("", |note| match note {
            Note::NoRate => "no_rate",
            Note::SettledElsewhere => "settled_elsewhere",
        });
        lines.push(vec![
            text("commission"),
            line.account_id.to_string(),
            line.plan.to_string(),
            line.crossed_on.to_string(),
            says.month.to_string(),
            line.amount.to_string(),
            says.currency.clone(),
            text(note),
            says.tier_from.to_string(),
        ]);
    }
    for one in &says.adjustments {
        lines.push(vec![
            text("adjustment"),
            one.account_id.to_string(),
            String::new(),
            String::new(),
            one.for_month.to_string(),
            one.amount.to_string(),
            says.currency.clone(),
            format!("stated {} now {}", one.stated, one.now),
            String::new(),
        ]);
    }
    let name = format!("statement-{}-{}", says.month, says.affiliate_id);
    super::export_lines(who, &name, &lines)
}
