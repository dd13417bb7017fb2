//! A batch: what it pays and carries, and what can be done about it.

use super::words::{batch_state, item_state, method, to_look_at};
use super::{PATH, SECTION, asked, calls, item_path, path, report, whole};
use crate::app::{Directory, Page};
use crate::domain::id::AffiliateId;
use crate::domain::payout::{Batch, BatchStatus, Item, ItemStatus, Method, Notice, PayoutId};
use crate::domain::person::Permission;
use crate::http::pages::payout::paid_for;
use crate::http::pages::staff::accounts::name_of;
use crate::http::pages::staff::words::{self, Words};
use crate::http::pages::staff::{Staff, Visit, csv_of_pages, export, for_role, not_found_if_foreign};
use crate::http::pages::table::{self, Cell, Head, List, Pages, ROWS};
use crate::http::pages::view::{month_in_words, show_day};
use crate::http::pages::{Form, PageError, PageState};
use axum::response::Response;
use serde_json::{Value, json};

/// Payments that an export reads at once.
const AT_ONCE: usize = 200;
/// Letters of a hash that are shown.
const SHORT: usize = 12;

/// A payment of a batch, with what stands out about it.
#[derive(Debug, Clone)]
pub struct Payment {
    pub affiliate: AffiliateId,
    pub item: Item,
    pub notices: Vec<Notice>,
}

/// Payments of a batch as a list at a path.
pub fn payments<'a>(state: &'a PageState, directory: &'a Directory, at: String) -> List<'a, Payment> {
    type Column<'a> = table::Column<'a, Payment>;
    let words = Words::of(state);
    let columns = vec![
        Column::text("affiliate", "Affiliate", |one| {
            let name = name_of(directory, Some(one.affiliate));
            Cell::link(name, item_path(one.item.id(one.affiliate))).export(one.affiliate.to_string())
        }),
        Column::text("receiver", "To", |one| Cell::text(&one.item.receiver)),
        Column::text("pays", "For", |one| Cell::text(paid_for(&one.item.parts))),
        Column::number("amount", "Amount", move |one| words.amount(one.item.amount)),
        Column::text("state", "State", |one| {
            let (word, tone, _) = item_state(one.item.status);
            let cell = Cell::mark(word, tone).export(one.item.status.code());
            let note = note(one);
            if note.is_empty() { cell } else { cell.note(note) }
        }),
        Column::text("error", "PayPal’s error", |one| {
            one.item.provider.error.as_ref().map_or_else(words::none, Cell::text)
        }),
        Column::text("transaction", "Transaction", |one| {
            one.item.provider.transaction_id.as_ref().map_or_else(words::none, Cell::id)
        }),
    ];
    List::new(at, "Payments", "It has no payment.", columns)
}

/// What is to be known about a payment beside its state.
fn note(one: &Payment) -> String {
    let paid = one.item.paid_on.map(|on| format!("on {}", show_day(on)));
    let notices = one.notices.iter().map(|notice| notice.sentence().to_owned());
    let all: Vec<String> = paid.into_iter().chain(to_look_at(&one.item)).chain(notices).collect();
    all.join(" ")
}

/// A page of a batch's payments.
pub async fn read(
    state: &PageState,
    id: PayoutId,
    status: Option<ItemStatus>,
    cursor: Option<&str>,
    most: usize,
) -> Result<Page<Payment>, PageError> {
    let page = state.app.payout_items(id, status, cursor, most).await.map_err(not_found_if_foreign)?;
    // What stands out matters until it is sent.
    let ready: Vec<_> =
        page.data.iter().filter(|(_, item)| item.status == ItemStatus::Ready).cloned().collect();
    let mut notices = state.app.payout_notices(&ready).await?.into_iter();
    let data = page.data.into_iter().map(|(affiliate, item)| {
        let is_ready = item.status == ItemStatus::Ready;
        let notices = if is_ready { notices.next().unwrap_or_default() } else { Vec::new() };
        Payment { affiliate, item, notices }
    });
    Ok(Page { data: data.collect(), next_cursor: page.next_cursor })
}

pub async fn page(visit: Visit<Staff, PayoutId>) -> Result<Response, PageError> {
    show(&visit, &Form::default()).await
}

pub async fn find(state: &PageState, id: PayoutId) -> Result<Batch, PageError> {
    state.app.payout(id).await?.ok_or(PageError::NotFound)
}

