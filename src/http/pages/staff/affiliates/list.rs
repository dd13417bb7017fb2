//! The list of affiliates.

use super::PATH;
use crate::domain::affiliate::Affiliate;
use crate::http::pages::staff::words::{self, Words};
use crate::http::pages::staff::{Staff, show_list};
use crate::http::pages::table::{Cell, Column, Filter, List, Query, Row, Spec};
use crate::http::pages::{Fault, PageState};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use std::sync::Arc;

fn spec() -> Spec {
    let statuses = [
        ("", "All"),
        ("applied", "Applied"),
        ("approved", "Approved"),
        ("activated", "Activated"),
        ("active", "Active"),
        ("suspended", "Suspended"),
        ("rejected", "Rejected"),
        ("closed", "Closed"),
    ];
    Spec {
        columns: vec![
            Column::text("name", "Affiliate").sortable(),
            Column::text("status", "Status").sortable(),
            Column::text("company", "Company").sortable(),
            Column::text("code", "Code").sortable(),
            Column::text("paypal", "PayPal"),
            Column::number("links", "Links").sortable(),
            Column::text("applied", "Applied").sortable(),
        ],
        filters: vec![Filter::of("status", "Status", &statuses)],
        search: Some("Name, e-mail, code or id"),
        order: "name",
    }
}

pub async fn list(
    State(state): State<PageState>,
    who: Staff,
    RawQuery(raw): RawQuery,
) -> Result<Response, Fault> {
    let (spec, words, directory) = (spec(), Words::of(&state), state.app.directory());
    let query = Query::read(raw.as_deref(), &spec)?;
    let mut found = directory.affiliates();
    found.retain(|one| {
        let profile = &one.profile;
        query.filter("status").is_none_or(|code| one.status().code() == code)
            && (query.search.is_empty()
                || query.matches(&[
                    &profile.name,
                    &profile.email,
                    profile.company.as_deref().unwrap_or_default(),
                    profile.paypal_email.as_deref().unwrap_or_default(),
                    &one.code.to_string(),
                    &one.id.to_string(),
                ]))
    });
    let links = |one: &Arc<Affiliate>| directory.links_of(one.id).len();
    query.arrange(&mut found, |key, one, other| match key {
        "status" => one.status().code().cmp(other.status().code()),
        "company" => one.profile.company.cmp(&other.profile.company),
        "code" => one.code.cmp(&other.code),
        "links" => links(one).cmp(&links(other)),
        "applied" => words::applied_at(one).cmp(&words::applied_at(other)),
        _ => one.profile.name.to_lowercase().cmp(&other.profile.name.to_lowercase()),
    });
    let (found, pages) = query.cut(found);
    let row = |one: &Arc<Affiliate>| {
        let (stands, tone) = words::status(one.status());
        let profile = &one.profile;
        let text = |text: &Option<String>| text.as_ref().map_or_else(words::none, Cell::text);
        Row::from(vec![
            Cell::link(&profile.name, format!("{PATH}/{}", one.id)).note(&profile.email),
            Cell::mark(stands, tone),
            text(&profile.company),
            Cell::id(one.code.to_string()),
            text(&profile.paypal_email),
            Cell::text(links(one).to_string()),
            words.when(words::applied_at(one)),
        ])
    };
    let rows = found.iter().map(row).collect();
    let empty = "No affiliate yet. Applications come from the page /apply; affiliates of another system are brought over by “counterfoil affiliate bring-over”.";
    let list = List::new(PATH, "Affiliates", empty, spec, &query, (rows, pages));
    show_list(&state, &who, "affiliates", "Affiliates", "", &query, list)
}
