//! An enrollment or a renewal that is under way: key and request, on the disk before the first byte leaves.
//!
//! Invariant: as long as `pending/` stands, every attempt with the same token carries the same key, so that the Console
//! knows it for the same enrollment and a lost answer loses no host (docs/contract.md section 3, "Repeat"). The token
//! itself is not here; only its hash is.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use telovix_contract::enroll::EnrollRequest;
use telovix_contract::facts::HostFacts;
use telovix_contract::session::RenewRequest;
use telovix_contract::{ClusterName, EnrollmentToken, InstallId, NodeName, NodeRole, SensorId, TokenHash};
use zeroize::Zeroizing;

use super::error::StoreError;
use super::layout::{self, Layout, PendingKind};
use super::state::{STATE_VERSION, check_format};
use super::{atomic, read};
use crate::facts::machine_id::{KnownId, is_of_another};
use crate::key::KeyPair;

/// What is asked, and for which token.
pub(super) const REQUEST: &str = "request.json";
const TOKEN_KEY: &str = "enrollment_token";

/// An enrollment or a renewal that was begun and has not ended.
#[derive(Debug)]
pub struct Pending {
    /// The key that the identity will be for.
    pub key: KeyPair,
    /// Hash of the token, as given, that this enrollment presents, or that paid for the identity being renewed.
    pub token_sha256: TokenHash,
    /// The generation that a renewal is of; `None` for an enrollment.
    pub renews: Option<u32>,
    /// The request without its token.
    request: Value,
}

/// What the request of an enrollment says of the host. An identity is remembered by this and not by the configuration,
/// which may have changed since the request went out.
#[derive(Debug, Deserialize)]
pub struct Asked {
    /// The name in the request's subject.
    pub node_name: NodeName,
    /// What the node is for.
    #[serde(default)]
    pub declared_role: NodeRole,
    /// The cluster that the node belongs to.
    #[serde(default)]
    pub cluster_name: Option<ClusterName>,
    /// The installation within the cluster.
    #[serde(default)]
    pub install_id: Option<InstallId>,
    /// The sensor whose identity is to be replaced.
    #[serde(default)]
    pub sensor_id: Option<SensorId>,
    /// The host as it described itself.
    #[serde(default)]
    pub host: HostFacts,
}

#[derive(Serialize, Deserialize)]
struct OnDisk {
    /// [`STATE_VERSION`] of the build that wrote it; the first ones wrote none.
    #[serde(default)]
    version: u32,
    token_sha256: TokenHash,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    renews: Option<u32>,
    request: Value,
}

impl Pending {
    /// The request, complete: with the token that it was begun with.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when what was stored is not a request any more.
    pub fn request(&self, token: &EnrollmentToken) -> Result<EnrollRequest, StoreError> {
        let mut whole = self.request.clone();
        if let Some(map) = whole.as_object_mut() {
            map.insert(TOKEN_KEY.to_owned(), Value::String(token.expose().to_owned()));
        }
        let request = serde_json::from_value(whole);
        request.map_err(|error| StoreError::corrupt(Path::new("pending").join(REQUEST).as_path(), error))
    }

    /// Whether an enrollment was begun on another machine than this one, as far as its request and these ids tell.
    pub fn is_of_another_machine(&self, known: &[KnownId]) -> bool {
        let fact = |name: &str| self.request.get("host")?.get(name)?.as_str();
        is_of_another(fact("machine_id_sha256"), fact("machine_id_source"), known)
    }

    /// What the request of an enrollment says of the host.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when what was stored is not a request any more.
    pub fn asked(&self) -> Result<Asked, StoreError> {
        let asked = serde_json::from_value(self.request.clone());
        asked.map_err(|error| StoreError::corrupt(Path::new("pending").join(REQUEST).as_path(), error))
    }

    /// The certificate request of a renewal, PEM.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when what was stored is not a request any more.
    pub fn renewal(&self) -> Result<RenewRequest, StoreError> {
        let request = serde_json::from_value(self.request.clone());
        request.map_err(|error| StoreError::corrupt(Path::new("renewal").join(REQUEST).as_path(), error))
    }

    /// Makes an enrollment durable under its name, in place of an earlier one.
    pub(super) fn save_enrollment(
        layout: &Layout,
        key: KeyPair,
        request: &EnrollRequest,
        token_sha256: TokenHash,
    ) -> Result<Self, StoreError> {
        let bare = without_token(request);
        Self::save(layout, PendingKind::Enrollment, key, bare, (token_sha256, None))
    }

