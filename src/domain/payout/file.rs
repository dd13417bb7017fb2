//! The file for PayPal's web upload of payouts ("mass payment"): what a person uploads there pays, row by row.
//!
//! Its form is PayPal's, not that of our other files: no headings, exactly six cells in each row, and no `'`
//! before what a spreadsheet would take for a formula, since PayPal would take it for a part of the address.

mod note;

pub use note::note;

use crate::domain::money::Money;
use crate::domain::named::named;
use crate::domain::text;
use std::collections::HashSet;
use std::fmt::Write as _;

/// Rows that PayPal takes in one file.
pub const ROWS_PER_FILE: usize = 5_000;
/// Characters of a row's own id ("customer ID").
pub const ITEM_ID_LENGTH: usize = 30;
/// Characters of a note.
pub const NOTE_LENGTH: usize = 400;
/// Characters of a receiver.
const RECEIVER_LENGTH: usize = 127;
/// Currencies of which PayPal takes whole amounts only, although ISO 4217 gives two of them hundredths.
const WHOLE_ONLY: [&str; 3] = ["HUF", "JPY", "TWD"];
/// Currencies whose amounts PayPal takes with a decimal comma.
const DECIMAL_COMMA: [&str; 2] = ["BRL", "EUR"];
/// Where the money goes: to a PayPal account, not to Venmo.
const WALLET: &str = "PAYPAL";

/// One payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<'a> {
    /// Its PayPal address.
    pub receiver: &'a str,
    /// How much.
    pub amount: Money,
    /// ISO 4217 code.
    pub currency: &'a str,
    /// Our id of the payment: at most 30 characters, no blanks.
    pub item_id: &'a str,
    /// What the receiver reads: one line of plain ASCII, as [`note()`] makes it.
    pub note: &'a str,
}

named! {
    /// Why rows can't be written: PayPal would refuse the file, or pay what it should not.
    pub enum FileFault {
        TooManyRows = "too_many_rows": "a file takes at most 5,000 rows",
        BadReceiver = "bad_receiver": "the receiver is not an address of at most 127 characters without blanks",
        NotAboveZero = "not_above_zero": "the amount is not above zero",
        NotWhole = "not_whole": "PayPal takes no decimal places in this currency, and the amount is not whole",
        BadCurrency = "bad_currency": "the currency is not a code of three capital letters",
        MixedCurrencies = "mixed_currencies": "a file has one currency, and an earlier row has another one",
        BadItemId = "bad_item_id": "the id has not 1 to 30 visible ASCII characters",
        ItemTwice = "item_twice": "an earlier row has the same id, and PayPal would pay both",
        BadNote = "bad_note": "the note is not one line of at most 400 ASCII characters",
    }
}

/// Which row can't be written, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write row {row}: {}", .fault.sentence())]
pub struct FileError {
    /// Its number, from 1.
    pub row: usize,
    /// Why.
    pub fault: FileFault,
}

/// The file with these payments, all of them or none.
pub fn write<'a>(rows: impl IntoIterator<Item = Row<'a>>) -> Result<String, FileError> {
    let (mut file, mut ids, mut currency) = (String::new(), HashSet::new(), None);
    for (number, row) in (1..).zip(rows) {
        let failed = |fault| FileError { row: number, fault };
        if number > ROWS_PER_FILE {
            return Err(failed(FileFault::TooManyRows));
        }
        check(&row).map_err(failed)?;
        if *currency.get_or_insert(row.currency) != row.currency {
            return Err(failed(FileFault::MixedCurrencies));
        }
        if !ids.insert(row.item_id) {
            return Err(failed(FileFault::ItemTwice));
        }
        write_row(&mut file, &row);
    }
    Ok(file)
}

