//! Histories: a table of cases, and a second model that checks every day.

use super::*;
use crate::domain::calendar::Zone;
use crate::domain::naive::{self, at};
use chrono::Days;
use proptest::prelude::*;

fn date(text: &str) -> NaiveDate {
    text.parse().expect(text)
}

fn mark(zone: &str, active_days: ActiveDays, days: u32) -> Mark {
    Mark { days, active_days, zone: zone.parse().expect(zone) }
}

fn new_york(active_days: ActiveDays) -> Mark {
    mark("America/New_York", active_days, 90)
}

fn referral(zone: &Zone, story: &str) -> Referral {
    naive::referral(zone, "acct-1", story)
}

#[test]
fn the_day_that_completes_the_mark() {
    struct Row {
        why: &'static str,
        story: &'static str,
        cumulative: &'static str,
        consecutive: &'static str,
    }
    fn check(row: &Row) {
        for (mode, expected) in
            [(ActiveDays::Cumulative, row.cumulative), (ActiveDays::Consecutive, row.consecutive)]
        {
            let mark = new_york(mode);
            let referral = referral(&mark.zone, row.story);
            let day = History::of(&referral)
                .crossing(&mark.clone().into())
                .map_or("-".into(), |day| day.to_string());
            assert_eq!(day, expected, "{} ({mode:?})", row.why);
        }
    }
    let table = [
        Row {
            why: "90 days after the signup's date",
            story: "growth 2026-01-01 10:00",
            cumulative: "2026-04-01",
            consecutive: "2026-04-01",
        },
        Row {
            why: "the first day counts if it was whole",
            story: "growth 2026-01-01 00:00",
            cumulative: "2026-03-31",
            consecutive: "2026-03-31",
        },
        Row {
            why: "three days were not whole",
            story: "growth 2026-01-01 10:00; a suspended 2026-02-01 09:00; b activated 2026-02-03 15:00",
            cumulative: "2026-04-04",
            consecutive: "2026-05-04",
        },
        Row {
            why: "a minute's interruption costs a day",
            story: "growth 2026-01-01 10:00; a suspended 2026-02-01 09:00; b activated 2026-02-01 09:01",
            cumulative: "2026-04-02",
            consecutive: "2026-05-02",
        },
        Row {
            why: "from midnight to midnight costs that day only",
            story: "growth 2026-01-01 10:00; a suspended 2026-02-01 00:00; b activated 2026-02-02 00:00",
            cumulative: "2026-04-02",
            consecutive: "2026-05-02",
        },
        Row {
            why: "canceled on the 89th day, never back",
            story: "growth 2026-01-01 10:00; a canceled 2026-03-31 10:00",
            cumulative: "-",
            consecutive: "-",
        },
        Row {
            why: "canceled at the end of the 90th day",
            story: "growth 2026-01-01 10:00; a canceled 2026-04-02 00:00",
            cumulative: "2026-04-01",
            consecutive: "2026-04-01",
        },
        Row {
            why: "canceled just before the end of the 90th day",
            story: "growth 2026-01-01 10:00; a canceled 2026-04-01 23:59:59",
            cumulative: "-",
            consecutive: "-",
        },
        Row {
            why: "back after a cancellation",
            story: "growth 2026-01-01 10:00; a canceled 2026-03-31 10:00; b activated 2026-06-01 00:00",
            cumulative: "2026-06-02",
            consecutive: "2026-08-29",
        },
        Row {
            why: "a trial counts from its activation",
            story: "trial growth 2026-01-01 10:00; a activated 2026-01-15 08:00",
            cumulative: "2026-04-15",
            consecutive: "2026-04-15",
        },
        Row {
            why: "a trial that was never activated",
            story: "trial growth 2026-01-01 10:00; a suspended 2026-01-15 08:00",
            cumulative: "-",
            consecutive: "-",
        },
        Row {
            why: "before the signup: the cancellation comes first in order",
            story: "growth 2026-01-01 10:00; z canceled 2026-01-01 09:00; a activated 2026-01-01 10:00",
            cumulative: "2026-04-01",
            consecutive: "2026-04-01",
        },
        Row {
            why: "before the signup, both: their order stays",
            story: "growth 2026-01-01 10:00; z canceled 2026-01-01 09:30; a activated 2026-01-01 09:00",
            cumulative: "-",
            consecutive: "-",
        },
        Row {
            why: "suspended and activated at one instant",
            story: "growth 2026-01-01 10:00; a suspended 2026-02-01 09:00; b activated 2026-02-01 09:00",
            cumulative: "2026-04-01",
            consecutive: "2026-04-01",
        },
        Row {
            why: "the same in the other order of ids",
            story: "growth 2026-01-01 10:00; b suspended 2026-02-01 09:00; a activated 2026-02-01 09:00",
            cumulative: "-",
            consecutive: "-",
        },
        Row {
            why: "repeating a state changes nothing",
            story: "growth 2026-01-01 10:00; a activated 2026-02-01 09:00; b merged 2026-02-01 10:00; \
                    c connect 2026-02-02 10:00",
            cumulative: "2026-04-01",
            consecutive: "2026-04-01",
        },
    ];
    table.iter().for_each(check);
}

