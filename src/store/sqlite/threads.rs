//! Who uses the file: one thread that writes, and a few connections that read meanwhile.

use super::file;
use crate::store::{Result, StoreError};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// How many writes may be queued for the thread; further callers wait.
const WRITES_WAITING: usize = 64;
/// Reads at once.
const READERS: usize = 4;

type Job = Box<dyn FnOnce(Result<&mut Connection>) + Send>;

/// The thread that writes.
pub struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread, which opens the file when it is not open yet, and runs `after_each` after each write.
    pub fn start(
        mut connection: Option<Connection>,
        open: impl Fn() -> Result<Connection> + Send + 'static,
        mut after_each: impl FnMut(&mut Connection) + Send + 'static,
    ) -> Result<Self> {
        let (jobs, mut queue) = mpsc::channel::<Job>(WRITES_WAITING);
        let work = move || {
            while let Some(job) = queue.blocking_recv() {
                match opened(&mut connection, &open) {
                    Ok(connection) => {
                        job(Ok(&mut *connection));
                        after_each(connection);
                    }
                    Err(error) => job(Err(error)),
                }
            }
        };
        let thread = std::thread::Builder::new().name("sqlite".to_owned()).spawn(work);
        let thread = thread.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Runs `work` in a transaction, which is committed if it succeeds and rolled back if not.
    pub async fn run<T, W>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // The caller may be gone; the work is done all the same, as with any store.
            answer.send(connection.and_then(|connection| in_transaction(connection, work))).ok();
        });
        let stopped = || StoreError::Unavailable("the thread that writes has stopped".to_owned());
        // Only `drop` takes the sender.
        let jobs = self.jobs.as_ref().ok_or_else(stopped)?;
        jobs.send(job).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

fn opened(
    connection: &mut Option<Connection>,
    open: impl Fn() -> Result<Connection>,
) -> Result<&mut Connection> {
    match connection {
        Some(connection) => Ok(connection),
        None => Ok(connection.insert(open()?)),
    }
}

fn in_transaction<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> Result<T>,
) -> Result<T> {
    let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let answer = work(&change)?;
    change.commit()?;
    Ok(answer)
}

impl Drop for Writer {
    /// Lets the queued work finish, and closes the file.
    fn drop(&mut self) {
        self.jobs.take();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing left to finish.
            thread.join().ok();
        }
    }
}

/// Connections that read.
pub struct Readers {
    path: PathBuf,
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    /// Opens connections as they are needed.
    pub fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), permits: Arc::new(Semaphore::new(READERS)), idle: Arc::default() }
    }

    /// Runs `work` on a connection of its own, not on a serving thread.
    pub async fn run<T, W>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let stopped = |error: String| StoreError::Unavailable(error);
        let permit =
            Arc::clone(&self.permits).acquire_owned().await.map_err(|error| stopped(error.to_string()))?;
        let (path, idle) = (self.path.clone(), Arc::clone(&self.idle));
        let read = move || {
            let _permit = permit;
            let reused = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = reused.map_or_else(|| file::open_to_read(&path), Ok)?;
            let answer = work(&connection);
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            answer
        };
        tokio::task::spawn_blocking(read).await.map_err(|error| stopped(error.to_string()))?
    }
}
