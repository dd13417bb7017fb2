//! The proof that nothing was changed: verifies the journal's chain of hashes, and compares each closed statement
//! with it.

use super::layout::{affiliate_partition, statement_key};
use super::work::load_one;
use super::{App, StatementDoc};
use crate::domain::calendar::Month;
use crate::domain::fact::{self, Fact, Record};
use crate::domain::id::AffiliateId;
use crate::domain::statement::{Statement, verify_hash};
use crate::journal::JournalError;
use crate::store::{Log, StoreError};
use serde::Serialize;
use std::collections::HashSet;
use std::time::Duration;

/// Records read at once.
const RECORDS_AT_ONCE: usize = 4_096;
const BYTES_AT_ONCE: usize = 8 << 20;

/// How long to wait for the store, if it has not applied all facts yet.
const REPLAY_PATIENCE: Duration = Duration::from_secs(5);

/// The result of a proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Proof {
    /// Whether nothing has changed since it was written.
    pub untouched: bool,
    /// This node.
    #[schema(value_type = String)]
    pub node: crate::domain::id::NodeId,
    /// Facts in its journal.
    pub facts: u64,
    /// The chain hash of its last fact, hex. Kept somewhere else, it later proves that no earlier fact was
    /// changed.
    pub facts_head: String,
    /// Clicks in its journal.
    pub clicks: u64,
    /// The chain hash of its last click, hex.
    pub clicks_head: String,
    /// Closed statements that this node's journal holds; each was compared with the store.
    pub statements: u64,
    /// What differs from what was written, one sentence each.
    pub damage: Vec<String>,
}

/// Why a proof could not be made.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The journal can't be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The store does not have all facts of this node yet, so it can't have all statements.
    #[error("compare statements while this node's facts are not all in the store")]
    NotReplayed,
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl App {
    /// Proves that this node's journal, and the closed statements in it, are as they were written.
    pub async fn verify(&self) -> Result<Proof, VerifyError> {
        let mut proof = Proof {
            untouched: true,
            node: self.node,
            facts: 0,
            facts_head: String::new(),
            clicks: 0,
            clicks_head: String::new(),
            statements: 0,
            damage: Vec::new(),
        };
        self.verify_journal(&mut proof).await?;
        if proof.damage.is_empty() {
            self.wait_until_replayed().await?;
            self.verify_statements(&mut proof).await?;
        }
        proof.untouched = proof.damage.is_empty();
        Ok(proof)
    }

    /// A store that is being refilled lacks statements without being damaged.
    async fn wait_until_replayed(&self) -> Result<(), VerifyError> {
        match tokio::time::timeout(REPLAY_PATIENCE, self.wait_until_drained()).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(VerifyError::NotReplayed),
        }
    }

    async fn verify_journal(&self, proof: &mut Proof) -> Result<(), VerifyError> {
        let dir = self.config().data_dir.clone();
        // Hashing gigabytes takes seconds, so this does not run on a thread that serves requests.
        let report = tokio::task::spawn_blocking(move || crate::journal::verify(&dir)).await;
        // The task does not panic and is not canceled.
        let report = report.expect("verification ends")?;
        proof.damage.extend(report.all_damage().map(ToString::to_string));
        for log in report.logs {
            match log.log {
                Log::Facts => (proof.facts, proof.facts_head) = (log.records, log.head),
                Log::Clicks => (proof.clicks, proof.clicks_head) = (log.records, log.head),
            }
        }
        Ok(())
    }

    async fn verify_statements(&self, proof: &mut Proof) -> Result<(), VerifyError> {
        let mut reader = self.journal.reader(Log::Facts, 0, true)?;
        let end = self.journal.facts().last_position();
        let mut closed: Vec<(u64, Closed)> = Vec::new();
        let mut voided = HashSet::new();
        let mut unreadable: Vec<(u64, String)> = Vec::new();
        loop {
            let batch = reader.next_batch(RECORDS_AT_ONCE, BYTES_AT_ONCE, end)?;
            if batch.last().is_none() {
                break;
            }
            // A long journal takes seconds to read, so other tasks get a turn in between.
            tokio::task::yield_now().await;
            for (cursor, payload) in batch.iter() {
                match serde_json::from_slice::<Record>(payload).map(|record| record.fact) {
                    Ok(Fact::StatementClosed(fact::StatementClosed { statement, .. })) => {
                        if !verify_hash(&statement) {
                            let Statement { affiliate_id, month, .. } = statement;
                            proof.damage.push(format!(
                                "the closed statement of {affiliate_id} for {month} does not have its hash"
                            ));
                        }
                        closed.push((cursor.position, Closed::of(statement)));
                    }
                    // Facts set aside have no effect, and are shown elsewhere.
                    Ok(Fact::SetAside(fact::SetAside { node, position, .. })) if node == self.node => {
                        voided.insert(position);
                    }
                    Ok(Fact::Void(fact::Void { position, .. })) => drop(voided.insert(position)),
                    Ok(_) => {}
                    Err(error) => unreadable.push((cursor.position, error.to_string())),
                }
            }
        }
        closed.retain(|(position, _)| !voided.contains(position));
        unreadable.retain(|(position, _)| !voided.contains(position));
        let unreadable = unreadable.iter();
        proof.damage.extend(
            unreadable
                .map(|(position, error)| format!("the fact at position {position} can't be read: {error}")),
        );
        for (_, statement) in closed {
            proof.statements += 1;
            self.verify_statement(&statement, proof).await?;
        }
        Ok(())
    }

    async fn verify_statement(&self, closed: &Closed, proof: &mut Proof) -> Result<(), VerifyError> {
        let Closed { affiliate, month, hash } = closed;
        let key = statement_key(*affiliate, *month);
        let partition = affiliate_partition(*affiliate, self.store.partitions());
        let kept = load_one(self.store.as_ref(), partition, &key).await?;
        let is_same = |kept: StatementDoc| {
            kept.is_closed() && kept.statement.hash == *hash && verify_hash(&kept.statement)
        };
        if !kept.is_some_and(is_same) {
            proof.damage.push(format!(
                "the store does not have the statement of {affiliate} for {month} as it was closed; rebuild the store from the journals"
            ));
        }
        Ok(())
    }
}

/// What is kept of a closed statement until it is compared: the hash covers the rest.
struct Closed {
    affiliate: AffiliateId,
    month: Month,
    hash: String,
}

impl Closed {
    fn of(statement: Statement) -> Self {
        Self { affiliate: statement.affiliate_id, month: statement.month, hash: statement.hash }
    }
}
