//! The one list of all pages: what is searched, sorted and filtered by its address, drawn by
//! `layout/list.html`, and exported as CSV.
//!
//! An address may ask for what the list's [`Spec`] names and for nothing else: `q`, `sort`, `page` or `after`,
//! `format=csv`, and the filters. All of it works without a script: the list is a form and links.

use crate::domain::text;
use crate::http::fields::BYTE_ORDER_MARK;
use serde::Serialize;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use url::form_urlencoded;

#[cfg(test)]
mod tests;

/// Rows on a page.
pub const ROWS: usize = 50;
/// Rows of an export that is held in memory, at most; more are said to be missing in its last line.
pub const MAX_EXPORT: usize = 50_000;
/// The longest query string that is read, in bytes.
const MAX_QUERY: usize = 2_048;
/// The longest search, in characters.
const MAX_SEARCH: usize = 100;
const MAX_PAGE: usize = 100_000;

/// A column of a list.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Column {
    /// Its name in addresses and as the head of its CSV column.
    pub key: &'static str,
    /// Its head.
    pub title: &'static str,
    /// Whether the list can be sorted by it.
    pub sortable: bool,
    /// Numbers stand at the right.
    pub number: bool,
}

impl Column {
    /// A column of texts.
    pub const fn text(key: &'static str, title: &'static str) -> Self {
        Self { key, title, sortable: false, number: false }
    }
    /// A column of numbers.
    pub const fn number(key: &'static str, title: &'static str) -> Self {
        Self { key, title, sortable: false, number: true }
    }
    /// The same, and the list can be sorted by it.
    #[must_use]
    pub const fn sortable(mut self) -> Self {
        self.sortable = true;
        self
    }
}

/// A filter with its few values; the first is what an address without it means.
#[derive(Debug, Clone, Serialize)]
pub struct Filter {
    /// Its name in addresses.
    pub key: &'static str,
    /// Its label.
    pub title: &'static str,
    /// Each value with its label.
    pub options: Vec<(String, String)>,
}

impl Filter {
    /// A filter of fixed values.
    pub fn of(key: &'static str, title: &'static str, options: &[(&str, &str)]) -> Self {
        let own = |(value, label): &(&str, &str)| ((*value).to_owned(), (*label).to_owned());
        Self { key, title, options: options.iter().map(own).collect() }
    }
}

/// What a list can be asked for.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Spec {
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its filters.
    pub filters: Vec<Filter>,
    /// What can be searched for, for the label of the search; `None`: it can't be searched.
    pub search: Option<&'static str>,
    /// The order of an address without `sort`: a column's key, with a `-` before it from great to small.
    pub order: &'static str,
}

/// The address asks for something that the list doesn't have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("read what the list is asked for")]
pub struct BadQuery;

/// What an address asks of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// What is searched for; empty: everything.
    pub search: String,
    sort: Option<String>,
    /// The page, from 1.
    pub page: usize,
    /// Where the store's page starts; opaque.
    pub after: Option<String>,
    /// Whether the list is asked for as CSV.
    pub csv: bool,
    filters: BTreeMap<&'static str, String>,
    order: &'static str,
}

impl Query {
    /// Reads the query string of an address. Each parameter at most once, none that the list doesn't know.
    pub fn read(raw: Option<&str>, spec: &Spec) -> Result<Self, BadQuery> {
        let mut query = Self { page: 1, order: spec.order, ..Self::default() };
        let raw = raw.unwrap_or_default();
        if raw.len() > MAX_QUERY {
            return Err(BadQuery);
        }
        let mut seen = Vec::new();
        for (key, value) in form_urlencoded::parse(raw.as_bytes()) {
            // What is not UTF-8 comes as the replacement character.
            if seen.contains(&key) || value.contains(|c: char| c.is_control() || c == '\u{fffd}') {
                return Err(BadQuery);
            }
            query.take(&key, value.trim(), spec)?;
            seen.push(key);
        }
        Ok(query)
    }

    fn take(&mut self, key: &str, value: &str, spec: &Spec) -> Result<(), BadQuery> {
        match key {
            "q" if spec.search.is_some() && value.chars().count() <= MAX_SEARCH => {
                value.clone_into(&mut self.search);
            }
            "sort" => {
                let name = value.strip_prefix('-').unwrap_or(value);
                let known = spec.columns.iter().any(|column| column.sortable && column.key == name);
                if !known && !value.is_empty() {
                    return Err(BadQuery);
                }
                self.sort = known.then(|| value.to_owned());
            }
            "page" => {
                let page = value.parse().ok().filter(|page| (1..=MAX_PAGE).contains(page));
                self.page = page.ok_or(BadQuery)?;
            }
            "after" if value.len() <= 512 => self.after = (!value.is_empty()).then(|| value.to_owned()),
            "format" if value == "csv" => self.csv = true,
            _ => {
                let filter = spec.filters.iter().find(|filter| filter.key == key).ok_or(BadQuery)?;
                let known = filter.options.iter().position(|(option, _)| option == value).ok_or(BadQuery)?;
                if known > 0 {
                    self.filters.insert(filter.key, value.to_owned());
                }
            }
        }
        Ok(())
    }

