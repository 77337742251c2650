//! What people read when they ask for help: exit status, files, environment.

/// One line.
pub(super) const ABOUT: &str =
    "Turns a short-lived enrollment token into a host identity, and never loses it.";

macro_rules! exit_status {
    () => {
        "\
Exit status:
  0  done
  1  unexpected failure
  2  the command line or the configuration is wrong
  3  refused by the Console until an operator acts (new token, binding, limit)
  4  still waiting for an operator's approval
  5  the Console was not reached in time
  6  no valid identity (status, doctor, renew)
  7  the Console's certificate is not trusted
  8  local state: permissions, disk, lock, clock"
    };
}

/// After the short help.
pub(super) const AFTER_HELP: &str = exit_status!();

/// After the long help.
pub(super) const AFTER_LONG_HELP: &str = concat!(
    "\
Flags beat the environment, the environment beats the files, the files beat the defaults. The files are
/etc/telovix/agent.toml and, after it, agent.toml.d/*.toml in order of their names. A key is the flag's name with
underscores (console_url, token_file, node_role, …); where there is no flag, it is the variable's name in small
letters without TELOVIX_ (hook_command, health_listen, …).

Environment (an empty variable counts as unset):
  TELOVIX_CONSOLE_URL               https address of the Console
  TELOVIX_ENROLLMENT_TOKEN          the enrollment token
  TELOVIX_ENROLLMENT_TOKEN_FILE     a file that holds the enrollment token
  TELOVIX_BOOTSTRAP_CA_CERT_PATH    CA file to trust at first contact
  TELOVIX_CA_FINGERPRINT            sha256:<64 hex> of the Console CA to trust at first contact
  TELOVIX_NODE_NAME                 name of this node; the host name otherwise
  TELOVIX_NODE_ROLE                 what this node is for; generic_linux otherwise
  TELOVIX_CLUSTER_NAME              the cluster that this node belongs to
  TELOVIX_INSTALL_ID                tells installations of one cluster apart
  TELOVIX_SENSOR_TAGS               labels, separated by commas
  TELOVIX_FLAVOR                    standard or telecom
  TELOVIX_KEY_TYPE                  p256, rsa2048, rsa3072, rsa4096 or ed25519
  TELOVIX_TIMEOUT                   how long enroll tries, such as 90s, 5m, 24h
  TELOVIX_STATE_DIR                 where the identity is kept
  TELOVIX_K8S_DEPLOYMENT            name of the Kubernetes workload
  TELOVIX_CONTROL_SOCKET, TELOVIX_CONTROL_SOCKET_MODE
                                    socket of the daemon, and 0600 or 0660
  TELOVIX_HEALTH_LISTEN             address for /livez, /readyz and /metrics; none otherwise
  TELOVIX_HOOK_COMMAND, TELOVIX_HOOK_TIMEOUT
                                    program to run after each change of the credential
  TELOVIX_SIGNAL_PID_FILE, TELOVIX_SIGNAL
                                    process to signal after each change of the credential
  TELOVIX_PUBLISH_OWNER, TELOVIX_PUBLISH_GROUP, TELOVIX_PUBLISH_KEY_MODE, TELOVIX_PUBLISH_CERT_MODE
                                    who may read the published files
  TELOVIX_LOG_LEVEL, TELOVIX_LOG_FORMAT, TELOVIX_CONFIG
                                    as the flags of these names
  TELOVIX_DANGER_ACCEPT_UNVERIFIED_CONSOLE
                                    true sends the token to a Console that nothing vouches for
  HTTPS_PROXY, NO_PROXY             proxy by CONNECT, and the hosts that are reached without it

",
    exit_status!()
);
