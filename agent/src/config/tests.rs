//! Tests of the configuration as a whole: which layer wins, where values came from, and every complaint.

use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::testpki::parse_arguments;

/// A configuration directory, an environment and a command line.
pub(super) struct Bench {
    pub(super) directory: TempDir,
    environment: Vec<(&'static str, String)>,
    arguments: Vec<String>,
}

impl Bench {
    pub(super) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        Self { directory, environment: Vec::new(), arguments: vec!["enroll".into()] }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    #[expect(clippy::disallowed_methods, reason = "a test lays out its files")]
    pub(super) fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    pub(super) fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    pub(super) fn args(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|a| (*a).to_owned()));
        self
    }

    pub(super) fn command(mut self, arguments: &[&str]) -> Self {
        self.arguments = arguments.iter().map(|a| (*a).to_owned()).collect();
        self
    }

    pub(super) fn load(&self) -> Result<Config, ConfigErrors> {
        self.load_on("host-1")
    }

    pub(super) fn load_on(&self, host_name: &str) -> Result<Config, ConfigErrors> {
        let arguments = std::iter::once("telovix-agent".to_owned()).chain(self.arguments.clone());
        let args = parse_arguments(arguments.map(OsString::from)).unwrap();
        let env = Environment::from_pairs(self.environment.iter().map(|(n, v)| (*n, v)));
        let default_file = self.path("agent.toml");
        load_from(&Sources {
            args: &args,
            env: &env,
            host_name: host_name.into(),
            default_file: &default_file,
        })
    }

    /// The complaints, with the directory's name taken out.
    pub(super) fn complaints(&self) -> Vec<String> {
        let errors = self.load().unwrap_err();
        let here = format!("{}/", self.directory.path().display());
        errors.to_string().lines().map(|line| line.replace(&here, "")).collect()
    }
}

#[test]
fn defaults_need_nothing_at_all() {
    let config = Bench::new().load().unwrap();
    assert_eq!(config.console_url, None);
    assert_eq!(config.node_name, Sourced::new("host-1".parse().unwrap(), Origin::Host));
    assert_eq!(config.node_role.value.as_str(), "generic_linux");
    assert_eq!(config.state_dir, Sourced::new("/var/lib/telovix-sensor".into(), Origin::Default));
    assert_eq!(config.timeout.value, Duration::from_secs(300));
    assert_eq!((config.key_type.value, config.flavor.value), (KeyType::P256, Flavor::Standard));
    assert_eq!((config.log.level.value, config.log.format.value), (LogLevel::Info, LogFormat::Text));
    assert_eq!(config.trust.resolve().unwrap().value, Trust::SystemRoots);
    assert_eq!(config.token.iter().count(), 0);
    assert!(config.warnings.is_empty());
    let missing = config.require_console_url().unwrap_err().to_string();
    for way in ["console_url: ", "--console-url", "TELOVIX_CONSOLE_URL"] {
        assert!(missing.contains(way), "{missing}");
    }
}

#[test]
fn flags_beat_environment_beats_files_in_order() {
    let mut bench = Bench::new()
        .file("agent.toml", "# first\nnode_role = \"r1\"\ncluster_name = \"c1\"\ninstall_id = \"i1\"\n")
        .file("agent.toml.d/20-late.toml", "install_id = \"i3\"")
        .file("agent.toml.d/10-early.toml", "\ncluster_name = \"c2\"\ninstall_id = \"i2\"")
        .file("agent.toml.d/.hidden.toml", "nonsense")
        .file("agent.toml.d/notes.txt", "nonsense");
    let config = bench.load().unwrap();
    let file = |name: &str, line| Origin::File { path: bench.path(name), line };
    assert_eq!(config.node_role, Sourced::new("r1".parse().unwrap(), file("agent.toml", 2)));
    assert_eq!(
        config.cluster_name,
        Some(Sourced::new("c2".parse().unwrap(), file("agent.toml.d/10-early.toml", 2)))
    );
    let install_id = config.install_id.unwrap();
    assert_eq!(install_id, Sourced::new("i3".parse().unwrap(), file("agent.toml.d/20-late.toml", 1)));

    bench = bench.env("TELOVIX_NODE_ROLE", "r4").env("TELOVIX_INSTALL_ID", "");
    let config = bench.load().unwrap();
    assert_eq!(config.node_role, Sourced::new("r4".parse().unwrap(), Origin::Env("TELOVIX_NODE_ROLE")));
    assert_eq!(config.install_id.unwrap().value.as_str(), "i3", "an empty variable counts as unset");

    bench = bench.args(&["--node-role", "r5"]);
    let config = bench.load().unwrap();
    assert_eq!(config.node_role, Sourced::new("r5".parse().unwrap(), Origin::Flag("--node-role")));
}