    /// The value of a filter; `None`: its first.
    pub fn filter(&self, key: &str) -> Option<&str> {
        self.filters.get(key).map(String::as_str)
    }
    /// The column that the list is sorted by, and whether from great to small.
    pub fn sort(&self) -> (&str, bool) {
        let sort = self.sort.as_deref().unwrap_or(self.order);
        sort.strip_prefix('-').map_or((sort, false), |name| (name, true))
    }
    /// Whether it asks for another order than the list's own.
    pub fn is_sorted(&self) -> bool {
        self.sort.as_deref().is_some_and(|sort| sort != self.order)
    }
    /// Whether all words searched for stand somewhere in the fields, whatever their case.
    pub fn matches(&self, fields: &[&str]) -> bool {
        self.search.is_empty() || {
            let fields: Vec<String> = fields.iter().map(|field| field.to_lowercase()).collect();
            let mut words = self.search.split_whitespace().map(str::to_lowercase);
            words.all(|word| fields.iter().any(|field| field.contains(&word)))
        }
    }
    /// Sorts rows as asked; `compare` is given the column's key.
    pub fn arrange<T>(&self, rows: &mut [T], compare: impl Fn(&str, &T, &T) -> Ordering) {
        let (key, descending) = self.sort();
        rows.sort_by(|one, other| {
            let order = compare(key, one, other);
            if descending { order.reverse() } else { order }
        });
    }
    /// What of all rows is shown: a page of them, or for an export all that it may hold; and the pages.
    pub fn cut<T>(&self, mut rows: Vec<T>) -> (Vec<T>, Pages) {
        let total = rows.len();
        let pages = total.div_ceil(ROWS).max(1);
        let page = self.page.min(pages);
        let counted = Pages { total: Some(total), more: false, page, pages, next: None };
        if self.csv {
            rows.truncate(MAX_EXPORT);
            return (rows, counted);
        }
        let start = (page - 1) * ROWS;
        (rows.into_iter().skip(start).take(ROWS).collect(), counted)
    }

    /// The address that asks for the same but for one parameter; pages start anew unless it is one.
    fn address(&self, path: &str, key: &str, value: &str) -> String {
        let mut asked: BTreeMap<&str, &str> = BTreeMap::new();
        if !self.search.is_empty() {
            asked.insert("q", &self.search);
        }
        if let Some(sort) = &self.sort {
            asked.insert("sort", sort);
        }
        asked.extend(self.filters.iter().map(|(key, value)| (*key, value.as_str())));
        asked.insert(key, value);
        let mut text = form_urlencoded::Serializer::new(String::new());
        text.extend_pairs(asked.into_iter().filter(|(_, value)| !value.is_empty()));
        let text = text.finish();
        if text.is_empty() { path.to_owned() } else { format!("{path}?{text}") }
    }
}

/// Where a page stands among its list's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pages {
    /// Rows in all; `None`: the store does not count them.
    pub total: Option<usize>,
    /// There are more than `total`: the list looked no further.
    pub more: bool,
    /// This page, from 1.
    pub page: usize,
    /// Pages in all.
    pub pages: usize,
    /// Where the store's next page starts.
    pub next: Option<String>,
}

impl Pages {
    /// A page of the store, which knows where the next one starts and no more.
    pub fn from_store(next: Option<String>) -> Self {
        Self { total: None, more: false, page: 1, pages: 1, next }
    }
}

/// How a cell is to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tone {
    /// As any text.
    #[default]
    Plain,
    /// Less than others.
    Quiet,
    /// A mark that all is well.
    Good,
    /// A mark that something waits.
    Warn,
    /// A mark that something is wrong.
    Bad,
    /// A mark without a judgement.
    Info,
}

/// A cell.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Cell {
    /// What it says.
    pub text: String,
    /// Where it leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub href: Option<String>,
    /// A second, smaller line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// How it is to be seen.
    pub tone: Tone,
    /// Letters of one width: ids, hashes.
    pub mono: bool,
    /// Not to be broken into lines.
    pub whole: bool,
    /// What the export says instead.
    #[serde(skip)]
    export: Option<String>,
}

impl Cell {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
    /// A text that leads somewhere on this site.
    pub fn link(text: impl Into<String>, href: impl Into<String>) -> Self {
        Self { href: Some(href.into()), ..Self::text(text) }
    }
    /// A mark, as of a state.
    pub fn mark(text: impl Into<String>, tone: Tone) -> Self {
        Self { tone, ..Self::text(text) }
    }
    /// An id: letters of one width.
    pub fn id(text: impl Into<String>) -> Self {
        Self { mono: true, ..Self::text(text) }
    }
    /// The same, to be seen otherwise.
    #[must_use]
    pub const fn toned(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }
    /// With a second line.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }
    /// With letters of one width.
    #[must_use]
    pub fn mono(mut self) -> Self {
        self.mono = true;
        self
    }
    /// Not to be broken into lines.
    #[must_use]
    pub const fn whole(mut self) -> Self {
        self.whole = true;
        self
    }
    /// With something else in the export: a whole instant for an age.
    #[must_use]
    pub fn export(mut self, export: impl Into<String>) -> Self {
        self.export = Some(export.into());
        self
    }
}

