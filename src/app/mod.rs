//! The server's inside: takes facts in, decides, applies them, and answers what is known.
//!
//! [`App::submit`] is the way in of every fact: it is flushed to the node's journal, applied by the
//! [facts drainer](drain_facts), which asks the pure rules what it does, and what became of it is answered. What
//! is read is read from the store, but for the directory, which every node holds in memory.

mod confirm;
mod decide;
mod directory;
mod disks;
mod drain_clicks;
mod drain_facts;
mod facts;
mod figures;
mod forgetting;
mod layout;
mod node;
pub(crate) mod outbox;
mod overlooked;
pub mod people;
mod program;
mod prove;
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
mod told;
mod waiters;
mod work;

pub use confirm::ConfirmError;
pub use directory::{Directory, MonthDoc, RunDoc};
pub use facts::in_words as fact_in_words;
pub use figures::{Book, CHART_DAYS, Day as FiguresDay, Figures, Period};
pub use outbox::MailSettings;
pub use overlooked::Overlooked;
pub use program::ProgramFigures;
pub use prove::{Proof, ProofError};
pub use rebuild::{RebuildError, RebuildReport, import_journals};
pub use referrals::{AccountState, AccountStatus, EarnedFor, ReferralState, ReferralSummary};
pub use report::{Cut, Key, Report, Tally};
pub use run::{AggregateError, Progress};
pub use set_aside::{SetAside, SetAsideId};
pub use stop::Stop;
pub(crate) use told::Told;

use crate::clock::Clock;
use crate::domain::account::{Account, Refusal};
use crate::domain::affiliate::Link;
use crate::domain::calendar::Zone;
use crate::domain::fact::{self, Fact, Record};
use crate::domain::id::{AccountId, AffiliateId, NodeId};
use crate::domain::mark::Marks;
use crate::domain::money::Money;
use crate::domain::outcome::FactOutcome;
use crate::domain::pepper::Pepper;
use crate::domain::person::Agreement;
use crate::domain::program::{AttributionRules, Rules};
use crate::domain::statement::{ClosingReferrals, Statement};
use crate::domain::token::{Keyring, LinkClaim};
use crate::journal::{AppendError, Journal};
use crate::metrics::{FactKind, Metrics};
use crate::store::{Cursor, Log, Partition, Store, StoreError};
use arc_swap::ArcSwap;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio_util::task::TaskTracker;
use waiters::Waiters;

/// Bytes that are handed to the journal at once; well below what it takes, so that others have their turn.
const APPEND_BYTES: usize = 1 << 20;

/// What became of a fact that was submitted. It is on disk in any case.
#[derive(Debug, Clone)]
pub struct Submitted {
    /// How it ended.
    pub outcome: FactOutcome,
    /// The account afterwards, for facts about accounts that were applied.
    pub account: Option<Arc<Account>>,
    /// Why it was refused, when the outcome is `Refused`.
    pub refusal: Option<Refusal>,
}

/// Why a fact was not taken in: nothing was kept, the sender should try again.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The journal can't be written.
    #[error("write the journal: {0}")]
    Journal(String),
    /// The server is stopping.
    #[error("take in facts while stopping")]
    Stopping,
    /// What it is about is not in the store, which is being filled again.
    #[error("find what it is about while the store is being filled again")]
    Refilling,
}

/// A page of a list.
#[derive(Debug)]
pub struct Page<T> {
    /// What is on it.
    pub data: Vec<T>,
    /// Where the next one starts, opaque; `None`: this is the last.
    pub next_cursor: Option<String>,
}

/// Which accounts to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountList {
    /// All.
    All,
    /// Held for review.
    Held,
    /// With reports that contradicted what stands.
    Conflict,
    /// With events but no signup yet.
    Waiting,
    /// Credited to an affiliate.
    Of(AffiliateId),
}

/// A statement with what stands beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementDoc {
    /// When the run that closed it for ever read its facts; `None`: it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<DateTime<Utc>>,
    /// An open month that late facts left without a referral: not shown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withdrawn: bool,
    /// What it says.
    pub statement: Statement,
    /// Which referrals counted when it was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referrals: Option<ClosingReferrals>,
}

impl StatementDoc {
    /// Whether it is closed for ever.
    pub const fn is_closed(&self) -> bool {
        self.closed_at.is_some()
    }
}

/// Why a list or an account could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The cursor is not one that we gave.
    #[error("read the cursor")]
    BadCursor,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One entry of the feed or of the audit log, as kept.
