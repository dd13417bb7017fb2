//! The node's secrets: read from where the configuration says; otherwise from `<data_dir>/keys`, where the
//! first start makes them.
//!
//! | file | content |
//! | --- | --- |
//! | `k1` | a signing key: 32 random bytes, hex |
//! | `pepper` | the secret for the evidence's keyed hashes: 32 random bytes, hex |
//! | `webhook` | secrets of signed callbacks, `whsec_<base64>`, one per line |
//! | `admin` | a bearer key with the scope admin, for commands run on this machine |
//!
//! All files have mode 0600. Only their directory is ever printed. A data directory with history but without
//! keys gets no new ones: links that were shared before would stop working, so a person has to restore the
//! old keys.

use super::{Config, ConfigError, Given, KeySources, Scope};
use crate::domain::program::hex;
use crate::secret::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// The name of the API key in `<data_dir>/keys/admin`.
pub const LOCAL_KEY_NAME: &str = "local";

/// All secrets of a node, read and checked.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// Signing keys by id: all that are given, including retired ones.
    pub signing: Vec<(String, HiddenBytes)>,
    /// The id of the key that signs.
    pub current: String,
    /// Ids whose signatures are refused.
    pub retired: Vec<String>,
    /// The secret for the evidence's keyed hashes.
    pub pepper: HiddenBytes,
    /// Secrets of signed callbacks, `whsec_<base64>`.
    pub webhooks: Vec<Secret>,
    /// Bearer keys; the one named [`LOCAL_KEY_NAME`] is the last.
    pub api_keys: Vec<ApiKey>,
    /// Whether any secret was made just now.
    pub made: bool,
}

/// A bearer key.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// The name of its owner; shown in the audit log.
    pub name: String,
    /// The key.
    pub key: Secret,
    /// What it may do.
    pub scopes: Vec<Scope>,
}

/// Bytes that are never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct HiddenBytes(Vec<u8>);

impl HiddenBytes {
    /// The bytes themselves: only for the place that uses them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for HiddenBytes {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("HiddenBytes(hidden)")
    }
}

impl Secrets {
    /// Reads all secrets, and makes those that are neither in the configuration nor in the data directory.
    ///
    /// Only the process that owns the data directory may call it.
    pub fn open(config: &Config) -> Result<Self, ConfigError> {
        let mut keys = KeysDir::open(config)?;
        let signing = keys.signing(config)?;
        let pepper = match (&config.evidence.pepper, &config.evidence.pepper_file) {
            (Some(pepper), _) => key_bytes("evidence.pepper", pepper)?,
            (None, Some(file)) => {
                key_bytes("evidence.pepper_file", &read_file("evidence.pepper_file", file)?)?
            }
            (None, None) => {
                let pepper = keys.read_or_make("pepper", random_hex)?;
                key_bytes("keys/pepper", &pepper)?
            }
        };
        let webhooks = keys.webhooks(config)?;
        let mut api_keys = given_api_keys(config)?;
        let local = keys.read_or_make("admin", random_hex)?;
        api_keys.push(ApiKey { name: LOCAL_KEY_NAME.into(), key: local, scopes: vec![Scope::Admin] });
        let KeySources { current, retired, .. } = config.keys.clone();
        Ok(Self { signing, current, retired, pepper, webhooks, api_keys, made: keys.made })
    }

    /// The bearer key of commands run on this machine, if a server has made it.
    pub fn local_key(config: &Config) -> Option<Secret> {
        read_file("keys/admin", &config.keys_dir().join("admin")).ok()
    }
}

/// `<data_dir>/keys`.
struct KeysDir<'a> {
    config: &'a Config,
    had_history: bool,
    made: bool,
}

impl<'a> KeysDir<'a> {
    fn open(config: &'a Config) -> Result<Self, ConfigError> {
        let had_history = has_history(&config.data_dir);
        let keys = config.keys_dir();
        DirBuilder::new().recursive(true).mode(0o700).create(&keys).map_err(|error| {
            ConfigError(format!(
                "data_dir: can't make {}: {error}; let this user write there, or name another directory",
                keys.display()
            ))
        })?;
        Ok(Self { config, had_history, made: false })
    }

    fn signing(&mut self, config: &Config) -> Result<Vec<(String, HiddenBytes)>, ConfigError> {
        if config.keys.given.is_empty() {
            let id = config.keys.current.clone();
            let key = self.read_or_make(&id, random_hex)?;
            let bytes = key_bytes(&format!("keys/{id}"), &key)?;
            return Ok(vec![(id, bytes)]);
        }
        let read = |(id, given): (&String, &Given)| {
            let (name, key) = match given {
                Given::Here(key) => (format!("keys.{id}"), key.clone()),
                Given::File(file) => {
                    let name = format!("keys.{id}_file");
                    let key = read_file(&name, file)?;
                    (name, key)
                }
            };
            Ok((id.clone(), key_bytes(&name, &key)?))
        };
        config.keys.given.iter().map(read).collect()
    }

