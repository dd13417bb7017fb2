//! The configuration: `config/default.toml` says what each key means; here are their types.
//!
//! A value of type [`Config`] has been checked: whoever holds one need not ask again whether tiers ascend or the time
//! zone exists. Secrets are not in it but in [`Secrets`], which is read when the server starts.

mod check;
mod currency;
mod layers;
mod mail;
mod secrets;
#[cfg(test)]
mod tests;

use crate::domain::calendar::Month;
use crate::domain::event_types::EventType;
use crate::domain::money::Money;
use crate::domain::person::Agreement;
use crate::domain::program::{ActiveDays, AttributionRules, Model, Rules, Tier};
use crate::secret::Secret;
use chrono::NaiveTime;
use ipnet::IpNet;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use layers::DEFAULT;
pub use mail::MailConfig;
pub use secrets::{ApiKey, HiddenBytes, LOCAL_KEY_NAME, Secrets};

/// What is wrong with the configuration, and how to mend it, in one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// The whole configuration, checked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the node keeps its journals, the embedded store and its keys.
    pub data_dir: PathBuf,
    /// Addresses.
    pub listen: Listen,
    /// The shared store.
    pub store: StoreConfig,
    /// The node's journals.
    pub journal: JournalConfig,
    /// Where signing keys come from.
    pub keys: KeySources,
    /// Where the key of evidence's hashes comes from.
    pub evidence: Evidence,
    /// The program's rules.
    pub program: Program,
    /// What holds a referral for review.
    pub holds: Holds,
    /// What types of events are called.
    pub events: Events,
    /// The visitor cookie.
    pub cookie: Cookie,
    /// Limits of requests and connections.
    pub limits: Limits,
    /// The nightly run.
    pub aggregate: Aggregate,
    /// Where the API's keys come from.
    pub api: Api,
    /// What people see of the program.
    pub portal: Portal,
    /// The pages.
    pub pages: Pages,
    /// Mail to affiliates and staff.
    pub mail: MailConfig,
    /// Logs.
    pub log: Log,
}

/// Addresses.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// What prospects' browsers reach.
    pub public: SocketAddr,
    /// Callbacks, administration, metrics.
    pub internal: SocketAddr,
    /// What links start with, without a slash at the end.
    #[serde(deserialize_with = "parsed")]
    pub public_url: url::Url,
    /// How staff reach the internal listener; use [`Listen::staff_base`].
    #[serde(deserialize_with = "empty_is_none")]
    pub staff_url: Option<url::Url>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Several processes may listen on the same addresses.
    pub reuse_port: bool,
}

impl Listen {
    /// What links start with, without a slash at the end.
    pub fn public_base(&self) -> &str {
        self.public_url.as_str().trim_end_matches('/')
    }
    /// What links for staff start with, without a slash at the end.
    pub fn staff_base(&self) -> String {
        if let Some(url) = &self.staff_url {
            return url.as_str().trim_end_matches('/').to_owned();
        }
        let mut internal = self.internal;
        if internal.ip().is_unspecified() {
            internal.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        format!("http://{internal}")
    }
    /// Whether only people at this machine can follow the public URL.
    pub fn is_on_loopback(&self) -> bool {
        match self.public_url.host() {
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            None => false,
        }
    }
    /// Whether cookies must be `Secure`: everywhere but on plain http, which only loopback may use.
    pub fn is_secure(&self) -> bool {
        self.public_url.scheme() == "https"
    }
}

/// The shared store.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// Its URL; use [`Config::store_url`].
    url: Option<Secret>,
    /// The file that holds its URL.
    url_file: Option<PathBuf>,
    /// Milliseconds after which a call has failed.
    pub timeout_ms: u64,
}

/// Which store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// The embedded one, in this file.
    Sqlite(PathBuf),
    /// Redis, a server or a cluster.
    Redis(Secret),
}

/// The node's journals.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalConfig {
    /// MiB after which a new segment is begun.
    pub segment_mib: u64,
    /// MiB of clicks that may wait for the store.
    pub clicks_backlog_cap_mib: u64,
    /// Milliseconds between flushes of the clicks journal.
    pub clicks_sync_ms: u64,
}

