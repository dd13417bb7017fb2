//! What all pages say of what was earned, and of its way from a statement to its payment.

use super::PageState;
use super::table::{Cell, Tone};
use super::view::{money, month_in_words, show_day};
use crate::app::{EarnedFor, StatementDoc};
use crate::domain::affiliate::Affiliate;
use crate::domain::by_hand::LineByHand;
use crate::domain::calendar::Month;
use crate::domain::id::AccountId;
use crate::domain::money::Money;
use crate::domain::payout::{Carried, Outlook, Part, Payment};
use crate::domain::statement::{Adjustment, Line, Note, Statement};
use serde::Serialize;

/// Where a statement stands, in words.
#[derive(Debug, Serialize)]
pub struct Standing {
    /// In a word.
    pub word: &'static str,
    /// How it is to be seen.
    pub tone: Tone,
    /// When it is to be paid, or why not then; may be empty.
    pub note: String,
}

/// An affiliate's next payout.
pub fn outlook(state: &PageState, affiliate: &Affiliate, statements: &[StatementDoc]) -> Outlook {
    let (zone, now) = (state.app.zone(), state.app.now());
    Outlook::of(affiliate, statements.iter().map(part), state.app.config().program.minimum_payout, zone, now)
}

/// Where a statement stands.
pub fn standing(state: &PageState, outlook: &Outlook, doc: &StatementDoc) -> Standing {
    let today = state.app.zone().date_of(state.app.now());
    let on = show_day(doc.statement.month.batch(today));
    let (word, tone, note) = match outlook.payment(&part(doc)) {
        Payment::Nothing => ("Nothing to pay", Tone::Info, String::new()),
        Payment::Open => ("Not due yet", Tone::Info, format!("due on {on}")),
        Payment::Unpaid => ("Unpaid", Tone::Info, format!("to be paid on {on}")),
        Payment::SetOff => ("To be set off", Tone::Info, format!("on {on}, against other months")),
        Payment::Carried => ("Carried", Tone::Warn, whys(state, outlook)),
    };
    Standing { word, tone, note }
}

/// The same as a cell.
pub fn cell(state: &PageState, outlook: &Outlook, doc: &StatementDoc) -> Cell {
    let Standing { word, tone, note } = standing(state, outlook, doc);
    let cell = Cell::mark(word, tone);
    if note.is_empty() { cell } else { cell.note(note) }
}

/// Why the next payout leaves out what is due, in one text.
pub fn whys(state: &PageState, outlook: &Outlook) -> String {
    let whys: Vec<String> = outlook.carried.iter().map(|one| why(state, *one)).collect();
    whys.join(" ")
}

/// Why the next payout leaves out what is due.
pub fn why(state: &PageState, carried: Carried) -> String {
    match carried {
        Carried::NoPaypalEmail => "No PayPal e-mail is known yet.".to_owned(),
        Carried::Suspended => "The account is suspended; payouts wait until this is settled.".to_owned(),
        Carried::AddressChanged(until) => format!(
            "The e-mail or PayPal e-mail was changed; for safety payouts are held until {}.",
            show_day(state.app.zone().date_of(until))
        ),
        Carried::NotAboveZero => "All that is due adds up to no more than zero.".to_owned(),
        Carried::BelowMinimum => {
            let minimum = money(
                &state.app.config().program.minimum_payout.to_string(),
                &state.app.config().program.currency,
            );
            format!("Payouts start at {minimum}; a smaller sum is carried to the next one.")
        }
    }
}

/// A tier by the least number of active accounts that reaches it.
pub fn tier(from: u32) -> String {
    if from == 0 { "first tier".to_owned() } else { format!("tier from {from}") }
}

/// What a commission is for.
pub fn earned_for(earned: &EarnedFor) -> String {
    format!("{}, {}", earned.plan, tier(earned.tier_from))
}

/// What a statement says of an account.
#[derive(Debug, Serialize)]
pub struct Stated {
    /// Of which month's statement.
    pub month: Month,
    /// A commission, or of what month an adjustment.
    pub what: String,
    /// The plan and the tier of a commission.
    pub earned_for: Option<String>,
    /// How much.
    pub amount: Money,
}

/// What statements say of an account, in their order.
pub fn stated(statements: &[StatementDoc], account: &AccountId) -> Vec<Stated> {
    let of = |doc: &StatementDoc| {
        let says = &doc.statement;
        let lines = says.lines.iter().filter(|line| line.account_id == *account).map(|line| Stated {
            month: says.month,
            what: "Commission".to_owned(),
            earned_for: Some(format!("{}, {}", line.plan, tier(says.tier_from))),
            amount: line.amount,
        });
        let adjustments = says.adjustments.iter().filter(|one| one.account_id == *account);
        let adjustments = adjustments.map(|one| Stated {
            month: says.month,
            what: format!("Adjustment of {}", month_in_words(one.for_month)),
            earned_for: None,
            amount: one.amount,
        });
        lines.chain(adjustments).collect::<Vec<_>>()
    };
    statements.iter().flat_map(of).collect()
}

