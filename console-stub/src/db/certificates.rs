//! Every client certificate ever handed out (docs/contract.md section 3: the Console knows its certificates).

use telovix_contract::SensorId;

use super::{DbError, Row, Rows, Tx, Value};
use crate::domain::credential::Credential;

#[derive(Debug, Clone)]
pub(crate) struct CertificateRecord {
    /// SHA-256 of the DER.
    pub fingerprint: [u8; 32],
    pub sensor_id: SensorId,
    /// Position among the sensor's certificates, counted from one.
    pub generation: i64,
    pub issuer_id: String,
    /// Serial number in hex.
    pub serial: String,
    /// SHA-256 of the public key (SubjectPublicKeyInfo).
    pub spki: [u8; 32],
    pub der: Vec<u8>,
    /// Unix seconds.
    pub not_before: i64,
    /// Unix seconds.
    pub not_after: i64,
    /// Unix seconds.
    pub issued_at: i64,
    /// Unix seconds of its first heartbeat.
    pub first_seen_at: Option<i64>,
    /// Unix seconds at which a newer one took its place for good.
    pub ended_at: Option<i64>,
}

impl CertificateRecord {
    /// It, as far as rules hang on it.
    pub(crate) fn credential(&self) -> Credential {
        Credential {
            spki: self.spki,
            not_after: self.not_after,
            first_seen_at: self.first_seen_at,
            ended_at: self.ended_at,
        }
    }
}

const COLUMNS: &str = "fingerprint, sensor_id, generation, issuer_id, serial, spki_sha256, certificate, not_before, \
                       not_after, issued_at, first_seen_at, ended_at";

/// Stores a new certificate; what lists and counts ask of the newest stands with its sensor.
pub(crate) fn insert(tx: &mut dyn Tx, made: &CertificateRecord) -> Result<(), DbError> {
    let sql = format!(
        "INSERT INTO certificates ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
    );
    let args: [Value; 12] = [
        (&made.fingerprint).into(),
        made.sensor_id.to_string().into(),
        made.generation.into(),
        made.issuer_id.as_str().into(),
        made.serial.as_str().into(),
        (&made.spki).into(),
        made.der.as_slice().into(),
        made.not_before.into(),
        made.not_after.into(),
        made.issued_at.into(),
        made.first_seen_at.into(),
        made.ended_at.into(),
    ];
    tx.later(&sql, &args, Rows::One)
}

pub(crate) fn by_fingerprint(
    tx: &mut dyn Tx,
    fingerprint: &[u8; 32],
) -> Result<Option<CertificateRecord>, DbError> {
    let sql = format!("SELECT {COLUMNS} FROM certificates WHERE fingerprint = $1");
    tx.first(&sql, &[fingerprint.into()])?.map(|row| record(&row)).transpose()
}

pub(crate) fn newest(tx: &mut dyn Tx, sensor_id: SensorId) -> Result<Option<CertificateRecord>, DbError> {
    let sql =
        format!("SELECT {COLUMNS} FROM certificates WHERE sensor_id = $1 ORDER BY generation DESC LIMIT 1");
    tx.first(&sql, &[sensor_id.to_string().into()])?.map(|row| record(&row)).transpose()
}

/// The serial number of a sensor's certificate of this generation.
pub(crate) fn serial(
    tx: &mut dyn Tx,
    sensor_id: SensorId,
    generation: i64,
) -> Result<Option<String>, DbError> {
    let sql = "SELECT serial FROM certificates WHERE sensor_id = $1 AND generation = $2";
    let row = tx.first(sql, &[sensor_id.to_string().into(), generation.into()])?;
    row.map(|row| row.text(0).map(str::to_owned)).transpose()
}

/// Ends the successor that nobody has seen, because another one follows; the certificate before it goes on.
pub(crate) fn supersede(tx: &mut dyn Tx, sensor_id: SensorId, now: i64) -> Result<(), DbError> {
    let sql = "UPDATE certificates SET ended_at = $2 \
               WHERE sensor_id = $1 AND first_seen_at IS NULL AND ended_at IS NULL AND generation > \
               (SELECT MIN(c.generation) FROM certificates c WHERE c.sensor_id = $1 AND c.ended_at IS NULL)";
    tx.later(sql, &[sensor_id.to_string().into(), now.into()], Rows::Any)
}

/// Writes down the first sight of a certificate, and ends those before it.
pub(crate) fn first_seen(tx: &mut dyn Tx, seen: &CertificateRecord, now: i64) -> Result<(), DbError> {
    let sql = "UPDATE certificates SET first_seen_at = $2 WHERE fingerprint = $1";
    tx.later(sql, &[(&seen.fingerprint).into(), now.into()], Rows::One)?;
    let sql = "UPDATE certificates SET ended_at = $3 \
               WHERE sensor_id = $1 AND generation < $2 AND ended_at IS NULL";
    let args = [seen.sensor_id.to_string().into(), seen.generation.into(), now.into()];
    tx.later(sql, &args, Rows::Any)
}

fn record(row: &Row) -> Result<CertificateRecord, DbError> {
    Ok(CertificateRecord {
        fingerprint: row.hash(0)?,
        sensor_id: row.parse(1, "a sensor id")?,
        generation: row.int(2)?,
        issuer_id: row.text(3)?.to_owned(),
        serial: row.text(4)?.to_owned(),
        spki: row.hash(5)?,
        der: row.blob(6)?.to_vec(),
        not_before: row.int(7)?,
        not_after: row.int(8)?,
        issued_at: row.int(9)?,
        first_seen_at: row.maybe_int(10)?,
        ended_at: row.maybe_int(11)?,
    })
}
