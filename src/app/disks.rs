//! The disks of this node: the store and this disk agree on what is applied of it, and the store keeps which disk it met.

use super::App;
use super::layout::disks_key;
use super::work::Work;
use crate::journal::{Applied, Disks, Move, Remembered};
use crate::store::{Advance, Commit, Committed, Log, Partition, Result, StoreError};

impl App {
    /// A disk restored from a backup lacks what it journaled since; positions of that time must not be used again. Nor
    /// must what is applied of another disk be taken for what stands on this one.
    pub(super) async fn meet_as_this_disk(&self) -> Result<()> {
        let disks: Disks = self.known_disks().await?.get(&disks_key(self.node))?.unwrap_or_default();
        self.make_moves(&disks).await?;
        let (facts, clicks) =
            (self.applied_in_each(Log::Facts).await?, self.applied_in_each(Log::Clicks).await?);
        let store = Remembered { disks, facts, clicks };
        let met = self.journal.meet(&store).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        if let Some(epoch) = met.epoch {
            tracing::warn!(
                epoch,
                "the store remembers more than this disk holds: it was restored from a backup, or a copy of it ran; a new epoch begins"
            );
        }
        let node = self.journal.node().clone();
        if !store.disks.has_epochs_of(&node) || !met.moves.is_empty() {
            let disks = store.replaced_by(&node, met.moves);
            self.keep_disks(&disks).await?;
            self.make_moves(&disks).await?;
        }
        Ok(())
    }

    /// The store knows that it met this disk, also one that forgot; before anything is applied to it.
    pub(super) async fn name_this_disk(&self, met: bool) -> Result<()> {
        let known: Option<Disks> = self.known_disks().await?.get(&disks_key(self.node))?;
        let mut disks = known.clone().unwrap_or_default();
        {
            let node = self.journal.node();
            if met && disks.is_another(&node) {
                return Err(self.refuse(
                    "another process ran under this node's id, perhaps on a copy of its disk; start only one of them",
                ));
            }
            disks.name(&node);
        }
        if known.as_ref() == Some(&disks) { Ok(()) } else { self.keep_disks(&disks).await }
    }

    async fn known_disks(&self) -> Result<Work> {
        Work::load(&*self.store, Partition::Directory, vec![disks_key(self.node)]).await
    }

    async fn keep_disks(&self, disks: &Disks) -> Result<()> {
        let mut work = self.known_disks().await?;
        work.put(&disks_key(self.node), disks)?;
        done(self.store.commit(&work.into_commit()).await?)
    }

    async fn applied_in_each(&self, log: Log) -> Result<Applied> {
        let mut applied = self.store.cursors(self.node, log).await?;
        // No click enters the directory.
        applied.retain(|(partition, _)| log == Log::Facts || *partition != Partition::Directory);
        Ok(applied)
    }

    /// Moves cursors that were not moved yet.
    async fn make_moves(&self, disks: &Disks) -> Result<()> {
        for Move { log, partition, from, to } in disks.moves().iter().copied() {
            let advance = Some(Advance { node: self.node, log, from, to });
            // One that stands elsewhere was moved.
            self.store.commit(&Commit { advance, ..Commit::to(partition) }).await?;
        }
        Ok(())
    }
}

fn done(committed: Committed) -> Result<()> {
    match committed {
        Committed::Done => Ok(()),
        other => Err(StoreError::Unavailable(format!("another process of this node wrote: {other:?}"))),
    }
}
