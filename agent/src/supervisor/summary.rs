//! Turns stores, tokens and failures into the plain values that the machine is told. No secret passes.

use telovix_contract::problem::Retry;

use crate::console::ConsoleError;
use crate::enrollment::{EnrollError, Host, change, is_clone};
use crate::machine::{Current, Failure, Fault, Identity, Loss, MadeOn, Nature};
use crate::store::{self, Generation, LossReason, SensorState, StoreError};

/// An identity in the store.
pub(super) fn identity(host: &Host<'_>, generation: &Generation) -> Identity {
    let (verified, state) = (generation.verified(), generation.state());
    Identity {
        generation: generation.number(),
        sensor_id: verified.sensor_id(),
        serial: verified.serial().to_vec(),
        not_before: verified.not_before(),
        not_after: verified.not_after(),
        token_sha256: state.token_sha256,
        token_type: state.token_type,
        trust_state: state.trust_state,
        made_on: made_on(host, state),
        changed: change(host, state),
    }
}

fn made_on(host: &Host<'_>, state: &SensorState) -> MadeOn {
    if is_clone(host, state) { MadeOn::AnotherHost } else { MadeOn::ThisHost }
}

/// An identity that cannot be used.
pub(super) fn lost(host: &Host<'_>, loss: &store::Loss) -> Current {
    let about_time = match &loss.reason {
        LossReason::Identity(error) => error.life(),
        LossReason::Missing(_) | LossReason::File(_) => None,
    };
    let state = loss.state.as_deref();
    Current::Lost(Loss {
        reason: loss.reason.to_string(),
        about_time,
        sensor_id: loss.sensor_id,
        token_sha256: state.map(|state| state.token_sha256),
        token_type: state.and_then(|state| state.token_type),
        made_on: state.map_or(MadeOn::ThisHost, |state| made_on(host, state)),
    })
}

/// A disk that refuses.
pub(super) fn disk(error: &StoreError) -> Fault {
    Fault { code: error.code().to_owned(), message: error.to_string(), action: String::new() }
}

/// A call that failed.
pub(super) fn call(error: &ConsoleError) -> Failure {
    let nature = match error {
        _ if error.is_missing_path() => Nature::MissingPath,
        ConsoleError::Refused { .. } | ConsoleError::CertificateRefused { .. } => Nature::Answer,
        ConsoleError::NotTrusted { about_time: true, .. } => Nature::Dates,
        ConsoleError::NotTrusted { about_time: false, .. }
        | ConsoleError::Unreachable { .. }
        | ConsoleError::Proxy { .. }
        | ConsoleError::Deadline { .. }
        | ConsoleError::PinMismatch { .. }
        | ConsoleError::NoSystemRoots { .. }
        | ConsoleError::Handshake { .. }
        | ConsoleError::Broken { .. }
        | ConsoleError::TooLarge { .. }
        | ConsoleError::Redirect { .. }
        | ConsoleError::NotAConsole { .. }
        | ConsoleError::Setup { .. } => Nature::NoAnswer,
    };
    Failure {
        nature,
        retry: error.retry(),
        fault: Fault { code: error.code().to_owned(), message: error.to_string(), action: error.action() },
        retry_after: error.retry_after(),
    }
}

/// An enrollment or a renewal that failed on the way or on this host.
pub(super) fn enrollment(error: &EnrollError) -> Failure {
    let of = |nature, retry| Failure {
        nature,
        retry,
        fault: Fault { code: error.code().to_owned(), message: error.to_string(), action: error.action() },
        retry_after: None,
    };
    match error {
        EnrollError::NotReached(error)
        | EnrollError::Refused(error)
        | EnrollError::NotTrusted(error)
        | EnrollError::Unexpected(error) => call(error),
        EnrollError::NotAccepted { cause, .. } => enrollment(cause),
        EnrollError::WrongClock { .. } => of(Nature::Dates, Retry::Backoff),
        EnrollError::BadAnswer(problem) if problem.is_about_time() => of(Nature::Dates, Retry::Backoff),
        // What another attempt can hardly change is tried minutes apart.
        EnrollError::BadAnswer(_)
        | EnrollError::OtherSensor { .. }
        | EnrollError::Key(_)
        | EnrollError::Csr(_)
        | EnrollError::Config(_)
        | EnrollError::NoToken { .. } => of(Nature::NoAnswer, Retry::Slowly),
        EnrollError::Store(_) => of(Nature::Disk, Retry::Backoff),
        EnrollError::OutOfTime(_) | EnrollError::Waiting => of(Nature::NoAnswer, Retry::Backoff),
    }
}
