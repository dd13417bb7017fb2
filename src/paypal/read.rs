//! What PayPal says of a batch and its items.

use super::CallError;
use super::create::{Problem, shown};
use super::item::{Ids, Reported, ReportedBatch, ReportedItem};
use super::plain;
use super::wire::Answer;
use http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::{HashMap, HashSet};

/// The most items of a page: PayPal gives no more.
pub(super) const PAGE_ITEMS: u32 = 1_000;
/// The most bytes of a page.
pub(super) const PAGE_BYTES: usize = 8 * 1024 * 1024;
/// A batch has 15 pages at most; more are not read in one go.
const MOST_PAGES: u32 = 40;
/// How often a batch is read from the first page on, if its pages do not fit together.
const ROUNDS: usize = 2;

/// Why PayPal could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadFailure {
    /// PayPal knows no such id. That is no proof that nothing was paid: it may not know it yet.
    #[error("find it at PayPal")]
    NotFound,
    /// PayPal wants fewer calls.
    #[error("ask PayPal, which wants fewer calls")]
    Throttled,
    /// We may not ask at all.
    #[error("ask PayPal, which refuses us: {name}")]
    Restricted {
        /// PayPal's stable name of the reason.
        name: String,
    },
    /// There was no answer, or one that says to try later.
    #[error("ask PayPal: {0}")]
    Unavailable(String),
    /// The answer is not what was asked for.
    #[error("read PayPal's answer: {0}")]
    Unreadable(&'static str),
}

/// A page of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchPage {
    /// How far the batch is, which proves nothing about an item.
    pub status: ReportedBatch,
    /// Our id of it, if PayPal repeats it.
    pub sender_batch_id: Option<String>,
    /// The page's items.
    pub items: Vec<ReportedItem>,
    /// How many pages there are.
    pub total_pages: Option<u32>,
    /// How many items there are on all pages.
    pub total_items: Option<usize>,
}

/// All pages of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeBatch {
    /// How far the batch is.
    pub status: ReportedBatch,
    /// Our id of it, if PayPal repeats it.
    pub sender_batch_id: Option<String>,
    /// Each item that was on a page, once. Two items of one `sender_item_id` are two payments.
    pub items: Vec<ReportedItem>,
    /// Whether these are as many as PayPal counts: only then is an item missing that is not here.
    pub is_whole: bool,
}

#[derive(Deserialize)]
struct WrittenPage {
    batch_header: WrittenHeader,
    #[serde(default)]
    items: Vec<ReportedItem>,
    total_pages: Option<u32>,
    total_items: Option<usize>,
}

#[derive(Deserialize)]
struct WrittenHeader {
    payout_batch_id: String,
    batch_status: Option<String>,
    sender_batch_header: Option<WrittenSender>,
}

#[derive(Deserialize)]
struct WrittenSender {
    sender_batch_id: Option<String>,
}

/// The answer, if it is not a failure.
pub(super) fn good(answer: Result<Answer, CallError>) -> Result<Answer, ReadFailure> {
    let answer = answer.map_err(|error| match error {
        CallError::NotSent(text) | CallError::Lost(text) => ReadFailure::Unavailable(text),
    })?;
    match (answer.status, Problem::of(&answer)) {
        (StatusCode::OK, _) => Ok(answer),
        (StatusCode::NOT_FOUND, Some(_)) => Err(ReadFailure::NotFound),
        (StatusCode::TOO_MANY_REQUESTS, _) => Err(ReadFailure::Throttled),
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, Some(problem)) => {
            Err(ReadFailure::Restricted { name: plain::text(&problem.name) })
        }
        _ => Err(ReadFailure::Unavailable(shown(&answer))),
    }
}

fn json<T: DeserializeOwned>(answer: &Answer) -> Result<T, ReadFailure> {
    serde_json::from_slice(&answer.body).map_err(|_| ReadFailure::Unreadable("it is not in PayPal's form"))
}

/// Reads a page of a batch.
pub(super) fn page(payout_batch_id: &str, answer: &Answer) -> Result<BatchPage, ReadFailure> {
    let WrittenPage { batch_header, items, total_pages, total_items } = json(answer)?;
    if batch_header.payout_batch_id != payout_batch_id {
        return Err(ReadFailure::Unreadable("it is about another batch"));
    }
    let elsewhere = |item: &ReportedItem| {
        item.payout_batch_id.as_deref().is_some_and(|its_batch| its_batch != payout_batch_id)
    };
    if items.iter().any(elsewhere) {
        return Err(ReadFailure::Unreadable("it has items of another batch"));
    }
    let sender_batch_id = batch_header.sender_batch_header.and_then(|header| header.sender_batch_id);
    let status = ReportedBatch::of(batch_header.batch_status);
    Ok(BatchPage { status, sender_batch_id, items, total_pages, total_items })
}

