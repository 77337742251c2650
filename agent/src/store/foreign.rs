//! Reads an identity from files that this agent did not make.

use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Deserialize;
use telovix_contract::SensorId;
use zeroize::Zeroizing;

use super::error::StoreError;
use super::layout::{self, Layout};
use super::state::{STATE_VERSION, SensorState, check_format};
use super::{aside, read};
use crate::key::KeyPair;
use crate::tls::ClientIdentity;
use crate::verify::{self, Claim, MAX_CERTIFICATES, Naming, Verified};

/// Files under the published names that this agent did not make.
pub struct Foreign {
    /// The names.
    pub names: Vec<&'static str>,
    /// What they remember of an enrollment, where this agent can read it.
    pub state: Option<SensorState>,
    /// The identity that they are, or why they are none.
    pub identity: Result<Verified, String>,
    /// Key and certificate, where they belong together: what proves to the Console who this host was.
    pub pair: Option<ClientIdentity>,
}

/// What a state of another program may say.
#[derive(Deserialize)]
struct Beside {
    sensor_id: SensorId,
}

/// # Errors
/// [`StoreError::Newer`]: the files are of a later version of this program.
pub(super) fn find(layout: &Layout, now: Timestamp) -> Result<Option<Foreign>, StoreError> {
    let names = aside::names(layout);
    if names.is_empty() {
        return Ok(None);
    }
    let text =
        |name: &str| read::text(&layout.top(name)).map(Zeroizing::new).map_err(|error| error.to_string());
    let beside = text(layout::STATE).unwrap_or_default();
    let state = serde_json::from_str::<SensorState>(&beside).ok();
    if state.as_ref().is_some_and(|state| state.version > STATE_VERSION) {
        check_format(&layout.top(layout::STATE), &beside)?;
    }
    let named = serde_json::from_str(&beside).ok().map(|Beside { sensor_id }| sensor_id);
    let key = |pem: &str| KeyPair::from_pem(pem).map_err(|error| format!("{}: {error}", layout::KEY));
    let read = || -> Result<_, String> {
        let policy_key = read::text_or_blank(&layout.top(layout::POLICY_KEY));
        let policy_key = Zeroizing::new(policy_key.unwrap_or_default());
        Ok((text(layout::KEY)?, text(layout::CERTIFICATE)?, text(layout::CA)?, policy_key))
    };
    let identity = read().and_then(|(key_pem, certificate_pem, ca_pem, policy_key_pem)| {
        // The policy key says nothing about who this host is, and the next renewal brings it.
        let policy_key_pem =
            verify::policy_key(&policy_key_pem).ok().flatten().map_or("", |_| &policy_key_pem);
        let claim = Claim {
            sensor_id: named,
            certificate_pem: &certificate_pem,
            ca_pem: &ca_pem,
            policy_key_pem,
            naming: Naming::Beside,
        };
        let check = |at| key(&key_pem).map(|key| verify::check(claim, key, at));
        // What only its dates speak against is an identity: an expired one renews late, and a clock may be wrong.
        let judged = match check(now)? {
            Err(error) => match error.life() {
                Some((_, end)) => check(end)?,
                None => Err(error),
            },
            whole => whole,
        };
        judged.map_err(|error| error.to_string())
    });
    let pair = text(layout::KEY).and_then(|pem| key(&pem)).ok().zip(text(layout::CERTIFICATE).ok());
    let pair = pair.and_then(|(key, pem)| {
        let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).take(MAX_CERTIFICATES);
        let chain: Vec<_> = chain.collect::<Result<_, _>>().ok()?;
        let is_pair = verify::is_for(chain.first()?, &key);
        is_pair.then(|| Some(ClientIdentity { key: key.to_private_der().ok()?, chain }))?
    });
    Ok(Some(Foreign { names, state, identity, pair }))
}
