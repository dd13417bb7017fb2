//! Lines by hand: a bonus or a claw-back that finance adds to what an affiliate earned.
//!
//! A line belongs to the affiliate's first month that is open when a nightly run computes; once a month closed with it,
//! it stays there. Until then it may be taken back. Its key is used once and for all: a repeated key never earns
//! twice, not even after its line was taken back.
//!
//! What becomes of a line does not depend on the order in which nodes replay what had an effect: a line that was taken
//! back or closed stays so when it is added again, and of equal facts on several nodes the oldest is kept.

use super::account::{Origin, Refusal};
use super::calendar::Month;
use super::id::LineKey;
use super::money::Money;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The largest amount of a line, in hundredths: 100,000.00, up or down. A slip of the finger should not pay more.
pub const MOST_CENTS: i64 = 10_000_000;
/// The most lines of an affiliate that are open at the same time: they go into one statement.
pub const MOST_OPEN_LINES: usize = 200;

/// A line of a statement that somebody wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LineByHand {
    /// Its name, chosen by who added it; unique for the affiliate.
    #[schema(value_type = String, example = "spring-bonus")]
    pub key: LineKey,
    /// A bonus, or, below zero, a claw-back.
    #[schema(value_type = String, example = "-25.00")]
    pub amount: Money,
    /// Why; the affiliate reads it too.
    pub reason: String,
    /// Who added it.
    pub by: String,
    /// When it was added.
    pub at: DateTime<Utc>,
}

impl LineByHand {
    /// Whether another line of the same key is the same; who added it, and when, does not count.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.key == other.key && self.amount == other.amount && self.reason == other.reason
    }
}

/// Where a line stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineState {
    /// It will be in the statement of the affiliate's earliest open month.
    Open,
    /// It was taken back before a month closed with it.
    TakenBack,
    /// It is in the closed statement of this month.
    Closed(Month),
}

/// A line with all that is known about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptLine {
    /// The line.
    pub line: LineByHand,
    /// The oldest fact that added it; `None` once it is closed, since the statement is valid then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Where it stands.
    pub state: LineState,
}

impl KeptLine {
    /// Adds a line to what is known under its key; also answers whether it is new.
    pub fn add(known: Option<Self>, line: LineByHand, origin: Origin) -> Result<(Self, bool), Refusal> {
        let Some(known) = known else {
            return Ok((Self { line, origin: Some(origin), state: LineState::Open }, true));
        };
        if !known.line.says_the_same(&line) {
            return Err(Refusal::LineDiffers);
        }
        match known.origin {
            Some(before) if origin < before => Ok((Self { line, origin: Some(origin), ..known }, false)),
            _ => Ok((known, false)),
        }
    }

    /// Takes a line back; also answers whether that is new.
    pub fn take_back(self) -> Result<(Self, bool), Refusal> {
        match self.state {
            LineState::Open => Ok((Self { state: LineState::TakenBack, ..self }, true)),
            LineState::TakenBack => Ok((self, false)),
            LineState::Closed(_) => Err(Refusal::AlreadyClosed),
        }
    }

    /// Closes a month with a line. A line that is not known was added on a node that has yet to replay that.
    pub fn close(known: Option<Self>, line: &LineByHand, month: Month) -> Result<Self, Refusal> {
        let is_free = known.is_none_or(|known| {
            let fits = known.state == LineState::Open || known.state == LineState::Closed(month);
            fits && known.line.says_the_same(line)
        });
        let closed = Self { line: line.clone(), origin: None, state: LineState::Closed(month) };
        if is_free { Ok(closed) } else { Err(Refusal::LinesChanged) }
    }
}

