//! The tests from outside: real processes, stores, browsers, mail servers and disks. One program, which is linked once.
//!
//! Tests of different files run side by side, as many as there are cores. Each has a server, a store and ports of its own,
//! and what it may wait for is generous; what is measured while nothing else runs is in `tests/bars`.

mod support;

mod api;
mod browser;
mod chaos;
mod command_line;
mod demo;
mod faults;
mod journal_kill;
mod kept_data;
mod mail;
mod many_events;
mod money;
mod news;
#[cfg(feature = "sabotage")]
mod payout_crashes;
mod payout_pages;
mod payout_webhooks;
mod payouts;
mod payouts_by_paypal;
mod paypal;
mod people;
mod portal;
mod prefetch;
mod readme;
mod real_input;
mod replay_order;
mod staff;
mod standstill;
mod store_conformance;
mod stories;
mod tidy;
