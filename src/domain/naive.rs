//! A second model of histories, slow and simple: for every day it checks whether the account was active at
//! each instant at which something happened. Tests compare the rules with it. It relies only on `Zone`, which
//! has a second model of its own. It also makes referrals from short texts and at random, and
//! decisions and statements that tests of other modules need.

use super::attribution::Attribution;
use super::calendar::{Month, Zone};
use super::id::{AffiliateId, Plan};
use super::mark::Mark;
use super::money::Money;
use super::outcome::{HoldReason, Reason};
use super::program::{ActiveDays, Model};
use super::statement::{AccountEvent, Adjustment, Change, Line, Referral, Statement};
use chrono::{DateTime, Days, Duration, NaiveDate, NaiveTime, Utc};
use proptest::prelude::*;

/// Zones, each with a date a few weeks before an unusual clock change.
const SCENES: [(&str, &str); 9] = [
    ("America/New_York", "2026-02-20"),
    ("Pacific/Apia", "2011-12-10"),
    ("America/Sao_Paulo", "2018-10-15"),
    ("Africa/Cairo", "2023-04-10"),
    ("Asia/Beirut", "2022-03-10"),
    ("America/Havana", "2025-10-15"),
    ("America/St_Johns", "2010-10-20"),
    ("Asia/Kathmandu", "2026-01-20"),
    ("UTC", "2026-01-20"),
];

/// A zone and the first date of what happens.
#[derive(Debug, Clone)]
pub struct Scene {
    pub zone: Zone,
    pub start: NaiveDate,
}

pub fn scenes() -> impl Strategy<Value = Scene> {
    (0..SCENES.len()).prop_map(|at| Scene {
        zone: SCENES[at].0.parse().expect("a known zone"),
        start: SCENES[at].1.parse().expect("a date"),
    })
}

/// An instant of the scene, often close to the change of a day.
fn instants(scene: &Scene, days: u64) -> impl Strategy<Value = DateTime<Utc>> + use<> {
    let (zone, start) = (scene.zone.clone(), scene.start);
    let seconds = prop_oneof![Just(0), Just(0), Just(-1), Just(1), Just(9 * 3600), Just(15 * 3600)];
    (0..days, seconds)
        .prop_map(move |(day, seconds)| zone.start_of(start + Days::new(day)) + Duration::seconds(seconds))
}

/// A decision without a click: credited, or to nobody.
pub fn credited(affiliate: Option<u64>, holds: &[HoldReason]) -> Attribution {
    Attribution {
        affiliate_id: affiliate.map(AffiliateId::from_bits),
        link_id: None,
        click_id: None,
        clicked_at: None,
        via: None,
        model: Model::LastClick,
        reason: if affiliate.is_some() { Reason::Attributed } else { Reason::NoEvidence },
        holds: holds.to_vec(),
        considered: Vec::new(),
        code: None,
        tie_break: None,
    }
}

/// An affiliate's statement, in dollars; its hashes are left empty.
pub fn statement(month: &str, lines: Vec<Line>, adjustments: Vec<Adjustment>) -> Statement {
    let adjusted: Money = adjustments.iter().map(|one| one.amount).sum();
    Statement {
        affiliate_id: AffiliateId::from_bits(1),
        month: month.parse().expect("a month"),
        active_accounts: 1,
        tier_from: 0,
        total: lines.iter().map(|line| line.amount).sum::<Money>() + adjusted,
        lines,
        adjustments,
        by_hand: Vec::new(),
        currency: "USD".to_owned(),
        rules_hash: String::new(),
        facts_hash: String::new(),
        previous: None,
        hash: String::new(),
    }
}

pub fn plan(name: &str) -> Plan {
    name.parse().expect("a plan")
}

/// An instant by the clocks of a zone: `2026-01-01 10:00`.
pub fn at(zone: &Zone, text: &str) -> DateTime<Utc> {
    let (day, time) = text.split_once(' ').expect(text);
    let time: NaiveTime = time.parse().expect(text);
    zone.local_time_on(day.parse().expect(text), time)
}

/// An event from a text: `a suspended 2026-02-01 09:00`, or `a connect …` for a change of plan.
pub fn event(zone: &Zone, story: &str) -> AccountEvent {
    let (event_id, rest) = story.split_once(' ').expect(story);
    let (change, occurred_at) = rest.split_once(' ').expect(story);
    let change = match change {
        "activated" => Change::Activated,
        "suspended" => Change::Suspended,
        "canceled" => Change::Canceled,
        "merged" => Change::Unknown { name: "merged".into() },
        name => Change::PlanChanged { plan: plan(name) },
    };
    AccountEvent { event_id: event_id.parse().expect(story), occurred_at: at(zone, occurred_at), change }
}

/// A referral from a text: `growth 2026-01-01 10:00; a suspended 2026-02-01 09:00`. With `trial` before it,
/// the signup does not activate.
pub fn referral(zone: &Zone, account_id: &str, story: &str) -> Referral {
    let (signup, events) = story.split_once("; ").unwrap_or((story, ""));
    let (active, signup) = signup.strip_prefix("trial ").map_or((true, signup), |rest| (false, rest));
    let (name, signed_up_at) = signup.split_once(' ').expect(story);
    Referral {
        account_id: account_id.parse().expect("an id"),
        plan: plan(name),
        signed_up_at: at(zone, signed_up_at),
        active,
        events: events.split("; ").filter(|text| !text.is_empty()).map(|text| event(zone, text)).collect(),
        held_since: None,
        rejected: false,
    }
}

