//! All batches, what is in the way of the next one, and payments that a person has to look at.

use super::words::{batch_state, item_state, method, to_look_at};
use super::{PATH, SECTION, asked, ended, item_path, path};
use crate::app::payouts::MakeError;
use crate::app::people::ActError;
use crate::domain::calendar::Month;
use crate::domain::payout::{Batch, BatchStatus};
use crate::http::pages::payout::year_lines;
use crate::http::pages::staff::accounts::name_of;
use crate::http::pages::staff::words::{self, Words};
use crate::http::pages::staff::{Act, Staff, Visit, export, for_role};
use crate::http::pages::table::{self, Cell, List, ROWS, csv_file};
use crate::http::pages::view::{month_in_words, show_day};
use crate::http::pages::{Form, PageError, PageState, see_other};
use axum::response::Response;
use chrono::Datelike;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// How long the page waits for a payout that is being made.
const PATIENCE: Duration = Duration::from_secs(3);
/// Months that may have been paid elsewhere.
const EARLIER: usize = 120;

fn batches(state: &PageState) -> List<'_, Batch> {
    type Column<'a> = table::Column<'a, Batch>;
    let words = Words::of(state);
    let columns = vec![
        Column::text("id", "Payout", |batch| {
            Cell::link(month_in_words(batch.id.month), path(batch.id))
                .note(batch.id.to_string())
                .export(batch.id.to_string())
        })
        .sort_first_down_by(|batch| batch.id),
        Column::text("state", "State", |batch| {
            let (word, tone, _) = batch_state(batch.status);
            Cell::mark(word, tone).export(batch.status.code())
        })
        .sort_by(|batch| batch.status),
        Column::text("method", "Method", |batch| {
            batch.method().map_or_else(words::none, |how| Cell::text(method(how)).export(how.code()))
        }),
        Column::number("payments", "Payments", |batch| Cell::text(batch.items().to_string()))
            .sort_by(Batch::items),
        Column::number("total", "Total", move |batch| words.amount(batch.total)).sort_by(|batch| batch.total),
        Column::number("carried", "Carried", |batch| Cell::text(batch.carried.to_string())),
        Column::text("made", "Made", move |batch| {
            let by = format!("by {}", state.app.name_of(&batch.by));
            Cell::text(words.at(batch.created_at)).note(by).export(words::export(batch.created_at))
        })
        .sort_by(|batch| batch.created_at),
        Column::text("approved", "Approved", move |batch| {
            batch.approved.as_ref().map_or_else(words::none, |one| {
                let by = format!("by {}", state.app.name_of(&one.by));
                Cell::text(words.at(one.at)).note(by).export(words::export(one.at))
            })
        }),
    ];
    let states = BatchStatus::ALL.map(|status| (status.code(), batch_state(status).0));
    List::new(PATH, "Payouts", "No payout was made yet.", columns).filter(
        "state",
        "State",
        states,
        |batch, code| batch.status.code() == code,
    )
}

pub async fn list(visit: Visit<Staff>) -> Result<Response, PageError> {
    show(&visit, &Form::default()).await
}

async fn show(visit: &Visit<Staff>, form: &Form) -> Result<Response, PageError> {
    let list = batches(visit);
    let query = list.read(asked(visit.raw.as_deref()))?;
    let all = visit.app.payouts().await?;
    let next = next(visit, &all);
    let none_yet = all.is_empty();
    let list = list.show(all, &query);
    if query.csv {
        return export(&visit.who, "payouts", list.to_csv());
    }
    let this_year = visit.app.zone().date_of(visit.app.now()).year();
    let content = json!({
        "years": [this_year, this_year - 1],
        "stops": visit.app.payout_stops().await?, "next": next, "attention": attention(visit).await?,
        "opening": if none_yet { opening_of(visit).await? } else { Value::Null },
        "list": for_role(&visit.who, list), "form": form,
    });
    Ok(visit.page_with(form.status, "staff/payouts.html", SECTION, content))
}

/// The closed month whose payout is to be made, or which one follows.
fn next(state: &PageState, batches: &[Batch]) -> Value {
    let directory = state.app.directory();
    let Some(month) = directory.months().filter(|doc| doc.closed).map(|doc| doc.month).max() else {
        return Value::Null;
    };
    let is_live = |batch: &&Batch| {
        batch.id.month == month && !matches!(batch.status, BatchStatus::Discarded | BatchStatus::Making)
    };
    let made = batches.iter().find(is_live).map(|batch| path(batch.id));
    json!({"month": month, "name": month_in_words(month), "due": show_day(month.next().last_day()), "made": made})
}

/// Payments that a person has to look at, the first of them.
async fn attention(state: &PageState) -> Result<Value, PageError> {
    let (words, directory) = (Words::of(state), state.app.directory());
    let all = state.app.payouts_for_a_person().await?;
    let shown = all.iter().take(ROWS).map(|(id, item)| {
        let (word, tone, _) = item_state(item.status);
        json!({"path": item_path(*id), "name": name_of(&directory, Some(id.affiliate)), "payout": id.payout,
            "amount": words.money(item.amount), "state": word, "tone": tone, "why": to_look_at(item)})
    });
    Ok(json!({"count": all.len(), "first": shown.collect::<Vec<_>>()}))
}

