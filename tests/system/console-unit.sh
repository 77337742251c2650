#!/usr/bin/env bash
# The Console stub as a systemd service in a booted bookworm: its hardened unit starts it, it answers, makes tokens, enrolls
# a host, comes back after SIGKILL, and stops when it is told to.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/support/machine.sh"
((EUID == 0)) || skip 'only root can boot a machine'
source=$(cd "$(dirname "$0")/../.." && pwd)
debian_roots bookworm
prepared
cd /

make_network
fresh_root bookworm
install -m 755 "$BIN/telovix-console-stub" "$BIN/telovix-agent" "$root/usr/bin"
install -m 644 "$source/systemd/telovix-console-stub.service" "$root/usr/lib/systemd/system"
install -m 644 "$source/systemd/telovix-console-stub.sysusers.conf" "$root/usr/lib/sysusers.d/telovix-console-stub.conf"
install -m 644 "$source/systemd/telovix-console-stub.tmpfiles.conf" "$root/usr/lib/tmpfiles.d/telovix-console-stub.conf"
boot

readonly DATA=/var/lib/telovix-console-stub
inside systemd-sysusers
inside systemd-tmpfiles --create telovix-console-stub.conf
console() { inside runuser -u telovix-console -- telovix-console-stub "$@" --data-dir $DATA; }
echo 'correct horse battery staple' >"$root/opt/password"
console setup --admin-email admin@example.com --admin-password-file /opt/password --server-name localhost \
  --trial-nodes 5 --output json >"$SCRATCH/setup.json"
inside systemctl start telovix-console-stub
answers() { inside curl -fsS --cacert $DATA/console-ca.cert.pem https://127.0.0.1:15483/readyz >/dev/null 2>&1; }
await 'the Console' answers
expect 0 inside systemctl is-active telovix-console-stub

console token create --type once --output json | json token >"$root/opt/token"
expect 0 inside telovix-agent --state-dir /opt/host enroll --console-url https://127.0.0.1:15483 \
  --bootstrap-ca $DATA/console-ca.cert.pem --node-name vm --token-file /opt/token

inside systemctl kill -s KILL telovix-console-stub
await 'the Console again' answers
expect 0 inside telovix-agent --state-dir /opt/host enroll --console-url https://127.0.0.1:15483 --node-name vm
expect 0 inside systemctl stop telovix-console-stub
expect 3 inside systemctl is-active telovix-console-stub
echo "the unit starts, serves, comes back after SIGKILL and stops"