#[test]
fn dates_that_the_clocks_leapt_over_count_for_nobody() {
    for (zone, expected) in [("UTC", "2011-12-31"), ("Pacific/Apia", "2012-01-01")] {
        let mark = mark(zone, ActiveDays::Cumulative, 10);
        let referral = referral(&mark.zone, "growth 2011-12-22 00:00");
        assert_eq!(History::of(&referral).crossing(&mark.clone().into()), Some(date(expected)));
    }
}

#[test]
fn the_plan_is_the_one_in_force_before_an_instant() {
    let zone: Zone = "America/New_York".parse().expect("a zone");
    let story = "growth 2026-01-01 10:00; a connect 2026-01-01 09:00; b performance 2026-04-01 18:00; \
                 c suspended 2026-04-01 19:00; d connect 2026-04-02 00:00";
    let referral = referral(&zone, story);
    for (before, plan) in [
        ("2026-01-02 00:00", "growth"),
        ("2026-04-01 18:00", "growth"),
        ("2026-04-02 00:00", "performance"),
        ("2026-04-02 00:00:01", "connect"),
    ] {
        let history = History::of(&referral);
        assert_eq!(history.plan_before(at(&zone, before)).as_str(), plan, "{before}");
    }
}

#[test]
fn an_account_is_active_at_an_end_that_its_interval_reaches() {
    let zone: Zone = "UTC".parse().expect("a zone");
    let story = "growth 2026-01-01 10:00; a canceled 2026-02-01 00:00; b activated 2026-02-28 23:59:59; \
                 c suspended 2026-03-31 23:59:59";
    let referral = referral(&zone, story);
    for (end, active) in [
        ("2026-01-01 10:00", false),
        ("2026-01-01 10:01", true),
        ("2026-02-01 00:00", true),
        ("2026-02-01 00:01", false),
        ("2026-03-01 00:00", true),
        ("2026-04-01 00:00", false),
    ] {
        assert_eq!(History::of(&referral).active_at_end(at(&zone, end)), active, "{end}");
    }
}

#[test]
fn the_standing_is_the_last_one_reported() {
    let zone: Zone = "UTC".parse().expect("a zone");
    for (story, standing) in [
        ("trial growth 2026-01-01 10:00", Standing::NotYetActive),
        ("growth 2026-01-01 10:00", Standing::Active),
        ("growth 2026-01-01 10:00; a suspended 2026-01-02 10:00", Standing::Suspended),
        (
            "growth 2026-01-01 10:00; a canceled 2026-01-02 10:00; b merged 2026-01-03 00:00",
            Standing::Canceled,
        ),
        (
            "growth 2026-01-01 10:00; b activated 2026-01-03 10:00; a canceled 2026-01-02 10:00",
            Standing::Active,
        ),
    ] {
        assert_eq!(History::of(&referral(&zone, story)).standing(), standing, "{story}");
    }
}

#[test]
fn only_facts_dated_before_the_bound_are_seen() {
    let zone: Zone = "UTC".parse().expect("a zone");
    let referral = referral(&zone, "growth 2026-01-01 10:00; a canceled 2026-01-05 00:00");
    assert!(History::before(&referral, at(&zone, "2026-01-01 10:00")).is_none());
    let standing = |bound| History::before(&referral, at(&zone, bound)).map(|history| history.standing());
    assert_eq!(standing("2026-01-05 00:00"), Some(Standing::Active));
    assert_eq!(standing("2026-01-05 00:01"), Some(Standing::Canceled));
}

