//! What tests share.

pub mod app;
pub mod browser;
pub mod company;
pub mod dice;
pub mod disk;
pub mod gate;
pub mod history;
pub mod http;
pub mod inbox;
pub mod paypal;
pub mod person;
pub mod servers;
pub mod tls;
pub mod tools;
