//! What the rules of enrollment see of a host and of a record. Whose a name or a re-enrollment token is, is no part of this
//! model: all hosts here have one name and one machine.

use std::sync::OnceLock;

use telovix_console_stub::domain::approval::Facts;
use telovix_console_stub::domain::enroll::Own;
use telovix_console_stub::domain::sensor::{MachineId, Standing};
use telovix_contract::{Flavor, NodeRole, Tags};

use super::console::{Sensor, sensor_id};

/// The name of every node here.
pub(crate) const NODE: &str = "edge-1";

/// The machine of every node here.
pub(crate) fn machine() -> MachineId {
    static ID: OnceLock<MachineId> = OnceLock::new();
    *ID.get_or_init(|| "a".repeat(64).parse().expect("64 digits"))
}

/// What a host says of itself.
pub(crate) fn facts(held: Option<Sensor>) -> Facts {
    Facts {
        node_name: NODE.parse().expect("a node name"),
        cluster_name: None,
        install_id: None,
        role: NodeRole::default(),
        sensor_id: held.map(sensor_id),
        machine_id: Some(machine()),
        tags: Tags::default(),
        flavor: Flavor::default(),
    }
}

/// A sensor's record as the rules see it; it is the same machine's, so that no time matters.
pub(crate) fn own(sensor: Sensor) -> Own {
    let Facts { node_name, cluster_name, role, machine_id, .. } = facts(None);
    Own {
        id: sensor_id(sensor),
        standing: Standing::Active,
        node_name,
        cluster: cluster_name,
        role: role.to_string(),
        machine: machine_id,
        heard_at: i64::MAX,
        certificate_until: i64::MAX,
        heartbeat: 15,
        replaced_at: [None, None],
    }
}
