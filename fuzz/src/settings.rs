//! The agent's configuration, out of all its layers at once.
//!
//! The parts of the input: the main file, a drop-in, the environment (a line each, `NAME=value`), the arguments (a line
//! each), the host's name, the CA file `ca.pem` beside the main file, and the file `token` beside it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use telovix_agent::cli;
use telovix_agent::config::values::LONGEST_DURATION;
use telovix_agent::config::{Config, ConfigErrors, Environment, Origin, Sources, load_from};
use telovix_contract::EnrollmentToken;

use crate::kit::{holds_a_token, parts, scratch};

/// Reads the input.
///
/// # Panics
/// Where a configuration is taken that cannot be used, or an error shows what it must not.
pub fn run(data: &[u8]) {
    let [main, drop_in, env, arguments, host, ca, token] = parts::<7>(data);
    let dir = scratch("settings");
    let file = dir.join("agent.toml");
    let drop_ins = dir.join("agent.toml.d");
    std::fs::create_dir_all(&drop_ins).expect("a directory can be made");
    for (path, text) in [
        (file.clone(), main),
        (drop_ins.join("50-x.toml"), drop_in),
        (dir.join("ca.pem"), ca),
        (dir.join("token"), token),
    ] {
        std::fs::write(path, text).expect("a file can be written");
    }
    let texts = [main, drop_in, env, arguments, host, ca].concat();
    let env = Environment::from_pairs(env.split(|byte| *byte == b'\n').filter_map(|line| {
        let at = line.iter().position(|byte| *byte == b'=')?;
        let name = std::str::from_utf8(&line[..at]).ok().filter(|name| harmless(name))?;
        Some((name.to_owned(), OsString::from_vec(line[at + 1..].to_vec())))
    }));
    let lines = arguments.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).take(16);
    let arguments = lines.map(|line| OsString::from_vec(line.to_vec()));
    let program = std::iter::once(OsString::from("telovix-agent"));
    let args = match cli::parse(program.chain(arguments)) {
        Ok(args) if args.config.is_none() => args,
        Ok(_) => return,
        Err(usage) => {
            assert!(!holds_a_token(&usage.to_string()), "{usage}");
            return;
        }
    };
    let sources =
        Sources { args: &args, env: &env, host_name: OsString::from_vec(host.to_vec()), default_file: &file };
    let found = load_from(&sources);
    assert_eq!(
        format!("{:?}", load_from(&sources)),
        format!("{found:?}"),
        "the same sources are the same configuration"
    );
    match found {
        Ok(config) => usable(&config, &texts, &dir),
        Err(errors) => told(&errors),
    }
}

/// Names another file, or makes the watchdog's answer depend on this process's number.
fn harmless(name: &str) -> bool {
    name != "TELOVIX_CONFIG" && name != "WATCHDOG_PID"
}

fn told(errors: &ConfigErrors) {
    assert!(!errors.as_slice().is_empty(), "an error without one");
    for error in errors.as_slice() {
        let line = error.to_string();
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(!holds_secret(&line), "{line}");
    }
}

fn usable(config: &Config, texts: &[u8], dir: &Path) {
    if let Some(url) = &config.console_url {
        assert_eq!(url.value.to_string().parse().as_ref(), Ok(&url.value));
    }
    for span in [config.timeout.value, config.hook.timeout.value] {
        assert!(!span.is_zero() && span <= LONGEST_DURATION);
    }
    assert!(config.publish.key_mode.value & !0o640 == 0, "others could read the key");
    assert!(config.publish.cert_mode.value & !0o644 == 0);
    assert!(config.tags.value.as_slice().len() <= 64);
    assert!(!config.state_dir.value.as_os_str().is_empty());
    assert!(config.hook.command.as_ref().is_none_or(|words| Path::new(&words.value[0]).is_absolute()));
    assert!(config.clone().keep_running(config).is_empty());
    assert!(config.files().iter().all(|file| !file.as_os_str().is_empty()));
    if let Origin::File { path, line } = &config.node_name.origin {
        let text = std::fs::read_to_string(path).expect("a file that was read");
        assert!((1..=text.lines().count()).contains(line), "{} has no line {line}", path.display());
    }
    for warning in &config.warnings {
        assert!(!warning.chars().any(char::is_control) && !holds_secret(warning), "{warning:?}");
    }
    match config.token.resolve(&mut &texts[..texts.len().min(5000)]) {
        Ok(Some(found)) => {
            let shown = format!("{found:?} {config:?}");
            let secret = found.token.expose();
            let given_in_the_open = String::from_utf8_lossy(texts).matches(secret).count() > 1;
            assert!(given_in_the_open || !shown.contains(&secret[4..]), "Debug shows the token");
            assert!(found.token.expose().parse::<EnrollmentToken>().is_ok());
        }
        Ok(None) => assert!(!config.token.why_none().is_empty()),
        Err(error) => assert!(!holds_a_token(&error.to_string()), "{error}"),
    }
    let _ =
        (config.trust.resolve().map_err(|errors| told(&errors)), config.require_console_url().is_ok(), dir);
}

fn holds_secret(line: &str) -> bool {
    telovix_agent::cli::redact_tokens(line) != line && !line.contains("tse_<redacted>")
}
