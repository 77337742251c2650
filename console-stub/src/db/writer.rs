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

use super::batch::Batch;
use super::engine::Engine;
use super::{DbError, Tx};

/// Most changes in one commit: enough to make the flush cheap for each, few enough that the first does not wait long.
const MOST_PER_COMMIT: usize = 256;

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

/// A change; with an error in the transaction's place, it is not made, and its caller is told why.
type Job = Box<dyn FnOnce(Result<&mut dyn Tx, DbError>) -> Done + Send>;
type Answer = Box<dyn FnOnce(Result<(), DbError>) + Send>;
/// Those who are told how the commit went, or why their change is not in it.
type Answers = Vec<(Answer, Result<(), DbError>)>;

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
            let result = tx.map_err(E::from).and_then(change);
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
        told.await.map_err(|_| DbError::Panicked)?
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
        let mut batch = batch.into_iter();
        let committed = run(&mut engine, &mut batch, &mut answers);
        match &committed {
            Ok(()) => {
                counters.commits.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                if matches!(error, DbError::Unavailable(_)) {
                    tracing::warn!(%error, "changes were not made; their callers are told to come again");
                } else {
                    tracing::error!(%error, changes = answers.len(), "a commit failed");
                }
                if let Err(error) = engine.rollback() {
                    tracing::error!(%error, "the rollback failed too");
                }
                answers.extend(batch.map(|job| (job(Err(error.clone())).answer, Ok(()))));
            }
        }
        for (answer, kept) in answers {
            answer(kept.and(committed.clone()));
        }
    }
}

fn run(
    engine: &mut impl Engine,
    batch: &mut impl Iterator<Item = Job>,
    answers: &mut Answers,
) -> Result<(), DbError> {
    engine.begin()?;
    let mut tx = Batch::new(engine);
    for job in batch {
        if let Err(error) = tx.mark() {
            answers.push((job(Err(error.clone())).answer, Ok(())));
            return Err(error);
        }
        // The closure's own state is gone with it, and the engine's is undone: nothing half-done can be seen later.
        let Ok(done) = catch_unwind(AssertUnwindSafe(|| job(Ok(&mut tx)))) else {
            tx.undo()?;
            continue;
        };
        let kept = match done.outcome {
            Outcome::Keep => tx.keep(),
            Outcome::Undo => Ok(()),
        };
        let undo = done.outcome == Outcome::Undo || kept.is_err();
        answers.push((done.answer, kept));
        if undo {
            tx.undo()?;
        }
    }
    engine.commit()
}

#[cfg(test)]
mod tests {
    use super::super::engine::Dialect;
    use super::super::sqlite::Sqlite;
    use super::super::{Row, Rows, Value};
    use super::*;

    /// An engine that counts, and fails the commits it is told to.
    #[derive(Default)]
    struct Fake {
        fail_commit: bool,
        fail_begin: bool,
        fail_mark: bool,
    }

