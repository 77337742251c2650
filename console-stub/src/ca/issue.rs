//! What the issuer signs: client certificates for sensors, and the server's own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType,
};
use telovix_contract::enroll::SENSOR_ORGANIZATION;
use telovix_contract::ids::MAX_COMMON_NAME;
use telovix_contract::{NodeName, SensorId};

use super::csr::common_name;
use super::{CaError, Issued, backdate, moment, serial};

/// Life of a server certificate in seconds: 90 days.
pub(crate) const SERVER_LIFE: i64 = 90 * 24 * 3600;

/// An issuer that is ready to sign, with the unix seconds between which its certificate is valid.
pub(super) struct Signer {
    pub(super) issuer: Issuer<'static, KeyPair>,
    pub(super) not_before: i64,
    pub(super) not_after: i64,
}

/// Signs a client certificate (docs/contract.md section 3). Takes of the request its public key alone: the subject, the
/// names, the usages and the validity are ours. Never lasts longer than the issuer.
pub(super) fn client(
    signer: &Signer,
    public_key: &impl PublicKeyData,
    sensor_id: SensorId,
    node: &NodeName,
    now: i64,
    life: i64,
) -> Result<Issued, CaError> {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, common_name(node));
    subject.push(DnType::OrganizationName, SENSOR_ORGANIZATION);
    let mut names = vec![SanType::URI(sensor_id.to_uri().try_into()?)];
    if node.as_str().len() > MAX_COMMON_NAME && node.is_dns_name() {
        names.push(SanType::DnsName(node.as_str().try_into()?));
    }
    let leaf = Leaf { subject, names, purpose: ExtendedKeyUsagePurpose::ClientAuth, life };
    leaf.sign(signer, public_key, now)
}

/// Signs a certificate for the TLS server with these names and addresses, this machine's own always among them.
pub(super) fn server(
    signer: &Signer,
    public_key: &impl PublicKeyData,
    names: &[String],
    now: i64,
) -> Result<Issued, CaError> {
    let mut subject = DistinguishedName::new();
    let first = names.first().map_or("localhost", String::as_str);
    subject.push(DnType::CommonName, first.chars().take(MAX_COMMON_NAME).collect::<String>());
    subject.push(DnType::OrganizationName, "Telovix Console");
    let names = server_names(names)?;
    let leaf = Leaf { subject, names, purpose: ExtendedKeyUsagePurpose::ServerAuth, life: SERVER_LIFE };
    leaf.sign(signer, public_key, now)
}

/// Signs what no host may accept: a server certificate for one strange name, or for this machine and until the moment
/// `ended`, unix seconds.
pub(super) fn passing_server(
    signer: &Signer,
    public_key: &impl PublicKeyData,
    name: &str,
    ended: Option<i64>,
) -> Result<Issued, CaError> {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    let names = if ended.is_some() { server_names(&[])? } else { vec![server_name(name)?] };
    let leaf = Leaf { subject, names, purpose: ExtendedKeyUsagePurpose::ServerAuth, life: SERVER_LIFE };
    match ended {
        Some(end) => leaf.sign_between(signer, public_key, end - SERVER_LIFE, end),
        None => leaf.sign_between(signer, public_key, signer.not_before, signer.not_after),
    }
}

struct Leaf {
    subject: DistinguishedName,
    names: Vec<SanType>,
    purpose: ExtendedKeyUsagePurpose,
    life: i64,
}

impl Leaf {
    fn sign(self, signer: &Signer, public_key: &impl PublicKeyData, now: i64) -> Result<Issued, CaError> {
        let not_before = (now - backdate(self.life)).max(signer.not_before);
        let not_after = now.saturating_add(self.life).min(signer.not_after);
        if not_after <= now {
            return Err(CaError::IssuerExpired);
        }
        self.sign_between(signer, public_key, not_before, not_after)
    }

    fn sign_between(
        self,
        signer: &Signer,
        public_key: &impl PublicKeyData,
        not_before: i64,
        not_after: i64,
    ) -> Result<Issued, CaError> {
        let (number, serial) = serial()?;
        let mut params = CertificateParams::default();
        params.serial_number = Some(number);
        params.distinguished_name = self.subject;
        params.subject_alt_names = self.names;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![self.purpose];
        params.use_authority_key_identifier_extension = true;
        params.not_before = moment(not_before)?;
        params.not_after = moment(not_after)?;
        let der = params.signed_by(public_key, &signer.issuer)?.der().clone();
        Ok(Issued { der, serial, not_before, not_after })
    }
}

/// The names of the server certificate: those given, then `localhost` and the loopback addresses.
fn server_names(given: &[String]) -> Result<Vec<SanType>, CaError> {
    let mut names = Vec::new();
    for text in given {
        let name = server_name(text)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let own = [
        SanType::DnsName("localhost".try_into()?),
        SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
    ];
    for name in own {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

fn server_name(text: &str) -> Result<SanType, CaError> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let bad = || CaError::BadName(text.to_owned());
    rustls_pki_types::DnsName::try_from(text).map_err(|_| bad())?;
    Ok(SanType::DnsName(text.to_ascii_lowercase().try_into().map_err(|_| bad())?))
}
