//! What can go wrong between this host and the Console, as facts; what to do about each is one exhaustive match
//! ([`ConsoleError::retry`], [`ConsoleError::action`]).
//!
//! Invariant: no text here holds a token, a key, a proxy's password or a piece of a request's body. Text that came from
//! the other side is cut short and cleaned of control characters before it is shown.

use std::time::Duration;

use telovix_contract::problem::{ErrorCode, Retry};

/// One failed call to the Console.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// No TCP connection: the name does not resolve, nobody listens, no route.
    #[error("cannot reach {target}: {cause}")]
    Unreachable {
        /// Host and port that were tried.
        target: String,
        /// The system's word.
        cause: String,
    },
    /// The proxy is there but gives no tunnel.
    #[error("the proxy {proxy} gives no tunnel to {target}: {cause}")]
    Proxy {
        /// The proxy without its user and password.
        proxy: String,
        /// Host and port that were asked for.
        target: String,
        /// What the proxy said.
        cause: String,
    },
    /// A phase took longer than it may.
    #[error("{target} did not finish {phase} within {} s", limit.as_secs())]
    Deadline {
        /// Host and port.
        target: String,
        /// What was going on.
        phase: &'static str,
        /// How long it was given.
        limit: Duration,
    },
    /// The server's certificate is not one that we trust. Nothing secret was sent.
    #[error("the certificate of {target} is not trusted ({against}): {cause}")]
    NotTrusted {
        /// Host and port.
        target: String,
        /// What it was checked against.
        against: String,
        /// Why it failed.
        cause: String,
        /// Whether its dates are what failed: then this host's clock may be wrong.
        about_time: bool,
    },
    /// The pinned fingerprint is not that of the CA which the server shows. Nothing secret was sent.
    #[error("the CA of {target} has fingerprint {found}, but {pinned} is pinned")]
    PinMismatch {
        /// Host and port.
        target: String,
        /// What the server showed first.
        found: String,
        /// What the operator pinned.
        pinned: String,
    },
    /// The trust store of this host holds no certificate at all.
    #[error("this host has no system root certificates{}", if cause.is_empty() { String::new() } else { format!(": {cause}") })]
    NoSystemRoots {
        /// Why, where the system said.
        cause: String,
    },
    /// The handshake broke for another reason than trust.
    #[error("the TLS handshake with {target} failed: {cause}")]
    Handshake {
        /// Host and port.
        target: String,
        /// The library's word.
        cause: String,
    },
    /// The Console did not take our client certificate in the handshake.
    #[error("{target} refused this sensor's certificate in the TLS handshake: {alert}")]
    CertificateRefused {
        /// Host and port.
        target: String,
        /// The TLS alert.
        alert: String,
    },
    /// The connection broke while a request or an answer was under way: it may have arrived.
    #[error("the connection to {target} broke during {phase}: {cause}")]
    Broken {
        /// Host and port.
        target: String,
        /// What was going on.
        phase: &'static str,
        /// The library's word.
        cause: String,
    },
    /// The answer is larger than any answer of a Console.
    #[error("the answer of {target} is larger than {limit} bytes ({part})")]
    TooLarge {
        /// Host and port.
        target: String,
        /// `body` or `header`.
        part: &'static str,
        /// The cap.
        limit: usize,
    },
    /// The answer points elsewhere; a token never follows.
    #[error("{target} answered {status} and points to {location}; redirects are not followed")]
    Redirect {
        /// Host and port.
        target: String,
        /// HTTP status.
        status: u16,
        /// Where to, cleaned.
        location: String,
    },
    /// The answer is not one of a Console: a page of a proxy or of another product, or torn JSON.
    #[error("{target} answered {status} with {found}, which is not an answer of a Console")]
    NotAConsole {
        /// Host and port.
        target: String,
        /// HTTP status.
        status: u16,
        /// What it was instead.
        found: String,
    },
    /// The Console refused, and said why.
    #[error("the Console refused: {code} ({status}){}", if message.is_empty() { String::new() } else { format!(": {message}") })]
    Refused {
        /// HTTP status.
        status: u16,
        /// The code as it came, cleaned.
        code: String,
        /// The code where we know it.
        known: Option<ErrorCode>,
        /// The Console's sentence, cleaned.
        message: String,
        /// `Retry-After` of the answer.
        retry_after: Option<Duration>,
    },
    /// A local part failed: keys or settings that the TLS library does not take.
    #[error("cannot prepare the TLS connection: {cause}")]
    Setup {
        /// The library's word.
        cause: String,
    },
}

