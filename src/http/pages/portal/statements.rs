//! `/portal/statements`: what each month earned, line by line; as CSV and for printing.

use crate::app::StatementDoc;
use crate::domain::calendar::Month;
use crate::domain::payout::Outlook;
use crate::domain::statement::{Adjustment, Line, Note};
use crate::http::pages::payout::{self, Standing};
use crate::http::pages::session::{Portal, Visit};
use crate::http::pages::table::{self, Cell, List, Listing, Tone, csv_file};
use crate::http::pages::view::{money, month_in_words, show_day};
use crate::http::pages::{CSV, PageError, PageState, download};
use axum::response::Response;
use minijinja::context;
use minijinja::value::{Serde, Value};
use serde::Serialize;

/// Lines on the page for printing; the CSV has them all.
const PRINTED: usize = 400;

fn statements<'a>(state: &'a PageState, next: &'a Outlook) -> List<'a, StatementDoc> {
    type Column<'a> = table::Column<'a, StatementDoc>;
    let columns = vec![
        Column::text("month", "Month", |doc| {
            let month = doc.statement.month;
            Cell::link(month_in_words(month), format!("/portal/statements/{month}")).export(month.to_string())
        })
        .sort_first_down_by(|doc| doc.statement.month),
        Column::text("state", "State", |doc| {
            if doc.is_closed() { Cell::mark("Final", Tone::Good) } else { Cell::mark("Open", Tone::Info) }
        }),
        Column::text("payment", "Payment", |doc| payout::cell(state, next, doc)),
        Column::number("active", "Active accounts", |doc| {
            Cell::text(doc.statement.active_accounts.to_string())
        }),
        Column::number("crossings", "Commissions", |doc| Cell::text(doc.statement.lines.len().to_string())),
        Column::number("adjustments", "Adjustments", |doc| {
            Cell::text(doc.statement.adjustments.len().to_string())
        }),
        Column::number("total", "Total", |doc| {
            let total = doc.statement.total.to_string();
            Cell::text(money(&total, &doc.statement.currency)).export(total)
        })
        .sort_by(|doc| (doc.statement.total, doc.statement.month)),
    ];
    let empty = "Your first statement comes with your first referral.";
    List::new("/portal/statements", "Your statements", empty, columns)
}

/// Lists them, the newest first.
pub async fn list(visit: Visit<Portal>) -> Result<Response, PageError> {
    let docs = visit.app.statements_of(visit.who.affiliate.id).await?;
    let next = visit.app.payout_outlook(&visit.who.affiliate, &docs).await?;
    let list = statements(&visit, &next);
    let query = list.read(visit.raw.as_deref())?;
    let list = list.show(docs, &query);
    if query.csv {
        return Ok(download(CSV, "statements.csv", list.to_csv()));
    }
    let content = context! { list => Value::from(Serde(list)) };
    Ok(visit.page("portal/statements.html", "statements", content))
}

/// A statement, and where it stands on its way to being paid.
async fn find(visit: &Visit<Portal, Month>) -> Result<(StatementDoc, Standing), PageError> {
    let affiliate = &visit.who.affiliate;
    let mut all = visit.app.statements_of(affiliate.id).await?;
    let next = visit.app.payout_outlook(affiliate, &all).await?;
    let place = all.iter().position(|doc| doc.statement.month == visit.at).ok_or(PageError::NotFound)?;
    let doc = all.swap_remove(place);
    let standing = payout::standing(visit, &next, &doc);
    Ok((doc, standing))
}

fn commissions(doc: &StatementDoc) -> List<'_, Line> {
    type Column<'a> = table::Column<'a, Line>;
    let says = &doc.statement;
    let columns = vec![
        Column::text("account", "Account", |line| {
            Cell::link(line.account_id.as_str(), format!("/portal/referrals/{}", line.account_id))
        })
        .sort_by(|line| line.account_id.clone()),
        Column::text("plan", "Plan", |line| Cell::text(line.plan.as_str()))
            .sort_by(|line| (line.plan.clone(), line.account_id.clone())),
        Column::text("tier", "Tier", |_| Cell::text(payout::tier(says.tier_from))),
        Column::text("crossed", "Qualified", |line| Cell::text(show_day(line.crossed_on)))
            .sort_first_by(|line| (line.crossed_on, line.account_id.clone())),
        Column::number("amount", "Commission", |line| {
            let amount = Cell::text(money(&line.amount.to_string(), &says.currency));
            match line.note {
                Some(note) => amount.note(note_words(note)),
                None => amount,
            }
        })
        .sort_by(|line| (line.amount, line.account_id.clone())),
    ];
    let empty = "No referral qualified in this month.";
    List::new(format!("/portal/statements/{}", says.month), "Commissions of the month", empty, columns)
        .search("Account or plan", |line| format!("{}\n{}", line.account_id, line.plan))
}

/// Shows one month, its lines in pages; or exports it.
pub async fn show(visit: Visit<Portal, Month>) -> Result<Response, PageError> {
    let (doc, payment) = find(&visit).await?;
    let list = commissions(&doc);
    let query = list.read(visit.raw.as_deref())?;
    if query.csv {
        let name = format!("statement-{}.csv", doc.statement.month);
        return Ok(download(CSV, &name, csv_file(&payout::statement_lines(&doc.statement))));
    }
    let list = list.show(doc.statement.lines.clone(), &query);
    // The file of the whole statement has a button of its own.
    Ok(page(&visit, &doc, &payment, Some(list.without_export())))
}

/// One month on one page, to be printed.
pub async fn print(visit: Visit<Portal, Month>) -> Result<Response, PageError> {
    let (doc, payment) = find(&visit).await?;
    Ok(page(&visit, &doc, &payment, None))
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
    visit: &Visit<Portal, Month>,
    doc: &StatementDoc,
    payment: &Standing,
    list: Option<Listing>,
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
        by_hand => Value::from(Serde(&says.by_hand)),
        left_out => says.lines.len().saturating_sub(PRINTED),
        lines => Value::from(Serde(lines)),
        list => Value::from(Serde(list)),
        printed,
        affiliate_name => visit.who.affiliate.profile.name.clone(),
        affiliate_company => visit.who.affiliate.profile.company.clone(),
        affiliate_id => visit.who.affiliate.id.to_string(),
    };
    visit.page("portal/statement.html", "statements", content)
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
        format!("{month} was final when we learned that this account had qualified in it; it is {now}.")
    } else if one.now.is_zero() {
        format!(
            "{month} said {stated} for this account. What we learned later shows that nothing was due for it."
        )
    } else {
        format!("{month} said {stated} for this account. By what we learned later it is {now}.")
    }
}
