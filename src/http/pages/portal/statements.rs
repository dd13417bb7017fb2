//! `/portal/statements`: what each month earned, line by line; as CSV and for printing.

use super::chrome;
use crate::app::StatementDoc;
use crate::domain::calendar::Month;
use crate::domain::statement::{Adjustment, Line, Note};
use crate::http::pages::payout::{self, Standing};
use crate::http::pages::session::Portal;
use crate::http::pages::table::{Cell, Column, List, Query, Spec, Tone, csv_file};
use crate::http::pages::view::{money, month_in_words, show_day};
use crate::http::pages::{Fault, PageState, download};
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use minijinja::context;
use minijinja::value::{Serde, Value};
use serde::Serialize;

/// Lines on the page for printing; the CSV has them all.
const PRINTED: usize = 400;

/// Lists them, the newest first.
pub async fn list(
    State(state): State<PageState>,
    portal: Portal,
    RawQuery(raw): RawQuery,
) -> Result<Response, Fault> {
    let spec = Spec {
        columns: vec![
            Column::text("month", "Month").sortable(),
            Column::text("state", "State"),
            Column::text("payment", "Payment"),
            Column::number("active", "Active accounts"),
            Column::number("crossings", "Commissions"),
            Column::number("adjustments", "Adjustments"),
            Column::number("total", "Total").sortable(),
        ],
        order: "-month",
        ..Spec::default()
    };
    let query = Query::read(raw.as_deref(), &spec).map_err(|_| Fault::BadRequest)?;
    let mut docs = state.app.statements_of(portal.affiliate.id).await?;
    query.arrange(&mut docs, |key, one, other| {
        let month = one.statement.month.cmp(&other.statement.month);
        if key == "total" { one.statement.total.cmp(&other.statement.total).then(month) } else { month }
    });
    let next = payout::outlook(&state, &portal.affiliate, &docs);
    let (docs, pages) = query.cut(docs);
    let row = |doc: &StatementDoc| {
        let says = &doc.statement;
        let (word, tone) = if doc.is_closed() { ("Final", Tone::Good) } else { ("Open", Tone::Info) };
        let total = says.total.to_string();
        vec![
            Cell::link(month_in_words(says.month), format!("/portal/statements/{}", says.month))
                .export(says.month.to_string()),
            Cell::mark(word, tone),
            payout::cell(&state, &next, doc),
            Cell::text(says.active_accounts.to_string()),
            Cell::text(says.lines.len().to_string()),
            Cell::text(says.adjustments.len().to_string()),
            Cell::text(money(&total, &says.currency)).export(total),
        ]
        .into()
    };
    let rows = docs.iter().map(row).collect();
    let list = List::new(
        "/portal/statements",
        "Your statements",
        "Your first statement comes with your first referral.",
        spec,
        &query,
        (rows, pages),
    );
    if query.csv {
        return Ok(download("text/csv; charset=utf-8", "statements.csv", list.to_csv()));
    }
    let content = context! { list => Value::from(Serde(list)) };
    Ok(state.page("portal/statements.html", &chrome(&portal, "statements", None), content))
}

/// A statement, and where it stands on its way to being paid.
async fn find(state: &PageState, portal: &Portal, month: &str) -> Result<(StatementDoc, Standing), Fault> {
    let month: Month = month.parse().map_err(|_| Fault::NotFound)?;
    let mut all = state.app.statements_of(portal.affiliate.id).await?;
    let next = payout::outlook(state, &portal.affiliate, &all);
    let place = all.iter().position(|doc| doc.statement.month == month).ok_or(Fault::NotFound)?;
    let doc = all.swap_remove(place);
    let standing = payout::standing(state, &next, &doc);
    Ok((doc, standing))
}

/// Shows one month, its lines in pages; or exports it.
pub async fn show(
    State(state): State<PageState>,
    portal: Portal,
    Path(month): Path<String>,
    RawQuery(raw): RawQuery,
) -> Result<Response, Fault> {
    let spec = Spec {
        columns: vec![
            Column::text("account", "Account").sortable(),
            Column::text("plan", "Plan").sortable(),
            Column::text("tier", "Tier"),
            Column::text("crossed", "Reached the mark").sortable(),
            Column::number("amount", "Commission").sortable(),
        ],
        search: Some("Account or plan"),
        order: "crossed",
        ..Spec::default()
    };
    let query = Query::read(raw.as_deref(), &spec).map_err(|_| Fault::BadRequest)?;
    let (doc, payment) = find(&state, &portal, &month).await?;
    if query.csv {
        let name = format!("statement-{}.csv", doc.statement.month);
        return Ok(download("text/csv; charset=utf-8", &name, to_csv(&doc)));
    }
    let mut lines: Vec<&Line> = doc.statement.lines.iter().collect();
    lines.retain(|line| query.matches(&[line.account_id.as_str(), line.plan.as_str()]));
    query.arrange(&mut lines, |key, one, other| {
        let by = match key {
            "account" => one.account_id.cmp(&other.account_id),
            "plan" => one.plan.cmp(&other.plan),
            "amount" => one.amount.cmp(&other.amount),
            _ => one.crossed_on.cmp(&other.crossed_on),
        };
        by.then_with(|| one.account_id.cmp(&other.account_id))
    });
    let (lines, pages) = query.cut(lines);
    let row = |line: &&Line| {
        let amount = Cell::text(money(&line.amount.to_string(), &doc.statement.currency));
        vec![
            Cell::link(line.account_id.as_str(), format!("/portal/referrals/{}", line.account_id)),
            Cell::text(line.plan.as_str()),
            Cell::text(payout::tier(doc.statement.tier_from)),
            Cell::text(show_day(line.crossed_on)),
            match line.note {
                Some(note) => amount.note(note_words(note)),
                None => amount,
            },
        ]
        .into()
    };
    let rows = lines.iter().map(row).collect();
    let path = format!("/portal/statements/{}", doc.statement.month);
    let list = List::new(
        path,
        "Commissions of the month",
        "No referral reached the mark in this month.",
        spec,
        &query,
        (rows, pages),
    );
    // The file of the whole statement has a button of its own.
    Ok(page(&state, &portal, &doc, &payment, Some(list.without_export())))
}

