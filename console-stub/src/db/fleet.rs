//! The fleet as operators look at it: found by filter, counted by standing.
//!
//! What a filter asks of columns that change seldom is answered by walking one index, `sensors_by_age`, which has them all.
//! The last heartbeat is in no index, because it is written every few seconds for every sensor; the labels are in none,
//! because they are long. A filter that needs those reads the rows.

use telovix_contract::SensorId;
use telovix_contract::states::{HealthState, SensorStatus, TrustHealth, TrustState};

use super::query::{Conditions, rows_of};
use super::sensors::{COLUMNS, record};
use super::{DbError, Row, Tx};
use crate::domain::listing::SensorFilter;
use crate::domain::page::Cursor;
use crate::domain::presence::SHARED_FOR;
use crate::domain::sensor::{Moment, SensorRecord, silence_of};

/// A sensor as the fleet list shows it.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub sensor: SensorRecord,
    /// Validity of its newest certificate, in unix seconds.
    pub validity: Option<(i64, i64)>,
}

impl Listed {
    /// Its place in the list.
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor { at: self.sensor.created_at, id: self.sensor.id.to_string() }
    }
}

/// When a sensor was last heard of; enrolling counts.
const HEARD: &str = "CASE WHEN last_seen_at > enrolled_at THEN last_seen_at ELSE enrolled_at END";
/// So few rows that pass are sorted; where more do, the index leads to a page of them soon.
const FEW: i64 = 2000;

/// At most so many sensors behind this one that may pass the filter at this moment, oldest first; fewer only where there
/// are no more. [`SensorFilter::shows`] has the last word: a label is only looked for in the text of the labels.
pub(crate) fn list(
    tx: &mut dyn Tx,
    filter: &SensorFilter,
    after: Option<&Cursor>,
    most: i64,
    at: Moment,
) -> Result<Vec<Listed>, DbError> {
    let after = after.map_or((i64::MIN, ""), |cursor| (cursor.at, cursor.id.as_str()));
    let (conditions, in_row) = conditions(filter, at);
    let few = if in_row { all_if_few(tx, conditions.clone(), after)? } else { None };
    let mut ids = match few {
        Some(ids) => ids,
        None => walk(tx, conditions, after, most)?,
    };
    ids.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    rows_of(tx, &format!("SELECT {COLUMNS}, certificate_from, certificate_until FROM sensors"), "id", &ids)?
        .iter()
        .map(listed)
        .collect()
}

/// The ids of all that pass, in order, if they are few: by one look at each row.
fn all_if_few(
    tx: &mut dyn Tx,
    mut conditions: Conditions,
    after: (i64, &str),
) -> Result<Option<Vec<String>>, DbError> {
    // The sign keeps the engine from going to each row through the index.
    conditions.add("(+created_at, id) > (?, ?)", [after.0.into(), after.1.into()]);
    let limit = conditions.place((FEW + 1).into());
    let sql = format!("SELECT created_at, id FROM sensors WHERE {} LIMIT {limit}", conditions.sql());
    let rows = tx.query(&sql, conditions.args())?;
    if rows.len() > usize::try_from(FEW).unwrap_or(usize::MAX) {
        return Ok(None);
    }
    let found: Result<Vec<(i64, String)>, DbError> =
        rows.iter().map(|row| Ok((row.int(0)?, row.text(1)?.to_owned()))).collect();
    let mut found = found?;
    found.sort_unstable();
    Ok(Some(found.into_iter().map(|(_, id)| id).collect()))
}

/// The ids of the next that pass, along the index.
fn walk(
    tx: &mut dyn Tx,
    mut conditions: Conditions,
    after: (i64, &str),
    most: i64,
) -> Result<Vec<String>, DbError> {
    conditions.add("(created_at, id) > (?, ?)", [after.0.into(), after.1.into()]);
    let limit = conditions.place(most.into());
    let sql =
        format!("SELECT id FROM sensors WHERE {} ORDER BY created_at, id LIMIT {limit}", conditions.sql());
    tx.query(&sql, conditions.args())?.iter().map(|row| row.text(0).map(str::to_owned)).collect()
}

pub(crate) fn one(tx: &mut dyn Tx, id: SensorId) -> Result<Option<Listed>, DbError> {
    let sql = format!("SELECT {COLUMNS}, certificate_from, certificate_until FROM sensors WHERE id = $1");
    tx.first(&sql, &[id.to_string().into()])?.map(|row| listed(&row)).transpose()
}

fn listed(row: &Row) -> Result<Listed, DbError> {
    let validity = row.maybe_int(21)?.zip(row.maybe_int(22)?);
    Ok(Listed { sensor: record(row)?, validity })
}

