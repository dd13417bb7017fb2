//! `serve`: both listeners, until the process is asked to stop.

use super::launch::Stop;
use super::{Context, Failure};
use crate::clock::Clock;
use crate::server::{raise_open_files_limit, stop_signal};
use crate::telemetry;
use chrono::{DateTime, FixedOffset, Utc};

pub(super) async fn run(
    context: Context<'_>,
    settable_clock: Option<DateTime<FixedOffset>>,
) -> Result<(), Failure> {
    let _logging = telemetry::start(&context.config.log);
    warn_of_few_open_files(&context);
    let clock = settable_clock.map_or_else(Clock::system, |start| Clock::settable(start.with_timezone(&Utc)));
    // From now on, so that a signal during the start also stops the server in order.
    let asked = stop_signal();
    let stop: Stop = Box::pin(async {
        match asked {
            Ok(asked) => {
                asked.await;
                tracing::info!("asked to stop; draining");
            }
            Err(error) => tracing::error!(%error, "can't receive signals; stopping"),
        }
    });
    context.launcher.serve(context.config, clock, settable_clock.is_some(), stop).await
}

/// A connection needs a file descriptor; journals and the store need some too.
fn warn_of_few_open_files(context: &Context<'_>) {
    let limits = &context.config.limits;
    let allowed = raise_open_files_limit();
    let wanted = limits.connections + limits.internal_connections + 100;
    if usize::try_from(allowed).is_ok_and(|allowed| allowed < wanted) {
        tracing::warn!(
            allowed,
            wanted,
            "fewer open files are allowed than limits.connections may need; raise the limit (ulimit -Hn, LimitNOFILE)"
        );
    }
}
