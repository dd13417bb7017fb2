//! What a run writes about open months; it is derived, and so not journaled.

use super::affiliate_work::AffiliateWork;
use super::make::Run;
use super::{AggregateError, WRITE_TRIES};
use crate::app::StatementDoc;
use crate::app::facts::{crossing_entries, statement_indexes};
use crate::app::layout::{FEED, affiliate_partition, statement_key};
use crate::domain::calendar::Month;
use crate::domain::statement::Statement;
use crate::store::{Append, Commit, Committed, Partition, Write};
use futures_util::future::try_join_all;
use std::collections::BTreeMap;

/// Bytes of documents in a commit before the next affiliate goes into another one, since a store has a time-out.
const COMMIT_BYTES: usize = 1 << 20;

type KeptStatements = BTreeMap<Month, (u64, StatementDoc)>;

impl Run<'_> {
    /// Writes what open months say so far, and the summaries that they say it from.
    pub(super) async fn write_projections(
        &self,
        batch: &[AffiliateWork],
        open: &[Vec<Statement>],
    ) -> std::result::Result<(), AggregateError> {
        let mut by_partition: BTreeMap<Partition, Vec<(&AffiliateWork, &[Statement])>> = BTreeMap::new();
        for (work, open) in batch.iter().zip(open) {
            let partition = affiliate_partition(work.affiliate.id, self.app.store.partitions());
            by_partition.entry(partition).or_default().push((work, open));
        }
        let writes = by_partition.iter().map(|(partition, all)| async {
            self.write_some(*partition, all).await?;
            self.write_summaries(*partition, all).await
        });
        try_join_all(writes).await?;
        Ok(())
    }

    /// Writes the projections of one partition together, as much as a store accepts at once.
    async fn write_some(
        &self,
        partition: Partition,
        all: &[(&AffiliateWork, &[Statement])],
    ) -> std::result::Result<(), AggregateError> {
        let mut commit = Commit { fence: self.fence, ..Commit::to(partition) };
        let mut of = Vec::new();
        for (work, open) in all {
            add_projection(&mut commit, &work.statements, open);
            of.push((*work, *open));
            if bytes_of(&commit) > COMMIT_BYTES {
                let whole =
                    std::mem::replace(&mut commit, Commit { fence: self.fence, ..Commit::to(partition) });
                self.write_whole(whole, &std::mem::take(&mut of)).await?;
            }
        }
        self.write_whole(commit, &of).await
    }

    /// Writes summaries, as much as a store takes at once. Only runs write them: nothing gets in between.
    async fn write_summaries(
        &self,
        partition: Partition,
        all: &[(&AffiliateWork, &[Statement])],
    ) -> std::result::Result<(), AggregateError> {
        let mut commit = Commit { fence: self.fence, ..Commit::to(partition) };
        for (work, _) in all {
            for write in work.kept.writes(work.affiliate.id, &work.bodies) {
                commit.writes.push(write);
                if bytes_of(&commit) > COMMIT_BYTES {
                    let empty = Commit { fence: self.fence, ..Commit::to(partition) };
                    self.commit_alone(std::mem::replace(&mut commit, empty)).await?;
                }
            }
        }
        self.commit_alone(commit).await
    }
    async fn commit_alone(&self, commit: Commit) -> std::result::Result<(), AggregateError> {
        if self.commit(commit).await? { Ok(()) } else { Err(AggregateError::Overtaken) }
    }

    /// Commits some affiliates' projections together; if a fact of one of them came in between, each one on its
    /// own.
    async fn write_whole(
        &self,
        commit: Commit,
        of: &[(&AffiliateWork, &[Statement])],
    ) -> std::result::Result<(), AggregateError> {
        let partition = commit.partition;
        if self.commit(commit).await? {
            return Ok(());
        }
        for (work, open) in of {
            self.write_one(partition, work, open).await?;
        }
        Ok(())
    }

    async fn write_one(
        &self,
        partition: Partition,
        work: &AffiliateWork,
        open: &[Statement],
    ) -> std::result::Result<(), AggregateError> {
        for _ in 0..WRITE_TRIES {
            let kept = self.kept_statements(work.affiliate.id).await?;
            let mut commit = Commit { fence: self.fence, ..Commit::to(partition) };
            add_projection(&mut commit, &kept, open);
            if self.commit(commit).await? {
                return Ok(());
            }
        }
        Err(AggregateError::Overtaken)
    }

    /// Makes a commit, if it is not empty, and notes in it that the run is under way; false: a fact came in
    /// between.
    async fn commit(&self, mut commit: Commit) -> std::result::Result<bool, AggregateError> {
        if commit.writes.is_empty() {
            return Ok(true);
        }
        commit.writes.push(self.underway_write(commit.partition));
        match self.app.store.commit(&commit).await? {
            Committed::Done => {
                self.checkpoint_written(commit.partition);
                Ok(true)
            }
            Committed::Fenced(_) => Err(AggregateError::Overtaken),
            Committed::Stale | Committed::CursorAt(_) => Ok(false),
        }
    }
}

fn bytes_of(commit: &Commit) -> usize {
    commit.writes.iter().map(|write| write.body.len()).sum()
}

fn add_projection(commit: &mut Commit, kept: &KeptStatements, open: &[Statement]) {
    for statement in open {
        let former = kept.get(&statement.month);
        let doc =
            StatementDoc { closed_at: None, withdrawn: false, statement: statement.clone(), referrals: None };
        if former.is_some_and(|(_, former)| former.is_closed() || *former == doc) {
            continue;
        }
        let shown = former.filter(|(_, former)| !former.withdrawn).map(|(_, former)| &former.statement);
        for entry in crossing_entries(shown, statement) {
            commit.appends.push(Append { stream: FEED, body: entry.to_string().into_bytes() });
        }
        commit.writes.push(write(former, &doc));
        commit.indexes.extend(statement_indexes(statement));
    }
    // A statement that late facts left without a referral, or without its lines by hand, is not shown any more.
    for former in kept.values().filter(|(_, former)| !former.is_closed() && !former.withdrawn) {
        let statement = &former.1.statement;
        if open.iter().all(|still| still.month != statement.month) {
            let doc = StatementDoc { withdrawn: true, ..former.1.clone() };
            commit.writes.push(write(Some(former), &doc));
        }
    }
}

/// A statement's document, to be written over the former one.
fn write(former: Option<&(u64, StatementDoc)>, doc: &StatementDoc) -> Write {
    Write {
        key: statement_key(doc.statement.affiliate_id, doc.statement.month),
        expected: former.map_or(0, |(version, _)| *version),
        // A statement is plain data with text keys: JSON can say all of it.
        body: serde_json::to_vec(doc).expect("statements are plain data"),
    }
}