#[test]
fn every_variable_sets_what_it_names() {
    let fingerprint = format!("sha256:{}", "ab".repeat(32));
    let config = Bench::new()
        .env("TELOVIX_CONSOLE_URL", "https://[::1]:15483")
        .env("TELOVIX_NODE_ROLE", "o_du")
        .env("TELOVIX_NODE_NAME", "worker-3.example")
        .env("TELOVIX_CLUSTER_NAME", "edge")
        .env("TELOVIX_INSTALL_ID", "rel-1")
        .env("TELOVIX_K8S_DEPLOYMENT", "telovix-sensor")
        .env("TELOVIX_SENSOR_TAGS", "a, b")
        .env("TELOVIX_CA_FINGERPRINT", &fingerprint)
        .env("TELOVIX_FLAVOR", "telecom")
        .env("TELOVIX_KEY_TYPE", "rsa-3072")
        .env("TELOVIX_STATE_DIR", "/s")
        .env("TELOVIX_TIMEOUT", "90s")
        .env("TELOVIX_LOG_LEVEL", "debug")
        .env("TELOVIX_LOG_FORMAT", "json")
        .env("TELOVIX_UNKNOWN", "of the vendor")
        .load()
        .unwrap();
    assert_eq!(config.require_console_url().unwrap().value.authority(), "[::1]:15483");
    assert_eq!(config.node_role.value.as_str(), "o_du");
    assert_eq!(config.node_name.value.as_str(), "worker-3.example");
    assert_eq!(config.cluster_name.unwrap().value.as_str(), "edge");
    assert_eq!(config.install_id.unwrap().value.as_str(), "rel-1");
    assert_eq!(config.k8s_deployment.unwrap().value, "telovix-sensor");
    assert_eq!(config.tags.value.to_string(), "a,b");
    assert_eq!(config.trust.resolve().unwrap().value, Trust::Pinned(fingerprint.parse().unwrap()));
    assert_eq!((config.flavor.value, config.key_type.value), (Flavor::Telecom, KeyType::Rsa3072));
    assert_eq!((config.state_dir.value, config.timeout.value), ("/s".into(), Duration::from_secs(90)));
    assert_eq!((config.log.level.value, config.log.format.value), (LogLevel::Debug, LogFormat::Json));
}

#[test]
fn every_key_of_a_file_sets_what_it_names() {
    let bench = Bench::new().file(
        "agent.toml",
        r#"
        console_url = "https://c.example"
        token_file = "secrets/token"
        node_name = "n"
        node_role = "amf"
        cluster_name = "c"
        install_id = "i"
        tags = ["a", "b c"]
        flavor = "telecom"
        key_type = "ed25519"
        state_dir = "/s"
        timeout = "1h30m"
        log_level = "warn"
        log_format = "json"
        k8s_deployment = "d"
        danger_accept_unverified_console = true
        "#,
    );
    let config = bench.load().unwrap();
    assert_eq!(config.tags.value.to_string(), "a,b c");
    assert_eq!(config.timeout.value, Duration::from_secs(5400));
    assert_eq!(config.trust.resolve().unwrap().value, Trust::DangerAcceptAnyConsole);
    let source = config.token.iter().next().unwrap();
    assert_eq!(
        source.file(),
        Some(bench.path("secrets/token").as_path()),
        "relative to the file that says it"
    );
    let tags = Bench::new().file("agent.toml", "tags = 'x,y'").load().unwrap().tags;
    assert_eq!(tags.value.to_string(), "x,y");
}

