//! What is written down about every change and every refusal (CONTRACT.md section 5). Never a secret.

use std::fmt::Write as _;

use telovix_contract::SensorId;

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $word:literal;)+) => {
        /// What happened. Three words are the vendor's; the others are named alike (CONTRACT.md section 5).
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Action {
            $($(#[$doc])* $name,)+
        }

        impl Action {
            /// The word in `action_type`.
            pub(crate) fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }
        }
    };
}

actions! {
    /// Set-up was finished.
    SetupCompleted = "console_setup_completed";
    /// A token was made.
    TokenCreated = "sensor_enrollment_token_created";
    /// Every token was forgotten, as a bad day wants it.
    TokensForgotten = "sensor_enrollment_tokens_forgotten";
    /// A token was taken back.
    TokenRevoked = "sensor_enrollment_token_revoked";
    /// A host got an identity.
    SensorEnrolled = "sensor_enrolled";
    /// A host was refused one.
    EnrollmentRefused = "sensor_enrollment_refused";
    /// A host waits for an operator.
    EnrollmentPending = "sensor_enrollment_pending";
    /// An operator let a waiting host in.
    EnrollmentApproved = "sensor_enrollment_approved";
    /// An operator turned a waiting host away.
    EnrollmentDenied = "sensor_enrollment_denied";
    /// An auto-approve rule was made.
    RuleCreated = "auto_approve_rule_created";
    /// An auto-approve rule was deleted.
    RuleDeleted = "auto_approve_rule_deleted";
    /// A setting got another value.
    SettingChanged = "console_setting_changed";
    /// A sensor renewed its certificate.
    RenewalInitiated = "auto_certificate_renewal_initiated";
    /// A sensor was asked to renew its certificate.
    RenewalRequested = "certificate_renewal_requested";
    /// A sensor was switched off for a time.
    SensorDisabled = "sensor_disabled";
    /// A sensor was switched on again.
    SensorEnabled = "sensor_enabled";
    /// A sensor was switched off for good.
    SensorRevoked = "sensor_revoked";
    /// A sensor's record was deleted.
    SensorDeleted = "sensor_deleted";
    /// A sensor retired itself.
    SensorDecommissioned = "sensor_decommissioned";
    /// A retired sensor came back.
    SensorRecommissioned = "sensor_recommissioned";
    /// A user was made.
    UserCreated = "user_created";
    /// A user was disabled.
    UserDisabled = "user_disabled";
    /// A disabled user was let in again.
    UserEnabled = "user_enabled";
    /// A user got another role.
    UserRoleChanged = "user_role_changed";
    /// A user got another password.
    UserPasswordChanged = "user_password_changed";
    /// An operator signed in, or failed to.
    LoggedIn = "user_login";
    /// An operator signed out.
    LoggedOut = "user_logout";
    /// An API key was made.
    ApiKeyCreated = "api_key_created";
    /// An API key was taken back.
    ApiKeyRevoked = "api_key_revoked";
    /// A licence was imported.
    LicenceImported = "license_imported";
    /// Another issuer signs from now on.
    IssuerRotated = "ca_issuer_rotated";
    /// An issuer was taken out of force.
    IssuerRetired = "ca_issuer_retired";
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuditOutcome {
    /// As asked.
    Success,
    /// Refused.
    Failure,
}

impl AuditOutcome {
    /// The word in `outcome`.
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
    /// The peer's `User-Agent`, cleaned by [`clean`].
    pub user_agent: Option<String>,
}

/// One record to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuditEntry {
    /// What happened.
    pub action: Action,
    /// How it went.
    pub outcome: AuditOutcome,
    /// The sensor that it happened to, if there is one.
    pub sensor_id: Option<SensorId>,
    /// `key=value` pairs separated by spaces.
    pub detail: Detail,
}

impl AuditEntry {
    /// A record of success.
    pub(crate) fn success(action: Action, sensor_id: Option<SensorId>, detail: Detail) -> Self {
        Self { action, outcome: AuditOutcome::Success, sensor_id, detail }
    }
}

/// The particulars of a record, written as `key=value` pairs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Detail(String);

impl Detail {
    /// No particulars yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds one; control characters and spaces in the value become `_`, so that a record stays one line.
    pub(crate) fn with(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        let plain: String = clean(&value.to_string(), 256).replace(' ', "_");
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{}{key}={plain}", if self.0.is_empty() { "" } else { " " });
        self
    }

    /// Adds one where there is a value.
    pub(crate) fn maybe(self, key: &str, value: Option<impl std::fmt::Display>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text from outside, fit for a record or a list: no control characters, at most `longest` characters.
pub(crate) fn clean(text: &str, longest: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(longest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detail_stays_one_line_of_pairs() {
        let detail = Detail::new().with("a", "x y\n").maybe("b", None::<u8>).maybe("c", Some(3));
        assert_eq!(detail.as_str(), "a=x_y c=3");
        assert_eq!(clean("a\u{7}bcd", 3), "abc");
    }
}
