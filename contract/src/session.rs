//! Life after enrollment: heartbeat, renewal, decommission (docs/contract.md section 3). All over mutual TLS.

use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::ids::SensorId;
use crate::reading;
use crate::states::TrustState;

/// Body of the heartbeat. The certificate says who speaks; the rest is for the fleet list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Heartbeat {
    /// Version of the software that speaks.
    pub sensor_version: String,
    /// Drawn when the daemon starts. Absent where a command speaks beside it (docs/contract.md section 4).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = "uuid"))]
    pub instance: Option<Uuid>,
    /// Counts the heartbeats of `instance`, from 1; up to 63 bits.
    #[serde(deserialize_with = "counted", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<i64>, minimum = 0))]
    pub sequence: Option<u64>,
}

/// As the OpenAPI document says it: an `int64` that is not negative.
fn counted<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let number = Option::<i64>::deserialize(from)?;
    number.map(u64::try_from).transpose().map_err(|_| D::Error::custom("it has to be 0 or more"))
}

/// Answer to a heartbeat: the certificate is known and in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HeartbeatAnswer {
    /// The sensor that the certificate belongs to.
    pub sensor_id: SensorId,
    /// What the Console thinks of the identity. It is trusted where this says no word that is known.
    #[serde(default = "trusted", deserialize_with = "trust_state")]
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub trust_state: TrustState,
    /// Seconds until the next heartbeat.
    #[serde(default = "crate::enroll::default_heartbeat", deserialize_with = "interval")]
    pub heartbeat_interval_seconds: u32,
    /// Asks for a renewal within this window, earlier than the sensor would renew on its own (as RFC 9773 does).
    #[serde(default, deserialize_with = "reading::maybe", skip_serializing_if = "Option::is_none")]
    pub renew_between: Option<RenewalWindow>,
    /// What the operator of the host should know, in whole sentences.
    #[serde(default, deserialize_with = "reading::sentences", skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

fn trusted() -> TrustState {
    TrustState::Trusted
}

fn trust_state<'de, D: Deserializer<'de>>(from: D) -> Result<TrustState, D::Error> {
    Ok(reading::maybe(from)?.unwrap_or_else(trusted))
}

fn interval<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let seconds = reading::count(from)?;
    Ok(seconds
        .map_or_else(crate::enroll::default_heartbeat, |seconds| u32::try_from(seconds).unwrap_or(u32::MAX)))
}

/// When to renew: a moment drawn between the two, so that a fleet does not come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RenewalWindow {
    /// Not before, RFC 3339.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub start: Timestamp,
    /// Not after, RFC 3339.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub end: Timestamp,
}

/// Body of the renewal call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RenewRequest {
    /// PKCS #10 request in PEM for a new key.
    pub csr_pem: String,
}

/// Answer to a renewal: the successor. The old certificate works to its own end, or until this one has been seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Renewed {
    /// The identity, unchanged.
    pub sensor_id: SensorId,
    /// The new client certificate in PEM, issuers after it where there are any.
    pub control_plane_certificate_pem: String,
    /// The Console's CA in PEM: the root first, then the issuers in force.
    pub control_plane_ca_certificate_pem: String,
    /// Ed25519 public key in PEM that signs policies.
    pub policy_signing_public_key_pem: String,
    /// What the Console thinks of the identity.
    pub trust_state: TrustState,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_heartbeats_number_is_what_the_document_says() {
        let read = |number| {
            serde_json::from_value::<Heartbeat>(json!({"sequence": number})).map(|beat| beat.sequence)
        };
        assert_eq!(read(json!(i64::MAX)).unwrap(), Some(i64::MAX.unsigned_abs()));
        assert_eq!(read(json!(null)).unwrap(), None);
        assert_eq!(serde_json::from_str::<Heartbeat>("{}").unwrap(), Heartbeat::default());
        for bad in [json!(-1), json!(1_u64 << 63), json!("1"), json!(1e30)] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn of_a_heartbeats_answer_only_the_sensor_is_required() {
        let sensor_id = SensorId::random();
        let plain: HeartbeatAnswer = serde_json::from_value(json!({"sensor_id": sensor_id})).unwrap();
        assert_eq!((plain.trust_state, plain.heartbeat_interval_seconds), (TrustState::Trusted, 15));
        let odd: HeartbeatAnswer = serde_json::from_value(json!({
            "sensor_id": sensor_id, "trust_state": "new_word", "heartbeat_interval_seconds": "20", "notices": null,
            "renew_between": {"start": "x"}, "more": [],
        }))
        .unwrap();
        assert_eq!(odd, HeartbeatAnswer { heartbeat_interval_seconds: 20, ..plain.clone() });
        let revoked =
            json!({"sensor_id": sensor_id, "trust_state": "trust_revoked", "heartbeat_interval_seconds": -1});
        let revoked: HeartbeatAnswer = serde_json::from_value(revoked).unwrap();
        assert_eq!(revoked, HeartbeatAnswer { trust_state: TrustState::TrustRevoked, ..plain });
        assert!(serde_json::from_value::<HeartbeatAnswer>(json!({"trust_state": "trusted"})).is_err());
    }
}
