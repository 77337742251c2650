//! Why a connection failed, in words for people. No Rust `Debug` text, no bytes.

use std::io;

use rustls::{AlertDescription, CertificateError, PeerIncompatible};

use super::error::clean;
use crate::tls::words;

/// An error and its sources, in one line.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = error.source();
    }
    clean(&text, 300)
}

/// The TLS library's error, wherever in the chain it stands.
pub(super) fn find_tls<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next: Option<&'a (dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // An io::Error hides its inner error from `source`.
        if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref)
            && let Some(found) = find_tls(inner)
        {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// Whether an alert says that the server does not take the client's certificate (docs/contract.md section 6).
pub(super) fn blames_certificate(alert: AlertDescription) -> bool {
    use AlertDescription as A;
    matches!(
        alert,
        A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::UnknownCA
            | A::AccessDenied
            | A::CertificateRequired
    )
}

/// An alert by its name in RFC 8446: `bad certificate`.
pub(super) fn alert(alert: AlertDescription) -> String {
    if alert == AlertDescription::UnknownCA { "unknown CA".to_owned() } else { words(&format!("{alert:?}")) }
}

/// Why a handshake failed, where it is not the server's certificate.
pub(super) fn handshake(error: &rustls::Error) -> String {
    use rustls::Error as E;
    #[expect(clippy::wildcard_enum_match_arm, reason = "the library's list grows")]
    let text = match error {
        E::InvalidMessage(_) | E::InappropriateMessage { .. } => {
            "what answers does not speak TLS; it may be plain HTTP, or another service on this port"
                .to_owned()
        }
        E::AlertReceived(AlertDescription::ProtocolVersion)
        | E::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13) => {
            "the server offers neither TLS 1.2 nor TLS 1.3".to_owned()
        }
        E::AlertReceived(received) => format!("the server ended it: {}", alert(*received)),
        E::PeerIncompatible(why) => {
            format!("the server has no settings in common with this agent: {}", words(&format!("{why:?}")))
        }
        E::PeerMisbehaved(why) => format!("the server broke the protocol: {}", words(&format!("{why:?}"))),
        E::DecryptError => {
            "what the server sent cannot be decrypted; something between changed it".to_owned()
        }
        other => other.to_string(),
    };
    clean(&text, 300)
}

/// Why a server's certificate is not trusted.
pub(super) fn certificate(error: &CertificateError) -> String {
    use CertificateError as C;
    #[expect(clippy::wildcard_enum_match_arm, reason = "the library's list grows")]
    let text = match error {
        C::BadEncoding => "it cannot be read".to_owned(),
        C::Expired => "it has expired".to_owned(),
        C::ExpiredContext { not_after, .. } => format!("it expired at {}", date(not_after.as_secs())),
        C::NotValidYet => "it is not valid yet".to_owned(),
        C::NotValidYetContext { not_before, .. } => {
            format!("it is not valid before {}", date(not_before.as_secs()))
        }
        C::Revoked => "it has been revoked".to_owned(),
        C::UnhandledCriticalExtension => "it has a critical extension that is not supported".to_owned(),
        C::UnknownIssuer => "it was issued by a CA that is not among those trusted".to_owned(),
        C::BadSignature => {
            "it claims a trusted CA as its issuer, whose signature it does not bear".to_owned()
        }
        C::NotValidForName => "it is for another name".to_owned(),
        C::NotValidForNameContext { expected, presented } => for_another_name(&expected.to_str(), presented),
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => {
            "it is not for servers (its extended key usage lacks serverAuth)".to_owned()
        }
        C::UnsupportedSignatureAlgorithmContext { .. }
        | C::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "it is signed with an algorithm that is not supported (SHA-1, for one)".to_owned()
        }
        C::Other(other) => match other.0.downcast_ref::<webpki::Error>() {
            Some(error) => format!("it failed verification ({})", words(&format!("{error:?}"))),
            // What a verifier of ours says, in words already.
            None => other.0.to_string(),
        },
        other => format!("it failed verification ({})", words(&format!("{other:?}"))),
    };
    clean(&text, 300)
}

fn for_another_name(expected: &str, presented: &[String]) -> String {
    // The library writes these as Rust would: `DnsName("a.example")`, `IpAddress([10, 0, 0, 1])`.
    let names: Vec<String> = presented.iter().take(4).map(|name| plain_name(name)).collect();
    match &names[..] {
        [] => format!("it is for no name at all (no subject alternative name), and so not for {expected}"),
        names => format!("it is for {}, and not for {expected}", names.join(", ")),
    }
}

fn plain_name(name: &str) -> String {
    let inside = name.split_once('(').map_or(name, |(_, rest)| rest.trim_end_matches(')'));
    let inside = inside.trim_matches('"');
    let octets: Result<Vec<u8>, _> =
        inside.trim_matches(['[', ']']).split(',').map(|octet| octet.trim().parse::<u8>()).collect();
    match octets.as_deref() {
        Ok([a, b, c, d]) => std::net::Ipv4Addr::new(*a, *b, *c, *d).to_string(),
        Ok(bytes) if bytes.len() == 16 => <[u8; 16]>::try_from(bytes)
            .map_or_else(|_| inside.to_owned(), |bytes| std::net::Ipv6Addr::from(bytes).to_string()),
        Ok(_) | Err(_) => inside.to_owned(),
    }
}

/// Whether a certificate failed on its dates.
pub(super) fn is_about_time(error: &CertificateError) -> bool {
    use CertificateError as C;
    matches!(error, C::Expired | C::ExpiredContext { .. } | C::NotValidYet | C::NotValidYetContext { .. })
}

fn date(seconds: u64) -> String {
    let second = i64::try_from(seconds).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(second)
        .map_or_else(|_| "a time out of range".to_owned(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::{ServerName, UnixTime};
    use std::time::Duration;

    #[test]
    fn certificate_errors_are_sentences() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let expected = ServerName::try_from("c.example").unwrap();
        let name = |presented: &[&str]| CertificateError::NotValidForNameContext {
            expected: expected.clone(),
            presented: presented.iter().map(ToString::to_string).collect(),
        };
        for (error, text) in [
            (name(&[]), "it is for no name at all (no subject alternative name), and so not for c.example"),
            (
                name(&["DnsName(\"a.example\")", "IpAddress([10, 0, 0, 1])"]),
                "it is for a.example, 10.0.0.1, and not for c.example",
            ),
            (
                CertificateError::ExpiredContext { time: at(9), not_after: at(0) },
                "it expired at 1970-01-01T00:00:00Z",
            ),
            (
                CertificateError::NotValidYetContext { time: at(0), not_before: at(60) },
                "it is not valid before 1970-01-01T00:01:00Z",
            ),
            (CertificateError::UnknownRevocationStatus, "it failed verification (unknown revocation status)"),
            (
                CertificateError::Other(rustls::OtherError(std::sync::Arc::new(
                    webpki::Error::UnsupportedCriticalExtension,
                ))),
                "it failed verification (unsupported critical extension)",
            ),
        ] {
            assert_eq!(certificate(&error), text);
        }
    }

    #[test]
    fn alerts_and_foreign_protocols_are_told_plainly() {
        assert_eq!(alert(AlertDescription::CertificateRequired), "certificate required");
        assert_eq!(alert(AlertDescription::UnknownCA), "unknown CA");
        let plain = handshake(&rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType));
        assert!(plain.contains("does not speak TLS") && plain.contains("plain HTTP"), "{plain}");
        let old = handshake(&rustls::Error::AlertReceived(AlertDescription::ProtocolVersion));
        assert!(old.contains("neither TLS 1.2 nor"), "{old}");
    }
}
