//! Payouts: batches of payments are [made](make), approved, exported and [brought to their end](steps).
//!
//! Everything that happens is a fact of the directory (`facts/payouts.rs`), so that a replay applies it in its order.
//! The pure rules are in [`crate::domain::payout`].

mod figures;
mod hints;
mod make;
mod read;
mod report;
mod send;
mod steps;

pub(super) use figures::Counted;
pub use hints::Heard;
pub use make::MakeError;
pub use read::{Account, Waiting, YearRow};
pub(crate) use read::{closed_of, due};
pub use report::{Preview, PreviewRow, RowOutcome};
pub use send::Looks;
pub use steps::StepError;

use super::App;
use super::run::wait_for_other_nodes;
use crate::domain::id::NodeId;
use crate::domain::payout::Terms;
use crate::store::Result;

/// Items that a fact changes at once: limits the documents of a fact. In the sabotaged build a few items make many facts,
/// so that it can crash between them.
pub(super) const ITEMS_A_FACT: usize = if cfg!(feature = "sabotage") { 1 } else { 200 };
/// A clock that differs by more than this holds payouts.
const CLOCKS_AGREE_MS: i64 = 60_000;

impl App {
    /// The terms on which a payout would be made now.
    pub fn payout_terms(&self) -> Terms {
        let config = self.config();
        Terms {
            minimum: config.program.minimum_payout,
            item_limit: config.payouts.paypal.item_limit,
            at: self.now(),
        }
    }

    /// Why no payout is made, approved, exported or sent now, each with what to do about it; empty: nothing is in
    /// the way. Facts that are missing here could have been paid already.
    pub async fn payout_stops(&self) -> Result<Vec<String>> {
        let behind = self.nodes_behind(&[]).await?;
        self.stops_with(behind).await
    }

    /// The same, after each other node was given a moment to report where its journal ends.
    async fn last_payout_stops(&self) -> Result<Vec<String>> {
        let behind = wait_for_other_nodes(self, false).await?;
        self.stops_with(behind).await
    }

    async fn stops_with(&self, behind: Vec<NodeId>) -> Result<Vec<String>> {
        let mut stops = Vec::new();
        if self.is_recovering().await? {
            stops.push(
                "the store is being rebuilt; when all nodes are in, run `counterfoil store confirm`"
                    .to_owned(),
            );
        }
        for node in behind {
            stops.push(format!(
                "facts of {node} are not in the store; start that node, or run `counterfoil node forget`"
            ));
        }
        stops.extend(self.why_no_month_closes().await?);
        stops.extend(self.why_the_store_forgets().await?);
        stops.extend(self.clocks_that_disagree().await?);
        Ok(stops)
    }

    /// A clock that is ahead would make payouts early; one that is behind another node's, facts in a wrong order.
    async fn clocks_that_disagree(&self) -> Result<Option<String>> {
        let ahead = self.store.clock_ms().await?.map(|store| self.clock.millis() - store);
        let apart = ahead.into_iter().chain([self.clock_behind_ms()]).max().unwrap_or(0);
        Ok((apart > CLOCKS_AGREE_MS).then(|| {
            format!(
                "clocks differ by {} seconds; set the clocks of the nodes and of the store",
                apart / 1_000
            )
        }))
    }
}
