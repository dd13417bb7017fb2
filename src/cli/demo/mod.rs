//! `demo`: the whole story on made-up data, with a real server in a process of its own and real HTTP.
//!
//! Three affiliates are imported, prospects and bots follow their links, callbacks report signups and events, and
//! a year of nightly runs is made on a clock that can be set. At the end of October the statements become payments, by
//! PayPal's file. The expected statements and balances were computed by hand; if one differs, the demo fails.

mod browser;
mod payout;
mod story;
mod world;

use super::Failure;
use super::show::Show;
use crate::server::stop_signal;
use story::Story;
use world::World;

pub(super) async fn run(show: Show) -> Result<(), Failure> {
    let begun = std::time::Instant::now();
    let mut world = World::start(show).await?;
    let asked = stop_signal().map_err(|error| Failure::other(format!("can't receive signals: {error}")))?;
    let finished = tokio::select! {
        finished = Story::run(&mut world) => finished,
        () = asked => Err(Failure::Silent(130)),
    };
    let finished = finished.map_err(|failure| world.with_log(failure));
    // Also after a failure: nothing may stay behind.
    let stopped = world.stop().await;
    let story = finished?;
    stopped?;
    story.end(show, begun.elapsed())
}
