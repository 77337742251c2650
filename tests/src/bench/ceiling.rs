//! The ceiling: what a Console could be at best, with nothing but what no Console can do without.
//!
//! A server with the Console's own TLS configuration and its own signing of certificates. For each call it shakes hands,
//! reads the request, signs where the call asks for a certificate, and answers. It has no database, no rules, no audit, no
//! router; it forgets everything. The load tool cannot tell it from a Console.
//!
//! It does not check a certificate request: it cuts the key out of it and signs. Asked to, it checks each request as the
//! Console does before it signs: a second, lower ceiling.

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use telovix_console_stub::ca::Authority;
use telovix_console_stub::ca::csr::{self, CheckedCsr};
use telovix_console_stub::clock::Clock;
use telovix_console_stub::serve::tls::{Door, server_config};
use telovix_contract::{NodeName, SensorId, paths};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Life of the certificates, seconds: the Console's usual 720 hours.
const LIFE: i64 = 720 * 3600;
/// Longest request.
const LONGEST: usize = 64 * 1024;
/// How a P-256 key begins in DER, up to the mark of an uncompressed point. The load tool makes no other keys.
const KEY_BEGINS: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];
/// All of such a key.
const KEY_LENGTH: usize = 91;

/// How the key of a request is come by.
type KeyOf = fn(&str, &NodeName) -> Option<CheckedCsr>;

/// Serves until it is ended; writes its CA to this file and its address to standard output. Where `checks` is set, it
/// checks a request before it signs.
pub fn run(ca_file: &Path, checks: bool) -> io::Result<()> {
    let key_of: KeyOf = if checks { checked } else { cut_out };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let clock = Clock::system();
        let authority = Arc::new(Authority::temporary(clock.now()).map_err(io::Error::other)?);
        let config = server_config(&authority, &clock, Door::Everyone).map_err(io::Error::other)?;
        std::fs::write(ca_file, authority.ca_pem())?;
        let listener = TcpListener::bind(crate::serving::LOOPBACK).await?;
        let mut out = io::stdout();
        writeln!(out, "{}", listener.local_addr()?)?;
        out.flush()?;
        let acceptor = TlsAcceptor::from(config);
        loop {
            let (stream, _) = listener.accept().await?;
            let (acceptor, authority, clock) = (acceptor.clone(), Arc::clone(&authority), clock.clone());
            // A connection that breaks shows at the client, which counts it.
            tokio::spawn(async move { connection(stream, &acceptor, &authority, &clock, key_of).await });
        }
    })
}

async fn connection(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
    authority: &Authority,
    clock: &Clock,
    key_of: KeyOf,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = acceptor.accept(stream).await?;
    while let Some((path, body)) = request(&mut stream).await? {
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let answer = answer(&path, &body, shown.map(AsRef::as_ref), authority, clock.now(), key_of);
        respond(&mut stream, answer).await?;
    }
    Ok(())
}

/// The answer; `None` where there is nothing to answer.
fn answer(
    path: &str,
    body: &[u8],
    certificate: Option<&[u8]>,
    authority: &Authority,
    now: i64,
    key_of: KeyOf,
) -> Option<Value> {
    let asked: Value = serde_json::from_slice(body).ok()?;
    let sensor_id = SensorId::random();
    let sign = |node: &NodeName| {
        let key = key_of(asked["csr_pem"].as_str()?, node)?;
        let made = authority.issue_client(&key, sensor_id, node, now, LIFE).ok()?;
        Some(json!({
            "sensor_id": sensor_id,
            "control_plane_certificate_pem": authority.chain_pem(&made.der, authority.signer_id()),
            "control_plane_ca_certificate_pem": authority.ca_pem(),
            "policy_signing_public_key_pem": authority.policy_public_key_pem(),
            "trust_state": "trusted",
        }))
    };
    match path {
        paths::ENROLL => sign(&asked["node_name"].as_str()?.parse().ok()?),
        paths::RENEW => sign(&name_in(certificate?)?),
        paths::HEARTBEAT => certificate.map(|_| json!({"sensor_id": sensor_id, "trust_state": "trusted"})),
        _ => None,
    }
}

/// The key of a request, found by how it begins: nothing else of the request is read, and its signature is not verified.
fn cut_out(pem: &str, _: &NodeName) -> Option<CheckedCsr> {
    let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).ok()?;
    let at = der.windows(KEY_BEGINS.len()).position(|bytes| bytes == KEY_BEGINS)?;
    let public_key = rcgen::SubjectPublicKeyInfo::from_der(der.get(at..at + KEY_LENGTH)?).ok()?;
    // Nobody here asks for its hash.
    Some(CheckedCsr { public_key, spki_sha256: [0; 32] })
}

/// The same after all that the Console checks of a request.
fn checked(pem: &str, node: &NodeName) -> Option<CheckedCsr> {
    csr::check(pem, node).ok()
}

fn name_in(certificate: &[u8]) -> Option<NodeName> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    parsed.subject().iter_common_name().next()?.as_str().ok()?.parse().ok()
}

/// Path and body of the next request; `None` at the end.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut bytes = Vec::with_capacity(4096);
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let lower = head.to_ascii_lowercase();
            let length = lower.split("content-length:").nth(1).and_then(|rest| rest.lines().next());
            let length = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
            let mut body = bytes.split_off(end + 4);
            while body.len() < length && body.len() < LONGEST {
                if stream.read_buf(&mut body).await? == 0 {
                    return Ok(None);
                }
            }
            return Ok(Some((path, body)));
        }
        if bytes.len() > LONGEST || stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
}

async fn respond(stream: &mut (impl AsyncWrite + Unpin), answer: Option<Value>) -> io::Result<()> {
    let (status, body) = match answer {
        Some(answer) => ("200 OK", answer.to_string()),
        None => ("400 Bad Request", String::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::CertificateDer;

    use super::*;
    use crate::csr::{Wish, make};

    fn ask(csr_pem: &str, name: &str) -> Vec<u8> {
        json!({"csr_pem": csr_pem, "node_name": name}).to_string().into_bytes()
    }

    #[test]
    fn it_signs_for_the_key_in_the_request() {
        let now = Clock::system().now();
        let authority = Authority::temporary(now).unwrap();
        let (key, csr_pem) = make(Wish::Plain, "edge-1");
        for key_of in [cut_out as KeyOf, checked] {
            let made =
                answer(paths::ENROLL, &ask(&csr_pem, "edge-1"), None, &authority, now, key_of).unwrap();
            let chain = made["control_plane_certificate_pem"].as_str().unwrap();
            assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 2);
            let der = CertificateDer::from_pem_slice(chain.as_bytes()).unwrap();
            let (_, certificate) = X509Certificate::from_der(&der).unwrap();
            assert_eq!(certificate.public_key().raw, rcgen::PublicKeyData::subject_public_key_info(&key));
            assert_eq!(name_in(&der).unwrap().as_str(), "edge-1");
        }
        let beat = answer(paths::HEARTBEAT, b"{}", None, &authority, now, cut_out);
        assert!(beat.is_none(), "nobody knows who speaks");
    }

    #[test]
    fn it_checks_only_where_it_is_told_to() {
        let now = Clock::system().now();
        let authority = Authority::temporary(now).unwrap();
        let another = ask(&make(Wish::Plain, "edge-1").1, "edge-2");
        assert!(answer(paths::ENROLL, &another, None, &authority, now, checked).is_none());
        assert!(answer(paths::ENROLL, &another, None, &authority, now, cut_out).is_some());
    }
}
