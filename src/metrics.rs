//! Every metric that `/metrics` shows: the catalogue is also the manual.
//!
//! Numbers of the request path are counted in plain atomics where they occur, and read here when Prometheus
//! asks ([`Metrics::read`]). Rare measurements are Prometheus metrics whose children are resolved once
//! ([`Metrics::route`]). No label is an affiliate, an account or an address: the number of series is fixed
//! when the server starts.
//!
//! With no click in flight, `clicks_received = sum(clicks_journaled) + sum(clicks_dropped)`; for each log,
//! always, `last_position = applied_position + backlog`.

use crate::domain::named::named;
use crate::domain::outcome::{ClickDrop, FactOutcome, SubDrop, Verdict};
use crate::domain::payout::Answer;
use crate::http::refused::Cause;
use crate::server::Gauges;
use crate::store::Log;
use prometheus::core::{Collector, Desc};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric as Sample, MetricFamily, MetricType};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry, TextEncoder,
};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A metric: its name, type, labels and meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// The name in Prometheus.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its labels, in the order in which values are given.
    pub labels: &'static [&'static str],
    /// What it means.
    pub meaning: &'static str,
}

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only increases, from 0 at the process's start.
    Counter,
    /// Increases and decreases.
    Gauge,
    /// Counts by size.
    Histogram,
}

macro_rules! catalogue {
    ($($constant:ident = $name:literal $kind:ident $labels:tt $meaning:literal;)+) => {
        $(#[doc = $meaning] pub const $constant: Metric = Metric {
            name: $name, kind: Kind::$kind, labels: &$labels, meaning: $meaning,
        };)+
        /// All metrics except those of the process itself (`process_*`).
        #[cfg(test)]
        pub const CATALOGUE: &[Metric] = &[$($constant,)+];
    };
}

