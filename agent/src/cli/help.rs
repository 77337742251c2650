//! What people read when they ask for help: exit status, files, environment.

use crate::config::keys::ROWS;

/// One line.
pub(super) const ABOUT: &str =
    "Turns a short-lived enrollment token into a host identity, and never loses it.";

pub(super) const EXIT_STATUS: &str = "\
Exit status:
  0  done
  1  unexpected failure
  2  the command line or the configuration is wrong
  3  refused by the Console until an operator acts (new token, binding, limit)
  4  still waiting for an operator's approval
  5  the Console was not reached in time
  6  no valid identity (status, doctor, renew)
  7  the Console's certificate is not trusted
  8  local state: permissions, disk, lock, clock
  9  it works, and something is worth a look (doctor)";

/// After the long help.
pub(super) fn after_long_help() -> String {
    let variable = |name: &str, help: &str| format!("  {name}\n          {help}\n");
    let settings: String = ROWS.iter().map(|row| variable(row.variable, &row.help())).collect();
    let others: String = [
        ("TELOVIX_ENROLLMENT_TOKEN", "The enrollment token"),
        ("TELOVIX_CONFIG", "Configuration file to read instead of /etc/telovix/agent.toml"),
        ("HTTPS_PROXY, NO_PROXY", "Proxy by CONNECT, and the hosts that are reached without it"),
    ]
    .map(|(name, help)| variable(name, help))
    .concat();
    format!(
        "\
Flags beat the environment, the environment beats the files, the files beat the defaults. The files are
/etc/telovix/agent.toml and, after it, agent.toml.d/*.toml in order of their names. A key is the flag's name with
underscores (console_url, token_file, node_role, …); where there is no flag, it is the variable's name in small
letters without TELOVIX_ (hook_command, health_listen, …).

Environment (an empty variable counts as unset):
{settings}{others}
{EXIT_STATUS}"
    )
}
