//! Kinds of value that the contract does not know: choices among words, and spans of time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Longest span of time that a setting takes: 365 days. Longer ones are typing mistakes.
pub const LONGEST_DURATION: Duration = Duration::from_secs(365 * DAY);

const DAY: u64 = 24 * 3600;

/// What tells this machine from a copy of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MachineId {
    /// The first id found that lasts.
    Auto,
    /// Nothing: where the machine has another id at each start.
    Ignore,
    /// This one, 32 lower-case hex digits.
    Fixed(String),
}

impl FromStr for MachineId {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let id = text.trim().replace('-', "").to_ascii_lowercase();
        let is_id = id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit());
        match id.as_str() {
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::Ignore),
            // Firmware and images have these where they have none.
            _ if is_id && !id.bytes().all(|b| b == b'0') && !id.bytes().all(|b| b == b'f') => {
                Ok(Self::Fixed(id))
            }
            _ => Err(InvalidValue(format!(
                "{:?} is not a machine id; it can be auto, none, or 32 hex digits that are this machine's alone",
                text.trim()
            ))),
        }
    }
}

/// Why a text is not a value of the kind asked for: what is wrong, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidValue(pub(super) String);

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal, $list:literal, {
        $($(#[$variant_doc:meta])* $variant:ident = $word:literal $(| $other:literal)*,)+
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word in flags and files.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = InvalidValue;
            fn from_str(text: &str) -> Result<Self, InvalidValue> {
                $(if [$word $(, $other)*].iter().any(|word| word.eq_ignore_ascii_case(text)) {
                    return Ok(Self::$variant);
                })+
                Err(InvalidValue(format!("{text:?} is not a {}; it can be {}", $what, $list)))
            }
        }
    };
}

words!(
    /// Kind of the key pair to make (docs/contract.md section 3, ours). Read in either case, with or without a hyphen.
    KeyType, "key type", "p256, rsa2048, rsa3072, rsa4096 or ed25519", {
        /// ECDSA on NIST P-256.
        P256 = "p256" | "p-256" | "ecdsa-p256",
        /// RSA of 2048 bits.
        Rsa2048 = "rsa2048" | "rsa-2048",
        /// RSA of 3072 bits.
        Rsa3072 = "rsa3072" | "rsa-3072",
        /// RSA of 4096 bits.
        Rsa4096 = "rsa4096" | "rsa-4096",
        /// Ed25519.
        Ed25519 = "ed25519" | "ed-25519",
    }
);