catalogue! {
    // Clicks.
    CLICKS_RECEIVED = "counterfoil_clicks_received_total" Counter []
        "Requests for a link: each is answered by a redirect, a prefetch by 403";
    CLICKS_JOURNALED = "counterfoil_clicks_journaled_total" Counter ["verdict"]
        "Clicks in the journal, by verdict";
    CLICKS_DROPPED = "counterfoil_clicks_dropped_total" Counter ["reason"]
        "Clicks that were not recorded, by reason; the answer was the same as if they had been";
    SUB_IDS_DROPPED = "counterfoil_sub_ids_dropped_total" Counter ["reason"]
        "Sub ids that were not kept with their click, by reason";

    // Facts.
    FACTS = "counterfoil_facts_total" Counter ["kind", "outcome"]
        "Facts reported to this node, by kind and by how they ended";
    FACTS_SET_ASIDE = "counterfoil_facts_set_aside_total" Counter []
        "Facts that this node could not apply and set aside, so that later ones are not blocked";
    FACTS_WAITING_ASIDE = "counterfoil_facts_set_aside" Gauge []
        "Facts that any node has set aside and that wait for a person's decision";
    JOURNAL_LAST = "counterfoil_journal_last_position" Gauge ["log"]
        "Position of the last record in the node's journal";
    JOURNAL_APPLIED = "counterfoil_journal_applied_position" Gauge ["log"]
        "Position up to which the store has applied the node's journal";
    JOURNAL_BACKLOG = "counterfoil_journal_backlog" Gauge ["log"]
        "Records in the node's journal that the store has not applied yet";
    JOURNAL_STANDSTILL = "counterfoil_journal_standstill_seconds" Gauge ["log"]
        "Age of the oldest record that can't be applied to the store, in seconds; 0 while records are applied";
    LOG_LINES_DROPPED = "counterfoil_log_lines_dropped_total" Counter []
        "Lines of the log that were dropped because its destination was too slow";

    // HTTP.
    HTTP_REQUESTS = "counterfoil_http_requests_total" Counter ["listener", "route", "status"]
        "Requests answered, by listener, route and class of status; of /r/{token}, 4xx are refused prefetches and other methods than GET and HEAD";
    HTTP_SECONDS = "counterfoil_http_request_seconds" Histogram ["route"]
        "Seconds from a request's headers to its answer, for the redirect and the callbacks";
    HTTP_IN_FLIGHT = "counterfoil_http_in_flight" Gauge ["listener"]
        "Requests being answered now";
    HTTP_CONNECTIONS = "counterfoil_http_connections" Gauge ["listener"]
        "Connections open now";
    HTTP_REFUSED = "counterfoil_http_refused_total" Counter ["listener"]
        "Requests refused before any handler: over a limit or malformed";
    HTTP_UNAUTHORIZED = "counterfoil_http_unauthorized_total" Counter ["reason"]
        "Callbacks and requests of the API answered 401 or 403, by reason; the log gives details, once a minute for each";
    HTTP_TIMED_OUT = "counterfoil_http_timed_out_total" Counter ["listener"]
        "Connections closed because the peer was silent or slow";
    HTTP_PANICS = "counterfoil_http_panics_total" Counter ["listener"]
        "Connections that a bug ended; must be 0";

    // The store.
    STORE_UP = "counterfoil_store_up" Gauge []
        "1 while the store answers, 0 while it can't be reached";
    STORE_FAILURES = "counterfoil_store_failures_total" Counter []
        "Times that applying the journal to the store was interrupted; it continues from the store's cursor";

    // The nightly run.
    RUN_SECONDS = "counterfoil_run_seconds" Histogram []
        "Seconds that a nightly run took";
    RUNS = "counterfoil_runs_total" Counter ["outcome"]
        "Nightly runs, by outcome: done, failed, skipped (another node had the lease)";
    RUN_LAST = "counterfoil_run_last_done_timestamp_seconds" Gauge []
        "Unix time at which this node last finished a nightly run; 0: not since its start";
    MONTHS_CLOSED = "counterfoil_months_closed_total" Counter []
        "Months closed by this node";

    // Payouts.
    PAYOUT_ITEMS = "counterfoil_payout_items" Gauge ["status"]
        "Payments of batches that are not settled or discarded, by status, as the store has them now";
    PAYOUT_OLDEST_UNKNOWN = "counterfoil_payout_oldest_unknown_seconds" Gauge []
        "For how long nobody has known whether a payment was made, in seconds; 0: of each it is known";
    PAYOUT_CALLS = "counterfoil_payout_calls_total" Counter ["answer"]
        "Calls of this node that ask PayPal to pay, by what the answer proves: accepted, refused and refused_item (nothing was paid), not_sent, unclear (the same is sent again), differs (a person decides)";
    PAYOUT_POLLS = "counterfoil_payout_polls_total" Counter ["outcome"]
        "Times that this node asked PayPal what became of payments, by outcome: ok, failed (it is asked again)";
    PAYOUT_WEBHOOKS = "counterfoil_payout_webhooks_total" Counter ["outcome"]
        "Notifications at /paypal/webhook, by outcome: verified, repeated, unreadable (answered 200), forged (401), undecided, too_many, not_kept (503)";

    // People.
    SIGN_INS = "counterfoil_sign_ins_total" Counter ["realm", "outcome"]
        "Attempts to sign in, to the portal or as staff, by outcome: ok, wrong, too_many, unavailable";

    // Mail.
    MAILS = "counterfoil_mails_total" Counter ["outcome"]
        "Attempts of this node to send a mail, by outcome: sent, failed (tried again later), given_up";
    OUTBOX_BACKLOG = "counterfoil_outbox_backlog" Gauge []
        "Mails that wait in the store to be sent, by any node";

    // This program.
    BUILD_INFO = "counterfoil_build_info" Gauge ["version"]
        "Always 1; the label says which version runs";
}

