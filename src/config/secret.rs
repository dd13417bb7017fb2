//! A text that is never printed.

use super::ConfigError;
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::path::Path;

/// A secret: it can be used, but neither printed nor logged by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
    /// The text itself: only for the place that uses it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(hidden)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Self)
    }
}

/// Reads a secret's file, without white space at the ends. `key` is the configuration key that names the
/// file.
pub(super) fn read_file(key: &str, file: &Path) -> Result<Secret, ConfigError> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        ConfigError(format!(
            "{key}: can't read {}: {error}; make the file readable for this user, or name another",
            file.display()
        ))
    })?;
    let text = text.trim();
    if text.is_empty() {
        return Err(ConfigError(format!("{key}: {} is empty; put the secret there", file.display())));
    }
    Ok(Secret::new(text))
}
