//! What the server does by itself.

pub mod retention;
pub mod schedule;
