//! The Console that all calls of this layer are made on, and why one does not happen.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use telovix_contract::ErrorCode;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::noted::Noted;
use crate::ca::{Authority, CaError};
use crate::clock::Clock;
use crate::db::fleet::FleetCounts;
use crate::db::{Database, DbError, Tx, authority, settings as table};
use crate::domain::Refusal;
use crate::fault::{Cut, Faults};

/// Why a call did not happen.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ServiceError {
    /// A rule says no; the caller is told why.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database failed; the caller is told to come again.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The CA failed; likewise.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// Work on a password panicked.
    #[error("a password could not be hashed or checked; the log says why")]
    Hashing,
    /// A fault under test cut the connection.
    #[error(transparent)]
    Cut(#[from] Cut),
}

/// A Console: its database, its CA once it is set up, and its clock. Clones share it.
#[derive(Debug, Clone)]
pub struct Console(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: Database,
    clock: Clock,
    faults: Faults,
    held: RwLock<Held>,
    counted: Counted,
    watched: Watched,
    noted: Noted,
}

/// The last count of the fleet. Whether a sensor is healthy is a matter of the last heartbeat, which is in no index, so each
/// count looks at every row.
#[derive(Debug, Default)]
pub(super) struct Counted(pub(super) Mutex<Option<(FleetCounts, Instant, Duration)>>);

/// The trail's length when it was last looked at for open pages.
#[derive(Debug, Default)]
pub(super) struct Watched(pub(super) Mutex<Option<(i64, Instant)>>);

/// The CA in memory, and the stamp of the rows that it was read from. All else that counts is in the database, so that
/// several instances agree on it.
#[derive(Debug, Default)]
struct Held {
    authority: Option<Arc<Authority>>,
    stamp: String,
}

impl Console {
    /// A Console on this database; reads the CA where set-up has been done.
    /// Errors: [`ServiceError`] when the database or what it holds cannot be read.
    pub async fn open(db: Database, clock: Clock, faults: Faults) -> Result<Self, ServiceError> {
        let (counted, watched, noted) = Default::default();
        let held = RwLock::default();
        let console = Self(Arc::new(Inner { db, clock, faults, held, counted, watched, noted }));
        console.reload().await?;
        Ok(console)
    }

    /// Reads the CA again; says whether there is one.
    pub(crate) async fn reload(&self) -> Result<bool, ServiceError> {
        let held = self.0.db.read(load_authority).await?;
        let ready = held.authority.is_some();
        *self.0.held.write().unwrap_or_else(PoisonError::into_inner) = held;
        Ok(ready)
    }

    /// Reads the CA again if the database holds another one than this process; says whether it did.
    pub async fn reload_if_changed(&self) -> Result<bool, ServiceError> {
        let stamp = self.0.db.read::<_, ServiceError, _>(|tx| Ok(authority::stamp(tx)?)).await?;
        let same = self.0.held.read().unwrap_or_else(PoisonError::into_inner).stamp == stamp;
        if same { Ok(false) } else { self.reload().await }
    }

    /// Changes whenever the CA in memory does.
    pub fn stamp(&self) -> String {
        self.0.held.read().unwrap_or_else(PoisonError::into_inner).stamp.clone()
    }

    /// The CA.
    pub fn authority(&self) -> Result<Arc<Authority>, ServiceError> {
        let held = self.0.held.read().unwrap_or_else(PoisonError::into_inner).authority.clone();
        held.ok_or_else(|| not_set_up().into())
    }

    /// Whether the Console is set up and its database answers.
    pub async fn ready(&self) -> Result<(), ServiceError> {
        self.authority()?;
        self.0.db.read(|tx| require_setup(tx)).await
    }

    /// Unix seconds.
    pub fn now(&self) -> i64 {
        self.0.clock.now()
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The database.
    pub fn db(&self) -> &Database {
        &self.0.db
    }

    pub(super) fn counted(&self) -> &Counted {
        &self.0.counted
    }

    pub(super) fn watched(&self) -> &Watched {
        &self.0.watched
    }

    pub(super) fn noted(&self) -> &Noted {
        &self.0.noted
    }

    /// The faults under test.
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }
}

fn load_authority(tx: &mut dyn Tx) -> Result<Held, ServiceError> {
    if table::get(tx, table::SETUP_AT)?.is_none() {
        return Ok(Held::default());
    }
    let stamp = authority::stamp(tx)?;
    match Authority::load(tx) {
        Ok(authority) => Ok(Held { authority: Some(Arc::new(authority)), stamp }),
        Err(crate::ca::LoadError::Db(error)) => Err(error.into()),
        Err(crate::ca::LoadError::Ca(error)) => Err(error.into()),
    }
}

pub(super) fn require_setup(tx: &mut dyn Tx) -> Result<(), ServiceError> {
    match table::get(tx, table::SETUP_AT)? {
        Some(_) => Ok(()),
        None => Err(not_set_up().into()),
    }
}

pub(super) fn not_set_up() -> Refusal {
    Refusal::new(
        ErrorCode::NotReady,
        "The Console is not set up; open /ui/setup in a browser with the code that `serve` printed, or run \
         `telovix-console-stub setup`.",
    )
}
