//! Turns a token into a committed generation: durable request, polite attempts, checked answer.

use std::time::Duration;

use telovix_contract::SensorId;
use telovix_contract::enroll::{EnrollRequest, Enrolled};
use telovix_contract::problem::Retry;
use telovix_contract::{EnrollmentToken, TokenHash};
use tokio::time::{Instant, sleep, timeout_at};
use zeroize::Zeroizing;

use super::{Approval, EnrollError, Host, NewSensor, Wish};
use crate::clock;
use crate::config::Trust;
use crate::console::{Console, ConsoleError, EnrollReply, ServerTrust, WRONG_CLOCK};
use crate::csr::Csr;
use crate::key::KeyPair;
use crate::schedule;
use crate::store::{Generation, Pending, STATE_VERSION, SensorState, Store, StoreError};
use crate::verify::{self, Claim};

/// One enrollment to carry out.
pub(super) struct Job<'a> {
    pub host: &'a Host<'a>,
    pub console: &'a Console,
    pub token: &'a EnrollmentToken,
    pub replaces: Option<SensorId>,
    pub wish: &'a Wish,
    /// The CA of the identity that is being replaced.
    pub stored_trust: Option<ServerTrust>,
}

/// What came of it.
pub(super) struct Obtained {
    pub generation: Generation,
    pub warnings: Vec<String>,
}

/// Obtains and commits an identity. It is not published yet.
pub(super) async fn obtain(job: &Job<'_>, store: &mut Store) -> Result<Obtained, EnrollError> {
    let pending = begin_or_resume(job, store)?;
    let now = clock::now(&job.host.clock);
    if let Some(generation) = store.committed(&pending, now)? {
        tracing::info!(
            generation = generation.number(),
            "going on with an enrollment that was answered before"
        );
        return Ok(Obtained { generation, warnings: Vec::new() });
    }
    let enrolled = ask(job, &pending).await?;
    commit(job, store, pending, &enrolled)
}

/// The enrollment under way, where it is for this token; else a new one. The key stays as long as the token does,
/// because the Console may have spent the token on that key already.
fn begin_or_resume(job: &Job<'_>, store: &mut Store) -> Result<Pending, EnrollError> {
    let earlier = match store.pending() {
        Ok(earlier) => earlier.filter(|pending| job.token.matches(&pending.token_sha256)),
        Err(error @ StoreError::Corrupt { .. }) => {
            tracing::warn!(%error, "the enrollment under way cannot be read; beginning another");
            None
        }
        Err(error) => return Err(error.into()),
    };
    let key = match earlier {
        Some(pending) => {
            let request = request(job, &pending.key)?;
            if pending.says_the_same_as(&request) {
                tracing::debug!("repeating the enrollment under way");
                return Ok(pending);
            }
            pending.key
        }
        None => KeyPair::generate(job.host.config.key_type.value)?,
    };
    let request = request(job, &key)?;
    Ok(store.begin(key, &request, token_hash(job))?)
}

fn token_hash(job: &Job<'_>) -> TokenHash {
    job.token.hash_as_given()
}

fn request(job: &Job<'_>, key: &KeyPair) -> Result<EnrollRequest, EnrollError> {
    let config = job.host.config;
    let node_name = config.node_name.value.clone();
    let csr = Csr::build(key, &node_name)?;
    Ok(EnrollRequest {
        enrollment_token: job.token.clone(),
        csr_pem: csr.pem().to_owned(),
        node_name,
        declared_role: config.node_role.value.clone(),
        cluster_name: config.cluster_name.as_ref().map(|setting| setting.value.clone()),
        install_id: config.install_id.as_ref().map(|setting| setting.value.clone()),
        tags: config.tags.value.clone(),
        flavor: config.flavor.value,
        sensor_version: env!("CARGO_PKG_VERSION").to_owned(),
        sensor_id: job.replaces,
        new_sensor: job.replaces.map(|_| job.wish.new_sensor == NewSensor::Allow),
        host: job.host.facts.clone(),
    })
}

/// Presents the token until there is an answer that another attempt would not change, or the time is up.
async fn ask(job: &Job<'_>, pending: &Pending) -> Result<Box<Enrolled>, EnrollError> {
    let body = serde_json::to_vec(&pending.request(job.token)?)
        .map_err(|error| ConsoleError::Setup { cause: error.to_string() })?;
    let body = Zeroizing::new(body);
    let mut trust = None;
    let mut failures = 0;
    let began = Instant::now();
    loop {
        let attempt = attempt(job, &mut trust, body.clone());
        let Ok(answer) = timeout_at(job.wish.until, attempt).await else {
            return Err(EnrollError::OutOfTime(began.elapsed()));
        };
        let (wait, otherwise) = match answer {
            Ok(EnrollReply::Enrolled(enrolled)) => return Ok(enrolled),
            Ok(EnrollReply::Waiting(_)) if job.wish.approval == Approval::DoNotWait => {
                return Err(EnrollError::Waiting);
            }
            Ok(EnrollReply::Waiting(asked)) => {
                tracing::info!(retry_in_s = asked.as_secs(), "waiting for an operator's approval");
                (schedule::repeat(asked, random()), EnrollError::Waiting)
            }
            Err(EnrollError::NotReached(error)) if error.retry() == Retry::Backoff => {
                failures += 1;
                let wait = schedule::backoff(failures, random(), error.retry_after());
                tracing::warn!(%error, code = error.code(), attempt = failures, retry_in_ms = millis(wait), "not enrolled yet");
                (wait, EnrollError::NotReached(error))
            }
            Err(error) => return Err(error),
        };
        if Instant::now() + wait >= job.wish.until {
            return Err(otherwise);
        }
        sleep(wait).await;
    }
}

