//! What the server does by itself.

pub mod claims;
pub mod mail;
pub mod retention;
pub mod schedule;