/// What was said of payments before the first payout, and what can be said.
async fn opening_of(state: &PageState) -> Result<Value, PageError> {
    let known = state.app.payout_opening().await?.filter(|opening| opening.said);
    let said = known.map(|opening| match opening.through {
        Some(month) => format!("statements through {} were paid elsewhere", month_in_words(month)),
        None => "nothing was paid elsewhere".to_owned(),
    });
    let directory = state.app.directory();
    let mut months: Vec<Month> = directory.months().filter(|doc| doc.closed).map(|doc| doc.month).collect();
    months.sort_unstable_by(|one, other| other.cmp(one));
    let first = [(String::new(), "Please choose".to_owned()), (NONE.to_owned(), "Nothing was".to_owned())];
    let through = months
        .iter()
        .take(EARLIER)
        .map(|month| (month.to_string(), format!("All through {}", month_in_words(*month))));
    let options: Vec<(String, String)> = first.into_iter().chain(through).collect();
    let chosen =
        known.map(|opening| opening.through.map_or_else(|| NONE.to_owned(), |month| month.to_string()));
    Ok(json!({"said": said, "options": options, "chosen": chosen.unwrap_or_default()}))
}

/// What the form says if no statement was paid elsewhere.
const NONE: &str = "none";

/// What affiliates were paid and earned in a calendar year, as CSV.
pub async fn year(visit: Visit<Staff, u16>) -> Result<Response, PageError> {
    let lines = year_lines(&visit.app, i32::from(visit.at)).await?;
    export(&visit.who, &format!("payouts-of-{}", visit.at), csv_file(&lines))
}

pub async fn opening(Act { visit, mut form }: Act) -> Result<Response, PageError> {
    let through = match form.text("through") {
        NONE => Some(None),
        text => text.parse::<Month>().ok().map(Some),
    };
    if let Some(through) = through {
        let said = visit.app.open_payouts(&visit.actor(), through, None).await;
        if let Some(response) = ended(&mut form, said, PATH, "opening")? {
            return Ok(response);
        }
    } else {
        form.wrong("through", "Please choose what was paid elsewhere.");
    }
    show(&visit, &form).await
}

pub async fn make(Act { visit, mut form }: Act) -> Result<Response, PageError> {
    let month: Month = form.text("month").parse().map_err(|_| PageError::BadRequest)?;
    tracing::info!(by = %visit.who.member.id, %month, "a payout is made by hand");
    let (app, actor) = (Arc::clone(&visit.app), visit.actor());
    // It is made also if the person who asked for it does not wait.
    let mut making = tokio::spawn(async move {
        let made = app.make_payout(&actor, Some(month)).await;
        if let Err(error) = &made {
            tracing::warn!(%error, "a payout by hand was not made");
        }
        made
    });
    match tokio::time::timeout(PATIENCE, &mut making).await {
        Ok(Ok(Ok(made))) => {
            let code = if made.is_new { "made" } else { "made-before" };
            Ok(see_other(&format!("{}?done={code}", path(made.batch.id))))
        }
        Ok(Ok(Err(error))) => {
            form.wrong(field_of(&error), why_not_made(error, month)?);
            show(&visit, &form).await
        }
        Ok(Err(_)) => Err(PageError::Internal),
        Err(_) => Ok(see_other(&format!("{PATH}?done=making"))),
    }
}

/// The field that is to be filled in before it can be made.
const fn field_of(error: &MakeError) -> &'static str {
    if matches!(error, MakeError::OpeningUnknown) { "through" } else { "form" }
}

/// Why a payout was not made, in a sentence for who asked for it.
fn why_not_made(error: MakeError, month: Month) -> Result<String, PageError> {
    let month = month_in_words(month);
    Ok(match error {
        MakeError::Forbidden => return Err(PageError::Forbidden),
        MakeError::MonthOpen => format!("{month} is not closed yet. A nightly run closes it."),
        MakeError::Stopped(stops) => {
            format!("The payout was not made, because something is in the way: {}.", stops.join("; "))
        }
        MakeError::OpeningUnknown => {
            "Statements of earlier months would be paid, too. Please say first whether they were paid elsewhere."
                .to_owned()
        }
        MakeError::NothingDue => format!("Nothing is due for {month}: all that is owed is in other payouts."),
        MakeError::TooMany => format!("{month} has had as many payouts as a month may have."),
        MakeError::Busy => {
            "A nightly run is under way, or a payout is being made. Try again in a moment.".to_owned()
        }
        MakeError::Store(error) => return Err(error.into()),
        MakeError::Journal(error) => return Err(ActError::NotTaken(error).into()),
        MakeError::Interrupted(_) => {
            "The payout did not come to its end. Make it again: it goes on where it stopped.".to_owned()
        }
    })
}

/// How many batches wait for approval, and how many payments for a look.
pub async fn waiting(state: &PageState) -> Result<Value, PageError> {
    let batches = state.app.payouts().await?;
    let drafts = batches.iter().filter(|batch| batch.status == BatchStatus::Draft).count();
    let payments = state.app.payouts_for_a_person().await?.len();
    Ok(json!({"drafts": drafts, "payments": payments}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_not_to_make_a_payout_is_a_sentence() {
        let month = || "2026-09".parse().expect("a month");
        let table = [
            (MakeError::MonthOpen, "September 2026 is not closed yet"),
            (MakeError::Stopped(vec!["one".into(), "two".into()]), "in the way: one; two."),
            (MakeError::OpeningUnknown, "say first whether"),
            (MakeError::NothingDue, "Nothing is due for September 2026"),
            (MakeError::TooMany, "September 2026 has had"),
            (MakeError::Busy, "Try again"),
        ];
        for (error, said) in table {
            let name = error.to_string();
            let sentence = why_not_made(error, month()).expect("a sentence");
            assert!(sentence.contains(said) && sentence.ends_with('.'), "{name}: {sentence}");
        }
        assert_eq!(why_not_made(MakeError::Forbidden, month()), Err(PageError::Forbidden));
    }
}
