//! What a host says of itself when it enrolls (docs/contract.md section 3).

use serde::{Deserialize, Serialize};

/// The host as it describes itself. Everything but the architecture may be missing: an older sensor or a confined
/// container does not always know, and no rule of the Console hangs on it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct HostFacts {
    /// Machine hardware name: `x86_64`, `aarch64`.
    pub architecture: String,
    /// Operating system with version, as `PRETTY_NAME` of os-release(5) gives it.
    pub os: String,
    /// Kernel release, as `uname -r` gives it.
    pub kernel_version: String,
    /// Logical processors.
    pub cpu_count: u32,
    /// Physical memory in bytes.
    pub memory_bytes: u64,
    /// Lower-case hex SHA-256 of machine-id(5) with an application salt, so that the id itself is not given away; what
    /// tells a cloned image. Absent where the host has no machine id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_id_sha256: Option<String>,
    /// Name of the Kubernetes workload that the sensor runs in, absent elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub k8s_deployment: Option<String>,
}
