//! What follows from a failed call: the right column of CONTRACT.md section 6, once for the whole machine.

use telovix_contract::problem::Retry;

use super::input::{Failure, Nature};
use crate::status::Actor;

/// What follows from a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Advice {
    /// It passes: exponential back-off.
    BackOff,
    /// Nobody of the Console answered, and it is not the network's usual weather: minutes apart. Whoever mends it, on
    /// either side, need not touch this host.
    AskLater,
    /// The Console refused, and somebody there can change it: minutes apart.
    Slowly,
    /// Refused for good, until this changes.
    Stop(Until),
    /// The Console does not know this certificate.
    CredentialLost,
    /// The sensor is switched off for good.
    Revoked,
    /// The Console has no such call.
    Missing,
    /// It fails on dates: ask for the time before anything is called invalid.
    AskClock,
}

/// What has to change before a refused attempt is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Until {
    /// The token.
    Token,
    /// The token or the configuration.
    TokenOrConfiguration,
}

pub(super) fn advice(failure: &Failure) -> Advice {
    match failure.nature {
        Nature::Dates => Advice::AskClock,
        Nature::MissingPath => Advice::Missing,
        Nature::Disk => Advice::BackOff,
        Nature::NoAnswer => match failure.retry {
            Retry::Backoff => Advice::BackOff,
            Retry::Never
            | Retry::OtherToken
            | Retry::OtherTokenOrConfiguration
            | Retry::Slowly
            | Retry::CredentialLost
            | Retry::Final
            | Retry::KeepAndRetrySlowly => Advice::AskLater,
        },
        Nature::Answer => match failure.retry {
            Retry::Backoff => Advice::BackOff,
            Retry::Slowly | Retry::KeepAndRetrySlowly => Advice::Slowly,
            Retry::OtherToken => Advice::Stop(Until::Token),
            Retry::Never | Retry::OtherTokenOrConfiguration => Advice::Stop(Until::TokenOrConfiguration),
            Retry::CredentialLost => Advice::CredentialLost,
            Retry::Final => Advice::Revoked,
        },
    }
}

/// Who has to act before the failure goes away.
pub(super) fn who(failure: &Failure) -> Actor {
    if failure.nature == Nature::Disk {
        return Actor::HostOperator;
    }
    match advice(failure) {
        Advice::BackOff => Actor::Agent,
        Advice::Slowly | Advice::Missing => Actor::ConsoleOperator,
        Advice::AskLater | Advice::Stop(_) | Advice::CredentialLost | Advice::Revoked | Advice::AskClock => {
            Actor::HostOperator
        }
    }
}
