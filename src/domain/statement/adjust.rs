//! Adjustments: what closed months would say now, minus what they say.

use super::Adjustment;
use super::book::MonthBook;
use crate::domain::calendar::Month;
use crate::domain::commission::commission_in;
use crate::domain::id::AccountId;
use crate::domain::money::Money;
use std::collections::{BTreeMap, BTreeSet};

/// What a closed month has stated for an account so far, and what it would state now.
#[derive(Default)]
struct Balance {
    stated: Money,
    now: Money,
}

/// The adjustments due for all closed months, by month and account id.
pub(super) fn adjustments(book: &MonthBook<'_>) -> Vec<Adjustment> {
    let mut balances: BTreeMap<(Month, &AccountId), Balance> = BTreeMap::new();
    for statement in book.ledger.closed_months.iter().filter_map(|closed| closed.statement.as_ref()) {
        for line in &statement.lines {
            balances.entry((statement.month, &line.account_id)).or_default().stated += line.amount;
        }
        for adjustment in &statement.adjustments {
            balances.entry((adjustment.for_month, &adjustment.account_id)).or_default().stated +=
                adjustment.amount;
        }
    }
    let mut computed = BTreeSet::new();
    for period in book.closed() {
        computed.insert(period.month);
        let mut crossings = book.crossings(&period).peekable();
        if crossings.peek().is_none() {
            continue;
        }
        let active_accounts = book.active_accounts(&period);
        for (account_id, crossing) in crossings {
            let (amount, _) = commission_in(period.rules, period.month, active_accounts, &crossing.plan);
            balances.entry((period.month, account_id)).or_default().now += amount;
        }
    }
    let held = book.referrals.iter().filter(|summary| summary.is_held());
    let held: BTreeSet<&AccountId> = held.map(|summary| &summary.account_id).collect();
    let wrong = balances.into_iter().filter(|((month, account_id), balance)| {
        balance.stated != balance.now && computed.contains(month) && !held.contains(account_id)
    });
    let adjustment = |((for_month, account_id), Balance { stated, now }): ((Month, &AccountId), Balance)| {
        Adjustment { for_month, account_id: account_id.clone(), stated, now, amount: now - stated }
    };
    wrong.map(adjustment).collect()
}
