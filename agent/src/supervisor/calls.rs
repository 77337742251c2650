//! The machine's calls, made. What needs the disk happens before and after, in the supervisor; in between, a call owns
//! all that it needs, so that it can be abandoned at any moment.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use telovix_contract::SensorId;
use telovix_contract::session::{HeartbeatAnswer, Renewed};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::config::ConsoleUrl;
use crate::console::{ClientIdentity, Console, ConsoleError, EnrollReply, ServerTrust};
use crate::enrollment::EnrollError;
use crate::enrollment::obtain::{self, FirstContact};
use crate::store::Pending;

/// How long the Console has to take note of a retirement (CONTRACT.md section 3).
const DECOMMISSION: Duration = Duration::from_secs(5);

/// A call under way.
pub(super) type Flight = Pin<Box<dyn Future<Output = Landed>>>;

/// What a call brought, not yet looked at.
pub(super) enum Landed {
    Enroll { pending: Pending, of: ConsoleUrl, reply: Result<EnrollReply, EnrollError> },
    Renew { pending: Pending, reply: Result<Renewed, ConsoleError> },
    Heartbeat { of: SensorId, reply: Result<HeartbeatAnswer, ConsoleError> },
    Clock(Result<(), ConsoleError>),
    Decommission(Result<(), ConsoleError>),
}

/// As whom to speak, and whom to trust in it.
pub(super) struct Voice {
    pub trust: ServerTrust,
    pub identity: ClientIdentity,
}

pub(super) fn enroll(
    console: Arc<Console>,
    contact: FirstContact,
    body: Zeroizing<Vec<u8>>,
    pending: Pending,
    of: ConsoleUrl,
) -> Flight {
    Box::pin(async move {
        let reply = obtain::attempt(&console, &contact, &mut None, body).await;
        Landed::Enroll { pending, of, reply }
    })
}

pub(super) fn renew(console: Arc<Console>, voice: Voice, csr_pem: String, pending: Pending) -> Flight {
    Box::pin(async move {
        let reply = console.renew(&voice.trust, voice.identity, &csr_pem).await;
        Landed::Renew { pending, reply }
    })
}

pub(super) fn heartbeat(console: Arc<Console>, voice: Voice, of: SensorId) -> Flight {
    Box::pin(async move {
        let reply = console.heartbeat(&voice.trust, voice.identity).await;
        Landed::Heartbeat { of, reply }
    })
}

pub(super) fn clock(console: Arc<Console>) -> Flight {
    Box::pin(async move { Landed::Clock(console.ask_time().await.map(|_| ())) })
}

pub(super) fn decommission(console: Arc<Console>, voice: Voice, target: String) -> Flight {
    Box::pin(async move {
        let told = timeout(DECOMMISSION, console.decommission(&voice.trust, voice.identity)).await;
        let late = ConsoleError::Deadline { target, phase: "the decommission call", limit: DECOMMISSION };
        Landed::Decommission(told.unwrap_or(Err(late)))
    })
}
