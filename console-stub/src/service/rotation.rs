//! The life of the issuers: a new one beside the old, the fleet drained from the old to the new, the old one retired.
//!
//! Invariant: at every moment each certificate in force has its issuer in force; an issuer goes when nobody needs it, or
//! when an operator says that those who do have to enroll again. The root stays, so pins stay (decision 0016).

use jiff::Timestamp;
use serde::Serialize;
use telovix_contract::ErrorCode;
use telovix_contract::session::RenewalWindow;
use uuid::Uuid;

use super::{Console, ServiceError};
use crate::ca::{self, hierarchy, issuer_record};
use crate::clock::timestamp;
use crate::db::authority::{self as table, IssuerKind, IssuerRecord, IssuerUse};
use crate::db::{Tx, audit, sensors, settings};
use crate::domain::Refusal;
use crate::domain::audit::{Action, AuditEntry, Detail, Origin};

/// Longest time over which a fleet may be drained, in seconds: 30 days, which is how long certificates last by default.
const LONGEST_DRAIN: i64 = 30 * 24 * 3600;

/// How fast the fleet leaves the old issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// Everybody within so many seconds, spread evenly.
    Within(i64),
    /// So many sensors a minute.
    PerMinute(u32),
}

/// A rotation that has begun.
#[derive(Debug, Clone, Serialize)]
pub struct Rotation {
    /// The issuer that signs from now on.
    pub issuer_id: String,
    /// The issuer before it, which goes on being trusted until it is retired.
    pub replaces: String,
    /// Sensors that were asked to renew.
    pub sensors: u64,
    /// When they do, each at a moment of its own.
    pub renew_between: RenewalWindow,
}

/// An issuer and who needs it.
#[derive(Debug, Clone, Serialize)]
pub struct IssuerView {
    /// Its name.
    pub issuer_id: String,
    /// `signing`, `draining` or `retired`.
    pub state: &'static str,
    /// RFC 3339.
    pub created_at: Timestamp,
    /// RFC 3339, end of its certificate.
    pub not_after: Timestamp,
    /// RFC 3339, where it was retired.
    pub(crate) retired_at: Option<Timestamp>,
    /// Sensors whose certificate is from it.
    pub sensors: i64,
}

impl Console {
    /// Makes a new issuer that signs from now on, has the server show a certificate from it, and asks every sensor to renew.
    /// The old issuer is trusted until it is retired.
    /// Errors: `invalid_request` for a drain that is too quick or too slow; `not_ready` before set-up; signing or the database.
    pub async fn rotate_issuer(&self, drain: Drain, origin: Origin) -> Result<Rotation, ServiceError> {
        self.authority()?;
        let now = self.now();
        let rotation = self.db().write(move |tx| rotate(tx, drain, &origin, now)).await?;
        self.reload().await?;
        tracing::info!(issuer_id = %rotation.issuer_id, sensors = rotation.sensors, "the issuer was rotated");
        Ok(rotation)
    }

    /// The issuers, newest first.
    pub async fn list_issuers(&self) -> Result<Vec<IssuerView>, ServiceError> {
        let now = self.now();
        let uses = self.db().read::<_, ServiceError, _>(move |tx| Ok(table::issuer_uses(tx, now)?)).await?;
        let signing = uses.iter().find(|found| found.retired_at.is_none()).map(|found| found.id.clone());
        Ok(uses.into_iter().map(|found| view(found, signing.as_deref())).collect())
    }

    /// Takes an issuer out of force. Refused for the one that signs, and while sensors need it, unless `anyway`: those have
    /// to enroll again then.
    pub async fn retire_issuer(
        &self,
        id: String,
        anyway: bool,
        origin: Origin,
    ) -> Result<IssuerView, ServiceError> {
        let now = self.now();
        let retired = self.db().write(move |tx| retire(tx, &id, anyway, &origin, now)).await?;
        self.reload().await?;
        tracing::info!(issuer_id = %retired.id, "an issuer was retired");
        Ok(view(retired, None))
    }
}