#[test]
fn a_named_file_is_read_instead_and_has_to_be_there() {
    let bench = Bench::new()
        .file("agent.toml", "node_role = 'default'")
        .file("flag.toml", "node_role = 'flag'")
        .file("flag.toml.d/1.toml", "cluster_name = 'drop-in'")
        .file("env.toml", "node_role = 'env'");
    let named = bench.path("env.toml").display().to_string();
    let bench = bench.env("TELOVIX_CONFIG", named);
    assert_eq!(bench.load().unwrap().node_role.value.as_str(), "env");
    let named = bench.path("flag.toml").display().to_string();
    let config = bench.args(&["--config", &named]).load().unwrap();
    assert_eq!(config.node_role.value.as_str(), "flag");
    assert_eq!(config.cluster_name.unwrap().value.as_str(), "drop-in");
    let error = Bench::new().env("TELOVIX_CONFIG", "/nowhere.toml").load().unwrap_err().to_string();
    assert!(error.starts_with("/nowhere.toml: cannot be read") && error.contains("No such file"), "{error}");
}

#[test]
fn every_mistake_of_every_layer_is_reported_at_once() {
    let complaints = Bench::new()
        .file("agent.toml", "consol_url = 'x'\ntimeout = 300\nflavor = 'mild'\n")
        .file("agent.toml.d/a.toml", "\n\nlog_level = 'loud'")
        .env("TELOVIX_KEY_TYPE", "rsa1024")
        .env("TELOVIX_DANGER_ACCEPT_UNVERIFIED_CONSOLE", "perhaps")
        .env("HTTPS_PROXY", "socks5://p:1")
        .args(&["--console-url", "http://c.example", "--node-name", "x-", "--node-role", "O-DU"])
        .args(&["--cluster-name", "a\u{202e}b", "--install-id", "", "--tags", "x\ty"])
        .args(&["--ca-fingerprint", "sha256:00", "--timeout", "5"])
        .complaints();
    let expected = [
        "agent.toml line 1: unknown key \"consol_url\"; did you mean console_url?",
        "agent.toml line 2: timeout cannot be a number; write it as timeout = \"15m\"",
        "flag --console-url: \"http://c.example\" is not encrypted: the enrollment token would travel in plain text; \
         use https://",
        "flag --ca-fingerprint: a CA fingerprint is `sha256:` followed by 64 hex digits, as `setup` and the Deploy \
         Sensor page print it",
        "environment TELOVIX_DANGER_ACCEPT_UNVERIFIED_CONSOLE: \"perhaps\" is not a choice; it can be true or false",
        "flag --node-name: node name has to start and end with a letter or a digit",
        "flag --node-role: node role holds 'O'; only a-z, 0-9 and _ may stand there, as in generic_linux",
        "flag --cluster-name: cluster name holds \\u{202e}, a control or invisible character",
        "flag --install-id: install id is empty",
        "flag --tags: tag holds a control or invisible character",
        "agent.toml line 3: flavor is \"mild\"; it can be standard or telecom",
        "environment TELOVIX_KEY_TYPE: \"rsa1024\" is not a key type; it can be p256, rsa2048, rsa3072, rsa4096 or \
         ed25519",
        "environment HTTPS_PROXY: names a socks5 proxy, which is not supported; write it as http://proxy.example:3128",
        "flag --timeout: \"5\" has no unit; write it as 90s, 15m, 24h, 1h30m or 7d",
        "agent.toml.d/a.toml line 3: \"loud\" is not a log level; it can be error, warn, info, debug or trace",
    ];
    assert_eq!(complaints, expected);
}

