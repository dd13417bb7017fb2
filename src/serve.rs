//! The whole server, put together: what is opened in which order, and what is stopped in which.
//!
//! Start: secrets → journal (the data directory's lock) → store → application (drainers, heartbeat) → listeners →
//! `serve.json` → schedule. Stop: no new connections → requests end → drainers apply what they can → the
//! journal is flushed → the lock is given back.

use crate::app::people::SAMPLE_IN_USE;
use crate::app::{App, MailSettings, Parts, PortalSettings, Running, Settings, Stop, guarded};
use crate::clock::Clock;
use crate::config::{self, Config, ConfigError, Scope, Secret, Secrets, StoreUrl};
use crate::domain::destination::AllowList;
use crate::domain::email::canonical_email;
use crate::domain::event_types::EventTypes;
use crate::domain::outcome::ClickDrop;
use crate::domain::pepper::Pepper;
use crate::domain::program::hex;
use crate::domain::token::Keyring;
use crate::edge::{ClickSink, Routes, kept};
use crate::http::auth::{self, ApiKey, ApiKeys};
use crate::http::click::{self, Edge, EdgeSettings};
use crate::http::client_ip::Peer;
use crate::http::pages::{self, PageState, Shown, Site, Views};
use crate::http::refused::Refusals;
use crate::http::state::{Answered, ApiState, DestinationRefused, Hooks, ProgramSettings};
use crate::http::visitor_cookie::{CookieMode, VisitorCookie};
use crate::http::webhook::WebhookSecrets;
use crate::jobs::mail::Post;
use crate::journal::{Journal, JournalError};
use crate::mail;
use crate::metrics::{self, Metrics, RouteMetrics};
use crate::server::{self, Gauges};
use crate::store::sqlite::SqliteStore;
use crate::store::{self, Log, Store, StoreError, StoreSettings};
use axum::Router;
use bytes::Bytes;
use futures_util::future::Either;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tower::ServiceExt;

/// How long the start waits for the store before it serves without, by the links that the node kept on its disk.
const STORE_PATIENCE: Duration = Duration::from_secs(2);
const STORE_POLL: Duration = Duration::from_millis(5);

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration or a secret.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data directory.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A listener.
    #[error("listen on {address}: {error}; is another server running, or is the port taken?")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: std::io::Error,
    },
    /// The node and the store don't belong together.
    #[error("{0}")]
    Refused(String),
}

/// What a server is started for.
#[derive(Debug, Clone)]
pub enum Purpose {
    /// Both listeners and the schedule; the clock may be set through the internal listener if it is given.
    Serve {
        /// For tests and the demo.
        settable_clock: Option<Clock>,
    },
    /// The internal listener alone, for one command.
    Command,
}

/// A running server.
#[derive(Debug)]
pub struct Serving {
    running: Running,
    shutdown: Stop,
    listeners: Vec<JoinHandle<server::Drained>>,
    jobs: Vec<JoinHandle<()>>,
    public: SocketAddr,
    internal: SocketAddr,
    /// Whether secrets were made just now.
    pub made_secrets: bool,
}

/// What all parts of a node share before it serves.
#[derive(Debug)]
pub struct Foundation {
    /// Secrets.
    pub secrets: Secrets,
    /// Signs and verifies.
    pub keyring: Arc<Keyring>,
    /// What the application is told.
    pub settings: Settings,
    /// Where what is derived lives.
    pub store: Arc<dyn Store>,
    /// The journal; it holds the data directory.
    journal: Option<Journal>,
}

