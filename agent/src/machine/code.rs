//! What can be wrong, as one closed set of codes: the word for programs, the exit status of a command that ends with it,
//! what the agent does about it, who has to act, and the advice for people.
//!
//! Invariant: a failure becomes a code once, where it is met; everything else is read off this table. The Console's own
//! codes are those of `telovix_contract` (docs/contract.md section 6).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use telovix_contract::problem::{Advice, ErrorCode};

/// Exit status of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Unexpected failure.
    Unexpected = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// Refused by the Console until an operator acts.
    Refused = 3,
    /// Still waiting for an operator's approval.
    Waiting = 4,
    /// The Console was not reached in time.
    NotReached = 5,
    /// No valid identity.
    NoIdentity = 6,
    /// The Console's certificate is not trusted.
    NotTrusted = 7,
    /// Local state: permissions, disk, lock, clock.
    LocalState = 8,
    /// It works, and something is worth a look (`doctor`).
    Warnings = 9,
}

/// Who has to act before anything changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// Nobody: the agent goes on by itself.
    Agent,
    /// Whoever runs this host: a token, a setting, the disk, the clock.
    HostOperator,
    /// Whoever runs the Console: an approval, a licence, a rule.
    ConsoleOperator,
}

impl Actor {
    /// Everybody who may have to act.
    pub const ALL: [Self; 3] = [Self::Agent, Self::HostOperator, Self::ConsoleOperator];

    /// The word in JSON, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::HostOperator => "host_operator",
            Self::ConsoleOperator => "console_operator",
        }
    }

    /// Whom that is, for people; `None` where nobody has to act.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Agent => None,
            Self::HostOperator => Some("the operator of this host"),
            Self::ConsoleOperator => Some("the operator of the Console"),
        }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $word:literal, $exit:ident, $advice:ident, $actor:ident, $action:expr;)+) => {
        /// What is wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            /// The Console refused with a code of the contract.
            Console(ErrorCode),
            $($(#[$doc])* $variant,)+
        }

        impl Code {
            /// The codes that are not the Console's.
            pub const OWN: &[Self] = &[$(Self::$variant,)+];

            /// The word in reports, logs and metrics.
            pub fn as_str(self) -> &'static str {
                match self { Self::Console(code) => code.as_str(), $(Self::$variant => $word,)+ }
            }

            /// The exit status of a command that ends with it.
            pub fn exit(self) -> Exit {
                match self {
                    Self::Console(code) if code.advice() == Advice::BackOff => Exit::NotReached,
                    Self::Console(_) => Exit::Refused,
                    $(Self::$variant => Exit::$exit,)+
                }
            }

            /// What the agent does about a call that failed with it.
            pub fn advice(self) -> Advice {
                match self { Self::Console(code) => code.advice(), $(Self::$variant => Advice::$advice,)+ }
            }

            /// Who has to act before it goes away.
            pub fn actor(self) -> Actor {
                match self { Self::Console(code) => actor_of_refusal(code), $(Self::$variant => Actor::$actor,)+ }
            }

            /// What a person can do about it, one sentence; empty where the message says it.
            pub fn action(self) -> &'static str {
                match self { Self::Console(code) => action_of_refusal(code), $(Self::$variant => $action,)+ }
            }
        }
    };
}

const NETWORK: &str =
    "check the network and any proxy or inspection device between this host and the Console";
const NOT_A_CONSOLE: &str = "check that console_url names a Console and that no proxy answers in its place";
const CONTRACT: &str = "check that console_url names a Console and that its version speaks this contract";
const BROKEN: &str =
    "the Console, or something between it and this host, is broken; nothing was changed on this host";
const ENDS_TLS: &str =
    "make the proxy or load balancer before the Console pass TLS through instead of terminating it";
const TRUST: &str = "check that console_url names the right Console and that this host's clock is right; give its CA \
                     with --bootstrap-ca or its fingerprint with --ca-fingerprint";
const CLOCK: &str = "set this host's clock (`timedatectl` shows it); nothing is lost, and the agent goes on as soon as \
                     the clock is right; after `enroll`, run the command again";

