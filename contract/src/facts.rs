//! What a host says of itself when it enrolls (docs/contract.md section 3).

use serde::{Deserialize, Deserializer, Serialize};

use crate::reading;
use crate::text::clean;

/// Most characters of a fact; longer ones are cut.
pub const LONGEST_FACT: usize = 256;

/// The host as it describes itself. Everything but the architecture may be missing: an older sensor or a confined
/// container does not always know, and no rule of the Console hangs on it. Its texts are cleaned when
/// they are read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct HostFacts {
    /// Machine hardware name: `x86_64`, `aarch64`.
    #[serde(deserialize_with = "cleaned")]
    pub architecture: String,
    /// Operating system with version, as `PRETTY_NAME` of os-release(5) gives it.
    #[serde(deserialize_with = "cleaned")]
    pub os: String,
    /// Kernel release, as `uname -r` gives it.
    #[serde(deserialize_with = "cleaned")]
    pub kernel_version: String,
    /// Logical processors.
    #[serde(deserialize_with = "cpu_count")]
    pub cpu_count: u32,
    /// Physical memory in bytes.
    #[serde(deserialize_with = "memory_bytes")]
    pub memory_bytes: u64,
    /// Lower-case hex SHA-256 of machine-id(5) with an application salt, so that the id itself is not given away; what
    /// tells a cloned image. Absent where the host has no machine id.
    #[serde(deserialize_with = "cleaned_if_there", skip_serializing_if = "Option::is_none")]
    pub machine_id_sha256: Option<String>,
    /// Where that id is from, so that only ids of one kind are compared: `machine-id`, `dmi` or `configured`.
    #[serde(deserialize_with = "cleaned_if_there", skip_serializing_if = "Option::is_none")]
    pub machine_id_source: Option<String>,
    /// Name of the Kubernetes workload that the sensor runs in, absent elsewhere.
    #[serde(deserialize_with = "cleaned_if_there", skip_serializing_if = "Option::is_none")]
    pub k8s_deployment: Option<String>,
}

fn memory_bytes<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    Ok(reading::count(from)?.unwrap_or(0))
}

fn cpu_count<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    Ok(u32::try_from(memory_bytes(from)?).unwrap_or(u32::MAX))
}

fn cleaned_if_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(reading::maybe::<String, D>(deserializer)?.map(|text| clean(&text, LONGEST_FACT)))
}

fn cleaned<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    cleaned_if_there(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_cleaned_and_bounded_where_they_come_in() {
        let long = "x".repeat(1000);
        let facts: HostFacts = serde_json::from_value(serde_json::json!({
            "os": "red \u{1b}[31m\u{202e}", "kernel_version": long, "architecture": null, "k8s_deployment": "a\nb",
        }))
        .unwrap();
        assert_eq!((facts.os.as_str(), facts.architecture.as_str()), ("red  [31m ", ""));
        assert_eq!(facts.kernel_version.chars().count(), LONGEST_FACT);
        assert_eq!((facts.k8s_deployment.as_deref(), facts.machine_id_sha256), (Some("a b"), None));
    }
}