/// Lines in the order of statements: the oldest first.
pub fn in_order(mut lines: Vec<LineByHand>) -> Vec<LineByHand> {
    lines.sort_unstable_by(|one, other| (one.at, &one.key).cmp(&(other.at, &other.key)));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::NodeId;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).expect("an instant")
    }
    fn origin(second: i64) -> Origin {
        Origin { at: at(second), node: NodeId::from_bits(1), position: 1 }
    }
    fn line(cents: i64, second: i64) -> LineByHand {
        LineByHand {
            key: "k".parse().expect("a key"),
            amount: Money::from_cents(cents),
            reason: "a bonus".into(),
            by: format!("by-{second}"),
            at: at(second),
        }
    }
    fn month(text: &str) -> Month {
        text.parse().expect(text)
    }
    fn kept(second: i64, state: LineState) -> KeptLine {
        let origin = (!matches!(state, LineState::Closed(_))).then_some(origin(second));
        KeptLine { line: line(100, second), origin, state }
    }

    #[test]
    fn a_key_is_added_once_whatever_became_of_its_line() {
        use LineState::{Closed, Open, TakenBack};
        let april = Closed(month("2026-04"));
        // What is known, the amount and the second of a fact, what is kept afterwards and whether that is new.
        let table = [
            ("new", None, 100, 5, Ok((kept(5, Open), true))),
            ("again, later", Some(kept(5, Open)), 100, 9, Ok((kept(5, Open), false))),
            ("again, but older", Some(kept(5, Open)), 100, 3, Ok((kept(3, Open), false))),
            ("another amount", Some(kept(5, Open)), 101, 9, Err(Refusal::LineDiffers)),
            ("after it was taken back", Some(kept(5, TakenBack)), 100, 9, Ok((kept(5, TakenBack), false))),
            ("older, and taken back", Some(kept(5, TakenBack)), 100, 3, Ok((kept(3, TakenBack), false))),
            ("closed", Some(kept(5, april)), 100, 3, Ok((kept(5, april), false))),
            ("closed with another amount", Some(kept(5, april)), 99, 3, Err(Refusal::LineDiffers)),
        ];
        for (name, known, cents, second, expected) in table {
            assert_eq!(KeptLine::add(known, line(cents, second), origin(second)), expected, "{name}");
        }
        let another_reason = LineByHand { reason: "another".into(), ..line(100, 5) };
        assert_eq!(KeptLine::add(Some(kept(5, Open)), another_reason, origin(5)), Err(Refusal::LineDiffers));
    }

    #[test]
    fn a_line_is_taken_back_until_its_month_closes() {
        use LineState::{Closed, Open, TakenBack};
        let table = [
            ("open", kept(5, Open), Ok((kept(5, TakenBack), true))),
            ("again", kept(5, TakenBack), Ok((kept(5, TakenBack), false))),
            ("closed", kept(5, Closed(month("2026-04"))), Err(Refusal::AlreadyClosed)),
        ];
        for (name, known, expected) in table {
            assert_eq!(known.take_back(), expected, "{name}");
        }
    }

    #[test]
    fn a_line_is_closed_in_one_month_and_never_after_it_was_taken_back() {
        use LineState::{Closed, Open, TakenBack};
        let (april, may) = (Closed(month("2026-04")), Closed(month("2026-05")));
        let table = [
            ("open", Some(kept(5, Open)), 100, true),
            ("open, of an older fact since", Some(kept(3, Open)), 100, true),
            ("open with another amount", Some(kept(5, Open)), 99, false),
            ("not replayed yet", None, 100, true),
            ("closed in it", Some(kept(5, april)), 100, true),
            ("closed in another month", Some(kept(5, may)), 100, false),
            ("taken back meanwhile", Some(kept(5, TakenBack)), 100, false),
        ];
        for (name, known, cents, closes) in table {
            let expected = if closes { Ok(kept(5, april)) } else { Err(Refusal::LinesChanged) };
            assert_eq!(KeptLine::close(known, &line(cents, 5), month("2026-04")), expected, "{name}");
        }
    }

    /// Facts that had an effect, in all orders in which nodes may replay them. A removal follows what it removes.
    #[test]
    fn every_order_of_a_replay_ends_the_same() {
        let added = |known, second| KeptLine::add(known, line(100, second), origin(second)).expect("equal").0;
        let mut taken_back = Vec::new();
        for (first, second) in [(5, 3), (3, 5)] {
            taken_back.push(added(Some(added(None, first)), second).take_back().expect("open").0);
            taken_back.push(added(Some(added(None, first).take_back().expect("open").0), second));
        }
        assert!(taken_back.iter().all(|one| *one == kept(3, LineState::TakenBack)), "{taken_back:?}");
        let april = month("2026-04");
        let closed = |known| KeptLine::close(known, &line(100, 5), april).expect("free");
        let orders = [
            closed(Some(added(Some(added(None, 5)), 3))),
            added(Some(closed(Some(added(None, 3)))), 5),
            added(Some(added(Some(closed(None)), 5)), 3),
        ];
        assert!(orders.iter().all(|one| *one == kept(5, LineState::Closed(april))), "{orders:?}");
    }
}
