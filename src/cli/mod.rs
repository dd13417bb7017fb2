//! The command line: every command except `serve`, `demo` and `rebuild` is a client of the internal listener,
//! either of the running server or, if none is running, of one that is started only for the command.
//!
//! A command prints its result on stdout, for people or (`--json`) for programs. An error is one line on stderr,
//! which says what happened and what to do, and an exit code ([`Failure`]).

mod account;
mod affiliate;
mod aggregate;
mod args;
mod client;
mod demo;
mod facts;
mod failure;
mod import;
mod launch;
mod link;
mod operate;
mod payout;
mod serve;
mod session;
mod show;
mod staff;
mod statement;
#[cfg(test)]
mod tests;

pub use failure::Failure;
pub use launch::{Launcher, Rebuilt, ServeFile, Started, Stop};

use crate::config::Config;
use args::{Args, Command};
use clap::Parser;
use show::Show;
use std::ffi::OsString;
use std::process::ExitCode;

/// What every command needs.
struct Context<'a> {
    config: Config,
    launcher: &'a dyn Launcher,
    show: Show,
}

/// Runs the command with these arguments (the program's name first) and returns the exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>, launcher: &dyn Launcher) -> ExitCode {
    let ended = match Args::try_parse_from(arguments) {
        Ok(args) => with_runtime(args, launcher),
        Err(error) => Failure::of_usage(&error),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn with_runtime(args: Args, launcher: &dyn Launcher) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::other(format!("can't start threads: {error}")))?;
    let ended = runtime.block_on(execute(args, launcher));
    // What is left must not block the process: everything that had to end was awaited.
    runtime.shutdown_background();
    ended
}

async fn execute(args: Args, launcher: &dyn Launcher) -> Result<(), Failure> {
    // The demo has a configuration of its own.
    if let Command::Demo = args.command {
        return demo::run(Show::new(args.json)).await;
    }
    let config = Config::load(args.config.as_deref())?;
    let context = Context { config, launcher, show: Show::new(args.json) };
    match args.command {
        Command::Serve { settable_clock } => serve::run(context, settable_clock).await,
        Command::Demo => Ok(()),
        Command::Aggregate { as_of, dry_run } => aggregate::run(context, as_of, dry_run).await,
        Command::Affiliate(command) => affiliate::run(context, command).await,
        Command::Link(command) => link::run(context, command).await,
        Command::Account(command) => account::run(context, command).await,
        Command::Statement(command) => statement::run(context, command).await,
        Command::Payout(command) => payout::run(context, command).await,
        Command::Staff(command) => staff::run(context, command).await,
        Command::Import { file, dry_run } => import::run(context, &file, dry_run).await,
        Command::Facts(command) => facts::run(context, command).await,
        Command::Doctor => operate::doctor(context, args.config.as_deref()).await,
        Command::Rebuild { journals } => operate::rebuild(context, &journals).await,
        Command::Verify => operate::verify(&context).await,
        Command::Store(command) => operate::store(context, command).await,
        Command::Node(command) => operate::node(context, command).await,
    }
}