/// Where signing keys come from; read by [`Secrets::open`].
#[derive(Debug, Clone)]
pub struct KeySources {
    /// The id of the key that signs.
    current: String,
    /// Ids whose signatures are refused.
    retired: Vec<String>,
    /// By id.
    given: BTreeMap<String, Given>,
}

/// A secret as the configuration gives it.
#[derive(Debug, Clone)]
enum Given {
    /// Itself.
    Here(Secret),
    /// In this file.
    File(PathBuf),
}

/// Where the key of evidence's hashes comes from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    pepper: Option<Secret>,
    pepper_file: Option<PathBuf>,
}

/// The program's rules.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// IANA name of the zone whose days and months count.
    pub timezone: String,
    /// ISO 4217 code.
    pub currency: String,
    /// Where links lead that have no destination of their own.
    #[serde(deserialize_with = "parsed")]
    pub landing: url::Url,
    /// Hosts that a link may lead to, in lower case.
    pub destinations: Vec<String>,
    /// Days of 24 hours for which a click may be credited.
    pub window_days: u32,
    /// Which of several eligible clicks is credited.
    pub model: Model,
    /// Active days that earn a commission.
    pub mark_days: u32,
    /// How active days add up.
    pub active_days: ActiveDays,
    /// Calendar days after a month's end at which it is closed.
    pub close_delay_days: u32,
    /// What is owed below it is carried to the next payout.
    pub minimum_payout: Money,
    /// Crossings before it were settled elsewhere.
    #[serde(deserialize_with = "empty_is_none")]
    pub first_month: Option<Month>,
    /// What an applicant may say it is.
    pub partner_types: Vec<String>,
    /// Commissions, ascending.
    pub tiers: Vec<Tier>,
}

/// What holds a referral for review.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holds {
    /// A signup sooner after its click is held, in seconds; 0: none.
    pub min_seconds_to_signup: u32,
    /// More signups of an affiliate within an hour are held; 0: none.
    pub burst_per_hour: u32,
}

/// What types of events are called.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// Types that are kept without effect; `*` stands for any letters.
    pub ignore: Vec<String>,
    /// Further names of the four types.
    pub aliases: BTreeMap<String, EventType>,
}

/// The visitor cookie.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cookie {
    /// Its name.
    pub name: String,
    /// The domain it is for; empty: the tracking host alone.
    pub domain: String,
    /// Who sets it.
    pub mode: CookieMode,
}

/// Who sets the visitor cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CookieMode {
    /// The redirect.
    Always,
    /// counterfoil.js, after the visitor's consent.
    OnConsent,
    /// Nobody, and none is read.
    Never,
}

impl CookieMode {
    /// The stable name.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::OnConsent => "on_consent",
            Self::Never => "never",
        }
    }
}

/// Limits of requests and connections.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Clicks a minute from one address; 0: no limit.
    pub clicks_per_minute_per_ip: u32,
    /// Milliseconds for which a request waits for its fact to be applied.
    pub apply_ms: u64,
    /// Connections open at once on the public listener.
    pub connections: usize,
    /// The same on the internal one.
    pub internal_connections: usize,
    /// Bytes of a request's line and headers.
    pub header_bytes: usize,
    /// Headers of a request.
    pub headers: usize,
    /// Bytes of a request's target.
    pub uri_bytes: usize,
    /// MiB that large headers may take on each listener.
    pub header_memory_mib: usize,
    /// Seconds for a request's headers.
    pub header_seconds: u64,
    /// Seconds for which a reader may hold up an answer.
    pub slow_reader_seconds: u64,
    /// Seconds for which a connection may stay open without a request.
    pub keep_alive_seconds: u64,
    /// Milliseconds after the signal to stop in which kept connections are still answered.
    pub drain_linger_ms: u64,
    /// Seconds after the signal to stop in which requests must end.
    pub drain_seconds: u64,
}

/// The nightly run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aggregate {
    /// When it starts, local to the program; `None`: never by itself.
    #[serde(deserialize_with = "time_of_day")]
    pub at: Option<NaiveTime>,
}

