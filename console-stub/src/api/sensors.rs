//! The other calls of sensors: trust bootstrap, heartbeat, renewal, decommission.

use axum::Extension;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::HeaderMap;
use rustls_pki_types::CertificateDer;
use serde::Serialize;
use telovix_contract::SensorId;
use telovix_contract::enroll::TrustBootstrap;
use telovix_contract::session::{Heartbeat, HeartbeatAnswer, Renewed};

use super::body::{Fields, read};
use super::{Api, Failure, Peer, origin};
use crate::domain::Refusal;
use crate::service::session::untrusted;

pub(super) async fn trust_bootstrap(State(api): State<Api>) -> Result<Json<TrustBootstrap>, Failure> {
    let control_plane_ca_certificate_pem = api.console.authority()?.ca_pem().to_owned();
    Ok(Json(TrustBootstrap { control_plane_ca_certificate_pem }))
}

pub(super) async fn heartbeat(
    State(api): State<Api>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<HeartbeatAnswer>, Failure> {
    let certificate = certificate(&peer)?;
    let body = read(body, api.limits.body).await?;
    let beat = if body.is_empty() {
        Heartbeat::default()
    } else {
        let sensor_version = Fields::parse(&body)?.optional("sensor_version")?;
        Heartbeat { sensor_version: sensor_version.unwrap_or_default() }
    };
    Ok(Json(api.console.heartbeat(certificate, beat, origin(&peer, &headers)).await?))
}

pub(super) async fn renew(
    State(api): State<Api>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Renewed>, Failure> {
    let certificate = certificate(&peer)?;
    let body = read(body, api.limits.body).await?;
    let csr_pem = Fields::parse(&body)?.required("csr_pem")?;
    Ok(Json(api.console.renew(certificate, csr_pem, origin(&peer, &headers)).await?))
}

/// Answer to a decommission: who retired.
#[derive(Debug, Serialize)]
pub(super) struct Decommissioned {
    sensor_id: SensorId,
}

pub(super) async fn decommission(
    State(api): State<Api>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Json<Decommissioned>, Failure> {
    let certificate = certificate(&peer)?;
    let sensor_id = api.console.decommission(certificate, origin(&peer, &headers)).await?;
    Ok(Json(Decommissioned { sensor_id }))
}

fn certificate(peer: &Peer) -> Result<&CertificateDer<'static>, Refusal> {
    peer.certificate.as_deref().ok_or_else(|| {
        untrusted("The call needs the sensor's client certificate; show it in the TLS handshake.")
    })
}
