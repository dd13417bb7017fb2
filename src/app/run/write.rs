//! What a run writes of open months: derived, and so not journaled.

use super::folder::{Folder, Kept};
use super::make::Run;
use super::{AggregateError, WRITE_TRIES};
use crate::app::StatementDoc;
use crate::app::apply::{crossing_entries, statement_indexes};
use crate::app::layout::{FEED, affiliate_partition, statement_key, summaries_key};
use crate::domain::calendar::Month;
use crate::domain::statement::Statement;
use crate::store::{Append, Commit, Committed, Partition, Write};
use futures_util::future::try_join_all;
use std::collections::BTreeMap;

type Kepts = BTreeMap<Month, (u64, StatementDoc)>;

impl Run<'_> {
    /// Writes what open months say so far, and the summaries that they say it from.
    pub(super) async fn write_projections(
        &self,
        folders: &[Folder],
        open: &[Vec<Statement>],
    ) -> std::result::Result<(), AggregateError> {
        let mut by_partition: BTreeMap<Partition, Vec<(&Folder, &[Statement])>> = BTreeMap::new();
        for (folder, open) in folders.iter().zip(open) {
            let partition = affiliate_partition(folder.affiliate.id, self.app.store.partitions());
            by_partition.entry(partition).or_default().push((folder, open));
        }
        try_join_all(by_partition.into_iter().map(|(partition, all)| self.write_some(partition, all)))
            .await?;
        Ok(())
    }

    /// Writes those of one partition together; each by itself if a fact of one of them got in between.
    async fn write_some(
        &self,
        partition: Partition,
        all: Vec<(&Folder, &[Statement])>,
    ) -> std::result::Result<(), AggregateError> {
        let mut commit = Commit { fence: self.fence, ..Commit::to(partition) };
        for (folder, open) in &all {
            add_projection(&mut commit, folder, &folder.statements, open);
        }
        if commit.writes.is_empty() {
            return Ok(());
        }
        match self.app.store.commit(&commit).await? {
            Committed::Done => Ok(()),
            Committed::Fenced(_) => Err(AggregateError::Overtaken),
            Committed::Stale | Committed::CursorAt(_) => {
                for (folder, open) in all {
                    self.write_one(partition, folder, open).await?;
                }
                Ok(())
            }
        }
    }

    async fn write_one(
        &self,
        partition: Partition,
        folder: &Folder,
        open: &[Statement],
    ) -> std::result::Result<(), AggregateError> {
        for _ in 0..WRITE_TRIES {
            let kept = self.kept_statements(folder.affiliate.id).await?;
            let mut commit = Commit { fence: self.fence, ..Commit::to(partition) };
            add_projection(&mut commit, folder, &kept, open);
            if commit.writes.is_empty() {
                return Ok(());
            }
            match self.app.store.commit(&commit).await? {
                Committed::Done => return Ok(()),
                Committed::Fenced(_) => return Err(AggregateError::Overtaken),
                Committed::Stale | Committed::CursorAt(_) => {}
            }
        }
        Err(AggregateError::Overtaken)
    }
}

fn add_projection(commit: &mut Commit, folder: &Folder, kept: &Kepts, open: &[Statement]) {
    for statement in open {
        let former = kept.get(&statement.month);
        let doc = StatementDoc { closed_at: None, withdrawn: false, statement: statement.clone() };
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
    // What late facts left without a referral is shown no more.
    for former in kept.values().filter(|(_, former)| !former.is_closed() && !former.withdrawn) {
        let statement = &former.1.statement;
        if open.iter().all(|still| still.month != statement.month) {
            let doc = StatementDoc { withdrawn: true, ..former.1.clone() };
            commit.writes.push(write(Some(former), &doc));
        }
    }
    add_summaries(commit, folder);
}

fn add_summaries(commit: &mut Commit, folder: &Folder) {
    let kept =
        Kept { basis: folder.basis.as_str(), summaries: folder.summaries.values().collect::<Vec<_>>() };
    // Plain data with text keys: JSON can say all of it.
    let body = serde_json::to_vec(&kept).expect("summaries are plain data");
    let known = folder.kept.as_ref();
    if (known.is_none() && folder.summaries.is_empty()) || known.is_some_and(|known| known.body == body) {
        return;
    }
    let expected = known.map_or(0, |doc| doc.version);
    commit.writes.push(Write { key: summaries_key(folder.affiliate.id), expected, body });
}

/// A statement's document as it is to be written over the former one.
fn write(former: Option<&(u64, StatementDoc)>, doc: &StatementDoc) -> Write {
    Write {
        key: statement_key(doc.statement.affiliate_id, doc.statement.month),
        expected: former.map_or(0, |(version, _)| *version),
        // A statement is plain data with text keys: JSON can say all of it.
        body: serde_json::to_vec(doc).expect("statements are plain data"),
    }
}
