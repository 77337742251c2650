//! Reads an identity from files that this agent did not make.

use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use super::layout::{self, Layout};
use super::state::SensorState;
use super::{aside, read};
use crate::key::KeyPair;
use crate::tls::ClientIdentity;
use crate::verify::{self, Claim, MAX_CERTIFICATES, Verified};

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

pub(super) fn find(layout: &Layout, now: Timestamp) -> Option<Foreign> {
    let names = aside::names(layout);
    if names.is_empty() {
        return None;
    }
    let text =
        |name: &str| read::text(&layout.top(name)).map(Zeroizing::new).map_err(|error| error.to_string());
    let state = text(layout::STATE).ok().and_then(|text| serde_json::from_str::<SensorState>(&text).ok());
    let key = |pem: &str| KeyPair::from_pem(pem).map_err(|error| format!("{}: {error}", layout::KEY));
    let read = || -> Result<_, String> {
        let (key_pem, certificate) = (text(layout::KEY)?, text(layout::CERTIFICATE)?);
        Ok((key_pem, certificate, text(layout::CA)?, text(layout::POLICY_KEY)?))
    };
    let identity = read().and_then(|(key_pem, certificate_pem, ca_pem, policy_key_pem)| {
        let sensor_id = match &state {
            Some(state) => state.sensor_id,
            None => verify::named_sensor(&certificate_pem).map_err(|error| error.to_string())?,
        };
        let claim = Claim {
            sensor_id: Some(sensor_id),
            certificate_pem: &certificate_pem,
            ca_pem: &ca_pem,
            policy_key_pem: &policy_key_pem,
        };
        verify::check(claim, key(&key_pem)?, now).map_err(|error| error.to_string())
    });
    let pair = text(layout::KEY).and_then(|pem| key(&pem)).ok().zip(text(layout::CERTIFICATE).ok());
    let pair = pair.and_then(|(key, pem)| {
        let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).take(MAX_CERTIFICATES);
        let chain: Vec<_> = chain.collect::<Result<_, _>>().ok()?;
        let is_pair = verify::is_for(chain.first()?, &key);
        is_pair.then(|| Some(ClientIdentity { key: key.to_private_der().ok()?, chain }))?
    });
    Some(Foreign { names, state, identity, pair })
}
