#!/usr/bin/env bash
# A Console whose disk is full: it refuses with 503, loses nothing that it promised, and goes on by itself when there is room.
. "$(dirname "$0")/lib.sh"
((EUID == 0)) || skip 'only root can mount'
need curl curl ca-certificates

data=$SCRATCH/console
mkdir -p "$data"
mount -t tmpfs -o size=2m,mode=0700 tmpfs "$data" 2>"$SCRATCH/err" || skip "mount: $(cat "$SCRATCH/err")"
at_exit "umount -l '$data'"
start_console
"$BIN/telovix-console-stub" settings set --data-dir "$data" heartbeat_seconds 5 >/dev/null
enroll "$SCRATCH/first" first >/dev/null 2>&1
make_token --type once >"$SCRATCH/second.token"
stub() { "$BIN/telovix-console-stub" "$@"; }
rows() { stub sensor list --data-dir "$data" --output json | grep -o '"sensor_id"' | wc -l; }
heartbeat() {
  curl -sS -o "$SCRATCH/body" -w '%{http_code}' -X POST -H 'content-type: application/json' -d '{}' --cacert "$ca_file" \
    --cert "$SCRATCH/first/client.cert.pem" --key "$SCRATCH/first/client.key.pem" \
    "$console_url/api/v1/sensors/self/heartbeat"
}
second() {
  agent "$SCRATCH/second" enroll --console-url "$console_url" --bootstrap-ca "$ca_file" --node-name second \
    --token-file "$SCRATCH/second.token" --timeout "$1"
}

# What the log of the database still has room for is used up by making tokens.
fill() {
  dd if=/dev/zero of="$data/filler" bs=1k 2>/dev/null || true
  promised=0
  while stub token create --data-dir "$data" --type once --output json >"$SCRATCH/out" 2>"$SCRATCH/err"; do
    promised=$((promised + 1))
    ((promised < 200)) || fail 'the disk is full and the Console goes on writing'
  done
  grep -qi 'make room' "$SCRATCH/err" || fail "the refusal does not say what to do: $(cat "$SCRATCH/err")"
}
tokens() { stub token list --data-dir "$data" --output json | grep -o '"id"' | wc -l; }

before=$(tokens)
fill
made=$promised
expect 5 second 4s
grep -q 'not_ready\|cannot use its database' "$SCRATCH/err" || fail "not a clear refusal: $(cat "$SCRATCH/err")"
status=$(heartbeat)
[[ $status == 200 || $status == 503 ]] || fail "a heartbeat was answered with $status: $(cat "$SCRATCH/body")"
[[ $(curl -sS -o /dev/null -w '%{http_code}' --cacert "$ca_file" "$console_url/healthz") == 200 ]] || fail 'not alive'
kill -0 "$console_pid" || fail 'the Console died of a full disk'
grep -q 'ERROR.*make room' "$SCRATCH/console.log" || fail "nothing woke the operator: $(cat "$SCRATCH/console.log")"
rm "$data/filler"
expect 0 second 20s
expect 0 agent "$SCRATCH/second" status --ready
[[ $(heartbeat) == 200 ]] || fail 'the first sensor is not served any more'
[[ $(rows) == 2 ]] || fail "$(rows) sensors instead of 2"
(($(tokens) >= before + made - 1)) || fail "of $made tokens that were made, some are gone: $before before, $(tokens) now"
expect 0 stub audit verify --data-dir "$data"
echo "under load: refused with 503 after $made more tokens (heartbeat: $status), went on by itself when there was room"

fill
kill -KILL "$console_pid"
wait "$console_pid" || true
# It may start or not: where it does not, it says why, and a service manager tries again.
(timeout 10 "$BIN/telovix-console-stub" serve --data-dir "$data" --listen 127.0.0.1:0 >"$SCRATCH/out" 2>"$SCRATCH/err") &&
  started=0 || started=$?
((started == 124)) || grep -qi 'make room' "$SCRATCH/err" || fail "it did not say why it does not start: $(cat "$SCRATCH/err")"
rm "$data/filler"
"$BIN/telovix-console-stub" serve --data-dir "$data" --listen "$console_address" >/dev/null 2>>"$SCRATCH/console.log" &
console_pid=$!
at_exit "kill $console_pid"
for _ in {1..100}; do [[ $(heartbeat 2>/dev/null) == 200 ]] && break || sleep 0.1; done
[[ $(heartbeat) == 200 ]] || fail "not served after the restart: $(cat "$SCRATCH/console.log")"
[[ $(rows) == 2 ]] || fail "$(rows) sensors instead of 2"
expect 0 stub audit verify --data-dir "$data"
echo "killed on a full disk: start with status $started, and with room all is there again"
