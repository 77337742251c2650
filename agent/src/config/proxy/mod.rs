//! Proxies: `HTTPS_PROXY`, `ALL_PROXY`, `HTTP_PROXY` and `NO_PROXY`, in the forms that curl takes (docs/contract.md section 2).
//!
//! Invariant: a form that is not understood and would decide about the way to the Console is an error that names it; any
//! other is a warning. No text here shows a password.

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use percent_encoding::percent_decode_str;

use crate::config::env::Environment;
use crate::config::error::ConfigError;
use crate::config::layers::Layers;
use crate::config::sourced::Origin;
use crate::config::url::ConsoleUrl;

/// The variables that name a proxy, the first that is set wins: in curl's order, then those that curl takes for http alone.
const PROXIES: [&str; 6] =
    ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "http_proxy", "HTTP_PROXY"];
const NO_PROXY: [&str; 2] = ["no_proxy", "NO_PROXY"];
/// What curl takes where a proxy's address has no port.
const DEFAULT_PORT: u16 = 1080;
/// How an address is to be written, for error texts.
const RIGHT: &str = "write it as http://proxy.example:3128";

/// Which proxy there is, and for which hosts it is not used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProxySettings {
    proxy: Option<Proxy>,
    /// The entries of `NO_PROXY`, in lower case.
    bypass: Vec<String>,
}

/// A proxy that is spoken to in plain HTTP. Prints as host and port, without user and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// A name or an address, IPv6 without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Value of `Proxy-Authorization`; marked as sensitive, so that `Debug` does not show it.
    pub authorization: Option<HeaderValue>,
}

impl ProxySettings {
    /// Reads the variables. `url`: the Console, where it is known; an entry of `NO_PROXY` that is not understood is an
    /// error only where it may mean this host.
    pub(super) fn read(env: &Environment, layers: &mut Layers, url: Option<&ConsoleUrl>) -> Self {
        let mut proxy = None;
        for name in PROXIES {
            let read = match text(env, name) {
                Ok(None) => continue,
                Ok(Some(text)) => Proxy::parse(&text).map_err(|problem| at(name, problem)),
                Err(error) => Err(error),
            };
            match read {
                Ok(read) => proxy = proxy.or(Some(read)),
                // Every call of the agent is https: a bad proxy for http, or one that is overridden, hurts nobody.
                Err(error) if proxy.is_some() || name.eq_ignore_ascii_case("http_proxy") => {
                    layers.warnings.push(format!("{error} (not used)"));
                }
                Err(error) => {
                    layers.errors.push(error);
                    break;
                }
            }
        }
        let bypass = NO_PROXY.into_iter().find_map(|name| {
            let read = text(env, name).transpose()?;
            Some(read.map(|text| (name, text)))
        });
        let (name, list) = match bypass {
            None => return Self { proxy, bypass: Vec::new() },
            Some(Ok(found)) => found,
            Some(Err(error)) => {
                layers.errors.push(error);
                return Self { proxy, bypass: Vec::new() };
            }
        };
        let blank = |c: char| c == ',' || c.is_whitespace();
        let bypass = list.split(blank).filter(|entry| !entry.is_empty()).map(str::to_ascii_lowercase);
        let settings = Self { proxy, bypass: bypass.collect() };
        if settings.proxy.is_some() {
            settings.complain(name, layers, url);
        }
        settings
    }

    /// The proxy for this Console, where there is one.
    pub fn to(&self, url: &ConsoleUrl) -> Option<&Proxy> {
        let host = host_of(url);
        let is_bypassed = self.is_off() || self.bypass.iter().any(|entry| covers(entry, host) == Some(true));
        self.proxy.as_ref().filter(|_| !is_bypassed)
    }

    /// As in curl, a `*` counts only alone.
    fn is_off(&self) -> bool {
        self.bypass == ["*"]
    }

    fn complain(&self, name: &'static str, layers: &mut Layers, url: Option<&ConsoleUrl>) {
        if self.is_off() || url.is_some_and(|url| self.to(url).is_none()) {
            return;
        }
        for entry in self.bypass.iter().filter(|entry| covers(entry, "-").is_none()) {
            let shown: String = entry.chars().take(80).collect();
            let error = at(
                name,
                format!(
                    "{shown:?} is not understood; write a host (console.example), a domain (.example), an address \
                     (192.0.2.7, 2001:db8::7) or a network (192.0.2.0/24), without a port, brackets or wildcards"
                ),
            );
            if url.is_some_and(|url| may_mean(entry, host_of(url))) {
                layers.errors.push(error);
            } else {
                layers.warnings.push(format!("{error} (it does not concern the Console)"));
            }
        }
    }
}

