//! The address that hosts and operators reach the Console under. It ends up in shell commands, so its alphabet is narrow.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use rustls_pki_types::ServerName;

/// `https://host[:port]` without a path, in letters, digits, dots, hyphens, colons and brackets. The host is a DNS name or
/// an IP address, and the port one that can be connected to: what an agent takes as its `console_url`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

/// Why a text is not such an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address of the form https://host:port, without a path")]
pub struct InvalidUrl(String);

impl PublicUrl {
    /// The address, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PublicUrl {
    type Err = InvalidUrl;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || InvalidUrl(text.to_owned());
        let plain = text.strip_suffix('/').unwrap_or(text);
        let host = plain.strip_prefix("https://").ok_or_else(wrong)?;
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
        let uri: http::Uri = plain.parse().map_err(|_| wrong())?;
        let authority = uri.authority().filter(|_| host.chars().all(known)).ok_or_else(wrong)?;
        if !can_be_reached(authority) {
            return Err(wrong());
        }
        Ok(Self(plain.to_owned()))
    }
}

/// Whether the host is one that a certificate can be for, and the port, where there is one, is one.
fn can_be_reached(authority: &http::uri::Authority) -> bool {
    let host = authority.host();
    let named = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => ServerName::try_from(host).is_ok(),
    };
    let port = match authority.as_str()[host.len()..].strip_prefix(':') {
        None => true,
        // `u16` reads a leading plus sign.
        Some(port) => {
            port.starts_with(|c: char| c.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|n| n > 0)
        }
    };
    named && port
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_plain_and_fit_for_a_shell() {
        for good in
            ["https://c.example", "https://c.example:15483/", "https://[::1]:8443", "https://10.0.0.1:1"]
        {
            let url: PublicUrl = good.parse().unwrap();
            assert_eq!(url.as_str(), good.trim_end_matches('/'));
        }
        for bad in [
            "",
            "c.example",
            "http://c.example",
            "https://",
            "https://c/x",
            "https://u@c",
            "https://c'",
            "https://c;id",
            "https://c d",
            "https://c?x",
            "https://c$(id)",
            "https://c:",
            "https://c:0",
            "https://c:65536",
            "https://-c",
            "https://1.2.3",
            "https://[c]",
        ] {
            assert!(bad.parse::<PublicUrl>().is_err(), "{bad:?} was taken");
        }
    }
}
