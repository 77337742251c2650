#!/usr/bin/env bash
# A host of its own, with a booted systemd and its own address, from the one-line command to its removal: install, twice,
# restart, watchdog, reboot, upgrade, uninstall, purge, and the ways in which the command fails that a booted host is needed for.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/support/machine.sh"
((EUID == 0)) || skip 'only root can boot a machine'
source=$(cd "$(dirname "$0")/../.." && pwd)
need sqlite3 sqlite3
need strace strace
debian_roots bookworm
prepared
cd /

make_network
fresh_root bookworm
strip -o "$SCRATCH/built" "$BIN/telovix-agent"
start_remote_console "$SCRATCH/built"
boot
echo "booted: $(inside systemctl --version | head -n 1)"

# Writes the one-line command with a new token to /opt/line, as `token create` prints it.
one_liner() {
  "$BIN/telovix-console-stub" token create --data-dir "$SCRATCH/console" --type once --output json >"$SCRATCH/made.json"
  json token <"$SCRATCH/made.json" >"$SCRATCH/token"
  token_id=$(json id <"$SCRATCH/made.json")
  sed -nE 's/.*"install_command": ?"(([^"\\]|\\.)*)".*/\1/p' "$SCRATCH/made.json" | sed 's/\\"/"/g; s/\\\\/\\/g' >"$root/opt/line"
  [[ -s $root/opt/line ]] || fail "no command in: $(sed 's/tse_[^"]*/…/' "$SCRATCH/made.json")"
}
install() { inside sh /opt/line; }
service() { inside systemctl show telovix-agent --property "$1" --value; }
is() { [[ $(service "$1") == "$2" ]] || fail "the service has $1=$(service "$1") instead of $2"; }
ready() { inside telovix-agent status --ready >/dev/null 2>&1; }
identity() { inside telovix-agent status --output json | json sensor_id; }
sensors() { "$BIN/telovix-console-stub" sensor list --data-dir "$SCRATCH/console" --output json; }
count() { sensors | grep -oE '"sensor_id" ?:' | wc -l; }
says() { grep -qE "$1" "$SCRATCH/err" "$SCRATCH/out" || fail "no '$1' in: $(cat "$SCRATCH/out" "$SCRATCH/err")"; }
nothing_enrolled() {
  [[ ! -e $root/var/lib/telovix-sensor/current ]] || fail "$1 left an identity"
  [[ $(service ActiveState) == inactive ]] || fail "$1 left the service $(service ActiveState)"
}

# Looks at the arguments and the environment of every process, inside and outside, and at the files where the machine puts
# what is on the way, again and again. It has to see a token that stands in an environment, or it would prove nothing.
sample() {
  local there=/proc/$leader/root
  : >"$SCRATCH/seen"
  while [[ -e $SCRATCH/sampling ]]; do
    grep -alsF -f "$SCRATCH/token" /proc/[0-9]*/cmdline /proc/[0-9]*/environ >>"$SCRATCH/seen" || true
    grep -rlsF -f "$SCRATCH/token" "$there"/{tmp,var/tmp,dev/shm,etc/telovix,var/lib/telovix-sensor} >>"$SCRATCH/seen" || true
    echo >>"$SCRATCH/looks"
  done
}
sampling() {
  touch "$SCRATCH/sampling"
  : >"$SCRATCH/looks"
  sample &
  sampler=$!
}
stop_sampling() {
  rm "$SCRATCH/sampling"
  wait "$sampler"
}
at_exit "rm -f '$SCRATCH/sampling'"
one_liner
sampling
LEAK=$(cat "$SCRATCH/token") sleep 600 &
leak=$!
await 'a leak that was made on purpose' test -s "$SCRATCH/seen"
kill "$leak"
wait "$leak" 2>/dev/null || true
stop_sampling

