//! A client certificate that a call showed.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::noted::Fingerprint;
use crate::ca::Authority;
use crate::domain::audit::Origin;

/// It, with what its judgement asks besides.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub fingerprint: Fingerprint,
    pub der: Vec<u8>,
    /// The CA of the moment.
    pub authority: Arc<Authority>,
    /// Where the call came from.
    pub origin: Origin,
}

impl Shown {
    pub(super) fn new(der: &[u8], authority: Arc<Authority>, origin: &Origin) -> Self {
        Self { fingerprint: fingerprint(der), der: der.to_vec(), authority, origin: origin.clone() }
    }
}

pub(super) fn fingerprint(certificate: &[u8]) -> Fingerprint {
    Sha256::digest(certificate).into()
}
