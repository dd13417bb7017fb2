//! Accepted reports that earn nothing or have no effect, although the sender may have expected one: referrals on plans
//! without a rate, events of ignored types.
//!
//! Counting reads all accounts, so it runs in the background from time to time, and the last result is shown.

use super::{AccountList, App, ReadError, ReferralState, lock};
use crate::domain::account::Account;
use crate::domain::calendar::Month;
use crate::domain::id::{AccountId, Plan};
use crate::domain::statement::Change;
use crate::store::Finding;
use chrono::{DateTime, Utc};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a result is shown, at least.
const SHOWN_FOR: Duration = Duration::from_mins(1);
/// A slow count is shown for this many times its duration.
const TIMES_AS_LONG: u32 = 20;
/// Accounts read at once.
const AT_ONCE: usize = 500;

/// The result of a count.
#[derive(Debug, Default)]
pub struct Overlooked {
    /// Referrals whose plan has no rate, and whose qualification is not in a closed month.
    pub without_rate: u64,
    /// The newest of them by signup, with its plan.
    pub newest_without_rate: Option<(DateTime<Utc>, AccountId, Plan)>,
    /// Events that were kept without effect.
    pub ignored: u64,
    /// The newest of them: when it happened, its account, and its type as the sender wrote it.
    pub newest_ignored: Option<(DateTime<Utc>, AccountId, String)>,
}

/// The last result, and until when it is shown.
#[derive(Debug, Default)]
pub(super) struct Kept {
    last: Mutex<Option<(Arc<Overlooked>, Instant)>>,
    counting: tokio::sync::Mutex<()>,
}

impl App {
    /// The last result. If it is too old, a new count is started and awaited for up to `patience`; `None`: no count has
    /// finished yet.
    pub async fn overlooked(self: &Arc<Self>, patience: Duration) -> Option<Arc<Overlooked>> {
        if !self.knows_the_overlooked() {
            let (app, (done, counted)) = (Arc::clone(self), tokio::sync::oneshot::channel());
            self.do_later(async move {
                app.count_overlooked().await;
                // The request may have stopped waiting.
                let _ = done.send(());
            });
            let _ = tokio::time::timeout(patience, counted).await;
        }
        lock(&self.books.overlooked.last).as_ref().map(|(found, _)| Arc::clone(found))
    }

    /// The same as findings for an operator.
    pub async fn inspect_reports(self: &Arc<Self>, patience: Duration) -> Vec<Finding> {
        if let Some(found) = self.overlooked(patience).await {
            return vec![found.plans(), found.events()];
        }
        let text = "plans and events could not be counted; the log says why".to_owned();
        vec![Finding { check: "plans", ok: false, text }]
    }

    fn knows_the_overlooked(&self) -> bool {
        lock(&self.books.overlooked.last).as_ref().is_some_and(|(_, until)| Instant::now() < *until)
    }

    async fn count_overlooked(&self) {
        // Another request at the same time waits, and gets the same result.
        let _one_at_a_time = self.books.overlooked.counting.lock().await;
        if self.knows_the_overlooked() {
            return;
        }
        let begun = Instant::now();
        match self.find_overlooked().await {
            Ok(found) => {
                let until = Instant::now() + SHOWN_FOR.max(begun.elapsed() * TIMES_AS_LONG);
                *lock(&self.books.overlooked.last) = Some((Arc::new(found), until));
            }
            Err(error) => tracing::warn!(%error, "reports without effect could not be counted"),
        }
    }

    async fn find_overlooked(&self) -> Result<Overlooked, ReadError> {
        let closed = self.directory().months().filter(|month| month.closed).map(|month| month.month).max();
        let rules = &self.settings().rules;
        let mut found = Overlooked::default();
        let mut cursor: Option<String> = None;
        loop {
            let page = self.accounts(AccountList::All, cursor.as_deref(), AT_ONCE).await?;
            page.data.iter().for_each(|account| found.note_events(account));
            for referral in self.referral_summaries(page.data, &[]) {
                let may_earn = !matches!(referral.state, ReferralState::Rejected | ReferralState::Canceled)
                    && referral.crossed_on.is_none_or(|day| Some(Month::of(day)) > closed);
                if may_earn && !rules.has_rate(&referral.plan) {
                    found.without_rate += 1;
                    let this = Some((referral.signed_up_at, referral.account_id, referral.plan));
                    found.newest_without_rate = found.newest_without_rate.take().max(this);
                }
            }
            if page.next_cursor.is_none() {
                return Ok(found);
            }
            cursor = page.next_cursor;
        }
    }
}

impl Overlooked {
    fn note_events(&mut self, account: &Account) {
        for kept in &account.events {
            if let Change::Unknown { name } = &kept.event.change {
                self.ignored += 1;
                let this = Some((kept.event.occurred_at, account.id.clone(), name.clone()));
                self.newest_ignored = self.newest_ignored.take().max(this);
            }
        }
    }

    fn plans(&self) -> Finding {
        let text = match &self.newest_without_rate {
            None => "each referral's plan has a rate".to_owned(),
            Some((_, account, plan)) => format!(
                "{} on plans without a rate, the newest is {account} on {plan}: they earn nothing; add the plans to \
                 program.tiers, or report their right plans",
                count(self.without_rate, "referral"),
            ),
        };
        Finding { check: "plans", ok: self.without_rate == 0, text }
    }

    fn events(&self) -> Finding {
        let text = match &self.newest_ignored {
            None => "none was kept without effect".to_owned(),
            Some((at, account, name)) => format!(
                "{} kept without effect, the newest is {name:?} of {account}, dated {}; if it should have one, name it in \
                 events.aliases and send it again",
                count(self.ignored, "event"),
                at.format("%F"),
            ),
        };
        Finding { check: "events", ok: true, text }
    }
}

fn count(number: u64, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}