# The hook runs confined as the agent is, and may write where the agent may.
mkdir -p "$root/etc/telovix/agent.toml.d"
cat >"$root/usr/local/sbin/told" <<'HOOK'
#!/bin/sh
echo "$TELOVIX_EVENT" >>/run/telovix-agent/told
! touch /var/lib/elsewhere 2>/dev/null || echo 'not confined' >>/run/telovix-agent/told
HOOK
chmod 755 "$root/usr/local/sbin/told"
echo 'hook_command = ["/usr/local/sbin/told"]' >"$root/etc/telovix/agent.toml.d/hook.toml"

# The one-line command. Samples may miss what is short, so each program that it starts is written down as well, with all of
# its arguments and its environment.
traced() { strace -f -qq -v -s 65536 -e trace=execve -o "$SCRATCH/execs" "$@"; }
sampling
expect 0 traced nsenter -t "$leader" -m -u -i -n -p -C --root --wd=/ sh /opt/line
stop_sampling
grep -q 'telovix-agent".*"enroll", "--token-stdin"' "$SCRATCH/execs" || fail 'the enrollment was not written down'
if grep -F -f "$SCRATCH/token" "$SCRATCH/execs"; then fail 'the token was given to a program where others see it'; fi
[[ ! -s $SCRATCH/seen ]] || fail "the token was seen in: $(sort -u "$SCRATCH/seen")"
says 'runs and is ready'
is ActiveState active
is SubState running
is User telovix
[[ $(inside systemctl is-enabled telovix-agent) == enabled ]] || fail 'the service is not enabled'
left=$(inside grep -rlsF -f - /etc /var /tmp /run /usr/local <"$SCRATCH/token" || true)
[[ -z $left ]] || fail "the token stands in: $left"
expect 0 ready
sensor=$(identity)
echo "installed: $(wc -l <"$SCRATCH/looks") looks at all processes did not see the token"

# Who it is, and what holds it back.
pid=$(service MainPID)
for line in 'NoNewPrivs:.1' 'Seccomp:.2' 'CapEff:.0000000000000000' 'CapBnd:.0000000000000000'; do
  inside grep -qE "^$line\$" "/proc/$pid/status" || fail "not in its status: $line"
done
sensors | grep -qE '"memory_bytes": ?[1-9]' || fail "the confined agent did not see this host's memory: $(sensors)"
sensors | grep -qE '"cpu_count": ?[1-9]' || fail "the confined agent did not see this host's processors: $(sensors)"
expect 0 inside telovix-agent renew --force
told() { inside grep -qx renewed /run/telovix-agent/told; }
await 'the hook' told
inside grep -q 'not confined' /run/telovix-agent/told && fail 'the hook is not confined'
inside systemd-analyze security --no-pager --threshold=12 telovix-agent.service >"$SCRATCH/out" 2>&1 ||
  fail "too exposed: $(tail -n 1 "$SCRATCH/out")"
for unit in telovix-agent telovix-console-stub; do
  cp "$source/systemd/$unit.service" "$root/opt"
  inside systemd-analyze security --no-pager --offline=true --threshold=12 "/opt/$unit.service" >"$SCRATCH/out" 2>&1 ||
    fail "$unit is too exposed: $(tail -n 1 "$SCRATCH/out")"
done
[[ -z $(inside systemd-analyze verify --man=no /etc/systemd/system/telovix-agent.service 2>&1) ]] ||
  fail "systemd-analyze verify: $(inside systemd-analyze verify --man=no /etc/systemd/system/telovix-agent.service 2>&1)"

# systemd's filter refuses Landlock, and the doctor says so; what systemd itself does, it says as well.
expect 0 inside telovix-agent doctor
says 'confinement .*landlock: (off|not to be had here).*; system calls filtered; no new privileges; no capabilities'

# Twice is once.
expect 0 install
[[ $(identity) == "$sensor" && $(count) == 1 ]] || fail "a second run made another sensor: $(sensors)"

