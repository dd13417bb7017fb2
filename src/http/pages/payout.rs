//! What all pages say of what was earned, and of its way from a statement to its payment.

use super::PageState;
use super::table::{Cell, Tone};
use super::view::{money, month_in_words, show_day};
use crate::app::payouts::{YearRow, due};
use crate::app::{App, EarnedFor, ReadError, StatementDoc};
use crate::domain::by_hand::LineByHand;
use crate::domain::calendar::Month;
use crate::domain::id::AccountId;
use crate::domain::money::Money;
use crate::domain::payout::{Carried, Item, ItemId, ItemStatus, Outlook, Part, PartOf, Payment, PayoutId};
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
    /// The payout that pays it.
    pub payout: Option<PayoutId>,
    /// The payment there.
    pub item: Option<ItemId>,
}

/// Where a statement stands.
pub fn standing(state: &PageState, outlook: &Outlook, doc: &StatementDoc) -> Standing {
    let today = state.app.zone().date_of(state.app.now());
    let on = show_day(doc.statement.month.batch(today));
    let payment = outlook.payment(&due(doc));
    let payout = match payment {
        Payment::UnderWay(id, _) | Payment::Paid(id, _) => Some(id),
        _ => None,
    };
    let affiliate = doc.statement.affiliate_id;
    let (word, tone, note) = match payment {
        Payment::Nothing => ("Nothing to pay", Tone::Info, String::new()),
        Payment::Open => ("Not due yet", Tone::Info, format!("due on {on}")),
        Payment::Unpaid => ("Unpaid", Tone::Info, format!("to be paid on {on}")),
        Payment::SetOff => ("To be set off", Tone::Info, format!("on {on}, against other months")),
        Payment::Carried => ("Carried", Tone::Warn, whys(state, outlook)),
        Payment::UnderWay(id, status) => {
            let (word, tone) = item_word(status);
            (word, tone, format!("in payout {id}"))
        }
        Payment::Paid(id, Some(on)) => ("Paid", Tone::Good, format!("on {}, in payout {id}", show_day(on))),
        Payment::Paid(id, None) => ("Paid", Tone::Good, format!("in payout {id}")),
        Payment::PaidElsewhere => ("Paid", Tone::Good, "before payouts were made here".to_owned()),
    };
    Standing { word, tone, note, payout, item: payout.map(|payout| ItemId { payout, affiliate }) }
}

/// The same as a cell.
pub fn cell(state: &PageState, outlook: &Outlook, doc: &StatementDoc) -> Cell {
    let Standing { word, tone, note, .. } = standing(state, outlook, doc);
    let cell = Cell::mark(word, tone);
    if note.is_empty() { cell } else { cell.note(note) }
}

/// Why the next payout leaves out what is due, in one text.
pub fn whys(state: &PageState, outlook: &Outlook) -> String {
    let whys: Vec<String> = outlook.carried.iter().map(|one| why(state, outlook, *one)).collect();
    whys.join(" ")
}

/// Why the next payout leaves out what is due, for its affiliate.
pub fn why(state: &PageState, outlook: &Outlook, carried: Carried) -> String {
    let program = &state.app.config().program;
    let amount = |amount: Money| money(&amount.to_string(), &program.currency);
    match (carried, outlook.held_until) {
        (Carried::NoPaypalEmail, _) => "No PayPal e-mail is known yet.".to_owned(),
        (Carried::Suspended, _) => "The account is suspended; payouts wait until this is settled.".to_owned(),
        (Carried::AddressChanged, Some(until)) => format!(
            "The e-mail or PayPal e-mail was changed; for safety payouts are held until {}.",
            show_day(state.app.zone().date_of(until))
        ),
        (Carried::NotAboveZero, _) => "All that is due adds up to no more than zero.".to_owned(),
        (Carried::BelowMinimum, _) => format!(
            "Payouts start at {}; a smaller sum is carried to the next one.",
            amount(program.minimum_payout)
        ),
        (Carried::NeedsChange, _) => {
            "PayPal could not pay to this PayPal e-mail. Check it in your PayPal account, or use another one."
                .to_owned()
        }
        (Carried::AboveLimit, _) => {
            "The sum is above the limit for one payment; we look at it first.".to_owned()
        }
        (Carried::AddressChanged, None)
        | (
            Carried::Blocked | Carried::TooManyFailures | Carried::SharedReceiver | Carried::DoesNotAddUp,
            _,
        ) => "We have to look at your payouts first.".to_owned(),
    }
}

