//! `demo`: the whole story on made-up data, with a real server in a process of its own and real HTTP.
//!
//! Three affiliates are brought in, prospects follow their links, some programs do too, signups and events are called
//! back, and a year of nights is run on a clock that can be set. What every statement must say was worked out by hand;
//! where one says something else, the demo fails.

mod browser;
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
    let asked = stop_signal().map_err(|error| Failure::other(format!("can't hear signals: {error}")))?;
    let told = tokio::select! {
        told = Story::tell(&mut world) => told,
        () = asked => Err(Failure::Silent(130)),
    };
    let told = told.map_err(|failure| world.with_log(failure));
    // Also when the story broke off: nothing of it may stay behind.
    let stopped = world.stop().await;
    let story = told?;
    stopped?;
    story.end(show, begun.elapsed())
}
