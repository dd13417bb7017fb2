//! `/portal/payouts`: what is due when and why something would wait, and what was paid.

use crate::app::StatementDoc;
use crate::app::payouts::{Account, closed_of, due};
use crate::domain::calendar::Month;
use crate::domain::money::Money;
use crate::domain::payout::{Balance, Carried, Item, ItemStatus, Ledger, Outlook, Payment};
use crate::http::pages::payout::{Standing, item_note, item_word, paid_for, standing, why};
use crate::http::pages::session::{Portal, Visit};
use crate::http::pages::table::{self, Cell, List};
use crate::http::pages::view::{money, show_day};
use crate::http::pages::{PageError, PageState, download};
use axum::response::Response;
use chrono::{Datelike, NaiveDate};
use minijinja::context;
use minijinja::value::{Serde, Value};
use serde::Serialize;

/// A statement on its way to being paid.
#[derive(Debug, Serialize)]
struct Coming {
    month: Month,
    total: Money,
    closed: bool,
    payment: Standing,
}

/// Why what is due would wait for a later payout.
#[derive(Debug, Serialize)]
struct Reason {
    words: String,
    /// What can be done about it.
    link: Option<(&'static str, &'static str)>,
}

/// What was paid in a year.
#[derive(Debug, Serialize)]
struct Year {
    year: i32,
    paid: Money,
}

/// Where an affiliate's money is, by what its pages have read already.
pub fn balance(ledger: &Ledger, statements: &[StatementDoc]) -> Balance {
    let closed = statements.iter().filter_map(closed_of).collect();
    Account { ledger: ledger.clone(), closed }.balance()
}

/// The day of a payment, or the one since which it is in its state.
fn day(state: &PageState, item: &Item) -> NaiveDate {
    item.paid_on.unwrap_or_else(|| state.app.zone().date_of(item.changed_at))
}

fn payouts(state: &PageState) -> List<'_, Item> {
    type Column<'a> = table::Column<'a, Item>;
    let currency = &state.app.config().program.currency;
    let columns = vec![
        Column::text("date", "Date", move |item| {
            let day = day(state, item);
            Cell::text(show_day(day)).whole().export(day.to_string())
        })
        .sort_first_down_by(move |item| (day(state, item), item.payout_id)),
        Column::text("pays", "For", |item| Cell::text(paid_for(&item.parts))),
        Column::text("state", "State", |item| {
            let (word, tone) = item_word(item.status);
            let (cell, note) = (Cell::mark(word, tone), item_note(item));
            if note.is_empty() { cell } else { cell.note(note) }
        }),
        Column::text("payout", "Payout", |item| Cell::id(item.payout_id.to_string())),
        Column::number("amount", "Amount", move |item| {
            let amount = item.amount.to_string();
            Cell::text(money(&amount, currency)).whole().export(amount)
        })
        .sort_by(|item| item.amount),
    ];
    List::new("/portal/payouts", "Your payouts", "No payout yet.", columns)
}

/// Shows it.
pub async fn show(visit: Visit<Portal>) -> Result<Response, PageError> {
    let statements = visit.app.statements_of(visit.who.affiliate.id).await?;
    let next = visit.app.payout_outlook(&visit.who.affiliate, &statements).await?;
    let list = payouts(&visit);
    let query = list.read(visit.raw.as_deref())?;
    // What was taken out before it was sent never was a payment.
    let made = next.ledger.items.iter().filter(|item| item.status != ItemStatus::Withdrawn).cloned();
    let list = list.show(made.collect(), &query);
    if query.csv {
        return Ok(download("text/csv; charset=utf-8", "payouts.csv", list.to_csv()));
    }
    let reason = |one: &Carried| Reason { words: why(&visit, &next, *one), link: help(*one) };
    let Balance { owed, under_way, paid } = balance(&next.ledger, &statements);
    let content = context! {
        next_on => next.on.to_string(),
        next_sum => next.sum.to_string(),
        next_any => next.any,
        next_open => next.has_open,
        reasons => Value::from(Serde(next.carried.iter().map(reason).collect::<Vec<_>>())),
        coming => Value::from(Serde(coming(&visit, &next, &statements))),
        minimum => visit.app.config().program.minimum_payout.to_string(),
        paypal_email => visit.who.affiliate.profile.paypal_email.clone(),
        owed => owed.to_string(), under_way => under_way.to_string(), paid => paid.to_string(),
        is_owed => !owed.is_zero(), any_under_way => !under_way.is_zero(),
        years => Value::from(Serde(years(&visit, &next.ledger))),
        any_payout => !next.ledger.items.is_empty() || !paid.is_zero(),
        list => Value::from(Serde(list)),
    };
    Ok(visit.page("portal/payouts.html", "payouts", content))
}

/// What an affiliate itself can do, so that it is paid.
const fn help(why: Carried) -> Option<(&'static str, &'static str)> {
    match why {
        Carried::NoPaypalEmail => Some(("/portal/profile#paypal", "Add it")),
        Carried::NeedsChange => Some(("/portal/profile#paypal", "Change it")),
        _ => None,
    }
}

/// Statements that nobody has paid yet.
fn coming(state: &PageState, next: &Outlook, statements: &[StatementDoc]) -> Vec<Coming> {
    let is_over = |doc: &StatementDoc| {
        matches!(next.payment(&due(doc)), Payment::Nothing | Payment::Paid(..) | Payment::PaidElsewhere)
    };
    let coming = statements.iter().filter(|doc| !doc.is_closed() || !is_over(doc)).map(|doc| Coming {
        month: doc.statement.month,
        total: doc.statement.total,
        closed: doc.is_closed(),
        payment: standing(state, next, doc),
    });
    coming.collect()
}

/// What was paid in this year, and in the last one if anything was.
fn years(state: &PageState, ledger: &Ledger) -> Vec<Year> {
    let this = state.app.zone().date_of(state.app.now()).year();
    let of = |year| Year { year, paid: ledger.paid_in(year) };
    [of(this), of(this - 1)].into_iter().filter(|one| one.year == this || !one.paid.is_zero()).collect()
}
