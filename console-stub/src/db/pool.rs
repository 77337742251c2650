//! A few connections for reading, used by one reader at a time each.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::{DbError, Tx};

pub(super) const READERS: usize = 3;

/// A connection that cannot change anything.
pub(super) trait Reader: Tx + Send + std::fmt::Debug {
    /// Begins a look: what follows is answered as of one moment, where the engine has that.
    fn start(&mut self) -> Result<(), DbError>;
    fn finish(&mut self);
}

#[derive(Debug)]
pub(super) struct Readers {
    turns: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Box<dyn Reader>>>>,
}

impl Readers {
    pub(super) fn new(connections: Vec<Box<dyn Reader>>) -> Self {
        Self { turns: Arc::new(Semaphore::new(connections.len())), idle: Arc::new(Mutex::new(connections)) }
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
            let mut connection = taken.ok_or(DbError::Panicked)?;
            let result = connection.start().map_err(E::from).and_then(|()| {
                let result = look(&mut *connection);
                connection.finish();
                result
            });
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            drop(turn);
            result
        });
        work.await.map_err(|_| DbError::Panicked)?
    }
}
