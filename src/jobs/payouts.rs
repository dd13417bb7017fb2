//! The schedule of payouts: every node checks the clock, and the one that gets the lease makes the batch.

use crate::app::App;
use crate::app::actor::Actor;
use crate::app::payouts::{Looks, MakeError};
use crate::domain::calendar::Month;
use crate::paypal::Client;
use chrono::NaiveTime;
use std::sync::Arc;
use std::time::Duration;

/// How often it checks the clock.
const TICK: Duration = Duration::from_secs(1);
/// The wait after a batch that could not be made.
const RETRY_AFTER: Duration = Duration::from_mins(10);

/// Makes the batch of a month at a local time on the last day of the month after, until the application stops. A day
/// that was missed is made up for; a batch that a person discarded is not made again.
pub async fn run(app: Arc<App>, at: NaiveTime) {
    // The month whose batch was there when it was last looked for.
    let mut done: Option<Month> = None;
    while !app.stopping().await_for(TICK).await {
        let month = app.payout_month_due(at);
        let is_closed = app.directory().months().any(|doc| doc.month == month && doc.closed);
        if done == Some(month) || !is_closed || !app.store_is_up() {
            continue;
        }
        match make(&app, month).await {
            Ok(()) | Err(MakeError::NothingDue) => done = Some(month),
            // A nightly run or another node is at work.
            Err(MakeError::Busy) => {}
            Err(error) => {
                tracing::error!(%error, %month, "the payout was not made; it is tried again in ten minutes");
                if app.stopping().await_for(RETRY_AFTER).await {
                    return;
                }
            }
        }
    }
}

async fn make(app: &Arc<App>, month: Month) -> Result<(), MakeError> {
    if app.had_payout(month).await? {
        return Ok(());
    }
    let made = app.make_payout(&Actor::server(), Some(month)).await?;
    tracing::info!(payout = %made.batch.id, items = made.batch.items(), carried = made.batch.carried,
        "a payout waits for approval");
    Ok(())
}

/// How often it looks for calls that are due.
const CALLS: Duration = Duration::from_millis(if cfg!(feature = "sabotage") { 200 } else { 1_000 });
/// The wait after a failure of the store or a stop.
const PAUSE: Duration = Duration::from_secs(if cfg!(feature = "sabotage") { 2 } else { 30 });

/// Calls PayPal about batches that are submitted, and asks about them until they are final, until the application
/// stops. Of several nodes, the one that holds the lease does it.
pub async fn pay(app: Arc<App>, paypal: Arc<Client>) {
    let mut looks = Looks::default();
    while !app.stopping().await_for(CALLS).await {
        if !app.store_is_up() || !app.pays_by_api().await {
            continue;
        }
        if let Err(error) = app.pay(&paypal, &mut looks).await {
            tracing::warn!(%error, "payouts by PayPal wait; they are looked at again in half a minute");
            if app.stopping().await_for(PAUSE).await {
                return;
            }
        }
    }
}