#[test]
fn an_overridden_mistake_is_a_warning() {
    let bench = Bench::new().file("agent.toml", "\nnode_role = \"O-DU\"").args(&["--node-role", "o_du"]);
    let config = bench.load().unwrap();
    assert_eq!(config.node_role.value.as_str(), "o_du");
    assert_eq!(config.warnings.len(), 1);
    let warning = &config.warnings[0];
    assert!(warning.contains("agent.toml line 2: node role holds 'O'"), "{warning}");
    assert!(warning.contains("(not used: flag --node-role is set as well)"), "{warning}");
}

#[test]
fn a_host_name_that_is_no_node_name_asks_for_one() {
    for host_name in ["", "(none)", "under score"] {
        let error = Bench::new().load_on(host_name).unwrap_err().to_string();
        assert!(error.starts_with("host name: ") && error.contains("--node-name"), "{error}");
        let config = Bench::new().env("TELOVIX_NODE_NAME", "n").load_on(host_name).unwrap();
        assert_eq!(config.node_name.origin, Origin::Env("TELOVIX_NODE_NAME"));
    }
    let twice = Bench::new().args(&["--node-name", "_"]).load_on("(none)").unwrap_err();
    assert_eq!(twice.as_slice().len(), 1, "{twice}");
}

#[test]
fn text_that_is_not_utf_8_is_refused_where_it_stands() {
    use std::os::unix::ffi::OsStringExt as _;
    let args = parse_arguments(["telovix-agent", "status"].map(OsString::from)).unwrap();
    let env = Environment::from_pairs([
        ("TELOVIX_NODE_ROLE", OsString::from_vec(vec![0xff])),
        ("TELOVIX_STATE_DIR", OsString::from_vec(b"/s\xff".to_vec())),
    ]);
    let default_file = Path::new("/nowhere/agent.toml");
    let errors =
        load_from(&Sources { args: &args, env: &env, host_name: "h".into(), default_file }).unwrap_err();
    assert_eq!(errors.to_string(), "environment TELOVIX_NODE_ROLE: is not UTF-8; write it in UTF-8");
}

#[test]
fn nothing_secret_is_shown() {
    let token = format!("tse_{}", "A".repeat(43));
    let bench = Bench::new()
        .env("TELOVIX_ENROLLMENT_TOKEN", &token)
        .env("HTTPS_PROXY", "http://user:hunter2@p:3128")
        .args(&["--danger-accept-unverified-console"]);
    let shown = format!("{:?}", bench.load().unwrap());
    assert!(!shown.contains("AAAA") && !shown.contains("hunter2"), "{shown}");
    // A token in the wrong place is not quoted back.
    let bench = Bench::new()
        .file(
            "agent.toml",
            format!("enrollment_token = '{token}'\nconsole_url = '{token}'\nkey_type = '{token}'"),
        )
        .env("TELOVIX_ENROLLMENT_TOKEN_FILE", &token)
        .env("TELOVIX_CLUSTER_NAME", format!("{token}!"));
    let errors = bench.load().unwrap_err().to_string();
    assert!(!errors.contains("AAAA") && errors.lines().count() == 5, "{errors}");
    assert!(errors.contains("a token does not stand in the configuration"), "{errors}");
    assert!(errors.contains("token where the name of a file belongs"), "{errors}");
}

/// docs/contract.md section 2: the inputs of first contact are needed at first contact only.
#[test]
fn only_an_enrollment_needs_a_ca_file_and_a_name() {
    let bench = Bench::new().env("TELOVIX_BOOTSTRAP_CA_CERT_PATH", "/gone/ca.pem");
    assert_eq!(bench.load_on("(none)").unwrap_err().as_slice().len(), 2);
    for command in ["status", "run", "renew", "doctor"] {
        let bench = Bench::new().command(&[command]).env("TELOVIX_BOOTSTRAP_CA_CERT_PATH", "/gone/ca.pem");
        let config = bench.load_on("(none)").unwrap();
        assert_eq!(config.first_contact().as_slice().len(), 2, "{command}");
    }
}