/// Upper bounds of the histograms of requests, in seconds.
const REQUEST_BUCKETS: &[f64] =
    &[0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
/// Upper bounds of the histogram of nightly runs, in seconds.
const RUN_BUCKETS: &[f64] = &[0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1_800.0];

named! {
    /// What kinds of facts are counted.
    pub enum FactKind {
        /// A signup.
        Signup = "signup",
        /// An event of an account.
        Event = "event",
        /// A step or change of an affiliate.
        Affiliate = "affiliate",
        /// A link made or switched off.
        Link = "link",
        /// A hold, release, rejection or credit by hand.
        Review = "review",
        /// A line by hand added or taken back.
        Line = "line",
    }
}

named! {
    /// How a nightly run ended.
    pub enum RunOutcome {
        /// It finished.
        Done = "done",
        /// It broke off; the next one finishes it.
        Failed = "failed",
        /// Another node had the lease.
        Skipped = "skipped",
    }
}

named! {
    /// How an attempt to send a mail ended.
    pub enum MailAttempt {
        /// A mail server took it, or it is in its file.
        Sent = "sent",
        /// It is tried again later.
        Failed = "failed",
        /// It is not tried again.
        GivenUp = "given_up",
    }
}

named! {
    /// How an attempt to sign in ended.
    pub enum SignInOutcome {
        /// E-mail and password are right.
        Ok = "ok",
        /// They are wrong.
        Wrong = "wrong",
        /// Too many attempts failed before.
        TooMany = "too_many",
        /// The store could not be asked.
        Unavailable = "unavailable",
    }
}

named! {
    /// How a question to PayPal about payments ended.
    pub enum PayoutPoll {
        /// It answered.
        Ok = "ok",
        /// It did not, or nothing that can be used.
        Failed = "failed",
    }
}

named! {
    /// How a notification of PayPal's ended.
    pub enum WebhookOutcome {
        /// PayPal sent it, and is asked about what it tells.
        Verified = "verified",
        /// PayPal sent it, and the event is known.
        Repeated = "repeated",
        /// Somebody else sent it, or it was altered.
        Forged = "forged",
        /// Who sent it can't be found out now.
        Undecided = "undecided",
        /// PayPal sent it, and it names no batch of payouts.
        Unreadable = "unreadable",
        /// More than are taken at once.
        TooMany = "too_many",
        /// PayPal sent it, and the journal can't be written.
        NotKept = "not_kept",
    }
}

/// The values of the label `realm`: the portal, the staff's pages.
const REALMS: [&str; 2] = ["portal", "staff"];

/// All metrics of a process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    facts: Vec<Vec<IntCounter>>,
    runs: Vec<IntCounter>,
    run_seconds: Histogram,
    run_last: prometheus::IntGauge,
    months_closed: IntCounter,
    store_failures: IntCounter,
    mails: Vec<IntCounter>,
    sign_ins: Vec<Vec<IntCounter>>,
    unauthorized: IntCounterVec,
    payouts: PayoutCounters,
}

