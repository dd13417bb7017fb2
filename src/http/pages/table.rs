//! The one list of all pages: what is searched, sorted and filtered by its address, drawn by
//! `layout/list.html`, and exported as CSV.
//!
//! A [`List`] describes each column once: its key, its head, how its cell is drawn and what it sorts by. An address may
//! ask for what the list describes and for nothing else: `q`, `sort`, `page` or `after`, `format=csv`, and the filters.
//! All of it works without a script: the list is a form and links.

mod cell;
mod csv;
mod list;
mod query;

pub use cell::{Cell, Row, Tone};
pub use csv::{csv_file, csv_rows};
pub use list::{Column, Head, List, Listing};
pub use query::{BadQuery, Pages, Query};

#[cfg(test)]
mod tests;

/// Rows on a page.
pub const ROWS: usize = 50;
/// Rows of an export that is held in memory, at most; more are said to be missing in its last line.
pub const MAX_EXPORT: usize = 50_000;
