//! What an administrator may set, with its bounds and what counts where nobody set anything.

use std::str::FromStr;

use telovix_contract::enroll::DEFAULT_HEARTBEAT_SECONDS;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::Refusal;
use super::approval::Mode;
use super::restore::Switch;
use super::sensor::STALE_DEFAULT;
use super::token::{CLUSTER_DEFAULT_DAYS, CLUSTER_LONGEST_DAYS, ONCE_DEFAULT, ONCE_LONGEST, ONCE_SHORTEST};
use super::words::words;

/// A setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// Which enrollments wait for an operator.
    ApprovalMode,
    /// Life of client certificates.
    CertificateHours,
    /// How long after its end a certificate still renews.
    RenewExpiredHours,
    /// Time between heartbeats.
    HeartbeatSeconds,
    /// Life of a one-time token where its maker names none.
    OnceTtlSeconds,
    /// Shortest life of a one-time token that may be asked for.
    OnceTtlMin,
    /// Longest life of a one-time token that may be asked for.
    OnceTtlMax,
    /// Life of a cluster token where its maker names none.
    ClusterDays,
    /// Longest life of a cluster token that may be asked for.
    ClusterMaxDays,
    /// Silence after which a sensor is stale.
    StaleSeconds,
    /// What the Console is for.
    Vertical,
    /// Whether certificates are adopted that a restored copy does not know; ends by itself.
    AfterRestore,
}

words! {
    /// What a Console is for, as its first administrator says (docs/contract.md has the word as a sensor's flavor; for the
    /// Console it is written down and shown, and decides nothing).
    #[derive(Default)]
    pub Vertical {
        /// Any fleet.
        #[default]
        Standard = "standard",
        /// A telecom network.
        Telecom = "telecom",
    }
}

impl FromStr for Vertical {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|it| it.as_str() == word).ok_or("it can be standard or telecom")
    }
}

impl PartialSchema for Setting {
    fn schema() -> RefOr<Schema> {
        let names = Self::ALL.map(Self::name);
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).build().into()
    }
}

impl ToSchema for Setting {}

enum Takes {
    /// One of these, the first where nobody set anything.
    Word(Vec<&'static str>),
    Number {
        from: i64,
        to: i64,
        default: i64,
    },
}

impl Setting {
    /// Every setting.
    pub const ALL: [Self; 12] = [
        Self::ApprovalMode,
        Self::CertificateHours,
        Self::RenewExpiredHours,
        Self::HeartbeatSeconds,
        Self::OnceTtlSeconds,
        Self::OnceTtlMin,
        Self::OnceTtlMax,
        Self::ClusterDays,
        Self::ClusterMaxDays,
        Self::StaleSeconds,
        Self::Vertical,
        Self::AfterRestore,
    ];

