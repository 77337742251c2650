//! Ways to the Console: CONNECT proxies with and without credentials, NO_PROXY, IPv6.

use std::sync::Arc;

use telovix_contract::paths;
use telovix_tests::pki::Ca;
use telovix_tests::place::made_up_token;
use telovix_tests::proxy::{ConnectProxy, Credentials};
use telovix_tests::rogue::{Rogue, console};
use telovix_tests::secrets::Secrets;
use telovix_tests::serving::{closed_port, loopback_v6};
use telovix_tests::{Agent, Place};

struct Stage {
    place: Place,
    rogue: Rogue,
    ca: Arc<Ca>,
}

impl Stage {
    fn new(names: &[&str]) -> Self {
        let ca = Arc::new(Ca::root("Console"));
        let rogue = Rogue::https(ca.server(names), console::console(Arc::clone(&ca), console::enrolled));
        Self { place: Place::new(), rogue, ca }
    }

    fn enroll(&self, url: &str) -> Agent {
        self.place.enroll("state", url, self.ca.pem()).args(["--timeout", "10s"]).token(&made_up_token(1))
    }
}

fn credentials() -> Credentials {
    Credentials { user: "agent".into(), password: "p@ss:w%rd/".into() }
}

#[test]
fn every_call_goes_through_the_tunnel_and_mutual_tls_survives_it() {
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"] {
        let stage = Stage::new(&["127.0.0.1"]);
        let proxy = ConnectProxy::start(None);
        let pin = stage.ca.fingerprint().to_string();
        let args =
            ["enroll", "--console-url", &stage.rogue.url(), "--ca-fingerprint", &pin, "--node-name", "n"];
        let agent = stage.place.host("state").args(args).token(&made_up_token(1)).env(variable, proxy.url());
        agent.run().expect(0);
        // The CA, the enrollment, the heartbeat.
        assert_eq!(proxy.tunnels(), stage.rogue.connections(), "{variable}: a call went around the proxy");
        assert!(proxy.tunnels() >= 3, "{variable}: {}", proxy.tunnels());
        assert!(proxy.targets().iter().all(|target| *target == stage.rogue.address().to_string()));
        let heartbeat = stage.rogue.requests_to(paths::HEARTBEAT);
        assert!(heartbeat[0].client_cert_der.is_some(), "the certificate arrived at the Console itself");
        for head in proxy.heads() {
            Secrets::new()
                .token(&made_up_token(1))
                .assert_not_in("what the proxy heard", format!("{head:?}"));
        }
    }
}

#[test]
fn a_name_that_only_the_proxy_can_resolve() {
    let stage = Stage::new(&["console.inside.test"]);
    let proxy = ConnectProxy::start(None);
    proxy.route("console.inside.test:15483", stage.rogue.address());
    let agent = stage.enroll("https://console.inside.test:15483").env("HTTPS_PROXY", proxy.url());
    agent.run().expect(0);
    assert!(
        proxy.targets().iter().all(|target| target == "console.inside.test:15483"),
        "{:?}",
        proxy.targets()
    );
}

#[test]
fn credentials_in_the_proxys_address() {
    let stage = Stage::new(&["127.0.0.1"]);
    let proxy = ConnectProxy::start(Some(credentials()));
    let url = proxy.url_with("agent:p%40ss%3Aw%25rd%2F");
    stage.enroll(&stage.rogue.url()).env("HTTPS_PROXY", url).run().expect(0);
    assert_eq!(proxy.refused(), 0);
}

#[test]
fn a_proxy_that_refuses_is_named_and_its_password_is_not() {
    let stage = Stage::new(&["127.0.0.1"]);
    let proxy = ConnectProxy::start(Some(credentials()));
    let run =
        stage.enroll(&stage.rogue.url()).env("HTTPS_PROXY", proxy.url_with("agent:wr0ng-passw0rd")).run();
    let address = proxy.url().replace("http://", "");
    run.expect(5).says(&[
        &address,
        "through the proxy",
        "it answered CONNECT with 407 Proxy Authentication Required",
        "  do: check HTTPS_PROXY",
    ]);
    Secrets::new().text("password", "wr0ng-passw0rd").assert_not_in("the output", run.output());
    assert_eq!(stage.rogue.connections(), 0, "there is no way around a proxy that refuses");
    assert!(proxy.refused() >= 1);
}

#[test]
fn a_proxy_that_is_not_there() {
    let stage = Stage::new(&["127.0.0.1"]);
    let nobody = closed_port();
    let run =
        stage.enroll(&stage.rogue.url()).env("HTTPS_PROXY", format!("http://u:s3cr3t-s3cr3t@{nobody}")).run();
    run.expect(5).says(&[&nobody.to_string()]);
    Secrets::new().text("password", "s3cr3t-s3cr3t").assert_not_in("the output", run.output());
    assert_eq!(stage.rogue.connections(), 0);
}

#[test]
fn hosts_that_are_reached_without_it() {
    for (no_proxy, through) in [
        ("127.0.0.1", false),
        ("127.0.0.0/8", false),
        ("other.example, 127.0.0.1", false),
        ("*", false),
        ("10.0.0.0/8", true),
        ("", true),
    ] {
        for variable in ["NO_PROXY", "no_proxy"] {
            let stage = Stage::new(&["127.0.0.1"]);
            let proxy = ConnectProxy::start(None);
            let agent =
                stage.enroll(&stage.rogue.url()).env("HTTPS_PROXY", proxy.url()).env(variable, no_proxy);
            agent.run().expect(0);
            assert_eq!(proxy.tunnels() > 0, through, "{variable}={no_proxy}");
        }
    }
}

#[test]
fn a_proxy_setting_that_is_none_is_a_mistake_without_its_password() {
    for bad in
        ["socks5://u:s3cr3t-s3cr3t@h:1", "https://u:s3cr3t-s3cr3t@h:1", "http://u:s3cr3t-s3cr3t@", "::::"]
    {
        let stage = Stage::new(&["127.0.0.1"]);
        let run = stage.enroll(&stage.rogue.url()).env("HTTPS_PROXY", bad).run();
        run.expect(2).says(&["HTTPS_PROXY", "http://proxy.example:3128"]);
        Secrets::new().text("password", "s3cr3t-s3cr3t").assert_not_in("the output", run.output());
        assert_eq!(stage.rogue.connections(), 0);
    }
}

#[test]
fn a_console_on_ipv6_directly_and_through_a_proxy() {
    let Some(address) = loopback_v6() else {
        eprintln!("this host has no IPv6 loopback; nothing to test");
        return;
    };
    let ca = Arc::new(Ca::root("Console"));
    let handler = console::console(Arc::clone(&ca), console::enrolled);
    let rogue = Rogue::https_on(address, ca.server(&["::1"]), handler);
    assert!(rogue.url().starts_with("https://[::1]:"), "{}", rogue.url());
    let place = Place::new();
    place.enroll("direct", &rogue.url(), ca.pem()).token(&made_up_token(1)).run().expect(0);
    let proxy = ConnectProxy::start(None);
    let agent = place.enroll("proxied", &rogue.url(), ca.pem()).token(&made_up_token(1));
    agent.env("HTTPS_PROXY", proxy.url()).run().expect(0);
    assert!(
        proxy.targets().iter().all(|target| *target == rogue.address().to_string()),
        "{:?}",
        proxy.targets()
    );
    assert!(proxy.tunnels() >= 2);
}
