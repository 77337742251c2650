//! Puts the parts together: data directory, database, Console, TLS, paths. In process, a test does it the same way.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use telovix_contract::token::hex;
use tokio::net::TcpListener;
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::api::{Api, Guard, router, sensors_router};
use crate::ca::{self, Authority, CaError};
use crate::clock::{Clock, Trusted};
use crate::config::{DataDir, Limits};
use crate::db::{Database, DbError, Location};
use crate::domain::public_url::PublicUrl;
use crate::fault::Faults;
use crate::fault::chaos::Chaos;
use crate::files::{self, FileError};
use crate::serve::tls::{Door, TlsConfigs, TlsError, server_configs};
use crate::serve::{self, Server};
use crate::service::tokens::url_for;
use crate::service::{Console, ServiceError};

const ROUND: Duration = Duration::from_secs(1);
/// Seconds between two clean-ups, by the Console's clock.
const CLEAN_UP_EVERY: i64 = 60;

/// What an application is made of.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where everything lies.
    pub data: DataDir,
    /// The database.
    pub database: Location,
    /// Where the time comes from.
    pub clock: Clock,
    /// Faults to provoke.
    pub faults: Faults,
    /// What a client may drag out.
    pub limits: Limits,
    /// What is to go wrong on purpose.
    pub chaos: Chaos,
}

impl Options {
    /// This directory with its embedded database, the machine's clock, no faults, the usual limits.
    pub fn new(data: DataDir) -> Self {
        let (faults, limits, chaos) = (Faults::default(), Limits::default(), Chaos::default());
        let database = Location::File(data.database());
        Self { data, database, clock: Clock::system(), faults, limits, chaos }
    }
}

/// Where an application listens.
#[derive(Debug)]
pub struct Listeners {
    /// For operators and sensors: asks for a client certificate without requiring one.
    pub main: TcpListener,
    /// For sensors alone: requires one (docs/contract.md section 2).
    pub sensors: Option<TcpListener>,
}

/// Why an application does not start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A file or directory.
    #[error(transparent)]
    File(#[from] FileError),
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The CA.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// What the Console refuses.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The TLS configuration.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A Console and its data directory, ready to be set up, asked and served.
#[derive(Debug)]
pub struct App {
    console: Console,
    data: DataDir,
    limits: Arc<Limits>,
    chaos: Chaos,
    setup_code: Option<Arc<Zeroizing<String>>>,
}

impl App {
    /// Opens the data directory, making it and its database where there are none.
    pub async fn open(options: Options) -> Result<Self, AppError> {
        let Options { data, database, clock, faults, limits, chaos } = options;
        files::private_dir(data.path())?;
        if let Location::File(path) = &database {
            files::private_file(path)?;
        }
        let db = Database::open(database, clock.clone()).await?;
        let console = Console::open(db, clock, faults).await?;
        let setup_code = match console.authority() {
            Ok(_) => None,
            Err(_) => Some(Arc::new(Zeroizing::new(hex(&ca::random::<16>()?)))),
        };
        let app = Self { console, data, limits: Arc::new(limits), chaos, setup_code };
        app.restore_ca_file()?;
        Ok(app)
    }

    /// The Console itself: set-up, tokens, sensors and all else that operators do.
    pub fn console(&self) -> &Console {
        &self.console
    }

    /// What the page that sets the Console up asks for, so that no stranger on the network is first; none once it is set up.
    pub fn setup_code(&self) -> Option<&str> {
        self.setup_code.as_deref().map(|code| code.as_str())
    }

    /// Writes the CA file where it is missing; the database has what belongs in it.
    pub(crate) fn restore_ca_file(&self) -> Result<(), AppError> {
        let path = self.data.ca_file();
        if let Ok(authority) = self.console.authority()
            && !path.exists()
        {
            files::replace(&path, 0o644, authority.ca_pem().as_bytes())?;
        }
        Ok(())
    }

    /// Writes down the address to be told to hosts: as given, or derived from the listener's.
    pub(crate) async fn publish_url(
        &self,
        given: Option<PublicUrl>,
        listener: &TcpListener,
    ) -> Result<(), AppError> {
        let Ok(bound) = listener.local_addr() else { return Ok(()) };
        let host = match self.console.first_server_name().await? {
            Some(name) => name,
            None if bound.ip().is_unspecified() => "localhost".to_owned(),
            None => bound.ip().to_string(),
        };
        Ok(self.console.publish_url(given, url_for(&host, bound.port())).await?)
    }

    /// Serves until `shutdown` is done. Before set-up it serves too, under a certificate of the moment: `/healthz` answers,
    /// the rest says that it is not ready; it notices by itself when set-up has been done.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), AppError> {
        self.serve_on(Listeners { main: listener, sensors: None }, shutdown).await
    }

    /// The same, on one or two listeners.
    pub async fn serve_on(
        self,
        listeners: Listeners,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), AppError> {
        let Self { console, data, limits, chaos, setup_code } = self;
        if console.authority().is_ok() {
            console.renew_server_certificate().await?;
        }
        let (change, tls) = watch::channel(first_config(&console)?);
        let upkeep = tokio::spawn(upkeep(console.clone(), change));
        let (clock, own) = (console.clock().clone(), console.clone());
        let guard = Arc::new(Guard::new(&limits.rates, &clock));
        let api = Api { console, data, limits: Arc::clone(&limits), guard, setup_code };
        let server = Server {
            door: Door::Everyone,
            tls,
            router: router(api.clone()).merge(crate::ui::router(api.clone())),
            clock,
            limits,
            chaos,
            console: own,
        };
        match listeners.sensors {
            None => serve::run(listeners.main, server, shutdown).await,
            Some(listener) => {
                let sensors = Server { door: Door::Sensors, router: sensors_router(api), ..server.clone() };
                let (stop, mut stopping) = watch::channel(());
                let stopped = async move {
                    // It ends by the sender's end.
                    while stopping.changed().await.is_ok() {}
                };
                let main = async {
                    serve::run(listeners.main, server, shutdown).await;
                    drop(stop);
                };
                tokio::join!(main, serve::run(listener, sensors, stopped));
            }
        }
        upkeep.abort();
        // Waits for the abort, so that nothing holds the database when this returns; a cancelled task is no failure.
        let _ = upkeep.await;
        Ok(())
    }
}