    /// Makes a renewal durable under its name, in place of an earlier one. It is of the generation of that number, which was
    /// enrolled with that token.
    pub(super) fn save_renewal(
        layout: &Layout,
        key: KeyPair,
        request: &RenewRequest,
        (token_sha256, renews): (TokenHash, u32),
    ) -> Result<Self, StoreError> {
        let request = serde_json::to_value(request);
        Self::save(layout, PendingKind::Renewal, key, request, (token_sha256, Some(renews)))
    }

    fn save(
        layout: &Layout,
        kind: PendingKind,
        key: KeyPair,
        request: Result<Value, serde_json::Error>,
        (token_sha256, renews): (TokenHash, Option<u32>),
    ) -> Result<Self, StoreError> {
        let new = layout.pending_new(kind);
        let request = request.map_err(|error| StoreError::corrupt(&new.join(REQUEST), error))?;
        let on_disk = OnDisk { version: STATE_VERSION, token_sha256, renews, request };
        let bytes = serde_json::to_vec_pretty(&on_disk)
            .map_err(|error| StoreError::corrupt(&new.join(REQUEST), error))?;
        let place = layout.pending(kind);
        if Self::load(layout, kind).is_ok_and(|earlier| earlier.is_some_and(|it| it.has_key(&key))) {
            // The Console may have spent a token on this key, so it is not out of its place for a moment.
            atomic::replace(&place.join(REQUEST), &bytes, layout::SECRET_MODE)?;
            return Ok(Self { key, token_sha256, renews, request: on_disk.request });
        }
        atomic::remove_tree(&new)?;
        atomic::create_dir(&new, layout::DIR_MODE)?;
        atomic::write_new(&new.join(layout::KEY), key.to_pem().as_bytes(), layout::SECRET_MODE)?;
        atomic::write_new(&new.join(REQUEST), &bytes, layout::SECRET_MODE)?;
        atomic::sync_dir(&new)?;
        // A directory does not replace one that is not empty. A crash between the two loses an enrollment that is
        // being replaced anyway, never one that is being kept.
        atomic::remove_tree(&place)?;
        atomic::rename(&new, &place)?;
        Ok(Self { key, token_sha256, renews, request: on_disk.request })
    }

    fn has_key(&self, key: &KeyPair) -> bool {
        self.key.public_der() == key.public_der()
    }

    /// Reads the enrollment or renewal that is under way, if any.
    pub(super) fn load(layout: &Layout, kind: PendingKind) -> Result<Option<Self>, StoreError> {
        let place = layout.pending(kind);
        // Only what is not there is nothing. A disk that does not say may hold the key that a token was spent on.
        match std::fs::symlink_metadata(&place) {
            Ok(meta) if meta.is_dir() => {}
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::io("look at", &place)(error));
            }
            Ok(_) | Err(_) => return Ok(None),
        }
        let key_file = place.join(layout::KEY);
        let pem = Zeroizing::new(half(read::text(&key_file))?);
        let key = KeyPair::from_pem(&pem).map_err(|error| StoreError::corrupt(&key_file, error))?;
        let file = place.join(REQUEST);
        let text = half(read::text(&file))?;
        check_format(&file, &text)?;
        let on_disk: OnDisk =
            serde_json::from_str(&text).map_err(|error| StoreError::corrupt(&file, error))?;
        let OnDisk { token_sha256, renews, request, .. } = on_disk;
        Ok(Some(Self { key, token_sha256, renews, request }))
    }

    /// Whether a request built now would say the same as the stored one, but for the certificate request, whose
    /// signature differs each time.
    pub fn says_the_same_as(&self, request: &EnrollRequest) -> bool {
        let strip = |mut value: Value| {
            if let Some(map) = value.as_object_mut() {
                map.remove("csr_pem");
                map.remove(TOKEN_KEY);
            }
            value
        };
        without_token(request).is_ok_and(|fresh| strip(fresh) == strip(self.request.clone()))
    }
}

/// A crash in the middle of a removal leaves one file of two, and a power cut leaves bytes that are no text: what was
/// under way is then damaged, and another is begun. Only a disk that refuses is a reason to stop.
fn half<T>(read: Result<T, StoreError>) -> Result<T, StoreError> {
    use std::io::ErrorKind;
    match read {
        Err(StoreError::Io { path, source, .. })
            if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) =>
        {
            Err(StoreError::Corrupt { path, problem: source.to_string() })
        }
        read => read,
    }
}

fn without_token(request: &EnrollRequest) -> Result<Value, serde_json::Error> {
    let mut value = serde_json::to_value(request)?;
    if let Some(map) = value.as_object_mut()
        && let Some(Value::String(token)) = map.remove(TOKEN_KEY)
    {
        drop(Zeroizing::new(token));
    }
    Ok(value)
}
