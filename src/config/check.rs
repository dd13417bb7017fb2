//! The rules of the configuration that types can't express, each with a sentence that says what is wrong and
//! how to correct it.

use super::currency;
use super::{Config, ConfigError, Given, StoreUrl};
use crate::domain::calendar::Zone;
use crate::domain::destination::{AllowList, BadHost, DestinationError};
use crate::domain::email::read_email;
use crate::domain::event_types::{built_in, fold};
use crate::domain::money::Money;
use crate::domain::program::HIGHEST_RATE_CENTS;
use crate::secret::Secret;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::Path;

type Checked = Result<(), ConfigError>;

fn wrong<T>(key: &str, mend: impl Display) -> Result<T, ConfigError> {
    Err(ConfigError(format!("{key}: {mend}")))
}

fn within<T: PartialOrd + Display>(key: &str, value: &T, range: &RangeInclusive<T>) -> Checked {
    if range.contains(value) {
        return Ok(());
    }
    wrong(key, format!("{value} is out of range; set it from {} to {}", range.start(), range.end()))
}

/// All rules, in the order of the reference.
pub(super) fn all(config: &Config) -> Checked {
    if config.data_dir.as_os_str().is_empty() {
        return wrong("data_dir", "is empty; name a directory");
    }
    listen(config)?;
    config.store_url_shape()?;
    within("store.timeout_ms", &config.store.timeout_ms, &(10..=60_000))?;
    within("journal.segment_mib", &config.journal.segment_mib, &(1..=4096))?;
    within("journal.clicks_backlog_cap_mib", &config.journal.clicks_backlog_cap_mib, &(1..=1_048_576))?;
    within("journal.clicks_sync_ms", &config.journal.clicks_sync_ms, &(1..=60_000))?;
    keys(config)?;
    program(config)?;
    tiers(config)?;
    events(config)?;
    cookie(config)?;
    limits(config)?;
    api(config)?;
    portal(config)?;
    super::mail::check(config)?;
    super::payouts::check(config)?;
    if tracing_subscriber::EnvFilter::builder().parse(&config.log.level).is_err() {
        return wrong(
            "log.level",
            "is not a filter; write a level like \"info\", or \"info,counterfoil::store=debug\"",
        );
    }
    Ok(())
}

impl Config {
    /// Whether the store's URL has a known form; a URL in a file is checked when it is read.
    fn store_url_shape(&self) -> Checked {
        match &self.store.url {
            Some(url) => store_url(url, &self.data_dir).map(drop),
            None => Ok(()),
        }
    }
}

fn listen(config: &Config) -> Checked {
    let listen = &config.listen;
    if listen.public == listen.internal && listen.public.port() != 0 {
        return wrong("listen.internal", "is the same address as listen.public; give each its own port");
    }
    if let Some(url) = &listen.staff_url {
        base_url("listen.staff_url", url)?;
    }
    let is_encrypted = listen.staff_url.as_ref().is_some_and(|url| url.scheme() == "https");
    if config.pages.staff && !listen.internal.ip().is_loopback() && !is_encrypted {
        return wrong(
            "listen.staff_url",
            "is not https://, and listen.internal is open to a network: staff's passwords would travel in clear; \
             name the address of a proxy that ends TLS, or set pages.staff = false",
        );
    }
    base_url("listen.public_url", &listen.public_url)
}

/// The public address of one of the listeners.
fn base_url(key: &str, url: &url::Url) -> Checked {
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return wrong(key, "has more than scheme, host and port; remove what follows");
    }
    let loopback = match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => return wrong(key, "has no host; write it like https://go.example.com"),
    };
    match url.scheme() {
        "https" => Ok(()),
        "http" if loopback => Ok(()),
        _ => wrong(key, "must start with https:// (http:// is for loopback addresses only)"),
    }
}

/// The forms that `store.url` may have.
pub(super) fn store_url(url: &Secret, data_dir: &Path) -> Result<StoreUrl, ConfigError> {
    let text = url.expose();
    if text == "sqlite" {
        return Ok(StoreUrl::Sqlite(data_dir.join("store.sqlite")));
    }
    if let Some(file) = text.strip_prefix("sqlite:").map(|path| path.strip_prefix("//").unwrap_or(path))
        && !file.is_empty()
    {
        return Ok(StoreUrl::Sqlite(file.into()));
    }
    let node_is_good = |node: &str| url::Url::parse(node).is_ok_and(|url| url.host().is_some());
    for (prefix, scheme) in [("redis-cluster://", "redis"), ("rediss-cluster://", "rediss")] {
        if let Some(rest) = text.strip_prefix(prefix) {
            let (login, hosts) =
                rest.rsplit_once('@').map_or((None, rest), |(login, hosts)| (Some(login), hosts));
            let login = login.map(|login| format!("{login}@")).unwrap_or_default();
            if hosts.split(',').all(|host| node_is_good(&format!("{scheme}://{login}{}", host.trim()))) {
                return Ok(StoreUrl::Redis(url.clone()));
            }
        }
    }
    if (text.starts_with("redis://") || text.starts_with("rediss://")) && node_is_good(text) {
        return Ok(StoreUrl::Redis(url.clone()));
    }
    // The URL itself is not shown: it may hold a password.
    wrong(
        "store.url",
        "is not a store; write \"sqlite\", redis://host:port or redis-cluster://host:port,host:port",
    )
}

