//! Enrollment tokens: made, listed, taken back.

use jiff::Timestamp;
use serde::Serialize;
use telovix_contract::paths::DEFAULT_PORT;
use telovix_contract::states::{TokenStatus, TokenType};
use telovix_contract::token::TOKEN_BYTES;
use telovix_contract::{CaFingerprint, EnrollmentToken, ErrorCode, Flavor, NodeName, NodeRole, TokenHash};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::console::require_setup;
use super::{Console, ServiceError, licence};
use crate::ca;
use crate::clock::timestamp;
use crate::db::{DbError, Tx, audit, rules, sensors, settings, tokens};
use crate::domain::Refusal;
use crate::domain::audit::{Action, AuditEntry, Detail, Origin};
use crate::domain::listing::TokenFilter;
use crate::domain::page::{Cursor, Page, Piece};
use crate::domain::sensor::Standing;
use crate::domain::token::{TokenDraft, TokenId, TokenRecord, TokenSpec, check};

/// A token that was just made: the only time that its secret is shown.
#[derive(Debug)]
pub struct CreatedToken {
    /// Names it without being it.
    pub id: TokenId,
    /// The secret.
    pub token: EnrollmentToken,
    /// One-time or for a cluster.
    pub kind: TokenType,
    /// Unix seconds.
    pub expires_at: i64,
    /// A line for the host's shell.
    pub install_command: String,
    /// A sentence when the licence is 90 % full or more.
    pub capacity_warning: Option<String>,
    /// A sentence when the licence's time is over.
    pub licence_warning: Option<String>,
}

/// The answer to whoever made a token.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CreatedView<'a> {
    /// Names it without being it.
    pub id: TokenId,
    /// The secret, this once.
    pub token: &'a str,
    /// `once` or `cluster`.
    #[serde(rename = "type")]
    pub kind: TokenType,
    /// RFC 3339.
    pub expires_at: Timestamp,
    /// A line for the host's shell.
    pub install_command: &'a str,
    /// A sentence when the licence is 90 % full or more, else null.
    pub capacity_warning: Option<&'a str>,
    /// A sentence when the licence's time is over, else null.
    pub licence_warning: Option<&'a str>,
}

impl CreatedToken {
    /// The line for a host of which the name, the role and the edition are known. Each is of an alphabet that a shell takes
    /// as it is.
    pub(crate) fn install_command_for(&self, node: &NodeName, role: &NodeRole, flavor: Flavor) -> String {
        let more = format!(" --token-stdin --node-name '{node}' --node-role '{role}' --flavor '{flavor}';");
        self.install_command.replacen(" --token-stdin;", &more, 1)
    }

    pub(crate) fn view(&self) -> CreatedView<'_> {
        CreatedView {
            id: self.id,
            token: self.token.expose(),
            kind: self.kind,
            expires_at: timestamp(self.expires_at),
            install_command: &self.install_command,
            capacity_warning: self.capacity_warning.as_deref(),
            licence_warning: self.licence_warning.as_deref(),
        }
    }
}

/// A token in a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TokenView {
    /// Its name.
    pub id: TokenId,
    /// `once` or `cluster`.
    #[serde(rename = "type")]
    pub kind: TokenType,
    /// `pending`, `used`, `expired` or `revoked`.
    pub status: TokenStatus,
    /// What its maker called it.
    pub label: Option<String>,
    /// The only cluster that may use it.
    pub cluster_id: Option<String>,
    /// The only sensor that may use it.
    pub sensor_id: Option<String>,
    /// Whether that sensor may come from another host.
    pub replace_host: bool,
    /// Most distinct nodes.
    pub max_nodes: Option<i64>,
    /// Distinct nodes so far.
    pub node_count: i64,
    /// Enrollments so far.
    pub use_count: i64,
    /// RFC 3339.
    pub created_at: Timestamp,
    /// RFC 3339.
    pub expires_at: Timestamp,
    /// RFC 3339, of its last use.
    pub used_at: Option<Timestamp>,
    /// RFC 3339, since when it is kept for a waiting enrollment.
    pub reserved_at: Option<Timestamp>,
}

