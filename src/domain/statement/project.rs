//! The statements of open months: a pure function of the referrals' summaries and the last full day.

use super::adjust::adjustments;
use super::book::{MonthBook, StatementMonth};
use super::summary::Summary;
use super::{Adjustment, Ledger, Line, Statement, hash_of};
use crate::domain::by_hand::LineByHand;
use crate::domain::calendar::Month;
use crate::domain::commission::commission_in;
use crate::domain::id::LineKey;
use crate::domain::money::Money;
use std::collections::BTreeSet;

/// The statements of all open months of an affiliate, ascending, up to the month of the last full day, from
/// the summaries of all its referrals (in any order, each account once).
///
/// A month has a statement if the affiliate had a referral before its end, or if a closed month is to be
/// corrected, or if it has lines by hand: corrections and lines by hand go to the earliest open month. A due month is closed by keeping its projection
/// unchanged; the projections of the months after it stay the same, byte for byte.
pub fn project<'a>(
    ledger: &'a Ledger<'a>,
    summaries: impl IntoIterator<Item = &'a Summary>,
) -> Vec<Statement> {
    let ascending = ledger.closed_months.is_sorted_by(|one, next| one.month < next.month);
    assert!(ascending, "a month is closed once, and closed months come in order");
    let book = MonthBook::of(ledger, summaries);
    let mut open_months = book.open_months().peekable();
    if open_months.peek().is_none() {
        return Vec::new();
    }
    let rules_hash = ledger.rules.hash();
    // All of them go to the first open month.
    let mut adjustments = adjustments(&book);
    let mut by_hand = ledger.by_hand.to_vec();
    let mut statements: Vec<Statement> = Vec::new();
    for month in open_months {
        let period = book.open(month);
        let adjustments = std::mem::take(&mut adjustments);
        let by_hand = std::mem::take(&mut by_hand);
        // Lines need no check: each belongs to a referral.
        if adjustments.is_empty() && by_hand.is_empty() && !book.has_referral(&period) {
            continue;
        }
        let active_accounts = book.active_accounts(&period);
        let lines = lines(&book, &period, active_accounts);
        let mut statement = Statement {
            affiliate_id: ledger.affiliate_id,
            month,
            active_accounts,
            tier_from: period.rules.tier(active_accounts).from,
            total: total(&lines, &adjustments, &by_hand),
            lines,
            adjustments,
            by_hand,
            currency: period.rules.currency.clone(),
            rules_hash: rules_hash.clone(),
            facts_hash: book.facts_hash(&period),
            previous: previous(ledger, &statements, month).map(|statement| statement.hash.clone()),
            hash: String::new(),
        };
        statement.hash = hash_of(&statement);
        check(&statement);
        statements.push(statement);
    }
    statements
}

fn lines(book: &MonthBook<'_>, period: &StatementMonth<'_>, active_accounts: u32) -> Vec<Line> {
    let crossings = book.crossings(period).map(|(account_id, crossing)| {
        let (amount, note) = commission_in(period.rules, period.month, active_accounts, &crossing.plan);
        Line {
            account_id: account_id.clone(),
            plan: crossing.plan.clone(),
            crossed_on: crossing.on,
            amount,
            note,
        }
    });
    crossings.collect()
}

fn total(lines: &[Line], adjustments: &[Adjustment], by_hand: &[LineByHand]) -> Money {
    let earned = lines.iter().map(|line| line.amount);
    let corrected = adjustments.iter().map(|adjustment| adjustment.amount);
    earned.chain(corrected).chain(by_hand.iter().map(|line| line.amount)).sum()
}

/// The affiliate's latest statement of an earlier month, closed or just projected.
fn previous<'s>(ledger: &'s Ledger<'_>, projected: &'s [Statement], month: Month) -> Option<&'s Statement> {
    let closed = ledger.closed_months.iter().filter_map(|closed| closed.statement.as_ref());
    let earlier_closed = closed.rev().find(|statement| statement.month < month);
    earlier_closed.into_iter().chain(projected.last()).max_by_key(|statement| statement.month)
}

/// Fails for what would be a bug, whatever the facts are.
fn check(statement: &Statement) {
    let Statement { month, lines, adjustments, by_hand, total, .. } = statement;
    let sorted = lines.is_sorted_by(|one, next| one.account_id < next.account_id);
    assert!(sorted, "a line an account, by account id");
    let sorted = adjustments
        .is_sorted_by(|one, next| (one.for_month, &one.account_id) < (next.for_month, &next.account_id));
    assert!(sorted, "an adjustment a closed month and account, in order");
    let mut sum = Money::ZERO;
    for line in lines {
        assert!(Month::of(line.crossed_on) == *month, "a line's crossing lies in its month");
        assert!(line.note.is_none() || line.amount.is_zero(), "a line with a note earns nothing");
        assert!(line.amount >= Money::ZERO, "a commission is never negative");
        sum += line.amount;
    }
    for adjustment in adjustments {
        assert!(adjustment.stated + adjustment.amount == adjustment.now, "an adjustment leads to now");
        assert!(!adjustment.amount.is_zero(), "an adjustment of nothing is none");
        sum += adjustment.amount;
    }
    let keys: BTreeSet<&LineKey> = by_hand.iter().map(|line| &line.key).collect();
    assert!(keys.len() == by_hand.len(), "a key by hand stands for one line");
    for line in by_hand {
        assert!(!line.amount.is_zero(), "a line by hand of nothing is none");
        sum += line.amount;
    }
    assert!(sum == *total, "the total is the sum of lines, adjustments and lines by hand");
}
