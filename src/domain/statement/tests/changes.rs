//! What happens after a month was closed: holds, rejections, credits, other rules, the end of an affiliate.

use super::*;

/// Three accounts that qualify on April 1, and 22 young ones: 25 are active in April.
fn program() -> Program {
    Program::new(rules()).with(3, "growth 2026-01-01 10:00").with(22, "growth 2026-04-20 10:00")
}

fn close_april(program: &mut Program) {
    program.night("2025-12".parse().expect("a month"), date("2026-05-03"), instant("2026-05-04T08:00:00Z"));
}

fn instant(text: &str) -> DateTime<Utc> {
    text.parse().expect(text)
}

fn hold(program: &mut Program, account: usize, since: Option<&str>) {
    program.referrals[account].held_since = since.map(instant);
}

/// The last statement on May 10.
fn may(program: &Program) -> String {
    on_one_line(program.statements(date("2026-05-10")).last().expect("May"))
}

fn april(program: &Program) -> String {
    let statements = program.statements(date("2026-05-10"));
    on_one_line(&statements[statements.len() - 2])
}

#[test]
fn a_hold_keeps_a_referral_out_until_its_release_adds_the_months_missed() {
    let mut program = program();
    hold(&mut program, 0, Some("2026-01-02T00:00:00Z"));
    close_april(&mut program);
    assert_eq!(april(&program), "2026-04 24 active: 2 x 99.00 = 198.00");
    assert_eq!(may(&program), "2026-05 24 active:  = 0.00");
    hold(&mut program, 0, None);
    // With it April has 25: its own commission, and the difference for the two others.
    assert_eq!(may(&program), "2026-05 25 active: 1 x 149.00 for 2026-04, 2 x 50.00 for 2026-04 = 249.00");
}

#[test]
fn a_hold_after_the_closing_takes_nothing_back() {
    let mut program = program();
    close_april(&mut program);
    hold(&mut program, 0, Some("2026-05-04T08:00:01Z"));
    hold(&mut program, 24, Some("2026-05-04T08:00:01Z"));
    assert_eq!(may(&program), "2026-05 23 active:  = 0.00");
    // While it is held, even facts that take its qualification away change nothing; the others' tier falls.
    program.learns(0, "a canceled 2026-03-15 00:00");
    assert_eq!(may(&program), "2026-05 23 active: 2 x -50.00 for 2026-04 = -100.00");
    hold(&mut program, 0, None);
    assert_eq!(may(&program), "2026-05 23 active: 1 x -149.00 for 2026-04, 2 x -50.00 for 2026-04 = -249.00");
}

#[test]
fn a_rejection_takes_back_what_closed_months_paid() {
    let mut program = program();
    close_april(&mut program);
    program.referrals[0].rejected = true;
    program.referrals[0].held_since = Some(instant("2026-05-05T00:00:00Z"));
    assert_eq!(may(&program), "2026-05 24 active: 1 x -149.00 for 2026-04, 2 x -50.00 for 2026-04 = -249.00");
}

#[test]
fn an_adjustment_is_made_once_and_can_be_taken_back() {
    let mut program = program();
    close_april(&mut program);
    program.learns(24, "a canceled 2026-04-29 12:00");
    let may_end = date("2026-06-03");
    program.night("2026-05".parse().expect("a month"), may_end, instant("2026-06-04T08:00:00Z"));
    let statements = program.statements(date("2026-06-10"));
    let last: Vec<String> = statements[statements.len() - 2..].iter().map(on_one_line).collect();
    assert_eq!(last, ["2026-05 24 active: 3 x -50.00 for 2026-04 = -150.00", "2026-06 24 active:  = 0.00"]);
    program.learns(24, "b activated 2026-04-29 18:00");
    let statements = program.statements(date("2026-06-10"));
    assert_eq!(
        on_one_line(statements.last().expect("June")),
        "2026-06 25 active: 3 x 50.00 for 2026-04 = 150.00"
    );
    let adjustment = &statements.last().expect("June").adjustments[0];
    assert_eq!(
        (adjustment.stated.to_string(), adjustment.now.to_string()),
        ("99.00".into(), "149.00".into())
    );
}

