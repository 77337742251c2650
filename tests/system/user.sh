#!/usr/bin/env bash
# An agent with a user of its own: root enrolls in its directory and leaves nothing that it could not go on with, and a
# file that it may not read is reported and waited for, neither taken for lost nor rolled back.
. "$(dirname "$0")/lib.sh"
((EUID == 0)) || skip 'only root can act as another user'
need setpriv util-linux

readonly AGENT_UID=65533

start_console
state=$SCRATCH/state
chmod 711 "$SCRATCH"
install -d -o $AGENT_UID -g $AGENT_UID -m 700 "$state"
install -d -o $AGENT_UID -g $AGENT_UID -m 755 "$SCRATCH/run"
cp "$ca_file" "$SCRATCH/ca.pem"
enroll "$state" host >/dev/null
foreign=$(find "$state" ! -type l ! -uid $AGENT_UID)
[[ -z $foreign ]] || fail "root left files of its own: $foreign"

# The binary, where that user can reach it.
install -m 755 "$BIN/telovix-agent" "$SCRATCH/telovix-agent"
cat >"$SCRATCH/agent.toml" <<TOML
console_url = "$console_url"
bootstrap_ca = "$SCRATCH/ca.pem"
state_dir = "$state"
control_socket = "$SCRATCH/run/control.sock"
node_name = "host"
TOML
setpriv --reuid $AGENT_UID --regid $AGENT_UID --clear-groups "$SCRATCH/telovix-agent" --config "$SCRATCH/agent.toml" run 2>"$SCRATCH/agent.log" &
agent_pid=$!
at_exit "kill $agent_pid 2>/dev/null; wait $agent_pid"

ask() { "$SCRATCH/telovix-agent" --config "$SCRATCH/agent.toml" "$@"; }
# Waits until the daemon's status matches a pattern.
until_status() {
  local pattern=$1 tries
  for ((tries = 0; tries < 300; tries++)); do
    ask status --output json >"$SCRATCH/status" 2>/dev/null || true
    if grep -qE "$pattern" "$SCRATCH/status"; then return; fi
    sleep 0.1
  done
  cat "$SCRATCH/status" "$SCRATCH/agent.log" >&2
  fail "the daemon does not say $pattern"
}

# Without a daemon the status is what the disk says.
for ((tries = 0; tries < 300; tries++)); do
  [[ -S $SCRATCH/run/control.sock ]] && break
  sleep 0.1
done
[[ -S $SCRATCH/run/control.sock ]] || fail "the daemon does not serve: $(cat "$SCRATCH/agent.log")"
until_status '"accepted": *true'
ask renew --force >/dev/null
until_status '"generation": *2'
serial=$(json serial <"$SCRATCH/status")
[[ -n $serial ]] || fail 'no serial in the status'

# What is not dumpable belongs to root in /proc (proc(5)): no process of the agent's own user reads its memory, and no core
# dump holds its key.
[[ $(stat -c %u "/proc/$agent_pid/environ") == 0 ]] || fail 'the memory of the agent can be read by its user'
grep -qE '^Max core file size +0 +0 ' "/proc/$agent_pid/limits" || fail "core dumps: $(grep core "/proc/$agent_pid/limits")"

# A file that somebody else took: said, and nothing is thrown away or rolled back.
certificate=$state/generations/000002/client.cert.pem
chown 0:0 "$certificate"
chmod 600 "$certificate"
until_status '"code": *"state_io_error"'
[[ $(readlink "$state/current") == generations/000002 ]] || fail 'a file that cannot be read was rolled back'
chown $AGENT_UID:$AGENT_UID "$certificate"
chmod 644 "$certificate"
until_status '"last_error": *null'
[[ $(json serial <"$SCRATCH/status") == "$serial" ]] || fail 'another identity after the file was given back'
