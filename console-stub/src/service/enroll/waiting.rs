//! Enrollments that an operator has to look at: put on the list, once for each token and key.

use telovix_contract::enroll::EnrollmentWaiting;
use telovix_contract::states::TrustState;

use super::{Application, EnrollAnswer};
use crate::db::approvals::{self, ApprovalRecord};
use crate::db::{DbError, Tx, audit, tokens};
use crate::domain::Refusal;
use crate::domain::approval::{
    ApprovalId, LONGEST_ROW, MOST_CONFLICTS, MOST_WAITING, Reason, Reservation, Ruling,
};
use crate::domain::audit::{Action, AuditEntry, Detail};
use crate::domain::enroll::{Ask, Known, alive_elsewhere, list_full};
use crate::domain::token::TokenRecord;

/// Seconds until a waiting host asks again.
const RETRY_AFTER: u32 = 30;

impl Application {
    /// Puts the host on the list, and keeps its token for its key. A full list is a refusal.
    pub(super) fn wait(
        &self,
        tx: &mut dyn Tx,
        known: &Known,
        ask: &Ask,
    ) -> Result<Result<EnrollAnswer, Refusal>, DbError> {
        let put = self.put_on_list(tx, known, ask)?;
        Ok(put.map(|()| {
            EnrollAnswer::Waiting(EnrollmentWaiting {
                trust_state: TrustState::BootstrapPending,
                retry_after_seconds: RETRY_AFTER,
            })
        }))
    }

    /// Puts a host on the list that asks for the record of a living sensor, as far as there is room, and refuses it.
    pub(super) fn conflict(&self, tx: &mut dyn Tx, known: &Known, ask: &Ask) -> Result<Refusal, DbError> {
        let told = self.put_on_list(tx, known, ask)?;
        tracing::warn!(
            node_name = %self.request.node_name,
            sensor_id = ask.record.map(tracing::field::display),
            on_list = told.is_ok(),
            "a host asks for the record of a living sensor"
        );
        Ok(alive_elsewhere())
    }

    fn put_on_list(&self, tx: &mut dyn Tx, known: &Known, ask: &Ask) -> Result<Result<(), Refusal>, DbError> {
        let token = known.token.as_ref().ok_or(DbError::Missing("token of this host"))?;
        match known.reservation {
            Reservation::Mine(row) if row.facts == ask.facts && row.reason == ask.reason => {
                approvals::asked_again(tx, token.id, &self.csr.spki_sha256, self.now)?;
                return Ok(Ok(()));
            }
            Reservation::Mine(_) => {}
            Reservation::Free | Reservation::Taken => {
                let (all, conflicts) = approvals::count_of(tx, Some(token.id))?;
                if all >= MOST_WAITING || (ask.reason == Reason::Conflict && conflicts >= MOST_CONFLICTS) {
                    return Ok(Err(list_full()));
                }
            }
        }
        let row = self.row(token, ask);
        if row.facts.len() + row.host.len() > LONGEST_ROW {
            let problem = "tags, names and host facts are too long for the list of waiting hosts";
            return Ok(Err(Refusal::field("tags", problem)));
        }
        approvals::put(tx, &row)?;
        tokens::reserve(tx, token.id, ask.reason.reserves().then_some(self.now))?;
        let detail = Detail::new()
            .with("approval_id", row.id)
            .with("token_id", token.id)
            .with("node_name", &row.node_name)
            .with("role", &row.role)
            .maybe("cluster_name", row.cluster_id.as_ref())
            .with("reason", ask.reason.as_str())
            .maybe("record", ask.record)
            .with("facts_sha256", ask.facts);
        let entry = AuditEntry::success(Action::EnrollmentPending, self.request.sensor_id, detail);
        audit::append(tx, &entry, &self.origin, self.now)?;
        Ok(Ok(()))
    }

    fn row(&self, token: &TokenRecord, ask: &Ask) -> ApprovalRecord {
        let request = &self.request;
        ApprovalRecord {
            id: ApprovalId::random(),
            token_id: Some(token.id),
            spki: self.csr.spki_sha256,
            ruling: Ruling::Waiting,
            reason: ask.reason,
            record_id: ask.record,
            node_name: request.node_name.to_string(),
            cluster_id: request.cluster_name.as_ref().map(ToString::to_string),
            install_id: request.install_id.as_ref().map(ToString::to_string),
            role: request.declared_role.to_string(),
            facts: serde_json::to_string(&self.facts()).expect("facts are texts"),
            facts_hash: ask.facts,
            host: serde_json::to_string(&request.host).expect("host facts are texts and numbers"),
            client_ip: self.origin.client_ip.clone(),
            certificate: None,
            asked_at: self.now,
            last_asked_at: self.now,
            decided_at: None,
            decided_by: None,
        }
    }
}
