//! The other calls of sensors: trust bootstrap, heartbeat, renewal, decommission.

use axum::Extension;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::HeaderMap;
use rustls_pki_types::CertificateDer;
use serde::Serialize;
use telovix_contract::enroll::TrustBootstrap;
use telovix_contract::session::{Heartbeat, HeartbeatAnswer, RenewRequest, Renewed};
use telovix_contract::{ErrorCode, SensorId, paths};
use utoipa::ToSchema;

use super::body::{parse, read};
use super::doc::{Book, Op};
use super::request::origin;
use super::{Api, Failure, Peer};
use crate::domain::Refusal;
use crate::domain::credential::certificate_required;

pub(super) fn routes() -> Book {
    let bootstrap = Op::get("getTrustBootstrap", "The Console's CA, to compare with a pinned fingerprint.")
        .gives::<TrustBootstrap>(200, "The CA. Nothing in it is trusted by itself.")
        .refuses(&[ErrorCode::NotReady]);
    let heartbeat = Op::post("heartbeat", "A sensor lives, and asks whether its certificate is in force.")
        .sensors()
        .may_take::<Heartbeat>()
        .gives::<HeartbeatAnswer>(200, "It is.")
        .refuses(&[ErrorCode::CertificateExpired, ErrorCode::NodeLimitExceeded]);
    let renew = Op::post("renewCertificate", "A new certificate for a new key.")
        .sensors()
        .takes::<RenewRequest>()
        .gives::<Renewed>(
            200,
            "The successor; the old certificate works to its own end, or until the successor has been seen.",
        )
        .refuses(&[ErrorCode::InvalidCsr, ErrorCode::NodeLimitExceeded, ErrorCode::NotReady]);
    let decommission = Op::post("decommission", "A sensor retires; again changes nothing.")
        .sensors()
        .refuses(&[ErrorCode::CertificateExpired])
        .gives::<Decommissioned>(200, "It has retired, and its licence slot is free.");
    Book::default()
        .add(paths::TRUST_BOOTSTRAP, bootstrap, self::trust_bootstrap)
        .add(paths::HEARTBEAT, heartbeat, self::heartbeat)
        .add(paths::RENEW, renew, self::renew)
        .add(paths::DECOMMISSION, decommission, self::decommission)
}

async fn trust_bootstrap(State(api): State<Api>) -> Result<Json<TrustBootstrap>, Failure> {
    let control_plane_ca_certificate_pem = api.console.authority()?.ca_pem().to_owned();
    Ok(Json(TrustBootstrap { control_plane_ca_certificate_pem }))
}

async fn heartbeat(
    State(api): State<Api>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<HeartbeatAnswer>, Failure> {
    let certificate = certificate(&peer)?;
    let body = read(body, api.limits.body).await?;
    let beat = if body.is_empty() { Heartbeat::default() } else { parse(&body)? };
    Ok(Json(api.console.heartbeat(certificate, beat, origin(&peer, &headers)).await?))
}

async fn renew(
    State(api): State<Api>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Renewed>, Failure> {
    let certificate = certificate(&peer)?;
    let body = read(body, api.limits.body).await?;
    let RenewRequest { csr_pem } = parse(&body)?;
    Ok(Json(api.console.renew(certificate, csr_pem, origin(&peer, &headers)).await?))
}

/// Answer to a decommission: who retired.
#[derive(Debug, Serialize, ToSchema)]
struct Decommissioned {
    /// Its identity.
    sensor_id: SensorId,
}

async fn decommission(
    State(api): State<Api>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Json<Decommissioned>, Failure> {
    let certificate = certificate(&peer)?;
    let sensor_id = api.console.decommission(certificate, origin(&peer, &headers)).await?;
    Ok(Json(Decommissioned { sensor_id }))
}

fn certificate(peer: &Peer) -> Result<&CertificateDer<'static>, Refusal> {
    peer.certificate.as_deref().ok_or_else(certificate_required)
}
