//! The certificate request. Invariant: it asks for a name and nothing else; what a certificate may do is the Console's
//! to say (docs/contract.md section 3).

use rcgen::{CertificateParams, DistinguishedName, DnType, SanType};
use telovix_contract::enroll::SENSOR_ORGANIZATION;
use telovix_contract::ids::{MAX_COMMON_NAME, NodeName};

use crate::key::KeyPair;

/// A PKCS #10 request (RFC 2986), signed by the key that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Csr {
    pem: String,
}

/// Why there is no request.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a certificate request for node name {node_name}: {source}")]
pub struct CsrError {
    node_name: NodeName,
    source: rcgen::Error,
}

impl Csr {
    /// Asks for `CN=<node_name>, O=Telovix Sensor`. A name over 64 characters goes in full into a DNS subject
    /// alternative name, where it is a valid DNS name, and its first 64 characters into the CN (docs/contract.md section 3).
    pub fn build(key: &KeyPair, node_name: &NodeName) -> Result<Self, CsrError> {
        let failed = |source| CsrError { node_name: node_name.clone(), source };
        let mut params = CertificateParams::default();
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CommonName, common_name(node_name));
        subject.push(DnType::OrganizationName, SENSOR_ORGANIZATION);
        params.distinguished_name = subject;
        if node_name.as_str().len() > MAX_COMMON_NAME && node_name.is_dns_name() {
            let full = node_name.as_str().try_into().map_err(failed)?;
            params.subject_alt_names = vec![SanType::DnsName(full)];
        }
        let request = params.serialize_request(key.signer()).map_err(failed)?;
        Ok(Self { pem: request.pem().map_err(failed)? })
    }

    /// The request in PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }
}

/// The part of a node name that fits a certificate's common name.
fn common_name(node_name: &NodeName) -> &str {
    // Node names are ASCII, so a byte index is a character boundary.
    &node_name.as_str()[..node_name.as_str().len().min(MAX_COMMON_NAME)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KeyType;
    use x509_parser::prelude::*;

    fn read(csr: &Csr) -> (String, Vec<u8>, bool) {
        // rcgen's own reader checks the request's signature; x509-parser could do so only with another TLS library.
        rcgen::CertificateSigningRequestParams::from_pem(csr.pem()).unwrap();
        let pem = x509_parser::pem::parse_x509_pem(csr.pem().as_bytes()).unwrap().1;
        let (_, parsed) = X509CertificationRequest::from_der(&pem.contents).unwrap();
        let info = &parsed.certification_request_info;
        let extensions = parsed.requested_extensions().is_some_and(|mut e| e.next().is_some());
        (info.subject.to_string(), info.subject_pki.raw.to_vec(), extensions)
    }

    #[test]
    fn a_plain_name_asks_for_no_extension() {
        let key = KeyPair::generate(KeyType::P256).unwrap();
        let (subject, public, extensions) = read(&Csr::build(&key, &"edge-1".parse().unwrap()).unwrap());
        assert_eq!(subject, "CN=edge-1, O=Telovix Sensor");
        assert_eq!(public, key.public_der());
        assert!(!extensions);
    }

    #[test]
    fn not_every_node_name_is_a_dns_name() {
        let name = |text: &str| text.parse::<NodeName>().unwrap();
        for good in ["a", "edge-1", "a.b.c", "1.2", &"n".repeat(63)] {
            assert!(name(good).is_dns_name(), "{good}");
        }
        for bad in ["a..b", "a_b", "a.-b", "a-.b", &"n".repeat(64)] {
            assert!(!name(bad).is_dns_name(), "{bad}");
        }
    }

    #[test]
    fn a_long_name_that_is_no_dns_name_asks_for_none() {
        let key = KeyPair::generate(KeyType::P256).unwrap();
        for name in [format!("a..b{}", "n".repeat(62)), "n".repeat(65), format!("a_b.{}", "n".repeat(62))] {
            let (subject, _, extensions) = read(&Csr::build(&key, &name.parse().unwrap()).unwrap());
            assert_eq!(subject, format!("CN={}, O=Telovix Sensor", &name[..64]));
            assert!(!extensions, "{name}");
        }
    }

    #[test]
    fn a_long_name_stands_in_full_in_a_dns_name() {
        let key = KeyPair::generate(KeyType::P256).unwrap();
        let name = format!("{}.example.internal", "n".repeat(60));
        let csr = Csr::build(&key, &name.parse().unwrap()).unwrap();
        let (subject, _, extensions) = read(&csr);
        assert_eq!(subject, format!("CN={}, O=Telovix Sensor", &name[..64]));
        assert!(extensions);
        let pem = x509_parser::pem::parse_x509_pem(csr.pem().as_bytes()).unwrap().1;
        assert!(pem.contents.windows(name.len()).any(|w| w == name.as_bytes()));
    }
}