impl Foundation {
    /// Reads secrets, takes the data directory, opens the store.
    fn lay(config: &Config) -> Result<Self, ServeError> {
        // Before the journal: secrets are made for a data directory without history only.
        let secrets = Secrets::open(config)?;
        crate::private::tighten(&config.data_dir);
        let journal = Journal::open(&config.data_dir, &journal_settings(config))?;
        for torn in journal.torn_tails() {
            tracing::warn!(
                ?torn,
                "the last record was not written whole and was never acknowledged; it is cut off"
            );
        }
        Ok(Self { journal: Some(journal), ..Self::without_journal(config, secrets)? })
    }
    /// All but the journal: for replaying those of other directories.
    pub fn without_journal(config: &Config, secrets: Secrets) -> Result<Self, ServeError> {
        let keyring = Arc::new(keyring(&secrets)?);
        let settings = settings(config, &secrets)?;
        Ok(Self { secrets, keyring, settings, store: open_store(config)?, journal: None })
    }
}

/// Opens the configured store.
pub fn open_store(config: &Config) -> Result<Arc<dyn Store>, ServeError> {
    let settings = StoreSettings { timeout: Duration::from_millis(config.store.timeout_ms) };
    Ok(match config.store_url()? {
        StoreUrl::Sqlite(file) => Arc::new(SqliteStore::open(&file)?),
        StoreUrl::Redis(url) => store::open(url.expose(), &config.data_dir, &settings)?,
    })
}

fn journal_settings(config: &Config) -> crate::journal::Settings {
    crate::journal::Settings {
        segment_bytes: config.journal.segment_mib << 20,
        click_backlog_bytes: config.journal.clicks_backlog_cap_mib << 20,
        click_flush_interval: Duration::from_millis(config.journal.clicks_sync_ms),
        ..crate::journal::Settings::default()
    }
}

fn keyring(secrets: &Secrets) -> Result<Keyring, ConfigError> {
    let keys: Vec<(String, Vec<u8>)> =
        secrets.signing.iter().map(|(id, key)| (id.clone(), key.expose().to_vec())).collect();
    Keyring::new(&secrets.current, &keys, &secrets.retired)
        .map_err(|error| ConfigError(format!("keys: failed to {error}")))
}

fn settings(config: &Config, secrets: &Secrets) -> Result<Settings, ConfigError> {
    let pepper = Pepper::new(secrets.pepper.expose())
        .map_err(|error| ConfigError(format!("evidence.pepper: failed to {error}")))?;
    let digest = |key: &[u8]| {
        let digest = Sha256::new().chain_update(b"counterfoil key digest").chain_update(key).finalize();
        hex(&digest[..16])
    };
    let pepper_digest = ("pepper".to_owned(), digest(secrets.pepper.expose()));
    let signing = secrets.signing.iter().map(|(id, key)| (id.clone(), digest(key.expose())));
    Ok(Settings {
        rules: Arc::new(config.rules()),
        attribution: config.attribution_rules(),
        close_delay_days: config.program.close_delay_days,
        minimum_payout: config.program.minimum_payout,
        public_url: config.listen.public_base().to_owned(),
        key_digests: signing.chain([pepper_digest]).collect(),
        pepper: Arc::new(pepper),
        staff_url: config.listen.staff_base(),
        portal: Arc::new(PortalSettings {
            program_name: config.portal.program_name.clone(),
            company: config.portal.company.clone(),
            agreement: config.portal.agreement()?,
            signs_the_sample: config.portal.is_sample() && !config.listen.is_on_loopback(),
            support_email: config.portal.support_email.clone(),
            templates: config.pages.templates.clone(),
        }),
        data_dir: config.data_dir.clone(),
        embedded: matches!(config.store_url()?, StoreUrl::Sqlite(_)),
        apply_patience: Duration::from_millis(config.limits.apply_ms),
        mail: MailSettings {
            route: config.mail_route()?.to_string(),
            keeps_from_people: config.keeps_mail_from_people(),
        },
    })
}

