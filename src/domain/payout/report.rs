//! The reports that PayPal's site gives back about payouts, read by their headings, and matched with our items.
//!
//! PayPal publishes no list of columns for all of them, and people save them again with their spreadsheet. So the
//! headings decide, not positions; what is not understood is kept as it is and goes to a person, never guessed.

mod amount;
mod columns;
mod decode;
mod matching;
#[cfg(test)]
mod tests;

pub use matching::{Known, Matched, Outcome, Reason, match_rows};

use crate::domain::money::Money;
use crate::domain::named::named;
use crate::domain::text;
use chrono::NaiveDate;
use columns::{Columns, Field};

/// Bytes of a report: a year of an account's activity is smaller.
pub const BYTES_MAX: usize = 8 << 20;
/// Rows of a report.
pub const ROWS_MAX: usize = 20_000;
/// Bytes of a cell. A longer one is most often the rest of the file, after a quote that was never closed.
pub const CELL_BYTES_MAX: usize = 4_096;

/// What a report says about one payment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReportRow {
    /// The line of the file on which it begins, from 1.
    pub line: u64,
    /// Our id of the payment, if the report has it.
    pub item_id: Option<String>,
    /// To whom it went.
    pub receiver: Option<String>,
    /// How much; below zero what came back. Nothing where the cell is no amount.
    pub amount: Option<Money>,
    /// The code of its currency.
    pub currency: Option<String>,
    /// What became of it.
    pub result: Reported,
    /// PayPal's id of the transaction. A payment that was denied has none.
    pub transaction_id: Option<String>,
    /// PayPal's id of the payment.
    pub provider_item_id: Option<String>,
    /// PayPal's name of what went wrong, or else its sentence.
    pub error: Option<String>,
    /// When it was processed, as it is written.
    pub at: Option<String>,
}

/// What became of a payment, in PayPal's words.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reported {
    /// It was credited.
    Paid,
    /// It was never sent.
    Failed,
    /// PayPal holds the money until the receiver takes it, for 30 days.
    Unclaimed,
    /// The money came back, since nobody claimed it.
    Returned,
    /// The receiver sent it back.
    Refunded,
    /// PayPal took it back.
    Reversed,
    /// PayPal reviews it.
    OnHold,
    /// PayPal does not send it.
    Blocked,
    /// It is under way.
    Pending,
    /// It was withdrawn.
    Canceled,
    /// A word that we don't know, as it is written.
    Unknown(String),
}

impl Reported {
    /// What a status means; the words of the site and those of the API are both in use.
    fn of(status: &str) -> Self {
        match &*folded(status) {
            "completed" | "success" | "succeeded" | "successful" | "paid" => Self::Paid,
            "denied" | "failed" | "failure" => Self::Failed,
            "unclaimed" => Self::Unclaimed,
            "returned" => Self::Returned,
            "refunded" => Self::Refunded,
            "reversed" => Self::Reversed,
            "onhold" | "held" | "hold" => Self::OnHold,
            "blocked" => Self::Blocked,
            "pending" | "processing" | "inprogress" => Self::Pending,
            "canceled" | "cancelled" => Self::Canceled,
            _ => Self::Unknown(status.to_owned()),
        }
    }
}

named! {
    /// Why a file can't be read as a report.
    pub enum ReportFault {
        TooLarge = "too_large": "The file is larger than 8 MiB: choose a shorter period in PayPal and download the report again.",
        NotText = "not_text": "This is not a text file: download the report from PayPal as CSV, or save it from your spreadsheet as CSV UTF-8.",
        NoHeadings = "no_headings": "No row of headings was found: it needs Status (or Transaction status), and Recipient, Recipient identifier, To Email Address, Customer ID or Reference ID; set your PayPal account to English and download the report again.",
        TooManyRows = "too_many_rows": "The report has more than 20,000 rows: choose a shorter period in PayPal and download it again.",
        CellTooLong = "cell_too_long": "A cell is longer than 4,096 bytes, probably since a quotation mark is not closed: download the report again, and upload it as PayPal made it.",
    }
}

/// Why a file can't be read as a report, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportError {
    /// Why.
    pub fault: ReportFault,
    /// The line, from 1, if it is about one.
    pub line: Option<u64>,
}