impl ConsoleError {
    /// Whether and how to ask again (CONTRACT.md section 6: by code, then by status).
    pub fn retry(&self) -> Retry {
        match self {
            Self::Unreachable { .. }
            | Self::Proxy { .. }
            | Self::Deadline { .. }
            | Self::Handshake { .. }
            | Self::Broken { .. } => Retry::Backoff,
            Self::NotAConsole { status, .. } => Retry::from_status(*status),
            Self::NotTrusted { .. }
            | Self::PinMismatch { .. }
            | Self::NoSystemRoots { .. }
            | Self::TooLarge { .. }
            | Self::Redirect { .. }
            | Self::Setup { .. } => Retry::Never,
            Self::CertificateRefused { .. } => Retry::CredentialLost,
            Self::Refused { status, known, .. } => {
                known.map_or_else(|| Retry::from_status(*status), ErrorCode::retry)
            }
        }
    }

    /// A stable word for programs: the Console's code, or one of ours.
    pub fn code(&self) -> &str {
        if let Self::Refused { code, .. } = self { code } else { self.class() }
    }

    /// The same out of a fixed set: a code that we do not know is `refused`. For metrics, whose labels nobody outside
    /// may make up.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "console_unreachable",
            Self::Proxy { .. } => "proxy_failed",
            Self::Deadline { .. } => "deadline_exceeded",
            Self::NotTrusted { .. } | Self::PinMismatch { .. } | Self::NoSystemRoots { .. } => {
                "console_not_trusted"
            }
            Self::Handshake { .. } => "tls_handshake_failed",
            Self::CertificateRefused { .. } => "certificate_refused",
            Self::Broken { .. } => "connection_broken",
            Self::TooLarge { .. } => "answer_too_large",
            Self::Redirect { .. } => "redirect_refused",
            Self::NotAConsole { .. } => "not_a_console",
            Self::Refused { known, .. } => known.map_or("refused", ErrorCode::as_str),
            Self::Setup { .. } => "tls_setup_failed",
        }
    }

    /// What a person can do about it, one sentence.
    pub fn action(&self) -> String {
        match self {
            Self::Unreachable { .. } => {
                "check console_url, name resolution, routes and firewalls between this host and the Console".into()
            }
            Self::Proxy { .. } => "check HTTPS_PROXY and NO_PROXY, and that the proxy allows CONNECT to the Console".into(),
            Self::Deadline { .. } | Self::Broken { .. } | Self::Handshake { .. } => {
                "check the network and any proxy or inspection device between this host and the Console".into()
            }
            Self::NotTrusted { .. } => {
                "check that console_url names the right Console and that this host's clock is right; give its CA with \
                 --bootstrap-ca or its fingerprint with --ca-fingerprint"
                    .into()
            }
            Self::PinMismatch { .. } => {
                "compare the fingerprint with the one that the Console's `setup` or its Deploy Sensor page shows; if \
                 they differ, somebody else answers at this address"
                    .into()
            }
            Self::NoSystemRoots { .. } => {
                "install the system's CA certificates, or give the Console's CA with --bootstrap-ca or --ca-fingerprint"
                    .into()
            }
            Self::TooLarge { .. } | Self::NotAConsole { .. } => {
                "check that console_url names a Console and that no proxy answers in its place".into()
            }
            Self::Redirect { .. } => "set console_url to the Console's own address".into(),
            Self::CertificateRefused { .. } => "enroll again with a new token".into(),
            Self::Setup { .. } => "check the key type and the certificate files".into(),
            Self::Refused { status, known, .. } => refusal_action(*known, *status).into(),
        }
    }

    /// How long the Console asked us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        if let Self::Refused { retry_after, .. } = self { *retry_after } else { None }
    }

    /// Whether the Console simply lacks the path: not a lost credential (CONTRACT.md section 3, ours).
    pub fn is_missing_path(&self) -> bool {
        match self {
            Self::Refused { status, known, .. } => {
                matches!(status, 404 | 405)
                    && known.is_none_or(|k| matches!(k, ErrorCode::NotFound | ErrorCode::MethodNotAllowed))
            }
            Self::NotAConsole { status, .. } => matches!(status, 404 | 405),
            Self::Unreachable { .. }
            | Self::Proxy { .. }
            | Self::Deadline { .. }
            | Self::NotTrusted { .. }
            | Self::PinMismatch { .. }
            | Self::NoSystemRoots { .. }
            | Self::Handshake { .. }
            | Self::CertificateRefused { .. }
            | Self::Broken { .. }
            | Self::TooLarge { .. }
            | Self::Redirect { .. }
            | Self::Setup { .. } => false,
        }
    }
}

