#!/usr/bin/env bash
# Older and newer hosts: install.sh installs and enrolls on Debian bullseye (systemd 247) and trixie (257), systemd has
# nothing to say about the units and confines the service, and a token comes as a credential where systemd has a store for
# them. DIST can name a folder with the binary that is given to others (tests/system/long/releases.sh builds it). Otherwise the
# one at hand is taken, with the libraries that it wants beside it: bullseye has older ones.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/support/machine.sh"
((EUID == 0)) || skip 'only root can boot a machine'
source=$(cd "$(dirname "$0")/../.." && pwd)
debian_roots bullseye trixie
prepared
built=$SCRATCH/built libraries=$SCRATCH/libraries
mkdir "$libraries"
if [[ -n ${DIST-} ]]; then
  [[ $(uname -m) == x86_64 ]] || skip 'the binary is built for x86_64'
  cp "$DIST/telovix-agent-linux-amd64" "$built"
else
  need patchelf patchelf
  strip -o "$built" "$BIN/telovix-agent"
  ldd "$BIN/telovix-agent" | grep -oE '/[^ ]+' | while read -r library; do cp "$library" "$libraries"; done
  patchelf --set-rpath /opt/libraries --set-interpreter "/opt/libraries/$(basename "$(patchelf --print-interpreter "$built")")" \
    "$built"
fi
cd /

make_network
start_remote_console "$built"
ready() { inside telovix-agent status --ready >/dev/null 2>&1; }
install() { inside sh /opt/install.sh --console-url "$console_url" --ca-fingerprint "$ca_fingerprint" "$@"; }
for suite in bullseye trixie; do
  fresh_root "$suite"
  cp "$source/install.sh" "$source"/systemd/telovix-console-stub.service "$root/opt"
  cp -r "$libraries" "$root/opt"
  # What it runs need not be there to be looked at.
  ln -s /bin/true "$root/usr/bin/telovix-console-stub"
  boot
  version=$(inside systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
  make_token --type once >"$root/opt/token"
  expect 0 install --node-name "$suite" --token-file /opt/token
  expect 0 ready
  for unit in /etc/systemd/system/telovix-agent.service /opt/telovix-console-stub.service; do
    expect 0 inside systemd-analyze verify --man=no "$unit"
    [[ ! -s $SCRATCH/out && ! -s $SCRATCH/err ]] || fail "$suite, $unit: $(cat "$SCRATCH/out" "$SCRATCH/err")"
  done
  exposure=$(inside systemd-analyze security --no-pager telovix-agent.service | sed -n 's/.*: \([0-9.]*\) .*/\1/p' | tail -n 1)
  awk -v exposure="$exposure" 'BEGIN { exit !(exposure > 0 && exposure <= 1.2) }' || fail "$suite: exposure $exposure"
  expect 0 inside telovix-agent doctor
  grep -q 'system calls filtered; no new privileges; no capabilities' "$SCRATCH/out" || fail "$suite: $(cat "$SCRATCH/out")"
  expect 0 inside systemctl restart telovix-agent
  await "ready again on $suite" ready
  sensor=$(inside telovix-agent status --output json | json sensor_id)
  halt
  boot
  await "ready after a reboot on $suite" ready
  [[ $(inside telovix-agent status --output json | json sensor_id) == "$sensor" ]] || fail 'the reboot changed the identity'
  # However often it is installed, it is no failure of the service.
  for _ in 1 2 3 4 5 6; do expect 0 install; done
  expect 0 inside sh /opt/install.sh --uninstall --purge
  if ((version >= 251)); then
    mkdir -p -m 0700 "$root/etc/credstore"
    make_token --type once >"$root/etc/credstore/telovix.enrollment-token"
    expect 0 install --no-start
    expect 0 inside systemctl enable --now telovix-agent
    await "ready by a credential on $suite" ready
    expect 0 inside sh /opt/install.sh --uninstall --purge
  fi
  halt
  drop_root
  echo "$suite, systemd $version: installed, enrolled, restarted, rebooted, purged; exposure $exposure"
done