fn first_config(console: &Console) -> Result<TlsConfigs, AppError> {
    match console.authority() {
        Ok(authority) => Ok(server_configs(&authority, console.clock())?),
        Err(_) => {
            tracing::warn!(
                "the Console is not set up; open /ui/setup with the setup code, or run `telovix-console-stub setup` on its data directory"
            );
            let passing = Authority::temporary(console.now())?;
            Ok(server_configs(&passing, console.clock())?)
        }
    }
}

/// Looks after the Console for as long as it is served.
async fn upkeep(console: Console, tls: watch::Sender<TlsConfigs>) {
    let mut rounds = tokio::time::interval(ROUND);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut well = true;
    let mut served = String::new();
    let (mut cleaned_at, mut trusted) = (None, Trusted::default());
    loop {
        rounds.tick().await;
        let done = look_after(&console, &tls, &mut served).await;
        let cleaned = clean_up(&console, &mut cleaned_at, trusted.now(console.clock())).await;
        let outcome = done.and(cleaned.map_err(AppError::from));
        let before = std::mem::replace(&mut well, outcome.is_ok());
        match outcome {
            Ok(()) if before => {}
            Ok(()) => tracing::info!("the Console looks after itself again"),
            Err(error) if before => tracing::error!(%error, "the Console could not look after itself"),
            // Said once; a database may be away for longer than anyone wants to read of.
            Err(error) => tracing::debug!(%error, "the Console still cannot look after itself"),
        }
    }
}

/// `cleaned_at` is when it was done last. A clock that was set back does not put it off.
async fn clean_up(
    console: &Console,
    cleaned_at: &mut Option<i64>,
    trusted: Option<i64>,
) -> Result<(), ServiceError> {
    let now = console.now();
    if cleaned_at.is_some_and(|at| (at..at + CLEAN_UP_EVERY).contains(&now)) {
        return Ok(());
    }
    *cleaned_at = Some(now);
    console.clean_up(trusted).await
}

/// `served` is the stamp of the CA that the server shows.
async fn look_after(
    console: &Console,
    tls: &watch::Sender<TlsConfigs>,
    served: &mut String,
) -> Result<(), AppError> {
    // Another process may have changed the CA: set-up, the command line, another instance on the same database.
    console.reload_if_changed().await?;
    if console.authority().is_err() {
        return Ok(());
    }
    console.renew_server_certificate().await?;
    let stamp = console.stamp();
    if stamp != *served {
        tls.send_replace(server_configs(&*console.authority()?, console.clock())?);
        *served = stamp;
    }
    Ok(())
}
