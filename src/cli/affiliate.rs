//! `affiliate …`

use super::args::{Affiliate, MoreProfile, NewProfile};
use super::client::Client;
use super::session::with_server;
use super::show::{Column, Show, line, number, table, text};
use super::{Context, Failure};
use crate::clock::Clock;
use crate::domain::id::{AffiliateId, LineKey};
use crate::domain::money::Money;
use http::Method;
use serde_json::{Map, Value, json};

pub(super) async fn run(context: Context<'_>, command: Affiliate) -> Result<(), Failure> {
    let show = context.show;
    with_server(&context, async |client: &Client| match command {
        Affiliate::Apply(profile) => print(show, &create(client, profile, Map::new()).await?),
        Affiliate::BringOver { profile, agreement_accepted_at } => {
            let mut more = Map::new();
            more.insert("active".into(), json!(true));
            let accepted_at = agreement_accepted_at.unwrap_or_else(|| Clock::system().now().fixed_offset());
            more.insert("agreement_accepted_at".into(), json!(accepted_at.to_rfc3339()));
            print(show, &create(client, profile, more).await?)
        }
        Affiliate::List { status } => {
            let path = status.map_or("/v1/affiliates".into(), |status| {
                format!("/v1/affiliates?status={}", super::client::encode(&status))
            });
            show.list(&client.list(&path).await?, LIST, "no affiliates")
        }
        Affiliate::Show { id } => print(show, &client.get(&format!("/v1/affiliates/{id}")).await?),
        Affiliate::Approve(step) => print(show, &take(client, step.id, "approve", step.reason).await?),
        Affiliate::Invite { id } => {
            let path = format!("/v1/affiliates/{id}/activation");
            let answer = client.send(Method::POST, &path, &json!({})).await?;
            show.result(&answer, || line("the mail with the link is on its way"))
        }
        Affiliate::Reinstate(step) => print(show, &take(client, step.id, "reinstate", step.reason).await?),
        Affiliate::Reject(step) => print(show, &take(client, step.id, "reject", Some(step.reason)).await?),
        Affiliate::Suspend(step) => print(show, &take(client, step.id, "suspend", Some(step.reason)).await?),
        Affiliate::Close(step) => print(show, &take(client, step.id, "close", Some(step.reason)).await?),
        Affiliate::Adjust { id, amount: Some(amount), reason, key, .. } => {
            let key = key.unwrap_or_else(LineKey::random);
            let body = json!({"amount": Money::from(amount), "reason": reason, "key": key});
            show.thing(&client.send(Method::POST, &lines_of(id), &body).await?, LINE)
        }
        Affiliate::Adjust { id, key: Some(key), remove: true, .. } => {
            let path = format!("{}/{key}", lines_of(id));
            show.thing(&client.send(Method::DELETE, &path, &Value::Null).await?, LINE)
        }
        Affiliate::Adjust { key: Some(_), .. } => {
            Err(Failure::Usage("nothing to do with the key; add --amount and --reason, or --remove".into()))
        }
        Affiliate::Adjust { id, .. } => {
            show.list(&client.short_list(&lines_of(id)).await?, LINES, "no open lines by hand")
        }
        Affiliate::Set { id, name, email, more, exempt_from_holds } => {
            let mut change = fields(more, |text| if text.is_empty() { Value::Null } else { json!(text) });
            let own = [("name", name), ("email", email)];
            change.extend(own.into_iter().filter_map(|(key, text)| Some((key.to_owned(), json!(text?)))));
            if let Some(exempt) = exempt_from_holds {
                change.insert("exempt_from_holds".into(), json!(exempt));
            }
            if change.is_empty() {
                return Err(Failure::Usage("nothing to set; name a field, see --help".into()));
            }
            print(show, &client.send(Method::PATCH, &format!("/v1/affiliates/{id}"), &change.into()).await?)
        }
    })
    .await
}

const LIST: &[Column] = &[
    text("AFFILIATE", "/id"),
    text("STATUS", "/status"),
    text("NAME", "/name"),
    text("COMPANY", "/company"),
    text("CODE", "/code"),
    text("SINCE", "/history/0/at"),
];

const LINES: &[Column] = &[
    text("KEY", "/key"),
    text("ADDED", "/at"),
    text("BY", "/by"),
    text("REASON", "/reason"),
    number("AMOUNT", "/amount"),
];

const LINE: &[Column] = &[
    text("saved, done when the store is back", "/accepted"),
    text("affiliate", "/affiliate_id"),
    text("key", "/key"),
    number("amount", "/amount"),
    text("currency", "/currency"),
    text("reason", "/reason"),
    text("by", "/by"),
    text("status", "/status"),
    text("in the closed statement for", "/month"),
];

fn lines_of(id: AffiliateId) -> String {
    format!("/v1/affiliates/{id}/adjustments")
}

const ONE: &[Column] = &[
    text("id", "/id"),
    text("status", "/status"),
    text("saved, applied when the store is back", "/accepted"),
    text("name", "/name"),
    text("e-mail", "/email"),
    text("company", "/company"),
    text("web site", "/website"),
    text("promotion", "/promotion"),
    text("partner type", "/partner_type"),
    text("PayPal e-mail", "/paypal_email"),
    text("code", "/code"),
    text("link", "/default_link/url"),
    text("exempt from holds", "/exempt_from_holds"),
    number("links", "/counts/links"),
    number("referrals", "/counts/referrals"),
];

const HISTORY: &[Column] = &[text("WHEN", "/at"), text("STATUS", "/status"), text("REASON", "/reason")];

fn print(show: Show, affiliate: &Value) -> Result<(), Failure> {
    show.thing(affiliate, ONE)?;
    match affiliate["history"].as_array() {
        Some(history) if !show.is_json() => table(history, HISTORY),
        _ => Ok(()),
    }
}

async fn create(client: &Client, profile: NewProfile, more: Map<String, Value>) -> Result<Value, Failure> {
    let mut body = fields(profile.more, Value::String);
    body.insert("name".into(), json!(profile.name));
    body.insert("email".into(), json!(profile.email));
    body.extend(more);
    client.send(Method::POST, "/v1/affiliates", &body.into()).await
}

async fn take(
    client: &Client,
    id: AffiliateId,
    step: &str,
    reason: Option<String>,
) -> Result<Value, Failure> {
    let body = reason.map_or(json!({}), |reason| json!({ "reason": reason }));
    client.send(Method::POST, &format!("/v1/affiliates/{id}/{step}"), &body).await
}

/// The fields that were given.
fn fields(more: MoreProfile, value: impl Fn(String) -> Value) -> Map<String, Value> {
    let MoreProfile { company, website, promotion, partner_type, paypal_email, code } = more;
    [
        ("company", company),
        ("website", website),
        ("promotion", promotion),
        ("partner_type", partner_type),
        ("paypal_email", paypal_email),
        ("code", code.map(|code| code.to_string())),
    ]
    .into_iter()
    .filter_map(|(key, text)| Some((key.to_owned(), value(text?))))
    .collect()
}