/// Where the API's keys come from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Api {
    #[serde(default)]
    webhook_secrets: Vec<Secret>,
    webhook_secrets_file: Option<PathBuf>,
    keys: Vec<ApiKeySource>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApiKeySource {
    name: String,
    key: Option<Secret>,
    key_file: Option<PathBuf>,
    scopes: Vec<Scope>,
}

/// What a bearer key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everything.
    Admin,
    /// Signups and events.
    Callback,
    /// All that only reads.
    Read,
}

/// What people see of the program.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Portal {
    /// The program's name.
    pub program_name: String,
    /// The company behind it.
    pub company: String,
    /// Which agreement affiliates sign.
    pub agreement_version: String,
    #[serde(deserialize_with = "empty_is_none")]
    agreement_file: Option<PathBuf>,
    /// Where affiliates may write for help.
    #[serde(deserialize_with = "empty_is_none")]
    pub support_email: Option<String>,
}

impl Portal {
    /// Whether affiliates sign the sample.
    pub fn is_sample(&self) -> bool {
        self.agreement_file.is_none()
    }
    /// The agreement, its text read from its file if one is named.
    pub fn agreement(&self) -> Result<Agreement, ConfigError> {
        let Some(file) = &self.agreement_file else {
            return Ok(Agreement::new(&self.agreement_version, SAMPLE_AGREEMENT));
        };
        let wrong = |why: &str| {
            ConfigError(format!(
                "portal.agreement_file: {why} {}; name a text file in UTF-8 of at most 256 KiB",
                file.display()
            ))
        };
        let text = std::fs::read_to_string(file).map_err(|error| wrong(&format!("can't read ({error})")))?;
        let text = text.trim().replace("\r\n", "\n");
        match text.len() {
            0 => Err(wrong("there is no text in")),
            length if length > AGREEMENT_BYTES => Err(wrong("there is too much text in")),
            _ => Ok(Agreement::new(&self.agreement_version, text)),
        }
    }
}

/// The agreement where the configuration names none.
const SAMPLE_AGREEMENT: &str = include_str!("../../config/agreement.txt");
const AGREEMENT_BYTES: usize = 256 << 10;

/// The pages.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pages {
    /// The internal listener has pages for staff.
    pub staff: bool,
    /// Templates that replace those compiled in.
    #[serde(deserialize_with = "empty_is_none")]
    pub templates: Option<PathBuf>,
}

/// Logs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// For whom.
    pub format: LogFormat,
    /// Which, as `tracing_subscriber`'s filter directives.
    pub level: String,
}

/// For whom logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// People.
    Text,
    /// Machines.
    Json,
}

impl Config {
    /// Reads the file and this process's environment over the defaults, and checks the whole.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::from_layers(file, environment)
    }
    /// What statements of open months are computed by.
    pub fn rules(&self) -> Rules {
        let program = &self.program;
        Rules {
            timezone: program.timezone.clone(),
            currency: program.currency.clone(),
            mark_days: program.mark_days,
            active_days: program.active_days,
            tiers: program.tiers.clone(),
            first_month: program.first_month,
        }
    }
    /// What signups are judged by.
    pub fn attribution_rules(&self) -> AttributionRules {
        AttributionRules {
            window_ms: i64::from(self.program.window_days) * 24 * 60 * 60 * 1000,
            model: self.program.model,
            min_seconds_to_signup: self.holds.min_seconds_to_signup,
            burst_per_hour: self.holds.burst_per_hour,
        }
    }
    /// Whether people elsewhere would sign our sample of an agreement.
    pub fn signs_the_sample(&self) -> bool {
        self.portal.is_sample() && !self.listen.is_on_loopback()
    }
    /// Which store, its URL read from its file if it is given so.
    pub fn store_url(&self) -> Result<StoreUrl, ConfigError> {
        let url = match (&self.store.url_file, &self.store.url) {
            (Some(file), _) => secrets::read_file("store.url_file", file)?,
            (None, Some(url)) => url.clone(),
            (None, None) => Secret::new("sqlite"),
        };
        check::store_url(&url, &self.data_dir)
    }
    /// The files that hold secrets, those of the data directory too.
    pub fn secret_files(&self) -> Vec<PathBuf> {
        let given = self.keys.given.values().filter_map(|given| match given {
            Given::File(file) => Some(file),
            Given::Here(_) => None,
        });
        let api_keys = self.api.keys.iter().filter_map(|key| key.key_file.as_ref());
        let others = [
            &self.store.url_file,
            &self.evidence.pepper_file,
            &self.api.webhook_secrets_file,
            &self.mail.password_file,
        ];
        let made =
            std::fs::read_dir(self.keys_dir()).into_iter().flatten().flatten().map(|entry| entry.path());
        given.chain(api_keys).chain(others.into_iter().flatten()).cloned().chain(made).collect()
    }
    /// Where secrets live that the configuration does not give.
    pub fn keys_dir(&self) -> PathBuf {
        self.data_dir.join("keys")
    }
}

