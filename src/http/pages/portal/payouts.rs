//! `/portal/payouts`: what is due when, and why something would wait.

use super::chrome;
use crate::app::StatementDoc;
use crate::domain::affiliate::{Affiliate, Status};
use crate::domain::calendar::Month;
use crate::domain::money::Money;
use crate::http::pages::session::Portal;
use crate::http::pages::view::{money, show_day};
use crate::http::pages::{Fault, PageState};
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, NaiveDate, Utc};
use minijinja::context;
use minijinja::value::{Serde, Value};
use serde::Serialize;

/// A statement on its way to being paid.
#[derive(Debug, Serialize)]
struct Coming {
    month: Month,
    total: Money,
    closed: bool,
    /// The day of the batch that takes it.
    on: NaiveDate,
    /// The day on which it is paid, if anything is due.
    paid_on: Option<NaiveDate>,
}

/// Why what is due would wait for a later payout.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Reason {
    words: String,
    /// What can be done about it.
    link: Option<(&'static str, &'static str)>,
}

/// Shows it.
pub async fn show(State(state): State<PageState>, portal: Portal) -> Result<Response, Fault> {
    let now = state.app.now();
    let today = state.app.zone().date_of(now);
    let statements = state.app.statements_of(portal.affiliate.id).await?;
    let coming = coming(&statements, today);
    let next = Month::of(today).last_day();
    let in_next: Vec<&Coming> = coming.iter().filter(|one| one.on == next && !one.total.is_zero()).collect();
    let sum: Money = in_next.iter().map(|one| one.total).sum();
    let reasons =
        if in_next.is_empty() { Vec::new() } else { waits(&state, &portal.affiliate, sum, now, next) };
    let content = context! {
        next_on => next.to_string(),
        next_sum => sum.to_string(),
        next_any => !in_next.is_empty(),
        next_open => in_next.iter().any(|one| !one.closed),
        reasons => Value::from(Serde(reasons)),
        coming => Value::from(Serde(&coming)),
        minimum => state.site.minimum_payout.to_string(),
        paypal_email => portal.affiliate.profile.paypal_email.clone(),
    };
    Ok(state.page("portal/payouts.html", &chrome(&portal, "payouts", None), content))
}

/// The statements that are not paid, the newest first, each with the day of its batch.
fn coming(statements: &[StatementDoc], today: NaiveDate) -> Vec<Coming> {
    let of = |doc: &StatementDoc| Coming {
        month: doc.statement.month,
        total: doc.statement.total,
        closed: doc.is_closed(),
        on: doc.statement.month.batch(today),
        paid_on: doc.statement.month.paid_on(doc.statement.total, today),
    };
    statements.iter().filter(|doc| !doc.is_closed() || !doc.statement.total.is_zero()).map(of).collect()
}

/// Why a sum would not be paid on a day, as things stand now.
fn waits(
    state: &PageState,
    affiliate: &Affiliate,
    sum: Money,
    now: DateTime<Utc>,
    on: NaiveDate,
) -> Vec<Reason> {
    let currency = &state.program.currency;
    let minimum = state.site.minimum_payout;
    let mut reasons = Vec::new();
    let mut reason = |words: String, link| reasons.push(Reason { words, link });
    if affiliate.profile.paypal_email.is_none() {
        reason(
            "We don’t know your PayPal e-mail yet.".to_owned(),
            Some(("/portal/profile#paypal", "Add it")),
        );
    }
    if affiliate.status() == Status::Suspended {
        reason("Your account is suspended; payouts wait until this is settled.".to_owned(), None);
    }
    let held_until = affiliate.payouts_held_until().filter(|until| now < *until);
    if let Some(until) = held_until.filter(|until| state.app.zone().date_of(*until) > on) {
        let day = show_day(state.app.zone().date_of(until));
        reason(
            format!(
                "Your e-mail or PayPal e-mail was changed; for your safety payouts are held until {day}."
            ),
            None,
        );
    }
    if sum <= Money::ZERO {
        reason("There is nothing to pay out: the sum is not above zero.".to_owned(), None);
    } else if sum < minimum && affiliate.status() != Status::Closed {
        let minimum = money(&minimum.to_string(), currency);
        reason(format!("Payouts start at {minimum}; a smaller sum is carried to the next one."), None);
    }
    reasons
}