/// One month on one page, to be printed.
pub async fn print(
    State(state): State<PageState>,
    portal: Portal,
    Path(month): Path<String>,
) -> Result<Response, Fault> {
    let (doc, payment) = find(&state, &portal, &month).await?;
    Ok(page(&state, &portal, &doc, &payment, None))
}

#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    adjustment: &'a Adjustment,
    words: String,
}

#[derive(Serialize)]
struct PrintedLine<'a> {
    #[serde(flatten)]
    line: &'a Line,
    /// Why it pays nothing.
    words: Option<&'static str>,
}

fn page(
    state: &PageState,
    portal: &Portal,
    doc: &StatementDoc,
    payment: &Standing,
    list: Option<List>,
) -> Response {
    let says = &doc.statement;
    let told = |adjustment| Told { adjustment, words: adjustment_words(adjustment, &says.currency) };
    let printed = list.is_none();
    let printed_line = |line| PrintedLine { line, words: line.note.map(note_words) };
    let lines = says.lines.iter().take(if printed { PRINTED } else { 0 }).map(printed_line);
    let lines: Vec<PrintedLine<'_>> = lines.collect();
    let commissions: crate::domain::money::Money = says.lines.iter().map(|line| line.amount).sum();
    let content = context! {
        month => says.month.to_string(),
        closed => doc.is_closed(),
        closed_at => Value::from(Serde(doc.closed_at)),
        payment => Value::from(Serde(payment)),
        active_accounts => says.active_accounts,
        tier_from => says.tier_from, tier => payout::tier(says.tier_from),
        commissions => commissions.to_string(),
        total => says.total.to_string(),
        hash => says.hash.clone(),
        adjustments => Value::from(Serde(says.adjustments.iter().map(told).collect::<Vec<_>>())),
        left_out => says.lines.len().saturating_sub(PRINTED),
        lines => Value::from(Serde(lines)),
        list => Value::from(Serde(list)),
        printed,
        affiliate_name => portal.affiliate.profile.name.clone(),
        affiliate_company => portal.affiliate.profile.company.clone(),
        affiliate_id => portal.affiliate.id.to_string(),
    };
    state.page("portal/statement.html", &chrome(portal, "statements", None), content)
}

const fn note_words(note: Note) -> &'static str {
    match note {
        Note::NoRate => "the program pays nothing for this plan",
        Note::SettledElsewhere => "settled before the program moved here",
    }
}

/// Why an adjustment is there, in words.
fn adjustment_words(one: &Adjustment, currency: &str) -> String {
    let [stated, now] = [one.stated, one.now].map(|amount| money(&amount.to_string(), currency));
    let month = month_in_words(one.for_month);
    if one.stated.is_zero() {
        format!(
            "{month} was final when we learned that this account had reached the mark in it; it is {now}."
        )
    } else if one.now.is_zero() {
        format!(
            "{month} said {stated} for this account. What we learned later shows that nothing was due for it."
        )
    } else {
        format!("{month} said {stated} for this account. By what we learned later it is {now}.")
    }
}

fn to_csv(doc: &StatementDoc) -> Vec<u8> {
    let heads =
        ["kind", "account_id", "plan", "crossed_on", "for_month", "amount", "currency", "note", "tier_from"];
    let mut lines = vec![heads.map(str::to_owned).to_vec()];
    let says = &doc.statement;
    lines.extend(says.lines.iter().map(|line| {
        let note = line.note.map(note_words).unwrap_or_default();
        [
            "commission".to_owned(),
            line.account_id.to_string(),
            line.plan.to_string(),
            line.crossed_on.to_string(),
            says.month.to_string(),
            line.amount.to_string(),
            says.currency.clone(),
            note.to_owned(),
            says.tier_from.to_string(),
        ]
        .to_vec()
    }));
    lines.extend(says.adjustments.iter().map(|one| {
        [
            "adjustment".to_owned(),
            one.account_id.to_string(),
            String::new(),
            String::new(),
            one.for_month.to_string(),
            one.amount.to_string(),
            says.currency.clone(),
            format!("stated {}, now {}", one.stated, one.now),
            String::new(),
        ]
        .to_vec()
    }));
    csv_file(&lines)
}
