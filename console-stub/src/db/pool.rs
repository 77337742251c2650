//! A few connections for reading, used by one reader at a time each.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::sqlite::Sqlite;
use super::{DbError, Tx};

/// Readers that work side by side.
const READERS: usize = 3;

#[derive(Debug)]
pub(super) struct Readers {
    turns: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Sqlite>>>,
}

impl Readers {
    pub(super) fn open(path: &Path) -> Result<Self, DbError> {
        let connections: Result<Vec<Sqlite>, DbError> =
            (0..READERS).map(|_| Sqlite::open_reader(path)).collect();
        Ok(Self { turns: Arc::new(Semaphore::new(READERS)), idle: Arc::new(Mutex::new(connections?)) })
    }

    pub(super) async fn run<T, E, F>(&self, look: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
        F: FnOnce(&mut dyn Tx) -> Result<T, E> + Send + 'static,
    {
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| DbError::Closed)?;
        let idle = Arc::clone(&self.idle);
        let work = tokio::task::spawn_blocking(move || {
            let taken = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut connection = taken.ok_or(DbError::Closed)?;
            let result = look(&mut connection);
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            drop(turn);
            result
        });
        work.await.map_err(|_| DbError::Closed)?
    }
}
