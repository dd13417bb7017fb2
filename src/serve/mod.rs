//! The whole server: what is opened (`open`), what listens (`listen`), how the parts are connected (`wire`), and
//! in which order everything stops.
//!
//! Start: secrets → journal (the data directory's lock) → store → application (drainers, heartbeat) → listeners →
//! `serve.json` → schedule. Stop: no new connections → requests end → drainers apply what they can → the
//! journal is flushed → the lock is given back.

mod listen;
mod open;
mod wire;

pub use open::Resources;

use crate::app::people::SAMPLE_IN_USE;
use crate::app::{App, Parts, Running, Stop, guarded};
use crate::clock::Clock;
use crate::config::{Config, ConfigError, Secrets};
use crate::http::click::Edge;
use crate::jobs;
use crate::jobs::mail::Post;
use crate::journal::JournalError;
use crate::mail;
use crate::metrics::Metrics;
use crate::paypal::Client;
use crate::store::StoreError;
use listen::Listener;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// How long the start waits for the store before it serves without it, with the links that the node kept on its
/// disk.
const STORE_PATIENCE: Duration = Duration::from_secs(2);
const STORE_POLL: Duration = Duration::from_millis(5);

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration or a secret is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data directory can't be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A listener can't use its address.
    #[error("listen on {address}: {error}; is another server running, or is the port taken?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What is wrong.
        error: std::io::Error,
    },
    /// The node and the store don't belong together.
    #[error("{0}")]
    Refused(String),
}

/// What a server is started for.
#[derive(Debug, Clone)]
pub enum Mode {
    /// Both listeners and the schedule; the clock may be set through the internal listener if it is given.
    Serve {
        /// The clock, if it can be set: for tests and the demo.
        settable_clock: Option<Clock>,
    },
    /// The internal listener alone, for one command.
    Command,
}

impl Mode {
    fn settable_clock(&self) -> Option<Clock> {
        match self {
            Self::Serve { settable_clock } => settable_clock.clone(),
            Self::Command => None,
        }
    }
}

/// A running server.
#[derive(Debug)]
pub struct Serving {
    running: Running,
    open: Open,
    /// Whether secrets were created by this start.
    pub made_secrets: bool,
}

/// The listeners, and the jobs.
#[derive(Debug)]
struct Open {
    shutdown: Stop,
    listeners: Vec<Listener>,
    jobs: Vec<JoinHandle<()>>,
    public: SocketAddr,
    internal: SocketAddr,
}

impl Serving {
    /// Starts the server.
    pub async fn start(config: &Config, clock: Clock, mode: Mode) -> Result<Self, ServeError> {
        let (Resources { secrets, keyring, settings, store }, journal) = Resources::open(config)?;
        let metrics = Arc::new(Metrics::new());
        let running =
            Running::start(Parts { clock, journal, store, keyring, metrics, settings, beside: Vec::new() });
        match Open::begin(&running.app, &secrets, mode).await {
            Ok(open) => Ok(Self { running, open, made_secrets: secrets.made }),
            Err(error) => {
                running.stop().await;
                Err(error)
            }
        }
    }

    /// The application.
    pub const fn app(&self) -> &Arc<App> {
        &self.running.app
    }
    /// The address of the public listener; port 0 if there is none.
    pub const fn public(&self) -> SocketAddr {
        self.open.public
    }
    /// The address of the internal listener.
    pub const fn internal(&self) -> SocketAddr {
        self.open.internal
    }
    /// Where mail goes.
    pub fn mail_route(&self) -> &mail::MailRoute {
        &self.running.app.settings().mail_route
    }
    /// Ready when the node finds that it must not run; returns the reason.
    pub async fn failed(&self) -> String {
        self.running.app.stopping().wait().await;
        match self.running.app.fatal() {
            Some(why) => why,
            // It was asked to stop: the one who asked continues.
            None => std::future::pending().await,
        }
    }

