//! `account …`

use super::args::{Account, Review};
use super::client::Client;
use super::session::with_server;
use super::show::{Column, Show, number, table, text};
use super::{Context, Failure};
use http::Method;
use serde_json::{Value, json};

const LIST: &[Column] = &[
    text("ACCOUNT", "/account_id"),
    text("STATE", "/state"),
    text("AFFILIATE", "/affiliate_id"),
    text("PLAN AT SIGNUP", "/plan"),
    text("SIGNED UP", "/signed_up_at"),
    text("QUALIFIED ON", "/crossed_on"),
    text("HELD", "/hold_reasons"),
    number("CONFLICTS", "/conflicts"),
];

const ONE: &[Column] = &[
    text("account", "/account_id"),
    text("saved, applied when the store is back", "/accepted"),
    text("state", "/state"),
    text("plan at signup", "/signup/plan"),
    text("signed up", "/signup/signed_up_at"),
    text("credited to", "/affiliate_name"),
    text("affiliate", "/affiliate_id"),
    text("decided", "/attribution/sentence"),
    text("via", "/attribution/via"),
    text("link", "/attribution/link_id"),
    text("click", "/attribution/click_id"),
    text("clicked", "/attribution/clicked_at"),
    text("model", "/attribution/model"),
    text("tie-break", "/attribution/tie_break"),
    text("held", "/held"),
    text("held because", "/hold_reasons"),
    text("rejected since", "/rejected_since"),
    number("active days", "/active_days"),
    number("of", "/mark_days"),
    text("qualified on", "/crossed_on"),
    text("expected to qualify on", "/expected_on"),
];

const CONSIDERED: &[Column] = &[
    text("CLICK", "/click_id"),
    text("AFFILIATE", "/affiliate_id"),
    text("CLICKED", "/clicked_at"),
    text("NAMED BY", "/via"),
    text("DROPPED BECAUSE", "/dropped"),
];

const HISTORY: &[Column] = &[
    text("WHEN", "/at"),
    text("EVENT", "/type"),
    text("PLAN", "/plan"),
    text("ID", "/event_id"),
    text("STAFF DID", "/action"),
    text("WHO", "/by"),
    text("WHY", "/reason"),
];

const CONFLICTS: &[Column] = &[text("CONTRADICTED ON", "/at"), text("BY", "/what")];

pub(super) async fn run(context: Context<'_>, command: Account) -> Result<(), Failure> {
    let show = context.show;
    with_server(&context, async |client: &Client| match command {
        Account::List { held, conflict, waiting } => {
            let which = [("held", held), ("conflict", conflict), ("waiting", waiting)];
            let path = match which.iter().find(|(_, asked)| *asked) {
                Some((name, _)) => format!("/v1/accounts?{name}=true"),
                None => "/v1/accounts".into(),
            };
            show.list(&client.list(&path).await?, LIST, "no accounts")
        }
        Account::Show { id } => print(show, &client.get(&format!("/v1/accounts/{id}")).await?),
        Account::Hold(review) => print(show, &judge(client, review, "hold").await?),
        Account::Release(review) => print(show, &judge(client, review, "release").await?),
        Account::Reject(review) => print(show, &judge(client, review, "reject").await?),
        Account::Credit { id, affiliate, nobody: _, reason } => {
            let body = json!({ "affiliate_id": affiliate, "reason": reason });
            print(show, &client.send(Method::POST, &format!("/v1/accounts/{id}/attribution"), &body).await?)
        }
    })
    .await
}

async fn judge(client: &Client, review: Review, how: &str) -> Result<Value, Failure> {
    let path = format!("/v1/accounts/{}/{how}", review.id);
    client.send(Method::POST, &path, &json!({ "reason": review.reason })).await
}

fn print(show: Show, account: &Value) -> Result<(), Failure> {
    show.thing(account, ONE)?;
    if show.is_json() {
        return Ok(());
    }
    let tables = [("/attribution/considered", CONSIDERED), ("/history", HISTORY), ("/conflicts", CONFLICTS)];
    for (pointer, columns) in tables {
        match account.pointer(pointer).and_then(Value::as_array) {
            Some(rows) if !rows.is_empty() => table(rows, columns)?,
            _ => {}
        }
    }
    Ok(())
}
