//! What a host has to do to hold a working identity, and doing it.
//!
//! Invariants:
//! - the key and the request are on the disk before the first byte leaves, and every repeat is the same (exactly once);
//! - an identity that stands is replaced only by one that the Console has accepted in a real mutual-TLS heartbeat;
//! - what is refused for good is asked once; what passes is asked again with growing, jittered waits.

mod error;
pub mod obtain;
mod patience;
mod plan;
mod prove;
pub mod spent;

use tokio::time::Instant;

use telovix_contract::facts::HostFacts;

pub use self::error::EnrollError;
use self::obtain::{Application, FirstContact};
pub use self::patience::random;
pub use self::plan::{Plan, change, is_clone};
pub use self::prove::Proof;
use crate::clock::{self, Clock};
use crate::config::{Config, ConsoleUrl, FoundToken};
use crate::console::Console;
use crate::machine::EnrollReason;
use crate::store::{Generation, Loaded, Loss, LossReason, Store};

/// The host that enrolls.
pub struct Host<'a> {
    /// Its configuration.
    pub config: &'a Config,
    /// The Console's address, out of that configuration.
    pub console_url: &'a ConsoleUrl,
    /// What it says of itself.
    pub facts: &'a HostFacts,
    /// Its clock.
    pub clock: Clock,
}

/// What the caller wants beyond a working identity.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// Whether a record of its own is welcome although this host holds another identity.
    pub new_sensor: NewSensor,
    /// Whether to wait for an operator's approval.
    pub approval: Approval,
    /// When to stop trying.
    pub until: Instant,
}

/// Whether a second record of a host that holds an identity is welcome (CONTRACT.md section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewSensor {
    /// No: a plain token is refused before it is used.
    Refuse,
    /// Yes, by `--new-sensor`.
    Allow,
}

/// What to do when an operator has to approve first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approval {
    /// Repeat the request until the time is up.
    Wait,
    /// Say so at once.
    DoNotWait,
}

/// How a host came to hold its identity.
#[derive(Debug)]
pub enum Outcome {
    /// It held it already.
    Kept {
        /// The identity.
        generation: Box<Generation>,
        /// What the Console says of it.
        proof: Proof,
        /// What was put right on the way, and what the operator should know.
        notes: Vec<String>,
    },
    /// It enrolled.
    Enrolled {
        /// The identity.
        generation: Box<Generation>,
        /// Why it had to.
        reason: EnrollReason,
        /// What the Console says of it.
        proof: Proof,
        /// What the operator should know.
        notes: Vec<String>,
    },
}

/// Makes sure that this host holds a working identity.
///
/// # Errors
/// [`EnrollError`]; whatever identity stood before still stands.
pub async fn ensure(
    host: &Host<'_>,
    store: &mut Store,
    token: Option<&FoundToken>,
    wish: &Wish,
) -> Result<Outcome, EnrollError> {
    let console = Console::new(host.console_url.clone(), &host.config.proxy, host.clock.clone());
    match ensure_with(host, store, &console, token, wish).await {
        Err(error) if error.is_about_time() => Err(blame_the_clock(&console, error).await),
        done => done,
    }
}

/// Dates are judged by this host's clock, so it is compared with the Console's before anything else is blamed.
async fn blame_the_clock(console: &Console, cause: EnrollError) -> EnrollError {
    match console.ask_time().await {
        Ok(Some(sighting)) if sighting.is_wrong() => {
            EnrollError::WrongClock { sighting, cause: Some(Box::new(cause)) }
        }
        Ok(_) | Err(_) => cause,
    }
}

async fn ensure_with(
    host: &Host<'_>,
    store: &mut Store,
    console: &Console,
    token: Option<&FoundToken>,
    wish: &Wish,
) -> Result<Outcome, EnrollError> {
    let mut notes = Vec::new();
    prove::finish_interrupted(host, store, console, token).await?;
    let loaded = store.load(clock::now(&host.clock))?;
    if let Loaded::Lost(Loss { reason: LossReason::Identity(error), .. }) = &loaded
        && error.is_about_time()
    {
        // Out of date, or out of time? Only in the first case is a token spent on another.
        let cause = EnrollError::BadAnswer(error.clone());
        if let blamed @ EnrollError::WrongClock { .. } = blame_the_clock(console, cause).await {
            return Err(blamed);
        }
    }
    let mut plan = plan::plan(host, &loaded, token, &mut notes);
    let held = match loaded {
        Loaded::Intact { generation, mended } => {
            notes.extend(mended);
            Some(generation)
        }
        Loaded::Nothing | Loaded::Lost(_) => None,
    };
    if matches!(plan, Plan::Keep) {
        let generation = held.expect("only an intact identity is kept");
        match prove::keep(store, console, &generation, clock::now(&host.clock)).await {
            Ok(proof) => {
                spent::forget(token, generation.state().token_type, host.config, &mut notes);
                return Ok(Outcome::Kept { generation, proof, notes });
            }
            Err(error) => plan = plan::after_refusal(&generation, token, error)?,
        }
        return enroll(host, store, console, token, wish, plan, Some(generation), notes).await;
    }
    enroll(host, store, console, token, wish, plan, held, notes).await
}

#[expect(clippy::too_many_arguments, reason = "the parts of one enrollment, used once, in this file")]
async fn enroll(
    host: &Host<'_>,
    store: &mut Store,
    console: &Console,
    token: Option<&FoundToken>,
    wish: &Wish,
    plan: Plan,
    held: Option<Box<Generation>>,
    mut notes: Vec<String>,
) -> Result<Outcome, EnrollError> {
    let Plan::Enroll { reason, replaces } = plan else {
        unreachable!("a kept identity does not enroll");
    };
    tracing::info!(%reason, console = %host.console_url, node_name = %host.config.node_name.value, "enrolling");
    let Some(token) = token else {
        return Err(EnrollError::NoToken { why: host.config.token.why_none(), reason });
    };
    let contact = FirstContact {
        configured: host.config.trust.resolve()?,
        stored: held.as_ref().map(|generation| generation.trust()),
    };
    let new_sensor = obtain::new_sensor(wish.new_sensor, &token.token, store);
    let application = Application { host, token: &token.token, replaces, new_sensor };
    let (generation, warnings) = patience::obtain(&application, console, &contact, wish, store).await?;
    notes.extend(warnings);
    let proof = match held {
        Some(_) => {
            let proof = prove::prove(console, &generation, wish.until)
                .await
                .map_err(|e| e.not_accepted(&generation))?;
            store.publish(&generation)?;
            proof
        }
        // Nothing stands that could be harmed, and consumers can start to use it: publish, then prove.
        None => {
            store.publish(&generation)?;
            prove::prove(console, &generation, wish.until).await.map_err(|e| e.not_accepted(&generation))?
        }
    };
    prove::note_acceptance(store, &proof, clock::now(&host.clock))?;
    spent::forget(Some(token), generation.state().token_type, host.config, &mut notes);
    tracing::info!(
        sensor_id = %generation.verified().sensor_id(),
        not_after = %generation.verified().not_after(),
        generation = generation.number(),
        "enrolled"
    );
    Ok(Outcome::Enrolled { generation: Box::new(generation), reason, proof, notes })
}
