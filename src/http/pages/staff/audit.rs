//! The audit log: who did what.

use super::words::{self, Words};
use super::{Staff, export_pages, show_list};
use crate::app::{Logged, fact_in_words};
use crate::domain::id::{AccountId, AffiliateId};
use crate::domain::mail::Undelivered;
use crate::http::pages::table::{Cell, Column, List, Pages, Query, ROWS, Row, Spec};
use crate::http::pages::{Fault, PageState};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;

const PATH: &str = "/admin/audit";
/// Entries that one page of a search looks through, and that are sorted.
const LOOKED_AT: usize = 5_000;
const AT_ONCE: usize = 500;

fn spec() -> Spec {
    Spec {
        columns: vec![
            Column::text("at", "When").sortable(),
            Column::text("by", "Who").sortable(),
            Column::text("what", "What").sortable(),
            Column::text("about", "About").sortable(),
            Column::text("reason", "Reason").sortable(),
        ],
        filters: Vec::new(),
        search: Some("Who, what, id, reason"),
        order: "-at",
    }
}

pub async fn list(
    State(state): State<PageState>,
    who: Staff,
    RawQuery(raw): RawQuery,
) -> Result<Response, Fault> {
    let spec = spec();
    let query = Query::read(raw.as_deref(), &spec)?;
    if query.is_sorted() {
        return sorted(&state, &who, spec, &query).await;
    }
    if query.csv {
        let asked = query.clone();
        let read = move |cursor: Option<String>| {
            let (state, asked) = (state.clone(), asked.clone());
            async move {
                let (entries, next) = read(&state, cursor).await?;
                Ok((
                    entries.into_iter().map(|(_, row)| row).filter(|row| is_asked(&asked, row)).collect(),
                    next,
                ))
            }
        };
        return export_pages(&who, "audit-log", &spec.columns, read).await;
    }
    let (mut rows, mut cursor, mut seen) = (Vec::new(), query.after.clone(), 0);
    let next = loop {
        let (entries, next) = read(&state, cursor).await?;
        seen += entries.len();
        let last = entries.last().map(|(at, _)| at.clone());
        let mut full = None;
        for (at, row) in entries {
            if is_asked(&query, &row) {
                rows.push(row);
            }
            if rows.len() == ROWS {
                full = Some(at);
                break;
            }
        }
        let is_last = next.is_none() && (full.is_none() || full == last);
        match (full, next) {
            _ if is_last => break None,
            (Some(at), _) => break Some(at),
            (None, next) if seen >= LOOKED_AT => break next,
            (None, next) => cursor = next,
        }
    };
    let list = List::new(PATH, "Audit log", EMPTY, spec, &query, (rows, Pages::from_store(next)));
    show_list(&state, &who, "audit", "Audit log", INTRO, &query, list)
}

const EMPTY: &str = "Nobody did anything yet.";
const INTRO: &str = "Who did what to affiliates, referrals, links, months and staff; newest first. Nothing in it can be changed.";

/// Some entries from a cursor on, newest first, each with its own; and where the next ones start.
async fn read(
    state: &PageState,
    cursor: Option<String>,
) -> Result<(Vec<(String, Row)>, Option<String>), Fault> {
    let page = state.app.audit(cursor.as_deref(), AT_ONCE).await.map_err(super::not_found_if_foreign)?;
    let entries = page.data.iter().map(|entry| (entry.cursor.clone(), row(state, entry)));
    Ok((entries.collect(), page.next_cursor))
}

fn is_asked(query: &Query, row: &Row) -> bool {
    query.matches(&row.cells.iter().map(|cell| cell.text.as_str()).collect::<Vec<_>>())
}

/// The log in another order: of a bounded number of its newest entries.
async fn sorted(state: &PageState, who: &Staff, spec: Spec, query: &Query) -> Result<Response, Fault> {
    let (mut all, mut cursor) = (Vec::new(), None);
    let more = loop {
        let (entries, next) = read(state, cursor).await?;
        all.extend(entries.into_iter().map(|(_, row)| row));
        if next.is_none() || all.len() >= LOOKED_AT {
            break next.is_some();
        }
        cursor = next;
    };
    // Oldest first: entries of the same words stay in the order in which they were made.
    all.reverse();
    all.retain(|row| is_asked(query, row));
    let place = |key: &str| spec.columns.iter().position(|column| column.key == key);
    query.arrange(&mut all, |key, one, other| match place(key) {
        Some(place) if key != "at" => {
            let said = |row: &Row| row.cells.get(place).map(|cell| cell.text.to_lowercase());
            said(one).cmp(&said(other))
        }
        _ => std::cmp::Ordering::Equal,
    });
    let (rows, mut pages) = query.cut(all);
    pages.more = more;
    let intro = if more {
        format!("{INTRO} Here the newest {LOOKED_AT} entries are sorted; in its own order the log goes on.")
    } else {
        INTRO.to_owned()
    };
    let list = List::new(PATH, "Audit log", EMPTY, spec, query, (rows, pages));
    show_list(state, who, "audit", "Audit log", &intro, query, list)
}

fn row(state: &PageState, entry: &Logged) -> Row {
    let (words, body) = (Words::of(state), &entry.body);
    let text = |key: &str| body[key].as_str().unwrap_or_default();
    let at = text("at").parse().ok();
    vec![
        words.when_any(at),
        Cell::text(state.app.name_of(text("by"))).export(text("by")),
        Cell::text(fact_in_words(text("fact"), body)),
        about(state, body),
        Cell::text(if body["lost"].is_null() { text("reason") } else { why_lost(body) }),
    ]
    .into()
}

/// Why a mail never reached anybody.
fn why_lost(body: &Value) -> &'static str {
    Undelivered::deserialize(&body["lost"]["why"]).map_or("", Undelivered::sentence)
}

/// What a fact is about, with a link there.
fn about(state: &PageState, body: &Value) -> Cell {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    if let Some(account) = text(&body["account_id"]).and_then(|id| id.parse::<AccountId>().ok()) {
        return Cell::link(account.as_str(), super::accounts::path(&account)).mono();
    }
    let places = [
        &body["affiliate_id"],
        &body["affiliate"]["id"],
        &body["link"]["affiliate"],
        &body["lost"]["person"],
    ];
    if let Some(id) = places.into_iter().find_map(text).filter(|id| id.parse::<AffiliateId>().is_ok()) {
        let name = id.parse().ok().and_then(|id| {
            state.app.directory().affiliate(id).map(|affiliate| affiliate.profile.name.clone())
        });
        let shown = name.unwrap_or_else(|| id.clone());
        return Cell::link(shown, format!("/admin/affiliates/{id}")).export(id);
    }
    if let Some(month) = text(&body["month"]) {
        return Cell::link(&month, format!("/admin/months/{month}"));
    }
    let known = |id: String| state.app.name_of(&id);
    let member = [&body["staff_id"], &body["lost"]["person"]];
    let member = text(&body["member"]["name"]).or_else(|| member.into_iter().find_map(text).map(known));
    member.map_or_else(words::none, Cell::text)
}
