//! Which referrals counted when a month was closed: what a referral that is held now stands by.
//!
//! A hold keeps a referral out of months that are not closed yet, and changes nothing of closed ones. So for each
//! closed month a held referral stands as at the latest closing, from that month's own on, at which it was not
//! held. Each closing's fact says which referrals counted and which were held; no clock is asked.

use super::ClosedMonth;
use super::summary::Summary;
use crate::domain::id::AccountId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Referrals that a closing lists; their longest ids just fit into a fact. With more, it does not say who counted, and
/// the order of holds and closings is that of the clock.
const MOST_LISTED: usize = 20_000;

/// An affiliate's referrals at a closing, as differences from its closing before; by account id.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClosingReferrals {
    /// Counted now, and did not before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counted: Vec<AccountId>,
    /// Held now, and was not before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<AccountId>,
    /// Counted or was held before, and is now rejected or another affiliate's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub out: Vec<AccountId>,
}

/// How a referral stood at a closing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stood {
    Counted,
    Held,
    /// Not known yet, rejected, or another affiliate's.
    Out,
}

impl Stood {
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
    /// How an affiliate's referrals stand now, compared with the last of its closed months; `None`: too much changed to
    /// be listed.
    pub fn since<'s>(
        closed_months: &[ClosedMonth],
        summaries: impl IntoIterator<Item = &'s Summary>,
    ) -> Option<Self> {
        let mut before = stood_last(closed_months);
        let mut differences = Self::default();
        for summary in summaries {
            let account = &summary.account_id;
            let now = Stood::of(summary);
            if before.remove(account).unwrap_or(Stood::Out) != now {
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

    fn list_mut(&mut self, stood: Stood) -> &mut Vec<AccountId> {
        match stood {
            Stood::Counted => &mut self.counted,
            Stood::Held => &mut self.held,
            Stood::Out => &mut self.out,
        }
    }

    fn of(&self, account: &AccountId) -> Option<Stood> {
        let lists = [(&self.counted, Stood::Counted), (&self.held, Stood::Held), (&self.out, Stood::Out)];
        lists.into_iter().find(|(list, _)| list.binary_search(account).is_ok()).map(|(_, stood)| stood)
    }
}

/// How each referral stood at the last closing; those that were out are left out.
fn stood_last(closed_months: &[ClosedMonth]) -> BTreeMap<&AccountId, Stood> {
    let mut stood = BTreeMap::new();
    for closed in closed_months {
        match &closed.referrals {
            Some(differences) => {
                stood.extend(differences.counted.iter().map(|account| (account, Stood::Counted)));
                stood.extend(differences.held.iter().map(|account| (account, Stood::Held)));
                stood.retain(|account, _| differences.out.binary_search(account).is_err());
            }
            None => stood.clear(),
        }
    }
    stood
}

/// In which closed months a referral that is held now counts, in their order.
pub(super) fn months_of_held(summary: &Summary, closed_months: &[ClosedMonth]) -> Vec<bool> {
    let mut last = Stood::Out;
    let mut stood: Vec<Stood> = Vec::with_capacity(closed_months.len());
    for closed in closed_months {
        last = match &closed.referrals {
            Some(differences) => differences.of(&summary.account_id).unwrap_or(last),
            None => Stood::Out,
        };
        stood.push(if is_by_clock(closed) { by_clock(summary, closed) } else { last });
    }
    // From the last closing back, the first at which it was not held is the latest for all months before.
    let mut counts = vec![false; stood.len()];
    let mut latest = None;
    for (place, stood) in stood.into_iter().enumerate().rev() {
        latest = latest.or((stood != Stood::Held).then_some(stood));
        counts[place] = latest == Some(Stood::Counted);
    }
    counts
}

/// Closings journaled before they said who counted are put in order by the clock. Where the affiliate has no
/// statement, it had no referral.
fn is_by_clock(closed: &ClosedMonth) -> bool {
    closed.statement.is_some() && closed.referrals.is_none()
}

fn by_clock(summary: &Summary, closed: &ClosedMonth) -> Stood {
    let held = summary.held_since.is_some_and(|since| since <= closed.closed_at);
    if held { Stood::Held } else { Stood::Counted }
}