/// What PayPal was asked, and what it told.
#[derive(Debug)]
struct PayoutCounters {
    calls: IntCounterVec,
    polls: Vec<IntCounter>,
    webhooks: Vec<IntCounter>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// A registry with the metrics that are counted here; the others are added by [`Metrics::read`].
    pub fn new() -> Self {
        // The names and labels are the catalogue's; a test makes them all, so none of these can fail.
        const GOOD: &str = "the catalogue's names and labels are valid";
        let registry = Registry::new();
        let add = |collector: Box<dyn Collector>| registry.register(collector).expect(GOOD);
        let counters = |metric: Metric| IntCounterVec::new(options(metric), metric.labels).expect(GOOD);

        let requests = counters(HTTP_REQUESTS);
        let facts = counters(FACTS);
        let runs = counters(RUNS);
        let request_seconds = HistogramVec::new(
            HistogramOpts::from(options(HTTP_SECONDS)).buckets(REQUEST_BUCKETS.to_vec()),
            HTTP_SECONDS.labels,
        )
        .expect(GOOD);
        let run_seconds =
            Histogram::with_opts(HistogramOpts::from(options(RUN_SECONDS)).buckets(RUN_BUCKETS.to_vec()))
                .expect(GOOD);
        let run_last = prometheus::IntGauge::with_opts(options(RUN_LAST)).expect(GOOD);
        let months_closed = IntCounter::with_opts(options(MONTHS_CLOSED)).expect(GOOD);
        let store_failures = IntCounter::with_opts(options(STORE_FAILURES)).expect(GOOD);
        add(Box::new(requests.clone()));
        add(Box::new(facts.clone()));
        add(Box::new(runs.clone()));
        add(Box::new(request_seconds.clone()));
        add(Box::new(run_seconds.clone()));
        add(Box::new(run_last.clone()));
        add(Box::new(months_closed.clone()));
        add(Box::new(store_failures.clone()));
        let mails = counters(MAILS);
        add(Box::new(mails.clone()));
        let sign_ins = counters(SIGN_INS);
        add(Box::new(sign_ins.clone()));
        let unauthorized = counters(HTTP_UNAUTHORIZED);
        for code in Cause::CODES {
            unauthorized.with_label_values(&[code]);
        }
        add(Box::new(unauthorized.clone()));
        let (calls, polls, webhooks) =
            (counters(PAYOUT_CALLS), counters(PAYOUT_POLLS), counters(PAYOUT_WEBHOOKS));
        for family in [&calls, &polls, &webhooks] {
            add(Box::new(family.clone()));
        }
        for code in Answer::CODES {
            calls.with_label_values(&[code]);
        }
        add(Box::new(ProcessCollector::for_self()));

        let facts = FactKind::ALL.map(|kind| {
            let child = |outcome: &FactOutcome| facts.with_label_values(&[kind.code(), outcome.code()]);
            FactOutcome::ALL.iter().map(child).collect()
        });
        let runs = RunOutcome::ALL.map(|outcome| runs.with_label_values(&[outcome.code()]));
        let mails = MailAttempt::ALL.map(|outcome| mails.with_label_values(&[outcome.code()]));
        let sign_ins = REALMS.map(|realm| {
            let child = |outcome: &SignInOutcome| sign_ins.with_label_values(&[realm, outcome.code()]);
            SignInOutcome::ALL.iter().map(child).collect()
        });
        let polls = PayoutPoll::ALL.map(|outcome| polls.with_label_values(&[outcome.code()]));
        let webhooks = WebhookOutcome::ALL.map(|outcome| webhooks.with_label_values(&[outcome.code()]));
        let metrics = Self {
            payouts: PayoutCounters { calls, polls: polls.into(), webhooks: webhooks.into() },
            sign_ins: sign_ins.into(),
            unauthorized,
            mails: mails.into(),
            facts: facts.into(),
            runs: runs.into(),
            registry,
            requests,
            request_seconds,
            run_seconds,
            run_last,
            months_closed,
            store_failures,
        };
        metrics.read(BUILD_INFO, &[env!("CARGO_PKG_VERSION")], || 1);
        metrics
    }

