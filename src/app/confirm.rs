//! After the store was emptied, a person confirms that all nodes are present; this is checked.

use super::App;
use super::node::{WATCH, is_in};
use crate::domain::id::NodeId;
use crate::store::{Cursor, Log, NodeState, StoreError, StoreMeta};
use std::time::{Duration, Instant};

/// How long to wait for the nodes' journals. If they take longer, the person confirms again.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);

/// Why the store was not confirmed.
#[derive(Debug, thiserror::Error)]
pub enum ConfirmError {
    /// Some journals are not in the store yet.
    #[error("confirm the store: {}", .0.join("; "))]
    NotAllIn(Vec<String>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A node whose journals are not in the store yet.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Behind {
    node: NodeId,
    facts: Cursor,
    clicks: Cursor,
    /// It lacks only facts that wait for facts of other nodes.
    waits: bool,
    text: String,
}

impl App {
    /// A person confirms that all nodes are present. Waits until their journals, facts and clicks, are in the
    /// store, so that nothing is decided without them.
    pub async fn confirm_store(&self) -> Result<(), ConfirmError> {
        if !self.is_recovering().await? {
            return Ok(());
        }
        // Every running node reports itself to the emptied store meanwhile.
        tokio::time::sleep(WATCH).await;
        let begun = Instant::now();
        let (mut before, mut since) = (None, begun);
        loop {
            let behind = self.behind().await?;
            if before.as_ref() != Some(&behind) {
                (before, since) = (Some(behind.clone()), Instant::now());
            }
            // If facts only wait for one another, and no node has any others left, the person's confirmation is
            // enough.
            let all_wait = behind.iter().all(|node| node.waits) && since.elapsed() > WATCH;
            let missing = self.missing_nodes().await?;
            if missing.is_empty() && (behind.is_empty() || all_wait) && self.end_recovery().await? {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                let behind = behind.into_iter().map(|node| node.text);
                return Err(ConfirmError::NotAllIn(missing.into_iter().chain(behind).collect()));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// False: the store was emptied just now, and no node has noticed it yet.
    async fn end_recovery(&self) -> Result<bool, StoreError> {
        let Some(meta) = self.store.meta().await? else { return Ok(false) };
        if meta.recovering {
            self.store.set_meta(&StoreMeta { recovering: false, ..meta }).await?;
        }
        Ok(true)
    }

    /// Known nodes that have not checked the store since it was emptied.
    async fn missing_nodes(&self) -> Result<Vec<String>, StoreError> {
        let Some(meta) = self.store.meta().await? else { return Ok(Vec::new()) };
        let others = self.other_replays(&meta.life()).await?;
        let text = |node| {
            format!(
                "{node} has not come back since the store was emptied; start it, or forget a node that never comes back with \
                 `counterfoil node forget`"
            )
        };
        Ok(others.missing().map(text).collect())
    }

    async fn behind(&self) -> Result<Vec<Behind>, StoreError> {
        let mut behind = Vec::new();
        for node in self.store.nodes().await? {
            behind.extend(self.behind_of(&node).await?);
        }
        Ok(behind)
    }

    async fn behind_of(&self, state: &NodeState) -> Result<Option<Behind>, StoreError> {
        let node = state.node;
        let (facts, clicks) =
            (self.applied_of(node, Log::Facts).await?, self.applied_of(node, Log::Clicks).await?);
        let (facts_in, clicks_in) = (is_in(facts, state.facts), is_in(clicks, state.clicks));
        let text = format!(
            "{node} has replayed {} of {} facts and {} of {} clicks; wait for it, start it, or forget a node that never comes \
             back with `counterfoil node forget`",
            facts.position, state.facts.position, clicks.position, state.clicks.position
        );
        let waits = state.waits_for_others && clicks_in;
        Ok((!facts_in || !clicks_in).then_some(Behind { node, facts, clicks, waits, text }))
    }
}
