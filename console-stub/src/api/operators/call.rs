//! A call by an operator: who makes it, whether that is allowed, and lists as answers.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::{Query, Request};
use bytes::Bytes;
use http::HeaderMap;
use http::request::Parts;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use telovix_contract::ErrorCode;
use telovix_contract::token::unhex;

use super::login;
use crate::api::body::read;
use crate::api::request::origin;
use crate::api::{Api, Peer};
use crate::domain::Refusal;
use crate::domain::api_key::{
    HEADER_KEY_ID, HEADER_NONCE, HEADER_SIGNATURE, HEADER_TIMESTAMP, SignedCall, is_nonce, unauthorized,
};
use crate::domain::audit::Origin;
use crate::domain::page::{Cursor, Page, Piece};
use crate::domain::role::Act;
use crate::service::ServiceError;

#[derive(Debug, Serialize)]
pub(super) struct Rows<T> {
    pub(super) data: Vec<T>,
}

#[derive(Debug, Serialize)]
pub(super) struct Piecewise<T> {
    pub(super) data: Vec<T>,
    /// Where the next piece begins; null at the end.
    pub(super) next_cursor: Option<String>,
}

impl<T> From<Page<T>> for Piecewise<T> {
    fn from(page: Page<T>) -> Self {
        Self { next_cursor: page.next.as_ref().map(Cursor::to_text), data: page.rows }
    }
}

pub(super) struct Call {
    pub(super) body: Bytes,
    pub(super) query: BTreeMap<String, String>,
    pub(super) origin: Origin,
}

impl Call {
    pub(super) fn piece(&self) -> Result<Piece, Refusal> {
        let text = |name: &str| self.query.get(name).map(String::as_str);
        Piece::parse(text("limit"), text("cursor"))
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.query.get(name).cloned()
    }

    /// A word of the query, read by a function of the contract.
    pub(super) fn word<T>(&self, name: &str, read: fn(&str) -> Option<T>) -> Result<Option<T>, Refusal> {
        let wrong = || Refusal::field(name, "it is no word of the contract");
        self.query.get(name).map(|word| read(word).ok_or_else(wrong)).transpose()
    }
}

pub(super) async fn authorize(api: &Api, request: Request, act: Act) -> Result<Call, ServiceError> {
    if !request.uri().path().starts_with("/api/v2/") {
        let (parts, body): (Parts, Body) = request.into_parts();
        let origin = login::signed_in(api, &parts, act).await?;
        let body = read(body, api.limits.body).await?;
        return Ok(Call { body, query: query(&parts)?, origin });
    }
    let people_only =
        || Refusal::new(ErrorCode::Forbidden, "API keys cannot do this; sign in as an administrator.");
    let scope = act.scope().ok_or_else(people_only)?;
    let (parts, body): (Parts, Body) = request.into_parts();
    let call = signed_call(&parts.headers)?;
    let body = read(body, api.limits.body).await?;
    let digest: [u8; 32] = Sha256::digest(&body).into();
    let api_key = Some(call.key_id.clone());
    api.console.authorize(call, parts.method.as_str(), parts.uri.path(), &digest, scope).await?;
    let peer = parts.extensions.get::<Peer>();
    let query = query(&parts)?;
    let from = peer.map(|peer| origin(peer, &parts.headers)).unwrap_or_default();
    Ok(Call { body, query, origin: Origin { api_key, ..from } })
}

fn query(parts: &Parts) -> Result<BTreeMap<String, String>, Refusal> {
    let wrong = |_| Refusal::new(ErrorCode::InvalidRequest, "The query cannot be read; check the address.");
    Query::<BTreeMap<String, String>>::try_from_uri(&parts.uri).map(|query| query.0).map_err(wrong)
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
