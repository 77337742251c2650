//! The fleet, for operators: list, ask to renew, disable, enable, revoke, delete.

use jiff::Timestamp;
use serde::Serialize;
use telovix_contract::facts::HostFacts;
use telovix_contract::session::RenewalWindow;
use telovix_contract::states::{HealthState, SensorStatus, TrustHealth, TrustState};
use telovix_contract::{ErrorCode, SensorId};
use utoipa::ToSchema;

use super::{Console, ServiceError};
use crate::clock::timestamp;
use crate::db::fleet::{self, Listed};
use crate::db::{DbError, Tx, audit, sensors, settings};
use crate::domain::Refusal;
use crate::domain::audit::{Action, AuditEntry, Detail, Origin};
use crate::domain::listing::SensorFilter;
use crate::domain::page::{Cursor, Page, Piece};
use crate::domain::sensor::{Moment, SensorRecord, Standing};
use crate::domain::setting::Setting;

/// A sensor in the fleet list (docs/contract.md section 5).
#[derive(Debug, Clone, Serialize, ToSchema)]
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
    #[schema(value_type = Vec<String>)]
    pub tags: serde_json::Value,
    /// Version of its software.
    pub sensor_version: String,
    /// The host as it described itself.
    #[schema(value_type = HostFacts)]
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
    pub(crate) certificate_not_after: Option<Timestamp>,
    /// RFC 3339.
    pub enrolled_at: Timestamp,
    /// RFC 3339, of its last heartbeat.
    pub last_seen_at: Option<Timestamp>,
    /// RFC 3339, of the last sign within the hour that two hosts use its identity.
    pub identity_shared_at: Option<Timestamp>,
    /// Whether it has retired.
    pub decommissioned: bool,
}

/// What whoever deletes a sensor hears.
pub(crate) const DELETED_MAY_RETURN: &str = "A host that still has a token may come back as a new sensor; to keep it out, revoke the sensor instead of deleting it.";

/// Longest time that a sensor may be given to renew its certificate, in seconds: a week (ours).
const LONGEST_WITHIN: i64 = 7 * 24 * 3600;

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
    pub async fn list_sensors(
        &self,
        filter: SensorFilter,
        piece: Piece,
    ) -> Result<Page<SensorView>, ServiceError> {
        let (now, most) = (self.now(), piece.rows);
        let list = move |tx: &mut dyn Tx| {
            let at = moment(tx, now)?;
            Ok::<_, ServiceError>((matching(tx, &filter, piece.after, most + 1, at)?, at))
        };
        let (rows, at) = self.db().read(list).await?;
        Ok(Page::cut(rows, most, Listed::cursor).map(|row| view(row, at)))
    }

    /// Asks a sensor to renew its certificate from now on and within so many seconds; it hears of it with its next
    /// heartbeat. Gives the window.
    /// Errors: `not_found`; `conflict` when it is not at work; `invalid_request` for a time that is too short or too long.
    pub async fn ask_renewal(
        &self,
        id: SensorId,
        within: i64,
        origin: Origin,
    ) -> Result<RenewalWindow, ServiceError> {
        if !(1..=LONGEST_WITHIN).contains(&within) {
            return Err(Refusal::field("within_seconds", format!("it can be 1 to {LONGEST_WITHIN}")).into());
        }
        let (from, until) = (self.now(), self.now() + within);
        let ask = move |tx: &mut dyn Tx| {
            let sensor = sensors::by_id(tx, id)?.ok_or_else(no_such_sensor)?;
            require(&sensor, Standing::Active)?;
            sensors::ask_renewal(tx, id, from, until)?;
            let detail = Detail::new().with("node_name", &sensor.node_name).with("within_seconds", within);
            let entry = AuditEntry::success(Action::RenewalRequested, Some(id), detail);
            Ok::<_, ServiceError>(audit::append(tx, &entry, &origin, from)?)
        };
        self.db().write(ask).await?;
        Ok(RenewalWindow { start: timestamp(from), end: timestamp(until) })
    }

    /// Does to a sensor what an operator asks.
    /// Errors: `not_found`; `conflict` when it does not stand so that this can be done.
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

/// This moment, with the threshold that an administrator set.
pub(super) fn moment(tx: &mut dyn Tx, now: i64) -> Result<Moment, DbError> {
    Ok(Moment { now, stale_after: settings::number(tx, Setting::StaleSeconds)? })
}

/// Reads on until enough rows pass the filter, nearly always once.
fn matching(
    tx: &mut dyn Tx,
    filter: &SensorFilter,
    mut after: Option<Cursor>,
    most: i64,
    at: Moment,
) -> Result<Vec<Listed>, ServiceError> {
    let enough = usize::try_from(most).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    loop {
        let batch = fleet::list(tx, filter, after.as_ref(), most, at)?;
        let last = batch.len() < enough;
        after = batch.last().map(Listed::cursor);
        found.extend(batch.into_iter().filter(|row| filter.shows(&row.sensor, row.validity, at)));
        if last || found.len() >= enough {
            found.truncate(enough);
            return Ok(found);
        }
    }
}

fn no_such_sensor() -> Refusal {
    Refusal::new(ErrorCode::NotFound, "There is no such sensor.")
}

fn judge(
    tx: &mut dyn Tx,
    id: SensorId,
    verdict: Verdict,
    origin: &Origin,
    now: i64,
) -> Result<(), ServiceError> {
    let sensor = sensors::by_id(tx, id)?.ok_or_else(no_such_sensor)?;
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

pub(super) fn view(row: Listed, at: Moment) -> SensorView {
    let Listed { sensor, validity } = row;
    let json = |text: &str| serde_json::from_str(text).unwrap_or(serde_json::Value::Null);
    SensorView {
        sensor_id: sensor.id,
        status: sensor.status(at),
        trust_state: sensor.trust(),
        trust_health: sensor.certificate_health(at.now, validity),
        health_state: sensor.health(at.now),
        tags: json(&sensor.tags),
        host: json(&sensor.host),
        certificate_not_after: validity.map(|(_, to)| timestamp(to)),
        enrolled_at: timestamp(sensor.enrolled_at),
        last_seen_at: sensor.last_seen_at.map(timestamp),
        identity_shared_at: sensor.shared(at.now).map(timestamp),
        decommissioned: sensor.standing == Standing::Decommissioned,
        node_name: sensor.node_name.to_string(),
        cluster_id: sensor.cluster_id.map(String::from),
        install_id: sensor.install_id.map(String::from),
        role: sensor.role,
        flavor: sensor.flavor,
        sensor_version: sensor.sensor_version,
    }
}