#[test]
fn an_account_credited_by_hand_leaves_one_affiliate_and_comes_to_the_other() {
    let mut from = program();
    close_april(&mut from);
    let moved = from.referrals.remove(0);
    assert_eq!(may(&from), "2026-05 24 active: 1 x -149.00 for 2026-04, 2 x -50.00 for 2026-04 = -249.00");
    let mut to = Program::new(rules());
    close_april(&mut to);
    assert!(to.closed_months.iter().all(|closed| closed.statement.is_none()));
    to.referrals.push(moved);
    let statements = to.statements(date("2026-05-10"));
    let all: Vec<String> = statements.iter().map(on_one_line).collect();
    assert_eq!(all, ["2026-05 1 active: 1 x 99.00 for 2026-04 = 99.00"]);
    assert_eq!(statements[0].previous, None);
}

#[test]
fn an_account_that_leaves_an_affiliate_without_referrals_is_adjusted_too() {
    let mut program = Program::new(rules()).with(1, "growth 2026-01-01 10:00");
    close_april(&mut program);
    program.referrals.clear();
    assert_eq!(may(&program), "2026-05 0 active: 1 x -99.00 for 2026-04 = -99.00");
    assert_eq!(program.project(date("2026-06-10")).len(), 1, "June has neither referral nor adjustment");
}

#[test]
fn months_before_the_first_are_shown_and_not_paid() {
    let first_month = "2026-04".parse().ok();
    let mut program = Program::new(Rules { first_month, ..rules() })
        .with(1, "growth 2025-12-15 10:00")
        .with(1, "growth 2026-01-01 10:00")
        .with(1, "enterprise 2026-01-01 10:00");
    let statements: Vec<String> = program.project(date("2026-04-30")).iter().map(on_one_line).collect();
    assert_eq!(
        statements[3..],
        [
            "2026-03 3 active: 1 x 0.00 (SettledElsewhere) = 0.00",
            "2026-04 3 active: 1 x 99.00, 1 x 0.00 (NoRate) = 99.00"
        ]
    );
    close_april(&mut program);
    assert_eq!(may(&program), "2026-05 3 active:  = 0.00");
}

#[test]
fn an_affiliate_earns_up_to_its_closing_day() {
    for (closed_at, april_before) in [
        ("2026-04-01T03:59:59Z", "2026-04 2 active:  = 0.00"),
        ("2026-04-01T04:00:00Z", "2026-04 2 active: 1 x 99.00 = 99.00"),
        ("2026-04-02T04:00:00Z", "2026-04 2 active: 2 x 99.00 = 198.00"),
    ] {
        let mut program =
            Program::new(rules()).with(1, "growth 2026-01-01 10:00").with(1, "growth 2026-01-02 10:00");
        program.closed_at = Some(instant(closed_at));
        let april = program.project(date("2026-04-30")).pop().expect("April");
        assert_eq!(on_one_line(&april), april_before, "{closed_at}");
    }
}

#[test]
fn a_closed_month_keeps_its_mark_and_an_account_crosses_once() {
    let mut program =
        Program::new(rules()).with(1, "growth 2026-01-01 10:00").with(1, "growth 2026-02-10 10:00");
    close_april(&mut program);
    // With 120 days the first would qualify on May 1, but it has qualified already. The second does on June
    // 10.
    program.changes_rules(|rules| rules.mark_days = 120);
    let statements = program.statements(date("2026-06-30"));
    let last: Vec<String> = statements[statements.len() - 3..].iter().map(on_one_line).collect();
    assert_eq!(
        last,
        [
            "2026-04 2 active: 1 x 99.00 = 99.00",
            "2026-05 2 active:  = 0.00",
            "2026-06 2 active: 1 x 99.00 = 99.00"
        ]
    );
}

#[test]
fn facts_after_the_last_full_day_are_not_seen() {
    let mut program =
        Program::new(rules()).with(1, "growth 2026-01-01 10:00").with(1, "growth 2026-04-20 00:00");
    let before = program.clone().with(1, "growth 2026-04-21 00:00");
    let seen = program.project(date("2026-04-19"));
    assert_eq!(on_one_line(seen.last().expect("April")), "2026-04 1 active: 1 x 99.00 = 99.00");
    program.learns(0, "a canceled 2026-04-20 00:00");
    assert_eq!(program.project(date("2026-04-19")), seen);
    assert_eq!(before.project(date("2026-04-19")), seen);
    assert!(program.project(date("2025-12-31")).is_empty());
}

#[test]
fn a_run_that_looks_back_leaves_later_closed_months_alone() {
    let mut program = program();
    close_april(&mut program);
    assert!(program.project(date("2026-04-15")).is_empty());
    assert!(program.project(date("2026-02-15")).is_empty());
    // Also if months before them are open.
    program.closed_months.retain(|closed| closed.month == Month { year: 2026, month: 4 });
    let january = program.project(date("2026-01-31")).pop().expect("January");
    assert_eq!(on_one_line(&january), "2026-01 3 active:  = 0.00");
}

