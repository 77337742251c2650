//! The steps that turn a token into a committed generation.

use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use telovix_contract::SensorId;
use telovix_contract::enroll::EnrollRequest;
use telovix_contract::{EnrollmentToken, TokenHash};
use zeroize::Zeroizing;

use super::error::DriverError;
use super::host::Host;
use crate::clock::TOLERATED_SKEW;
use crate::config::{ConsoleUrl, Sourced, Trust};
use crate::console::{Console, ConsoleError, EnrollReply, Issued};
use crate::csr::Csr;
use crate::key::KeyPair;
use crate::store::{Pending, STATE_VERSION, SensorState, Store, StoreError};
use crate::tls::{ClientIdentity, ServerTrust};
use crate::verify::{self, Claim, Naming, Verified};

/// Whether a second record of a host that holds an identity is welcome (docs/contract.md section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewSensor {
    /// No: a plain token is refused before it is used.
    Refuse,
    /// Yes, by `--new-sensor`.
    Allow,
}

/// What to present, and in place of which identity.
#[derive(Clone, Copy)]
pub(super) struct Application<'a> {
    pub host: &'a Host,
    pub token: &'a EnrollmentToken,
    /// The sensor whose identity is being replaced.
    pub replaces: Option<SensorId>,
    pub new_sensor: NewSensor,
}

/// Whether a record of its own is welcome to a host that holds an identity. Who announced this very token in
/// `.enrollment-token-hash` has declared that identity lost, and wants a clean enrollment (docs/contract.md section 7).
pub(super) fn new_sensor(asked: NewSensor, token: &EnrollmentToken, store: &Store) -> NewSensor {
    if store.paid_by().is_some_and(|announced| token.matches(&announced)) { NewSensor::Allow } else { asked }
}

/// The enrollment under way, where it is for this token; else a new one, for `key` where that is given. The key stays as long as
/// the token does, because the Console may have spent the token on that key already.
pub(super) fn begin_or_resume(
    application: &Application<'_>,
    store: &mut Store,
    key: Option<KeyPair>,
) -> Result<Pending, DriverError> {
    let Application { host, token, .. } = application;
    let earlier = match store.pending() {
        // A key that came here with a copied state directory is another machine's.
        Ok(earlier) => earlier
            .filter(|pending| token.matches(&pending.token_sha256))
            .filter(|pending| is_ours(pending, host)),
        Err(error @ StoreError::Corrupt { .. }) => {
            tracing::warn!(%error, "the enrollment under way cannot be read; beginning another");
            None
        }
        Err(error) => return Err(error.into()),
    };
    let key = match earlier {
        Some(pending) => {
            let request = request(application, &pending.key)?;
            if pending.says_the_same_as(&request) {
                tracing::debug!("repeating the enrollment under way");
                return Ok(pending);
            }
            pending.key
        }
        None => key.map_or_else(|| KeyPair::generate(host.config.key_type.value), Ok)?,
    };
    let request = request(application, &key)?;
    // Who announced this token finds the hash as they wrote it.
    let announced = store.paid_by().filter(|announced| token.matches(announced));
    let token_sha256: TokenHash = announced.unwrap_or_else(|| token.hash_as_given());
    Ok(store.begin(key, &request, token_sha256)?)
}

/// Whether an enrollment under way was begun on this machine, as far as can be told.
pub(super) fn is_ours(pending: &Pending, host: &Host) -> bool {
    !pending.is_of_another_machine(&host.machine_ids())
}

fn request(application: &Application<'_>, key: &KeyPair) -> Result<EnrollRequest, DriverError> {
    let Application { host, token, replaces, new_sensor } = *application;
    let config = &host.config;
    let node_name = config.node_name.value.clone();
    let csr = Csr::build(key, &node_name)?;
    Ok(EnrollRequest {
        enrollment_token: token.clone(),
        csr_pem: csr.pem().to_owned(),
        node_name,
        declared_role: config.node_role.value.clone(),
        cluster_name: config.cluster_name.as_ref().map(|setting| setting.value.clone()),
        install_id: config.install_id.as_ref().map(|setting| setting.value.clone()),
        tags: config.tags.value.clone(),
        flavor: config.flavor.value,
        sensor_version: env!("CARGO_PKG_VERSION").to_owned(),
        sensor_id: replaces,
        new_sensor: replaces.map(|_| new_sensor == NewSensor::Allow),
        host: host.facts.clone(),
    })
}

/// The request as it goes over the wire: the same bytes at every repeat. Wiped when it is dropped.
pub(super) fn body(pending: &Pending, token: &EnrollmentToken) -> Result<Zeroizing<Vec<u8>>, DriverError> {
    let body = serde_json::to_vec(&pending.request(token)?)
        .map_err(|error| ConsoleError::Setup { cause: error.to_string() })?;
    Ok(Zeroizing::new(body))
}

/// One attempt. The token leaves only when the server has been verified.
///
/// # Errors
/// [`DriverError::NotTrusted`], [`DriverError::ClockBehind`], and anything that a call can meet.
pub(super) async fn attempt(
    console: &Console,
    contact: &FirstContact,
    held: Option<ClientIdentity>,
    body: Zeroizing<Vec<u8>>,
) -> Result<EnrollReply, DriverError> {
    let trust = contact.trust(console).await.map_err(nothing_sent)?;
    // A certificate's life begins five minutes back: a clock that is further behind could not take the answer, so the
    // token stays here. (Where no call came before this one, the repeat rule keeps the answer for a day.)
    if let Some(sighting) = console.sighting()
        && sighting.ahead() < -TOLERATED_SKEW
    {
        return Err(DriverError::ClockBehind(sighting));
    }
    console.enroll(&trust, held, body).await.map_err(nothing_sent)
}