codes! {
    /// No TCP connection: the name does not resolve, nobody listens, no route.
    ConsoleUnreachable = "console_unreachable", NotReached, BackOff, Agent,
        "check console_url, name resolution, routes and firewalls between this host and the Console";
    /// This host has no descriptors, threads or memory left.
    OutOfResources = "out_of_resources", LocalState, BackOff, HostOperator,
        "raise the limits of open files and of processes (LimitNOFILE and TasksMax in the unit, `ulimit`), or find what \
         uses them up";
    /// A rule of this host forbids the connection.
    ConnectionForbidden = "connection_forbidden", NotReached, BackOff, HostOperator,
        "check this host's own firewall (nft, iptables), IPAddressDeny and RestrictAddressFamilies of the unit, and SELinux";
    /// The proxy refused the tunnel.
    ProxyFailed = "proxy_failed", NotReached, BackOff, Agent,
        "check HTTPS_PROXY, ALL_PROXY and NO_PROXY, and that the proxy allows CONNECT to the Console";
    /// A phase of a call, or a command, took longer than it may.
    DeadlineExceeded = "deadline_exceeded", NotReached, BackOff, Agent, NETWORK;
    /// The handshake broke for another reason than trust.
    TlsHandshakeFailed = "tls_handshake_failed", NotReached, BackOff, Agent, NETWORK;
    /// The connection broke while a request or an answer was under way.
    ConnectionBroken = "connection_broken", NotReached, BackOff, Agent, NETWORK;
    /// A status that passes (408, 425, 429, 5xx), without a code of the contract.
    ConsoleUnavailable = "console_unavailable", NotReached, BackOff, Agent, "nothing; the agent asks again";
    /// The server's certificate does not chain to what is trusted, or is for another name.
    ConsoleNotTrusted = "console_not_trusted", NotTrusted, Later, HostOperator, TRUST;
    /// The server's certificate fails on its dates alone.
    ConsoleCertificateDates = "console_certificate_dates", NotTrusted, AskTime, HostOperator, TRUST;
    /// The pinned fingerprint is not that of the CA which the server shows.
    PinMismatch = "pin_mismatch", NotTrusted, Later, HostOperator,
        "compare the fingerprint with the one that the Console's `setup` or its Deploy Sensor page shows; if they \
         differ, somebody else answers at this address";
    /// The pinned fingerprint is that of the CA's file or key, not of its certificate.
    PinMistaken = "pin_mistaken", NotTrusted, Later, HostOperator,
        "pin the certificate's fingerprint, which the Console's `setup` and its Deploy Sensor page show";
    /// This host has no root certificates.
    NoSystemRoots = "no_system_roots", NotTrusted, Later, HostOperator,
        "install the system's CA certificates, or give the Console's CA with --bootstrap-ca or --ca-fingerprint";
    /// The Console refused the client certificate in the handshake.
    CertificateRefused = "certificate_refused", Refused, CredentialLost, HostOperator, "enroll again with a new token";
    /// The same, over a connection that was not protected yet.
    CertificateRefusedEarly = "certificate_refused_early", NotReached, BackOff, HostOperator,
        "look at this sensor in the Console, and at what ends TLS before it; let it use TLS 1.3, by which a refusal can be \
         believed; where the certificate is of no use any more, enroll again with a new token";
    /// The server refused the sensor without having requested its certificate.
    CertificateNotRequested = "certificate_not_requested", Refused, Later, HostOperator, ENDS_TLS;
    /// The answer is larger than any answer of a Console.
    AnswerTooLarge = "answer_too_large", Unexpected, Later, HostOperator, NOT_A_CONSOLE;
    /// The answer points elsewhere; a token never follows.
    RedirectRefused = "redirect_refused", Unexpected, Later, HostOperator,
        "set console_url to the Console's own address";
    /// The answer is not one that a Console gives.
    NotAConsole = "not_a_console", Unexpected, Later, HostOperator, NOT_A_CONSOLE;
    /// 404 or 405, without a code of the contract.
    NoSuchPath = "no_such_path", Unexpected, MissingPath, ConsoleOperator, CONTRACT;
    /// A refusal with a code that this version does not know: not the Console's word.
    UnknownRefusal = "refused", Refused, Later, HostOperator, CONTRACT;
    /// The TLS library does not take our keys or settings.
    TlsSetupFailed = "tls_setup_failed", Unexpected, Later, HostOperator,
        "check the key type and the certificate files";
    /// What was issued is not an identity for our key.
    BadAnswer = "bad_answer", Unexpected, Later, HostOperator, BROKEN;
    /// What was issued is not valid at this time, by this host's clock.
    IssuedDates = "issued_dates", Unexpected, AskTime, HostOperator,
        "check this host's clock (timedatectl) and the Console's; the agent goes on with the same request, and so does \
         `enroll` when it is run again";
    /// The Console answered for another sensor than the certificate's.
    OtherSensor = "other_sensor", Unexpected, Later, HostOperator, BROKEN;
    /// This host's clock is wrong, by the Console's.
    ClockWrong = "clock_wrong", LocalState, AskTime, HostOperator, CLOCK;
    /// The disk refused an operation.
    StateIoError = "state_io_error", LocalState, BackOff, HostOperator, "";
    /// A file of the state directory is damaged.
    StateDamaged = "state_damaged", LocalState, BackOff, HostOperator, "";
    /// A newer version of this program wrote the state directory.
    StateNewer = "state_newer", LocalState, Slowly, HostOperator, "";
    /// Others can write the state directory.
    StateDirUnsafe = "state_dir_unsafe", LocalState, BackOff, HostOperator, "";
    /// Another agent holds the state directory.
    StateDirLocked = "state_dir_locked", LocalState, BackOff, HostOperator, "";
    /// A named source of the token cannot be read, or holds something else.
    TokenUnusable = "token_unusable", Usage, Later, HostOperator,
        "put a whole token of the Console in its place, readable by the agent's user";
    /// The configuration cannot be used, or not that of trust.
    Configuration = "configuration", Usage, Later, HostOperator, "";
    /// The key or the certificate request cannot be made.
    Key = "key", Unexpected, Later, HostOperator, "";
    /// No identity and no token.
    Unenrolled = "unenrolled", Usage, Later, HostOperator,
        "create a token in the Console and run `telovix-agent enroll`, or give the token to the running agent";
    /// There was an identity, and it cannot be used.
    IdentityLost = "credential_lost", Usage, Later, HostOperator,
        "create a re-enrollment token for this sensor in the Console and run `telovix-agent enroll`, or give the token \
         to the running agent";
    /// The identity in the state directory was made on another machine.
    IdentityCopied = "identity_copied", Usage, Later, HostOperator,
        "create a token for this host in the Console, not one for the sensor that it was copied from, and run \
         `telovix-agent enroll`, or give the token to the running agent";
    /// An operator has to approve first.
    BootstrapPending = "bootstrap_pending", Waiting, Slowly, ConsoleOperator,
        "approve this node in the Console; the agent asks again by itself, and `enroll` goes on with the same \
         enrollment when it is run again";
    /// A heartbeat was answered, and the Console does not trust the sensor.
    TrustRevoked = "trust_revoked", Refused, Revoked, ConsoleOperator, "look at this sensor in the Console";
    /// There is no identity to retire, or none that the Console accepts.
    NothingToRetire = "nothing_to_retire", NoIdentity, Later, HostOperator, "";
    /// A bug of this program.
    Internal = "internal", Unexpected, BackOff, HostOperator, "report this as a bug";
    /// A code of another version of this program.
    Unknown = "unknown", Unexpected, Later, HostOperator, "";
}

