//! A client certificate that an issuer of this Console signed, told from all others without the database.
//!
//! Invariant: nothing is read out of a certificate unless its path was verified: signed by one of these issuers, for clients
//! alone, naming one sensor. As in the handshake it is verified as of its own end, because path validation looks at dates
//! before it looks at signatures; what its dates are good for is decided per call (docs/contract.md section 2).

use std::time::Duration;

use rustls_pki_types::{CertificateDer, UnixTime};
use sha2::{Digest as _, Sha256};
use telovix_contract::token::hex;
use telovix_contract::{NodeName, SensorId};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// What such a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recognized {
    pub sensor_id: SensorId,
    /// Whole in a DNS name where it is long, else the common name.
    pub node_name: NodeName,
    /// Which issuer signed it.
    pub issuer_id: String,
    /// In hex.
    pub serial: String,
    pub subject: String,
    /// SHA-256 of its public key.
    pub spki: [u8; 32],
    /// Unix seconds.
    pub not_before: i64,
    /// Unix seconds.
    pub not_after: i64,
}

impl Recognized {
    pub(super) fn read(issuers: &[(String, CertificateDer<'static>)], der: &[u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let not_after = parsed.validity().not_after.timestamp();
        let end = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(not_after).ok()?));
        let leaf = CertificateDer::from(der);
        let leaf = EndEntityCert::try_from(&leaf).ok()?;
        let signed = |(_, issuer): &&(String, CertificateDer<'static>)| {
            let Ok(anchor) = anchor_from_trusted_cert(issuer) else { return false };
            let usage = KeyUsage::client_auth();
            leaf.verify_for_usage(ALL_VERIFICATION_ALGS, &[anchor], &[], end, usage, None, None).is_ok()
        };
        let (issuer_id, _) = issuers.iter().find(signed)?;
        let usage = parsed.extended_key_usage().ok()??.value;
        if !usage.client_auth || usage.server_auth || usage.any {
            return None;
        }
        let names = &parsed.subject_alternative_name().ok()??.value.general_names;
        let mut uris =
            names.iter().filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None });
        let (sensor_id, None) = (SensorId::from_uri(uris.next()?)?, uris.next()) else { return None };
        let dns = names
            .iter()
            .find_map(|name| if let GeneralName::DNSName(name) = name { Some(*name) } else { None });
        let common = parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        Some(Self {
            sensor_id,
            node_name: dns.or(common)?.parse().ok()?,
            issuer_id: issuer_id.clone(),
            serial: hex(parsed.raw_serial()),
            subject: parsed.subject().to_string(),
            spki: Sha256::digest(parsed.public_key().raw).into(),
            not_before: parsed.validity().not_before.timestamp(),
            not_after,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::hierarchy::{self, MadeCa};
    use crate::ca::issue::{self, Signer};
    use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, SanType};

    const NOW: i64 = 1_800_000_000;

    fn signer(issuer: &MadeCa) -> Signer {
        let der = &issuer.certificate.der;
        Signer {
            issuer: hierarchy::signer(der, &issuer.private_key, "issuing CA").unwrap(),
            not_before: NOW - 3600,
            not_after: NOW + 9000 * 3600,
        }
    }

    fn issuers(made: &[(&str, &MadeCa)]) -> Vec<(String, CertificateDer<'static>)> {
        made.iter().map(|(id, made)| ((*id).to_owned(), made.certificate.der.clone())).collect()
    }

    #[test]
    fn section_4_a_certificate_is_recognized_by_its_issuer_whatever_its_dates() {
        let root = hierarchy::root(NOW).unwrap();
        let [old, new] = [(); 2].map(|()| hierarchy::issuer(&root, NOW).unwrap());
        let key = KeyPair::generate().unwrap();
        let node: NodeName = "edge-1".parse().unwrap();
        let id = SensorId::random();
        for now in [NOW, NOW + 3600] {
            let made = issue::client(&signer(&old), &key, id, &node, now, 3600).unwrap();
            let read = Recognized::read(&issuers(&[("new", &new), ("old", &old)]), &made.der).unwrap();
            assert_eq!((read.sensor_id, &read.node_name, read.issuer_id.as_str()), (id, &node, "old"));
            assert_eq!(
                (read.serial, read.not_before, read.not_after),
                (made.serial, made.not_before, made.not_after)
            );
            assert_eq!(Recognized::read(&issuers(&[("new", &new)]), &made.der), None, "another issuer's");
            assert_eq!(Recognized::read(&issuers(&[("root", &root)]), &made.der), None, "not the root's own");
        }
        let long: NodeName = format!("{}.example.internal", "n".repeat(60)).parse().unwrap();
        let made = issue::client(&signer(&new), &key, id, &long, NOW, 3600).unwrap();
        assert_eq!(Recognized::read(&issuers(&[("new", &new)]), &made.der).unwrap().node_name, long);
    }

    #[test]
    fn section_4_what_is_no_sensors_certificate_is_not_recognized() {
        use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
        let root = hierarchy::root(NOW).unwrap();
        let issuer = hierarchy::issuer(&root, NOW).unwrap();
        let (signer, known) = (signer(&issuer), issuers(&[("i", &issuer)]));
        let uri = || SanType::URI(SensorId::random().to_uri().try_into().unwrap());
        let read = |usages: &[ExtendedKeyUsagePurpose], names: Vec<SanType>, common: &str| {
            let mut params = CertificateParams::default();
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(rcgen::DnType::CommonName, common);
            params.extended_key_usages = usages.to_vec();
            params.subject_alt_names = names;
            let der = params.signed_by(&KeyPair::generate().unwrap(), &signer.issuer).unwrap().der().clone();
            Recognized::read(&known, &der)
        };
        assert!(read(&[ClientAuth], vec![uri()], "edge-1").is_some());
        for usages in [&[][..], &[ServerAuth], &[ClientAuth, ServerAuth]] {
            assert_eq!(read(usages, vec![uri()], "edge-1"), None, "{usages:?}");
        }
        let other = SanType::URI("spiffe://x/y".to_owned().try_into().unwrap());
        for names in [vec![], vec![other.clone()], vec![uri(), uri()], vec![uri(), other]] {
            assert_eq!(read(&[ClientAuth], names, "edge-1"), None);
        }
        assert_eq!(read(&[ClientAuth], vec![uri()], "no node name"), None);
        assert_eq!(Recognized::read(&known, b"no certificate"), None);
    }
}
