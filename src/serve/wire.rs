//! How the parts are connected: what each one gets from the others and from the configuration.

use super::ServeError;
use crate::app::App;
use crate::clock::Clock;
use crate::config::{ConfigError, Secrets};
use crate::domain::email::canonical_email;
use crate::domain::outcome::ClickDrop;
use crate::domain::payout::ItemStatus;
use crate::edge::{ClickSink, Routes, kept};
use crate::http::auth::ApiKeys;
use crate::http::click::{Edge, EdgeSettings};
use crate::http::guard::Measured;
use crate::http::pages::{PageState, Views};
use crate::http::paypal::Hook;
use crate::http::refused::Refusals;
use crate::http::state::ApiState;
use crate::http::visitor_cookie::VisitorCookie;
use crate::http::webhook::WebhookSecrets;
use crate::jobs::mail::Post;
use crate::mail;
use crate::metrics;
use crate::paypal::Client;
use crate::secret::Secret;
use crate::store::Log;
use std::sync::Arc;

/// Answers links: it follows the directory, and begins with the links that the node kept on its disk.
pub(super) fn edge(app: &Arc<App>) -> Result<Arc<Edge>, ConfigError> {
    let (config, allowed) = (app.config(), app.settings().destinations.clone());
    let sink = Arc::new(JournalSink(Arc::clone(app)));
    let edge = Edge::new(Arc::clone(app.keyring()), app.clock().clone(), edge_settings(app)?, sink);
    let edge = Arc::new(edge);
    match kept::read(&config.data_dir, &allowed) {
        Ok(routes) => edge.take_routes(routes),
        Err(error) => tracing::warn!(
            %error,
            "the links kept in {} can't be read; deep links lead to the landing page until the store answers",
            config.data_dir.display()
        ),
    }
    let listening = Arc::clone(&edge);
    app.on_directory(move |directory, is_whole| {
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

fn edge_settings(app: &App) -> Result<EdgeSettings, ConfigError> {
    let wrong = |key: &str, error: &dyn std::fmt::Display| ConfigError(format!("{key}: failed to {error}"));
    let (config, allowed) = (app.config(), app.settings().destinations.clone());
    let landing = allowed
        .destination(config.program.landing.as_str())
        .map_err(|error| wrong("program.landing", &error))?;
    let cookie = VisitorCookie::new(
        &config.cookie.name,
        &config.cookie.domain,
        config.cookie.mode,
        config.listen.is_secure(),
        u64::from(config.program.window_days) * 24 * 60 * 60,
    )
    .map_err(|error| wrong("cookie", &error))?;
    Ok(EdgeSettings {
        landing,
        allowed,
        window_days: config.program.window_days,
        cookie,
        trusted_proxies: config.listen.trusted_proxies.clone(),
        clicks_per_minute_per_ip: config.limits.clicks_per_minute_per_ip,
    })
}

/// The clicks journal, as the redirect writes to it.
struct JournalSink(Arc<App>);

impl ClickSink for JournalSink {
    fn append(&self, record: &[u8]) -> Result<(), ClickDrop> {
        self.0.journal.clicks().append(record).map(drop)
    }
}

/// What the handlers of the internal listener need.
pub(super) fn api_state(
    app: &Arc<App>,
    secrets: &Secrets,
    settable_clock: Option<Clock>,
) -> Result<ApiState, ServeError> {
    let webhooks = WebhookSecrets::parse(secrets.webhooks.iter().map(Secret::expose))
        .map_err(|error| ConfigError(format!("api.webhook_secrets: failed to {error}")))?;
    Ok(ApiState {
        keys: Arc::new(ApiKeys::new(secrets.api_keys.iter().cloned())),
        webhooks: Arc::new(webhooks),
        refusals: Arc::new(Refusals::new(Arc::clone(&app.metrics))),
        measured: Arc::new(Measured::new(&app.metrics)),
        app: Arc::clone(app),
        settable_clock,
    })
}

/// What the handlers of pages need.
pub(super) fn page_state(app: &Arc<App>) -> Result<PageState, ServeError> {
    let views = Views::new(app.config(), app.zone())
        .map_err(|error| ConfigError(format!("pages.templates: failed to {error}")))?;
    Ok(PageState { app: Arc::clone(app), views: Arc::new(views) })
}

/// What takes PayPal's notifications, if any are taken.
pub(super) fn hook(app: &Arc<App>, paypal: Option<&Arc<Client>>) -> Result<Option<Arc<Hook>>, ConfigError> {
    let webhooks = app.config().paypal_webhooks()?;
    Ok(webhooks.map(|webhooks| Arc::new(Hook::new(Arc::clone(app), webhooks, paypal.cloned()))))
}

/// The job that writes and sends mail.
pub(super) fn post(app: &App) -> Result<Post, ConfigError> {
    let config = app.config();
    let wrong = |key: &str, why: String| ConfigError(format!("mail.{key}: {why}"));
    let templates = mail::Templates::open(mail_context(app), &config.mail.templates)
        .map_err(|error| wrong("templates", format!("failed to {error}")))?;
    let address = |key: &str, text: &str| {
        let mut mailbox: lettre::message::Mailbox =
            text.parse().map_err(|error: lettre::address::AddressError| wrong(key, error.to_string()))?;
        // The domain in ASCII, if it has such a form.
        mailbox.email = canonical_email(mailbox.email.as_ref()).parse().unwrap_or(mailbox.email);
        Ok::<_, ConfigError>(mailbox)
    };
    let reply_to = &config.mail.reply_to;
    let reply_to = if reply_to.is_empty() { None } else { Some(address("reply_to", reply_to)?) };
    let sender = mail::Sender { from: address("from", &config.mail.from)?, reply_to };
    let mailer =
        mail::Mailer::open(&app.settings().mail_route, sender).map_err(|why| wrong("ca_file", why))?;
    Ok(Post { templates, mailer, shows_links: config.is_for_development() })
}

/// What all mail says about the program.
fn mail_context(app: &App) -> mail::Context {
    let config = app.config();
    let (portal, base) = (&config.portal, config.listen.public_base());
    mail::Context {
        program: portal.program_name.clone(),
        company: portal.company.clone(),
        support: portal.support_email.clone().unwrap_or_default(),
        portal: format!("{base}/portal"),
        sign_in: format!("{base}/login"),
        referrals: format!("{base}/portal/referrals"),
        payouts: format!("{base}/portal/payouts"),
        staff_payouts: format!("{}/admin/payouts", config.listen.staff_base()),
        zone: app.zone().clone(),
    }
}

/// Gives the metrics access to the counters of the parts.
pub(super) fn show_metrics(shown: &Arc<App>, edge: &Arc<Edge>) {
    let metrics = &shown.metrics;
    for log in [Log::Facts, Log::Clicks] {
        let app = Arc::clone(shown);
        metrics.read_journal(log, move || app.positions(log));
        let app = Arc::clone(shown);
        metrics.read(metrics::JOURNAL_STANDSTILL, &[log.code()], move || app.standstill_seconds(log));
    }
    metrics.read(metrics::LOG_LINES_DROPPED, &[], crate::telemetry::lines_dropped);
    let app = Arc::clone(shown);
    metrics.read(metrics::STORE_UP, &[], move || u64::from(app.store_is_up()));
    let app = Arc::clone(shown);
    metrics.read(metrics::OUTBOX_BACKLOG, &[], move || app.waiting_mail_count());
    let app = Arc::clone(shown);
    metrics.read(metrics::FACTS_WAITING_ASIDE, &[], move || app.facts_set_aside());
    let app = Arc::clone(shown);
    metrics.read(metrics::FACTS_SET_ASIDE, &[], move || app.facts_set_aside_here());
    for status in ItemStatus::ALL {
        let app = Arc::clone(shown);
        metrics.read(metrics::PAYOUT_ITEMS, &[status.code()], move || app.payout_items_counted(status));
    }
    let app = Arc::clone(shown);
    metrics.read(metrics::PAYOUT_OLDEST_UNKNOWN, &[], move || app.oldest_unknown_payout_seconds());
    let [received, journaled, dropped, subs_dropped] = [(); 4].map(|()| Arc::clone(edge));
    metrics.read_clicks(
        move || received.counts().received(),
        move |verdict| journaled.counts().journaled(verdict),
        move |reason| dropped.counts().dropped(reason),
        move |reason| subs_dropped.counts().subs_dropped(reason),
    );
}