#[test]
fn corrections_stand_in_the_earliest_open_month_even_before_the_corrected_one() {
    // Closing began with April; nobody had referrals before it.
    let mut program = program();
    close_april(&mut program);
    program.closed_months.retain(|closed| closed.month == Month { year: 2026, month: 4 });
    program.learns(24, "a canceled 2026-04-29 12:00");
    let january = program.project(date("2026-05-10")).swap_remove(0);
    assert_eq!(on_one_line(&january), "2026-01 3 active: 3 x -50.00 for 2026-04 = -150.00");
    close_april(&mut program);
    assert_eq!(program.closed_months.len(), 5);
    assert_eq!(may(&program), "2026-05 24 active:  = 0.00");
}

#[test]
fn a_months_facts_hash_does_not_know_what_came_after_it() {
    let mut program = program();
    let before = program.project(date("2026-04-30"));
    program.learns(3, "a suspended 2026-05-01 00:00");
    let after = program.project(date("2026-05-31"));
    assert_eq!(after[..before.len()], before);
    program.learns(3, "b merged 2026-04-30 23:59:59");
    let known = program.project(date("2026-04-30"));
    assert_ne!(known[3].facts_hash, before[3].facts_hash);
    assert_eq!(known[..3], before[..3]);
}

/// March closes with 90 days in New York; then the rules change. An account with more days than the new
/// period qualifies on the first active day of the first open month; one that left only if it comes back;
/// none twice.
#[test]
fn after_a_change_of_rules_an_account_in_between_crosses_in_the_first_open_month() {
    let by_60: fn(&mut Rules) = |rules| rules.mark_days = 60;
    let by_120: fn(&mut Rules) = |rules| rules.mark_days = 120;
    let further_west: fn(&mut Rules) = |rules| rules.timezone = "America/Los_Angeles".into();
    let cumulative: fn(&mut Rules) = |rules| rules.active_days = ActiveDays::Cumulative;
    let consecutive = Rules { active_days: ActiveDays::Consecutive, ..rules() };
    for (what, before, change, story, crosses) in [
        ("in between", rules(), by_60, "growth 2026-01-15 10:00", "2026-04-01"),
        ("not yet there", rules(), by_60, "growth 2026-02-20 10:00", "2026-04-21"),
        ("there by both", rules(), by_60, "growth 2026-01-01 10:00", "2026-04-01"),
        ("crossed before", rules(), by_60, "growth 2025-12-15 10:00", "2026-03-15"),
        ("crossed before, and the mark rises", rules(), by_120, "growth 2025-12-15 10:00", "2026-03-15"),
        ("left", rules(), by_60, "growth 2026-01-15 10:00; a canceled 2026-03-25 10:00", "-"),
        (
            "came back",
            rules(),
            by_60,
            "growth 2026-01-15 10:00; a canceled 2026-03-25 10:00; b activated 2026-04-10 12:00",
            "2026-04-11",
        ),
        (
            "suspended over the turn",
            rules(),
            by_60,
            "growth 2026-01-15 10:00; a suspended 2026-03-25 10:00; b activated 2026-04-01 00:00",
            "2026-04-01",
        ),
        // In Los Angeles it signed up the day before, so that its 90th day is in closed March.
        ("a zone further west", rules(), further_west, "growth 2026-01-01 02:00", "2026-04-01"),
        (
            "days that start again add up from now on",
            consecutive.clone(),
            cumulative,
            "growth 2025-12-01 10:00; a suspended 2026-02-10 09:00; b activated 2026-02-12 15:00",
            "2026-04-01",
        ),
    ] {
        let mut program = Program::new(before).with(1, story);
        program.night(
            "2025-12".parse().expect("a month"),
            date("2026-04-03"),
            instant("2026-04-04T08:00:00Z"),
        );
        program.changes_rules(change);
        let statements = program.statements(date("2026-05-31"));
        let lines = statements.iter().flat_map(|statement| &statement.lines);
        let days: Vec<String> = lines.map(|line| line.crossed_on.to_string()).collect();
        let expected: Vec<&str> = Some(crosses).filter(|day| *day != "-").into_iter().collect();
        assert_eq!(days, expected, "{what}");
        assert!(statements.iter().all(|statement| statement.adjustments.is_empty()), "{what}");
    }
}

