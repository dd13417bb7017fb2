//! `/portal/payouts`: what is due when, and why something would wait.

use crate::domain::calendar::Month;
use crate::domain::money::Money;
use crate::domain::payout::Carried;
use crate::http::pages::PageError;
use crate::http::pages::payout::{Standing, outlook, standing, why};
use crate::http::pages::session::{Portal, Visit};
use axum::response::Response;
use minijinja::context;
use minijinja::value::{Serde, Value};
use serde::Serialize;

/// A statement on its way to being paid.
#[derive(Debug, Serialize)]
struct Coming {
    month: Month,
    total: Money,
    closed: bool,
    payment: Standing,
}

/// Why what is due would wait for a later payout.
#[derive(Debug, Serialize)]
struct Reason {
    words: String,
    /// What can be done about it.
    link: Option<(&'static str, &'static str)>,
}

/// Shows it.
pub async fn show(visit: Visit<Portal>) -> Result<Response, PageError> {
    let statements = visit.app.statements_of(visit.who.affiliate.id).await?;
    let next = outlook(&visit, &visit.who.affiliate, &statements);
    let reason = |one: &Carried| Reason {
        words: why(&visit, *one),
        link: (*one == Carried::NoPaypalEmail).then_some(("/portal/profile#paypal", "Add it")),
    };
    let shown = statements.iter().filter(|doc| !doc.is_closed() || !doc.statement.total.is_zero());
    let coming = shown.map(|doc| Coming {
        month: doc.statement.month,
        total: doc.statement.total,
        closed: doc.is_closed(),
        payment: standing(&visit, &next, doc),
    });
    let content = context! {
        next_on => next.on.to_string(),
        next_sum => next.sum.to_string(),
        next_any => next.any,
        next_open => next.has_open,
        reasons => Value::from(Serde(next.carried.iter().map(reason).collect::<Vec<_>>())),
        coming => Value::from(Serde(coming.collect::<Vec<_>>())),
        minimum => visit.app.config().program.minimum_payout.to_string(),
        paypal_email => visit.who.affiliate.profile.paypal_email.clone(),
    };
    Ok(visit.page("portal/payouts.html", "payouts", content))
}