/// One attempt. The token leaves only when the server has been verified; which trust that took is remembered.
async fn attempt(
    job: &Job<'_>,
    trust: &mut Option<ServerTrust>,
    body: Zeroizing<Vec<u8>>,
) -> Result<EnrollReply, EnrollError> {
    let known = match trust.take() {
        Some(known) => known,
        None => first_contact(job).await?,
    };
    // A certificate's life begins five minutes back: a clock that is further behind could not take the answer, so the
    // token stays here. (Where no call came before this one, the repeat rule keeps the answer for a day.)
    if let Some(sighting) = job.console.sighting()
        && sighting.ahead() < -WRONG_CLOCK
    {
        return Err(EnrollError::WrongClock { sighting, cause: None });
    }
    let answer = job.console.enroll(&known, body).await;
    *trust = Some(known);
    Ok(answer?)
}

/// Whom to trust, in the order of CONTRACT.md section 2: a CA file, a pin, then the CA that the host holds from its
/// earlier enrollment, then the system's roots; anyone only by the explicit opt-in.
async fn first_contact(job: &Job<'_>) -> Result<ServerTrust, EnrollError> {
    let setting = job.host.config.trust.resolve()?;
    Ok(match setting.value {
        Trust::CaFile { path, certificates } => {
            ServerTrust::Anchors { certificates, named: format!("the CA file {}", path.display()) }
        }
        Trust::Pinned(fingerprint) => job.console.trust_pin(&fingerprint).await?,
        Trust::SystemRoots => job.stored_trust.clone().unwrap_or(ServerTrust::SystemRoots),
        Trust::DangerAcceptAnyConsole => {
            tracing::warn!(
                set_by = %setting.origin,
                "DANGER: the token goes to a Console whose certificate nobody checks, because \
                 danger_accept_unverified_console is set"
            );
            ServerTrust::DangerAnyServer
        }
    })
}

fn commit(
    job: &Job<'_>,
    store: &mut Store,
    pending: Pending,
    enrolled: &Enrolled,
) -> Result<Obtained, EnrollError> {
    let now = clock::now(&job.host.clock);
    let claim = Claim {
        sensor_id: enrolled.sensor_id,
        certificate_pem: &enrolled.control_plane_certificate_pem,
        ca_pem: &enrolled.control_plane_ca_certificate_pem,
        policy_key_pem: &enrolled.policy_signing_public_key_pem,
    };
    let verified = verify::check(claim, pending.key, now).map_err(EnrollError::BadAnswer)?;
    let config = job.host.config;
    let state = SensorState {
        version: STATE_VERSION,
        sensor_id: enrolled.sensor_id,
        node_name: config.node_name.value.clone(),
        node_role: config.node_role.value.clone(),
        cluster_name: config.cluster_name.as_ref().map(|setting| setting.value.clone()),
        install_id: config.install_id.as_ref().map(|setting| setting.value.clone()),
        console_url: job.host.console_url.to_string(),
        token_sha256: pending.token_sha256,
        token_type: enrolled.token_type,
        machine_id_sha256: job.host.facts.machine_id_sha256.clone(),
        trust_state: enrolled.trust_state,
        heartbeat_interval_seconds: enrolled.heartbeat_interval_seconds,
        enrolled_at: now,
    };
    let mut warnings: Vec<String> =
        enrolled.warnings.iter().map(|w| crate::console::error::clean(w, 500)).collect();
    if let Some(replaced) = job.replaces
        && replaced != enrolled.sensor_id
        && warnings.is_empty()
    {
        warnings
            .push(format!("the Console made a new record; the one of sensor {replaced} still stands there"));
    }
    let generation = store.commit(verified, state)?;
    Ok(Obtained { generation, warnings })
}

fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

/// A number drawn evenly over all of `u64`. Where the system gives none, the longest wait is the safe one.
pub(super) fn random() -> u64 {
    let mut bytes = [0; 8];
    match crate::console::tls::provider().secure_random.fill(&mut bytes) {
        Ok(()) => u64::from_be_bytes(bytes),
        Err(_) => u64::MAX,
    }
}
