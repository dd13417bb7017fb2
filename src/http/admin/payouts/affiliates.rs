//! What payouts say of affiliates: their balance, what staff confirm, what was paid elsewhere, the year.

use super::acts::csv;
use crate::domain::calendar::Month;
use crate::domain::id::AffiliateId;
use crate::domain::input::Reason;
use crate::domain::money::Money;
use crate::domain::named::named;
use crate::domain::payout::{Balance, Clearance};
use crate::http::admin::{Act, Later, answer};
use crate::http::answer::ok;
use crate::http::error::{Problem, ProblemDoc};
use crate::http::fields::Params;
use crate::http::guard::PathId;
use crate::http::pages::table::csv_file;
use crate::http::state::ApiState;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};

/// Shows what an affiliate is owed, what is under way to it and what it was paid.
#[utoipa::path(
    get, path = "/v1/affiliates/{affiliate_id}/balance", tag = "payouts",
    responses((status = 200, body = BalanceView, description = "To the cent: the three add up to its closed statements"))
)]
pub async fn balance(
    State(state): State<ApiState>,
    PathId(affiliate_id): PathId<AffiliateId>,
) -> Result<Response, Problem> {
    state.app.directory().affiliate(affiliate_id).ok_or(Problem::UnknownAffiliate)?;
    let account = state.app.payout_account(affiliate_id).await?;
    Ok(ok(&BalanceView {
        balance: account.balance(),
        currency: state.app.config().program.currency.clone(),
        does_not_add_up: account.imbalance().map(|why| why.0),
    }))
}

/// Confirms something because of which an affiliate's payouts are carried.
#[utoipa::path(
    post, path = "/v1/affiliates/{affiliate_id}/payouts/release", tag = "payouts",
    request_body(content = NewRelease, description = "What, and why"),
    responses(
        (status = 200, body = BalanceView, description = "The affiliate's balance"),
        Later,
    )
)]
pub async fn release(act: Act<AffiliateId, NewRelease>) -> Result<Response, Problem> {
    let NewRelease { what, up_to, reason } = act.asked;
    let app = &act.state.app;
    let directory = app.directory();
    let affiliate = directory.affiliate(act.at).ok_or(Problem::UnknownAffiliate)?;
    let clearance = match (what, up_to) {
        (Release::Blocked, None) => Clearance::Released,
        (Release::SharedReceiver, None) => {
            let receiver = affiliate.profile.paypal_email.clone().ok_or(Problem::NoPaypalEmail)?;
            Clearance::SharedReceiver { receiver }
        }
        (Release::Sum, Some(up_to)) if up_to > Money::ZERO => Clearance::Sum { up_to },
        _ => return Err(Problem::InvalidUpTo),
    };
    let done = app.clear_payouts(&act.actor, act.at, clearance, reason.to_string()).await;
    answer(done, &act.at, async |()| balance(State(act.state.clone()), PathId(act.at)).await).await
}

/// Says before the first payout which statements were paid elsewhere: all up to a month, or none.
#[utoipa::path(
    post, path = "/v1/payouts/opening", tag = "payouts",
    request_body(content = NewOpening, description = "The last month that was paid elsewhere; null: none was"),
    responses(
        (status = 200, body = NewOpening, description = "As it counts from now on"),
        Later,
        (status = 404, body = ProblemDoc, content_type = "application/problem+json", description = "`unknown_affiliate`"),
        (status = 409, body = ProblemDoc, content_type = "application/problem+json", description = "`payouts_begun`"),
    )
)]
pub async fn opening(act: Act<(), NewOpening>) -> Result<Response, Problem> {
    let asked = act.asked;
    let done = act.state.app.open_payouts(&act.actor, asked.through, asked.affiliate_id).await;
    answer(done, &"payouts", async |()| Ok(ok(&asked))).await
}

/// What each affiliate was paid in a calendar year, by the day on which it was paid, and what it earned.
#[utoipa::path(
    get, path = "/v1/payouts/year", tag = "payouts",
    params(("year" = i32, Query, description = "Which year", minimum = 2000, maximum = 2999, example = 2026)),
    responses((status = 200, body = String, content_type = "text/csv", description = "A row an affiliate"))
)]
pub async fn year(State(state): State<ApiState>, mut params: Params) -> Result<Response, Problem> {
    let year: Option<i32> = params.optional("year")?;
    params.done()?;
    let year = year.filter(|year| (2000..=2999).contains(year)).ok_or(Problem::InvalidYear)?;
    let lines = crate::http::pages::payout::year_lines(&state.app, year).await?;
    Ok(csv(csv_file(&lines), &format!("payouts-{year}.csv")))
}

/// Where an affiliate's money is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Balance)]
pub struct BalanceView {
    /// The three places.
    #[serde(flatten)]
    pub balance: Balance,
    /// ISO 4217 code.
    pub currency: String,
    /// Why the affiliate's payouts do not add up to its statements; null: they do.
    pub does_not_add_up: Option<String>,
}

/// What staff confirm.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRelease {
    /// What.
    pub what: Release,
    /// The largest sum that may be paid; with `sum`, and only then.
    #[schema(value_type = Option<String>, example = "25000.00")]
    pub up_to: Option<Money>,
    /// Why.
    #[schema(inline)]
    pub reason: Reason,
}

named! {
    /// What staff confirm about an affiliate's payouts.
    pub enum Release {
        /// They go on after a payment was blocked, refunded or reversed, or failed.
        Blocked = "blocked",
        /// Several affiliates may be paid to its present PayPal e-mail.
        SharedReceiver = "shared_receiver",
        /// A sum above the limit for one payment may be paid.
        Sum = "sum",
    }
}

/// What was paid before payouts were made here.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOpening {
    /// The last month that was paid elsewhere; null: none was.
    #[schema(value_type = Option<String>, pattern = "^20[0-9]{2}-(0[1-9]|1[0-2])$", example = "2026-04")]
    pub through: Option<Month>,
    /// For this affiliate alone; null: for all.
    #[schema(value_type = Option<String>, pattern = "^aff_[0-9a-z]{13}$")]
    pub affiliate_id: Option<AffiliateId>,
}
