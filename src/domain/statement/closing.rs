//! Which referrals counted when a month was closed: this decides for a referral that is held now.
//!
//! A hold keeps a referral out of months that are not closed yet, and changes nothing in closed ones. So in
//! each closed month, a held referral is treated as it was at the latest closing, from that month's own on,
//! at which it was not held. Each closing's fact says which referrals counted and which were held, so that no
//! clock is needed.

use super::ClosedMonth;
use super::summary::Summary;
use crate::domain::id::AccountId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most referrals that a closing lists; with the longest ids they just fit into a fact. With more, the
/// closing has no list, and times decide the order of holds and closings.
const MOST_LISTED: usize = 20_000;

/// An affiliate's referrals at a closing, as differences from the closing before; by account id.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClosingReferrals {
    /// Counted now, and not before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counted: Vec<AccountId>,
    /// Held now, and not before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<AccountId>,
    /// Counted or held before, and now rejected or another affiliate's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub out: Vec<AccountId>,
}

/// The state of a referral at a closing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Counted,
    Held,
    /// Not known yet, rejected, or another affiliate's.
    Out,
}

impl State {
    fn of(summary: &Summary) -> Self {
        if summary.rejected {
            Self::Out
        } else if summary.held_since.is_some() {
            Self::Held
        } else {
            Self::Counted
        }
    }
}

impl ClosingReferrals {
    /// The affiliate's referrals now, compared with the last closed month; `None`: there are too many changes
    /// to list.
    pub fn since<'s>(
        closed_months: &[ClosedMonth],
        summaries: impl IntoIterator<Item = &'s Summary>,
    ) -> Option<Self> {
        let mut before = last_states(closed_months);
        let mut differences = Self::default();
        for summary in summaries {
            let account = &summary.account_id;
            let now = State::of(summary);
            if before.remove(account).unwrap_or(State::Out) != now {
                differences.list_mut(now).push(account.clone());
            }
        }
        differences.out.extend(before.into_keys().cloned());
        for list in [&mut differences.counted, &mut differences.held, &mut differences.out] {
            list.sort_unstable();
        }
        let listed = differences.counted.len() + differences.held.len() + differences.out.len();
        (listed <= MOST_LISTED).then_some(differences)
    }

    fn list_mut(&mut self, state: State) -> &mut Vec<AccountId> {
        match state {
            State::Counted => &mut self.counted,
            State::Held => &mut self.held,
            State::Out => &mut self.out,
        }
    }

    fn of(&self, account: &AccountId) -> Option<State> {
        let lists = [(&self.counted, State::Counted), (&self.held, State::Held), (&self.out, State::Out)];
        lists.into_iter().find(|(list, _)| list.binary_search(account).is_ok()).map(|(_, state)| state)
    }
}

/// The state of each referral at the last closing, without those that were out.
fn last_states(closed_months: &[ClosedMonth]) -> BTreeMap<&AccountId, State> {
    let mut states = BTreeMap::new();
    for closed in closed_months {
        match &closed.referrals {
            Some(differences) => {
                states.extend(differences.counted.iter().map(|account| (account, State::Counted)));
                states.extend(differences.held.iter().map(|account| (account, State::Held)));
                states.retain(|account, _| differences.out.binary_search(account).is_err());
            }
            None => states.clear(),
        }
    }
    states
}

/// In which closed months, in order, a referral that is held now counts.
pub(super) fn months_of_held(summary: &Summary, closed_months: &[ClosedMonth]) -> Vec<bool> {
    let mut last = State::Out;
    let mut states: Vec<State> = Vec::with_capacity(closed_months.len());
    for closed in closed_months {
        last = match &closed.referrals {
            Some(differences) => differences.of(&summary.account_id).unwrap_or(last),
            None => State::Out,
        };
        states.push(if is_by_clock(closed) { by_clock(summary, closed) } else { last });
    }
    // Going back from the last closing: the first one at which it was not held is the latest for all months
    // before it.
    let mut counts = vec![false; states.len()];
    let mut latest = None;
    for (place, state) in states.into_iter().enumerate().rev() {
        latest = latest.or((state != State::Held).then_some(state));
        counts[place] = latest == Some(State::Counted);
    }
    counts
}

/// For closings without a list, times decide. Without a statement the affiliate had no referral.
fn is_by_clock(closed: &ClosedMonth) -> bool {
    closed.statement.is_some() && closed.referrals.is_none()
}

fn by_clock(summary: &Summary, closed: &ClosedMonth) -> State {
    let held = summary.held_since.is_some_and(|since| since <= closed.closed_at);
    if held { State::Held } else { State::Counted }
}
