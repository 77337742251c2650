//! The cells: what is called, and what comes instead of the honest answer, once or for a while.

use std::collections::BTreeSet;
use std::time::Duration;

use telovix_contract::{ErrorCode, paths};

/// The call that gets the bad answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    Heartbeat,
    /// The first heartbeat of a renewed certificate.
    Proof,
    Renewal,
    Enrollment,
    /// After a server certificate that seemed to be out of date.
    TimeQuestion,
}

impl Call {
    pub(crate) const ALL: [Self; 5] =
        [Self::Heartbeat, Self::Proof, Self::Renewal, Self::Enrollment, Self::TimeQuestion];

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Heartbeat | Self::Proof => paths::HEARTBEAT,
            Self::Renewal => paths::RENEW,
            Self::Enrollment => paths::ENROLL,
            Self::TimeQuestion => paths::HEALTHZ,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat",
            Self::Proof => "proof",
            Self::Renewal => "renewal",
            Self::Enrollment => "enrollment",
            Self::TimeQuestion => "time question",
        }
    }
}

/// What comes instead of the honest answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bad {
    Answer {
        status: u16,
        body: Body,
    },
    /// The honest answer with a `Date` that is a year ahead.
    FutureDate,
    /// The honest answer with `trust_state: trust_revoked`.
    TrustRevoked,
    /// A TLS alert by this number, in the clear instead of the server's hello.
    EarlyAlert(u8),
    /// A TLS alert by this number, sealed, after the handshake.
    SealedAlert(u8),
    /// Something ends TLS in between: the Console sees no client certificate, and says so with this code.
    NotRequested(ErrorCode),
    /// The server shows a certificate of another CA.
    OtherCa,
    Cut(Moment),
    Stall(Moment),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// The honest answer's body.
    Honest,
    /// The contract's refusal.
    Problem(ErrorCode),
    Foreign,
    Html,
    Empty,
}

/// When a connection is cut, or falls silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    Connected,
    /// The Console has not done what was asked.
    Requested,
    /// The Console has done what was asked.
    Done,
    HalfAnswered,
}

/// Every alert that has a number (the TLS registry of IANA).
const ALERTS: [u8; 35] = [
    0, 10, 20, 21, 22, 30, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 60, 70, 71, 80, 86, 90, 100, 109,
    110, 111, 112, 113, 114, 115, 116, 120, 121,
];

impl Bad {
    /// The row of the table.
    pub(crate) fn kind(self) -> String {
        match self {
            Self::Answer { body: Body::Problem(ErrorCode::SensorRevoked), .. } | Self::TrustRevoked => {
                "revoked (an hour is allowed)".to_owned()
            }
            Self::Answer { status, body } => {
                let body = match body {
                    Body::Honest | Body::Problem(_) => "the contract's JSON",
                    Body::Foreign => "foreign JSON",
                    Body::Html => "HTML",
                    Body::Empty => "no body",
                };
                format!("{0}00-{0}99, {body}", status / 100)
            }
            Self::FutureDate => "a `Date` that is a year ahead".to_owned(),
            Self::EarlyAlert(_) => "TLS alert in the clear".to_owned(),
            Self::SealedAlert(_) => "TLS alert under the server's keys".to_owned(),
            Self::NotRequested(_) => "no client certificate requested".to_owned(),
            Self::OtherCa => "certificate of another CA".to_owned(),
            Self::Cut(_) => "connection cut".to_owned(),
            Self::Stall(_) => "stall".to_owned(),
        }
    }

