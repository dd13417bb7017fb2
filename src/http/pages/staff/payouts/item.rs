//! A payment: what it is for, what became of it, and what a person can say about it.

use super::words::{item_state, movement, to_look_at};
use super::{SECTION, day, ended, item_path, path};
use crate::domain::id::AffiliateId;
use crate::domain::input::{Label, Reason};
use crate::domain::payout::{Batch, Event, Item, ItemId, Ledger, Part, PartOf, PayoutId, Step};
use crate::http::pages::staff::accounts::name_of;
use crate::http::pages::staff::words::Words;
use crate::http::pages::staff::{Act, Staff, Visit};
use crate::http::pages::view::{month_in_words, show_day};
use crate::http::pages::{Form, PageError, PageState};
use axum::response::Response;
use serde_json::{Value, json};

type At = (PayoutId, ItemId);

/// The payment in the path, which names its batch twice.
fn id(at: At) -> Result<ItemId, PageError> {
    let (payout, item) = at;
    if item.payout == payout { Ok(item) } else { Err(PageError::NotFound) }
}

pub async fn page(visit: Visit<Staff, At>) -> Result<Response, PageError> {
    show(&visit, &Form::default()).await
}

async fn show(visit: &Visit<Staff, At>, form: &Form) -> Result<Response, PageError> {
    let id = id(visit.at)?;
    let batch = visit.app.payout(id.payout).await?.ok_or(PageError::NotFound)?;
    let ledger = visit.app.ledger_of(id.affiliate).await?;
    let item = ledger.item(id.payout).ok_or(PageError::NotFound)?;
    let content = told(visit, id, &batch, &ledger, item, form);
    Ok(visit.page_with(form.status, "staff/payout_item.html", SECTION, content))
}

fn told(state: &PageState, id: ItemId, batch: &Batch, ledger: &Ledger, item: &Item, form: &Form) -> Value {
    let (words, directory) = (Words::of(state), state.app.directory());
    let (word, tone, sentence) = item_state(item.status);
    let may = |event: Event| batch.takes(event) && matches!(item.status.after(event), Step::To(_));
    let means = item.means.as_ref().map(
        |one| json!({"by": state.app.name_of(&one.by), "reason": one.reason, "reference": one.reference}),
    );
    json!({
        "id": id, "path": item_path(id), "payout": id.payout, "payout_path": path(id.payout),
        "payout_name": format!("Payout for {}", month_in_words(id.payout.month)),
        "affiliate": {"id": id.affiliate, "name": name_of(&directory, Some(id.affiliate))},
        "amount": words.money(item.amount), "receiver": item.receiver,
        "state": word, "tone": tone, "sentence": sentence, "why": to_look_at(item),
        "changed": words.at(item.changed_at), "paid_on": item.paid_on.map(show_day),
        "parts": parts(&words, id.affiliate, ledger, &item.parts),
        "history": history(&words, ledger, id.payout),
        "provider": item.provider, "means": means,
        "may_withdraw": may(Event::Withdraw),
        "may_pay": batch.approved.is_some() && may(Event::PaidOtherwise),
        "may_resolve": may(Event::FoundPaid), "may_see": waits_for_a_look(item), "form": form,
    })
}

/// Whether it is enough that a person looks at it. What nobody knows has to be resolved.
fn waits_for_a_look(item: &Item) -> bool {
    item.doubt.is_some() || (item.overtaken && !item.seen)
}

/// What it is for, each part with where it is shown.
fn parts(words: &Words<'_>, affiliate: AffiliateId, ledger: &Ledger, parts: &[Part]) -> Vec<Value> {
    let part = |part: &Part| {
        let (what, path) = match &part.of {
            PartOf::Statement { month, .. } => (
                format!("Statement for {}", month_in_words(*month)),
                Some(format!("/admin/months/{month}/{affiliate}")),
            ),
            PartOf::Correction { correction } => {
                let known = usize::try_from(*correction).ok().and_then(|place| ledger.corrections.get(place));
                let path = known.map(|one| item_path(ItemId { payout: one.payout_id, affiliate }));
                ("Correction of an earlier payment".to_owned(), path)
            }
        };
        json!({"what": what, "path": path, "amount": words.money(part.amount)})
    };
    parts.iter().map(part).collect()
}

/// Where its money was, the newest first.
fn history(words: &Words<'_>, ledger: &Ledger, payout: PayoutId) -> Vec<Value> {
    let entries = ledger.entries.iter().rev().filter(|entry| entry.payout_id == payout);
    entries.map(|entry| json!({"at": words.at(entry.at), "what": movement(entry)})).collect()
}

pub async fn withdraw(Act { visit, mut form }: Act<At>) -> Result<Response, PageError> {
    let id = id(visit.at)?;
    if let Some(reason) = form.need::<Reason>("withdraw_reason", WHY) {
        let withdrawn = visit.app.withdraw_item(&visit.actor(), id, reason.into()).await;
        if let Some(response) = ended(&mut form, withdrawn, &item_path(id), "withdrawn")? {
            return Ok(response);
        }
    }
    show(&visit, &form).await
}

const WHY: &str = "Please say why, for those who ask later.";

pub async fn pay(Act { visit, mut form }: Act<At>) -> Result<Response, PageError> {
    let id = id(visit.at)?;
    let on = day(&mut form, "paid_on");
    let reference: Option<Label> = form.take("paid_reference");
    let reason: Option<Reason> = form.need("paid_reason", WHY);
    if let (Some(on), Some(reason), true) = (on, reason, form.is_good()) {
        let (actor, reference) = (visit.actor(), reference.map(String::from));
        let paid = visit.app.pay_item_otherwise(&actor, id, on, reference, reason.into()).await;
        if let Some(response) = ended(&mut form, paid, &item_path(id), "item-paid")? {
            return Ok(response);
        }
    }
    show(&visit, &form).await
}

/// A person has looked at what was doubtful.
pub async fn seen(Act { visit, mut form }: Act<At>) -> Result<Response, PageError> {
    let id = id(visit.at)?;
    if let Some(reason) =
        form.need::<Reason>("seen_reason", "Please say what you found, for those who ask later.")
    {
        let seen = visit.app.saw_item(&visit.actor(), id, reason.into()).await;
        if let Some(response) = ended(&mut form, seen, &item_path(id), "seen")? {
            return Ok(response);
        }
    }
    show(&visit, &form).await
}

/// A person says how a payment ended of which PayPal says nothing.
pub async fn resolve(Act { visit, mut form }: Act<At>) -> Result<Response, PageError> {
    let id = id(visit.at)?;
    let paid_on = match form.text("outcome") {
        "paid" => day(&mut form, "resolve_on"),
        "not_paid" => None,
        _ => {
            form.wrong("outcome", "Please choose how it ended.");
            None
        }
    };
    let reason: Option<Reason> = form.need("resolve_reason", WHY);
    if let Some(reason) = reason.filter(|_| form.is_good()) {
        let resolved = visit.app.resolve_item(&visit.actor(), id, paid_on, reason.into()).await;
        if let Some(response) = ended(&mut form, resolved, &item_path(id), "resolved")? {
            return Ok(response);
        }
    }
    show(&visit, &form).await
}
