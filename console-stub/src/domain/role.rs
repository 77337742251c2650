//! Who may do what: the one table (docs/contract.md section 5).

use serde::Deserialize;
use utoipa::ToSchema;

use super::api_key::Scope;
use super::words::words;

words! {
    /// What an operator is.
    #[derive(Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub Role {
        /// Looks.
        Viewer = "viewer",
        /// Looks deeper.
        Analyst = "analyst",
        /// Looks after sensors.
        SensorOwner = "sensor_owner",
        /// Brings sensors in.
        Operator = "operator",
        /// Everything.
        Admin = "admin",
    }
}

impl Role {
    /// The rank that the vendor gives it.
    pub fn rank(self) -> u8 {
        match self {
            Self::Viewer => 1,
            Self::Analyst => 2,
            Self::SensorOwner | Self::Operator => 3,
            Self::Admin => 4,
        }
    }
}

/// What can be done through the operators' interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    ReadSensors,
    ReadAudit,
    RenewSensor,
    /// See tokens, rules and waiting enrollments.
    ReadTokens,
    /// Make and take back tokens and rules, decide about waiting enrollments.
    ManageTokens,
    /// Disable, enable, revoke and delete sensors.
    JudgeSensors,
    /// Settings, users, API keys, licence.
    Administer,
}

impl Act {
    #[cfg(test)]
    const ALL: [Self; 7] = [
        Self::ReadSensors,
        Self::ReadAudit,
        Self::RenewSensor,
        Self::ReadTokens,
        Self::ManageTokens,
        Self::JudgeSensors,
        Self::Administer,
    ];

    /// The scope that an API key needs for it; `None` is for people alone.
    pub(crate) fn scope(self) -> Option<Scope> {
        match self {
            Self::ReadSensors | Self::ReadTokens | Self::ReadAudit => Some(Scope::Read),
            Self::ManageTokens | Self::RenewSensor => Some(Scope::Write),
            Self::JudgeSensors | Self::Administer => None,
        }
    }
}

/// The table. Tokens are for operators and administrators, whatever a sensor owner's rank.
pub(crate) fn may(role: Role, act: Act) -> bool {
    match act {
        Act::ReadSensors => true,
        Act::ReadAudit => role.rank() >= 2,
        Act::RenewSensor => role.rank() >= 3,
        Act::ReadTokens | Act::ManageTokens => matches!(role, Role::Operator | Role::Admin),
        Act::JudgeSensors | Act::Administer => role == Role::Admin,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/contract.md section 5: the roles with their ranks; tokens for operator and admin; the rest for admin.
    #[test]
    fn section_5_the_role_table() {
        let ranks: Vec<_> = Role::ALL.into_iter().map(|role| (role.as_str(), role.rank())).collect();
        assert_eq!(
            ranks,
            [("viewer", 1), ("analyst", 2), ("sensor_owner", 3), ("operator", 3), ("admin", 4)]
        );
        let table = [
            (Act::ReadSensors, [true, true, true, true, true]),
            (Act::ReadAudit, [false, true, true, true, true]),
            (Act::RenewSensor, [false, false, true, true, true]),
            (Act::ReadTokens, [false, false, false, true, true]),
            (Act::ManageTokens, [false, false, false, true, true]),
            (Act::JudgeSensors, [false, false, false, false, true]),
            (Act::Administer, [false, false, false, false, true]),
        ];
        assert_eq!(table.map(|(act, _)| act), Act::ALL);
        for (act, allowed) in table {
            assert_eq!(Role::ALL.map(|role| may(role, act)), allowed, "{act:?}");
        }
        assert!(Role::ALL.into_iter().all(|role| Role::from_word(role.as_str()) == Some(role)));
    }
}