impl Limits {
    /// What a listener with at most so many connections enforces.
    pub fn for_listener(&self, connections: usize) -> crate::server::Limits {
        crate::server::Limits {
            connections,
            header_bytes: self.header_bytes,
            headers: self.headers,
            uri_bytes: self.uri_bytes,
            large_heads: (self.header_memory_mib << 20) / self.header_bytes,
            header_timeout: Duration::from_secs(self.header_seconds),
            keep_alive_timeout: Duration::from_secs(self.keep_alive_seconds),
            slow_reader_timeout: Duration::from_secs(self.slow_reader_seconds),
            drain_linger: Duration::from_millis(self.drain_linger_ms),
            drain_timeout: Duration::from_secs(self.drain_seconds),
        }
    }
}

/// A text that must parse.
fn parsed<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
}

/// `""` is nothing; anything else must parse.
fn empty_is_none<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let text = String::deserialize(from)?;
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(serde::de::Error::custom) }
}

/// `04:15`, or `""` for never.
fn time_of_day<'de, D: Deserializer<'de>>(from: D) -> Result<Option<NaiveTime>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() {
        return Ok(None);
    }
    NaiveTime::parse_from_str(&text, "%H:%M")
        .map(Some)
        .map_err(|_| serde::de::Error::custom("expected a time of day like \"04:15\", or \"\" for never"))
}

impl<'de> Deserialize<'de> for KeySources {
    /// `current`, `retired`, and for any id `k1` to `k255` either `k1` or `k1_file`.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let mut table = BTreeMap::<String, toml::Value>::deserialize(from)?;
        let text = |name: &str, value: toml::Value| match value {
            toml::Value::String(text) => Ok(text),
            _ => Err(D::Error::custom(format!("{name} must be a text"))),
        };
        let current = table.remove("current").ok_or_else(|| D::Error::missing_field("current"))?;
        let retired = match table.remove("retired") {
            None => Vec::new(),
            Some(value) => value
                .try_into::<Vec<String>>()
                .map_err(|_| D::Error::custom("retired must be a list of key ids like [\"k1\"]"))?,
        };
        let current = text("current", current)?;
        if let Some(id) = retired.iter().chain([&current]).find(|id| !is_key_id(id)) {
            return Err(D::Error::custom(format!("`{id}` is not a key id; ids are k1 to k255")));
        }
        let mut given = BTreeMap::new();
        for (name, value) in table {
            let id = name.strip_suffix("_file").unwrap_or(&name);
            if !is_key_id(id) {
                return Err(D::Error::custom(format!(
                    "unknown key `{name}`; signing keys are named k1 to k255, or k1_file"
                )));
            }
            let value = text(&name, value)?;
            let is_file = name.ends_with("_file");
            let source = if is_file { Given::File(value.into()) } else { Given::Here(Secret::new(value)) };
            given.insert(id.to_owned(), source);
        }
        Ok(Self { current, retired, given })
    }
}

/// `k1` to `k255`: a closed pattern, so that a misspelt key of the table is not taken for a key's id.
fn is_key_id(id: &str) -> bool {
    id.strip_prefix('k')
        .filter(|digits| !digits.starts_with(['0', '+']))
        .is_some_and(|digits| digits.parse::<u8>().is_ok())
}
