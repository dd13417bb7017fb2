//! A PayPal of our own, for the tests and the demo: it pays nobody, and keeps a book of whom it would have paid.
//!
//! It behaves as PayPal was seen to behave, also where that differs from PayPal's documents: it keeps a batch's id for
//! 30 days and forgets it then, a denied batch does not hold its id, the header `PayPal-Request-Id` guards against
//! nothing, and "already exists" comes with a link. It has a clock of its own. What becomes of an item follows from
//! its receiver ([`outcomes`]); what it says can be a [`Lie`], for one call. Its book ([`Fake::payments`]) is the judge.

mod answers;
mod book;
mod create;
mod lies;
mod notices;
pub mod outcomes;
mod reads;
mod serve;
mod tokens;

pub use book::Payment;
pub use lies::{Does, Lie, ReadLie, Says, TokenLie};
pub use notices::{CERTIFICATE_PATH, Notice, Signer, Target};

use crate::clock::Clock;
use book::Book;
use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokens::Tokens;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The app that it knows.
pub const CLIENT_ID: &str = "counterfoil-app";
/// The app's secret.
pub const CLIENT_SECRET: &str = "no-secret-at-all";
/// PayPal shows so many items on a page at most.
const PAGE_ITEMS: usize = 1_000;

/// A call, and what it was answered.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query.
    pub query: String,
    /// The header `PayPal-Request-Id`.
    pub request_id: Option<String>,
    /// What was sent.
    pub body: Vec<u8>,
    /// The status that it was answered with; `None`: there was no whole answer.
    pub status: Option<u16>,
    /// The answer's body.
    pub answer: Vec<u8>,
    /// Whether the answer is the truth.
    pub is_honest: bool,
}

/// All that it knows.
struct State {
    clock: Clock,
    book: Book,
    tokens: Tokens,
    notices: notices::Notices,
    exchanges: Vec<Exchange>,
    create_lies: VecDeque<Lie>,
    read_lies: VecDeque<ReadLie>,
    token_lies: VecDeque<TokenLie>,
    /// What is in the account; `None`: enough.
    funds: Option<Decimal>,
    page_items: usize,
    /// How long a batch takes.
    takes: TimeDelta,
}

/// A fake PayPal that listens on a loopback address, until it is dropped.
pub struct Fake {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fake {
    /// Starts one, whose clock begins at `now`.
    pub async fn start(now: DateTime<Utc>) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State {
            clock: Clock::settable(now),
            book: Book::default(),
            tokens: Tokens::default(),
            notices: notices::Notices::default(),
            exchanges: Vec::new(),
            create_lies: VecDeque::new(),
            read_lies: VecDeque::new(),
            token_lies: VecDeque::new(),
            funds: None,
            page_items: PAGE_ITEMS,
            takes: TimeDelta::zero(),
        }));
        let accepting = tokio::spawn(serve::accept(listener, address, Arc::clone(&state)));
        Ok(Self { state, address, accepting })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Where its API is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What its clock says.
    pub fn now(&self) -> DateTime<Utc> {
        self.state().clock.now()
    }
    /// Sets its clock.
    pub fn at(&self, now: DateTime<Utc>) {
        self.state().clock.set(now);
    }
    /// Puts its clock forward.
    pub fn passes(&self, time: TimeDelta) {
        let state = self.state();
        state.clock.set(state.clock.now() + time);
    }

    /// Each payment that money was taken for, and how it stands now. It is the judge of who was paid, and how often.
    pub fn payments(&self) -> Vec<Payment> {
        let state = self.state();
        state.book.payments(state.clock.now())
    }
    /// The calls so far.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.state().exchanges.clone()
    }
    /// The calls so far, as `POST /v1/payments/payouts`.
    pub fn requests(&self) -> Vec<String> {
        let state = self.state();
        state.exchanges.iter().map(|one| format!("{} {}", one.method, one.path)).collect()
    }

    /// What it does at the next creation of a batch that has none set yet.
    pub fn next_create(&self, lie: Lie) {
        self.state().create_lies.push_back(lie);
    }
    /// What it says the next time that a batch or an item is read.
    pub fn next_read(&self, lie: ReadLie) {
        self.state().read_lies.push_back(lie);
    }
    /// What it says the next time that a token is asked for.
    pub fn next_token(&self, lie: TokenLie) {
        self.state().token_lies.push_back(lie);
    }

    /// It tells the truth from now on.
    pub fn lies_no_more(&self) {
        let mut state = self.state();
        let state = &mut *state;
        (state.create_lies, state.read_lies, state.token_lies) = Default::default();
    }
    /// No token is good any longer.
    pub fn forgets_tokens(&self) {
        self.state().tokens.forget();
    }
    /// How long the next tokens are good.
    pub fn tokens_are_good_for(&self, time: TimeDelta) {
        self.state().tokens.good_for = time;
    }
    /// What is in the account; `None`: enough.
    pub fn has(&self, funds: Option<Decimal>) {
        self.state().funds = funds;
    }
    /// How many items a page has at most.
    pub fn shows(&self, page_items: usize) {
        self.state().page_items = page_items.clamp(1, PAGE_ITEMS);
    }
    /// How long a batch takes, by its clock.
    pub fn takes(&self, time: TimeDelta) {
        self.state().takes = time;
    }

    /// The payee claims an item that nobody had claimed.
    pub fn is_claimed(&self, sender_item_id: &str) {
        self.goes_on(sender_item_id, "SUCCESS");
    }
    /// The payee sends the money back.
    pub fn is_refunded(&self, sender_item_id: &str) {
        self.goes_on(sender_item_id, "REFUNDED");
    }
    /// An item gets another status now, and keeps it.
    pub fn goes_on(&self, sender_item_id: &str, word: &'static str) {
        let mut state = self.state();
        let now = state.clock.now();
        state.book.goes_on(sender_item_id, word, now);
    }

    /// Sends notifications to a program, from now on.
    pub fn notifies(&self, target: Target) {
        self.state().notices.target = Some(target);
    }
    /// What it has to tell since the last time, signed. A test may lose, double and reorder them.
    pub fn notices(&self) -> Vec<Notice> {
        let mut state = self.state();
        let state = &mut *state;
        state.notices.news(&state.book, state.clock.now(), self.address)
    }
    /// Sends a notification; `None`: there was no answer.
    pub async fn send(&self, notice: &Notice) -> Option<u16> {
        let target = self.state().notices.target.as_ref().map(|target| target.url.clone())?;
        notices::send(&target, notice).await
    }
    /// What is at the address of its certificate from now on.
    pub fn serves_certificate(&self, pem: &str) {
        self.state().notices.served = Some(pem.to_owned());
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
