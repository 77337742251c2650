//! First contact: the trust bootstrap and the enrollment call (docs/contract.md section 3).

use serde::{Deserialize, Serialize};

use crate::facts::HostFacts;
use crate::ids::{ClusterName, Flavor, InstallId, NodeName, NodeRole, SensorId};
use crate::reading;
use crate::states::{TokenType, TrustState};
use crate::tags::Tags;
use crate::token::EnrollmentToken;

/// Seconds between heartbeats where the Console names no other interval (docs/contract.md section 3).
pub const DEFAULT_HEARTBEAT_SECONDS: u32 = 15;
/// How long a used token answers a repeat of the same enrollment, in seconds: 24 hours (docs/contract.md section 3, ours).
pub const REPEAT_WINDOW_SECONDS: i64 = 24 * 3600;
/// Organization in every sensor's certificate request and certificate.
pub const SENSOR_ORGANIZATION: &str = "Telovix Sensor";

/// Answer to `GET trust-bootstrap`: the CA to compare with a pinned fingerprint. Nothing in it is trusted by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TrustBootstrap {
    /// One or more certificates in PEM, the Console's root CA first.
    pub control_plane_ca_certificate_pem: String,
}

/// Body of `POST enroll`. Key names are ours but for the first three. What decides is read strictly; tags, flavor, version and
/// host only advise, and what cannot be read of them is left out (docs/contract.md section 3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnrollRequest {
    /// The secret that pays for the identity.
    pub enrollment_token: EnrollmentToken,
    /// PKCS #10 request in PEM (RFC 2986), signed by the new key.
    pub csr_pem: String,
    /// The node's name, also in the request's subject.
    pub node_name: NodeName,
    /// What the node is for.
    #[serde(default, deserialize_with = "reading::null_as_default")]
    pub declared_role: NodeRole,
    /// The cluster that the node belongs to; has to match where the token is bound to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<ClusterName>,
    /// Tells installations of one cluster apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install_id: Option<InstallId>,
    /// Labels for the fleet list.
    #[serde(default, deserialize_with = "reading::or_default")]
    pub tags: Tags,
    /// Edition of the product.
    #[serde(default, deserialize_with = "reading::or_default")]
    pub flavor: Flavor,
    /// Version of the software that asks.
    #[serde(default, deserialize_with = "reading::or_default")]
    pub sensor_version: String,
    /// The identity that this enrollment replaces, when the host holds or held one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensor_id: Option<SensorId>,
    /// Whether a record of its own is welcome although `sensor_id` names another. `false`: the Console refuses a plain
    /// token with `sensor_binding_mismatch` before anything is used up, instead of making a second record of a host that
    /// it knows. Absent means `true`, which is what a sensor that does not know the key means (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_sensor: Option<bool>,
    /// The host as it describes itself.
    #[serde(default, deserialize_with = "reading::null_as_default")]
    pub host: HostFacts,
}

/// Answer 201: the identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Enrolled {
    /// The identity's id, also in the certificate's URI.
    pub sensor_id: SensorId,
    /// The client certificate in PEM, issuers after it where there are any.
    pub control_plane_certificate_pem: String,
    /// The Console's CA in PEM: the root first, then the issuers in force.
    pub control_plane_ca_certificate_pem: String,
    /// Ed25519 public key in PEM (RFC 8410) that signs policies.
    pub policy_signing_public_key_pem: String,
    /// What the Console thinks of the identity.
    pub trust_state: TrustState,
    /// Seconds between heartbeats.
    #[serde(default = "default_heartbeat")]
    pub heartbeat_interval_seconds: u32,
    /// What kind of token paid, so that the host knows whether the token's file is spent. Absent from a Console that
    /// does not know the key (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_type: Option<TokenType>,
    /// What the operator of the host should know, in whole sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Answer 202: an operator has to approve first; repeat the identical request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnrollmentWaiting {
    /// Always `bootstrap_pending`.
    pub trust_state: TrustState,
    /// Seconds to wait before the request is repeated.
    pub retry_after_seconds: u32,
}

pub(crate) fn default_heartbeat() -> u32 {
    DEFAULT_HEARTBEAT_SECONDS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::TOKEN_BYTES;

    #[test]
    fn a_minimal_request_and_unknown_keys_are_taken() {
        let token = EnrollmentToken::from_bytes(&[1; TOKEN_BYTES]);
        let body = serde_json::json!({
            "enrollment_token": token.expose(), "csr_pem": "x", "node_name": "edge-1", "from_the_future": [1, 2],
        });
        let request: EnrollRequest = serde_json::from_value(body).unwrap();
        assert_eq!(request.declared_role.as_str(), "generic_linux");
        assert_eq!(request.flavor, Flavor::Standard);
        assert_eq!(request.new_sensor, None);
        let again: EnrollRequest = serde_json::from_str(&serde_json::to_string(&request).unwrap()).unwrap();
        assert_eq!(again, request);
    }

    #[test]
    fn what_advises_never_spoils_a_request_and_what_decides_is_read_strictly() {
        let token = EnrollmentToken::from_bytes(&[1; TOKEN_BYTES]);
        let whole = |key: &str, value: serde_json::Value| {
            let mut body =
                serde_json::json!({"enrollment_token": token.expose(), "csr_pem": "x", "node_name": "n"});
            body[key] = value;
            serde_json::from_value::<EnrollRequest>(body)
        };
        for (key, value) in [
            ("tags", serde_json::json!(null)),
            ("tags", serde_json::json!([1])),
            ("flavor", serde_json::json!("vanilla")),
            ("sensor_version", serde_json::json!(5)),
            ("host", serde_json::json!(null)),
            ("host", serde_json::json!({"cpu_count": "4", "memory_bytes": -1, "os": null, "new": {}})),
            ("declared_role", serde_json::json!(null)),
            ("cluster_name", serde_json::json!(null)),
            ("sensor_id", serde_json::json!(null)),
        ] {
            let request = whole(key, value.clone()).unwrap_or_else(|e| panic!("{key} {value}: {e}"));
            assert_eq!((request.flavor, request.host.memory_bytes), (Flavor::Standard, 0));
        }
        for (key, value) in [
            ("enrollment_token", serde_json::json!("tse_")),
            ("csr_pem", serde_json::json!(null)),
            ("node_name", serde_json::json!("a b")),
            ("declared_role", serde_json::json!("A B")),
            ("cluster_name", serde_json::json!(1)),
            ("install_id", serde_json::json!("a b")),
            ("sensor_id", serde_json::json!("x")),
            ("new_sensor", serde_json::json!("false")),
        ] {
            assert!(whole(key, value.clone()).is_err(), "{key} {value}");
        }
        let twice = format!(
            r#"{{"enrollment_token":"{0}","enrollment_token":"{0}","csr_pem":"x","node_name":"n"}}"#,
            token.expose()
        );
        assert!(serde_json::from_str::<EnrollRequest>(&twice).is_err());
    }

    #[test]
    fn debug_of_a_request_shows_no_token() {
        let token = EnrollmentToken::from_bytes(&[1; TOKEN_BYTES]);
        let body = serde_json::json!({"enrollment_token": token.expose(), "csr_pem": "x", "node_name": "n"});
        let request: EnrollRequest = serde_json::from_value(body).unwrap();
        assert!(!format!("{request:?}").contains(token.expose()));
    }
}
