//! The fields of a JSON body and the parameters of a query, taken one by one: each has a problem of its
//! own, and what is left over can be refused.

use super::error::Problem;
use crate::domain::text::is_blank;
use chrono::{DateTime, TimeDelta, Utc};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

/// The fields of a JSON object that were not taken yet.
#[derive(Debug, Default)]
pub struct Fields {
    fields: BTreeMap<String, Value>,
    /// Names that stood in it twice, with other values.
    doubled: BTreeSet<String>,
}

impl Fields {
    /// Reads a JSON object: one document in UTF-8, no key twice.
    pub fn read(bytes: &[u8]) -> Result<Self, Problem> {
        let object: Object<String, Value> = serde_json::from_slice(bytes).map_err(|_| {
            // An object that was read fails only where it is no JSON; other documents are JSON too.
            match serde_json::from_slice::<Value>(bytes) {
                Ok(_) => Problem::NotAnObject,
                Err(_) => Problem::InvalidJson,
            }
        })?;
        let count = object.0.len();
        let fields: BTreeMap<_, _> = object.0.into_iter().collect();
        let doubled = BTreeSet::new();
        if fields.len() < count { Err(Problem::DuplicateKey) } else { Ok(Self { fields, doubled }) }
    }

    /// Reads what a sender reports: a JSON object of which most fields may be wrong, and others are not for us.
    ///
    /// Only the object's shape must be right. A byte order mark is passed over; letters that can't be read (half a
    /// surrogate pair, bytes that are not UTF-8) become U+FFFD, which [`parsed`] refuses. Of a name that stands there
    /// twice the last value counts, but for fields whose value must be right: [`Problem::DuplicateKey`].
    pub fn read_report(bytes: &[u8]) -> Result<Self, Problem> {
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            return Err(Problem::NotUtf8);
        }
        let text = String::from_utf8_lossy(bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes));
        let object: Object<Lossy, &RawValue> =
            serde_json::from_str(&text).map_err(|_| match serde_json::from_str::<&RawValue>(&text) {
                Ok(_) => Problem::NotAnObject,
                Err(_) => Problem::InvalidJson,
            })?;
        let mut report = Self::default();
        for (Lossy(name), raw) in object.0 {
            let value = lossy_value(raw.get());
            if report.fields.get(&name).is_some_and(|former| *former != value) {
                report.doubled.insert(name.clone());
            }
            report.fields.insert(name, value);
        }
        Ok(report)
    }

    /// A field as it is, not taken.
    pub fn peek(&self, name: &str) -> Option<&Value> {
        self.fields.get(name)
    }
    /// Takes a field as it is; one that is `null` counts as absent.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name).filter(|value| !value.is_null())
    }
    /// Takes a field that may be absent.
    pub fn optional<T>(
        &mut self,
        name: &str,
        fault: Problem,
        parse: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        if self.doubled.contains(name) {
            return Err(Problem::DuplicateKey);
        }
        self.take(name).map(|value| parse(&value).ok_or(fault)).transpose()
    }
    /// Takes a field that must be there.
    pub fn required<T>(
        &mut self,
        name: &str,
        fault: Problem,
        parse: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<T, Problem> {
        self.optional(name, fault, parse)?.ok_or(fault)
    }
    /// Takes a field whose absence (`None`) and `null` (`Some(None)`) mean different things.
    pub fn patch<T>(
        &mut self,
        name: &str,
        fault: Problem,
        parse: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<Option<T>>, Problem> {
        match self.fields.remove(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(value) => parse(&value).map(|parsed| Some(Some(parsed))).ok_or(fault),
        }
    }
    /// The names of fields that nobody took.
    pub fn left(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().map(String::as_str)
    }
    /// Refuses fields that nobody took: a misspelt name must not pass for an absent field.
    pub fn done(self) -> Result<(), Problem> {
        if self.fields.is_empty() { Ok(()) } else { Err(Problem::UnknownField) }
    }
}

/// The byte order mark, as some programs begin their UTF-8 with it.
pub const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Reads a text into a type that can't be wrong; one of which a letter was lost names nothing.
pub fn parsed<T: FromStr>(value: &Value) -> Option<T> {
    value.as_str().filter(|text| !text.contains(char::REPLACEMENT_CHARACTER))?.parse().ok()
}

/// A JSON value as a report may hold it: what is neither text, number, flag nor `null` is no field of any report, and
/// stands as an empty list, however deep or large it is.
fn lossy_value(raw: &str) -> Value {
    let read = match raw.as_bytes().first() {
        Some(b'"') => serde_json::from_str(raw).map(|Lossy(text)| Value::String(text)),
        Some(b'[' | b'{') => Ok(Value::Array(Vec::new())),
        _ => serde_json::from_str(raw),
    };
    // A number beyond all bounds fails too.
    read.unwrap_or_else(|_| Value::Array(Vec::new()))
}

/// A JSON string; letters that can't be read are U+FFFD.
struct Lossy(String);

impl<'de> Deserialize<'de> for Lossy {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Lossy;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a JSON string")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Lossy, E> {
                Ok(Lossy(String::from_utf8_lossy(bytes).into_owned()))
            }
        }
        // As a string, half a surrogate pair would be refused.
        from.deserialize_bytes(Bytes)
    }
}