    /// Stops in order; everything acknowledged is on disk.
    pub async fn stop(self) {
        self.open.shutdown.set();
        for listener in self.open.listeners {
            match listener.await {
                Ok(drained) if drained.cut_off > 0 => {
                    tracing::warn!(connections = drained.cut_off, "connections were cut off");
                }
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "the task of a listener failed"),
            }
        }
        self.running.app.stopping().set();
        for job in self.open.jobs {
            // The schedule ends by itself, after a run that is under way.
            if let Err(error) = job.await {
                tracing::error!(%error, "a job failed");
            }
        }
        self.running.stop().await;
    }
}

impl Open {
    async fn begin(app: &Arc<App>, secrets: &Secrets, mode: Mode) -> Result<Self, ServeError> {
        wait_for_the_store(app).await?;
        let edge = wire::edge(app)?;
        wire::show_metrics(app, &edge);
        let state = wire::api_state(app, secrets, mode.settable_clock())?;
        let pages = wire::page_state(app)?;
        let internal = listen::bind(app, app.config().listen.internal)?;
        let mut open = Self {
            shutdown: Stop::default(),
            listeners: Vec::new(),
            jobs: Vec::new(),
            public: SocketAddr::new(internal.address.ip(), 0),
            internal: internal.address,
        };
        if let Mode::Serve { .. } = mode {
            check_agreement(app).await?;
            let post = wire::post(app)?;
            let public = listen::bind(app, app.config().listen.public)?;
            open.public = public.address;
            // Before anything listens: a configuration that can't pay is said at the start.
            let paypal = app.config().paypal()?.map(Arc::new);
            let hook = wire::hook(app, paypal.as_ref())?;
            open.jobs = start_jobs(app, &edge, post, paypal);
            let router = crate::http::public_fallback_router(pages.clone(), hook);
            open.listeners.push(listen::public(app, public, edge, router, &open.shutdown));
        }
        let router = crate::http::internal_router(state, app.config().pages.staff.then_some(pages));
        open.listeners.push(listen::internal(app, internal, router, &open.shutdown));
        Ok(open)
    }
}

/// The jobs of a server.
fn start_jobs(
    app: &Arc<App>,
    edge: &Arc<Edge>,
    post: Post,
    paypal: Option<Arc<Client>>,
) -> Vec<JoinHandle<()>> {
    let again = || Arc::clone(app);
    let mut running = vec![
        tokio::spawn(guarded(app, "links", jobs::links::run(again(), Arc::clone(edge)))),
        tokio::spawn(guarded(app, "post", jobs::mail::run(again(), post))),
        tokio::spawn(guarded(app, "news", jobs::news::run(again()))),
        tokio::spawn(guarded(app, "claims", jobs::claims::run(again()))),
        tokio::spawn(guarded(app, "restate", jobs::restate::run(again()))),
        tokio::spawn(guarded(app, "retention", jobs::retention::run(again()))),
    ];
    if let Some(at) = app.config().aggregate.at {
        running.push(tokio::spawn(guarded(app, "nightly schedule", jobs::schedule::run(again(), at))));
    }
    if let Some(at) = app.config().payouts.at {
        running.push(tokio::spawn(guarded(app, "payout schedule", jobs::payouts::run(again(), at))));
    }
    if let Some(paypal) = paypal {
        running.push(tokio::spawn(guarded(app, "payouts by PayPal", jobs::payouts::pay(again(), paypal))));
    }
    running
}

async fn wait_for_the_store(app: &App) -> Result<(), ServeError> {
    let begun = Instant::now();
    while !app.store_is_up() && begun.elapsed() < STORE_PATIENCE {
        if let Some(why) = app.fatal() {
            return Err(ServeError::Refused(why));
        }
        tokio::time::sleep(STORE_POLL).await;
    }
    Ok(())
}

/// No page may show another text above a signature.
async fn check_agreement(app: &App) -> Result<(), ServeError> {
    if app.config().signs_the_sample() {
        tracing::warn!("{SAMPLE_IN_USE}");
    }
    match app.agreement_trouble().await {
        Ok(None) => Ok(()),
        Ok(Some(trouble)) => Err(ConfigError(trouble).into()),
        Err(error) => {
            // The store does not answer: this is checked again before anybody signs.
            tracing::warn!(%error, "whether the agreement's version has this text could not be checked");
            Ok(())
        }
    }
}
