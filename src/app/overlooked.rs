//! What was taken in and earns nothing or has no effect, although its sender may have meant it to: referrals on plans that
//! have no rate, events of types that are ignored.
//!
//! All accounts are read for it, so it is counted aside, now and then, and what was counted last is shown.

use super::{AccountList, App, ReadError, ReferralState, lock};
use crate::domain::account::Account;
use crate::domain::calendar::Month;
use crate::domain::id::{AccountId, Plan};
use crate::domain::statement::Change;
use crate::store::Finding;
use chrono::{DateTime, Utc};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long what was counted is shown, at least.
const SHOWN_FOR: Duration = Duration::from_mins(1);
/// What took long to count is shown for so many times as long.
const TIMES_AS_LONG: u32 = 20;
/// Accounts that are read at once.
const AT_ONCE: usize = 500;

/// What was found.
#[derive(Debug, Default)]
pub struct Overlooked {
    /// Referrals whose plan has no rate, and whose crossing is not stated for ever.
    pub without_rate: u64,
    /// The one of them that signed up last, with its plan.
    pub newest_without_rate: Option<(DateTime<Utc>, AccountId, Plan)>,
    /// Events that were kept without effect.
    pub ignored: u64,
    /// The one of them that happened last: its account, and what its sender called it.
    pub newest_ignored: Option<(DateTime<Utc>, AccountId, String)>,
}

/// What was counted last, and until when it is shown.
#[derive(Debug, Default)]
pub(super) struct Kept {
    last: Mutex<Option<(Arc<Overlooked>, Instant)>>,
    counting: tokio::sync::Mutex<()>,
}

impl App {
    /// What was found when it was counted last. If that is long ago, it is counted again, and waited for up to `patience`:
    /// `None` where it was not finished even once.
    pub async fn overlooked(self: &Arc<Self>, patience: Duration) -> Option<Arc<Overlooked>> {
        if !self.knows_the_overlooked() {
            let (app, (done, counted)) = (Arc::clone(self), tokio::sync::oneshot::channel());
            self.do_later(async move {
                app.count_overlooked().await;
                // Whoever asked may have gone on without it.
                let _ = done.send(());
            });
            let _ = tokio::time::timeout(patience, counted).await;
        }
        lock(&self.books.overlooked.last).as_ref().map(|(found, _)| Arc::clone(found))
    }

    /// The same, as an operator is told it.
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
        // Whoever asks meanwhile waits, and is shown the same.
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
            Err(error) => tracing::warn!(%error, "what was overlooked could not be counted"),
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
