//! Refusals: the error body, its codes, and what follows from each (docs/contract.md section 6).
//!
//! Invariant: an agent decides by the code first and by the HTTP status second; [`ErrorCode::advice`] is the one place
//! where that decision is made.

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
    ($($(#[$doc:meta])* $variant:ident = $word:literal, $status:literal, $advice:ident;)+) => {
        /// The codes of docs/contract.md section 6, and the few that the operators' API adds.
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
            pub fn advice(self) -> Advice {
                match self { $(Self::$variant => Advice::$advice,)+ }
            }

            /// Reads a code back; `None` for one that this version does not know: then the status decides.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|code| code.as_str() == word)
            }
        }
    };
}

/// What a sensor does about a failed call (the right column of docs/contract.md section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Advice {
    /// It passes: exponential, full jitter.
    BackOff,
    /// Not the Console's word, and not the network's usual weather: minutes apart, and no verdict.
    Later,
    /// The Console refuses, and an operator there can change it: keep the credential; minutes apart.
    Slowly,
    /// Refused: another token or configuration is tried at once, the same is asked again every ten minutes.
    Refused,
    /// The credential is lost: enroll again with a usable token, else say so and wait.
    CredentialLost,
    /// Final for the token that the host enrolled with.
    Revoked,
    /// The Console has no such path: go on without it.
    MissingPath,
    /// It fails on dates: ask the Console for the time before anything is called invalid.
    AskTime,
}

error_codes! {
    /// The request cannot be read, or a field breaks its rule.
    InvalidRequest = "invalid_request", 400, Refused;
    /// The certificate request is not one, is not signed by its key, or asks for a key that is not taken.
    InvalidCsr = "invalid_csr", 422, Refused;
    /// Unknown and malformed alike.
    InvalidEnrollmentToken = "invalid_enrollment_token", 401, Refused;
    /// Its time has passed.
    EnrollmentTokenExpired = "enrollment_token_expired", 401, Refused;
    /// An operator took it back.
    EnrollmentTokenRevoked = "enrollment_token_revoked", 401, Refused;
    /// Another key used it up, or has reserved it.
    EnrollmentTokenUsed = "enrollment_token_used", 409, Refused;
    /// The token is bound to another cluster than the one named.
    ClusterMismatch = "cluster_mismatch", 403, Refused;
    /// The token is bound to another sensor, or would make a second record of this one.
    SensorBindingMismatch = "sensor_binding_mismatch", 403, Refused;
    /// The cluster token has enrolled as many distinct nodes as it may.
    MaxNodesExceeded = "max_nodes_exceeded", 403, Refused;
    /// The rule for this cluster does not allow the role.
    RoleNotAllowed = "role_not_allowed", 403, Refused;
    /// An operator denied the waiting enrollment.
    EnrollmentDenied = "enrollment_denied", 403, Refused;
    /// The licence is full.
    NodeLimitExceeded = "NodeLimitExceeded", 403, Slowly;
    /// The name belongs to another sensor that lives.
    NodeNameInUse = "node_name_in_use", 409, Slowly;
    /// The certificate chains but is unknown or superseded.
    InvalidSensorTrust = "invalid_sensor_trust", 401, CredentialLost;
    /// The certificate has run out: renew with it.
    CertificateExpired = "certificate_expired", 401, CredentialLost;
    /// The call showed no client certificate: something in between ends TLS.
    ClientCertificateRequired = "client_certificate_required", 401, Later;
    /// The sensor is switched off for good.
    SensorRevoked = "sensor_revoked", 403, Revoked;
    /// The sensor is switched off for a time.
    SensorDisabled = "sensor_disabled", 403, Slowly;
    /// The Console was restored from a copy without this sensor, and an operator has to approve it.
    SensorApprovalPending = "sensor_approval_pending", 403, Slowly;
    /// The request took longer than the Console waits for one.
    RequestTimeout = "request_timeout", 408, BackOff;
    /// Too many calls; `Retry-After` says when.
    RateLimited = "rate_limited", 429, BackOff;
    /// The Console is not set up or not ready.
    NotReady = "not_ready", 503, BackOff;
    /// The Console failed.
    InternalError = "internal_error", 500, BackOff;
    /// No such path or thing.
    NotFound = "not_found", 404, MissingPath;
    /// The path does not take this method.
    MethodNotAllowed = "method_not_allowed", 405, MissingPath;
    /// The body is larger than the path takes.
    PayloadTooLarge = "payload_too_large", 413, Later;
    /// The operator is not signed in, or the API key's signature does not hold.
    Unauthorized = "unauthorized", 401, Later;
    /// The operator's role or the API key's scope does not reach that far.
    Forbidden = "forbidden", 403, Later;
    /// The thing is not in a state that allows this.
    Conflict = "conflict", 409, Later;
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

    /// The table of docs/contract.md section 6, row by row.
    #[test]
    fn section_6_of_the_contract() {
        let table = [
            ("invalid_request", 400, Advice::Refused),
            ("invalid_csr", 422, Advice::Refused),
            ("invalid_enrollment_token", 401, Advice::Refused),
            ("enrollment_token_expired", 401, Advice::Refused),
            ("enrollment_token_revoked", 401, Advice::Refused),
            ("enrollment_token_used", 409, Advice::Refused),
            ("cluster_mismatch", 403, Advice::Refused),
            ("sensor_binding_mismatch", 403, Advice::Refused),
            ("max_nodes_exceeded", 403, Advice::Refused),
            ("role_not_allowed", 403, Advice::Refused),
            ("enrollment_denied", 403, Advice::Refused),
            ("NodeLimitExceeded", 403, Advice::Slowly),
            ("node_name_in_use", 409, Advice::Slowly),
            ("invalid_sensor_trust", 401, Advice::CredentialLost),
            ("certificate_expired", 401, Advice::CredentialLost),
            ("client_certificate_required", 401, Advice::Later),
            ("sensor_revoked", 403, Advice::Revoked),
            ("sensor_disabled", 403, Advice::Slowly),
            ("sensor_approval_pending", 403, Advice::Slowly),
        ];
        for (word, status, advice) in table {
            let code = ErrorCode::from_word(word).unwrap();
            assert_eq!((code.status(), code.advice()), (status, advice), "{word}");
        }
    }

    #[test]
    fn unknown_codes_are_kept_as_text() {
        let problem: Problem = serde_json::from_str(r#"{"error":"tea_time","x":1}"#).unwrap();
        assert_eq!((problem.code(), problem.error.as_str()), (None, "tea_time"));
    }
}