    /// Shows a number that is counted elsewhere; it is read when Prometheus asks.
    ///
    /// Call it once for each metric and its label values, when the server starts.
    pub fn read(
        &self,
        metric: Metric,
        labels: &[&'static str],
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) {
        let reading = Reading::new(metric, labels, Box::new(read));
        if let Err(error) = self.registry.register(Box::new(reading)) {
            // Only a second registration can fail; the first one stays.
            tracing::error!(metric = metric.name, ?labels, %error, "a metric is registered twice");
        }
    }

    /// Shows how clicks ended, from the place that counts them.
    pub fn read_clicks(
        &self,
        received: impl Fn() -> u64 + Send + Sync + 'static,
        journaled: impl Fn(Verdict) -> u64 + Send + Sync + 'static,
        dropped: impl Fn(ClickDrop) -> u64 + Send + Sync + 'static,
        subs_dropped: impl Fn(SubDrop) -> u64 + Send + Sync + 'static,
    ) {
        self.read(CLICKS_RECEIVED, &[], received);
        let journaled = Arc::new(journaled);
        for verdict in Verdict::ALL {
            let journaled = Arc::clone(&journaled);
            self.read(CLICKS_JOURNALED, &[verdict.code()], move || journaled(verdict));
        }
        let dropped = Arc::new(dropped);
        for reason in ClickDrop::ALL {
            let dropped = Arc::clone(&dropped);
            self.read(CLICKS_DROPPED, &[reason.code()], move || dropped(reason));
        }
        let subs_dropped = Arc::new(subs_dropped);
        for reason in SubDrop::ALL {
            let subs_dropped = Arc::clone(&subs_dropped);
            self.read(SUB_IDS_DROPPED, &[reason.code()], move || subs_dropped(reason));
        }
    }

    /// Shows the last position of a journal and how far the store has applied it.
    pub fn read_journal(&self, log: Log, positions: impl Fn() -> (u64, u64) + Send + Sync + 'static) {
        let positions = Arc::new(positions);
        let (last, applied) = (Arc::clone(&positions), Arc::clone(&positions));
        self.read(JOURNAL_LAST, &[log.code()], move || last().0);
        self.read(JOURNAL_APPLIED, &[log.code()], move || applied().1);
        self.read(JOURNAL_BACKLOG, &[log.code()], move || {
            let (last, applied) = positions();
            last.saturating_sub(applied)
        });
    }

    /// Shows the current numbers of a listener.
    pub fn read_listener(&self, listener: &'static str, gauges: &Arc<Gauges>) {
        let show = |metric: Metric, read: fn(&Gauges) -> u64| {
            let gauges = Arc::clone(gauges);
            self.read(metric, &[listener], move || read(&gauges));
        };
        // A usize fits a u64 on every platform that this runs on.
        show(HTTP_IN_FLIGHT, |gauges| gauges.in_flight.load(Ordering::Relaxed) as u64);
        show(HTTP_CONNECTIONS, |gauges| gauges.connections.load(Ordering::Relaxed) as u64);
        show(HTTP_REFUSED, |gauges| gauges.refused.load(Ordering::Relaxed));
        show(HTTP_TIMED_OUT, |gauges| gauges.timed_out.load(Ordering::Relaxed));
        show(HTTP_PANICS, |gauges| gauges.panicked.load(Ordering::Relaxed));
    }

    /// The counters of a route, resolved once. `timed` is true for the redirect and the callbacks.
    pub fn route(&self, listener: &str, route: &str, timed: bool) -> RouteMetrics {
        let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"];
        RouteMetrics {
            by_class: classes.map(|class| self.requests.with_label_values(&[listener, route, class])),
            seconds: timed.then(|| self.request_seconds.with_label_values(&[route])),
        }
    }

    /// Counts a fact that was reported to this node.
    pub fn fact(&self, kind: FactKind, outcome: FactOutcome) {
        self.facts[kind as usize][outcome as usize].inc();
    }

    /// Counts a nightly run.
    pub fn run(&self, outcome: RunOutcome, took: Duration, months_closed: u64, now_unix_seconds: i64) {
        self.runs[outcome as usize].inc();
        self.months_closed.inc_by(months_closed);
        if outcome == RunOutcome::Done {
            self.run_seconds.observe(took.as_secs_f64());
            self.run_last.set(now_unix_seconds);
        }
    }

    /// Counts an attempt to sign in.
    pub fn sign_in(&self, as_staff: bool, outcome: SignInOutcome) {
        self.sign_ins[usize::from(as_staff)][outcome as usize].inc();
    }

    /// Counts a request that was refused as not authorized.
    pub fn refused(&self, reason: &'static str) {
        self.unauthorized.with_label_values(&[reason]).inc();
    }

    /// Counts an attempt to send a mail.
    pub fn mail(&self, outcome: MailAttempt) {
        self.mails[outcome as usize].inc();
    }

    /// Counts a call that asked PayPal to pay.
    pub fn payout_call(&self, answer: &Answer) {
        self.payouts.calls.with_label_values(&[answer.code()]).inc();
    }
    /// Counts a question to PayPal about payments.
    pub fn payout_poll(&self, outcome: PayoutPoll) {
        self.payouts.polls[outcome as usize].inc();
    }
    /// Counts a notification of PayPal's.
    pub fn payout_webhook(&self, outcome: WebhookOutcome) {
        self.payouts.webhooks[outcome as usize].inc();
    }

    /// Counts a call to the store that failed.
    pub fn store_failed(&self) {
        self.store_failures.inc();
    }

    /// What `/metrics` answers, in Prometheus' text format (`text/plain; version=0.0.4`).
    pub fn encode(&self) -> String {
        let mut text = String::with_capacity(16 * 1024);
        if let Err(error) = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "metrics can't be shown");
        }
        text
    }
}

