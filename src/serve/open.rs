//! What is opened before anything runs: secrets, the journal with the data directory's lock, the store.

use super::ServeError;
use crate::app::Settings;
use crate::config::{Config, ConfigError, Secrets, StoreUrl};
use crate::domain::destination::AllowList;
use crate::domain::event_types::EventTypes;
use crate::domain::pepper::Pepper;
use crate::domain::program::hex;
use crate::domain::token::Keyring;
use crate::journal::Journal;
use crate::store::sqlite::SqliteStore;
use crate::store::{self, Store, StoreSettings};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;

/// What all parts of a node share before it serves.
#[derive(Debug)]
pub struct Resources {
    /// The node's secrets.
    pub secrets: Secrets,
    /// Signs and verifies tokens.
    pub keyring: Arc<Keyring>,
    /// The configuration, and what the start derived from it.
    pub settings: Settings,
    /// Where derived data is kept.
    pub store: Arc<dyn Store>,
}

impl Resources {
    /// Reads secrets, locks the data directory by opening its journal, opens the store.
    pub(super) fn open(config: &Config) -> Result<(Self, Journal), ServeError> {
        // Before the journal, since secrets are created only for a data directory without history.
        let secrets = Secrets::open(config)?;
        crate::private::tighten(&config.data_dir);
        let journal = Journal::open(&config.data_dir, &journal_settings(config))?;
        for torn in journal.torn_tails() {
            tracing::warn!(
                ?torn,
                "the last record was written only in part and was never acknowledged; it was cut off"
            );
        }
        Ok((Self::without_journal(config, secrets)?, journal))
    }
    /// Opens everything except the journal, to replay the journals of other directories.
    pub fn without_journal(config: &Config, secrets: Secrets) -> Result<Self, ServeError> {
        let keyring = Arc::new(keyring(&secrets)?);
        let settings = settings(config, &secrets)?;
        Ok(Self { secrets, keyring, settings, store: open_store(config)? })
    }
}

/// Opens the configured store.
fn open_store(config: &Config) -> Result<Arc<dyn Store>, ServeError> {
    let settings = StoreSettings { timeout: Duration::from_millis(config.store.timeout_ms) };
    Ok(match config.store_url()? {
        StoreUrl::Sqlite(file) => Arc::new(SqliteStore::open(&file)?),
        StoreUrl::Redis(url) => store::open(url.expose(), &config.data_dir, &settings)?,
    })
}

fn journal_settings(config: &Config) -> crate::journal::Settings {
    crate::journal::Settings {
        segment_bytes: config.journal.segment_mib << 20,
        click_backlog_bytes: config.journal.clicks_backlog_cap_mib << 20,
        click_flush_interval: Duration::from_millis(config.journal.clicks_sync_ms),
        ..crate::journal::Settings::default()
    }
}

fn keyring(secrets: &Secrets) -> Result<Keyring, ConfigError> {
    let keys: Vec<(String, Vec<u8>)> =
        secrets.signing.iter().map(|(id, key)| (id.clone(), key.expose().to_vec())).collect();
    Keyring::new(&secrets.current, &keys, &secrets.retired)
        .map_err(|error| ConfigError(format!("keys: failed to {error}")))
}

fn settings(config: &Config, secrets: &Secrets) -> Result<Settings, ConfigError> {
    let pepper = Pepper::new(secrets.pepper.expose())
        .map_err(|error| ConfigError(format!("evidence.pepper: failed to {error}")))?;
    let digest = |key: &[u8]| {
        let digest = Sha256::new().chain_update(b"counterfoil key digest").chain_update(key).finalize();
        hex(&digest[..16])
    };
    let pepper_digest = ("pepper".to_owned(), digest(secrets.pepper.expose()));
    let signing = secrets.signing.iter().map(|(id, key)| (id.clone(), digest(key.expose())));
    Ok(Settings {
        rules: Arc::new(config.rules()),
        attribution: config.attribution_rules(),
        destinations: allow_list(config)?,
        event_types: EventTypes::new(&config.events.aliases, &config.events.ignore),
        agreement: config.portal.agreement()?,
        key_digests: signing.chain([pepper_digest]).collect(),
        pepper: Arc::new(pepper),
        embedded: matches!(config.store_url()?, StoreUrl::Sqlite(_)),
        mail_route: config.mail_route()?,
        apply_patience: Duration::from_millis(config.limits.apply_ms),
        config: Arc::new(config.clone()),
    })
}

fn allow_list(config: &Config) -> Result<AllowList, ConfigError> {
    AllowList::new(&config.program.destinations)
        .map_err(|error| ConfigError(format!("program.destinations: failed to {error}")))
}
