//! The fleet and the audit trail.

use axum::extract::{Path, Request, State};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Serialize;
use telovix_contract::session::RenewalWindow;
use telovix_contract::states::{HealthState, SensorStatus, TrustHealth, TrustState};
use telovix_contract::{ErrorCode, SensorId};

use super::{Piecewise, authorize};
use crate::api::body::Fields;
use crate::api::{Api, Failure};
use crate::db::audit::AuditFilter;
use crate::domain::Refusal;
use crate::domain::listing::SensorFilter;
use crate::domain::role::Act;
use crate::service::audit::{AuditReport, AuditView};
use crate::service::sensors::{SensorView, Verdict};

/// Seconds that a sensor has to renew its certificate where nobody says.
const WITHIN: i64 = 3600;

/// The paths below these.
pub(super) fn routes(sensors: &str, audit: &str) -> Router<Api> {
    Router::new()
        .route(sensors, get(list))
        .route(&format!("{sensors}/{{id}}"), delete(forget))
        .route(&format!("{sensors}/{{id}}/disable"), post(disable))
        .route(&format!("{sensors}/{{id}}/enable"), post(enable))
        .route(&format!("{sensors}/{{id}}/revoke"), post(revoke))
        .route(&format!("{sensors}/{{id}}/renew"), post(renew))
        .route(audit, get(list_audit))
        .route(&format!("{audit}/verify"), get(verify_audit))
}

async fn list(State(api): State<Api>, request: Request) -> Result<Json<Piecewise<SensorView>>, Failure> {
    let call = authorize(&api, request, Act::ReadSensors).await?;
    let filter = SensorFilter {
        decommissioned: call.text("decommissioned").as_deref() == Some("true"),
        status: call.word("status", SensorStatus::from_word)?,
        health_state: call.word("health_state", HealthState::from_word)?,
        trust_state: call.word("trust_state", TrustState::from_word)?,
        trust_health: call.word("trust_health", TrustHealth::from_word)?,
        cluster_id: call.text("cluster_id"),
        role: call.text("role"),
        flavor: call.text("flavor"),
        tag: call.text("tag"),
        node_name: call.text("node_name"),
    };
    Ok(Json(api.console.list_sensors(filter, call.piece()?).await?.into()))
}

/// Answer to a verdict.
#[derive(Debug, Serialize)]
struct Judged {
    sensor_id: SensorId,
    status: &'static str,
}

type Answer<T> = Result<Json<T>, Failure>;

async fn disable(State(api): State<Api>, Path(id): Path<String>, request: Request) -> Answer<Judged> {
    judge(&api, &id, request, Verdict::Disable, "disabled").await
}

async fn enable(State(api): State<Api>, Path(id): Path<String>, request: Request) -> Answer<Judged> {
    judge(&api, &id, request, Verdict::Enable, "enabled").await
}

async fn revoke(State(api): State<Api>, Path(id): Path<String>, request: Request) -> Answer<Judged> {
    judge(&api, &id, request, Verdict::Revoke, "revoked").await
}

async fn forget(State(api): State<Api>, Path(id): Path<String>, request: Request) -> Answer<Judged> {
    judge(&api, &id, request, Verdict::Delete, "deleted").await
}

async fn judge(
    api: &Api,
    id: &str,
    request: Request,
    verdict: Verdict,
    status: &'static str,
) -> Answer<Judged> {
    let call = authorize(api, request, Act::JudgeSensors).await?;
    let sensor_id = sensor(id)?;
    api.console.judge_sensor(sensor_id, verdict, call.origin).await?;
    Ok(Json(Judged { sensor_id, status }))
}

/// Answer to a request for a renewal.
#[derive(Debug, Serialize)]
struct Asked {
    sensor_id: SensorId,
    renew_between: RenewalWindow,
}

async fn renew(State(api): State<Api>, Path(id): Path<String>, request: Request) -> Answer<Asked> {
    let call = authorize(&api, request, Act::RenewSensor).await?;
    let within: Option<i64> =
        if call.body.is_empty() { None } else { Fields::parse(&call.body)?.optional("within_seconds")? };
    let sensor_id = sensor(&id)?;
    let renew_between = api.console.ask_renewal(sensor_id, within.unwrap_or(WITHIN), call.origin).await?;
    Ok(Json(Asked { sensor_id, renew_between }))
}

fn sensor(id: &str) -> Result<SensorId, Refusal> {
    id.parse().map_err(|_| Refusal::new(ErrorCode::NotFound, "There is no such sensor."))
}

async fn list_audit(State(api): State<Api>, request: Request) -> Answer<Piecewise<AuditView>> {
    let call = authorize(&api, request, Act::ReadAudit).await?;
    let filter = AuditFilter {
        action_type: call.text("action_type"),
        outcome: call.text("outcome"),
        actor_email: call.text("actor_email"),
        sensor_id: call.text("sensor_id"),
    };
    Ok(Json(api.console.list_audit(filter, call.piece()?).await?.into()))
}

async fn verify_audit(State(api): State<Api>, request: Request) -> Answer<AuditReport> {
    authorize(&api, request, Act::ReadAudit).await?;
    Ok(Json(api.console.verify_audit().await?))
}
