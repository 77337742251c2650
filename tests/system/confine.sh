#!/usr/bin/env bash
# Without systemd the daemon confines its own writes by Landlock, says so, and still renews, publishes and deletes a used
# token. With a hook it does not, and the hook writes where it likes.
. "$(dirname "$0")/lib.sh"
start_console

# Starts a daemon on its own configuration and waits until it is ready: `daemon NAME more lines of configuration`.
daemon() {
  local dir=$SCRATCH/$1
  mkdir -p "$dir/token"
  make_token --type once >"$dir/token/token"
  printf '%s\n' "console_url = '$console_url'" "bootstrap_ca = '$ca_file'" "node_name = '$1'" "state_dir = '$dir/state'" \
    "control_socket = '$dir/run/control.sock'" "token_file = '$dir/token/token'" "${@:2}" >"$dir/agent.toml"
  "$BIN/telovix-agent" --config "$dir/agent.toml" run >"$dir/log" 2>&1 &
  at_exit "kill $!; wait $!"
  local end=$((SECONDS + 60))
  until ask "$1" status --ready >/dev/null 2>&1; do
    ((SECONDS < end)) || fail "$1 is not ready: $(cat "$dir/log")"
    sleep 0.2
  done
}
ask() { "$BIN/telovix-agent" --config "$SCRATCH/$1/agent.toml" "${@:2}"; }

daemon walled
[[ ! -e $SCRATCH/walled/token/token ]] || fail 'the used token is still there'
expect 0 ask walled renew --force
expect 0 ask walled doctor
if grep -q 'landlock: not to be had here' "$SCRATCH/out"; then skip 'this kernel has no Landlock'; fi
for place in state run token; do
  grep -qE "confinement .*landlock: writes only to .*$SCRATCH/walled/$place" "$SCRATCH/out" || fail "$(cat "$SCRATCH/out")"
done
expect 0 ask walled status --output json
grep -q '"confinement": *"landlock: writes only to' "$SCRATCH/out" || fail "status does not say so: $(cat "$SCRATCH/out")"
echo 'walled in: enrolled, token deleted, renewed'

# As the README starts it: bare names, of the working directory.
mkdir "$SCRATCH/bare"
make_token --type once >"$SCRATCH/bare/token"
printf '%s\n' "console_url = '$console_url'" "bootstrap_ca = '$ca_file'" "state_dir = 'state'" "control_socket = 'control.sock'" \
  "token_file = 'token'" >"$SCRATCH/bare/agent.toml"
(cd "$SCRATCH/bare" && exec "$BIN/telovix-agent" --config agent.toml run >log 2>&1) &
at_exit "kill $!; wait $!"
bare() { (cd "$SCRATCH/bare" && "$BIN/telovix-agent" --config agent.toml "$@"); }
end=$((SECONDS + 60))
until bare status --output json 2>/dev/null | grep -q '"confinement": *"landlock: writes only to' && bare status --ready; do
  ((SECONDS < end)) || fail "bare is not ready: $(cat "$SCRATCH/bare/log")"
  sleep 0.2
done
until [[ ! -e $SCRATCH/bare/token ]]; do
  ((SECONDS < end)) || fail "the used token stays: $(cat "$SCRATCH/bare/log")"
  sleep 0.2
done
(cd / && expect 0 "$BIN/telovix-agent" --state-dir "$SCRATCH/bare/state" status)
echo 'bare names: control socket there, token deleted'

printf '#!/bin/sh\necho "$TELOVIX_EVENT" >>"%s/elsewhere"\n' "$SCRATCH" >"$SCRATCH/hook"
chmod 755 "$SCRATCH/hook"
daemon hooked "hook_command = ['$SCRATCH/hook']"
expect 0 ask hooked renew --force
expect 0 ask hooked doctor
grep -q 'landlock: off, for the hook' "$SCRATCH/out" || fail "$(cat "$SCRATCH/out")"
end=$((SECONDS + 60))
until grep -qx renewed "$SCRATCH/elsewhere" 2>/dev/null; do
  ((SECONDS < end)) || fail "the hook did not write: $(cat "$SCRATCH/hooked/log")"
  sleep 0.2
done
echo 'with a hook: off, and the hook writes elsewhere'