    /// The rows, in the order in which the answers come.
    pub(crate) fn kinds() -> Vec<String> {
        let mut kinds = Vec::new();
        for kind in Self::all().into_iter().map(Self::kind) {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        kinds
    }

    /// How long the host may take from then on (docs/contract.md section 6).
    pub(crate) fn bound(self) -> Duration {
        let is_revoked = matches!(
            self,
            Self::TrustRevoked | Self::Answer { body: Body::Problem(ErrorCode::SensorRevoked), .. }
        );
        Duration::from_secs(if is_revoked { 3600 } else { 900 })
    }

    /// Whether it comes before the Console knows what is called.
    pub(crate) fn is_early(self) -> bool {
        match self {
            Self::EarlyAlert(_) | Self::SealedAlert(_) | Self::NotRequested(_) | Self::OtherCa => true,
            Self::Cut(moment) | Self::Stall(moment) => moment == Moment::Connected,
            Self::Answer { .. } | Self::FutureDate | Self::TrustRevoked => false,
        }
    }

    /// The alert, and whether it is sealed.
    fn alert(self) -> Option<(u8, bool)> {
        match self {
            Self::EarlyAlert(alert) => Some((alert, false)),
            Self::SealedAlert(alert) => Some((alert, true)),
            Self::Answer { .. }
            | Self::FutureDate
            | Self::TrustRevoked
            | Self::NotRequested(_)
            | Self::OtherCa
            | Self::Cut(_)
            | Self::Stall(_) => None,
        }
    }

    /// The contract's code, where it comes with its own status.
    fn code(self) -> Option<&'static str> {
        if let Self::Answer { status, body: Body::Problem(code) } = self
            && code.status() == status
        {
            return Some(code.as_str());
        }
        None
    }

    fn all() -> Vec<Self> {
        use Moment::{Connected, Done, HalfAnswered, Requested};
        let mut all = Vec::new();
        for status in 200..600 {
            let answer = |body| Self::Answer { status, body };
            if status < 300 {
                all.push(answer(Body::Honest));
            } else {
                all.extend(codes(status).into_iter().map(|code| answer(Body::Problem(code))));
            }
            all.extend([Body::Foreign, Body::Html, Body::Empty].map(answer));
        }
        all.extend([Self::FutureDate, Self::TrustRevoked, Self::OtherCa]);
        all.extend(ALERTS.map(Self::EarlyAlert));
        all.extend(ALERTS.map(Self::SealedAlert));
        all.extend(
            [ErrorCode::InvalidSensorTrust, ErrorCode::ClientCertificateRequired].map(Self::NotRequested),
        );
        all.extend([Connected, Requested, Done, HalfAnswered].map(Self::Cut));
        all.extend([Connected, Requested, Done, HalfAnswered].map(Self::Stall));
        all
    }
}

/// The codes that belong to a status; where none does, another one each time.
fn codes(status: u16) -> Vec<ErrorCode> {
    let mut codes: Vec<_> = ErrorCode::ALL.iter().copied().filter(|code| code.status() == status).collect();
    if codes.is_empty() {
        codes.push(ErrorCode::ALL[usize::from(status) % ErrorCode::ALL.len()]);
    }
    codes
}

/// A call, and what comes instead of its honest answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) call: Call,
    pub(crate) bad: Bad,
    pub(crate) length: Length,
}

/// For how long it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    Once,
    /// To the call, and to whatever is asked beside it where it comes before anything is asked.
    TenMinutes,
}

impl Length {
    pub(crate) const ALL: [Self; 2] = [Self::Once, Self::TenMinutes];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::TenMinutes => "for ten minutes",
        }
    }

    pub(crate) fn time(self) -> Duration {
        Duration::from_secs(match self {
            Self::Once => 0,
            Self::TenMinutes => 600,
        })
    }
}

pub(crate) fn all(length: Length) -> Vec<Cell> {
    let of = |call| Bad::all().into_iter().map(move |bad| Cell { call, bad, length });
    Call::ALL.into_iter().flat_map(of).collect()
}

/// So many of them: each kind of answer to each call, each alert and each code to one call, and some of the others.
pub(crate) fn chosen(count: usize, length: Length) -> Vec<Cell> {
    let (mut kinds, mut alerts, mut codes) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let (mut chosen, mut of_codes, mut rest) = (Vec::new(), Vec::new(), Vec::new());
    for (n, bad) in Bad::all().into_iter().enumerate() {
        for call in Call::ALL {
            let is_its_turn = call as usize == n % Call::ALL.len();
            let list = if kinds.insert((call, bad.kind())) || (is_its_turn && alerts.insert(bad.alert())) {
                &mut chosen
            } else if is_its_turn && codes.insert(bad.code()) {
                &mut of_codes
            } else {
                &mut rest
            };
            list.push(Cell { call, bad, length });
        }
    }
    assert!(chosen.len() <= count, "{} are needed", chosen.len());
    chosen.extend(of_codes.into_iter().take(count - chosen.len()));
    let more = count - chosen.len();
    let step = rest.len() / more.max(1);
    chosen.extend(rest.into_iter().step_by(step.max(1)).take(more));
    chosen
}