impl std::error::Error for ReportError {}
impl std::fmt::Display for ReportError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(out, "Line {line}: {}", self.fault.sentence()),
            None => out.write_str(self.fault.sentence()),
        }
    }
}
impl From<ReportFault> for ReportError {
    fn from(fault: ReportFault) -> Self {
        Self { fault, line: None }
    }
}

/// The payments of a report: the payment log of a batch, the report of a large batch, or the activity of the
/// account; separated by commas, semicolons or tabs; in UTF-8 or windows-1252.
pub fn read(bytes: &[u8]) -> Result<Vec<ReportRow>, ReportError> {
    if bytes.len() > BYTES_MAX {
        return Err(ReportFault::TooLarge.into());
    }
    let text = decode::decode(bytes).ok_or(ReportFault::NotText)?;
    let (columns, table) = columns::find(&text).ok_or(ReportFault::NoHeadings)?;
    let mut reader = csv_reader(table.separator, table.rows);
    let mut rows = Vec::new();
    let mut record = csv::StringRecord::new();
    // A reader of a text in memory can't fail.
    while reader.read_record(&mut record).map_err(|_| ReportFault::NotText)? {
        let line = table.line + line_within(table.rows, &record);
        if record.iter().any(|cell| cell.len() > CELL_BYTES_MAX) {
            return Err(ReportError { fault: ReportFault::CellTooLong, line: Some(line) });
        }
        if record.iter().all(text::is_blank) {
            continue;
        }
        if rows.len() == ROWS_MAX {
            return Err(ReportFault::TooManyRows.into());
        }
        rows.push(read_row(&columns, &record, line));
    }
    Ok(rows)
}

fn csv_reader(separator: u8, text: &str) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(separator)
        .from_reader(text.as_bytes())
}

/// The line of the text on which a record begins, from 0. The reader's own count includes blank lines before it.
fn line_within(text: &str, record: &csv::StringRecord) -> u64 {
    let Some(position) = record.position() else { return 0 };
    let rest = usize::try_from(position.byte()).ok().and_then(|start| text.as_bytes().get(start..));
    let blank_lines = rest.unwrap_or_default().iter().take_while(|byte| **byte == b'\n').count();
    position.line() - 1 + blank_lines as u64
}

fn read_row(columns: &Columns, record: &csv::StringRecord, line: u64) -> ReportRow {
    let cell = |field| columns.cell(field, record);
    let amount = cell(Field::Amount).and_then(|text| amount::read(&text));
    let at: Vec<String> = [Field::At, Field::Time, Field::Zone].into_iter().filter_map(cell).collect();
    ReportRow {
        line,
        item_id: cell(Field::ItemId),
        receiver: cell(Field::Receiver),
        // A comma that is not in quotes moves the cells after it: then no amount is certain.
        amount: amount.filter(|_| columns.fit(record)).map(|amount| columns.signed(amount)),
        currency: cell(Field::Currency),
        result: Reported::of(&cell(Field::Status).unwrap_or_default()),
        transaction_id: cell(Field::TransactionId),
        provider_item_id: cell(Field::ProviderItemId),
        error: cell(Field::Error),
        at: (!at.is_empty()).then(|| at.join(" ")),
    }
}

/// Days back from today on which a payment of a report may lie; an older one is a date that was misread.
const DAYS_BACK: i64 = 60;

/// The day that a report gives for a payment, like `2026-10-31T12:00:00Z` or `10/31/2026 05:00:00 PDT`; today where it
/// gives none that can be.
pub fn day_of(at: Option<&str>, today: NaiveDate) -> NaiveDate {
    let can_be = |day: &NaiveDate| *day <= today && (today - *day).num_days() <= DAYS_BACK;
    read_day(at).filter(can_be).unwrap_or(today)
}

/// The day that a report gives, as it is written.
pub fn read_day(at: Option<&str>) -> Option<NaiveDate> {
    let word = at?.split([' ', 'T']).next()?;
    ["%Y-%m-%d", "%m/%d/%Y"].iter().find_map(|form| NaiveDate::parse_from_str(word, form).ok())
}

/// A heading or a status as it is compared: its letters and digits, without case.
fn folded(text: &str) -> String {
    text.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