const YEAR_2000: i64 = 946_684_800;
const YEAR_2015: i64 = 1_420_070_400;

/// Reads an instant: RFC 3339, from the year 2000 on.
pub fn instant(value: &Value) -> Option<DateTime<Utc>> {
    parse_instant(value.as_str()?)
}

/// Reads an instant from 2015 to five minutes after now: how far a sender's clock may run ahead.
pub fn recent_instant(now: DateTime<Utc>) -> impl Fn(&Value) -> Option<DateTime<Utc>> {
    let earliest = DateTime::from_timestamp(YEAR_2015, 0).unwrap_or_default();
    move |value| instant(value).filter(|at| *at >= earliest && *at <= now + TimeDelta::minutes(5))
}

/// Reads a text of 1 to `most` characters, trimmed, of which something can be seen, without control characters or such
/// as turn the direction.
pub fn line(most: usize) -> impl Fn(&Value) -> Option<String> {
    move |value| {
        let text = value.as_str()?.trim();
        let fits = (1..=most).contains(&text.chars().count())
            && !is_blank(text)
            && !text.contains(breaks_line)
            && !text.contains(turns_direction);
        fits.then(|| text.to_owned())
    }
}

/// What has no place in a text of one line.
pub fn breaks_line(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}')
}

/// Turns the direction of what follows it, beyond the text that it stands in: a name could make the page around it say
/// something else. Names in scripts that run from right to left do without.
pub fn turns_direction(letter: char) -> bool {
    matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Reads a text of 1 to `most` characters, trimmed, that may have several lines.
pub fn paragraph(most: usize) -> impl Fn(&Value) -> Option<String> {
    move |value| {
        let text = value.as_str()?.trim();
        let hostile = |letter: char| letter.is_control() && !matches!(letter, '\n' | '\r' | '\t');
        let fits = (1..=most).contains(&text.chars().count()) && !is_blank(text) && !text.contains(hostile);
        fits.then(|| text.to_owned())
    }
}

/// Reads RFC 3339 from the year 2000 on. A leap second is the first instant of the next minute.
pub fn parse_instant(text: &str) -> Option<DateTime<Utc>> {
    let at = DateTime::parse_from_rfc3339(text).ok()?;
    let nanos = i64::from(at.timestamp_subsec_nanos());
    let at = DateTime::from_timestamp(at.timestamp(), 0)? + TimeDelta::nanoseconds(nanos);
    (at.timestamp() >= YEAR_2000).then_some(at)
}

/// A JSON object's fields as they stand in it.
struct Object<K, V>(Vec<(K, V)>);

impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Deserialize<'de> for Object<K, V> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Entries<K, V>(std::marker::PhantomData<(K, V)>);
        impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Visitor<'de> for Entries<K, V> {
            type Value = Object<K, V>;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a JSON object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Object<K, V>, M::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Object(entries))
            }
        }
        from.deserialize_map(Entries(std::marker::PhantomData))
    }
}

/// The parameters of a query that were not taken yet.
#[derive(Debug, Default)]
pub struct Params(BTreeMap<String, String>);

impl Params {
    /// Reads a query string; no parameter twice.
    pub fn read(query: Option<&str>) -> Result<Self, Problem> {
        let mut params = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if params.insert(name.into_owned(), value.into_owned()).is_some() {
                return Err(Problem::InvalidQuery);
            }
        }
        Ok(Self(params))
    }
    /// Takes a parameter that may be absent.
    pub fn optional<T: FromStr>(&mut self, name: &str, fault: Problem) -> Result<Option<T>, Problem> {
        self.0.remove(name).map(|text| text.parse().map_err(|_| fault)).transpose()
    }
    /// Takes `limit` and `cursor`.
    pub fn page(&mut self) -> Result<PageParams, Problem> {
        let limit = self.optional("limit", Problem::InvalidLimit)?.unwrap_or(50);
        if !(1..=500).contains(&limit) {
            return Err(Problem::InvalidLimit);
        }
        // A form's empty field asks for the first page.
        let cursor = self.0.remove("cursor").filter(|cursor| !cursor.is_empty());
        Ok(PageParams { limit, cursor })
    }
    /// Refuses parameters that nobody took: a misspelt filter must not list everything.
    pub fn done(self) -> Result<(), Problem> {
        if self.0.is_empty() { Ok(()) } else { Err(Problem::UnknownParameter) }
    }
}

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Params {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut http::request::Parts, _: &S) -> Result<Self, Problem> {
        Self::read(parts.uri.query())
    }
}

/// Which page of a list.
#[derive(Debug)]
pub struct PageParams {
    /// At most so many entries.
    pub limit: usize,
    /// After which.
    pub cursor: Option<String>,
}

#[cfg(test)]
mod tests;
