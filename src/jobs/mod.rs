//! What the server does by itself.

pub mod claims;
pub mod links;
pub mod mail;
pub mod restate;
pub mod retention;
pub mod schedule;
