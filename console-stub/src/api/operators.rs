//! The operators' interface: who calls, tokens, the fleet; rows in `data` (CONTRACT.md section 5).

pub(super) mod approvals;

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use telovix_contract::token::unhex;
use telovix_contract::{ClusterName, ErrorCode};

use super::body::{Fields, read};
use super::{Api, Failure, Peer, origin};
use crate::domain::Refusal;
use crate::domain::api_key::{
    HEADER_KEY_ID, HEADER_NONCE, HEADER_SIGNATURE, HEADER_TIMESTAMP, SignedCall, is_nonce, unauthorized,
};
use crate::domain::audit::Origin;
use crate::domain::role::Act;
use crate::domain::token::TokenDraft;
use crate::service::ServiceError;
use crate::service::sensors::{Listing, SensorView};
use crate::service::tokens::TokenView;

/// A list's rows.
#[derive(Debug, Serialize)]
pub(super) struct Rows<T> {
    data: Vec<T>,
}

pub(super) async fn create_token(State(api): State<Api>, request: Request) -> Result<Response, Failure> {
    let call = authorize(&api, request, Act::ManageTokens).await?;
    let mut fields = Fields::parse(&call.body)?;
    let draft = TokenDraft {
        kind: fields.optional("type")?,
        ttl_seconds: fields.optional("ttl_seconds")?,
        expires_days: fields.optional("expires_days")?,
        cluster_id: fields.optional::<ClusterName>("cluster_id")?,
        max_nodes: fields.optional("max_nodes")?,
        sensor_id: fields.optional("sensor_id")?,
        label: fields.optional("label")?,
    };
    let created = api.console.create_token(draft, call.origin).await?;
    Ok((StatusCode::CREATED, Json(created.view())).into_response())
}

pub(super) async fn list_tokens(
    State(api): State<Api>,
    request: Request,
) -> Result<Json<Rows<TokenView>>, Failure> {
    authorize(&api, request, Act::ReadTokens).await?;
    Ok(Json(Rows { data: api.console.list_tokens().await? }))
}

pub(super) async fn revoke_token(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<TokenView>, Failure> {
    let call = authorize(&api, request, Act::ManageTokens).await?;
    let not_found = || Refusal::new(ErrorCode::NotFound, "There is no such token.");
    let id = id.parse().map_err(|_| not_found())?;
    Ok(Json(api.console.revoke_token(id, call.origin).await?))
}

pub(super) async fn list_sensors(
    State(api): State<Api>,
    request: Request,
) -> Result<Json<Rows<SensorView>>, Failure> {
    authorize(&api, request, Act::ReadSensors).await?;
    Ok(Json(Rows { data: api.console.list_sensors(Listing::Present).await? }))
}

/// A call by someone who may make it.
struct Call {
    body: Bytes,
    query: BTreeMap<String, String>,
    origin: Origin,
}

/// Checks that whoever calls may do this.
async fn authorize(api: &Api, request: Request, act: Act) -> Result<Call, ServiceError> {
    let people_only =
        || Refusal::new(ErrorCode::Forbidden, "API keys cannot do this; sign in as an administrator.");
    let scope = act.scope().ok_or_else(people_only)?;
    let (parts, body): (Parts, Body) = request.into_parts();
    let call = signed_call(&parts.headers)?;
    let body = read(body, api.limits.body).await?;
    let digest: [u8; 32] = Sha256::digest(&body).into();
    api.console.authorize(call, parts.method.as_str(), parts.uri.path(), &digest, scope).await?;
    let peer = parts.extensions.get::<Peer>();
    let query = Query::<BTreeMap<String, String>>::try_from_uri(&parts.uri)
        .map_err(|_| Refusal::new(ErrorCode::InvalidRequest, "The query cannot be read; check the address."))?
        .0;
    Ok(Call { body, query, origin: peer.map(|peer| origin(peer, &parts.headers)).unwrap_or_default() })
}

fn signed_call(headers: &HeaderMap) -> Result<SignedCall, Refusal> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).ok_or_else(unauthorized);
    let signature = header(HEADER_SIGNATURE)?.strip_prefix("sha256=").ok_or_else(unauthorized)?;
    let nonce = header(HEADER_NONCE)?;
    if !is_nonce(nonce) {
        return Err(unauthorized());
    }
    Ok(SignedCall {
        key_id: header(HEADER_KEY_ID)?.to_owned(),
        timestamp: header(HEADER_TIMESTAMP)?.parse().map_err(|_| unauthorized())?,
        nonce: nonce.to_owned(),
        signature: unhex(signature).map_err(|_| unauthorized())?,
    })
}
