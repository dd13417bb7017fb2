//! The fields of a JSON body and the parameters of a query, taken one by one: each has a problem of its
//! own, and what is left over can be refused.

use super::error::Problem;
use crate::domain::input::Instant;
use chrono::{DateTime, TimeDelta, Utc};
use serde::de::value::MapAccessDeserializer;
use serde::de::{
    self, Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, Visitor,
};
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
        parse: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        if self.doubled.contains(name) {
            return Err(Problem::DuplicateKey);
        }
        self.take(name).map(|value| parse(&value).ok_or(Problem::invalid(name))).transpose()
    }
    /// Takes a field that must be there.
    pub fn required<T>(&mut self, name: &str, parse: impl FnOnce(&Value) -> Option<T>) -> Result<T, Problem> {
        self.optional(name, parse)?.ok_or(Problem::invalid(name))
    }
    /// The names of fields that nobody took.
    pub fn left(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().map(String::as_str)
    }
    /// Reads the fields into what they ask for. Its type says which fields there are: a misspelt name must not pass for
    /// an absent field.
    pub fn read_into<T: DeserializeOwned>(self) -> Result<T, Problem> {
        let left = Left { fields: self.fields.into_iter(), next: None };
        T::deserialize(MapAccessDeserializer::new(left)).map_err(|Misfit(problem)| problem)
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

const YEAR_2015: i64 = 1_420_070_400;

/// Reads an instant from 2015 to five minutes after now: how far a sender's clock may run ahead.
pub fn recent_instant(now: DateTime<Utc>) -> impl Fn(&Value) -> Option<DateTime<Utc>> {
    let earliest = DateTime::from_timestamp(YEAR_2015, 0).unwrap_or_default();
    move |value| {
        parsed::<Instant>(value)
            .map(|Instant(at)| at)
            .filter(|at| *at >= earliest && *at <= now + TimeDelta::minutes(5))
    }
}

/// Why a request's fields are not what it asks for.
#[derive(Debug)]
struct Misfit(Problem);

impl fmt::Display for Misfit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0.code())
    }
}
impl std::error::Error for Misfit {}

impl de::Error for Misfit {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(Problem::NotAnObject)
    }
    fn missing_field(field: &'static str) -> Self {
        Self(Problem::invalid(field))
    }
    fn unknown_field(_: &str, _: &'static [&'static str]) -> Self {
        Self(Problem::UnknownField)
    }
}

/// The fields of a request that are not read yet.
struct Left {
    fields: std::collections::btree_map::IntoIter<String, Value>,
    next: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for Left {
    type Error = Misfit;
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Misfit> {
        self.next = self.fields.next();
        let name = self.next.as_ref().map(|(name, _)| name.clone());
        name.map(|name| seed.deserialize(name.into_deserializer())).transpose()
    }
    /// Whatever is wrong with a field's value, the field is named.
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        let (name, value) = self.next.take().unwrap_or_default();
        seed.deserialize(value).map_err(|_| Misfit(Problem::invalid(&name)))
    }
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
    pub fn optional<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, Problem> {
        self.0.remove(name).map(|text| text.parse().map_err(|_| Problem::invalid(name))).transpose()
    }
    /// Takes `limit` and `cursor`.
    pub fn page(&mut self) -> Result<PageParams, Problem> {
        let limit = self.optional("limit")?.unwrap_or(50);
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

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for PageParams {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut http::request::Parts, _: &S) -> Result<Self, Problem> {
        let mut params = Params::read(parts.uri.query())?;
        let page = params.page()?;
        params.done().map(|()| page)
    }
}

#[cfg(test)]
mod tests;
