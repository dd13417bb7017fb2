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
//! [`domain`] is a good place to begin.

mod app;
mod cli;
mod clock;
mod config;
mod crash;
mod domain;
mod edge;
mod fake_paypal;
mod files;
mod http;
mod jobs;
mod journal;
mod launch;
mod mail;
mod metrics;
mod paypal;
mod private;
mod secret;
mod serve;
mod server;
mod store;
mod telemetry;

/// What the tests from outside use of the inside. All else is private, so that the compiler finds what is not used.
#[doc(hidden)]
pub mod for_tests {
    pub use crate::domain::agents::Agent;
    pub use crate::domain::attribution::Visit;
    pub use crate::domain::id::{AffiliateId, ClickId, LinkId, NodeId, VisitorId};
    pub use crate::domain::outcome::Verdict;
    pub use crate::domain::person::Role;
    pub use crate::domain::token::Click;
    pub use crate::http::pages::routes::Door;
    pub use crate::http::pages::tables;
    pub use crate::http::webhook::sign;
    pub use crate::private::open_to_others;
    pub use crate::secret::Secret;
    pub use crate::server::raise_open_files_limit;
    /// The judge of user agents.
    pub mod agents {
        pub use crate::domain::agents::*;
    }
    /// The files that are written first.
    pub mod journal {
        pub use crate::journal::*;
    }
    /// A PayPal that pays nobody.
    pub mod fake_paypal {
        pub use crate::fake_paypal::*;
    }
    /// PayPal's API.
    pub mod paypal {
        pub use crate::paypal::*;
    }
    /// The stores.
    pub mod store {
        pub use crate::store::*;
        /// The embedded one.
        pub mod sqlite {
            pub use crate::store::sqlite::*;
        }
    }
}

/// Runs the program with the arguments of this process.
pub fn run() -> std::process::ExitCode {
    private::make_files_private();
    cli::run(std::env::args_os(), &launch::ThisProcess)
}
