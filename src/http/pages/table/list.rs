//! A list, described once: by its columns, what it is searched for and filtered by.

use super::cell::{Cell, Row};
use super::csv::csv_file;
use super::query::{BadQuery, Choices, Filter, Pages, Query, Sort};
use serde::Serialize;
use std::cmp::Reverse;

/// What is found in a row.
type Of<'a, T, Found> = Box<dyn Fn(&T) -> Found + Send + Sync + 'a>;
/// Whether a row is asked for by the value of a filter.
type Keeps<'a, T> = Box<dyn Fn(&T, &str) -> bool + Send + Sync + 'a>;
/// Sorts rows, from great to small where it is `true`.
type Sorts<'a, T> = Box<dyn Fn(&mut [T], bool) + Send + Sync + 'a>;

/// A column of a list whose rows are made of `T`.
pub struct Column<'a, T> {
    head: Head,
    cell: Of<'a, T, Cell>,
    sort: Option<Sorts<'a, T>>,
    /// The list is sorted by it unless its address says otherwise; whether from great to small.
    default: Option<bool>,
}

/// A column's head.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Head {
    /// Its name in addresses and as the head of its CSV column.
    pub key: &'static str,
    /// What it says.
    pub title: &'static str,
    /// Numbers stand at the right.
    pub number: bool,
}

impl<'a, T> Column<'a, T> {
    fn new(head: Head, cell: impl Fn(&T) -> Cell + Send + Sync + 'a) -> Self {
        Self { head, cell: Box::new(cell), sort: None, default: None }
    }
    /// A column of texts.
    pub fn text(
        key: &'static str,
        title: &'static str,
        cell: impl Fn(&T) -> Cell + Send + Sync + 'a,
    ) -> Self {
        Self::new(Head { key, title, number: false }, cell)
    }
    /// A column of numbers.
    pub fn number(
        key: &'static str,
        title: &'static str,
        cell: impl Fn(&T) -> Cell + Send + Sync + 'a,
    ) -> Self {
        Self::new(Head { key, title, number: true }, cell)
    }
    /// The list can be sorted by what is found in each row.
    #[must_use]
    pub fn sort_by<K: Ord>(mut self, key: impl Fn(&T) -> K + Send + Sync + 'a) -> Self {
        self.sort = Some(Box::new(move |rows, descending| {
            if descending {
                rows.sort_by_cached_key(|row| Reverse(key(row)));
            } else {
                rows.sort_by_cached_key(|row| key(row));
            }
        }));
        self
    }
    /// The same, and it is unless its address says otherwise.
    #[must_use]
    pub fn sort_first_by<K: Ord>(self, key: impl Fn(&T) -> K + Send + Sync + 'a) -> Self {
        Self { default: Some(false), ..self.sort_by(key) }
    }
    /// The same, from great to small.
    #[must_use]
    pub fn sort_first_down_by<K: Ord>(self, key: impl Fn(&T) -> K + Send + Sync + 'a) -> Self {
        Self { default: Some(true), ..self.sort_by(key) }
    }
    fn default_sort(&self) -> Option<Sort> {
        self.default.map(|descending| Sort { key: self.head.key, descending })
    }
}

/// A list whose rows are made of `T`.
pub struct List<'a, T> {
    path: String,
    caption: String,
    empty: &'static str,
    columns: Vec<Column<'a, T>>,
    /// What for, in words, and what is looked through; `None`: all its cells.
    search: Option<(&'static str, Option<Of<'a, T, String>>)>,
    filters: Vec<(Filter, Keeps<'a, T>)>,
}

impl<'a, T> List<'a, T> {
    /// A list at a path. `caption` is for those who don't see it; `empty` says what will stand here once there is
    /// something.
    pub fn new(
        path: impl Into<String>,
        caption: impl Into<String>,
        empty: &'static str,
        columns: Vec<Column<'a, T>>,
    ) -> Self {
        let (path, caption) = (path.into(), caption.into());
        Self { path, caption, empty, columns, search: None, filters: Vec::new() }
    }
    /// It can be searched: what for, in words, and the text of a row that is looked through.
    #[must_use]
    pub fn search(mut self, what: &'static str, text: impl Fn(&T) -> String + Send + Sync + 'a) -> Self {
        self.search = Some((what, Some(Box::new(text))));
        self
    }
    /// It can be searched in all that it shows.
    #[must_use]
    pub fn search_all(mut self, what: &'static str) -> Self {
        self.search = Some((what, None));
        self
    }
    /// It can be narrowed to rows of one of some values; without one it shows all.
    #[must_use]
    pub fn filter(
        self,
        key: &'static str,
        title: &'static str,
        options: impl IntoIterator<Item = (&'static str, &'static str)>,
        keeps: impl Fn(&T, &str) -> bool + Send + Sync + 'a,
    ) -> Self {
        let options = std::iter::once(("", "All")).chain(options);
        self.choice(key, title, options, move |row, value| value.is_empty() || keeps(row, value))
    }
    /// It shows rows of one of some values, the first of which is empty and needs no parameter.
    #[must_use]
    pub fn choice(
        mut self,
        key: &'static str,
        title: &'static str,
        options: impl IntoIterator<Item = (&'static str, &'static str)>,
        keeps: impl Fn(&T, &str) -> bool + Send + Sync + 'a,
    ) -> Self {
        let filter = Filter { key, title, options: options.into_iter().collect() };
        self.filters.push((filter, Box::new(keeps)));
        self
    }

