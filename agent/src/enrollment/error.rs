//! Why a host does not hold a working identity, and what to do about it.

use std::time::Duration;

use telovix_contract::SensorId;
use telovix_contract::problem::Retry;

use crate::config::ConfigErrors;
use crate::console::{ConsoleError, Sighting};
use crate::csr::CsrError;
use crate::key::KeyError;
use crate::machine::EnrollReason;
use crate::metrics::Outcome;
use crate::store::{Generation, StoreError};
use crate::verify::VerifyError;

/// Why a host does not hold a working identity.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// It has to enroll, and nobody gave it a token.
    #[error("cannot enroll ({reason}): {why}")]
    NoToken {
        /// Where a token was looked for, and how to give one.
        why: String,
        /// Why it has to enroll.
        reason: EnrollReason,
    },
    /// The Console was not reached, or not well enough, in the time given.
    #[error("{0}")]
    NotReached(ConsoleError),
    /// The time ran out in the middle of the first attempt.
    #[error("the Console did not answer within {:.1} s", .0.as_secs_f64())]
    OutOfTime(Duration),
    /// An operator has to approve first.
    #[error("the Console has this node on its waiting list: an operator has to approve it")]
    Waiting,
    /// The Console refused until an operator acts.
    #[error("{0}")]
    Refused(ConsoleError),
    /// Who answers is not the Console that we trust. No token was sent.
    #[error("{0}; no token was sent")]
    NotTrusted(ConsoleError),
    /// The answer is not one that a Console gives.
    #[error("{0}")]
    Unexpected(ConsoleError),
    /// The identity that came back is not one.
    #[error("the Console's answer was not taken: {0}")]
    BadAnswer(VerifyError),
    /// The new identity came back well formed, and the Console then did not accept it.
    #[error("the Console issued a certificate for sensor {sensor_id} and then did not accept it: {cause}")]
    NotAccepted {
        /// Whose it is.
        sensor_id: SensorId,
        /// What it said.
        cause: Box<EnrollError>,
    },
    /// This host's clock is wrong, by the Console's.
    #[error("{sighting}, so certificates cannot be judged here{}", cause.as_ref().map(|c| format!(": {c}")).unwrap_or_default())]
    WrongClock {
        /// The two clocks.
        sighting: Sighting,
        /// What failed; nothing where the clock was looked at before a token was sent.
        cause: Option<Box<EnrollError>>,
    },
    /// The Console answered for another sensor than the certificate's.
    #[error("the Console takes the certificate of sensor {ours} for that of sensor {theirs}")]
    OtherSensor {
        /// In the certificate.
        ours: SensorId,
        /// In the heartbeat's answer.
        theirs: SensorId,
    },
    /// The state directory.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The configuration of trust.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The certificate request.
    #[error(transparent)]
    Csr(#[from] CsrError),
}

impl From<ConsoleError> for EnrollError {
    /// Sorts a failed call by what can be done about it, which the caller's exit status and the daemon's state follow.
    fn from(error: ConsoleError) -> Self {
        match error {
            ConsoleError::NotTrusted { .. }
            | ConsoleError::PinMismatch { .. }
            | ConsoleError::NoSystemRoots { .. } => Self::NotTrusted(error),
            ConsoleError::TooLarge { .. } | ConsoleError::Redirect { .. } | ConsoleError::Setup { .. } => {
                Self::Unexpected(error)
            }
            ConsoleError::NotAConsole { .. } => match error.retry() {
                Retry::Backoff => Self::NotReached(error),
                Retry::Never
                | Retry::OtherToken
                | Retry::OtherTokenOrConfiguration
                | Retry::Slowly
                | Retry::CredentialLost
                | Retry::Final
                | Retry::KeepAndRetrySlowly => Self::Unexpected(error),
            },
            ConsoleError::Unreachable { .. }
            | ConsoleError::Proxy { .. }
            | ConsoleError::Deadline { .. }
            | ConsoleError::Handshake { .. }
            | ConsoleError::Broken { .. } => Self::NotReached(error),
            ConsoleError::CertificateRefused { .. } => Self::Refused(error),
            ConsoleError::Refused { .. } => {
                if error.retry() == Retry::Backoff {
                    Self::NotReached(error)
                } else {
                    Self::Refused(error)
                }
            }
        }
    }
}

