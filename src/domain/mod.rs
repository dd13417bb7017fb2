//! The rules, pure: nothing here waits, reads a clock, or knows HTTP, Redis or SQL.
//!
//! - `id`, `text`, `money`, `calendar`: names, texts as they look, amounts, days and months of the program's zone.
//! - `program`: the rules as configured.
//! - `affiliate`, `token`, `attribution`, `outcome`: who earns, by which click, and what became of it.
//! - `event_types`: what senders call the things that happen to a customer.
//! - `account`, `history`, `mark`: what is known of a customer; when it was active and crossed the mark.
//! - `commission`, `statement`, `payout`: what a crossing earns, what an affiliate earned in a month, when that is to be paid.
//! - `person`, `email`, `website`, `password`, `one_time`, `known_browser`, `mail`: who signs in and by what, and
//!   what we write to them.
//! - `fact`: what is journaled of all that.

pub mod account;
pub mod affiliate;
pub mod agents;
pub mod attribution;
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
mod naive;