/// A statement as a CSV file has it: its commissions, its adjustments, its lines by hand. Notes are for programs: a
/// commission's is a code, an adjustment's says what was stated and what is right; that of a line by hand is its reason.
pub fn statement_lines(says: &Statement) -> Vec<Vec<String>> {
    let heads =
        ["kind", "account_id", "plan", "crossed_on", "for_month", "amount", "currency", "note", "tier_from"];
    let commission = |line: &Line| {
        let note = line.note.map(Note::code).unwrap_or_default();
        [
            "commission".to_owned(),
            line.account_id.to_string(),
            line.plan.to_string(),
            line.crossed_on.to_string(),
            says.month.to_string(),
            line.amount.to_string(),
            says.currency.clone(),
            note.to_owned(),
            says.tier_from.to_string(),
        ]
    };
    let adjustment = |one: &Adjustment| {
        [
            "adjustment".to_owned(),
            one.account_id.to_string(),
            String::new(),
            String::new(),
            one.for_month.to_string(),
            one.amount.to_string(),
            says.currency.clone(),
            format!("stated {} now {}", one.stated, one.now),
            String::new(),
        ]
    };
    let by_hand = |one: &LineByHand| {
        [
            "by_hand".to_owned(),
            String::new(),
            String::new(),
            String::new(),
            says.month.to_string(),
            one.amount.to_string(),
            says.currency.clone(),
            one.reason.clone(),
            String::new(),
        ]
    };
    let commissions = says.lines.iter().map(commission);
    let adjustments = says.adjustments.iter().map(adjustment);
    let by_hand = says.by_hand.iter().map(by_hand);
    let heads = std::iter::once(heads.map(str::to_owned));
    heads.chain(commissions).chain(adjustments).chain(by_hand).map(Vec::from).collect()
}

fn part(doc: &StatementDoc) -> Part {
    Part { month: doc.statement.month, total: doc.statement.total, closed: doc.is_closed() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::naive;
    use crate::http::pages::table::csv_file;

    #[test]
    fn a_statements_file_has_codes_in_place_of_sentences() {
        let line = |account: &str, cents, note| Line {
            account_id: account.parse().expect("an id"),
            plan: "growth".parse().expect("a plan"),
            crossed_on: "2026-04-20".parse().expect("a day"),
            amount: Money::from_cents(cents),
            note,
        };
        let lines = vec![
            line("acct_1", 9_900, None),
            line("acct_2", 0, Some(Note::NoRate)),
            line("acct_3", 0, Some(Note::SettledElsewhere)),
        ];
        let adjustment = Adjustment {
            for_month: "2026-03".parse().expect("a month"),
            account_id: "acct_9".parse().expect("an id"),
            stated: Money::from_cents(14_900),
            now: Money::from_cents(9_900),
            amount: Money::from_cents(-5_000),
        };
        let by_hand = LineByHand {
            key: "k".parse().expect("a key"),
            amount: Money::from_cents(-2_500),
            reason: "=paid twice, \"again\"".into(),
            by: "stf_1".into(),
            at: chrono::DateTime::UNIX_EPOCH,
        };
        let by_hand = vec![by_hand];
        let says =
            Statement { tier_from: 25, by_hand, ..naive::statement("2026-04", lines, vec![adjustment]) };
        let csv = String::from_utf8(csv_file(&statement_lines(&says))).expect("text");
        assert_eq!(
            csv,
            "\u{feff}kind,account_id,plan,crossed_on,for_month,amount,currency,note,tier_from\n\
             commission,acct_1,growth,2026-04-20,2026-04,99.00,USD,,25\n\
             commission,acct_2,growth,2026-04-20,2026-04,0.00,USD,no_rate,25\n\
             commission,acct_3,growth,2026-04-20,2026-04,0.00,USD,settled_elsewhere,25\n\
             adjustment,acct_9,,,2026-03,-50.00,USD,stated 149.00 now 99.00,\n\
             by_hand,,,,2026-04,-25.00,USD,\"'=paid twice, \"\"again\"\"\",\n"
        );
        for note in [Note::NoRate, Note::SettledElsewhere] {
            assert_eq!(serde_json::to_value(note).expect("plain data"), note.code());
        }
    }
}
