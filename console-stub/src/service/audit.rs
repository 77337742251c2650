//! The audit trail, for operators.

use serde::Serialize;

use super::{Console, ServiceError};
use crate::clock::timestamp;
use crate::db::audit;

/// A record of the audit trail (CONTRACT.md section 5).
#[derive(Debug, Clone, Serialize)]
pub struct AuditView {
    /// RFC 3339.
    pub created_at: String,
    /// What happened.
    pub action_type: String,
    /// `success` or `failure`.
    pub outcome: String,
    /// Who did it; null for the system.
    pub actor_email: Option<String>,
    /// To which sensor.
    pub sensor_id: Option<String>,
    /// `key=value` pairs.
    pub detail: String,
    /// From which address.
    pub client_ip: Option<String>,
    /// With which program.
    pub user_agent: Option<String>,
}

impl Console {
    /// The newest records, newest first.
    ///
    /// # Errors
    /// [`ServiceError::Db`].
    pub async fn list_audit(&self, most: u32) -> Result<Vec<AuditView>, ServiceError> {
        let rows = self.db().read(move |tx| audit::list(tx, i64::from(most))).await?;
        let view = |row: audit::AuditRecord| AuditView {
            created_at: timestamp(row.created_at).to_string(),
            action_type: row.action_type,
            outcome: row.outcome,
            actor_email: row.actor_email,
            sensor_id: row.sensor_id,
            detail: row.detail,
            client_ip: row.client_ip,
            user_agent: row.user_agent,
        };
        Ok(rows.into_iter().map(view).collect())
    }
}
