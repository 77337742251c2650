//! The agent and real curl, side by side at one proxy: for each form of the variables both go the same way, or the agent
//! refuses the form by name.

use std::process::{Command, Stdio};
use std::sync::Arc;

use telovix_tests::Place;
use telovix_tests::pki::Ca;
use telovix_tests::place::made_up_token;
use telovix_tests::proxy::ConnectProxy;
use telovix_tests::rogue::{Rogue, console};
use telovix_tests::secrets::Secrets;

/// Host, variables (`PROXY` stands for the proxy's address, `PORT` for the Console's port), and whether the agent refuses.
type Form = (&'static str, &'static [(&'static str, &'static str)], bool);
type Variables = [(String, String)];

const FORMS: &[Form] = &[
    ("localhost", &[("HTTPS_PROXY", "http://PROXY")], false),
    ("localhost", &[("https_proxy", "PROXY")], false),
    ("localhost", &[("ALL_PROXY", "http://PROXY/")], false),
    ("localhost", &[("all_proxy", "HTTP://u%40:p%23@PROXY")], false),
    ("localhost", &[("HTTPS_PROXY", "http://PROXY"), ("ALL_PROXY", "http://127.0.0.1:1")], false),
    ("localhost", &[("https_proxy", "http://PROXY"), ("HTTPS_PROXY", "http://127.0.0.1:1")], false),
    ("localhost", &[("HTTPS_PROXY", "http://u:p@ss-hunter2@PROXY")], true),
    ("localhost", &[("HTTPS_PROXY", "http://u:p#ss-hunter2@PROXY")], true),
    ("localhost", &[("HTTPS_PROXY", "http://u:p/ss-hunter2@PROXY")], true),
    ("localhost", &[("ALL_PROXY", "ftp://PROXY")], true),
    ("localhost", &[("ALL_PROXY", "http://PROXY"), ("NO_PROXY", "localhost")], false),
    ("localhost", &[("HTTPS_PROXY", "http://PROXY"), ("no_proxy", "localhost")], false),
    ("localhost", &[("HTTPS_PROXY", "http://PROXY"), ("NO_PROXY", "LOCALHOST")], false),
    ("localhost", &[("HTTPS_PROXY", "http://PROXY"), ("NO_PROXY", ".localhost")], false),
    ("localhost", &[("HTTPS_PROXY", "http://PROXY"), ("NO_PROXY", "localhost.")], false),
    ("localhost", &[("HTTPS_PROXY", "http://PROXY"), ("NO_PROXY", " a , localhost ")], false),
    ("localhost", &[("HTTPS_PROXY", "http://PROXY"), ("NO_PROXY", "host,local,127.0.0.0/8,::1")], false),
    ("localhost", &[("HTTPS_PROXY", "http://PROXY"), ("NO_PROXY", "*")], false),
    ("localhost", &[("HTTPS_PROXY", "http://PROXY"), ("NO_PROXY", "a,*")], true),
    ("localhost", &[("HTTPS_PROXY", "http://PROXY"), ("NO_PROXY", "localhost:PORT")], true),
    ("localhost", &[("HTTPS_PROXY", "http://PROXY"), ("NO_PROXY", "*host")], true),
    ("localhost", &[("HTTPS_PROXY", "http://PROXY"), ("NO_PROXY", "other.example:1,*.example")], false),
    ("127.0.0.1", &[("HTTPS_PROXY", "http://PROXY"), ("NO_PROXY", "127.0.0.1")], false),
    ("127.0.0.1", &[("HTTPS_PROXY", "http://PROXY"), ("NO_PROXY", "10.0.0.0/8,127.0.0.0/8")], false),
    ("127.0.0.1", &[("HTTPS_PROXY", "http://PROXY"), ("NO_PROXY", "127.0.0.2/31,localhost,0.0.1")], false),
    ("127.0.0.1", &[("HTTPS_PROXY", "http://PROXY"), ("NO_PROXY", "127.0.0.1:PORT")], true),
    ("127.0.0.1", &[("HTTPS_PROXY", "http://PROXY"), ("NO_PROXY", "127.*")], true),
    ("127.0.0.1", &[("HTTPS_PROXY", "http://PROXY"), ("NO_PROXY", "127.0.0.0/33")], true),
];

#[test]
fn the_agent_and_curl_go_the_same_way_or_the_form_is_refused_by_name() {
    let runs =
        Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_ok_and(|s| s.success());
    if !runs {
        eprintln!("this host has no curl; nothing to compare");
        return;
    }
    let ca = Arc::new(Ca::root("Console"));
    let identity = ca.server(&["127.0.0.1", "localhost"]);
    let rogue = Rogue::https(identity, console::console(Arc::clone(&ca), console::enrolled));
    let place = Place::new();
    let ca_file = place.write("curl-ca.pem", ca.pem());
    for (at, (host, variables, refused)) in FORMS.iter().enumerate() {
        let url = format!("https://{host}:{}", rogue.address().port());
        let proxied = |run: &dyn Fn(&Variables)| {
            let proxy = ConnectProxy::start(None);
            let target = format!("{host}:{}", rogue.address().port());
            proxy.route(&target, rogue.address());
            let address = proxy.url().replace("http://", "");
            let fill = |text: &str| {
                text.replace("PROXY", &address).replace("PORT", &rogue.address().port().to_string())
            };
            let filled = variables.iter().map(|(name, value)| ((*name).to_owned(), fill(value)));
            run(&filled.collect::<Vec<_>>());
            let asked = proxy.heads();
            asked.first().map(|head| head.header("proxy-authorization").map(str::to_owned))
        };
        let curl = proxied(&|variables| {
            let mut curl = Command::new("curl");
            curl.args(["-q", "-s", "-o", "/dev/null", "-m", "10", "--cacert"]).arg(&ca_file).arg(&url);
            curl.env_clear().envs(variables.iter().cloned()).env("PATH", "/usr/bin:/bin");
            curl.stderr(Stdio::null()).status().expect("curl runs");
        });
        let agent = proxied(&|variables| {
            let mut agent = place.enroll(&format!("host-{at}"), &url, ca.pem());
            agent = agent.args(["--timeout", "20s"]).token(&made_up_token(1));
            for (name, value) in variables {
                agent = agent.env(name, value);
            }
            let run = agent.run();
            run.expect(if *refused { 2 } else { 0 });
            if *refused {
                let name = variables.last().expect("a variable").0.as_str();
                run.says(&[&format!("environment {name}: ")]);
            }
            Secrets::new().text("password", "hunter2").assert_not_in("the output", run.output());
        });
        if *refused {
            assert_eq!(agent, None, "{variables:?}: refused, and still asked the proxy");
        } else {
            assert_eq!(
                agent, curl,
                "{host} {variables:?}: (the proxy was asked, and with these credentials)"
            );
        }
    }
}
