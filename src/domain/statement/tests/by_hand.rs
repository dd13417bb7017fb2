//! Lines by hand on statements.

use super::*;

fn line(key: &str, cents: i64, at: &str) -> LineByHand {
    LineByHand {
        key: key.parse().expect("a key"),
        amount: Money::from_cents(cents),
        reason: "a reason".into(),
        by: "stf_1".into(),
        at: at.parse().expect(at),
    }
}

fn month(text: &str) -> Month {
    text.parse().expect(text)
}

struct Row {
    case: &'static str,
    accounts: &'static [(usize, &'static str)],
    /// The last full day of a night that closed the months due before the lines were added.
    closed: Option<&'static str>,
    /// Key, hundredths, when it was added.
    lines: &'static [(&'static str, i64, &'static str)],
    through: &'static str,
    /// The statements of open months.
    statements: &'static [&'static str],
}

#[test]
fn lines_by_hand_are_in_the_earliest_open_month() {
    let nobody = &[];
    let growth: &[(usize, &str)] = &[(1, "growth 2026-01-01 10:00")];
    let table = [
        Row {
            case: "a bonus of somebody without a referral",
            accounts: nobody,
            closed: None,
            lines: &[("a", 2_500, "2026-04-10T12:00:00Z")],
            through: "2026-05-31",
            statements: &["2026-04 0 active: 1 x 25.00 by hand = 25.00"],
        },
        Row {
            case: "one that was added on the first day after the last full day",
            accounts: nobody,
            closed: None,
            lines: &[("a", 2_500, "2026-05-01T12:00:00Z")],
            through: "2026-04-30",
            statements: &["2026-04 0 active: 1 x 25.00 by hand = 25.00"],
        },
        Row {
            case: "the day of the program's zone counts",
            accounts: nobody,
            closed: None,
            lines: &[("a", 2_500, "2026-05-01T03:59:59Z")],
            through: "2026-05-31",
            statements: &["2026-04 0 active: 1 x 25.00 by hand = 25.00"],
        },
        Row {
            case: "a claw-back of more than was earned",
            accounts: growth,
            closed: Some("2026-04-03"),
            lines: &[("a", -15_000, "2026-04-10T12:00:00Z")],
            through: "2026-04-30",
            statements: &["2026-04 1 active: 1 x 99.00, 1 x -150.00 by hand = -51.00"],
        },
        Row {
            case: "lines that add up to nothing",
            accounts: nobody,
            closed: None,
            lines: &[("a", 2_500, "2026-04-10T12:00:00Z"), ("b", -2_500, "2026-04-11T12:00:00Z")],
            through: "2026-04-30",
            statements: &["2026-04 0 active: 1 x 25.00 by hand, 1 x -25.00 by hand = 0.00"],
        },
        Row {
            case: "not in the month of its day, which is closed",
            accounts: growth,
            closed: Some("2026-05-03"),
            lines: &[("a", 2_500, "2026-04-10T12:00:00Z")],
            through: "2026-05-31",
            statements: &["2026-05 1 active: 1 x 25.00 by hand = 25.00"],
        },
        Row {
            case: "in a month that is over and not closed yet, though it was added later",
            accounts: growth,
            closed: Some("2026-04-03"),
            lines: &[("a", 2_500, "2026-05-02T12:00:00Z")],
            through: "2026-05-02",
            statements: &[
                "2026-04 1 active: 1 x 99.00, 1 x 25.00 by hand = 124.00",
                "2026-05 1 active:  = 0.00",
            ],
        },
    ];
    for row in table {
        let mut program = Program::new(rules());
        for (count, story) in row.accounts {
            program = program.with(*count, story);
        }
        if let Some(through) = row.closed {
            let closed_at = program.zone().end_of(date(through));
            program.night(month("2025-12"), date(through), closed_at);
        }
        program.by_hand = row.lines.iter().map(|(key, cents, at)| line(key, *cents, at)).collect();
        let statements: Vec<String> = program.project(date(row.through)).iter().map(on_one_line).collect();
        assert_eq!(statements, row.statements, "{}", row.case);
    }
}

#[test]
fn a_closed_month_keeps_its_lines_and_the_next_one_has_those_that_came_later() {
    let mut program = Program::new(rules()).with(1, "growth 2026-01-01 10:00");
    program.by_hand = vec![line("a", 2_500, "2026-04-10T12:00:00Z")];
    let closed_at = program.zone().end_of(date("2026-05-03"));
    program.night(month("2026-01"), date("2026-05-03"), closed_at);
    assert!(program.by_hand.is_empty(), "January, the earliest open month, took it");
    program.by_hand = vec![line("b", -1_000, "2026-05-04T12:00:00Z")];
    let statements: Vec<String> = program.statements(date("2026-05-31")).iter().map(on_one_line).collect();
    let expected = [
        "2026-01 1 active: 1 x 25.00 by hand = 25.00",
        "2026-02 1 active:  = 0.00",
        "2026-03 1 active:  = 0.00",
        "2026-04 1 active: 1 x 99.00 = 99.00",
        "2026-05 1 active: 1 x -10.00 by hand = -10.00",
    ];
    assert_eq!(statements, expected, "lines by hand are no adjustments of closed months");
}

#[test]
fn the_canonical_json_of_a_statement_with_lines_by_hand_stays_as_it_is() {
    let mut program = Program::new(rules());
    program.by_hand = vec![line("a", -2_500, "2026-04-10T12:00:00Z")];
    let [april] = program.project(date("2026-04-30")).try_into().expect("one statement");
    let content =
        r#"{"affiliate_id":"aff_0000000000007","month":"2026-04","active_accounts":0,"tier_from":0,"#
            .to_owned()
            + r#""lines":[],"adjustments":[],"by_hand":[{"key":"a","amount":"-25.00","reason":"a reason","#
            + r#""by":"stf_1","at":"2026-04-10T12:00:00Z"}],"total":"-25.00","currency":"USD","rules_hash":""#
            + &rules().hash()
            + &format!(r#"","facts_hash":"{}","previous":null}}"#, hex(&Sha256::digest("[]")));
    assert_eq!(april.hash, hex(&Sha256::digest(content)));
    let mut changed = april.clone();
    changed.by_hand[0].reason.push('!');
    assert!(verify_hash(&april) && !verify_hash(&changed));
}