# Restarted by hand, killed, hanging: the same identity goes on.
expect 0 inside systemctl restart telovix-agent
await 'ready after a restart' ready
inside kill -KILL "$(service MainPID)"
restarted() { (($(service NRestarts) > 0)) && [[ $(service ActiveState) == active ]]; }
await 'a restart after a kill' restarted
mkdir -p "$root/etc/systemd/system/telovix-agent.service.d"
printf '[Service]\nWatchdogSec=3s\n' >"$root/etc/systemd/system/telovix-agent.service.d/watchdog.conf"
inside systemctl daemon-reload
inside systemctl restart telovix-agent
inside kill -STOP "$(service MainPID)"
bitten() { grep -q 'Watchdog timeout' <<<"$(inside journalctl -u telovix-agent --no-pager)"; }
await 'the watchdog' bitten
await 'a restart after the watchdog' restarted
rm -r "$root/etc/systemd/system/telovix-agent.service.d"
inside systemctl daemon-reload
[[ $(identity) == "$sensor" ]] || fail 'the identity changed'

# Whatever ends it, it is started again, however often: a credential that runs out is never left alone.
mkdir -p "$root/etc/systemd/system/telovix-agent.service.d"
printf '[Service]\nRestartSec=50ms\n' >"$root/etc/systemd/system/telovix-agent.service.d/fast.conf"
inside systemctl daemon-reload
deaths=0
many_deaths() {
  [[ $(service ActiveState) != failed ]] || fail "it is given up after $deaths deaths"
  if inside systemctl kill --signal=KILL --kill-who=main telovix-agent 2>/dev/null; then deaths=$((deaths + 1)); fi
  ((deaths >= 20))
}
await '20 deaths' many_deaths
await 'ready after 20 deaths' ready
rm -r "$root/etc/systemd/system/telovix-agent.service.d"
expect 0 install
await 'ready after the installer' ready
# It starts after the network and the clock, and no stop tells the Console anything.
for target in network-online.target time-sync.target; do
  [[ " $(service After) " == *" $target "* ]] || fail "not ordered after $target"
done
[[ -z $(service ExecStop)$(service ExecStopPost) ]] || fail 'a stop does more than stop'

# A mistake in the configuration keeps no identity from being renewed: the daemon goes on with what it can read, and says so.
cp "$root/etc/telovix/agent.toml" "$SCRATCH/agent.toml"
echo 'no_such_key = true' >>"$root/etc/telovix/agent.toml"
expect 0 inside systemctl restart telovix-agent
await 'ready with a wrong configuration' ready
[[ $(inside telovix-agent status) == *no_such_key* ]] || fail "status does not name the mistake: $(inside telovix-agent status)"
cat "$SCRATCH/agent.toml" >"$root/etc/telovix/agent.toml"
expect 0 inside systemctl restart telovix-agent
await 'ready with the configuration mended' ready
echo 'restart, kill, watchdog, wrong configuration: as they should'

# A reboot is not a removal.
halt
boot
await 'ready after a reboot' ready
[[ $(identity) == "$sensor" ]] || fail 'the reboot changed the identity'
sensors | grep -qE '"decommissioned": ?true' && fail 'the reboot retired the node'
echo 'rebooted'

# A newer build over it keeps identity and configuration. Its version has as many letters, so that the binary stays whole.
LC_ALL=C sed 's/0\.1\.0/0.1.9/g' "$SCRATCH/built" >"$SCRATCH/newer"
stage "$SCRATCH/newer"
echo '# edited' >>"$root/etc/telovix/agent.toml"
cp "$root/etc/telovix/agent.toml" "$SCRATCH/agent.toml"
cp "$source/install.sh" "$root/opt/install.sh"
by_hand() { inside sh /opt/install.sh --console-url "$console_url" --ca-fingerprint "$ca_fingerprint" "$@" </dev/null; }
expect 17 by_hand --version 0.1.8
[[ $(inside telovix-agent --version) == 'telovix-agent 0.1.0' ]] || fail 'an unwanted version was installed'
expect 0 by_hand --version 0.1.9
[[ $(inside telovix-agent --version) == 'telovix-agent 0.1.9' ]] || fail 'the newer build was not installed'
[[ $(inside readlink "/proc/$(service MainPID)/exe") == /usr/local/bin/telovix-agent ]] || fail 'the old build still runs'
cmp -s "$SCRATCH/agent.toml" "$root/etc/telovix/agent.toml" || fail 'the configuration changed'
[[ $(identity) == "$sensor" && $(count) == 1 ]] || fail 'the upgrade changed the identity'
echo 'upgraded'