fn portal(config: &Config) -> Checked {
    let portal = &config.portal;
    let texts = [
        ("portal.program_name", &portal.program_name, 200),
        ("portal.company", &portal.company, 200),
        ("portal.agreement_version", &portal.agreement_version, 40),
    ];
    for (key, text, most) in texts {
        let fits = (1..=most).contains(&text.trim().chars().count()) && !text.contains(char::is_control);
        if !fits {
            return wrong(key, format!("must be 1 to {most} characters on one line"));
        }
    }
    match &portal.support_email {
        Some(address) if read_email(address, 254).is_none() => wrong(
            "portal.support_email",
            "is not an e-mail address; write one like help@example.com, or \"\"",
        ),
        _ => Ok(()),
    }
}

fn keys(config: &Config) -> Checked {
    let keys = &config.keys;
    let current = &keys.current;
    if keys.retired.contains(current) {
        return wrong(
            "keys.retired",
            format!("{current} is the current key; set keys.current to another first"),
        );
    }
    if !keys.given.is_empty() && !keys.given.contains_key(current) {
        return wrong(
            "keys.current",
            format!("{current} is not given; add keys.{current}_file, or name another"),
        );
    }
    for (id, given) in &keys.given {
        if let Given::Here(key) = given {
            super::secrets::key_bytes(&format!("keys.{id}"), key)?;
        }
    }
    if let Some(pepper) = &config.evidence.pepper {
        super::secrets::key_bytes("evidence.pepper", pepper)?;
    }
    Ok(())
}

fn program(config: &Config) -> Checked {
    let program = &config.program;
    if program.timezone.parse::<Zone>().is_err() {
        return wrong(
            "program.timezone",
            format!(
                "`{}` is not a known zone; write an IANA name like America/New_York",
                one_word(&program.timezone)
            ),
        );
    }
    if !currency::has_two_places(&program.currency) {
        return wrong(
            "program.currency",
            format!(
                "`{}` is not a currency with two decimal places; write an ISO 4217 code like USD",
                one_word(&program.currency)
            ),
        );
    }
    if program.destinations.is_empty() {
        return wrong("program.destinations", "is empty; list the hosts that links may lead to");
    }
    let allowed = match AllowList::new(&program.destinations) {
        Ok(allowed) => allowed,
        Err(BadHost(host)) => {
            let text = format!("`{}` is not a host; write it like www.example.com", one_word(&host));
            return wrong("program.destinations", text);
        }
    };
    let landing = program.landing.as_str();
    match allowed.destination(landing) {
        Ok(_) => {}
        Err(DestinationError::Host) => {
            let text =
                "is not on a host of program.destinations; add the host there (with its port, if it has one)";
            return wrong("program.landing", text);
        }
        Err(_) => {
            let text = "must be a plain https:// URL without a user (http:// is for loopback addresses only)";
            return wrong("program.landing", text);
        }
    }
    within("program.window_days", &program.window_days, &(1..=3650))?;
    within("program.mark_days", &program.mark_days, &(1..=3650))?;
    within("program.close_delay_days", &program.close_delay_days, &(0..=28))?;
    if program.minimum_payout < Money::ZERO {
        return wrong("program.minimum_payout", "is below zero; write an amount like \"25.00\"");
    }
    match program
        .partner_types
        .iter()
        .find(|kind| kind.is_empty() || kind.len() > 64 || kind.chars().any(char::is_control))
    {
        Some(_) => wrong("program.partner_types", "each must have 1 to 64 printable characters"),
        None => Ok(()),
    }
}

fn tiers(config: &Config) -> Checked {
    let tiers = &config.program.tiers;
    if tiers.first().is_none_or(|tier| tier.from != 0) {
        return wrong("program.tiers", "the first must be from = 0; add one, or put it first");
    }
    if let Some(pair) = tiers.windows(2).find(|pair| pair[0].from >= pair[1].from) {
        return wrong(
            "program.tiers",
            format!("from = {} follows from = {}; put them in ascending order", pair[1].from, pair[0].from),
        );
    }
    let highest = Money::from_cents(HIGHEST_RATE_CENTS);
    for tier in tiers {
        for (plan, rate) in &tier.rates {
            within(
                &format!("program.tiers: the rate of {plan} from {}", tier.from),
                rate,
                &(Money::ZERO..=highest),
            )?;
        }
    }
    for pair in tiers.windows(2) {
        if let Some(plan) = pair[0].rates.keys().find(|plan| !pair[1].rates.contains_key(*plan)) {
            let text = format!(
                "the tier from {} has a rate for {plan} and the one from {} has none, so that more accounts \
                 would earn nothing; add it there",
                pair[0].from, pair[1].from
            );
            return wrong("program.tiers", text);
        }
    }
    Ok(())
}

