//! Which column says what, by its heading.

use super::{csv_reader, folded};
use crate::domain::money::Money;
use crate::domain::text;

/// Lines within which the headings must come, after whatever stands before them.
const LINES_BEFORE_HEADINGS_MAX: usize = 200;
/// Bytes of a line that may be that of the headings.
const HEADINGS_BYTES_MAX: usize = 16_384;
const SEPARATORS: [u8; 3] = [b',', b';', b'\t'];

/// What we read of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    ItemId,
    Receiver,
    Amount,
    Currency,
    Status,
    TransactionId,
    ProviderItemId,
    Error,
    At,
    Time,
    Zone,
}

/// The headings of a field, folded, the surest first: the first of them that has something in its cell counts.
/// They are those of the payment log of a batch (of which PayPal publishes no list), of the report of a large
/// batch, and of the account's activity.
const HEADINGS: [(Field, &[&str]); 11] = [
    (
        Field::ItemId,
        &[
            "customerid",
            "customnumber",
            "uniqueid",
            "customeruniqueid",
            "senderitemid",
            "payoutuniqueid",
            "referenceid",
        ],
    ),
    (
        Field::Receiver,
        &[
            "recipientidentifier",
            "recipientemailaddress",
            "recipientemail",
            "toemailaddress",
            "receiveremail",
            "recipient",
            "receiver",
        ],
    ),
    (Field::Amount, &["payoutamount", "paymentamount", "amount", "gross", "grossamount"]),
    (Field::Currency, &["currencycode", "currency", "payoutcurrency"]),
    (Field::Status, &["transactionstatus", "payoutstatus", "paymentstatus", "status"]),
    (Field::TransactionId, &["transactionid"]),
    (Field::ProviderItemId, &["payoutitemid"]),
    (Field::Error, &["errorenum", "errorcode", "errormessage", "error", "reason"]),
    (Field::At, &["processedtime", "timeprocessed", "date", "datetime"]),
    (Field::Time, &["time"]),
    (Field::Zone, &["timezone"]),
];

/// Where each field of a report stands.
#[derive(Debug)]
pub struct Columns {
    /// For each heading that is there, its places in a row: mostly one.
    places: Vec<(Field, Vec<usize>)>,
    width: usize,
    /// Whether it is the account's activity, in which what goes out is below zero.
    is_activity: bool,
}

/// What follows the headings.
#[derive(Debug)]
pub struct Table<'a> {
    pub separator: u8,
    pub rows: &'a str,
    /// The line on which the rows begin, from 1.
    pub line: u64,
}

/// The first row with the headings that a report must have, and what follows it.
pub fn find(text: &str) -> Option<(Columns, Table<'_>)> {
    let (mut end, mut line) = (0, 1);
    for headings in text.split_inclusive('\n').take(LINES_BEFORE_HEADINGS_MAX) {
        end += headings.len();
        line += 1;
        let read = |separator| Some((separator, Columns::read(headings, separator)?));
        if let Some((separator, columns)) = SEPARATORS.into_iter().find_map(read) {
            return Some((columns, Table { separator, rows: &text[end..], line }));
        }
    }
    None
}

impl Columns {
    /// The columns, if this is a row of headings: it says to whom, or by which id, and what became of it.
    fn read(line: &str, separator: u8) -> Option<Self> {
        if line.len() > HEADINGS_BYTES_MAX {
            return None;
        }
        let record = csv_reader(separator, line).into_records().next()?.ok()?;
        let headings: Vec<String> = record.iter().map(folded).collect();
        let places_of = |name: &str| -> Vec<usize> {
            let named = headings.iter().enumerate().filter(|(_, heading)| *heading == name);
            named.map(|(place, _)| place).collect()
        };
        let all =
            HEADINGS.iter().flat_map(|(field, names)| names.iter().map(|name| (*field, places_of(name))));
        let places: Vec<_> = all.filter(|(_, places)| !places.is_empty()).collect();
        let has = |field| places.iter().any(|(found, _)| *found == field);
        let is_activity =
            ["fromemailaddress", "toemailaddress"].iter().all(|name| !places_of(name).is_empty());
        let is_report = has(Field::Status) && (has(Field::Receiver) || has(Field::ItemId));
        is_report.then_some(Self { places, width: headings.len(), is_activity })
    }

    /// What a row says in a field, on one line and without invisible characters.
    pub fn cell(&self, field: Field, record: &csv::StringRecord) -> Option<String> {
        let mut columns = self.places.iter().filter(|(found, _)| *found == field);
        columns.find_map(|(_, places)| {
            let mut cells: Vec<String> =
                places.iter().filter_map(|place| seen(record.get(*place)?)).collect();
            cells.dedup();
            // Two columns of one name that differ are nothing certain: together they fit no item.
            (!cells.is_empty()).then(|| cells.join(" / "))
        })
    }

    /// Whether a row has nothing beyond the last heading.
    pub fn fit(&self, record: &csv::StringRecord) -> bool {
        record.iter().skip(self.width).all(text::is_blank)
    }

    /// The amount as what went to the receiver.
    pub fn signed(&self, amount: Money) -> Money {
        if self.is_activity { -amount } else { amount }
    }
}

/// The text on one line, without what nobody sees; nothing if that is all.
fn seen(cell: &str) -> Option<String> {
    let line = cell.split_whitespace().collect::<Vec<_>>().join(" ");
    let seen: String = line.chars().filter(|letter| *letter == ' ' || !text::is_unseen(*letter)).collect();
    (!seen.trim().is_empty()).then(|| seen.trim().to_owned())
}
