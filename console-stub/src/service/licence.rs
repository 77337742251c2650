//! The licence: a trial, or a bundle that a trusted key signed.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rcgen::{KeyPair, SigningKey as _};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::console::{not_set_up, require_setup};
use super::{Console, ServiceError};
use crate::clock::timestamp;
use crate::db::licences::{self, LicenceRecord};
use crate::db::{DbError, Tx, audit, settings};
use crate::domain::Refusal;
use crate::domain::audit::{Action, AuditEntry, Detail, Origin};
use crate::domain::licence::{LicencePayload, Slots, Term};

/// A licence on its way: the payload as base64 of its JSON, and an Ed25519 signature over that JSON in base64.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Bundle {
    /// Base64 of the payload's JSON, exactly as it was signed.
    pub payload: String,
    /// Base64 of the signature.
    pub signature: String,
}

/// Where the licence comes from.
#[derive(Debug, Clone)]
pub enum Grant {
    /// A trial of so many nodes.
    Trial(u32),
    /// A signed bundle, JSON.
    Bundle(String),
}

/// How the licence stands, for people and programs.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct LicenceView {
    /// Its id.
    pub id: String,
    /// `trial` or `bundle`.
    pub source: String,
    /// Sensors allowed.
    pub max_protected_nodes: i64,
    /// Sensors that take a slot.
    pub protected_nodes: i64,
    /// RFC 3339, from when it counts; null for a trial.
    pub not_before: Option<Timestamp>,
    /// RFC 3339, when its time is over; null where it does not end.
    pub expires_at: Option<Timestamp>,
    /// RFC 3339, when no new host is let in any more.
    pub grace_ends_at: Option<Timestamp>,
    /// `valid`, `grace`, `expired` or `not_yet_valid`.
    pub state: &'static str,
    /// A sentence where there is something to do, else null.
    pub warning: Option<String>,
}

impl Console {
    /// Imports a signed bundle.
    /// Errors: `invalid_request` when no trusted key signed it, or its time is not now.
    pub async fn import_licence(&self, bundle: String, origin: Origin) -> Result<LicenceView, ServiceError> {
        self.import_licence_of(bundle, None, origin).await
    }

    /// The same; where keys are given, these and no others are trusted from now on, if one of them signed the bundle.
    pub(crate) async fn import_licence_of(
        &self,
        bundle: String,
        trust: Option<String>,
        origin: Origin,
    ) -> Result<LicenceView, ServiceError> {
        let now = self.now();
        self.db()
            .write(move |tx| {
                require_setup(tx)?;
                if let Some(trust) = &trust {
                    set_trust(tx, trust)?;
                }
                let licence = grant(tx, &Grant::Bundle(bundle), now)?;
                let detail = Detail::new()
                    .with("id", &licence.id)
                    .with("max_protected_nodes", licence.max_protected_nodes)
                    .maybe("trust", trust.map(|_| "replaced"));
                audit::append(tx, &AuditEntry::success(Action::LicenceImported, None, detail), &origin, now)?;
                view(tx, now)
            })
            .await
    }

    /// How the licence stands.
    pub async fn licence(&self) -> Result<LicenceView, ServiceError> {
        let now = self.now();
        self.db().read(move |tx| view(tx, now)).await
    }
}

/// Makes a bundle, signed by this key.
pub fn issue(payload: &LicencePayload, key: &KeyPair) -> Result<Bundle, rcgen::Error> {
    let json = serde_json::to_vec(payload).expect("a payload of texts and numbers is JSON");
    let signature = key.sign(&json)?;
    Ok(Bundle { payload: STANDARD.encode(&json), signature: STANDARD.encode(signature) })
}

/// How many sensors there may be and are, and whether new ones may come.
pub(super) fn slots(tx: &mut dyn Tx, now: i64) -> Result<Slots, DbError> {
    let licence = licences::current(tx)?;
    let term = licence.as_ref().and_then(payload).map_or(Term::Valid, |payload| payload.term(now));
    let limit = licence.map_or(0, |licence| licence.max_protected_nodes);
    Ok(Slots { limit, taken: settings::slots_taken(tx)?, term })
}

/// What the bundle says that was verified when it was imported; a trial has none.
fn payload(licence: &LicenceRecord) -> Option<LicencePayload> {
    let bundle: Bundle = serde_json::from_str(licence.bundle.as_deref()?).ok()?;
    serde_json::from_slice(&STANDARD.decode(bundle.payload).ok()?).ok()
}

pub(super) fn set_trust(tx: &mut dyn Tx, pem: &str) -> Result<(), ServiceError> {
    if trusted_keys(pem).is_empty() {
        return Err(Refusal::field("license_trust", "it holds no Ed25519 public key in PEM").into());
    }
    Ok(settings::set(tx, settings::LICENCE_TRUST, pem)?)
}

