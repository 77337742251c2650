//! The forms of proxies and of `NO_PROXY`. That real curl reads them alike is shown in `tests/tests/proxy_forms.rs`.

use proptest::prelude::*;

use super::*;
use crate::config::error::ConfigErrors;

fn read(pairs: &[(&str, &str)], url: &str) -> (ProxySettings, ConfigErrors, Vec<String>) {
    let env = Environment::from_pairs(pairs.iter().copied());
    let mut layers = Layers::default();
    let url: Option<ConsoleUrl> = (!url.is_empty()).then(|| url.parse().unwrap());
    let proxy = ProxySettings::read(&env, &mut layers, url.as_ref());
    (proxy, layers.errors, layers.warnings)
}

fn shown(pairs: &[(&str, &str)]) -> Option<String> {
    let (proxy, errors, _) = read(pairs, "");
    assert_eq!(errors, ConfigErrors::default());
    proxy.proxy.map(|proxy| proxy.to_string())
}

#[test]
fn variables_win_in_curls_order_and_an_empty_one_is_unset() {
    let all = [
        ("https_proxy", "a:1"),
        ("HTTPS_PROXY", "http://b:1"),
        ("all_proxy", "HTTP://c:1/"),
        ("ALL_PROXY", "d:1"),
        ("http_proxy", "http://[::1]:1"),
        ("HTTP_PROXY", "\u{feff} http://f \n"),
    ];
    let expected = ["a:1", "b:1", "c:1", "d:1", "[::1]:1", "f:1080"];
    for (at, expected) in expected.into_iter().enumerate() {
        assert_eq!(shown(&all[at..]).as_deref(), Some(expected));
    }
    assert_eq!(shown(&[("https_proxy", ""), ("HTTPS_PROXY", "  "), ("ALL_PROXY", "d:")]).unwrap(), "d:1080");
    assert_eq!(shown(&[]), None);
}

#[test]
fn users_and_passwords_are_decoded_and_never_shown() {
    for (userinfo, plain) in [
        ("u%40corp:p%3Aw%2F%23@", "u@corp:p:w/#"),
        ("svc:pa$$w&rd!@", "svc:pa$$w&rd!"),
        ("dom%5Cuser:p%C3%A4ss@", "dom\\user:päss"),
        ("user:@", "user:"),
        ("user@", "user:"),
        ("u:a:b%zz@", "u:a:b%zz"),
    ] {
        let (settings, errors, _) = read(&[("https_proxy", &format!("http://{userinfo}p:3128"))], "");
        assert_eq!(errors, ConfigErrors::default());
        let proxy = settings.proxy.clone().unwrap();
        let expected = format!("Basic {}", STANDARD.encode(plain));
        assert_eq!(proxy.authorization.unwrap(), expected.as_str(), "{userinfo}");
        let shown = format!("{settings:?}");
        assert!(shown.contains("3128") && !shown.contains(&expected[6..]), "{shown}");
    }
}

#[test]
fn other_forms_are_refused_by_name_and_passwords_hidden() {
    for (value, reason) in [
        ("https://u:hunter2@p:1", "reached over https"),
        ("socks5://u:hunter2@p:1", "names a socks5 proxy"),
        ("http://u:hunter2@", "names no host"),
        ("http://u:hunter2@p p", "holds white space"),
        ("http://u:hunter@2@p:1", "write these as %40"),
        ("http://u:hunter#2@p:1", "write these as %40"),
        ("http://u:hunter/2@p:1", "write these as %40"),
        ("http://u:hunter2%0d%0aX:@p:1", "control character"),
        ("http:/p:1", "is not a proxy's address"),
        ("http://p:99999", "impossible port"),
        ("http://p:0", "impossible port"),
        ("http://p:x", "is not a proxy's address"),
        ("http://[::1", "is not a proxy's address"),
        ("http://[fe80::1%25eth0]:1", "is not a proxy's address"),
        ("http://pröxy:1", "is not a proxy's address"),
        ("p:1,q:2", "is not a proxy's address"),
        ("::::", "is not a proxy's address"),
    ] {
        for name in ["HTTPS_PROXY", "all_proxy"] {
            let (proxy, errors, _) = read(&[(name, value), ("http_proxy", "http://other:1")], "");
            let text = errors.to_string();
            assert!(text.starts_with(&format!("environment {name}: ")) && text.contains(reason), "{text}");
            assert!(!text.contains("hunter"), "{text}");
            assert_eq!(proxy.proxy, None, "{value}: nothing else is used in its place");
        }
    }
}

#[test]
fn a_bad_proxy_that_is_not_used_is_a_warning() {
    for pairs in [
        &[("http_proxy", "socks5://u:hunter2@p:1")][..],
        &[("https_proxy", "good:1"), ("ALL_PROXY", "socks5://u:hunter2@p:1")],
    ] {
        let (_, errors, warnings) = read(pairs, "");
        assert_eq!(errors, ConfigErrors::default());
        assert!(warnings.len() == 1 && warnings[0].contains("socks5"), "{warnings:?}");
        assert!(!warnings[0].contains("hunter2"), "{warnings:?}");
    }
}

