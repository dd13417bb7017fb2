//! `statement …`

use super::args::Statement;
use super::client::Client;
use super::session::with_server;
use super::show::{Column, line, number, print_fields, table, text};
use super::{Context, Failure};
use serde_json::Value;

const LIST: &[Column] = &[
    text("MONTH", "/month"),
    text("AFFILIATE", "/affiliate_id"),
    text("STATUS", "/status"),
    number("ACTIVE", "/active_accounts"),
    number("TIER FROM", "/tier_from"),
    number("TOTAL", "/total"),
    text("", "/currency"),
];

const HEAD: &[Column] = &[
    text("affiliate", "/affiliate_id"),
    text("month", "/month"),
    text("status", "/status"),
    text("payout", "/payout/id"),
    text("payment", "/payout/status"),
    text("paid", "/payout/paid_at"),
    number("active accounts", "/active_accounts"),
    number("tier from", "/tier_from"),
];

const LINES: &[Column] = &[
    text("ACCOUNT", "/account_id"),
    text("PLAN", "/plan"),
    text("QUALIFIED ON", "/crossed_on"),
    number("AMOUNT", "/amount"),
    text("NOTE", "/note"),
];

const ADJUSTMENTS: &[Column] = &[
    text("ADJUSTS", "/for_month"),
    text("ACCOUNT", "/account_id"),
    number("STATED", "/stated"),
    number("NOW", "/now"),
    number("AMOUNT", "/amount"),
];

const BY_HAND: &[Column] =
    &[text("BY HAND", "/key"), text("REASON", "/reason"), text("BY", "/by"), number("AMOUNT", "/amount")];

pub(super) async fn run(context: Context<'_>, command: Statement) -> Result<(), Failure> {
    let show = context.show;
    with_server(&context, async |client: &Client| match command {
        Statement::List { month, affiliate } => {
            let month = month.map(|month| format!("month={month}"));
            let affiliate = affiliate.map(|id| format!("affiliate_id={id}"));
            let query: Vec<String> = month.into_iter().chain(affiliate).collect();
            let statements = client.list(&format!("/v1/statements?{}", query.join("&"))).await?;
            show.list(&statements, LIST, "no statements")
        }
        Statement::Show { affiliate, month } => {
            let path = format!("/v1/statements?month={month}&affiliate_id={affiliate}");
            let statements = client.list(&path).await?;
            let Some(statement) = statements.first() else {
                return Err(Failure::other(format!("{affiliate} has no statement for {month}")));
            };
            show.result(statement, || print(statement))
        }
    })
    .await
}

/// A statement as its affiliate reads it.
pub(super) fn print(statement: &Value) -> Result<(), Failure> {
    print_fields(statement, HEAD)?;
    for (key, columns) in [("lines", LINES), ("adjustments", ADJUSTMENTS), ("by_hand", BY_HAND)] {
        match statement[key].as_array() {
            Some(rows) if !rows.is_empty() => table(rows, columns)?,
            _ => {}
        }
    }
    let said = |key: &str| super::show::shown(statement.get(key));
    line(&format!("total {} {}", said("total"), said("currency")))?;
    line(&format!("hash {}", said("hash")))
}