/// The counters of a route.
#[derive(Debug, Clone)]
pub struct RouteMetrics {
    by_class: [IntCounter; 5],
    seconds: Option<Histogram>,
}

impl RouteMetrics {
    /// Counts an answer with a status and, where the route is timed, how long it took.
    pub fn answered(&self, status: u16, took: Option<Duration>) {
        if let Some(counter) = self.by_class.get(usize::from(status / 100).wrapping_sub(1)) {
            counter.inc();
        }
        if let (Some(seconds), Some(took)) = (&self.seconds, took) {
            seconds.observe(took.as_secs_f64());
        }
    }
}

fn options(metric: Metric) -> Opts {
    Opts::new(metric.name, metric.meaning)
}

/// A number that is counted elsewhere.
struct Reading {
    description: Desc,
    metric: Metric,
    labels: Vec<(&'static str, &'static str)>,
    read: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl Reading {
    fn new(metric: Metric, values: &[&'static str], read: Box<dyn Fn() -> u64 + Send + Sync>) -> Self {
        assert_eq!(metric.labels.len(), values.len(), "{}: a value for each label", metric.name);
        let labels: Vec<_> = metric.labels.iter().copied().zip(values.iter().copied()).collect();
        let constant: HashMap<String, String> =
            labels.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let description = Desc::new(metric.name.into(), metric.meaning.into(), Vec::new(), constant)
            // The catalogue's names are valid; a test makes them all.
            .expect("a valid name");
        Self { description, metric, labels, read }
    }
}

impl Collector for Reading {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.description]
    }
    fn collect(&self) -> Vec<MetricFamily> {
        #[expect(clippy::cast_precision_loss, reason = "Prometheus knows only floats; exact up to 2^53")]
        let value = (self.read)() as f64;
        let labels = self.labels.iter().map(|&(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.to_owned());
            pair.set_value(value.to_owned());
            pair
        });
        let mut sample = Sample::from_label(labels.collect());
        let mut family = MetricFamily::default();
        if self.metric.kind == Kind::Counter {
            let mut counter = Counter::default();
            counter.set_value(value);
            sample.set_counter(counter);
            family.set_field_type(MetricType::COUNTER);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            sample.set_gauge(gauge);
            family.set_field_type(MetricType::GAUGE);
        }
        family.set_name(self.metric.name.to_owned());
        family.set_help(self.metric.meaning.to_owned());
        family.set_metric(vec![sample]);
        vec![family]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// All that a server registers.
    fn whole() -> Metrics {
        let metrics = Metrics::new();
        metrics.read_clicks(|| 7, |verdict| u64::from(verdict.number()), |_| 0, |_| 4);
        metrics.read_journal(Log::Facts, || (9, 4));
        metrics.read_journal(Log::Clicks, || (3, 5));
        metrics.read_listener("public", &Arc::default());
        metrics.read(JOURNAL_STANDSTILL, &["facts"], || 2);
        metrics.read(LOG_LINES_DROPPED, &[], || 0);
        metrics.read(STORE_UP, &[], || 1);
        metrics.read(OUTBOX_BACKLOG, &[], || 2);
        metrics.read(FACTS_SET_ASIDE, &[], || 1);
        metrics.read(FACTS_WAITING_ASIDE, &[], || 1);
        metrics.read(PAYOUT_ITEMS, &["unknown"], || 3);
        metrics.read(PAYOUT_OLDEST_UNKNOWN, &[], || 60);
        metrics.payout_call(&Answer::Unclear { why: "no answer".to_owned() });
        metrics.payout_poll(PayoutPoll::Failed);
        metrics.payout_webhook(WebhookOutcome::TooMany);
        metrics.mail(MailAttempt::Failed);
        metrics.sign_in(true, SignInOutcome::TooMany);
        metrics.route("public", "/r/{token}", true).answered(302, Some(Duration::from_micros(300)));
        metrics.fact(FactKind::Event, FactOutcome::Deferred);
        metrics.run(RunOutcome::Done, Duration::from_secs(2), 1, 1_700_000_000);
        metrics
    }

