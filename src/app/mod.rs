//! The core of the server: accepts facts, decides about them, applies them, and answers questions.
//!
//! Every fact enters through [`App::submit`] (`intake`): it is flushed to the node's journal and applied by the
//! [facts drainer](drain_facts), which asks the pure rules what it does; then its outcome is returned. Reads go to
//! the store, except for the directory, which every node holds in memory.

pub mod actor;
mod by_hand;
mod confirm;
mod decide;
mod directory;
mod disks;
mod drain_clicks;
mod drain_facts;
mod drains;
mod facts;
mod figures;
mod following;
mod forgetting;
mod intake;
mod layout;
mod news;
mod node;
mod outage_log;
pub(crate) mod outbox;
mod overlooked;
pub mod payouts;
pub mod people;
mod program;
mod read;
mod rebuild;
mod referrals;
mod replay;
mod report;
mod run;
pub mod sessions;
mod set_aside;
mod standstill;
mod stop;
mod verify;
mod waiters;
mod work;

pub use by_hand::NewLine;
pub use confirm::ConfirmError;
pub use directory::{Directory, MonthDoc, RunDoc};
pub use facts::in_words as fact_in_words;
pub use figures::{AffiliateReport, CHART_DAYS, Day as FiguresDay, Figures};
pub use intake::{SubmitError, Submitted};
pub(crate) use outage_log::OutageLog;
pub use overlooked::Overlooked;
pub use rebuild::{RebuildError, import_journals};
pub use referrals::{AccountState, AccountStatus, EarnedFor, ReferralState, ReferralSummary};
pub use report::{Cut, Report, Tally};
pub use run::{AggregateError, Progress};
pub use set_aside::{SetAside, SetAsideId};
pub use stop::Stop;
pub use verify::{Proof, VerifyError};

use crate::clock::Clock;
use crate::config::Config;
use crate::domain::affiliate::Link;
use crate::domain::calendar::Zone;
use crate::domain::destination::AllowList;
use crate::domain::event_types::EventTypes;
use crate::domain::id::{AffiliateId, NodeId};
use crate::domain::pepper::Pepper;
use crate::domain::person::Agreement;
use crate::domain::program::{AttributionRules, Rules};
use crate::domain::statement::{ClosingReferrals, Statement};
use crate::domain::token::{Keyring, LinkClaim};
use crate::journal::Journal;
use crate::mail::MailRoute;
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::task::TaskTracker;

/// A page of a list.
#[derive(Debug)]
pub struct Page<T> {
    /// The entries of the page.
    pub data: Vec<T>,
    /// Where the next page starts, opaque; `None`: this is the last page.
    pub next_cursor: Option<String>,
}

/// Which accounts to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountList {
    /// All accounts.
    All,
    /// Held for review.
    Held,
    /// With reports that contradict earlier ones.
    Conflict,
    /// With events but no signup yet.
    Waiting,
    /// Credited to this affiliate.
    Of(AffiliateId),
}

/// A statement, and what is kept with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementDoc {
    /// When the run that closed it read its facts; `None`: the month is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<DateTime<Utc>>,
    /// An open month that late facts left without a referral: not shown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withdrawn: bool,
    /// The statement.
    pub statement: Statement,
    /// Which referrals counted when it was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referrals: Option<ClosingReferrals>,
}

impl StatementDoc {
    /// Whether it is closed.
    pub const fn is_closed(&self) -> bool {
        self.closed_at.is_some()
    }
}

/// Why a list or an account could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The cursor is not one that the server gave out.
    #[error("read the cursor")]
    BadCursor,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One entry of the feed or of the audit log, as kept.
#[derive(Debug, Clone)]
pub struct Logged {
    /// Its cursor; reading after it gives the next entry.
    pub cursor: String,
    /// A JSON object.
    pub body: serde_json::Value,
}

/// The configuration, which all parts of the server read directly, and what the start derived from it and from the
/// secrets.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The configuration.
    pub config: Arc<Config>,
    /// The rules of open months.
    pub rules: Arc<Rules>,
    /// The rules by which signups are decided.
    pub attribution: AttributionRules,
    /// Where links may lead.
    pub destinations: AllowList,
    /// The names of event types.
    pub event_types: EventTypes,
    /// The agreement that affiliates sign.
    pub agreement: Agreement,
    /// Each signing key's id with a digest of its value.
    pub key_digests: Vec<(String, String)>,
    /// Keys the hashes of e-mails and IP addresses; never shown.
    pub pepper: Arc<Pepper>,
    /// Whether the store is embedded, for this node only.
    pub embedded: bool,
    /// Where mail goes.
    pub mail_route: MailRoute,
    /// How long a request waits for its fact to be applied before it answers only that the fact is on disk.
    pub apply_patience: Duration,
}

/// What the application is made of.
#[derive(Debug)]
pub struct Parts {
    /// The source of the time.
    pub clock: Clock,
    /// Where facts and clicks are written first.
    pub journal: Journal,
    /// Where derived data is kept.
    pub store: Arc<dyn Store>,
    /// Signs links.
    pub keyring: Arc<Keyring>,
    /// Counts what happens.
    pub metrics: Arc<Metrics>,
    /// The configuration.
    pub settings: Settings,
    /// Other nodes that are started together with this one; a replay waits for them.
    pub beside: Vec<NodeId>,
}

