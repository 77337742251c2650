//! What can go wrong between this host and the Console, as facts; what follows from each is read off its
//! [`ConsoleError::code`].
//!
//! Invariant: no text here holds a token, a key, a proxy's password or a piece of a request's body. Text that came from
//! the other side is cut short and cleaned of control characters before it is shown.

use std::fmt;
use std::time::Duration;

use telovix_contract::problem::{Advice, ErrorCode};

use crate::config::MistakenPin;
use crate::machine::Code;

/// The phases of a call, each with a limit of its own (docs/contract.md section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Name look-up.
    LookUp,
    /// TCP.
    Connect,
    /// The proxy's tunnel.
    Tunnel,
    /// TLS handshake.
    Handshake,
    /// The request.
    Request,
    /// The head of the answer.
    Answer,
    /// Its body.
    Body,
    /// All of a decommission.
    Decommission,
}

impl Phase {
    /// Whether the server has proven in it who it is.
    pub fn is_beyond_handshake(self) -> bool {
        match self {
            Self::LookUp | Self::Connect | Self::Tunnel | Self::Handshake => false,
            Self::Request | Self::Answer | Self::Body | Self::Decommission => true,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LookUp => "name look-up",
            Self::Connect => "connecting",
            Self::Tunnel => "the proxy's answer to CONNECT",
            Self::Handshake => "the TLS handshake",
            Self::Request => "sending the request",
            Self::Answer => "waiting for the answer",
            Self::Body => "receiving the answer",
            Self::Decommission => "the decommission call",
        })
    }
}

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
    /// This host lacks what a connection takes: descriptors, threads, memory.
    #[error("this host has no resources left for a connection to {target}: {cause}")]
    OutOfResources {
        /// Host and port that were tried.
        target: String,
        /// The system's word.
        cause: String,
    },
    /// This host forbids the agent to connect.
    #[error("this host does not allow a connection to {target}: {cause}")]
    Forbidden {
        /// Host and port that were tried.
        target: String,
        /// The system's word.
        cause: String,
    },
    /// The proxy is not reached, or gives no tunnel.
    #[error("cannot reach {target} through the proxy {proxy}: {cause}")]
    Proxy {
        /// The proxy without its user and password.
        proxy: String,
        /// Host and port that were asked for.
        target: String,
        /// What the proxy said.
        cause: String,
    },
    /// A phase took longer than it may.
    #[error("{phase} took longer than {} s ({target})", limit.as_secs())]
    Deadline {
        /// Host and port, and what was tried of it.
        target: String,
        /// What was going on.
        phase: Phase,
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
    /// What is pinned is not the fingerprint of the CA's certificate, but belongs to the CA which the server shows all the
    /// same. Nothing secret was sent.
    #[error("the pin does not fit the CA of {target}: {mistake}")]
    PinMistaken {
        /// Host and port.
        target: String,
        /// What it is instead.
        mistake: MistakenPin,
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
        /// The TLS alert, by its name.
        alert: String,
    },
    /// The same, before the server's keys protected the connection, as in TLS 1.2: anybody may have said it.
    #[error(
        "{target} refused this sensor's certificate: {alert}; in TLS 1.2 something between may have said so, and it is \
         not taken for the Console's word"
    )]
    CertificateRefusedEarly {
        /// Host and port.
        target: String,
        /// The TLS alert, by its name.
        alert: String,
    },
    /// The server refused the sensor and never requested its certificate in the handshake: something in between ends TLS, and its
    /// answer is no verdict (docs/contract.md section 6).
    #[error(
        "{target} did not request this sensor's certificate, so something before the Console ends TLS; {answer}"
    )]
    NotRequested {
        /// Host and port.
        target: String,
        /// The refusal.
        answer: String,
    },
    /// The connection broke while a request or an answer was under way: it may have arrived.
    #[error("the connection to {target} broke ({phase}): {cause}")]
    Broken {
        /// Host and port.
        target: String,
        /// What was going on.
        phase: Phase,
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
    #[error("{target} answered {}with {found}, which is not an answer of a Console", if *status == 0 { String::new() } else { format!("{status} ") })]
    NotAConsole {
        /// Host and port.
        target: String,
        /// HTTP status; 0 where there is none.
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
    /// The failure as one of the agent's codes (docs/contract.md section 6: by the Console's code, then by the status).
    pub fn code(&self) -> Code {
        match self {
            Self::Unreachable { .. } => Code::ConsoleUnreachable,
            Self::OutOfResources { .. } => Code::OutOfResources,
            Self::Forbidden { .. } => Code::ConnectionForbidden,
            Self::Proxy { .. } => Code::ProxyFailed,
            Self::Deadline { .. } => Code::DeadlineExceeded,
            Self::NotTrusted { about_time: true, .. } => Code::ConsoleCertificateDates,
            Self::NotTrusted { about_time: false, .. } => Code::ConsoleNotTrusted,
            Self::PinMismatch { .. } => Code::PinMismatch,
            Self::PinMistaken { .. } => Code::PinMistaken,
            Self::NoSystemRoots { .. } => Code::NoSystemRoots,
            Self::Handshake { .. } => Code::TlsHandshakeFailed,
            Self::CertificateRefused { .. } => Code::CertificateRefused,
            Self::CertificateRefusedEarly { .. } => Code::CertificateRefusedEarly,
            Self::NotRequested { .. } => Code::CertificateNotRequested,
            Self::Broken { .. } => Code::ConnectionBroken,
            Self::TooLarge { .. } => Code::AnswerTooLarge,
            Self::Redirect { .. } => Code::RedirectRefused,
            Self::NotAConsole { status, .. } => Code::of_status(*status, Code::NotAConsole),
            // A path is missing by its status alone; the words `not_found` beside another status say nothing of it.
            Self::Refused { known: Some(code), status, .. }
                if code.advice() != Advice::MissingPath || *status == code.status() =>
            {
                Code::Console(*code)
            }
            Self::Refused { status, .. } => Code::of_status(*status, Code::UnknownRefusal),
            Self::Setup { .. } => Code::TlsSetupFailed,
        }
    }

    /// The same, over a connection whose server did not request the client's certificate: a verdict is none.
    pub(super) fn of_no_request(self, target: String) -> Self {
        let code = self.code();
        let is_verdict = match code.advice() {
            Advice::CredentialLost | Advice::Revoked => true,
            Advice::Slowly => code == Code::Console(ErrorCode::SensorDisabled),
            Advice::BackOff | Advice::Later | Advice::Refused | Advice::MissingPath | Advice::AskTime => {
                false
            }
        };
        if is_verdict { Self::NotRequested { target, answer: self.to_string() } } else { self }
    }

    /// Whether an enrollment may have failed because of the certificate that was shown with it, or because one could have been: all but
    /// what happens before a handshake, and the Console's own word on token and sensor.
    pub(super) fn may_be_of_what_was_shown(&self, shown: bool) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::OutOfResources { .. }
            | Self::Forbidden { .. }
            | Self::Proxy { .. }
            | Self::NotTrusted { .. }
            | Self::PinMismatch { .. }
            | Self::PinMistaken { .. }
            | Self::NoSystemRoots { .. }
            | Self::Setup { .. } => false,
            Self::Handshake { .. }
            | Self::CertificateRefused { .. }
            | Self::CertificateRefusedEarly { .. }
            | Self::Broken { phase: Phase::Handshake, .. } => true,
            // Whoever said yes did not mind what was shown.
            Self::NotAConsole { status: 200..=299, .. } => false,
            Self::Deadline { .. }
            | Self::NotRequested { .. }
            | Self::Broken { .. }
            | Self::TooLarge { .. }
            | Self::Redirect { .. }
            | Self::NotAConsole { .. }
            | Self::Refused { known: None, .. } => shown,
            Self::Refused { known: Some(code), .. } => {
                shown
                    && match code.advice() {
                        Advice::CredentialLost | Advice::Later => true,
                        Advice::BackOff
                        | Advice::Slowly
                        | Advice::Refused
                        | Advice::Revoked
                        | Advice::MissingPath
                        | Advice::AskTime => false,
                    }
            }
        }
    }

    /// How long the Console asked us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        if let Self::Refused { retry_after, .. } = self { *retry_after } else { None }
    }
}

/// The contract's [`clean`](telovix_contract::clean), of a text that may echo a token: none is left in it.
pub fn clean(text: &str, longest: usize) -> String {
    telovix_contract::clean(&crate::cli::redact_tokens(text), longest)
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
        for (status, word, advice) in [
            (403, "NodeLimitExceeded", Advice::Slowly),
            (500, "enrollment_token_used", Advice::Refused),
            (503, "tea_time", Advice::BackOff),
            (403, "tea_time", Advice::Later),
            (404, "not_found", Advice::MissingPath),
            (500, "not_found", Advice::BackOff),
            (404, "tea_time", Advice::MissingPath),
            (401, "invalid_sensor_trust", Advice::CredentialLost),
        ] {
            assert_eq!(refused(status, word).code().advice(), advice, "{status} {word}");
        }
    }

    #[test]
    fn hostile_text_is_cleaned() {
        assert_eq!(clean("a\x1b[31m\nb\u{202e}", 10), "a [31m b ");
        assert!(!clean(&format!("a tse_{}", "A".repeat(43)), 100).contains("AAA"));
    }
}
