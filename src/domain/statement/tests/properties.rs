//! Properties that hold whatever happens, in whatever order it becomes known.

use super::*;
use crate::domain::naive::Scene;
use chrono::{Days, Duration};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Nights, in days from the scene's start: each knows more than the one before; months close on the first
/// two.
const NIGHTS: [u64; 3] = [45, 80, 130];

/// A referral, and what is known about it on each night.
#[derive(Debug, Clone)]
struct Life {
    referral: Referral,
    /// The night on which its signup becomes known.
    known: usize,
    /// The night on which each event becomes known.
    events_known: Vec<usize>,
    /// On which nights it is held.
    held: [bool; 3],
    /// From which night on it is rejected.
    rejected: usize,
    /// From which night on it is another affiliate's.
    moved: usize,
}

/// Everything that happens to a program.
#[derive(Debug, Clone)]
struct Tale {
    scene: Scene,
    lives: Vec<Life>,
    /// The rules on each night.
    rules: [Rules; 3],
    closed_at: Option<DateTime<Utc>>,
}

fn some_rules(zone: &str) -> impl Strategy<Value = Rules> + use<> {
    let modes = prop_oneof![Just(ActiveDays::Cumulative), Just(ActiveDays::Consecutive)];
    let zones = prop_oneof![6 => Just(zone.to_owned()), 1 => Just("UTC".to_owned())];
    (zones, 3_u32..30, modes, 1_i64..4).prop_map(|(timezone, mark_days, active_days, rate)| Rules {
        timezone,
        mark_days,
        active_days,
        tiers: vec![
            tier(0, &[("performance", 10 * rate), ("growth", 100)]),
            tier(3, &[("performance", 20), ("growth", 100 + rate)]),
        ],
        ..rules()
    })
}

/// The rules of each night, mostly the same on all.
fn rules_of_nights(scene: &Scene) -> impl Strategy<Value = [Rules; 3]> + use<> {
    let (zone, first_month) = (scene.zone.name().to_owned(), Month::of(scene.start).next());
    let changes = prop_oneof![3 => Just(false), 1 => Just(true)];
    ([some_rules(&zone), some_rules(&zone), some_rules(&zone)], changes, prop::bool::weighted(0.2)).prop_map(
        move |(mut rules, change, settled)| {
            if !change {
                rules = [rules[0].clone(), rules[0].clone(), rules[0].clone()];
            }
            if settled {
                for rules in &mut rules {
                    rules.first_month = Some(first_month);
                }
            }
            rules
        },
    )
}

fn lives(scene: &Scene) -> impl Strategy<Value = Life> + use<> {
    let seldom = || prop_oneof![6 => Just(3_usize), 1 => 1_usize..3];
    let referral = naive::referrals(scene, 120);
    let events_known = proptest::collection::vec(0_usize..3, 8);
    let known = prop_oneof![3 => Just(0_usize), 1 => 0_usize..3];
    let held = prop_oneof![4 => Just([false; 3]), 1 => any::<[bool; 3]>()];
    (referral, known, events_known, held, seldom(), seldom()).prop_map(
        |(referral, known, events_known, held, rejected, moved)| Life {
            referral,
            known,
            events_known,
            held,
            rejected,
            moved,
        },
    )
}

fn tales() -> impl Strategy<Value = Tale> {
    naive::scenes().prop_flat_map(|scene| {
        let lives = proptest::collection::vec(lives(&scene), 1..7);
        let end = scene.zone.start_of(scene.start + Days::new(60));
        let closed_at = prop_oneof![5 => Just(None), 1 => Just(Some(end))];
        (Just(scene.clone()), lives, rules_of_nights(&scene), closed_at).prop_map(
            |(scene, lives, rules, closed_at)| {
                let mut tale = Tale { scene, lives, rules, closed_at };
                for (index, life) in tale.lives.iter_mut().enumerate() {
                    life.referral.account_id = format!("acct-{index}").parse().expect("an id");
                }
                tale
            },
        )
    })
}

impl Tale {
    fn through(&self, night: usize) -> NaiveDate {
        self.scene.start + Days::new(NIGHTS[night])
    }

    fn instant(&self, night: usize) -> DateTime<Utc> {
        self.scene.zone.end_of(self.through(night))
    }