impl Serving {
    /// Starts the server.
    pub async fn start(config: &Config, clock: Clock, purpose: Purpose) -> Result<Self, ServeError> {
        let Foundation { secrets, keyring, settings, store, journal } = Foundation::lay(config)?;
        // `lay` opens one.
        let journal = journal.expect("a journal was opened");
        let metrics = Arc::new(Metrics::new());
        let parts = Parts {
            clock: clock.clone(),
            journal,
            store,
            keyring: Arc::clone(&keyring),
            metrics: Arc::clone(&metrics),
            settings,
            beside: Vec::new(),
        };
        let running = Running::start(parts);
        let listening = Listening { config, secrets: &secrets, metrics: &metrics, running: &running };
        match listening.open(&keyring, &clock, purpose).await {
            Ok((shutdown, listeners, public, internal, jobs)) => {
                let made_secrets = secrets.made;
                Ok(Self { running, shutdown, listeners, jobs, public, internal, made_secrets })
            }
            Err(error) => {
                running.stop().await;
                Err(error)
            }
        }
    }

    /// The server's inside.
    pub const fn app(&self) -> &Arc<App> {
        &self.running.app
    }
    /// Where prospects are answered; port 0 where nobody is.
    pub const fn public(&self) -> SocketAddr {
        self.public
    }
    /// Where the company is answered.
    pub const fn internal(&self) -> SocketAddr {
        self.internal
    }

    /// Where mail goes.
    pub fn mail_route(&self) -> &str {
        &self.running.app.settings().mail.route
    }
    /// Ready when the node finds that it must not run, with why.
    pub async fn failed(&self) -> String {
        self.running.app.stopping().wait().await;
        match self.running.app.fatal() {
            Some(why) => why,
            // It was asked to stop in earnest: whoever asked goes on.
            None => std::future::pending().await,
        }
    }

    /// Stops in order; everything acknowledged is on disk.
    pub async fn stop(self) {
        self.shutdown.set();
        for listener in self.listeners {
            match listener.await {
                Ok(drained) if drained.cut_off > 0 => {
                    tracing::warn!(connections = drained.cut_off, "connections were cut off");
                }
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "a listener ended badly"),
            }
        }
        self.running.app.stopping().set();
        for job in self.jobs {
            // It ends by itself, after the run that it may be making.
            if let Err(error) = job.await {
                tracing::error!(%error, "a job ended badly");
            }
        }
        self.running.stop().await;
    }
}

/// What the listeners are opened with.
struct Listening<'a> {
    config: &'a Config,
    secrets: &'a Secrets,
    metrics: &'a Arc<Metrics>,
    running: &'a Running,
}

type Opened = (Stop, Vec<JoinHandle<server::Drained>>, SocketAddr, SocketAddr, Vec<JoinHandle<()>>);

