//! The audit log: who did what.

use super::words::{self, Words};
use super::{Staff, Visit, csv_of_pages, show_list};
use crate::app::{Logged, fact_in_words};
use crate::domain::id::{AccountId, AffiliateId};
use crate::domain::mail::Undelivered;
use crate::domain::person::Permission;
use crate::http::pages::table::{self, Cell, List, Pages, Query, ROWS};
use crate::http::pages::{CSV, PageError, PageState, download};
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;

const PATH: &str = "/admin/audit";
/// Entries that one page of a search looks through, and that are sorted.
const LOOKED_AT: usize = 5_000;
const AT_ONCE: usize = 500;

fn audit_log(state: &PageState) -> List<'_, Logged> {
    type Column<'a> = table::Column<'a, Logged>;
    let words = Words::of(state);
    let who =
        move |entry: &Logged| Cell::text(state.app.name_of(text(entry, "by"))).export(text(entry, "by"));
    let what = move |entry: &Logged| Cell::text(fact_in_words(text(entry, "fact"), &entry.body));
    let on = move |entry: &Logged| about(state, &entry.body);
    let columns = vec![
        // In the order of the log, which is that of the rows.
        Column::text("at", "When", move |entry| words.when_any(text(entry, "at").parse().ok()))
            .sort_first_down_by(|_| ()),
        Column::text("by", "Who", who).sort_by(move |entry| who(entry).text.to_lowercase()),
        Column::text("what", "What", what).sort_by(move |entry| what(entry).text.to_lowercase()),
        Column::text("about", "About", on).sort_by(move |entry| on(entry).text.to_lowercase()),
        Column::text("reason", "Reason", |entry| Cell::text(reason(entry)))
            .sort_by(|entry| reason(entry).to_lowercase()),
    ];
    List::new(PATH, "Audit log", "Nobody did anything yet.", columns).search_all("Who, what, id, reason")
}

pub async fn list(visit: Visit<Staff>) -> Result<Response, PageError> {
    let list = audit_log(&visit);
    let query = list.read(visit.raw.as_deref())?;
    if query.is_sorted() {
        return sorted(&visit, &query).await;
    }
    if query.csv {
        return export_all(&visit, &query).await;
    }
    let (mut entries, mut cursor, mut seen) = (Vec::new(), query.after.clone(), 0);
    let next = loop {
        let (found, next) = read(&visit, cursor).await?;
        seen += found.len();
        let last = found.last().map(|entry| entry.cursor.clone());
        entries.extend(
            found.into_iter().filter(|entry| list.is_asked(entry, &query)).take(ROWS - entries.len()),
        );
        let full = entries.get(ROWS - 1).map(|entry| entry.cursor.clone());
        let is_last = next.is_none() && (full.is_none() || full == last);
        match (full, next) {
            _ if is_last => break None,
            (Some(at), _) => break Some(at),
            (None, next) if seen >= LOOKED_AT => break next,
            (None, next) => cursor = next,
        }
    };
    let list = list.page(&entries, &Pages::from_store(next), &query);
    show_list(&visit, "audit", "Audit log", INTRO, &query, list)
}

/// The whole log in its own order, as CSV.
async fn export_all(visit: &Visit<Staff>, query: &Query) -> Result<Response, PageError> {
    visit.who.need(Permission::Export)?;
    let heads = audit_log(visit).heads();
    let (state, asked) = (visit.state.clone(), query.clone());
    let page = move |cursor: Option<String>| {
        let (state, asked) = (state.clone(), asked.clone());
        async move {
            let (entries, next) = read(&state, cursor).await?;
            let list = audit_log(&state);
            let entries = entries.iter().filter(|entry| list.is_asked(entry, &asked));
            Ok((entries.map(|entry| list.row(entry)).collect(), next))
        }
    };
    Ok(download(CSV, "audit-log.csv", csv_of_pages(&heads, page).await?))
}

const INTRO: &str = "Who did what to affiliates, referrals, links, months and staff; newest first. Nothing in it can be changed.";

/// Some entries from a cursor on, newest first; and where the next ones start.
async fn read(state: &PageState, cursor: Option<String>) -> Result<(Vec<Logged>, Option<String>), PageError> {
    let page = state.app.audit(cursor.as_deref(), AT_ONCE).await.map_err(super::not_found_if_foreign)?;
    Ok((page.data, page.next_cursor))
}

/// The log in another order: of a bounded number of its newest entries.
async fn sorted(visit: &Visit<Staff>, query: &Query) -> Result<Response, PageError> {
    let (mut all, mut cursor) = (Vec::new(), None);
    let more = loop {
        let (entries, next) = read(visit, cursor).await?;
        all.extend(entries);
        if next.is_none() || all.len() >= LOOKED_AT {
            break next.is_some();
        }
        cursor = next;
    };
    // Oldest first: entries of the same words stay in the order in which they were made.
    all.reverse();
    let mut list = audit_log(visit).show(all, query);
    list.more = more;
    let intro = if more {
        format!("{INTRO} Here the newest {LOOKED_AT} entries are sorted; in its own order the log goes on.")
    } else {
        INTRO.to_owned()
    };
    show_list(visit, "audit", "Audit log", &intro, query, list)
}

fn text<'a>(entry: &'a Logged, key: &str) -> &'a str {
    entry.body[key].as_str().unwrap_or_default()
}

/// The reason that was given, or why a mail was lost.
fn reason(entry: &Logged) -> &str {
    if entry.body["lost"].is_null() { text(entry, "reason") } else { why_lost(&entry.body) }
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
        let name = super::accounts::name_of(&state.app.directory(), id.parse().ok());
        return Cell::link(name, format!("/admin/affiliates/{id}")).export(id);
    }
    if let Some(month) = text(&body["month"]) {
        return Cell::link(&month, format!("/admin/months/{month}"));
    }
    let known = |id: String| state.app.name_of(&id);
    let member = [&body["staff_id"], &body["lost"]["person"]];
    let member = text(&body["member"]["name"]).or_else(|| member.into_iter().find_map(text).map(known));
    member.map_or_else(words::none, Cell::text)
}