    impl Tx for Fake {
        fn execute(&mut self, _sql: &str, _args: &[Value]) -> Result<u64, DbError> {
            Ok(0)
        }
        fn query(&mut self, _sql: &str, _args: &[Value]) -> Result<Vec<Row>, DbError> {
            Ok(Vec::new())
        }
        fn lock_clause(&self) -> &'static str {
            ""
        }
    }

    impl Engine for Fake {
        fn dialect(&self) -> Dialect {
            Dialect::Sqlite
        }
        fn begin(&mut self) -> Result<(), DbError> {
            if self.fail_begin { Err(DbError::Unavailable("away".to_owned())) } else { Ok(()) }
        }
        fn commit(&mut self) -> Result<(), DbError> {
            if self.fail_commit { Err(DbError::Engine("disk full".to_owned())) } else { Ok(()) }
        }
        fn rollback(&mut self) -> Result<(), DbError> {
            Ok(())
        }
        fn mark(&mut self) -> Result<(), DbError> {
            if self.fail_mark { Err(DbError::Unavailable("away".to_owned())) } else { Ok(()) }
        }
        fn keep(&mut self) -> Result<(), DbError> {
            Ok(())
        }
        fn undo(&mut self) -> Result<(), DbError> {
            Ok(())
        }
        fn script(&mut self, _sql: &str) -> Result<(), DbError> {
            Ok(())
        }
    }

    /// Holds the writer in a first change until everything else is queued; gives what follows once it is let go.
    async fn queued_behind(writer: &Arc<Writer>, changes: usize) -> Vec<Result<(), DbError>> {
        let (go, wait) = channel::<()>();
        let (entered, inside) = oneshot::channel::<()>();
        let holder = Arc::clone(writer);
        let first = tokio::spawn(async move {
            let hold = move |_: &mut dyn Tx| {
                let _ = entered.send(());
                wait.recv().map_err(|_| DbError::Closed)
            };
            holder.submit(hold).await
        });
        inside.await.unwrap();
        let rest: Vec<_> = (0..changes)
            .map(|_| {
                let writer = Arc::clone(writer);
                tokio::spawn(async move { writer.submit(|_| Ok::<_, DbError>(())).await })
            })
            .collect();
        // Every task above runs up to its own wait before this one goes on: there is one thread.
        for _ in 0..changes {
            tokio::task::yield_now().await;
        }
        go.send(()).unwrap();
        let mut results = vec![first.await.unwrap()];
        for task in rest {
            results.push(task.await.unwrap());
        }
        results
    }

    #[tokio::test]
    async fn changes_that_wait_together_share_commits() {
        let writer = Arc::new(Writer::start(Fake::default()).unwrap());
        let results = queued_behind(&writer, 300).await;
        assert!(results.iter().all(Result::is_ok));
        // The first, then 256, then the 44 that are left.
        assert_eq!(writer.counts(), WriteCounts { changes: 301, commits: 3 });
    }

    #[tokio::test]
    async fn a_failed_commit_fails_every_change_in_it() {
        let writer = Arc::new(Writer::start(Fake { fail_commit: true, ..Fake::default() }).unwrap());
        let results = queued_behind(&writer, 10).await;
        assert_eq!(results.len(), 11);
        let full =
            |result: &Result<(), DbError>| matches!(result, Err(DbError::Engine(why)) if why == "disk full");
        assert!(results.iter().all(full), "{results:?}");
        assert_eq!(writer.counts().commits, 0);
    }

    #[tokio::test]
    async fn a_database_that_went_away_is_named_to_every_caller() {
        let away = |result: &Result<(), DbError>| matches!(result, Err(DbError::Unavailable(_)));
        for engine in
            [Fake { fail_begin: true, ..Fake::default() }, Fake { fail_mark: true, ..Fake::default() }]
        {
            let writer = Arc::new(Writer::start(engine).unwrap());
            let calls = (0..10).map(|_| {
                let writer = Arc::clone(&writer);
                tokio::spawn(async move { writer.submit(|_| Ok::<_, DbError>(())).await })
            });
            for call in calls.collect::<Vec<_>>() {
                assert!(away(&call.await.unwrap()));
            }
            assert_eq!(writer.counts().commits, 0);
        }
    }

    #[tokio::test]
    async fn a_change_that_cannot_be_kept_is_undone_alone_and_its_caller_told() {
        let dir = tempfile::tempdir().unwrap();
        let mut engine = Sqlite::open(&dir.path().join("db")).unwrap();
        engine.script("CREATE TABLE t (n BIGINT)").unwrap();
        let writer = Writer::start(engine).unwrap();
        writer.submit(|tx| tx.later("INSERT INTO t VALUES (1)", &[], Rows::One)).await.unwrap();
        // It thinks that all went well.
        let swallowed = writer.submit(|tx| {
            tx.later("INSERT INTO t VALUES (2)", &[], Rows::One)?;
            drop(tx.later("UPDATE t SET n = 3 WHERE n = 0", &[], Rows::One));
            Ok::<_, DbError>(())
        });
        let told = swallowed.await;
        assert!(matches!(&told, Err(DbError::Unavailable(why)) if why.contains("0 rows")), "{told:?}");
        let sum =
            |tx: &mut dyn Tx| tx.first("SELECT SUM(n) FROM t", &[])?.ok_or(DbError::Missing("sum"))?.int(0);
        assert_eq!(writer.submit(sum).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_change_that_fails_or_panics_leaves_nothing_and_harms_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let mut engine = Sqlite::open(&dir.path().join("db")).unwrap();
        engine.script("CREATE TABLE t (n BIGINT)").unwrap();
        let writer = Writer::start(engine).unwrap();
        let insert = |tx: &mut dyn Tx, n: i64| tx.execute("INSERT INTO t VALUES ($1)", &[n.into()]);
        writer.submit(move |tx| insert(tx, 1)).await.unwrap();
        let failed = writer.submit(move |tx| {
            insert(tx, 2)?;
            Err::<(), _>(DbError::Engine("no".to_owned()))
        });
        assert!(failed.await.is_err());
        let panicked = writer.submit(move |tx| {
            insert(tx, 4)?;
            if tx.lock_clause().is_empty() {
                panic!("a bug");
            }
            Ok::<(), DbError>(())
        });
        assert!(panicked.await.is_err());
        let sum =
            |tx: &mut dyn Tx| tx.first("SELECT SUM(n) FROM t", &[])?.ok_or(DbError::Missing("sum"))?.int(0);
        assert_eq!(writer.submit(sum).await.unwrap(), 1);
    }
}
