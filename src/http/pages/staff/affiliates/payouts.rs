//! What an affiliate is owed and was paid, and what staff confirm so that it is paid.

use super::{page, path};
use crate::app::StatementDoc;
use crate::app::payouts::{Account, closed_of};
use crate::domain::affiliate::Affiliate;
use crate::domain::calendar::Month;
use crate::domain::id::AffiliateId;
use crate::domain::input::Reason;
use crate::domain::payout::{Carried, Clearance, ClosedStatement, Item, Ledger, Outlook};
use crate::http::pages::payout::paid_for;
use crate::http::pages::staff::Act;
use crate::http::pages::staff::payouts::{ended, item_path, item_state};
use crate::http::pages::staff::words::Words;
use crate::http::pages::view::{month_in_words, show_day};
use crate::http::pages::{PageError, PageState};
use axum::response::Response;
use serde_json::{Value, json};

/// Payments shown on the page, the newest.
const PAYMENTS: usize = 12;
/// Months that may have been paid elsewhere, the newest.
const EARLIER: usize = 120;

/// Its payouts as its page shows them.
pub fn summary(
    state: &PageState,
    affiliate: &Affiliate,
    next: &Outlook,
    statements: &[StatementDoc],
) -> Value {
    let words = Words::of(state);
    let closed = statements.iter().filter_map(closed_of).collect();
    let account = Account { ledger: next.ledger.clone(), closed };
    let balance = account.balance();
    let newest = next.ledger.items.iter().rev().take(PAYMENTS);
    let payment = |item: &Item| {
        let (word, tone, _) = item_state(item.status);
        json!({"path": item_path(item.id(affiliate.id)), "what": paid_for(&item.parts), "payout": item.payout_id,
            "amount": words.money(item.amount), "state": word, "tone": tone, "on": item.paid_on.map(show_day)})
    };
    let clearances: Vec<(String, String)> =
        clearances(&words, affiliate, next).into_iter().map(|(code, said, _)| (code, said)).collect();
    let reasons: Vec<&str> = next.carried.iter().map(|why| why.sentence()).collect();
    json!({
        "owed": words.money(balance.owed), "under_way": words.money(balance.under_way), "paid": words.money(balance.paid),
        "imbalance": account.imbalance().map(|wrong| wrong.to_string()),
        "items": newest.map(payment).collect::<Vec<_>>(), "all": next.ledger.items.len(),
        "reasons": reasons, "clearances": clearances, "elsewhere": elsewhere(&next.ledger, &account.closed),
    })
}

/// Which of its statements count as paid elsewhere, and what can be said of them; nothing once it has a payment.
fn elsewhere(ledger: &Ledger, closed: &[ClosedStatement]) -> Value {
    if !ledger.items.is_empty() || closed.is_empty() {
        return Value::Null;
    }
    let mut months: Vec<Month> = closed.iter().map(|one| one.month).collect();
    months.sort_unstable_by(|one, other| other.cmp(one));
    let as_for_all = (AS_FOR_ALL.to_owned(), "As for all affiliates".to_owned());
    let through = months
        .iter()
        .take(EARLIER)
        .map(|month| (month.to_string(), format!("All through {}", month_in_words(*month))));
    let options: Vec<(String, String)> = std::iter::once(as_for_all).chain(through).collect();
    json!({"said": ledger.paid_elsewhere.map(month_in_words), "options": options})
}

/// What the form says if nothing is said of this affiliate alone.
const AS_FOR_ALL: &str = "as_for_all";

/// Says which of its statements were paid elsewhere.
pub async fn paid_elsewhere(Act { visit, mut form }: Act<AffiliateId>) -> Result<Response, PageError> {
    let affiliate = visit.affiliate()?;
    let through = match form.text("elsewhere") {
        AS_FOR_ALL => Some(None),
        text => text.parse::<Month>().ok().map(Some),
    };
    if let Some(through) = through {
        let said = visit.app.open_payouts(&visit.actor(), through, Some(affiliate.id)).await;
        if let Some(response) = ended(&mut form, said, &path(affiliate.id), "opening")? {
            return Ok(response);
        }
    } else {
        form.wrong("elsewhere", "Please choose what was paid elsewhere.");
    }
    page::show(&visit, &affiliate, &form).await
}

/// What staff can confirm, of all that keeps its next payout: a code, in words, and what is confirmed. The code says
/// what was shown, so that nothing else is confirmed.
fn clearances(words: &Words<'_>, affiliate: &Affiliate, next: &Outlook) -> Vec<(String, String, Clearance)> {
    let has = |reasons: &[Carried]| next.carried.iter().any(|why| reasons.contains(why));
    let released = has(&[Carried::Blocked, Carried::NeedsChange, Carried::TooManyFailures]).then(|| {
        let said = "Payouts may go on after what happened to earlier ones".to_owned();
        ("released".to_owned(), said, Clearance::Released)
    });
    let receiver = affiliate.profile.paypal_email.as_ref().filter(|_| has(&[Carried::SharedReceiver]));
    let shared = receiver.map(|receiver| {
        let said = format!("Several affiliates may be paid to {receiver}");
        (format!("shared:{receiver}"), said, Clearance::SharedReceiver { receiver: receiver.clone() })
    });
    let sum = has(&[Carried::AboveLimit]).then(|| {
        let said = format!("Up to {} may be paid at once", words.money(next.sum));
        (format!("sum:{}", next.sum), said, Clearance::Sum { up_to: next.sum })
    });
    released.into_iter().chain(shared).chain(sum).collect()
}

/// Confirms one of these.
pub async fn clear(Act { visit, mut form }: Act<AffiliateId>) -> Result<Response, PageError> {
    let affiliate = visit.affiliate()?;
    let statements = visit.app.statements_of(affiliate.id).await?;
    let next = visit.app.payout_outlook(&affiliate, &statements).await?;
    let asked = form.text("clearance");
    let found =
        clearances(&Words::of(&visit), &affiliate, &next).into_iter().find(|(code, ..)| code == asked);
    if found.is_none() {
        form.wrong("clearance", "Please choose what is confirmed, of what is shown now.");
    }
    let reason: Option<Reason> = form.need("clear_reason", "Please say why, for those who ask later.");
    if let (Some((_, _, clearance)), Some(reason)) = (found, reason) {
        let cleared = visit.app.clear_payouts(&visit.actor(), affiliate.id, clearance, reason.into()).await;
        if let Some(response) = ended(&mut form, cleared, &path(affiliate.id), "payouts-released")? {
            return Ok(response);
        }
    }
    page::show(&visit, &affiliate, &form).await
}