impl From<&EnrollError> for Outcome {
    fn from(error: &EnrollError) -> Self {
        match error {
            EnrollError::Waiting => Self::Waiting,
            EnrollError::Refused(_) | EnrollError::NotAccepted { .. } => Self::Refused,
            EnrollError::NoToken { .. }
            | EnrollError::NotReached(_)
            | EnrollError::OutOfTime(_)
            | EnrollError::NotTrusted(_)
            | EnrollError::Unexpected(_)
            | EnrollError::BadAnswer(_)
            | EnrollError::WrongClock { .. }
            | EnrollError::OtherSensor { .. }
            | EnrollError::Store(_)
            | EnrollError::Config(_)
            | EnrollError::Key(_)
            | EnrollError::Csr(_) => Self::Failed,
        }
    }
}

impl EnrollError {
    /// Whether a certificate, ours or the Console's, failed on its dates.
    pub fn is_about_time(&self) -> bool {
        matches!(self, Self::BadAnswer(error) if error.is_about_time())
            || matches!(self, Self::NotTrusted(ConsoleError::NotTrusted { about_time: true, .. }))
    }

    /// Adds that this happened to a certificate which had just been issued, where that is what went wrong.
    pub(super) fn not_accepted(self, generation: &Generation) -> Self {
        match self {
            Self::Refused(_) => {
                Self::NotAccepted { sensor_id: generation.verified().sensor_id(), cause: Box::new(self) }
            }
            Self::NoToken { .. }
            | Self::NotReached(_)
            | Self::OutOfTime(_)
            | Self::Waiting
            | Self::NotTrusted(_)
            | Self::Unexpected(_)
            | Self::BadAnswer(_)
            | Self::NotAccepted { .. }
            | Self::WrongClock { .. }
            | Self::OtherSensor { .. }
            | Self::Store(_)
            | Self::Config(_)
            | Self::Key(_)
            | Self::Csr(_) => self,
        }
    }

    /// What a person can do about it; empty where the message says it already.
    pub fn action(&self) -> String {
        match self {
            Self::NotReached(error)
            | Self::Refused(error)
            | Self::NotTrusted(error)
            | Self::Unexpected(error) => error.action(),
            Self::NotAccepted { cause, .. } => cause.action(),
            Self::WrongClock { .. } => {
                "set this host's clock right (timedatectl), then run the command again: it goes on with the same \
                 enrollment"
                    .to_owned()
            }
            Self::OutOfTime(_) => {
                "check that the Console works, or give it more time with --timeout; running the command again goes on \
                 with the same enrollment"
                    .to_owned()
            }
            Self::Waiting => {
                "ask the Console's operator to approve this node, then run the command again: it goes on with the same \
                 enrollment"
                    .to_owned()
            }
            Self::BadAnswer(error) if error.is_about_time() => {
                "check this host's clock (timedatectl) and the Console's; running the command again goes on with the \
                 same enrollment"
                    .to_owned()
            }
            Self::BadAnswer(_) | Self::OtherSensor { .. } => {
                "the Console, or something between it and this host, is broken; nothing was changed here".to_owned()
            }
            Self::NoToken { .. } | Self::Store(_) | Self::Config(_) | Self::Key(_) | Self::Csr(_) => String::new(),
        }
    }

    /// A stable word for programs.
    pub fn code(&self) -> &str {
        match self {
            Self::NoToken { .. } => "no_token",
            Self::NotReached(error)
            | Self::Refused(error)
            | Self::NotTrusted(error)
            | Self::Unexpected(error) => error.code(),
            Self::OutOfTime(_) => "deadline_exceeded",
            Self::Waiting => "bootstrap_pending",
            Self::BadAnswer(_) => "bad_answer",
            Self::WrongClock { .. } => "wrong_clock",
            Self::NotAccepted { .. } => "certificate_not_accepted",
            Self::OtherSensor { .. } => "other_sensor",
            Self::Store(error) => error.code(),
            Self::Config(_) => "configuration",
            Self::Key(_) | Self::Csr(_) => "key",
        }
    }
}
