#!/usr/bin/env bash
# A host whose clock is wrong, with real processes: the size of the error is said, no token is spent and no identity thrown
# away; with the clock right again all goes on by itself (docs/contract.md section 6).
. "$(dirname "$0")/lib.sh"
need faketime faketime
library=$(dpkg -L libfaketime | grep '/libfaketime\.so\.1$') || skip 'there is no libfaketime'
# Not by the wrapper `faketime`, which is a process of its own between us and the agent. Waits are left alone.
at() {
  local when=$1
  shift
  LD_PRELOAD=$library FAKETIME=$when FAKETIME_DONT_FAKE_MONOTONIC=1 exec "$@"
}
before=$(date +%s)
(($(at '+1h' date +%s) > before + 1800)) || skip 'faketime does not reach the programs of this machine'

# The Console is two days old, so that its certificate is in force for a host that is only hours off.
setup_by=(env "LD_PRELOAD=$library" FAKETIME=-2d FAKETIME_DONT_FAKE_MONOTONIC=1)
start_console
enroll_at() {
  local when=$1
  : >"$SCRATCH/empty.toml"
  (at "$when" "$BIN/telovix-agent" --config "$SCRATCH/empty.toml" --state-dir "$SCRATCH/${2-state}" enroll \
    --console-url "$console_url" --bootstrap-ca "$ca_file" --node-name host --token-file "$SCRATCH/token" --timeout 5s)
}
token_status() { "$BIN/telovix-console-stub" token list --data-dir "$SCRATCH/console" --output json | json status; }
refuses_at() {
  local when=$1 status=0
  enroll_at "$when" >"$SCRATCH/out" 2>"$SCRATCH/err" || status=$?
  ((status != 0)) || fail "enrolled with the clock at $when"
  grep -qE 'clock.* (behind|ahead)' "$SCRATCH/err" || { cat "$SCRATCH/err" >&2; fail "no word on the clock at $when"; }
  [[ $(token_status) == pending ]] || fail "the token was spent with the clock at $when"
  [[ -s $SCRATCH/token ]] || fail "the file of the token went with the clock at $when"
}

make_token --type once >"$SCRATCH/token"
chmod 600 "$SCRATCH/token"
for when in '@1970-01-02 00:00:00' -40d +400d -3h; do refuses_at "$when"; done
expect 8 enroll_at -3h
grep -qE 'clock is (2 h 59 min|3 h) behind' "$SCRATCH/err" || fail "the size is not said: $(cat "$SCRATCH/err")"
enroll_at +0 >/dev/null
[[ $(token_status) == used ]] || fail 'enrolled, and the token was not used'
rm -rf "$SCRATCH/kept"
cp -a "$SCRATCH/state" "$SCRATCH/kept"
# Hours ahead harm no fresh certificate: that host enrolls, and the size is said.
make_token --type once >"$SCRATCH/token"
expect 0 enroll_at +3h ahead
grep -qE 'clock is (2 h 59 min|3 h) ahead' "$SCRATCH/err" || fail "the size is not said: $(cat "$SCRATCH/err")"

# A daemon by whose clock the identity is over: it is kept, used where the Console agrees, and the size of the error is said.
cat >"$SCRATCH/agent.toml" <<TOML
console_url = "$console_url"
bootstrap_ca = "$ca_file"
state_dir = "$SCRATCH/state"
control_socket = "$SCRATCH/control.sock"
node_name = "host"
TOML
skew_at() {
  local when=$1 tries skew=''
  at "$when" "$BIN/telovix-agent" --config "$SCRATCH/agent.toml" run 2>"$SCRATCH/agent.log" &
  agent_pid=$!
  at_exit "kill $agent_pid 2>/dev/null; wait $agent_pid"
  for ((tries = 0; tries < 200; tries++)); do
    "$BIN/telovix-agent" --config "$SCRATCH/agent.toml" status --output json >"$SCRATCH/status" 2>/dev/null || true
    skew=$(sed -nE 's/.*"clock_skew_seconds": *(-?[0-9]+).*/\1/p' "$SCRATCH/status")
    [[ -n $skew && $skew != 0 ]] && break
    sleep 0.1
  done
  kill "$agent_pid" || { cat "$SCRATCH/agent.log" "$SCRATCH/status" >&2; fail "the agent ended"; }
  wait "$agent_pid" || true
  ((${skew:-0} < -3000000 || ${skew:-0} > 3000000)) ||
    { cat "$SCRATCH/status" "$SCRATCH/agent.log" >&2; fail "at $when the skew is said to be ${skew:-nothing}"; }
  diff -r --no-dereference --exclude .lock --exclude .kept-by-agent --exclude .sensor-ready "$SCRATCH/kept" "$SCRATCH/state" ||
    fail "the identity was touched with the clock at $when"
}
for when in +400d -40d '@1970-01-02 00:00:00'; do skew_at "$when"; done

# A step is heard at once, and not with the next heartbeat, which is an hour away. The kernel tells of it (timerfd_create(2));
# it is asked to set its clock forward by a microsecond, and then back.
cat >"$SCRATCH/step.py" <<'PYTHON'
import ctypes
import sys
class Timex(ctypes.Structure):
    _fields_ = [("modes", ctypes.c_uint), ("rest", ctypes.c_long * 32)]
ADJ_SETOFFSET = 0x0100
forward = sys.argv[1] == "forward"
timex = Timex(modes=ADJ_SETOFFSET)
timex.rest[8], timex.rest[9] = (0, 1) if forward else (-1, 999_999)
raise SystemExit(ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex)) < 0)
PYTHON
"$BIN/telovix-console-stub" settings set --data-dir "$SCRATCH/console" heartbeat_seconds 3600 >/dev/null
echo +0 >"$SCRATCH/clock"
LD_PRELOAD=$library FAKETIME_TIMESTAMP_FILE=$SCRATCH/clock FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1 \
  "$BIN/telovix-agent" --config "$SCRATCH/agent.toml" run 2>"$SCRATCH/agent.log" &
agent_pid=$!
at_exit "kill $agent_pid 2>/dev/null; wait $agent_pid"
says() { "$BIN/telovix-agent" --config "$SCRATCH/agent.toml" status --output json 2>/dev/null | grep -qE "$1"; }
until_says() {
  local end=$((SECONDS + 60))
  until says "$1"; do
    ((SECONDS < end)) || { cat "$SCRATCH/agent.log" >&2; fail "it does not say $1"; }
    sleep 0.1
  done
}
until_says '"clock_skew_seconds": *0'
echo +400d >"$SCRATCH/clock"
if python3 "$SCRATCH/step.py" forward 2>/dev/null; then
  until_says '"code": *"clock_wrong"'
  echo +0 >"$SCRATCH/clock"
  python3 "$SCRATCH/step.py" back
  until_says '"last_error": *null'
  echo 'steps of the clock: heard at once'
else
  echo 'steps of the clock: not tried, for nobody may set the clock here'
fi
kill "$agent_pid"
wait "$agent_pid" || true
# Nobody renews it now, which is a warning (9) and no fault.
status=0
"$BIN/telovix-agent" --config "$SCRATCH/agent.toml" doctor >"$SCRATCH/out" || status=$?
((status == 9)) || { cat "$SCRATCH/out" >&2; fail "not well: $status"; }
