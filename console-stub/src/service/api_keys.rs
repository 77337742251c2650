//! API keys: made, listed, taken back, and the check of a signed call (docs/contract.md section 5).

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Serialize;
use telovix_contract::ErrorCode;
use telovix_contract::text::is_plain;
use telovix_contract::token::hex;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::console::require_setup;
use super::{Console, ServiceError};
use crate::ca;
use crate::clock::timestamp;
use crate::db::api_keys::ApiKeyRecord;
use crate::db::{Tx, api_keys, audit};
use crate::domain::Refusal;
use crate::domain::api_key::{Scope, SignedCall, check_time, signed_text, unauthorized};
use crate::domain::audit::{Action, AuditEntry, Detail, Origin};
use crate::domain::token::MAX_LABEL;

/// An API key that was just made: the only time that its secret is shown.
#[derive(Debug)]
pub struct CreatedKey {
    /// Its name, for `X-Telovix-Key-ID`.
    pub key_id: String,
    /// The HMAC key is the bytes of this text.
    pub secret: Zeroizing<String>,
    pub scopes: Vec<Scope>,
}

/// The answer to whoever made an API key.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CreatedKeyView<'a> {
    /// Its name, for `X-Telovix-Key-ID`.
    pub key_id: &'a str,
    /// The HMAC key is the bytes of this text; shown this once.
    pub secret: &'a str,
    /// What it may do.
    pub scopes: Vec<&'static str>,
}

impl CreatedKey {
    pub(crate) fn view(&self) -> CreatedKeyView<'_> {
        let scopes = self.scopes.iter().map(|scope| scope.as_str()).collect();
        CreatedKeyView { key_id: &self.key_id, secret: &self.secret, scopes }
    }
}

/// An API key in a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ApiKeyView {
    /// Its name.
    pub key_id: String,
    /// What its maker called it.
    pub label: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// RFC 3339.
    pub created_at: Timestamp,
    /// RFC 3339, once taken back.
    pub revoked_at: Option<Timestamp>,
}

impl Console {
    /// Makes an API key.
    /// Errors: `not_ready` before set-up; `invalid_request` without a scope, or for a label that is none.
    pub async fn create_api_key(
        &self,
        label: String,
        scopes: Vec<Scope>,
        origin: Origin,
    ) -> Result<CreatedKey, ServiceError> {
        if scopes.is_empty() {
            return Err(Refusal::field("scopes", "name sensors:read, sensors:write or both").into());
        }
        if label.chars().count() > MAX_LABEL || !label.chars().all(is_plain) {
            let problem = format!("at most {MAX_LABEL} printable characters are allowed");
            return Err(Refusal::field("label", problem).into());
        }
        let key_id = format!("tak_{}", hex(&ca::random::<8>()?));
        let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(ca::random::<32>()?));
        let now = self.now();
        let words: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
        let record = ApiKeyRecord {
            id: key_id.clone(),
            label,
            secret: Zeroizing::new(secret.as_bytes().to_vec()),
            scopes: words.join(","),
            created_at: now,
            revoked_at: None,
        };
        let made = move |tx: &mut dyn Tx| {
            require_setup(tx)?;
            api_keys::insert(tx, &record)?;
            let detail = Detail::new().with("key_id", &record.id).with("scopes", &record.scopes);
            audit::append(tx, &AuditEntry::success(Action::ApiKeyCreated, None, detail), &origin, now)?;
            Ok::<_, ServiceError>(())
        };
        self.db().write(made).await?;
        tracing::info!(%key_id, "API key created");
        Ok(CreatedKey { key_id, secret, scopes })
    }

    /// All API keys, newest first.
    pub(crate) async fn list_api_keys(&self) -> Result<Vec<ApiKeyView>, ServiceError> {
        let rows = self.db().read(|tx| api_keys::list(tx)).await?;
        Ok(rows.into_iter().map(view).collect())
    }

    /// Takes an API key back.
    pub async fn revoke_api_key(&self, key_id: String, origin: Origin) -> Result<(), ServiceError> {
        let now = self.now();
        self.db()
            .write(move |tx| {
                if !api_keys::revoke(tx, &key_id, now)? {
                    return Err(
                        Refusal::new(ErrorCode::NotFound, "There is no such API key in force.").into()
                    );
                }
                let detail = Detail::new().with("key_id", &key_id);
                let entry = AuditEntry::success(Action::ApiKeyRevoked, None, detail);
                Ok(audit::append(tx, &entry, &origin, now)?)
            })
            .await
    }

    /// Checks a signed call: its time, its signature over method, path and body, its scope, and that its nonce is new.
    /// The nonce is kept only when the signature holds, so that strangers cannot fill the table.
    /// Errors: `unauthorized` alike for an unknown key, a wrong signature and a used nonce; `forbidden` without the scope.
    pub async fn authorize(
        &self,
        call: SignedCall,
        method: &str,
        path: &str,
        body_sha256: &[u8; 32],
        scope: Scope,
    ) -> Result<(), ServiceError> {
        let now = self.now();
        check_time(call.timestamp, now)?;
        let key_id = call.key_id.clone();
        let key = self.db().read(move |tx| api_keys::by_id(tx, &key_id)).await?;
        let text = signed_text(method, path, call.timestamp, &call.nonce, body_sha256);
        let key = key.filter(|key| key.revoked_at.is_none() && signature_holds(key, &text, &call.signature));
        let key = key.ok_or_else(unauthorized)?;
        if !key.scopes.split(',').any(|word| word == scope.as_str()) {
            let message = format!("The API key lacks the scope {}; use one that has it.", scope.as_str());
            return Err(Refusal::new(ErrorCode::Forbidden, message).into());
        }
        let nonce = call.nonce;
        let fresh = self.db().write(move |tx| api_keys::use_nonce(tx, &key.id, &nonce, now)).await?;
        if fresh { Ok(()) } else { Err(unauthorized().into()) }
    }
}

/// Compares in constant time.
fn signature_holds(key: &ApiKeyRecord, text: &str, signature: &[u8; 32]) -> bool {
    let hmac_key = hmac::Key::new(hmac::HMAC_SHA256, &key.secret);
    hmac::verify(&hmac_key, text.as_bytes(), signature).is_ok()
}

fn view(key: ApiKeyRecord) -> ApiKeyView {
    ApiKeyView {
        scopes: key.scopes.split(',').map(str::to_owned).collect(),
        created_at: timestamp(key.created_at),
        revoked_at: key.revoked_at.map(timestamp),
        key_id: key.id,
        label: key.label,
    }
}
