//! A Console made of a rogue: honest but for what a test replaces.

use std::sync::Arc;

use telovix_contract::enroll::TrustBootstrap;
use telovix_contract::session::HeartbeatAnswer;
use telovix_contract::states::TrustState;
use telovix_contract::{ErrorCode, SensorId, paths};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::{Request, Script};
use crate::pki::Ca;

/// A handler that shows its CA, answers heartbeats to whoever has a certificate, and leaves enrollments to `enroll`.
pub fn console(
    ca: Arc<Ca>,
    enroll: impl Fn(&Request, &Ca) -> Script + Send + Sync + 'static,
) -> impl Fn(&Request) -> Script + Send + Sync + 'static {
    move |request| match request.path.as_str() {
        paths::ENROLL => enroll(request, &ca),
        paths::TRUST_BOOTSTRAP => {
            Script::json(200, &TrustBootstrap { control_plane_ca_certificate_pem: ca.bundle_pem() })
        }
        paths::HEARTBEAT => match request.client_cert_der.as_deref().and_then(sensor_of) {
            Some(sensor_id) => Script::json(200, &heartbeat(sensor_id)),
            None => Script::problem(ErrorCode::InvalidSensorTrust),
        },
        _ => Script::problem(ErrorCode::NotFound),
    }
}

/// The honest answer to an enrollment.
pub fn enrolled(request: &Request, ca: &Ca) -> Script {
    Script::json(201, &ca.enrolled(&request.csr_pem(), None))
}

/// The sensor that a certificate names.
pub fn sensor_of(der: &[u8]) -> Option<SensorId> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    names
        .value
        .general_names
        .iter()
        .find_map(|name| if let GeneralName::URI(uri) = name { SensorId::from_uri(uri) } else { None })
}

fn heartbeat(sensor_id: SensorId) -> HeartbeatAnswer {
    HeartbeatAnswer {
        sensor_id,
        trust_state: TrustState::Trusted,
        heartbeat_interval_seconds: 15,
        renew_between: None,
        notices: Vec::new(),
    }
}
