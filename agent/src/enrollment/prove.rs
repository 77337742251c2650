//! Proof: a real mutual-TLS heartbeat with the identity, answered by the Console.

use std::fmt;

use jiff::Timestamp;
use telovix_contract::problem::Retry;
use tokio::time::{Instant, sleep, timeout_at};

use super::obtain::is_ours;
use super::patience::random;
use super::plan::is_clone;
use super::{EnrollError, Host};
use crate::clock;
use crate::config::FoundToken;
use crate::console::{Console, ConsoleError};
use crate::schedule;
use crate::store::{Generation, Loaded, Store, StoreError};

/// What the Console says of an identity.
#[derive(Debug)]
pub enum Proof {
    /// It answered a heartbeat for it.
    Accepted,
    /// It has no heartbeat to ask (CONTRACT.md section 3); the certificate chains, and that has to do.
    NoHeartbeat,
    /// It could not be asked.
    Unreached(ConsoleError),
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted => f.write_str("accepted by the Console"),
            Self::NoHeartbeat => f.write_str("not confirmed: this Console has no heartbeat"),
            Self::Unreached(error) => write!(f, "not confirmed: {error}"),
        }
    }
}

/// Asks once.
async fn ask(console: &Console, generation: &Generation) -> Result<Proof, EnrollError> {
    match console.heartbeat(&generation.trust(), generation.identity()?).await {
        Ok(answer) if answer.sensor_id == generation.verified().sensor_id() => Ok(Proof::Accepted),
        Ok(answer) => Err(EnrollError::OtherSensor {
            ours: generation.verified().sensor_id(),
            theirs: answer.sensor_id,
        }),
        Err(error) if error.is_missing_path() => Ok(Proof::NoHeartbeat),
        Err(error) if error.retry() == Retry::Backoff => Ok(Proof::Unreached(error)),
        Err(error) => Err(error.into()),
    }
}

/// Asks until there is an answer or the time is up.
///
/// # Errors
/// When the time is up, [`EnrollError::NotReached`] with what was met last, or [`EnrollError::OutOfTime`] where nothing was;
/// refusals as they come.
pub(super) async fn prove(
    console: &Console,
    generation: &Generation,
    until: Instant,
) -> Result<Proof, EnrollError> {
    let mut failures = 0;
    let began = Instant::now();
    // Says more than that an attempt after it was cut short.
    let mut met_last = None;
    loop {
        let Ok(asked) = timeout_at(until, ask(console, generation)).await else {
            return Err(
                met_last.map_or_else(|| EnrollError::OutOfTime(began.elapsed()), EnrollError::NotReached)
            );
        };
        let error = match asked? {
            Proof::Unreached(error) => error,
            proof @ (Proof::Accepted | Proof::NoHeartbeat) => return Ok(proof),
        };
        failures += 1;
        let wait = schedule::backoff(failures, random(), error.retry_after());
        if Instant::now() + wait >= until {
            return Err(EnrollError::NotReached(error));
        }
        tracing::warn!(%error, attempt = failures, "the new certificate is not confirmed yet");
        met_last = Some(error);
        sleep(wait).await;
    }
}

/// An identity that stands is asked for once; a Console that cannot be reached does not take it away. `.sensor-ready`
/// follows the answer, and what a crash left half done is finished.
pub(super) async fn keep(
    store: &mut Store,
    console: &Console,
    generation: &Generation,
    now: Timestamp,
) -> Result<Proof, EnrollError> {
    store.settle(generation)?;
    let asked = ask(console, generation).await;
    match &asked {
        Ok(Proof::Accepted | Proof::NoHeartbeat) if store.ready_since().is_none() => {
            store.set_ready(Some(now))?;
        }
        Err(EnrollError::Refused(_)) => store.set_ready(None)?,
        Ok(_) | Err(_) => {}
    }
    asked
}

/// An enrollment that was answered, committed and then cut short, and whose token is no longer the one in hand: it is
/// finished first, because an identity that the Console has issued is not thrown away.
pub(super) async fn finish_interrupted(
    host: &Host<'_>,
    store: &mut Store,
    console: &Console,
    token: Option<&FoundToken>,
) -> Result<(), EnrollError> {
    let now = clock::now(&host.clock);
    let pending = match store.pending() {
        Ok(Some(pending)) => pending,
        // One that cannot be read is replaced where the next enrollment begins.
        Ok(None) | Err(StoreError::Corrupt { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    // One that came here with a copied state directory is another machine's.
    if token.is_some_and(|found| found.token.matches(&pending.token_sha256)) || !is_ours(&pending, host) {
        return Ok(());
    }
    let committed = store.committed(&pending, now)?;
    let Some(generation) = committed.filter(|found| !is_clone(host, found.state())) else { return Ok(()) };
    let may_publish = match store.load(now)? {
        Loaded::Nothing | Loaded::Lost(_) => true,
        Loaded::Intact { .. } => {
            matches!(ask(console, &generation).await, Ok(Proof::Accepted | Proof::NoHeartbeat))
        }
    };
    if may_publish {
        tracing::info!(generation = generation.number(), "finishing an enrollment that was cut short");
        store.publish(&generation)?;
    }
    Ok(())
}

/// `.sensor-ready` says that the Console has accepted the identity.
pub(super) fn note_acceptance(store: &mut Store, proof: &Proof, now: Timestamp) -> Result<(), StoreError> {
    match proof {
        Proof::Accepted | Proof::NoHeartbeat => store.set_ready(Some(now)),
        Proof::Unreached(_) => Ok(()),
    }
}
