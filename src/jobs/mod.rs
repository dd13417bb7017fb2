//! Background jobs of the server.

pub mod claims;
pub mod links;
pub mod mail;
pub mod restate;
pub mod retention;
pub mod schedule;