#[derive(Debug, Clone)]
pub struct Logged {
    /// Its cursor: reading after it gives the next.
    pub cursor: String,
    /// A JSON object.
    pub body: serde_json::Value,
}

/// What the application is told by its configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The rules of months still open.
    pub rules: Arc<Rules>,
    /// What signups are judged by.
    pub attribution: AttributionRules,
    /// Days after a month's end before it closes.
    pub close_delay_days: u32,
    /// A smaller sum is carried to the next payout.
    pub minimum_payout: Money,
    /// What links start with, without a slash at the end.
    pub public_url: String,
    /// Each signing key's id with a digest of its value.
    pub key_digests: Vec<(String, String)>,
    /// Keys e-mail and IP hashes; never shown.
    pub pepper: Arc<Pepper>,
    /// What links for staff start with, without a slash at the end.
    pub staff_url: String,
    /// What people see of the program.
    pub portal: Arc<PortalSettings>,
    /// Where the journal lives.
    pub data_dir: std::path::PathBuf,
    /// The store is this node's own.
    pub embedded: bool,
    /// Where mail goes.
    pub mail: MailSettings,
    /// How long a request waits for its fact to be applied before it answers that the fact is on disk.
    pub apply_patience: Duration,
}

/// What people see of the program.
#[derive(Debug, Clone)]
pub struct PortalSettings {
    /// The program's name.
    pub program_name: String,
    /// The company behind it.
    pub company: String,
    /// What affiliates sign.
    pub agreement: Agreement,
    /// That is our sample, although people elsewhere would sign it.
    pub signs_the_sample: bool,
    /// Where affiliates may write for help.
    pub support_email: Option<String>,
    /// A directory of templates that replace those compiled in.
    pub templates: Option<std::path::PathBuf>,
}

/// What the application is made of.
#[derive(Debug)]
pub struct Parts {
    /// Tells the time.
    pub clock: Clock,
    /// Where facts and clicks go first.
    pub journal: Journal,
    /// Where what is derived lives.
    pub store: Arc<dyn Store>,
    /// Signs links.
    pub keyring: Arc<Keyring>,
    /// Counts what happens.
    pub metrics: Arc<Metrics>,
    /// The configuration.
    pub settings: Settings,
    /// Other nodes that are started together with it: they are waited for in a replay.
    pub beside: Vec<NodeId>,
}

/// Is told of every new directory.
type DirectoryListener = Box<dyn Fn(&Directory, bool) + Send + Sync>;

