#!/usr/bin/env bash
# The pod of the Console stub's chart, run by podman without a network: set up once by the init container, ready, makes
# tokens; a replaced pod is the same Console. And once more with a PostgreSQL server in place of the embedded database.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/kubernetes/tools.bash"
. "$(dirname "$0")/kubernetes/podman.bash"
need nsenter util-linux
need curl curl
need ip iproute2
need_postgres
prepared
take_podman

readonly DATA=/var/lib/telovix-console-stub/data
volumes=$SCRATCH/volumes
mkdir "$volumes"
make_image telovix-console-stub
# Renders the pod to $SCRATCH/NAME.yaml: `render NAME more arguments of helm`.
render() {
  "${HELMS[0]}" template telovix "$CHARTS/telovix-console-stub" --set image.repository=localhost/telovix-console-stub \
    --set admin.email=admin@example.com,admin.existingSecret=admin,trialNodes=7 --set 'serverNames={console.example}' \
    "${@:2}" >"$SCRATCH/rendered.yaml"
  python "$KUBERNETES/kubelet.py" pod "$SCRATCH/rendered.yaml" "$volumes" worker-1 >"$SCRATCH/$1.yaml"
  echo 'correct horse battery staple' | python "$KUBERNETES/kubelet.py" secret "$volumes" admin password 65532
}
render pod

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

# PostgreSQL, in a network namespace that the pod is played in, so that nothing else reaches either.
pods pod rm --force telovix >/dev/null 2>&1
net=telovix-chart-$$
ip netns add "$net"
at_exit "ip netns del $net"
ip -n "$net" link set lo up
# A folder that its user can reach.
home=$(mktemp -d "${TMPDIR:-/tmp}/telovix-chart-XXXXXX")
at_exit "rm -rf '$home'"
chown postgres "$home"
server() { ip netns exec "$net" runuser -u postgres -- "$@"; }
server initdb --no-sync --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --pgdata="$home/data" >/dev/null
server pg_ctl -D "$home/data" -l "$home/log" -w -o "-c listen_addresses=127.0.0.1 -c unix_socket_directories=$home -c fsync=off" \
  start >/dev/null || fail "the server did not start: $(cat "$home/log")"
at_exit "runuser -u postgres -- '$(command -v pg_ctl)' -D '$home/data' -m immediate stop >/dev/null"
sql() { server psql -qAtX -v ON_ERROR_STOP=1 -h "$home" -d "$1" -c "$2"; }
sql postgres "CREATE ROLE telovix LOGIN PASSWORD 'a hidden/word'"
sql postgres 'CREATE DATABASE console OWNER telovix'

volumes=$SCRATCH/volumes-postgres
mkdir "$volumes"
render postgres --set database.existingSecret=db
echo 'postgres://telovix:a%20hidden%2Fword@127.0.0.1/console' |
  python "$KUBERNETES/kubelet.py" secret "$volumes" database url 65532
# Not `ip netns exec`, which mounts a /sys without cgroups.
pods() { nsenter --net="/run/netns/$net" podman "${storage[@]}" --tmpdir "$SCRATCH/tmpdir" "$@"; }
play postgres host || fail "$(cat "$SCRATCH/played"; pods logs telovix-setup 2>&1)"
wait_for 'the Console on PostgreSQL is ready' ready
console token create --type cluster --cluster-id lab >"$SCRATCH/token.json"
[[ $(json token <"$SCRATCH/token.json") == tse_* ]] || fail 'no token was made'
[[ $(sql console 'SELECT count(*) FROM enrollment_tokens') == 1 ]] || fail 'the token is not in PostgreSQL'
[[ -z $(find "$volumes" -name 'console.db*') ]] || fail 'there is an embedded database beside PostgreSQL'
pid=$(pods inspect --format '{{.State.Pid}}' telovix-console)
if grep -aq 'hidden' "/proc/$pid/environ" "/proc/$pid/cmdline"; then fail 'the password stands in the environment or in argv'; fi
pods pod rm --force telovix >/dev/null 2>&1
echo 'set up and ready on PostgreSQL, whose password stands in a file alone'
