//! Results on stdout: tables for people, JSON for programs.

use super::Failure;
use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};
use serde::Serialize;
use serde_json::Value;
use std::io::Write;

/// How results are shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Show {
    json: bool,
}

/// Rows without lines between them, so that they can be searched and cut.
const ROWS: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// A column: its title, the JSON pointer of its value in a row, and whether it is a number.
pub(super) struct Column(pub &'static str, pub &'static str, pub bool);

/// A column of texts.
pub(super) const fn text(title: &'static str, pointer: &'static str) -> Column {
    Column(title, pointer, false)
}

/// A column of numbers, aligned to the right.
pub(super) const fn number(title: &'static str, pointer: &'static str) -> Column {
    Column(title, pointer, true)
}

impl Show {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }
    /// Whether the output is for programs.
    pub(super) fn is_json(self) -> bool {
        self.json
    }

    /// Prints a result: as JSON, or with `people`.
    pub(super) fn result(
        self,
        value: &impl Serialize,
        people: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if !self.json {
            return people();
        }
        let text = serde_json::to_string_pretty(value).map_err(|error| Failure::other(error.to_string()))?;
        line(&text)
    }

    /// Prints a list, one row per entry.
    pub(super) fn list(self, entries: &[Value], columns: &[Column], none: &str) -> Result<(), Failure> {
        self.result(&serde_json::json!({ "data": entries, "next_cursor": null }), || {
            if entries.is_empty() { line(none) } else { table(entries, columns) }
        })
    }

    /// Prints an object, one line per field.
    pub(super) fn thing(self, value: &Value, fields: &[Column]) -> Result<(), Failure> {
        self.result(value, || print_fields(value, fields))
    }
}

/// Prints a line.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    Ok(writeln!(std::io::stdout().lock(), "{text}")?)
}

/// Prints rows under titles.
pub(super) fn table(rows: &[Value], columns: &[Column]) -> Result<(), Failure> {
    let mut table = Table::new();
    table.load_style(ROWS).set_content_arrangement(ContentArrangement::Dynamic);
    // Fitted to a terminal; in other outputs a row is one line.
    if let Some(width) = terminal_width() {
        table.set_width(width);
    }
    table.set_header(columns.iter().map(|Column(title, ..)| *title));
    for row in rows {
        table.add_row(columns.iter().map(|column| cell(row, column)));
    }
    line(&table.trim_fmt())
}

fn terminal_width() -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(size.ws_col).filter(|columns| *columns > 0)
}

/// Prints titles with their values; those without a value are left out.
pub(super) fn print_fields(value: &Value, fields: &[Column]) -> Result<(), Failure> {
    let mut table = Table::new();
    // Not fitted to the terminal, because a link that is broken over lines can't be copied.
    table.load_style(NOTHING);
    for field in fields {
        let Column(title, pointer, _) = field;
        if value.pointer(pointer).is_some_and(|value| !value.is_null()) {
            table.add_row([Cell::new(title), Cell::new(shown(value.pointer(pointer)))]);
        }
    }
    line(&table.trim_fmt())
}

fn cell(row: &Value, Column(_, pointer, is_number): &Column) -> Cell {
    let cell = Cell::new(shown(row.pointer(pointer)));
    if *is_number { cell.set_alignment(CellAlignment::Right) } else { cell }
}

/// A value for people. Texts of strangers must not control a terminal, so control characters, with which its
/// commands begin, are replaced by visible ones.
pub(super) fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "–".into(),
        Some(Value::Bool(yes)) => if *yes { "yes" } else { "no" }.into(),
        Some(Value::String(text)) => {
            text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
        }
        Some(Value::Array(items)) if items.is_empty() => "none".into(),
        Some(Value::Array(items)) => {
            items.iter().map(|item| shown(Some(item))).collect::<Vec<_>>().join(", ")
        }
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_shown_as_people_read_them() {
        let table = [
            (json!(null), "–"),
            (json!(true), "yes"),
            (json!("a\u{1b}[31m\nb"), "a\u{fffd}[31m\u{fffd}b"),
            (json!([]), "none"),
            (json!(["2026-04", "2026-05"]), "2026-04, 2026-05"),
            (json!(25), "25"),
        ];
        for (value, expected) in table {
            assert_eq!(shown(Some(&value)), expected);
        }
    }
}
