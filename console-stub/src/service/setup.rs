//! Makes a Console out of an empty database, in one transaction: administrator, licence, CA, server certificate, keys.

use sha2::{Digest as _, Sha256};
use telovix_contract::{CaFingerprint, ErrorCode};
use zeroize::Zeroizing;

pub use super::licence::Grant;
use super::users::hashed;
use super::{Console, ServiceError, licence};
use crate::ca::hierarchy::{self, MadeCa};
use crate::ca::{Authority, CaError, LoadError, issuer_record};
use crate::db::authority::{self as table, IssuerKind, IssuerRecord, KeyPurpose};
use crate::db::{Tx, audit, settings, users};
use crate::domain::Refusal;
use crate::domain::audit::{Action, AuditEntry, Detail, Origin};
use crate::domain::public_url::PublicUrl;
use crate::domain::role::Role;
use crate::domain::setting::{Setting, Vertical};
use crate::domain::user::{check_email, check_password};

/// What a Console starts with.
#[derive(Debug)]
pub struct Setup {
    /// The first administrator's address.
    pub admin_email: String,
    /// The first administrator's password.
    pub admin_password: Zeroizing<String>,
    /// Names and addresses of the server certificate, beside this machine's own.
    pub server_names: Vec<String>,
    /// How many sensors may be enrolled.
    pub licence: Grant,
    /// PEM public keys (Ed25519) that may sign licences.
    pub licence_trust: Option<String>,
    /// The address that hosts reach the Console under.
    pub public_url: Option<PublicUrl>,
    /// What the Console is for.
    pub vertical: Vertical,
}

/// What set-up made.
#[derive(Debug, Clone)]
pub struct SetUp {
    /// The CA, PEM: root first.
    pub ca_pem: String,
    /// The root's fingerprint.
    pub ca_fingerprint: CaFingerprint,
}

impl Console {
    /// Sets the Console up.
    /// Errors: `conflict` when it is set up already, and then nothing changes; `invalid_request` naming what is wrong.
    pub async fn set_up(&self, setup: Setup) -> Result<SetUp, ServiceError> {
        check_email("admin_email", &setup.admin_email)?;
        check_password("admin_password", &setup.admin_password)?;
        let password_hash = hashed(setup.admin_password.clone()).await?;
        let now = self.now();
        let made = self.db().write(move |tx| write_all(tx, &setup, &password_hash, now)).await?;
        self.reload().await?;
        tracing::info!(ca_fingerprint = %made.ca_fingerprint, "the Console is set up");
        Ok(made)
    }
}

fn write_all(tx: &mut dyn Tx, setup: &Setup, password_hash: &str, now: i64) -> Result<SetUp, ServiceError> {
    if settings::get(tx, settings::SETUP_AT)?.is_some() {
        let message = "The Console is set up already; nothing was changed.";
        return Err(Refusal::new(ErrorCode::Conflict, message).into());
    }
    users::insert(tx, &setup.admin_email, Role::Admin, password_hash, now)?;
    if let Some(trust) = &setup.licence_trust {
        licence::set_trust(tx, trust)?;
    }
    licence::grant(tx, &setup.licence, now)?;
    write_authority(tx, now)?;
    settings::set(tx, settings::SERVER_NAMES, &setup.server_names.join(" "))?;
    if let Some(url) = &setup.public_url {
        settings::set(tx, settings::PUBLIC_URL, url.as_str())?;
    }
    settings::set(tx, Setting::Vertical.name(), setup.vertical.as_str())?;
    let authority = load(tx)?;
    let server = authority.issue_server(&setup.server_names, now).map_err(name_problem)?;
    table::put_server_certificate(tx, &server)?;
    settings::set(tx, settings::SETUP_AT, &now.to_string())?;
    let detail = Detail::new()
        .with("admin", &setup.admin_email)
        .with("ca_fingerprint", authority.fingerprint())
        .with("vertical", setup.vertical.as_str());
    let entry = AuditEntry::success(Action::SetupCompleted, None, detail);
    audit::append(tx, &entry, &Origin::default(), now)?;
    Ok(SetUp { ca_pem: authority.ca_pem().to_owned(), ca_fingerprint: authority.fingerprint() })
}

fn write_authority(tx: &mut dyn Tx, now: i64) -> Result<(), ServiceError> {
    let root = hierarchy::root(now)?;
    let issuer = hierarchy::issuer(&root, now)?;
    table::insert_issuer(tx, &record(IssuerKind::Root, root, now))?;
    table::insert_issuer(tx, &record(IssuerKind::Issuing, issuer, now))?;
    table::insert_key(tx, KeyPurpose::Server, &hierarchy::server_key()?, now)?;
    table::insert_key(tx, KeyPurpose::Policy, &hierarchy::policy_key()?, now)?;
    Ok(())
}

/// The id of an issuer is the start of its fingerprint.
fn record(kind: IssuerKind, made: MadeCa, now: i64) -> IssuerRecord {
    let fingerprint = telovix_contract::token::hex(&Sha256::digest(&made.certificate.der));
    let id: String = fingerprint.chars().take(16).collect();
    issuer_record(&id, kind, made, now)
}

fn load(tx: &mut dyn Tx) -> Result<Authority, ServiceError> {
    Authority::load(tx).map_err(|error| match error {
        LoadError::Db(error) => error.into(),
        LoadError::Ca(error) => error.into(),
    })
}

fn name_problem(error: CaError) -> ServiceError {
    match error {
        CaError::BadName(_) => Refusal::field("server_name", error).into(),
        CaError::Encode(_)
        | CaError::Random
        | CaError::Missing(_)
        | CaError::Unreadable(_)
        | CaError::IssuerExpired => error.into(),
    }
}
