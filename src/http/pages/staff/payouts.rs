//! Payouts: batches are made, looked at, approved and exported, and each payment is brought to its end.

mod acts;
mod batch;
mod calls;
mod item;
mod list;
mod report;
mod whole;
mod words;

pub use acts::{approve, discard, export, pay};
pub use batch::page as batch;
pub use calls::submit;
pub use item::{page as item, pay as pay_item, resolve, seen, withdraw};
pub use list::{list, make, opening, waiting, year};
pub use report::{apply as apply_report, preview as preview_report};
pub use whole::{carried, look_twice};
pub use words::{batch_state, item_state};

use crate::app::payouts::StepError;
use crate::app::people::ActError;
use crate::domain::account::Refusal;
use crate::domain::payout::{ItemId, PayoutId};
use crate::http::pages::{Form, PageError, see_other};
use axum::response::Response;
use chrono::{Datelike, NaiveDate};

/// Where they are.
pub const PATH: &str = "/admin/payouts";
/// Their entry of the navigation.
const SECTION: &str = "payouts";

/// The page of a batch.
pub fn path(id: PayoutId) -> String {
    format!("{PATH}/{id}")
}
/// The page of a payment.
pub fn item_path(id: ItemId) -> String {
    format!("{PATH}/{}/items/{id}", id.payout)
}

/// What a list is asked for by an address, which may say instead what was just done.
fn asked(raw: Option<&str>) -> Option<&str> {
    raw.filter(|raw| !raw.starts_with("done="))
}

/// The answer to a step that was made; `None`: it was not, and the form says why.
pub fn ended<T>(
    form: &mut Form,
    step: Result<T, impl Into<StepError>>,
    path: &str,
    code: &str,
) -> Result<Option<Response>, PageError> {
    match step.map_err(Into::into) {
        Ok(_) => Ok(Some(see_other(&format!("{path}?done={code}")))),
        Err(StepError::Act(ActError::Deferred)) => Ok(Some(see_other(&format!("{path}?done=later")))),
        Err(error) => {
            form.wrong("form", why_not(error)?);
            Ok(None)
        }
    }
}

/// Why a step was not made, in a sentence for who asked for it.
fn why_not(error: StepError) -> Result<String, PageError> {
    let sentence = match error {
        StepError::Act(ActError::Refused(refusal)) => refused(refusal)?.to_owned(),
        StepError::Act(other) => return Err(other.into()),
        StepError::Stopped(stops) => {
            format!("Nothing was done, because something is in the way: {}.", stops.join("; "))
        }
        StepError::MethodUnavailable => "This way of paying is not configured.".to_owned(),
        StepError::ExportedBefore => "This part was exported before. Tick the box if it is meant.".to_owned(),
        StepError::NoSuchPart => return Err(PageError::BadRequest),
        StepError::NotYet => "The day of a payment can’t be after today.".to_owned(),
        StepError::File(row) => format!("The file was not made: failed to {row}."),
        StepError::Unsendable(why) => format!("Nothing was sent: failed to {why}."),
        StepError::Report(why) => why.to_string(),
        StepError::Store(error) => return Err(error.into()),
    };
    Ok(sentence)
}

fn refused(refusal: Refusal) -> Result<&'static str, PageError> {
    Ok(match refusal {
        Refusal::UnknownPayout | Refusal::UnknownPayoutItem => return Err(PageError::NotFound),
        Refusal::PayoutChanged => {
            "The payout is not what you looked at any more. This is what it is now: look at it, then approve it."
        }
        Refusal::SecondPerson => "Another person than the one who made the payout has to approve it.",
        Refusal::WrongPayoutStatus => "The payout’s state does not allow this any more.",
        Refusal::WrongItemStatus => "The payment’s state does not allow this any more.",
        Refusal::StatementInPayout => "Another payout pays the same statements by now.",
        Refusal::SendUnderWay => {
            "PayPal is still being asked about this payment. Decide when the same question was asked again."
        }
        Refusal::PayoutsBegun => {
            "A payout was made already. What was paid elsewhere can only be said before the first one."
        }
        _ => return Err(PageError::Conflict),
    })
}

/// A day that a form must name.
fn day(form: &mut Form, name: &'static str) -> Option<NaiveDate> {
    let day = form.text(name).parse::<NaiveDate>().ok().filter(|day| (2_000..10_000).contains(&day.year()));
    if day.is_none() {
        form.wrong(name, "Please give a day such as 2026-10-31.");
    }
    day
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_one_of_this_time() {
        let table = [("2026-10-31", true), ("", false), ("31.10.2026", false), ("0026-10-31", false)];
        for (typed, good) in table {
            let mut form = Form::read(format!("on={typed}").as_bytes()).expect("a form");
            assert_eq!(day(&mut form, "on").is_some(), good, "{typed}");
            assert_eq!(form.is_good(), good, "{typed}");
        }
    }

    #[test]
    fn each_refusal_of_payouts_has_a_sentence() {
        use Refusal as R;
        for refusal in [
            R::PayoutChanged,
            R::SecondPerson,
            R::WrongPayoutStatus,
            R::WrongItemStatus,
            R::StatementInPayout,
            R::PayoutsBegun,
        ] {
            assert!(refused(refusal).is_ok_and(|said| said.ends_with('.')), "{refusal}");
        }
        assert_eq!(refused(R::UnknownPayout), Err(PageError::NotFound));
    }
}
