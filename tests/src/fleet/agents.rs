//! Simulated agents: a key and a request that are made beforehand, an identity once enrolled, and the calls that they make.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use telovix_agent::tls::{ClientIdentity, ServerTrust};
use telovix_contract::enroll::{EnrollRequest, Enrolled};
use telovix_contract::facts::HostFacts;
use telovix_contract::session::{Heartbeat, RenewRequest, Renewed};
use telovix_contract::{ClusterName, EnrollmentToken, SensorId, Tags, paths};

use super::wire::{Ask, Fault, Line, Wire, settings};
use crate::csr::{self, Wish};

/// Version that simulated agents say they have.
const VERSION: &str = concat!("fleet ", env!("CARGO_PKG_VERSION"));

/// A key and the request for a certificate for it.
pub(super) struct Fresh {
    key_pem: String,
    csr_pem: String,
}

impl Fresh {
    pub(super) fn make(node_name: &str) -> Self {
        let (key, csr_pem) = csr::make(Wish::Plain, node_name);
        Self { key_pem: key.serialize_pem(), csr_pem }
    }
}

/// An agent that has yet to enroll, with the body of its request.
pub(super) struct Newcomer {
    node_name: String,
    key_pem: String,
    body: Vec<u8>,
}

impl Newcomer {
    /// Makes its key, its request, and the body to send.
    pub(super) fn make(
        node_name: &str,
        token: &EnrollmentToken,
        cluster: Option<&ClusterName>,
    ) -> Result<Self, Fault> {
        let Fresh { key_pem, csr_pem } = Fresh::make(node_name);
        let body = EnrollRequest {
            enrollment_token: token.clone(),
            csr_pem,
            node_name: node_name.parse().map_err(|_| Fault(format!("{node_name:?} is no node name")))?,
            declared_role: telovix_contract::NodeRole::default(),
            cluster_name: cluster.cloned(),
            install_id: None,
            tags: Tags::default(),
            flavor: telovix_contract::Flavor::default(),
            sensor_version: VERSION.to_owned(),
            sensor_id: None,
            new_sensor: None,
            host: facts(),
        };
        let body = serde_json::to_vec(&body).expect("texts and numbers");
        Ok(Self { node_name: node_name.to_owned(), key_pem, body })
    }

    /// Enrolls over a connection of its own.
    pub(super) async fn enroll(
        self,
        wire: &Wire,
        anonymous: &Arc<ClientConfig>,
        line: Option<&mut Line>,
    ) -> Result<Identity, Fault> {
        let answer = wire.call(anonymous, line, Ask::post(paths::ENROLL, self.body)).await?;
        let made: Enrolled = serde_json::from_value(answer)
            .map_err(|_| Fault("the answer is no enrollment (202?)".to_owned()))?;
        Ok(Identity {
            node_name: self.node_name,
            sensor_id: made.sensor_id,
            key_pem: self.key_pem,
            certificate_pem: made.control_plane_certificate_pem,
        })
    }
}

/// What an enrolled agent holds; a line of the file that `--keep` writes.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Identity {
    node_name: String,
    pub(super) sensor_id: SensorId,
    key_pem: String,
    certificate_pem: String,
}

/// An enrolled agent with its TLS settings, its connection if it keeps one, and requests for renewals to come.
pub(super) struct Agent {
    identity: Identity,
    tls: Arc<ClientConfig>,
    pub(super) line: Line,
    prepared: VecDeque<Fresh>,
}

impl Agent {
    pub(super) fn new(identity: Identity, trust: &ServerTrust) -> Result<Self, Fault> {
        let tls = settings(trust, Some(credential(&identity.certificate_pem, &identity.key_pem)?))?;
        Ok(Self { identity, tls, line: Line::default(), prepared: VecDeque::new() })
    }

    /// Makes keys and requests for so many renewals.
    pub(super) fn prepare(&mut self, renewals: usize) {
        let name = self.identity.node_name.clone();
        self.prepared.extend((0..renewals).map(|_| Fresh::make(&name)));
    }

    /// One heartbeat.
    pub(super) async fn beat(&mut self, wire: &Wire, keeps: bool) -> Result<(), Fault> {
        let beat = Heartbeat { sensor_version: VERSION.to_owned(), ..Heartbeat::default() };
        let ask = Ask::post(paths::HEARTBEAT, serde_json::to_vec(&beat).expect("a text"));
        let line = keeps.then_some(&mut self.line);
        wire.call(&self.tls, line, ask).await.map(drop)
    }

    /// One renewal. What follows from the answer is for [`Agent::adopt`], outside the measured time.
    pub(super) async fn renew(&mut self, wire: &Wire, keeps: bool) -> Result<(Fresh, Renewed), Fault> {
        let fresh = self.prepared.pop_front().unwrap_or_else(|| Fresh::make(&self.identity.node_name));
        let body = RenewRequest { csr_pem: fresh.csr_pem.clone() };
        let ask = Ask::post(paths::RENEW, serde_json::to_vec(&body).expect("a text"));
        let line = keeps.then_some(&mut self.line);
        let answer = wire.call(&self.tls, line, ask).await?;
        let made =
            serde_json::from_value(answer).map_err(|_| Fault("the answer is no renewal".to_owned()))?;
        Ok((fresh, made))
    }

    /// Speaks as the successor from now on.
    pub(super) fn adopt(&mut self, fresh: Fresh, made: Renewed, trust: &ServerTrust) -> Result<(), Fault> {
        let chain = made.control_plane_certificate_pem;
        self.tls = settings(trust, Some(credential(&chain, &fresh.key_pem)?))?;
        // A connection is one certificate's.
        self.line = Line::default();
        (self.identity.key_pem, self.identity.certificate_pem) = (fresh.key_pem, chain);
        Ok(())
    }
}

/// Writes identities for a later run. The file is made for its owner alone, and is not there beforehand.
pub(super) fn keep(path: &Path, identities: &[Identity]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    for identity in identities {
        serde_json::to_writer(&mut file, identity)?;
        file.write_all(b"\n")?;
    }
    Ok(())
}

/// Reads what [`keep`] wrote.
pub(super) fn kept(path: &Path) -> io::Result<Vec<Identity>> {
    let text = std::fs::read_to_string(path)?;
    text.lines().map(|line| serde_json::from_str(line).map_err(io::Error::from)).collect()
}

fn credential(chain_pem: &str, key_pem: &str) -> Result<ClientIdentity, Fault> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain_pem.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes());
    let unreadable = |_| Fault("the Console's certificate cannot be read".to_owned());
    Ok(ClientIdentity { chain: chain.map_err(unreadable)?, key: key.map_err(unreadable)? })
}

/// A host like many.
fn facts() -> HostFacts {
    HostFacts {
        architecture: std::env::consts::ARCH.to_owned(),
        os: "simulated".to_owned(),
        kernel_version: "0".to_owned(),
        cpu_count: 4,
        memory_bytes: 8 << 30,
        machine_id_sha256: None,
        machine_id_source: None,
        k8s_deployment: None,
    }
}