/// What is wrong with a row by itself.
fn check(row: &Row<'_>) -> Result<(), FileFault> {
    let is_receiver = !row.receiver.is_empty()
        && row.receiver.chars().count() <= RECEIVER_LENGTH
        && !row.receiver.contains(text::is_unseen);
    let is_id = (1..=ITEM_ID_LENGTH).contains(&row.item_id.len())
        && row.item_id.bytes().all(|byte| byte.is_ascii_graphic());
    let is_note = row.note.len() <= NOTE_LENGTH && row.note.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let is_currency = row.currency.len() == 3 && row.currency.bytes().all(|byte| byte.is_ascii_uppercase());
    let is_whole = row.amount.decimal().fract().is_zero();
    let checks = [
        (is_receiver, FileFault::BadReceiver),
        (row.amount > Money::ZERO, FileFault::NotAboveZero),
        (is_currency, FileFault::BadCurrency),
        (is_whole || !WHOLE_ONLY.contains(&row.currency), FileFault::NotWhole),
        (is_id, FileFault::BadItemId),
        (is_note, FileFault::BadNote),
    ];
    checks.into_iter().find(|(is_good, _)| !is_good).map_or(Ok(()), |(_, fault)| Err(fault))
}

fn write_row(file: &mut String, row: &Row<'_>) {
    let amount = amount(row.amount, row.currency);
    let cells = [row.receiver, &amount, row.currency, row.item_id, row.note, WALLET].map(quoted);
    // Writing to a text can't fail.
    let _ = write!(file, "{}\r\n", cells.join(","));
}

/// The amount in the form that PayPal takes in this currency.
fn amount(amount: Money, currency: &str) -> String {
    let plain = amount.to_string();
    match plain.split_once('.') {
        Some((whole, _)) if WHOLE_ONLY.contains(&currency) => whole.to_owned(),
        _ if DECIMAL_COMMA.contains(&currency) => plain.replace('.', ","),
        _ => plain,
    }
}