# Removed, and back with the same identity; then removed for good, and the Console knows.
expect 0 inside sh /opt/install.sh --uninstall
[[ ! -e $root/usr/local/bin/telovix-agent && ! -e $root/etc/systemd/system/telovix-agent.service ]] || fail 'something is left'
[[ -e $root/var/lib/telovix-sensor/current ]] || fail 'the identity was removed'
expect 0 by_hand
[[ $(identity) == "$sensor" && $(count) == 1 ]] || fail 'the identity did not come back'
mkdir -p "$root/etc/systemd/system/telovix-agent.service.d"
printf '[Service]\nWatchdogSec=5min\n' >"$root/etc/systemd/system/telovix-agent.service.d/mine.conf"
expect 0 inside sh /opt/install.sh --uninstall --purge
for path in etc/systemd/system/telovix-agent.service.d var/lib/telovix-sensor etc/telovix etc/default/telovix-agent usr/local/bin/telovix-agent; do
  [[ ! -e $root/$path ]] || fail "$path is left"
done
inside id telovix >/dev/null 2>&1 && fail 'the user is left'
[[ $(count) == 0 ]] || fail "the Console was not told of the end: $(sensors)"
expect 0 inside sh /opt/install.sh --uninstall --purge
echo 'uninstalled and purged'

# What goes wrong, each with its sentence and its exit status, and nothing enrolled.
one_liner
"$BIN/telovix-console-stub" token revoke --data-dir "$SCRATCH/console" "$token_id" >/dev/null
expect 3 install
says 'revoked'
nothing_enrolled 'a revoked token'
one_liner
sqlite3 "$SCRATCH/console/console.db" "UPDATE enrollment_tokens SET expires_at = 1 WHERE id = '$token_id'"
expect 3 install
says 'expired'
nothing_enrolled 'an expired token'
one_liner
expect 0 agent "$SCRATCH/other" --help
ip netns exec "$console_net" "$BIN/telovix-agent" --config "$SCRATCH/empty.toml" --state-dir "$SCRATCH/other" enroll \
  --console-url "$console_url" --bootstrap-ca "$ca_file" --node-name other --token-file "$SCRATCH/token" >/dev/null 2>&1
expect 3 install
says 'used'
nothing_enrolled 'a used token'
one_liner
sed -i -E "s/(fingerprint 'sha256:)[0-9a-f]{8}/\\100000000/" "$root/opt/line"
expect 14 install
says 'fingerprint .*is pinned; nothing was sent'
nothing_enrolled 'a wrong CA'
sed -i -E "s#sha256//[^']{8}#sha256//AAAAAAAA#" "$root/opt/line"
expect 90 install
says 'pinned'
one_liner
ip -n "$host_net" link set h0 down
expect 7 install
says 'Failed to connect|unreachable|Could not connect'
expect 13 inside sh /opt/install.sh --console-url "$console_url" --ca-fingerprint "$ca_fingerprint" --token-file /opt/line
says "$console_url cannot be reached; check the address, the route and the proxy"
nothing_enrolled 'no route'
ip -n "$host_net" link set h0 up
echo 'token revoked, expired, used; wrong CA, wrong key, no route: each says so, and nothing is enrolled'

# And after all that the line that did not get through still works.
expect 0 install
expect 0 ready

