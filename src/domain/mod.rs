//! The rules, pure: nothing here waits, reads a clock, or uses HTTP, Redis or SQL.
//!
//! - `id`, `text`, `money`, `calendar`: ids, texts as they look, amounts, days and months of the program's
//!   zone.
//! - `program`: the rules as configured.
//! - `affiliate`, `token`, `attribution`, `outcome`: who earns, by which click, and how it ended.
//! - `event_types`: the names that senders use for what happens to a customer.
//! - `account`, `history`, `mark`: what is known about a customer; when it was active and when it qualified.
//! - `commission`, `by_hand`, `statement`, `payout`: what a qualification earns, what finance adds, what an
//!   affiliate earned in a month, when that is paid.
//! - `person`, `email`, `website`, `password`, `one_time`, `known_browser`, `mail`: who signs in and how, and
//!   the mails that we send.
//! - `fact`: what is journaled.

pub mod account;
pub mod affiliate;
pub mod agents;
pub mod attribution;
pub mod by_hand;
pub mod calendar;
pub mod click;
pub mod click_record;
pub mod commission;
pub mod destination;
pub mod email;
pub mod event_types;
pub mod fact;
pub mod followed;
pub mod history;
pub mod id;
pub mod input;
pub mod known_browser;
pub mod mail;
pub mod mail_domains;
pub mod mark;
pub mod money;
pub mod named;
pub mod one_time;
pub mod outcome;
pub mod password;
pub mod payout;
pub mod pepper;
pub mod person;
pub mod program;
pub mod query;
pub mod statement;
pub mod text;
pub mod token;
pub mod website;

#[cfg(test)]
pub mod naive;
