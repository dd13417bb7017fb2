//! A second model of a month, slow and simple: it looks at each referral and each day again, and does not use
//! earlier statements.

use super::*;
use crate::domain::mark::Mark;
use chrono::Days;

/// What a month says by all facts.
#[derive(Debug, PartialEq)]
pub struct Totals {
    pub active_accounts: u32,
    /// Account, plan, day, amount.
    pub lines: Vec<(AccountId, Plan, NaiveDate, Money)>,
}

fn mark_of(rules: &Rules) -> Mark {
    Mark::of(rules).expect("a zone")
}

fn closed<'a>(ledger: &Ledger<'a>, month: Month) -> Option<&'a ClosedMonth> {
    ledger.closed_months.iter().find(|closed| closed.month == month)
}

fn rules_of<'a>(ledger: &Ledger<'a>, month: Month) -> &'a Rules {
    closed(ledger, month).map_or(ledger.rules, |closed| &closed.rules)
}

fn seen_until(ledger: &Ledger<'_>) -> DateTime<Utc> {
    mark_of(ledger.rules).zone.end_of(ledger.through)
}

/// The referrals as far as they are dated up to the last full day, by account id.
fn seen(ledger: &Ledger<'_>, referrals: &[Referral]) -> Vec<Referral> {
    let mut referrals: Vec<Referral> = referrals.to_vec();
    let until = seen_until(ledger);
    referrals.retain(|referral| referral.signed_up_at < until);
    for referral in &mut referrals {
        referral.events.retain(|event| event.occurred_at < until);
    }
    referrals.sort_by(|one, other| one.account_id.cmp(&other.account_id));
    referrals
}

/// The month in which the account qualifies by that month's rules, and the day.
fn crossing(ledger: &Ledger<'_>, referral: &Referral) -> Option<(Month, NaiveDate)> {
    let mark = |month| mark_of(rules_of(ledger, month));
    let last = ledger.through + Days::new(2);
    let on = naive::crossing(referral, mark, last)?;
    let seen = mark(Month::of(on)).zone.end_of(on) <= seen_until(ledger);
    seen.then_some((Month::of(on), on))
}

/// Whether a referral that is held now counts in a month: as at the latest closing, from that month's own on,
/// at which it was not held.
fn stands_in(program: &Program, referral: &Referral, month: Month) -> bool {
    let closings = program.known_at.iter().filter(|(closed, _)| *closed >= month);
    let at_closings =
        closings.map(|(_, known)| known.iter().find(|known| known.account_id == referral.account_id));
    let at_closings: Vec<Option<&Referral>> = at_closings.collect();
    let held = |known: &Referral| known.held_since.is_some() && !known.rejected;
    let latest = at_closings.into_iter().rev().find(|known| !known.is_some_and(held));
    latest.flatten().is_some_and(|known| !known.rejected)
}

/// A month by all facts; `None` if it is not complete and closed.
pub fn month(program: &Program, through: NaiveDate, month: Month) -> Option<Totals> {
    let ledger = &program.ledger(through);
    let (rules, closed) = (rules_of(ledger, month), closed(ledger, month));
    let zone = mark_of(rules).zone;
    let end = zone.end_of(month.last_day());
    if closed.is_some() && end > seen_until(ledger) {
        return None;
    }
    let end = end.min(seen_until(ledger));
    let mut referrals = seen(ledger, &program.referrals);
    referrals.retain(|referral| {
        !referral.rejected && (referral.held_since.is_none() || stands_in(program, referral, month))
    });
    let active = referrals.iter().filter(|referral| naive::active_before(referral, end)).count();
    let active_accounts = u32::try_from(active).expect("a few");
    let tier = rules.tiers.iter().rfind(|tier| tier.from <= active_accounts).expect("one from 0");
    let elsewhere = rules.first_month.is_some_and(|first| month < first);
    let lines = referrals.iter().filter_map(|referral| {
        let (_, on) = crossing(ledger, referral).filter(|crossing| crossing.0 == month)?;
        if ledger.closed_at.is_some_and(|at| on > zone.date_of(at)) {
            return None;
        }
        let plan = naive::plan_before(referral, zone.end_of(on));
        let rate = tier.rates.get(&plan).copied().filter(|_| !elsewhere).unwrap_or_default();
        Some((referral.account_id.clone(), plan, on, rate))
    });
    Some(Totals { active_accounts, lines: lines.collect() })
}
