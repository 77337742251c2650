//! What is written down about every change and every refusal (docs/contract.md section 5). Never a secret.

use std::fmt::Write as _;

use telovix_contract::SensorId;
pub(crate) use telovix_contract::clean;

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $word:literal;)+) => {
        /// What happened. Three words are the vendor's; the others are named alike (docs/contract.md section 5).
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Action {
            $($(#[$doc])* $name,)+
        }

        impl Action {
            pub(crate) fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }
        }
    };
}

actions! {
    SetupCompleted = "console_setup_completed";
    TokenCreated = "sensor_enrollment_token_created";
    /// Every token was forgotten, as a bad day wants it.
    TokensForgotten = "sensor_enrollment_tokens_forgotten";
    TokenRevoked = "sensor_enrollment_token_revoked";
    SensorEnrolled = "sensor_enrolled";
    EnrollmentRefused = "sensor_enrollment_refused";
    EnrollmentPending = "sensor_enrollment_pending";
    EnrollmentApproved = "sensor_enrollment_approved";
    EnrollmentDenied = "sensor_enrollment_denied";
    RuleCreated = "auto_approve_rule_created";
    RuleDeleted = "auto_approve_rule_deleted";
    SettingChanged = "console_setting_changed";
    RenewalInitiated = "auto_certificate_renewal_initiated";
    /// An expired certificate was renewed.
    RenewedLate = "sensor_certificate_renewed_late";
    /// A certificate that is unknown, replaced, or of a revoked sensor was shown.
    CertificateRefused = "sensor_certificate_refused";
    /// After a restore, a certificate that the copy does not know became its sensor's newest.
    CertificateAdopted = "sensor_certificate_adopted";
    /// After a restore, an act of the audit trail that went on was done again.
    ActReapplied = "console_act_reapplied";
    /// After a restore, an audit trail that went on was read, and its acts done again.
    ExportApplied = "console_audit_export_applied";
    /// One identity spoke from two places.
    IdentityShared = "sensor_identity_shared";
    RenewalRequested = "certificate_renewal_requested";
    SensorDisabled = "sensor_disabled";
    SensorEnabled = "sensor_enabled";
    SensorRevoked = "sensor_revoked";
    SensorDeleted = "sensor_deleted";
    SensorDecommissioned = "sensor_decommissioned";
    SensorRecommissioned = "sensor_recommissioned";
    UserCreated = "user_created";
    UserDisabled = "user_disabled";
    UserEnabled = "user_enabled";
    UserRoleChanged = "user_role_changed";
    UserPasswordChanged = "user_password_changed";
    LoggedIn = "user_login";
    LoggedOut = "user_logout";
    ApiKeyCreated = "api_key_created";
    ApiKeyRevoked = "api_key_revoked";
    LicenceImported = "license_imported";
    IssuerRotated = "ca_issuer_rotated";
    IssuerRetired = "ca_issuer_retired";
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuditOutcome {
    Success,
    Failure,
}

impl AuditOutcome {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }
}

/// Where a request came from, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The operator's address; `None` is the system, the command line included.
    pub actor_email: Option<String>,
    /// The API key of an operator's program; it stands in the record's detail.
    pub api_key: Option<String>,
    /// The peer's IP address.
    pub client_ip: Option<String>,
    /// The peer's `User-Agent`, cleaned by `clean`.
    pub user_agent: Option<String>,
}

/// One record to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuditEntry {
    /// What happened.
    pub action: Action,
    pub outcome: AuditOutcome,
    /// The sensor that it happened to, if there is one.
    pub sensor_id: Option<SensorId>,
    /// `key=value` pairs separated by spaces.
    pub detail: Detail,
}

impl AuditEntry {
    pub(crate) fn success(action: Action, sensor_id: Option<SensorId>, detail: Detail) -> Self {
        Self { action, outcome: AuditOutcome::Success, sensor_id, detail }
    }
}

/// The particulars of a record, written as `key=value` pairs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Detail(String);

impl Detail {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds one; spaces and what does not show itself in the value become `_`, so that a record stays one line.
    pub(crate) fn with(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        let plain: String = clean(&value.to_string(), 256).replace(' ', "_");
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{}{key}={plain}", if self.0.is_empty() { "" } else { " " });
        self
    }

    pub(crate) fn maybe(self, key: &str, value: Option<impl std::fmt::Display>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The value of the first pair with this key, in the detail of a record.
    pub(crate) fn value<'a>(detail: &'a str, key: &str) -> Option<&'a str> {
        detail
            .split(' ')
            .filter_map(|pair| pair.split_once('='))
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    }

    /// The same, and behind it the pairs of another record, cut to so many characters.
    pub(crate) fn and(mut self, detail: &str, most: usize) -> Self {
        if !detail.is_empty() {
            self.0 = format!("{} {}", self.0, clean(detail, most));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detail_stays_one_line_of_pairs() {
        let detail = Detail::new().with("a", "x\u{202e}y\n").maybe("b", None::<u8>).maybe("c", Some(3));
        assert_eq!(detail.as_str(), "a=x_y c=3");
        assert_eq!([Detail::value("a=1 b=x=y", "b"), Detail::value("ab=1", "b")], [Some("x=y"), None]);
        assert_eq!(detail.and("d=4\te=5", 9).as_str(), "a=x_y c=3 d=4 e=5");
    }
}