pub async fn show(visit: &Visit<Staff, PayoutId>, form: &Form) -> Result<Response, PageError> {
    let batch = find(visit, visit.at).await?;
    let directory = visit.app.directory();
    let states = ItemStatus::ALL.map(|status| (status.code(), item_state(status).0));
    let list = payments(visit, &directory, path(batch.id)).filter("status", "State", states, |_, _| true);
    let query = list.read(asked(visit.raw.as_deref()))?;
    let status: Option<ItemStatus> = query.filter("status").parse().ok();
    if query.csv {
        return export_all(visit, &list.heads(), status).await;
    }
    let found = read(visit, batch.id, status, query.after.as_deref(), ROWS).await?;
    let list = list.page(&found.data, &Pages::from_store(found.next_cursor), &query);
    let mut content = told(visit, &batch);
    content["notices"] = whole::counted(visit, &batch).await?;
    content["export"] = parts(visit, &batch).await?;
    content["calls"] = calls::told(visit, &batch);
    content["list"] = json!(for_role(&visit.who, list));
    content["form"] = json!(form);
    Ok(visit.page_with(form.status, "staff/payout.html", SECTION, content))
}

/// All payments of a batch, as CSV.
async fn export_all(
    visit: &Visit<Staff, PayoutId>,
    heads: &[Head],
    status: Option<ItemStatus>,
) -> Result<Response, PageError> {
    visit.who.need(Permission::Export)?;
    let (state, id) = (visit.state.clone(), visit.at);
    let page = move |cursor: Option<String>| {
        let state = state.clone();
        async move {
            let found = read(&state, id, status, cursor.as_deref(), AT_ONCE).await?;
            let directory = state.app.directory();
            let list = payments(&state, &directory, path(id));
            Ok((found.data.iter().map(|one| list.row(one)).collect(), found.next_cursor))
        }
    };
    visit.who.need(Permission::Export)?;
    export(&visit.who, &format!("payments-{id}"), csv_of_pages(heads, page).await?)
}

/// The batch in words.
fn told(visit: &Visit<Staff, PayoutId>, batch: &Batch) -> Value {
    let words = Words::of(visit);
    let (word, tone, sentence) = batch_state(batch.status);
    let counts = batch.counts.iter().map(|(status, count)| {
        let (word, tone, _) = item_state(*status);
        json!({"word": word, "tone": tone, "count": count, "path": format!("{}?status={status}", path(batch.id))})
    });
    let approved = batch.approved.as_ref().map(
        |one| json!({"by": visit.app.name_of(&one.by), "at": words.at(one.at), "method": method(one.method)}),
    );
    let config = &visit.app.config().payouts;
    let made_it = config.two_persons && batch.by == visit.actor().name();
    json!({
        "id": batch.id, "path": path(batch.id), "all": PATH, "month": batch.id.month, "name": month_in_words(batch.id.month),
        "state": word, "tone": tone, "sentence": sentence, "status": batch.status,
        "total": words.money(batch.total), "items": batch.items(), "counts": counts.collect::<Vec<_>>(),
        "carried": batch.carried, "hash": batch.hash, "short": batch.hash.get(..SHORT).unwrap_or(&batch.hash),
        "by": visit.app.name_of(&batch.by), "at": words.at(batch.created_at), "approved": approved,
        "discarded": batch.discarded, "method": method(config.method), "needs_another": made_it,
        "may_discard": matches!(batch.status, BatchStatus::Draft | BatchStatus::Approved) && !batch.was_submitted(),
        "may_pay": matches!(batch.status, BatchStatus::Approved | BatchStatus::Submitted)
            && batch.counts.contains_key(&ItemStatus::Ready),
        "is_reported": report::is_reported(batch),
    })
}

/// The parts of the file that can be exported, and how often each was; nothing while none can.
async fn parts(state: &PageState, batch: &Batch) -> Result<Value, PageError> {
    let is_open = matches!(batch.status, BatchStatus::Approved | BatchStatus::Submitted);
    if !is_open || !batch.method().is_some_and(Method::is_by_file) {
        return Ok(Value::Null);
    }
    let count = state.app.parts_of(batch.id).await?;
    let parts = (1..=count).map(|part| {
        let times = batch.exports.get(&part).copied().unwrap_or(0);
        let said = match times {
            0 => "not exported yet".to_owned(),
            1 => "exported before".to_owned(),
            some => format!("exported {some} times before"),
        };
        (part.to_string(), format!("Part {part} of {count}: {said}"))
    });
    // The first one that was not exported is to be next.
    let next = (1..=count).find(|part| !batch.exports.contains_key(part)).unwrap_or(1).to_string();
    Ok(json!({"options": parts.collect::<Vec<_>>(), "next": next, "any": !batch.exports.is_empty()}))
}
