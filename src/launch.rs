//! Starts servers for the command line: to serve, or for one command only.

use crate::app::actor::Actor;
use crate::app::people::NewStaff;
use crate::app::{RebuildError, import_journals};
use crate::cli::{Failure, Launcher, Rebuilt, ServeFile, Started, Stop};
use crate::clock::Clock;
use crate::config::{Config, Secrets};
use crate::domain::person::{Permission, Person, Role};
use crate::journal::JournalError;
use crate::serve::{Mode, Resources, ServeError, Serving};
use async_trait::async_trait;
use std::io::IsTerminal;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Runs the server in this process.
#[derive(Debug, Clone, Copy)]
pub struct ThisProcess;

/// How often writing the file is tried again after a failure.
const ANNOUNCE_AGAIN: Duration = Duration::from_secs(1);
const ANY_LOOPBACK_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

#[async_trait]
impl Launcher for ThisProcess {
    async fn serve(&self, config: Config, clock: Clock, settable: bool, stop: Stop) -> Result<(), Failure> {
        let settable_clock = settable.then(|| clock.clone());
        let serving = Serving::start(&config, clock, Mode::Serve { settable_clock }).await?;
        let (public, internal) = (serving.public(), serving.internal());
        let file = ServeFile { pid: std::process::id(), public, internal };
        let announcing = announce(file, config.data_dir.clone());
        let first_link = first_staff_link(&serving, config.pages.staff).await;
        greet(&config, &serving, first_link.as_ref());
        let failed = tokio::select! {
            () = stop => None,
            why = serving.failed() => Some(why),
        };
        announcing.abort();
        // Commands that start from now on must not find this server.
        ServeFile::remove(&config.data_dir);
        serving.stop().await;
        failed.map_or(Ok(()), |why| Err(Failure::Config(why)))
    }

    async fn start_for_command(&self, mut config: Config) -> Result<Started, Failure> {
        // One-time links that the command prints lead to the server that will be started later.
        config.listen.staff_url = config.listen.staff_base().parse().ok();
        config.listen.internal = ANY_LOOPBACK_PORT;
        let serving = Serving::start(&config, Clock::system(), Mode::Command).await?;
        let internal = serving.internal();
        Ok(Started { internal, stop: Box::new(move || Box::pin(serving.stop())) })
    }

    async fn rebuild(&self, config: &Config, journals: &[PathBuf]) -> Result<Rebuilt, Failure> {
        let secrets = Secrets::open(config)?;
        let resources = Resources::without_journal(config, secrets)?;
        let Resources { keyring, settings, store, .. } = resources;
        let reports = import_journals(journals, &store, &keyring, &settings, &|_| {}).await?;
        Ok(Rebuilt {
            facts: reports.iter().map(|report| report.facts).sum(),
            clicks: reports.iter().map(|report| report.clicks).sum(),
            nodes: reports.iter().map(|report| report.node.to_string()).collect(),
        })
    }
}

/// Lets commands find this server. On a full disk they can't until there is room; clicks do not need the file.
/// file.
fn announce(file: ServeFile, data_dir: PathBuf) -> tokio::task::JoinHandle<()> {
    let mut written = file.write(&data_dir);
    if let Err(error) = &written {
        tracing::warn!(%error, "serve.json can't be written; commands can't find this server until the disk accepts it");
    }
    tokio::spawn(async move {
        while written.is_err() {
            tokio::time::sleep(ANNOUNCE_AGAIN).await;
            written = file.write(&data_dir);
        }
    })
}

/// Prints the server's addresses, and what was created for it. A closed stdout is no error.
fn greet(config: &Config, serving: &Serving, first_link: Option<&(String, String)>) {
    use std::io::Write;
    let base = config.listen.public_base();
    let staff = if config.pages.staff {
        format!(", {}/admin (staff)", config.listen.staff_base())
    } else {
        String::new()
    };
    let mut lines = format!(
        "links        {base}/r/…\npages        {base}/apply (to join), {base}/login (affiliates){staff}\ninternal     http://{} (callbacks, /v1, /metrics, /docs)\ndata         {}\nmail         goes to {}\n",
        serving.internal(),
        config.data_dir.display(),
        serving.mail_route(),
    );
    if serving.made_secrets {
        let keys = config.keys_dir();
        lines += "secrets      made in ";
        lines += &keys.display().to_string();
        lines += ": back them up, and give other nodes the same\n";
    }
    if let Some((email, link)) = first_link {
        lines += "staff        nobody can sign in yet: this link, good once within a day, sets the password of\n             ";
        lines += email;
        lines += "\n             ";
        lines += link;
        lines += "\n";
    }
    let _ = std::io::stdout().write_all(lines.as_bytes());
}

/// The first administrator's e-mail.
const FIRST_EMAIL: &str = "admin@counterfoil.localhost";

/// A one-time link for a person who tries the server, while no member of staff has a password. It is only
/// shown at a terminal, and only if the listeners can't be reached from elsewhere. Otherwise `staff create`
/// makes the first member.
async fn first_staff_link(serving: &Serving, has_pages: bool) -> Option<(String, String)> {
    let alone = serving.public().ip().is_loopback() && serving.internal().ip().is_loopback();
    let app = serving.app();
    if !std::io::stdout().is_terminal() || !alone || !has_pages || !app.store_is_up() {
        return None;
    }
    let staff = app.staff();
    for member in &staff {
        // If the store does not answer, there is no link.
        if app.credentials(Person::Staff(member.id)).await.map_or(true, |known| known.is_some()) {
            return None;
        }
    }
    let link = match staff.iter().find(|member| member.may(Permission::ManageStaff)) {
        Some(member) => {
            app.invite_staff(&Actor::server(), member.id).await.map(|link| (member.email.clone(), link))
        }
        None if staff.is_empty() => {
            let (name, email) = ("Administrator".parse(), FIRST_EMAIL.parse());
            // Both are valid: they are literals, and a test reads them.
            let new = NewStaff { name: name.ok()?, email: email.ok()?, role: Role::Admin };
            app.create_staff(&Actor::server(), new).await.map(|(member, link)| (member.email, link))
        }
        None => return None,
    };
    link.inspect_err(|error| tracing::warn!(%error, "no link was made for the first member of staff")).ok()
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