/// The cell (RFC 4180), in quotes as soon as it has a character that PayPal may find special.
fn quoted(cell: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b" @._+-".contains(&byte);
    if cell.bytes().all(is_plain) { cell.to_owned() } else { format!("\"{}\"", cell.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ANN: Row<'static> = Row {
        receiver: "ann@b.example",
        amount: Money::ZERO,
        currency: "USD",
        item_id: "pay_1",
        note: "Payout for 2026-09",
    };

    fn money(text: &str) -> Money {
        text.parse().expect(text)
    }
    /// The cells of each row, by a reader that is not ours.
    fn cells(file: &str) -> Vec<Vec<String>> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(file.as_bytes());
        let rows = reader.records().map(|row| row.expect("rows of one length"));
        rows.map(|row| row.iter().map(str::to_owned).collect()).collect()
    }

    #[test]
    fn a_file_has_golden_bytes() {
        let rows = [
            Row { amount: money("100.50"), ..ANN },
            Row { amount: money("1234567.8"), item_id: "pay_2", receiver: "=bob@b.example", ..ANN },
            Row { amount: money("39"), item_id: "pay_3", note: "Thank you, Ann", ..ANN },
            Row { amount: money("0.01"), item_id: "pay_4", receiver: "o'brien@b.example", note: "", ..ANN },
        ];
        let golden = "ann@b.example,100.50,USD,pay_1,Payout for 2026-09,PAYPAL\r\n\
             \"=bob@b.example\",1234567.80,USD,pay_2,Payout for 2026-09,PAYPAL\r\n\
             ann@b.example,39.00,USD,pay_3,\"Thank you, Ann\",PAYPAL\r\n\
             \"o'brien@b.example\",0.01,USD,pay_4,,PAYPAL\r\n";
        assert_eq!(write(rows).as_deref(), Ok(golden));
        assert_eq!(write([]).as_deref(), Ok(""));
    }

    #[test]
    fn each_currency_has_its_own_form_of_amounts() {
        let table = [
            ("USD", "1234.50", "1234.50"),
            ("EUR", "1234.50", "\"1234,50\""),
            ("BRL", "100", "\"100,00\""),
            ("CHF", "100", "100.00"),
            ("HUF", "1234", "1234"),
            ("JPY", "1234.00", "1234"),
            ("TWD", "50", "50"),
        ];
        for (currency, text, written) in table {
            let file = write([Row { amount: money(text), currency, ..ANN }]).expect(currency);
            let cells = format!("ann@b.example,{written},{currency},pay_1,Payout for 2026-09,PAYPAL\r\n");
            assert_eq!(file, cells);
        }
    }

    #[test]
    fn a_row_that_paypal_would_refuse_is_named() {
        let (long_id, long_note, long_address) = ("i".repeat(31), "n".repeat(401), "a".repeat(128));
        let good = Row { amount: money("39.00"), ..ANN };
        let table = [
            (FileFault::BadReceiver, Row { receiver: "", ..good }),
            (FileFault::BadReceiver, Row { receiver: "ann @b.example", ..good }),
            (FileFault::BadReceiver, Row { receiver: "ann@b.example\n", ..good }),
            (FileFault::BadReceiver, Row { receiver: &long_address, ..good }),
            (FileFault::NotAboveZero, Row { amount: Money::ZERO, ..good }),
            (FileFault::NotAboveZero, Row { amount: money("-1.00"), ..good }),
            (FileFault::NotWhole, Row { amount: money("39.50"), currency: "JPY", ..good }),
            (FileFault::BadCurrency, Row { currency: "usd", ..good }),
            (FileFault::BadCurrency, Row { currency: "", ..good }),
            (FileFault::BadItemId, Row { item_id: "", ..good }),
            (FileFault::BadItemId, Row { item_id: "pay 1", ..good }),
            (FileFault::BadItemId, Row { item_id: &long_id, ..good }),
            (FileFault::BadNote, Row { note: "two\nlines", ..good }),
            (FileFault::BadNote, Row { note: "Zoë", ..good }),
            (FileFault::BadNote, Row { note: &long_note, ..good }),
            (FileFault::ItemTwice, good),
            (FileFault::MixedCurrencies, Row { currency: "EUR", item_id: "pay_2", ..good }),
        ];
        for (fault, row) in table {
            assert_eq!(write([good, row]), Err(FileError { row: 2, fault }), "{row:?}");
        }
        let bounds = (ROWS_PER_FILE, RECEIVER_LENGTH, ITEM_ID_LENGTH, NOTE_LENGTH);
        assert_eq!(bounds, (5_000, 127, 30, 400), "the sentences say these");
        let error = FileError { row: 2, fault: FileFault::NotAboveZero };
        assert_eq!(error.to_string(), "write row 2: the amount is not above zero");
    }

    #[test]
    fn a_file_is_full_after_5_000_rows() {
        let ids: Vec<String> = (0..=ROWS_PER_FILE).map(|number| format!("pay_{number}")).collect();
        let rows = |most| ids.iter().take(most).map(|id| Row { amount: money("1.00"), item_id: id, ..ANN });
        assert_eq!(write(rows(ROWS_PER_FILE)).map(|file| file.lines().count()), Ok(ROWS_PER_FILE));
        let full = FileError { row: ROWS_PER_FILE + 1, fault: FileFault::TooManyRows };
        assert_eq!(write(rows(ROWS_PER_FILE + 1)), Err(full));
    }

    proptest! {
        #[test]
        fn whatever_is_written_reads_back(
            receiver in "[!-~é]{1,127}", id in "[!-~]{1,30}", text in any::<String>(), cents in 1..i64::MAX,
        ) {
            let note = note(&text);
            let row = Row { receiver: &receiver, amount: Money::from_cents(cents), currency: "USD", item_id: &id, note: &note };
            let file = write([row]).expect("a good row");
            let amount = row.amount.to_string();
            prop_assert_eq!(cells(&file), [[row.receiver, &amount, "USD", &id, &note, "PAYPAL"]]);
        }
    }
}
