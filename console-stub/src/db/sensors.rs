//! The fleet, one sensor at a time.

use telovix_contract::SensorId;
use telovix_contract::states::TrustState;

use super::certificates::CertificateRecord;
use super::{DbError, Row, Rows, Tx, Value};
use crate::domain::sensor::{SensorRecord, Standing};

pub(super) const COLUMNS: &str = "id, node_name, cluster_id, install_id, role, flavor, tags, sensor_version, host, trust_state, \
                       certificate_generation, created_at, enrolled_at, last_seen_at, disabled_at, revoked_at, \
                       decommissioned_at, renew_from, renew_until, presence, shared_at";

/// Stores a new sensor, with what lists and counts ask of its certificate, if it has one. `node_key` is set for a cluster's node alone.
pub(crate) fn insert(
    tx: &mut dyn Tx,
    sensor: &SensorRecord,
    node_key: Option<&str>,
    made: Option<&CertificateRecord>,
) -> Result<(), DbError> {
    let sql = "INSERT INTO sensors (id, node_key, node_name, cluster_id, install_id, role, flavor, tags, \
               sensor_version, host, trust_state, certificate_generation, enrolled_at, certificate_issuer, \
               certificate_from, certificate_until, created_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";
    let mut args = facts(sensor, node_key, made).to_vec();
    args.push(sensor.created_at.into());
    tx.later(sql, &args, Rows::One)
}

/// Writes what a host says of itself when it enrolls again, and brings a decommissioned record back.
pub(crate) fn re_enroll(
    tx: &mut dyn Tx,
    sensor: &SensorRecord,
    node_key: Option<&str>,
    made: &CertificateRecord,
) -> Result<(), DbError> {
    let sql = "UPDATE sensors SET node_key = $2, node_name = $3, cluster_id = $4, install_id = $5, role = $6, \
               flavor = $7, tags = $8, sensor_version = $9, host = $10, trust_state = $11, \
               certificate_generation = $12, enrolled_at = $13, certificate_issuer = $14, certificate_from = $15, \
               certificate_until = $16, decommissioned_at = NULL, renew_from = NULL, renew_until = NULL WHERE id = $1";
    tx.later(sql, &facts(sensor, node_key, Some(made)), Rows::One)
}

fn facts(sensor: &SensorRecord, node_key: Option<&str>, made: Option<&CertificateRecord>) -> [Value; 16] {
    [
        sensor.id.to_string().into(),
        node_key.into(),
        sensor.node_name.as_str().into(),
        sensor.cluster_id.clone().map(String::from).into(),
        sensor.install_id.clone().map(String::from).into(),
        sensor.role.as_str().into(),
        sensor.flavor.as_str().into(),
        sensor.tags.as_str().into(),
        sensor.sensor_version.as_str().into(),
        sensor.host.as_str().into(),
        sensor.trust_state.as_str().into(),
        made.map_or(0, |made| made.generation).into(),
        sensor.enrolled_at.into(),
        made.map(|made| made.issuer_id.as_str()).into(),
        made.map(|made| made.not_before).into(),
        made.map(|made| made.not_after).into(),
    ]
}

/// The sensor with this id; it stays as it is until the transaction ends.
pub(crate) fn by_id(tx: &mut dyn Tx, id: SensorId) -> Result<Option<SensorRecord>, DbError> {
    let sql = format!("SELECT {COLUMNS} FROM sensors WHERE id = $1{}", tx.lock_clause());
    tx.first(&sql, &[id.to_string().into()])?.map(|row| record(&row)).transpose()
}

/// Whether a record has this node key.
pub(crate) fn has_node(tx: &mut dyn Tx, node_key: &str) -> Result<bool, DbError> {
    Ok(tx.first("SELECT id FROM sensors WHERE node_key = $1", &[node_key.into()])?.is_some())
}

/// A record with what the rules of enrollment ask besides.
#[derive(Debug, Clone)]
pub(crate) struct Owned {
    pub sensor: SensorRecord,
    /// Set for a cluster's node.
    pub node_key: Option<String>,
    /// When its newest certificate ends, in unix seconds.
    pub certificate_until: i64,
    /// When it last went to its own machine while it was alive, and the time before, in unix seconds.
    pub replaced_at: [Option<i64>; 2],
}

/// The same as [`by_id`], with what the rules of enrollment ask besides.
pub(crate) fn owned(tx: &mut dyn Tx, id: SensorId) -> Result<Option<Owned>, DbError> {
    let sql = format!(
        "SELECT {COLUMNS}, node_key, certificate_until, replaced_at, replaced_before FROM sensors WHERE id = $1{}",
        tx.lock_clause()
    );
    let Some(row) = tx.first(&sql, &[id.to_string().into()])? else { return Ok(None) };
    let next = COLUMNS.split(", ").count();
    Ok(Some(Owned {
        sensor: record(&row)?,
        node_key: row.maybe_text(next)?.map(str::to_owned),
        certificate_until: row.maybe_int(next + 1)?.unwrap_or(i64::MIN),
        replaced_at: [row.maybe_int(next + 2)?, row.maybe_int(next + 3)?],
    }))
}

/// Writes down that a living record went to its own machine.
pub(crate) fn replaced(tx: &mut dyn Tx, id: SensorId, now: i64) -> Result<(), DbError> {
    let sql = "UPDATE sensors SET replaced_before = replaced_at, replaced_at = $2 WHERE id = $1";
    tx.later(sql, &[id.to_string().into(), now.into()], Rows::One)
}