#[test]
fn progress_is_shown_as_of_the_last_full_day() {
    let story = "growth 2026-01-01 10:00; a suspended 2026-02-01 09:00; b activated 2026-02-03 15:00";
    for (mode, through, active_days, crossed_on, expected_on) in [
        (ActiveDays::Cumulative, "2025-12-31", 0, None, None),
        (ActiveDays::Cumulative, "2026-01-01", 0, None, Some("2026-04-01")),
        (ActiveDays::Cumulative, "2026-01-31", 30, None, Some("2026-04-01")),
        (ActiveDays::Cumulative, "2026-02-02", 30, None, None),
        (ActiveDays::Cumulative, "2026-03-08", 63, None, Some("2026-04-04")),
        (ActiveDays::Cumulative, "2026-04-04", 90, Some("2026-04-04"), None),
        (ActiveDays::Cumulative, "2026-04-05", 91, Some("2026-04-04"), None),
        (ActiveDays::Consecutive, "2026-02-02", 0, None, None),
        (ActiveDays::Consecutive, "2026-03-08", 33, None, Some("2026-05-04")),
    ] {
        let mark = new_york(mode);
        let progress = Progress::of(&referral(&mark.zone, story), &mark.into(), date(through));
        let (crossed_on, expected_on) = (crossed_on.map(date), expected_on.map(date));
        let expected = Progress { active_days, mark_days: 90, crossed_on, expected_on };
        assert_eq!(progress, expected, "{through} {mode:?}");
    }
}

/// The length of histories in the property tests, in days.
const LENGTH: u64 = 100;

fn histories() -> impl Strategy<Value = (Mark, NaiveDate, Referral)> {
    let modes = prop_oneof![Just(ActiveDays::Cumulative), Just(ActiveDays::Consecutive)];
    (naive::scenes(), modes, 1_u32..30).prop_flat_map(|(scene, active_days, days)| {
        let mark = Mark { days, active_days, zone: scene.zone.clone() };
        naive::referrals(&scene, LENGTH).prop_map(move |referral| (mark.clone(), scene.start, referral))
    })
}

proptest! {
    #[test]
    fn a_history_agrees_with_looking_at_every_day(
        (mark, start, referral) in histories(), offset in 0..LENGTH + 20,
    ) {
        let history = History::of(&referral);
        let (through, horizon) = (start + Days::new(offset), start + Days::new(LENGTH + 100));
        let crossing = naive::crossing(&referral, |_| mark.clone(), horizon);
        prop_assert_eq!(history.crossing(&mark.clone().into()), crossing);
        let active_days = naive::active_days(&referral, &mark, through);
        prop_assert_eq!(history.active_days_through(through, &mark), active_days);
        let end = mark.zone.end_of(through);
        prop_assert_eq!(history.active_at_end(end), naive::active_before(&referral, end));
        prop_assert_eq!(history.plan_before(end), &naive::plan_before(&referral, end));
    }

    #[test]
    fn what_comes_later_does_not_change_what_was(
        (mark, start, referral) in histories(), offset in 0..LENGTH + 20,
    ) {
        let through = start + Days::new(offset);
        let crossed = |crossing: Option<NaiveDate>| crossing.filter(|day| *day <= through);
        let known = History::before(&referral, mark.zone.end_of(through));
        let crossing = known.and_then(|history| history.crossing(&mark.clone().into()));
        prop_assert_eq!(crossed(crossing), crossed(History::of(&referral).crossing(&mark.clone().into())));
        let progress = Progress::of(&referral, &mark.into(), through);
        prop_assert_eq!(progress.crossed_on, crossed(crossing));
    }

    #[test]
    fn the_order_of_arrival_and_repetitions_do_not_matter(
        (mark, _, mut referral) in histories(), seed in any::<prop::sample::Index>(),
    ) {
        let before = format!("{:?}", History::of(&referral).intervals);
        let crossing = History::of(&referral).crossing(&mark.clone().into());
        referral.events.reverse();
        if !referral.events.is_empty() {
            let turn = seed.index(referral.events.len());
            referral.events.rotate_left(turn);
            referral.events.push(referral.events[turn].clone());
        }
        let history = History::of(&referral);
        prop_assert_eq!(format!("{:?}", history.intervals), before);
        prop_assert_eq!(history.crossing(&mark.clone().into()), crossing);
    }
}