impl Listening<'_> {
    async fn open(
        &self,
        keyring: &Arc<Keyring>,
        clock: &Clock,
        purpose: Purpose,
    ) -> Result<Opened, ServeError> {
        wait_for_the_store(self.running).await?;
        let edge = edge(self.config, self.running, keyring, clock)?;
        show_metrics(self.metrics, self.running, &edge);
        let shutdown = Stop::default();
        let settable_clock = match &purpose {
            Purpose::Serve { settable_clock } => settable_clock.clone(),
            Purpose::Command => None,
        };
        let state = api_state(self.config, self.secrets, self.running, self.metrics, settable_clock)?;
        let pages = page_state(self.config, &state)?;
        let (internal_socket, internal) = self.bind(self.config.listen.internal)?;
        let mut listeners = Vec::new();
        let mut public = SocketAddr::new(internal.ip(), 0);
        let mut jobs = Vec::new();
        if let Purpose::Serve { .. } = purpose {
            self.check_agreement().await?;
            let (socket, address) = self.bind(self.config.listen.public)?;
            public = address;
            jobs.push(tokio::spawn(guarded(
                &self.running.app,
                "links",
                crate::jobs::links::run(Arc::clone(&self.running.app), Arc::clone(&edge)),
            )));
            let fallback = crate::http::public_fallback_router(pages.clone());
            let routes = PublicRoutes {
                redirect: self.metrics.route("public", "/r/{token}", true),
                script: self.metrics.route("public", "/counterfoil", false),
                other: self.metrics.route("public", "other", false),
            };
            listeners.push(tokio::spawn(server::serve(
                socket,
                move |request, peer| public_answer(&edge, &fallback, &routes, request, peer),
                self.config.limits.for_listener(self.config.limits.connections),
                self.gauges("public"),
                until(shutdown.clone()),
            )));
            let app = &self.running.app;
            let at = self.config.aggregate.at;
            let schedule =
                |at| guarded(app, "nightly schedule", crate::jobs::schedule::run(Arc::clone(app), at));
            jobs.extend(at.map(|at| tokio::spawn(schedule(at))));
            let post = post(self.config, app)?;
            jobs.push(tokio::spawn(guarded(app, "post", crate::jobs::mail::run(Arc::clone(app), post))));
            jobs.push(tokio::spawn(guarded(app, "claims", crate::jobs::claims::run(Arc::clone(app)))));
            jobs.push(tokio::spawn(guarded(app, "restate", crate::jobs::restate::run(Arc::clone(app)))));
            jobs.push(tokio::spawn(guarded(app, "retention", crate::jobs::retention::run(Arc::clone(app)))));
        }
        let router = crate::http::internal_router(state, self.config.pages.staff.then_some(pages));
        listeners.push(tokio::spawn(server::serve(
            internal_socket,
            move |request, peer| routed(router.clone(), request, peer),
            self.config.limits.for_listener(self.config.limits.internal_connections),
            self.gauges("internal"),
            until(shutdown.clone()),
        )));
        Ok((shutdown, listeners, public, internal, jobs))
    }

    /// No page may show another text above somebody's signature.
    async fn check_agreement(&self) -> Result<(), ServeError> {
        let app = &self.running.app;
        if app.settings().portal.signs_the_sample {
            tracing::warn!("{SAMPLE_IN_USE}");
        }
        match app.agreement_trouble().await {
            Ok(None) => Ok(()),
            Ok(Some(trouble)) => Err(ConfigError(trouble).into()),
            Err(error) => {
                // The store is away: it is asked again before anybody signs.
                tracing::warn!(%error, "whether the agreement's version has this text could not be checked");
                Ok(())
            }
        }
    }

    fn bind(&self, address: SocketAddr) -> Result<(tokio::net::TcpListener, SocketAddr), ServeError> {
        let failed = |error| ServeError::Listen { address, error };
        let socket = server::bind(address, self.config.listen.reuse_port).map_err(failed)?;
        let bound = socket.local_addr().map_err(failed)?;
        Ok((socket, bound))
    }
    fn gauges(&self, listener: &'static str) -> Arc<Gauges> {
        let gauges = Arc::new(Gauges::default());
        self.metrics.read_listener(listener, &gauges);
        gauges
    }
}

async fn until(stop: Stop) {
    stop.wait().await;
}

async fn wait_for_the_store(running: &Running) -> Result<(), ServeError> {
    let begun = Instant::now();
    while !running.app.store_is_up() && begun.elapsed() < STORE_PATIENCE {
        if let Some(why) = running.app.fatal() {
            return Err(ServeError::Refused(why));
        }
        tokio::time::sleep(STORE_POLL).await;
    }
    Ok(())
}

fn show_metrics(metrics: &Metrics, running: &Running, edge: &Arc<Edge>) {
    for log in [Log::Facts, Log::Clicks] {
        let app = Arc::clone(&running.app);
        metrics.read_journal(log, move || app.positions(log));
        let app = Arc::clone(&running.app);
        metrics.read(metrics::JOURNAL_STANDSTILL, &[log.code()], move || app.stands_for_seconds(log));
    }
    metrics.read(metrics::LOG_LINES_DROPPED, &[], crate::telemetry::lines_dropped);
    let app = Arc::clone(&running.app);
    metrics.read(metrics::STORE_UP, &[], move || u64::from(app.store_is_up()));
    let app = Arc::clone(&running.app);
    metrics.read(metrics::OUTBOX_BACKLOG, &[], move || app.waiting_mail_count());
    let app = Arc::clone(&running.app);
    metrics.read(metrics::FACTS_WAITING_ASIDE, &[], move || app.facts_set_aside());
    let app = Arc::clone(&running.app);
    metrics.read(metrics::FACTS_SET_ASIDE, &[], move || app.facts_set_aside_here());
    let [received, journaled, dropped, subs_dropped] = [(); 4].map(|()| Arc::clone(edge));
    metrics.read_clicks(
        move || received.counts().received(),
        move |verdict| journaled.counts().journaled(verdict),
        move |reason| dropped.counts().dropped(reason),
        move |reason| subs_dropped.counts().subs_dropped(reason),
    );
}