/// A row: a cell for each column.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Its cells.
    pub cells: Vec<Cell>,
    /// How the whole row is to be seen.
    pub tone: Tone,
}

impl From<Vec<Cell>> for Row {
    fn from(cells: Vec<Cell>) -> Self {
        Self { cells, tone: Tone::Plain }
    }
}

impl Row {
    /// As an export says it.
    pub fn to_line(&self) -> Vec<String> {
        let said = |cell: &Cell| cell.export.as_ref().unwrap_or(&cell.text).clone();
        self.cells.iter().map(said).collect()
    }
}

/// A head of a column, with where a click on it leads.
#[derive(Debug, Serialize)]
struct Head {
    #[serde(flatten)]
    column: Column,
    /// Sorts by it; the other way round if it is sorted by it already.
    href: Option<String>,
    /// As in `aria-sort`.
    sorted: Option<&'static str>,
}

/// A filter with what is chosen.
#[derive(Debug, Serialize)]
struct Chosen {
    #[serde(flatten)]
    filter: Filter,
    value: String,
}

/// A list as `layout/list.html` draws it.
#[derive(Debug, Serialize)]
pub struct List {
    path: String,
    /// What is said of it to those who don't see it.
    caption: String,
    search: Option<&'static str>,
    q: String,
    sort: String,
    filters: Vec<Chosen>,
    heads: Vec<Head>,
    rows: Vec<Row>,
    /// Whether it was narrowed: an empty list then says so.
    narrowed: bool,
    empty: String,
    total: Option<usize>,
    more: bool,
    page: usize,
    pages: usize,
    first: Option<String>,
    previous: Option<String>,
    next: Option<String>,
    export: Option<String>,
}

impl List {
    /// A list as its address asked for it. `empty` says what will stand here once there is something.
    pub fn new(
        path: impl Into<String>,
        caption: impl Into<String>,
        empty: impl Into<String>,
        spec: Spec,
        query: &Query,
        (rows, pages): (Vec<Row>, Pages),
    ) -> Self {
        let path = path.into();
        let (key, descending) = query.sort();
        let heads = spec.columns.iter().map(|column| {
            let is_key = column.key == key && column.sortable;
            let turned = if is_key && !descending { format!("-{key}") } else { column.key.to_owned() };
            let direction = if descending { "descending" } else { "ascending" };
            Head {
                column: *column,
                href: column.sortable.then(|| query.address(&path, "sort", &turned)),
                sorted: is_key.then_some(direction),
            }
        });
        let page = |number: usize| query.address(&path, "page", &number.to_string());
        let next = match &pages.next {
            Some(after) => Some(query.address(&path, "after", after)),
            None => (pages.page < pages.pages).then(|| page(pages.page + 1)),
        };
        Self {
            heads: heads.collect(),
            first: query.after.as_ref().map(|_| query.address(&path, "page", "")),
            previous: (pages.page > 1).then(|| page(pages.page - 1)),
            next,
            export: (!rows.is_empty()).then(|| query.address(&path, "format", "csv")),
            narrowed: !query.search.is_empty() || !query.filters.is_empty(),
            filters: spec
                .filters
                .into_iter()
                .map(|filter| Chosen { value: query.filter(filter.key).unwrap_or_default().into(), filter })
                .collect(),
            search: spec.search,
            q: query.search.clone(),
            sort: query.sort.clone().unwrap_or_default(),
            caption: caption.into(),
            empty: empty.into(),
            total: pages.total,
            more: pages.more,
            page: pages.page,
            pages: pages.pages,
            path,
            rows,
        }
    }

    /// The same for someone who may not export it.
    #[must_use]
    pub fn without_export(mut self) -> Self {
        self.export = None;
        self
    }

    /// The list as CSV: its columns' keys, then its rows.
    pub fn to_csv(&self) -> Vec<u8> {
        let heads = self.heads.iter().map(|head| head.column.key.to_owned()).collect();
        let rows = self.rows.iter().map(Row::to_line);
        let mut lines: Vec<Vec<String>> = std::iter::once(heads).chain(rows).collect();
        let missing = self.total.map_or(0, |total| total.saturating_sub(self.rows.len()));
        let left_out = match (missing, self.more || (self.total.is_none() && self.next.is_some())) {
            (0, false) => None,
            (0, true) => Some("more rows are not in this file".to_owned()),
            (some, false) => Some(format!("{some} more rows are not in this file")),
            (some, true) => Some(format!("more than {some} more rows are not in this file")),
        };
        lines.extend(left_out.map(|sentence| vec![sentence]));
        csv_file(&lines)
    }
}

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
fn neutral(cell: &str) -> String {
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
