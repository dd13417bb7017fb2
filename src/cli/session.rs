//! The server for a command: the running one, or one started for the command.

use super::client::Client;
use super::launch::{ServeFile, Started};
use super::{Context, Failure};
use crate::config::Secrets;

/// Runs `work` with the running server or, if none is running, with one that is started for it and stopped
/// afterwards.
pub(super) async fn with_server<T>(
    context: &Context<'_>,
    work: impl AsyncFnOnce(&Client) -> Result<T, Failure>,
) -> Result<T, Failure> {
    if let Some(client) = running(context).await? {
        return work(&client).await;
    }
    let started = context.launcher.start_for_command(context.config.clone()).await?;
    let ended = match started_client(context, &started) {
        Ok(client) => work(&client).await,
        Err(failure) => Err(failure),
    };
    // Also after a failure: what was accepted must reach the disk, and the lock must be released.
    (started.stop)().await;
    ended
}

/// The running server of the data directory, if it answers.
async fn running(context: &Context<'_>) -> Result<Option<Client>, Failure> {
    let Some(file) = ServeFile::read(&context.config.data_dir) else { return Ok(None) };
    let Some(key) = Secrets::local_key(&context.config) else {
        let keys = context.config.keys_dir();
        return Err(Failure::other(format!(
            "can't read {}/admin; run this as the user that runs the server",
            keys.display()
        )));
    };
    let client = Client::new(file.internal, &key)?;
    Ok(client.answers().await.then_some(client))
}

fn started_client(context: &Context<'_>, started: &Started) -> Result<Client, Failure> {
    let key = Secrets::local_key(&context.config)
        .ok_or_else(|| Failure::other("the server that was started made no keys/admin; restore the file"))?;
    Client::new(started.internal, &key)
}