/// Reads an item.
pub(super) fn item(payout_item_id: &str, answer: &Answer) -> Result<ReportedItem, ReadFailure> {
    let item: ReportedItem = json(answer)?;
    if item.payout_item_id.as_deref() != Some(payout_item_id) {
        return Err(ReadFailure::Unreadable("it is about another item"));
    }
    Ok(item)
}

/// Reads whether PayPal sent an event.
pub(super) fn verification(answer: &Answer) -> Result<bool, ReadFailure> {
    #[derive(Deserialize)]
    struct Verification {
        verification_status: String,
    }
    match json::<Verification>(answer)?.verification_status.as_str() {
        "SUCCESS" => Ok(true),
        "FAILURE" => Ok(false),
        _ => Err(ReadFailure::Unreadable("it neither confirms nor denies")),
    }
}

/// Reads all pages. They may change meanwhile, repeat, or be empty: if not all items were seen, they are read once more,
/// and what was seen in either round counts.
pub(super) async fn all<Asked>(ask: impl Fn(u32) -> Asked) -> Result<WholeBatch, ReadFailure>
where
    Asked: Future<Output = Result<BatchPage, ReadFailure>>,
{
    let mut seen = Seen::default();
    let mut last = None;
    for _ in 0..ROUNDS {
        let page = round(&ask, &mut seen).await?;
        let is_whole = seen.is_all_of(page.total_items);
        last = Some(page);
        if is_whole {
            break;
        }
    }
    let Some(last) = last else { return Err(ReadFailure::Unreadable("it has no page")) };
    let is_whole = seen.is_all_of(last.total_items);
    let BatchPage { status, sender_batch_id, .. } = last;
    Ok(WholeBatch { status, sender_batch_id, items: seen.items, is_whole })
}

/// Reads from the first page to the last, and answers the last.
async fn round<Asked>(ask: &impl Fn(u32) -> Asked, seen: &mut Seen) -> Result<BatchPage, ReadFailure>
where
    Asked: Future<Output = Result<BatchPage, ReadFailure>>,
{
    let mut number = 1;
    loop {
        let mut page = ask(number).await?;
        let items = std::mem::take(&mut page.items);
        // Without a total, the first page without items is the last.
        let ends_here = page.total_pages.map_or(items.is_empty(), |pages| number >= pages);
        seen.take(items);
        if ends_here || number >= MOST_PAGES {
            return Ok(page);
        }
        number += 1;
    }
}

/// The items of the pages so far.
#[derive(Default)]
struct Seen {
    items: Vec<ReportedItem>,
    /// Where those with the same ids are.
    places: HashMap<Ids, Vec<usize>>,
}

impl Seen {
    fn is_all_of(&self, total: Option<usize>) -> bool {
        total == Some(self.items.len())
    }

    fn take(&mut self, page: Vec<ReportedItem>) {
        let mut on_this_page = HashSet::new();
        for item in page {
            if let Some(at) = self.place_of(&item) {
                let is_second = !on_this_page.insert(at);
                self.items[at] = newest(&self.items[at], item, is_second);
            } else {
                on_this_page.insert(self.items.len());
                self.places.entry(item.ids()).or_default().push(self.items.len());
                self.items.push(item);
            }
        }
    }

    fn place_of(&self, item: &ReportedItem) -> Option<usize> {
        let places = self.places.get(&item.ids())?;
        places.iter().copied().find(|at| self.items[*at].is_as(item))
    }
}

/// What is known of an item after another report. On a later page it has gone on meanwhile; two reports on one page
/// contradict each other, unless they are the same.
fn newest(known: &ReportedItem, reported: ReportedItem, on_one_page: bool) -> ReportedItem {
    if !on_one_page || *known == reported {
        reported
    } else if matches!(known.status, Reported::Unknown(_)) {
        known.clone()
    } else {
        known.contradicted_by(&reported)
    }
}

#[cfg(test)]
mod tests;
