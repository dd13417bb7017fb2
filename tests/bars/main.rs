//! What is measured: how long people wait, what a click costs the store, what strangers may make the server hold.
//!
//! A program of its own, since `cargo test` runs one after the other: nothing else runs while a bar is measured.

#[path = "../it/support/mod.rs"]
#[expect(dead_code, reason = "bars need a part of it")]
mod support;

mod limits;
mod stall;
mod store_cost;

use tokio::sync::{Mutex, MutexGuard};

/// Bars are measured one at a time.
async fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::const_new(());
    ONE.lock().await
}
