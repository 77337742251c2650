//! What the agent remembers of an enrollment beside the certificate: `sensor-state.json`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use telovix_contract::states::{TokenType, TrustState};
use telovix_contract::{ClusterName, InstallId, NodeName, NodeRole, SensorId, TokenHash};

/// Version of the file that this build writes. A file of a later version is refused, not guessed at.
pub const STATE_VERSION: u32 = 1;

/// The content of `sensor-state.json`. No secret in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SensorState {
    /// [`STATE_VERSION`] of the build that wrote it.
    pub version: u32,
    /// Whose identity it is.
    pub sensor_id: SensorId,
    /// The name that the host enrolled under.
    pub node_name: NodeName,
    /// The role that it enrolled with.
    pub node_role: NodeRole,
    /// The cluster that it enrolled into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<ClusterName>,
    /// The installation that it enrolled as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install_id: Option<InstallId>,
    /// The Console that issued the identity.
    pub console_url: String,
    /// Hash of the token that paid for it, as given.
    pub token_sha256: TokenHash,
    /// What kind of token that was, where the Console said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_type: Option<TokenType>,
    /// The machine that it was made on; another one has copied it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id_sha256: Option<String>,
    /// What the Console thought of it when it was issued.
    pub trust_state: TrustState,
    /// Seconds between heartbeats, as the Console asked.
    pub heartbeat_interval_seconds: u32,
    /// When this host stored it, RFC 3339.
    pub enrolled_at: Timestamp,
}

impl SensorState {
    /// Whether it was made on another machine than this one, of this machine id: then it came here with a copied state
    /// directory and is somebody else's. Where either is not known, it is taken for this one's.
    pub fn is_of_another_machine(&self, machine_id_sha256: Option<&str>) -> bool {
        matches!((self.machine_id_sha256.as_deref(), machine_id_sha256), (Some(then), Some(now)) if then != now)
    }
}
