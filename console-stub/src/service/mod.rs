//! What the Console does, one transaction each.
//!
//! Invariant: a call of this layer either happened as a whole, audit record included, and is durable when it returns, or
//! left nothing behind. The transaction is opened, filled and ended here; [`crate::domain`] decides, [`crate::db`] and
//! [`crate::ca`] carry out.
//!
//! [`setup`] makes a Console; [`tokens`] invites hosts; [`enroll`] lets them in; [`session`] serves them afterwards;
//! [`users`], [`approvals`], [`sensors`], [`api_keys`], [`licence`], [`settings`], [`audit`], [`audit_export`] and [`overview`] are for operators; [`upkeep`] is what happens by itself.

pub mod api_keys;
pub mod approvals;
pub mod audit;
pub mod audit_export;
pub mod enroll;
pub mod licence;
pub mod overview;
pub mod rotation;
pub mod sensors;
pub mod session;
pub mod settings;
pub mod setup;
pub mod tokens;
pub mod upkeep;
pub mod users;

use std::sync::{Arc, PoisonError, RwLock};

use telovix_contract::ErrorCode;

use crate::ca::{Authority, CaError};
use crate::clock::Clock;
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
    counted: overview::Counted,
    watched: overview::Watched,
}

/// The CA in memory, and the stamp of the rows that it was read from. All else that counts is in the database, so that
/// several instances agree on it.
#[derive(Debug, Default)]
struct Held {
    authority: Option<Arc<Authority>>,
    stamp: String,
}

impl Console {
    /// A Console on this database; reads the CA where set-up has been done.
    ///
    /// # Errors
    /// [`ServiceError`] when the database or what it holds cannot be read.
    pub async fn open(db: Database, clock: Clock, faults: Faults) -> Result<Self, ServiceError> {
        let (counted, watched) = Default::default();
        let console = Self(Arc::new(Inner { db, clock, faults, held: RwLock::default(), counted, watched }));
        console.reload().await?;
        Ok(console)
    }

    /// Reads the CA again; says whether there is one.
    pub async fn reload(&self) -> Result<bool, ServiceError> {
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

    /// The last count of the fleet.
    fn counted(&self) -> &overview::Counted {
        &self.0.counted
    }

    /// What open pages were told last.
    fn watched(&self) -> &overview::Watched {
        &self.0.watched
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

fn require_setup(tx: &mut dyn Tx) -> Result<(), ServiceError> {
    match table::get(tx, table::SETUP_AT)? {
        Some(_) => Ok(()),
        None => Err(not_set_up().into()),
    }
}

fn not_set_up() -> Refusal {
    Refusal::new(
        ErrorCode::NotReady,
        "The Console is not set up; open /ui/setup in a browser with the code that `serve` printed, or run \
         `telovix-console-stub setup`.",
    )
}
