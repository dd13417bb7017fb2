//! `link …`

use super::args::Link;
use super::client::Client;
use super::session::with_server;
use super::show::{Column, text};
use super::{Context, Failure};
use http::Method;
use serde_json::{Value, json};

const LIST: &[Column] = &[
    text("LINK", "/id"),
    text("LABEL", "/label"),
    text("ADDRESS", "/url"),
    text("LEADS TO", "/destination"),
    text("SWITCHED OFF", "/disabled_at"),
    text("WHY", "/disabled_reason"),
];

const ONE: &[Column] = &[
    text("id", "/id"),
    text("saved, applied when the store is back", "/accepted"),
    text("address", "/url"),
    text("leads to", "/destination"),
    text("label", "/label"),
    text("switched off", "/disabled_at"),
    text("because", "/disabled_reason"),
];

pub(super) async fn run(context: Context<'_>, command: Link) -> Result<(), Failure> {
    let show = context.show;
    with_server(&context, async |client: &Client| match command {
        Link::Create { affiliate, destination, label } => {
            let mut body = json!({});
            for (key, text) in [("destination", destination), ("label", label)] {
                if let Some(text) = text {
                    body[key] = Value::String(text);
                }
            }
            let path = format!("/v1/affiliates/{affiliate}/links");
            show.thing(&client.send(Method::POST, &path, &body).await?, ONE)
        }
        Link::List { affiliate } => {
            let links = client.list(&format!("/v1/affiliates/{affiliate}/links")).await?;
            show.list(&links, LIST, "no links")
        }
        Link::Disable { id, reason } => {
            let path = format!("/v1/links/{id}/disable");
            show.thing(&client.send(Method::POST, &path, &json!({"reason": reason})).await?, ONE)
        }
        Link::Enable { id } => {
            let path = format!("/v1/links/{id}/enable");
            show.thing(&client.send(Method::POST, &path, &json!({})).await?, ONE)
        }
    })
    .await
}
