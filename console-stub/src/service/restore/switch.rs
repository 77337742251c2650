//! Turned on and off, and what may be forgotten meanwhile.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::export::Trail;
use super::reapply::{Applied, apply};
use crate::clock::timestamp;
use crate::db::{DbError, Tx, audit, settings, tokens};
use crate::domain::audit::{Action, AuditEntry, Detail, Origin};
use crate::domain::restore::{AfterRestore, Switch};
use crate::domain::setting::Setting;
use crate::service::console::require_setup;
use crate::service::tokens::{TokenView, view as token_view};
use crate::service::{Console, ServiceError};

/// Most tokens that are named.
const MOST_NAMED: i64 = 100;

/// What an administrator should know after a restore from a backup.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RestoreView {
    /// Whether certificates are adopted that the copy does not know.
    pub on: bool,
    /// RFC 3339, when it was last switched on; null where it never was.
    pub since: Option<Timestamp>,
    /// RFC 3339, when it ends by itself.
    pub until: Option<Timestamp>,
    /// RFC 3339, when it was ended.
    pub ended_at: Option<Timestamp>,
    /// RFC 3339: revocations, denials and other acts after this moment may be forgotten. It is the time of the newest audit record
    /// of the copy, or of the audit export that was applied since.
    pub known_until: Option<Timestamp>,
    /// How many tokens of the copy are pending that may have been used since.
    pub pending_tokens: i64,
    /// The newest hundred of them.
    pub tokens: Vec<TokenView>,
}

/// What became of `serve --after-restore`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// The time begins.
    Now,
    /// It is on already, and ends when it would have.
    Before,
    /// It was on and has ended. A flag that stays in a unit file does not turn it on for ever.
    Ended,
    /// The Console is not set up.
    NotSetUp,
}

impl Console {
    /// What `serve --after-restore` asks for: the time after a restore begins, once in the life of a database, and what a trail that
    /// went on says is done again. Both or neither.
    /// Errors: `conflict` for the trail of another Console.
    pub async fn begin_after_restore(
        &self,
        trail: Option<Trail>,
    ) -> Result<(Begun, Option<Applied>), ServiceError> {
        let now = self.now();
        let begin = move |tx: &mut dyn Tx| {
            let begun = begin(tx, now)?;
            let trail = trail.filter(|_| begun != Begun::NotSetUp);
            let applied = trail.map(|trail| apply(tx, &trail, now)).transpose()?;
            Ok::<_, ServiceError>((begun, applied))
        };
        let done = self.db().write(begin).await?;
        // An issuer may have been retired.
        self.reload().await?;
        Ok(done)
    }

    /// How the time after a restore stands, and what may be forgotten.
    pub async fn after_restore(&self) -> Result<RestoreView, ServiceError> {
        let now = self.now();
        let look = move |tx: &mut dyn Tx| {
            require_setup(tx)?;
            let Some(held) = settings::after_restore(tx)? else {
                let (since, until, ended_at, known_until) = (None, None, None, None);
                let (pending_tokens, tokens) = (0, Vec::new());
                return Ok(RestoreView {
                    on: false,
                    since,
                    until,
                    ended_at,
                    known_until,
                    pending_tokens,
                    tokens,
                });
            };
            let (pending_tokens, tokens) = tokens::maybe_used(tx, held.known_until, held.since, MOST_NAMED)?;
            Ok::<_, ServiceError>(RestoreView {
                on: held.is_on(now),
                since: Some(timestamp(held.since)),
                until: Some(timestamp(held.until)),
                ended_at: held.ended_at.map(timestamp),
                known_until: Some(timestamp(held.known_until)),
                pending_tokens,
                tokens: tokens.into_iter().map(|token| token_view(token, now)).collect(),
            })
        };
        self.db().read(look).await
    }
}

fn begin(tx: &mut dyn Tx, now: i64) -> Result<Begun, DbError> {
    if settings::get(tx, settings::SETUP_AT)?.is_none() {
        return Ok(Begun::NotSetUp);
    }
    match settings::after_restore(tx)? {
        Some(held) if held.is_on(now) => return Ok(Begun::Before),
        Some(_) => return Ok(Begun::Ended),
        None => {}
    }
    let detail =
        Detail::new().with("name", Setting::AfterRestore.name()).with("from", "off").with("to", "on");
    let detail = turn(tx, Switch::On, now, detail.with("by", "serve"))?;
    append(tx, detail, &Origin::default(), now)?;
    Ok(Begun::Now)
}

/// Whether certificates are adopted at this moment.
pub(in crate::service) fn is_on(tx: &mut dyn Tx, now: i64) -> Result<bool, DbError> {
    Ok(settings::after_restore(tx)?.is_some_and(|held| held.is_on(now)))
}

/// Turns it on for a certificate's life from now on, or off. Gives what the trail says of that besides.
pub(in crate::service) fn turn(
    tx: &mut dyn Tx,
    to: Switch,
    now: i64,
    detail: Detail,
) -> Result<Detail, DbError> {
    let held = settings::after_restore(tx)?;
    match (to, held) {
        (Switch::On, _) => {
            let life = settings::number(tx, Setting::CertificateHours)? * 3600;
            let known_until = audit::newest_at(tx)?.unwrap_or(now);
            let begun = AfterRestore::begin(now, life, known_until);
            settings::set_after_restore(tx, &begun)?;
            let (pending, _) = tokens::maybe_used(tx, known_until, now, 0)?;
            Ok(detail
                .with("until", timestamp(begun.until))
                .with("known_until", timestamp(known_until))
                .with("pending_tokens", pending))
        }
        (Switch::Off, Some(held)) if held.is_on(now) => {
            settings::set_after_restore(tx, &AfterRestore { ended_at: Some(now), ..held })?;
            Ok(detail)
        }
        (Switch::Off, Some(_) | None) => Ok(detail),
    }
}

/// Writes down that the time is over, at a moment to be trusted.
pub(in crate::service) fn end_in_time(tx: &mut dyn Tx, trusted: i64) -> Result<(), DbError> {
    let Some(then) = settings::after_restore(tx)?.and_then(|held| held.at(trusted)) else { return Ok(()) };
    settings::set_after_restore(tx, &then)?;
    if then.ended_at.is_none() {
        return Ok(());
    }
    let detail =
        Detail::new().with("name", Setting::AfterRestore.name()).with("from", "on").with("to", "off");
    append(tx, detail.with("by", "itself"), &Origin::default(), trusted)
}

fn append(tx: &mut dyn Tx, detail: Detail, origin: &Origin, now: i64) -> Result<(), DbError> {
    audit::append(tx, &AuditEntry::success(Action::SettingChanged, None, detail), origin, now)
}
