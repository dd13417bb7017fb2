//! The worked cases of the program.

use super::*;
use crate::domain::history::History;
use crate::domain::mark::Mark;

struct Row {
    case: &'static str,
    active_days: ActiveDays,
    /// How many accounts, with which story; the qualification of the first one is checked.
    accounts: &'static [(usize, &'static str)],
    /// The last full day of a night that closed the months due, if there was one.
    closed: Option<&'static str>,
    /// What became known after it: the account's index, and the event.
    late: Option<(usize, &'static str)>,
    /// The rate of Growth in the first tier after that night.
    growth: i64,
    through: &'static str,
    crosses_on: Option<&'static str>,
    /// The last statements.
    statements: &'static [&'static str],
}

const ROW: Row = Row {
    case: "",
    active_days: ActiveDays::Cumulative,
    accounts: &[],
    closed: None,
    late: None,
    growth: 99,
    through: "2026-04-30",
    crosses_on: Some("2026-04-01"),
    statements: &[],
};

fn check(row: &Row) {
    let mut program = Program::new(Rules { active_days: row.active_days, ..rules() });
    for (count, story) in row.accounts {
        program = program.with(*count, story);
    }
    if let Some(through) = row.closed {
        let closed_at = program.zone().end_of(date(through));
        program.night("2025-12".parse().expect("a month"), date(through), closed_at);
    }
    if let Some((account, story)) = row.late {
        program.learns(account, story);
    }
    program.changes_rules(|rules| rules.tiers[0].rates.extend(tier(0, &[("growth", row.growth)]).rates));

    let mark = Mark::of(&program.rules).expect("a zone");
    let crosses_on = History::of(&program.referrals[0]).crossing(&mark.into());
    assert_eq!(crosses_on, row.crosses_on.map(date), "case {}", row.case);
    let statements: Vec<String> = program.statements(date(row.through)).iter().map(on_one_line).collect();
    let last = &statements[statements.len() - row.statements.len()..];
    assert_eq!(last, row.statements, "case {}", row.case);
}