/// What curl does with it; `None`: it ignores the entry, and we refuse it by name.
const FORMS: &[(&str, &str, Option<bool>)] = &[
    ("console.corp.test", "console.corp.test", Some(true)),
    ("console.corp.test", "CONSOLE.CORP.TEST", Some(true)),
    ("console.corp.test", "corp.test", Some(true)),
    ("console.corp.test", ".corp.test", Some(true)),
    ("console.corp.test", "corp.test.", Some(true)),
    ("console.corp.test.", "corp.test", Some(true)),
    ("console.corp.test", "a,console.corp.test", Some(true)),
    ("console.corp.test", "localhost console.corp.test", Some(true)),
    ("console.corp.test", "*", Some(true)),
    ("console.corp.test", "orp.test", Some(false)),
    ("console.corp.test", "127.0.0.0/8", Some(false)),
    ("console.corp.test", "other.example:15483", Some(false)),
    ("console.corp.test", "*.other.example", Some(false)),
    ("console.corp.test", "a,*", None),
    ("console.corp.test", "*.corp.test", None),
    ("console.corp.test", "console.corp.test:15483", None),
    ("console.corp.test", "\"console.corp.test\"", None),
    ("console.corp.test", "https://console.corp.test", None),
    ("192.0.2.7", "192.0.2.7", Some(true)),
    ("192.0.2.7", "192.0.2.0/24", Some(true)),
    ("192.0.2.7", "192.0.2.6/31", Some(true)),
    ("192.0.2.7", "192.0.2.7/32", Some(true)),
    ("192.0.2.7", "192.0.2.8/31", Some(false)),
    ("192.0.2.7", "2", Some(false)),
    ("192.0.2.7", "192.0.2.7:15483", None),
    ("192.0.2.7", "192.0.2.7.", None),
    ("192.0.2.7", "192.0.2.*", None),
    ("192.0.2.7", "192.0.2.0/33", None),
    ("192.0.2.7", "0.0.0.0/0", None),
    ("[2001:db8::7]", "2001:DB8::7", Some(true)),
    ("[2001:db8::7]", "2001:db8:0::7", Some(true)),
    ("[2001:db8::7]", "2001:db8::/32", Some(true)),
    ("[2001:db8::7]", "2001:db8::/129", None),
    ("[2001:db8::7]", "[2001:db8::7]", None),
    ("[2001:db8::7]", "[2001:db8::7]:15483", None),
];

#[test]
fn no_proxy_has_the_forms_of_curl_and_the_rest_is_refused_by_name() {
    for (host, no_proxy, expected) in FORMS {
        let url = format!("https://{host}:15483");
        let (proxy, errors, _) = read(&[("HTTPS_PROXY", "http://p:1"), ("NO_PROXY", no_proxy)], &url);
        let direct = proxy.to(&url.parse().unwrap()).is_none();
        match expected {
            Some(expected) => {
                assert_eq!((errors, direct), (ConfigErrors::default(), *expected), "{host} {no_proxy}");
            }
            None => assert!(errors.to_string().starts_with("environment NO_PROXY: \""), "{host} {no_proxy}"),
        }
    }
}

#[test]
fn what_does_not_concern_the_console_is_a_warning_and_without_a_proxy_nothing() {
    let pairs = [("HTTPS_PROXY", "p:1"), ("no_proxy", "registry:5000,*.local,fine.example")];
    let (_, errors, warnings) = read(&pairs, "https://console.example");
    assert_eq!((errors, warnings.len()), (ConfigErrors::default(), 2), "{warnings:?}");
    assert!(warnings[0].contains("\"registry:5000\" is not understood"), "{warnings:?}");
    let (_, errors, warnings) = read(&pairs[1..], "https://registry:5000");
    assert_eq!((errors, warnings), (ConfigErrors::default(), vec![]));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_without_its_password(text in "\\PC{0,30}|(http://)?[a-z%:@/#?0-9.\\[\\]]{0,30}") {
        let value = format!("{text}u:hunter2@p:1");
        let (settings, errors, warnings) = read(&[("HTTPS_PROXY", &value)], "https://c.example");
        prop_assert!(settings.proxy.is_some() != (errors != ConfigErrors::default()));
        let all = format!("{settings:?}{errors}{warnings:?}");
        prop_assert!(!all.contains("hunter2"), "{}", all);
    }

    #[test]
    fn any_list_bypasses_or_does_not_and_order_and_blanks_change_nothing(
        entries in proptest::collection::vec("[a-z*.]{1,8}|[0-9.]{1,9}(/[0-9]{1,2})?|[a-f:]{2,8}(/[0-9]{1,3})?|\\PC{1,6}", 1..5),
        host in "[a-z]{1,3}(\\.[a-z]{1,3}){0,2}|192\\.0\\.2\\.[0-9]",
    ) {
        let url = format!("https://{host}");
        let of = |list: &str| {
            let (settings, errors, _) = read(&[("HTTPS_PROXY", "p:1"), ("NO_PROXY", list)], &url);
            (settings.to(&url.parse().unwrap()).is_none(), errors != ConfigErrors::default())
        };
        let there = of(&entries.join(","));
        let mut back = entries.clone();
        back.reverse();
        prop_assert_eq!(of(&back.join(" , ")), there);
        prop_assert!(!(there.0 && there.1), "a bypass that is clear is no mistake");
    }

    #[test]
    fn a_network_covers_what_shares_its_bits(network: u32, address: u32, bits in 1..=32u32) {
        let (network, address) = (std::net::Ipv4Addr::from(network), std::net::Ipv4Addr::from(address));
        let mask = u32::MAX << (32 - bits);
        let expected = network.to_bits() & mask == address.to_bits() & mask;
        prop_assert_eq!(covers(&format!("{network}/{bits}"), &address.to_string()), Some(expected));
    }
}
