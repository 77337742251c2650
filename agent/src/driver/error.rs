//! Why an effect of the machine could not be carried out.
//!
//! Invariant: a failure becomes one of the agent's codes here, once; what follows from it is the machine's to say.

use telovix_contract::SensorId;

use crate::clock::Sighting;
use crate::config::ConfigErrors;
use crate::console::ConsoleError;
use crate::csr::CsrError;
use crate::key::KeyError;
use crate::machine::{Code, Failure, Fault};
use crate::store::StoreError;
use crate::verify::VerifyError;

/// Why an effect of the machine could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The call failed.
    #[error(transparent)]
    Console(#[from] ConsoleError),
    /// Who answered is not a Console that this host trusts; the token stayed here.
    #[error("{0}; no token was sent")]
    NotTrusted(ConsoleError),
    /// What was issued is not an identity.
    #[error("the Console's answer was not accepted: {0}")]
    BadAnswer(VerifyError),
    /// This host's clock is too far behind the Console's to take a fresh certificate.
    #[error("{0}, so a new certificate would not be valid yet on this host")]
    ClockBehind(Sighting),
    /// The Console answered for another sensor than the certificate's.
    #[error("the Console says this certificate belongs to sensor {theirs}, not {ours}")]
    OtherSensor {
        /// In the certificate.
        ours: SensorId,
        /// In the heartbeat's answer.
        theirs: SensorId,
    },
    /// Something that the machine counts on went away between its decision and now; the next look at the disk tells.
    #[error("{0} is not there any more")]
    Gone(&'static str),
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

impl DriverError {
    /// The failure as one of the agent's codes.
    pub fn code(&self) -> Code {
        match self {
            Self::Console(error) | Self::NotTrusted(error) => error.code(),
            Self::BadAnswer(problem) if problem.is_about_time() => Code::IssuedDates,
            Self::BadAnswer(_) => Code::BadAnswer,
            Self::ClockBehind(_) => Code::ClockWrong,
            Self::OtherSensor { .. } => Code::OtherSensor,
            Self::Gone(_) => Code::TlsSetupFailed,
            Self::Store(error) => error.code(),
            Self::Config(_) => Code::Configuration,
            Self::Key(_) | Self::Csr(_) => Code::Key,
        }
    }

    /// What the machine is told of it.
    pub(super) fn failure(&self) -> Failure {
        let retry_after = match self {
            Self::Console(error) | Self::NotTrusted(error) => error.retry_after(),
            Self::BadAnswer(_)
            | Self::ClockBehind(_)
            | Self::OtherSensor { .. }
            | Self::Gone(_)
            | Self::Store(_)
            | Self::Config(_)
            | Self::Key(_)
            | Self::Csr(_) => None,
        };
        Failure { fault: Fault::new(self.code(), self.to_string()), retry_after }
    }
}
