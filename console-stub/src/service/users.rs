//! Operators: accounts, signing in and out, and whose a session is (docs/contract.md section 5).
//!
//! Invariant: a refused login says the same, and takes as long, whether the address, the password or the account was
//! wrong; and no number of attempts at once gets more guesses than the lock allows.

use jiff::Timestamp;
use std::sync::LazyLock;

use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use telovix_contract::ErrorCode;
use tokio::sync::Semaphore;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::console::require_setup;
use super::{Console, ServiceError};
use crate::ca;
use crate::clock::timestamp;
use crate::db::users::{self, UserRecord};
use crate::db::{DbError, Tx, audit};
use crate::domain::Refusal;
use crate::domain::audit::{Action, AuditEntry, AuditOutcome, Detail, Origin};
use crate::domain::role::Role;
use crate::domain::user::{
    SESSION_LONGEST, check_email, check_password, is_locked, locked, not_signed_in, one_more_failure,
    session_lives, wrong_login,
};

/// Passwords hashed at once: each takes 19 MiB and a core.
static HASHING: Semaphore = Semaphore::const_new(2);
/// What an unknown address is compared with, so that it takes as long as a known one.
static NOBODY: LazyLock<String> = LazyLock::new(|| hash_password("nobody has this one").unwrap_or_default());
/// Seconds between two notes that a session was used.
const NOTE_EVERY: i64 = 60;

/// A user in a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct UserView {
    /// The address.
    pub email: String,
    /// What the user may do.
    pub role: &'static str,
    /// `active` or `disabled`.
    pub status: &'static str,
    /// RFC 3339.
    pub created_at: Timestamp,
}

/// A session that was just started.
#[derive(Debug)]
pub struct Login {
    /// The secret, for the cookie.
    pub secret: Zeroizing<String>,
    /// Who signed in.
    pub user: UserView,
    /// Unix seconds at which it ends at the latest.
    pub expires_at: i64,
}

/// Whose a session is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// The address.
    pub email: String,
    /// What the operator may do.
    pub role: Role,
}

/// Whether somebody is there, or an open page looks by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Somebody asked for it.
    Acts,
    /// A page that was left open.
    Watches,
}

impl Console {
    /// Makes a user.
    /// Errors: `invalid_request` naming the field; `conflict` when there is one of this address.
    pub async fn create_user(
        &self,
        email: String,
        role: Role,
        password: Zeroizing<String>,
        origin: Origin,
    ) -> Result<UserView, ServiceError> {
        check_email("email", &email)?;
        check_password("password", &password)?;
        let now = self.now();
        let hash = hashed(password).await?;
        let made = move |tx: &mut dyn Tx| {
            require_setup(tx)?;
            if users::by_email(tx, &email)?.is_some() {
                return Err(Refusal::new(ErrorCode::Conflict, "There is a user of this address.").into());
            }
            users::insert(tx, &email, role, &hash, now)?;
            let detail = Detail::new().with("user", &email).with("role", role.as_str());
            audit::append(tx, &AuditEntry::success(Action::UserCreated, None, detail), &origin, now)?;
            Ok::<_, ServiceError>(view(find(tx, &email)?))
        };
        self.db().write(made).await
    }

    /// All users, oldest first.
    pub(crate) async fn list_users(&self) -> Result<Vec<UserView>, ServiceError> {
        let rows = self.db().read(|tx| users::list(tx)).await?;
        Ok(rows.into_iter().map(view).collect())
    }

    /// Disables a user; the sessions end.
    pub async fn disable_user(&self, email: String, origin: Origin) -> Result<UserView, ServiceError> {
        let now = self.now();
        let change = move |tx: &mut dyn Tx| {
            let user = find(tx, &email)?;
            require_another_admin(tx, &user)?;
            if user.disabled_at.is_none() {
                users::disable(tx, &user.id, now)?;
                let entry =
                    AuditEntry::success(Action::UserDisabled, None, Detail::new().with("user", &email));
                audit::append(tx, &entry, &origin, now)?;
            }
            Ok::<_, ServiceError>(view(find(tx, &email)?))
        };
        self.db().write(change).await
    }

