//! A server that is not the Console, as a process: `rogue ADDRESS NAME…` speaks TLS there with a certificate for these names
//! from a CA that nobody trusts, and answers each request with 503.
//!
//! It prints the address that it listens on. For each line on standard input it prints one of JSON: how many connections and
//! finished handshakes there were, which requests, how many of them with a client certificate, and how many tokens came out of
//! TLS; it ends with standard input.

use std::io::{BufRead as _, Write as _};

use serde_json::json;
use telovix_tests::pki::Ca;
use telovix_tests::rogue::{Rogue, Script};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (Some(address), names) = (arguments.first().and_then(|at| at.parse().ok()), arguments.get(1..))
    else {
        eprintln!("usage: rogue ADDRESS NAME...");
        std::process::exit(2);
    };
    let names: Vec<&str> = names.unwrap_or_default().iter().map(String::as_str).collect();
    let rogue = Rogue::https_on(address, Ca::root("Rogue").server(&names), |_| {
        Script::json(503, &json!({"error": "not_ready"}))
    });
    say(&rogue.address().to_string());
    for line in std::io::stdin().lock().lines() {
        line.expect("standard input can be read");
        let requests = rogue.requests();
        let record = json!({
            "connections": rogue.connections(),
            "handshakes": rogue.handshakes(),
            "requests": requests.iter().map(|it| format!("{} {}", it.method, it.path)).collect::<Vec<_>>(),
            "tokens": rogue.application_bytes().windows(4).filter(|word| word == b"tse_").count(),
            "client_certificates": requests.iter().filter(|request| request.client_cert_der.is_some()).count(),
        });
        say(&record.to_string());
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("somebody reads");
}
