//! Whether the store answers, keeps what it is given, and is set up well.

use super::Result;
use async_trait::async_trait;
use serde::Serialize;
use std::collections::BTreeMap;

/// Whether the store is as it should be.
#[async_trait]
pub trait Health: Send + Sync {
    /// Whether it answers at all.
    async fn ping(&self) -> Result<()>;
    /// Whether it keeps what it is given.
    async fn keeping(&self) -> Result<Keeping>;
    /// What an operator should know of it.
    async fn inspect(&self) -> Vec<Finding>;
}

/// Whether a store keeps what it is given; by default it does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keeping {
    /// Why it may forget; `None`: it does not.
    pub may_forget: Option<String>,
    /// How many keys each of its servers has evicted, by the name of the server's run: a server that is started again
    /// counts from zero. One that evicted none is not named.
    pub evicted: BTreeMap<String, u64>,
}

/// What `doctor` and `/readyz` want to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found and, if it is not as it should be, how to correct it.
    pub text: String,
}