fn edge(
    config: &Config,
    running: &Running,
    keyring: &Arc<Keyring>,
    clock: &Clock,
) -> Result<Arc<Edge>, ConfigError> {
    let wrong = |key: &str, error: &dyn std::fmt::Display| ConfigError(format!("{key}: failed to {error}"));
    let allowed = allow_list(config)?;
    let landing = allowed
        .destination(config.program.landing.as_str())
        .map_err(|error| wrong("program.landing", &error))?;
    let mode = match config.cookie.mode {
        config::CookieMode::Always => CookieMode::Always,
        config::CookieMode::OnConsent => CookieMode::OnConsent,
        config::CookieMode::Never => CookieMode::Never,
    };
    let cookie = VisitorCookie::new(
        &config.cookie.name,
        &config.cookie.domain,
        mode,
        config.listen.is_secure(),
        u64::from(config.program.window_days) * 24 * 60 * 60,
    )
    .map_err(|error| wrong("cookie", &error))?;
    let settings = EdgeSettings {
        landing,
        allowed: allowed.clone(),
        window_days: config.program.window_days,
        cookie,
        trusted_proxies: config.listen.trusted_proxies.clone(),
        clicks_per_minute_per_ip: config.limits.clicks_per_minute_per_ip,
    };
    let sink = Arc::new(JournalSink(Arc::clone(&running.app)));
    let edge = Arc::new(Edge::new(Arc::clone(keyring), clock.clone(), settings, sink));
    match kept::read(&config.data_dir, &allowed) {
        Ok(routes) => edge.take_routes(routes),
        Err(error) => tracing::warn!(
            %error,
            "the links kept in {} can't be read; deep links lead to the landing page until the store answers",
            config.data_dir.display()
        ),
    }
    let listening = Arc::clone(&edge);
    running.app.on_directory(move |directory, is_whole| {
        let affiliates = directory.affiliates();
        let affiliates = affiliates.iter().map(AsRef::as_ref);
        let routes = Routes::build(affiliates, directory.links().map(AsRef::as_ref), &allowed);
        if is_whole {
            listening.take_routes(routes);
        } else {
            listening.take_new_routes(&routes);
        }
    });
    Ok(edge)
}

/// What writes and sends mail.
fn post(config: &Config, app: &App) -> Result<Post, ConfigError> {
    let wrong = |key: &str, why: String| ConfigError(format!("mail.{key}: {why}"));
    let settings = app.settings();
    let (portal, base) = (&settings.portal, &settings.public_url);
    let context = mail::Context {
        program: portal.program_name.clone(),
        company: portal.company.clone(),
        support: portal.support_email.clone().unwrap_or_default(),
        portal: format!("{base}/portal"),
        sign_in: format!("{base}/login"),
        referrals: format!("{base}/portal/referrals"),
        zone: app.zone().clone(),
    };
    let templates = mail::Templates::open(context, &config.mail.templates)
        .map_err(|error| wrong("templates", format!("failed to {error}")))?;
    let address = |key: &str, text: &str| {
        let mut mailbox: lettre::message::Mailbox =
            text.parse().map_err(|error: lettre::address::AddressError| wrong(key, error.to_string()))?;
        // Its domain in ASCII, if it has such a form.
        mailbox.email = canonical_email(mailbox.email.as_ref()).parse().unwrap_or(mailbox.email);
        Ok::<_, ConfigError>(mailbox)
    };
    let reply_to = &config.mail.reply_to;
    let reply_to = if reply_to.is_empty() { None } else { Some(address("reply_to", reply_to)?) };
    let sender = mail::Sender { from: address("from", &config.mail.from)?, reply_to };
    let mailer = mail::Mailer::open(&config.mail_route()?, sender).map_err(|why| wrong("ca_file", why))?;
    Ok(Post { templates, mailer, shows_links: config.is_for_development() })
}

