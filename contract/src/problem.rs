//! Refusals: the error body, its codes, and what follows from each (CONTRACT.md section 6).
//!
//! Invariant: an agent decides by the code first and by the HTTP status second; [`ErrorCode::retry`] is the one place
//! where that decision stands.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The body of every refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// What it is, for programs.
    pub error: String,
    /// One sentence that says what to do, for people. Never a secret.
    #[serde(default)]
    pub message: String,
}

macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $word:literal, $status:literal, $retry:ident;)+) => {
        /// The codes of CONTRACT.md section 6, and the few that the operators' API adds.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $variant,)+
        }

        impl ErrorCode {
            /// Every code, in the order of the contract.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The code on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// The HTTP status that goes with it.
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)+ }
            }

            /// What a sensor does about it.
            pub fn retry(self) -> Retry {
                match self { $(Self::$variant => Retry::$retry,)+ }
            }

            /// Reads a code back; `None` for one that this version does not know: then the status decides.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|code| code.as_str() == word)
            }
        }
    };
}

/// What a sensor does about a refusal (the right column of CONTRACT.md section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// A bug or bad configuration: the same request will be refused again.
    Never,
    /// Permanent for this token: stop asking, wait for another.
    OtherToken,
    /// Permanent for this token and this configuration.
    OtherTokenOrConfiguration,
    /// An operator can change it: ask again, minutes apart.
    Slowly,
    /// The credential is lost: enroll again where a usable token is at hand, else say so and wait.
    CredentialLost,
    /// Final for the token that the host enrolled with.
    Final,
    /// Keep the credential; ask again, minutes apart.
    KeepAndRetrySlowly,
    /// A passing fault: exponential, full jitter.
    Backoff,
}

impl Retry {
    /// What follows from a status alone, where no known code came with it.
    pub fn from_status(status: u16) -> Self {
        match status {
            408 | 425 | 429 => Self::Backoff,
            500.. => Self::Backoff,
            _ => Self::Never,
        }
    }
}

error_codes! {
    /// The request cannot be read, or a field breaks its rule.
    InvalidRequest = "invalid_request", 400, Never;
    /// The certificate request is not one, is not signed by its key, or asks for a key that is not taken.
    InvalidCsr = "invalid_csr", 422, Never;
    /// Unknown and malformed alike.
    InvalidEnrollmentToken = "invalid_enrollment_token", 401, OtherToken;
    /// Its time has passed.
    EnrollmentTokenExpired = "enrollment_token_expired", 401, OtherToken;
    /// An operator took it back.
    EnrollmentTokenRevoked = "enrollment_token_revoked", 401, OtherToken;
    /// Another key used it up, or has reserved it.
    EnrollmentTokenUsed = "enrollment_token_used", 409, OtherToken;
    /// The token is bound to another cluster than the one named.
    ClusterMismatch = "cluster_mismatch", 403, OtherTokenOrConfiguration;
    /// The token is bound to another sensor, or would make a second record of this one.
    SensorBindingMismatch = "sensor_binding_mismatch", 403, OtherTokenOrConfiguration;
    /// The cluster token has enrolled as many distinct nodes as it may.
    MaxNodesExceeded = "max_nodes_exceeded", 403, OtherTokenOrConfiguration;
    /// The rule for this cluster does not allow the role.
    RoleNotAllowed = "role_not_allowed", 403, OtherTokenOrConfiguration;
    /// An operator denied the waiting enrollment.
    EnrollmentDenied = "enrollment_denied", 403, OtherTokenOrConfiguration;
    /// The licence is full.
    NodeLimitExceeded = "NodeLimitExceeded", 403, Slowly;
    /// The certificate chains but is unknown or superseded.
    InvalidSensorTrust = "invalid_sensor_trust", 401, CredentialLost;
    /// The sensor is switched off for good.
    SensorRevoked = "sensor_revoked", 403, Final;
    /// The sensor is switched off for a time.
    SensorDisabled = "sensor_disabled", 403, KeepAndRetrySlowly;
    /// The request took longer than the Console waits for one.
    RequestTimeout = "request_timeout", 408, Backoff;
    /// Too many calls; `Retry-After` says when.
    RateLimited = "rate_limited", 429, Backoff;
    /// The Console is not set up or not ready.
    NotReady = "not_ready", 503, Backoff;
    /// The Console failed.
    InternalError = "internal_error", 500, Backoff;
    /// No such path or thing.
    NotFound = "not_found", 404, Never;
    /// The path does not take this method.
    MethodNotAllowed = "method_not_allowed", 405, Never;
    /// The body is larger than the path takes.
    PayloadTooLarge = "payload_too_large", 413, Never;
    /// The operator is not signed in, or the API key's signature does not hold.
    Unauthorized = "unauthorized", 401, Never;
    /// The operator's role or the API key's scope does not reach that far.
    Forbidden = "forbidden", 403, Never;
    /// The thing is not in a state that allows this.
    Conflict = "conflict", 409, Never;
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Problem {
    /// The body for this code.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { error: code.as_str().to_owned(), message: message.into() }
    }

    /// The code, where this version knows it.
    pub fn code(&self) -> Option<ErrorCode> {
        ErrorCode::from_word(&self.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of CONTRACT.md section 6, row by row.
    #[test]
    fn section_6_of_the_contract() {
        let table = [
            ("invalid_request", 400, Retry::Never),
            ("invalid_csr", 422, Retry::Never),
            ("invalid_enrollment_token", 401, Retry::OtherToken),
            ("enrollment_token_expired", 401, Retry::OtherToken),
            ("enrollment_token_revoked", 401, Retry::OtherToken),
            ("enrollment_token_used", 409, Retry::OtherToken),
            ("cluster_mismatch", 403, Retry::OtherTokenOrConfiguration),
            ("sensor_binding_mismatch", 403, Retry::OtherTokenOrConfiguration),
            ("max_nodes_exceeded", 403, Retry::OtherTokenOrConfiguration),
            ("role_not_allowed", 403, Retry::OtherTokenOrConfiguration),
            ("enrollment_denied", 403, Retry::OtherTokenOrConfiguration),
            ("NodeLimitExceeded", 403, Retry::Slowly),
            ("invalid_sensor_trust", 401, Retry::CredentialLost),
            ("sensor_revoked", 403, Retry::Final),
            ("sensor_disabled", 403, Retry::KeepAndRetrySlowly),
        ];
        for (word, status, retry) in table {
            let code = ErrorCode::from_word(word).unwrap();
            assert_eq!((code.status(), code.retry()), (status, retry), "{word}");
        }
        for status in [408, 425, 429, 500, 502, 503, 504] {
            assert_eq!(Retry::from_status(status), Retry::Backoff);
        }
        for status in [301, 400, 401, 403, 404, 422] {
            assert_eq!(Retry::from_status(status), Retry::Never);
        }
    }

    #[test]
    fn unknown_codes_are_kept_as_text() {
        let problem: Problem = serde_json::from_str(r#"{"error":"tea_time","x":1}"#).unwrap();
        assert_eq!((problem.code(), problem.error.as_str()), (None, "tea_time"));
    }
}