fn changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => Just(Change::Activated),
        2 => Just(Change::Suspended),
        1 => Just(Change::Canceled),
        1 => Just(Change::PlanChanged { plan: plan("growth") }),
        1 => Just(Change::PlanChanged { plan: plan("connect") }),
        1 => Just(Change::Unknown { name: "merged".into() }),
    ]
}

/// Events within a number of days; their ids are not in the order of time.
fn events(scene: &Scene, days: u64) -> impl Strategy<Value = Vec<AccountEvent>> + use<> {
    proptest::collection::vec((instants(scene, days), changes(), 0..10), 0..8).prop_map(|events| {
        let named = events.into_iter().enumerate().map(|(at, (occurred_at, change, letter))| AccountEvent {
            event_id: format!("{letter}-{at}").parse().expect("an id"),
            occurred_at,
            change,
        });
        named.collect()
    })
}

/// A referral of the scene that is neither held nor rejected.
pub fn referrals(scene: &Scene, days: u64) -> impl Strategy<Value = Referral> + use<> {
    (instants(scene, days / 2), prop::bool::weighted(0.8), events(scene, days)).prop_map(
        |(signed_up_at, active, events)| Referral {
            account_id: "acct-0".parse().expect("an id"),
            plan: plan("performance"),
            signed_up_at,
            active,
            events,
            held_since: None,
            rejected: false,
        },
    )
}

/// Every change of whether the account is active, in order, the signup first.
fn effects(referral: &Referral) -> Vec<(DateTime<Utc>, bool)> {
    let mut events: Vec<_> = referral.events.iter().collect();
    events.sort_by_key(|event| (event.occurred_at, event.event_id.as_str().as_bytes().to_vec()));
    let effect = |event: &AccountEvent| {
        let active = match event.change {
            Change::Activated => true,
            Change::Suspended | Change::Canceled => false,
            _ => return None,
        };
        Some((event.occurred_at.max(referral.signed_up_at), active))
    };
    let signup = (referral.signed_up_at, referral.active);
    std::iter::once(signup).chain(events.into_iter().filter_map(effect)).collect()
}

fn active_at(effects: &[(DateTime<Utc>, bool)], at: DateTime<Utc>) -> bool {
    effects.iter().rfind(|effect| effect.0 <= at).is_some_and(|effect| effect.1)
}

/// Whether the account was active just before `end`.
pub fn active_before(referral: &Referral, end: DateTime<Utc>) -> bool {
    effects(referral).iter().rfind(|effect| effect.0 < end).is_some_and(|effect| effect.1)
}

/// Each day of the account up to `through`, and whether it was an active day.
fn days(referral: &Referral, zone: &Zone, through: NaiveDate) -> Vec<(NaiveDate, bool)> {
    let effects = effects(referral);
    let first = zone.date_of(referral.signed_up_at);
    let dates = first.iter_days().take_while(|date| *date <= through);
    let long = dates.filter(|date| zone.start_of(*date) < zone.end_of(*date));
    let whole = |date| {
        let (start, end) = (zone.start_of(date), zone.end_of(date));
        let within = effects.iter().map(|effect| effect.0).filter(|at| (start..end).contains(at));
        std::iter::once(start).chain(within).all(|at| active_at(&effects, at))
    };
    long.map(|date| (date, whole(date))).collect()
}

/// Each day, whether it was active, and the number of active days after it.
fn counts(referral: &Referral, mark: &Mark, through: NaiveDate) -> Vec<(NaiveDate, bool, u32)> {
    let counted = days(referral, &mark.zone, through).into_iter().scan(0, |count, (date, active)| {
        *count = match (active, mark.active_days) {
            (true, _) => *count + 1,
            (false, ActiveDays::Cumulative) => *count,
            (false, ActiveDays::Consecutive) => 0,
        };
        Some((date, active, *count))
    });
    counted.collect()
}

/// The first active day at whose end the count has reached the qualifying period of its month, if it is not
/// after `through`.
pub fn crossing(
    referral: &Referral,
    mark_of: impl Fn(Month) -> Mark,
    through: NaiveDate,
) -> Option<NaiveDate> {
    let first = Month::of(referral.signed_up_at.date_naive()).previous();
    first.through(Month::of(through)).find_map(|month| {
        let mark = mark_of(month);
        let in_month = |day: &(NaiveDate, bool, u32)| Month::of(day.0) == month;
        let mut days = counts(referral, &mark, through).into_iter().filter(in_month);
        days.find(|(_, active, count)| *active && *count >= mark.days).map(|day| day.0)
    })
}

/// The active days up to `through`.
pub fn active_days(referral: &Referral, mark: &Mark, through: NaiveDate) -> u32 {
    counts(referral, mark, through).last().map_or(0, |day| day.2)
}

/// The plan in force just before `end`.
pub fn plan_before(referral: &Referral, end: DateTime<Utc>) -> Plan {
    let mut events: Vec<_> = referral.events.iter().collect();
    events.sort_by_key(|event| (event.occurred_at, event.event_id.as_str().as_bytes().to_vec()));
    let valid = |event: &&AccountEvent| (referral.signed_up_at..end).contains(&event.occurred_at);
    let mut plans = events.into_iter().filter(valid).filter_map(|event| match &event.change {
        Change::PlanChanged { plan } => Some(plan),
        _ => None,
    });
    plans.next_back().unwrap_or(&referral.plan).clone()
}
