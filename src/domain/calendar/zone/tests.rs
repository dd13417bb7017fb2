//! Zones compared with a second model: a clock that is read minute by minute.

use super::*;
use proptest::prelude::*;

pub const ZONES: [&str; 9] = [
    "America/New_York",
    "Pacific/Apia",
    "America/Sao_Paulo",
    "Africa/Cairo",
    "Asia/Beirut",
    "America/Havana",
    "America/St_Johns",
    "Asia/Kathmandu",
    "UTC",
];

fn zone(name: &str) -> Zone {
    name.parse().expect(name)
}

fn date(text: &str) -> NaiveDate {
    text.parse().expect(text)
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect(text)
}

/// What clocks in the zone show, by the database itself.
fn wall(zone: &TimeZone, at: DateTime<Utc>) -> chrono::NaiveDateTime {
    let offset = zone.to_offset(Timestamp::from_second(at.timestamp()).expect("in range")).seconds();
    at.naive_utc() + chrono::Duration::seconds(offset.into())
}

/// The first minute at which clocks show this time or later.
fn first_minute(name: &str, time: chrono::NaiveDateTime) -> DateTime<Utc> {
    let zone = TimeZoneDatabase::bundled().get(name).expect(name);
    let start = time.and_utc() - chrono::Duration::hours(26);
    (0..60 * 52)
        .map(|minute| start + chrono::Duration::minutes(minute))
        .find(|at| wall(&zone, *at) >= time)
        .expect("two days hold it")
}

#[test]
fn names_are_found_in_any_case_and_unknown_ones_refused() {
    assert_eq!(zone("america/new_york").name(), "America/New_York");
    assert_eq!(zone("america/new_york"), zone("America/New_York"));
    for name in ["", "Mars/Olympus", "Etc/Unknown", "EST5EDT,M3.2.0,M11.1.0"] {
        assert_eq!(name.parse::<Zone>(), Err(UnknownZone(name.to_owned())));
    }
}

#[test]
fn a_day_begins_at_its_first_instant() {
    for (name, day, start) in [
        ("UTC", "2026-01-01", "2026-01-01T00:00:00Z"),
        ("America/New_York", "2026-01-01", "2026-01-01T05:00:00Z"),
        ("America/New_York", "2026-03-08", "2026-03-08T05:00:00Z"),
        ("America/New_York", "2026-03-09", "2026-03-09T04:00:00Z"),
        ("Asia/Kathmandu", "2026-01-01", "2025-12-31T18:15:00Z"),
        // No midnight: the day begins at 01:00.
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z"),
        ("Asia/Beirut", "2022-03-27", "2022-03-26T22:00:00Z"),
        ("Africa/Cairo", "2023-04-28", "2023-04-27T22:00:00Z"),
        // Clocks go back from midnight to 23:00, so the second midnight is the first instant of the day.
        ("America/Sao_Paulo", "2018-02-18", "2018-02-18T03:00:00Z"),
        // Two midnights: the first.
        ("America/Havana", "2025-11-02", "2025-11-02T04:00:00Z"),
        ("America/Havana", "2025-11-03", "2025-11-03T05:00:00Z"),
        // Clocks went back at 00:01: the day begins at the first midnight, a minute earlier.
        ("America/St_Johns", "2010-11-07", "2010-11-07T02:30:00Z"),
        // A date of length 0 begins with the next one.
        ("Pacific/Apia", "2011-12-29", "2011-12-29T10:00:00Z"),
        ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z"),
        ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00:00Z"),
        ("Pacific/Apia", "2012-01-01", "2011-12-31T10:00:00Z"),
    ] {
        assert_eq!(zone(name).start_of(date(day)), at(start), "{name} {day}");
    }
}

#[test]
fn an_instant_has_the_latest_date_that_has_begun() {
    for (name, instant, day) in [
        ("America/New_York", "2026-04-01T03:59:59.999Z", "2026-03-31"),
        ("America/New_York", "2026-04-01T04:00:00Z", "2026-04-01"),
        ("Pacific/Apia", "2011-12-30T09:59:59Z", "2011-12-29"),
        ("Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-31"),
        ("America/Havana", "2025-11-02T05:30:00Z", "2025-11-02"),
        // The wall shows 23:30 of the 6th for the second time: the 7th has begun already.
        ("America/St_Johns", "2010-11-07T02:00:00Z", "2010-11-06"),
        ("America/St_Johns", "2010-11-07T03:00:00Z", "2010-11-07"),
    ] {
        assert_eq!(zone(name).date_of(at(instant)), date(day), "{name} {instant}");
        assert_eq!(zone(name).month_of(at(instant)), Month::of(date(day)));
    }
}