/// What has become of a payment, in a word or two, and how it is to be seen.
pub const fn item_word(status: ItemStatus) -> (&'static str, Tone) {
    match status {
        ItemStatus::Ready => ("In the next payout", Tone::Info),
        ItemStatus::Submitted => ("On its way", Tone::Info),
        ItemStatus::Unknown | ItemStatus::OnHold => ("Being checked", Tone::Warn),
        ItemStatus::Unclaimed => ("Waits at PayPal", Tone::Warn),
        ItemStatus::Paid => ("Paid", Tone::Good),
        ItemStatus::Failed => ("Failed", Tone::Bad),
        ItemStatus::Returned => ("Came back", Tone::Warn),
        ItemStatus::Blocked => ("Blocked", Tone::Bad),
        ItemStatus::Refunded => ("Sent back", Tone::Warn),
        ItemStatus::Reversed => ("Taken back", Tone::Warn),
        ItemStatus::Canceled => ("Not paid", Tone::Info),
        ItemStatus::Withdrawn => ("Taken out", Tone::Info),
    }
}

/// What affiliates were paid and earned in a calendar year, as a CSV file has it.
pub async fn year_lines(app: &App, year: i32) -> Result<Vec<Vec<String>>, ReadError> {
    let heads = [
        "affiliate_id",
        "name",
        "company",
        "email",
        "paypal_email",
        "year",
        "paid",
        "came_back",
        "earned",
        "currency",
    ];
    let line = |row: YearRow| {
        let profile = &row.affiliate.profile;
        [
            row.affiliate.id.to_string(),
            profile.name.clone(),
            profile.company.clone().unwrap_or_default(),
            profile.email.clone(),
            profile.paypal_email.clone().unwrap_or_default(),
            year.to_string(),
            row.paid.to_string(),
            row.came_back.to_string(),
            row.earned.to_string(),
            app.config().program.currency.clone(),
        ]
    };
    let rows = app.payout_year(year).await?.into_iter().map(line);
    Ok(std::iter::once(heads.map(str::to_owned)).chain(rows).map(Vec::from).collect())
}

/// What a state of a payment means for its affiliate, and what it can do.
pub fn item_note(item: &Item) -> String {
    let to = &item.receiver;
    match item.status {
        ItemStatus::Ready => format!("It goes to {to} with the next payout."),
        ItemStatus::Submitted => format!("It was sent to PayPal for {to}."),
        ItemStatus::Unknown => {
            "We ask PayPal whether it arrived. There is nothing that you have to do.".to_owned()
        }
        ItemStatus::OnHold => "PayPal reviews it. There is nothing that you have to do.".to_owned(),
        ItemStatus::Unclaimed => format!(
            "PayPal holds it for 30 days. To get it, sign in to PayPal with {to}, or add this e-mail to your account there and confirm it."
        ),
        ItemStatus::Paid => paid_how(item),
        ItemStatus::Failed => format!("PayPal could not pay it to {to}. The sum went back to what is due."),
        ItemStatus::Returned => {
            "It was not claimed at PayPal, and came back. The sum went back to what is due.".to_owned()
        }
        ItemStatus::Blocked => {
            "PayPal did not allow it. The sum went back to what is due; we look at it first.".to_owned()
        }
        ItemStatus::Refunded | ItemStatus::Reversed => {
            "The money came back to us. The sum went back to what is due; we look at it first.".to_owned()
        }
        ItemStatus::Canceled => "It did not reach you. The sum went back to what is due.".to_owned(),
        ItemStatus::Withdrawn => "It was not sent. The sum went back to what is due.".to_owned(),
    }
}