    /// The referrals as known on a night.
    fn referrals(&self, night: usize) -> Vec<Referral> {
        let credited = self.lives.iter().filter(|life| life.known <= night && night < life.moved);
        let seen = credited.map(|life| {
            let mut referral = life.referral.clone();
            let mut known = life.events_known.iter();
            referral.events.retain(|_| known.next().is_some_and(|known| *known <= night));
            let held_from = (0..=night).rev().take_while(|night| life.held[*night]).last();
            referral.held_since = held_from.map(|night| self.instant(night));
            referral.rejected = life.rejected <= night;
            referral
        });
        seen.collect()
    }

    /// The last night before a day; the first night for a day before all of them.
    fn known_on(day: u64) -> usize {
        NIGHTS.iter().rposition(|night| *night <= day).unwrap_or(0)
    }

    /// The program on the last night, after the closings of the nights before; the affiliate's end is known
    /// from the first night on.
    fn program(&self) -> Program {
        let mut program = Program::new(self.rules[0].clone());
        program.closed_at = self.closed_at;
        let first = Month::of(self.scene.start - Days::new(2));
        for night in 0..3 {
            program.rules = Arc::new(self.rules[night].clone());
            program.referrals = self.referrals(night);
            if night < 2 {
                let closed_at = self.instant(night) + Duration::hours(1);
                program.night(first, self.through(night), closed_at);
            }
        }
        program
    }
}

fn bytes(statements: &[Statement]) -> String {
    serde_json::to_string(statements).expect("plain data")
}

/// What a closed month and all its adjustments say together, by account, without zeros.
fn stated(month: Month, statements: &[Statement]) -> BTreeMap<AccountId, Money> {
    let mut sums: BTreeMap<AccountId, Money> = BTreeMap::new();
    for statement in statements {
        for line in statement.lines.iter().filter(|_| statement.month == month) {
            *sums.entry(line.account_id.clone()).or_default() += line.amount;
        }
        for adjustment in statement.adjustments.iter().filter(|adjusted| adjusted.for_month == month) {
            *sums.entry(adjustment.account_id.clone()).or_default() += adjustment.amount;
        }
    }
    sums.retain(|_, sum| !sum.is_zero());
    sums
}

