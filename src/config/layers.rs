//! From text to [`Config`]: the compiled-in default, then the file, then the environment, then the checks.

use super::{Config, ConfigError, check};
use std::path::Path;
use toml::{Table, Value};

/// The reference: every key with its meaning and default.
pub const DEFAULT: &str = include_str!("../../config/default.toml");
/// The prefix of environment variables.
const PREFIX: &str = "COUNTERFOIL__";

impl Config {
    /// Reads the file and the environment over the defaults, and checks the whole.
    pub fn from_layers(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let default: Table = toml::from_str(DEFAULT).map_err(|error| {
            ConfigError(format!("config/default.toml as compiled in: {}", one_line(&error)))
        })?;
        let mut merged = default.clone();
        if let Some(file) = file {
            let layer = read(file)?;
            refuse_twins(&layer, "")?;
            merge(&mut merged, layer);
        }
        let environment = environment_layer(&default, environment)?;
        refuse_twins(&environment, "")?;
        merge(&mut merged, environment.clone());

        let config: Self = serde_path_to_error::deserialize(Value::Table(merged)).map_err(
            |error: serde_path_to_error::Error<toml::de::Error>| {
                let path = error.path().to_string();
                let source = origin(&path, &environment, file);
                let text = one_line(error.inner());
                let place = if path == "." { String::new() } else { format!("{path}: ") };
                ConfigError(format!("{place}{text} ({source}); config/default.toml lists all keys"))
            },
        )?;
        check::all(&config)?;
        Ok(config)
    }
}

fn read(file: &Path) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        ConfigError(format!("can't read {}: {error}; name an existing file with --config", file.display()))
    })?;
    toml::from_str(&text).map_err(|error: toml::de::Error| {
        let line =
            error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        ConfigError(format!("{} line {line}: {}", file.display(), one_line(&error)))
    })
}

/// A secret may be given directly or as a file's name; both at once is a mistake.
fn refuse_twins(layer: &Table, path: &str) -> Result<(), ConfigError> {
    for (key, value) in layer {
        let file = format!("{key}_file");
        if layer.contains_key(&file) {
            return Err(ConfigError(format!("{path}{key} and {path}{file} are both given; keep one")));
        }
        match value {
            Value::Table(table) => refuse_twins(table, &format!("{path}{key}."))?,
            Value::Array(items) => {
                for table in items.iter().filter_map(Value::as_table) {
                    refuse_twins(table, &format!("{path}{key}."))?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Tables are merged key by key; everything else, also a list, is replaced. A secret that is given in one way
/// replaces the same secret given in the other way, so that the environment can override a file's `…_file`.
fn merge(under: &mut Table, over: Table) {
    for (key, value) in over {
        let twin = match key.strip_suffix("_file") {
            Some(plain) => plain.to_owned(),
            None => format!("{key}_file"),
        };
        under.remove(&twin);
        match (under.get_mut(&key), value) {
            (Some(Value::Table(under)), Value::Table(over)) => merge(under, over),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

/// `COUNTERFOIL__STORE__URL=…` as `store.url`; the type is that of the default.
fn environment_layer(
    default: &Table,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Table, ConfigError> {
    let mut layer = Table::new();
    let mut variables: Vec<_> =
        environment.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    variables.sort();
    for (name, text) in variables {
        let path: Vec<String> = name[PREFIX.len()..].split("__").map(str::to_lowercase).collect();
        let value = typed(find(default, &path), text)
            .map_err(|wanted| ConfigError(format!("{name}: expected {wanted}; set it so, or unset it")))?;
        if !insert(&mut layer, &path, value) {
            return Err(ConfigError(format!("{name}: contradicts another variable; unset one of them")));
        }
    }
    Ok(layer)
}

fn find<'a>(table: &'a Table, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let value = table.get(first)?;
    if rest.is_empty() { Some(value) } else { find(value.as_table()?, rest) }
}

fn insert(table: &mut Table, path: &[String], value: Value) -> bool {
    let Some((first, rest)) = path.split_first() else { return false };
    if rest.is_empty() {
        return table.insert(first.clone(), value).is_none();
    }
    match table.entry(first.clone()).or_insert_with(|| Value::Table(Table::new())) {
        Value::Table(inner) => insert(inner, rest, value),
        _ => false,
    }
}

/// A variable's text, converted to the type of the key's default; without a default it stays a text.
fn typed(default: Option<&Value>, text: String) -> Result<Value, &'static str> {
    match default {
        Some(Value::Integer(_)) => text.trim().parse().map(Value::Integer).map_err(|_| "a whole number"),
        Some(Value::Boolean(_)) => text.trim().parse().map(Value::Boolean).map_err(|_| "true or false"),
        Some(Value::Array(_)) => list(&text).ok_or("a list like [\"a\", \"b\"], or a,b"),
        Some(Value::Table(_)) => Err("a key of this table, not the table itself"),
        _ => Ok(Value::String(text)),
    }
}

fn list(text: &str) -> Option<Value> {
    let text = text.trim();
    if text.starts_with('[') {
        let table: Table = toml::from_str(&format!("list = {text}")).ok()?;
        return table.get("list").cloned();
    }
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    Some(Value::Array(items.map(|item| Value::String(item.to_owned())).collect()))
}

/// The layer that set the wrong key.
fn origin(path: &str, environment: &Table, file: Option<&Path>) -> String {
    let keys: Vec<String> =
        path.split(['.', '[']).map(|part| part.trim_end_matches(']').to_owned()).collect();
    // A key within a list comes from the layer that set the list.
    let set_by_environment = (1..=keys.len()).rev().any(|len| {
        find(environment, &keys[..len]).is_some_and(|value| len == keys.len() || !value.is_table())
    });
    match file {
        _ if set_by_environment => {
            let name = keys.iter().map(|key| key.to_uppercase()).collect::<Vec<_>>().join("__");
            format!("set by the environment, {PREFIX}{name}")
        }
        Some(file) => format!("in {}", file.display()),
        None => "in the environment".into(),
    }
}

/// An error's text without line breaks: one line per error.
fn one_line(error: &toml::de::Error) -> String {
    error.message().lines().map(str::trim).collect::<Vec<_>>().join("; ")
}
