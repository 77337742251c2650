//! The machine's calls, made. What needs the disk happens before and after; in between, a call owns all that it needs, so
//! that it can be abandoned at any moment.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use telovix_contract::SensorId;
use telovix_contract::session::{Heartbeat, HeartbeatAnswer};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::enroll::{self, FirstContact};
use super::error::DriverError;
use crate::config::ConsoleUrl;
use crate::console::{Console, ConsoleError, EnrollReply, Issued, Phase};
use crate::store::Pending;
use crate::tls::{ClientIdentity, ServerTrust};

/// How long the Console has to take note of a decommission (docs/contract.md section 3).
const DECOMMISSION: Duration = Duration::from_secs(5);

/// A call under way.
pub(super) type InFlight = Pin<Box<dyn Future<Output = Reply>>>;

/// What a call brought, not yet looked at.
pub struct Reply(pub(super) Answered);

/// The reply, by the call.
pub(super) enum Answered {
    Enroll { pending: Pending, of: ConsoleUrl, reply: Result<EnrollReply, DriverError> },
    Renew { pending: Pending, reply: Result<Issued, ConsoleError> },
    Heartbeat { of: SensorId, reply: Result<HeartbeatAnswer, ConsoleError> },
    Clock(Result<(), ConsoleError>),
    Decommission(Result<(), ConsoleError>),
}

/// As whom to speak, and whom to trust in it.
pub(super) struct Credentials {
    pub trust: ServerTrust,
    pub identity: ClientIdentity,
}

fn call(answer: impl Future<Output = Answered> + 'static) -> InFlight {
    Box::pin(async move { Reply(answer.await) })
}

pub(super) fn enroll(
    console: Arc<Console>,
    contact: FirstContact,
    held: Option<ClientIdentity>,
    body: Zeroizing<Vec<u8>>,
    pending: Pending,
    of: ConsoleUrl,
) -> InFlight {
    call(async move {
        let reply = enroll::attempt(&console, &contact, held, body).await;
        Answered::Enroll { pending, of, reply }
    })
}

pub(super) fn renew(
    console: Arc<Console>,
    credentials: Credentials,
    csr_pem: String,
    pending: Pending,
) -> InFlight {
    call(async move {
        let reply = console.renew(&credentials.trust, credentials.identity, &csr_pem).await;
        Answered::Renew { pending, reply }
    })
}

pub(super) fn heartbeat(
    console: Arc<Console>,
    credentials: Credentials,
    of: SensorId,
    said: Heartbeat,
) -> InFlight {
    call(async move {
        let reply = console.heartbeat(&credentials.trust, credentials.identity, &said).await;
        Answered::Heartbeat { of, reply }
    })
}

pub(super) fn clock(console: Arc<Console>) -> InFlight {
    call(async move { Answered::Clock(console.ask_time().await.map(|_| ())) })
}

pub(super) fn decommission(console: Arc<Console>, credentials: Credentials, target: String) -> InFlight {
    call(async move {
        let told =
            timeout(DECOMMISSION, console.decommission(&credentials.trust, credentials.identity)).await;
        let late = ConsoleError::Deadline { target, phase: Phase::Decommission, limit: DECOMMISSION };
        Answered::Decommission(told.unwrap_or(Err(late)))
    })
}
