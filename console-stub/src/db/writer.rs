//! The one writer: many changes, one commit.
//!
//! Invariant: a caller hears of success only after the commit that holds its change, and a change that failed leaves
//! nothing behind while its neighbours stay. A durable commit costs a disk flush whatever is in it; when hundreds of
//! hosts enroll together, they share it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::{DbError, Tx};

/// Most changes in one commit: enough to make the flush cheap for each, few enough that the first does not wait long.
const MOST_PER_COMMIT: usize = 256;

/// What the writer needs of an engine beyond queries.
pub(super) trait Engine: Tx {
    /// Starts a transaction that will write.
    fn begin(&mut self) -> Result<(), DbError>;
    /// Makes it durable.
    fn commit(&mut self) -> Result<(), DbError>;
    /// Forgets it, if one is open.
    fn rollback(&mut self) -> Result<(), DbError>;
    /// Starts one change within it.
    fn mark(&mut self) -> Result<(), DbError>;
    /// Ends the change and keeps it.
    fn keep(&mut self) -> Result<(), DbError>;
    /// Ends the change and undoes it.
    fn undo(&mut self) -> Result<(), DbError>;
    /// Runs several statements.
    fn script(&mut self, sql: &str) -> Result<(), DbError>;
}

/// How many changes were made in how many commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteCounts {
    /// Changes asked for.
    pub changes: u64,
    /// Commits made.
    pub commits: u64,
}

#[derive(Debug, Default)]
struct Counters {
    changes: AtomicU64,
    commits: AtomicU64,
}

type Job = Box<dyn FnOnce(&mut dyn Tx) -> Done + Send>;
type Answer = Box<dyn FnOnce(Result<(), DbError>) + Send>;

/// What a job leaves: whether to keep its change, and whom to tell how the commit went.
struct Done {
    outcome: Outcome,
    answer: Answer,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Keep,
    Undo,
}

#[derive(Debug)]
pub(super) struct Writer {
    queue: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    counters: Arc<Counters>,
}

impl Writer {
    pub(super) fn start(engine: impl Engine + Send + 'static) -> Result<Self, DbError> {
        let (queue, jobs) = channel();
        let counters = Arc::new(Counters::default());
        let shared = Arc::clone(&counters);
        let thread = std::thread::Builder::new()
            .name("db-writer".to_owned())
            .spawn(move || work(engine, &jobs, &shared))
            .map_err(|error| DbError::Engine(format!("no thread for the writer: {error}")))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), counters })
    }

    pub(super) async fn submit<T, E, F>(&self, change: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
        F: FnOnce(&mut dyn Tx) -> Result<T, E> + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let job: Job = Box::new(move |tx| {
            let result = change(tx);
            let outcome = if result.is_ok() { Outcome::Keep } else { Outcome::Undo };
            let answer: Answer = Box::new(move |committed| {
                // Nobody listens any more when the caller's connection is gone; the change stands all the same.
                let _ = tell.send(match committed {
                    Ok(()) => result,
                    Err(error) => result.and(Err(error.into())),
                });
            });
            Done { outcome, answer }
        });
        let queue = self.queue.as_ref().ok_or(DbError::Closed)?;
        queue.send(job).map_err(|_| DbError::Closed)?;
        told.await.map_err(|_| DbError::Closed)?
    }

    pub(super) fn counts(&self) -> WriteCounts {
        WriteCounts {
            changes: self.counters.changes.load(Ordering::Relaxed),
            commits: self.counters.commits.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Writer {
    /// Finishes what is queued and closes the file, so that whoever opens it next finds it at rest.
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            // A writer that panicked has told its callers by dropping their channels.
            let _ = thread.join();
        }
    }
}

fn work(mut engine: impl Engine, jobs: &Receiver<Job>, counters: &Counters) {
    while let Ok(first) = jobs.recv() {
        let batch: Vec<Job> =
            std::iter::once(first).chain(jobs.try_iter().take(MOST_PER_COMMIT - 1)).collect();
        counters.changes.fetch_add(batch.len() as u64, Ordering::Relaxed);
        let mut answers = Vec::with_capacity(batch.len());
        let committed = run(&mut engine, batch, &mut answers);
        match &committed {
            Ok(()) => {
                counters.commits.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                tracing::error!(%error, changes = answers.len(), "a commit failed");
                if let Err(error) = engine.rollback() {
                    tracing::error!(%error, "the rollback failed too");
                }
            }
        }
        for answer in answers {
            answer(committed.clone());
        }
    }
}

fn run(engine: &mut impl Engine, batch: Vec<Job>, answers: &mut Vec<Answer>) -> Result<(), DbError> {
    engine.begin()?;
    for job in batch {
        engine.mark()?;
        // The closure's own state is gone with it, and the engine's is undone: nothing half-done can be seen later.
        let done = catch_unwind(AssertUnwindSafe(|| job(&mut *engine)));
        match done {
            Ok(done) => {
                answers.push(done.answer);
                match done.outcome {
                    Outcome::Keep => engine.keep()?,
                    Outcome::Undo => engine.undo()?,
                }
            }
            Err(_) => engine.undo()?,
        }
    }
    engine.commit()
}
