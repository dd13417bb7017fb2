//! The book of one computation: for each month, open or closed, which referrals were active at its end and
//! which qualified in it.

use super::Ledger;
use super::closing::months_of_held;
use super::summary::{Crossing, Summary};
use crate::domain::calendar::Month;
use crate::domain::id::AccountId;
use crate::domain::mark::Marks;
use crate::domain::program::{Rules, hex};
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// An affiliate's referrals, and the months that are computed from them.
pub(super) struct MonthBook<'a> {
    pub ledger: &'a Ledger<'a>,
    /// By account id, without those that signed up after the last full day.
    pub referrals: Vec<&'a Summary>,
    marks: Marks,
    /// The first instant after the last full day: later facts are ignored.
    seen_until: DateTime<Utc>,
    /// For each referral that is held now: in which closed months it counts.
    held: HashMap<&'a AccountId, Vec<bool>>,
}

/// A month that is to be computed.
pub(super) struct StatementMonth<'a> {
    pub month: Month,
    pub rules: &'a Rules,
    /// The first instant after it, or after the last full day if that is earlier.
    pub end: DateTime<Utc>,
    /// Its index among the closed months; `None`: it is open.
    closed: Option<usize>,
}

impl<'a> MonthBook<'a> {
    pub fn of(ledger: &'a Ledger<'a>, summaries: impl IntoIterator<Item = &'a Summary>) -> Self {
        let marks = ledger.marks();
        let seen_until = marks.of_open().zone.end_of(ledger.through);
        let seen = summaries.into_iter().filter(|summary| summary.signed_up_at < seen_until);
        let mut referrals: Vec<&Summary> = seen.collect();
        referrals.sort_unstable_by_key(|summary| &summary.account_id);
        let distinct = referrals.is_sorted_by(|one, next| one.account_id < next.account_id);
        assert!(distinct, "an account is credited to an affiliate once");
        let current = referrals.iter().all(|summary| summary.is_still_valid(ledger.through));
        assert!(current, "a summary is found anew when its day has come");
        let held = referrals.iter().filter(|summary| summary.is_held());
        let held = held.map(|summary| (&summary.account_id, months_of_held(summary, ledger.closed_months)));
        Self { ledger, marks, seen_until, held: held.collect(), referrals }
    }

    /// The open months, from the first in which the affiliate may have a statement to that of the last full
    /// day.
    pub fn open_months(&self) -> impl Iterator<Item = Month> + use<'_> {
        let signups = self.referrals.iter().map(|summary| summary.signed_up_at);
        let first_signup = signups.min().map(|at| self.marks.of_open().zone.month_of(at));
        let first_closed = self.ledger.closed_months.first().map(|closed| closed.month);
        let last = Month::of(self.ledger.through);
        let months = first_signup.into_iter().chain(first_closed).chain(self.first_by_hand(last)).min();
        let months = months.into_iter().flat_map(move |first| first.through(last));
        months.filter(|month| !self.marks.is_closed(*month))
    }

    /// The month of its oldest line by hand. A line that was added after the last full day counts from the month of
    /// that day on.
    fn first_by_hand(&self, last: Month) -> Option<Month> {
        let added = self.ledger.by_hand.iter().map(|line| line.at).min();
        added.map(|at| self.marks.of_open().zone.month_of(at).min(last))
    }

    /// An open month.
    pub fn open(&self, month: Month) -> StatementMonth<'a> {
        let end = self.marks.of_open().zone.end_of_month(month).min(self.seen_until);
        StatementMonth { month, rules: self.ledger.rules, end, closed: None }
    }

    /// The closed months, with the rules that they were closed with. A month that ends after the last full
    /// day (the run looks back to an earlier day) is left out.
    pub fn closed(&self) -> impl Iterator<Item = StatementMonth<'a>> + use<'_, 'a> {
        let periods = self.ledger.closed_months.iter().enumerate().map(|(place, closed)| StatementMonth {
            month: closed.month,
            rules: &closed.rules,
            end: self.marks.in_month(closed.month).zone.end_of_month(closed.month),
            closed: Some(place),
        });
        periods.filter(|period| period.end <= self.seen_until)
    }

    /// Whether the affiliate had any referral before the month's end.
    pub fn has_referral(&self, period: &StatementMonth<'_>) -> bool {
        self.referrals.iter().any(|summary| summary.signed_up_at < period.end)
    }

    /// The referrals that are active at the month's end, neither held nor rejected.
    pub fn active_accounts(&self, period: &StatementMonth<'_>) -> u32 {
        let counted = self.referrals.iter().filter(|summary| self.counts(summary, period));
        let active = counted.filter(|summary| summary.active_at_end(period.end)).count();
        u32::try_from(active).unwrap_or(u32::MAX)
    }

    /// The qualifications in the month, by account id, of referrals that are neither held nor rejected.
    pub fn crossings<'s>(
        &'s self,
        period: &'s StatementMonth<'_>,
    ) -> impl Iterator<Item = (&'a AccountId, &'a Crossing)> + use<'s, 'a> {
        self.referrals.iter().filter_map(|summary| {
            let crossing = summary.crossing.as_ref().filter(|crossing| crossing.month == period.month)?;
            self.counts(summary, period).then_some((&summary.account_id, crossing))
        })
    }

    /// SHA-256, in lower-case hex, of the canonical JSON of the list of the hashes of the referrals' facts
    /// dated before the month's end, by account id.
    pub fn facts_hash(&self, period: &StatementMonth<'_>) -> String {
        let mut hash = Sha256::new();
        let mut separator = "[\"";
        for facts in self.referrals.iter().filter_map(|summary| summary.facts_before(period.end)) {
            hash.update(separator);
            hash.update(facts);
            separator = "\",\"";
        }
        hash.update(if separator == "[\"" { "[]" } else { "\"]" });
        hex(&hash.finalize())
    }

    /// Whether a referral counts in a month: a held one counts in closed months only, where it counted
    /// before.
    fn counts(&self, summary: &Summary, period: &StatementMonth<'_>) -> bool {
        match self.held.get(&summary.account_id) {
            Some(months) => period.closed.is_some_and(|place| months[place]),
            None => !summary.rejected,
        }
    }
}
