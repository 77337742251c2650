#!/usr/bin/env bash
# A copied state directory on a host with another machine id, with real processes: nothing there ever speaks with the copied
# identity, neither the daemon nor a command, and everything says so. With a token of its own the clone enrolls.
. "$(dirname "$0")/lib.sh"
((EUID == 0)) || skip 'only root can give a process another machine id'
need unshare util-linux
need sqlite3 sqlite3
[[ -s /etc/machine-id ]] || skip 'this host has no machine id, so a clone cannot be told'

start_console
enroll "$SCRATCH/state" host >/dev/null
cat >"$SCRATCH/agent.toml" <<TOML
console_url = "$console_url"
bootstrap_ca = "$ca_file"
state_dir = "$SCRATCH/clone"
control_socket = "$SCRATCH/control.sock"
token_file = "$SCRATCH/own-token"
node_name = "clone"
TOML
cp -a "$SCRATCH/state" "$SCRATCH/clone"
echo 0123456789abcdef0123456789abcdef >"$SCRATCH/machine-id"
# The agent as it would run on the clone, each word after the other a process of the same number.
# shellcheck disable=SC2016  # for the shell inside
on_clone=(unshare -m --propagation private sh -c 'mount --bind "$0" /etc/machine-id && exec "$@"' "$SCRATCH/machine-id"
  "$BIN/telovix-agent" --config "$SCRATCH/agent.toml")
"${on_clone[@]}" --version >/dev/null || skip 'there are no mount namespaces here'
database=$SCRATCH/console/console.db
sensor=$(json sensor_id <"$SCRATCH/state/sensor-state.json")
# What the Console knows of the origin. A heartbeat changes it, and so would being retired or replaced.
origin() { sqlite3 "$database" "SELECT last_seen_at, decommissioned_at, certificate_generation, enrolled_at FROM sensors WHERE id = '$sensor'"; }
known=$(origin)
[[ -n $known ]] || fail "the Console does not know $sensor"
# Of anybody who has spoken as the origin since, the Console would have seen another second.
while (($(date +%s) <= ${known%%|*})); do sleep 0.1; done

# The commands.
expect 6 "${on_clone[@]}" status
grep -q 'another machine' "$SCRATCH/out" || fail "status does not say so: $(cat "$SCRATCH/out")"
grep -q "$sensor" "$SCRATCH/out" && fail 'status names a sensor that is another machine'
expect 6 "${on_clone[@]}" status --ready
expect 6 "${on_clone[@]}" doctor
grep -q 'fail  credential .*another machine' "$SCRATCH/out" || fail "the doctor does not say so: $(cat "$SCRATCH/out")"
expect 0 "${on_clone[@]}" decommission
grep -q 'nothing to retire: .*another machine' "$SCRATCH/out" || fail "$(cat "$SCRATCH/out")"
expect 2 "${on_clone[@]}" enroll
[[ $(origin) == "$known" ]] || fail "a command spoke as the origin: $(origin) instead of $known"

# The daemon.
"${on_clone[@]}" run 2>"$SCRATCH/agent.log" &
agent_pid=$!
at_exit "kill $agent_pid 2>/dev/null; wait $agent_pid"
until_status() {
  local pattern=$1 end=$((SECONDS + 60))
  until "${on_clone[@]}" status --output json >"$SCRATCH/status" 2>/dev/null; grep -qE "$pattern" "$SCRATCH/status"; do
    ((SECONDS < end)) || { cat "$SCRATCH/status" "$SCRATCH/agent.log" >&2; fail "the daemon does not say $pattern"; }
    sleep 0.2
  done
}
# Of the daemon, not of the disk.
until_status '"confinement": *"'
until_status '"state": *"lost"'
grep -q 'a token for this host' "$SCRATCH/status" || fail "the wrong remedy: $(cat "$SCRATCH/status")"
[[ ! -e $SCRATCH/clone/.sensor-ready ]] || fail 'the clone is ready with the identity of its origin'
expect 6 "${on_clone[@]}" renew --force
[[ $(origin) == "$known" ]] || fail "the daemon spoke as the origin: $(origin) instead of $known"
(umask 077 && make_token --type once >"$SCRATCH/own-token.new" && mv "$SCRATCH/own-token.new" "$SCRATCH/own-token")
until_status '"accepted": *true'
own=$(json sensor_id <"$SCRATCH/status")
[[ -n $own && $own != "$sensor" ]] || fail "the clone is $own"
[[ $(origin) == "$known" ]] || fail "the origin was touched: $(origin) instead of $known"
agent "$SCRATCH/state" status --ready || fail 'the origin lost something'
echo "the clone is sensor $own, and its origin $sensor knows nothing of it"
