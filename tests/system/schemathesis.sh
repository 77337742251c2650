#!/usr/bin/env bash
# The interface against its own document: schemathesis makes calls of every kind out of what the running stub serves, as
# an administrator, as an API key and as a sensor, and holds each answer against it. The seed is fixed and the examples
# are bounded: two runs differ only in the names that the Console draws.
. "$(dirname "$0")/lib.sh"
here=$(cd "$(dirname "$0")" && pwd)/schemathesis
need curl curl
need python3 python3
need_python schemathesis 4.32.5
prepared

# A guesser's bucket is not what is tested here.
serve_args=(--guess-rate 0 --token-rate 0 --enroll-rate 0 --login-rate 0)
start_console
expect 0 enroll "$SCRATCH/host" host-1

curl --fail --silent --show-error --cacert "$ca_file" --dump-header "$SCRATCH/headers" --output "$SCRATCH/who" \
  --header 'content-type: application/json' \
  --data '{"email":"admin@example.com","password":"correct horse battery staple"}' "$console_url/api/v1/session"
SESSION_COOKIE=$(sed -nE 's/^set-cookie: ([^;]*).*/\1/Ip' "$SCRATCH/headers")
SESSION_CSRF=$(json csrf_token <"$SCRATCH/who")
"$BIN/telovix-console-stub" apikey create --data-dir "$SCRATCH/console" --scopes sensors:read,sensors:write \
  --output json >"$SCRATCH/key"
API_KEY_ID=$(json key_id <"$SCRATCH/key") API_KEY_SECRET=$(json secret <"$SCRATCH/key")
export SESSION_COOKIE SESSION_CSRF API_KEY_ID API_KEY_SECRET

cd "$SCRATCH"
run() {
  PYTHONPATH=$here SCHEMATHESIS_HOOKS=hooks PYTHONDONTWRITEBYTECODE=1 "$tools/bin/schemathesis" \
    --config-file "$here/schemathesis.toml" run "$console_url/api/openapi.json" \
    --tls-verify "$ca_file" --request-cert "$SCRATCH/host/client.cert.pem" --request-cert-key "$SCRATCH/host/client.key.pem" \
    --exclude-operation-id logOut --seed 20261124 --max-examples "${EXAMPLES:-8}" --workers 1 >"$SCRATCH/report" 2>&1
}
status=0
run || status=$?
# A head that is no HTTP ends its connection while the client may still be writing: an error of the wire and no finding.
# It is tried again, once.
if ((status != 0)) && grep -q 'Network Error' "$SCRATCH/report" && ! grep -q '= FAILURES' "$SCRATCH/report"; then
  status=0
  run || status=$?
fi
((status == 0)) || { cat "$SCRATCH/report"; fail "schemathesis found something (status $status)"; }
tail -n 25 "$SCRATCH/report"
if grep -E ' (ERROR|panicked)' "$SCRATCH/console.log"; then fail 'the Console logged an error'; fi
