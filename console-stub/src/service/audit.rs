//! The audit trail, for operators: listed, followed link by link, taken out whole.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use telovix_contract::token::{hex, unhex};
use utoipa::ToSchema;

use super::{Console, ServiceError};
use crate::clock::timestamp;
use crate::db::audit::{self, AuditFilter};
use crate::db::{DbError, Tx};
use crate::domain::chain::{Flaw, Linked, Record, Verifier};
use crate::domain::page::{Cursor, Page, Piece};

const AT_ONCE: i64 = 1000;

/// A record of the audit trail (docs/contract.md section 5).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuditView {
    /// RFC 3339.
    pub created_at: Timestamp,
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

/// A record as it is taken out: with its place and its hashes.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ExportedRecord {
    /// Position in the trail, counted from one.
    pub seq: i64,
    /// What it says.
    #[serde(flatten)]
    pub record: AuditView,
    /// Hex of the hash of the record before it.
    pub prev_hash: String,
    /// Hex of its own hash.
    pub hash: String,
}

/// What following the trail found.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AuditReport {
    /// Whether the trail is as it was written.
    pub intact: bool,
    /// Records looked at.
    pub records: i64,
    /// Hex of the last hash: whoever keeps it elsewhere can show a later forgery of the whole trail.
    pub head: String,
    /// What was changed, removed, reordered or added, each with its place.
    pub problems: Vec<String>,
}

impl Console {
    /// Records, newest first.
    pub async fn list_audit(
        &self,
        filter: AuditFilter,
        piece: Piece,
    ) -> Result<Page<AuditView>, ServiceError> {
        let before = piece.after.map_or(i64::MAX, |cursor| cursor.at);
        let rows = self.db().read(move |tx| audit::list(tx, &filter, before, piece.rows + 1)).await?;
        let cursor = |row: &Record| Cursor { at: row.seq, id: String::new() };
        Ok(Page::cut(rows, piece.rows, cursor).map(view))
    }

    /// Follows the trail from its first record to its head.
    pub async fn verify_audit(&self) -> Result<AuditReport, ServiceError> {
        self.db().read(|tx| Ok(verify(tx, None)?)).await
    }

    /// The same, and looks for a head that an earlier look gave and somebody noted elsewhere: whoever owns the database can
    /// cut the trail off or write it anew, head and all, and nothing else shows that.
    pub async fn verify_audit_since(&self, noted: [u8; 32]) -> Result<AuditReport, ServiceError> {
        self.db().read(move |tx| Ok(verify(tx, Some(noted))?)).await
    }

    /// The next records behind this place, oldest first, as they are taken out.
    pub async fn export_audit(&self, after: i64) -> Result<Vec<ExportedRecord>, ServiceError> {
        let rows = self.db().read(move |tx| audit::after(tx, after, AT_ONCE)).await?;
        Ok(rows.into_iter().map(exported).collect())
    }
}

/// The places are looked at before the head: what is appended in between lies below it, and is read with the rest.
fn verify(tx: &mut dyn Tx, noted: Option<[u8; 32]>) -> Result<AuditReport, DbError> {
    let mut verifier = Verifier::new(noted);
    let (_, furthest) = audit::ends(tx, 1, i64::MAX)?.unwrap_or((1, 0));
    let kept = match audit::head(tx) {
        Ok(head) => Some(head),
        Err(DbError::Corrupt { .. }) => None,
        Err(error) => return Err(error),
    };
    let end = kept.map_or(furthest, |head| head.seq);
    let (mut last, mut records) = (0, 0);
    while last < end {
        let batch = audit::found_after(tx, last, AT_ONCE)?;
        let place = |found: &Result<Linked, i64>| found.as_ref().map_or_else(|seq| *seq, |it| it.record.seq);
        let Some(seq) = batch.last().map(place) else { break };
        last = seq;
        for found in batch.into_iter().filter(|found| place(found) <= end) {
            records += 1;
            match found {
                Ok(linked) => verifier.push(linked),
                Err(seq) => verifier.push_unreadable(seq),
            }
        }
    }
    for (from, to) in [(i64::MIN, 0), (end.saturating_add(1), furthest)] {
        if let Some((from, to)) = audit::ends(tx, from, to)? {
            verifier.note(Flaw::Added { from, to });
        }
    }
    if kept.is_none() {
        verifier.note(Flaw::Headless);
    }
    let head = kept.unwrap_or_else(|| verifier.last());
    let problems: Vec<String> = verifier.finish(head).iter().map(ToString::to_string).collect();
    Ok(AuditReport { intact: problems.is_empty(), records, head: hex(&head.hash), problems })
}

fn view(row: Record) -> AuditView {
    AuditView {
        created_at: timestamp(row.created_at),
        action_type: row.action_type,
        outcome: row.outcome,
        actor_email: row.actor_email,
        sensor_id: row.sensor_id,
        detail: row.detail,
        client_ip: row.client_ip,
        user_agent: row.user_agent,
    }
}

/// What was taken out, as it stood in the trail; `None` where its hashes are none.
pub(super) fn taken_out(exported: ExportedRecord) -> Option<Linked> {
    let AuditView { created_at, action_type, outcome, actor_email, sensor_id, detail, client_ip, user_agent } =
        exported.record;
    let (seq, created_at) = (exported.seq, created_at.as_second());
    let record = Record {
        seq,
        created_at,
        action_type,
        outcome,
        actor_email,
        sensor_id,
        detail,
        client_ip,
        user_agent,
    };
    Some(Linked { record, prev_hash: unhex(&exported.prev_hash).ok()?, hash: unhex(&exported.hash).ok()? })
}

fn exported(linked: Linked) -> ExportedRecord {
    ExportedRecord {
        seq: linked.record.seq,
        prev_hash: hex(&linked.prev_hash),
        hash: hex(&linked.hash),
        record: view(linked.record),
    }
}
