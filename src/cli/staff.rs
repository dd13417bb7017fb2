//! `staff …`

use super::args::Staff;
use super::client::Client;
use super::session::with_server;
use super::show::{Column, Show, line, text};
use super::{Context, Failure};
use http::Method;
use serde_json::{Value, json};
use std::io::IsTerminal;

const LIST: &[Column] = &[
    text("MEMBER", "/id"),
    text("NAME", "/name"),
    text("E-MAIL", "/email"),
    text("ROLE", "/role"),
    text("SINCE", "/created_at"),
    text("DISABLED", "/disabled_at"),
];

const ONE: &[Column] = &[
    text("id", "/id"),
    text("saved, applied when the store is back", "/accepted"),
    text("name", "/name"),
    text("e-mail", "/email"),
    text("role", "/role"),
    text("since", "/created_at"),
    text("disabled", "/disabled_at"),
];

pub(super) async fn run(context: Context<'_>, command: Staff) -> Result<(), Failure> {
    let show = context.show;
    with_server(&context, async |client: &Client| match command {
        Staff::Create { name, email, role } => {
            let body = json!({ "name": name, "email": email, "role": role });
            print_link(show, &client.send(Method::POST, "/v1/staff", &body).await?)
        }
        Staff::List => show.list(&client.list("/v1/staff").await?, LIST, "no members of staff"),
        Staff::Invite { id } => {
            let path = format!("/v1/staff/{id}/invite");
            print_link(show, &client.send(Method::POST, &path, &json!({})).await?)
        }
        Staff::Disable { id } => {
            let path = format!("/v1/staff/{id}/disable");
            show.thing(&client.send(Method::POST, &path, &json!({})).await?, ONE)
        }
        Staff::Enable { id } => {
            let path = format!("/v1/staff/{id}/enable");
            show.thing(&client.send(Method::POST, &path, &json!({})).await?, ONE)
        }
        Staff::Role { id, role } => {
            let path = format!("/v1/staff/{id}");
            show.thing(&client.send(Method::PATCH, &path, &json!({ "role": role })).await?, ONE)
        }
    })
    .await
}

/// A member with its one-time link. Anyone who reads the link can set the password, so it is shown only to a
/// person at a terminal, or to a program that asks for JSON, and does not end up in a log by mistake.
fn print_link(show: Show, member: &Value) -> Result<(), Failure> {
    show.thing(member, ONE)?;
    let Some(url) = member["one_time_url"].as_str().filter(|_| !show.is_json()) else { return Ok(()) };
    if std::io::stdout().is_terminal() {
        line("")?;
        line("Open this link within a day to set the password; it works once:")?;
        line(url)
    } else {
        line("the one-time link is shown on a terminal, or with --json; `staff invite` makes another")
    }
}