    pub(crate) async fn enable_user(&self, email: String, origin: Origin) -> Result<UserView, ServiceError> {
        let now = self.now();
        let change = move |tx: &mut dyn Tx| {
            let user = find(tx, &email)?;
            if user.disabled_at.is_some() {
                users::enable(tx, &user.id)?;
                let entry =
                    AuditEntry::success(Action::UserEnabled, None, Detail::new().with("user", &email));
                audit::append(tx, &entry, &origin, now)?;
            }
            Ok::<_, ServiceError>(view(find(tx, &email)?))
        };
        self.db().write(change).await
    }

    /// Gives a user another role; the sessions end.
    pub(crate) async fn change_role(
        &self,
        email: String,
        role: Role,
        origin: Origin,
    ) -> Result<UserView, ServiceError> {
        let now = self.now();
        let change = move |tx: &mut dyn Tx| {
            let user = find(tx, &email)?;
            if user.role != role {
                require_another_admin(tx, &user)?;
                users::set_role(tx, &user.id, role)?;
                let detail = Detail::new()
                    .with("user", &email)
                    .with("from", user.role.as_str())
                    .with("to", role.as_str());
                audit::append(tx, &AuditEntry::success(Action::UserRoleChanged, None, detail), &origin, now)?;
            }
            Ok::<_, ServiceError>(view(find(tx, &email)?))
        };
        self.db().write(change).await
    }

    /// Gives a user another password; the sessions end, and a lock is lifted.
    pub async fn change_password(
        &self,
        email: String,
        password: Zeroizing<String>,
        origin: Origin,
    ) -> Result<UserView, ServiceError> {
        check_password("password", &password)?;
        let now = self.now();
        let hash = hashed(password).await?;
        let change = move |tx: &mut dyn Tx| {
            let user = find(tx, &email)?;
            users::set_password(tx, &user.id, &hash)?;
            users::set_failures(tx, &email, 0, now)?;
            let entry =
                AuditEntry::success(Action::UserPasswordChanged, None, Detail::new().with("user", &email));
            audit::append(tx, &entry, &origin, now)?;
            Ok::<_, ServiceError>(view(user))
        };
        self.db().write(change).await
    }

    /// Signs an operator in.
    /// Errors: `unauthorized` alike for all that may be wrong; `rate_limited` while the address is locked.
    pub async fn log_in(
        &self,
        email: String,
        password: Zeroizing<String>,
        origin: Origin,
    ) -> Result<Login, ServiceError> {
        let now = self.now();
        if check_email("email", &email).is_err() || check_password("password", &password).is_err() {
            return Err(wrong_login().into());
        }
        let typed = email.clone();
        let look = move |tx: &mut dyn Tx| {
            Ok::<_, DbError>((users::failures(tx, &typed)?, users::by_email(tx, &typed)?))
        };
        let ((failures, last_at), user) = self.db().read(look).await?;
        if is_locked(failures, last_at, now) {
            return Err(locked(last_at, now).into());
        }
        let hash = user.as_ref().map_or_else(|| NOBODY.clone(), |user| user.password_hash.clone());
        let holds = verified(password, hash).await?;
        let user = user.filter(|user| holds && user.disabled_at.is_none());
        let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(ca::random::<32>()?));
        let secret_hash = hash_of(&secret);
        let settle = move |tx: &mut dyn Tx| settle(tx, &email, user, &secret_hash, origin, now);
        let user = self.db().write(settle).await??;
        Ok(Login { secret, user: view(user), expires_at: now + SESSION_LONGEST })
    }

    /// Whose session this is. A call of somebody who is there keeps the session alive.
    pub async fn operator(&self, secret: &str, presence: Presence) -> Result<Operator, ServiceError> {
        let (now, hash) = (self.now(), hash_of(secret));
        let found = self.db().read(move |tx| users::session(tx, &hash)).await?;
        let lives = found.filter(|found| {
            found.user.disabled_at.is_none() && session_lives(found.created_at, found.last_seen_at, now)
        });
        let session = lives.ok_or_else(not_signed_in)?;
        if presence == Presence::Acts && now - session.last_seen_at >= NOTE_EVERY {
            self.db().write(move |tx| users::session_seen(tx, &hash, now)).await?;
        }
        Ok(Operator { email: session.user.email, role: session.user.role })
    }

    /// Ends a session.
    pub async fn log_out(&self, secret: &str, origin: Origin) -> Result<(), ServiceError> {
        let (now, hash) = (self.now(), hash_of(secret));
        let end = move |tx: &mut dyn Tx| {
            users::end_session(tx, &hash)?;
            audit::append(tx, &AuditEntry::success(Action::LoggedOut, None, Detail::new()), &origin, now)
        };
        Ok(self.db().write(end).await?)
    }
}

