//! Lists of a whole batch: what it carries, and payments to be looked at twice before it is approved.

use super::batch::{Payment, find, payments, read};
use super::{SECTION, path};
use crate::app::Directory;
use crate::domain::payout::{Batch, BatchStatus, CarriedSum, ItemStatus, Notice, PayoutId};
use crate::http::pages::staff::accounts::name_of;
use crate::http::pages::staff::words::Words;
use crate::http::pages::staff::{Staff, Visit, export, for_role};
use crate::http::pages::table::{self, Cell, List, Listing, Query};
use crate::http::pages::view::month_in_words;
use crate::http::pages::{PageError, PageState};
use axum::response::Response;
use serde_json::{Value, json};

/// Payments read at once.
const AT_ONCE: usize = 200;
/// The page of a batch counts what stands out among at most so many payments.
const COUNTED: u32 = 2_000;

fn carried_by<'a>(state: &'a PageState, directory: &'a Directory, batch: &Batch) -> List<'a, CarriedSum> {
    type Column<'a> = table::Column<'a, CarriedSum>;
    let words = Words::of(state);
    let name = |one: &CarriedSum| name_of(directory, Some(one.affiliate_id));
    let columns = vec![
        Column::text("affiliate", "Affiliate", move |one| {
            let id = one.affiliate_id;
            Cell::link(name(one), format!("/admin/affiliates/{id}")).export(id.to_string())
        })
        .sort_by(move |one| name(one).to_lowercase()),
        Column::number("amount", "Amount", move |one| words.amount(one.amount))
            .sort_first_down_by(|one| one.amount),
        Column::text("reasons", "Why", |one| {
            let codes: Vec<&str> = one.reasons.iter().map(|why| why.code()).collect();
            let said: Vec<&str> = one.reasons.iter().map(|why| why.sentence()).collect();
            Cell::text(said.join(" ")).export(codes.join(" "))
        }),
    ];
    let caption = format!("Carried by {}", batch.id);
    List::new(format!("{}/carried", path(batch.id)), caption, "It carries nothing.", columns)
        .search_all("Affiliate or reason")
}

/// What a batch leaves to a later one.
pub async fn carried(visit: Visit<Staff, PayoutId>) -> Result<Response, PageError> {
    let batch = find(&visit, visit.at).await?;
    let directory = visit.app.directory();
    let list = carried_by(&visit, &directory, &batch);
    let query = list.read(visit.raw.as_deref())?;
    let list = list.show(visit.app.payout_carried(&batch).await?, &query);
    let intro = "What is owed to these affiliates was left to a later payout. The reasons are those of the day on which the payout was made.";
    listed(&visit, &batch, "Carried", intro, &query, list)
}

/// Payments about which something stands out.
pub async fn look_twice(visit: Visit<Staff, PayoutId>) -> Result<Response, PageError> {
    let batch = find(&visit, visit.at).await?;
    let directory = visit.app.directory();
    let list = payments(&visit, &directory, format!("{}/look-twice", path(batch.id)));
    let query = list.read(visit.raw.as_deref())?;
    let mut all = all_that_stand_out(&visit, batch.id).await?;
    all.sort_by_key(|one| std::cmp::Reverse(one.item.amount));
    let list = list.show(all, &query);
    let intro = "Payments that differ from what was paid to the affiliate before, the largest first.";
    listed(&visit, &batch, "Look twice", intro, &query, list)
}

fn listed(
    visit: &Visit<Staff, PayoutId>,
    batch: &Batch,
    title: &str,
    intro: &str,
    query: &Query,
    list: Listing,
) -> Result<Response, PageError> {
    if query.csv {
        return export(
            &visit.who,
            &format!("{}-{}", title.to_lowercase().replace(' ', "-"), batch.id),
            list.to_csv(),
        );
    }
    let content = json!({"title": title, "intro": intro, "path": path(batch.id),
        "name": format!("Payout for {}", month_in_words(batch.id.month)), "list": for_role(&visit.who, list)});
    Ok(visit.page("staff/payout_list.html", SECTION, content))
}

async fn all_that_stand_out(state: &PageState, id: PayoutId) -> Result<Vec<Payment>, PageError> {
    let (mut all, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let page = read(state, id, Some(ItemStatus::Ready), cursor.as_deref(), AT_ONCE).await?;
        all.extend(page.data.into_iter().filter(|one| !one.notices.is_empty()));
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(all);
        }
    }
}

/// What stands out in a batch that waits for approval, counted unless it is a large one.
pub async fn counted(state: &PageState, batch: &Batch) -> Result<Value, PageError> {
    if batch.status != BatchStatus::Draft {
        return Ok(Value::Null);
    }
    let path = format!("{}/look-twice", path(batch.id));
    if batch.items() > COUNTED {
        return Ok(json!({"path": path, "count": Value::Null, "kinds": []}));
    }
    let all = all_that_stand_out(state, batch.id).await?;
    let kinds = Notice::ALL.into_iter().filter_map(|notice| {
        let count = all.iter().filter(|one| one.notices.contains(&notice)).count();
        (count > 0).then(|| json!({"count": count, "sentence": notice.sentence()}))
    });
    Ok(json!({"path": path, "count": all.len(), "kinds": kinds.collect::<Vec<_>>()}))
}
