//! Counterfoil: a referral-attribution server.
//!
//! A prospect follows an affiliate's signed link and lands on the company's page. The company's signup flow
//! reports the new account. The server credits the affiliate, or says why not, and computes every night what
//! that earns. Two things never happen: a prospect who does not arrive, and a fact that is lost or counted
//! twice.
//!
//! **The life of a click.** [`server`] accepts the connection, [`http::click`] verifies the link's token
//! ([`domain::token`]), judges who follows it ([`domain::click`]), appends a record to the clicks
//! [`journal`], and answers 302. `app::drain_clicks` brings the record to the [`store`].
//!
//! **The life of a commission.** [`http::callbacks`] receives a signup and submits it to the [`app`]: it is
//! flushed to the facts journal, applied by `app::drain_facts`, and decided by [`domain::attribution`]; the
//! decision is a fact too. Every night ([`jobs::schedule`]) `app::run` lets [`domain::statement`] compute
//! what each affiliate earned, and closes the months that are due.
//!
//! The modules, in the order in which to read them:

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