words!(
    /// How much is logged: this and what is graver.
    LogLevel, "log level", "error, warn, info, debug or trace", {
        /// Worth waking someone.
        Error = "error",
        /// Worth a look.
        Warn = "warn" | "warning",
        /// A change of state.
        Info = "info",
        /// For the developer of this program.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
);

words!(
    /// How log lines are written.
    LogFormat, "log format", "text or json", {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
);

words!(
    /// A signal by which services are told to look again. None that cannot be caught.
    ReloadSignal, "signal that tells a service to look again", "SIGHUP, SIGUSR1, SIGUSR2 or SIGTERM", {
        /// SIGHUP.
        Hup = "SIGHUP" | "HUP",
        /// SIGUSR1.
        Usr1 = "SIGUSR1" | "USR1",
        /// SIGUSR2.
        Usr2 = "SIGUSR2" | "USR2",
        /// SIGTERM: for a service whose manager starts it again.
        Term = "SIGTERM" | "TERM",
    }
);

words!(
    /// Who may speak to a socket of ours.
    SocketMode, "mode of the control socket, by which the identity can be renewed",
    "0600 (the agent's user) or 0660 (its group as well)", {
        /// The agent's user, and root.
        Owner = "0600" | "600" | "0o600" | "0o0600",
        /// Its group as well.
        Group = "0660" | "660" | "0o660" | "0o0660",
    }
);

/// Reads a span of time as people write it: whole numbers with a unit of `s`, `m`, `h` or `d`, several after one
/// another from the greatest down (`1h30m`). More than nothing, at most [`LONGEST_DURATION`].
pub fn parse_duration(text: &str) -> Result<Duration, InvalidValue> {
    let invalid =
        |problem: &str| InvalidValue(format!("{text:?} {problem}; write it as 90s, 15m, 24h, 1h30m or 7d"));
    let mut rest = text.trim();
    if rest.starts_with('-') {
        return Err(invalid("is negative"));
    }
    let mut seconds = 0_u64;
    let mut larger_unit = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let unit = match tail.chars().next() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => DAY,
            None if digits > 0 => return Err(invalid("has no unit")),
            Some(_) | None => return Err(invalid("is not a span of time")),
        };
        if digits == 0 || unit >= larger_unit {
            return Err(invalid("is not a span of time"));
        }
        // A number too great for 64 bits is too long in every unit.
        let part = number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit)).unwrap_or(u64::MAX);
        seconds = seconds.saturating_add(part);
        larger_unit = unit;
        rest = &tail[1..];
    }
    match Duration::from_secs(seconds) {
        Duration::ZERO if text.trim().is_empty() => Err(invalid("is empty")),
        Duration::ZERO => Err(invalid("is no time at all")),
        long if long > LONGEST_DURATION => Err(invalid("is longer than 365 days")),
        fine => Ok(fine),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spans_of_time_as_people_write_them() {
        for (text, seconds) in
            [("90s", 90), ("15m", 900), ("24h", 86_400), ("1h30m", 5400), ("7d", 604_800), (" 5m ", 300)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse_duration("365d"), Ok(LONGEST_DURATION));
    }

    #[test]
    fn other_spans_are_refused_with_their_reason() {
        for (text, reason) in [
            ("", "is empty"),
            ("-5m", "is negative"),
            ("300", "has no unit"),
            ("0s", "is no time at all"),
            ("0d0h", "is no time at all"),
            ("366d", "is longer than 365 days"),
            ("99999999999999999999d", "is longer than 365 days"),
            ("365d1s", "is longer than 365 days"),
            ("5m1h", "is not a span of time"),
            ("5m5m", "is not a span of time"),
            ("5 m", "is not a span of time"),
            ("1.5h", "is not a span of time"),
            ("m", "is not a span of time"),
            ("5ms", "is not a span of time"),
            ("5µ", "is not a span of time"),
        ] {
            let error = parse_duration(text).unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains("15m"), "{text:?}: {error}");
        }
    }

    #[test]
    fn words_read_back_and_their_errors_list_the_choices() {
        for key_type in KeyType::ALL {
            assert_eq!(key_type.as_str().parse(), Ok(*key_type));
        }
        assert_eq!("ECDSA-P256".parse(), Ok(KeyType::P256));
        assert_eq!("rsa-3072".parse(), Ok(KeyType::Rsa3072));
        let error = "rsa1024".parse::<KeyType>().unwrap_err().to_string();
        assert_eq!(
            error,
            "\"rsa1024\" is not a key type; it can be p256, rsa2048, rsa3072, rsa4096 or ed25519"
        );
        assert!("loud".parse::<LogLevel>().is_err() && "xml".parse::<LogFormat>().is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_a_span_or_refused(text in "\\PC{0,20}|[0-9]{0,22}[smhd][0-9]{0,4}[smhd]?") {
            if let Ok(span) = parse_duration(&text) {
                prop_assert!(span > Duration::ZERO && span <= LONGEST_DURATION);
            }
        }

        #[test]
        fn every_span_in_range_is_read(seconds in 1..=LONGEST_DURATION.as_secs()) {
            prop_assert_eq!(parse_duration(&format!("{seconds}s")), Ok(Duration::from_secs(seconds)));
            let (days, rest) = (seconds / DAY, seconds % DAY);
            prop_assert_eq!(parse_duration(&format!("{days}d{rest}s")), Ok(Duration::from_secs(seconds)));
        }
    }
}