    /// What operators call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ApprovalMode => "approval_mode",
            Self::CertificateHours => "certificate_hours",
            Self::RenewExpiredHours => "renew_expired_hours",
            Self::HeartbeatSeconds => "heartbeat_seconds",
            Self::OnceTtlSeconds => "once_ttl_seconds",
            Self::OnceTtlMin => "once_ttl_min_seconds",
            Self::OnceTtlMax => "once_ttl_max_seconds",
            Self::ClusterDays => "cluster_days",
            Self::ClusterMaxDays => "cluster_max_days",
            Self::StaleSeconds => "stale_seconds",
            Self::Vertical => "vertical",
            Self::AfterRestore => "after_restore",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|setting| setting.name() == name)
    }

    fn takes(self) -> Takes {
        let number = |from, to, default| Takes::Number { from, to, default };
        match self {
            Self::ApprovalMode => Takes::Word(Mode::ALL.map(Mode::as_str).to_vec()),
            Self::Vertical => Takes::Word(Vertical::ALL.map(Vertical::as_str).to_vec()),
            Self::AfterRestore => Takes::Word(Switch::ALL.map(Switch::as_str).to_vec()),
            // docs/contract.md section 3: 720 h. An issuer lasts longer than the longest of these.
            Self::CertificateHours => number(1, 8760, 720),
            // docs/contract.md section 3: 720 h; 0 is never. The longest is ours.
            Self::RenewExpiredHours => number(0, 8760, 720),
            Self::HeartbeatSeconds => number(1, 3600, i64::from(DEFAULT_HEARTBEAT_SECONDS)),
            // docs/contract.md section 5: 90 s. The bounds are ours: below ten a healthy sensor would flap.
            Self::StaleSeconds => number(10, 86_400, STALE_DEFAULT),
            Self::OnceTtlSeconds => number(ONCE_SHORTEST, ONCE_LONGEST, ONCE_DEFAULT),
            Self::OnceTtlMin => number(ONCE_SHORTEST, ONCE_LONGEST, ONCE_SHORTEST),
            Self::OnceTtlMax => number(ONCE_SHORTEST, ONCE_LONGEST, ONCE_LONGEST),
            Self::ClusterDays => number(1, CLUSTER_LONGEST_DAYS, CLUSTER_DEFAULT_DAYS),
            Self::ClusterMaxDays => number(1, CLUSTER_LONGEST_DAYS, CLUSTER_LONGEST_DAYS),
        }
    }

    /// What counts where nobody set anything.
    pub(crate) fn default_value(self) -> String {
        match self.takes() {
            Takes::Word(words) => words.first().copied().unwrap_or_default().to_owned(),
            Takes::Number { default, .. } => default.to_string(),
        }
    }

    /// The words that it can be; none where it is a number.
    pub fn words(self) -> Vec<&'static str> {
        match self.takes() {
            Takes::Word(words) => words,
            Takes::Number { .. } => Vec::new(),
        }
    }

    pub(crate) fn default_number(self) -> i64 {
        match self.takes() {
            Takes::Word(_) => 0,
            Takes::Number { default, .. } => default,
        }
    }

    /// Checks a value; gives it as it is to be stored.
    pub fn check(self, text: &str) -> Result<String, Refusal> {
        match self.takes() {
            Takes::Word(words) if words.contains(&text) => Ok(text.to_owned()),
            Takes::Word(words) => Err(Refusal::field(self.name(), format!("it can be {}", words.join(", ")))),
            Takes::Number { from, to, .. } => {
                let number = text.parse::<i64>().ok().filter(|number| (from..=to).contains(number));
                let wrong = || Refusal::field(self.name(), format!("it can be {from} to {to}"));
                Ok(number.ok_or_else(wrong)?.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_keep_their_own_bounds_and_names_read_back() {
        for setting in Setting::ALL {
            assert_eq!(setting.check(&setting.default_value()).unwrap(), setting.default_value());
            assert_eq!(Setting::from_name(setting.name()), Some(setting));
            assert!(setting.check("").unwrap_err().message.contains(setting.name()));
        }
        assert_eq!(Setting::from_name("server_names"), None);
    }

    /// docs/contract.md sections 1 and 3: the bounds of lifetimes.
    #[test]
    fn section_1_bounds_hold_at_their_ends() {
        for (setting, below, lowest, highest, above) in [
            (Setting::OnceTtlSeconds, "59", "60", "86400", "86401"),
            (Setting::OnceTtlMin, "59", "60", "86400", "86401"),
            (Setting::OnceTtlMax, "59", "60", "86400", "86401"),
            (Setting::ClusterDays, "0", "1", "730", "731"),
            (Setting::ClusterMaxDays, "0", "1", "730", "731"),
            (Setting::CertificateHours, "0", "1", "8760", "8761"),
            (Setting::RenewExpiredHours, "-1", "0", "8760", "8761"),
            (Setting::StaleSeconds, "9", "10", "86400", "86401"),
        ] {
            assert!(setting.check(lowest).is_ok() && setting.check(highest).is_ok());
            assert!(setting.check(below).is_err() && setting.check(above).is_err());
        }
        assert!(Setting::ApprovalMode.check("some").unwrap_err().message.contains("none, cluster, all"));
        assert_eq!(Setting::Vertical.check("telecom").unwrap(), "telecom");
        assert!(Setting::Vertical.check("other").is_err() && "other".parse::<Vertical>().is_err());
    }
}
