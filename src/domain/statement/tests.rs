//! Statements, as the nights of a program.

mod by_hand;
mod cases;
mod changes;
mod model;
mod properties;

use super::*;
use crate::domain::naive;
use crate::domain::program::{ActiveDays, Tier};
use std::fmt::Write;

fn date(text: &str) -> NaiveDate {
    text.parse().expect(text)
}

fn tier(from: u32, rates: &[(&str, i64)]) -> Tier {
    let rates = rates.iter().map(|(name, dollars)| (naive::plan(name), Money::from_cents(dollars * 100)));
    Tier { from, rates: rates.collect() }
}

/// The program of CallTrackingMetrics.
fn rules() -> Rules {
    Rules { first_month: None, ..crate::domain::commission::tests::rules() }
}

/// A program with one affiliate.
#[derive(Debug, Clone)]
struct Program {
    rules: Arc<Rules>,
    referrals: Vec<Referral>,
    closed_at: Option<DateTime<Utc>>,
    closed_months: Vec<ClosedMonth>,
    /// Lines by hand that no closed month has.
    by_hand: Vec<LineByHand>,
    /// What was known at each closing: for the second model.
    known_at: Vec<(Month, Vec<Referral>)>,
}

impl Program {
    fn new(rules: Rules) -> Self {
        Self {
            rules: Arc::new(rules),
            referrals: Vec::new(),
            closed_at: None,
            closed_months: Vec::new(),
            by_hand: Vec::new(),
            known_at: Vec::new(),
        }
    }

    fn zone(&self) -> crate::domain::calendar::Zone {
        self.rules.timezone.parse().expect("a zone")
    }

    /// Adds `count` accounts with the same story; their ids are numbered: `acct-000`, `acct-001`, …
    fn with(mut self, count: usize, story: &str) -> Self {
        for _ in 0..count {
            let id = format!("acct-{:03}", self.referrals.len());
            self.referrals.push(naive::referral(&self.zone(), &id, story));
        }
        self
    }

    fn learns(&mut self, account: usize, story: &str) {
        let event = naive::event(&self.zone(), story);
        self.referrals[account].events.push(event);
    }

    fn changes_rules(&mut self, change: impl FnOnce(&mut Rules)) {
        let mut rules = Rules::clone(&self.rules);
        change(&mut rules);
        self.rules = Arc::new(rules);
    }

    fn ledger(&self, through: NaiveDate) -> Ledger<'_> {
        Ledger {
            affiliate_id: AffiliateId::from_bits(7),
            closed_at: self.closed_at,
            closed_months: &self.closed_months,
            by_hand: &self.by_hand,
            rules: &self.rules,
            through,
        }
    }

    fn summaries(&self, through: NaiveDate) -> Vec<Summary> {
        let ledger = self.ledger(through);
        let summarizer = Summarizer::of(&ledger);
        self.referrals.iter().map(|referral| summarizer.summarize(referral)).collect()
    }

    fn project(&self, through: NaiveDate) -> Vec<Statement> {
        let statements = project(&self.ledger(through), &self.summaries(through));
        assert!(statements.iter().all(verify_hash));
        statements
    }

    /// A nightly run: closes the months from `first` on that are due, with their projections unchanged.
    fn night(&mut self, first: Month, through: NaiveDate, closed_at: DateTime<Utc>) {
        let projected = self.project(through);
        for month in first.through(Month::of(through)).filter(|month| month.is_due(through, 3)) {
            let Err(place) = self.closed_months.binary_search_by_key(&month, |closed| closed.month) else {
                continue;
            };
            let statement = projected.iter().find(|statement| statement.month == month).cloned();
            let rules = self.rules.clone();
            let referrals = statement.as_ref().and_then(|_| {
                ClosingReferrals::since(&self.closed_months[..place], &self.summaries(through))
            });
            self.known_at.push((month, self.referrals.clone()));
            let closed: &[LineByHand] = statement.as_ref().map_or(&[], |statement| &statement.by_hand);
            self.by_hand.retain(|line| !closed.contains(line));
            self.closed_months.insert(place, ClosedMonth { month, rules, closed_at, statement, referrals });
        }
    }

    /// All statements, closed and projected, by month.
    fn statements(&self, through: NaiveDate) -> Vec<Statement> {
        let closed = self.closed_months.iter().filter_map(|closed| closed.statement.clone());
        let mut all: Vec<Statement> = closed.chain(self.project(through)).collect();
        all.sort_by_key(|statement| statement.month);
        all
    }
}

/// A statement on one line: `2026-04 25 active: 3 x 149.00, 3 x -50.00 for 2026-03 = 297.00`.
fn on_one_line(statement: &Statement) -> String {
    let note = |note: Option<Note>| note.map_or(String::new(), |note| format!(" ({note:?})"));
    let lines = statement.lines.iter().map(|line| format!("{}{}", line.amount, note(line.note)));
    let adjustments = statement
        .adjustments
        .iter()
        .map(|adjusted| format!("{} for {}", adjusted.amount, adjusted.for_month));
    let by_hand = statement.by_hand.iter().map(|line| format!("{} by hand", line.amount));
    let mut groups: Vec<(usize, String)> = Vec::new();
    for item in lines.chain(adjustments).chain(by_hand) {
        match groups.last_mut() {
            Some((count, last)) if *last == item => *count += 1,
            _ => groups.push((1, item)),
        }
    }
    let groups: Vec<String> = groups.into_iter().map(|(count, item)| format!("{count} x {item}")).collect();
    let mut text = format!("{} {} active: ", statement.month, statement.active_accounts);
    let _ = write!(text, "{} = {}", groups.join(", "), statement.total);
    text
}

#[test]
fn a_changed_statement_is_found_out() {
    let program = Program::new(rules()).with(2, "growth 2026-01-01 10:00");
    let mut statement = program.project(date("2026-04-30")).pop().expect("April");
    assert!(verify_hash(&statement));
    let text = serde_json::to_string(&statement).expect("plain data");
    assert_eq!(serde_json::from_str::<Statement>(&text).expect("reads back"), statement);
    statement.lines[1].amount = Money::from_cents(9901);
    assert!(!verify_hash(&statement));
}

#[test]
fn the_canonical_json_of_a_statement_stays_as_it_is() {
    let program = Program::new(rules()).with(1, "growth 2026-01-01 10:00; a connect 2026-04-01 18:00");
    let statements = program.project(date("2026-04-30"));
    let previous = &statements[2].hash;
    let april = statements.last().expect("April");
    let facts = r#"{"account_id":"acct-000","plan":"growth","signed_up_at":"2026-01-01T15:00:00Z","#
        .to_owned()
        + r#""active":true,"held":false,"rejected":false,"events":[{"event_id":"a","#
        + r#""occurred_at":"2026-04-01T22:00:00Z","change":{"type":"plan_changed","plan":"connect"}}]}"#;
    let facts_hash = hex(&Sha256::digest(format!(r#"["{}"]"#, hex(&Sha256::digest(facts)))));
    assert_eq!(april.facts_hash, facts_hash);
    let content =
        r#"{"affiliate_id":"aff_0000000000007","month":"2026-04","active_accounts":1,"tier_from":0,"#
            .to_owned()
            + r#""lines":[{"account_id":"acct-000","plan":"connect","crossed_on":"2026-04-01","amount":"299.00"}],"#
            + r#""adjustments":[],"total":"299.00","currency":"USD","rules_hash":""#
            + &rules().hash()
            + &format!(r#"","facts_hash":"{facts_hash}","previous":"{previous}"}}"#);
    assert_eq!(april.hash, hex(&Sha256::digest(content)));
}
