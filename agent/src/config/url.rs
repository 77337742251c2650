//! The Console's address.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use rustls_pki_types::ServerName;

use crate::config::values::InvalidValue;

/// Port of an https URL that names none (RFC 9110 section 4.2.2). The Console's own default is never assumed
/// (docs/contract.md section 2).
const HTTPS_PORT: u16 = 443;

/// Address of a Console: `https://`, a DNS name or an IP address, perhaps a port, and nothing else.
///
/// Prints as the shortest URL that means the same, the host in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConsoleUrl {
    /// Without brackets, in lower case.
    host: String,
    port: u16,
    server_name: ServerName<'static>,
}

impl ConsoleUrl {
    /// An IPv6 address without its brackets: what a resolver takes.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Of TCP; never 0.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host:port`, an IPv6 address in brackets: what stands in the `Host` header and in CONNECT.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.bracketed_host(), self.port)
    }

    /// The name or address that the Console's certificate has to be for.
    pub fn server_name(&self) -> ServerName<'static> {
        self.server_name.clone()
    }

    fn bracketed_host(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }
}

impl fmt::Display for ConsoleUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.bracketed_host())?;
        if self.port == HTTPS_PORT { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl FromStr for ConsoleUrl {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXAMPLE: &str = "write it as https://console.example:15483";
        let invalid = |problem: &str| InvalidValue(format!("{problem}; {EXAMPLE}"));
        if text.is_empty() {
            return Err(invalid("the Console's address is empty"));
        }
        // Before anything is quoted: what stands before the @ may be a password.
        if text.contains('@') {
            return Err(invalid("the Console's address holds a user name or password, which is not used"));
        }
        match text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase()).as_deref() {
            Some("https") => {}
            Some("http") => {
                return Err(InvalidValue(format!(
                    "{text:?} is not encrypted: the enrollment token would travel in plain text; use https://"
                )));
            }
            Some(_) | None => return Err(invalid(&format!("{text:?} does not start with https://"))),
        }
        // `Uri` drops a fragment without a word.
        if text.contains(['?', '#']) {
            return Err(invalid(&format!("{text:?} holds a query or a fragment")));
        }
        let uri: Uri = text.parse().map_err(|_| invalid(&format!("{text:?} is not a URL")))?;
        if uri.path() != "/" {
            return Err(invalid(&format!("{text:?} holds a path; the Console is always at the root")));
        }
        let authority = uri.authority().ok_or_else(|| invalid(&format!("{text:?} names no host")))?;
        let host = authority.host();
        let port = match authority.as_str()[host.len()..].strip_prefix(':') {
            None => HTTPS_PORT,
            // `u16` reads a leading plus sign.
            Some(port) if port.starts_with(|c: char| c.is_ascii_digit()) => {
                port.parse().map_err(|_| invalid(&format!("{text:?} holds an impossible port")))?
            }
            Some(_) => return Err(invalid(&format!("{text:?} holds an impossible port"))),
        };
        if port == 0 {
            return Err(invalid(&format!("{text:?} holds an impossible port")));
        }
        let host =
            host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host).to_ascii_lowercase();
        // A certificate has no final dot (RFC 5280 section 4.2.1.6); the look-up needs it, for it bypasses search domains.
        let server_name = ServerName::try_from(host.strip_suffix('.').unwrap_or(&host))
            .map_err(|_| invalid(&format!("{host:?} is neither a DNS name nor an IP address")))?
            .to_owned();
        Ok(Self { host, port, server_name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn url(text: &str) -> ConsoleUrl {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn names_and_addresses_with_and_without_a_port() {
        for (text, host, port, authority, shown) in [
            ("https://C.example:15483", "c.example", 15483, "c.example:15483", "https://c.example:15483"),
            ("https://c.example/", "c.example", 443, "c.example:443", "https://c.example"),
            ("HTTPS://c.example:443", "c.example", 443, "c.example:443", "https://c.example"),
            ("https://192.0.2.7:1", "192.0.2.7", 1, "192.0.2.7:1", "https://192.0.2.7:1"),
            ("https://[::1]:15483/", "::1", 15483, "[::1]:15483", "https://[::1]:15483"),
            ("https://[2001:DB8::1]", "2001:db8::1", 443, "[2001:db8::1]:443", "https://[2001:db8::1]"),
        ] {
            let url = url(text);
            assert_eq!((url.host(), url.port()), (host, port), "{text}");
            assert_eq!((url.authority().as_str(), url.to_string().as_str()), (authority, shown));
        }
        let whole = url("https://c.example.:1");
        assert_eq!(
            (whole.host(), whole.server_name()),
            ("c.example.", url("https://c.example").server_name())
        );
        assert!(matches!(url("https://[::1]").server_name(), ServerName::IpAddress(_)));
        assert!(matches!(url("https://c.example").server_name(), ServerName::DnsName(_)));
    }

    #[test]
    fn every_other_address_is_refused_with_its_reason() {
        for (text, reason) in [
            ("", "is empty"),
            ("http://c.example:15483", "the enrollment token would travel in plain text; use https://"),
            ("HTTP://c.example", "plain text"),
            ("c.example:15483", "does not start with https://"),
            ("ftp://c.example", "does not start with https://"),
            ("https://", "is not a URL"),
            ("https://c.example/prefix", "holds a path"),
            ("https://c.example?x=1", "holds a query"),
            ("https://c.example/#x", "holds a query or a fragment"),
            ("https://c.example:0", "impossible port"),
            ("https://c.example:", "impossible port"),
            ("https://c.example:65536", "impossible port"),
            ("https://c.example:+1", ""),
            ("https://[fe80::1%25eth0]", ""),
            ("https://[::1", "is not a URL"),
            ("https://exa mple", "is not a URL"),
            ("https://bücher.example", "is not a URL"),
            ("https://-c.example", "neither a DNS name nor an IP address"),
        ] {
            let error = text.parse::<ConsoleUrl>().expect_err(text).to_string();
            assert!(error.contains(reason) && error.contains("https://"), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_password_is_refused_and_not_echoed() {
        let error = "https://admin:hunter2@c.example".parse::<ConsoleUrl>().unwrap_err().to_string();
        assert!(error.contains("user name or password") && !error.contains("hunter2"), "{error}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}|https://[a-z0-9.:@\\[\\]%/?#-]{0,30}") {
            if let Ok(url) = text.parse::<ConsoleUrl>() {
                let again: ConsoleUrl = url.to_string().parse().unwrap();
                prop_assert_eq!(&again, &url);
                prop_assert!(url.port() > 0 && !url.host().is_empty());
            }
        }
    }
}
