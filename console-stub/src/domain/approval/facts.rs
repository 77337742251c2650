//! What an approval holds for (docs/contract.md section 4).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use telovix_contract::token::{hex, unhex};
use telovix_contract::{ClusterName, Flavor, InstallId, NodeName, NodeRole, SensorId, Tags};
use utoipa::ToSchema;

use crate::domain::sensor::MachineId;

/// What a host says of itself, as far as an operator approves it. Kernel, version and sizes are not among it: they may
/// change between two attempts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// Its name.
    pub node_name: NodeName,
    /// The cluster that it says it belongs to.
    pub cluster_name: Option<ClusterName>,
    /// Its installation within the cluster.
    pub install_id: Option<InstallId>,
    /// What it is for.
    pub role: NodeRole,
    /// The identity that it holds or held.
    pub sensor_id: Option<SensorId>,
    /// Its machine id, hashed by the host.
    pub machine_id: Option<MachineId>,
    /// Its labels.
    pub tags: Tags,
    /// Its edition.
    pub flavor: Flavor,
}

impl Facts {
    /// The hash of all of them, and of the record that the enrollment would replace.
    pub(crate) fn hash(&self, record: Option<SensorId>) -> FactsHash {
        let text = serde_json::to_vec(&(self, record)).expect("facts are texts");
        FactsHash(Sha256::digest(text).into())
    }
}

/// SHA-256 of [`Facts`]; 64 hexadecimal digits on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^[0-9a-f]{64}$")]
pub struct FactsHash([u8; 32]);

impl FactsHash {
    /// Of facts as they are stored.
    pub(crate) fn of_text(facts: &str) -> Self {
        Self(Sha256::digest(facts).into())
    }

    /// What no facts have.
    pub(crate) const NONE: Self = Self([0; 32]);
}

impl fmt::Display for FactsHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl FromStr for FactsHash {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        unhex(text).map(Self).map_err(|_| "it must be 64 hexadecimal digits")
    }
}

impl TryFrom<String> for FactsHash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<FactsHash> for String {
    fn from(hash: FactsHash) -> Self {
        hash.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn section_4_each_fact_that_the_operator_saw_is_in_the_hash() {
        let facts = Facts {
            node_name: "edge-1".parse().unwrap(),
            cluster_name: None,
            install_id: None,
            role: NodeRole::default(),
            sensor_id: None,
            machine_id: None,
            tags: Tags::default(),
            flavor: Flavor::Standard,
        };
        let hash = facts.hash(None);
        assert_eq!(hash.to_string().parse::<FactsHash>().unwrap(), hash);
        assert!("x".parse::<FactsHash>().is_err());
        let others = [
            Facts { node_name: "edge-2".parse().unwrap(), ..facts.clone() },
            Facts { cluster_name: Some("c".parse().unwrap()), ..facts.clone() },
            Facts { install_id: Some("i".parse().unwrap()), ..facts.clone() },
            Facts { role: "amf".parse().unwrap(), ..facts.clone() },
            Facts { sensor_id: Some(SensorId::random()), ..facts.clone() },
            Facts { machine_id: Some("a".repeat(64).parse().unwrap()), ..facts.clone() },
            Facts { tags: serde_json::from_str(r#"["lab"]"#).unwrap(), ..facts.clone() },
            Facts { flavor: Flavor::Telecom, ..facts.clone() },
        ];
        assert!(others.iter().all(|other| other.hash(None) != hash));
        assert_ne!(facts.hash(Some(SensorId::random())), hash);
    }
}