/// The server's inside.
pub struct App {
    clock: Clock,
    pub(crate) journal: Journal,
    pub(crate) store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    settings: Settings,
    zone: Zone,
    pub(crate) node: NodeId,
    /// A random word of this start of the process.
    instance: String,
    directory: ArcSwap<Directory>,
    /// One task at a time follows the directory.
    following: tokio::sync::Mutex<()>,
    listener: Mutex<Option<DirectoryListener>>,
    waiters: Waiters,
    stop: Stop,
    store_up: AtomicBool,
    /// How often it was doubted that the store has all clicks, and up to which doubt it was made sure of.
    clicks_doubted: AtomicU64,
    clicks_sure: AtomicU64,
    facts_standstill: Mutex<standstill::Standstill>,
    clicks_standstill: Mutex<standstill::Standstill>,
    /// Position of the oldest signup that this node has yet to decide; 0: there is none.
    oldest_undecided: AtomicU64,
    /// Why the store may forget what it was given, or that it has.
    may_forget: Mutex<Option<String>>,
    /// The next fact needs one of another node, perhaps.
    waits_for_others: AtomicBool,
    /// The other nodes that are known.
    peers: Mutex<replay::Peers>,
    /// The time of the next fact that is applied again, in Unix milliseconds.
    replays_from: AtomicI64,
    /// The life of the store that was met last.
    life: Mutex<Option<String>>,
    /// The directory says all that is journaled: no lost store is being filled again.
    is_whole: AtomicBool,
    /// How far this node's clock is behind another node's, in milliseconds.
    clock_behind_ms: AtomicI64,
    /// How far facts had been applied when that was last known.
    seen_cursors: Mutex<HashMap<Partition, Cursor>>,
    applied_facts: AtomicU64,
    applied_clicks: AtomicU64,
    /// Why the node must stop, once it knows.
    fatal: Mutex<Option<String>>,
    /// Why the last fact was not journaled, if it was not.
    trouble: Mutex<Option<String>>,
    started: tokio::sync::Mutex<node::Start>,
    /// A run wants to know that the store still has what was applied to it.
    check_wanted: AtomicBool,
    check_wish: Notify,
    /// The other nodes have heard of this process.
    has_beaten: AtomicBool,
    /// How often the drainer has made sure of it.
    checks: watch::Sender<u64>,
    pub(crate) metrics: Arc<Metrics>,
    run: run::RunState,
    hasher: people::Hasher,
    program: program::Kept,
    overlooked: overlooked::Kept,
    /// Mail that waits, as last seen.
    waiting_mail: AtomicU64,
    /// Facts set aside that wait for a person, as last seen.
    waiting_aside: AtomicU64,
    /// Facts that this process set aside.
    set_aside_here: AtomicU64,
    /// What stopping waits for.
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
        let tasks = &app.tasks;
        tasks.spawn(guarded(&app, "facts drainer", drain_facts::run(Arc::clone(&app))));
        tasks.spawn(guarded(&app, "clicks drainer", drain_clicks::run(Arc::clone(&app))));
        tasks.spawn(guarded(&app, "heartbeat", node::heartbeat(Arc::clone(&app))));
        tasks.spawn(guarded(&app, "watch", standstill::watch(Arc::clone(&app))));
        tasks.close();
        Self { app }
    }
    /// Lets the drainers apply what they can, tells the other nodes, and flushes the journal.
    pub async fn stop(self) {
        self.app.stop.set();
        self.app.tasks.wait().await;
        self.app.say_goodbye().await;
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
            started: tokio::sync::Mutex::new(node::Start::of(&journal)),
            clock,
            journal,
            store,
            keyring,
            zone,
            instance: NodeId::random().to_string(),
            directory: ArcSwap::default(),
            following: tokio::sync::Mutex::new(()),
            listener: Mutex::new(None),
            waiters: Waiters::default(),
            stop: Stop::default(),
            store_up: AtomicBool::new(false),
            clicks_doubted: AtomicU64::new(1),
            clicks_sure: AtomicU64::new(0),
            facts_standstill: Mutex::default(),
            clicks_standstill: Mutex::default(),
            oldest_undecided: AtomicU64::new(0),
            may_forget: Mutex::new(None),
            waits_for_others: AtomicBool::new(false),
            peers: Mutex::new(replay::Peers::open(&settings.data_dir).with(beside)),
            replays_from: AtomicI64::new(replay::NOTHING),
            life: Mutex::default(),
            clock_behind_ms: AtomicI64::new(0),
            is_whole: AtomicBool::new(false),
            seen_cursors: Mutex::default(),
            settings,
            applied_facts: AtomicU64::new(0),
            applied_clicks: AtomicU64::new(0),
            fatal: Mutex::new(None),
            trouble: Mutex::new(None),
            metrics,
            check_wanted: AtomicBool::new(false),
            check_wish: Notify::new(),
            has_beaten: AtomicBool::new(false),
            checks: watch::Sender::new(0),
            run: run::RunState::default(),
            hasher: people::Hasher::default(),
            program: program::Kept::default(),
            overlooked: overlooked::Kept::default(),
            waiting_mail: AtomicU64::new(0),
            waiting_aside: AtomicU64::new(0),
            set_aside_here: AtomicU64::new(0),
            tasks: TaskTracker::new(),
        }
    }

    /// Now.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }
    /// Now by the clock that is furthest ahead among the nodes, if they are not far apart: what people do on one node and
    /// then on another follows in that order.
    fn by_all_clocks(&self) -> DateTime<Utc> {
        self.now() + TimeDelta::milliseconds(self.clock_behind_ms.load(Ordering::Relaxed))
    }
    /// The clock.
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }
    /// The program's zone.
    pub const fn zone(&self) -> &Zone {
        &self.zone
    }
    /// The configuration.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }
    pub(crate) const fn attribution_rules(&self) -> &AttributionRules {
        &self.settings.attribution
    }
    /// The directory now.
    pub fn directory(&self) -> Arc<Directory> {
        self.directory.load_full()
    }
    /// The marks of all months, those of closed ones as they were closed.
    pub fn marks(&self) -> Marks {
        let directory = self.directory();
        Marks::of(&self.settings.rules, directory.months().map(|month| (month.month, &month.rules)))
    }
    /// Does something after its asker was answered; stopping waits for it.
    pub(crate) fn do_later(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }
    /// The wish to stop.
    pub const fn stopping(&self) -> &Stop {
        &self.stop
    }
    /// The whole address of a link, with its token.
    pub fn link_url(&self, link: &Link) -> String {
        let token = self.keyring.sign_link(&LinkClaim { affiliate: link.affiliate, link: link.id });
        format!("{}/r/{token}", self.settings.public_url)
    }
    /// Calls `listener` with the directory now and whenever it changed, and with whether it is whole: while a lost store is
    /// filled again it is not, and what it says of an affiliate may be long over.
    pub fn on_directory(&self, listener: impl Fn(&Directory, bool) + Send + Sync + 'static) {
        listener(&self.directory.load(), self.is_whole.load(Ordering::Relaxed));
        *lock(&self.listener) = Some(Box::new(listener));
    }
    async fn reload_directory(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.following.lock().await;
        let directory = Directory::load(&*self.store).await?;
        self.check_currency(&directory)?;
        self.set_directory(directory);
        Ok(())
    }
    pub(crate) async fn follow_directory(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.following.lock().await;
        let now = self.directory.load_full();
        if let Some(next) = now.follow(&*self.store).await? {
            self.check_currency(&next)?;
            self.set_directory(next);
        }
        Ok(())
    }
    /// A program's currency is that of its first closed month: a node that is configured with another one stops.
    fn check_currency(&self, directory: &Directory) -> Result<(), StoreError> {
        let Some(first) = directory.months().next() else { return Ok(()) };
        let (stated, ours) = (&first.rules.currency, &self.settings.rules.currency);
        if stated == ours {
            return Ok(());
        }
        Err(self.refuse(&format!(
            "program.currency: {} was closed in {stated}, and a program keeps its currency; write {stated} instead of {ours}",
            first.month
        )))
    }
    /// Says whether the directory is whole.
    fn set_whole(&self, is_whole: bool) {
        if self.is_whole.swap(is_whole, Ordering::Relaxed) != is_whole
            && is_whole
            && let Some(listener) = lock(&self.listener).as_ref()
        {
            listener(&self.directory.load(), true);
        }
    }
    fn set_directory(&self, directory: Directory) {
        let directory = Arc::new(directory);
        self.directory.store(Arc::clone(&directory));
        if let Some(listener) = lock(&self.listener).as_ref() {
            listener(&directory, self.is_whole.load(Ordering::Relaxed));
        }
    }

    /// Takes a fact in: journals it, waits for it to be applied, and says what became of it.
    /// `Deferred`: it is on disk, but the store did not answer in time.
    pub async fn submit(self: &Arc<Self>, by: &str, fact: Fact) -> Result<Submitted, SubmitError> {
        if self.stop.is_set() {
            return Err(SubmitError::Stopping);
        }
        let kind = facts::metric(&fact);
        if let Some(refusal) = self.refuses(&fact).await {
            if self.is_refilling().await {
                return Err(SubmitError::Refilling);
            }
            self.count(kind, FactOutcome::Refused);
            return Ok(Submitted { outcome: FactOutcome::Refused, account: None, refusal: Some(refusal) });
        }
        let record = Record { at: self.by_all_clocks(), by: by.to_owned(), fact };
        let positions = self.append_records(std::slice::from_ref(&record)).await;
        let position = positions.map_err(|error| SubmitError::Journal(error.to_string()))?[0];
        if !self.store_is_up() {
            self.count(kind, FactOutcome::Deferred);
            return Ok(Submitted { outcome: FactOutcome::Deferred, account: None, refusal: None });
        }
        let applied = self.waiters.wait_for(position);
        if let Ok(Ok(submitted)) = tokio::time::timeout(self.settings.apply_patience, applied).await {
            self.count(kind, submitted.outcome);
            let may_change = submitted.refusal.is_some_and(|refusal| !refusal.is_final());
            // What is missing may be there in a moment.
            if may_change && self.is_refilling().await {
                return Err(SubmitError::Refilling);
            }
            return Ok(submitted);
        }
        self.waiters.forget(position);
        self.count(kind, FactOutcome::Deferred);
        Ok(Submitted { outcome: FactOutcome::Deferred, account: None, refusal: None })
    }

    /// Why a fact is refused before it is journaled.
    async fn refuses(&self, fact: &Fact) -> Option<Refusal> {
        match fact {
            Fact::Credit(fact::Credit { affiliate_id: Some(id), .. }) => self.refuses_credit_to(*id).await,
            Fact::Review(review) => self.refuses_review_of(&review.account_id).await,
            _ => None,
        }
    }

    /// Whether the store may lack what it had: it was emptied or fell back, and what it does not know may be unknown for a
    /// moment only.
    pub(crate) async fn is_refilling(&self) -> bool {
        let Ok(Some(meta)) = self.store.meta().await else { return true };
        let is_new = Some(meta.life()) != *lock(&self.life);
        is_new || meta.recovering || self.replays_from.load(Ordering::Relaxed) != replay::NOTHING
    }

    /// Why an account can't be credited to an affiliate by hand. It can be asked before the fact is journaled: an
    /// affiliate that was active once stays one that was.
    pub(crate) async fn refuses_credit_to(&self, id: AffiliateId) -> Option<Refusal> {
        let refusal = |directory: &Directory| match directory.affiliate(id) {
            None => Some(Refusal::UnknownAffiliate),
            Some(affiliate) => (!affiliate.was_ever_active()).then_some(Refusal::NeverActive),
        };
        refusal(&self.directory())?;
        // Another node may know better.
        if let Err(error) = self.follow_directory().await {
            tracing::debug!(%error, "the directory is as it was last seen");
        }
        refusal(&self.directory())
    }

    /// Why an account can't be judged by staff, as far as the store knows now. It is asked before the fact is journaled:
    /// what is journaled counts, in whatever order it is replayed.
    async fn refuses_review_of(&self, id: &AccountId) -> Option<Refusal> {
        let account = self.load_account(id).await.ok()??;
        account.may_be_reviewed().err().filter(|refusal| *refusal == Refusal::NotReferred)
    }

    /// Writes records to the facts journal; answers when they are on disk, with their positions.
    pub(crate) async fn append_records(&self, records: &[Record]) -> Result<Vec<u64>, AppendError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        // A record is plain data with text keys: JSON can say all of it.
        let payloads =
            records.iter().map(|record| serde_json::to_vec(record).expect("records are plain data"));
        let payloads: Vec<Vec<u8>> = payloads.collect();
        for (record, payload) in records.iter().zip(&payloads) {
            check_reads_back(record, payload)?;
        }
        let mut positions = Vec::with_capacity(records.len());
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for payload in payloads {
            if bytes + payload.len() > APPEND_BYTES && !batch.is_empty() {
                positions.extend(self.append_batch(std::mem::take(&mut batch)).await?);
                bytes = 0;
            }
            bytes += payload.len();
            batch.push(payload);
        }
        positions.extend(self.append_batch(batch).await?);
        Ok(positions)
    }
    async fn append_batch(&self, payloads: Vec<Vec<u8>>) -> Result<std::ops::Range<u64>, AppendError> {
        let appended = self.journal.facts().append_many(payloads).await;
        *lock(&self.trouble) = appended.as_ref().err().map(ToString::to_string);
        appended
    }
    /// The disk takes writes again.
    pub(crate) fn forget_trouble(&self) {
        *lock(&self.trouble) = None;
    }
    /// Why the last fact was not journaled, if it was not.
    pub(crate) fn journal_trouble(&self) -> Option<String> {
        lock(&self.trouble).clone()
    }

    fn complete(&self, position: u64, submitted: Submitted) {
        self.waiters.complete(position, submitted);
    }
    fn count(&self, kind: Option<FactKind>, outcome: FactOutcome) {
        if let Some(kind) = kind {
            self.metrics.fact(kind, outcome);
        }
    }

    /// Whether the store answered when it was last asked.
    pub fn store_is_up(&self) -> bool {
        self.store_up.load(Ordering::Relaxed)
    }
    fn set_store_up(&self, up: bool) {
        if self.store_up.swap(up, Ordering::Relaxed) != up {
            tracing::debug!(up, "the store");
        }
    }
    /// Whether all clicks that the journal held when the store was last reached are in the store: a signup's
    /// visits are then as known as they will be.
    fn clicks_are_in(&self) -> bool {
        self.clicks_sure.load(Ordering::Acquire) == self.doubts_about_clicks()
    }
    /// The store was away, or forgot something: clicks are asked for before the next decision.
    fn doubt_clicks(&self) {
        self.clicks_doubted.fetch_add(1, Ordering::AcqRel);
    }
    /// How often the store was met: what was found in it before may not be there any more.
    pub(crate) fn store_meetings(&self) -> u64 {
        self.doubts_about_clicks()
    }
    fn doubts_about_clicks(&self) -> u64 {
        self.clicks_doubted.load(Ordering::Acquire)
    }
    /// All clicks were found in the store after so many doubts.
    fn clicks_are_in_despite(&self, doubts: u64) {
        self.clicks_sure.store(doubts, Ordering::Release);
    }
    /// The end of a journal as a cursor, where a reader that comes to `next_position` has read all of it. Cursors are
    /// moved there: what has no effect (a refusal, another epoch's beginning) is behind them as well.
    fn end_of(&self, log: Log, next_position: u64) -> Option<Cursor> {
        let last = self.positions(log).0;
        let is_at_end = last > 0 && next_position == last + 1;
        is_at_end.then(|| Cursor { epoch: self.journal.node().epoch(), position: last })
    }
    /// The last position of a journal, and how far it has been applied.
    pub fn positions(&self, log: Log) -> (u64, u64) {
        match log {
            Log::Facts => (self.journal.facts().last_position(), self.applied_facts.load(Ordering::Relaxed)),
            Log::Clicks => {
                (self.journal.clicks().last_position(), self.applied_clicks.load(Ordering::Relaxed))
            }
        }
    }
    fn set_applied(&self, log: Log, position: u64) {
        match log {
            Log::Facts => self.applied_facts.store(position, Ordering::Relaxed),
            Log::Clicks => self.applied_clicks.store(position, Ordering::Relaxed),
        }
    }
    /// Waits until the drainer has made sure that the store still has what was applied to it.
    pub(crate) async fn store_is_checked(&self) {
        let mut checks = self.checks.subscribe();
        self.check_wanted.store(true, Ordering::Relaxed);
        self.check_wish.notify_one();
        // The sender lives in `self`, so that waiting can't fail.
        drop(checks.changed().await);
    }
    fn check_wanted(&self) -> bool {
        self.check_wanted.load(Ordering::Relaxed)
    }
    async fn until_check_wanted(&self) {
        self.check_wish.notified().await;
    }
    fn checked(&self) {
        self.check_wanted.store(false, Ordering::Relaxed);
        self.checks.send_modify(|checks| *checks += 1);
    }
    /// Something that must run has ended: the process stops, rather than to go on without it.
    fn die(&self, why: &str) {
        lock(&self.fatal).get_or_insert_with(|| why.to_owned());
        self.stop.set();
    }
    /// Why the node must stop, if it must.
    pub fn fatal(&self) -> Option<String> {
        lock(&self.fatal).clone()
    }
}