    /// Reads what an address asks of it.
    pub fn read(&self, raw: Option<&str>) -> Result<Query, BadQuery> {
        let sortable = self.columns.iter().filter(|column| column.sort.is_some());
        let choices = Choices {
            sortable: sortable.map(|column| column.head.key).collect(),
            filters: self.filters.iter().map(|(filter, _)| filter).collect(),
            searchable: self.search.is_some(),
            order: self.columns.iter().find_map(Column::default_sort),
        };
        Query::read(raw, &choices)
    }
    /// Whether a row is asked for: by what is searched and by each filter.
    pub fn is_asked(&self, row: &T, query: &Query) -> bool {
        let text = |text: &Option<Of<'a, T, String>>| match text {
            Some(text) => text(row),
            None => self.row(row).text(),
        };
        let is_found = |(_, through): &(_, _)| query.matches(&text(through));
        (query.search.is_empty() || self.search.as_ref().is_none_or(is_found))
            && self.filters.iter().all(|(filter, keeps)| keeps(row, query.filter(filter.key)))
    }
    /// Those of all its rows that are asked for, in the order and on the page that is asked for.
    pub fn show(&self, mut rows: Vec<T>, query: &Query) -> Listing {
        rows.retain(|row| self.is_asked(row, query));
        let sorted = query.sort().and_then(|sort| {
            let column = self.columns.iter().find(|column| column.head.key == sort.key)?;
            column.sort.as_ref().map(|sorts| (sorts, sort.descending))
        });
        if let Some((sorts, descending)) = sorted {
            sorts(&mut rows, descending);
        }
        let (rows, pages) = query.cut(rows);
        self.page(&rows, &pages, query)
    }
    /// A page of it that the store or [`Query::cut`] found.
    pub fn page(&self, rows: &[T], pages: &Pages, query: &Query) -> Listing {
        let (path, sort) = (self.path.clone(), query.sort());
        let page = |number: usize| query.address(&path, "page", &number.to_string());
        let next = match &pages.next {
            Some(after) => Some(query.address(&path, "after", after)),
            None => (pages.page < pages.pages).then(|| page(pages.page + 1)),
        };
        let chosen = |(filter, _): &(Filter, _)| Chosen {
            value: query.filter(filter.key).to_owned(),
            filter: filter.clone(),
        };
        Listing {
            heads: self.columns.iter().map(|column| column.shown(&path, query, sort)).collect(),
            first: query.after.as_ref().map(|_| query.address(&path, "page", "")),
            previous: (pages.page > 1).then(|| page(pages.page - 1)),
            next,
            export: (!rows.is_empty()).then(|| query.address(&path, "format", "csv")),
            narrowed: query.narrows(),
            filters: self.filters.iter().map(chosen).collect(),
            search: self.search.as_ref().map(|(what, _)| *what),
            q: query.search.clone(),
            sort: query.named_sort(),
            caption: self.caption.clone(),
            empty: self.empty,
            total: pages.total,
            more: false,
            page: pages.page,
            pages: pages.pages,
            rows: rows.iter().map(|row| self.row(row)).collect(),
            path,
        }
    }
    /// A row of it.
    pub fn row(&self, of: &T) -> Row {
        Row { cells: self.columns.iter().map(|column| (column.cell)(of)).collect() }
    }
    /// The heads of its columns.
    pub fn heads(&self) -> Vec<Head> {
        self.columns.iter().map(|column| column.head).collect()
    }
}

impl<T> Column<'_, T> {
    fn shown(&self, path: &str, query: &Query, sort: Option<Sort>) -> ShownHead {
        let key = self.head.key;
        let is_key = sort.filter(|sort| sort.key == key && self.sort.is_some());
        let turned = Sort { key, descending: is_key.is_some_and(|sort| !sort.descending) };
        ShownHead {
            head: self.head,
            href: self.sort.as_ref().map(|_| query.address(path, "sort", &turned.said())),
            sorted: is_key.map(|sort| if sort.descending { "descending" } else { "ascending" }),
        }
    }
}

/// A head of a column, with where a click on it leads.
#[derive(Debug, Serialize)]
pub(super) struct ShownHead {
    #[serde(flatten)]
    head: Head,
    /// Sorts by it; the other way round if it is sorted by it already.
    pub(super) href: Option<String>,
    /// As in `aria-sort`.
    pub(super) sorted: Option<&'static str>,
}

/// A filter with what is chosen.
#[derive(Debug, Serialize)]
struct Chosen {
    #[serde(flatten)]
    filter: Filter,
    value: String,
}

/// What an address gets of a list, as `layout/list.html` draws it.
#[derive(Debug, Serialize)]
pub struct Listing {
    path: String,
    /// What is said of it to those who don't see it.
    caption: String,
    search: Option<&'static str>,
    q: String,
    sort: String,
    filters: Vec<Chosen>,
    pub(super) heads: Vec<ShownHead>,
    pub(super) rows: Vec<Row>,
    /// Whether it was narrowed: an empty list then says so.
    pub(super) narrowed: bool,
    empty: &'static str,
    pub(super) total: Option<usize>,
    /// There are more than `total`: the list looked no further.
    pub more: bool,
    page: usize,
    pages: usize,
    first: Option<String>,
    previous: Option<String>,
    pub(super) next: Option<String>,
    pub(super) export: Option<String>,
}

impl Listing {
    /// The same for someone who may not export it.
    #[must_use]
    pub fn without_export(mut self) -> Self {
        self.export = None;
        self
    }

    /// It as CSV: its columns' keys, then its rows.
    pub fn to_csv(&self) -> Vec<u8> {
        let heads = self.heads.iter().map(|shown| shown.head.key.to_owned()).collect();
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
