//! The book of one computation: each referral's history and crossing are found once; then each month,
//! open or closed, asks who was active at its end and who crossed in it.

use super::{ClosedMonth, Ledger, Referral};
use crate::domain::calendar::Month;
use crate::domain::history::{History, Mark};
use crate::domain::id::{AccountId, Plan};
use crate::domain::program::Rules;
use chrono::{DateTime, NaiveDate, Utc};

/// An affiliate's referrals, measured.
pub(super) struct Book<'a> {
    pub ledger: &'a Ledger<'a>,
    /// By account id. Those that had not signed up by the last full day are left out.
    pub accounts: Vec<Account<'a>>,
    marks: Marks<'a>,
    /// The first instant after the last full day: facts dated from it on are not seen.
    seen_until: DateTime<Utc>,
}

/// A referral with what it did.
pub(super) struct Account<'a> {
    pub history: History<'a>,
    crossing: Option<Crossing<'a>>,
}

/// An account's crossing of the mark, in the month by whose rules it did.
pub(super) struct Crossing<'a> {
    pub month: Month,
    pub on: NaiveDate,
    /// In force at the end of the crossing day.
    pub plan: &'a Plan,
}

/// A month as it is to be computed.
pub(super) struct Period<'a> {
    pub month: Month,
    pub rules: &'a Rules,
    /// The first instant after it, or after what is seen of it.
    pub end: DateTime<Utc>,
    /// When it was closed; `None`: it is open.
    closed_at: Option<DateTime<Utc>>,
}

/// The marks of open and closed months: nearly always one for all.
struct Marks<'a> {
    /// The first is that of open months.
    distinct: Vec<Mark>,
    closed_months: &'a [ClosedMonth],
    /// For each closed month the index of its mark.
    of_closed: Vec<usize>,
}

impl<'a> Book<'a> {
    pub fn of(ledger: &'a Ledger<'a>) -> Self {
        let marks = Marks::of(ledger);
        let seen_until = marks.of_open().zone.end_of(ledger.through);
        let mut book =
            Self { ledger, accounts: Vec::with_capacity(ledger.referrals.len()), marks, seen_until };
        for referral in ledger.referrals {
            if let Some(history) = History::before(referral, seen_until) {
                let crossing = book.crossing(&history);
                book.accounts.push(Account { history, crossing });
            }
        }
        book.accounts.sort_unstable_by_key(Account::id);
        let distinct = book.accounts.is_sorted_by(|one, next| one.id() < next.id());
        assert!(distinct, "an account is credited to an affiliate once");
        book
    }

