#!/usr/bin/env bash
# The pod of the chart, run by podman: the init containers prepare and enroll, the daemon becomes ready, another token in
# the Secret enrolls it again, a replaced pod keeps the identity. And a foreign pod that takes an identity along.
# IMAGE_ARCHIVE can name the image (packaging/image/build). Otherwise one is made of the binary at hand and the libraries
# that it wants: what the chart asks of an image is the same, and a static build takes minutes (tests/system/long).
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/kubernetes/tools.bash"
. "$(dirname "$0")/kubernetes/podman.bash"

prepared
take_podman

readonly USER_ID=65532
readonly IMAGE=localhost/telovix-agent:0.1.0
inside() { pods exec telovix-agent /telovix-agent "$@"; }
value() { inside status --output json | json "$1"; }
# Puts a token into the Secret, as the kubelet would.
put_token() { python "$KUBERNETES/kubelet.py" secret "$volumes" token enrollmentToken $USER_ID; }

volumes=$SCRATCH/volumes
mkdir -p "$volumes" "$SCRATCH/node"
if [[ -n ${IMAGE_ARCHIVE-} ]]; then
  skopeo copy --quiet "oci-archive:$IMAGE_ARCHIVE" "containers-storage:[overlay@$SCRATCH/storage+$SCRATCH/runroot]$IMAGE"
else
  make_image telovix-agent
fi
start_console

cat >"$SCRATCH/values.yaml" <<YAML
clusterName: lab
statePath: $SCRATCH/node/telovix-sensor
hostFacts: $([[ -f /etc/machine-id && -f /etc/os-release ]] && echo true || echo false)
image: {repository: localhost/telovix-agent}
sensor:
  consoleUrl: $console_url
  existingSecret: enrollment
  caFingerprint: $ca_fingerprint
  nodeRole: o_du
  tags: [a, b c]
YAML
"${HELMS[0]}" template telovix "$CHARTS/telovix-agent" --values "$SCRATCH/values.yaml" >"$SCRATCH/rendered.yaml"
python "$KUBERNETES/kubelet.py" pod "$SCRATCH/rendered.yaml" "$volumes" worker-1 >"$SCRATCH/pod.yaml"
first=$(make_token --type cluster --cluster-id lab)
printf '%s\n' "$first" | put_token
play pod host || fail "$(cat "$SCRATCH/played"; pods logs telovix-enroll 2>&1)"

wait_for 'the daemon is ready' inside status --ready
expect 0 inside status --live
sensor=$(value sensor_id)
[[ -n $sensor && $(value node_name) == worker-1 && $(value state) == active ]] || fail "$(inside status)"
grep -q '^enrolled' <<<"$(pods logs telovix-enroll 2>&1)" || fail "the init container did not enroll: $(pods logs telovix-enroll 2>&1)"
echo "enrolled by the init container, and ready: $sensor"

# What the process really has.
pid=$(pods inspect --format '{{.State.Pid}}' telovix-agent)
status() { sed -nE "s/^$1:[[:space:]]+//p" "/proc/$pid/status"; }
[[ $(status Uid) == $USER_ID$'\t'$USER_ID$'\t'$USER_ID$'\t'$USER_ID ]] || fail "runs as $(status Uid)"
for set in CapInh CapPrm CapEff CapBnd CapAmb; do
  [[ $(status $set) == 0000000000000000 ]] || fail "has capabilities: $set $(status $set)"
done
[[ $(status NoNewPrivs) == 1 ]] || fail 'may gain privileges'
[[ $(pods inspect --format '{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.Privileged}}' telovix-agent) == 'true false' ]] ||
  fail 'the root can be written, or the container is privileged'
if grep -aq 'tse_' "/proc/$pid/environ" "/proc/$pid/cmdline"; then fail 'a token stands in the environment or in argv'; fi
if grep -q tse_ <<<"$(pods logs telovix-agent 2>&1)"; then fail 'a token stands in the log'; fi
state=$SCRATCH/node/telovix-sensor
[[ $(stat -c '%u %a' "$state") == "$USER_ID 700" && $(stat -c '%u %a' "$state/client.key.pem" -L) == "$USER_ID 600" ]] ||
  fail "the state on the node: $(ls -la "$state")"
echo 'no capability, no privilege, read-only root, no token where others can read it'

# Another token reaches the running pod.
second=$(make_token --type cluster --cluster-id lab)
printf '%s\n' "$second" | put_token
paid_with_second() { [[ $(cat "$state/.enrollment-token-hash") == $(printf %s "$second" | sha256sum | cut -d' ' -f1) ]]; }
wait_for 'the rotated token is used' paid_with_second
wait_for 'ready with the new identity' inside status --ready
[[ $(value sensor_id) == "$sensor" ]] || fail "the rotated token made another sensor: $(value sensor_id)"
[[ $(pods inspect --format '{{.State.Pid}}' telovix-agent) == "$pid" ]] || fail 'the daemon was started again'
echo 'enrolled again with the rotated token, by the same process, as the same sensor'

# A new pod on the same node; the Secret is gone by now.
certificate=$(sha256sum <"$state/client.cert.pem")
pods pod rm --force telovix >/dev/null 2>&1
rm -rf "${volumes:?}/token"
mkdir "$volumes/token"
play pod host || fail "$(cat "$SCRATCH/played"; pods logs telovix-enroll 2>&1)"
wait_for 'the new pod is ready' inside status --ready
[[ $(value sensor_id) == "$sensor" && $(sha256sum <"$state/client.cert.pem") == "$certificate" ]] ||
  fail 'the replaced pod did not keep the identity'
grep -q 'already enrolled' <<<"$(pods logs telovix-enroll 2>&1)" || fail "$(pods logs telovix-enroll 2>&1)"
pods pod rm --force telovix >/dev/null 2>&1
echo 'a replaced pod keeps the identity, without a token'

# The example: into an emptyDir.
sed -e "s|https://console.example:15483|$console_url|; s|image: telovix-agent|image: localhost/telovix-agent|" \
  -e "s|sha256:0\{64\}|$ca_fingerprint|" "$ROOT/packaging/examples/foreign-pod.yaml" >"$SCRATCH/foreign.yaml"
volumes=$SCRATCH/foreign-volumes
mkdir "$volumes"
printf '%s\n' "$second" | put_token
python "$KUBERNETES/kubelet.py" pod "$SCRATCH/foreign.yaml" "$volumes" worker-1 >"$SCRATCH/pod.yaml"
play pod host || fail "$(cat "$SCRATCH/played"; pods logs telovix-enroll 2>&1)"
identity=$volumes/identity/telovix
openssl verify -purpose sslclient -CAfile "$identity/console-ca.cert.pem" "$identity/client.cert.pem" >/dev/null ||
  fail 'the identity in the emptyDir does not hold'
grep -q '^state *active' <<<"$(pods logs telovix-program 2>&1)" || fail "the program found no identity: $(pods logs telovix-program 2>&1)"
echo 'a foreign pod takes an identity along in an emptyDir'