/// The filter in SQL, and whether it needs what only the rows have.
fn conditions(filter: &SensorFilter, at: Moment) -> (Conditions, bool) {
    let mut all = Conditions::default();
    let mut in_row = false;
    if !filter.decommissioned {
        all.add("(decommissioned_at IS NULL OR disabled_at IS NOT NULL OR revoked_at IS NOT NULL)", []);
    }
    let active = "revoked_at IS NULL AND disabled_at IS NULL AND";
    match filter.status {
        None => {}
        Some(SensorStatus::Revoked) => all.add("revoked_at IS NOT NULL", []),
        Some(SensorStatus::Disabled) => all.add("revoked_at IS NULL AND disabled_at IS NOT NULL", []),
        Some(SensorStatus::Stale) => {
            in_row = true;
            let silent = format!("{active} (decommissioned_at IS NOT NULL OR {HEARD} <= ? OR {HEARD} > ?)");
            all.add(&silent, [at.stale_since().into(), at.latest().into()]);
        }
        Some(SensorStatus::Healthy) => {
            in_row = true;
            all.add(
                &format!("{active} decommissioned_at IS NULL AND {HEARD} > ? AND {HEARD} <= ?"),
                [at.stale_since().into(), at.latest().into()],
            );
        }
    }
    if let Some(health) = filter.health_state {
        in_row = true;
        by_health(&mut all, health, at);
    }
    match filter.trust_state {
        None => {}
        Some(TrustState::TrustRevoked) => {
            all.add(
                "(revoked_at IS NOT NULL OR trust_state = ?)",
                [TrustState::TrustRevoked.as_str().into()],
            );
        }
        Some(trust @ (TrustState::BootstrapPending | TrustState::Trusted | TrustState::Rotated)) => {
            all.add("revoked_at IS NULL AND trust_state = ?", [trust.as_str().into()]);
        }
    }
    if let Some(health) = filter.trust_health {
        by_certificate(&mut all, health, at.now);
    }
    for (column, wanted) in
        [("cluster_id", &filter.cluster_id), ("role", &filter.role), ("flavor", &filter.flavor)]
    {
        if let Some(wanted) = wanted {
            all.add(&format!("{column} = ?"), [wanted.as_str().into()]);
        }
    }
    if let Some(prefix) = &filter.node_name {
        let begins = "SUBSTR(node_name, 1, LENGTH(CAST(? AS TEXT))) = ?";
        all.add(begins, [prefix.as_str().into(), prefix.as_str().into()]);
    }
    if let Some(tag) = &filter.tag {
        in_row = true;
        // As it stands in the JSON of the labels, its quotes included.
        let written = serde_json::to_string(tag).unwrap_or_default();
        all.add("REPLACE(tags, ?, '') <> tags", [written.into()]);
    }
    (all, in_row)
}

fn by_health(all: &mut Conditions, health: HealthState, at: Moment) {
    let (from, below) = silence_of(health);
    if let Some(from) = from {
        all.add(&format!("({HEARD} <= ? OR {HEARD} > ?)"), [(at.now - from).into(), at.latest().into()]);
    }
    if let Some(below) = below {
        all.add(&format!("{HEARD} > ? AND {HEARD} <= ?"), [(at.now - below).into(), at.latest().into()]);
    }
}

/// As `SensorRecord::certificate_health` has it.
fn by_certificate(all: &mut Conditions, health: TrustHealth, now: i64) {
    let due = "certificate_until - (certificate_until - certificate_from) / 10";
    let recommended = "certificate_from + (certificate_until - certificate_from) * 2 / 3";
    let single = "(shared_at IS NULL OR shared_at <= ? OR shared_at >= ?)";
    let standing = &format!("revoked_at IS NULL AND {single} AND certificate_until > ?");
    let (from, to) = (now - SHARED_FOR, now + SHARED_FOR);
    let now = || now.into();
    match health {
        TrustHealth::Revoked => all.add("revoked_at IS NOT NULL AND certificate_until IS NOT NULL", []),
        TrustHealth::Degraded => {
            let over = format!(
                "(certificate_until IS NULL OR (revoked_at IS NULL AND (NOT {single} OR certificate_until <= ?)))"
            );
            all.add(&over, [from.into(), to.into(), now()]);
        }
        TrustHealth::RenewalDue => {
            all.add(&format!("{standing} AND {due} <= ?"), [from.into(), to.into(), now(), now()]);
        }
        TrustHealth::RenewalRecommended => {
            let args = [from.into(), to.into(), now(), now(), now()];
            all.add(&format!("{standing} AND {due} > ? AND {recommended} <= ?"), args);
        }
        TrustHealth::Healthy => {
            all.add(&format!("{standing} AND {recommended} > ?"), [from.into(), to.into(), now(), now()]);
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FleetCounts {
    /// At work and heard of since the moment asked about.
    pub healthy: i64,
    /// At work and not heard of since.
    pub stale: i64,
    /// Switched off for a time.
    pub disabled: i64,
    /// Switched off for good.
    pub revoked: i64,
    /// Retired by themselves.
    pub decommissioned: i64,
}

impl FleetCounts {
    pub(crate) fn all(&self) -> i64 {
        self.healthy + self.stale + self.disabled + self.revoked + self.decommissioned
    }
}

/// Counts the fleet as it stands at this moment.
pub(crate) fn count_by_standing(tx: &mut dyn Tx, at: Moment) -> Result<FleetCounts, DbError> {
    let sql = format!(
        "SELECT COUNT(CASE WHEN revoked_at IS NULL AND disabled_at IS NULL AND decommissioned_at IS NULL \
                                  AND {HEARD} > $1 AND {HEARD} <= $2 THEN 1 END), \
                      COUNT(CASE WHEN revoked_at IS NULL AND disabled_at IS NULL AND decommissioned_at IS NULL THEN 1 END), \
                      COUNT(CASE WHEN revoked_at IS NULL AND disabled_at IS NOT NULL THEN 1 END), \
                      COUNT(revoked_at), \
                      COUNT(CASE WHEN revoked_at IS NULL AND disabled_at IS NULL AND decommissioned_at IS NOT NULL THEN 1 END) \
               FROM sensors"
    );
    let args = [at.stale_since().into(), at.latest().into()];
    let row = tx.first(&sql, &args)?.ok_or(DbError::Missing("sensor count"))?;
    let (healthy, active) = (row.int(0)?, row.int(1)?);
    Ok(FleetCounts {
        healthy,
        stale: active - healthy,
        disabled: row.int(2)?,
        revoked: row.int(3)?,
        decommissioned: row.int(4)?,
    })
}