impl Console {
    /// Makes a token.
    /// Errors: `not_ready` before set-up, `invalid_request` naming the field.
    pub async fn create_token(
        &self,
        draft: TokenDraft,
        origin: Origin,
    ) -> Result<CreatedToken, ServiceError> {
        let authority = self.authority()?;
        let secret = Zeroizing::new(ca::random::<TOKEN_BYTES>()?);
        let token = EnrollmentToken::from_bytes(&secret);
        let (now, hash, id) = (self.now(), token.hash(), TokenId::random());
        let made = move |tx: &mut dyn Tx| {
            require_setup(tx)?;
            let spec = check(draft, &settings::lifetimes(tx)?)?;
            require_sensor(tx, &spec)?;
            tokens::insert(tx, id, &hash, &spec, now)?;
            audit::append(tx, &creation(id, &spec), &origin, now)?;
            Ok::<_, ServiceError>((spec, licence::slots(tx, now)?, public_url(tx)?))
        };
        let (spec, slots, url) = self.db().write(made).await?;
        tracing::info!(token_id = %id, r#type = %spec.kind, "token created");
        let install_command =
            install_command(&url, &authority.fingerprint(), &authority.server_pin(), &token);
        let expires_at = now + spec.lifetime;
        let (capacity_warning, licence_warning) = (slots.capacity_warning(), slots.term.warning());
        let kind = spec.kind;
        Ok(CreatedToken { id, token, kind, expires_at, install_command, capacity_warning, licence_warning })
    }

    /// The address that hosts are told.
    pub async fn public_url(&self) -> Result<String, ServiceError> {
        Ok(self.db().read(|tx| public_url(tx)).await?)
    }

    /// Tokens, newest first.
    pub async fn list_tokens(
        &self,
        filter: TokenFilter,
        piece: Piece,
    ) -> Result<Page<TokenView>, ServiceError> {
        let (now, most) = (self.now(), piece.rows);
        let look = move |tx: &mut dyn Tx| tokens::list(tx, &filter, piece.after.as_ref(), most + 1, now);
        let rows = self.db().read(look).await?;
        let cursor = |token: &TokenRecord| Cursor { at: token.created_at, id: token.id.to_string() };
        Ok(Page::cut(rows, most, cursor).map(|token| view(token, now)))
    }

    /// How the token with this hash stands at this moment, if there is one.
    pub(crate) async fn token_status(&self, hash: TokenHash) -> Result<Option<TokenStatus>, ServiceError> {
        let now = self.now();
        Ok(self.db().read(move |tx| tokens::status_by_hash(tx, &hash, now)).await?)
    }

    /// Forgets every token and every rule, whoever waits included.
    pub(crate) async fn forget_tokens(&self, origin: Origin) -> Result<(), ServiceError> {
        let now = self.now();
        let forget = move |tx: &mut dyn Tx| {
            let detail =
                Detail::new().with("tokens", tokens::forget_all(tx)?).with("rules", rules::forget_all(tx)?);
            audit::append(tx, &AuditEntry::success(Action::TokensForgotten, None, detail), &origin, now)
        };
        Ok(self.db().write(forget).await?)
    }

    /// Takes a pending token back.
    pub async fn revoke_token(&self, id: TokenId, origin: Origin) -> Result<TokenView, ServiceError> {
        let now = self.now();
        let revoked = move |tx: &mut dyn Tx| {
            let Some(token) = tokens::by_id(tx, id)? else {
                return Err(Refusal::new(ErrorCode::NotFound, "There is no such token.").into());
            };
            if token.status_at(now) != TokenStatus::Pending || !tokens::revoke(tx, id, now)? {
                let message =
                    "Only a pending token can be revoked; this one is used, expired or revoked already.";
                return Err(Refusal::new(ErrorCode::Conflict, message).into());
            }
            let detail = Detail::new().with("token_id", id);
            audit::append(tx, &AuditEntry::success(Action::TokenRevoked, None, detail), &origin, now)?;
            let token = tokens::by_id(tx, id)?;
            token.ok_or(ServiceError::Db(DbError::Missing("token of this id")))
        };
        let token = self.db().write::<_, ServiceError, _>(revoked).await?;
        tracing::info!(token_id = %id, "token revoked");
        Ok(view(token, now))
    }
}

/// The line that installs and enrolls: it pins the server's key for the download, which carries no secret and follows a
/// redirection only to where that key is, and hands the token over on standard input, so that it stands in no process list.
/// It works for root without sudo and where sudo is an alias, and its exit status is that of the part that failed.
pub(crate) fn install_command(
    url: &str,
    fingerprint: &CaFingerprint,
    pin: &str,
    token: &EnrollmentToken,
) -> String {
    format!(
        "f=$(mktemp) && curl -fsSL -k --proto '=https' --connect-timeout 20 -m 90 --pinnedpubkey 'sha256//{pin}' -o \"$f\" \
         '{url}/install.sh' && echo '{}' | $(unalias -a; [ \"$(id -u)\" = 0 ] || command -v sudo) sh \"$f\" \
         --console-url '{url}' --ca-fingerprint '{fingerprint}' --token-stdin; s=$?; rm -f \"$f\"; (exit $s)",
        token.expose()
    )
}

/// The address for hosts: as an operator gave it, else as `serve` worked it out, else by the first server name.
pub(super) fn public_url(tx: &mut dyn Tx) -> Result<String, DbError> {
    if let Some(url) = settings::get(tx, settings::PUBLIC_URL)? {
        return Ok(url);
    }
    if let Some(url) = settings::get(tx, settings::DERIVED_URL)? {
        return Ok(url);
    }
    let names = settings::get(tx, settings::SERVER_NAMES)?.unwrap_or_default();
    Ok(url_for(names.split(' ').next().filter(|name| !name.is_empty()).unwrap_or("localhost"), DEFAULT_PORT))
}

/// `https://host:port`, IPv6 addresses in brackets.
pub(crate) fn url_for(host: &str, port: u16) -> String {
    let bracketed = host.contains(':') && !host.starts_with('[');
    if bracketed { format!("https://[{host}]:{port}") } else { format!("https://{host}:{port}") }
}

fn require_sensor(tx: &mut dyn Tx, spec: &TokenSpec) -> Result<(), ServiceError> {
    let Some(id) = spec.sensor_id else { return Ok(()) };
    let Some(sensor) = sensors::by_id(tx, id)? else {
        return Err(Refusal::field("sensor_id", "there is no such sensor").into());
    };
    if sensor.standing == Standing::Revoked {
        let message = "The sensor is revoked, and a revoked record never comes back. Create a token without a sensor and approve the host when it asks, or delete the sensor first.";
        return Err(Refusal::new(ErrorCode::Conflict, message).into());
    }
    Ok(())
}

fn creation(id: TokenId, spec: &TokenSpec) -> AuditEntry {
    let detail = Detail::new()
        .with("token_id", id)
        .with("type", spec.kind)
        .with("lifetime_seconds", spec.lifetime)
        .maybe("cluster_id", spec.cluster_id.as_ref())
        .maybe("max_nodes", spec.max_nodes)
        .maybe("replace_host", spec.replace_host.then_some(true))
        .maybe("label", spec.label.as_ref());
    AuditEntry::success(Action::TokenCreated, spec.sensor_id, detail)
}

pub(super) fn view(token: TokenRecord, now: i64) -> TokenView {
    TokenView {
        id: token.id,
        kind: token.kind,
        status: token.status_at(now),
        label: token.label,
        cluster_id: token.cluster_id.map(String::from),
        sensor_id: token.sensor_id.map(|id| id.to_string()),
        replace_host: token.replace_host,
        max_nodes: token.max_nodes,
        node_count: token.node_count,
        use_count: token.use_count,
        created_at: timestamp(token.created_at),
        expires_at: timestamp(token.expires_at),
        used_at: token.used_at.map(timestamp),
        reserved_at: token.reserved_at.map(timestamp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_install_command_keeps_the_token_out_of_argv() {
        let token = EnrollmentToken::from_bytes(&[3; TOKEN_BYTES]);
        let fingerprint = CaFingerprint::of_der(b"x");
        let line = install_command("https://c.example:15483", &fingerprint, "PIN=", &token);
        let (before, after) = line.split_once(token.expose()).unwrap();
        // `echo` is built into every shell, `printf` is not; what sudo runs gets the token on standard input.
        assert!(before.ends_with("&& echo '") && after.starts_with("' | $(unalias -a; "), "{line}");
        assert!(line.contains("--pinnedpubkey 'sha256//PIN='") && after.contains("--token-stdin"), "{line}");
        assert_eq!(url_for("::1", 1), "https://[::1]:1");
    }
}