fn refusal_action(code: Option<ErrorCode>, status: u16) -> &'static str {
    use ErrorCode as E;
    match code {
        Some(E::InvalidEnrollmentToken) => "create a new token in the Console and copy the whole of it",
        Some(E::EnrollmentTokenExpired | E::EnrollmentTokenRevoked) => "create a new token in the Console",
        Some(E::EnrollmentTokenUsed) => {
            "another host or key has used this one-time token; create a new token in the Console"
        }
        Some(E::ClusterMismatch) => {
            "set --cluster-name to the cluster that the token was made for, or use its token"
        }
        Some(E::SensorBindingMismatch) => {
            "use the re-enrollment token of this sensor, or --new-sensor for a record of its own"
        }
        Some(E::MaxNodesExceeded) => {
            "raise max_nodes with a new cluster token, or remove nodes of this cluster"
        }
        Some(E::RoleNotAllowed) => {
            "set --node-role to a role that the cluster's rule allows, or change the rule"
        }
        Some(E::EnrollmentDenied) => "ask the Console's operator why this node was denied",
        Some(E::NodeLimitExceeded) => "free a protected node in the Console, or import a larger licence",
        Some(E::InvalidSensorTrust) => "enroll again with a new token",
        Some(E::SensorRevoked) => "this sensor was revoked; enroll with a new token if it should come back",
        Some(E::SensorDisabled) => "enable this sensor in the Console",
        Some(E::InvalidRequest | E::InvalidCsr) => {
            "check node name, role, cluster and tags; if they are right, report this as a bug"
        }
        Some(E::RequestTimeout | E::RateLimited | E::NotReady | E::InternalError) => {
            "nothing; the agent asks again"
        }
        Some(
            E::NotFound
            | E::MethodNotAllowed
            | E::PayloadTooLarge
            | E::Unauthorized
            | E::Forbidden
            | E::Conflict,
        )
        | None => match status {
            408 | 425 | 429 | 500.. => "nothing; the agent asks again",
            _ => "check that console_url names a Console and that its version speaks this contract",
        },
    }
}

/// Makes a text from outside fit for a terminal and a log: no control characters, at most `longest` characters, and no
/// token, which the other side may have echoed.
pub fn clean(text: &str, longest: usize) -> String {
    let text = crate::cli::redact_tokens(text);
    let mut shown: String =
        text.chars().take(longest).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().count() > longest {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: &str) -> ConsoleError {
        ConsoleError::Refused {
            status,
            code: code.into(),
            known: ErrorCode::from_word(code),
            message: String::new(),
            retry_after: None,
        }
    }

    #[test]
    fn the_code_decides_before_the_status() {
        assert_eq!(refused(403, "NodeLimitExceeded").retry(), Retry::Slowly);
        assert_eq!(refused(500, "enrollment_token_used").retry(), Retry::OtherToken);
        assert_eq!(refused(503, "tea_time").retry(), Retry::Backoff);
        assert_eq!(refused(403, "tea_time").retry(), Retry::Never);
        assert!(refused(404, "not_found").is_missing_path());
        assert!(!refused(401, "invalid_sensor_trust").is_missing_path());
    }

    #[test]
    fn every_refusal_says_what_to_do() {
        for code in ErrorCode::ALL {
            assert!(refused(code.status(), code.as_str()).action().len() > 15, "{code}");
        }
    }

    #[test]
    fn hostile_text_is_cleaned() {
        assert_eq!(clean("a\x1b[31m\nb", 10), "a [31m b");
        assert_eq!(clean("äöü", 2), "äö…");
    }
}