    /// Open months from the first that the affiliate may have a statement for to that of the last full day.
    pub fn open_months(&self) -> impl Iterator<Item = Month> + use<'_> {
        let signups = self.accounts.iter().map(|account| account.referral().signed_up_at);
        let first_signup = signups.min().map(|at| self.marks.of_open().zone.month_of(at));
        let first_closed = self.ledger.closed_months.first().map(|closed| closed.month);
        let last = Month::of(self.ledger.through);
        let months = first_signup.into_iter().chain(first_closed).min();
        let months = months.into_iter().flat_map(move |first| first.through(last));
        months.filter(|month| self.marks.closed(*month).is_none())
    }

    /// An open month.
    pub fn open(&self, month: Month) -> Period<'a> {
        let end = self.marks.of_open().zone.end_of_month(month).min(self.seen_until);
        Period { month, rules: self.ledger.rules, end, closed_at: None }
    }

    /// The closed months, by the rules that they were closed with. One that is not wholly seen, because
    /// the run looks back to a day before its end, is left as it is.
    pub fn closed(&self) -> impl Iterator<Item = Period<'a>> + use<'_, 'a> {
        let periods = self.ledger.closed_months.iter().map(|closed| Period {
            month: closed.month,
            rules: &closed.rules,
            end: self.marks.in_month(closed.month).1.zone.end_of_month(closed.month),
            closed_at: Some(closed.closed_at),
        });
        periods.filter(|period| period.end <= self.seen_until)
    }

    /// Whether the affiliate had a referral before the month's end, of whatever kind.
    pub fn has_referral(&self, period: &Period<'_>) -> bool {
        self.accounts.iter().any(|account| account.referral().signed_up_at < period.end)
    }

    /// The referrals active at the month's end, neither held nor rejected.
    pub fn active_accounts(&self, period: &Period<'_>) -> u32 {
        let counted = self.accounts.iter().filter(|account| account.counts_in(period));
        let active = counted.filter(|account| account.history.active_at_end(period.end)).count();
        u32::try_from(active).unwrap_or(u32::MAX)
    }

    /// The crossings in the month, by account id, of referrals neither held nor rejected.
    pub fn crossings<'s>(
        &'s self,
        period: &'s Period<'_>,
    ) -> impl Iterator<Item = (&'a AccountId, &'s Crossing<'a>)> + use<'s, 'a> {
        self.accounts.iter().filter_map(|account| {
            let crossing = account.crossing.as_ref().filter(|crossing| crossing.month == period.month)?;
            account.counts_in(period).then_some((account.id(), crossing))
        })
    }

    /// Where the account crosses: in the first month in which it does by that month's rules, if it
    /// earns there. After an affiliate's closing day it does not.
    fn crossing(&self, history: &History<'a>) -> Option<Crossing<'a>> {
        let crossings = self.marks.distinct.iter().enumerate().filter_map(|(index, mark)| {
            let on = history.crossing(mark)?;
            let month = Month::of(on);
            let valid = self.marks.in_month(month).0 == index && mark.zone.end_of(on) <= self.seen_until;
            valid.then_some((month, on, mark))
        });
        let (month, on, mark) = crossings.min_by_key(|crossing| crossing.0)?;
        let closing_day = self.ledger.closed_at.map(|at| mark.zone.date_of(at));
        let earns = closing_day.is_none_or(|closing_day| on <= closing_day);
        earns.then(|| Crossing { month, on, plan: history.plan_before(mark.zone.end_of(on)) })
    }
}

impl<'a> Account<'a> {
    pub fn id(&self) -> &'a AccountId {
        &self.referral().account_id
    }

    pub fn referral(&self) -> &'a Referral {
        self.history.referral()
    }

    /// Whether it waits for review; one that was rejected does not wait any more.
    pub fn is_held(&self) -> bool {
        self.referral().held_since.is_some() && !self.referral().rejected
    }

    /// Whether it counts in a month: a hold acts on months closed after it began.
    fn counts_in(&self, period: &Period<'_>) -> bool {
        let referral = self.referral();
        let held = referral.held_since.is_some_and(|since| period.closed_at.is_none_or(|at| since <= at));
        !held && !referral.rejected
    }
}

impl<'a> Marks<'a> {
    fn of(ledger: &Ledger<'a>) -> Self {
        let mut distinct = vec![mark(ledger.rules)];
        let of_closed = ledger.closed_months.iter().map(|closed| {
            let known = distinct.iter().position(|mark| mark.is_of(&closed.rules));
            known.unwrap_or_else(|| {
                distinct.push(mark(&closed.rules));
                distinct.len() - 1
            })
        });
        let of_closed = of_closed.collect();
        Self { distinct, closed_months: ledger.closed_months, of_closed }
    }

    fn of_open(&self) -> &Mark {
        &self.distinct[0]
    }

    fn closed(&self, month: Month) -> Option<usize> {
        self.closed_months.binary_search_by_key(&month, |closed| closed.month).ok()
    }

    /// A month's mark, and its index.
    fn in_month(&self, month: Month) -> (usize, &Mark) {
        let index = self.closed(month).map_or(0, |closed| self.of_closed[closed]);
        (index, &self.distinct[index])
    }
}

fn mark(rules: &Rules) -> Mark {
    // A program with an unknown zone is refused when it is read, and a month is only closed by a
    // program in use; names never leave the database.
    Mark::of(rules).expect("the program's time zone is known")
}
