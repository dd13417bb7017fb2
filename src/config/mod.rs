//! The configuration: `config/default.toml` says what each key means; here are their types.
//!
//! A value of type [`Config`] has been checked: nothing else has to check again whether tiers ascend or the
//! time zone exists. Secrets are not in it but in [`Secrets`], which is read when the server starts.

mod check;
mod currency;
mod layers;
mod mail;
mod payouts;
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

pub use mail::MailConfig;
pub use payouts::Payouts;
pub use secrets::{ApiKey, LOCAL_KEY_NAME, Secrets};

/// What is wrong with the configuration, and how to correct it, in one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// The whole configuration, checked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the node keeps its journals, the embedded store and its keys.
    pub data_dir: PathBuf,
    /// The addresses of the listeners.
    pub listen: Listen,
    /// The shared store.
    pub store: StoreConfig,
    /// The node's journals.
    pub journal: JournalConfig,
    /// Where signing keys come from.
    pub keys: KeySources,
    /// Where the secret for the evidence's keyed hashes comes from.
    pub evidence: Evidence,
    /// The program's rules.
    pub program: Program,
    /// What holds a referral for review.
    pub holds: Holds,
    /// The names of event types.
    pub events: Events,
    /// The visitor cookie.
    pub cookie: Cookie,
    /// Limits of requests and connections.
    pub limits: Limits,
    /// The nightly run.
    pub aggregate: Aggregate,
    /// Payouts.
    pub payouts: Payouts,
    /// Where the API's keys come from.
    pub api: Api,
    /// What people see about the program.
    pub portal: Portal,
    /// The pages.
    pub pages: Pages,
    /// Mail to affiliates and staff.
    pub mail: MailConfig,
    /// Logs.
    pub log: Log,
}

/// The addresses of the listeners.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// For prospects, affiliates and applicants.
    pub public: SocketAddr,
    /// For callbacks, administration and metrics.
    pub internal: SocketAddr,
    /// The beginning of links, without a slash at the end.
    #[serde(deserialize_with = "parsed")]
    pub public_url: url::Url,
    /// How staff reach the internal listener; read it by [`Listen::staff_base`].
    #[serde(deserialize_with = "empty_is_none")]
    pub staff_url: Option<url::Url>,
    /// Proxies whose `X-Forwarded-For` header is trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether several processes may listen on the same addresses.
    pub reuse_port: bool,
}

impl Listen {
    /// The beginning of links, without a slash at the end.
    pub fn public_base(&self) -> &str {
        self.public_url.as_str().trim_end_matches('/')
    }
    /// The beginning of links for staff, without a slash at the end.
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
    /// Whether cookies must be `Secure`: always, except on plain http, which is only allowed on loopback.
    pub fn is_secure(&self) -> bool {
        self.public_url.scheme() == "https"
    }
}

/// The shared store.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// Its URL; read it by [`Config::store_url`].
    url: Option<Secret>,
    /// The file that holds its URL.
    url_file: Option<PathBuf>,
    /// Milliseconds after which a call counts as failed.
    pub timeout_ms: u64,
}

/// The store that is used.
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
    /// The size in MiB at which a new segment begins.
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

/// A secret in the configuration.
#[derive(Debug, Clone)]
enum Given {
    /// The secret itself.
    Here(Secret),
    /// The file that holds it.
    File(PathBuf),
}

/// Where the secret for the evidence's keyed hashes comes from.
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
    /// IANA name of the zone of days and months.
    pub timezone: String,
    /// ISO 4217 code.
    pub currency: String,
    /// Where links without a destination lead.
    #[serde(deserialize_with = "parsed")]
    pub landing: url::Url,
    /// Hosts that a link may lead to, in lower case.
    pub destinations: Vec<String>,
    /// How long a click can be credited, in days of 24 hours.
    pub window_days: u32,
    /// Which of several eligible clicks is credited.
    pub model: Model,
    /// Active days that an account needs to qualify.
    pub mark_days: u32,
    /// Whether active days add up over interruptions.
    pub active_days: ActiveDays,
    /// A month is closed this many calendar days after its end.
    pub close_delay_days: u32,
    /// A smaller sum is carried to the next payout.
    pub minimum_payout: Money,
    /// Qualifications before it were settled elsewhere.
    #[serde(deserialize_with = "empty_is_none")]
    pub first_month: Option<Month>,
    /// The types of partner that an applicant may choose from.
    pub partner_types: Vec<String>,
    /// Commissions, ascending.
    pub tiers: Vec<Tier>,
}

/// What holds a referral for review.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holds {
    /// A signup that follows its click in fewer seconds is held; 0: off.
    pub min_seconds_to_signup: u32,
    /// Signups of an affiliate beyond this number within an hour are held; 0: off.
    pub burst_per_hour: u32,
    /// A signup whose credited click came from a paid ad is held.
    pub paid_ads: bool,
}