fn nothing_sent(error: ConsoleError) -> DriverError {
    match error {
        ConsoleError::NotTrusted { .. }
        | ConsoleError::PinMismatch { .. }
        | ConsoleError::PinMistaken { .. }
        | ConsoleError::NoSystemRoots { .. } => DriverError::NotTrusted(error),
        ConsoleError::Unreachable { .. }
        | ConsoleError::OutOfResources { .. }
        | ConsoleError::Forbidden { .. }
        | ConsoleError::Proxy { .. }
        | ConsoleError::Deadline { .. }
        | ConsoleError::Handshake { .. }
        | ConsoleError::CertificateRefused { .. }
        | ConsoleError::CertificateRefusedEarly { .. }
        | ConsoleError::NotRequested { .. }
        | ConsoleError::Broken { .. }
        | ConsoleError::TooLarge { .. }
        | ConsoleError::Redirect { .. }
        | ConsoleError::NotAConsole { .. }
        | ConsoleError::Refused { .. }
        | ConsoleError::Setup { .. } => DriverError::Console(error),
    }
}

/// What is configured about trust at first contact, and what the host holds from an earlier enrollment.
#[derive(Debug, Clone)]
pub struct FirstContact {
    /// The configuration.
    pub configured: Sourced<Trust>,
    /// The CA of the identity that is being replaced.
    pub stored: Vec<CertificateDer<'static>>,
}

impl FirstContact {
    /// Whom to trust, in order (docs/contract.md section 2): a CA file, a pin, then the CA that the host holds from its
    /// earlier enrollment, then the system's roots; anyone only by the explicit opt-in.
    ///
    /// # Errors
    /// Where a pin is configured, anything that the call for the Console's CA can meet.
    pub async fn trust(&self, console: &Console) -> Result<ServerTrust, ConsoleError> {
        Ok(match &self.configured.value {
            Trust::CaFile { path, certificates } => ServerTrust::Anchors {
                certificates: certificates.clone(),
                named: format!("the CA file {}", path.display()),
            },
            Trust::Pinned(fingerprint) => console.trust_pin(fingerprint).await?,
            Trust::SystemRoots => ServerTrust::SystemRoots { or: self.stored.clone() },
            // It counts only where no CA is stored.
            Trust::DangerAcceptAnyConsole if !self.stored.is_empty() => {
                tracing::warn!(
                    set_by = %self.configured.origin,
                    "danger_accept_unverified_console is ignored: this host holds the Console's CA from an earlier enrollment"
                );
                ServerTrust::SystemRoots { or: self.stored.clone() }
            }
            Trust::DangerAcceptAnyConsole => {
                tracing::warn!(
                    set_by = %self.configured.origin,
                    "DANGER: the token goes to a Console whose certificate nobody checks, because \
                     danger_accept_unverified_console is set"
                );
                ServerTrust::DangerAnyServer
            }
        })
    }
}

/// Checks an answer. What is remembered of it is what was asked for: token and configuration may have changed since, and an identity
/// that was issued is not thrown away for that.
///
/// # Errors
/// [`DriverError::BadAnswer`] when the answer is not an identity for our key; the disk.
pub(super) fn check(
    pending: Pending,
    enrolled: &Issued,
    console_url: &ConsoleUrl,
    now: Timestamp,
) -> Result<(Verified, SensorState, Vec<String>), DriverError> {
    let asked = pending.asked()?;
    let mut warnings = enrolled.warnings();
    let policy_key = policy_key(enrolled, &mut warnings);
    let claim = Claim {
        sensor_id: enrolled.sensor_id,
        certificate_pem: &enrolled.control_plane_certificate_pem,
        ca_pem: &enrolled.control_plane_ca_certificate_pem,
        policy_key_pem: policy_key.unwrap_or_default(),
        naming: Naming::Required,
    };
    let verified = verify::check(claim, pending.key, now).map_err(DriverError::BadAnswer)?;
    let state = SensorState {
        version: STATE_VERSION,
        sensor_id: verified.sensor_id(),
        node_name: asked.node_name,
        node_role: asked.declared_role,
        cluster_name: asked.cluster_name,
        install_id: asked.install_id,
        console_url: console_url.to_string(),
        token_sha256: pending.token_sha256,
        token_type: enrolled.token_type,
        machine_id_sha256: asked.host.machine_id_sha256,
        machine_id_source: asked.host.machine_id_source,
        trust_state: enrolled.trust_state(),
        heartbeat_interval_seconds: enrolled.heartbeat_interval_seconds(),
        enrolled_at: now,
    };
    if let Some(replaced) = asked.sensor_id
        && replaced != state.sensor_id
        && warnings.is_empty()
    {
        warnings
            .push(format!("the Console made a new record; the one of sensor {replaced} still stands there"));
    }
    Ok((verified, state, warnings))
}

/// The policy key of an answer. One that cannot be read costs nobody the identity; the next renewal brings it again.
pub(super) fn policy_key<'a>(issued: &'a Issued, warnings: &mut Vec<String>) -> Option<&'a str> {
    let text = issued.policy_signing_public_key_pem.as_deref()?;
    match verify::policy_key(text) {
        Ok(found) => found.map(|_| text),
        Err(problem) => {
            warnings.push(format!("{problem}; it was left out"));
            None
        }
    }
}