/// The core of the server: what all parts share, and the parts.
pub struct App {
    clock: Clock,
    pub(crate) journal: Journal,
    pub(crate) store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    settings: Settings,
    zone: Zone,
    pub(crate) node: NodeId,
    pub(crate) metrics: Arc<Metrics>,
    intake: intake::Intake,
    following: following::Following,
    drains: drains::Drains,
    meeting: node::Meeting,
    books: Books,
    people: People,
    ending: Ending,
}

/// What is computed from all accounts.
#[derive(Debug, Default)]
struct Books {
    /// Whether a nightly run, or a maker or sender of payouts, is at work on this node.
    at_work: AtomicBool,
    run: run::ProgressCounters,
    program: program::Kept,
    overlooked: overlooked::Kept,
    payouts: payouts::Counted,
}

/// What serves people.
#[derive(Debug, Default)]
struct People {
    hasher: people::Hasher,
    /// The number of waiting mails, as last seen.
    waiting_mail: AtomicU64,
}

/// How the application ends.
#[derive(Debug, Default)]
struct Ending {
    stop: Stop,
    /// Why the node must stop; `None`: it need not.
    fatal: Mutex<Option<String>>,
    /// The tasks that a stop waits for.
    tasks: TaskTracker,
}

impl std::fmt::Debug for App {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("App").field("node", &self.node).finish_non_exhaustive()
    }
}

/// The running application: its tasks end when it is stopped.
#[derive(Debug)]
pub struct Running {
    /// The application.
    pub app: Arc<App>,
}

impl Running {
    /// Starts the drainers and the heartbeat.
    pub fn start(parts: Parts) -> Self {
        let app = Arc::new(App::new(parts));
        let tasks = &app.ending.tasks;
        tasks.spawn(guarded(&app, "facts drainer", drain_facts::run(Arc::clone(&app))));
        tasks.spawn(guarded(&app, "clicks drainer", drain_clicks::run(Arc::clone(&app))));
        tasks.spawn(guarded(&app, "heartbeat", node::send_heartbeats(Arc::clone(&app))));
        tasks.spawn(guarded(&app, "watch", standstill::watch(Arc::clone(&app))));
        tasks.close();
        Self { app }
    }
    /// Lets the drainers apply what they can, announces the stop to the other nodes, and flushes the journal.
    pub async fn stop(self) {
        self.app.ending.stop.set();
        self.app.ending.tasks.wait().await;
        self.app.announce_stop().await;
        if let Err(error) = self.app.journal.clicks().flush() {
            tracing::error!(%error, "the journal could not be flushed");
        }
    }
}

impl App {
    fn new(parts: Parts) -> Self {
        let Parts { clock, journal, store, keyring, metrics, settings, beside } = parts;
        // The configuration was checked for a known zone before it came here.
        let zone = settings.rules.timezone.parse::<Zone>().expect("a configured zone is a known one");
        Self {
            node: journal.node_id(),
            meeting: node::Meeting::begin(
                &journal,
                replay::Peers::open(&settings.config.data_dir).with(beside),
            ),
            clock,
            journal,
            store,
            keyring,
            zone,
            settings,
            metrics,
            intake: intake::Intake::default(),
            following: following::Following::default(),
            drains: drains::Drains::default(),
            books: Books::default(),
            people: People::default(),
            ending: Ending::default(),
        }
    }

    /// The present time.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }
    /// The clock.
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }
    /// Signs and verifies tokens.
    pub(crate) const fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }
    /// The program's time zone.
    pub const fn zone(&self) -> &Zone {
        &self.zone
    }
    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.settings.config
    }
    /// The configuration, and what the start derived from it.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }
    pub(crate) const fn attribution_rules(&self) -> &AttributionRules {
        &self.settings.attribution
    }
    /// Runs a task after the request was answered; a stop waits for it.
    pub(crate) fn do_later(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.ending.tasks.spawn(task);
    }
    /// The request to stop.
    pub const fn stopping(&self) -> &Stop {
        &self.ending.stop
    }
    /// The full URL of a link, with its token.
    pub fn link_url(&self, link: &Link) -> String {
        let token = self.keyring.sign_link(&LinkClaim { affiliate: link.affiliate, link: link.id });
        format!("{}/r/{token}", self.config().listen.public_base())
    }

    /// A task that must run has ended: the process stops rather than running without it.
    fn die(&self, why: &str) {
        lock(&self.ending.fatal).get_or_insert_with(|| why.to_owned());
        self.ending.stop.set();
    }
    /// Why the node must stop; `None`: it need not.
    pub fn fatal(&self) -> Option<String> {
        lock(&self.ending.fatal).clone()
    }
}

/// Runs a task that the server needs. If it panics, which is a bug, the process stops, and its supervisor restarts
/// it.
pub(crate) fn guarded<T: Future<Output = ()> + Send + 'static>(
    app: &Arc<App>,
    name: &'static str,
    task: T,
) -> impl Future<Output = ()> + Send + use<T> {
    let app = Arc::clone(app);
    let task = tokio::spawn(task);
    async move {
        if task.await.is_err() {
            app.die(&format!(
                "the {name} panicked: this is a bug; the log says where; start the server again"
            ));
        }
    }
}

/// Nothing panics while it holds these locks; if it did, the data would still be consistent.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
