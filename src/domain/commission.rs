//! What a qualification earns: the rate for the plan in the month's tier.

use super::calendar::Month;
use super::id::Plan;
use super::money::Money;
use super::program::Rules;
use super::statement::Note;

/// The commission for an account on a plan, in a month that ended with this number of active accounts. If
/// there is no rate, it is zero and the reason is given.
pub fn commission(rules: &Rules, active_accounts: u32, plan: &Plan) -> (Money, Option<Note>) {
    match rules.tier(active_accounts).rates.get(plan) {
        Some(&rate) => (rate, None),
        None => (Money::ZERO, Some(Note::NoRate)),
    }
}

/// The commission for a qualification in a month. As [`commission`], but zero for a month before the
/// program's first one here, which was settled elsewhere.
pub fn commission_in(
    rules: &Rules,
    month: Month,
    active_accounts: u32,
    plan: &Plan,
) -> (Money, Option<Note>) {
    if rules.first_month.is_some_and(|first| month < first) {
        (Money::ZERO, Some(Note::SettledElsewhere))
    } else {
        commission(rules, active_accounts, plan)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::program::{ActiveDays, Tier};

    fn plan(name: &str) -> Plan {
        name.parse().expect(name)
    }

    fn tier(from: u32, rates: [(&str, i64); 3]) -> Tier {
        let rates = rates.map(|(name, dollars)| (plan(name), Money::from_cents(dollars * 100)));
        Tier { from, rates: rates.into() }
    }

    /// The rates of CallTrackingMetrics' page.
    pub fn rules() -> Rules {
        Rules {
            timezone: "America/New_York".into(),
            currency: "USD".into(),
            mark_days: 90,
            active_days: ActiveDays::Cumulative,
            tiers: vec![
                tier(0, [("performance", 39), ("growth", 99), ("connect", 299)]),
                tier(25, [("performance", 59), ("growth", 149), ("connect", 449)]),
            ],
            first_month: "2026-03".parse().ok(),
        }
    }

    #[test]
    fn the_table_of_rates() {
        for (name, active, amount, note) in [
            ("Performance", 0, "39.00", None),
            ("Performance", 24, "39.00", None),
            ("Performance", 25, "59.00", None),
            ("GROWTH", 24, "99.00", None),
            ("growth", 25, "149.00", None),
            ("Connect", 24, "299.00", None),
            ("Connect", u32::MAX, "449.00", None),
            ("Enterprise", 24, "0.00", Some(Note::NoRate)),
            ("Enterprise", 25, "0.00", Some(Note::NoRate)),
        ] {
            let (earned, why) = commission(&rules(), active, &plan(name));
            assert_eq!((earned.to_string().as_str(), why), (amount, note), "{name} at {active}");
        }
    }

    #[test]
    fn months_before_the_first_were_settled_elsewhere() {
        for (month, name, amount, note) in [
            ("2026-02", "growth", "0.00", Some(Note::SettledElsewhere)),
            ("2026-02", "enterprise", "0.00", Some(Note::SettledElsewhere)),
            ("2026-03", "growth", "99.00", None),
            ("2026-03", "enterprise", "0.00", Some(Note::NoRate)),
        ] {
            let month = month.parse().expect(month);
            let (earned, why) = commission_in(&rules(), month, 1, &plan(name));
            assert_eq!((earned.to_string().as_str(), why), (amount, note), "{month} {name}");
        }
    }
}
