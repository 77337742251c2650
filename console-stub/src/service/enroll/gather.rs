//! What the database knows about an enrollment, read in the transaction that carries the decision out.

use telovix_contract::SensorId;
use telovix_contract::states::TokenType;

use super::{Application, heartbeat_seconds};
use crate::db::sensors::{self, Owned};
use crate::db::tokens::{self, NodeKeys};
use crate::db::{DbError, Tx, certificates, rules, settings};
use crate::domain::approval::{Facts, Reservation};
use crate::domain::enroll::{Earlier, Known, NodeCount, Own, node_key};
use crate::domain::sensor::MachineId;
use crate::domain::token::TokenRecord;
use crate::service::{ServiceError, licence, trust};

/// The facts, and what carrying out asks of them besides.
pub(super) struct Gathered {
    pub known: Known,
    /// The record that the enrollment may lead to, as it is stored.
    pub records: Vec<Owned>,
}

impl Gathered {
    pub(super) fn record(&self, id: SensorId) -> Result<&Owned, DbError> {
        let found = self.records.iter().find(|owned| owned.sensor.id == id);
        found.ok_or(DbError::Missing("sensor of this id"))
    }
}

impl Application {
    /// What the host says of itself, as far as an approval holds for it.
    pub(super) fn facts(&self) -> Facts {
        let request = &self.request;
        Facts {
            node_name: request.node_name.clone(),
            cluster_name: request.cluster_name.clone(),
            install_id: request.install_id.clone(),
            role: request.declared_role.clone(),
            sensor_id: request.sensor_id,
            machine_id: MachineId::of(&request.host),
            tags: request.tags.clone(),
            flavor: request.flavor,
        }
    }

    pub(super) fn gather(&self, tx: &mut dyn Tx) -> Result<Gathered, ServiceError> {
        let mut records = Vec::new();
        let proved = self.proved(tx)?;
        let keys = self.node_keys(proved.as_ref());
        let presented = tokens::presented(tx, &self.token_hash, &self.csr.spki_sha256, &keys)?;
        let mut known = Known {
            token: None,
            earlier: None,
            own: None,
            proved: proved.as_ref().map(|proved| own(tx, proved)).transpose()?,
            held: None,
            node: NodeCount::New,
            slots: licence::slots(tx, self.now)?,
            mode: settings::approval_mode(tx)?,
            rules: Vec::new(),
            reservation: Reservation::Free,
        };
        records.extend(proved);
        let Some(tokens::Presented { token, earlier, reservation, counted, has_rules, node }) = presented
        else {
            return Ok(Gathered { known, records });
        };
        known.reservation = reservation;
        if let Some(enrollment) = earlier {
            let sensor = sensors::by_id(tx, enrollment.sensor_id)?;
            known.earlier = sensor.map(|sensor| Earlier {
                sensor: sensor.id,
                standing: sensor.standing,
                used_at: enrollment.used_at,
            });
        }
        if token.kind == TokenType::Cluster && counted {
            known.node = NodeCount::Counted;
        }
        let mut look = |tx: &mut dyn Tx, id: Option<SensorId>| {
            let Some(owned) = id.map(|id| sensors::owned(tx, id)).transpose()?.flatten() else {
                return Ok::<_, DbError>(None);
            };
            let found = own(tx, &owned)?;
            records.push(owned);
            Ok(Some(found))
        };
        let node = node.filter(|_| token.kind == TokenType::Cluster);
        known.own = look(tx, token.sensor_id.or(node))?;
        let held = self.held(tx)?;
        known.held = look(tx, held)?;
        // Only the cluster that the *token* is bound to leads to rules.
        if let (Some(cluster), true) = (&token.cluster_id, has_rules && keys.named.is_some()) {
            known.rules = rules::of_cluster(tx, cluster, &keys)?;
        }
        known.token = Some(token);
        Ok(Gathered { known, records })
    }

    /// The record whose key the call proves. A certificate that proves none is written down.
    fn proved(&self, tx: &mut dyn Tx) -> Result<Option<Owned>, ServiceError> {
        let Some(shown) = &self.shown else { return Ok(None) };
        let proved = trust::proved(tx, shown, &self.noted, self.now)?;
        Ok(proved.map(|id| sensors::owned(tx, id)).transpose()?.flatten())
    }

    /// The identity that the host says it holds, or shows a certificate of, whether or not that proves anything.
    fn held(&self, tx: &mut dyn Tx) -> Result<Option<SensorId>, DbError> {
        let (None, Some(shown)) = (self.request.sensor_id, &self.shown) else {
            return Ok(self.request.sensor_id);
        };
        Ok(certificates::by_fingerprint(tx, &shown.fingerprint)?.map(|certificate| certificate.sensor_id))
    }

    fn node_keys(&self, proved: Option<&Owned>) -> NodeKeys {
        let request = &self.request;
        let Some(cluster) = &request.cluster_name else { return NodeKeys::default() };
        let key = |install| node_key(cluster, install, &request.node_name);
        NodeKeys {
            named: Some(key(request.install_id.as_ref())),
            // A record without an install id is that of whoever brings one.
            without_install: request.install_id.is_some().then(|| key(None)),
            proved: proved.and_then(|owned| owned.node_key.clone()),
        }
    }

    /// The node as rules count it: by the three names of docs/contract.md section 4, whatever kind of token.
    pub(super) fn rule_node(&self) -> Option<String> {
        self.node_keys(None).named
    }

    /// The node key, where the token makes cluster nodes and the host names a cluster.
    pub(super) fn cluster_node(&self, token: &TokenRecord) -> Option<String> {
        (token.kind == TokenType::Cluster).then(|| self.rule_node()).flatten()
    }
}

fn own(tx: &mut dyn Tx, owned: &Owned) -> Result<Own, DbError> {
    let sensor = &owned.sensor;
    Ok(Own {
        id: sensor.id,
        standing: sensor.standing,
        node_name: sensor.node_name.clone(),
        cluster: sensor.cluster_id.clone(),
        role: sensor.role.clone(),
        machine: sensor.machine_id(),
        heard_at: sensor.heard_at(),
        heartbeat: heartbeat_seconds(tx)?.into(),
        certificate_until: owned.certificate_until,
        replaced_at: owned.replaced_at,
    })
}
