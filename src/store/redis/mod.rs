//! The store in Redis 7, Valkey, or a Redis Cluster, shared by many nodes.
//!
//! What must change together is changed by one Lua script in one slot: every check comes before the first
//! write, because Redis rolls nothing back. A script without a header may be stopped half way when memory is
//! full; ours have one.
//!
//! `address` reads the servers' addresses, `client` finds the server of a partition, `lane` talks to it
//! without long waits, `keys` makes the keys. The other modules are the store's calls.

use super::{Result, StoreSettings};

mod address;
mod clicks;
mod client;
mod documents;
mod health;
mod keys;
mod lane;
mod nodes;
mod reply;
mod script;
mod streams;

/// A store in Redis; see the module.
#[derive(Debug)]
pub struct RedisStore {
    client: client::Client,
}

impl RedisStore {
    /// Reads the address; connects when it is first used, so that the server starts even while Redis is down.
    pub fn connect(url: &str, settings: &StoreSettings) -> Result<Self> {
        let address = address::Address::parse(url)?;
        // An error means that the program has chosen a provider before, which is fine too.
        rustls::crypto::ring::default_provider().install_default().ok();
        Ok(Self { client: client::Client::new(address, settings.timeout)? })
    }
}
