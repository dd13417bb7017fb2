//! Starts servers for the command line: in earnest, or for one command.

use crate::app::{RebuildError, import_journals};
use crate::cli::{Failure, Launcher, Rebuilt, ServeFile, Started, Stop};
use crate::clock::Clock;
use crate::config::{Config, Secrets};
use crate::journal::JournalError;
use crate::serve::{Foundation, Purpose, ServeError, Serving};
use async_trait::async_trait;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Runs the server in this process.
#[derive(Debug, Clone, Copy)]
pub struct ThisProcess;

const ANY_LOOPBACK_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

#[async_trait]
impl Launcher for ThisProcess {
    async fn serve(&self, config: Config, clock: Clock, settable: bool, stop: Stop) -> Result<(), Failure> {
        let settable_clock = settable.then(|| clock.clone());
        let serving = Serving::start(&config, clock, Purpose::Serve { settable_clock }).await?;
        let (public, internal) = (serving.public(), serving.internal());
        let file = ServeFile { pid: std::process::id(), public, internal };
        file.write(&config.data_dir).map_err(|error| Failure::other(format!("write serve.json: {error}")))?;
        greet(&config, &serving);
        let failed = tokio::select! {
            () = stop => None,
            why = serving.failed() => Some(why),
        };
        // Commands that look for a server from now on shall not find this one.
        ServeFile::remove(&config.data_dir);
        serving.stop().await;
        failed.map_or(Ok(()), |why| Err(Failure::Config(why)))
    }

    async fn start_for_command(&self, mut config: Config) -> Result<Started, Failure> {
        config.listen.internal = ANY_LOOPBACK_PORT;
        let serving = Serving::start(&config, Clock::system(), Purpose::Command).await?;
        let internal = serving.internal();
        Ok(Started { internal, stop: Box::new(move || Box::pin(serving.stop())) })
    }

    async fn rebuild(&self, config: &Config, journals: &[PathBuf]) -> Result<Rebuilt, Failure> {
        let secrets = Secrets::open(config)?;
        let foundation = Foundation::without_journal(config, secrets)?;
        let Foundation { keyring, settings, store, .. } = foundation;
        let reports = import_journals(journals, &store, &keyring, &settings, &|_| {}).await?;
        Ok(Rebuilt {
            facts: reports.iter().map(|report| report.facts).sum(),
            clicks: reports.iter().map(|report| report.clicks).sum(),
            nodes: reports.iter().map(|report| report.node.to_string()).collect(),
        })
    }
}

/// Says on stdout where the server is, and what was made for it. Nobody may be reading: that is no failure.
fn greet(config: &Config, serving: &Serving) {
    use std::io::Write;
    let mut lines = format!(
        "links        {}/r/…\ninternal     http://{} (callbacks, /v1, /metrics, /docs)\ndata         {}\n",
        config.listen.public_base(),
        serving.internal(),
        config.data_dir.display()
    );
    if serving.made_secrets {
        let keys = config.keys_dir();
        lines += "secrets      made in ";
        lines += &keys.display().to_string();
        lines += ": back them up, and give other nodes the same\n";
    }
    let _ = std::io::stdout().write_all(lines.as_bytes());
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        let text = format!("failed to {error}");
        match error {
            ServeError::Config(error) => error.into(),
            ServeError::Store(error) if error.is_unavailable() => Self::Unavailable(text),
            ServeError::Refused(why) => Self::Config(why),
            ServeError::Journal(error) => error.into(),
            ServeError::Store(_) | ServeError::Listen { .. } => Self::Other(text),
        }
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        Self::Other(format!("failed to {error}"))
    }
}

impl From<RebuildError> for Failure {
    fn from(error: RebuildError) -> Self {
        match error {
            RebuildError::Refused(why) => Self::Config(why),
            RebuildError::Store(error) if error.is_unavailable() => {
                Self::Unavailable(format!("failed to {error}"))
            }
            other => Self::Other(format!("failed to {other}")),
        }
    }
}