/// Takes a revoked record's names from it, so that another can have them.
pub(crate) fn give_up_names(tx: &mut dyn Tx, id: SensorId) -> Result<(), DbError> {
    let sql = "UPDATE sensors SET node_key = NULL WHERE id = $1";
    tx.later(sql, &[id.to_string().into()], Rows::One)
}

/// Writes down when an operator wants the certificate renewed.
pub(crate) fn ask_renewal(tx: &mut dyn Tx, id: SensorId, from: i64, until: i64) -> Result<(), DbError> {
    let sql = "UPDATE sensors SET renew_from = $2, renew_until = $3 WHERE id = $1";
    tx.execute(sql, &[id.to_string().into(), from.into(), until.into()]).map(|_| ())
}

/// Writes down that every sensor which was not revoked is to renew its certificate in this time. Gives how many.
pub(crate) fn ask_everybody(tx: &mut dyn Tx, from: i64, until: i64) -> Result<u64, DbError> {
    let sql = "UPDATE sensors SET renew_from = $1, renew_until = $2 WHERE revoked_at IS NULL";
    tx.execute(sql, &[from.into(), until.into()])
}

pub(crate) fn count_not_revoked(tx: &mut dyn Tx) -> Result<i64, DbError> {
    let row = tx.first("SELECT COUNT(*) FROM sensors WHERE revoked_at IS NULL", &[])?;
    row.map_or(Ok(0), |row| row.int(0))
}

/// Writes down a heartbeat, and what is remembered of its kind; an empty version leaves the known one.
pub(crate) fn seen(
    tx: &mut dyn Tx,
    id: SensorId,
    now: i64,
    version: &str,
    presence: &str,
) -> Result<(), DbError> {
    let sql = "UPDATE sensors SET last_seen_at = $2, presence = $4, \
               sensor_version = CASE WHEN $3 = '' THEN sensor_version ELSE $3 END WHERE id = $1";
    let args: [Value; 4] = [id.to_string().into(), now.into(), version.into(), presence.into()];
    tx.later(sql, &args, Rows::One)
}

/// Writes down that the identity was seen in two places.
pub(crate) fn shared(tx: &mut dyn Tx, id: SensorId, now: i64) -> Result<(), DbError> {
    let sql = "UPDATE sensors SET shared_at = $2 WHERE id = $1";
    tx.later(sql, &[id.to_string().into(), now.into()], Rows::One)
}

/// Writes down that one more certificate was handed out, and what that makes of the trust.
pub(crate) fn renewed(tx: &mut dyn Tx, made: &CertificateRecord, trust: TrustState) -> Result<(), DbError> {
    let sql = "UPDATE sensors SET certificate_generation = $2, trust_state = $3, certificate_issuer = $4, \
               certificate_from = $5, certificate_until = $6, renew_from = NULL, renew_until = NULL WHERE id = $1";
    let args: [Value; 6] = [
        made.sensor_id.to_string().into(),
        made.generation.into(),
        trust.as_str().into(),
        made.issuer_id.as_str().into(),
        made.not_before.into(),
        made.not_after.into(),
    ];
    tx.later(sql, &args, Rows::One)
}

pub(crate) fn set_standing(
    tx: &mut dyn Tx,
    id: SensorId,
    standing: Standing,
    now: i64,
) -> Result<(), DbError> {
    let sql = match standing {
        Standing::Active => "UPDATE sensors SET disabled_at = NULL, decommissioned_at = NULL WHERE id = $1",
        Standing::Disabled => "UPDATE sensors SET disabled_at = $2, decommissioned_at = NULL WHERE id = $1",
        Standing::Revoked => "UPDATE sensors SET revoked_at = $2 WHERE id = $1",
        Standing::Decommissioned => "UPDATE sensors SET decommissioned_at = $2 WHERE id = $1",
    };
    let with_time = [id.to_string().into(), now.into()];
    let args = if standing == Standing::Active { &with_time[..1] } else { &with_time[..] };
    tx.execute(sql, args).map(|_| ())
}

/// Forgets a sensor with its certificates and enrollments.
pub(crate) fn delete(tx: &mut dyn Tx, id: SensorId) -> Result<(), DbError> {
    tx.execute("DELETE FROM sensors WHERE id = $1", &[id.to_string().into()]).map(|_| ())
}

pub(super) fn record(row: &Row) -> Result<SensorRecord, DbError> {
    let standing = match (row.maybe_int(15)?, row.maybe_int(14)?, row.maybe_int(16)?) {
        (Some(_), _, _) => Standing::Revoked,
        (None, Some(_), _) => Standing::Disabled,
        (None, None, Some(_)) => Standing::Decommissioned,
        (None, None, None) => Standing::Active,
    };
    Ok(SensorRecord {
        id: row.parse(0, "a sensor id")?,
        node_name: row.parse(1, "a node name")?,
        cluster_id: row.maybe_parse(2, "a cluster name")?,
        install_id: row.maybe_parse(3, "an install id")?,
        role: row.text(4)?.to_owned(),
        flavor: row.text(5)?.to_owned(),
        tags: row.text(6)?.to_owned(),
        sensor_version: row.text(7)?.to_owned(),
        host: row.text(8)?.to_owned(),
        trust_state: row.word(9, "a trust state", TrustState::from_word)?,
        generation: row.int(10)?,
        created_at: row.int(11)?,
        enrolled_at: row.int(12)?,
        last_seen_at: row.maybe_int(13)?,
        renew_between: row.maybe_int(17)?.zip(row.maybe_int(18)?),
        presence: row.text(19)?.to_owned(),
        shared_at: row.maybe_int(20)?,
        standing,
    })
}
