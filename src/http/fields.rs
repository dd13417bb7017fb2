//! The fields of a JSON body and the parameters of a query, taken one by one: each has a problem of its
//! own, and what is left over can be refused.

use super::error::Problem;
use crate::domain::text::is_blank;
use chrono::{DateTime, TimeDelta, Utc};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// The fields of a JSON object that were not taken yet.
#[derive(Debug, Default)]
pub struct Fields(BTreeMap<String, Value>);

impl Fields {
    /// Reads a JSON object: one document in UTF-8, no key twice.
    pub fn read(bytes: &[u8]) -> Result<Self, Problem> {
        let object: Object = serde_json::from_slice(bytes).map_err(|_| {
            // An object that was read fails only where it is no JSON; other documents are JSON too.
            match serde_json::from_slice::<Value>(bytes) {
                Ok(_) => Problem::NotAnObject,
                Err(_) => Problem::InvalidJson,
            }
        })?;
        if object.duplicate { Err(Problem::DuplicateKey) } else { Ok(Self(object.fields)) }
    }

    /// A field as it is, not taken.
    pub fn peek(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
    /// Takes a field as it is; one that is `null` counts as absent.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }
    /// Takes a field that may be absent.
    pub fn optional<T>(
        &mut self,
        name: &str,
        fault: Problem,
        parse: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
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
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(value) => parse(&value).map(|parsed| Some(Some(parsed))).ok_or(fault),
        }
    }
    /// Refuses fields that nobody took: a misspelt name must not pass for an absent field.
    pub fn done(self) -> Result<(), Problem> {
        if self.0.is_empty() { Ok(()) } else { Err(Problem::UnknownField) }
    }
}

/// Reads a text into a type that can't be wrong.
pub fn parsed<T: FromStr>(value: &Value) -> Option<T> {
    value.as_str()?.parse().ok()
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

struct Object {
    fields: BTreeMap<String, Value>,
    duplicate: bool,
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Object;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a JSON object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Object, M::Error> {
                let mut object = Object { fields: BTreeMap::new(), duplicate: false };
                while let Some((key, value)) = map.next_entry()? {
                    object.duplicate |= object.fields.insert(key, value).is_some();
                }
                Ok(object)
            }
        }
        from.deserialize_map(Keys)
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
