//! The fleet, for operators: list, disable, enable, revoke, delete.

use serde::Serialize;
use telovix_contract::states::{HealthState, SensorStatus, TrustHealth, TrustState};
use telovix_contract::{ErrorCode, SensorId};

use super::{Console, ServiceError};
use crate::clock::timestamp;
use crate::db::sensors::Listed;
use crate::db::{Tx, audit, sensors, settings};
use crate::domain::Refusal;
use crate::domain::audit::{Action, AuditEntry, Detail, Origin};
use crate::domain::sensor::{SensorRecord, Standing};

/// A sensor in the fleet list (CONTRACT.md section 5).
#[derive(Debug, Clone, Serialize)]
pub struct SensorView {
    /// Its identity.
    pub sensor_id: SensorId,
    /// Its node's name.
    pub node_name: String,
    /// What the node is for.
    pub role: String,
    /// The cluster that the node belongs to.
    pub cluster_id: Option<String>,
    /// The installation within the cluster.
    pub install_id: Option<String>,
    /// `standard` or `telecom`.
    pub flavor: String,
    /// Labels.
    pub tags: serde_json::Value,
    /// Version of its software.
    pub sensor_version: String,
    /// The host as it described itself.
    pub host: serde_json::Value,
    /// healthy, stale, disabled, revoked.
    pub status: SensorStatus,
    /// What the Console thinks of the identity.
    pub trust_state: TrustState,
    /// How its certificate stands.
    pub trust_health: TrustHealth,
    /// How lately it was heard of.
    pub health_state: HealthState,
    /// RFC 3339, end of its newest certificate.
    pub certificate_not_after: Option<String>,
    /// RFC 3339.
    pub enrolled_at: String,
    /// RFC 3339, of its last heartbeat.
    pub last_seen_at: Option<String>,
    /// Whether it has retired.
    pub decommissioned: bool,
}

/// Which sensors to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// All but the decommissioned.
    Present,
    /// All.
    Everything,
}

/// What an operator does to a sensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Off for a time.
    Disable,
    /// On again.
    Enable,
    /// Off for good; the licence slot is free.
    Revoke,
    /// Forgotten, certificates included; the licence slot is free.
    Delete,
}

impl Console {
    /// The fleet, oldest first.
    ///
    /// # Errors
    /// [`ServiceError::Db`].
    pub async fn list_sensors(&self, listing: Listing) -> Result<Vec<SensorView>, ServiceError> {
        let now = self.now();
        let rows = self.db().read(|tx| sensors::list(tx)).await?;
        let wanted =
            |row: &Listed| listing == Listing::Everything || row.sensor.standing != Standing::Decommissioned;
        Ok(rows.into_iter().filter(wanted).map(|row| view(row, now)).collect())
    }

    /// Does to a sensor what an operator asks.
    ///
    /// # Errors
    /// `not_found`; `conflict` when it does not stand so that this can be done.
    pub async fn judge_sensor(
        &self,
        id: SensorId,
        verdict: Verdict,
        origin: Origin,
    ) -> Result<(), ServiceError> {
        let now = self.now();
        self.db().write(move |tx| judge(tx, id, verdict, &origin, now)).await?;
        tracing::info!(sensor_id = %id, ?verdict, "an operator changed a sensor");
        Ok(())
    }
}

fn judge(
    tx: &mut dyn Tx,
    id: SensorId,
    verdict: Verdict,
    origin: &Origin,
    now: i64,
) -> Result<(), ServiceError> {
    let not_found = || Refusal::new(ErrorCode::NotFound, "There is no such sensor.");
    let sensor = sensors::by_id(tx, id)?.ok_or_else(not_found)?;
    let action = match verdict {
        Verdict::Disable => {
            require(&sensor, Standing::Active)?;
            sensors::set_standing(tx, id, Standing::Disabled, now)?;
            Action::SensorDisabled
        }
        Verdict::Enable => {
            require(&sensor, Standing::Disabled)?;
            sensors::set_standing(tx, id, Standing::Active, now)?;
            Action::SensorEnabled
        }
        Verdict::Revoke => {
            if sensor.standing == Standing::Revoked {
                return Ok(());
            }
            free_slot(tx, &sensor)?;
            sensors::set_standing(tx, id, Standing::Revoked, now)?;
            Action::SensorRevoked
        }
        Verdict::Delete => {
            free_slot(tx, &sensor)?;
            sensors::delete(tx, id)?;
            Action::SensorDeleted
        }
    };
    let detail = Detail::new().with("node_name", &sensor.node_name);
    Ok(audit::append(tx, &AuditEntry::success(action, Some(id), detail), origin, now)?)
}

fn require(sensor: &SensorRecord, wanted: Standing) -> Result<(), Refusal> {
    if sensor.standing == wanted {
        return Ok(());
    }
    let now_is = match sensor.standing {
        Standing::Active => "at work",
        Standing::Disabled => "disabled",
        Standing::Revoked => "revoked",
        Standing::Decommissioned => "decommissioned",
    };
    Err(Refusal::new(ErrorCode::Conflict, format!("The sensor is {now_is}; nothing was changed.")))
}

fn free_slot(tx: &mut dyn Tx, sensor: &SensorRecord) -> Result<(), ServiceError> {
    if sensor.standing.takes_a_slot() {
        settings::free_slot(tx)?;
    }
    Ok(())
}

fn view(row: Listed, now: i64) -> SensorView {
    let Listed { sensor, validity } = row;
    let json = |text: &str| serde_json::from_str(text).unwrap_or(serde_json::Value::Null);
    SensorView {
        sensor_id: sensor.id,
        status: sensor.status(now),
        trust_state: sensor.trust(),
        trust_health: validity.map_or(TrustHealth::Degraded, |(from, to)| sensor.trust_health(now, from, to)),
        health_state: sensor.health(now),
        tags: json(&sensor.tags),
        host: json(&sensor.host),
        certificate_not_after: validity.map(|(_, to)| timestamp(to).to_string()),
        enrolled_at: timestamp(sensor.enrolled_at).to_string(),
        last_seen_at: sensor.last_seen_at.map(|at| timestamp(at).to_string()),
        decommissioned: sensor.standing == Standing::Decommissioned,
        node_name: sensor.node_name.to_string(),
        cluster_id: sensor.cluster_id.map(String::from),
        install_id: sensor.install_id.map(String::from),
        role: sensor.role,
        flavor: sensor.flavor,
        sensor_version: sensor.sensor_version,
    }
}