fn rotate(tx: &mut dyn Tx, drain: Drain, origin: &Origin, now: i64) -> Result<Rotation, ServiceError> {
    let issuers = table::issuers(tx)?;
    let of = |kind| issuers.iter().find(move |issuer: &&IssuerRecord| issuer.kind == kind);
    let (Some(root), Some(old)) = (of(IssuerKind::Root), of(IssuerKind::Issuing)) else {
        return Err(ca::CaError::Missing("issuing CA").into());
    };
    let made = hierarchy::next_issuer(&root.certificate, &root.private_key, root.not_after, now)?;
    let id = Uuid::new_v4().to_string();
    // The newest signs; two in one second are told apart.
    let created_at = now.max(old.created_at + 1);
    table::insert_issuer(tx, &issuer_record(&id, IssuerKind::Issuing, made, created_at))?;
    let authority = match ca::Authority::load(tx) {
        Ok(authority) => authority,
        Err(ca::LoadError::Db(error)) => return Err(error.into()),
        Err(ca::LoadError::Ca(error)) => return Err(error.into()),
    };
    let names = settings::get(tx, settings::SERVER_NAMES)?.unwrap_or_default();
    let names: Vec<String> = names.split_whitespace().map(str::to_owned).collect();
    table::put_server_certificate(tx, &authority.issue_server(&names, now)?)?;

    let until = now + seconds(drain, sensors::count_not_revoked(tx)?)?;
    let asked = sensors::ask_everybody(tx, now, until)?;
    let detail = Detail::new().with("issuer_id", &id).with("replaces", &old.id).with("sensors", asked);
    audit::append(tx, &AuditEntry::success(Action::IssuerRotated, None, detail), origin, now)?;
    let renew_between = RenewalWindow { start: timestamp(now), end: timestamp(until) };
    Ok(Rotation { issuer_id: id, replaces: old.id.clone(), sensors: asked, renew_between })
}

/// How long a drain of so many sensors takes.
fn seconds(drain: Drain, sensors: i64) -> Result<i64, Refusal> {
    let (field, taken) = match drain {
        Drain::Within(seconds) => ("within_seconds", seconds),
        Drain::PerMinute(0) => ("per_minute", 0),
        Drain::PerMinute(rate) => {
            ("per_minute", (sensors.saturating_mul(60) / i64::from(rate)).saturating_add(1))
        }
    };
    if (1..=LONGEST_DRAIN).contains(&taken) {
        return Ok(taken);
    }
    let days = LONGEST_DRAIN / 86_400;
    Err(Refusal::field(field, format!("the drain has to take from one second to {days} days")))
}

fn retire(
    tx: &mut dyn Tx,
    id: &str,
    anyway: bool,
    origin: &Origin,
    now: i64,
) -> Result<IssuerUse, ServiceError> {
    let uses = table::issuer_uses(tx, now)?;
    let signing = uses.iter().find(|found| found.retired_at.is_none()).map(|found| found.id.clone());
    let conflict = |message: String| Err(Refusal::new(ErrorCode::Conflict, message).into());
    let Some(found) = uses.into_iter().find(|found| found.id == id) else {
        return Err(Refusal::new(ErrorCode::NotFound, "There is no such issuer.").into());
    };
    if signing.as_deref() == Some(id) {
        return conflict("This issuer signs; rotate first, and retire it then.".to_owned());
    }
    if found.retired_at.is_some() {
        return Ok(found);
    }
    if found.sensors > 0 && !anyway {
        return conflict(format!(
            "{} sensors still have a certificate from this issuer; wait until they have renewed, or retire it anyway: \
             they have to enroll again then.",
            found.sensors
        ));
    }
    table::retire_issuer(tx, id, now)?;
    let detail = Detail::new().with("issuer_id", id).with("sensors", found.sensors);
    audit::append(tx, &AuditEntry::success(Action::IssuerRetired, None, detail), origin, now)?;
    Ok(IssuerUse { retired_at: Some(now), ..found })
}

fn view(found: IssuerUse, signing: Option<&str>) -> IssuerView {
    let state = match found.retired_at {
        Some(_) => "retired",
        None if signing == Some(&found.id) => "signing",
        None => "draining",
    };
    IssuerView {
        state,
        created_at: timestamp(found.created_at),
        not_after: timestamp(found.not_after),
        retired_at: found.retired_at.map(timestamp),
        sensors: found.sensors,
        issuer_id: found.id,
    }
}
