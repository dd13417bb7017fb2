//! Makes the store again from the journals: each node's journal is replayed as that node would do it.

use super::actor::Actor;
use super::{App, Parts, Running, Settings};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::id::NodeId;
use crate::domain::token::Keyring;
use crate::journal::{Journal, JournalError};
use crate::store::{Log, Store, StoreError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the replay's progress is checked.
const POLL: Duration = Duration::from_millis(20);
/// A replay without progress for this long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(20);

/// Why a store could not be made again.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// A journal can't be read.
    #[error("open the journal in {dir}: {error}")]
    Journal {
        /// The data directory.
        dir: PathBuf,
        /// What is wrong.
        error: JournalError,
    },
    /// The directory has no journal.
    #[error(
        "find a node's journal in {}: name its data directory, the one that holds node.json and journal/",
        .0.display()
    )]
    NoJournal(PathBuf),
    /// The node and the store don't belong together.
    #[error("{0}")]
    Refused(String),
    /// The replay makes no progress any more.
    #[error(
        "replay {0} records: the store can't be reached, or they need facts of a node whose journal is not named; name all journals"
    )]
    Stuck(u64),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The nightly run that makes the projections of open months again failed.
    #[error(transparent)]
    Run(#[from] super::AggregateError),
}

/// What was replayed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RebuildReport {
    /// The node whose journal it is.
    pub node: NodeId,
    /// Its facts.
    pub facts: u64,
    /// Its clicks.
    pub clicks: u64,
}

/// Replays journals into a store at the same time, since facts of one may need facts of another; then makes the
/// projections of open months again as of the last run. What the store has already stays as it is. `show_progress`
/// is called with the number of records left.
pub async fn import_journals(
    data_dirs: &[PathBuf],
    store: &Arc<dyn Store>,
    keyring: &Arc<Keyring>,
    settings: &Settings,
    show_progress: &(dyn Fn(u64) + Sync),
) -> Result<Vec<RebuildReport>, RebuildError> {
    // Opening a journal creates one where there is none: with a wrong directory nothing would be replayed.
    if let Some(dir) = data_dirs.iter().find(|dir| !Journal::is_in(dir)) {
        return Err(RebuildError::NoJournal(dir.clone()));
    }
    let mut journals = Vec::new();
    for dir in data_dirs {
        let journal = Journal::open(dir, &crate::journal::Settings::default())
            .map_err(|error| RebuildError::Journal { dir: dir.clone(), error })?;
        journals.push((dir, journal));
    }
    let all: Vec<NodeId> = journals.iter().map(|(_, journal)| journal.node_id()).collect();
    let start = |(dir, journal): (&PathBuf, Journal)| {
        let beside = all.iter().copied().filter(|node| *node != journal.node_id()).collect();
        Running::start(Parts {
            clock: Clock::system(),
            journal,
            store: Arc::clone(store),
            keyring: Arc::clone(keyring),
            metrics: Arc::default(),
            settings: of_directory(settings, dir),
            beside,
        })
    };
    let nodes: Vec<Running> = journals.into_iter().map(start).collect();
    let replayed = replay(&nodes, show_progress).await;
    let again = match (&replayed, nodes.first()) {
        (Ok(_), Some(node)) => project_again(&node.app).await,
        _ => Ok(()),
    };
    for node in nodes {
        node.stop().await;
    }
    let reports = replayed?;
    again?;
    Ok(reports)
}

/// The same settings for the journal in another directory.
fn of_directory(settings: &Settings, dir: &Path) -> Settings {
    let config = Config { data_dir: dir.to_owned(), ..Config::clone(&settings.config) };
    Settings { config: Arc::new(config), ..settings.clone() }
}

async fn project_again(app: &Arc<App>) -> Result<(), RebuildError> {
    app.follow_directory().await?;
    if let Some(last) = app.directory().last_run()
        && !app.is_recovering().await?
    {
        app.aggregate(&Actor::server(), Some(last.run.as_of), false).await?;
    }
    Ok(())
}

async fn replay(
    nodes: &[Running],
    show_progress: &(dyn Fn(u64) + Sync),
) -> Result<Vec<RebuildReport>, RebuildError> {
    let mut least = (u64::MAX, Instant::now());
    loop {
        let mut left = 0;
        let mut all_in = true;
        let mut reports = Vec::new();
        for Running { app, .. } in nodes {
            if let Some(why) = app.fatal() {
                return Err(RebuildError::Refused(why));
            }
            let (facts, facts_in) = app.positions(Log::Facts);
            let (clicks, clicks_in) = app.positions(Log::Clicks);
            let waits = facts.saturating_sub(facts_in) + clicks.saturating_sub(clicks_in);
            all_in &= waits == 0 && app.store_is_up();
            left += waits;
            reports.push(RebuildReport { node: app.node, facts, clicks });
        }
        show_progress(left);
        if all_in {
            return Ok(reports);
        }
        if left < least.0 {
            least = (left, Instant::now());
        } else if least.1.elapsed() > STUCK_AFTER {
            return Err(RebuildError::Stuck(left));
        }
        tokio::time::sleep(POLL).await;
    }
}
