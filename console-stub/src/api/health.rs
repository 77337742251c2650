//! Whether the process lives, and whether it is ready for work.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::{Api, Failure};

/// The body of both.
#[derive(Debug, Serialize)]
pub(super) struct Health {
    status: &'static str,
}

pub(super) async fn alive() -> Json<Health> {
    Json(Health { status: "ok" })
}

pub(super) async fn ready(State(api): State<Api>) -> Result<Json<Health>, Failure> {
    api.console.ready().await?;
    Ok(Json(Health { status: "ready" }))
}