impl Code {
    /// The code of an answer that brought none of the contract's: what its status says, else `otherwise`.
    pub fn of_status(status: u16, otherwise: Self) -> Self {
        match status {
            404 | 405 => Self::NoSuchPath,
            408 | 425 | 429 | 500.. => Self::ConsoleUnavailable,
            _ => otherwise,
        }
    }

    /// Reads a word back; `None` for one that this version does not know.
    pub fn from_word(word: &str) -> Option<Self> {
        let own = Self::OWN.iter().copied().find(|code| code.as_str() == word);
        own.or_else(|| ErrorCode::from_word(word).map(Self::Console))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Ok(Self::from_word(&word).unwrap_or(Self::Unknown))
    }
}

fn actor_of_refusal(code: ErrorCode) -> Actor {
    match code.advice() {
        Advice::BackOff => Actor::Agent,
        Advice::Slowly | Advice::MissingPath => Actor::ConsoleOperator,
        Advice::Later | Advice::Refused | Advice::CredentialLost | Advice::Revoked | Advice::AskTime => {
            Actor::HostOperator
        }
    }
}

fn action_of_refusal(code: ErrorCode) -> &'static str {
    use ErrorCode as E;
    match code {
        E::InvalidEnrollmentToken => "create a new token in the Console and copy the whole of it",
        E::EnrollmentTokenExpired | E::EnrollmentTokenRevoked => "create a new token in the Console",
        E::EnrollmentTokenUsed => {
            "another host or key has used this one-time token; create a new token in the Console"
        }
        E::ClusterMismatch => {
            "set --cluster-name to the cluster that the token was made for, or use that cluster's token"
        }
        E::SensorBindingMismatch => {
            "use the re-enrollment token of this sensor, or --new-sensor for a record of its own"
        }
        E::MaxNodesExceeded => "raise max_nodes with a new cluster token, or remove nodes of this cluster",
        E::RoleNotAllowed => "set --node-role to a role that the cluster's rule allows, or change the rule",
        E::EnrollmentDenied => "ask the Console's operator why this node was denied",
        E::NodeLimitExceeded => "free a protected node in the Console, or import a larger license",
        E::NodeNameInUse => {
            "give this host a name of its own with --node-name, or approve the replacement in the Console"
        }
        E::InvalidSensorTrust | E::CertificateExpired => "enroll again with a new token",
        E::ClientCertificateRequired => ENDS_TLS,
        E::SensorRevoked => "this sensor was revoked; enroll with a new token if it should come back",
        E::SensorDisabled => "enable this sensor in the Console",
        E::SensorApprovalPending => "approve this sensor in the Console, which was restored from a backup",
        E::InvalidRequest | E::InvalidCsr => {
            "check node name, role, cluster and tags; if they are right, report this as a bug"
        }
        E::RequestTimeout | E::RateLimited | E::NotReady | E::InternalError => {
            "nothing; the agent asks again"
        }
        E::NotFound
        | E::MethodNotAllowed
        | E::PayloadTooLarge
        | E::Unauthorized
        | E::Forbidden
        | E::Conflict => CONTRACT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_unique_and_read_back() {
        let all = Code::OWN.iter().copied().chain(ErrorCode::ALL.iter().copied().map(Code::Console));
        for code in all.clone() {
            assert_eq!(Code::from_word(code.as_str()), Some(code));
            assert_eq!(all.clone().filter(|other| other.as_str() == code.as_str()).count(), 1, "{code}");
            let json = serde_json::to_string(&code).unwrap();
            assert_eq!(serde_json::from_str::<Code>(&json).unwrap(), code);
        }
        assert_eq!(serde_json::from_str::<Code>("\"tea_time\"").unwrap(), Code::Unknown);
    }

    #[test]
    fn every_refusal_says_what_to_do() {
        for code in ErrorCode::ALL.iter().copied().map(Code::Console) {
            assert!(code.action().len() > 15, "{code}");
            assert!(matches!(code.exit(), Exit::Refused | Exit::NotReached), "{code}");
        }
        for (code, exit) in [
            ("sensor_revoked", Exit::Refused),
            ("rate_limited", Exit::NotReached),
            ("console_unreachable", Exit::NotReached),
            ("console_not_trusted", Exit::NotTrusted),
            ("state_io_error", Exit::LocalState),
            ("clock_wrong", Exit::LocalState),
            ("bootstrap_pending", Exit::Waiting),
        ] {
            assert_eq!(Code::from_word(code).unwrap().exit(), exit, "{code}");
        }
    }
}