fn allow_list(config: &Config) -> Result<AllowList, ConfigError> {
    AllowList::new(&config.program.destinations)
        .map_err(|error| ConfigError(format!("program.destinations: failed to {error}")))
}

/// The clicks journal, as the edge writes to it.
struct JournalSink(Arc<App>);

impl ClickSink for JournalSink {
    fn append(&self, record: &[u8]) -> Result<(), ClickDrop> {
        self.0.journal.clicks().append(record).map(drop)
    }
}

fn api_state(
    config: &Config,
    secrets: &Secrets,
    running: &Running,
    metrics: &Arc<Metrics>,
    settable_clock: Option<Clock>,
) -> Result<ApiState, ServeError> {
    let app = Arc::clone(&running.app);
    let scope = |scope: &Scope| match scope {
        Scope::Admin => auth::Scope::Admin,
        Scope::Callback => auth::Scope::Callback,
        Scope::Read => auth::Scope::Read,
    };
    let keys = secrets.api_keys.iter().map(|key| ApiKey {
        name: key.name.clone(),
        key: key.key.expose().to_owned(),
        scopes: key.scopes.iter().map(scope).collect(),
    });
    let webhooks = WebhookSecrets::parse(secrets.webhooks.iter().map(Secret::expose))
        .map_err(|error| ConfigError(format!("api.webhook_secrets: failed to {error}")))?;
    Ok(ApiState {
        keys: Arc::new(ApiKeys::new(keys)),
        webhooks: Arc::new(webhooks),
        refusals: Arc::new(Refusals::new(Arc::clone(metrics))),
        program: Arc::new(ProgramSettings {
            partner_types: config.program.partner_types.clone(),
            currency: config.program.currency.clone(),
            mark_days: config.program.mark_days,
            event_types: EventTypes::new(&config.events.aliases, &config.events.ignore),
        }),
        hooks: Arc::new(hooks(config, &app, metrics)?),
        app,
        settable_clock,
    })
}

fn page_state(config: &Config, state: &ApiState) -> Result<PageState, ServeError> {
    let settings = state.app.settings();
    let portal = &settings.portal;
    let views = Views::new(portal.templates.as_deref(), state.app.zone(), &config.program.currency)
        .map_err(|error| ConfigError(format!("pages.templates: failed to {error}")))?;
    let shown = Shown {
        program_name: portal.program_name.clone(),
        company: portal.company.clone(),
        support_email: portal.support_email.clone().unwrap_or_default(),
        landing: config.program.landing.to_string(),
        mark_days: config.program.mark_days,
        window_days: config.program.window_days,
        currency: config.program.currency.clone(),
        timezone: config.program.timezone.clone(),
        css: pages::assets::css(),
        js: pages::assets::js(),
    };
    let site = Site {
        views,
        shown,
        public_url: settings.public_url.clone(),
        staff_url: settings.staff_url.clone(),
        trusted_proxies: config.listen.trusted_proxies.clone(),
        destinations: config.program.destinations.clone(),
    };
    Ok(PageState {
        app: Arc::clone(&state.app),
        program: Arc::clone(&state.program),
        hooks: Arc::clone(&state.hooks),
        site: Arc::new(site),
    })
}

