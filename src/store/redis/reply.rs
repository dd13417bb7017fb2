//! Converts Redis's answers to the expected types.

use crate::store::{Result, StoreError};
use redis::Value;

fn unexpected(what: &str, value: &Value) -> StoreError {
    let kind = match value {
        Value::Nil => "nothing",
        Value::Int(_) => "a number",
        Value::BulkString(_) | Value::SimpleString(_) | Value::Okay => "a string",
        Value::Array(_) => "a list",
        _ => "something else",
    };
    StoreError::Corrupt(format!("{kind} where {what} was expected"))
}

/// A byte string.
pub fn bytes(value: Value) -> Result<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        Value::SimpleString(text) => Ok(text.into_bytes()),
        other => Err(unexpected("a string", &other)),
    }
}

/// A text.
pub fn text(value: Value) -> Result<String> {
    String::from_utf8(bytes(value)?).map_err(|_| StoreError::Corrupt("a text that is not UTF-8".to_owned()))
}

/// A list.
pub fn array(value: Value) -> Result<Vec<Value>> {
    match value {
        Value::Array(values) => Ok(values),
        other => Err(unexpected("a list", &other)),
    }
}

/// A number that is not negative, as an integer or in digits.
pub fn number(value: Value) -> Result<u64> {
    match value {
        Value::Int(number) => {
            u64::try_from(number).map_err(|_| StoreError::Corrupt(format!("a negative number {number}")))
        }
        Value::BulkString(digits) => std::str::from_utf8(&digits)
            .ok()
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| StoreError::Corrupt("a number that is none".to_owned())),
        other => Err(unexpected("a number", &other)),
    }
}