/// Looks at the lock once more: of many attempts at once, those behind the last allowed failure get no guess, whatever
/// they guessed.
fn settle(
    tx: &mut dyn Tx,
    email: &str,
    user: Option<UserRecord>,
    secret_hash: &[u8; 32],
    mut origin: Origin,
    now: i64,
) -> Result<Result<UserRecord, Refusal>, ServiceError> {
    let (failures, last_at) = users::failures(tx, email)?;
    let locked_now = is_locked(failures, last_at, now);
    if let Some(user) = user.filter(|_| !locked_now) {
        users::set_failures(tx, email, 0, now)?;
        users::start_session(tx, secret_hash, &user.id, now)?;
        origin.actor_email = Some(user.email.clone());
        audit::append(tx, &AuditEntry::success(Action::LoggedIn, None, Detail::new()), &origin, now)?;
        return Ok(Ok(user));
    }
    if locked_now {
        return Ok(Err(locked(last_at, now)));
    }
    users::set_failures(tx, email, one_more_failure(failures, last_at, now), now)?;
    // Of an unknown address nothing is kept: it may be a password in the wrong field.
    let known = users::by_email(tx, email)?.map(|user| user.email);
    let detail = Detail::new().maybe("user", known);
    let (action, outcome) = (Action::LoggedIn, AuditOutcome::Failure);
    audit::append(tx, &AuditEntry { action, outcome, sensor_id: None, detail }, &origin, now)?;
    Ok(Err(wrong_login()))
}

/// A Console without an administrator could not be helped but on the machine itself.
pub(super) fn require_another_admin(tx: &mut dyn Tx, user: &UserRecord) -> Result<(), ServiceError> {
    let active = |other: &UserRecord| other.role == Role::Admin && other.disabled_at.is_none();
    if active(user) && users::list(tx)?.iter().filter(|other| active(other)).count() == 1 {
        let message = "This is the last administrator; make another one first.";
        return Err(Refusal::new(ErrorCode::Conflict, message).into());
    }
    Ok(())
}

/// Argon2id with the library's parameters (19 MiB, two passes), which are OWASP's.
fn hash_password(password: &str) -> Result<String, Refusal> {
    let hash = Argon2::default().hash_password(password.as_bytes());
    hash.map(|hash| hash.to_string())
        .map_err(|error| Refusal::field("password", format!("it cannot be hashed ({error})")))
}

/// Hashes a password, off the threads that serve.
pub(super) async fn hashed(password: Zeroizing<String>) -> Result<String, ServiceError> {
    Ok(off_the_runtime(move || hash_password(&password)).await??)
}

async fn verified(password: Zeroizing<String>, hash: String) -> Result<bool, ServiceError> {
    off_the_runtime(move || {
        let hash = argon2::PasswordHash::new(&hash);
        hash.is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
    })
    .await
}

async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ServiceError> {
    let _turn = HASHING.acquire().await.expect("nobody closes this semaphore");
    tokio::task::spawn_blocking(work).await.map_err(|_| ServiceError::Hashing)
}

fn hash_of(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

fn find(tx: &mut dyn Tx, email: &str) -> Result<UserRecord, ServiceError> {
    let none = || Refusal::new(ErrorCode::NotFound, "There is no user of this address.");
    Ok(users::by_email(tx, email)?.ok_or_else(none)?)
}

fn view(user: UserRecord) -> UserView {
    UserView {
        email: user.email,
        role: user.role.as_str(),
        status: if user.disabled_at.is_some() { "disabled" } else { "active" },
        created_at: timestamp(user.created_at),
    }
}
