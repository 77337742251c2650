#!/usr/bin/env bash
# The pod of the Console stub's chart, run by podman without a network: set up once by the init container, ready, makes
# tokens; a replaced pod is the same Console.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/kubernetes/tools.bash"
. "$(dirname "$0")/kubernetes/podman.bash"
need nsenter util-linux
need curl curl

readonly DATA=/var/lib/telovix-console-stub/data
volumes=$SCRATCH/volumes
mkdir "$volumes"
make_image telovix-console-stub
"${HELMS[0]}" template telovix "$CHARTS/telovix-console-stub" --set image.repository=localhost/telovix-console-stub \
  --set admin.email=admin@example.com,admin.existingSecret=admin,trialNodes=7 --set 'serverNames={console.example}' \
  >"$SCRATCH/rendered.yaml"
python "$KUBERNETES/kubelet.py" pod "$SCRATCH/rendered.yaml" "$volumes" worker-1 >"$SCRATCH/pod.yaml"
echo 'correct horse battery staple' | python "$KUBERNETES/kubelet.py" secret "$volumes" admin password 65532

# From within the pod's own network: answers are of a Console that is set up.
ready() {
  local pid
  pid=$(pods inspect --format '{{.State.Pid}}' telovix-console)
  nsenter --target "$pid" --net curl --silent --show-error --fail --cacert "$volumes/data/data/console-ca.cert.pem" \
    --resolve console.example:15483:127.0.0.1 https://console.example:15483/readyz
}
console() { pods exec telovix-console /telovix-console-stub "$@" --data-dir $DATA --output json; }
# Without a network the loopback of a pod is down until somebody raises it.
start() {
  play pod none || fail "$(cat "$SCRATCH/played"; pods logs telovix-setup 2>&1)"
  nsenter --target "$(pods inspect --format '{{.State.Pid}}' telovix-console)" --net ip link set lo up
  wait_for 'the Console is ready' ready
}

start
fingerprint=$(pods logs telovix-setup 2>/dev/null | json ca_fingerprint)
[[ $fingerprint == sha256:* ]] || fail "the init container does not say the fingerprint: $(pods logs telovix-setup 2>&1)"
console token create --type cluster --cluster-id lab >"$SCRATCH/token.json"
[[ $(json token <"$SCRATCH/token.json") == tse_* ]] || fail 'no token was made'
grep -q 'https://telovix-telovix-console-stub.default.svc:15483' "$SCRATCH/token.json" ||
  fail "the install command does not name the Service: $(grep install_command "$SCRATCH/token.json")"
pid=$(pods inspect --format '{{.State.Pid}}' telovix-console)
grep -qE '^CapEff:\s+0000000000000000$' "/proc/$pid/status" || fail 'the Console has capabilities'
grep -qE '^Uid:\s+65532\s' "/proc/$pid/status" || fail 'the Console is not user 65532'
echo "set up and ready: $fingerprint"

pods pod rm --force telovix >/dev/null 2>&1
start
[[ $(pods logs telovix-setup 2>/dev/null | json ca_fingerprint) == "$fingerprint" ]] || fail 'the replaced pod is another Console'
grep -q '"lab"' <<<"$(console token list)" || fail 'the token is gone'
grep -q 7 <<<"$(console license show)" || fail 'the licence is gone'
echo 'a replaced pod is the same Console'