proptest! {
    #[test]
    fn closed_lines_and_adjustments_equal_a_computation_from_all_facts(tale in tales()) {
        let program = tale.program();
        let through = tale.through(2);
        let statements = program.statements(through);
        prop_assert!(!program.closed_months.is_empty());
        for closed in &program.closed_months {
            let Some(expected) = model::month(&program, through, closed.month) else { continue };
            let lines = expected.lines.into_iter().map(|(account, _, _, amount)| (account, amount));
            let mut now: BTreeMap<AccountId, Money> = lines.filter(|(_, amount)| !amount.is_zero()).collect();
            let mut stated = stated(closed.month, &statements);
            // The adjustments of a held account itself wait.
            let held = program.referrals.iter().filter(|r| r.held_since.is_some() && !r.rejected);
            let held: BTreeSet<&AccountId> = held.map(|referral| &referral.account_id).collect();
            now.retain(|account, _| !held.contains(account));
            stated.retain(|account, _| !held.contains(account));
            prop_assert_eq!(stated, now, "{}", closed.month);
        }
    }

    #[test]
    fn open_months_say_what_the_facts_say(tale in tales()) {
        let program = tale.program();
        let through = tale.through(2);
        let projected = program.project(through);
        let open = |month: &Month| program.closed_months.iter().all(|closed| closed.month != *month);
        let mut open_months = Month::of(tale.scene.start).previous().through(Month::of(through)).filter(open);
        for statement in &projected {
            let expected = model::month(&program, through, statement.month).expect("open");
            let lines = statement.lines.iter();
            let lines = lines.map(|l| (l.account_id.clone(), l.plan.clone(), l.crossed_on, l.amount));
            let active_accounts = statement.active_accounts;
            prop_assert_eq!(model::Totals { active_accounts, lines: lines.collect() }, expected);
            prop_assert_eq!(&statement.rules_hash, &program.rules.hash());
        }
        // A month is left out only if it has nothing to say; adjustments are in the first open month.
        let nothing_left_out = open_months.all(|month| {
            projected.iter().any(|statement| statement.month == month)
                || model::month(&program, through, month).is_none_or(|expected| expected.lines.is_empty())
        });
        prop_assert!(nothing_left_out);
        prop_assert!(projected.iter().skip(1).all(|statement| statement.adjustments.is_empty()));
    }

    #[test]
    fn each_statement_names_the_one_before_it(tale in tales()) {
        let statements = tale.program().statements(tale.through(2));
        prop_assert!(statements.iter().all(verify_hash));
        let mut previous = None;
        for statement in &statements {
            prop_assert_eq!(&statement.previous, &previous);
            previous = Some(statement.hash.clone());
        }
    }

    #[test]
    fn any_order_of_arrival_gives_the_same_bytes(tale in tales(), turn in 0_usize..100) {
        let mut program = tale.program();
        let through = tale.through(2);
        let bytes_before = bytes(&program.project(through));
        prop_assert_eq!(&bytes(&program.project(through)), &bytes_before);
        if !program.referrals.is_empty() {
            let turn = turn % program.referrals.len();
            program.referrals.rotate_left(turn);
        }
        for referral in &mut program.referrals {
            referral.events.reverse();
            if let Some(repeated) = referral.events.get(turn % 8).cloned() {
                referral.events.push(repeated);
            }
        }
        prop_assert_eq!(bytes(&program.project(through)), bytes_before);
    }

    #[test]
    fn closing_some_months_leaves_the_projections_of_the_rest(tale in tales(), count in 0_usize..6) {
        let mut program = tale.program();
        let through = tale.through(2);
        let projected = program.project(through);
        let first = Month::of(tale.scene.start - Days::new(2));
        let closed = |month: &Month| program.closed_months.iter().any(|closed| closed.month == *month);
        // The month of the last full day stays open: it is never due.
        let open = first.through(Month::of(through).previous()).filter(|month| !closed(month));
        for month in open.take(count).collect::<Vec<_>>() {
            let statement = projected.iter().find(|statement| statement.month == month).cloned();
            let (rules, closed_at) = (program.rules.clone(), tale.instant(2) + Duration::hours(1));
            let referrals = None;
            program.closed_months.push(ClosedMonth { month, rules, closed_at, statement, referrals });
            program.closed_months.sort_by_key(|closed| closed.month);
        }
        let last_closed = program.closed_months.last().map(|closed| closed.month);
        let rest = projected.into_iter().filter(|statement| Some(statement.month) > last_closed);
        prop_assert_eq!(bytes(&program.project(through)), bytes(&rest.collect::<Vec<_>>()));
    }

    /// Each night keeps the summaries of the night before, except those with a new fact or judgement, those
    /// whose day has come, and all of them if the rules changed.
    #[test]
    fn summaries_kept_from_night_to_night_say_what_new_ones_say(tale in tales(), step in 1_u64..9) {
        let mut program = Program::new(tale.rules[0].clone());
        program.closed_at = tale.closed_at;
        let first = Month::of(tale.scene.start - Days::new(2));
        let mut kept: BTreeMap<AccountId, (Referral, Summary)> = BTreeMap::new();
        let mut basis = String::new();
        for day in (0..=NIGHTS[2]).filter(|day| day % step == 0 || NIGHTS.contains(day)) {
            let night = Tale::known_on(day);
            program.rules = Arc::new(tale.rules[night].clone());
            program.referrals = tale.referrals(night);
            let through = tale.scene.start + Days::new(day);
            let ledger = program.ledger(through);
            let summarizer = Summarizer::of(&ledger);
            let former_basis = std::mem::replace(&mut basis, summarizer.basis());
            let former = std::mem::take(&mut kept);
            for referral in &program.referrals {
                let stands = former.get(&referral.account_id).filter(|(known, summary)| {
                    known == referral && summary.is_still_valid(through) && former_basis == basis
                });
                let summary = stands.map_or_else(|| summarizer.summarize(referral), |(_, kept)| kept.clone());
                kept.insert(referral.account_id.clone(), (referral.clone(), summary));
            }
            let projected = project(&ledger, kept.values().map(|(_, summary)| summary));
            prop_assert_eq!(bytes(&projected), bytes(&program.project(through)), "{}", through);
            if let Some(first_open) = projected.first().map(|statement| statement.month) {
                for (_, summary) in kept.values_mut() {
                    summary.forget_before(first_open);
                }
            }
            if NIGHTS[..2].contains(&day) {
                let closed_at = tale.instant(night) + Duration::hours(1);
                program.night(first, through, closed_at);
            }
        }
    }
}
