//! `facts …`

use super::args::Facts;
use super::client::Client;
use super::session::with_server;
use super::show::{Column, line, text};
use super::{Context, Failure};
use http::Method;
use serde_json::{Value, json};

const LIST: &[Column] = &[
    text("FACT", "/id"),
    text("SET ASIDE", "/at"),
    text("KIND", "/kind"),
    text("ACCOUNT", "/account_id"),
    text("CAUSE", "/cause"),
];

pub(super) async fn run(context: Context<'_>, command: Facts) -> Result<(), Failure> {
    let show = context.show;
    with_server(&context, async |client: &Client| {
        let decide = async |decision: &str, done: &str, id: &str, reason: &str| -> Result<(), Failure> {
            let path = format!("/v1/facts/set-aside/{id}/{decision}");
            let answer: Value = client.send(Method::POST, &path, &json!({"reason": reason})).await?;
            let done = if answer["accepted"] == true {
                "is saved, and will be done when the store is back"
            } else {
                done
            };
            show.result(&answer, || line(&format!("{id} {done}")))
        };
        match &command {
            Facts::List => {
                let facts = client.short_list("/v1/facts/set-aside").await?;
                show.list(&facts, LIST, "no fact is set aside")
            }
            Facts::Retry { id, reason } => decide("retry", "was tried again", id, reason).await,
            Facts::Drop { id, reason } => {
                decide("drop", "is dropped: it never has an effect", id, reason).await
            }
        }
    })
    .await
}