    #[test]
    fn what_is_shown_is_what_the_catalogue_lists() {
        let text = whole().encode();
        let shown: BTreeSet<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .filter(|line| line.starts_with("counterfoil_"))
            .collect();
        let kind = |kind| match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let listed: Vec<String> =
            CATALOGUE.iter().map(|metric| format!("{} {}", metric.name, kind(metric.kind))).collect();
        assert_eq!(shown, listed.iter().map(String::as_str).collect());
        assert!(text.contains("process_cpu_seconds_total"));
    }

    #[test]
    fn numbers_stand_beside_their_labels() {
        let text = whole().encode();
        for line in [
            "counterfoil_clicks_received_total 7",
            "counterfoil_clicks_journaled_total{verdict=\"flood\"} 6",
            "counterfoil_clicks_dropped_total{reason=\"backlog_full\"} 0",
            "counterfoil_sub_ids_dropped_total{reason=\"unfilled_macro\"} 4",
            "counterfoil_facts_total{kind=\"event\",outcome=\"deferred\"} 1",
            "counterfoil_facts_total{kind=\"signup\",outcome=\"new\"} 0",
            "counterfoil_journal_last_position{log=\"facts\"} 9",
            "counterfoil_journal_backlog{log=\"facts\"} 5",
            "counterfoil_journal_backlog{log=\"clicks\"} 0",
            "counterfoil_http_requests_total{listener=\"public\",route=\"/r/{token}\",status=\"3xx\"} 1",
            "counterfoil_http_request_seconds_bucket{route=\"/r/{token}\",le=\"0.0005\"} 1",
            "counterfoil_http_in_flight{listener=\"public\"} 0",
            "counterfoil_runs_total{outcome=\"done\"} 1",
            "counterfoil_months_closed_total 1",
            "counterfoil_store_up 1",
            "counterfoil_mails_total{outcome=\"failed\"} 1",
            "counterfoil_sign_ins_total{outcome=\"too_many\",realm=\"staff\"} 1",
            "counterfoil_outbox_backlog 2",
            "counterfoil_payout_items{status=\"unknown\"} 3",
            "counterfoil_payout_calls_total{answer=\"unclear\"} 1",
            "counterfoil_payout_calls_total{answer=\"accepted\"} 0",
            "counterfoil_payout_polls_total{outcome=\"failed\"} 1",
            "counterfoil_payout_webhooks_total{outcome=\"too_many\"} 1",
            "counterfoil_http_unauthorized_total{reason=\"too_old\"} 0",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_family_is_described_once() {
        let text = whole().encode();
        let described =
            text.lines().filter(|line| line.starts_with("# TYPE counterfoil_clicks_journaled_total"));
        assert_eq!(described.count(), 1);
    }

    /// `docs/metrics.md` is the catalogue, for people. `UPDATE=1` writes it again.
    #[test]
    fn the_metrics_document_is_current() {
        let mut text = String::from(
            "# Metrics\n\nWhat `/metrics` on the internal listener shows, beside `process_*`. With no request in flight, \
             `clicks_received = sum(clicks_journaled) + sum(clicks_dropped)` since the start; for each log, for ever, \
             `last_position = applied_position + backlog`. No label is an affiliate, an account or an address.\n\n\
             | metric | type | labels | meaning |\n| --- | --- | --- | --- |\n",
        );
        for metric in CATALOGUE {
            let labels = metric.labels.join(", ");
            let kind = format!("{:?}", metric.kind).to_lowercase();
            let row =
                ["", &format!(" `{}` ", metric.name), &format!(" {kind} "), &format!(" {labels} ")].join("|");
            text = [text, row, format!("| {} |\n", metric.meaning)].concat();
        }
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&file, &text).expect("docs can be written");
        }
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(committed, text, "run `UPDATE=1 cargo test --lib` and commit docs/metrics.md");
    }
}