fn events(config: &Config) -> Checked {
    let is_name = |name: &str| (1..=64).contains(&name.trim().len()) && !name.contains(char::is_control);
    if !config.events.ignore.iter().all(|pattern| is_name(pattern)) {
        return wrong("events.ignore", "each must have 1 to 64 printable characters, like \"invoice.*\"");
    }
    if !config.events.aliases.keys().all(|name| is_name(name)) {
        return wrong("events.aliases", "each name must have 1 to 64 printable characters");
    }
    let mut names = std::collections::BTreeSet::new();
    if let Some(name) = config.events.aliases.keys().find(|name| !names.insert(fold(name))) {
        return wrong("events.aliases", format!("`{}` is listed twice; remove one", one_word(name)));
    }
    match config.events.aliases.keys().find(|name| built_in(name).is_some()) {
        Some(name) => {
            wrong("events.aliases", format!("`{}` has a meaning already; remove it", one_word(name)))
        }
        None => Ok(()),
    }
}

fn cookie(config: &Config) -> Checked {
    let cookie = &config.cookie;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if cookie.name.is_empty() || cookie.name.len() > 64 || !cookie.name.bytes().all(is_token) {
        return wrong("cookie.name", "must be 1 to 64 letters, digits or any of -_.");
    }
    if cookie.name.starts_with("__") {
        return wrong(
            "cookie.name",
            "must not start with two underscores: browsers give such names a meaning",
        );
    }
    let domain = cookie.domain.trim_start_matches('.');
    if domain.is_empty() {
        return Ok(());
    }
    // Browsers drop a cookie for a domain under which anyone may register a name.
    let (unicode, _) = idna::domain_to_unicode(domain);
    if psl::suffix_str(&unicode) == Some(unicode.as_str()) {
        return wrong(
            "cookie.domain",
            format!(
                "`{}` is a public suffix, under which others have names too, so browsers would drop the cookie; \
                 write your own domain, like example.{}",
                one_word(domain),
                one_word(domain)
            ),
        );
    }
    let host = config.listen.public_url.host_str().unwrap_or_default();
    if host != domain && !host.ends_with(&format!(".{domain}")) {
        return wrong(
            "cookie.domain",
            format!(
                "the host of listen.public_url, {host}, is not under it, so browsers would drop the cookie"
            ),
        );
    }
    Ok(())
}

fn limits(config: &Config) -> Checked {
    let limits = &config.limits;
    within("limits.apply_ms", &limits.apply_ms, &(50..=60_000))?;
    within("limits.connections", &limits.connections, &(1..=1_000_000))?;
    within("limits.internal_connections", &limits.internal_connections, &(1..=1_000_000))?;
    within("limits.header_bytes", &limits.header_bytes, &(8_192..=65_536))?;
    within("limits.headers", &limits.headers, &(8..=100))?;
    within("limits.uri_bytes", &limits.uri_bytes, &(256..=limits.header_bytes))?;
    within("limits.header_memory_mib", &limits.header_memory_mib, &(1..=65_536))?;
    within("limits.header_seconds", &limits.header_seconds, &(1..=300))?;
    within("limits.slow_reader_seconds", &limits.slow_reader_seconds, &(1..=300))?;
    within("limits.keep_alive_seconds", &limits.keep_alive_seconds, &(1..=3600))?;
    within("limits.drain_linger_ms", &limits.drain_linger_ms, &(0..=10_000))?;
    within("limits.drain_seconds", &limits.drain_seconds, &(1..=300))
}

fn api(config: &Config) -> Checked {
    for secret in &config.api.webhook_secrets {
        super::secrets::webhook_secret("api.webhook_secrets", secret)?;
    }
    let mut names = std::collections::BTreeSet::new();
    for key in &config.api.keys {
        let name = &key.name;
        if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
            return wrong("api.keys", "each needs a name of 1 to 64 printable characters");
        }
        if name == super::LOCAL_KEY_NAME || !names.insert(name) {
            return wrong("api.keys", format!("the name `{name}` is taken; give each key its own"));
        }
        match (&key.key, &key.key_file) {
            (Some(secret), None) => super::secrets::api_key(name, secret)?,
            (None, Some(_)) => {}
            _ => return wrong("api.keys", format!("`{name}` needs either key or key_file")),
        }
        if key.scopes.is_empty() {
            return wrong("api.keys", format!("`{name}` has no scopes; give it admin, callback or read"));
        }
    }
    Ok(())
}

/// A wrong value in a form that may be shown: one line, not long.
fn one_word(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(64).collect()
}
