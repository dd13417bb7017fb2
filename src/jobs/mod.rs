//! Background jobs of the server.

pub mod claims;
pub mod links;
pub mod mail;
pub mod news;
pub mod payouts;
pub mod restate;
pub mod retention;
pub mod schedule;