#[test]
fn the_last_full_day_is_over_and_not_empty() {
    for (name, as_of, day) in [
        ("America/New_York", "2026-05-04T03:59:59Z", "2026-05-02"),
        ("America/New_York", "2026-05-04T04:00:00Z", "2026-05-03"),
        ("Pacific/Apia", "2011-12-30T09:59:59Z", "2011-12-28"),
        ("Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-29"),
        ("Pacific/Apia", "2011-12-31T10:00:00Z", "2011-12-31"),
    ] {
        assert_eq!(zone(name).last_full_day(at(as_of)), date(day), "{name} {as_of}");
    }
}

#[test]
fn dates_of_length_0_are_counted_for_nobody() {
    let (apia, utc) = (zone("Pacific/Apia"), zone("UTC"));
    let (first, until) = (date("2011-12-29"), date("2012-01-02"));
    assert_eq!((apia.days_between(first, until), utc.days_between(first, until)), (3, 4));
    assert_eq!(apia.days_between(until, first), 0);
    for (n, day) in [(1, "2011-12-29"), (2, "2011-12-31"), (3, "2012-01-01")] {
        assert_eq!(apia.nth_day(first, n), Some(date(day)));
    }
    assert_eq!(apia.nth_day(date("2011-12-30"), 1), Some(date("2011-12-31")));
    assert_eq!(apia.nth_day(date("2011-12-31"), 1), Some(date("2011-12-31")));
    assert_eq!(utc.nth_day(first, u32::MAX), None);
}

#[test]
fn every_day_of_thirty_years_begins_when_the_wall_says() {
    for name in ZONES {
        let zone = zone(name);
        let days = date("1996-01-01").iter_days().take_while(|day| *day < date("2027-01-01"));
        // The days around a clock change are the hard ones; the others are samples.
        let hard = |day: &NaiveDate| {
            let length = zone.end_of(*day) - zone.start_of(*day);
            length != chrono::Duration::hours(24) || day.to_string().ends_with("-15")
        };
        for day in days.filter(hard) {
            assert_eq!(zone.start_of(day), first_minute(name, day.into()), "{name} {day}");
        }
    }
}

proptest! {
    #[test]
    fn an_instant_lies_in_its_day(zone_no in 0..ZONES.len(), seconds in 0_i64..2_000_000_000) {
        let zone = zone(ZONES[zone_no]);
        let instant = instant_of(seconds);
        let day = zone.date_of(instant);
        prop_assert!(zone.start_of(day) <= instant && instant < zone.end_of(day));
        let whole = zone.first_whole_day(instant);
        prop_assert!(zone.start_of(whole) >= instant);
        prop_assert!(zone.start_of(day) < instant || whole == day);
        let full = zone.last_full_day(instant);
        prop_assert!(zone.end_of(full) <= instant && zone.start_of(full) < zone.end_of(full));
    }

    #[test]
    fn counting_days_and_finding_the_nth_agree(
        zone_no in 0..ZONES.len(), start in 0_u64..1_000, n in 1_u32..500,
    ) {
        let zone = zone(ZONES[zone_no]);
        let first = date("2010-06-01") + chrono::Days::new(start);
        let day = zone.nth_day(first, n).expect("within the calendar");
        prop_assert_eq!(zone.days_between(first, day), n - 1);
        prop_assert!(!zone.is_skipped(day));
    }

    #[test]
    fn a_time_of_day_comes_when_the_wall_shows_it(
        zone_no in 0..ZONES.len(), day in 0_u64..6_000, minute in 0_u32..1440,
    ) {
        let name = ZONES[zone_no];
        let day = date("2008-01-01") + chrono::Days::new(day);
        let time = NaiveTime::from_hms_opt(minute / 60, minute % 60, 0).expect("a minute of a day");
        prop_assert_eq!(zone(name).local_time_on(day, time), first_minute(name, day.and_time(time)));
    }
}
