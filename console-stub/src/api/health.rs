//! Whether the process lives, and whether it is ready for work.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use telovix_contract::{ErrorCode, paths};
use utoipa::ToSchema;

use super::doc::{Book, Op};
use super::{Api, Failure};

pub(super) fn routes() -> Book {
    let alive = Op::get("healthz", "Whether the process lives.").gives::<Health>(200, "It does.");
    let ready = Op::get("readyz", "Whether set-up is finished and the database answers.")
        .gives::<Health>(200, "Ready for work.")
        .refuses(&[ErrorCode::NotReady]);
    Book::default().add(paths::HEALTHZ, alive, self::alive).add(paths::READYZ, ready, self::ready)
}

/// The body of both.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok` or `ready`.
    status: &'static str,
}

async fn alive() -> Json<Health> {
    Json(Health { status: "ok" })
}

async fn ready(State(api): State<Api>) -> Result<Json<Health>, Failure> {
    api.console.ready().await?;
    Ok(Json(Health { status: "ready" }))
}