/// A record that would not be read as it is written is refused: once journaled, it would stop every reader.
fn check_reads_back(record: &Record, payload: &[u8]) -> Result<(), AppendError> {
    match serde_json::from_slice::<Record>(payload) {
        Ok(read) if read == *record => Ok(()),
        Ok(_) => Err(AppendError::Unreadable("it would say something else".to_owned())),
        Err(error) => Err(AppendError::Unreadable(error.to_string())),
    }
}

/// Runs a task that the server can't do without: if it panics, which is a bug, the process stops and its
/// supervisor starts it anew.
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
                "the {name} panicked: this is a bug, the log tells where; start the server again"
            ));
        }
    }
}

/// Nothing panics while it holds these locks; if it did, what they guard is still whole.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::money::Money;

    #[test]
    fn what_would_not_be_read_as_it_is_written_is_not_journaled() {
        let fact = |text: &str| {
            Fact::NoteAdded(fact::NoteAdded {
                affiliate_id: AffiliateId::from_bits(7),
                text: text.to_owned(),
            })
        };
        let record = Record { at: DateTime::UNIX_EPOCH, by: "ann".to_owned(), fact: fact("a note") };
        let payload = serde_json::to_vec(&record).expect("plain data");
        assert!(check_reads_back(&record, &payload).is_ok());
        let another = Record { fact: fact("another"), ..record.clone() };
        assert!(matches!(check_reads_back(&another, &payload), Err(AppendError::Unreadable(_))));
        assert!(matches!(check_reads_back(&record, &payload[1..]), Err(AppendError::Unreadable(_))));
        // More than any sum of rates that can be configured.
        let sum: Money = std::iter::repeat_n(Money::from_cents(i64::MAX), 20).sum();
        assert!(serde_json::from_str::<Money>(&format!("\"{sum}\"")).is_err());
    }
}
