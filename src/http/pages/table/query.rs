//! What an address asks of a list.

use super::{MAX_EXPORT, ROWS};
use serde::Serialize;
use std::collections::BTreeMap;
use url::form_urlencoded;

/// The longest query string that is read, in bytes.
const MAX_QUERY: usize = 2_048;
/// The longest search, in characters.
const MAX_SEARCH: usize = 100;
const MAX_PAGE: usize = 100_000;

/// A filter with its few values; the first is what an address without it means.
#[derive(Debug, Clone, Serialize)]
pub struct Filter {
    /// Its name in addresses.
    pub key: &'static str,
    /// Its label.
    pub title: &'static str,
    /// Each value with its label.
    pub options: Vec<(&'static str, &'static str)>,
}

/// A column to sort by, and the direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    /// The column's key.
    pub key: &'static str,
    /// From great to small.
    pub descending: bool,
}

impl Sort {
    /// As addresses say it: a `-` before the key is from great to small.
    pub fn said(self) -> String {
        format!("{}{}", if self.descending { "-" } else { "" }, self.key)
    }
}

/// What a list can be asked for.
#[derive(Debug)]
pub struct Choices<'a> {
    /// The keys of the columns that it can be sorted by.
    pub sortable: Vec<&'static str>,
    /// Its filters.
    pub filters: Vec<&'a Filter>,
    /// Whether it can be searched.
    pub searchable: bool,
    /// The order of an address without `sort`; `None`: that of the store.
    pub order: Option<Sort>,
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
    asked_sort: Option<Sort>,
    /// The page, from 1.
    pub page: usize,
    /// Where the store's page starts; opaque.
    pub after: Option<String>,
    /// Whether the list is asked for as CSV.
    pub csv: bool,
    filters: BTreeMap<&'static str, String>,
    order: Option<Sort>,
}

impl Query {
    /// Reads the query string of an address. Each parameter at most once, none that the list doesn't know.
    pub fn read(raw: Option<&str>, choices: &Choices<'_>) -> Result<Self, BadQuery> {
        let mut query = Self { page: 1, order: choices.order, ..Self::default() };
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
            query.take(&key, value.trim(), choices)?;
            seen.push(key);
        }
        Ok(query)
    }

    fn take(&mut self, key: &str, value: &str, choices: &Choices<'_>) -> Result<(), BadQuery> {
        match key {
            "q" if choices.searchable && value.chars().count() <= MAX_SEARCH => {
                value.clone_into(&mut self.search);
            }
            "sort" if value.is_empty() => self.asked_sort = None,
            "sort" => {
                let (name, descending) = value.strip_prefix('-').map_or((value, false), |name| (name, true));
                let key = choices.sortable.iter().find(|key| **key == name).ok_or(BadQuery)?;
                self.asked_sort = Some(Sort { key, descending });
            }
            "page" => {
                let page = value.parse().ok().filter(|page| (1..=MAX_PAGE).contains(page));
                self.page = page.ok_or(BadQuery)?;
            }
            "after" if value.len() <= 512 => self.after = (!value.is_empty()).then(|| value.to_owned()),
            "format" if value == "csv" => self.csv = true,
            _ => {
                let filter = choices.filters.iter().find(|filter| filter.key == key).ok_or(BadQuery)?;
                let known = filter.options.iter().position(|(option, _)| *option == value).ok_or(BadQuery)?;
                if known > 0 {
                    self.filters.insert(filter.key, value.to_owned());
                }
            }
        }
        Ok(())
    }

    /// The value of a filter; empty: its first.
    pub fn filter(&self, key: &str) -> &str {
        self.filters.get(key).map_or("", String::as_str)
    }
    /// Whether it asks for less than the whole list.
    pub fn narrows(&self) -> bool {
        !self.search.is_empty() || !self.filters.is_empty()
    }
    /// What the list is sorted by.
    pub fn sort(&self) -> Option<Sort> {
        self.asked_sort.or(self.order)
    }
    /// The order that the address names, as it says it; empty: none.
    pub fn named_sort(&self) -> String {
        self.asked_sort.map(Sort::said).unwrap_or_default()
    }
    /// Whether it asks for another order than the list's own.
    pub fn is_sorted(&self) -> bool {
        self.asked_sort.is_some() && self.asked_sort != self.order
    }
    /// Whether all words searched for stand somewhere in the text, whatever their case.
    pub fn matches(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.search.split_whitespace().all(|word| text.contains(&word.to_lowercase()))
    }
    /// What of all rows is shown: a page of them, or for an export all that it may hold; and the pages.
    pub fn cut<T>(&self, mut rows: Vec<T>) -> (Vec<T>, Pages) {
        let total = rows.len();
        let pages = total.div_ceil(ROWS).max(1);
        let page = self.page.min(pages);
        let counted = Pages { total: Some(total), page, pages, next: None };
        if self.csv {
            rows.truncate(MAX_EXPORT);
            return (rows, counted);
        }
        let start = (page - 1) * ROWS;
        (rows.into_iter().skip(start).take(ROWS).collect(), counted)
    }

    /// The address that asks for the same but for one parameter; a new one starts at the first page.
    pub fn address(&self, path: &str, key: &str, value: &str) -> String {
        let sort = self.named_sort();
        let mut asked: BTreeMap<&str, &str> = [("q", &*self.search), ("sort", &*sort)].into();
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
        Self { total: None, page: 1, pages: 1, next }
    }
}
