//! CSV for people, of which a spreadsheet runs nothing.

use crate::domain::text;
use crate::http::fields::BYTE_ORDER_MARK;

/// A CSV file for people: by the byte order mark a spreadsheet knows that it is UTF-8.
pub fn csv_file(lines: &[Vec<String>]) -> Vec<u8> {
    [BYTE_ORDER_MARK, &csv_rows(lines)].concat()
}

/// Further lines of a CSV file, of which a spreadsheet runs nothing when it opens it.
pub fn csv_rows(lines: &[Vec<String>]) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    for line in lines {
        // Writing to memory can't fail, and the lines may differ in length.
        writer.write_record(line.iter().map(|cell| neutral(cell))).expect("memory takes it");
    }
    writer.into_inner().expect("memory takes it")
}

/// A cell that no spreadsheet takes for a formula, nor a part of it: some countries' part cells at `;`.
pub(super) fn neutral(cell: &str) -> String {
    let parts = cell.split_inclusive([';', '\t', '\r', '\n']);
    let neutral: String =
        parts.map(|part| if is_formula(part) { format!("'{part}") } else { part.to_owned() }).collect();
    if cell.starts_with(['\t', '\r', '\n']) { format!("'{neutral}") } else { neutral }
}

/// Whether a text looks like a formula's beginning. A number is none: a minus before digits.
fn is_formula(text: &str) -> bool {
    let plain = text::plain(text);
    let seen = plain.trim_matches(|letter: char| letter.is_whitespace() || matches!(letter, ';' | '"'));
    let number = seen.strip_prefix('-').is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_digit())
            && rest.chars().all(|c| c.is_ascii_digit() || c == '.')
            && rest.matches('.').count() <= 1
    });
    seen.starts_with(['=', '+', '-', '@', '|', '%']) && !number
}