pub(super) fn grant(tx: &mut dyn Tx, grant: &Grant, now: i64) -> Result<LicenceRecord, ServiceError> {
    let licence = match grant {
        Grant::Trial(nodes) => LicenceRecord {
            id: "trial".to_owned(),
            source: "trial".to_owned(),
            bundle: None,
            max_protected_nodes: i64::from(*nodes),
            not_after: None,
            imported_at: now,
        },
        Grant::Bundle(text) => {
            let trust = settings::get(tx, settings::LICENCE_TRUST)?.unwrap_or_default();
            let payload = read(text, &trust)?;
            check_time(&payload, now)?;
            LicenceRecord {
                id: payload.id,
                source: "bundle".to_owned(),
                bundle: Some(text.clone()),
                max_protected_nodes: i64::from(payload.max_protected_nodes),
                not_after: Some(payload.expires_at),
                imported_at: now,
            }
        }
    };
    licences::put(tx, &licence)?;
    Ok(licence)
}

fn check_time(payload: &LicencePayload, now: i64) -> Result<(), Refusal> {
    if now < payload.not_before {
        let problem = format!("it counts from {} on; import it then", timestamp(payload.not_before));
        return Err(Refusal::field("license", problem));
    }
    if now >= payload.expires_at {
        let problem = format!("it ended at {}; ask for a new one", timestamp(payload.expires_at));
        return Err(Refusal::field("license", problem));
    }
    Ok(())
}

/// Reads a bundle (JSON), as far as one of the Ed25519 keys among these PEM blocks signed it. Its time is not looked at.
pub fn read(text: &str, trust_pem: &str) -> Result<LicencePayload, Refusal> {
    verify(text, &trusted_keys(trust_pem))
}

fn verify(text: &str, keys: &[Vec<u8>]) -> Result<LicencePayload, Refusal> {
    let wrong = |problem: &str| Refusal::field("license", problem);
    let bundle: Bundle = serde_json::from_str(text).map_err(|_| wrong("it is not a licence bundle"))?;
    let decode = |text: &str| STANDARD.decode(text).map_err(|_| wrong("it is not a licence bundle"));
    let (payload, signature) = (decode(&bundle.payload)?, decode(&bundle.signature)?);
    let signed =
        keys.iter().any(|key| UnparsedPublicKey::new(&ED25519, key).verify(&payload, &signature).is_ok());
    if !signed {
        return Err(wrong(
            "no trusted key signed it; the vendor's key is given to `setup` or `license import` as `--license-trust FILE`",
        ));
    }
    serde_json::from_slice(&payload).map_err(|_| wrong("its payload cannot be read"))
}

/// The raw Ed25519 keys among these PEM blocks.
fn trusted_keys(pem: &str) -> Vec<Vec<u8>> {
    let keys = SubjectPublicKeyInfoDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok);
    keys.filter_map(|der| {
        let (_, spki) = SubjectPublicKeyInfo::from_der(&der).ok()?;
        let ed25519 = spki.algorithm.algorithm == x509_parser::oid_registry::OID_SIG_ED25519;
        ed25519.then(|| spki.subject_public_key.data.to_vec())
    })
    .collect()
}

fn view(tx: &mut dyn Tx, now: i64) -> Result<LicenceView, ServiceError> {
    let licence = licences::current(tx)?.ok_or_else(not_set_up)?;
    let payload = payload(&licence);
    let when = |read: fn(&LicencePayload) -> i64| payload.as_ref().map(read).map(timestamp);
    let term = payload.as_ref().map_or(Term::Valid, |payload| payload.term(now));
    Ok(LicenceView {
        id: licence.id,
        source: licence.source,
        max_protected_nodes: licence.max_protected_nodes,
        protected_nodes: settings::slots_taken(tx)?,
        not_before: when(|payload| payload.not_before),
        expires_at: when(|payload| payload.expires_at),
        grace_ends_at: when(LicencePayload::grace_ends_at),
        state: term.as_str(),
        warning: term.warning(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload() -> LicencePayload {
        LicencePayload {
            id: "l-1".to_owned(),
            customer: "us".to_owned(),
            max_protected_nodes: 5,
            not_before: 100,
            expires_at: 200,
            grace_days: 0,
        }
    }

    #[test]
    fn section_4_only_a_trusted_keys_signature_counts() {
        let (key, other) = (ed25519(), ed25519());
        let text = serde_json::to_string(&issue(&payload(), &key).unwrap()).unwrap();
        let trust = trusted_keys(&(other.public_key_pem() + &key.public_key_pem()));
        assert_eq!(trust.len(), 2);
        assert_eq!(verify(&text, &trust).unwrap(), payload());
        assert!(verify(&text, &trusted_keys(&other.public_key_pem())).is_err());
        assert!(verify("{}", &trust).is_err());
        for (now, good) in [(99, false), (100, true), (199, true), (200, false)] {
            assert_eq!(check_time(&payload(), now).is_ok(), good, "{now}");
        }
    }

    fn ed25519() -> KeyPair {
        KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap()
    }
}