impl Proxy {
    /// Never quotes the text: it may hold a password.
    fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        if rest.contains(":/") {
            return Err(format!("is not a proxy's address; {RIGHT}"));
        }
        match scheme.to_ascii_lowercase().as_str() {
            "http" => {}
            "https" => {
                return Err(format!(
                    "names a proxy that is itself reached over https, which is not supported; {RIGHT} (what is sent to \
                     the Console stays encrypted from end to end)"
                ));
            }
            scheme if !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric()) => {
                return Err(format!("names a {scheme} proxy, which is not supported; {RIGHT}"));
            }
            _ => return Err(format!("is not a proxy's address; {RIGHT}")),
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if path.contains('@') || authority.matches('@').count() > 1 {
            return Err(
                "holds a user name or password with a raw @, /, ? or #; write these as %40, %2F, %3F and %23"
                    .to_owned(),
            );
        }
        let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        if authority.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(format!("is not a proxy's address: it holds white space; {RIGHT}"));
        }
        let (host, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) if host.parse::<std::net::Ipv6Addr>().is_ok() => (host, port),
            Some(_) => return Err(format!("is not a proxy's address; {RIGHT}")),
            None => host.split_at(host.find(':').unwrap_or(host.len())),
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => DEFAULT_PORT,
            Some("") => DEFAULT_PORT,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or(format!("has an impossible port; {RIGHT}"))?,
            Some(_) | None => return Err(format!("is not a proxy's address; {RIGHT}")),
        };
        if host.is_empty() {
            return Err(format!("names no host; {RIGHT}"));
        }
        if !host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:".contains(&b)) {
            return Err(format!("is not a proxy's address; {RIGHT}"));
        }
        Ok(Self { host: host.to_owned(), port, authorization: authorization(user)? })
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, .. } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// The value of `Proxy-Authorization` for the part of an address before its `@` (RFC 7617).
fn authorization(userinfo: &str) -> Result<Option<HeaderValue>, String> {
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    if userinfo.is_empty() {
        return Ok(None);
    }
    let plain: Vec<u8> = percent_decode_str(user).chain([b':']).chain(percent_decode_str(password)).collect();
    if plain.iter().any(u8::is_ascii_control) {
        return Err("holds a user name or password with a control character, which no proxy takes".to_owned());
    }
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(plain)))
        .map_err(|_| "holds a user name or password that no header can hold".to_owned())?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn at(name: &'static str, problem: impl AsRef<str>) -> ConfigError {
    ConfigError::at(Origin::Env(name), problem)
}

/// A variable, trimmed; an empty one counts as unset.
fn text(env: &Environment, name: &'static str) -> Result<Option<String>, ConfigError> {
    let Some(value) = env.get(name) else { return Ok(None) };
    let text = value.to_str().ok_or_else(|| at(name, "is not UTF-8; write it in UTF-8"))?;
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
}

fn host_of(url: &ConsoleUrl) -> &str {
    url.host().strip_suffix('.').unwrap_or(url.host())
}

/// Whether an entry of `NO_PROXY` covers a host, as in curl; `None` for a form that curl does not have.
fn covers(entry: &str, host: &str) -> Option<bool> {
    let address = host.parse::<IpAddr>().ok();
    if let Some((network, bits)) = entry.split_once('/') {
        let (network, bits) = (network.parse().ok()?, bits.parse().ok()?);
        return in_network(network, bits, address);
    }
    if let Ok(of_entry) = entry.parse::<IpAddr>() {
        return Some(address == Some(of_entry));
    }
    let name = entry.strip_suffix('.').unwrap_or(entry);
    let name = name.strip_prefix('.').unwrap_or(name);
    let is_name = name.chars().all(|c| c.is_alphanumeric() || ".-_".contains(c));
    // `10.0.0` and `10.0.0.1.` are no addresses, and no names either.
    if name.is_empty() || !is_name || name.rsplit('.').next()?.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let before = host.strip_suffix(name);
    Some(address.is_none() && before.is_some_and(|before| before.is_empty() || before.ends_with('.')))
}

fn in_network(network: IpAddr, bits: u32, address: Option<IpAddr>) -> Option<bool> {
    let same = |of_network: u128, of_address: u128, width: u32| {
        // curl takes no bits as all of them: nobody means that.
        (1..=width).contains(&bits).then(|| (of_network ^ of_address) >> (width - bits) == 0)
    };
    match (network, address) {
        (IpAddr::V4(network), Some(IpAddr::V4(address))) => {
            same(network.to_bits().into(), address.to_bits().into(), 32)
        }
        (IpAddr::V6(network), Some(IpAddr::V6(address))) => same(network.to_bits(), address.to_bits(), 128),
        (IpAddr::V4(_), _) => same(0, 1 << 32, 32),
        (IpAddr::V6(_), _) => same(0, u128::MAX, 128),
    }
}

/// Whether an entry that is not understood may be meant for this host: with a port, brackets, quotes, a scheme or a
/// wildcard taken off, it covers it.
fn may_mean(entry: &str, host: &str) -> bool {
    let core = entry.trim_matches(['"', '\'']);
    let core = core.split_once("://").map_or(core, |(_, rest)| rest);
    if core == "*" || core.contains('/') && host.parse::<IpAddr>().is_ok() {
        return true;
    }
    let core = core.split('/').next().unwrap_or(core);
    let core = match core.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None if core.matches(':').count() == 1 => core.split(':').next().unwrap_or(core),
        None => core,
    };
    match core.split_once('*') {
        Some((start, end)) => {
            host.starts_with(start) && host.ends_with(end.rsplit('*').next().unwrap_or(end))
        }
        None => core.trim_matches('.') == host || covers(core, host) == Some(true),
    }
}

#[cfg(test)]
mod tests;