fn hooks(config: &Config, app: &Arc<App>, metrics: &Arc<Metrics>) -> Result<Hooks, ServeError> {
    let allowed = allow_list(config)?;
    let [hashing, zoned] = [(); 2].map(|()| Arc::clone(app));
    let (shown, observed) = (Arc::clone(metrics), Observed::new(metrics));
    Ok(Hooks {
        email_hash: Box::new({
            let hashing = Arc::clone(&hashing);
            move |email| hashing.settings().pepper.email(email)
        }),
        ip_hash: Box::new(move |ip| hashing.settings().pepper.ip(ip)),
        destination_allowed: Box::new(move |text| match allowed.destination(text) {
            Ok(destination) => Ok(destination.as_str().to_owned()),
            Err(_) => Err(DestinationRefused),
        }),
        day_of: Box::new(move |instant| zoned.zone().date_of(instant)),
        metrics: Box::new(move || shown.encode()),
        observe: Box::new(move |answered| observed.note(answered)),
    })
}

/// The counters of the internal listener's routes, made when a route is first answered: their number is
/// that of the routes.
struct Observed {
    metrics: Arc<Metrics>,
    routes: Mutex<HashMap<String, RouteMetrics>>,
}

impl Observed {
    fn new(metrics: &Arc<Metrics>) -> Self {
        Self { metrics: Arc::clone(metrics), routes: Mutex::default() }
    }
    fn note(&self, answered: Answered<'_>) {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let route = routes.entry(answered.route.to_owned()).or_insert_with(|| {
            let timed = matches!(answered.route, "/v1/signups" | "/v1/accounts/{account_id}/events");
            self.metrics.route("internal", answered.route, timed)
        });
        route.answered(answered.status, Some(answered.elapsed));
    }
}

/// An answer of the public listener: a redirect's, or that of another page.
#[derive(Debug)]
enum PublicBody {
    Plain(Full<Bytes>),
    Page(axum::body::Body),
}

impl From<&'static str> for PublicBody {
    fn from(text: &'static str) -> Self {
        Self::Plain(Full::from(text))
    }
}

impl Body for PublicBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.get_mut() {
            Self::Plain(body) => {
                Pin::new(body).poll_frame(context).map_err(|never: Infallible| match never {})
            }
            Self::Page(body) => Pin::new(body).poll_frame(context),
        }
    }
    fn is_end_stream(&self) -> bool {
        match self {
            Self::Plain(body) => body.is_end_stream(),
            Self::Page(body) => body.is_end_stream(),
        }
    }
    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Plain(body) => body.size_hint(),
            Self::Page(body) => body.size_hint(),
        }
    }
}

/// The counters of what the public listener answers.
struct PublicRoutes {
    redirect: RouteMetrics,
    script: RouteMetrics,
    other: RouteMetrics,
}

/// A link is answered where it stands, without a future; everything else goes to the router.
fn public_answer(
    edge: &Edge,
    pages: &Router,
    routes: &PublicRoutes,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> impl Future<Output = Response<PublicBody>> + Send + use<> {
    if Edge::answers(request.uri().path()) {
        let begun = Instant::now();
        let response = edge.handle(&request, peer.ip());
        let is_link = request.uri().path().starts_with(click::PREFIX);
        let route = if is_link { &routes.redirect } else { &routes.script };
        route.answered(response.status().as_u16(), Some(begun.elapsed()));
        return Either::Left(std::future::ready(response.map(PublicBody::Plain)));
    }
    let (answer, other) = (routed(pages.clone(), request, peer), routes.other.clone());
    Either::Right(async move {
        let answer = answer.await;
        other.answered(answer.status().as_u16(), None);
        answer.map(PublicBody::Page)
    })
}

async fn routed(router: Router, request: Request<Incoming>, peer: SocketAddr) -> Response<axum::body::Body> {
    let mut request = request.map(axum::body::Body::new);
    request.extensions_mut().insert(Peer(peer.ip()));
    router.oneshot(request).await.unwrap_or_else(|never: Infallible| match never {})
}
