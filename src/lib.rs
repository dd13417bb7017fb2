//! Counterfoil: a referral-attribution server.
//!
//! A prospect follows an affiliate's signed link and lands on the company's page; the company's signup flow
//! reports the new account; the server credits the affiliate, or says why not; at night it computes what that
//! earns. Two things never happen: a prospect who does not arrive, and a fact that is lost or counted twice.
//!
//! **The life of a click.** [`server`] accepts the connection, [`http::click`] verifies the link's token
//! ([`domain::token`]), judges who follows it ([`domain::click`]), appends a record to the clicks [`journal`], and
//! answers 302. `app::drain_clicks` brings the record to the [`store`].
//!
//! **The life of a commission.** [`http::callbacks`] takes a signup in and submits it to the [`app`]: it is flushed to
//! the facts journal, applied by `app::drain_facts`, decided by [`domain::attribution`]; the decision is a fact too.
//! At night ([`jobs::schedule`]) `app::run` asks [`domain::statement`] what each affiliate earned, and closes the
//! months that are due.
//!
//! In reading order:

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod edge;
pub mod files;
pub mod http;
pub mod jobs;
pub mod journal;
pub mod launch;
pub mod mail;
pub mod metrics;
pub mod private;
pub mod secret;
pub mod serve;
pub mod server;
pub mod store;
pub mod telemetry;