#[test]
fn what_may_pass_by_itself_is_told_from_a_mistake() {
    let passes = |bench: Bench| bench.load().unwrap_err().may_pass();
    assert!(passes(Bench::new().file("agent.toml/x", "")), "a file that cannot be read");
    assert!(passes(Bench::new().file("agent.toml", "publish_owner = 'no-such-user-here'")), "a name service");
    assert!(!passes(Bench::new().file("agent.toml", "colour = 'blue'")));
    assert!(!passes(Bench::new().file("agent.toml", "colour = 'blue'\npublish_owner = 'no-such-user-here'")));
    assert!(!ConfigErrors::default().may_pass());
}

#[test]
fn a_file_that_everybody_writes_directs_no_hook() {
    use std::os::unix::fs::PermissionsExt as _;
    let text = "node_role = 'amf'\nhook_command = ['/bin/x']\nsignal_pid_file = '/p'";
    let bench = Bench::new().file("agent.toml", text);
    let mode = |place: &Path, mode| {
        #[expect(clippy::disallowed_methods, reason = "a test lays out its files")]
        std::fs::set_permissions(place, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let (file, directory) = (bench.path("agent.toml"), bench.directory.path().to_owned());
    assert!(bench.load().unwrap().hook.command.is_some());
    for (place, open) in [(&file, 0o666), (&directory, 0o777)] {
        let before = std::fs::metadata(place).unwrap().permissions().mode();
        mode(place, open);
        let config = bench.load().unwrap();
        assert_eq!((&config.hook.command, &config.hook.pid_file), (&None, &None), "{}", place.display());
        assert_eq!(config.node_role.value.as_str(), "amf");
        let said = &config.warnings[0];
        assert!(said.contains("every user") && said.contains("chmod o-w") && said.contains("hook"), "{said}");
        mode(place, before);
    }
    mode(&directory, 0o1777);
    assert!(bench.load().unwrap().hook.command.is_some(), "nobody replaces a file in a sticky directory");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn no_environment_panics(
        values in proptest::collection::vec("\\PC{0,20}", 6),
        host_name in "\\PC{0,12}",
    ) {
        let names = [
            "TELOVIX_CONSOLE_URL", "TELOVIX_NODE_NAME", "TELOVIX_SENSOR_TAGS", "TELOVIX_TIMEOUT",
            "TELOVIX_CA_FINGERPRINT", "https_proxy",
        ];
        let bench = names.into_iter().zip(values).fold(Bench::new(), |bench, (name, value)| bench.env(name, value));
        if let Err(errors) = bench.load_on(&host_name) {
            prop_assert!(!errors.as_slice().is_empty());
            prop_assert_eq!(errors.to_string().lines().count(), errors.as_slice().len());
        }
    }
}

#[test]
fn what_a_running_agent_cannot_take_is_named() {
    let running = Bench::new().file("agent.toml", "state_dir = '/a'\nhealth_listen = '127.0.0.1:1'").load();
    let running = running.unwrap();
    assert_eq!(running.needs_restart(&running), [] as [&str; 0]);
    let text = "state_dir = '/b'\ncontrol_socket = '/c/d'\nlog_format = 'json'\nhook_command = ['/bin/x']";
    // However often it is read: what counts is what is in force.
    let mut in_force = running.clone();
    for _ in 0..2 {
        let mut fresh = Bench::new().file("agent.toml", text).load().unwrap();
        let waiting = fresh.keep_running(&in_force);
        assert_eq!(waiting, ["control_socket", "health_listen", "log_format", "state_dir", "hook_command"]);
        assert_eq!((&fresh.state_dir, &fresh.server), (&running.state_dir, &running.server));
        in_force = fresh;
    }
    let mut back = running.clone();
    assert_eq!(back.keep_running(&in_force), [] as [&str; 0]);
}