#[test]
fn a_late_fact_moves_a_crossing_into_the_closed_month_by_whose_rules_it_lies_there() {
    let mut program = Program::new(rules()).with(1, "growth 2025-12-20 10:00; a suspended 2026-03-01 09:00");
    program.night("2025-12".parse().expect("a month"), date("2026-04-03"), instant("2026-04-04T08:00:00Z"));
    program.changes_rules(|rules| rules.mark_days = 60);
    assert_eq!(
        on_one_line(program.statements(date("2026-04-30")).last().expect("April")),
        "2026-04 0 active:  = 0.00"
    );
    program.learns(0, "b activated 2026-03-01 12:00");
    let april = program.statements(date("2026-04-30")).pop().expect("April");
    assert_eq!(on_one_line(&april), "2026-04 1 active: 1 x 99.00 for 2026-03 = 99.00");
    assert!(april.lines.is_empty(), "nobody crosses twice");
}

#[test]
fn a_referral_that_is_held_again_stands_as_at_the_closing_that_left_it_out() {
    // Its hold of today began after the closing, by any clock: at the closing it was held already, and 24
    // counted.
    for since in ["2026-05-05T00:00:00Z", "2026-05-04T10:00:00Z"] {
        let mut program = program();
        hold(&mut program, 0, Some("2026-01-02T00:00:00Z"));
        close_april(&mut program);
        hold(&mut program, 0, Some(since));
        assert_eq!(may(&program), "2026-05 24 active:  = 0.00", "{since}");
    }
    // A node whose clock is two hours ahead held it before the closing.
    let mut ahead = program();
    hold(&mut ahead, 0, Some("2026-05-04T10:00:00Z"));
    close_april(&mut ahead);
    assert_eq!(april(&ahead), "2026-04 24 active: 2 x 99.00 = 198.00");
    assert_eq!(may(&ahead), "2026-05 24 active:  = 0.00");
}

#[test]
fn a_held_referral_stands_as_at_the_latest_closing_at_which_it_was_not_held() {
    let mut program = program();
    hold(&mut program, 0, Some("2026-01-02T00:00:00Z"));
    close_april(&mut program);
    hold(&mut program, 0, None);
    let june = date("2026-06-03");
    program.night("2026-05".parse().expect("a month"), june, instant("2026-06-04T08:00:00Z"));
    let paid = program.statements(june).swap_remove(4);
    assert_eq!(
        on_one_line(&paid),
        "2026-05 25 active: 1 x 149.00 for 2026-04, 2 x 50.00 for 2026-04 = 249.00"
    );
    // May's closing counted it, in April too: a new hold takes nothing back.
    hold(&mut program, 0, Some("2026-06-05T00:00:00Z"));
    let last = program.statements(date("2026-06-10")).pop().expect("June");
    assert_eq!(on_one_line(&last), "2026-06 24 active:  = 0.00");
}

#[test]
fn a_referral_that_came_after_a_closing_and_is_held_is_out_of_that_month() {
    // 24 counted; the 25th, dated in April, becomes known in May and is held at once, by a clock that is
    // behind.
    let mut program =
        Program::new(rules()).with(3, "growth 2026-01-01 10:00").with(21, "growth 2026-04-20 10:00");
    close_april(&mut program);
    let mut program = program.with(1, "growth 2026-04-20 10:00");
    hold(&mut program, 24, Some("2026-05-05T08:00:00Z"));
    assert_eq!(may(&program), "2026-05 24 active:  = 0.00");
    // A referral that was rejected, or another affiliate's, at the closing does not count either.
    program.referrals[24].held_since = None;
    assert_eq!(may(&program), "2026-05 25 active: 3 x 50.00 for 2026-04 = 150.00");
}

#[test]
fn closings_that_do_not_say_who_counted_keep_the_order_of_the_clock() {
    let mut program = program();
    hold(&mut program, 0, Some("2026-01-02T00:00:00Z"));
    close_april(&mut program);
    program.closed_months.iter_mut().for_each(|closed| closed.referrals = None);
    assert_eq!(may(&program), "2026-05 24 active:  = 0.00");
    hold(&mut program, 24, Some("2026-05-05T00:00:00Z"));
    assert_eq!(may(&program), "2026-05 23 active:  = 0.00", "it was in April when that was closed");
    // The next closing lists all of them; from then on times are not needed.
    program.night("2026-05".parse().expect("a month"), date("2026-06-03"), instant("2026-06-04T08:00:00Z"));
    let may = program.closed_months.last().and_then(|closed| closed.referrals.clone()).expect("May says it");
    assert_eq!((may.counted.len(), may.held.len(), may.out.len()), (23, 2, 0));
}