/// The names of event types.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// Types that are kept without effect; `*` stands for any characters.
    pub ignore: Vec<String>,
    /// Further names of the four event types.
    pub aliases: BTreeMap<String, EventType>,
}

/// The visitor cookie.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cookie {
    /// Its name.
    pub name: String,
    /// The domain of the cookie; empty: only the tracking host.
    pub domain: String,
    /// What sets it.
    pub mode: CookieMode,
}

/// What sets the visitor cookie.
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
    /// Clicks per minute from one address; 0: no limit.
    pub clicks_per_minute_per_ip: u32,
    /// Milliseconds that a request waits for its fact to be applied.
    pub apply_ms: u64,
    /// Open connections on the public listener.
    pub connections: usize,
    /// Open connections on the internal listener.
    pub internal_connections: usize,
    /// Bytes of a request's first line and headers.
    pub header_bytes: usize,
    /// Number of headers of a request.
    pub headers: usize,
    /// Bytes of a request's target.
    pub uri_bytes: usize,
    /// MiB that large headers may use on each listener.
    pub header_memory_mib: usize,
    /// Seconds that a request's headers may take.
    pub header_seconds: u64,
    /// Seconds that a slow reader may delay an answer.
    pub slow_reader_seconds: u64,
    /// Seconds that a connection may stay open without a request.
    pub keep_alive_seconds: u64,
    /// Milliseconds after the signal to stop, during which kept connections are still answered.
    pub drain_linger_ms: u64,
    /// Seconds after the signal to stop, within which requests must end.
    pub drain_seconds: u64,
}

/// The nightly run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aggregate {
    /// When it starts, in the program's time; `None`: never by itself.
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
    /// May do everything.
    Admin,
    /// May report signups and events.
    Callback,
    /// May read everything.
    Read,
}

/// What people see about the program.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Portal {
    /// The program's name.
    pub program_name: String,
    /// The company behind it.
    pub company: String,
    /// The version of the agreement that affiliates sign.
    pub agreement_version: String,
    #[serde(deserialize_with = "empty_is_none")]
    agreement_file: Option<PathBuf>,
    /// Where affiliates may ask for help.
    #[serde(deserialize_with = "empty_is_none")]
    pub support_email: Option<String>,
}

impl Portal {
    /// Whether affiliates sign the sample agreement.
    pub fn is_sample(&self) -> bool {
        self.agreement_file.is_none()
    }
    /// The agreement; its text is read from the file if one is named.
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

/// The agreement that is used if the configuration names none.
const SAMPLE_AGREEMENT: &str = include_str!("../../config/agreement.txt");
const AGREEMENT_BYTES: usize = 256 << 10;

/// The pages.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pages {
    /// Whether the internal listener has pages for staff.
    pub staff: bool,
    /// Templates that replace the built-in ones.
    #[serde(deserialize_with = "empty_is_none")]
    pub templates: Option<PathBuf>,
}

/// Logs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The format.
    pub format: LogFormat,
    /// What is logged, as filter directives of `tracing_subscriber`.
    pub level: String,
}

/// The format of logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Config {
    /// Reads the file and this process's environment over the defaults, and checks the whole.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::from_layers(file, environment)
    }
    /// The rules that statements of open months are computed by.
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
    /// The rules that signups are judged by.
    pub fn attribution_rules(&self) -> AttributionRules {
        AttributionRules {
            window_ms: i64::from(self.program.window_days) * 24 * 60 * 60 * 1000,
            model: self.program.model,
            min_seconds_to_signup: self.holds.min_seconds_to_signup,
            burst_per_hour: self.holds.burst_per_hour,
            paid_ads: self.holds.paid_ads,
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
    /// The files that hold secrets, including those in the data directory.
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
            &self.payouts.paypal.client_secret_file,
        ];
        let made =
            std::fs::read_dir(self.keys_dir()).into_iter().flatten().flatten().map(|entry| entry.path());
        given.chain(api_keys).chain(others.into_iter().flatten()).cloned().chain(made).collect()
    }
    /// Where secrets are kept that the configuration does not give.
    pub fn keys_dir(&self) -> PathBuf {
        self.data_dir.join("keys")
    }
}

impl Limits {
    /// The limits of a listener with at most this many connections.
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

/// `""` means none; anything else must parse.
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

/// `k1` to `k255`: a closed pattern, so that a misspelled key of the table is not read as a key's id.
fn is_key_id(id: &str) -> bool {
    id.strip_prefix('k')
        .filter(|digits| !digits.starts_with(['0', '+']))
        .is_some_and(|digits| digits.parse::<u8>().is_ok())
}