#[test]
fn the_worked_cases() {
    let table = [
        Row {
            case: "1: signup at ten",
            accounts: &[(1, "growth 2026-01-01 10:00")],
            statements: &["2026-03 1 active:  = 0.00", "2026-04 1 active: 1 x 99.00 = 99.00"],
            ..ROW
        },
        Row {
            case: "2: signup at midnight",
            accounts: &[(1, "growth 2026-01-01 00:00")],
            crosses_on: Some("2026-03-31"),
            statements: &["2026-03 1 active: 1 x 99.00 = 99.00", "2026-04 1 active:  = 0.00"],
            ..ROW
        },
        Row {
            case: "3: suspended for three days",
            accounts: &[(
                1,
                "growth 2026-01-01 10:00; a suspended 2026-02-01 09:00; b activated 2026-02-03 15:00",
            )],
            crosses_on: Some("2026-04-04"),
            statements: &["2026-04 1 active: 1 x 99.00 = 99.00"],
            ..ROW
        },
        Row {
            case: "3, consecutive",
            active_days: ActiveDays::Consecutive,
            accounts: &[(
                1,
                "growth 2026-01-01 10:00; a suspended 2026-02-01 09:00; b activated 2026-02-03 15:00",
            )],
            through: "2026-05-31",
            crosses_on: Some("2026-05-04"),
            statements: &["2026-04 1 active:  = 0.00", "2026-05 1 active: 1 x 99.00 = 99.00"],
            ..ROW
        },
        Row {
            case: "4: another plan on the crossing day",
            accounts: &[(1, "performance 2026-01-01 10:00; a connect 2026-04-01 18:00")],
            statements: &["2026-04 1 active: 1 x 299.00 = 299.00"],
            ..ROW
        },
        Row {
            case: "5: another plan at its end",
            accounts: &[(1, "performance 2026-01-01 10:00; a connect 2026-04-02 00:00")],
            statements: &["2026-04 1 active: 1 x 39.00 = 39.00"],
            ..ROW
        },
        Row {
            case: "6: canceled after the crossing",
            accounts: &[(1, "growth 2026-01-01 10:00; a canceled 2026-04-20 12:00")],
            statements: &["2026-04 0 active: 1 x 99.00 = 99.00"],
            ..ROW
        },
        Row {
            case: "7: canceled on the 89th day",
            accounts: &[(1, "growth 2026-01-01 10:00; a canceled 2026-03-31 10:00")],
            crosses_on: None,
            statements: &["2026-03 0 active:  = 0.00", "2026-04 0 active:  = 0.00"],
            ..ROW
        },
        Row {
            case: "8: 24 at the month's end",
            accounts: &[(3, "growth 2026-01-01 10:00"), (21, "growth 2026-04-30 10:00")],
            statements: &["2026-04 24 active: 3 x 99.00 = 297.00"],
            ..ROW
        },
        Row {
            case: "9: 25 at the month's end",
            accounts: &[(3, "growth 2026-01-01 10:00"), (22, "growth 2026-04-30 10:00")],
            statements: &["2026-04 25 active: 3 x 149.00 = 447.00"],
            ..ROW
        },
        Row {
            case: "10: 25 on the 30th",
            accounts: &[
                (3, "growth 2026-02-05 10:00"),
                (21, "growth 2026-05-20 10:00"),
                (1, "growth 2026-05-20 10:00; a canceled 2026-05-31 23:59:59"),
            ],
            through: "2026-05-30",
            crosses_on: Some("2026-05-06"),
            statements: &["2026-05 25 active: 3 x 149.00 = 447.00"],
            ..ROW
        },
        Row {
            case: "10: one cancels in the last second of the 31st",
            accounts: &[
                (3, "growth 2026-02-05 10:00"),
                (21, "growth 2026-05-20 10:00"),
                (1, "growth 2026-05-20 10:00; a canceled 2026-05-31 23:59:59"),
            ],
            through: "2026-05-31",
            crosses_on: Some("2026-05-06"),
            statements: &["2026-05 24 active: 3 x 99.00 = 297.00"],
            ..ROW
        },
        Row {
            case: "11: a late cancellation of another account",
            accounts: &[(3, "growth 2026-01-01 10:00"), (22, "growth 2026-04-20 10:00")],
            closed: Some("2026-05-03"),
            late: Some((24, "a canceled 2026-04-29 12:00")),
            through: "2026-05-10",
            statements: &[
                "2026-04 25 active: 3 x 149.00 = 447.00",
                "2026-05 24 active: 3 x -50.00 for 2026-04 = -150.00",
            ],
            ..ROW
        },
        Row {
            case: "12: canceled before the signup, activated at it",
            accounts: &[(
                1,
                "growth 2026-01-01 10:00; z canceled 2026-01-01 09:00; a activated 2026-01-01 10:00",
            )],
            statements: &["2026-04 1 active: 1 x 99.00 = 99.00"],
            ..ROW
        },
        Row {
            case: "13: suspended and activated at once",
            accounts: &[(
                1,
                "growth 2026-01-01 10:00; a suspended 2026-02-01 09:00; b activated 2026-02-01 09:00",
            )],
            statements: &["2026-04 1 active: 1 x 99.00 = 99.00"],
            ..ROW
        },
        Row {
            case: "14: another rate from May on",
            accounts: &[(1, "growth 2026-01-01 10:00"), (1, "growth 2026-02-10 10:00")],
            closed: Some("2026-05-03"),
            growth: 109,
            through: "2026-05-31",
            statements: &["2026-04 2 active: 1 x 99.00 = 99.00", "2026-05 2 active: 1 x 109.00 = 109.00"],
            ..ROW
        },
    ];
    table.iter().for_each(check);
}
