//! What the agent remembers of an enrollment beside the certificate: `sensor-state.json`.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use telovix_contract::states::{TokenType, TrustState};
use telovix_contract::{ClusterName, InstallId, NodeName, NodeRole, SensorId, TokenHash};

use super::error::StoreError;
use crate::facts::machine_id::{KnownId, is_of_another};

/// Format of the files that this build writes. One of a later format is not damage: [`StoreError::Newer`].
pub const STATE_VERSION: u32 = 1;

/// Beside [`SensorState`] in its file: the version of the program that wrote it.
pub(super) const WRITTEN_BY: &str = "written_by";

/// What a file says of its own format, whatever else is in it.
#[derive(Debug, Deserialize)]
struct Header {
    version: Value,
    #[serde(default)]
    written_by: Value,
}

/// Whether a file of ours is of a format that this build reads; a torn one is judged elsewhere.
///
/// # Errors
/// [`StoreError::Newer`].
pub(super) fn check_format(path: &Path, text: &str) -> Result<(), StoreError> {
    let Ok(Header { version, written_by }) = serde_json::from_str(text) else { return Ok(()) };
    // However a later build writes the number: 2, 2.1, "2.1.0".
    let words = || version.as_str()?.trim().split('.').next()?.parse().ok();
    let number: Option<f64> = version.as_f64().or_else(words);
    match number {
        Some(number) if number.ceil() > f64::from(STATE_VERSION) => Err(StoreError::Newer {
            path: path.to_owned(),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "larger than a u32 is the largest"
            )]
            format: number.ceil() as u32,
            known: STATE_VERSION,
            written_by: written_by.as_str().map(ToOwned::to_owned),
        }),
        _ => Ok(()),
    }
}

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
    /// Where the id of that machine was from; the first versions recorded none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id_source: Option<String>,
    /// What the Console thought of it when it was issued.
    pub trust_state: TrustState,
    /// Seconds between heartbeats, as the Console asked.
    pub heartbeat_interval_seconds: u32,
    /// When this host stored it, RFC 3339.
    pub enrolled_at: Timestamp,
}

impl SensorState {
    /// Where it is not known which token paid.
    pub fn no_token() -> TokenHash {
        TokenHash::from_bytes([0; 32])
    }

    /// Whether it was made on another machine than this one, of these ids: then it came here with a copied state
    /// directory and is somebody else's. Where it cannot be known, it is taken for this one's.
    pub fn is_of_another_machine(&self, known: &[KnownId]) -> bool {
        is_of_another(self.machine_id_sha256.as_deref(), self.machine_id_source.as_deref(), known)
    }
}
