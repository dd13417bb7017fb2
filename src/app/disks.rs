//! The disks of this node: store and disk must agree on which records are applied, and the store remembers which
//! disk it last saw.

use super::App;
use super::layout::disks_key;
use super::work::Work;
use crate::journal::{Applied, Disks, Move, Remembered};
use crate::store::{Advance, Commit, Committed, Log, Partition, Result, StoreError};

impl App {
    /// A disk restored from a backup lacks what was journaled since, and the positions of those records must not
    /// be used again. Records that were applied from another disk must not be mistaken for the records on this
    /// one.
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
                "the store has applied more than this disk holds: the disk was restored from a backup, or a copy of it was in use; a new epoch begins"
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

    /// Saves in the store that it has seen this disk, before anything is applied to it; a store that lost data
    /// does so too.
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
        // The directory has no clicks.
        applied.retain(|(partition, _)| log == Log::Facts || *partition != Partition::Directory);
        Ok(applied)
    }

    /// Moves the cursors that have not been moved yet.
    async fn make_moves(&self, disks: &Disks) -> Result<()> {
        for Move { log, partition, from, to } in disks.moves().iter().copied() {
            let advance = Some(Advance { node: self.node, log, from, to });
            // A cursor with another value was moved already.
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