/// By PayPal, or by what identifies the payment elsewhere.
fn paid_how(item: &Item) -> String {
    match item.means.as_ref().map(|means| &means.reference) {
        Some(Some(reference)) => format!("Reference {reference}"),
        Some(None) => String::new(),
        None => format!("To {}", item.receiver),
    }
}

/// What a payment is for, in a few words.
pub fn paid_for(parts: &[Part]) -> String {
    let months = parts.iter().filter_map(|part| match &part.of {
        PartOf::Statement { month, .. } => Some(*month),
        PartOf::Correction { .. } => None,
    });
    let months: Vec<Month> = months.collect();
    let statements = match months.as_slice() {
        [] => None,
        [one] => Some(month_in_words(*one)),
        [one, other] => Some(format!("{}, {}", month_in_words(*one), month_in_words(*other))),
        [first, .., last] => {
            let (first, last) = (month_in_words(*first), month_in_words(*last));
            Some(format!("{} months, {first} to {last}", months.len()))
        }
    };
    let corrections = match parts.len() - months.len() {
        0 => None,
        1 => Some("a correction".to_owned()),
        some => Some(format!("{some} corrections")),
    };
    let all: Vec<String> = statements.into_iter().chain(corrections).collect();
    all.join(", and ")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::naive;
    use crate::domain::payout::{Means, Provider};
    use crate::http::pages::table::csv_file;

    #[test]
    fn what_a_payment_is_for_is_said_in_a_few_words() {
        let statement =
            |month: &str| PartOf::Statement { month: month.parse().expect("a month"), hash: String::new() };
        let correction = |correction| PartOf::Correction { correction };
        let table = [
            (vec![statement("2026-09")], "September 2026"),
            (vec![statement("2026-08"), statement("2026-09")], "August 2026, September 2026"),
            (
                vec![statement("2026-06"), statement("2026-08"), statement("2026-09")],
                "3 months, June 2026 to September 2026",
            ),
            (vec![statement("2026-09"), correction(0)], "September 2026, and a correction"),
            (vec![correction(0), correction(1)], "2 corrections"),
        ];
        for (of, said) in table {
            let parts: Vec<Part> =
                of.into_iter().map(|of| Part { of, amount: Money::from_cents(100) }).collect();
            assert_eq!(paid_for(&parts), said);
        }
    }

    #[test]
    fn an_affiliate_is_told_what_each_state_means_and_nothing_that_staff_wrote() {
        let item = |status| Item {
            payout_id: "pay_2026-09-1".parse().expect("an id"),
            status,
            receiver: "pay@b.example".into(),
            amount: Money::from_cents(9_900),
            parts: Vec::new(),
            chunk: None,
            changed_at: chrono::DateTime::UNIX_EPOCH,
            paid_on: None,
            provider: Provider::default(),
            means: None,
            overtaken: false,
            by_other_means: false,
            seen: false,
            doubt: None,
        };
        for status in ItemStatus::ALL {
            let (word, _) = item_word(status);
            assert!(!word.is_empty() && !item_note(&item(status)).is_empty(), "{status}");
        }
        let claim = item_note(&item(ItemStatus::Unclaimed));
        assert!(claim.contains("sign in to PayPal with pay@b.example"), "{claim}");
        let by = |reference: Option<&str>| {
            let (by, reason) = ("sam".to_owned(), "an inside story".to_owned());
            let means = Some(Means { by, reason, reference: reference.map(str::to_owned) });
            item_note(&Item { means, ..item(ItemStatus::Paid) })
        };
        assert_eq!((by(Some("SEPA-1")).as_str(), by(None).as_str()), ("Reference SEPA-1", ""));
    }

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