# A token may come later: as a file, which is deleted once it is used up, or as a credential of the service.
expect 0 inside sh /opt/install.sh --uninstall --purge
expect 0 by_hand --no-start
is ActiveState inactive
expect 0 inside systemctl enable --now telovix-agent
is ActiveState active
make_token --type once >"$root/opt/token"
expect 0 inside install -o telovix -g telovix -m 0400 /opt/token /etc/telovix/token/enrollment-token
await 'ready by a token that came later' ready
used_up() { [[ ! -e $root/etc/telovix/token/enrollment-token ]]; }
await 'the end of the used token' used_up
expect 0 inside sh /opt/install.sh --uninstall --purge
mkdir -p -m 0700 "$root/etc/credstore"
make_token --type once >"$root/etc/credstore/telovix.enrollment-token"
expect 0 by_hand --no-start
expect 0 inside systemctl enable --now telovix-agent
await 'ready by a credential' ready
rm "$root/etc/credstore/telovix.enrollment-token"
expect 0 inside systemctl restart telovix-agent
await 'ready without the credential' ready
echo 'tokens that come later: by file, by credential'

# Every option about the node reaches the Console and the configuration, and the service takes that.
"$BIN/telovix-console-stub" binary stage --data-dir "$SCRATCH/console" --flavor telecom "$SCRATCH/built" >/dev/null
expect 0 inside sh /opt/install.sh --uninstall --purge
cp "$ca_file" "$root/opt/ca.pem"
make_token --type cluster --cluster-id north >"$root/opt/token"
expect 0 inside sh /opt/install.sh --console-url "$console_url" --bootstrap-ca /opt/ca.pem --token-file /opt/token --node-name du-17 \
  --node-role o_du --cluster-name north --tags 'rack-7,lab b' --flavor telecom --version 0.1.0 --prefix /opt/telovix
expect 0 inside /opt/telovix/bin/telovix-agent status --ready
told=$(sensors)
for word in '"node_name": ?"du-17"' '"role": ?"o_du"' '"cluster_id": ?"north"' '"rack-7"' '"lab b"' '"flavor": ?"telecom"'; do
  grep -qE "$word" <<<"$told" || fail "the Console was not told $word: $told"
done

# Killed in the middle, early and late, what it leaves does not hinder the next run. Without its program it cannot retire.
expect 0 inside sh /opt/install.sh --uninstall
expect 0 inside sh /opt/install.sh --uninstall --purge
says 'the Console was not told; delete the sensor there'
make_token --type once >"$root/opt/token"
for pause in 0.05 0.2 0.4 0.6 0.8 1 1.3; do
  inside timeout -s KILL "$pause" sh /opt/install.sh --console-url "$console_url" --ca-fingerprint "$ca_fingerprint" --token-file \
    /opt/token >/dev/null 2>&1 || true
done
expect 0 inside sh /opt/install.sh --console-url "$console_url" --ca-fingerprint "$ca_fingerprint" --token-file /opt/token
expect 0 ready
echo 'all options; killed in the middle and run again'

# Cloud-init's line as the manual has it, with this Console's values; like every runcmd it ends with the status of its last
# program, so what counts is what came of it.
expect 0 inside sh /opt/install.sh --uninstall --purge
one_liner
pin=$(grep -oE "sha256//[^']*" "$root/opt/line")
sed -nE "s/^  - (f=\\$\(mktemp\).*)/\1/p" "$source/docs/operations.md" |
  sed "s|sha256//…|$pin|; s|https://console.example:15483|$console_url|g; s|sha256:…|$ca_fingerprint|" >"$root/opt/runcmd"
[[ -s $root/opt/runcmd ]] || fail 'the manual has no line for cloud-init'
inside sh -c 'umask 077 && cat >/run/enrollment-token' <"$SCRATCH/token"
expect 0 inside sh /opt/runcmd
expect 0 ready
expect 1 inside test -e /run/enrollment-token
echo 'by the line for cloud-init'
