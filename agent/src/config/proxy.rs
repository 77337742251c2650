//! Proxies: `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY` (docs/contract.md section 2).

use std::fmt;

use http::Uri;

use crate::config::env::Environment;
use crate::config::error::ConfigError;
use crate::config::layers::Layers;
use crate::config::sourced::Origin;

/// The proxy variables as they were set, after a look at their form. The spelling in lower case is taken first, as curl
/// does. `Debug` hides user names and passwords; there is no `Display`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ProxySettings {
    /// Proxy for `https` addresses, which every call of the agent is: `[http://][user:password@]host[:port]`.
    pub https: Option<String>,
    /// Proxy for `http` addresses.
    pub http: Option<String>,
    /// Hosts, domains and networks that are reached without a proxy, separated by commas.
    pub no_proxy: Option<String>,
}

impl ProxySettings {
    pub(super) fn read(env: &Environment, layers: &mut Layers) -> Self {
        // Every call of the agent is https: a bad proxy for http hurts nobody.
        // Every call of the agent is https: a bad proxy for http hurts nobody.
        let http = proxy(env, ["http_proxy", "HTTP_PROXY"]).unwrap_or_else(|error| {
            layers.warnings.push(format!("{error} (not used)"));
            None
        });
        let mut complain = |error| {
            layers.errors.push(error);
            None
        };
        Self {
            https: proxy(env, ["https_proxy", "HTTPS_PROXY"]).unwrap_or_else(&mut complain),
            http,
            no_proxy: text(env, ["no_proxy", "NO_PROXY"])
                .map(|found| found.map(|(_, text)| text))
                .unwrap_or_else(&mut complain),
        }
    }
}

fn proxy(env: &Environment, names: [&'static str; 2]) -> Result<Option<String>, ConfigError> {
    let Some((name, text)) = text(env, names)? else { return Ok(None) };
    match check(&text) {
        Ok(()) => Ok(Some(text)),
        Err(problem) => Err(ConfigError::at(Origin::Env(name), problem)),
    }
}

fn text(env: &Environment, names: [&'static str; 2]) -> Result<Option<(&'static str, String)>, ConfigError> {
    let Some((name, value)) = names.into_iter().find_map(|name| Some((name, env.get(name)?))) else {
        return Ok(None);
    };
    match value.to_str() {
        Some(text) => Ok(Some((name, text.trim().to_owned())).filter(|(_, text)| !text.is_empty())),
        None => Err(ConfigError::at(Origin::Env(name), "is not UTF-8; write it in UTF-8")),
    }
}

/// Never quotes the text: it may hold a password.
fn check(text: &str) -> Result<(), String> {
    const RIGHT: &str = "write it as http://proxy.example:3128";
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let uri: Uri = with_scheme.parse().map_err(|_| format!("is not a proxy's address; {RIGHT}"))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => {
            return Err(format!(
                "names a proxy that is itself reached over https, which is not supported; {RIGHT} (what is sent to \
                 the Console stays encrypted from end to end)"
            ));
        }
        Some(scheme) => return Err(format!("names a {scheme} proxy, which is not supported; {RIGHT}")),
        None => return Err(format!("is not a proxy's address; {RIGHT}")),
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err(format!("names no host; {RIGHT}"));
    }
    Ok(())
}

impl fmt::Debug for ProxySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxySettings")
            .field("https", &self.https.as_deref().map(without_userinfo))
            .field("http", &self.http.as_deref().map(without_userinfo))
            .field("no_proxy", &self.no_proxy)
            .finish()
    }
}

fn without_userinfo(proxy: &str) -> &str {
    proxy.rsplit_once('@').map_or(proxy, |(_, host)| host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::error::ConfigErrors;

    fn read(pairs: &[(&str, &str)]) -> (ProxySettings, ConfigErrors, Vec<String>) {
        let env = Environment::from_pairs(pairs.iter().copied());
        let mut layers = Layers::default();
        let proxy = ProxySettings::read(&env, &mut layers);
        (proxy, layers.errors, layers.warnings)
    }

    #[test]
    fn lower_case_comes_first_and_empty_is_unset() {
        let (proxy, errors, _) = read(&[
            ("HTTPS_PROXY", "http://upper:1"),
            ("https_proxy", "lower:3128"),
            ("HTTP_PROXY", "http://[::1]:3128/"),
            ("http_proxy", ""),
            ("NO_PROXY", "10.0.0.0/8,.internal"),
        ]);
        assert_eq!(errors, ConfigErrors::default());
        assert_eq!(proxy.https.as_deref(), Some("lower:3128"));
        assert_eq!(proxy.http.as_deref(), Some("http://[::1]:3128/"));
        assert_eq!(proxy.no_proxy.as_deref(), Some("10.0.0.0/8,.internal"));
    }

    #[test]
    fn other_proxies_are_refused_and_passwords_hidden() {
        for (value, reason) in [
            ("https://u:hunter2@p:1", "reached over https"),
            ("socks5://u:hunter2@p:1", "names a socks5 proxy"),
            ("http://u:hunter2@", ""),
            ("http://u:hunter2@p p", "is not a proxy's address"),
        ] {
            let (proxy, errors, _) = read(&[("HTTPS_PROXY", value)]);
            let text = errors.to_string();
            assert!(
                text.starts_with("environment HTTPS_PROXY: ") && text.contains(reason),
                "{value}: {text}"
            );
            assert!(text.contains("http://proxy.example:3128") && !text.contains("hunter2"), "{text}");
            assert_eq!(proxy.https, None);
        }
        let (proxy, errors, _) = read(&[("https_proxy", "http://u:hunter2@p:3128")]);
        assert_eq!(errors, ConfigErrors::default());
        let shown = format!("{proxy:?}");
        assert!(shown.contains("p:3128") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_bad_proxy_for_http_is_a_warning_because_no_call_is_http() {
        let (proxy, errors, warnings) = read(&[("http_proxy", "socks5://u:hunter2@p:1")]);
        assert_eq!((proxy.http, errors), (None, ConfigErrors::default()));
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("http_proxy") && !warnings[0].contains("hunter2"), "{warnings:?}");
    }
}