    fn webhooks(&mut self, config: &Config) -> Result<Vec<Secret>, ConfigError> {
        let (name, lines) = match &config.api.webhook_secrets_file {
            Some(file) => ("api.webhook_secrets_file", read_file("api.webhook_secrets_file", file)?),
            // The configuration's checks have looked at these.
            None if !config.api.webhook_secrets.is_empty() => return Ok(config.api.webhook_secrets.clone()),
            None => ("keys/webhook", self.read_or_make("webhook", random_webhook_secret)?),
        };
        let secrets: Vec<_> = lines.expose().lines().map(|line| Secret::new(line.trim())).collect();
        secrets.iter().try_for_each(|secret| webhook_secret(name, secret))?;
        Ok(secrets)
    }

    fn read_or_make(&mut self, name: &str, make: fn() -> String) -> Result<Secret, ConfigError> {
        let file = self.config.keys_dir().join(name);
        if file.exists() {
            return read_file(&format!("keys/{name}"), &file);
        }
        // A lost bearer key can be replaced; with other new secrets, what was signed or hashed before would
        // not match.
        if self.had_history && name != "admin" {
            return Err(ConfigError(format!(
                "{} is missing, and the directory has history; restore the file from a backup or from another node",
                file.display()
            )));
        }
        let is_new = write_secret(&file, &make()).map_err(|error| {
            ConfigError(format!(
                "data_dir: can't write {}: {error}; let this user write there",
                file.display()
            ))
        })?;
        self.made |= is_new;
        // The file's content counts: another process may have written it first.
        read_file(&format!("keys/{name}"), &file)
    }
}

/// Whether a server has run here before: the directory holds more than keys and the files of an interrupted
/// start.
fn has_history(data_dir: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(data_dir) else { return false };
    entries.flatten().any(|entry| {
        entry.path().is_dir()
            && entry.file_name() != "keys"
            && std::fs::read_dir(entry.path()).is_ok_and(|mut inner| inner.next().is_some())
    })
}

/// Writes a secret unless it exists; returns whether it was written.
///
/// Whole or not at all: a crash must not leave half a key under the key's name. It never replaces a file: of
/// two processes that start at once, the lock of the data directory stops one only later, and until then both
/// must use the same secrets.
fn write_secret(file: &Path, secret: &str) -> std::io::Result<bool> {
    let draft = file.with_extension(format!("{}-{:?}.new", std::process::id(), std::thread::current().id()));
    let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    out.write_all(secret.as_bytes())?;
    out.write_all(b"\n")?;
    out.sync_all()?;
    let linked = std::fs::hard_link(&draft, file);
    std::fs::remove_file(&draft)?;
    match linked {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(error),
    }
    // The new name must survive a power cut too; a key file always has a parent directory.
    file.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())?;
    Ok(true)
}

fn random_bytes() -> [u8; 32] {
    let mut bytes = [0; 32];
    // Without random numbers no process could make keys; stopping is all that can be done.
    getrandom::fill(&mut bytes).expect("the operating system gives random numbers");
    bytes
}

fn random_hex() -> String {
    hex(&random_bytes())
}

fn random_webhook_secret() -> String {
    format!("whsec_{}", STANDARD.encode(random_bytes()))
}

fn given_api_keys(config: &Config) -> Result<Vec<ApiKey>, ConfigError> {
    let mut keys = Vec::new();
    for source in &config.api.keys {
        let name = &source.name;
        let key = match (&source.key, &source.key_file) {
            (_, Some(file)) => read_file("api.keys.key_file", file)?,
            (Some(key), None) => key.clone(),
            (None, None) => {
                return Err(ConfigError(format!("api.keys: `{name}` needs either key or key_file")));
            }
        };
        api_key(name, &key)?;
        keys.push(ApiKey { name: name.clone(), key, scopes: source.scopes.clone() });
    }
    Ok(keys)
}

/// Reads 64 hex digits as 32 bytes.
pub(super) fn key_bytes(key: &str, secret: &Secret) -> Result<HiddenBytes, ConfigError> {
    let digits = secret.expose().as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes: Option<Vec<u8>> =
        digits.chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?)).collect();
    match bytes {
        Some(bytes) if bytes.len() == 32 => Ok(HiddenBytes(bytes)),
        _ => Err(ConfigError(format!("{key}: is not 64 hex digits; make one with `openssl rand -hex 32`"))),
    }
}

/// `whsec_` and base64 of 24 to 64 bytes, as Standard Webhooks requires.
pub(super) fn webhook_secret(key: &str, secret: &Secret) -> Result<(), ConfigError> {
    let bytes = secret.expose().strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok());
    if bytes.is_some_and(|bytes| (24..=64).contains(&bytes.len())) {
        return Ok(());
    }
    Err(ConfigError(format!(
        "{key}: is not whsec_ and the base64 of 24 to 64 bytes; make one with `echo whsec_$(openssl rand -base64 32)`"
    )))
}

/// A bearer key must be too long to guess, and fit a header.
pub(super) fn api_key(name: &str, key: &Secret) -> Result<(), ConfigError> {
    let text = key.expose();
    if (20..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(ConfigError(format!(
        "api.keys: the key of `{name}` must have 20 to 256 visible characters; make one with `openssl rand -hex 32`"
    )))
}

/// Reads a secret's file, without white space at the ends. `key` is what names the file in the configuration.
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
