#!/usr/bin/env bash
# Older and newer hosts: install.sh installs and enrolls on Debian bullseye (systemd 247) and trixie (257), with the binary
# that needs no newer glibc than 2.17, and systemd has nothing to say about the units. DIST can name a folder of binaries that
# are built already.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../support/machine.sh"
((EUID == 0)) || skip 'only root can boot a machine'
[[ $(uname -m) == x86_64 ]] || skip 'the binary is built for x86_64'
source=$(cd "$(dirname "$0")/../../.." && pwd)
if [[ -z ${DIST-} ]]; then
  DIST=$SCRATCH/dist
  "$source/packaging/build" --out "$DIST" telovix-agent-linux-amd64
fi
built=$DIST/telovix-agent-linux-amd64
cd /

make_network
start_remote_console "$built"
ready() { inside telovix-agent status --ready >/dev/null 2>&1; }
for suite in bullseye trixie; do
  fresh_root "$suite"
  cp "$source/install.sh" "$source"/systemd/telovix-console-stub.service "$root/opt"
  # What it runs need not be there to be looked at.
  ln -s /bin/true "$root/usr/bin/telovix-console-stub"
  boot
  make_token --type once >"$root/opt/token"
  expect 0 inside sh /opt/install.sh --console-url "$console_url" --ca-fingerprint "$ca_fingerprint" --node-name "$suite" \
    --token-file /opt/token
  expect 0 ready
  for unit in /etc/systemd/system/telovix-agent.service /opt/telovix-console-stub.service; do
    expect 0 inside systemd-analyze verify --man=no "$unit"
    [[ ! -s $SCRATCH/out && ! -s $SCRATCH/err ]] || fail "$suite, $unit: $(cat "$SCRATCH/out" "$SCRATCH/err")"
  done
  expect 0 inside systemctl restart telovix-agent
  await "ready again on $suite" ready
  version=$(inside systemctl --version | head -n 1)
  sensor=$(inside telovix-agent status --output json | json sensor_id)
  halt
  boot
  await "ready after a reboot on $suite" ready
  [[ $(inside telovix-agent status --output json | json sensor_id) == "$sensor" ]] || fail 'the reboot changed the identity'
  expect 0 inside sh /opt/install.sh --uninstall --purge
  halt
  drop_root
  echo "$suite, $version: installed, enrolled, restarted, rebooted, purged"
done
